/*
 * collect_recorder: a strap that is out of reach and records meanwhile. What it recorded fills its
 * gap, exactly and once: whatever is fetched twice, whenever the process dies, however the recording
 * is cut. Times of this test are seconds since p->now began; a beat lasts 800 ms.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collect.h"
#include "model/recorder.h"
#include "place.h"
#include "util/log.h"

#define STRAP  "a0:00:00:00:00:01"
#define SECOND ((int64_t)USEC_PER_SEC)

enum { BEATS_MAX_HERE = 20000, RR = 800 };

struct room {
	struct place *place;
	const struct clock_state *clock;
	struct store *store;
	struct config config;
	struct config_device device;
	struct collect *collect;
	struct source_handler source;
	struct recorder recorder;
	uint16_t rr[BEATS_MAX_HERE];
	unsigned faults;
};

static void admitted(void *userdata, usec_t now)
{
}

static void fault(void *userdata, int r)
{
	((struct room *)userdata)->faults++;
}

static void open_room(struct room *r, struct place *p)
{
	const struct collect_handler handler = {.userdata = r,
						.admitted = admitted,
						.fault = fault};

	log_init(LOG_TARGET_STDERR, 3);
	r->place = p;
	(void)snprintf(r->device.address, sizeof(r->device.address), STRAP);
	r->device.kinds = 1U << KIND_HEART_RATE;
	r->config.devices = &r->device;
	r->config.n_devices = 1;
	r->store = open_with(p, r->clock, NULL);
	assert_int_equal(collect_new(r->store, &r->config, GAP_DAEMON_DOWN, &handler, &r->collect),
			 0);
	r->source = collect_source(r->collect);
	r->source.connected(r->source.userdata, STRAP, "H10", p->now);
}

static void close_room(struct room *r)
{
	assert_balanced(r->store);
	r->collect = collect_free(r->collect);
	r->store = store_close(r->store);
}

static struct room *make_room(struct place *p)
{
	struct room *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->clock = &synced;
	for (size_t i = 0; i < BEATS_MAX_HERE; i++)
		r->rr[i] = RR;
	open_room(r, p);
	return r;
}

static void beat(struct room *r)
{
	static const uint8_t bytes[] = {0x00, 60};
	const struct frame f = {.device = STRAP,
				.characteristic = CHARACTERISTIC_HEART_RATE_MEASUREMENT,
				.boot_us = r->place->now,
				.read_us = r->place->now,
				.data = bytes,
				.size = sizeof(bytes)};

	r->source.frame(r->source.userdata, &f);
	r->place->now += USEC_PER_SEC;
}

static void beats(struct room *r, unsigned n)
{
	for (; n > 0; n--)
		beat(r);
}

static enum recorder_answer ask(struct room *r, enum recorder_question question)
{
	r->recorder.question = question;
	r->recorder.answer = 99;
	r->recorder.now = r->place->now;
	r->source.recorder(r->source.userdata, STRAP, &r->recorder);
	return r->recorder.answer;
}

/* Starts a recording now. */
static void start(struct room *r, char name[static RECORDER_NAME_SIZE])
{
	assert_int_equal(ask(r, RECORDER_MAY), RECORDER_YES);
	assert_int_equal(ask(r, RECORDER_NAME), RECORDER_YES);
	memcpy(name, r->recorder.name, RECORDER_NAME_SIZE);
}

static void away(struct room *r, unsigned seconds)
{
	r->source.disconnected(r->source.userdata, STRAP, GAP_LINK_LOSS, r->place->now);
	r->place->now += seconds * USEC_PER_SEC;
	r->source.connected(r->source.userdata, STRAP, "H10", r->place->now);
}

static enum recorder_answer take(struct room *r, const char *name, size_t n_rr, usec_t ended)
{
	r->recorder.recording = (struct recording){.rr_ms = r->rr, .n_rr = n_rr, .ended = ended};
	(void)snprintf(r->recorder.recording.name, RECORDER_NAME_SIZE, "%s", name);
	return ask(r, RECORDER_TAKE);
}

/* --- what came of it --- */

struct held {
	size_t n_live, n_filled, n_markers, n_rr;
	uint32_t announced;
	int64_t first_us, last_us, previous_us; /* of what was filled; boot time */
	bool in_order;
	uint16_t bpm;
};

static int note(void *userdata, const struct record *r)
{
	struct held *h = userdata;
	int64_t boot_us = record_wall_us(r) - synced.offset_us;

	if (r->type == RECORD_GAP && r->gap.reason == GAP_BACKFILLED) {
		h->n_markers++;
		h->announced += r->gap.n;
	}
	if (r->type != RECORD_HEART_RATE)
		return 0;
	if (r->heart_rate.n_rr == 0 && r->heart_rate.bpm == 60) {
		h->n_live++;
		return 0;
	}
	h->in_order &= h->n_filled == 0 || boot_us > h->previous_us;
	h->previous_us = boot_us;
	h->first_us = h->n_filled++ ? MIN(h->first_us, boot_us) : boot_us;
	h->last_us = MAX(h->last_us, boot_us);
	h->n_rr += r->heart_rate.n_rr;
	h->bpm = r->heart_rate.bpm;
	assert_int_equal(r->clk, CLK_UTC);
	return 0;
}

static struct held held(struct room *r)
{
	struct held h = {.in_order = true};
	uint32_t stream;

	assert_int_equal(register_stream(r->store, STRAP, KIND_HEART_RATE, "", &stream), 0);
	assert_int_equal(store_read(r->store, stream, 1, UINT64_MAX, 0, note, &h), 0);
	return h;
}

/* A minute of absence in a recording of a hundred seconds, begun ten seconds before it. */
static usec_t minute_away(struct room *r, char name[static RECORDER_NAME_SIZE])
{
	usec_t began;

	beats(r, 5);
	began = r->place->now;
	start(r, name);
	beats(r, 10);
	away(r, 60);
	beats(r, 30);
	return began;
}

enum { HUNDRED_SECONDS = 125 }; /* beats */

static void a_gap_is_filled(void **state)
{
	struct room *r = make_room(*state);
	char name[RECORDER_NAME_SIZE];
	int64_t began = (int64_t)minute_away(r, name);
	const struct device_status *status;
	struct held h;

	assert_int_equal(take(r, name, HUNDRED_SECONDS, r->place->now), RECORDER_YES);
	h = held(r);
	assert_int_equal(h.n_live, 45);
	assert_int_equal(h.n_markers, 1);
	assert_int_equal(h.announced, h.n_filled);
	/* Between the last value before, at 9 s of the recording, and the first after, at 70 s. */
	assert_in_range(h.first_us - began, 9.5 * SECOND, 11 * SECOND);
	assert_in_range(h.last_us - began, 68.5 * SECOND, 69.5 * SECOND);
	assert_in_range(h.n_rr, 73, 76);
	assert_in_range(h.n_filled, 58, 61);
	assert_int_equal(h.bpm, 75);
	assert_true(h.in_order);
	assert_int_equal(collect_devices(r->collect, &status), 1);
	assert_int_equal(status->backfilled, h.n_filled);
	assert_int_equal(status->gaps, 1);
	assert_int_equal(status->bpm, 60); /* what is shown is what is heard */
	/* The same once more: a link that broke before it was removed. */
	beat(r);
	assert_int_equal(take(r, name, HUNDRED_SECONDS, 0), RECORDER_YES);
	assert_int_equal(held(r).n_filled, h.n_filled);
	assert_int_equal(held(r).n_markers, 1);
	assert_int_equal(r->faults, 0);
	close_room(r);
	free(r);
}

static void rates_are_taken_too(void **state)
{
	struct room *r = make_room(*state);
	char name[RECORDER_NAME_SIZE];
	struct held h;

	(void)minute_away(r, name);
	r->rr[40] = 0; /* no contact */
	for (unsigned i = 0; i < 100; i++)
		r->rr[i] = r->rr[i] ? 71 : 0;
	r->recorder.recording = (struct recording){.bpm = r->rr, .n_bpm = 100, .interval_ms = 1000};
	memcpy(r->recorder.recording.name, name, sizeof(name));
	assert_int_equal(ask(r, RECORDER_TAKE), RECORDER_YES);
	h = held(r);
	assert_int_equal(h.n_filled, 59); /* 10 to 69 s, without one */
	assert_int_equal(h.n_rr, 0);
	assert_int_equal(h.bpm, 71);
	close_room(r);
	free(r);
}

/* The process dies after each record that it admits; the next one begins anew. */
static void killed_at_any_moment(void **state)
{
	enum { ENDED_BEFORE = 119 }; /* beats: 95 s, before the process dies */
	struct place *p = *state;
	struct room *r = make_room(p);
	char name[RECORDER_NAME_SIZE];
	struct held whole, h;
	size_t n = 0;

	(void)minute_away(r, name);
	assert_int_equal(take(r, name, ENDED_BEFORE, 0), RECORDER_YES);
	whole = held(r);
	close_room(r);
	for (unsigned cut = 0; cut <= 3; cut++) {
		char command[256];

		(void)snprintf(command, sizeof(command), "rm -rf %s/* %s/*", p->state, p->run);
		assert_int_equal(system(command), 0);
		p->now = 1000 * USEC_PER_SEC;
		memset(&r->recorder, 0, sizeof(r->recorder));
		open_room(r, p);
		(void)minute_away(r, name);
		/* It dies when the seconds of the first n beats are in the tail: whole ones. */
		n = 39 + cut * 20;
		assert_int_equal(take(r, name, n, 0), RECORDER_YES);
		r->collect = collect_free(r->collect);
		r->store = store_close(r->store); /* no commit, no clean stop */
		p->now += 20 * USEC_PER_SEC;
		open_room(r, p);
		beat(r);
		beat(r);
		assert_int_equal(take(r, name, ENDED_BEFORE, 0), RECORDER_YES);
		h = held(r);
		assert_int_equal(h.n_filled, whole.n_filled);
		assert_int_equal(h.n_rr, whole.n_rr);
		assert_int_equal(h.announced, h.n_filled);
		close_room(r);
	}
	free(r);
}

/* Another gap, the daemon's own, is in the recording: both are filled, and nothing between. */
static void two_gaps_and_a_restart(void **state)
{
	struct place *p = *state;
	struct room *r = make_room(p);
	char name[RECORDER_NAME_SIZE];
	int64_t began = (int64_t)minute_away(r, name);
	struct held h;

	close_room(r);
	p->now += 20 * USEC_PER_SEC; /* from 99 s, the last value, to 120 s */
	open_room(r, p);
	beats(r, 10);
	assert_int_equal(take(r, name, 163, p->now), RECORDER_YES); /* 130.4 s */
	h = held(r);
	assert_int_equal(h.n_markers, 2);
	assert_int_equal(h.announced, h.n_filled);
	assert_in_range(h.n_filled, 58 + 18, 61 + 21);
	assert_in_range(h.last_us - began, 118 * SECOND, 119.5 * SECOND);
	close_room(r);
	free(r);
}

static void a_long_absence_in_slices(void **state)
{
	struct room *r = make_room(*state);
	char name[RECORDER_NAME_SIZE];
	enum recorder_answer answer;
	unsigned n_slices = 1;
	struct held h;

	beats(r, 2);
	start(r, name);
	beats(r, 2);
	away(r, 3600);
	beats(r, 3);
	while ((answer = take(r, name, 4506, r->place->now)) == RECORDER_WAIT) {
		assert_int_equal(take(r, name, 4506, r->place->now), RECORDER_WAIT);
		assert_in_range(n_slices, 1, 5);
		beat(r);
		n_slices++;
	}
	assert_int_equal(answer, RECORDER_YES);
	h = held(r);
	assert_int_equal(n_slices, 4);
	assert_in_range(h.n_filled, 3597, 3601);
	assert_int_equal(h.announced, h.n_filled);
	assert_true(h.in_order);
	close_room(r);
	free(r);
}

/* Beats that were not found: what may have been elsewhere is not taken, and nothing that is a guess. */
static void missing_beats(void **state)
{
	struct room *r = make_room(*state);
	char name[RECORDER_NAME_SIZE];
	int64_t began = (int64_t)minute_away(r, name);
	struct held h;

	/* 92 s of beats in 100 s: those within 8 s of an end may lie outside. */
	assert_int_equal(take(r, name, 115, r->place->now), RECORDER_YES);
	h = held(r);
	assert_in_range(h.n_filled, 50, 53);
	assert_in_range(h.last_us - began, 60 * SECOND, 62 * SECOND);
	close_room(r);
	free(r);
	tear_down(state);
	set_up(state);
	r = make_room(*state);
	(void)minute_away(r, name);
	assert_int_equal(take(r, name, 100, r->place->now), RECORDER_YES); /* 80 s: too unsure */
	assert_int_equal(held(r).n_filled, 0);
	close_room(r);
	free(r);
}

static void names_of_others(void **state)
{
	static const char *const names[] = {
		"",
		"MY_TRAINING",
		"V1",
		"V100000000000604D5B0E2C0C0",
		"V1000000000006x4D5B0E2C0C0",
		"V10000000000060A24181E4000",
	};
	struct room *r = make_room(*state);
	char name[RECORDER_NAME_SIZE], *time = name + 10;

	(void)minute_away(r, name);
	assert_int_equal(strlen(name), 26);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(take(r, names[i], HUNDRED_SECONDS, 0), RECORDER_YES);
	/* Another stream's, of this time: another hub, or another person. */
	name[4] = name[4] == '0' ? '1' : '0';
	assert_int_equal(take(r, name, HUNDRED_SECONDS, 0), RECORDER_YES);
	assert_int_equal(held(r).n_filled, 0);
	assert_int_equal(ask(r, RECORDER_NAME), RECORDER_YES);
	memcpy(name, r->recorder.name, sizeof(name));
	/* Ours, of another time: the future, the year 1970. */
	memcpy(time, "7FFFFFFFFFFFFFFF", 16);
	assert_int_equal(take(r, name, HUNDRED_SECONDS, 0), RECORDER_YES);
	memcpy(time, "FFFFFFFFFFFFFFFF", 16);
	assert_int_equal(take(r, name, HUNDRED_SECONDS, 0), RECORDER_YES);
	memcpy(time, "0000000000000001", 16);
	assert_int_equal(take(r, name, HUNDRED_SECONDS, 0), RECORDER_YES);
	assert_int_equal(held(r).n_filled, 0);
	close_room(r);
	free(r);
}

/* Handed to somebody else meanwhile: what one heart did is not another's. */
static void another_subject(void **state)
{
	struct room *r = make_room(*state);
	char name[RECORDER_NAME_SIZE], subject[] = "u-2";

	(void)minute_away(r, name);
	r->device.subject = subject;
	collect_set_config(r->collect, &r->config);
	beats(r, 2);
	assert_int_equal(take(r, name, HUNDRED_SECONDS, 0), RECORDER_YES);
	assert_int_equal(held(r).n_filled, 0);
	close_room(r);
	free(r);
}

static void when_it_is_not_the_time(void **state)
{
	struct room *r = make_room(*state);
	char name[RECORDER_NAME_SIZE];

	close_room(r);
	r->clock = &unsynced;
	open_room(r, *state);
	beat(r);
	assert_int_equal(ask(r, RECORDER_MAY), RECORDER_NO);
	assert_string_equal(r->recorder.why, "its memory waits for the clock of this hub");
	store_set_clock(r->store, &synced);
	assert_int_equal(store_resolve_clock(r->store, CLK_UTC, r->place->now, synced.offset_us),
			 0);
	assert_int_equal(ask(r, RECORDER_MAY), RECORDER_YES);
	close_room(r);
	r->clock = &synced;
	open_room(r, *state);
	assert_int_equal(ask(r, RECORDER_MAY), RECORDER_WAIT); /* nothing was heard yet */
	(void)minute_away(r, name);
	r->place->now += 60 * USEC_PER_SEC; /* silent */
	assert_int_equal(ask(r, RECORDER_NAME), RECORDER_WAIT);
	assert_int_equal(take(r, name, HUNDRED_SECONDS, 0), RECORDER_WAIT);
	beat(r);
	assert_int_equal(take(r, name, HUNDRED_SECONDS, 0), RECORDER_YES);
	assert_true(held(r).n_filled > 0);
	close_room(r);
	free(r);
}

static void no_room_keeps_it_there(void **state)
{
	struct room *r = make_room(*state);
	struct store_options o = usual_options(r->place);
	char name[RECORDER_NAME_SIZE];

	(void)minute_away(r, name);
	o.max_size = 1;
	store_set_options(r->store, &o);
	assert_int_equal(store_commit(r->store, r->place->now), 0);
	assert_int_equal(take(r, name, HUNDRED_SECONDS, 0), RECORDER_NO);
	assert_string_equal(r->recorder.why, "the card has no room for what it recorded");
	o.max_size = 0;
	store_set_options(r->store, &o);
	assert_int_equal(store_commit(r->store, r->place->now), 0);
	beat(r);
	assert_int_equal(take(r, name, HUNDRED_SECONDS, 0), RECORDER_YES);
	assert_in_range(held(r).n_filled, 58, 61);
	close_room(r);
	free(r);
}

static void what_is_shown(void **state)
{
	struct room *r = make_room(*state);
	const struct device_status *status;

	beat(r);
	(void)collect_devices(r->collect, &status);
	r->recorder.phase = RECORDER_FETCHING;
	r->recorder.percent = 34;
	(void)ask(r, RECORDER_NOTHING);
	assert_string_equal(status->memory, "fetching 34 %");
	r->recorder.phase = RECORDER_RECORDING;
	(void)ask(r, RECORDER_NOTHING);
	assert_string_equal(status->memory, "recording");
	r->recorder.phase = RECORDER_IDLE;
	(void)snprintf(r->recorder.why, sizeof(r->recorder.why), "it did not list its files");
	(void)ask(r, RECORDER_NOTHING);
	assert_string_equal(status->memory, "it did not list its files");
	away(r, 1);
	assert_string_equal(status->memory, "");
	close_room(r);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(a_gap_is_filled),
		store_test(rates_are_taken_too),
		store_test(killed_at_any_moment),
		store_test(two_gaps_and_a_restart),
		store_test(a_long_absence_in_slices),
		store_test(missing_beats),
		store_test(names_of_others),
		store_test(another_subject),
		store_test(when_it_is_not_the_time),
		store_test(no_room_keeps_it_there),
		store_test(what_is_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
