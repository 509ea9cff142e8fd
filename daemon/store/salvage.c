/*
 * A store that SQLite calls corrupt is neither refused nor wiped:
 *
 *    store.db store.db-wal tail                  as they are found
 *      |  renamed, the tail copied off its tmpfs
 *    damaged.new/  --rename-->  damaged-20260301T030000Z/         kept
 *      |
 *      |  a new store is made, and hears at once
 *      |  a child reads the damaged files, record by record
 *      v
 *    salvage_bring(): pieces into the log of the new store, a slice at a time
 *
 * The new store is another incarnation, so its streams have other names and numbers begin at 1. What
 * is brought over gets the next numbers of the run under way, as if it were heard now, with the times
 * it had: (stream, seq) of the damaged store is never used again. A piece that a sink has confirmed,
 * by the damaged store's own books, is exempt there; at every other sink it is open, and owed.
 *
 * Nothing is brought over twice: the place in the damaged store is written in the same commit as the
 * records. A slice goes by the log and not by the tail, so that a crash leaves all of it or nothing,
 * and a commit that fails is undone in memory: the numbers it would have used were never given.
 *
 * Crash in the middle of setting aside: damaged.new is there, and the next start goes on. The WAL
 * goes first, because SQLite deletes one that lies beside an empty database.
 */
#include "store/salvage.h"

#include "store/state.h"
#include "store/undo.h"
#include "util/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "damaged-"
#define NEW    "damaged.new"

/* What a damaged store consists of; `done` says that its salvage is over. */
static const char *const members[] = {"store.db-wal", "store.db", "store.db-shm", "tail", "done"};

static bool join(char ret[static 512], const char *a, const char *b)
{
	return snprintf(ret, 512, "%s/%s", a, b) < 512;
}

static int sync_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		r = -errno;
	(void)close(fd); /* only read */
	return r;
}

static int move_into(const char *dir, const char *to, const char *name)
{
	char from[512], dest[512];

	if (!join(from, dir, name) || !join(dest, to, name))
		return -ENAMETOOLONG;
	return rename(from, dest) < 0 && errno != ENOENT ? -errno : 0;
}

static int write_whole(const char *path, const struct buf *content)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), r;

	if (fd < 0)
		return -errno;
	r = file_write(fd, content);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

enum { TAIL_MAX = 256 << 20 };

/* It lies on a tmpfs: what it alone holds has to be on the card before the next power cut. */
static int keep_tail(const char *runtime_dir, const char *to)
{
	struct buf content = {0};
	char from[512], dest[512];
	int r;

	if (!join(from, runtime_dir, "tail") || !join(dest, to, "tail"))
		return -ENAMETOOLONG;
	r = file_read(from, TAIL_MAX, &content);
	if (r == 0)
		r = write_whole(dest, &content);
	buf_done(&content);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		(void)unlink(from); /* else it is foreign to the new store, and set aside by it */
	return r == -ENOSPC ? 0 : r;
}

static bool name_of_now(const char *state_dir, char ret[static 40])
{
	time_t now = (time_t)(clock_wall_usec() / 1000000);
	char path[512], stamp[20];
	struct tm tm;

	if (!gmtime_r(&now, &tm) || strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm) == 0)
		return false;
	for (int i = 1; i < 100; i++) {
		(void)snprintf(ret, 40, i == 1 ? PREFIX "%s" : PREFIX "%s-%d", stamp, i); /* fits */
		if (join(path, state_dir, ret) && access(path, F_OK) < 0)
			return true;
	}
	return false;
}

static int is_folder(const struct dirent *e)
{
	return strncmp(e->d_name, PREFIX, strlen(PREFIX)) == 0;
}

static bool remove_done(const char *state_dir, const char *name)
{
	char folder[512], path[512];

	if (!join(folder, state_dir, name) || !join(path, folder, "done") || access(path, F_OK) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (join(path, folder, members[i]))
			(void)unlink(path); /* not all of them are there */
	return rmdir(folder) == 0;
}

int salvage_make_place(const char *state_dir)
{
	struct dirent **names;
	int n = scandir(state_dir, &names, is_folder, alphasort), left;

	if (n < 0)
		return -errno;
	left = n;
	for (int i = 0; i < n; i++) {
		if (left >= SALVAGE_KEPT && remove_done(state_dir, names[i]->d_name))
			left--;
		free(names[i]);
	}
	free(names);
	return left < SALVAGE_KEPT ? 0 : STORE_E_CORRUPT;
}

int salvage_set_aside(const char *state_dir, const char *runtime_dir, char ret_dir[static 40])
{
	char to[512], final[512], name[40];
	int r;

	if (!join(to, state_dir, NEW))
		return -ENAMETOOLONG;
	if (mkdir(to, 0700) < 0 && errno != EEXIST)
		return -errno;
	r = keep_tail(runtime_dir, to);
	for (size_t i = 0; r == 0 && i < 2; i++)
		r = move_into(state_dir, to, members[i]);
	if (r < 0)
		return r;
	/* The index of a WAL is made anew by whoever opens it. */
	if (join(final, state_dir, "store.db-shm"))
		(void)unlink(final); /* may not be there */
	if (join(final, state_dir, SALVAGE_MARK))
		(void)unlink(final);
	if (!name_of_now(state_dir, name) || !join(final, state_dir, name))
		return -EEXIST;
	r = sync_dir(to);
	if (r == 0 && rename(to, final) < 0)
		r = -errno;
	if (r == 0)
		r = sync_dir(state_dir);
	if (r == 0)
		memcpy(ret_dir, name, sizeof(name));
	return r;
}

bool salvage_is_due(const char *state_dir)
{
	char db[512], wal[512], mark[512], half[512];
	struct stat a, b;

	if (!join(db, state_dir, "store.db") || !join(wal, state_dir, "store.db-wal") ||
	    !join(mark, state_dir, SALVAGE_MARK) || !join(half, state_dir, NEW))
		return false;
	if (access(mark, F_OK) == 0 || access(half, F_OK) == 0)
		return true;
	return stat(db, &a) == 0 && a.st_size == 0 && stat(wal, &b) == 0 && b.st_size > 0;
}

void salvage_reason(const char *state_dir, char ret[static 256])
{
	struct buf why = {0};
	char path[512];

	ret[0] = '\0';
	if (join(path, state_dir, SALVAGE_MARK) && file_read(path, 255, &why) == 0)
		(void)snprintf(ret, 256, "%.*s", (int)strcspn((const char *)why.data, "\n"),
			       (const char *)why.data); /* see below: it ends with a newline */
	buf_done(&why);
}

int salvage_condemn(const char *state_dir, const char *why)
{
	struct buf line = {0};
	char path[512];
	int r;

	if (!join(path, state_dir, SALVAGE_MARK))
		return -ENAMETOOLONG;
	buf_printf(&line, "%s\n", why);
	r = write_whole(path, &line);
	buf_done(&line);
	return r == 0 ? sync_dir(state_dir) : r;
}

static bool is_condemned(const struct store *s)
{
	char path[512];

	return join(path, s->state_dir, SALVAGE_MARK) && access(path, F_OK) == 0;
}

int store_condemn(struct store *s)
{
	return is_condemned(s) ? 0 : salvage_condemn(s->state_dir, s->problem);
}

bool store_is_damaged(const struct store *s, char ret_why[static 256])
{
	if (is_condemned(s))
		salvage_reason(s->state_dir, ret_why);
	else if (s->damaged)
		memcpy(ret_why, s->problem, sizeof(s->problem));
	else
		return false;
	return true;
}

/* --- the folders --- */

static int list_dirs(const struct store *s, char (**ret)[40], size_t *ret_n)
{
	char(*all)[40] = NULL, (*more)[40];
	DIR *d = opendir(s->state_dir);
	struct dirent *e;
	size_t n = 0;

	if (!d)
		return -errno;
	while ((e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) != 0 || strlen(e->d_name) >= 40)
			continue;
		more = reallocarray(all, n + 1, sizeof(*all));
		if (!more) {
			free(all);
			(void)closedir(d); /* only read */
			return -ENOMEM;
		}
		all = more;
		(void)snprintf(all[n++], sizeof(*all), "%s", e->d_name); /* fits, see above */
	}
	(void)closedir(d); /* only read */
	*ret = all;
	*ret_n = n;
	return 0;
}

static struct salvage_status *find(const struct store *s, const char *dir)
{
	for (size_t i = 0; i < s->n_salvages; i++)
		if (streq(s->salvages[i].dir, dir))
			return &s->salvages[i];
	return NULL;
}

static bool is_done(const struct store *s, const char *dir)
{
	char folder[512], path[512];

	return join(folder, s->state_dir, dir) && join(path, folder, "done") &&
	       access(path, F_OK) == 0;
}

static int put(struct store *s, const struct salvage_status *v, const struct salvage_place *place)
{
	sqlite3_stmt *stmt = NULL;
	const int64_t columns[] = {v->began_us,		v->ended_us,	     place->phase,
				   (int64_t)place->id,	(int64_t)place->seq, (int64_t)v->brought,
				   (int64_t)v->settled, (int64_t)v->lost};
	bool ok =
		sqlite3_prepare_v2(s->db,
				   "INSERT OR REPLACE INTO salvage(dir, words, began_us, ended_us,"
				   " phase, id, seq, brought, settled, lost)"
				   " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
				   -1, &stmt, NULL) == SQLITE_OK &&
		sqlite3_bind_text(stmt, 1, v->dir, -1, SQLITE_STATIC) == SQLITE_OK &&
		sqlite3_bind_text(stmt, 2, v->words, -1, SQLITE_STATIC) == SQLITE_OK;

	for (size_t i = 0; ok && i < ARRAY_SIZE(columns); i++)
		ok = sqlite3_bind_int64(stmt, (int)i + 3, columns[i]) == SQLITE_OK;
	return sql_once(s, stmt, ok, "salvage");
}

static int enter(struct store *s, const char *dir)
{
	struct salvage_status *all = reallocarray(s->salvages, s->n_salvages + 1, sizeof(*all));
	struct salvage_status v = {0};
	int r;

	if (!all)
		return -ENOMEM;
	s->salvages = all;
	(void)snprintf(v.dir, sizeof(v.dir), "%s", dir); /* fits */
	r = put(s, &v, &(const struct salvage_place){0});
	if (r == 0)
		s->salvages[s->n_salvages++] = v;
	return r;
}

int salvage_enter(struct store *s)
{
	_cleanup_(freep) char(*dirs)[40] = NULL;
	size_t n = 0;
	int r = list_dirs(s, &dirs, &n);

	for (size_t i = 0; r == 0 && i < n; i++)
		if (!find(s, dirs[i]) && !is_done(s, dirs[i]))
			r = enter(s, dirs[i]);
	return r;
}

static int remove_dir(const struct store *s, const char *dir)
{
	char folder[512], path[512];

	if (!join(folder, s->state_dir, dir))
		return -ENAMETOOLONG;
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (join(path, folder, members[i]))
			(void)unlink(path); /* not all of them are there */
	return rmdir(folder) < 0 && errno != ENOENT ? -errno : 0;
}

static bool folder_exists(const struct store *s, const char *dir)
{
	char folder[512];

	return join(folder, s->state_dir, dir) && access(folder, F_OK) == 0;
}

int salvage_remove_old(struct store *s, int64_t before_wall_us)
{
	int n = 0;

	for (size_t i = 0; i < s->n_salvages; i++) {
		const struct salvage_status *v = &s->salvages[i];
		int r;

		if (v->ended_us == 0 || v->ended_us >= before_wall_us || !folder_exists(s, v->dir))
			continue;
		r = remove_dir(s, v->dir);
		if (r < 0)
			return store_fail(s, r, "%s: %s", v->dir, strerror(-r));
		n++;
	}
	return n;
}

/* --- bringing over --- */

bool salvage_place_before(const struct salvage_place *a, const struct salvage_place *b)
{
	if (a->phase != b->phase)
		return a->phase < b->phase;
	return a->id != b->id ? a->id < b->id : a->seq < b->seq;
}

int salvage_place(struct store *s, const char *dir, struct salvage_place *ret)
{
	sqlite3_stmt *stmt = NULL;
	int code = SQLITE_ERROR;

	*ret = (struct salvage_place){0};
	if (sqlite3_prepare_v2(s->db, "SELECT phase, id, seq FROM salvage WHERE dir = ?1", -1,
			       &stmt, NULL) == SQLITE_OK &&
	    sqlite3_bind_text(stmt, 1, dir, -1, SQLITE_STATIC) == SQLITE_OK)
		code = sqlite3_step(stmt);
	if (code == SQLITE_ROW)
		*ret = (struct salvage_place){(uint8_t)sqlite3_column_int(stmt, 0),
					      (uint64_t)sqlite3_column_int64(stmt, 1),
					      (uint64_t)sqlite3_column_int64(stmt, 2)};
	(void)sqlite3_finalize(stmt); /* repeats the error of the step */
	return code == SQLITE_ROW ? 0 : store_fail_sql(s, "salvage");
}

struct import {
	const struct salvage_status *v;
	struct salvage_place place;
	const struct salvage_piece *pieces;
	size_t n;
	struct {
		uint64_t id, first_seq;
	} * given; /* [n] */
};

/*
 * What a sink has confirmed already it need not have again. What was open before it becomes a row, also
 * where nothing is cut now, at a sink that is held or retired: the cursor passes it.
 */
static int pass_at(struct store *s, uint32_t sink, const struct salvage_piece *p, uint64_t last_seq)
{
	struct cursor_state *c = cursor_of(s, sink, p->stream);
	int r = outbox_row_until(s, sink, p->stream, stream_last_seq(stream_of(s, p->stream)),
				 s->next_id - 1);

	if (r == 0)
		r = asides_reserve(s, 1);
	if (r != 0)
		return r;
	c->exempt += p->n;
	aside_add(s, &(const struct aside){.sink = sink,
					   .stream = p->stream,
					   .first_seq = last_seq - p->n + 1,
					   .last_seq = last_seq,
					   .how = ASIDE_EXEMPT});
	cursor_move(c, last_seq, s->next_id + p->n - 1);
	return 0;
}

static int give_numbers(struct store *s, const struct salvage_piece *p, uint64_t *ret_id,
			uint64_t *ret_first)
{
	struct stream_state *st = stream_of(s, p->stream);
	uint64_t last = stream_last_seq(st);
	uint64_t n = seq_run(last) == s->run.number ? last & SEQ_N_MAX : 0;
	int r = 0;

	if (n + p->n > SEQ_N_MAX)
		return -EOVERFLOW; /* the owner restarts and goes on in another run */
	for (uint32_t sink = 1; r == 0 && sink <= s->n_sinks && sink <= 64; sink++)
		if (p->had & UINT64_C(1) << (sink - 1))
			r = pass_at(s, sink, p, seq_make(s->run.number, n + p->n));
	if (r == 0)
		r = stream_reach(st, s->run.number, n + p->n);
	if (r != 0)
		return r;
	*ret_first = seq_make(s->run.number, n + 1);
	s->next_id += p->n;
	*ret_id = s->next_id - 1;
	st->last_wall_us = MAX(st->last_wall_us, p->boot_us + p->offset_us);
	st->gaps += p->place.phase == 2;
	st->dirty = true;
	return 0;
}

static int write_piece(struct store *s, const struct salvage_piece *p, uint64_t id, uint64_t first)
{
	const int64_t columns[] = {(int64_t)id, p->stream, (int64_t)first, p->n,
				   p->boot_us,	p->clk,	   p->offset_us};

	return log_insert(s, columns, p->payload, p->size);
}

int salvage_write(struct store *s)
{
	const struct import *import = s->import;
	int r = put(s, import->v, &import->place);

	for (size_t i = 0; r == 0 && i < import->n; i++)
		r = write_piece(s, &import->pieces[i], import->given[i].id,
				import->given[i].first_seq);
	return r;
}

static int commit_import(struct store *s, struct import *import, usec_t now)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < import->n; i++)
		r = give_numbers(s, &import->pieces[i], &import->given[i].id,
				 &import->given[i].first_seq);
	/* Open at every sink; those that nothing new is heard of have no other reason to be looked at. */
	for (uint32_t sink = 1; r == 0 && sink <= s->n_sinks; sink++)
		for (size_t i = 0; r == 0 && i < import->n; i++)
			r = outbox_owe_open(s, sink, import->pieces[i].stream);
	if (r != 0)
		return r;
	s->import = import;
	r = store_commit(s, now);
	s->import = NULL;
	return r;
}

static bool in_flight(const struct store *s)
{
	for (size_t i = 0; i < s->n_sinks; i++)
		if (s->sinks[i].in_flight)
			return true;
	return false;
}

static int mark_done(const struct store *s, const char *dir)
{
	char folder[512], path[512];

	if (!join(folder, s->state_dir, dir) || !join(path, folder, "done"))
		return -ENAMETOOLONG;
	return write_whole(path, &(const struct buf){0});
}

int salvage_bring(struct store *s, const struct salvage_status *v,
		  const struct salvage_piece *pieces, size_t n, usec_t now)
{
	struct salvage_status *known = find(s, v->dir);
	struct import import = {.v = v, .pieces = pieces, .n = n};
	struct undo before = {0};
	int r;

	assert(known != NULL);
	if (n > 0 && (s->full || s->card_full))
		return STORE_E_FULL;
	if (n > 0 && (in_flight(s) || care_wal_is_full(s)))
		return STORE_E_BUSY;
	r = store_commit(s, now); /* the tail is empty then: what follows has ids of its own */
	if (r == 0)
		r = n > 0 ? 0 : salvage_place(s, v->dir, &import.place);
	if (r != 0)
		return r;
	if (n > 0)
		import.place = pieces[n - 1].place;
	import.given = calloc(n + 1, sizeof(*import.given));
	r = import.given ? undo_note(s, &before) : -ENOMEM;
	if (r == 0) {
		r = commit_import(s, &import, now);
		if (r != 0)
			undo_all(s, &before);
	}
	undo_done(s, &before);
	free(import.given);
	if (r == 0) {
		*known = *v;
		if (v->ended_us)
			(void)mark_done(s, v->dir); /* the table says the same */
	}
	return r;
}
