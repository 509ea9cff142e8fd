/*
 * Steps between versions of the store. Append only: a step that was released is never changed,
 * because stores that went through it exist. Each has a way back, so that an owner who must go back
 * to an older vitald can. Version 0 is an empty file.
 */
#include "store/migrate.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>

static const struct {
	const char *up, *down;
} steps[MIGRATE_NEWEST] = {
	{
		.up = "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
		      "CREATE TABLE run(number INTEGER PRIMARY KEY, nonce BLOB NOT NULL,"
		      " boot_id TEXT NOT NULL, started_us INTEGER NOT NULL, offset_us INTEGER NOT "
		      "NULL,"
		      " synced INTEGER NOT NULL);"
		      "CREATE TABLE stream(number INTEGER PRIMARY KEY, uuid BLOB NOT NULL UNIQUE,"
		      " device TEXT NOT NULL, kind INTEGER NOT NULL, subject TEXT NOT NULL,"
		      " shed INTEGER NOT NULL DEFAULT 0, deleted INTEGER NOT NULL DEFAULT 0,"
		      " salvage_lost INTEGER NOT NULL DEFAULT 0, gaps INTEGER NOT NULL DEFAULT 0,"
		      " last_wall_us INTEGER NOT NULL DEFAULT 0);"
		      "CREATE TABLE stream_run(stream INTEGER NOT NULL, run INTEGER NOT NULL,"
		      " last_n INTEGER NOT NULL, PRIMARY KEY(stream, run)) WITHOUT ROWID;"
		      "CREATE TABLE record(id INTEGER PRIMARY KEY, stream INTEGER NOT NULL,"
		      " seq INTEGER NOT NULL, n INTEGER NOT NULL, boot_us INTEGER NOT NULL,"
		      " clk INTEGER NOT NULL, offset_us INTEGER NOT NULL, payload BLOB NOT NULL);"
		      "CREATE TABLE sink(number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
		      " required INTEGER NOT NULL, retired INTEGER NOT NULL);"
		      "CREATE TABLE cursor(sink INTEGER NOT NULL, stream INTEGER NOT NULL,"
		      " seq INTEGER NOT NULL, id INTEGER NOT NULL, confirmed INTEGER NOT NULL,"
		      " quarantined INTEGER NOT NULL, moved INTEGER NOT NULL, exempt INTEGER NOT "
		      "NULL,"
		      " held INTEGER NOT NULL,"
		      " PRIMARY KEY(sink, stream)) WITHOUT ROWID;"
		      "CREATE TABLE batch(number INTEGER PRIMARY KEY, sink INTEGER NOT NULL,"
		      " stream INTEGER NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT "
		      "NULL,"
		      " first_id INTEGER NOT NULL, last_id INTEGER NOT NULL, status INTEGER NOT "
		      "NULL,"
		      " priority INTEGER NOT NULL, retry_count INTEGER NOT NULL,"
		      " created_us INTEGER NOT NULL, last_attempt_us INTEGER NOT NULL,"
		      " next_attempt_us INTEGER NOT NULL, size_limit INTEGER NOT NULL,"
		      " last_error TEXT NOT NULL);"
		      "CREATE TABLE quarantine(sink INTEGER NOT NULL, stream INTEGER NOT NULL,"
		      " seq INTEGER NOT NULL, wall_us INTEGER NOT NULL, code TEXT NOT NULL,"
		      " detail TEXT NOT NULL, PRIMARY KEY(sink, stream, seq)) WITHOUT ROWID;"
		      "CREATE TABLE clock(number INTEGER PRIMARY KEY, boot_id TEXT NOT NULL,"
		      " from_us INTEGER NOT NULL, to_us INTEGER NOT NULL, offset_us INTEGER NOT "
		      "NULL,"
		      " clk INTEGER NOT NULL);"
		      "CREATE TABLE undecoded(number INTEGER PRIMARY KEY, wall_us INTEGER NOT NULL,"
		      " device TEXT NOT NULL, characteristic TEXT NOT NULL, why TEXT NOT NULL,"
		      " data BLOB NOT NULL);",
		.down = "DROP TABLE undecoded; DROP TABLE clock; DROP TABLE quarantine; DROP TABLE "
			"batch;"
			"DROP TABLE cursor; DROP TABLE sink; DROP TABLE record; DROP TABLE "
			"stream_run;"
			"DROP TABLE stream; DROP TABLE run; DROP TABLE meta;",
	},
	{
		.up = "CREATE TABLE incarnation(number INTEGER PRIMARY KEY, uuid BLOB NOT NULL,"
		      " began_us INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL);"
		      "ALTER TABLE sink ADD COLUMN url TEXT NOT NULL DEFAULT '';"
		      "ALTER TABLE sink ADD COLUMN confirmed_us INTEGER NOT NULL DEFAULT 0;"
		      "ALTER TABLE sink ADD COLUMN reconciled_us INTEGER NOT NULL DEFAULT 0;"
		      "ALTER TABLE sink ADD COLUMN clocks INTEGER NOT NULL DEFAULT 0;"
		      "CREATE TABLE clock_note(number INTEGER PRIMARY KEY, boot_id TEXT NOT NULL,"
		      " boot_us INTEGER NOT NULL, utc_us INTEGER NOT NULL);"
		      "CREATE TABLE finding(number INTEGER PRIMARY KEY, wall_us INTEGER NOT NULL,"
		      " sink INTEGER NOT NULL, stream INTEGER NOT NULL, first_seq INTEGER NOT NULL,"
		      " last_seq INTEGER NOT NULL, n INTEGER NOT NULL, what INTEGER NOT NULL);"
		      "CREATE TABLE hour(hour INTEGER NOT NULL, sink INTEGER NOT NULL,"
		      " counts BLOB NOT NULL, PRIMARY KEY(hour, sink)) WITHOUT ROWID;"
		      "CREATE TABLE wear(day INTEGER PRIMARY KEY, bytes INTEGER NOT NULL,"
		      " commits INTEGER NOT NULL);"
		      "CREATE TABLE salvage(dir TEXT PRIMARY KEY, began_us INTEGER NOT NULL,"
		      " ended_us INTEGER NOT NULL, phase INTEGER NOT NULL, id INTEGER NOT NULL,"
		      " seq INTEGER NOT NULL, brought INTEGER NOT NULL, settled INTEGER NOT NULL,"
		      " lost INTEGER NOT NULL, words TEXT NOT NULL) WITHOUT ROWID;"
		      "CREATE TABLE aside(sink INTEGER NOT NULL, stream INTEGER NOT NULL,"
		      " first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,"
		      " how INTEGER NOT NULL, PRIMARY KEY(sink, stream, first_seq)) WITHOUT ROWID;",
		.down = "DROP TABLE aside; DROP TABLE salvage; DROP TABLE wear; DROP TABLE hour; "
			"DROP TABLE finding; "
			"DROP TABLE "
			"clock_note;"
			"ALTER TABLE sink DROP COLUMN clocks;"
			"ALTER TABLE sink DROP COLUMN reconciled_us;"
			"ALTER TABLE sink DROP COLUMN confirmed_us;"
			"ALTER TABLE sink DROP COLUMN url; DROP TABLE incarnation;",
	},
};

static int step(sqlite3 *db, const char *sql, int version)
{
	char set[64];

	(void)snprintf(set, sizeof(set), "PRAGMA user_version=%d; COMMIT", version); /* fits */
	if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK &&
	    sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK &&
	    sqlite3_exec(db, set, NULL, NULL, NULL) == SQLITE_OK)
		return 0;
	if (!sqlite3_get_autocommit(db))
		(void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL); /* the first error counts */
	return -EIO;
}

int migrate_to(sqlite3 *db, int from, int to)
{
	int r = 0;

	for (; r == 0 && from < to; from++)
		r = step(db, steps[from].up, from + 1);
	for (; r == 0 && from > to; from--)
		r = step(db, steps[from - 1].down, from - 1);
	return r;
}
