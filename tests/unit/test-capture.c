/*
 * source/capture and source/synthesis: what a source tells goes on as it is, and what a taker
 * reads, played through source/sniff, is the same again. Takers that come late, want one wearable,
 * do not read, or go.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "source/capture.h"
#include "source/sniff.h"
#include "source/synthesis.h"
#include "util/clock.h"
#include "util/log.h"

#include <stdio.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#define A "a0:b1:c2:d3:e4:f5"
#define B "c0:de:00:00:00:02"

struct bench {
	sd_event *event;
	struct capture *capture;
	struct source_handler source; /* what a source is given */
	struct buf told;	      /* what came through */
	int ends[2];		      /* read, taken */
};

static void note(struct buf *b, const char *device, const char *what)
{
	buf_printf(b, "%s %s\n", device, what);
}

static void on_connected(void *userdata, const char *device, const char *name, usec_t boot_us)
{
	buf_printf(userdata, "%s there \"%s\"\n", device, name);
}

static void on_frame(void *userdata, const struct frame *f)
{
	buf_printf(userdata, "%s %s ", f->device, characteristic_uuid(f->characteristic));
	for (size_t i = 0; i < f->size; i++)
		buf_printf(userdata, "%02x", f->data[i]);
	buf_string(userdata, "\n");
}

static void on_disconnected(void *userdata, const char *device, enum gap_reason why, usec_t boot_us)
{
	buf_printf(userdata, "%s gone %d\n", device, (int)why);
}

static void on_device(void *userdata, const struct source_device *device)
{
	note(userdata, device->address, device->state);
}

static void on_forgotten(void *userdata, const char *device)
{
	note(userdata, device, "forgotten");
}

static void on_state(void *userdata, const char *problem)
{
	note(userdata, "source", problem ? problem : "there");
}

/* A control point, and a battery that also streams: only the first says things once. */
static const struct profile_characteristic characteristics[] = {
	{CHARACTERISTIC_PMD_CONTROL_POINT, PROFILE_CONTROL, 0, 0},
	{CHARACTERISTIC_PMD_DATA, PROFILE_NOTIFY, 1U << KIND_ECG, 0},
	{CHARACTERISTIC_MODEL_NUMBER, PROFILE_READ, 0, 0},
};
static const struct profile profile = {.name = "test",
				       .characteristics = characteristics,
				       .n_characteristics = ARRAY_SIZE(characteristics)};
static const struct profile *const list[] = {&profile};

static struct source_handler collector(struct bench *b)
{
	return (struct source_handler){.userdata = &b->told,
				       .connected = on_connected,
				       .frame = on_frame,
				       .disconnected = on_disconnected,
				       .device = on_device,
				       .forgotten = on_forgotten,
				       .state = on_state};
}

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct source_handler next;

	assert_non_null(b);
	log_init(LOG_TARGET_AUTO, LOG_ERR);
	next = collector(b);
	assert_true(sd_event_new(&b->event) >= 0);
	assert_int_equal(capture_new(b->event, (struct profiles){list, 1}, &b->capture), 0);
	b->source = capture_tee(b->capture, &next);
	b->ends[0] = -1;
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	capture_free(b->capture);
	sd_event_unref(b->event);
	buf_done(&b->told);
	if (b->ends[0] >= 0)
		(void)close(b->ends[0]);
	free(b);
	return 0;
}

static void pair(int ends[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
}

static void take(struct bench *b, const char *device)
{
	pair(b->ends);
	assert_int_equal(capture_add(b->capture, b->ends[1], device), 0);
}

static void connect_it(struct bench *b, const char *device, const char *name)
{
	b->source.connected(b->source.userdata, device, name, clock_boot_usec());
}

static void send_it(struct bench *b, const char *device, enum characteristic c, const void *data,
		    size_t size)
{
	usec_t now = clock_boot_usec();
	const struct frame f = {.device = device,
				.characteristic = c,
				.boot_us = now,
				.read_us = now,
				.data = data,
				.size = size};

	b->source.frame(b->source.userdata, &f);
}

static void end_it(struct bench *b, const char *device, enum gap_reason why)
{
	b->source.disconnected(b->source.userdata, device, why, clock_boot_usec());
}

/* What the taker has got, as sniff understands it; *ret_dropped as the last packet has it. */
static void understand(struct bench *b, struct buf *ret, uint32_t *ret_dropped)
{
	struct sniff_handler handler = {.userdata = ret,
					.connected = on_connected,
					.frame = on_frame,
					.disconnected = on_disconnected};
	uint8_t data[4096];
	struct btsnoop_packet p;
	struct bytes bytes;
	struct sniff *s;
	uint32_t datalink;
	ssize_t n = recv(b->ends[0], data, sizeof(data), MSG_DONTWAIT);

	*ret_dropped = 0;
	assert_int_equal(n, BTSNOOP_HEADER_SIZE);
	bytes = bytes_make(data, (size_t)n);
	assert_int_equal(btsnoop_read_header(&bytes, &datalink), 0);
	assert_int_equal(sniff_new(NULL, &handler, &s), 0);
	while ((n = recv(b->ends[0], data, sizeof(data), MSG_DONTWAIT)) > 0) {
		bytes = bytes_make(data, (size_t)n);
		assert_int_equal(btsnoop_read_packet(&bytes, datalink, &p), 0);
		assert_int_equal(bytes_left(&bytes), 0);
		assert_true(p.wall_us <= clock_wall_usec() + 1000);
		assert_true(p.wall_us > clock_wall_usec() - 60 * (int64_t)USEC_PER_SEC);
		assert_int_equal(sniff_packet(s, &p, 1, 2), 0);
		*ret_dropped = p.dropped;
	}
	assert_int_equal(sniff_counts(s)->malformed + sniff_counts(s)->torn, 0);
	assert_int_equal(sniff_counts(s)->unnamed, 0);
	sniff_free(s);
	buf_u8(ret, 0);
}

static void expect_taken(struct bench *b, const char *expected)
{
	struct buf got = {0};
	uint32_t dropped;

	understand(b, &got, &dropped);
	assert_string_equal((char *)got.data, expected);
	assert_int_equal(dropped, 0);
	buf_done(&got);
}

static void expect_told(struct bench *b, const char *expected)
{
	buf_u8(&b->told, 0);
	assert_string_equal((char *)b->told.data, expected);
	buf_reset(&b->told);
}

/* --- */

static void passes_everything_on(void **state)
{
	struct bench *b = *state;
	const struct source_device device = {.address = A, .state = "streaming"};

	b->source.state(b->source.userdata, NULL);
	connect_it(b, A, "Strap");
	b->source.device(b->source.userdata, &device);
	send_it(b, A, CHARACTERISTIC_BATTERY_LEVEL, "\x63", 1);
	end_it(b, A, GAP_LINK_LOSS);
	b->source.forgotten(b->source.userdata, A);
	b->source.state(b->source.userdata, "gone");
	expect_told(b, "source there\n" A " there \"Strap\"\n" A " streaming\n" A " 2a19 63\n" A
		       " gone 1\n" A " forgotten\nsource gone\n");
}

/* Every characteristic, the empty value and the longest: what goes in comes out. */
static void is_understood(void **state)
{
	struct bench *b = *state;
	static const uint8_t longest[SYNTHESIS_VALUE_MAX] = {1, 2, 3};
	char *got;

	take(b, "");
	connect_it(b, A, "Strap");
	connect_it(b, B, "");
	for (int c = CHARACTERISTIC_UNKNOWN + 1; c < CHARACTERISTIC_MAX_; c++)
		send_it(b, A, (enum characteristic)c, &c, 1);
	send_it(b, B, CHARACTERISTIC_PMD_DATA, "", 0);
	send_it(b, B, CHARACTERISTIC_PMD_DATA, longest, sizeof(longest));
	end_it(b, A, GAP_DISCONNECTED);
	end_it(b, B, GAP_ADAPTER);
	buf_u8(&b->told, 0);
	got = strdup((char *)b->told.data);
	assert_non_null(got);
	expect_taken(b, got);
	free(got);
}

static void cuts_names_in_whole(void **state)
{
	struct bench *b = *state;

	take(b, "");
	connect_it(b, A, "A name of thirty letters, \xc3\xa9\xc3\xa9\xc3\xa9");
	expect_taken(b, A " there \"A name of thirty letters, \xc3\xa9\"\n");
}

/* Who comes late is told the links, and what was said once on them, and no stream again. */
static void tells_who_comes_late(void **state)
{
	struct bench *b = *state;

	connect_it(b, A, "Strap");
	connect_it(b, B, "Other");
	send_it(b, A, CHARACTERISTIC_MODEL_NUMBER, "H10", 3);
	send_it(b, A, CHARACTERISTIC_PMD_CONTROL_POINT, "\xf0\x01", 2);
	send_it(b, A, CHARACTERISTIC_PMD_CONTROL_POINT, "\xf0\x02", 2);
	send_it(b, A, CHARACTERISTIC_PMD_DATA, "\x01", 1);
	send_it(b, A, CHARACTERISTIC_HEART_RATE_MEASUREMENT, "\x02", 1);
	end_it(b, B, GAP_LINK_LOSS);
	take(b, "");
	send_it(b, A, CHARACTERISTIC_PMD_DATA, "\x03", 1);
	expect_taken(b, A " there \"Strap\"\n" A " 2a24 483130\n" A
			  " fb005c81-02e7-f387-1cad-8acd2d8df0c8 f001\n" A
			  " fb005c81-02e7-f387-1cad-8acd2d8df0c8 f002\n" A
			  " fb005c82-02e7-f387-1cad-8acd2d8df0c8 03\n");
}

/* A link may be older than the capture; a file begins with its first packet. */
static void dates_nothing_before_its_beginning(void **state)
{
	struct bench *b = *state;
	usec_t now = clock_boot_usec(), ago = MIN(now, 1000 * USEC_PER_SEC);
	const struct frame f = {.device = A,
				.characteristic = CHARACTERISTIC_MODEL_NUMBER,
				.boot_us = now - ago,
				.read_us = now - ago,
				.data = (const uint8_t *)"H10",
				.size = 3};

	b->source.connected(b->source.userdata, A, "Strap", now - ago);
	b->source.frame(b->source.userdata, &f);
	take(b, "");
	expect_taken(b, A " there \"Strap\"\n" A " 2a24 483130\n");
}

/* The last ones are kept, small ones, and of this link. */
static void keeps_a_few(void **state)
{
	struct bench *b = *state;
	static const uint8_t large[65];
	struct buf expected = {0};

	connect_it(b, A, "");
	send_it(b, A, CHARACTERISTIC_MODEL_NUMBER, "old", 3);
	end_it(b, A, GAP_LINK_LOSS);
	connect_it(b, A, "");
	send_it(b, A, CHARACTERISTIC_MODEL_NUMBER, large, sizeof(large));
	for (uint8_t i = 0; i < 30; i++)
		send_it(b, A, CHARACTERISTIC_PMD_CONTROL_POINT, &i, 1);
	take(b, "");
	buf_string(&expected, A " there \"\"\n");
	for (unsigned i = 6; i < 30; i++)
		buf_printf(&expected, A " fb005c81-02e7-f387-1cad-8acd2d8df0c8 %02x\n", i);
	buf_u8(&expected, 0);
	expect_taken(b, (char *)expected.data);
	buf_done(&expected);
}

static void takes_one_wearable(void **state)
{
	struct bench *b = *state;

	connect_it(b, A, "");
	take(b, B);
	connect_it(b, B, "");
	send_it(b, A, CHARACTERISTIC_BATTERY_LEVEL, "\x01", 1);
	send_it(b, B, CHARACTERISTIC_BATTERY_LEVEL, "\x02", 1);
	end_it(b, A, GAP_LINK_LOSS);
	end_it(b, B, GAP_SILENT);
	expect_taken(b, B " there \"\"\n" B " 2a19 02\n" B " gone 1\n");
}

/* Another source: the links of the last one end for takers, too. */
static void ends_links_with_their_source(void **state)
{
	struct bench *b = *state;
	struct source_handler next = collector(b);

	take(b, "");
	connect_it(b, A, "");
	b->source = capture_tee(b->capture, &next);
	connect_it(b, A, "");
	expect_taken(b, A " there \"\"\n" A " gone 1\n" A " there \"\"\n");
}

/* A frame without a link is nobody's; the collector hears it anyhow. */
static void needs_a_link(void **state)
{
	struct bench *b = *state;

	take(b, "");
	send_it(b, A, CHARACTERISTIC_BATTERY_LEVEL, "\x01", 1);
	expect_told(b, A " 2a19 01\n");
	connect_it(b, A, "");
	end_it(b, A, GAP_LINK_LOSS);
	send_it(b, A, CHARACTERISTIC_BATTERY_LEVEL, "\x01", 1);
	expect_taken(b, A " there \"\"\n" A " gone 1\n");
}

/* Who does not read: nothing waits, what is dropped is counted, and links are told until they are. */
static void drops_and_counts(void **state)
{
	struct bench *b = *state;
	struct sniff_handler handler = {.connected = on_connected,
					.frame = on_frame,
					.disconnected = on_disconnected};
	struct btsnoop_packet p = {0};
	struct buf got = {0};
	struct sniff *s;
	uint8_t data[4096];
	ssize_t n;

	take(b, "");
	connect_it(b, A, "Strap");
	for (unsigned i = 0; i < 20000; i++)
		send_it(b, A, CHARACTERISTIC_BATTERY_LEVEL, "\x01", 1);
	connect_it(b, B, "Late"); /* there is no room to tell */
	for (unsigned i = 0; i < 100; i++)
		assert_true(recv(b->ends[0], data, sizeof(data), MSG_DONTWAIT) > 0);
	send_it(b, B, CHARACTERISTIC_BATTERY_LEVEL, "\x07", 1);
	handler.userdata = &got;
	assert_int_equal(sniff_new(NULL, &handler, &s), 0);
	while ((n = recv(b->ends[0], data, sizeof(data), MSG_DONTWAIT)) > 0) {
		struct bytes bytes = bytes_make(data, (size_t)n);

		assert_int_equal(btsnoop_read_packet(&bytes, BTSNOOP_MONITOR, &p), 0);
		assert_int_equal(sniff_packet(s, &p, 1, 2), 0);
	}
	sniff_free(s);
	buf_u8(&got, 0);
	assert_true(p.dropped > 10000);
	assert_non_null(strstr((char *)got.data, B " there \"Late\"\n" B " 2a19 07\n"));
	buf_done(&got);
}

static void turn(struct bench *b)
{
	while (sd_event_run(b->event, 0) > 0)
		;
}

/* The other side has enough: a last note, then the end. */
static void ends_when_asked(void **state)
{
	struct bench *b = *state;
	uint8_t data[4096];
	struct btsnoop_packet p = {0};
	ssize_t n;

	take(b, "");
	turn(b);
	assert_int_equal(shutdown(b->ends[0], SHUT_WR), 0);
	turn(b);
	while ((n = recv(b->ends[0], data, sizeof(data), MSG_DONTWAIT)) > 0)
		if (n > BTSNOOP_HEADER_SIZE) {
			struct bytes bytes = bytes_make(data, (size_t)n);

			assert_int_equal(btsnoop_read_packet(&bytes, BTSNOOP_MONITOR, &p), 0);
		}
	assert_int_equal(n, 0);
	assert_int_equal(p.type, BTSNOOP_NOTE);
	connect_it(b, A, ""); /* to nobody */
}

static void survives_who_hangs_up(void **state)
{
	struct bench *b = *state;

	for (unsigned i = 0; i < 3 * CAPTURE_MAX; i++) {
		take(b, "");
		connect_it(b, A, "");
		assert_int_equal(close(b->ends[0]), 0);
		send_it(b, A, CHARACTERISTIC_BATTERY_LEVEL, "\x01", 1);
		turn(b);
	}
	b->ends[0] = -1;
}

static void refuses(void **state)
{
	struct bench *b = *state;
	int ends[CAPTURE_MAX + 1][2], pipes[2];

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(capture_add(b->capture, pipes[1], ""), CAPTURE_E_SOCKET);
	(void)close(pipes[0]);
	assert_int_equal(close(pipes[1]), 0); /* it was not taken */
	for (unsigned i = 0; i <= CAPTURE_MAX; i++) {
		pair(ends[i]);
		assert_int_equal(capture_add(b->capture, ends[i][1], ""),
				 i < CAPTURE_MAX ? 0 : CAPTURE_E_BUSY);
	}
	assert_int_equal(close(ends[CAPTURE_MAX][1]), 0);
	for (unsigned i = 0; i <= CAPTURE_MAX; i++)
		assert_int_equal(close(ends[i][0]), 0);
}

/* More wearables than places: the ones that are gone make room. */
static void makes_room(void **state)
{
	struct bench *b = *state;
	struct buf got = {0};
	char device[DEVICE_ADDRESS_SIZE];
	uint32_t dropped;

	for (unsigned i = 0; i < 200; i++) {
		(void)snprintf(device, sizeof(device), "00:00:00:00:00:%02x", i);
		connect_it(b, device, "");
		if (i < 190)
			end_it(b, device, GAP_LINK_LOSS);
	}
	take(b, "");
	understand(b, &got, &dropped);
	for (unsigned i = 180; i < 200; i++) {
		(void)snprintf(device, sizeof(device), "00:00:00:00:00:%02x", i);
		assert_int_equal(strstr((char *)got.data, device) != NULL, i >= 190);
	}
	buf_done(&got);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(passes_everything_on),
		TEST(is_understood),
		TEST(cuts_names_in_whole),
		TEST(tells_who_comes_late),
		TEST(dates_nothing_before_its_beginning),
		TEST(keeps_a_few),
		TEST(takes_one_wearable),
		TEST(ends_links_with_their_source),
		TEST(needs_a_link),
		TEST(drops_and_counts),
		TEST(ends_when_asked),
		TEST(survives_who_hangs_up),
		TEST(refuses),
		TEST(makes_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
