/*
 * store/outbox: cuts and claims, and what each answer makes of them; which row goes first, when two
 * become one, how bisecting shrinks and grows again, what a conflict holds, what a ring that went
 * around leaves, and that running out of memory loses nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"
#include "store/salvage.h"
#include "store/state.h"

static uint32_t hr, ecg, sink;
static struct taken taken;
static struct cut cut;
static struct batch_row rows[64];
static size_t n_rows;
static int allocations_left = -1; /* of reallocarray(); -1: as many as are wanted */

void *reallocarray(void *p, size_t n, size_t size)
{
	size_t bytes;

	if (allocations_left == 0 || __builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	if (allocations_left > 0)
		allocations_left--;
	return realloc(p, bytes);
}

static struct store *make(struct place *p)
{
	struct store *s = open_store(p);

	hr = stream_of_kind(s, KIND_HEART_RATE);
	ecg = stream_of_kind(s, KIND_ECG);
	assert_int_equal(register_sink(s, "a", true, false, &sink), 0);
	taken.room = 256;
	return s;
}

static struct store *open_limited(struct place *p, uint64_t max_batches)
{
	struct store_options o = usual_options(p);

	o.max_batches = max_batches;
	return open_as(p, &o, &synced, NULL);
}

static uint64_t admit_some(struct place *p, struct store *s, uint32_t stream, unsigned n)
{
	uint64_t seq = 0;

	while (n--)
		seq = admit(p, s, stream, 60);
	return seq;
}

static int cut_new(struct store *s)
{
	struct cut_taker taker = taker_of(&taken);

	return outbox_cut(s, sink, &taker, &cut);
}

static int claim(struct place *p, struct store *s)
{
	struct cut_taker taker = taker_of(&taken);

	return outbox_claim(s, sink, p->now, &taker, &cut);
}

static void collect(void *userdata, const struct batch_row *row)
{
	rows[n_rows++] = *row;
}

static size_t look_at_rows(const struct store *s)
{
	n_rows = 0;
	store_each_row(s, collect, NULL);
	return n_rows;
}

static struct cursor_status cursor(const struct store *s, uint32_t stream)
{
	struct cursor_status c;

	store_cursor_status(s, sink, stream, &c);
	return c;
}

static void confirm(struct place *p, struct store *s, uint64_t acked_through)
{
	struct receipt_entry e[8] = {0};
	size_t n = cut.n_ranges;

	for (size_t i = 0; i < n; i++)
		e[i] = (struct receipt_entry){.stream = cut.ranges[i].stream,
					      .acked_through = acked_through
								       ? acked_through
								       : cut.ranges[i].last_seq};
	assert_int_equal(outbox_confirm(s, &cut, e, n, p->now), 0);
}

static void the_immediate_lane(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	usec_t first;
	uint64_t last;

	assert_int_equal(cut_new(s), STORE_E_NOTHING);
	assert_int_equal(outbox_waiting_since(s, sink), USEC_INFINITY);
	first = p->now;
	last = admit_some(p, s, hr, 3);
	(void)admit_some(p, s, ecg, 2);
	assert_int_equal(outbox_waiting_since(s, sink), first);
	taken.room = 4;
	assert_int_equal(cut_new(s), 0);
	assert_int_equal(outbox_waiting_since(s, sink), USEC_INFINITY); /* one at a time */
	assert_int_equal(cut.n_ranges, 2);
	assert_int_equal(cut.n_records, 4);
	assert_int_equal(cut.heard_us, first);
	assert_int_equal(cut.kinds, 1 << KIND_HEART_RATE | 1 << KIND_ECG);
	assert_int_equal(taken.records[0].after, 0);
	outbox_release(s, &cut); /* no judgement: the same again */
	assert_int_equal(cut_new(s), 0);
	assert_int_equal(cut.n_records, 4);
	confirm(p, s, 0);
	assert_int_equal(cursor(s, hr).cursor, last);
	assert_int_equal(cursor(s, hr).confirmed, 3);
	assert_int_equal(cursor(s, ecg).waiting, 1);
	assert_int_equal(cut_new(s), 0);
	assert_int_equal(taken.records[0].after, cursor(s, ecg).cursor);
	confirm(p, s, 0);
	assert_int_equal(look_at_rows(s), 0);
	assert_balanced(s);
	store_close(s);
}

static void a_partial_receipt(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	uint64_t last = admit_some(p, s, hr, 5);

	assert_int_equal(cut_new(s), 0);
	confirm(p, s, last - 2);
	assert_int_equal(look_at_rows(s), 1);
	assert_int_equal(rows[0].first_seq, last - 1);
	assert_int_equal(rows[0].count, 2);
	assert_int_equal(rows[0].priority, BATCH_HIGH);
	assert_int_equal(cursor(s, hr).cursor, last);
	assert_int_equal(cursor(s, hr).anchor, last - 2);
	assert_int_equal(store_commit_due(s), 0); /* a new row forces a commit */
	assert_int_equal(claim(p, s), 0);
	assert_int_equal(claim(p, s), STORE_E_NOTHING); /* it is under way */
	confirm(p, s, last - 1);
	assert_int_equal(look_at_rows(s), 1);
	assert_int_equal(rows[0].first_seq, last);
	assert_int_equal(claim(p, s), 0);
	confirm(p, s, last);
	assert_int_equal(look_at_rows(s), 0);
	assert_balanced(s);
	store_close(s);
}

static void neighbours_become_one(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	uint64_t last = 0;

	for (unsigned i = 0; i < 3; i++) {
		last = admit_some(p, s, hr, 2);
		assert_int_equal(cut_new(s), 0);
		assert_int_equal(outbox_defer(s, &cut, p->now, p->now + 100 - i, "down"), 0);
	}
	assert_int_equal(look_at_rows(s), 1);
	assert_int_equal(rows[0].count, 6);
	assert_int_equal(rows[0].last_seq, last);
	assert_int_equal(rows[0].status, BATCH_FAILED);
	assert_int_equal(rows[0].retry_count, 1);
	assert_string_equal(rows[0].last_error, "down");
	assert_int_equal(outbox_next_due(s, sink), rows[0].next_attempt);
	assert_int_equal(claim(p, s), STORE_E_NOTHING); /* not yet */
	outbox_hurry(s, sink, true);
	assert_int_equal(outbox_next_due(s, sink), 0);
	assert_int_equal(claim(p, s), 0);
	assert_int_equal(cut.retry_count, 1);
	outbox_release(s, &cut);
	assert_int_equal(look_at_rows(s), 1);
	assert_int_equal(rows[0].status, BATCH_FAILED);
	assert_int_equal(rows[0].priority, BATCH_CRITICAL);
	assert_balanced(s);
	store_close(s);
}

/* After an outage: the newest minute first, then heart rate, then ECG; one range a stream. */
static void what_goes_first(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	uint64_t first = admit_some(p, s, hr, 1), newest;

	(void)admit_some(p, s, ecg, 2);
	p->now += 120 * USEC_PER_SEC;
	(void)admit_some(p, s, hr, 2);
	p->now += 31 * USEC_PER_SEC;
	newest = admit_some(p, s, hr, 3);
	assert_int_equal(outbox_reopen(s, sink, p->now), 0);
	assert_int_equal(cut_new(s), STORE_E_NOTHING);
	assert_int_equal(look_at_rows(s), 3);
	assert_int_equal(claim(p, s), 0);
	assert_int_equal(cut.ranges[0].stream, hr);
	assert_int_equal(cut.ranges[0].last_seq, newest);
	assert_true(cut.ranges[0].first_seq > first);
	assert_int_equal(cut.n_ranges, 2); /* and ECG, but not heart rate again */
	assert_int_equal(cut.ranges[1].stream, ecg);
	confirm(p, s, 0);
	assert_int_equal(claim(p, s), 0);
	assert_int_equal(cut.n_ranges, 1);
	assert_int_equal(cut.ranges[0].first_seq, first);
	confirm(p, s, 0);
	assert_int_equal(claim(p, s), STORE_E_NOTHING);
	assert_int_equal(outbox_next_due(s, sink), USEC_INFINITY);
	assert_balanced(s);
	store_close(s);
}

/* One bad record among 16: found by halves, alone in quarantine, all others arrive. */
static void bisecting(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	uint64_t bad = admit_some(p, s, hr, 11);
	unsigned requests = 0, quarantined = 0;

	(void)admit_some(p, s, hr, 5);
	(void)admit_some(p, s, ecg, 3);
	for (int r = cut_new(s); r == 0 && requests < 100; r = claim(p, s), requests++) {
		bool refused = false;

		for (size_t i = 0; i < taken.n; i++)
			refused |= taken.records[i].stream == hr && taken.records[i].seq == bad;
		if (!refused) {
			confirm(p, s, 0);
			continue;
		}
		r = outbox_split(s, &cut, p->now, "400");
		if (r == STORE_E_NOTHING) {
			assert_int_equal(cut.ranges[0].first_seq, bad);
			assert_int_equal(outbox_quarantine(s, &cut, p->now, "bad", "why"), 0);
			quarantined++;
		}
	}
	assert_int_equal(quarantined, 1);
	assert_true(requests <= 14);
	assert_int_equal(look_at_rows(s), 0);
	assert_int_equal(cursor(s, hr).confirmed, 15);
	assert_int_equal(cursor(s, hr).quarantined, 1);
	assert_int_equal(cursor(s, ecg).confirmed, 3);
	assert_balanced(s);
	store_close(s);
}

/* A bad record that may not be quarantined yet does not hold up the rest of its row. */
static void the_rest_goes_on(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	uint64_t last = admit_some(p, s, hr, 4);

	assert_int_equal(cut_new(s), 0);
	assert_int_equal(outbox_split(s, &cut, p->now, "400"), 0);
	assert_int_equal(claim(p, s), 0);
	assert_int_equal(cut.n_records, 2);
	assert_int_equal(outbox_split(s, &cut, p->now, "400"), 0);
	assert_int_equal(claim(p, s), 0);
	assert_int_equal(cut.n_records, 1);
	assert_int_equal(outbox_split(s, &cut, p->now, "400"), STORE_E_NOTHING);
	assert_int_equal(outbox_defer(s, &cut, p->now, p->now + 1000000, "400"), 0);
	while (claim(p, s) == 0)
		confirm(p, s, 0);
	assert_int_equal(look_at_rows(s), 1);
	assert_int_equal(rows[0].first_seq, last - 3);
	assert_int_equal(rows[0].count, 1);
	assert_balanced(s);
	store_close(s);
}

static void limits_grow_again(void **state)
{
	static const unsigned expected[] = {2, 4, 8, 16, 32};
	struct place *p = *state;
	struct store *s = make(p);

	(void)admit_some(p, s, hr, 62);
	assert_int_equal(outbox_reopen(s, sink, p->now), 0);
	taken.room = 4;
	assert_int_equal(claim(p, s), 0);
	assert_int_equal(outbox_split(s, &cut, p->now, "413"), 0);
	taken.room = 256;
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_int_equal(claim(p, s), 0);
		assert_int_equal(cut.n_records, expected[i]);
		confirm(p, s, 0);
	}
	assert_int_equal(look_at_rows(s), 0);
	assert_balanced(s);
	store_close(s);
}

static void rejected(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	uint64_t last = admit_some(p, s, hr, 4);
	struct rejection bad = {.seq = last - 1, .code = "range", .detail = "bpm 0"};
	struct receipt_entry e = {.stream = hr,
				  .acked_through = last,
				  .rejected = &bad,
				  .n_rejected = 1};

	assert_int_equal(cut_new(s), 0);
	assert_int_equal(outbox_confirm(s, &cut, &e, 1, p->now), 0);
	assert_int_equal(cursor(s, hr).confirmed, 3);
	assert_int_equal(cursor(s, hr).quarantined, 1);
	assert_int_equal(store_commit_due(s), 0);
	assert_balanced(s);
	store_close(s);
}

static void a_conflict_holds_its_stream(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	uint64_t last = admit_some(p, s, hr, 4);
	struct rejection bad = {.seq = last - 1, .conflict = true};
	struct receipt_entry e[] = {
		{.stream = hr, .acked_through = last, .rejected = &bad, .n_rejected = 1},
		{.stream = ecg, .identity_conflict = true, .acked_through = UINT64_MAX}};

	(void)admit_some(p, s, ecg, 2);
	assert_int_equal(cut_new(s), 0);
	assert_int_equal(outbox_confirm(s, &cut, e, 2, p->now), 0);
	assert_true(cursor(s, hr).held && cursor(s, ecg).held);
	assert_int_equal(cursor(s, hr).confirmed, 2);
	assert_int_equal(cursor(s, hr).quarantined, 0);
	assert_int_equal(cursor(s, ecg).confirmed, 0);
	last = admit_some(p, s, hr, 2);
	assert_int_equal(cut_new(s), STORE_E_NOTHING);
	assert_int_equal(claim(p, s), STORE_E_NOTHING);
	assert_int_equal(outbox_next_due(s, sink), USEC_INFINITY);
	assert_int_equal(outbox_reopen(s, sink, p->now), 0);
	assert_int_equal(claim(p, s), STORE_E_NOTHING);
	assert_balanced(s);
	assert_int_equal(store_commit(s, p->now), 0);
	store_close(s);
	s = make(p); /* a hold outlives the process */
	assert_true(cursor(s, hr).held);
	assert_int_equal(outbox_unhold(s, sink, hr), 0);
	assert_int_equal(outbox_unhold(s, sink, hr), 0); /* it is over */
	while (claim(p, s) == 0)
		confirm(p, s, 0);
	assert_int_equal(cursor(s, hr).confirmed, 6);
	assert_int_equal(cursor(s, hr).anchor, last);
	assert_int_equal(cursor(s, ecg).waiting, 2);
	assert_balanced(s);
	store_close(s);
}

/* A hold that came by the backlog while new records of the stream were on their way. */
static void unhold_waits_for_the_cut(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	struct cut immediate;
	struct rejection bad = {.conflict = true};
	struct receipt_entry e = {.stream = hr, .rejected = &bad, .n_rejected = 1};

	bad.seq = e.acked_through = admit_some(p, s, hr, 1);
	assert_int_equal(outbox_reopen(s, sink, p->now), 0);
	(void)admit_some(p, s, hr, 1);
	assert_int_equal(cut_new(s), 0);
	immediate = cut;
	assert_int_equal(claim(p, s), 0);
	assert_int_equal(outbox_confirm(s, &cut, &e, 1, p->now), 0);
	assert_true(cursor(s, hr).held);
	assert_int_equal(outbox_unhold(s, sink, hr), STORE_E_BUSY);
	cut = immediate;
	confirm(p, s, 0);
	assert_int_equal(outbox_unhold(s, sink, hr), 0);
	while (claim(p, s) == 0)
		confirm(p, s, 0);
	assert_int_equal(cursor(s, hr).confirmed, 2);
	assert_balanced(s);
	store_close(s);
}

static void the_ring_went_around(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);

	(void)admit_some(p, s, hr, 2000);
	assert_int_equal(outbox_waiting_since(s, sink), 0);
	assert_int_equal(cut_new(s), STORE_E_NOTHING); /* rows are made of it */
	assert_true(look_at_rows(s) >= 1);
	while (claim(p, s) == 0)
		confirm(p, s, 0);
	assert_int_equal(cursor(s, hr).confirmed, 2000);
	assert_balanced(s);
	store_close(s);
}

/* What was open when the last run ended is in no ring: a cut must not pass it. */
static void a_start_without_reopen(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	uint64_t old = admit_some(p, s, hr, 3), last;

	store_close(s);
	s = make(p);
	last = admit_some(p, s, hr, 1);
	assert_int_equal(cut_new(s), STORE_E_NOTHING);
	assert_int_equal(claim(p, s), 0);
	assert_int_equal(cut.ranges[0].first_seq, last); /* the newest minute first */
	confirm(p, s, 0);
	assert_int_equal(claim(p, s), 0);
	assert_int_equal(cut.ranges[0].last_seq, old);
	confirm(p, s, 0);
	assert_int_equal(cursor(s, hr).confirmed, 4);
	assert_balanced(s);
	store_close(s);
}

static int fail_to_add(void *userdata, const struct stream_info *stream, uint64_t after,
		       const struct record *r)
{
	return -EIO;
}

static void a_taker_that_fails(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	struct cut_taker taker = {&taken, taken_begin, fail_to_add};

	(void)admit_some(p, s, hr, 3);
	assert_int_equal(outbox_cut(s, sink, &taker, &cut), -EIO);
	assert_int_equal(outbox_reopen(s, sink, p->now), 0);
	assert_int_equal(outbox_claim(s, sink, p->now, &taker, &cut), -EIO);
	assert_int_equal(claim(p, s), 0);
	confirm(p, s, 0);
	assert_int_equal(cursor(s, hr).confirmed, 3);
	store_close(s);
}

/* At whatever allocation memory ends, what was not settled goes again. */
static void no_memory(void **state)
{
	for (int left = 0; left < 4; left++)
		for (int how = 0; how < 4; how++) {
			struct place *p;
			struct store *s;
			int r;

			assert_int_equal(set_up((void **)&p), 0);
			s = make(p);
			(void)admit_some(p, s, hr, 3);
			(void)admit_some(p, s, ecg, 3);
			if (how & 1)
				assert_int_equal(outbox_reopen(s, sink, p->now), 0);
			assert_int_equal(how & 1 ? claim(p, s) : cut_new(s), 0);
			allocations_left = left;
			r = how & 2 ? outbox_split(s, &cut, p->now, "400")
				    : outbox_defer(s, &cut, p->now, p->now, "down");
			allocations_left = -1;
			assert_true(r == 0 || r == -ENOMEM);
			(void)admit_some(p, s, hr, 1);
			while (cut_new(s) == 0 || claim(p, s) == 0)
				confirm(p, s, 0);
			assert_int_equal(cursor(s, hr).confirmed, 4);
			assert_int_equal(cursor(s, ecg).confirmed, 3);
			assert_balanced(s);
			store_close(s);
			assert_int_equal(tear_down((void **)&p), 0);
		}
}

/* What the immediate lane will not send has only the disk. */
static void what_is_held_is_committed_in_time(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	struct rejection bad = {.seq = admit(p, s, hr, 60), .conflict = true};
	struct receipt_entry e = {.stream = hr,
				  .acked_through = bad.seq,
				  .rejected = &bad,
				  .n_rejected = 1};

	assert_int_equal(cut_new(s), 0);
	assert_int_equal(outbox_confirm(s, &cut, &e, 1, p->now), 0);
	assert_int_equal(store_commit(s, p->now), 0);
	(void)admit(p, s, hr, 61); /* while the sink is down, say */
	assert_int_equal(outbox_reopen(s, sink, p->now), 0);
	assert_in_range(store_commit_due(s), 0, p->now + USEC_PER_SEC);
	store_close(s);
}

/* Fewer batches than streams: what is new waits for the rows, but not for ever. */
static void a_low_limit_of_batches_does_not_wedge(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);

	store_close(s);
	s = open_limited(p, 1);
	assert_int_equal(register_sink(s, "a", true, false, &sink), 0);
	(void)admit(p, s, hr, 60);
	(void)admit(p, s, ecg, 60);
	assert_int_equal(cut_new(s), 0);
	outbox_release(s, &cut);
	store_close(s);
}

static void a_damaged_record_does_not_stop_the_others(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	struct cut_taker taker = taker_of(&taken);

	(void)admit_some(p, s, hr, 3);
	(void)admit_some(p, s, ecg, 2);
	store_close(s);
	store_close(open_store(p)); /* all of it is in the log now */
	run_sql(p, "UPDATE record SET payload = x'ff' WHERE stream = 1");
	s = open_store(p);
	assert_int_equal(register_sink(s, "a", true, false, &sink), 0);
	assert_int_equal(outbox_reopen(s, sink, p->now), 0);
	assert_int_equal(outbox_claim(s, sink, p->now, &taker, &cut), 0);
	assert_int_equal(cut.ranges[0].stream, ecg);
	assert_int_equal(cut.n_records, 2);
	outbox_release(s, &cut);
	(void)look_at_rows(s);
	assert_int_equal(n_rows, 2);
	assert_non_null(strstr(rows[0].last_error, "cannot be read"));
	store_close(s);
}

/* Commits fail and the server refuses everything: what waits to be written down is bounded. */
static void quarantine_waits_for_a_commit(void **state)
{
	static struct rejection bad[256];
	struct place *p = *state;
	struct store *s = make(p);
	unsigned n = 0;

	for (int i = 0; i < 20; i++) {
		admit_some(p, s, hr, 100);
		assert_int_equal(store_commit(s, p->now), 0);
	}
	assert_int_equal(outbox_reopen(s, sink, p->now), 0);
	while (claim(p, s) == 0) {
		struct receipt_entry e = {.stream = hr, .rejected = bad, .n_rejected = taken.n};

		for (size_t i = 0; i < taken.n; i++)
			bad[i] = (struct rejection){.seq = taken.records[i].seq, .code = "bad"};
		e.acked_through = bad[taken.n - 1].seq;
		assert_int_equal(outbox_confirm(s, &cut, &e, 1, p->now), 0);
		n += taken.n;
	}
	assert_int_equal(n, 1024);
	assert_int_equal(cursor(s, hr).quarantined, 1024);
	admit_some(p, s, hr, 1);
	assert_int_equal(cut_new(s), STORE_E_NOTHING);
	assert_int_equal(store_commit(s, p->now), 0);
	assert_int_equal(claim(p, s), 0);
	outbox_release(s, &cut);
	assert_balanced(s);
	store_close(s);
}

/* After a 5xx what failed least goes first, once. */
static void rows_take_turns(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);

	admit_some(p, s, hr, 3);
	admit_some(p, s, ecg, 3);
	assert_int_equal(outbox_reopen(s, sink, p->now), 0);
	taken.room = 2;
	assert_int_equal(claim(p, s), 0);
	assert_int_equal(taken.records[0].stream, hr);
	assert_int_equal(outbox_defer(s, &cut, p->now, 0, "500"), 0);
	outbox_take_turns(s, sink);
	assert_int_equal(claim(p, s), 0);
	assert_int_equal(taken.records[0].stream, ecg);
	outbox_release(s, &cut);
	assert_int_equal(claim(p, s), 0);
	assert_int_equal(taken.records[0].stream, hr);
	outbox_release(s, &cut);
	taken.room = 256;
	store_close(s);
}

/*
 * As many batches as may wait, of twenty streams, alternately pending and failed so that none grows
 * together with its neighbour: each claim takes the oldest of every stream, and nothing is left over.
 */
static void ten_thousand_batches_go_in_order(void **state)
{
	enum { STREAMS = 20, EACH = 500 };
	struct place *p = *state;
	struct store *s = make(p);
	static uint64_t seqs[STREAMS][EACH];
	uint64_t id = s->next_id;
	uint32_t streams[STREAMS];
	size_t capacity;

	for (unsigned i = 0; i < STREAMS; i++) {
		char device[18];

		(void)snprintf(device, sizeof(device), "a0:b1:c2:d3:e4:%02x", i);
		assert_int_equal(register_stream(s, device, KIND_HEART_RATE, "", &streams[i]), 0);
	}
	for (unsigned k = 0; k < EACH; k++)
		for (unsigned i = 0; i < STREAMS; i++) {
			if (store_commit_due(s) == 0)
				assert_int_equal(store_commit(s, p->now), 0);
			seqs[i][k] = admit(p, s, streams[i], 60);
		}
	assert_int_equal(outbox_reopen(s, sink, p->now), 0);
	while (s->n_rows > 0)
		assert_int_equal(row_end(s, &s->rows[0]), 0);
	for (unsigned k = 0; k < EACH; k++)
		for (unsigned i = 0; i < STREAMS; i++, id++) {
			struct batch_row row = {.sink = sink,
						.stream = streams[i],
						.first_seq = seqs[i][k],
						.last_seq = seqs[i][k],
						.first_id = id,
						.last_id = id,
						.count = 1,
						.priority = BATCH_HIGH,
						.status = k % 2 ? BATCH_FAILED : BATCH_PENDING};

			assert_int_equal(row_add(s, &row), 0);
		}
	assert_int_equal(s->n_rows, STREAMS * EACH);
	assert_int_equal(store_commit(s, p->now), 0);
	capacity = s->rows_capacity;
	for (unsigned k = 0; k < EACH; k++) {
		struct taken t = {.room = STREAMS};
		struct cut_taker taker = taker_of(&t);
		struct receipt_entry entries[STREAMS] = {0};
		struct cut c;

		assert_int_equal(outbox_next_due(s, sink), 0);
		assert_int_equal(outbox_claim(s, sink, p->now, &taker, &c), 0);
		assert_int_equal(c.n_ranges, STREAMS);
		for (unsigned i = 0; i < STREAMS; i++) {
			assert_int_equal(t.records[i].seq, seqs[i][k]);
			entries[i] = (struct receipt_entry){.stream = t.records[i].stream,
							    .acked_through = t.records[i].seq,
							    .accepted = 1};
		}
		assert_int_equal(outbox_confirm(s, &c, entries, STREAMS, p->now), 0);
	}
	assert_int_equal(s->n_rows, 0);
	assert_int_equal(s->rows_capacity, capacity);
	assert_balanced(s);
	store_close(s);
}

static int one_of_each(void *userdata, const struct record *r)
{
	uint64_t *last = userdata;

	assert_true(r->seq > *last);
	*last = r->seq;
	return 0;
}

/* A number is given once, whatever fails just then. */
static void no_memory_for_the_first_record(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	struct record r = {.type = RECORD_HEART_RATE, .heart_rate = {.bpm = 1, .energy_kj = -1}};
	uint64_t last = 0;
	int e;

	r.stream = hr;
	allocations_left = 0;
	e = store_admit(s, &r, p->now);
	allocations_left = -1;
	assert_int_equal(e, -ENOMEM);
	(void)admit_some(p, s, hr, 3);
	assert_int_equal(store_commit(s, p->now), 0);
	assert_int_equal(store_read(s, hr, 1, UINT64_MAX, 0, one_of_each, &last), 0);
	assert_int_equal(last, seq_make(1, 3));
	assert_balanced(s);
	store_close(s);
}

/*
 * A card gave back an old page: blocks are gone from the middle of a row, and SQLite does not know. What comes
 * before them is confirmed, and no more; the store is known to be damaged, and a salvage tells of them.
 */
static void a_hole_in_a_row(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	struct cut_taker taker = taker_of(&taken);
	struct receipt_entry e = {.stream = hr};
	struct cursor_status c;
	char why[256] = "";

	for (int i = 0; i < 6; i++) {
		e.acked_through = admit(p, s, hr, 60) - 4;
		assert_int_equal(store_commit(s, p->now), 0);
	}
	assert_int_equal(outbox_reopen(s, sink, p->now), 0);
	assert_int_equal(store_commit(s, p->now), 0);
	run_sql(p, "DELETE FROM record WHERE seq IN (268435459, 268435460)");
	assert_int_equal(outbox_claim(s, sink, p->now, &taker, &cut), 0);
	assert_int_equal(cut.n_records, 2);
	assert_int_equal(outbox_confirm(s, &cut, &e, 1, p->now), 0);
	assert_false(store_is_damaged(s, why));
	assert_int_equal(outbox_claim(s, sink, p->now, &taker, &cut), STORE_E_CORRUPT);
	assert_true(store_is_damaged(s, why));
	assert_string_equal(why, "2 records of stream 1 are gone from the log");
	store_cursor_status(s, sink, hr, &c);
	assert_int_equal(c.confirmed, 2);
	assert_int_equal(c.anchor, e.acked_through);
	assert_int_equal(c.waiting, 4);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(the_immediate_lane),
		store_test(a_partial_receipt),
		store_test(a_hole_in_a_row),
		store_test(no_memory_for_the_first_record),
		store_test(neighbours_become_one),
		store_test(what_goes_first),
		store_test(bisecting),
		store_test(the_rest_goes_on),
		store_test(limits_grow_again),
		store_test(rejected),
		store_test(a_conflict_holds_its_stream),
		store_test(unhold_waits_for_the_cut),
		store_test(the_ring_went_around),
		store_test(a_start_without_reopen),
		store_test(a_taker_that_fails),
		store_test(what_is_held_is_committed_in_time),
		store_test(a_low_limit_of_batches_does_not_wedge),
		store_test(ten_thousand_batches_go_in_order),
		store_test(a_damaged_record_does_not_stop_the_others),
		cmocka_unit_test(no_memory),
		store_test(quarantine_waits_for_a_commit),
		store_test(rows_take_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
