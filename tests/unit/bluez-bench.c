/* The handler: what it asserts in passing is what collect.c relies on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bluez-bench.h"
#include "decode/protocol.h"
#include "fake-bus.h"
#include "told-time.h"
#include "util/log.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static struct fake_bus bus;

/* --- what is told ------------------------------------------------------------------------------ */

struct seen *bench_seen(struct bench *b, const char *address)
{
	size_t i = 0;

	while (b->seen[i].address[0] && !streq(b->seen[i].address, address))
		assert_true(++i < ARRAY_SIZE(b->seen));
	(void)snprintf(b->seen[i].address, sizeof(b->seen[i].address), "%s", address);
	return &b->seen[i];
}

static void on_connected(void *userdata, const char *device, const char *name, usec_t boot_us)
{
	struct seen *s = bench_seen(userdata, device);

	assert_false(s->connected);
	assert_true(boot_us <= told_time());
	s->connected = true;
	s->n_connected++;
	(void)snprintf(s->name, sizeof(s->name), "%s", name);
}

static void on_frame(void *userdata, const struct frame *f)
{
	struct seen *s = bench_seen(userdata, f->device);

	assert_true(s->connected);
	assert_true(f->size <= FRAME_MAX && f->boot_us <= f->read_us && f->read_us <= told_time());
	s->n_frames[f->characteristic]++;
	memcpy(s->last, f->data, f->size);
	s->n_last = f->size;
}

static void on_disconnected(void *userdata, const char *device, enum gap_reason why, usec_t boot_us)
{
	struct seen *s = bench_seen(userdata, device);

	assert_true(s->connected);
	s->connected = false;
	s->n_disconnected++;
	s->gap = why;
}

static void on_device(void *userdata, const struct source_device *d)
{
	struct seen *s = bench_seen(userdata, d->address);

	(void)snprintf(s->name, sizeof(s->name), "%s", d->name);
	(void)snprintf(s->state, sizeof(s->state), "%s", d->state);
	(void)snprintf(s->why, sizeof(s->why), "%s", d->why);
	(void)snprintf(s->offers, sizeof(s->offers), "%s", d->offers);
	for (size_t i = 0; i < RUNG_MAX_; i++)
		assert_true(d->rungs[i] >= s->rungs[i]);
	memcpy(s->rungs, d->rungs, sizeof(s->rungs));
	s->paired = d->paired;
	s->forgotten = false;
}

static void on_forgotten(void *userdata, const char *device)
{
	struct seen *s = bench_seen(userdata, device);

	assert_false(s->connected);
	s->forgotten = true;
}

static void on_state(void *userdata, const char *problem)
{
	struct bench *b = userdata;

	b->n_states++;
	(void)snprintf(b->problem, sizeof(b->problem), "%s", problem ? problem : "");
}

/* --- the bench --------------------------------------------------------------------------------- */

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	assert_int_equal(closedir(d), 0);
	return n;
}

int bench_group_set_up(void **state)
{
	(void)alarm(120); /* whatever waits for ever: that is a fault, too */
	log_init(LOG_TARGET_STDERR, getenv("VITALD_TEST_LOG") ? LOG_DEBUG : LOG_ERR);
	fake_bus_start(&bus);
	return 0;
}

int bench_group_tear_down(void **state)
{
	fake_bus_stop(&bus);
	return 0;
}

int bench_set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	(void)snprintf(b->dir, sizeof(b->dir), "/tmp/test-bluez-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	(void)snprintf(b->recover, sizeof(b->recover), "%s/recover", b->dir);
	assert_true(sd_event_new(&b->event) >= 0);
	b->fake = fake_bluez_new(b->event);
	b->hci = fake_bluez_plug(b->fake, 0, BENCH_ADAPTER);
	fake_bluez_settle(b->fake);
	b->n_fds = count_fds();
	*state = b;
	return 0;
}

static void configure(struct bench *b, const char *text)
{
	struct buf problems = {0}, whole = {0};

	buf_printf(&whole, "[daemon]\nruntime_dir=%s\n[source]\ntype=bluez\n%s", b->dir, text);
	if (config_parse("test", whole.data, whole.size, &problems, &b->config) != 0)
		fail_msg("%.*s", (int)problems.size, (const char *)problems.data);
	buf_done(&problems);
	buf_done(&whole);
}

void bench_start(struct bench *b, const char *text)
{
	const struct source_handler handler = {.userdata = b,
					       .connected = on_connected,
					       .frame = on_frame,
					       .disconnected = on_disconnected,
					       .device = on_device,
					       .forgotten = on_forgotten,
					       .state = on_state};

	configure(b, text);
	assert_int_equal(source_new(b->event, b->config, protocol_profiles(), &handler, &b->source),
			 0);
	assert_non_null(b->source);
	assert_int_equal(b->n_states, 0);
	while (!*fake_bluez_client(b->fake))
		assert_true(sd_event_run(b->event, UINT64_MAX) >= 0);
	fake_bluez_settle(b->fake);
}

void bench_configure(struct bench *b, const char *text)
{
	struct config *before = b->config;

	configure(b, text);
	assert_false(source_differs(before, b->config));
	source_set_config(b->source, b->config);
	config_free(before);
	fake_bluez_settle(b->fake);
}

struct stopping {
	struct source *source;
	atomic_bool done;
};

static void *stop_source(void *userdata)
{
	struct stopping *s = userdata;

	s->source = source_free(s->source);
	s->done = true;
	return NULL;
}

/* It waits for answers to its last words, and would wait for those of its own thread in vain. */
void bench_stop(struct bench *b)
{
	struct stopping s = {.source = TAKE(b->source)};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, stop_source, &s), 0);
	fake_bluez_serve(b->fake, &s.done);
	assert_int_equal(pthread_join(thread, NULL), 0);
	while (*fake_bluez_client(b->fake))
		assert_true(sd_event_run(b->event, UINT64_MAX) >= 0);
	fake_bluez_settle(b->fake);
}

void bench_listen(struct bench *b)
{
	b->log = hearing_begin();
	b->listens = true;
	b->n_fds += 2;
	log_init(LOG_TARGET_STDERR, LOG_NOTICE);
}

static void stop_listening(struct bench *b)
{
	if (!b->listens)
		return;
	log_init(LOG_TARGET_STDERR, LOG_ERR);
	(void)hearing_end(&b->log);
	b->n_fds -= 2;
	b->listens = false;
}

unsigned bench_heard(const struct bench *b, const char *text)
{
	return hearing_count(hearing_so_far(&b->log), text);
}

int bench_tear_down(void **state)
{
	struct bench *b = *state;
	unsigned n_rash = b->stormy ? 0 : bench_calls(b, "Rash"), n_left = 0;

	stop_listening(b);
	if (b->source) {
		bench_stop(b);
		n_left = count_fds() - b->n_fds;
	}
	config_free(b->config);
	b->fake = fake_bluez_free(b->fake);
	b->event = sd_event_unref(b->event);
	(void)unlink(b->recover);
	assert_int_equal(rmdir(b->dir), 0);
	free(b);
	assert_int_equal(n_rash, 0);
	assert_int_equal(n_left, 0);
	return 0;
}

void bench_restart_bus(struct bench *b)
{
	b->fake = fake_bluez_free(b->fake);
	fake_bus_stop(&bus);
	fake_bus_start(&bus);
	b->fake = fake_bluez_new(b->event);
	b->hci = fake_bluez_plug(b->fake, 0, BENCH_ADAPTER);
}

struct fake_strap *bench_strap(struct bench *b, const char *address)
{
	return fake_bluez_strap(b->fake, b->hci, address, "Polar H10 0A1B2C3D");
}

/* --- waiting ----------------------------------------------------------------------------------- */

struct wish {
	struct bench *b;
	const char *address, *text;
	unsigned n;
};

static bool is_connected(void *userdata)
{
	struct wish *w = userdata;

	return bench_seen(w->b, w->address)->connected;
}

static bool is_gone(void *userdata)
{
	struct wish *w = userdata;

	return bench_seen(w->b, w->address)->n_disconnected >= w->n;
}

static bool is_state(void *userdata)
{
	struct wish *w = userdata;

	return streq(bench_seen(w->b, w->address)->state, w->text);
}

static bool is_called(void *userdata)
{
	struct wish *w = userdata;

	return bench_calls(w->b, w->text) >= w->n;
}

static bool is_climbed(void *userdata)
{
	struct wish *w = userdata;

	return bench_seen(w->b, w->address)->rungs[w->n] > 0;
}

static bool is_problem(void *userdata)
{
	struct wish *w = userdata;

	return w->b->n_states > 0 &&
	       (*w->text ? strstr(w->b->problem, w->text) != NULL : w->b->problem[0] == '\0');
}

static bool is_recover(void *userdata)
{
	struct wish *w = userdata;

	return access(w->b->recover, F_OK) == 0;
}

static void await(bool (*condition)(void *userdata), struct wish wish, unsigned seconds)
{
	const struct seen *s = wish.address ? bench_seen(wish.b, wish.address) : NULL;

	if (fake_bluez_until(wish.b->fake, condition, &wish, seconds * USEC_PER_SEC))
		return;
	fail_msg("after %u s: no %s; %s %s: %s", seconds, wish.text, s ? s->address : "source",
		 s ? s->state : "", s ? s->why : wish.b->problem);
}

void bench_await_connected(struct bench *b, const char *address, unsigned seconds)
{
	await(is_connected, (struct wish){b, address, "connection", 0}, seconds);
}

void bench_await_gone(struct bench *b, const char *address, unsigned n, unsigned seconds)
{
	await(is_gone, (struct wish){b, address, "end of its link", n}, seconds);
}

void bench_await_state(struct bench *b, const char *address, const char *state, unsigned seconds)
{
	await(is_state, (struct wish){b, address, state, 0}, seconds);
}

void bench_await_calls(struct bench *b, const char *method, unsigned n, unsigned seconds)
{
	await(is_called, (struct wish){b, NULL, method, n}, seconds);
}

void bench_await_rung(struct bench *b, const char *address, enum rung rung, unsigned seconds)
{
	await(is_climbed, (struct wish){b, address, rung_name(rung), rung}, seconds);
}

void bench_await_problem(struct bench *b, const char *part, unsigned seconds)
{
	await(is_problem, (struct wish){b, NULL, part, 0}, seconds);
}

void bench_await_recover(struct bench *b, unsigned seconds)
{
	await(is_recover, (struct wish){b, NULL, "request to restart", 0}, seconds);
}

static bool is_never(void *userdata)
{
	return false;
}

void bench_pass(struct bench *b, unsigned seconds, struct fake_strap *const *beating, size_t n)
{
	for (unsigned i = 0; i < seconds; i++) {
		for (size_t k = 0; k < n; k++)
			bench_beat(b, beating[k], 60);
		assert_false(fake_bluez_until(b->fake, is_never, NULL, USEC_PER_SEC));
	}
}

void bench_skip(struct bench *b, unsigned seconds)
{
	told_time_set(told_time() + seconds * USEC_PER_SEC);
	fake_bluez_settle(b->fake);
}

unsigned bench_calls(const struct bench *b, const char *method)
{
	return fake_bluez_calls(b->fake, method, NULL);
}

void bench_beat(struct bench *b, struct fake_strap *s, uint8_t bpm)
{
	static const uint8_t ecg[13] = {0};
	const uint8_t beat[] = {0x10, bpm, 0x00, 0x04};

	/* who is not listened to goes on all the same */
	(void)fake_bluez_notify(b->fake, s, CHARACTERISTIC_PMD_DATA, ecg, sizeof(ecg));
	(void)fake_bluez_notify(b->fake, s, CHARACTERISTIC_HEART_RATE_MEASUREMENT, beat,
				sizeof(beat));
	fake_bluez_settle(b->fake);
}
