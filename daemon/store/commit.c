/*
 * The commit: one transaction with the whole tail, cursors, rows, quarantine and counters,
 * synchronised to the disk (FULL) when it returns. When it is due:
 *
 *   T after the oldest record that some required sink has not confirmed was heard   (promised)
 *   lazy_commit after the oldest record that is not in the log was heard            (history)
 *   lazy_commit after the oldest frame that could not be decoded and is not there   (debugging)
 *   a few seconds after rows made progress; at once for new rows and quarantine,
 *   and when the tail is half full
 *
 * With a server that answers in time the first never comes, and the card is written when the
 * timer of `vitald drain` asks for it.
 */
#include "store/store.h"

#include "store/room.h"
#include "store/state.h"
#include "store/wear.h"

#define RETRY_AFTER  (1 * USEC_PER_SEC) /* a failed commit is tried again this much later */
#define SETTLE_AFTER (5 * USEC_PER_SEC) /* progress of rows is written down at the latest */
#define LATE_AFTER   (1 * USEC_PER_SEC) /* beyond T: worth counting */

void keep_drop_oldest(struct store *s)
{
	struct keep *k = s->keep;

	s->keep = k->next;
	s->n_keep--;
	free((void *)k->u.data);
	free(k);
}

void keep_free(struct store *s)
{
	while (s->keep)
		keep_drop_oldest(s);
}

static usec_t heard_at(const struct store *s, uint64_t position)
{
	const uint8_t *payload;
	struct slot slot;
	uint64_t next;

	if (tail_read(s->tail, position, &slot, &payload, &next) != 0)
		return USEC_INFINITY;
	return (usec_t)slot.heard_us;
}

/* Where the first record lies that neither a receipt of this sink nor the log has. */
static uint64_t unsettled_pos(const struct store *s, const struct sink_entry *k)
{
	return k->skipped ? s->log_pos : MAX(k->in_flight_pos, s->log_pos);
}

/* When T runs out for the oldest record that some required sink has not confirmed. */
static usec_t window_ends(const struct store *s)
{
	uint64_t position = tail_end(s->tail);
	bool any = false;
	usec_t heard;

	for (size_t i = 0; i < s->n_sinks; i++) {
		const struct sink_entry *k = &s->sinks[i];

		if (!k->info.required || k->info.retired)
			continue;
		any = true;
		position = MIN(position, unsettled_pos(s, k));
	}
	if (!any)
		position = s->log_pos;
	heard = heard_at(s, position);
	return heard == USEC_INFINITY ? USEC_INFINITY : heard + s->durability_window;
}

usec_t store_commit_due(const struct store *s)
{
	usec_t due = window_ends(s), heard = heard_at(s, s->log_pos);

	if (heard != USEC_INFINITY)
		due = MIN(due, heard + s->lazy_commit);
	if (s->keep)
		due = MIN(due, s->keep_since + s->lazy_commit);
	if (s->dirty_since != USEC_INFINITY)
		due = MIN(due, s->dirty_since + SETTLE_AFTER);
	if (s->force || tail_end(s->tail) - s->log_pos > tail_size(s->tail) / 2)
		due = 0;
	return MAX(due, s->retry_at);
}

static int write_cursors(struct store *s)
{
	for (size_t i = 0; i < s->n_sinks * s->n_streams; i++) {
		uint32_t sink = (uint32_t)(i / s->n_streams) + 1;
		uint32_t stream = (uint32_t)(i % s->n_streams) + 1;
		const struct cursor_state *c = cursor_of(s, sink, stream);
		const int64_t columns[] = {sink,
					   stream,
					   (int64_t)c->seq,
					   (int64_t)c->id,
					   (int64_t)c->confirmed,
					   (int64_t)c->quarantined,
					   (int64_t)c->moved,
					   (int64_t)c->exempt,
					   c->refused ? 2 : c->held};
		int r;

		if (!c->dirty)
			continue;
		r = sql_put(s, SQL_PUT_CURSOR, columns, ARRAY_SIZE(columns));
		if (r != 0)
			return r;
	}
	return 0;
}

int sink_write(struct store *s, const struct sink_info *info)
{
	sqlite3_stmt *stmt = NULL;
	bool ok = sqlite3_prepare_v2(s->db,
				     "INSERT INTO sink(number, name, required, retired)"
				     " VALUES(?1, ?2, ?3, ?4) ON CONFLICT(number) DO UPDATE SET"
				     " required = ?3, retired = ?4",
				     -1, &stmt, NULL) == SQLITE_OK &&
		  sqlite3_bind_int64(stmt, 1, info->number) == SQLITE_OK &&
		  sqlite3_bind_text(stmt, 2, info->name, -1, SQLITE_STATIC) == SQLITE_OK &&
		  sqlite3_bind_int(stmt, 3, info->required) == SQLITE_OK &&
		  sqlite3_bind_int(stmt, 4, info->retired) == SQLITE_OK;

	return sql_once(s, stmt, ok, "sink");
}

int streams_write(struct store *s)
{
	for (size_t i = 0; i < s->n_streams; i++) {
		const struct stream_state *st = &s->streams[i];
		const int64_t columns[] = {(int64_t)i + 1,	 (int64_t)st->shed,
					   (int64_t)st->deleted, (int64_t)st->salvage_lost,
					   (int64_t)st->gaps,	 st->last_wall_us};
		int r;

		if (!st->dirty)
			continue;
		r = sql_put(s, SQL_PUT_STREAM, columns, ARRAY_SIZE(columns));
		if (r != 0)
			return r;
	}
	return 0;
}

static int write_quarantine(struct store *s)
{
	sqlite3_stmt *stmt = s->statements[SQL_PUT_QUARANTINE];

	for (size_t i = 0; i < s->n_new_quarantine; i++) {
		const struct quarantined *q = &s->new_quarantine[i];
		int r;

		if (sqlite3_bind_int64(stmt, 1, q->sink) != SQLITE_OK ||
		    sqlite3_bind_int64(stmt, 2, q->stream) != SQLITE_OK ||
		    sqlite3_bind_int64(stmt, 3, (int64_t)q->seq) != SQLITE_OK ||
		    sqlite3_bind_int64(stmt, 4, q->wall_us) != SQLITE_OK ||
		    sqlite3_bind_text(stmt, 5, q->code, -1, SQLITE_STATIC) != SQLITE_OK ||
		    sqlite3_bind_text(stmt, 6, q->detail, -1, SQLITE_STATIC) != SQLITE_OK)
			return store_fail_sql(s, "quarantine");
		r = sql_step(s, SQL_PUT_QUARANTINE);
		if (r != 0)
			return r;
	}
	return 0;
}

static int write_undecoded(struct store *s)
{
	sqlite3_stmt *stmt = s->statements[SQL_ADD_UNDECODED];
	int r;

	if (!s->keep)
		return 0;
	for (const struct keep *k = s->keep; k; k = k->next) {
		if (sqlite3_bind_int64(stmt, 1, k->u.wall_us) != SQLITE_OK ||
		    sqlite3_bind_text(stmt, 2, k->u.device, -1, SQLITE_STATIC) != SQLITE_OK ||
		    sqlite3_bind_text(stmt, 3, k->u.characteristic, -1, SQLITE_STATIC) !=
			    SQLITE_OK ||
		    sqlite3_bind_text(stmt, 4, k->u.why, -1, SQLITE_STATIC) != SQLITE_OK ||
		    sqlite3_bind_blob(stmt, 5, k->u.data, (int)k->u.size, SQLITE_STATIC) !=
			    SQLITE_OK)
			return store_fail_sql(s, "undecoded");
		r = sql_step(s, SQL_ADD_UNDECODED);
		if (r != 0)
			return r;
	}
	r = sql_step(s, SQL_TRIM_UNDECODED);
	return r != 0 ? r : sql_put_meta_int(s, "undecoded", (int64_t)s->undecoded);
}

static int write_all(struct store *s)
{
	int r = log_write_tail(s);

	if (r == 0)
		r = staged_write(s);
	for (size_t i = 0; r == 0 && i < s->n_sinks; i++)
		if (s->sinks[i].unwritten)
			r = sink_write(s, &s->sinks[i].info);
	if (r == 0)
		r = write_cursors(s);
	if (r == 0)
		r = rows_write(s);
	if (r == 0)
		r = asides_write(s);
	if (r == 0)
		r = write_quarantine(s);
	if (r == 0)
		r = finding_write(s);
	if (r == 0)
		r = write_undecoded(s);
	if (r == 0)
		r = rates_write(s, false);
	if (r == 0)
		r = notes_write(s);
	if (r == 0 && s->import)
		r = salvage_write(s);
	if (r == 0)
		r = wear_write(s, false);
	return r == 0 ? streams_write(s) : r;
}

/*
 * All of it is on the disk: what was to be written is clean now, and the tail's slots are history.
 */
static void committed(struct store *s)
{
	s->log_pos = s->tail ? tail_end(s->tail) : 0;
	s->log_id = s->next_id - 1;
	for (size_t i = 0; i < s->n_streams; i++)
		s->streams[i].dirty = false;
	for (size_t i = 0; i < s->n_sinks; i++) {
		s->sinks[i].skipped = s->sinks[i].unwritten = false;
		for (size_t k = 0; k < s->n_streams; k++)
			s->sinks[i].cursors[k].dirty = false;
	}
	for (size_t i = 0; i < s->n_rows; i++)
		s->rows[i].dirty = false;
	for (size_t i = 0; i < s->n_asides; i++)
		s->asides[i].dirty = false;
	staged_free(s);
	s->n_dead_rows = 0;
	s->n_new_quarantine = 0;
	finding_written(s);
	rates_committed(s);
	notes_committed(s);
	keep_free(s);
	s->force = s->uncertain = false;
	s->dirty_since = USEC_INFINITY;
	s->retry_at = 0;
	s->commits++;
	wear_written(s);
	s->last_commit_wall_us = clock_wall_usec();
}

/* Memory that nobody is going to read again soon need not count as ours. */
static void let_go(struct store *s)
{
	uint64_t position = s->log_pos;

	for (size_t i = 0; i < s->n_sinks; i++)
		if (!s->sinks[i].info.retired)
			position = MIN(position, s->sinks[i].in_flight_pos);
	tail_let_go(s->tail, position);
}

static int settle_uncertainty(struct store *s)
{
	uint64_t high;
	int r;

	high = log_high_id(s, &r);
	if (r == 0)
		s->log_id = MAX(s->log_id, high);
	return r;
}

static int transaction(struct store *s)
{
	int r = s->uncertain ? settle_uncertainty(s) : 0, written;

	if (r == 0)
		r = sql_step(s, SQL_BEGIN);
	if (r != 0)
		return r;
	written = write_all(s);
	r = sql_end(s, written);
	s->uncertain |= written == 0 && r != 0;
	return r;
}

int store_commit(struct store *s, usec_t now)
{
	usec_t ends = s->tail ? window_ends(s) : USEC_INFINITY;
	usec_t begin = clock_boot_usec(), took;
	int r;

	s->latest = MAX(s->latest, now);
	r = transaction(s);
	if (r < 0 && room_save(s, r))
		r = transaction(s);
	took = clock_boot_usec() - begin;
	s->longest_commit_us = MAX(s->longest_commit_us, took);
	s->commits_late += !s->replaying && ends != USEC_INFINITY && now + took > ends + LATE_AFTER;
	if (r != 0) {
		s->retry_at = now + RETRY_AFTER;
		return r;
	}
	committed(s);
	if (s->tail)
		let_go(s);
	/* What is committed is committed: whoever is told otherwise would undo it. Damage is noted. */
	(void)care_measure(s);
	return 0;
}
