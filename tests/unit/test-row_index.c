/*
 * The index of batch rows against a look at every row, through changes at random; and how many rows are
 * looked at for a claim while ten thousand wait: counted, not timed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"
#include "row_model.h"

enum { EACH = 5000, CYCLES = 100000 };

static uint32_t sink, streams[2]; /* of two straps */
static struct taken taken;
static uint64_t looks;

static struct store *make(struct place *p)
{
	static const char *const devices[] = {"a0:b1:c2:d3:e4:01", "a0:b1:c2:d3:e4:02"};
	struct store *s = open_store(p);

	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		assert_int_equal(register_stream(s, devices[i], KIND_HEART_RATE, "", &streams[i]),
				 0);
	assert_int_equal(register_sink(s, "a", true, false, &sink), 0);
	taken.room = 256;
	return s;
}

/* --- at random --- */

static uint32_t random_below(uint32_t n)
{
	static uint64_t state = 20250101;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32) % n;
}

static void add_one(struct store *s)
{
	uint64_t seq = seq_make(s->run.number, 1 + 20 * random_below(200));
	struct batch_row row = {.sink = sink,
				.stream = streams[random_below(2)],
				.first_seq = seq,
				.last_seq = seq + random_below(9),
				.first_id = random_below(50),
				.priority = (uint8_t)random_below(3),
				.status = (uint8_t)random_below(3),
				.retry_count = random_below(3),
				.next_attempt = random_below(50),
				.limit = 1};
	const struct row_entry *next = row_index_next(s, sink, row.stream, row.first_seq);

	if (row_index_at(s, sink, row.stream, row.first_seq) ||
	    (next && next->row.first_seq <= row.last_seq))
		return;
	row.count = row.last_seq - row.first_seq + 1;
	assert_int_equal(row_add(s, &row), 0);
}

static void change_one(struct store *s, struct row_entry *entry)
{
	struct batch_row *row = &entry->row;

	row->next_attempt = random_below(50);
	row->status = (uint8_t)random_below(3);
	if (random_below(2)) {
		row_index_change_due(s, entry);
		return;
	}
	row->priority = (uint8_t)random_below(3);
	row->retry_count = random_below(3);
	row->first_id = random_below(50);
	if (row->count > 1 && random_below(2)) {
		row->first_seq++;
		row->count--;
	}
	row_touch(s, entry);
}

static void any_change(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	size_t most = 0;

	/* The seqs are made up: the run only has to reach so far. */
	for (size_t i = 0; i < ARRAY_SIZE(streams); i++)
		assert_int_equal(stream_reach(stream_of(s, streams[i]), s->run.number, 5000), 0);
	for (unsigned i = 0; i < 20000; i++) {
		/* It fills, and empties, and fills. */
		bool fills = i / 2000 % 2 == 0;
		const char *why;

		if (s->n_rows == 0 || random_below(4) < (fills ? 2 : 0))
			add_one(s);
		else if (random_below(2))
			change_one(s, &s->rows[random_below((uint32_t)s->n_rows)]);
		else if (!fills || random_below(4) == 0)
			assert_int_equal(row_end(s, &s->rows[random_below((uint32_t)s->n_rows)]),
					 0);
		most = MAX(most, s->n_rows);
		if (i % 8 == 0) {
			why = index_differs(s, random_below(50));
			if (why)
				fail_msg("after %u changes, %zu rows: %s", i, s->n_rows, why);
		}
	}
	assert_true(most > 100);
	store_close(s);
}

/* --- counted --- */

static void owe_each_alone(struct place *p, struct store *s, unsigned each)
{
	uint64_t seq, id;

	for (unsigned k = 0; k < each; k++)
		for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
			struct batch_row row = {.sink = sink,
						.stream = streams[i],
						.count = 1,
						.priority = BATCH_HIGH,
						.limit = 1}; /* so that none grows together */

			if (store_commit_due(s) == 0)
				assert_int_equal(store_commit(s, p->now), 0);
			id = s->next_id;
			seq = admit(p, s, streams[i], 60);
			row.first_seq = row.last_seq = seq;
			row.first_id = row.last_id = id;
			assert_int_equal(row_add(s, &row), 0);
			cursor_move(cursor_of(s, sink, streams[i]), seq, id);
		}
	assert_int_equal(store_commit(s, p->now), 0);
	assert_int_equal(s->n_rows, 2 * each);
}

struct most {
	uint64_t ask, claim, settle;
};

static void note_most(uint64_t *most)
{
	*most = MAX(*most, looks);
	looks = 0;
}

static void count_some(struct place *p, struct store *s, struct most *ret)
{
	struct cut_taker taker = taker_of(&taken);
	struct cut cut;

	*ret = (struct most){0};
	looks = 0;
	for (unsigned i = 0; i < 90; i++) {
		struct receipt_entry e = {0};

		if (i % 10 == 9)
			outbox_take_turns(s, sink);
		assert_int_equal(outbox_next_due(s, sink), 0);
		note_most(&ret->ask);
		assert_int_equal(outbox_claim(s, sink, p->now, &taker, &cut), 0);
		note_most(&ret->claim);
		assert_int_equal(cut.n_records, 1);
		e.stream = cut.ranges[0].stream;
		e.acked_through = cut.ranges[0].last_seq;
		if (i % 3 == 0)
			assert_int_equal(outbox_confirm(s, &cut, &e, 1, p->now), 0);
		else if (i % 3 == 1)
			assert_int_equal(outbox_defer(s, &cut, p->now, p->now + 1000 + i, "x"), 0);
		else
			outbox_release(s, &cut);
		note_most(&ret->settle);
	}
}

/* A hundred times the rows, and half a dozen looks more: as the logarithm has it. */
static void a_claim_looks_at_few(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	struct most few, many;

	s->row_looks = &looks;
	owe_each_alone(p, s, 50);
	count_some(p, s, &few);
	while (s->n_rows > 0)
		assert_int_equal(row_end(s, &s->rows[0]), 0);
	owe_each_alone(p, s, EACH);
	count_some(p, s, &many);
	assert_int_equal(few.ask, 2); /* the roots, of two streams */
	assert_int_equal(many.ask, 2);
	assert_in_range(many.claim, 4, 40); /* measured: 29, and 23 of a hundred */
	assert_in_range(many.claim, 4, few.claim + 14);
	assert_in_range(many.settle, 4, 2 * few.settle);
	assert_int_equal(s->n_rows, 2 * EACH - 30);
	store_close(s);
}

/* What waits is claimed, fails, waits again: neither rows nor what was ended grow in memory. */
static void a_hundred_thousand_claims_need_no_more(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	struct cut_taker taker = taker_of(&taken);
	size_t capacity, dead;
	struct cut cut;

	owe_each_alone(p, s, 500);
	capacity = s->rows_capacity;
	dead = s->dead_rows_capacity;
	for (unsigned i = 0; i < CYCLES; i++) {
		struct batch_row row;

		assert_int_equal(outbox_claim(s, sink, p->now, &taker, &cut), 0);
		row = row_index_number(s, cut.ranges[0].row)->row;
		if (i % 2) {
			assert_int_equal(outbox_defer(s, &cut, p->now, p->now + 500, "x"), 0);
			p->now++;
			continue;
		}
		/* It is confirmed, and found missing there. */
		assert_int_equal(outbox_confirm(s, &cut,
						&(struct receipt_entry){.stream = row.stream,
									.acked_through =
										row.last_seq},
						1, p->now),
				 0);
		row.status = BATCH_PENDING;
		assert_int_equal(row_add(s, &row), 0);
		if (i % 1000 == 0) {
			assert_int_equal(store_commit(s, p->now), 0);
			assert_null(index_differs(s, p->now));
		}
	}
	assert_int_equal(s->n_rows, 1000);
	assert_int_equal(s->rows_capacity, capacity);
	assert_true(s->dead_rows_capacity <= MAX(dead, 1024));
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(any_change),
		store_test(a_claim_looks_at_few),
		store_test(a_hundred_thousand_claims_need_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
