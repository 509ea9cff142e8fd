/*
 * The database of a damaged store, read around what is damaged. A page that is makes SQLite give up
 * the query it is met in, so a table is walked in ranges of its key: one that ends in an error is cut
 * in two, down to single keys, and what lies on good pages on either side is found.
 *
 *   (0 ................ high]     all up to x is given, then an error
 *        (x .. middle]            walked in the same way, as often as it takes
 *                 (middle .. high]   and then the rest
 *
 * SQLite has no checksums: what is found may be garbage all the same. Refused here is what is out of
 * all bounds; whether a block holds what it says, whoever is given it has to look.
 *
 * A cursor that is not found counts as 0, and more is owed than there was. But a row or a refusal
 * that is not found would pass for a record that the sink has. So these count whole or not at all:
 * then what any sink had is not known, and everything is owed again.
 *
 * SQLite may take 64 MiB, and what it wants beyond is an error in a query like any other.
 */
#include "store/rescue_tables.h"

#include "model/record.h"

#include <sqlite3.h>
#include <stdio.h>

enum {
	HEAP = 64 << 20,
	BLOCK_RECORDS_MAX = 8192,
	RUNS_MAX = 1 << 18,
	IDS_BEYOND = 1 << 16,	/* what may lie behind the highest id that anything names */
	FAILURES_MAX = 4 << 20, /* ranges of ids that ended in an error */
};

struct owed {
	uint32_t sink, stream;
	uint64_t first, last;
};

struct old_run {
	uint64_t number;
	char boot_id[37];
	int64_t offset_us;
};

struct old_segment {
	char boot_id[37];
	int64_t from_us, to_us, offset_us;
	uint8_t clk;
};

struct rescue_tables {
	sqlite3 *db;
	struct rescue_stream *streams; /* [RESCUE_STREAMS_MAX]; number - 1; kind 0: not known */
	struct {
		bool known;
		char name[256];
	} sinks[RESCUE_SINKS_MAX];	       /* number - 1 */
	uint64_t (*cursors)[RESCUE_SINKS_MAX]; /* [RESCUE_STREAMS_MAX] */
	struct owed *owed;		       /* rows, and quarantine as rows of one */
	size_t n_owed;
	bool books; /* rows and quarantine were read to their ends */
	struct old_run *runs;
	size_t n_runs;
	struct old_segment *segments;
	size_t n_segments;
	struct uuid incarnation;
	bool has_incarnation;
	uint64_t failures;
	int64_t high_id;
	rescue_block_cb cb; /* while the log is walked */
	void *userdata;
	int stopped; /* what it returned */
};

typedef void (*row_fn)(struct rescue_tables *t, sqlite3_stmt *stmt);

/* All rows until the first that cannot be read. True: that was all of them. */
static bool each(struct rescue_tables *t, const char *sql, row_fn fn)
{
	sqlite3_stmt *stmt = NULL;
	int code = SQLITE_ERROR;

	if (sqlite3_prepare_v2(t->db, sql, -1, &stmt, NULL) == SQLITE_OK)
		while ((code = sqlite3_step(stmt)) == SQLITE_ROW)
			fn(t, stmt);
	(void)sqlite3_finalize(stmt); /* repeats the error of the step */
	return code == SQLITE_DONE;
}

/*
 * Rows with low < ?1 key <= ?2 high, around what cannot be read. `sql` has the key as its first
 * column, ascending.
 */
static void walk(struct rescue_tables *t, sqlite3_stmt *stmt, int64_t low, int64_t high, row_fn fn)
{
	while (low < high && t->stopped == 0 && t->failures < FAILURES_MAX) {
		int code = SQLITE_DONE;
		int64_t middle;

		(void)sqlite3_reset(stmt); /* repeats the error of the step */
		if (sqlite3_bind_int64(stmt, 1, low) != SQLITE_OK ||
		    sqlite3_bind_int64(stmt, 2, high) != SQLITE_OK)
			return;
		while (t->stopped == 0 && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
			int64_t key = sqlite3_column_int64(stmt, 0);

			if (key <= low || key > high)
				break; /* a page that is not where it belongs */
			low = key;
			fn(t, stmt);
		}
		if (code == SQLITE_DONE || t->stopped != 0)
			return;
		t->failures++;
		if (high - low <= 1)
			return;
		middle = low + (high - low) / 2;
		walk(t, stmt, low, middle, fn); /* at most 63 deep */
		low = middle;
	}
}

static void walk_table(struct rescue_tables *t, const char *sql, int64_t high, row_fn fn)
{
	sqlite3_stmt *stmt = NULL;

	t->failures = 0;
	if (sqlite3_prepare_v2(t->db, sql, -1, &stmt, NULL) == SQLITE_OK)
		walk(t, stmt, 0, high, fn);
	(void)sqlite3_finalize(stmt); /* repeats the error of the step */
}

static void text_of(sqlite3_stmt *stmt, int column, char *ret, size_t size)
{
	const char *text = (const char *)sqlite3_column_text(stmt, column);

	(void)snprintf(ret, size, "%s", text ? text : ""); /* cut */
}

static struct rescue_stream *stream_at(const struct rescue_tables *t, int64_t number)
{
	return number >= 1 && number <= RESCUE_STREAMS_MAX ? &t->streams[number - 1] : NULL;
}

static void on_stream(struct rescue_tables *t, sqlite3_stmt *stmt)
{
	struct rescue_stream *st = stream_at(t, sqlite3_column_int64(stmt, 0));
	int kind = sqlite3_column_int(stmt, 2);

	if (!st || kind < 1 || kind >= KIND_MAX)
		return;
	st->kind = (uint8_t)kind;
	text_of(stmt, 1, st->device, sizeof(st->device));
	text_of(stmt, 3, st->subject, sizeof(st->subject));
	st->deleted = (uint64_t)sqlite3_column_int64(stmt, 4);
}

static void on_sink(struct rescue_tables *t, sqlite3_stmt *stmt)
{
	int64_t number = sqlite3_column_int64(stmt, 0);

	if (number < 1 || number > RESCUE_SINKS_MAX)
		return;
	t->sinks[number - 1].known = true;
	text_of(stmt, 1, t->sinks[number - 1].name, sizeof(t->sinks[0].name));
}

static void on_run(struct rescue_tables *t, sqlite3_stmt *stmt)
{
	struct old_run *runs = reallocarray(t->runs, t->n_runs + 1, sizeof(*runs));

	if (!runs)
		return;
	t->runs = runs;
	runs[t->n_runs] = (struct old_run){.number = (uint64_t)sqlite3_column_int64(stmt, 0),
					   .offset_us = sqlite3_column_int64(stmt, 2)};
	text_of(stmt, 1, runs[t->n_runs].boot_id, sizeof(runs->boot_id));
	t->n_runs++;
}

static void on_segment(struct rescue_tables *t, sqlite3_stmt *stmt)
{
	struct old_segment *all = reallocarray(t->segments, t->n_segments + 1, sizeof(*all));

	if (!all)
		return;
	t->segments = all;
	all[t->n_segments] = (struct old_segment){.from_us = sqlite3_column_int64(stmt, 2),
						  .to_us = sqlite3_column_int64(stmt, 3),
						  .offset_us = sqlite3_column_int64(stmt, 4),
						  .clk = (uint8_t)sqlite3_column_int(stmt, 5)};
	text_of(stmt, 1, all[t->n_segments].boot_id, sizeof(all->boot_id));
	t->n_segments++;
}

static void reach(struct rescue_stream *st, uint64_t run, uint64_t n)
{
	struct rescue_reach *all;
	size_t at = 0;

	if (n == 0 || n > SEQ_N_MAX || run == 0)
		return;
	while (at < st->n_reaches && st->reaches[at].run < run)
		at++;
	if (at < st->n_reaches && st->reaches[at].run == run) {
		st->reaches[at].last_n = MAX(st->reaches[at].last_n, n);
		return;
	}
	all = reallocarray(st->reaches, st->n_reaches + 1, sizeof(*all));
	if (!all)
		return;
	memmove(all + at + 1, all + at, (st->n_reaches - at) * sizeof(*all));
	all[at] = (struct rescue_reach){run, n};
	st->reaches = all;
	st->n_reaches++;
}

static void on_reach(struct rescue_tables *t, sqlite3_stmt *stmt)
{
	struct rescue_stream *st = stream_at(t, sqlite3_column_int64(stmt, 0));

	if (st)
		reach(st, (uint64_t)sqlite3_column_int64(stmt, 1),
		      (uint64_t)sqlite3_column_int64(stmt, 2));
}

static void on_cursor(struct rescue_tables *t, sqlite3_stmt *stmt)
{
	int64_t sink = sqlite3_column_int64(stmt, 0), number = sqlite3_column_int64(stmt, 1);
	uint64_t seq = (uint64_t)sqlite3_column_int64(stmt, 2);
	struct rescue_stream *st = stream_at(t, number);

	if (!st || sink < 1 || sink > RESCUE_SINKS_MAX)
		return;
	t->cursors[number - 1][sink - 1] = seq;
	reach(st, seq_run(seq), seq & SEQ_N_MAX);
}

static void on_owed(struct rescue_tables *t, sqlite3_stmt *stmt)
{
	struct owed *all = reallocarray(t->owed, t->n_owed + 1, sizeof(*all));
	struct owed o = {.sink = (uint32_t)sqlite3_column_int64(stmt, 0),
			 .stream = (uint32_t)sqlite3_column_int64(stmt, 1),
			 .first = (uint64_t)sqlite3_column_int64(stmt, 2),
			 .last = (uint64_t)sqlite3_column_int64(stmt, 3)};

	if (!all) {
		t->books = false;
		return;
	}
	t->owed = all;
	if (o.first <= o.last)
		t->owed[t->n_owed++] = o;
}

static void on_meta(struct rescue_tables *t, sqlite3_stmt *stmt)
{
	if (sqlite3_column_bytes(stmt, 0) != (int)sizeof(t->incarnation.bytes))
		return;
	memcpy(t->incarnation.bytes, sqlite3_column_blob(stmt, 0), sizeof(t->incarnation.bytes));
	t->has_incarnation = true;
}

static const struct old_run *run_of(const struct rescue_tables *t, uint64_t number)
{
	for (size_t i = t->n_runs; i-- > 0;)
		if (t->runs[i].number == number)
			return &t->runs[i];
	return NULL;
}

static void on_high(struct rescue_tables *t, sqlite3_stmt *stmt)
{
	int64_t id = sqlite3_column_int64(stmt, 0);

	if (id < INT64_MAX / 2)
		t->high_id = MAX(t->high_id, id);
}

/*
 * How far ids reach. Where the last page of the log is damaged, every id beyond it ends in an error,
 * so there has to be an end to them: what else names an id, and a margin.
 */
static int64_t high_id(struct rescue_tables *t)
{
	static const char *const hints[] = {
		"SELECT id FROM cursor",
		"SELECT last_id FROM batch",
		"SELECT value FROM meta WHERE key IN ('high_id', 'noted_id')",
		"SELECT id FROM record ORDER BY id",
	};

	if (each(t, "SELECT max(id) FROM record", on_high))
		return t->high_id;
	for (size_t i = 0; i < ARRAY_SIZE(hints); i++)
		(void)each(t, hints[i], on_high); /* as far as it can be read */
	return t->high_id + IDS_BEYOND;
}

static void on_block(struct rescue_tables *t, sqlite3_stmt *stmt)
{
	int64_t n = sqlite3_column_int64(stmt, 3), number = sqlite3_column_int64(stmt, 1);
	struct rescue_block b = {
		.id = (uint64_t)sqlite3_column_int64(stmt, 0),
		.stream = stream_at(t, number) ? (uint32_t)number : 0,
		.seq = (uint64_t)sqlite3_column_int64(stmt, 2),
		.n = (uint32_t)n,
		.boot_us = sqlite3_column_int64(stmt, 4),
		.clk = (uint8_t)sqlite3_column_int(stmt, 5),
		.offset_us = sqlite3_column_int64(stmt, 6),
		.payload = sqlite3_column_blob(stmt, 7),
		.size = (size_t)sqlite3_column_bytes(stmt, 7),
	};

	if (n >= 1 && n <= BLOCK_RECORDS_MAX)
		t->stopped = t->cb(t->userdata, &b);
}

static void read_all(struct rescue_tables *t)
{
	walk_table(t,
		   "SELECT number, device, kind, subject, deleted FROM stream"
		   " WHERE number > ?1 AND number <= ?2 ORDER BY number",
		   RESCUE_STREAMS_MAX, on_stream);
	walk_table(
		t,
		"SELECT number, name FROM sink WHERE number > ?1 AND number <= ?2 ORDER BY number",
		RESCUE_SINKS_MAX, on_sink);
	walk_table(t,
		   "SELECT number, boot_id, offset_us FROM run"
		   " WHERE number > ?1 AND number <= ?2 ORDER BY number",
		   RUNS_MAX, on_run);
	walk_table(t,
		   "SELECT number, boot_id, from_us, to_us, offset_us, clk FROM clock"
		   " WHERE number > ?1 AND number <= ?2 ORDER BY number",
		   RUNS_MAX, on_segment);
	(void)each(t, "SELECT value FROM meta WHERE key = 'incarnation'", on_meta);
	(void)each(t, "SELECT stream, run, last_n FROM stream_run", on_reach);
	(void)each(t, "SELECT sink, stream, seq FROM cursor", on_cursor);
	t->books = true;
	t->books &= each(t, "SELECT sink, stream, first_seq, last_seq FROM batch", on_owed);
	t->books &= each(t, "SELECT sink, stream, seq, seq FROM quarantine", on_owed);
}

static int open_database(struct rescue_tables *t, const char *dir)
{
	char path[512];

	if (snprintf(path, sizeof(path), "%s/store.db", dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	(void)sqlite3_hard_heap_limit64(HEAP); /* returns the one before */
	/* Read only: neither is the WAL written back, nor deleted at the end. */
	if (sqlite3_open_v2(path, &t->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) !=
	    SQLITE_OK)
		return 0; /* then the tables are empty */
	(void)sqlite3_db_config(t->db, SQLITE_DBCONFIG_DEFENSIVE, 1,
				NULL); /* each of these three */
	(void)sqlite3_db_config(t->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);  /* is a help */
	(void)sqlite3_exec(t->db, "PRAGMA cell_size_check=ON", NULL, NULL, NULL); /* and no more */
	return 0;
}

struct rescue_tables *rescue_tables_close(struct rescue_tables *t)
{
	if (!t)
		return NULL;
	(void)sqlite3_close(t->db); /* no statement is left */
	for (size_t i = 0; t->streams && i < RESCUE_STREAMS_MAX; i++)
		free(t->streams[i].reaches);
	free(t->streams);
	free(t->cursors);
	free(t->owed);
	free(t->runs);
	free(t->segments);
	free(t);
	return NULL;
}

int rescue_tables_open(const char *dir, struct rescue_tables **ret)
{
	_cleanup_(rescue_tables_closep) struct rescue_tables *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	t->streams = calloc(RESCUE_STREAMS_MAX, sizeof(*t->streams));
	t->cursors = calloc(RESCUE_STREAMS_MAX, sizeof(*t->cursors));
	if (!t->streams || !t->cursors)
		return -ENOMEM;
	r = open_database(t, dir);
	if (r < 0)
		return r;
	read_all(t);
	*ret = TAKE(t);
	return 0;
}

const struct rescue_stream *rescue_tables_stream(const struct rescue_tables *t, uint32_t number)
{
	const struct rescue_stream *st = stream_at(t, number);

	return st && st->kind ? st : NULL;
}

const char *rescue_tables_sink(const struct rescue_tables *t, uint32_t number)
{
	bool known = number >= 1 && number <= RESCUE_SINKS_MAX && t->sinks[number - 1].known;

	return known ? t->sinks[number - 1].name : NULL;
}

void rescue_tables_reach(struct rescue_tables *t, uint32_t stream, uint64_t seq)
{
	reach(stream_at(t, stream), seq_run(seq), seq & SEQ_N_MAX);
}

bool rescue_tables_may_have_run(const struct rescue_tables *t, uint64_t run)
{
	return t->n_runs == 0 || run_of(t, run);
}

bool rescue_tables_is_ours(const struct rescue_tables *t, const struct uuid *incarnation,
			   uint64_t run)
{
	if (t->has_incarnation)
		return uuid_equal(incarnation, &t->incarnation);
	return run_of(t, run) != NULL;
}

bool rescue_tables_has_books(const struct rescue_tables *t)
{
	return t->books;
}

uint64_t rescue_tables_had_by(const struct rescue_tables *t, uint32_t stream, uint64_t seq,
			      uint64_t *ret_last)
{
	uint64_t had = 0, last = UINT64_MAX;

	for (uint32_t i = 0; t->books && i < RESCUE_SINKS_MAX; i++) {
		uint64_t cursor = t->cursors[stream - 1][i];

		if (!t->sinks[i].known || cursor < seq)
			continue;
		had |= UINT64_C(1) << i;
		last = MIN(last, cursor);
	}
	for (size_t i = 0; i < t->n_owed; i++) {
		const struct owed *o = &t->owed[i];

		if (o->stream != stream || o->last < seq || o->sink < 1 ||
		    o->sink > RESCUE_SINKS_MAX)
			continue;
		if (o->first > seq) {
			last = MIN(last, o->first - 1);
			continue;
		}
		had &= ~(UINT64_C(1) << (o->sink - 1));
		last = MIN(last, o->last);
	}
	*ret_last = last;
	return had;
}

bool rescue_tables_time_of(const struct rescue_tables *t, uint64_t seq, int64_t boot_us,
			   uint8_t *clk, int64_t *offset_us)
{
	const struct old_run *run = run_of(t, seq_run(seq));

	if (*clk == CLK_UTC || *clk == CLK_EST)
		return true;
	if (!run)
		return false;
	*clk = CLK_EST;
	*offset_us = run->offset_us;
	for (size_t i = 0; i < t->n_segments; i++) {
		const struct old_segment *o = &t->segments[i];

		if (boot_us > o->from_us && boot_us <= o->to_us &&
		    streq(o->boot_id, run->boot_id)) {
			*clk = o->clk == CLK_UTC ? CLK_UTC : CLK_EST;
			*offset_us = o->offset_us;
			break;
		}
	}
	return true;
}

void rescue_tables_each_block(struct rescue_tables *t, rescue_block_cb cb, void *userdata)
{
	t->cb = cb;
	t->userdata = userdata;
	t->stopped = 0;
	walk_table(t,
		   "SELECT id, stream, seq, n, boot_us, clk, offset_us, payload FROM record"
		   " WHERE id > ?1 AND id <= ?2 ORDER BY id",
		   high_id(t), on_block);
}
