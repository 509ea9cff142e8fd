/*
 * store/rescue_tables: what the tables of a store say when they are whole, when some are gone, and
 * when there is none; that a damaged page hides its own blocks and no others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"
#include "store/rescue_tables.h"

#include <fcntl.h>

enum { N_BLOCKS = 400, BLOCK = 2, A_HAS = 10 };

/* A stream in blocks of two. Sink a has the first ten; sink b has none, and those in a row. */
static void make_store(struct place *p)
{
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE), a, b;
	struct taken taken = {.room = A_HAS};
	struct cut_taker taker = taker_of(&taken);
	struct receipt_entry e = {.stream = stream};
	struct cut cut;

	assert_int_equal(register_sink(s, "a", true, false, &a), 0);
	assert_int_equal(register_sink(s, "b", true, false, &b), 0);
	for (unsigned i = 0; i < N_BLOCKS * BLOCK; i++) {
		(void)admit(p, s, stream, (uint16_t)(100 + i % 100));
		if (i == A_HAS - 1) {
			assert_int_equal(outbox_cut(s, a, &taker, &cut), 0);
			e.acked_through = cut.ranges[0].last_seq;
			assert_int_equal(outbox_confirm(s, &cut, &e, 1, p->now), 0);
			assert_int_equal(outbox_reopen(s, b, p->now), 0);
		}
		if (i % BLOCK == BLOCK - 1)
			assert_int_equal(store_commit(s, p->now), 0);
	}
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
}

static struct rescue_tables *open_tables(const struct place *p)
{
	struct rescue_tables *t = NULL;

	assert_int_equal(rescue_tables_open(p->state, &t), 0);
	return t;
}

struct blocks {
	size_t n, most;
	uint64_t records, last_id, low, high; /* low, high: ids on either side of the widest hole */
};

static int count(void *userdata, const struct rescue_block *b)
{
	struct blocks *all = userdata;

	assert_true(b->id > all->last_id);
	if (b->id - all->last_id > all->high - all->low) {
		all->low = all->last_id;
		all->high = b->id;
	}
	all->last_id = b->id;
	all->records += b->n;
	return ++all->n == all->most;
}

static struct blocks blocks_of(struct rescue_tables *t, size_t most)
{
	struct blocks all = {.most = most};

	rescue_tables_each_block(t, count, &all);
	return all;
}

static void a_store_that_is_whole(void **state)
{
	struct place *p = *state;
	_cleanup_(rescue_tables_closep) struct rescue_tables *t = NULL;
	const struct rescue_stream *st;
	struct blocks all;
	uint64_t until;

	make_store(p);
	t = open_tables(p);
	st = rescue_tables_stream(t, 1);
	assert_non_null(st);
	assert_int_equal(st->kind, KIND_HEART_RATE);
	assert_string_equal(st->device, "a0:b1:c2:d3:e4:f5");
	assert_string_equal(st->subject, "u-1");
	assert_null(rescue_tables_stream(t, 0));
	assert_null(rescue_tables_stream(t, 2));
	assert_null(rescue_tables_stream(t, RESCUE_STREAMS_MAX + 1));
	assert_string_equal(rescue_tables_sink(t, 1), "a");
	assert_string_equal(rescue_tables_sink(t, 2), "b");
	assert_null(rescue_tables_sink(t, 3));
	assert_null(rescue_tables_sink(t, RESCUE_SINKS_MAX + 1));
	assert_true(rescue_tables_has_books(t));
	assert_int_equal(rescue_tables_had_by(t, 1, seq_make(1, 1), &until), 1);
	assert_int_equal(until, seq_make(1, A_HAS));
	assert_int_equal(rescue_tables_had_by(t, 1, seq_make(1, A_HAS + 1), &until), 0);
	assert_true(rescue_tables_may_have_run(t, 1));
	assert_false(rescue_tables_may_have_run(t, 2));
	all = blocks_of(t, 0);
	assert_int_equal(all.n, N_BLOCKS);
	assert_int_equal(all.records, N_BLOCKS * BLOCK);
	assert_int_equal(st->n_reaches, 1);
	assert_int_equal(st->reaches[0].last_n, N_BLOCKS * BLOCK);
	assert_int_equal(blocks_of(t, 3).n, 3); /* and no more */
}

static int is_of_stream(void *userdata, const struct rescue_block *b)
{
	assert_int_equal(b->stream, *(uint32_t *)userdata);
	return 1;
}

/* A hub of years: what is heard today has the highest number. */
static void the_newest_of_many_streams(void **state)
{
	struct place *p = *state;
	_cleanup_(rescue_tables_closep) struct rescue_tables *t = NULL;
	uint32_t newest = 20000;

	make_store(p);
	run_sql(p, "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
		   " INSERT INTO stream(number, uuid, device, kind, subject)"
		   " SELECT i, randomblob(16), 'a0:b1:c2:d3:e4:f5', 1, 'u-' || i FROM n;"
		   "UPDATE record SET stream = 20000; UPDATE cursor SET stream = 20000");
	t = open_tables(p);
	assert_non_null(rescue_tables_stream(t, newest));
	assert_string_equal(rescue_tables_stream(t, newest)->subject, "u-20000");
	rescue_tables_each_block(t, is_of_stream, &newest);
	assert_int_equal(blocks_of(t, 0).n, N_BLOCKS);
}

static void what_is_not_there(void **state)
{
	struct place *p = *state;
	struct rescue_tables *t = open_tables(p);
	uint64_t until;
	int64_t offset_us;
	uint8_t clk = CLK_PENDING;

	for (uint32_t i = 1; i <= RESCUE_STREAMS_MAX; i++)
		assert_null(rescue_tables_stream(t, i));
	assert_null(rescue_tables_sink(t, 1));
	assert_false(rescue_tables_has_books(t));
	assert_int_equal(rescue_tables_had_by(t, 1, 1, &until), 0);
	assert_true(rescue_tables_may_have_run(t, 1)); /* who knows */
	assert_false(rescue_tables_time_of(t, seq_make(1, 1), 1, &clk, &offset_us));
	assert_int_equal(blocks_of(t, 0).n, 0);
	(void)rescue_tables_close(t); /* returns NULL by convention */
}

/* A cursor that is lost owes more than there is; a refusal that is lost must not owe less. */
static void books_are_whole_or_none(void **state)
{
	struct place *p = *state;
	struct rescue_tables *t;
	uint64_t until;

	make_store(p);
	run_sql(p, "DELETE FROM cursor WHERE sink = 2");
	t = open_tables(p);
	assert_true(rescue_tables_has_books(t));
	assert_int_equal(rescue_tables_had_by(t, 1, seq_make(1, 1), &until), 1);
	(void)rescue_tables_close(t); /* returns NULL by convention */
	run_sql(p, "DROP TABLE quarantine");
	t = open_tables(p);
	assert_false(rescue_tables_has_books(t));
	assert_int_equal(rescue_tables_had_by(t, 1, seq_make(1, 1), &until), 0);
	(void)rescue_tables_close(t); /* returns NULL by convention */
}

/* What went in without a clock: from what was learnt of its boot, else from how its run began. */
static void when_it_was(void **state)
{
	struct place *p = *state;
	struct store *s = open_with(p, &unsynced, NULL);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	struct rescue_tables *t;
	int64_t first_us = (int64_t)p->now, offset_us = 7;
	uint8_t clk = CLK_UTC;

	(void)admit(p, s, stream, 60);
	assert_int_equal(store_resolve_clock(s, CLK_UTC, p->now, 42), 0);
	store_close(s);
	t = open_tables(p);
	assert_true(rescue_tables_time_of(t, seq_make(1, 1), first_us, &clk, &offset_us));
	assert_int_equal(offset_us, 7); /* it had one */
	clk = CLK_PENDING;
	assert_true(rescue_tables_time_of(t, seq_make(1, 1), first_us, &clk, &offset_us));
	assert_int_equal(clk, CLK_UTC);
	assert_int_equal(offset_us, 42);
	clk = CLK_PENDING;
	assert_true(
		rescue_tables_time_of(t, seq_make(1, 2), (int64_t)p->now + 1, &clk, &offset_us));
	assert_int_equal(clk, CLK_EST);
	assert_int_equal(offset_us, unsynced.offset_us);
	clk = CLK_PENDING;
	assert_false(rescue_tables_time_of(t, seq_make(9, 1), first_us, &clk, &offset_us));
	(void)rescue_tables_close(t); /* returns NULL by convention */
}

/* By its incarnation, if that can be read; else by the run that it was begun in. */
static void whose_tail_it_is(void **state)
{
	struct place *p = *state;
	static const struct uuid other = {{1}};
	struct store *s = open_store(p);
	struct rescue_tables *t;
	struct store_figures f;

	store_figures(s, &f);
	store_close(s);
	t = open_tables(p);
	assert_true(rescue_tables_is_ours(t, &f.incarnation, 9));
	assert_false(rescue_tables_is_ours(t, &other, 1));
	(void)rescue_tables_close(t); /* returns NULL by convention */
	run_sql(p, "DELETE FROM meta WHERE key = 'incarnation'");
	t = open_tables(p);
	assert_false(rescue_tables_is_ours(t, &f.incarnation, 9));
	assert_true(rescue_tables_is_ours(t, &other, 1));
	(void)rescue_tables_close(t); /* returns NULL by convention */
}

/* Noise over a leaf in the middle of the log. */
static void damage_a_page(const struct place *p)
{
	uint8_t noise[4096];
	char path[128];
	int64_t size, page;
	sqlite3 *db;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/store.db", p->state);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL),
			 SQLITE_OK);
	size = ask_db(db, "PRAGMA page_size");
	page = ask_db(db, "SELECT pageno FROM dbstat WHERE name = 'record' AND pagetype = 'leaf'"
			  " ORDER BY path LIMIT 1 OFFSET 3");
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_in_range(size, 512, sizeof(noise));
	memset(noise, 0xa5, sizeof(noise));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, noise, (size_t)size, (page - 1) * size), size);
	assert_int_equal(close(fd), 0);
}

static void around_a_damaged_page(void **state)
{
	struct place *p = *state;
	struct rescue_tables *t;
	struct blocks all;

	make_store(p);
	damage_a_page(p);
	t = open_tables(p);
	all = blocks_of(t, 0);
	/* One hole, as wide as what is missing, with blocks before and behind it. */
	assert_in_range(all.n, N_BLOCKS / 2, N_BLOCKS - 1);
	assert_true(all.low > BLOCK);
	assert_int_equal(all.last_id, N_BLOCKS * BLOCK);
	assert_int_equal(all.high - all.low - BLOCK, N_BLOCKS * BLOCK - all.records);
	assert_int_equal(rescue_tables_stream(t, 1)->kind, KIND_HEART_RATE);
	assert_true(rescue_tables_has_books(t));
	(void)rescue_tables_close(t); /* returns NULL by convention */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(a_store_that_is_whole), store_test(the_newest_of_many_streams),
		store_test(what_is_not_there),	   store_test(books_are_whole_or_none),
		store_test(when_it_was),	   store_test(whose_tail_it_is),
		store_test(around_a_damaged_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
