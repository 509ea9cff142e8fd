/*
 * The read-only face: everything that status, queue, anchors, quarantine and figures show. The same
 * functions answer for the owner's live store and for one that was only opened to look.
 */
#include "store/look.h"

#include "store/owner.h"
#include "store/row_index.h"
#include "store/state.h"
#include "store/wear.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void store_owner(const char *state_dir, const char *runtime_dir, struct owner_info *ret)
{
	_cleanup_(tail_freep) struct tail *t = NULL;
	char path[512];

	*ret = (struct owner_info){.locked = owner_held(state_dir) > 0};
	if (snprintf(path, sizeof(path), "%s/tail", runtime_dir) >= (int)sizeof(path))
		return;
	if (tail_open(path, false, &t) == 0)
		tail_signature(t, ret);
}

bool store_is_owner(const struct store *s)
{
	return s->owner_fd >= 0;
}

size_t store_stream_count(const struct store *s)
{
	return s->n_streams;
}

/* Under whatever name. */
static bool is_heard(const struct store *s, uint32_t stream)
{
	for (; stream; stream = stream_before(s, stream))
		if (stream_of(s, stream)->marks[1].heard_us != 0)
			return true;
	return false;
}

void store_stream_status(const struct store *s, uint32_t stream, struct stream_status *ret)
{
	const struct stream_state *st = stream_of(s, stream);

	*ret = (struct stream_status){
		.info = st->info,
		.admitted = stream_total(st),
		.shed = st->shed,
		.deleted = st->deleted,
		.salvage_lost = st->salvage_lost,
		.last_seq = stream_last_seq(st),
		.last_wall_us = st->last_wall_us,
		.gaps = st->gaps,
		.old = st->old,
		.heard = is_heard(s, stream),
		.before = stream_before(s, stream),
	};
}

size_t store_sink_count(const struct store *s)
{
	return s->n_sinks;
}

void store_sink_info(const struct store *s, uint32_t sink, struct sink_info *ret)
{
	*ret = sink_of(s, sink)->info;
}

uint32_t store_sink_named(const struct store *s, const char *name)
{
	for (uint32_t sink = 1; sink <= s->n_sinks; sink++)
		if (streq(sink_of(s, sink)->info.name, name))
			return sink;
	return 0;
}

void store_cursor_status(const struct store *s, uint32_t sink, uint32_t stream,
			 struct cursor_status *ret)
{
	const struct cursor_state *c = cursor_of(s, sink, stream);
	const struct stream_state *st = stream_of(s, stream);
	const struct row_entry *lowest = row_index_next(s, sink, stream, 0);
	uint64_t settled = c->confirmed + c->quarantined + c->moved + c->exempt;
	uint64_t held = stream_total(st) - aside_lost_at(s, sink, stream);

	*ret = (struct cursor_status){
		.cursor = c->seq,
		.confirmed = c->confirmed,
		.quarantined = c->quarantined,
		.moved = c->moved,
		.exempt = c->exempt,
		.waiting = held > settled ? held - settled : 0,
		.in_rows = c->in_rows,
		.held = c->held,
	};
	ret->anchor = lowest ? MIN(c->seq, stream_seq_before(st, lowest->row.first_seq)) : c->seq;
}

size_t store_salvage_count(const struct store *s)
{
	return s->n_salvages;
}

void store_salvage_status(const struct store *s, size_t i, struct salvage_status *ret)
{
	char path[512];

	*ret = s->salvages[i];
	ret->kept =
		snprintf(path, sizeof(path), "%s/%s", s->state_dir, ret->dir) < (int)sizeof(path) &&
		access(path, F_OK) == 0;
}

uint64_t store_before(const struct store *s, uint32_t stream, uint64_t seq)
{
	return stream_seq_before(stream_of(s, stream), seq);
}

static void copy_text(sqlite3_stmt *stmt, int column, char *to, size_t size)
{
	const char *text = (const char *)sqlite3_column_text(stmt, column);

	(void)snprintf(to, size, "%s", text ? text : ""); /* cut */
}

int store_each_quarantined(struct store *s, store_quarantine_cb cb, void *userdata)
{
	sqlite3_stmt *stmt = NULL;
	int code;

	if (sqlite3_prepare_v2(s->db,
			       "SELECT sink, stream, seq, wall_us, code, detail FROM quarantine"
			       " ORDER BY wall_us",
			       -1, &stmt, NULL) != SQLITE_OK)
		return store_fail_sql(s, "quarantine");
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct quarantined q = {
			.sink = (uint32_t)sqlite3_column_int64(stmt, 0),
			.stream = (uint32_t)sqlite3_column_int64(stmt, 1),
			.seq = (uint64_t)sqlite3_column_int64(stmt, 2),
			.wall_us = sqlite3_column_int64(stmt, 3),
		};

		copy_text(stmt, 4, q.code, sizeof(q.code));
		copy_text(stmt, 5, q.detail, sizeof(q.detail));
		cb(userdata, &q);
	}
	(void)sqlite3_finalize(stmt); /* repeats the error of the step */
	for (size_t i = 0; i < s->n_new_quarantine; i++)
		cb(userdata, &s->new_quarantine[i]);
	return code == SQLITE_DONE ? 0 : store_fail_sql(s, "quarantine");
}

int store_each_undecoded(struct store *s, store_undecoded_cb cb, void *userdata)
{
	sqlite3_stmt *stmt = NULL;
	int code;

	if (sqlite3_prepare_v2(s->db,
			       "SELECT wall_us, device, characteristic, why, data FROM undecoded"
			       " ORDER BY number",
			       -1, &stmt, NULL) != SQLITE_OK)
		return store_fail_sql(s, "undecoded");
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct undecoded u = {.wall_us = sqlite3_column_int64(stmt, 0),
				      .data = sqlite3_column_blob(stmt, 4),
				      .size = (size_t)sqlite3_column_bytes(stmt, 4)};

		copy_text(stmt, 1, u.device, sizeof(u.device));
		copy_text(stmt, 2, u.characteristic, sizeof(u.characteristic));
		copy_text(stmt, 3, u.why, sizeof(u.why));
		cb(userdata, &u);
	}
	(void)sqlite3_finalize(stmt); /* repeats the error of the step */
	for (const struct keep *k = s->keep; k; k = k->next)
		cb(userdata, &k->u);
	return code == SQLITE_DONE ? 0 : store_fail_sql(s, "undecoded");
}

static uint64_t file_bytes(const struct store *s, const char *name)
{
	char path[512];
	struct stat st;

	if (snprintf(path, sizeof(path), "%s/%s", s->state_dir, name) >= (int)sizeof(path) ||
	    stat(path, &st) < 0)
		return 0;
	return (uint64_t)st.st_size;
}

void store_figures(const struct store *s, struct store_figures *ret)
{
	*ret = (struct store_figures){
		.incarnation = s->incarnation,
		.run = s->run,
		.tail_used = s->tail ? tail_end(s->tail) - s->log_pos : 0,
		.tail_size = s->tail ? tail_size(s->tail) : 0,
		.tail_records = s->next_id ? s->next_id - 1 - s->log_id : 0,
		.log_bytes = file_bytes(s, "store.db"),
		.wal_bytes = file_bytes(s, "store.db-wal"),
		.commits = s->commits,
		.commits_late = s->commits_late,
		.longest_commit_us = s->longest_commit_us,
		.undecoded = s->undecoded,
		.last_commit_wall_us = s->last_commit_wall_us,
		.clean = s->clean,
		.room_stage = s->room_stage,
		.card_full = s->card_full,
		.card_free = s->card_free,
		.reserve = s->reserve,
	};
	wear_figures(s, &ret->written_today, &ret->written_a_day);
}
