/*
 * The database: its tables, how it is opened, and how it becomes newer.
 *
 *   meta        key -> value                   incarnation, ids never to come back, the last stop
 *   run         number, nonce, boot            one a start of an owner: seq = number << 28 | n
 *   stream      number, device, kind, subject  what is measured; named by a UUIDv5 of those
 *   stream_run  (stream, run) -> last n        how far each run came, should its records be gone
 *   record      id | stream seq n boot_us      the log: append-only, in id order
 *               clk offset_us payload
 *   sink        number, name                   whom the data is for; a retired one keeps its row
 *   cursor      (sink, stream) -> seq          at or below: confirmed, in a row, quarantined,
 *                                              moved, exempt
 *   batch       number | a range               still to send
 *   quarantine  (sink, stream, seq)            refused for good
 *   aside       (sink, stream, first seq)      ranges below a cursor that moved away, that
 *                                              moved here although the sink had them, or
 *                                              that were lost before it had them
 *   incarnation number | a UUID, why           what stream ids are derived from; the last counts
 *   clock       a segment of a boot -> offset  frozen wall time for records admitted without one
 *   clock_note  number | boot, boot_us, utc_us what was known of the clock, told to sinks too
 *   undecoded   number | bytes, why            frames nobody could read, the last thousand
 *
 * A row of `record` is a block: consecutive records of one stream as one commit found them, its id
 * that of the last of them. A commit in an outage holds one or two notifications a stream, a lazy
 * one some minutes of them; in blocks the second costs a quarter of a row each. So the highest id
 * in the table is the highest id in the log, and "the log holds every id up to there" is what
 * recovery asks.
 *
 *   record.payload   for each record: boot_us difference to the one before (zigzag varint, the
 *                    first 0), then its content as pack.h draws it
 *
 * Pages are 512 bytes, because a commit writes whole ones: one with a record, a cursor and the end
 * of a batch row wrote 1.8 times what a bare fdatasync of a block does with pages of 1024, and 1.4
 * with these; an outage a tenth less in all. The price is a deeper tree: draining costs a quarter
 * more. The file is WAL with synchronous=FULL: NORMAL may roll back what was committed. Checkpoints
 * are ours (store_checkpoint()).
 *
 * PRAGMA user_version numbers the steps of migrate.c. A store that is newer than this program is
 * refused untouched; each migration has a way back, and a test goes there and back on a real file.
 */
#include "store/migrate.h"
#include "store/state.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static const char *const statement_text[SQL_MAX_] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	[SQL_ADD_RECORD] =
		"INSERT OR IGNORE INTO record(id, stream, seq, n, boot_us, clk, offset_us,"
		" payload) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[SQL_READ_STREAM] = "SELECT id, seq, n, boot_us, clk, offset_us, payload FROM record"
			    " WHERE id >= ?1 AND id < ?3 AND stream = ?2 ORDER BY id",
	[SQL_PUT_CURSOR] =
		"INSERT OR REPLACE INTO cursor(sink, stream, seq, id, confirmed, quarantined,"
		" moved, exempt, held) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	[SQL_PUT_ROW] = "INSERT OR REPLACE INTO batch(number, sink, stream, first_seq, last_seq,"
			" first_id, last_id, status, priority, retry_count, created_us,"
			" last_attempt_us, next_attempt_us, size_limit, last_error)"
			" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
	[SQL_DELETE_ROW] = "DELETE FROM batch WHERE number = ?1",
	[SQL_PUT_QUARANTINE] = "INSERT OR REPLACE INTO quarantine(sink, stream, seq, wall_us, code,"
			       " detail) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
	[SQL_PUT_ASIDE] = "INSERT OR REPLACE INTO aside(sink, stream, first_seq, last_seq, how)"
			  " VALUES(?1, ?2, ?3, ?4, ?5)",
	[SQL_PUT_STREAM] =
		"UPDATE stream SET shed = ?2, deleted = ?3, salvage_lost = ?4, gaps = ?5,"
		" last_wall_us = ?6 WHERE number = ?1",
	[SQL_PUT_STREAM_RUN] =
		"INSERT OR REPLACE INTO stream_run(stream, run, last_n) VALUES(?1, ?2, ?3)",
	[SQL_PUT_META] = "INSERT OR REPLACE INTO meta(key, value) VALUES(?1, ?2)",
	[SQL_MAX_ID] = "SELECT max(id) FROM record",
	[SQL_BLOCKS_AFTER] = "SELECT id, seq >> 28, boot_us, clk, boot_us + offset_us FROM record"
			     " WHERE id > ?1 ORDER BY id",
	[SQL_OLDEST] = "SELECT id, stream, seq, n, boot_us, clk, offset_us FROM record"
		       " WHERE id > ?2 ORDER BY id LIMIT ?1",
	[SQL_DELETE_RECORD] = "DELETE FROM record WHERE id = ?1",
	[SQL_ADD_UNDECODED] = "INSERT INTO undecoded(wall_us, device, characteristic, why, data)"
			      " VALUES(?1, ?2, ?3, ?4, ?5)",
	[SQL_TRIM_UNDECODED] =
		"DELETE FROM undecoded WHERE number <= (SELECT max(number) FROM undecoded) - 1000",
	[SQL_PUT_HOUR] = "INSERT OR REPLACE INTO hour(hour, sink, counts) VALUES(?1, ?2, ?3)",
	[SQL_TRIM_HOURS] = "DELETE FROM hour WHERE hour > 0 AND hour < (SELECT min(hour) FROM"
			   " (SELECT DISTINCT hour FROM hour ORDER BY hour DESC LIMIT ?1))",
	[SQL_ADD_NOTE] = "INSERT OR REPLACE INTO clock_note(number, boot_id, boot_us, utc_us)"
			 " VALUES(?1, ?2, ?3, ?4)",
	[SQL_DROP_NOTES] = "DELETE FROM clock_note WHERE number < ?1",
	[SQL_PUT_CLOCKS] = "UPDATE sink SET clocks = ?2 WHERE number = ?1",
	[SQL_ADD_WEAR] = "INSERT INTO wear(day, bytes, commits) VALUES(?1, ?2, ?3) ON CONFLICT(day)"
			 " DO UPDATE SET bytes = bytes + ?2, commits = commits + ?3",
	[SQL_USED] = "SELECT (page_count - freelist_count) * page_size, freelist_count * page_size"
		     " FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
};

int store_fail(struct store *s, int r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(s->problem, sizeof(s->problem), format, ap); /* longer is cut */
	va_end(ap);
	return r;
}

int store_fail_sql(struct store *s, const char *doing)
{
	int code = sqlite3_errcode(s->db);
	int r = code == SQLITE_FULL ? -ENOSPC : code == SQLITE_NOMEM ? -ENOMEM : -EIO;

	if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) {
		r = STORE_E_CORRUPT;
		s->damaged = true;
	}
	return store_fail(s, r, "%s: %s", doing, sqlite3_errmsg(s->db));
}

int sql_exec(struct store *s, const char *sql)
{
	if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return store_fail_sql(s, sql);
	return 0;
}

int sql_step(struct store *s, enum statement statement)
{
	sqlite3_stmt *stmt = s->statements[statement];
	int code;

	do
		code = sqlite3_step(stmt);
	while (code == SQLITE_ROW);
	(void)sqlite3_reset(stmt); /* repeats the error of the step */
	if (code != SQLITE_DONE)
		return store_fail_sql(s, statement_text[statement]);
	return 0;
}

int sql_once(struct store *s, sqlite3_stmt *stmt, bool ok, const char *doing)
{
	int r = ok && sqlite3_step(stmt) == SQLITE_DONE ? 0 : store_fail_sql(s, doing);

	(void)sqlite3_finalize(stmt); /* repeats the error of the step */
	return r;
}

int sql_end(struct store *s, int r)
{
	if (r == 0)
		r = sql_step(s, SQL_COMMIT);
	if (r != 0 && !sqlite3_get_autocommit(s->db))
		(void)sql_step(s, SQL_ROLLBACK); /* the first error counts */
	return r;
}

int sql_bind(struct store *s, enum statement statement, const int64_t *columns, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (sqlite3_bind_int64(s->statements[statement], (int)i + 1, columns[i]) !=
		    SQLITE_OK)
			return store_fail_sql(s, statement_text[statement]);
	return 0;
}

int sql_put(struct store *s, enum statement statement, const int64_t *columns, size_t n)
{
	int r = sql_bind(s, statement, columns, n);

	return r == 0 ? sql_step(s, statement) : r;
}

int sql_each(struct store *s, const char *sql, int (*fn)(struct store *s, sqlite3_stmt *stmt))
{
	sqlite3_stmt *stmt = NULL;
	int code, r = 0;

	if (sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return store_fail_sql(s, sql);
	while (r == 0 && (code = sqlite3_step(stmt)) == SQLITE_ROW)
		r = fn(s, stmt);
	if (r == 0 && code != SQLITE_DONE)
		r = store_fail_sql(s, sql);
	(void)sqlite3_finalize(stmt); /* repeats the error of the step */
	return r;
}

int sql_put_meta(struct store *s, const char *key, const void *value, size_t size)
{
	sqlite3_stmt *stmt = s->statements[SQL_PUT_META];

	if (sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC) != SQLITE_OK ||
	    sqlite3_bind_blob(stmt, 2, value, (int)size, SQLITE_STATIC) != SQLITE_OK)
		return store_fail_sql(s, "meta");
	return sql_step(s, SQL_PUT_META);
}

int sql_put_meta_int(struct store *s, const char *key, int64_t value)
{
	sqlite3_stmt *stmt = s->statements[SQL_PUT_META];

	if (sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC) != SQLITE_OK ||
	    sqlite3_bind_int64(stmt, 2, value) != SQLITE_OK)
		return store_fail_sql(s, "meta");
	return sql_step(s, SQL_PUT_META);
}

static int connect(struct store *s, bool writable)
{
	char path[512];
	int persist = 1;
	int flags = writable ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;

	if ((size_t)snprintf(path, sizeof(path), "%s/store.db", s->state_dir) >= sizeof(path))
		return store_fail(s, -ENAMETOOLONG, "%s is too long", s->state_dir);
	if (!writable && access(path, F_OK) < 0)
		return store_fail(s, errno == EACCES ? STORE_E_DENIED : STORE_E_ABSENT,
				  errno == EACCES ? "may not read %s" : "there is no store at %s",
				  path);
	if (!writable && access(path, R_OK) < 0)
		return store_fail(s, STORE_E_DENIED, "may not read %s", path);
	if (sqlite3_open_v2(path, &s->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		return s->db ? store_fail_sql(s, path) : -ENOMEM;
	/*
	 * The WAL file stays when we stop: written over, it costs a commit no metadata; made anew
	 * and grown, it costs the file system's journal each time. And it stays beside a store
	 * that is corrupt: SQLite would delete it when it closes what it could not read.
	 */
	(void)sqlite3_file_control(s->db, "main", SQLITE_FCNTL_PERSIST_WAL,
				   &persist);	       /* a saving */
	(void)sqlite3_extended_result_codes(s->db, 0); /* the primary codes say enough */
	return 0;
}

static int read_version(struct store *s, int *ret)
{
	sqlite3_stmt *stmt = NULL;
	int code;

	if (sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &stmt, NULL) != SQLITE_OK)
		return store_fail_sql(s, "user_version");
	code = sqlite3_step(stmt);
	if (code == SQLITE_ROW)
		*ret = sqlite3_column_int(stmt, 0);
	(void)sqlite3_finalize(stmt); /* only read */
	return code == SQLITE_ROW ? 0 : store_fail_sql(s, "user_version");
}

static int make_writable(struct store *s)
{
	const char *sql = "PRAGMA page_size=512; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
			  "PRAGMA wal_autocheckpoint=0; PRAGMA secure_delete=OFF;"
			  "PRAGMA cache_size=-384; PRAGMA temp_store=MEMORY";

	/* An owner reads this: the damage that is found first is mostly found here. */
	if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return store_fail_sql(s, "store.db");
	return 0;
}

int schema_open(struct store *s, bool writable, bool *ret_created)
{
	int version = 0, r;

	r = connect(s, writable);
	if (r != 0)
		return r;
	(void)sqlite3_busy_timeout(s->db, writable ? 2000 : 500); /* only refuses negative ones */
	r = read_version(s, &version);
	if (r != 0)
		return r;
	if (version > MIGRATE_NEWEST)
		return store_fail(
			s, STORE_E_NEWER,
			"the store has version %d, this program knows up to %d: install the newer "
			"vitald again, or let it run `vitalctl store downgrade --to %d` first",
			version, MIGRATE_NEWEST, MIGRATE_NEWEST);
	if (!writable)
		return version == MIGRATE_NEWEST
			       ? 0
			       : store_fail(s, STORE_E_ABSENT,
					    "the store is not made or migrated yet (version %d)",
					    version);
	r = make_writable(s);
	if (r != 0)
		return r;
	*ret_created = version == 0;
	r = migrate_to(s->db, version, MIGRATE_NEWEST);
	return r < 0 ? store_fail_sql(s, "migration") : 0;
}

int schema_prepare(struct store *s)
{
	for (int i = 0; i < SQL_MAX_; i++)
		if (sqlite3_prepare_v3(s->db, statement_text[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &s->statements[i], NULL) != SQLITE_OK)
			return store_fail_sql(s, statement_text[i]);
	return 0;
}
