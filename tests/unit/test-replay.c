/*
 * source/replay on a real loop and real files: what a capture holds is told in its order and at its
 * pace, every way in which a file can be bad ends in a sentence, and others get their turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "source/btsnoop.h"
#include "source/source.h"
#include "util/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define STRAP	   "a0:b1:c2:d3:e4:f5"
#define BEGIN_US   (INT64_C(1700000000) * 1000000)
#define DAY_US	   (INT64_C(86400) * 1000000)
#define FRAMES_MAX 4096

struct bench {
	char dir[64], path[96];
	struct buf file;
	int64_t wall_us; /* of the next packet */
	struct config config;
	sd_event *event;
	struct source *source;
	unsigned n_connected, n_disconnected, n_frames, n_there;
	enum gap_reason why;
	usec_t began, frames[FRAMES_MAX], reads[FRAMES_MAX];
	uint8_t first[FRAMES_MAX]; /* byte of each */
	char device[DEVICE_ADDRESS_SIZE], problem[512];
};

static void on_connected(void *userdata, const char *device, const char *name, usec_t boot_us)
{
	struct bench *b = userdata;

	(void)snprintf(b->device, sizeof(b->device), "%s", device);
	b->n_connected++;
}

static void on_frame(void *userdata, const struct frame *f)
{
	struct bench *b = userdata;

	assert_true(f->boot_us <= f->read_us && f->read_us <= clock_boot_usec());
	assert_true(b->n_frames < FRAMES_MAX);
	b->first[b->n_frames] = f->size ? f->data[0] : 0;
	b->reads[b->n_frames] = f->read_us;
	b->frames[b->n_frames++] = f->boot_us;
}

static void on_disconnected(void *userdata, const char *device, enum gap_reason why, usec_t boot_us)
{
	struct bench *b = userdata;

	b->n_disconnected++;
	b->why = why;
}

static void on_state(void *userdata, const char *problem)
{
	struct bench *b = userdata;

	b->n_there += !problem;
	(void)snprintf(b->problem, sizeof(b->problem), "%s", problem ? problem : "");
}

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	(void)snprintf(b->dir, sizeof(b->dir), "/tmp/test-replay-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	(void)snprintf(b->path, sizeof(b->path), "%s/capture", b->dir);
	b->config = (struct config){.source = CONFIG_SOURCE_REPLAY, .file = b->path};
	b->wall_us = BEGIN_US;
	assert_true(sd_event_new(&b->event) >= 0);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	source_free(b->source);
	sd_event_unref(b->event);
	buf_done(&b->file);
	(void)unlink(b->path);
	assert_int_equal(rmdir(b->dir), 0);
	free(b);
	return 0;
}

static void add(struct bench *b, enum btsnoop_type type, const void *data, size_t size)
{
	const struct btsnoop_packet p = {.type = type,
					 .wall_us = b->wall_us,
					 .data = data,
					 .size = size};

	if (b->file.size == 0)
		btsnoop_write_header(&b->file);
	btsnoop_write_packet(&b->file, &p);
}

/* Connected, and 2a37 found at 0x0010. */
static void add_link(struct bench *b)
{
	add(b, BTSNOOP_EVENT,
	    "\x3e\x13\x01\x00\x40\x00\x00\x00\xf5\xe4\xd3\xc2\xb1\xa0\x18\0\0\0\x48\0\0", 21);
	add(b, BTSNOOP_ACL_SENT, "\x40\0\x0b\0\x07\0\x04\0\x08\x01\0\xff\xff\x03\x28", 15);
	add(b, BTSNOOP_ACL_RECEIVED, "\x40\x20\x0d\0\x09\0\x04\0\x09\x07\x0f\0\x10\x10\0\x37\x2a",
	    17);
}

static void add_value(struct bench *b, uint8_t first)
{
	uint8_t data[] = {0x40, 0x20, 9, 0, 5, 0, 4, 0, 0x1b, 0x10, 0, 0, 60};

	data[11] = first;
	add(b, BTSNOOP_ACL_RECEIVED, data, sizeof(data));
}

static void write_file(struct bench *b)
{
	int fd = open(b->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, b->file.data, b->file.size), b->file.size);
	assert_int_equal(close(fd), 0);
}

static void start(struct bench *b)
{
	const struct source_handler handler = {.userdata = b,
					       .connected = on_connected,
					       .frame = on_frame,
					       .disconnected = on_disconnected,
					       .state = on_state};

	unsigned before = b->n_there;

	b->began = clock_boot_usec();
	assert_int_equal(source_new(b->event, &b->config, (struct profiles){0}, &handler,
				    &b->source),
			 0);
	assert_int_equal(b->n_there, before); /* nothing is told from within */
}

/* Until it says what became of it. */
static void run(struct bench *b)
{
	b->problem[0] = '\0';
	while (!b->problem[0])
		assert_true(sd_event_run(b->event, 10 * USEC_PER_SEC) > 0);
}

static void play(struct bench *b)
{
	write_file(b);
	start(b);
	run(b);
}

static void expect_problem(struct bench *b, const char *format, ...) _printf_(2, 3);

static void expect_problem(struct bench *b, const char *format, ...)
{
	char expected[512];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(expected, sizeof(expected), format, ap);
	va_end(ap);
	assert_string_equal(b->problem, expected);
}

/* --- pace --- */

static void plays_fast(void **state)
{
	struct bench *b = *state;

	b->config.replay_fast = true;
	add_link(b);
	for (uint8_t i = 0; i < 100; i++) {
		add_value(b, i);
		b->wall_us += 10000;
	}
	play(b);
	expect_problem(b, "the capture capture is at its end: 100 frames of 103 packets");
	assert_int_equal(b->n_there, 1);
	assert_int_equal(b->n_connected, 1);
	assert_string_equal(b->device, STRAP);
	assert_int_equal(b->n_disconnected, 1);
	assert_int_equal(b->why, GAP_LINK_LOSS);
	assert_int_equal(b->n_frames, 100);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(b->first[i], i);
	/* as far apart as they were, and all of it in the past */
	for (unsigned i = 1; i < 100; i++)
		assert_int_equal(b->frames[i] - b->frames[i - 1], 10000);
	assert_true(b->frames[99] >= b->began && b->frames[0] < b->began);
}

static void plays_at_its_pace(void **state)
{
	struct bench *b = *state;

	add_link(b);
	for (uint8_t i = 0; i < 4; i++) {
		add_value(b, i);
		b->wall_us += 20000;
	}
	play(b);
	assert_int_equal(b->n_frames, 4);
	for (unsigned i = 1; i < 4; i++)
		assert_int_equal(b->frames[i] - b->frames[i - 1], 20000);
	assert_true(b->frames[0] >= b->began);
	assert_true(b->reads[3] >= b->began + 60000);
}

/* Hours that nobody waits for: the clock was set, forth and back. */
static void leaps_over_set_clocks(void **state)
{
	struct bench *b = *state;

	add_link(b);
	for (uint8_t i = 0; i < 5; i++) {
		add_value(b, i);
		b->wall_us += i == 1 ? 20 * 365 * DAY_US : i == 2 ? -DAY_US : 5000;
	}
	b->wall_us = INT64_C(0x7000000000000000);
	add_value(b, 5);
	play(b);
	assert_int_equal(b->n_frames, 6);
	assert_int_equal(b->frames[1] - b->frames[0], 5000);
	assert_int_equal(b->frames[2], b->frames[1]);
	assert_int_equal(b->frames[3], b->frames[2]);
	assert_int_equal(b->frames[4] - b->frames[3], 5000);
	assert_int_equal(b->frames[5], b->frames[4]);
}

/* A capture that is longer than the machine runs: as old as that, and never in the future. */
static void knows_no_time_before_the_start(void **state)
{
	struct bench *b = *state;

	b->config.replay_fast = true;
	add_link(b);
	for (unsigned i = 0; i < 2000; i++) {
		add_value(b, (uint8_t)i);
		b->wall_us += (int64_t)(3600 * USEC_PER_SEC);
	}
	play(b);
	assert_int_equal(b->n_frames, 2000);
	assert_true(b->frames[1999] <= clock_boot_usec());
	for (unsigned i = 1; i < 2000; i++)
		assert_true(b->frames[i] >= b->frames[i - 1]);
}

static int on_other(sd_event_source *source, void *userdata)
{
	++*(unsigned *)userdata;
	return 0;
}

/* More than one reading and many slices, and somebody else on the loop has a turn at each. */
static void leaves_room_for_others(void **state)
{
	struct bench *b = *state;
	unsigned others = 0;
	sd_event_source *other;

	b->config.replay_fast = true;
	add_link(b);
	for (unsigned i = 0; i < 4000; i++)
		add_value(b, (uint8_t)i);
	assert_true(b->file.size > 128UL * 1024);
	assert_true(sd_event_add_defer(b->event, &other, on_other, &others) >= 0);
	assert_true(sd_event_source_set_priority(other, SD_EVENT_PRIORITY_NORMAL - 20) >= 0);
	assert_true(sd_event_source_set_enabled(other, SD_EVENT_OFF) >= 0);
	write_file(b);
	start(b);
	while (!b->problem[0]) {
		unsigned before = b->n_frames;

		assert_true(sd_event_run(b->event, 10 * USEC_PER_SEC) > 0);
		assert_true(b->n_frames - before <= 64);
		if (b->n_frames > before)
			assert_true(sd_event_source_set_enabled(other, SD_EVENT_ONESHOT) >= 0);
	}
	assert_int_equal(b->n_frames, 4000);
	assert_true(others > 60);
	sd_event_source_unref(other);
}

/* --- what is in it --- */

static void takes_handles_from_the_config(void **state)
{
	struct bench *b = *state;

	b->config.handles.n = 1;
	b->config.handles.list[0] =
		(struct config_handle){0x10, CHARACTERISTIC_HEART_RATE_MEASUREMENT};
	add_value(b, 1);
	play(b);
	assert_int_equal(b->n_frames, 1);
	assert_string_equal(b->device, "00:00:00:00:00:40");
}

static void says_what_it_does_not_explain(void **state)
{
	struct bench *b = *state;

	add_value(b, 1);
	add_value(b, 2);
	play(b);
	expect_problem(b,
		       "the capture capture is at its end: 0 frames; 2 values are at handles that "
		       "it does not explain (see `handles`)");
}

/* --- bad files --- */

static void plays_what_is_before_a_break(void **state)
{
	struct bench *b = *state;
	size_t good;

	for (unsigned fast = 0; fast < 2; fast++) {
		b->config.replay_fast = fast;
		b->n_frames = 0;
		buf_reset(&b->file);
		add_link(b);
		add_value(b, 1);
		good = b->file.size;
		add_value(b, 2);
		b->file.size -= 3;
		play(b);
		expect_problem(
			b,
			"the capture capture is broken at byte %zu: it ends in the middle of a "
			"packet; what was before it was played",
			good);
		assert_int_equal(b->n_frames, 1);
		b->source = source_free(b->source);
		b->file.data[good] = 0x10; /* 256 MiB */
		b->file.data[good + 4] = 0x10;
		play(b);
		expect_problem(
			b,
			"the capture capture is broken at byte %zu: what is written there cannot "
			"be the length of a packet; what was before it was played",
			good);
		assert_int_equal(b->n_frames, 2);
		assert_int_equal(b->n_disconnected, b->n_connected);
		b->source = source_free(b->source);
	}
}

static void says_what_it_cannot_play(void **state)
{
	struct bench *b = *state;

	start(b);
	run(b);
	expect_problem(b, "cannot play the capture capture: No such file or directory");
	b->source = source_free(b->source);
	play(b); /* empty */
	expect_problem(b, "cannot play the capture capture: it is not a btsnoop file");
	b->source = source_free(b->source);
	buf_string(&b->file, "\xd4\xc3\xb2\xa1 a pcap file begins like that");
	play(b);
	expect_problem(b, "cannot play the capture capture: it is not a btsnoop file");
	b->source = source_free(b->source);
	b->config.file = b->dir;
	start(b);
	run(b);
	expect_problem(b, "cannot play the capture %s: it is not a file", strrchr(b->dir, '/') + 1);
	b->config.file = b->path;
	assert_int_equal(b->n_there, 0);
	assert_int_equal(b->n_connected, 0);
}

/* Nobody writes into it: to open it would hang. */
static void does_not_wait_for_a_fifo(void **state)
{
	struct bench *b = *state;

	assert_int_equal(mkfifo(b->path, 0600), 0);
	start(b);
	run(b);
	expect_problem(b, "cannot play the capture capture: it is not a file");
}

static void tries_again_at_a_reload(void **state)
{
	struct bench *b = *state;

	start(b);
	run(b);
	add_link(b);
	add_value(b, 1);
	write_file(b);
	source_set_config(b->source, &b->config);
	run(b);
	assert_int_equal(b->n_frames, 1);
	source_set_config(b->source, &b->config); /* it was played */
	assert_int_equal(sd_event_run(b->event, 0), 0);
	assert_int_equal(b->n_frames, 1);
}

static void differs_by_its_keys(void **state)
{
	struct bench *b = *state;
	struct config other = b->config;

	b->config.socket = other.socket = b->dir;
	assert_false(source_differs(&b->config, &other));
	other.replay_fast = true;
	assert_true(source_differs(&b->config, &other));
	other = b->config;
	other.file = NULL;
	assert_true(source_differs(&b->config, &other));
	assert_true(source_differs(&other, &b->config));
	other = b->config;
	other.handles = (struct config_handles){1, {{0x10, CHARACTERISTIC_BATTERY_LEVEL}}};
	assert_true(source_differs(&b->config, &other));
}

static void ends_in_the_middle(void **state)
{
	struct bench *b = *state;

	add_link(b);
	add_value(b, 1);
	b->wall_us += 600 * (int64_t)USEC_PER_SEC;
	add_value(b, 2);
	write_file(b);
	start(b);
	while (b->n_frames == 0)
		assert_true(sd_event_run(b->event, 10 * USEC_PER_SEC) > 0);
	b->source = source_free(b->source); /* says nothing more */
	assert_int_equal(b->n_disconnected, 0);
	assert_string_equal(b->problem, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(plays_fast),
		TEST(plays_at_its_pace),
		TEST(leaps_over_set_clocks),
		TEST(knows_no_time_before_the_start),
		TEST(leaves_room_for_others),
		TEST(takes_handles_from_the_config),
		TEST(says_what_it_does_not_explain),
		TEST(plays_what_is_before_a_break),
		TEST(says_what_it_cannot_play),
		TEST(does_not_wait_for_a_fifo),
		TEST(tries_again_at_a_reload),
		TEST(differs_by_its_keys),
		TEST(ends_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
