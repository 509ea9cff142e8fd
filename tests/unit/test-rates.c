/*
 * store/rates: what is counted where, what windows see, that a share is one of the same records, and that
 * neither a crash, nor a clock that is not known or jumps, nor a year of hours spoils them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/rates.h"
#include "store/state.h"

#include "place.h"

#define HOUR (3600 * (int64_t)USEC_PER_SEC)
#define NOON (INT64_C(480000) * HOUR) /* a full hour */

static uint32_t sink;

static struct store *make(struct place *p)
{
	struct store *s = open_store(p);

	assert_int_equal(register_sink(s, "a", true, false, &sink), 0);
	return s;
}

static void yes(struct store *s, int64_t wall_us, uint32_t n, uint32_t mean_ms, uint32_t max_ms)
{
	const struct rates_batch batch = {true, n, mean_ms, max_ms};

	store_count_batch(s, sink, &batch, wall_us);
}

static void no(struct store *s, int64_t wall_us)
{
	const struct rates_batch batch = {0};

	store_count_batch(s, sink, &batch, wall_us);
}

static struct rates over(const struct store *s, int64_t wall_us, unsigned skip, unsigned n_hours)
{
	struct rates r;

	store_rates(s, sink, wall_us, skip, n_hours, &r);
	return r;
}

static void windows(void **state)
{
	struct store *s = make(*state);
	struct rates r;

	yes(s, NOON - 200 * HOUR, 1, 1, 1);
	yes(s, NOON - 20 * HOUR, 10, 100, 300);
	no(s, NOON - 20 * HOUR);
	yes(s, NOON - HOUR, 30, 200, 250);
	yes(s, NOON + 60, 10, 1000, 9000);
	r = over(s, NOON + 120, 0, 1);
	assert_int_equal(r.confirmed, 2);
	assert_int_equal(r.failed, 0);
	assert_int_equal(r.n_timed, 40);
	assert_int_equal(r.latency_ms, 30 * 200 + 10 * 1000);
	assert_int_equal(r.max_ms, 9000);
	r = over(s, NOON + 120, 0, 24);
	assert_int_equal(r.confirmed, 3);
	assert_int_equal(r.failed, 1);
	assert_int_equal(over(s, NOON, 0, 168).confirmed, 3);
	assert_int_equal(over(s, NOON, 10, 24).confirmed, 1);
	sink++; /* nobody */
	assert_int_equal(over(s, NOON, 0, 168).confirmed, 0);
	store_close(s);
}

/* Recovered is counted where the row was made, however late the receipt came. */
static void recovery(void **state)
{
	struct store *s = make(*state);
	struct rates r;

	rates_owe(s, sink, NOON, 100);
	r = over(s, NOON + HOUR, 0, 24);
	assert_int_equal(r.owed, 100);
	assert_int_equal(r.overdue, 0); /* still in time */
	rates_recover(s, sink, NOON, 60, NOON + 3 * HOUR);
	assert_int_equal(over(s, NOON + 3 * HOUR, 0, 1).recovered,
			 0); /* its hour is not in this window */
	assert_int_equal(over(s, NOON + 3 * HOUR, 0, 24).recovered, 60);
	assert_int_equal(over(s, NOON + 25 * HOUR, 0, 24).overdue,
			 0); /* the last of the hour are in time */
	r = over(s, NOON + 26 * HOUR, 24, 24);
	assert_int_equal(r.overdue, 40);
	rates_recover(s, sink, NOON, 30, NOON + 26 * HOUR);
	r = over(s, NOON + 26 * HOUR, 24, 24);
	assert_int_equal(r.recovered, 60);
	assert_int_equal(r.late, 30);
	assert_int_equal(r.overdue, 10);
	rates_recover(s, sink, NOON - 900 * HOUR, 5, NOON + 26 * HOUR); /* an hour nobody kept */
	assert_int_equal(over(s, NOON + 26 * HOUR, 0, 1).late, 5);
	store_close(s);
}

/* The store counts by itself what becomes a row and what of it is confirmed. */
static void rows_are_counted_once(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	uint32_t hr = stream_of_kind(s, KIND_HEART_RATE);
	struct taken taken = {.room = 256};
	struct cut_taker taker = taker_of(&taken);
	struct receipt_entry e = {.stream = hr};
	struct rates r;
	struct cut cut;

	for (unsigned i = 0; i < 8; i++)
		(void)admit(p, s, hr, 60);
	assert_int_equal(outbox_cut(s, sink, &taker, &cut), 0);
	assert_int_equal(cut.heard_later_us, (0 + 1 + 2 + 3 + 4 + 5 + 6 + 7) * 10000);
	assert_int_equal(outbox_split(s, &cut, p->now, "no"), 0);
	r = over(s, clock_wall_usec(), 0, 1);
	assert_int_equal(r.owed, 8);
	for (unsigned i = 0; i < 2; i++) { /* bisected, down to one that goes alone */
		assert_int_equal(outbox_claim(s, sink, p->now, &taker, &cut), 0);
		assert_int_equal(outbox_split(s, &cut, p->now, "no"), 0);
	}
	assert_int_equal(outbox_claim(s, sink, p->now, &taker, &cut), 0);
	assert_int_equal(outbox_defer(s, &cut, p->now, p->now, "no"), 0);
	assert_int_equal(over(s, clock_wall_usec(), 0, 1).owed, 8);
	for (unsigned i = 0; outbox_claim(s, sink, p->now, &taker, &cut) == 0; i++) {
		assert_true(i < 10);
		e.acked_through = cut.ranges[0].last_seq;
		assert_int_equal(outbox_confirm(s, &cut, &e, 1, p->now), 0);
	}
	r = over(s, clock_wall_usec(), 0, 1);
	assert_int_equal(r.owed, 8);
	assert_int_equal(r.recovered, 8);
	assert_balanced(s);
	store_close(s);
}

static void kept_across_runs(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	struct rates before, after;

	yes(s, NOON, 7, 20, 90);
	no(s, NOON);
	rates_owe(s, sink, NOON, 9);
	rates_recover(s, sink, NOON, 4, NOON + 1);
	rates_recover(s, sink, NOON, 2, NOON + 25 * HOUR);
	before = over(s, NOON + 1, 0, 1);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	s = make(p);
	after = over(s, NOON + 1, 0, 1);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(after.late, 2);
	store_close(s);
	assert_int_equal(store_look(p->state, p->run, &s), 0);
	after = over(s, NOON + 1, 0, 1);
	assert_memory_equal(&before, &after, sizeof(before));
	store_close(s);
}

/* Counting never makes a commit, and rides in one commit in lazy_commit only. */
static void rides_along(void **state)
{
	static const char sql[] = "SELECT coalesce(sum(length(counts)), 0) FROM hour";
	struct place *p = *state;
	struct store *s = make(p);

	assert_int_equal(store_commit(s, p->now), 0);
	assert_int_equal(store_commit_due(s), USEC_INFINITY);
	yes(s, NOON, 1, 1, 1);
	assert_int_equal(store_commit_due(s), USEC_INFINITY);
	assert_int_equal(ask_sql(p, sql), 0);
	assert_int_equal(store_commit(s, p->now), 0);
	assert_int_equal(ask_sql(p, sql), 40);
	yes(s, NOON + HOUR, 1, 1, 1);
	p->now += 299 * USEC_PER_SEC;
	assert_int_equal(store_commit(s, p->now), 0);
	assert_int_equal(ask_sql(p, sql), 40);
	p->now += USEC_PER_SEC;
	assert_int_equal(store_commit(s, p->now), 0);
	assert_int_equal(ask_sql(p, sql), 80);
	store_close(s);
}

/* Without a clock it is "lately"; with one it is counted into the hour that runs. Nothing is lost, or twice. */
static void without_a_clock(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);

	yes(s, NOON - 2 * HOUR, 1, 1, 1);
	store_set_clock(s, &unsynced);
	yes(s, 12345, 1, 1, 1); /* 1970 */
	rates_owe(s, sink, 12345, 3);
	assert_int_equal(over(s, 99999, 0, 1).confirmed, 1);
	assert_int_equal(over(s, NOON, 0, 24).confirmed, 2);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	s = make(p);
	assert_int_equal(over(s, NOON, 0, 24).confirmed, 2);
	yes(s, NOON, 1, 1, 1);
	assert_int_equal(over(s, NOON, 0, 24).confirmed, 3);
	assert_int_equal(over(s, NOON + 20 * HOUR, 0, 1).confirmed, 0); /* no longer lately */
	assert_int_equal(over(s, NOON, 0, 0).owed, 3);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	s = make(p);
	assert_int_equal(over(s, NOON, 0, 24).confirmed, 3);
	store_close(s);
}

static void a_clock_that_jumps(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);

	for (int64_t h = 0; h < 50; h++)
		yes(s, NOON + h * HOUR, 1, 1, 1);
	yes(s, NOON + 90000 * HOUR, 1, 1, 1); /* ten years ahead, for a moment */
	yes(s, NOON - 90000 * HOUR, 1, 1, 1);
	assert_int_equal(over(s, NOON + 49 * HOUR, 0, 168).confirmed, 50);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	s = make(p);
	assert_int_equal(over(s, NOON + 49 * HOUR, 0, 168).confirmed, 50);
	store_close(s);
}

static void eight_days_are_kept(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	size_t most = 0;

	for (int64_t h = 0; h < 1000; h++) {
		yes(s, NOON + h * HOUR, 1, 1, 1);
		most = MAX(most, s->rates.n);
		p->now += 300 * USEC_PER_SEC;
		assert_int_equal(store_commit(s, p->now), 0);
	}
	assert_int_equal(most, RATES_HOURS);
	assert_int_equal(ask_sql(p, "SELECT count(*) FROM hour"), RATES_HOURS);
	assert_int_equal(over(s, NOON + 999 * HOUR, 0, 168).confirmed, 169);
	store_close(s);
	s = make(p);
	assert_int_equal(over(s, NOON + 999 * HOUR, 0, 168).confirmed, 169);
	store_close(s);
}

static void what_makes_no_sense_is_left_out(void **state)
{
	static const uint8_t newer[40] = {2};
	struct store *s = make(*state);

	rates_load(s, 480000, sink, newer, sizeof(newer));
	rates_load(s, 480000, sink, newer, 3);
	rates_load(s, 480000, sink, NULL, 0);
	assert_int_equal(s->rates.n, 0);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(windows),
		store_test(recovery),
		store_test(rows_are_counted_once),
		store_test(kept_across_runs),
		store_test(rides_along),
		store_test(without_a_clock),
		store_test(a_clock_that_jumps),
		store_test(eight_days_are_kept),
		store_test(what_makes_no_sense_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
