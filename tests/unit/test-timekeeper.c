/*
 * timekeeper: what waits for the clock gets an estimate after clock_wait and the right time when it
 * is synchronised, whoever is to send it is told, and what was learnt is noted once. By the clock of
 * this machine, which the config says to believe or not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"
#include "timekeeper.h"

struct bench {
	struct place *p;
	struct store *s;
	uint32_t stream, sink;
	sd_event *event;
	struct config config;
	struct timekeeper *t;
	unsigned kicks, wakes;
};

static void on_kick(void *userdata, bool wake, usec_t now)
{
	struct bench *b = userdata;

	b->kicks++;
	b->wakes += wake;
}

static void start(struct bench *b, const struct clock_state *clock)
{
	const struct timekeeper_handler handler = {b, on_kick};

	b->s = open_with(b->p, clock, NULL);
	b->stream = stream_of_kind(b->s, KIND_HEART_RATE);
	assert_int_equal(register_sink(b->s, "a", true, false, &b->sink), 0);
	assert_int_equal(timekeeper_new(b->event, b->s, &b->config, clock, &handler, &b->t), 0);
}

static void stop(struct bench *b)
{
	b->t = timekeeper_free(b->t);
	b->s = store_close(b->s);
}

static int begin(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	void *place;

	assert_non_null(b);
	assert_int_equal(set_up(&place), 0);
	b->p = place;
	b->config = (struct config){.trust_clock = CLOCK_TRUST_NO,
				    .clock_wait = 60 * USEC_PER_SEC,
				    .retention = 7 * 86400 * USEC_PER_SEC};
	assert_true(sd_event_new(&b->event) >= 0);
	*state = b;
	return 0;
}

static int end(void **state)
{
	struct bench *b = *state;
	void *place = b->p;

	stop(b);
	sd_event_unref(b->event);
	free(b);
	return tear_down(&place);
}

static int count_clk(void *userdata, const struct record *r)
{
	unsigned *n = userdata;

	n[r->clk]++;
	return 0;
}

/* How many of the records that have a time are right, and how many estimated. */
static void times_are(struct bench *b, unsigned utc, unsigned est)
{
	unsigned n[3] = {0};

	(void)store_read(b->s, b->stream, 1, UINT64_MAX, 0, count_clk, n); /* some may have none */
	assert_int_equal(n[CLK_UTC], utc);
	assert_int_equal(n[CLK_EST], est);
}

static size_t notes(struct bench *b)
{
	struct clock_note notes[8];

	return store_clocks_owed(b->s, b->sink, notes, ARRAY_SIZE(notes));
}

static void estimates_then_the_time(void **state)
{
	struct bench *b = *state;

	start(b, &unsynced);
	timekeeper_look(b->t, b->p->now);
	assert_int_equal(b->kicks, 0);
	(void)admit(b->p, b->s, b->stream, 60);
	b->p->now += b->config.clock_wait - USEC_PER_SEC;
	timekeeper_look(b->t, b->p->now);
	times_are(b, 0, 0); /* it waits */
	b->p->now += USEC_PER_SEC;
	timekeeper_look(b->t, b->p->now);
	times_are(b, 0, 1);
	assert_int_equal(b->kicks, 1);
	b->p->now++;
	(void)admit(b->p, b->s, b->stream, 61);
	assert_int_equal(notes(b), 0);
	assert_false(timekeeper_clock(b->t)->synchronised);

	b->config.trust_clock = CLOCK_TRUST_YES;
	timekeeper_look(b->t, b->p->now);
	times_are(b, 1, 1);
	assert_int_equal(b->wakes, 1);
	assert_int_equal(notes(b), 1);
	assert_true(timekeeper_clock(b->t)->synchronised);
	(void)admit(b->p, b->s, b->stream, 62);
	times_are(b, 2, 1);
	for (int i = 0; i < 100; i++) {
		b->p->now += 5 * USEC_PER_SEC;
		timekeeper_freshen(b->t, b->p->now);
		timekeeper_look(b->t, b->p->now);
	}
	assert_int_equal(b->wakes, 1);
	assert_int_equal(notes(b), 1);
}

static void a_restart_notes_nothing_anew(void **state)
{
	struct clock_note note;
	struct bench *b = *state;

	b->config.trust_clock = CLOCK_TRUST_YES;
	start(b, &unsynced);
	timekeeper_look(b->t, b->p->now);
	assert_true(store_clock_noted(b->s, &note));
	assert_int_equal(note.boot_us, b->p->now);
	assert_true(note.utc_us - note.boot_us - timekeeper_clock(b->t)->offset_us == 0);
	assert_int_equal(store_finish(b->s, b->p->now), 0);
	stop(b);
	start(b, &unsynced);
	timekeeper_look(b->t, b->p->now + 3600 * USEC_PER_SEC);
	assert_int_equal(notes(b), 1);
	timekeeper_look(b->t, b->p->now + 86400 * USEC_PER_SEC);
	assert_int_equal(notes(b), 2); /* a day gone by */
}

static void what_is_lost_goes_on(void **state)
{
	struct bench *b = *state;

	b->config.trust_clock = CLOCK_TRUST_YES;
	start(b, &unsynced);
	timekeeper_look(b->t, b->p->now);
	b->config.trust_clock = CLOCK_TRUST_NO;
	timekeeper_look(b->t, b->p->now);
	(void)admit(b->p, b->s, b->stream, 60);
	times_are(b, 1, 0);
	assert_false(timekeeper_clock(b->t)->synchronised);
	assert_true(timekeeper_watch(b->t)->ever);
	assert_int_equal(timekeeper_watch(b->t)->last_step_us, 0);
}

#define bench_test(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		bench_test(estimates_then_the_time),
		bench_test(a_restart_notes_nothing_anew),
		bench_test(what_is_lost_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
