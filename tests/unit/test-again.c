/*
 * store/again: the count of a dry run is what the rewind then does, to the record, whatever lies between
 * (rows, quarantine, deleted history, what is not confirmed yet); and a time is found in the log and the tail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/again.h"

#include "place.h"

static uint32_t hr, sink;
static struct taken taken = {.room = 256};
static struct cut cut;

static struct store *make(struct place *p)
{
	struct store *s = open_store(p);

	hr = stream_of_kind(s, KIND_HEART_RATE);
	assert_int_equal(register_sink(s, "a", true, false, &sink), 0);
	return s;
}

static void hear(struct place *p, struct store *s, uint32_t stream, unsigned n)
{
	while (n--)
		(void)admit(p, s, stream, 60);
}

static void cut_all(struct store *s)
{
	struct cut_taker taker = taker_of(&taken);

	assert_int_equal(outbox_cut(s, sink, &taker, &cut), 0);
}

static void confirm_all(struct place *p, struct store *s, uint64_t rejected)
{
	struct rejection bad = {.seq = rejected, .code = "bad"};
	struct receipt_entry e[4] = {0};
	size_t n;

	cut_all(s);
	n = cut.n_ranges;
	for (size_t i = 0; i < n; i++)
		e[i] = (struct receipt_entry){.stream = cut.ranges[i].stream,
					      .acked_through = cut.ranges[i].last_seq,
					      .rejected = &bad,
					      .n_rejected = rejected ? 1 : 0};
	assert_int_equal(outbox_confirm(s, &cut, e, n, p->now), 0);
}

static uint64_t count(struct store *s, uint64_t after)
{
	uint64_t n = 12345;

	assert_int_equal(again_count(s, sink, hr, after, &n), 0);
	return n;
}

/* The dry run of each place, and then the real one. */
static void same_as_the_rewind(struct place *p, struct store *s, uint64_t after)
{
	struct cursor_status before, then;
	uint64_t would = count(s, after), did;

	assert_int_equal(would, count(s, after)); /* it changed nothing */
	store_cursor_status(s, sink, hr, &before);
	assert_int_equal(outbox_rewind(s, sink, hr, after, &did), 0);
	assert_int_equal(would, did);
	store_cursor_status(s, sink, hr, &then);
	assert_int_equal(then.cursor, before.cursor);
	assert_int_equal(then.confirmed + did, before.confirmed);
	assert_int_equal(count(s, after), 0); /* it waits already */
	assert_balanced(s);
}

static void the_dry_run_is_right(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	uint64_t first = seq_make(1, 1);

	assert_int_equal(count(s, 0), 0); /* nothing there */
	hear(p, s, hr, 10);
	assert_int_equal(count(s, 0), 0); /* nothing confirmed */
	confirm_all(p, s, first + 4);
	assert_int_equal(count(s, 0), 9);
	hear(p, s, hr, 5);
	cut_all(s);
	assert_int_equal(outbox_defer(s, &cut, p->now, 0, "no"), 0); /* a row */
	hear(p, s, hr, 3);
	confirm_all(p, s, 0);
	hear(p, s, hr, 2); /* open */
	assert_int_equal(count(s, 0), 12);
	assert_int_equal(count(s, first), 11);
	assert_int_equal(count(s, first + 4), 8);
	assert_int_equal(count(s, first + 12), 3);
	assert_int_equal(count(s, first + 17), 0);
	assert_int_equal(count(s, UINT64_MAX), 0);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	s = make(p);					     /* another run */
	assert_int_equal(outbox_reopen(s, sink, p->now), 0); /* what was open is a row */
	hear(p, s, hr, 4);
	confirm_all(p, s, 0);
	assert_int_equal(count(s, 0), 16);
	same_as_the_rewind(p, s, first + 7);
	same_as_the_rewind(p, s, first + 2);
	same_as_the_rewind(p, s, 0);
	store_close(s);
}

static void not_what_was_deleted(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);

	hear(p, s, hr, 6);
	confirm_all(p, s, 0);
	assert_int_equal(store_commit(s, p->now), 0);
	hear(p, s, hr, 6);
	confirm_all(p, s, 0);
	assert_int_equal(store_commit(s, p->now), 0);
	while (store_prune(s, synced.offset_us + 1000 * (int64_t)USEC_PER_SEC + 55000, 1) == 0)
		;
	assert_int_equal(count(s, 0), 6);
	same_as_the_rewind(p, s, 0);
	store_close(s);
}

static uint64_t since(struct store *s, int64_t boot_us)
{
	uint64_t after = 12345;
	int r = again_since(s, hr, synced.offset_us + boot_us, &after);

	return r == 0 ? after : r == STORE_E_NOTHING ? UINT64_MAX : 98765;
}

static void a_time(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	uint64_t first = seq_make(1, 1);
	int64_t began = (int64_t)p->now;

	assert_int_equal(since(s, began), UINT64_MAX);
	hear(p, s, hr, 20); /* 10 ms apart */
	assert_int_equal(store_commit(s, p->now), 0);
	hear(p, s, hr, 20);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(since(s, 0), 0);
		assert_int_equal(since(s, began), 0);
		assert_int_equal(since(s, began + 1), first);
		assert_int_equal(since(s, began + 50000), first + 4);
		assert_int_equal(since(s, began + 250000), first + 24); /* in the tail, at first */
		assert_int_equal(since(s, began + 390000), first + 38);
		assert_int_equal(since(s, began + 390001), UINT64_MAX);
		assert_int_equal(store_commit(s, p->now), 0);
	}
	store_close(s);
}

static void no_time_yet(void **state)
{
	struct place *p = *state;
	struct store *s = open_with(p, &unsynced, NULL);
	uint64_t after;

	hr = stream_of_kind(s, KIND_HEART_RATE);
	hear(p, s, hr, 3);
	assert_int_equal(again_since(s, hr, synced.offset_us, &after), STORE_E_CLOCK);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(the_dry_run_is_right),
		store_test(not_what_was_deleted),
		store_test(a_time),
		store_test(no_time_yet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
