/*
 * Findings wait in memory for the next commit, like quarantine does, but they are told and not owed:
 * if commits fail for long, the oldest of them give way.
 */
#include "store/finding.h"

#include "store/state.h"

static bool is_same(const struct finding *a, const struct finding *b)
{
	return a->sink == b->sink && a->stream == b->stream && a->first_seq == b->first_seq &&
	       a->last_seq == b->last_seq && a->what == b->what;
}

static void drop(struct store *s, size_t at)
{
	s->n_new_findings--;
	memmove(&s->new_findings[at], &s->new_findings[at + 1],
		(s->n_new_findings - at) * sizeof(*s->new_findings));
}

int finding_add(struct store *s, const struct finding *f)
{
	struct finding *all;

	for (size_t i = 0; i < s->n_new_findings; i++)
		if (is_same(&s->new_findings[i], f)) {
			drop(s, i);
			break;
		}
	if (s->n_new_findings == FINDINGS_MAX)
		drop(s, 0);
	all = reallocarray(s->new_findings, s->n_new_findings + 1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	s->new_findings = all;
	all[s->n_new_findings++] = *f;
	if (s->dirty_since == USEC_INFINITY)
		s->dirty_since = s->latest;
	return 0;
}

static int bind(struct store *s, sqlite3_stmt *stmt, const struct finding *f)
{
	const int64_t columns[] = {
		f->sink,       f->stream, f->what, (int64_t)f->first_seq, (int64_t)f->last_seq,
		(int64_t)f->n, f->wall_us};
	size_t n = (size_t)sqlite3_bind_parameter_count(stmt);

	for (size_t i = 0; i < n; i++)
		if (sqlite3_bind_int64(stmt, (int)i + 1, columns[i]) != SQLITE_OK)
			return store_fail_sql(s, "finding");
	return 0;
}

/* With each of the findings that wait. */
static int with_each(struct store *s, const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return store_fail_sql(s, "finding");
	for (size_t i = 0; r == 0 && i < s->n_new_findings; i++) {
		r = bind(s, stmt, &s->new_findings[i]);
		if (r == 0 && sqlite3_step(stmt) != SQLITE_DONE)
			r = store_fail_sql(s, "finding");
		(void)sqlite3_reset(stmt); /* repeats the error of the step */
	}
	(void)sqlite3_finalize(stmt); /* the same */
	return r;
}

static int write_findings(struct store *s)
{
	int r;

	if (s->n_new_findings == 0)
		return 0;
	r = with_each(s, "DELETE FROM finding WHERE sink = ?1 AND stream = ?2 AND what = ?3 AND"
			 " first_seq = ?4 AND last_seq = ?5");
	if (r == 0)
		r = with_each(s, "INSERT INTO finding(sink, stream, what, first_seq, last_seq, n,"
				 " wall_us) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)");
	/* Numbers grow; FINDINGS_MAX of them stay. */
	return r == 0 ? sql_exec(s, "DELETE FROM finding WHERE number <= (SELECT number FROM"
				    " finding ORDER BY number DESC LIMIT 1 OFFSET 1000)")
		      : r;
}

static int write_times(struct store *s)
{
	sqlite3_stmt *stmt = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->n_sinks; i++) {
		const struct sink_entry *k = &s->sinks[i];

		if (!k->times_dirty)
			continue;
		if (sqlite3_prepare_v2(s->db,
				       "UPDATE sink SET confirmed_us = ?2, reconciled_us = ?3"
				       " WHERE number = ?1",
				       -1, &stmt, NULL) != SQLITE_OK ||
		    sqlite3_bind_int64(stmt, 1, (int64_t)i + 1) != SQLITE_OK ||
		    sqlite3_bind_int64(stmt, 2, k->times.confirmed_us) != SQLITE_OK ||
		    sqlite3_bind_int64(stmt, 3, k->times.reconciled_us) != SQLITE_OK ||
		    sqlite3_step(stmt) != SQLITE_DONE)
			r = store_fail_sql(s, "sink");
		(void)sqlite3_finalize(stmt); /* repeats the error of the step */
		stmt = NULL;
	}
	return r;
}

int finding_write(struct store *s)
{
	int r = write_findings(s);

	return r == 0 ? write_times(s) : r;
}

void finding_written(struct store *s)
{
	s->n_new_findings = 0;
	for (size_t i = 0; i < s->n_sinks; i++)
		s->sinks[i].times_dirty = false;
}

int finding_each(struct store *s, finding_cb cb, void *userdata)
{
	sqlite3_stmt *stmt = NULL;
	int code;

	if (sqlite3_prepare_v2(s->db,
			       "SELECT sink, stream, what, first_seq, last_seq, n, wall_us"
			       " FROM finding ORDER BY number",
			       -1, &stmt, NULL) != SQLITE_OK)
		return store_fail_sql(s, "finding");
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
		const struct finding f = {
			.sink = (uint32_t)sqlite3_column_int64(stmt, 0),
			.stream = (uint32_t)sqlite3_column_int64(stmt, 1),
			.what = (uint8_t)sqlite3_column_int(stmt, 2),
			.first_seq = (uint64_t)sqlite3_column_int64(stmt, 3),
			.last_seq = (uint64_t)sqlite3_column_int64(stmt, 4),
			.n = (uint64_t)sqlite3_column_int64(stmt, 5),
			.wall_us = sqlite3_column_int64(stmt, 6),
		};
		bool again = false;

		for (size_t i = 0; i < s->n_new_findings; i++)
			again = again || is_same(&s->new_findings[i], &f);
		if (!again)
			cb(userdata, &f);
	}
	(void)sqlite3_finalize(stmt); /* repeats the error of the step */
	for (size_t i = 0; i < s->n_new_findings; i++)
		cb(userdata, &s->new_findings[i]);
	return code == SQLITE_DONE ? 0 : store_fail_sql(s, "finding");
}

const char *finding_name(unsigned what)
{
	static const char *const names[FINDING_MAX] = {[FINDING_LACKED] = "lacked",
						       [FINDING_SERVER_ONLY] = "server_only",
						       [FINDING_CONFLICT] = "conflict"};

	return what < FINDING_MAX && names[what] ? names[what] : "unknown";
}

void finding_times(const struct store *s, uint32_t sink, struct finding_times *ret)
{
	*ret = sink_of(s, sink)->times;
}

void finding_confirmed(struct store *s, uint32_t sink, int64_t wall_us)
{
	sink_of(s, sink)->times.confirmed_us = wall_us;
	sink_of(s, sink)->times_dirty = true;
}

void finding_reconciled(struct store *s, uint32_t sink, int64_t wall_us)
{
	sink_of(s, sink)->times.reconciled_us = wall_us;
	sink_of(s, sink)->times_dirty = true;
}
