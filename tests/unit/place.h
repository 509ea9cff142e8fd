/*
 * A place for a store in a test: two directories on tmpfs (a commit there costs no card), a clock
 * that only the test moves, and what nearly every test of the store does with them.
 */
#pragma once

#include "dirs.h"
#include "row_model.h"
#include "store/outbox.h"
#include "store/register.h"

#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

struct place {
	char dir[DIR_SIZE], state[SUBDIR_SIZE], run[SUBDIR_SIZE];
	usec_t now;
};

static const struct clock_state synced = {.synchronised = true, .offset_us = 1700000000000000};
static const struct clock_state unsynced = {.offset_us = 5000};

static inline int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	dirs_make("/dev/shm", p->dir, p->state, p->run);
	p->now = 1000 * USEC_PER_SEC;
	*state = p;
	return 0;
}

static inline int tear_down(void **state)
{
	struct place *p = *state;

	dirs_remove(p->dir);
	free(p);
	return 0;
}

#define store_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* What nearly every test wants of a store; to be changed where one wants something else. */
static inline struct store_options usual_options(const struct place *p)
{
	return (struct store_options){.state_dir = p->state,
				      .runtime_dir = p->run,
				      .role = "test",
				      .tail_size = 16 * 1024,
				      .durability_window = USEC_PER_SEC,
				      .lazy_commit = 300 * USEC_PER_SEC};
}

/* `opening` may be NULL. */
static inline struct store *open_as(struct place *p, const struct store_options *o,
				    const struct clock_state *clock, struct store_opening *opening)
{
	struct store_opening ignored;
	struct store *s = NULL;
	int r;

	if (!opening)
		opening = &ignored;
	r = store_open(o, p->now, clock, opening, &s);
	if (r != 0)
		fail_msg("store_open: %d %s", r, opening->problem);
	return s;
}

static inline struct store *open_with(struct place *p, const struct clock_state *clock,
				      struct store_opening *opening)
{
	struct store_options o = usual_options(p);

	return open_as(p, &o, clock, opening);
}

static inline struct store *open_store(struct place *p)
{
	return open_with(p, &synced, NULL);
}

/* In the file, past the store, which may be closed. */
static inline void run_sql(const struct place *p, const char *sql)
{
	char path[128];
	sqlite3 *db;

	(void)snprintf(path, sizeof(path), "%s/store.db", p->state);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* The number that `sql` gives. */
static inline int64_t ask_db(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt;
	int64_t n;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	n = sqlite3_column_int64(stmt, 0);
	assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
	return n;
}

/* The same of the file, past the store. */
static inline int64_t ask_sql(const struct place *p, const char *sql)
{
	char path[128];
	int64_t n;
	sqlite3 *db;

	(void)snprintf(path, sizeof(path), "%s/store.db", p->state);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	n = ask_db(db, sql);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	return n;
}

static inline uint32_t stream_of_kind(struct store *s, enum kind kind)
{
	uint32_t stream;

	assert_int_equal(register_stream(s, "a0:b1:c2:d3:e4:f5", kind, "u-1", &stream), 0);
	return stream;
}

/* Admits a heart-rate record at p->now, which then is 10 ms later. Returns its seq. */
static inline uint64_t admit(struct place *p, struct store *s, uint32_t stream, uint16_t bpm)
{
	struct record r = {
		.stream = stream,
		.type = RECORD_HEART_RATE,
		.boot_us = (int64_t)p->now,
		.heart_rate = {.bpm = bpm, .energy_kj = -1, .n_rr = 1, .rr_1024 = {800}}};

	assert_int_equal(store_admit(s, &r, p->now), 0);
	p->now += 10000;
	return r.seq;
}

/* What a taker was given, in that order. */
struct taken {
	size_t n, room;
	struct run_info run;
	struct {
		uint32_t stream;
		uint64_t seq, after;
		uint16_t bpm;
	} records[256];
};

static inline int taken_begin(void *userdata, const struct run_info *run)
{
	struct taken *t = userdata;

	t->n = 0;
	t->run = *run;
	return 0;
}

static inline int taken_add(void *userdata, const struct stream_info *stream, uint64_t after,
			    const struct record *r)
{
	struct taken *t = userdata;

	assert_int_equal(r->stream, stream->number);
	assert_int_not_equal(r->clk, CLK_PENDING);
	t->records[t->n].stream = r->stream;
	t->records[t->n].seq = r->seq;
	t->records[t->n].after = after;
	t->records[t->n++].bpm = r->heart_rate.bpm;
	return t->n >= t->room;
}

static inline struct cut_taker taker_of(struct taken *t)
{
	return (struct cut_taker){t, taken_begin, taken_add};
}

/* What is open at the sink, one stream a request. */
static inline void confirm_new(struct store *s, uint32_t sink)
{
	struct taken taken = {.room = ARRAY_SIZE(taken.records)};
	struct cut_taker taker = taker_of(&taken);
	struct cut cut;

	while (outbox_cut(s, sink, &taker, &cut) == 0) {
		struct receipt_entry e = {.stream = cut.ranges[0].stream,
					  .acked_through = cut.ranges[0].last_seq};

		assert_int_equal(outbox_confirm(s, &cut, &e, 1, 0), 0);
	}
}

static inline int end_in_commit(void *userdata)
{
	int *commits_left = userdata;

	if ((*commits_left)-- == 0)
		_exit(0);
	return 0;
}

/* This process lives to see so many commits, and ends in the middle of the next. */
static inline void end_after_commits(struct store *s, int commits)
{
	static int commits_left;

	commits_left = commits;
	(void)sqlite3_commit_hook(s->db, end_in_commit, &commits_left); /* there was none before */
}

static inline void assert_balanced(struct store *s)
{
	_cleanup_(audit_freep) struct audit *a = NULL;
	const struct audit_line *lines;
	size_t n;

	assert_null(index_differs(s, USEC_INFINITY));
	assert_int_equal(audit_new(s, &a), 0);
	while (audit_step(a, 7) == STORE_E_NOTHING)
		;
	n = audit_lines(a, &lines);
	for (size_t i = 0; i < n; i++)
		if (!lines[i].balanced)
			fail_msg("sink %u, stream %u: %s", lines[i].sink, lines[i].stream,
				 lines[i].difference);
	assert_true(audit_balanced(a));
}
