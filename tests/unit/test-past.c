/*
 * store/past: a stream from a time on, in the log and in the tail; and what is filled in later does
 * not make a start believe that the stream was last heard then.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"
#include "store/past.h"
#include "store/state.h"

#define SECOND ((int64_t)USEC_PER_SEC)

struct seen {
	size_t n;
	uint16_t first, last;
};

static int note(void *userdata, const struct record *r)
{
	struct seen *seen = userdata;

	if (r->type != RECORD_HEART_RATE)
		return 0;
	if (seen->n++ == 0)
		seen->first = r->heart_rate.bpm;
	seen->last = r->heart_rate.bpm;
	return 0;
}

static struct seen read_since(struct store *s, uint32_t stream, int64_t wall_us)
{
	struct seen seen = {0};

	assert_int_equal(past_read(s, stream, wall_us, note, &seen), 0);
	return seen;
}

static void admit_at(struct place *p, struct store *s, uint32_t stream, int64_t boot_us)
{
	struct record r = {.stream = stream,
			   .type = RECORD_HEART_RATE,
			   .boot_us = boot_us,
			   .heart_rate = {.bpm = 50, .energy_kj = -1}};

	assert_int_equal(store_admit(s, &r, p->now), 0);
}

static void admit_marker(struct place *p, struct store *s, uint32_t stream, int64_t boot_us)
{
	struct record r = {.stream = stream,
			   .type = RECORD_GAP,
			   .boot_us = boot_us,
			   .gap = {.reason = GAP_BACKFILLED, .n = 1, .duration_us = SECOND}};

	assert_int_equal(store_admit(s, &r, p->now), 0);
}

static void from_a_time_on(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	uint32_t other = stream_of_kind(s, KIND_PPI);
	int64_t since = 0, offset;
	struct seen seen;

	for (uint16_t i = 0; i < 100; i++) {
		if (i == 50)
			since = (int64_t)p->now + synced.offset_us;
		(void)admit(p, s, stream, i);
		(void)admit(p, s, other, 200);
		if (i % 20 == 19 && i < 90) /* the last twenty stay in the tail */
			assert_int_equal(store_commit(s, p->now), 0);
	}
	assert_true(past_offset(s, &offset));
	assert_int_equal(offset, synced.offset_us);
	seen = read_since(s, stream, since);
	assert_int_equal(seen.first, 40); /* its block begins before */
	assert_int_equal(seen.last, 99);
	assert_int_equal(seen.n, 60);
	seen = read_since(s, stream, 0); /* older than all */
	assert_int_equal(seen.n, 100);
	seen = read_since(s, stream, INT64_MAX);
	assert_int_equal(seen.last, 99);
	store_close(s);
}

static void no_time_no_past(void **state)
{
	struct place *p = *state;
	struct store *s = open_with(p, &unsynced, NULL);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	struct seen seen = {0};
	int64_t offset;

	assert_false(past_offset(s, &offset));
	(void)admit(p, s, stream, 60);
	assert_int_equal(past_read(s, stream, 0, note, &seen), STORE_E_CLOCK);
	store_close(s);
}

/* Live, then a slice of the past behind it; the process dies: when was it last heard? */
static void filled_is_not_heard(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	struct stream_status status;
	int64_t heard = (int64_t)p->now, last;

	(void)admit(p, s, stream, 60);
	admit_marker(p, s, stream, heard - 100 * SECOND);
	for (int i = 1; i < PAST_SLICE; i++) {
		admit_at(p, s, stream, heard - 100 * SECOND + i * SECOND / 20);
		if (i % 100 == 0)
			assert_int_equal(store_commit(s, p->now), 0);
	}
	store_stream_status(s, stream, &status);
	assert_int_equal(status.last_wall_us, heard + synced.offset_us);
	assert_int_equal(status.gaps, 0);
	store_close(s);
	s = open_store(p);
	assert_true(store_last_heard(s, stream, &last));
	assert_int_equal(last, heard);
	store_stream_status(s, stream, &status);
	assert_int_equal(status.last_wall_us, heard + synced.offset_us);
	/* Without a marker among them the newest counts, as ever: a clock may have been set back. */
	for (int i = 0; i < PAST_SLICE + 2; i++)
		admit_at(p, s, stream, heard - 500 * SECOND + i);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	s = open_store(p);
	assert_true(store_last_heard(s, stream, &last));
	assert_int_equal(last, heard - 500 * SECOND + PAST_SLICE + 1);
	store_close(s);
}

static int count_steps(void *userdata)
{
	++*(unsigned *)userdata;
	return 0;
}

/* A hub whose straps are handed on: of most streams nothing is heard any more. */
static void silent_streams_do_not_hold_up_a_start(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	struct stream_status status;
	unsigned steps = 0;

	(void)admit(p, s, stream, 60);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	run_sql(p, "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 500)"
		   " INSERT INTO stream(number, uuid, device, kind, subject)"
		   " SELECT i, randomblob(16), 'a0:b1:c2:d3:e4:f5', 1, 'u-' || i FROM n;"
		   "INSERT INTO stream_run SELECT number, 1, 5 FROM stream WHERE number > 1;"
		   "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
		   " INSERT INTO record SELECT i, 1, 268435456 + i, 1, boot_us + i * 1000000, clk,"
		   " offset_us, payload FROM record, n WHERE id = 1");
	s = open_store(p);
	store_stream_status(s, stream, &status);
	assert_int_equal(status.last_wall_us,
			 1000 * SECOND + 5000 * SECOND + synced.offset_us); /* the last block */
	sqlite3_progress_handler(s->db, 1000, count_steps, &steps);
	log_find_newest(s);
	sqlite3_progress_handler(s->db, 0, NULL, NULL);
	assert_in_range(steps, 0, 500); /* some for each block, not for each of each stream */
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(from_a_time_on),
		store_test(no_time_no_past),
		store_test(filled_is_not_heard),
		store_test(silent_streams_do_not_hold_up_a_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
