/*
 * Copies of whole stores, made by vitalctl in its own process.
 *
 * A backup reads within one transaction, so that it is the state after one commit however long it
 * takes and whatever the daemon commits meanwhile; the price is that the WAL is not cut off until it
 * has ended. The copy is a single file without a WAL. It has a mark: to go on from an old copy under
 * the same names would give numbers a second time that a server has seen, so a start from it begins
 * a new incarnation.
 *
 * The way back to an older version, with the owner's lock held:
 *
 *    commit what is in the tail -> copy beside the store -> steps down, each a transaction -> done
 *              |
 *              +-> records move to new names, or a salvage has not ended: no further
 *
 * Nothing but the last step changes what a daemon would find, and SQLite makes each step whole or
 * not at all.
 */
#include "store/copy.h"

#include "store/identity.h"
#include "store/migrate.h"
#include "store/owner.h"
#include "store/store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { STEP_PAGES = 2048, PROGRESS_STEPS = 20000 };

static int fail(char why[static 256], int r, const char *what, const char *text)
{
	(void)snprintf(why, 256, "%.120s: %.120s", what, text);
	return r;
}

static int fail_sql(char why[static 256], sqlite3 *db, const char *what)
{
	int code = sqlite3_errcode(db);

	return fail(why,
		    code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? STORE_E_CORRUPT
		    : code == SQLITE_FULL			    ? -ENOSPC
								    : -EIO,
		    what, sqlite3_errmsg(db));
}

static int fail_errno(char why[static 256], const char *what)
{
	int r = -errno;

	return fail(why, r, what, strerror(-r));
}

static int open_to_read(const char *path, sqlite3 **ret, char why[static 256])
{
	if (access(path, F_OK) < 0)
		return fail(why, STORE_E_ABSENT, path, "there is no store");
	if (access(path, R_OK) < 0)
		return fail(why, STORE_E_DENIED, path, "may not be read");
	if (sqlite3_open_v2(path, ret, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) !=
	    SQLITE_OK)
		return fail_sql(why, *ret, path);
	(void)sqlite3_busy_timeout(*ret, 2000); /* only refuses negative ones */
	return 0;
}

static int store_path(const char *state_dir, char ret[static 512], char why[static 256])
{
	return snprintf(ret, 512, "%s/store.db", state_dir) < 512
		       ? 0
		       : fail(why, -ENAMETOOLONG, state_dir, "too long");
}

static int version_of(sqlite3 *db, int *ret, char why[static 256])
{
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &stmt, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(stmt);
	if (code == SQLITE_ROW)
		*ret = sqlite3_column_int(stmt, 0);
	(void)sqlite3_finalize(stmt); /* repeats the error of the step */
	return code == SQLITE_ROW ? 0 : fail_sql(why, db, "its version");
}

/* --- looking it over --- */

struct watching {
	copy_progress progress;
	void *userdata;
};

static int on_progress(void *userdata)
{
	const struct watching *w = userdata;

	return w->progress && !w->progress(w->userdata, 0);
}

/* "*** in database main ***", a line of its own, stands before the first damage. */
static const char *damage_of(const char *found)
{
	const char *end = strchr(found, '\n');

	return end ? end + 1 : found;
}

static int look_over(sqlite3 *db, bool whole, struct watching *w, char why[static 256])
{
	sqlite3_stmt *stmt = NULL;
	const char *sql = whole ? "PRAGMA integrity_check(1)" : "PRAGMA quick_check(1)";
	int code, r = 0;

	sqlite3_progress_handler(db, PROGRESS_STEPS, on_progress, w);
	code = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_step(stmt);
	if (code == SQLITE_INTERRUPT)
		r = COPY_E_STOPPED;
	else if (code != SQLITE_ROW)
		r = fail_sql(why, db, "it cannot be looked over");
	else if (!streq((const char *)sqlite3_column_text(stmt, 0), "ok"))
		r = fail(why, STORE_E_CORRUPT, "looking it over found",
			 damage_of((const char *)sqlite3_column_text(stmt, 0)));
	(void)sqlite3_finalize(stmt); /* repeats the error of the step */
	sqlite3_progress_handler(db, 0, NULL, NULL);
	return r;
}

int copy_check(const char *state_dir, const char *file, bool whole, copy_progress progress,
	       void *userdata, char why[static 256])
{
	struct watching w = {progress, userdata};
	sqlite3 *db = NULL;
	char path[512];
	int version, r = 0;

	if (!file) {
		r = store_path(state_dir, path, why);
		file = path;
	}
	if (r == 0)
		r = open_to_read(file, &db, why);
	if (r == 0)
		r = version_of(db, &version, why);
	if (r == 0 && version > MIGRATE_NEWEST)
		r = fail(why, STORE_E_NEWER, file, "a newer vitald made it");
	if (r == 0)
		r = look_over(db, whole, &w, why);
	(void)sqlite3_close(db); /* no statement is left */
	return r;
}

/* --- a copy --- */

static int copy_pages(sqlite3 *from, sqlite3 *to, struct watching *w, char why[static 256])
{
	sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
	int code = SQLITE_OK, total, left;

	if (!backup)
		return fail_sql(why, to, "the copy");
	while (code == SQLITE_OK) {
		code = sqlite3_backup_step(backup, STEP_PAGES);
		total = sqlite3_backup_pagecount(backup);
		left = sqlite3_backup_remaining(backup);
		if (code == SQLITE_OK && w->progress &&
		    !w->progress(w->userdata,
				 (unsigned)((int64_t)(total - left) * 1000 / MAX(total, 1)))) {
			(void)sqlite3_backup_finish(backup); /* it is not wanted */
			return COPY_E_STOPPED;
		}
	}
	(void)sqlite3_backup_finish(backup); /* repeats the error of the step */
	return code == SQLITE_DONE ? 0 : fail_sql(why, to, "the copy");
}

static int mark(sqlite3 *db, char why[static 256])
{
	time_t now = (time_t)(clock_wall_usec() / 1000000);
	char sql[160], stamp[32] = "";
	struct tm tm;

	if (gmtime_r(&now, &tm))
		(void)strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S UTC", &tm); /* fits */
	/* One file, whole: no WAL that could be left behind. */
	(void)snprintf(sql, sizeof(sql),
		       "PRAGMA journal_mode=DELETE; PRAGMA synchronous=FULL;"
		       "INSERT OR REPLACE INTO meta(key, value) VALUES('backup', '%s')",
		       stamp);
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK
		       ? 0
		       : fail_sql(why, db, "the mark of a copy");
}

/* Both are there after a power cut: the content, and the name. */
static int sync_file(const char *path, char why[static 256])
{
	char dir[512];
	const char *slash = strrchr(path, '/');
	int n = slash ? (int)(slash - path) : 1, r = 0;
	int file = open(path, O_RDONLY | O_CLOEXEC), folder;

	(void)snprintf(dir, sizeof(dir), "%.*s", MAX(n, 1), slash ? path : "."); /* cut: fails */
	folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (file < 0 || folder < 0 || fsync(file) < 0 || fsync(folder) < 0)
		r = fail_errno(why, path);
	if (file >= 0)
		(void)close(file); /* only read */
	if (folder >= 0)
		(void)close(folder); /* only read */
	return r;
}

static int fill_copy(sqlite3 *from, const char *path, struct watching *w, char why[static 256])
{
	sqlite3 *to = NULL;
	int r;

	if (sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
	    SQLITE_OK)
		r = fail_sql(why, to, path);
	else
		r = copy_pages(from, to, w, why);
	if (r == 0)
		r = mark(to, why);
	if (r == 0)
		r = look_over(to, false, w, why);
	(void)sqlite3_close(to); /* no statement is left */
	return r == 0 ? sync_file(path, why) : r;
}

static int make_copy(sqlite3 *from, const char *path, struct watching *w, char why[static 256])
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), r;

	if (fd < 0 && errno == EEXIST)
		return fail(why, COPY_E_EXISTS, path, "is there already");
	if (fd < 0)
		return fail_errno(why, path);
	(void)close(fd); /* nothing was written */
	r = fill_copy(from, path, w, why);
	if (r != 0)
		(void)unlink(path); /* half a copy is none */
	return r;
}

static int pin(sqlite3 *db, char why[static 256])
{
	return sqlite3_exec(db, "BEGIN; SELECT count(*) FROM meta", NULL, NULL, NULL) == SQLITE_OK
		       ? 0
		       : fail_sql(why, db, "the store");
}

int copy_backup(const char *state_dir, const char *to, copy_progress progress, void *userdata,
		char why[static 256])
{
	struct watching w = {progress, userdata};
	sqlite3 *from = NULL;
	char path[512];
	int version = 0, r;

	r = store_path(state_dir, path, why);
	if (r == 0)
		r = open_to_read(path, &from, why);
	if (r == 0)
		r = version_of(from, &version, why);
	if (r == 0 && version > MIGRATE_NEWEST)
		r = fail(why, STORE_E_NEWER, path, "a newer vitald made it");
	if (r == 0)
		r = pin(from, why);
	if (r == 0)
		r = make_copy(from, to, &w, why);
	(void)sqlite3_close(from); /* ends the transaction */
	return r;
}

/* --- the way back --- */

/* How far a move or a salvage has come is in tables that the way back drops. */
static int expect_rest(const struct store *s, char why[static 256])
{
	struct salvage_status v;

	if (store_move_left(s) > 0)
		return fail(why, COPY_E_UNDER_WAY, "the store",
			    "records still move to new names, and an older version would not go "
			    "on with that");
	for (size_t i = 0; i < store_salvage_count(s); i++) {
		store_salvage_status(s, i, &v);
		if (v.ended_us == 0)
			return fail(why, COPY_E_UNDER_WAY, v.dir,
				    "what can be read of it is still brought over, and an older "
				    "version would not go on with that");
	}
	return 0;
}

/* What only the tail has goes into the log: an older program may not read the ring. */
static int commit_tail(const char *state_dir, const char *runtime_dir, char why[static 256])
{
	const struct store_options o = {.state_dir = state_dir,
					.runtime_dir = runtime_dir,
					.role = "downgrade",
					.tail_size = 1 << 20};
	const struct clock_state clock = clock_read(CLOCK_TRUST_AUTO);
	_cleanup_(store_closep) struct store *s = NULL;
	struct store_opening opening = {0};
	int r = store_open(&o, clock_boot_usec(), &clock, &opening, &s);

	if (r == STORE_E_OWNED)
		return fail(why, r, state_dir, "it is in use");
	if (r != 0)
		return fail(why, r, "the store", opening.problem);
	r = store_finish(s, clock_boot_usec());
	return r == 0 ? expect_rest(s, why) : fail(why, r, "the store", store_problem(s));
}

static int go_down(const char *path, int to, char why[static 256])
{
	sqlite3 *db = NULL;
	int version = 0, r;

	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
		    SQLITE_OK ||
	    sqlite3_exec(db, "PRAGMA synchronous=FULL", NULL, NULL, NULL) != SQLITE_OK)
		r = fail_sql(why, db, path);
	else
		r = version_of(db, &version, why);
	if (r == 0 && migrate_to(db, version, to) < 0)
		r = fail_sql(why, db, "a step back");
	(void)sqlite3_close(db); /* checkpoints */
	return r;
}

static int backup_name(const char *state_dir, int version, char ret[static 512],
		       char why[static 256])
{
	for (int i = 1; i < 100; i++)
		if (snprintf(ret, 512, "%s/store-version-%d-%d.db", state_dir, version, i) < 512 &&
		    access(ret, F_OK) < 0)
			return 0;
	return fail(why, -EEXIST, state_dir, "there are too many copies");
}

int copy_downgrade(const char *state_dir, const char *runtime_dir, int to,
		   char ret_backup[static 512], char why[static 256])
{
	sqlite3 *db = NULL;
	char path[512];
	int version = 0, r, lock = -1;

	r = store_path(state_dir, path, why);
	if (r == 0)
		r = open_to_read(path, &db, why);
	if (r == 0)
		r = version_of(db, &version, why);
	(void)sqlite3_close(db); /* no statement is left */
	if (r != 0)
		return r;
	if (version > MIGRATE_NEWEST)
		return fail(why, STORE_E_NEWER, path, "a newer vitald made it: it has to do this");
	if (to < 1 || to >= version)
		return to == version ? STORE_E_NOTHING
				     : fail(why, -EINVAL, "the version", "there is no way there");
	r = commit_tail(state_dir, runtime_dir, why);
	if (r == 0)
		r = owner_take(state_dir, &lock);
	if (r == OWNER_E_TAKEN)
		r = fail(why, STORE_E_OWNED, state_dir, "it is in use");
	if (r == 0)
		r = backup_name(state_dir, version, ret_backup, why);
	if (r == 0)
		r = copy_backup(state_dir, ret_backup, NULL, NULL, why);
	if (r == 0)
		r = go_down(path, to, why);
	if (lock >= 0)
		(void)close(lock); /* gives the lock back */
	return r;
}
