/*
 * clock_watch: which changes of the clock are a step, which are noise, which are worth a note; and
 * that no clock, however odd, is worth a storm of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clock_watch.h"

#define NOW    INT64_C(1763798400000000)
#define TICK   (5 * USEC_PER_SEC)
#define MINUTE (60 * USEC_PER_SEC)
#define DAY    (24 * 60 * MINUTE)

static struct clock_news look(struct clock_watch *w, usec_t now, bool synchronised,
			      int64_t offset_us)
{
	struct clock_look l = {.clock = {.synchronised = synchronised, .offset_us = offset_us},
			       .now = now};

	return clock_watch_look(w, &l);
}

static struct clock_watch synchronised_at(usec_t now)
{
	struct clock_watch w = {0};

	assert_true(look(&w, now, true, NOW).note);
	return w;
}

static void from_1970_to_now(void **state)
{
	struct clock_watch w = {0};
	struct clock_news n;
	usec_t now;

	for (now = TICK; now < 10 * MINUTE; now += TICK) {
		n = look(&w, now, false, now > MINUTE ? 7000000 : 5000);
		assert_false(n.note || n.first || n.step_us || n.lost);
	}
	n = look(&w, now, true, NOW);
	assert_true(n.first && n.note);
	assert_int_equal(n.step_us, 0); /* this is how every boot begins */
	n = look(&w, now + TICK, true, NOW);
	assert_false(n.first || n.note);
}

static void steps(void **state)
{
	static const struct {
		int64_t us;
		bool note, told;
	} cases[] = {
		{3600000000, true, true}, {-3600000000, true, true}, {100000, true, true},
		{-100000, true, true},	  {99000, true, false},	     {16000, true, false},
		{-16000, true, false},	  {14000, false, false},     {3, false, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct clock_watch w = synchronised_at(MINUTE);
		struct clock_news n = look(&w, MINUTE + TICK, true, NOW + cases[i].us);

		assert_int_equal(n.note, cases[i].note);
		assert_int_equal(n.step_us, cases[i].told ? cases[i].us : 0);
		assert_int_equal(w.last_step_us, n.step_us);
		if (cases[i].told)
			assert_int_equal(w.last_step_at, MINUTE + TICK);
		n = look(&w, MINUTE + 2 * TICK, true, NOW + cases[i].us);
		assert_false(n.note || n.step_us);
	}
}

static void every_offset_that_moved_is_looked_into(void **state)
{
	struct clock_watch w = synchronised_at(MINUTE);

	assert_false(clock_watch_differs(&w, NOW + 50));
	assert_true(clock_watch_differs(&w, NOW + 200));
	assert_true(clock_watch_differs(&w, NOW - 200));
	(void)look(&w, MINUTE, true, NOW - 200);
	assert_false(clock_watch_differs(&w, NOW - 200));
}

/* Whatever slews, a leap second smeared over a day included: no storm. */
static void a_slow_drift_is_noted_once_an_hour(void **state)
{
	static const int ppms[] = {12, 500, -500};

	for (size_t i = 0; i < ARRAY_SIZE(ppms); i++) {
		struct clock_watch w = synchronised_at(MINUTE);
		unsigned notes = 0;

		for (usec_t t = TICK; t <= DAY; t += TICK) {
			struct clock_news n =
				look(&w, MINUTE + t, true, NOW + (int64_t)t * ppms[i] / 1000000);

			assert_int_equal(n.step_us, 0);
			notes += n.note;
		}
		assert_in_range(notes, 23, 25);
	}
}

static void a_quiet_day_is_one_note(void **state)
{
	struct clock_watch w = synchronised_at(MINUTE);
	unsigned notes = 0;

	for (usec_t t = TICK; t <= 10 * DAY; t += TICK)
		notes += look(&w, MINUTE + t, true, NOW + (int64_t)(t / TICK % 100) * 50).note;
	assert_int_equal(notes, 10);
}

/* Two programs that set the clock against each other, each second, for an hour. */
static void a_storm_is_a_note_a_minute(void **state)
{
	struct clock_watch w = synchronised_at(MINUTE);
	unsigned notes = 0, told = 0;
	struct clock_news n;
	usec_t t;

	for (t = USEC_PER_SEC; t <= 60 * MINUTE; t += USEC_PER_SEC) {
		n = look(&w, MINUTE + t, true, t / USEC_PER_SEC % 2 ? NOW + 3600000000 : NOW);
		notes += n.note;
		told += n.step_us != 0;
	}
	assert_in_range(notes, 60, 68);
	assert_in_range(told, 60, 68);
	/* What the last of them left untold is told when there is room again. */
	n = look(&w, MINUTE + t, true, NOW + 5000000);
	notes = n.note;
	for (usec_t later = TICK; later <= 2 * MINUTE; later += TICK)
		notes += look(&w, MINUTE + t + later, true, NOW + 5000000).note;
	assert_int_equal(notes, 1);
	assert_int_equal(w.noted_offset_us, NOW + 5000000);
}

/* Set by hand while nothing disciplines it, and put right again: neither was a step. */
static void what_is_not_synchronised_is_not_believed(void **state)
{
	struct clock_watch w = synchronised_at(MINUTE);
	struct clock_news n = look(&w, 2 * MINUTE, false, NOW + 3600000000);

	assert_true(n.lost);
	assert_false(n.note || n.step_us);
	assert_false(look(&w, 3 * MINUTE, false, NOW + 3600000000).lost); /* said once */
	n = look(&w, 4 * MINUTE, true, NOW + 20000);
	assert_true(n.again);
	assert_false(n.first || n.note || n.step_us); /* within what a crystal drifts meanwhile */
	(void)look(&w, 5 * MINUTE, false, NOW);
	n = look(&w, 6 * MINUTE, true, NOW + 3600000000);
	assert_int_equal(n.step_us, 3600000000 - 20000);
}

static void sleep_is_noted(void **state)
{
	struct clock_watch w = {0};
	struct clock_look l = {.clock = {.synchronised = true, .offset_us = NOW},
			       .now = MINUTE,
			       .slept_us = 3 * DAY}; /* before this run */
	struct clock_news n = clock_watch_look(&w, &l);

	assert_int_equal(n.slept_us, 0);
	l.now += TICK;
	l.slept_us += 300000;
	assert_false(clock_watch_look(&w, &l).note);
	l.now += 8 * 60 * MINUTE;
	l.slept_us += 8 * 60 * MINUTE;
	n = clock_watch_look(&w, &l);
	assert_true(n.note);
	assert_int_equal(n.slept_us, 8 * 60 * MINUTE);
	assert_int_equal(n.step_us, 0); /* the offset stays */
}

/* A daemon that is started anew does not note again what it has noted in this boot. */
static void a_restart_is_no_news(void **state)
{
	struct clock_watch w = {0};
	struct clock_news n;

	clock_watch_know(&w, MINUTE, NOW);
	assert_true(w.ever);
	n = look(&w, 10 * MINUTE, true, NOW + 1000);
	assert_true(n.first);
	assert_false(n.note);
	w = (struct clock_watch){0};
	clock_watch_know(&w, MINUTE, NOW);
	n = look(&w, 10 * MINUTE, true, NOW + 500000); /* set while nobody looked */
	assert_true(n.first && n.note);
	assert_int_equal(n.step_us, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_1970_to_now),
		cmocka_unit_test(steps),
		cmocka_unit_test(every_offset_that_moved_is_looked_into),
		cmocka_unit_test(a_slow_drift_is_noted_once_an_hour),
		cmocka_unit_test(a_quiet_day_is_one_note),
		cmocka_unit_test(a_storm_is_a_note_a_minute),
		cmocka_unit_test(what_is_not_synchronised_is_not_believed),
		cmocka_unit_test(sleep_is_noted),
		cmocka_unit_test(a_restart_is_no_news),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
