/*
 * The log: writes the tail into table `record` as blocks, and reads records back out of them.
 *
 *      tail   A1 B1 A2 A3 B2 | A4                 ids 1 2 3 4 5 | 6
 *      log    (id 4: A1 A2 A3) (id 5: B1 B2)      after the commit of 1..5
 *
 * A block ends when it is full, when the run or the wall-clock offset changes, or with the commit.
 * Its id is that of its last record, which is unique and, for the last block of a commit, the
 * highest of all.
 */
#include "store/pack.h"
#include "store/past.h"
#include "store/state.h"

enum {
	BLOCK_BYTES = 3072, /* six pages: a reader of one record unpacks no more than that */
	NOTE_EVERY = 4096,  /* blocks; a start reads at most so many to learn how far runs reach */
};

struct block {
	uint32_t stream;
	uint8_t clk;
	uint32_t n;
	uint64_t id, first_seq, next_seq;
	int64_t first_boot_us, last_boot_us, offset_us;
	struct buf payload;
};

uint64_t log_high_id(struct store *s, int *ret_r)
{
	sqlite3_stmt *stmt = s->statements[SQL_MAX_ID];
	uint64_t id = 0;

	*ret_r = 0;
	if (sqlite3_step(stmt) == SQLITE_ROW)
		id = (uint64_t)sqlite3_column_int64(stmt, 0); /* NULL reads as 0 */
	else
		*ret_r = store_fail_sql(s, "max(id)");
	(void)sqlite3_reset(stmt); /* repeats the error of the step */
	return id;
}

int log_insert(struct store *s, const int64_t columns[static 7], const void *payload, size_t size)
{
	int r = sql_bind(s, SQL_ADD_RECORD, columns, 7);

	if (r != 0)
		return r;
	if (sqlite3_bind_blob(s->statements[SQL_ADD_RECORD], 8, payload, (int)size,
			      SQLITE_STATIC) != SQLITE_OK)
		return store_fail_sql(s, "record");
	s->rows_since_note++;
	return sql_step(s, SQL_ADD_RECORD);
}

static int write_block(struct store *s, struct block *b)
{
	const int64_t columns[] = {(int64_t)b->id,   b->stream, (int64_t)b->first_seq, b->n,
				   b->first_boot_us, b->clk,	b->offset_us};

	if (b->n == 0)
		return 0;
	b->n = 0;
	if (b->payload.failed)
		return -ENOMEM;
	return log_insert(s, columns, b->payload.data, b->payload.size);
}

static bool fits(const struct block *b, const struct slot *slot)
{
	return b->n > 0 && slot->seq == b->next_seq && slot->clk == b->clk &&
	       slot->offset_us == b->offset_us &&
	       b->payload.size + slot->n_payload + 10 <= BLOCK_BYTES;
}

static int add_to_block(struct store *s, struct block *b, const struct slot *slot,
			const uint8_t *payload)
{
	int r;

	if (!fits(b, slot)) {
		r = write_block(s, b);
		if (r != 0)
			return r;
		b->stream = slot->stream;
		b->clk = slot->clk;
		b->offset_us = slot->offset_us;
		b->first_seq = slot->seq;
		b->first_boot_us = b->last_boot_us = slot->boot_us;
		buf_reset(&b->payload);
	}
	buf_svarint(&b->payload, slot->boot_us - b->last_boot_us);
	buf_append(&b->payload, payload, slot->n_payload);
	b->last_boot_us = slot->boot_us;
	b->next_seq = slot->seq + 1;
	b->id = slot->id;
	b->n++;
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct block *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

/* What is left open at the end goes in by id, so that the table is appended to. */
static int write_rest(struct store *s, struct block *blocks, size_t n)
{
	int r = 0;

	qsort(blocks, n, sizeof(*blocks), by_id);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = write_block(s, &blocks[i]);
	return r;
}

static int collect_blocks(struct store *s, struct block *blocks)
{
	uint64_t position = s->log_pos, next;
	const uint8_t *payload;
	struct slot slot;
	int r = 0;

	while (r == 0 && (r = tail_read(s->tail, position, &slot, &payload, &next)) == 0) {
		/* After a COMMIT of unknown outcome some of these may be in the log already. */
		if (slot.id > s->log_id && slot.stream <= s->n_streams)
			r = add_to_block(s, &blocks[slot.stream - 1], &slot, payload);
		position = next;
	}
	if (r == TAIL_E_DAMAGED && !s->replaying)
		return store_fail(s, -EBADMSG, "the tail is damaged at %llu",
				  (unsigned long long)position);
	return r > 0 && (r == TAIL_E_END || r == TAIL_E_DAMAGED) ? 0 : r;
}

/* Within the commit's transaction: all of the tail that is not in the log. */
int log_write_tail(struct store *s)
{
	struct block *blocks;
	int r;

	if (s->n_streams == 0)
		return 0;
	blocks = calloc(s->n_streams, sizeof(*blocks));
	if (!blocks)
		return -ENOMEM;
	r = collect_blocks(s, blocks);
	if (r == 0)
		r = write_rest(s, blocks, s->n_streams);
	for (size_t i = 0; i < s->n_streams; i++)
		buf_done(&blocks[i].payload);
	free(blocks);
	if (r == 0 && s->rows_since_note >= NOTE_EVERY)
		r = log_note_runs(s);
	return r;
}

/* Writes down how far each run reaches, so that the next start need not read the log to know. */
int log_note_runs(struct store *s)
{
	uint64_t noted;
	int r;

	for (size_t i = 0; i < s->n_streams; i++) {
		const struct stream_state *st = &s->streams[i];
		size_t from = st->n_noted ? st->n_noted - 1 : 0;

		for (size_t k = from; k < st->n_runs; k++) {
			const int64_t columns[] = {(int64_t)i + 1, (int64_t)st->runs[k].run,
						   (int64_t)st->runs[k].last_n};

			r = sql_put(s, SQL_PUT_STREAM_RUN, columns, ARRAY_SIZE(columns));
			if (r != 0)
				return r;
		}
	}
	noted = log_high_id(s, &r);
	s->rows_since_note = 0;
	return r != 0 ? r : sql_put_meta_int(s, "noted_id", (int64_t)noted);
}

struct reading {
	struct store *s;
	uint32_t stream;
	uint64_t first_seq, last_seq;
	store_record_cb cb;
	void *userdata;
	bool done;
};

/* One record that was read, from wherever: > 0 and `done` when the reader has enough. */
static int give(struct reading *g, struct record *r)
{
	int stop;

	if (r->seq < g->first_seq)
		return 0;
	if (r->seq > g->last_seq) {
		g->done = true;
		return 0;
	}
	r->stream = g->stream;
	if (!wall_resolve(g->s, r))
		return STORE_E_CLOCK;
	stop = g->cb(g->userdata, r);
	g->done |= stop > 0 || r->seq == g->last_seq;
	return stop < 0 ? stop : 0;
}

static int give_block(struct reading *g, const struct staged *b, struct bytes in)
{
	struct record *record = &g->s->scratch_record;
	int64_t boot_us = b->boot_us;
	int r = 0;

	if (b->seq > g->last_seq) {
		g->done = true;
		return 0;
	}
	if (b->seq + b->n <= g->first_seq)
		return 0;
	for (uint64_t i = 0; r == 0 && !g->done && i < b->n; i++) {
		boot_us += bytes_svarint(&in);
		if (record_unpack(&in, record) < 0) {
			g->s->damaged = true;
			return store_fail(g->s, STORE_E_CORRUPT, "record %llu cannot be read",
					  (unsigned long long)b->id);
		}
		record->id = b->id;
		record->seq = b->seq + i;
		record->boot_us = boot_us;
		record->clk = b->clk;
		record->offset_us = b->offset_us;
		r = give(g, record);
	}
	return r;
}

static int give_row(struct reading *g, sqlite3_stmt *stmt)
{
	const struct staged b = {
		.id = (uint64_t)sqlite3_column_int64(stmt, 0),
		.seq = (uint64_t)sqlite3_column_int64(stmt, 1),
		.n = (uint64_t)sqlite3_column_int64(stmt, 2),
		.boot_us = sqlite3_column_int64(stmt, 3),
		.clk = (uint8_t)sqlite3_column_int(stmt, 4),
		.offset_us = sqlite3_column_int64(stmt, 5),
	};

	return give_block(g, &b,
			  bytes_make(sqlite3_column_blob(stmt, 6),
				     (size_t)sqlite3_column_bytes(stmt, 6)));
}

/* Rows with first_id <= id < end_id. */
static int read_log(struct reading *g, uint64_t first_id, uint64_t end_id)
{
	sqlite3_stmt *stmt = g->s->statements[SQL_READ_STREAM];
	const int64_t wanted[] = {(int64_t)first_id, g->stream,
				  (int64_t)MIN(end_id, (uint64_t)INT64_MAX)};
	int code = SQLITE_DONE, r = sql_bind(g->s, SQL_READ_STREAM, wanted, ARRAY_SIZE(wanted));

	while (r == 0 && !g->done && (code = sqlite3_step(stmt)) == SQLITE_ROW)
		r = give_row(g, stmt);
	if (r == 0 && code != SQLITE_ROW && code != SQLITE_DONE)
		r = store_fail_sql(g->s, "reading records");
	(void)sqlite3_reset(stmt); /* repeats the error of the step */
	return r;
}

static int read_tail(struct reading *g)
{
	uint64_t position = MAX(g->s->log_pos, tail_start(g->s->tail)), next;
	struct record *record = &g->s->scratch_record;
	const uint8_t *payload;
	struct slot slot;
	int r = 0;

	while (r == 0 && !g->done && tail_read(g->s->tail, position, &slot, &payload, &next) == 0) {
		struct bytes in = bytes_make(payload, slot.n_payload);

		position = next;
		if (slot.stream != g->stream || slot.id <= g->s->log_id)
			continue;
		if (record_unpack(&in, record) < 0)
			return store_fail(g->s, STORE_E_CORRUPT, "slot %llu cannot be read",
					  (unsigned long long)slot.id);
		record->id = slot.id;
		record->seq = slot.seq;
		record->boot_us = slot.boot_us;
		record->clk = slot.clk;
		record->offset_us = slot.offset_us;
		r = give(g, record);
	}
	return r;
}

int log_read_some(struct store *s, const struct cut_range *want, uint64_t n_ids,
		  uint64_t *ret_next_id, store_record_cb cb, void *userdata)
{
	struct reading g = {s,
			    want->stream,
			    want->first_seq,
			    want->last_seq,
			    cb,
			    userdata,
			    want->first_seq > want->last_seq};
	uint64_t end_id = n_ids < UINT64_MAX - want->first_id ? want->first_id + n_ids : UINT64_MAX;
	int r = 0;

	*ret_next_id = UINT64_MAX;
	if (!g.done && want->first_id <= s->log_id)
		r = read_log(&g, want->first_id, end_id);
	if (r != 0 || g.done)
		return r;
	if (end_id <= s->log_id)
		*ret_next_id = end_id;
	else if (s->tail)
		r = read_tail(&g);
	return r;
}

int store_read(struct store *s, uint32_t stream, uint64_t first_seq, uint64_t last_seq,
	       uint64_t first_id, store_record_cb cb, void *userdata)
{
	const struct cut_range want = {.stream = stream,
				       .first_seq = first_seq,
				       .last_seq = last_seq,
				       .first_id = first_id};
	uint64_t next;

	return log_read_some(s, &want, UINT64_MAX, &next, cb, userdata);
}

/* How far back the newest block of a stream is looked for. */
enum { LAST_HEARD_IDS = 200000 };

/* That begins at this seq or before; 0: none. */
static uint64_t newest_block(struct store *s, uint32_t stream, uint64_t seq)
{
	sqlite3_stmt *stmt = NULL;
	uint64_t id = 0;

	if (sqlite3_prepare_v2(s->db,
			       "SELECT id FROM record WHERE stream = ?1 AND id > ?2 AND seq <= ?3"
			       " ORDER BY id DESC LIMIT 1",
			       -1, &stmt, NULL) == SQLITE_OK &&
	    sqlite3_bind_int64(stmt, 1, stream) == SQLITE_OK &&
	    sqlite3_bind_int64(stmt, 2, (int64_t)s->log_id - LAST_HEARD_IDS) == SQLITE_OK &&
	    sqlite3_bind_int64(stmt, 3, (int64_t)seq) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW)
		id = (uint64_t)sqlite3_column_int64(stmt, 0);
	(void)sqlite3_finalize(stmt); /* only read */
	return id;
}

struct last_heard {
	const struct store *s;
	int64_t boot_us; /* on this boot's clock */
	int64_t wall_us;
	bool found;
	bool filled; /* what a memory told is among those that were looked at */
};

static int note_end(void *userdata, const struct record *r)
{
	struct last_heard *h = userdata;
	struct run_info run;
	int64_t end = r->boot_us, wall_us;

	if (r->type == RECORD_ECG)
		end += (int64_t)r->ecg.n * r->ecg.dt_ns / 1000;
	else if (r->type == RECORD_SAMPLES)
		end += (int64_t)r->samples.n * r->samples.dt_ns / 1000;
	else if (r->type == RECORD_GAP)
		end += r->gap.duration_us;
	wall_us = end + r->offset_us;
	/* Another boot's clock began elsewhere: by way of the wall. */
	if (store_run(h->s, seq_run(r->seq), &run) && !streq(run.boot_id, h->s->run.boot_id))
		end += r->offset_us - h->s->clock.offset_us;
	h->filled |= r->type == RECORD_GAP && r->gap.reason == GAP_BACKFILLED;
	/* What comes behind that is of the past: the end of all is the latest of them. */
	h->boot_us = h->filled ? MAX(h->boot_us, end) : end;
	h->wall_us = h->filled ? MAX(h->wall_us, wall_us) : wall_us;
	h->found = true;
	return 0;
}

/* By the newest record, except where a memory may have told what is older (see past.h). */
static uint64_t last_heard_from(const struct stream_state *st)
{
	uint64_t total = stream_total(st), n = PAST_SLICE + 2;

	if (st->info.kind != KIND_HEART_RATE)
		return stream_last_seq(st);
	return stream_seq_at(st, total > n ? total - n + 1 : 1);
}

/* From the block `id` on, which is the newest that begins at `first` or before; 0: there is none. */
static bool find_end(struct store *s, uint32_t stream, uint64_t first, uint64_t id,
		     struct last_heard *h)
{
	uint64_t last = stream_last_seq(stream_of(s, stream));

	*h = (struct last_heard){.s = s};
	/* Without a block it may lie in a tail that is only looked at. */
	return (id != 0 || s->owner_fd < 0) &&
	       store_read(s, stream, first, last, id ? id : s->log_id + 1, note_end, h) == 0 &&
	       h->found;
}

/* Ids of blocks, as newest_block() finds them for where a stream is looked at from, and for its last. */
struct newest {
	uint64_t from, last;
};

/*
 * The oldest that are wanted may be deleted, or without a time yet: then the newest alone. `known`: of
 * all streams; NULL: this one is looked for.
 */
static bool last_heard(struct store *s, uint32_t stream, const struct newest *known,
		       struct last_heard *h)
{
	uint64_t from = last_heard_from(stream_of(s, stream));
	uint64_t last = stream_last_seq(stream_of(s, stream)), id;

	if (last == 0)
		return false;
	id = known ? known[stream - 1].from : newest_block(s, stream, from);
	if (find_end(s, stream, from, id, h))
		return true;
	id = known ? known[stream - 1].last : newest_block(s, stream, last);
	return find_end(s, stream, last, id, h);
}

/* A stream whose records a power cut took, all of them: it was made in the run before this one. */
static bool last_run_began(const struct store *s, int64_t *ret_boot_us)
{
	const struct run_entry *before = s->n_runs > 1 ? &s->runs[s->n_runs - 2] : NULL;

	if (!before || !before->synced || !s->clock.synchronised)
		return false;
	*ret_boot_us = before->started_us - s->clock.offset_us;
	return true;
}

/* What ended the stream that had this device, kind and subject under earlier names, if `found`. */
static void heard_before(struct store *s, uint32_t stream, const struct newest *known,
			 struct last_heard *h)
{
	while ((stream = stream_before(s, stream)) != 0) {
		int64_t noted_us = stream_of(s, stream)->last_wall_us;

		if (!last_heard(s, stream, known, h))
			continue;
		h->boot_us += MAX(noted_us - h->wall_us, 0); /* it was moved to, too */
		h->wall_us = MAX(noted_us, h->wall_us);
		return;
	}
	h->found = false;
}

/*
 * What was moved to these names, or brought over from a damaged store, has newer numbers than what
 * was heard meanwhile: then what was noted as the newest time counts, if it is later.
 */
static bool is_older_than_noted(const struct store *s, const struct last_heard *newest,
				const struct last_heard *before)
{
	return s->n_salvages > 0 || (before->found && before->boot_us >= newest->boot_us);
}

bool store_last_heard(struct store *s, uint32_t stream, int64_t *ret_boot_us)
{
	const struct stream_state *st = stream_of(s, stream);
	struct last_heard h = {0}, before = {0};

	heard_before(s, stream, NULL, &before);
	if (stream_last_seq(st) == 0 && !before.found)
		return last_run_began(s, ret_boot_us);
	if (stream_last_seq(st) == 0)
		h = before;
	else if (!last_heard(s, stream, NULL, &h))
		return false;
	if (is_older_than_noted(s, &h, &before)) {
		if (before.found && before.boot_us > h.boot_us)
			h = before; /* the move is not at its end */
		h.boot_us += MAX(st->last_wall_us - h.wall_us, 0);
	}
	*ret_boot_us = h.boot_us;
	return true;
}

/*
 * In one go: most streams of a hub of years are silent, and to look for one is to look at all ids. From the
 * newest back: a page that cannot be read hides what is older, and nobody here needs that.
 */
static struct newest *find_newest(struct store *s)
{
	struct newest *all = calloc(s->n_streams + 1, sizeof(*all));
	sqlite3_stmt *stmt = NULL;

	if (all &&
	    sqlite3_prepare_v2(s->db,
			       "SELECT id, stream, seq FROM record WHERE id > ?1 ORDER BY id DESC",
			       -1, &stmt, NULL) == SQLITE_OK &&
	    sqlite3_bind_int64(stmt, 1, (int64_t)s->log_id - LAST_HEARD_IDS) == SQLITE_OK)
		while (sqlite3_step(stmt) == SQLITE_ROW) {
			uint64_t id = (uint64_t)sqlite3_column_int64(stmt, 0);
			uint64_t stream = (uint64_t)sqlite3_column_int64(stmt, 1);
			uint64_t seq = (uint64_t)sqlite3_column_int64(stmt, 2);
			struct newest *n;

			if (stream < 1 || stream > s->n_streams)
				continue;
			n = &all[stream - 1];
			n->last = n->last ? n->last : id;
			if (!n->from && seq <= last_heard_from(stream_of(s, (uint32_t)stream)))
				n->from = id;
		}
	(void)sqlite3_finalize(stmt); /* only read */
	return all;
}

void log_find_newest(struct store *s)
{
	_cleanup_(freep) struct newest *known = find_newest(s);

	for (uint32_t i = 1; known && i <= s->n_streams; i++) {
		struct stream_state *st = stream_of(s, i);
		struct last_heard h = {0}, before = {0};

		if (!last_heard(s, i, known, &h))
			continue;
		heard_before(s, i, known, &before);
		st->last_wall_us = is_older_than_noted(s, &h, &before)
					   ? MAX(st->last_wall_us, h.wall_us)
					   : h.wall_us;
	}
}
