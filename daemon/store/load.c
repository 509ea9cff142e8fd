/*
 * Reads the small tables into memory: at the start of an owner, and for everyone who looks. What is
 * found is checked where a wrong value would lead us astray; a store whose tables contradict each
 * other is corrupt and refused untouched.
 */
#include "store/row_index.h"
#include "store/state.h"
#include "store/wear.h"
#include "util/array.h"

#include <stdio.h>

static const char *text(sqlite3_stmt *stmt, int column)
{
	const char *s = (const char *)sqlite3_column_text(stmt, column);

	return s ? s : "";
}

static bool read_uuid(sqlite3_stmt *stmt, int column, struct uuid *ret)
{
	const void *p = sqlite3_column_blob(stmt, column);

	if (sqlite3_column_bytes(stmt, column) != (int)sizeof(ret->bytes))
		return false;
	memcpy(ret->bytes, p, sizeof(ret->bytes));
	return true;
}

static int bad(struct store *s, const char *table)
{
	return store_fail(s, STORE_E_CORRUPT, "table %s makes no sense", table);
}

static int load_meta(struct store *s, sqlite3_stmt *stmt)
{
	const char *key = text(stmt, 0);

	if (streq(key, "incarnation"))
		return read_uuid(stmt, 1, &s->incarnation) ? 0 : bad(s, "meta");
	if (streq(key, "high_id"))
		s->log_id = (uint64_t)sqlite3_column_int64(stmt, 1);
	else if (streq(key, "clean"))
		s->clean = sqlite3_column_int(stmt, 1) != 0;
	else if (streq(key, "machine"))
		(void)snprintf(s->machine, sizeof(s->machine), "%s", text(stmt, 1));
	else if (streq(key, "backup"))
		(void)snprintf(s->backup, sizeof(s->backup), "%s", text(stmt, 1));
	else if (streq(key, "power_cut"))
		s->power_cut = sqlite3_column_int(stmt, 1) != 0;
	else if (streq(key, "undecoded"))
		s->undecoded = (uint64_t)sqlite3_column_int64(stmt, 1);
	else if (streq(key, "next_row"))
		s->next_row = sqlite3_column_int64(stmt, 1);
	return 0;
}

static int load_run(struct store *s, sqlite3_stmt *stmt)
{
	struct run_entry *runs = reallocarray(s->runs, s->n_runs + 1, sizeof(*runs));
	struct run_entry *run;

	if (!runs)
		return -ENOMEM;
	s->runs = runs;
	run = &s->runs[s->n_runs];
	*run = (struct run_entry){.info.number = (uint64_t)sqlite3_column_int64(stmt, 0)};
	if (!read_uuid(stmt, 1, &run->info.nonce))
		return bad(s, "run");
	(void)snprintf(run->info.boot_id, sizeof(run->info.boot_id), "%s", text(stmt, 2));
	run->offset_us = sqlite3_column_int64(stmt, 3);
	run->synced = sqlite3_column_int(stmt, 4) != 0;
	run->started_us = sqlite3_column_int64(stmt, 5);
	s->n_runs++;
	s->run = run->info; /* the newest stays */
	return 0;
}

static int load_stream(struct store *s, sqlite3_stmt *stmt)
{
	struct stream_info info = {
		.number = (uint32_t)sqlite3_column_int64(stmt, 0),
		.kind = (uint8_t)sqlite3_column_int(stmt, 3),
		.device = text(stmt, 2),
		.subject = text(stmt, 4),
	};
	struct stream_state *st;
	int r;

	if (info.number != s->n_streams + 1 || !read_uuid(stmt, 1, &info.id))
		return bad(s, "stream");
	r = stream_add(s, &info);
	if (r < 0)
		return r;
	st = stream_of(s, info.number);
	st->shed = (uint64_t)sqlite3_column_int64(stmt, 5);
	st->deleted = (uint64_t)sqlite3_column_int64(stmt, 6);
	st->salvage_lost = (uint64_t)sqlite3_column_int64(stmt, 7);
	st->gaps = (uint64_t)sqlite3_column_int64(stmt, 8);
	st->last_wall_us = sqlite3_column_int64(stmt, 9);
	return 0;
}

static int load_reach(struct store *s, sqlite3_stmt *stmt)
{
	uint32_t stream = (uint32_t)sqlite3_column_int64(stmt, 0);

	if (stream < 1 || stream > s->n_streams)
		return bad(s, "stream_run or record");
	return stream_reach(stream_of(s, stream), (uint64_t)sqlite3_column_int64(stmt, 1),
			    (uint64_t)sqlite3_column_int64(stmt, 2));
}

/* As a note has it; what the log says after that is not noted yet. */
static int load_noted(struct store *s, sqlite3_stmt *stmt)
{
	int r = load_reach(s, stmt);

	if (r == 0) {
		struct stream_state *st = stream_of(s, (uint32_t)sqlite3_column_int64(stmt, 0));

		st->n_noted = st->n_runs;
	}
	return r;
}

static int load_sink(struct store *s, sqlite3_stmt *stmt)
{
	struct sink_info info = {.number = (uint32_t)sqlite3_column_int64(stmt, 0),
				 .required = sqlite3_column_int(stmt, 2) != 0,
				 .retired = sqlite3_column_int(stmt, 3) != 0};
	int r;

	if (info.number != s->n_sinks + 1)
		return bad(s, "sink");
	(void)snprintf(info.name, sizeof(info.name), "%s", text(stmt, 1));
	r = sink_add(s, &info);
	if (r == 0)
		(void)snprintf(sink_of(s, info.number)->address, ADDRESS_SIZE, "%s", text(stmt, 6));
	if (r == 0)
		sink_of(s, info.number)->times =
			(struct finding_times){.confirmed_us = sqlite3_column_int64(stmt, 4),
					       .reconciled_us = sqlite3_column_int64(stmt, 5)};
	return r;
}

static bool known(const struct store *s, uint32_t sink, uint32_t stream)
{
	return sink >= 1 && sink <= s->n_sinks && stream >= 1 && stream <= s->n_streams;
}

static int load_cursor(struct store *s, sqlite3_stmt *stmt)
{
	uint32_t sink = (uint32_t)sqlite3_column_int64(stmt, 0);
	uint32_t stream = (uint32_t)sqlite3_column_int64(stmt, 1);

	if (!known(s, sink, stream))
		return bad(s, "cursor");
	*cursor_of(s, sink, stream) = (struct cursor_state){
		.seq = (uint64_t)sqlite3_column_int64(stmt, 2),
		.id = (uint64_t)sqlite3_column_int64(stmt, 3),
		.confirmed = (uint64_t)sqlite3_column_int64(stmt, 4),
		.quarantined = (uint64_t)sqlite3_column_int64(stmt, 5),
		.moved = (uint64_t)sqlite3_column_int64(stmt, 6),
		.exempt = (uint64_t)sqlite3_column_int64(stmt, 7),
		.held = sqlite3_column_int(stmt, 8) != 0,
		.refused = sqlite3_column_int(stmt, 8) == 2,
	};
	return 0;
}

static int load_row(struct store *s, sqlite3_stmt *stmt)
{
	struct batch_row row = {
		.sink = (uint32_t)sqlite3_column_int64(stmt, 1),
		.stream = (uint32_t)sqlite3_column_int64(stmt, 2),
		.first_seq = (uint64_t)sqlite3_column_int64(stmt, 3),
		.last_seq = (uint64_t)sqlite3_column_int64(stmt, 4),
		.first_id = (uint64_t)sqlite3_column_int64(stmt, 5),
		.last_id = (uint64_t)sqlite3_column_int64(stmt, 6),
		.status = (uint8_t)sqlite3_column_int(stmt, 7),
		.priority = (uint8_t)sqlite3_column_int(stmt, 8),
		.retry_count = (uint32_t)sqlite3_column_int64(stmt, 9),
		.created_us = sqlite3_column_int64(stmt, 10),
		.last_attempt_us = sqlite3_column_int64(stmt, 11),
		.limit = (uint32_t)sqlite3_column_int64(stmt, 12),
	};
	int64_t number = sqlite3_column_int64(stmt, 0);
	struct row_entry *rows;

	if (!known(s, row.sink, row.stream) || row.first_seq > row.last_seq)
		return bad(s, "batch");
	(void)snprintf(row.last_error, sizeof(row.last_error), "%s", text(stmt, 13));
	row.number = number;
	row.count = stream_count_between(stream_of(s, row.stream), row.first_seq, row.last_seq);
	rows = array_reserve(s->rows, sizeof(*rows), s->n_rows + 1, &s->rows_capacity);
	if (!rows)
		return -ENOMEM;
	s->rows = rows;
	s->rows[s->n_rows++] = (struct row_entry){.row = row};
	row_index_add(s, &s->rows[s->n_rows - 1]);
	s->next_row = MAX(s->next_row, number + 1);
	return 0;
}

static int load_aside(struct store *s, sqlite3_stmt *stmt)
{
	struct aside a = {.sink = (uint32_t)sqlite3_column_int64(stmt, 0),
			  .stream = (uint32_t)sqlite3_column_int64(stmt, 1),
			  .first_seq = (uint64_t)sqlite3_column_int64(stmt, 2),
			  .last_seq = (uint64_t)sqlite3_column_int64(stmt, 3),
			  .how = (uint8_t)sqlite3_column_int(stmt, 4)};
	int r = asides_reserve(s, 1);

	if (r < 0)
		return r;
	if (!known(s, a.sink, a.stream) || a.first_seq > a.last_seq)
		return bad(s, "aside");
	s->asides[s->n_asides++] = a;
	return 0;
}

static int load_incarnation(struct store *s, sqlite3_stmt *stmt)
{
	struct incarnation i = {.number = (uint32_t)sqlite3_column_int64(stmt, 0),
				.began_us = sqlite3_column_int64(stmt, 2),
				.reason = incarnation_reason_of(text(stmt, 3))};

	if (!read_uuid(stmt, 1, &i.id))
		return bad(s, "incarnation");
	(void)snprintf(i.detail, sizeof(i.detail), "%s", text(stmt, 4));
	return identity_load_one(s, &i);
}

static int load_segment(struct store *s, sqlite3_stmt *stmt)
{
	struct segment *segments = reallocarray(s->segments, s->n_segments + 1, sizeof(*segments));
	struct segment *g;

	if (!segments)
		return -ENOMEM;
	s->segments = segments;
	g = &s->segments[s->n_segments++];
	*g = (struct segment){
		.from_us = sqlite3_column_int64(stmt, 1),
		.to_us = sqlite3_column_int64(stmt, 2),
		.offset_us = sqlite3_column_int64(stmt, 3),
		.clk = (uint8_t)sqlite3_column_int(stmt, 4),
	};
	(void)snprintf(g->boot_id, sizeof(g->boot_id), "%s", text(stmt, 0));
	return 0;
}

static int load_hour(struct store *s, sqlite3_stmt *stmt)
{
	rates_load(s, sqlite3_column_int64(stmt, 0), (uint32_t)sqlite3_column_int64(stmt, 1),
		   sqlite3_column_blob(stmt, 2), (size_t)sqlite3_column_bytes(stmt, 2));
	return 0; /* a blob that makes no sense is left out: they are only figures */
}

static int load_salvage(struct store *s, sqlite3_stmt *stmt)
{
	struct salvage_status *all = reallocarray(s->salvages, s->n_salvages + 1, sizeof(*all));
	struct salvage_status *v;

	if (!all)
		return -ENOMEM;
	s->salvages = all;
	v = &s->salvages[s->n_salvages++];
	*v = (struct salvage_status){
		.began_us = sqlite3_column_int64(stmt, 1),
		.ended_us = sqlite3_column_int64(stmt, 2),
		.brought = (uint64_t)sqlite3_column_int64(stmt, 3),
		.settled = (uint64_t)sqlite3_column_int64(stmt, 4),
		.lost = (uint64_t)sqlite3_column_int64(stmt, 5),
	};
	(void)snprintf(v->dir, sizeof(v->dir), "%s", text(stmt, 0));
	(void)snprintf(v->words, sizeof(v->words), "%s", text(stmt, 6));
	return 0;
}

int schema_load(struct store *s)
{
	static const struct {
		const char *sql;
		int (*fn)(struct store *s, sqlite3_stmt *stmt);
	} tables[] = {
		{"SELECT key, value FROM meta", load_meta},
		{"SELECT number, nonce, boot_id, offset_us, synced, started_us FROM run"
		 " ORDER BY number",
		 load_run},
		{"SELECT number, uuid, device, kind, subject, shed, deleted, salvage_lost, gaps,"
		 " last_wall_us FROM stream ORDER BY number",
		 load_stream},
		{"SELECT stream, run, last_n FROM stream_run ORDER BY run", load_noted},
		/* What came behind the last note of how far each run reaches. */
		{"SELECT stream, seq >> 28, max((seq & 268435455) + n - 1) FROM record"
		 " WHERE id > coalesce((SELECT value FROM meta WHERE key = 'noted_id'), 0)"
		 " GROUP BY 1, 2 ORDER BY 2",
		 load_reach},
		{"SELECT number, name, required, retired, confirmed_us, reconciled_us, url FROM "
		 "sink "
		 "ORDER BY number",
		 load_sink},
		{"SELECT sink, stream, seq, id, confirmed, quarantined, moved, exempt,"
		 " held FROM cursor",
		 load_cursor},
		{"SELECT number, sink, stream, first_seq, last_seq, first_id, last_id, status,"
		 " priority, retry_count, created_us, last_attempt_us, size_limit, last_error FROM "
		 "batch"
		 " ORDER BY number",
		 load_row},
		{"SELECT sink, stream, first_seq, last_seq, how FROM aside", load_aside},
		{"SELECT number, uuid, began_us, reason, detail FROM incarnation ORDER BY number",
		 load_incarnation},
		{"SELECT boot_id, from_us, to_us, offset_us, clk FROM clock ORDER BY number",
		 load_segment},
		{"SELECT hour, sink, counts FROM hour ORDER BY hour", load_hour},
		{"SELECT dir, began_us, ended_us, brought, settled, lost, words FROM salvage"
		 " ORDER BY dir",
		 load_salvage},
	};
	uint64_t in_table;
	int r = 0;

	s->next_row = 1;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(tables); i++)
		r = sql_each(s, tables[i].sql, tables[i].fn);
	if (r != 0)
		return r;
	r = notes_load(s);
	if (r != 0)
		return r;
	identity_mark(s);
	r = wear_load(s);
	if (r != 0)
		return r;
	in_table = log_high_id(s, &r);
	s->log_id = MAX(s->log_id, in_table);
	return r;
}
