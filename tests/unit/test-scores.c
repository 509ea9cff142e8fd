/*
 * control/scores: which windows are shown, and that a target is called missed only when somebody should
 * look: not for an outage, a short time, a night that is over, or what waits within its day.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control/scores.h"
#include "store/rates.h"
#include "store/state.h"

#include "place.h"

#define HOUR (3600 * (int64_t)USEC_PER_SEC)
#define NOW  (INT64_C(480000) * HOUR + HOUR / 2)

struct bench {
	struct place *place;
	struct store *store;
	uint32_t sink;
	struct sink_state state;
	struct snapshot snapshot;
};

static struct bench make(void **state)
{
	struct bench b = {.place = *state, .store = open_store(*state)};

	assert_int_equal(register_sink(b.store, "main", true, false, &b.sink), 0);
	strcpy(b.state.name, "main");
	b.snapshot = (struct snapshot){
		.store = b.store, .n_sinks = 1, .running = true, .wall_us = NOW, .clock = synced};
	return b;
}

static void batches(struct bench *b, int64_t ago_h, unsigned yes, unsigned no, uint32_t latency_ms)
{
	const struct rates_batch good = {true, 1, latency_ms, latency_ms}, bad = {0};

	while (yes--)
		store_count_batch(b->store, b->sink, &good, NOW - ago_h * HOUR);
	while (no--)
		store_count_batch(b->store, b->sink, &bad, NOW - ago_h * HOUR);
}

static bool missed(struct bench *b, uint64_t waiting, const char *what)
{
	struct score_miss miss = {0};

	b->snapshot.sinks = &b->state;
	if (!scores_missed(&b->snapshot, b->sink, "main", waiting, &miss))
		return false;
	if (!strstr(miss.what, what))
		fail_msg("\"%s\" without \"%s\"", miss.what, what);
	assert_non_null(strstr(miss.consequence, "nothing is lost"));
	assert_true(miss.remedy[0]);
	return true;
}

static void a_poor_connection(void **state)
{
	struct bench b = make(state);

	batches(&b, 5, 150, 30, 100);
	assert_false(missed(&b, 0, ""));
	batches(&b, 0, 12, 7, 100);
	assert_false(missed(&b, 0, "")); /* one batch is missing in the hour */
	batches(&b, 0, 0, 1, 100);
	assert_true(missed(&b, 0, "only 60 % of what is sent to \"main\" gets through at once"));
	b.state.state = SINK_RETRYING;
	assert_true(missed(&b, 0, "only"));
	b.state.state = SINK_DOWN; /* that says it all */
	assert_false(missed(&b, 0, ""));
	b.state.state = SINK_HELD;
	assert_false(missed(&b, 0, ""));
	b.state.state = SINK_UP;
	b.snapshot.clock.synchronised = false;
	assert_false(missed(&b, 0, ""));
	b.snapshot.clock.synchronised = true;
	batches(&b, 0, 400, 0, 100); /* it has mended itself */
	assert_false(missed(&b, 0, ""));
	store_close(b.store);
}

static void a_bad_night_that_is_over(void **state)
{
	struct bench b = make(state);

	batches(&b, 6, 300, 200, 9000);
	batches(&b, 0, 100, 0, 100);
	assert_false(missed(&b, 0, ""));
	store_close(b.store);
}

static void a_slow_one(void **state)
{
	struct bench b = make(state);

	batches(&b, 3, 200, 0, 12000);
	batches(&b, 0, 19, 0, 8000);
	assert_false(missed(&b, 0, ""));
	batches(&b, 0, 1, 0, 8000);
	assert_true(missed(&b, 0, "reaches \"main\" only after 8 s"));
	batches(&b, 0, 200, 0, 1000);
	assert_false(missed(&b, 0, ""));
	store_close(b.store);
}

static void what_should_have_arrived(void **state)
{
	struct bench b = make(state);
	int64_t made = NOW - 26 * HOUR;

	rates_owe(b.store, b.sink, made, 1000);
	rates_recover(b.store, b.sink, made, 980, made + HOUR);
	assert_true(missed(&b, 50, "20 records for \"main\" should have arrived a day ago"));
	assert_false(missed(&b, 0, "")); /* in quarantine, and told there */
	rates_recover(b.store, b.sink, made, 10, NOW);
	assert_false(missed(&b, 10, "")); /* 99 % */
	rates_owe(b.store, b.sink, NOW - 20 * HOUR, 100000);
	assert_false(missed(&b, 50, "")); /* has time yet */
	store_close(b.store);
}

static void the_table(void **state)
{
	_cleanup_(tables_done) struct tables t = {0};
	struct bench b = make(state);
	const struct table *r;

	scores_put(&b.snapshot, &t);
	assert_int_equal(table_rows(tables_find(&t, "rates")), 0);
	tables_done(&t);
	t = (struct tables){0};
	batches(&b, 30, 3, 1, 200);
	batches(&b, 0, 1, 0, 400);
	scores_put(&b.snapshot, &t);
	assert_false(tables_failed(&t));
	r = tables_find(&t, "rates");
	assert_int_equal(table_rows(r), 3);
	assert_int_equal(table_get_u64(r, 0, "batches", 0), 1);
	assert_int_equal(table_get_u64(r, 1, "batches", 0), 1);
	assert_int_equal(table_get_u64(r, 2, "batches", 0), 5);
	assert_true(table_cell(r, 2, "at_once_percent")->real == 80.0);
	assert_int_equal(table_get_u64(r, 2, "latency_us", 0), 250000);
	assert_int_equal(table_get_u64(r, 2, "latency_max_us", 0), 400000);
	assert_int_equal(table_cell(r, 2, "recovered_percent")->type, CELL_NULL);
	store_close(b.store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(a_poor_connection), store_test(a_bad_night_that_is_over),
		store_test(a_slow_one),	       store_test(what_should_have_arrived),
		store_test(the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
