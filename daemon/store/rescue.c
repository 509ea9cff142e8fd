/*
 * What can still be read of a damaged store. The log first, in the order of its ids; then the tail,
 * whose ring still holds much that the log lost; then what is missing, as gaps.
 *
 * A page that is damaged makes SQLite give up the query it is met in, so the log is walked in ranges
 * of ids: one that ends in an error is cut in two, down to single ids, and what lies on good pages on
 * either side is found. SQLite has no checksums: a block counts as read when its stream and run are
 * known, its numbers were not seen before, and its payload unpacks to exactly the records it says.
 * One that does not is left out whole, because nobody can tell how much of it is true.
 *
 * How many there must be is known: n is dense from 1 in each (stream, run), so what is neither found
 * nor deleted is missing. The books of the sinks (cursor, batch, quarantine) are read as well. Where
 * they cannot be, what a sink had is not known, and everything is owed again.
 *
 * This process has 64 MiB for SQLite and a quarter of an hour (alarm(2); rlimits are refused in the
 * unit's sandbox). It may crash: what it said until then counts, and it is started again.
 */
#include "store/rescue.h"

#include "store/pack.h"
#include "store/rescue_frame.h"
#include "store/tail.h"

#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PATIENCE_S = 900,
	HEAP = 64 << 20,
	OUT_FULL = 64 << 10,
	BLOCK_RECORDS_MAX = 8192,
	STREAMS_MAX = 4096,
	SINKS_MAX = 64,
	RUNS_MAX = 1 << 18,
	IDS_BEYOND = 1 << 16, /* what may lie behind the highest id that anything names */
	PIECE_MAX = 8 << 10,
	GAPS_MAX = 64,		/* of a stream; the last takes the rest */
	FAILURES_MAX = 4 << 20, /* ranges of ids that ended in an error */
};

struct found {
	uint64_t first, last;	/* seq */
	int64_t from_us, to_us; /* wall */
	uint8_t clk;
};

struct reach {
	uint64_t run, last_n;
};

struct lost_stream {
	bool known, told;
	uint8_t kind;
	char device[64], subject[256];
	uint64_t deleted;
	struct reach *reaches; /* ascending */
	size_t n_reaches;
	struct found *found; /* ascending */
	size_t n_found;
};

struct owed {
	uint32_t sink, stream;
	uint64_t first, last;
};

struct old_run {
	uint64_t number;
	char boot_id[37];
	int64_t offset_us;
	bool synced;
};

struct old_segment {
	char boot_id[37];
	int64_t from_us, to_us, offset_us;
	uint8_t clk;
};

struct rescue {
	sqlite3 *db;
	int fd;
	int error; /* of writing to fd */
	struct buf out;
	struct lost_stream *streams; /* [STREAMS_MAX]; number - 1 */
	bool sinks[SINKS_MAX];
	uint64_t (*cursors)[SINKS_MAX]; /* [STREAMS_MAX] */
	struct owed *owed;		/* rows, and quarantine as rows of one */
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
	uint64_t nameless; /* records of streams that are not known */
	struct buf piece;
	struct record record;
};

static void flush(struct rescue *g)
{
	size_t at = 0;

	if (g->out.failed && g->error == 0)
		g->error = -ENOMEM;
	while (g->error == 0 && at < g->out.size) {
		ssize_t n = write(g->fd, g->out.data + at, g->out.size - at);

		if (n < 0 && errno != EINTR)
			g->error = -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	buf_reset(&g->out);
}

static void tell(struct rescue *g, const struct rescue_message *m)
{
	rescue_write(&g->out, m);
	if (g->out.size >= OUT_FULL)
		flush(g);
}

/* --- tables --- */

typedef void (*row_fn)(struct rescue *g, sqlite3_stmt *stmt);

/* All rows until the first that cannot be read. True: that was all of them. */
static bool each(struct rescue *g, const char *sql, row_fn fn)
{
	sqlite3_stmt *stmt = NULL;
	int code = SQLITE_ERROR;

	if (sqlite3_prepare_v2(g->db, sql, -1, &stmt, NULL) == SQLITE_OK)
		while ((code = sqlite3_step(stmt)) == SQLITE_ROW)
			fn(g, stmt);
	(void)sqlite3_finalize(stmt); /* repeats the error of the step */
	return code == SQLITE_DONE;
}

/*
 * Rows with low < ?1 key <= ?2 high, around what cannot be read. `sql` has the key as its first
 * column, ascending.
 */
static void walk(struct rescue *g, sqlite3_stmt *stmt, int64_t low, int64_t high, row_fn fn)
{
	while (low < high && g->error == 0 && g->failures < FAILURES_MAX) {
		int64_t middle;
		int code;

		(void)sqlite3_reset(stmt); /* repeats the error of the step */
		if (sqlite3_bind_int64(stmt, 1, low) != SQLITE_OK ||
		    sqlite3_bind_int64(stmt, 2, high) != SQLITE_OK)
			return;
		while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
			int64_t key = sqlite3_column_int64(stmt, 0);

			if (key <= low || key > high)
				break; /* a page that is not where it belongs */
			low = key;
			fn(g, stmt);
		}
		if (code == SQLITE_DONE)
			return;
		g->failures++;
		if (high - low <= 1)
			return;
		middle = low + (high - low) / 2;
		walk(g, stmt, low, middle, fn); /* at most 63 deep */
		low = middle;
	}
}

static void walk_table(struct rescue *g, const char *sql, int64_t high, row_fn fn)
{
	sqlite3_stmt *stmt = NULL;

	g->failures = 0;

	if (sqlite3_prepare_v2(g->db, sql, -1, &stmt, NULL) == SQLITE_OK)
		walk(g, stmt, 0, high, fn);
	(void)sqlite3_finalize(stmt); /* repeats the error of the step */
}

static void text_of(sqlite3_stmt *stmt, int column, char *ret, size_t size)
{
	const char *text = (const char *)sqlite3_column_text(stmt, column);

	(void)snprintf(ret, size, "%s", text ? text : ""); /* cut */
}

static struct lost_stream *stream_at(struct rescue *g, int64_t number)
{
	return number >= 1 && number <= STREAMS_MAX ? &g->streams[number - 1] : NULL;
}

static void on_stream(struct rescue *g, sqlite3_stmt *stmt)
{
	struct lost_stream *st = stream_at(g, sqlite3_column_int64(stmt, 0));
	int kind = sqlite3_column_int(stmt, 2);

	if (!st || kind < 1 || kind >= KIND_MAX)
		return;
	st->known = true;
	st->kind = (uint8_t)kind;
	text_of(stmt, 1, st->device, sizeof(st->device));
	text_of(stmt, 3, st->subject, sizeof(st->subject));
	st->deleted = (uint64_t)sqlite3_column_int64(stmt, 4);
}

static void on_sink(struct rescue *g, sqlite3_stmt *stmt)
{
	int64_t number = sqlite3_column_int64(stmt, 0);
	struct rescue_message m = {.type = RESCUE_SINK, .number = (uint32_t)number};

	if (number < 1 || number > SINKS_MAX)
		return;
	text_of(stmt, 1, m.name, sizeof(m.name));
	g->sinks[number - 1] = true;
	tell(g, &m);
}

static void on_run(struct rescue *g, sqlite3_stmt *stmt)
{
	struct old_run *runs = reallocarray(g->runs, g->n_runs + 1, sizeof(*runs));

	if (!runs)
		return;
	g->runs = runs;
	runs[g->n_runs] = (struct old_run){.number = (uint64_t)sqlite3_column_int64(stmt, 0),
					   .offset_us = sqlite3_column_int64(stmt, 2),
					   .synced = sqlite3_column_int(stmt, 3) != 0};
	text_of(stmt, 1, runs[g->n_runs].boot_id, sizeof(runs->boot_id));
	g->n_runs++;
}

static void on_segment(struct rescue *g, sqlite3_stmt *stmt)
{
	struct old_segment *all = reallocarray(g->segments, g->n_segments + 1, sizeof(*all));

	if (!all)
		return;
	g->segments = all;
	all[g->n_segments] = (struct old_segment){.from_us = sqlite3_column_int64(stmt, 2),
						  .to_us = sqlite3_column_int64(stmt, 3),
						  .offset_us = sqlite3_column_int64(stmt, 4),
						  .clk = (uint8_t)sqlite3_column_int(stmt, 5)};
	text_of(stmt, 1, all[g->n_segments].boot_id, sizeof(all->boot_id));
	g->n_segments++;
}

static void reach(struct lost_stream *st, uint64_t run, uint64_t n)
{
	struct reach *all;
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
	all[at] = (struct reach){run, n};
	st->reaches = all;
	st->n_reaches++;
}

static void on_reach(struct rescue *g, sqlite3_stmt *stmt)
{
	struct lost_stream *st = stream_at(g, sqlite3_column_int64(stmt, 0));

	if (st)
		reach(st, (uint64_t)sqlite3_column_int64(stmt, 1),
		      (uint64_t)sqlite3_column_int64(stmt, 2));
}

static void on_cursor(struct rescue *g, sqlite3_stmt *stmt)
{
	int64_t sink = sqlite3_column_int64(stmt, 0), number = sqlite3_column_int64(stmt, 1);
	uint64_t seq = (uint64_t)sqlite3_column_int64(stmt, 2);
	struct lost_stream *st = stream_at(g, number);

	if (!st || sink < 1 || sink > SINKS_MAX)
		return;
	g->cursors[number - 1][sink - 1] = seq;
	reach(st, seq_run(seq), seq & SEQ_N_MAX);
}

static void on_owed(struct rescue *g, sqlite3_stmt *stmt)
{
	struct owed *all = reallocarray(g->owed, g->n_owed + 1, sizeof(*all));
	struct owed o = {.sink = (uint32_t)sqlite3_column_int64(stmt, 0),
			 .stream = (uint32_t)sqlite3_column_int64(stmt, 1),
			 .first = (uint64_t)sqlite3_column_int64(stmt, 2),
			 .last = (uint64_t)sqlite3_column_int64(stmt, 3)};

	if (!all) {
		g->books = false;
		return;
	}
	g->owed = all;
	if (o.first <= o.last)
		g->owed[g->n_owed++] = o;
}

static void on_meta(struct rescue *g, sqlite3_stmt *stmt)
{
	if (sqlite3_column_bytes(stmt, 0) != (int)sizeof(g->incarnation.bytes))
		return;
	memcpy(g->incarnation.bytes, sqlite3_column_blob(stmt, 0), sizeof(g->incarnation.bytes));
	g->has_incarnation = true;
}

static void read_books(struct rescue *g)
{
	walk_table(g,
		   "SELECT number, device, kind, subject, deleted FROM stream"
		   " WHERE number > ?1 AND number <= ?2 ORDER BY number",
		   STREAMS_MAX, on_stream);
	walk_table(
		g,
		"SELECT number, name FROM sink WHERE number > ?1 AND number <= ?2 ORDER BY number",
		SINKS_MAX, on_sink);
	walk_table(g,
		   "SELECT number, boot_id, offset_us, synced FROM run"
		   " WHERE number > ?1 AND number <= ?2 ORDER BY number",
		   RUNS_MAX, on_run);
	walk_table(g,
		   "SELECT number, boot_id, from_us, to_us, offset_us, clk FROM clock"
		   " WHERE number > ?1 AND number <= ?2 ORDER BY number",
		   RUNS_MAX, on_segment);
	(void)each(g, "SELECT value FROM meta WHERE key = 'incarnation'", on_meta);
	(void)each(g, "SELECT stream, run, last_n FROM stream_run", on_reach);
	(void)each(g, "SELECT sink, stream, seq FROM cursor", on_cursor);
	g->books = true;
	g->books &= each(g, "SELECT sink, stream, first_seq, last_seq FROM batch", on_owed);
	g->books &= each(g, "SELECT sink, stream, seq, seq FROM quarantine", on_owed);
}

/* --- what a sink has --- */

/* Which sinks have this record, and up to which seq that is so. */
static uint64_t had_by(const struct rescue *g, uint32_t stream, uint64_t seq, uint64_t *ret_last)
{
	uint64_t had = 0, last = UINT64_MAX;

	for (uint32_t i = 0; g->books && i < SINKS_MAX; i++) {
		uint64_t cursor = g->cursors[stream - 1][i];

		if (!g->sinks[i] || cursor < seq)
			continue;
		had |= UINT64_C(1) << i;
		last = MIN(last, cursor);
	}
	for (size_t i = 0; i < g->n_owed; i++) {
		const struct owed *o = &g->owed[i];

		if (o->stream != stream || o->last < seq || o->sink < 1 || o->sink > SINKS_MAX)
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

/* --- records --- */

static const struct old_run *run_of(const struct rescue *g, uint64_t number)
{
	for (size_t i = g->n_runs; i-- > 0;)
		if (g->runs[i].number == number)
			return &g->runs[i];
	return NULL;
}

/* What wall.c would have said, or will never be able to: then the clock its run began with. */
static bool time_of(const struct rescue *g, uint64_t seq, int64_t boot_us, uint8_t *clk,
		    int64_t *offset_us)
{
	const struct old_run *run = run_of(g, seq_run(seq));

	if (*clk == CLK_UTC || *clk == CLK_EST)
		return true;
	if (!run)
		return false;
	*clk = CLK_EST;
	*offset_us = run->offset_us;
	for (size_t i = 0; i < g->n_segments; i++) {
		const struct old_segment *o = &g->segments[i];

		if (boot_us > o->from_us && boot_us <= o->to_us &&
		    streq(o->boot_id, run->boot_id)) {
			*clk = o->clk == CLK_UTC ? CLK_UTC : CLK_EST;
			*offset_us = o->offset_us;
			break;
		}
	}
	return true;
}

/* Where it would go among what was found; SIZE_MAX: (some of) it is there already. */
static size_t place_of(const struct lost_stream *st, uint64_t first, uint64_t last)
{
	size_t low = 0, high = st->n_found;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (st->found[middle].last < first)
			low = middle + 1;
		else
			high = middle;
	}
	return low < st->n_found && st->found[low].first <= last ? SIZE_MAX : low;
}

static int note_found(struct lost_stream *st, const struct found *f)
{
	size_t at = place_of(st, f->first, f->last);
	struct found *all, *before = at > 0 ? &st->found[at - 1] : NULL;

	if (before && before->last + 1 == f->first) {
		before->last = f->last;
		before->to_us = f->to_us;
		return 0;
	}
	all = reallocarray(st->found, st->n_found + 1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	memmove(all + at + 1, all + at, (st->n_found - at) * sizeof(*all));
	all[at] = *f;
	st->found = all;
	st->n_found++;
	return 0;
}

static void tell_stream(struct rescue *g, uint32_t number)
{
	struct lost_stream *st = &g->streams[number - 1];
	struct rescue_message m = {.type = RESCUE_STREAM, .number = number, .kind = st->kind};

	if (st->told)
		return;
	memcpy(m.device, st->device, sizeof(m.device));
	memcpy(m.name, st->subject, sizeof(m.name));
	tell(g, &m);
	st->told = true;
}

struct rescued_block {
	uint8_t phase, clk;
	uint32_t stream, n;
	uint64_t id, seq;
	int64_t boot_us, offset_us;
	const uint8_t *payload;
	size_t size;
};

/* It unpacks to exactly the records that it says. */
static bool is_whole(struct rescue *g, const struct rescued_block *b)
{
	struct bytes in = bytes_make(b->payload, b->size);

	for (uint32_t i = 0; i < b->n; i++) {
		(void)bytes_svarint(&in);
		if (record_unpack(&in, &g->record) < 0)
			return false;
	}
	return !in.failed && bytes_left(&in) == 0;
}

static bool is_new(struct rescue *g, const struct rescued_block *b)
{
	uint64_t last = b->seq + b->n - 1;

	return b->n >= 1 && b->n <= BLOCK_RECORDS_MAX && seq_run(b->seq) != 0 &&
	       (b->seq & SEQ_N_MAX) != 0 && seq_run(last) == seq_run(b->seq) &&
	       (g->n_runs == 0 || run_of(g, seq_run(b->seq))) &&
	       place_of(&g->streams[b->stream - 1], b->seq, last) != SIZE_MAX;
}

static void end_piece(struct rescue *g, struct rescue_message *m)
{
	if (m->piece.n == 0)
		return;
	m->piece.payload = g->piece.data;
	m->piece.size = g->piece.size;
	tell(g, m);
	m->piece.n = 0;
}

/* A block in pieces: as far as clock and sinks are the same for all of it. */
static void give_block(struct rescue *g, const struct rescued_block *b)
{
	struct bytes in = bytes_make(b->payload, b->size);
	struct lost_stream *st = &g->streams[b->stream - 1];
	struct rescue_message m = {.type = RESCUE_PIECE};
	struct salvage_piece *p = &m.piece;
	struct found f = {.first = b->seq, .last = b->seq + b->n - 1, .clk = b->clk};
	int64_t boot_us = b->boot_us, last_us = 0;
	uint64_t had = 0, same_until = 0;

	tell_stream(g, b->stream);
	for (uint32_t i = 0; i < b->n; i++) {
		int64_t offset_us = b->offset_us;
		uint64_t seq = b->seq + i;
		uint8_t clk = b->clk;
		size_t at;

		boot_us += bytes_svarint(&in);
		at = in.at;
		(void)record_unpack(&in, &g->record); /* it is whole */
		if (!time_of(g, seq, boot_us, &clk, &offset_us))
			return; /* the runs could not be read: nobody knows when this was */
		if (p->n > 0 && (seq > same_until || clk != p->clk || offset_us != p->offset_us ||
				 g->piece.size > PIECE_MAX))
			end_piece(g, &m);
		if (p->n == 0) {
			had = had_by(g, b->stream, seq, &same_until);
			*p = (struct salvage_piece){.stream = b->stream,
						    .boot_us = boot_us,
						    .offset_us = offset_us,
						    .clk = clk,
						    .had = had};
			last_us = boot_us;
			buf_reset(&g->piece);
		}
		buf_svarint(&g->piece, boot_us - last_us);
		buf_append(&g->piece, b->payload + at, in.at - at);
		last_us = boot_us;
		p->place = (struct salvage_place){b->phase, b->id, seq};
		p->n++;
		if (i == 0)
			f.from_us = boot_us + offset_us;
		f.to_us = boot_us + offset_us;
		f.clk = clk;
	}
	end_piece(g, &m);
	if (g->piece.failed || note_found(st, &f) < 0)
		g->error = -ENOMEM;
	reach(st, seq_run(f.last), f.last & SEQ_N_MAX);
}

static void on_block(struct rescue *g, sqlite3_stmt *stmt)
{
	int64_t n = sqlite3_column_int64(stmt, 3), number = sqlite3_column_int64(stmt, 1);
	struct rescued_block b = {
		.id = (uint64_t)sqlite3_column_int64(stmt, 0),
		.stream = (uint32_t)number,
		.seq = (uint64_t)sqlite3_column_int64(stmt, 2),
		.n = (uint32_t)n,
		.boot_us = sqlite3_column_int64(stmt, 4),
		.clk = (uint8_t)sqlite3_column_int(stmt, 5),
		.offset_us = sqlite3_column_int64(stmt, 6),
		.payload = sqlite3_column_blob(stmt, 7),
		.size = (size_t)sqlite3_column_bytes(stmt, 7),
	};

	if (n < 1 || n > BLOCK_RECORDS_MAX || !is_whole(g, &b))
		return;
	if (!stream_at(g, number) || !stream_at(g, number)->known)
		g->nameless += b.n;
	else if (is_new(g, &b))
		give_block(g, &b);
}

static bool is_our_tail(const struct rescue *g, const struct tail *t)
{
	if (g->has_incarnation)
		return uuid_equal(tail_incarnation(t), &g->incarnation);
	return run_of(g, tail_run(t)) != NULL;
}

/* The ring still holds what was committed lately: what the log lost of it is found here. */
static void read_tail(struct rescue *g, const char *dir)
{
	_cleanup_(tail_freep) struct tail *t = NULL;
	const uint8_t *payload;
	struct slot slot;
	uint64_t position, next;
	char path[512];

	if (snprintf(path, sizeof(path), "%s/tail", dir) >= (int)sizeof(path) ||
	    tail_open(path, false, &t) != 0 || !is_our_tail(g, t))
		return;
	position = tail_start(t);
	while (g->error == 0 && tail_read(t, position, &slot, &payload, &next) == 0) {
		struct lost_stream *st = stream_at(g, slot.stream);
		struct rescued_block b = {.phase = 1,
					  .id = slot.id,
					  .stream = slot.stream,
					  .seq = slot.seq,
					  .n = 1,
					  .boot_us = slot.boot_us,
					  .clk = slot.clk,
					  .offset_us = slot.offset_us};
		struct buf block = {0};

		position = next;
		buf_svarint(&block, 0);
		buf_append(&block, payload, slot.n_payload);
		b.payload = block.data;
		b.size = block.size;
		if (!st || !st->known)
			g->nameless++;
		else if (!block.failed && is_whole(g, &b) && is_new(g, &b))
			give_block(g, &b);
		buf_done(&block);
	}
}

/* --- what is missing --- */

struct gaps {
	struct rescue *g;
	uint32_t stream;
	uint64_t rank; /* numbers of this stream before the run that is looked at */
	struct rescue_message last;
	size_t n;
};

static void end_gap(struct gaps *w)
{
	if (w->last.n == 0)
		return;
	tell_stream(w->g, w->stream);
	w->last.piece.place = (struct salvage_place){2, w->stream, w->n};
	tell(w->g, &w->last);
	w->last.n = 0;
}

static void add_gap(struct gaps *w, uint64_t first, uint64_t last, int64_t from_us, int64_t to_us,
		    uint8_t clk)
{
	while (first <= last) {
		uint64_t until, had = had_by(w->g, w->stream, first, &until);
		uint64_t n = MIN(last, until) - first + 1;

		if (w->last.n > 0 && w->n >= GAPS_MAX) {
			w->last.n += n;
			w->last.until_us = MAX(w->last.until_us, to_us);
			w->last.piece.had &= had;
		} else {
			end_gap(w);
			w->n++;
			w->last = (struct rescue_message){.type = RESCUE_GAP,
							  .n = n,
							  .until_us = to_us};
			w->last.piece.stream = w->stream;
			w->last.piece.boot_us = from_us;
			w->last.piece.clk = clk;
			w->last.piece.had = had;
		}
		if (until >= last)
			return;
		first = until + 1;
	}
}

/* Numbers [first, last] of one run were not found between these two; either may be NULL. */
static void missing(struct gaps *w, uint64_t first, uint64_t last, const struct found *before,
		    const struct found *after)
{
	uint64_t deleted = w->g->streams[w->stream - 1].deleted;
	uint64_t rank = w->rank + (first & SEQ_N_MAX);
	int64_t from_us = before ? before->to_us : after ? after->from_us : 0;
	int64_t to_us = after ? after->from_us : from_us;
	const struct found *near = before ? before : after;

	if (rank <= deleted)
		first += MIN(deleted - rank + 1, last - first + 1);
	if (first <= last)
		add_gap(w, first, last, from_us, MAX(to_us, from_us), near ? near->clk : CLK_EST);
}

static void tell_missing(struct rescue *g, uint32_t number)
{
	const struct lost_stream *st = &g->streams[number - 1];
	const struct found *before = NULL;
	struct gaps w = {.g = g, .stream = number};
	size_t at = 0;

	for (size_t i = 0; i < st->n_reaches; i++) {
		uint64_t run = st->reaches[i].run, next = seq_make(run, 1);
		uint64_t end = seq_make(run, st->reaches[i].last_n);

		while (at < st->n_found && st->found[at].first <= end) {
			const struct found *f = &st->found[at++];

			if (f->first > next)
				missing(&w, next, f->first - 1, before, f);
			before = f;
			next = f->last + 1;
		}
		if (next <= end)
			missing(&w, next, end, before, at < st->n_found ? &st->found[at] : NULL);
		w.rank += st->reaches[i].last_n;
	}
	end_gap(&w);
}

/* --- all of it --- */

static void on_high(struct rescue *g, sqlite3_stmt *stmt)
{
	int64_t id = sqlite3_column_int64(stmt, 0);

	if (id < INT64_MAX / 2)
		g->high_id = MAX(g->high_id, id);
}

/*
 * How far ids reach. Where the last page of the log is damaged, every id beyond it ends in an error,
 * so there has to be an end to them: what else names an id, and a margin.
 */
static int64_t high_id(struct rescue *g)
{
	static const char *const hints[] = {
		"SELECT id FROM cursor",
		"SELECT last_id FROM batch",
		"SELECT value FROM meta WHERE key IN ('high_id', 'noted_id')",
		"SELECT id FROM record ORDER BY id",
	};

	if (each(g, "SELECT max(id) FROM record", on_high))
		return g->high_id;
	for (size_t i = 0; i < ARRAY_SIZE(hints); i++)
		(void)each(g, hints[i], on_high); /* as far as it can be read */
	return g->high_id + IDS_BEYOND;
}

static uint64_t bytes_in(const char *dir)
{
	static const char *const names[] = {"store.db", "store.db-wal", "tail"};
	uint64_t bytes = 0;
	char path[512];
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (snprintf(path, sizeof(path), "%s/%s", dir, names[i]) < (int)sizeof(path) &&
		    stat(path, &st) == 0)
			bytes += (uint64_t)st.st_size;
	return bytes;
}

static void tell_end(struct rescue *g, const char *dir)
{
	struct rescue_message m = {.type = RESCUE_END, .n = g->nameless};
	bool any = false;

	for (size_t i = 0; i < STREAMS_MAX; i++)
		any |= g->streams[i].known;
	if (!any)
		(void)snprintf(m.name, sizeof(m.name), "nothing could be read; %llu bytes are kept",
			       (unsigned long long)bytes_in(dir));
	else if (!g->books)
		(void)snprintf(m.name, sizeof(m.name),
			       "what the servers have already could not be read: all of it is sent "
			       "again");
	tell(g, &m);
}

static int open_files(struct rescue *g, const char *dir)
{
	char path[512];

	if (snprintf(path, sizeof(path), "%s/store.db", dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	/* Read only: neither is the WAL written back, nor deleted at the end. */
	if (sqlite3_open_v2(path, &g->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) !=
	    SQLITE_OK)
		return 0; /* then the tables are empty */
	(void)sqlite3_db_config(g->db, SQLITE_DBCONFIG_DEFENSIVE, 1,
				NULL); /* each of these three */
	(void)sqlite3_db_config(g->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);  /* is a help */
	(void)sqlite3_exec(g->db, "PRAGMA cell_size_check=ON", NULL, NULL, NULL); /* and no more */
	return 0;
}

static void done(struct rescue *g)
{
	for (size_t i = 0; g->streams && i < STREAMS_MAX; i++) {
		free(g->streams[i].reaches);
		free(g->streams[i].found);
	}
	free(g->streams);
	free(g->cursors);
	free(g->owed);
	free(g->runs);
	free(g->segments);
	buf_done(&g->out);
	buf_done(&g->piece);
	(void)sqlite3_close(g->db); /* no statement is left */
}

int rescue_run(const char *dir, int fd)
{
	struct rescue g = {.fd = fd};
	int r;

	(void)alarm(PATIENCE_S); /* returns what was left of an earlier one */
	(void)sqlite3_hard_heap_limit64(HEAP);
	g.streams = calloc(STREAMS_MAX, sizeof(*g.streams));
	g.cursors = calloc(STREAMS_MAX, sizeof(*g.cursors));
	r = g.streams && g.cursors ? open_files(&g, dir) : -ENOMEM;
	if (r == 0) {
		read_books(&g);
		walk_table(&g,
			   "SELECT id, stream, seq, n, boot_us, clk, offset_us, payload FROM record"
			   " WHERE id > ?1 AND id <= ?2 ORDER BY id",
			   high_id(&g), on_block);
		read_tail(&g, dir);
		for (uint32_t i = 1; i <= STREAMS_MAX; i++)
			if (g.streams[i - 1].known)
				tell_missing(&g, i);
		tell_end(&g, dir);
		flush(&g);
		r = g.error;
	}
	done(&g);
	return r;
}
