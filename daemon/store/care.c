/*
 * What a store needs while it has time: checkpoints, the end of old history, an eye on its size.
 *
 * wal_autocheckpoint is off, because SQLite's own would run inside the commit that happens to cross
 * the line. Past a megabyte a PASSIVE one runs when the loop is idle; past the cap a TRUNCATE,
 * which a reader may refuse: nobody waits for a reader, the next idle moment tries again.
 */
#include "store/room.h"
#include "store/row_index.h"
#include "store/state.h"

enum {
	WAL_PAGES_IDLE = 2000,
	FULL_CARD_BLOCKS =
		32, /* deleted at once on a full card: each is written to the WAL first */
};

int store_checkpoint(struct store *s)
{
	int mode = s->wal_pages > STORE_WAL_PAGES_CAP ? SQLITE_CHECKPOINT_TRUNCATE
						      : SQLITE_CHECKPOINT_PASSIVE;
	int code, r;

	room_tend(s);
	r = care_measure(s); /* there may be room again although nothing was written */
	if (r != 0 || s->wal_pages <= WAL_PAGES_IDLE)
		return r;
	(void)sqlite3_busy_timeout(s->db, 0); /* only refuses negative ones */
	code = sqlite3_wal_checkpoint_v2(s->db, "main", mode, NULL, NULL);
	(void)sqlite3_busy_timeout(s->db, 2000);
	if (code == SQLITE_OK)
		s->wal_pages = 0;
	if (code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED)
		return 0;
	r = store_fail_sql(s, "checkpoint");
	return room_save(s, r) ? 0 : r;
}

bool care_wal_is_full(struct store *s)
{
	if (s->wal_pages > WAL_PAGES_IDLE)
		(void)store_checkpoint(s); /* the next tick tells what is wrong */
	return s->wal_pages > STORE_WAL_PAGES_CAP;
}

/* 0: room; 1: no new curves; 2: nothing new. A stage is left 2 % below where it began. */
static uint8_t full_by_size(const struct store *s)
{
	uint64_t hundredth = s->max_size / 100;

	if (!s->max_size)
		return 0;
	if (s->used >= s->max_size - (s->full_by_size == 2 ? 2 * hundredth : 0))
		return 2;
	return s->used >= hundredth * (s->full_by_size >= 1 ? 88 : 90);
}

int care_measure(struct store *s)
{
	sqlite3_stmt *stmt = s->statements[SQL_USED];
	int code = sqlite3_step(stmt);

	if (code == SQLITE_ROW) {
		s->used = (uint64_t)sqlite3_column_int64(stmt, 0);
		s->free_inside = (uint64_t)sqlite3_column_int64(stmt, 1);
	}
	(void)sqlite3_reset(stmt); /* only read */
	if (code != SQLITE_ROW)
		return store_fail_sql(s, "page_count");
	if (s->free_reserve)
		room_look(s);
	s->room_stage = room_stage(s);
	s->full_by_size = full_by_size(s);
	s->full = MAX(s->full_by_size, s->room_stage > 1 ? (uint8_t)(s->room_stage - 1) : 0);
	if (s->full_by_size)
		(void)store_fail(s, 0, "the size limit of %llu MiB is %s",
				 (unsigned long long)(s->max_size >> 20),
				 s->full == 2 ? "reached" : "near: new ECG is refused");
	else if (s->full)
		(void)store_fail(s, 0, "the card has only %llu MiB free: new %s refused",
				 (unsigned long long)(s->card_free >> 20),
				 s->full == 2 ? "records are" : "ECG is");
	return 0;
}

bool store_wants_room(const struct store *s)
{
	return s->card_full || s->room_stage > 0 ||
	       (s->max_size && s->used >= s->max_size / 100 * 85);
}

/*
 * Is this block finished at every sink that counts, and wanted by none? What is quarantined
 * somewhere is kept, because it is its owner's only copy and he may want it sent again; it goes
 * (`pressed`) when what is new, and will be taken, would be refused for it, and not before.
 */
static bool finished(const struct store *s, uint32_t stream, uint64_t first, uint64_t last,
		     bool pressed)
{
	for (uint32_t sink = 1; sink <= s->n_sinks; sink++) {
		const struct sink_entry *k = sink_of(s, sink);
		const struct cursor_state *c = cursor_of(s, sink, stream);
		const struct row_entry *row;

		if (!k->info.retired && k->info.required &&
		    (c->seq < last || (c->quarantined > 0 && !pressed) || c->held))
			return false;
		if (k->in_flight && c->seq < last)
			return false; /* it may be on its way */
		row = row_index_next(s, sink, stream, first);
		if (!k->info.retired &&
		    (row_index_at(s, sink, stream, first) || (row && row->row.first_seq <= last)))
			return false;
	}
	return true;
}

struct old_block {
	int64_t id;
	uint32_t stream;
	uint64_t n;
	uint64_t last_seq;
};

/*
 * The first block behind this one that has a true time and was heard then. What a wearable's memory told
 * later, or what was moved, stands there too with its old times: by boot_us it begins before something
 * that its run had heard by then. False: there is none.
 */
static bool find_heard_behind(struct store *s, const struct record *first, struct heard_before *ret)
{
	sqlite3_stmt *stmt = s->statements[SQL_BLOCKS_AFTER];
	uint64_t run = seq_run(first->seq);
	int64_t latest_us = first->boot_us;
	bool found = false;

	if (sqlite3_bind_int64(stmt, 1, (int64_t)first->id) != SQLITE_OK)
		return false;
	while (!found && sqlite3_step(stmt) == SQLITE_ROW) {
		uint64_t its_run = (uint64_t)sqlite3_column_int64(stmt, 1);
		int64_t boot_us = sqlite3_column_int64(stmt, 2);

		if (its_run < run)
			continue;
		if (its_run > run)
			latest_us = boot_us;
		run = its_run;
		found = boot_us >= latest_us && sqlite3_column_int(stmt, 3) == CLK_UTC;
		latest_us = MAX(latest_us, boot_us);
	}
	if (found)
		*ret = (struct heard_before){first->id, (uint64_t)sqlite3_column_int64(stmt, 0),
					     sqlite3_column_int64(stmt, 4)};
	(void)sqlite3_reset(stmt); /* repeats the error of the step */
	return found;
}

/*
 * When a block was heard, at the latest: by its own clock or its segment's if those were
 * synchronised; else by the next block that was, because blocks stand in the order they were heard.
 * That one is remembered: days without a clock are many blocks. INT64_MAX: nobody can tell yet.
 */
static int64_t heard_until(struct store *s, const struct record *first)
{
	struct record *r = &s->scratch_record;

	r->seq = first->seq;
	r->clk = first->clk;
	r->boot_us = first->boot_us;
	r->offset_us = first->offset_us;
	if (wall_resolve(s, r) && r->clk == CLK_UTC)
		return record_wall_us(r);
	if ((first->id < s->heard_before.from || first->id >= s->heard_before.to) &&
	    !find_heard_behind(s, first, &s->heard_before))
		return INT64_MAX;
	return s->heard_before.wall_us;
}

/* From the next call on, from the oldest block again. */
static void prune_anew(struct store *s)
{
	s->prune_id = 0;
	for (size_t i = 0; i < s->n_streams; i++)
		s->streams[i].stays = false;
}

static bool all_stay(const struct store *s)
{
	for (size_t i = 0; i < s->n_streams; i++)
		if (!s->streams[i].stays)
			return false;
	return true;
}

/* One block: > 0 goes, 0 stays, < 0 the same and all behind it. */
static int judge_block(struct store *s, uint32_t stream, uint64_t n, const struct record *first,
		       int64_t before_wall_us)
{
	bool all = before_wall_us == INT64_MAX, pressed = all && (s->full > 0 || s->card_full);
	struct stream_state *st;

	if (stream < 1 || stream > s->n_streams ||
	    (!all && heard_until(s, first) >= before_wall_us))
		return -1;
	st = stream_of(s, stream);
	if (!st->stays && !finished(s, stream, first->seq, first->seq + n - 1, pressed)) {
		st->stays = true;
		return all_stay(s) ? -1 : 0;
	}
	return !st->stays;
}

/*
 * The oldest blocks that can go. Of each stream they go in its order: the first that has to stay
 * keeps those behind it, of this stream only. Where the next call goes on is remembered.
 */
static int find_old(struct store *s, int64_t before_wall_us, size_t n_rows, struct old_block *ret,
		    size_t *ret_n, bool *ret_end)
{
	sqlite3_stmt *stmt = s->statements[SQL_OLDEST];
	int code = SQLITE_DONE, goes = 0;
	size_t n = 0;

	if (sqlite3_bind_int64(stmt, 1, (int64_t)n_rows) != SQLITE_OK ||
	    sqlite3_bind_int64(stmt, 2, (int64_t)s->prune_id) != SQLITE_OK)
		return store_fail_sql(s, "oldest");
	while (goes >= 0 && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
		uint32_t stream = (uint32_t)sqlite3_column_int64(stmt, 1);
		uint64_t count = (uint64_t)sqlite3_column_int64(stmt, 3);
		const struct record first = {.id = (uint64_t)sqlite3_column_int64(stmt, 0),
					     .seq = (uint64_t)sqlite3_column_int64(stmt, 2),
					     .boot_us = sqlite3_column_int64(stmt, 4),
					     .clk = (uint8_t)sqlite3_column_int(stmt, 5),
					     .offset_us = sqlite3_column_int64(stmt, 6)};

		goes = judge_block(s, stream, count, &first, before_wall_us);
		if (goes > 0)
			ret[n++] = (struct old_block){(int64_t)first.id, stream, count,
						      first.seq + count - 1};
		*ret_end = false;
		s->prune_id = first.id;
	}
	(void)sqlite3_reset(stmt); /* repeats the error of the step */
	*ret_end |= goes < 0;
	*ret_n = n;
	return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : store_fail_sql(s, "oldest");
}

static int delete_blocks(struct store *s, const struct old_block *blocks, size_t n)
{
	/* The ids that are deleted must not come back when the table is empty. */
	int r = sql_put_meta_int(s, "high_id", (int64_t)s->log_id);

	for (size_t i = 0; r == 0 && i < n; i++)
		r = sql_put(s, SQL_DELETE_RECORD, &blocks[i].id, 1);
	return r == 0 ? log_note_runs(s) : r;
}

static void count_deleted(struct store *s, const struct old_block *blocks, size_t n, int sign)
{
	for (size_t i = 0; i < n; i++) {
		stream_of(s, blocks[i].stream)->deleted += (uint64_t)sign * blocks[i].n;
		stream_of(s, blocks[i].stream)->dirty = true;
	}
}

/* A row of a retired sink gives up what is deleted. */
static int shorten_row(struct store *s, struct row_entry *entry, uint64_t last_seq)
{
	const struct stream_state *st = stream_of(s, entry->row.stream);
	struct cursor_state *c = cursor_of(s, entry->row.sink, entry->row.stream);
	uint64_t end = MIN(last_seq, entry->row.last_seq);
	uint64_t n = stream_count_between(st, entry->row.first_seq, end);

	c->exempt += n;
	c->dirty = true;
	if (end == entry->row.last_seq)
		return row_end(s, entry);
	entry->row.first_seq = stream_seq_after(st, end);
	entry->row.count -= n;
	row_touch(s, entry);
	return 0;
}

static int shorten_rows(struct store *s, uint32_t sink, const struct old_block *b)
{
	struct row_entry *entry = row_index_next(s, sink, b->stream, 0);
	int r = 0;

	while (r == 0 && entry && entry->row.first_seq <= b->last_seq) {
		uint64_t end = entry->row.last_seq;

		r = shorten_row(s, entry, b->last_seq);
		entry = row_index_next(s, sink, b->stream, end);
	}
	return r;
}

/*
 * Sinks that hold nothing (retired, or not required) need not have what is deleted before they had
 * it: it is exempt there, so that their ledger balances and a sink that comes back owes nothing
 * that is gone.
 */
static int exempt(struct store *s, const struct old_block *b)
{
	int r = 0;

	for (uint32_t sink = 1; r == 0 && sink <= s->n_sinks; sink++) {
		struct cursor_state *c = cursor_of(s, sink, b->stream);

		r = shorten_rows(s, sink, b);
		if (c->seq >= b->last_seq)
			continue;
		c->exempt += stream_count_between(stream_of(s, b->stream), c->seq + 1, b->last_seq);
		c->seq = b->last_seq;
		c->id = MAX(c->id, (uint64_t)b->id);
		c->dirty = true;
	}
	return r;
}

static int delete_old(struct store *s, const struct old_block *blocks, size_t n)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = exempt(s, &blocks[i]);
	if (r == 0)
		r = store_commit(s, s->latest);
	if (r == 0)
		r = sql_step(s, SQL_BEGIN);
	if (r != 0)
		return r;
	count_deleted(s, blocks, n, 1);
	r = delete_blocks(s, blocks, n);
	if (r == 0)
		r = streams_write(s);
	r = sql_end(s, r);
	if (r != 0)
		count_deleted(s, blocks, n, -1);
	return r;
}

int store_prune(struct store *s, int64_t before_wall_us, size_t n_rows)
{
	_cleanup_(freep) struct old_block *blocks = calloc(n_rows, sizeof(*blocks));
	bool end = true; /* until a block was seen */
	size_t n = 0;
	int r;

	if (s->card_full)
		n_rows = MIN(n_rows, (size_t)FULL_CARD_BLOCKS);
	if (!blocks)
		return -ENOMEM;
	r = store_commit(s, s->latest); /* cursors on the disk, before what they allow */
	if (r == 0)
		r = find_old(s, before_wall_us, n_rows, blocks, &n, &end);
	if (r == 0 && n > 0)
		r = delete_old(s, blocks, n);
	if (s->card_full)
		(void)room_truncate(s); /* what the next slice writes has to fit again */
	if (r != 0 || end)
		prune_anew(s); /* a block that failed to go must not be left behind */
	if (r == 0 && n == 0 && end)
		return STORE_E_NOTHING;
	return r == 0 && n > 0 ? care_measure(s) : r;
}
