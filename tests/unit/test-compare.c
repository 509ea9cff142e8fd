/*
 * store/compare and outbox_owe(): which records of a stream can be compared with a server, piece by
 * piece, and that exactly those become owed again that were confirmed: not what is in a row or in
 * quarantine already, not what was deleted or is exempt, nothing above the cursor. After each of it
 * the ledger balances.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"
#include "store/compare.h"
#include "store/state.h"

static uint32_t hr, ecg, sink;
static struct taken taken;
static struct cut cut;
static struct batch_row rows[64];
static size_t n_rows;

static struct store *make(struct place *p)
{
	struct store *s = open_store(p);

	hr = stream_of_kind(s, KIND_HEART_RATE);
	ecg = stream_of_kind(s, KIND_ECG);
	assert_int_equal(register_sink(s, "a", true, false, &sink), 0);
	taken.room = 256;
	return s;
}

static struct store *again(struct place *p, struct store *s)
{
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	return make(p);
}

static void cut_new(struct store *s)
{
	struct cut_taker taker = taker_of(&taken);

	assert_int_equal(outbox_cut(s, sink, &taker, &cut), 0);
}

static uint64_t admit_some(struct place *p, struct store *s, unsigned n)
{
	uint64_t seq = 0;

	while (n--)
		seq = admit(p, s, hr, 60);
	return seq;
}

/* n new records of the stream, confirmed but for those that are rejected. Returns the last. */
static uint64_t confirm_some(struct place *p, struct store *s, unsigned n,
			     struct rejection *rejected, size_t n_rejected)
{
	struct receipt_entry e = {.stream = hr, .rejected = rejected, .n_rejected = n_rejected};

	e.acked_through = admit_some(p, s, n);
	cut_new(s);
	assert_int_equal(outbox_confirm(s, &cut, &e, 1, p->now), 0);
	return e.acked_through;
}

static void collect(void *userdata, const struct batch_row *row)
{
	size_t at = n_rows++;

	for (; at > 0 && rows[at - 1].first_seq > row->first_seq; at--)
		rows[at] = rows[at - 1];
	rows[at] = *row;
}

/* The rows are exactly these ranges: n pairs. */
static void assert_rows(struct store *s, size_t n, ...)
{
	va_list ap;

	n_rows = 0;
	store_each_row(s, collect, NULL);
	assert_int_equal(n_rows, n);
	va_start(ap, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(rows[i].first_seq, va_arg(ap, uint64_t));
		assert_int_equal(rows[i].last_seq, va_arg(ap, uint64_t));
	}
	va_end(ap);
	assert_balanced(s);
}

static struct cursor_status cursor(const struct store *s)
{
	struct cursor_status c;

	store_cursor_status(s, sink, hr, &c);
	return c;
}

static uint64_t owe(struct store *s, uint64_t first, uint64_t last)
{
	const struct cut_range range = {.stream = hr, .first_seq = first, .last_seq = last};
	uint64_t n;

	assert_int_equal(outbox_owe(s, &range, sink, &n), 0);
	return n;
}

static void exactly_the_range(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	uint64_t last = confirm_some(p, s, 100, NULL, 0), first = last - 99;

	assert_int_equal(owe(s, first + 10, first + 19), 10);
	assert_rows(s, 1, first + 10, first + 19);
	assert_int_equal(cursor(s).cursor, last);
	assert_int_equal(cursor(s).anchor, first + 9);
	assert_int_equal(cursor(s).confirmed, 90);
	assert_int_equal(cursor(s).waiting, 10);
	/* Again the same: they are owed already. */
	assert_int_equal(owe(s, first + 10, first + 19), 0);
	assert_rows(s, 1, first + 10, first + 19);
	/* A single one, the first, the last. */
	assert_int_equal(owe(s, first, first), 1);
	assert_int_equal(owe(s, last, last), 1);
	assert_rows(s, 3, first, first, first + 10, first + 19, last, last);
	store_close(s);
}

static void beside_other_rows(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	uint64_t last = confirm_some(p, s, 100, NULL, 0), first = last - 99;

	assert_int_equal(owe(s, first + 20, first + 29), 10);
	assert_int_equal(owe(s, first + 40, first + 49), 10);
	/* Over both: before, between, behind. What touches a row's end grows it. */
	assert_int_equal(owe(s, first + 15, first + 54), 20);
	n_rows = 0;
	store_each_row(s, collect, NULL);
	for (size_t i = 1; i < n_rows; i++)
		assert_int_equal(rows[i].first_seq, rows[i - 1].last_seq + 1);
	assert_int_equal(rows[0].first_seq, first + 15);
	assert_int_equal(rows[n_rows - 1].last_seq, first + 54);
	assert_int_equal(cursor(s).waiting, 40);
	assert_balanced(s);
	store_close(s);
}

/* A row that is under way: its records are neither owed twice nor lost when it is confirmed. */
static void beside_a_row_under_way(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	uint64_t last = confirm_some(p, s, 30, NULL, 0), first = last - 29;
	struct cut_taker taker = taker_of(&taken);
	struct receipt_entry e = {.stream = hr, .acked_through = first + 9};

	assert_int_equal(owe(s, first, first + 9), 10);
	assert_int_equal(outbox_claim(s, sink, p->now, &taker, &cut), 0);
	assert_int_equal(taken.n, 10);
	assert_int_equal(owe(s, first, first + 19), 10);
	assert_rows(s, 2, first, first + 9, first + 10, first + 19);
	assert_int_equal(outbox_confirm(s, &cut, &e, 1, p->now), 0);
	assert_rows(s, 1, first + 10, first + 19);
	store_close(s);
}

static void quarantined_inside(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	uint64_t first = seq_make(1, 1), last;
	struct rejection bad[] = {{.seq = first + 3}, {.seq = first + 4}, {.seq = first + 7}};
	uint64_t *excused;
	size_t n;

	last = confirm_some(p, s, 10, bad, 3);
	for (int round = 0; round < 2; round++) { /* in memory, and on the disk */
		assert_int_equal(compare_excused(s, sink, hr, first, last, &excused, &n), 0);
		assert_int_equal(n, 3);
		assert_int_equal(excused[0], first + 3);
		assert_int_equal(excused[2], first + 7);
		free(excused);
		assert_int_equal(compare_excused(s, sink, hr, first + 4, first + 6, &excused, &n),
				 0);
		assert_int_equal(n, 1);
		free(excused);
		assert_int_equal(compare_excused(s, sink, ecg, first, last, &excused, &n), 0);
		assert_int_equal(n, 0);
		free(excused);
		assert_int_equal(store_commit(s, p->now), 0);
	}
	assert_int_equal(owe(s, first + 2, first + 8), 4);
	assert_rows(s, 3, first + 2, first + 2, first + 5, first + 6, first + 8, first + 8);
	assert_int_equal(cursor(s).quarantined, 3);
	store_close(s);
}

static void nothing_above_the_cursor(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	uint64_t last = confirm_some(p, s, 10, NULL, 0);

	admit_some(p, s, 10);
	assert_int_equal(owe(s, last + 1, last + 10), 0);
	assert_int_equal(owe(s, last - 1, UINT64_MAX), 2);
	assert_rows(s, 1, last - 1, last);
	assert_int_equal(owe(s, 0, 0), 0);
	assert_int_equal(owe(s, last, last - 1), 0);
	store_close(s);
}

static void deleted_at_the_front(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	uint64_t first = seq_make(1, 1), held;
	struct compare_span span;

	(void)confirm_some(p, s, 20, NULL, 0);
	assert_int_equal(store_commit(s, p->now), 0);
	assert_int_equal(store_prune(s, INT64_MAX, 100), 0);
	held = confirm_some(p, s, 5, NULL, 0) - 4;
	assert_int_equal(held, first + 20);
	assert_int_equal(compare_oldest(s, sink, hr), held);
	assert_int_equal(owe(s, first, first + 21), 2);
	assert_rows(s, 1, held, held + 1);
	assert_true(compare_span(s, sink, hr, compare_oldest(s, sink, hr), 4096, &span));
	assert_int_equal(span.first_seq, held + 2);
	store_close(s);
}

static void exempt_is_nobodys(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	uint64_t last = confirm_some(p, s, 20, NULL, 0);
	struct compare_span span;
	uint32_t young;

	assert_int_equal(register_sink(s, "young", true, true, &young), 0);
	assert_int_equal(compare_oldest(s, young, hr), 0);
	sink = young;
	assert_int_equal(owe(s, 0, UINT64_MAX), 0);
	last = admit_some(p, s, 2);
	cut_new(s);
	assert_int_equal(outbox_confirm(s, &cut,
					&(struct receipt_entry){.stream = hr,
								.acked_through = last},
					1, p->now),
			 0);
	assert_int_equal(compare_oldest(s, young, hr), last - 1);
	assert_true(compare_span(s, young, hr, last - 1, 4096, &span));
	assert_int_equal(span.first_seq, last - 1);
	assert_int_equal(span.last_seq, last);
	store_close(s);
}

static void spans(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	struct compare_span span;
	uint64_t a, b, c;

	assert_false(compare_span(s, sink, hr, 0, 4096, &span));
	a = confirm_some(p, s, 10, NULL, 0); /* run 1 */
	s = again(p, s);
	b = confirm_some(p, s, 10, NULL, 0); /* run 2 */
	s = again(p, s);
	s = again(p, s);
	c = confirm_some(p, s, 10, NULL, 0); /* run 4 */
	assert_true(compare_span(s, sink, hr, 0, 4096, &span));
	assert_int_equal(span.first_seq, seq_make(1, 1));
	assert_int_equal(span.last_seq, a);
	assert_int_equal(span.beyond_first, a + 1);
	assert_int_equal(span.beyond_last, seq_make(2, 1) - 1);
	/* In pieces: only the last of them is followed by what is beyond. */
	assert_true(compare_span(s, sink, hr, seq_make(2, 1), 8, &span));
	assert_int_equal(span.last_seq, seq_make(2, 8));
	assert_int_equal(span.beyond_last, 0);
	assert_true(compare_span(s, sink, hr, span.last_seq + 1, 8, &span));
	assert_int_equal(span.first_seq, seq_make(2, 9));
	assert_int_equal(span.last_seq, b);
	assert_int_equal(span.beyond_last, seq_make(4, 1) - 1);
	/* The run that goes on has nothing beyond: what is there next is ours. */
	admit_some(p, s, 5);
	assert_true(compare_span(s, sink, hr, b + 1, 4096, &span));
	assert_int_equal(span.first_seq, seq_make(4, 1));
	assert_int_equal(span.last_seq, c);
	assert_int_equal(span.beyond_last, 0);
	assert_false(compare_span(s, sink, hr, c + 1, 4096, &span));
	cut_new(s);
	assert_int_equal(outbox_confirm(s, &cut,
					&(struct receipt_entry){.stream = hr,
								.acked_through = c + 5},
					1, p->now),
			 0);
	/* Rows are cut out: in the middle, at the front, at the end of a run. */
	assert_int_equal(owe(s, seq_make(2, 3), seq_make(2, 4)), 2);
	assert_int_equal(owe(s, seq_make(2, 5), seq_make(2, 5)), 1);
	assert_int_equal(owe(s, seq_make(4, 1), seq_make(4, 2)), 2);
	assert_int_equal(owe(s, a, a), 1);
	assert_true(compare_span(s, sink, hr, 0, 4096, &span));
	assert_int_equal(span.last_seq, a - 1);
	assert_int_equal(span.beyond_last, 0);
	assert_true(compare_span(s, sink, hr, span.last_seq + 1, 4096, &span));
	assert_int_equal(span.first_seq, seq_make(2, 1));
	assert_int_equal(span.last_seq, seq_make(2, 2));
	assert_true(compare_span(s, sink, hr, span.last_seq + 1, 4096, &span));
	assert_int_equal(span.first_seq, seq_make(2, 6));
	assert_true(compare_span(s, sink, hr, span.last_seq + 1, 4096, &span));
	assert_int_equal(span.first_seq, seq_make(4, 3));
	assert_balanced(s);
	/* A stream that is not heard in this run: it has ended, and may have lost its last. */
	s = again(p, s);
	assert_true(compare_span(s, sink, hr, seq_make(4, 3), 4096, &span));
	assert_int_equal(span.beyond_first, seq_make(4, 16));
	assert_int_equal(span.beyond_last, seq_make(5, 0) - 1);
	store_close(s);
}

static int first_of(void *userdata, const struct record *r)
{
	*(uint64_t *)userdata = r->seq;
	return 1;
}

static void since_when(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	uint64_t id, next, seq, middle = 0;
	int64_t at = 0;

	for (int i = 0; i < 40; i++) { /* 40 hours, a block each */
		uint64_t last = confirm_some(p, s, 3, NULL, 0);

		if (i == 20) {
			middle = last - 2;
			at = (int64_t)p->now - 30000 + synced.offset_us;
		}
		assert_int_equal(store_commit(s, p->now), 0);
		p->now += 3600 * USEC_PER_SEC;
	}
	assert_int_equal(compare_since(s, INT64_MIN / 2, &id), 0);
	assert_int_equal(id, 0);
	assert_int_equal(compare_since(s, at, &id), 0);
	assert_int_equal(compare_read(s,
				      &(struct cut_range){.stream = hr,
							  .first_id = id,
							  .last_seq = UINT64_MAX},
				      1000, &next, first_of, &seq),
			 0);
	assert_true(seq <= middle);	/* nothing that is younger is left out */
	assert_true(seq >= middle - 6); /* and not much more is looked at */
	assert_int_equal(compare_since(s, INT64_MAX / 2, &id), 0);
	seq = 0;
	assert_int_equal(compare_read(s,
				      &(struct cut_range){.stream = hr,
							  .first_id = id,
							  .last_seq = UINT64_MAX},
				      1000, &next, first_of, &seq),
			 0);
	assert_int_equal(seq, 0);
	store_close(s);
}

/* What a memory told of another day stands among what was heard today: that is looked at all the same. */
static void since_when_beside_a_memory(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	int64_t at = 0;
	uint64_t id, young = 0;

	for (int i = 0; i < 40; i++) {
		struct record r = {.stream = hr,
				   .type = RECORD_HEART_RATE,
				   .boot_us = (int64_t)p->now - INT64_C(10) * 86400 * 1000000,
				   .heart_rate = {.bpm = 50, .energy_kj = -1}};

		(void)admit(p, s, hr, 60);
		if (i == 20) {
			young = s->next_id - 1;
			at = (int64_t)p->now + synced.offset_us;
		}
		assert_int_equal(store_commit(s, p->now), 0);
		for (int k = 0; i == 22 && k < 30; k++) { /* in the middle of all */
			assert_int_equal(store_admit(s, &r, p->now), 0);
			assert_int_equal(store_commit(s, p->now), 0);
		}
		p->now += 3600 * USEC_PER_SEC;
	}
	assert_int_equal(compare_since(s, at, &id), 0);
	assert_in_range(id, young - 3, young);
	assert_int_equal(compare_since(s, INT64_MAX / 2, &id), 0);
	assert_int_equal(id, s->next_id);
	store_close(s);
}

/* Of records without a clock nobody knows how old they are: they are young. */
static void since_when_without_a_clock(void **state)
{
	struct place *p = *state;
	struct store *s = open_with(p, &unsynced, NULL);
	uint64_t id;

	hr = stream_of_kind(s, KIND_HEART_RATE);
	for (int i = 0; i < 10; i++) {
		admit_some(p, s, 3);
		assert_int_equal(store_commit(s, p->now), 0);
	}
	assert_int_equal(compare_since(s, INT64_MAX / 2, &id), 0);
	assert_int_equal(id, 0);
	store_close(s);
}

static void taking_rows_of_a_look(void **state)
{
	struct place *p = *state;
	struct store *s = make(p), *look;
	uint64_t last = confirm_some(p, s, 100, NULL, 0), first = last - 99, n;
	struct cut_range *ranges;
	size_t n_ranges;

	assert_int_equal(owe(s, first + 10, first + 19), 10);
	assert_int_equal(owe(s, first + 50, first + 50), 1);
	admit_some(p, s, 5);
	assert_int_equal(store_commit(s, p->now), 0);
	admit_some(p, s, 5); /* in the tail */
	assert_int_equal(store_look(p->state, p->run, &look), 0);
	assert_int_equal(outbox_reopen(look, sink, p->now), 0);
	assert_int_equal(compare_take_rows(look, sink, &ranges, &n_ranges), 0);
	assert_int_equal(n_ranges, 3);
	assert_int_equal(ranges[0].first_seq, first + 10);
	assert_int_equal(ranges[1].first_seq, first + 50);
	assert_int_equal(ranges[2].first_seq, last + 1);
	assert_int_equal(ranges[2].last_seq, last + 10);
	n_rows = 0;
	store_each_row(look, collect, NULL);
	assert_int_equal(n_rows, 0);
	assert_int_equal(cursor(look).waiting, 0);
	for (size_t i = 0; i < n_ranges; i++) {
		assert_int_equal(outbox_owe(look, &ranges[i], sink, &n), 0);
		assert_int_equal(n, ranges[i].last_seq - ranges[i].first_seq + 1);
	}
	assert_int_equal(cursor(look).waiting, 21);
	free(ranges);
	store_close(look);
	assert_rows(s, 2, first + 10, first + 19, first + 50, first + 50);
	store_close(s);
}

static void a_stream_is_held(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	uint64_t last = confirm_some(p, s, 10, NULL, 0);

	outbox_hold(s, sink, hr);
	assert_true(cursor(s).held);
	assert_int_equal(store_commit_due(s), 0);
	assert_int_equal(owe(s, last, last), 1);
	assert_int_equal(outbox_next_due(s, sink), USEC_INFINITY);
	s = again(p, s);
	assert_true(cursor(s).held);
	assert_int_equal(outbox_unhold(s, sink, hr), 0);
	assert_int_equal(outbox_next_due(s, sink), 0);
	assert_balanced(s);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(exactly_the_range),
		store_test(beside_other_rows),
		store_test(beside_a_row_under_way),
		store_test(quarantined_inside),
		store_test(nothing_above_the_cursor),
		store_test(deleted_at_the_front),
		store_test(exempt_is_nobodys),
		store_test(spans),
		store_test(since_when),
		store_test(since_when_beside_a_memory),
		store_test(since_when_without_a_clock),
		store_test(taking_rows_of_a_look),
		store_test(a_stream_is_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
