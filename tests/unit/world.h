/*
 * The world around a store, for the explorer: what was admitted and must not be lost, a server that
 * stores what it is sent and notices two contents under one number, a disk whose sync can fail, and
 * the end of a process or of the power.
 *
 *   known.durable   a commit that succeeded took it
 *   known.maybe     a commit took it whose outcome nobody knows
 *   known.server    the server holds it
 *   known.lost      a power cut took it: admitted, not durable, not at the server; its number must
 *                   never come back
 */
#pragma once

#include "place.h"
#include "row_model.h"

#include <fcntl.h>
#include <sqlite3.h>

enum { N_STREAMS = 2, N_SINKS = 2, MAX_KNOWN = 512, LANE_IMMEDIATE = 0, LANE_BACKLOG = 1 };

struct known {
	uint32_t stream;
	uint64_t seq;
	uint16_t bpm;
	usec_t heard;
	bool durable, maybe, lost;
	bool server[N_SINKS + 1];
};

struct nonce {
	uint32_t stream;
	uint64_t run;
	struct uuid nonce;
};

struct lane {
	bool flying;
	struct cut cut;
	struct taken taken;
};

struct world {
	struct place *p;
	struct store *s;
	uint32_t streams[N_STREAMS], sinks[N_SINKS];
	size_t n_sinks;
	struct known known[MAX_KNOWN];
	size_t n_known;
	struct nonce nonces[1024];
	size_t n_nonces;
	struct lane lanes[N_SINKS][2];
	uint64_t cursors[N_SINKS][N_STREAMS];	      /* the highest seen of this process */
	uint64_t durable_cursors[N_SINKS][N_STREAMS]; /* of the last commit that succeeded */
	char durable[2048];			      /* what memory said when it was committed */
	int64_t durable_row;	 /* the highest number of a row that a commit wrote */
	size_t durable_refusals; /* how many it wrote */
	uint16_t next_bpm;
	bool uncertain;
	const char *(*story)(void); /* what led here, for a failure */
};

#define world_fail(w, ...)                                  \
	do {                                                \
		print_error("\nafter: %s\n", (w)->story()); \
		fail_msg(__VA_ARGS__);                      \
	} while (0)
#define world_check(w, condition, ...)              \
	do {                                        \
		if (!(condition))                   \
			world_fail(w, __VA_ARGS__); \
	} while (0)

/* --- a disk whose sync fails when told --- */

static bool sync_fails;
static int (*real_sync)(sqlite3_file *file, int flags);
static int (*real_open)(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
			int *ret_flags);

static inline int flaky_sync(sqlite3_file *file, int flags)
{
	return sync_fails ? SQLITE_IOERR_FSYNC : real_sync(file, flags);
}

static inline int flaky_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
			     int *ret_flags)
{
	static struct {
		const sqlite3_io_methods *real;
		sqlite3_io_methods flaky;
	} kinds[4]; /* of files: SQLite's table of methods, and ours in its place */
	int code = real_open(vfs, name, file, flags, ret_flags);
	size_t i = 0;

	if (code != SQLITE_OK || !file->pMethods)
		return code;
	while (kinds[i].real && kinds[i].real != file->pMethods)
		assert_true(++i < ARRAY_SIZE(kinds));
	if (!kinds[i].real) {
		kinds[i].real = file->pMethods;
		kinds[i].flaky = *file->pMethods;
		real_sync = file->pMethods->xSync;
		kinds[i].flaky.xSync = flaky_sync;
	}
	file->pMethods = &kinds[i].flaky;
	return code;
}

static inline void flaky_disk(void)
{
	static sqlite3_vfs flaky;

	if (real_open)
		return;
	flaky = *sqlite3_vfs_find(NULL);
	real_open = flaky.xOpen;
	flaky.xOpen = flaky_open;
	flaky.zName = "flaky";
	assert_int_equal(sqlite3_vfs_register(&flaky, 1), SQLITE_OK);
}

/* --- files --- */

static inline void file_of(const struct world *w, const char *name, char ret[static 160])
{
	bool state = strncmp(name, "tail", 4) != 0;

	(void)snprintf(ret, 160, "%s/%s", state ? w->p->state : w->p->run, name);
}

static inline void copy_file(const char *from, const char *to)
{
	static char bytes[1 << 20];
	int fd = open(from, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	(void)unlink(to); /* may not be there */
	if (fd < 0)
		return;
	n = read(fd, bytes, sizeof(bytes));
	assert_true(n >= 0 && n < (ssize_t)sizeof(bytes));
	(void)close(fd); /* only read */
	fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, (size_t)n), n);
	assert_int_equal(close(fd), 0);
}

static const char *const kept_files[] = {"store.db", "store.db-wal"};
static const char *const gone_files[] = {"store.db-shm", "tail.foreign"};

/* --- the model --- */

static inline struct known *known_find(struct world *w, uint32_t stream, uint64_t seq)
{
	for (size_t i = 0; i < w->n_known; i++)
		if (w->known[i].stream == stream && w->known[i].seq == seq)
			return &w->known[i];
	return NULL;
}

static inline void world_admit(struct world *w, size_t which)
{
	struct known *k = &w->known[w->n_known];

	*k = (struct known){.stream = w->streams[which], .bpm = w->next_bpm++, .heard = w->p->now};
	k->seq = admit(w->p, w->s, k->stream, k->bpm);
	world_check(w, !known_find(w, k->stream, k->seq), "seq %llx was given out twice",
		    (unsigned long long)k->seq);
	w->n_known++;
}

/* The server stores a record of a request. */
static inline void server_store(struct world *w, const struct lane *l, size_t i)
{
	uint32_t stream = l->taken.records[i].stream;
	uint64_t seq = l->taken.records[i].seq;
	struct known *k = known_find(w, stream, seq);
	size_t n = 0;

	world_check(w, k != NULL, "the server is sent what was never admitted");
	world_check(w, k->bpm == l->taken.records[i].bpm, "%llx has two contents at the server",
		    (unsigned long long)seq);
	k->server[l->cut.sink] = true;
	while (n < w->n_nonces &&
	       (w->nonces[n].stream != stream || w->nonces[n].run != seq_run(seq)))
		n++;
	if (n == w->n_nonces) {
		w->nonces[w->n_nonces++] = (struct nonce){stream, seq_run(seq), l->taken.run.nonce};
		return;
	}
	world_check(w, uuid_equal(&w->nonces[n].nonce, &l->taken.run.nonce),
		    "run %llu has two nonces", (unsigned long long)seq_run(seq));
}

/* --- begin and end of processes --- */

static inline void world_open(struct world *w)
{
	static const char *const names[N_SINKS] = {"a", "b"};

	w->s = open_store(w->p);
	w->streams[0] = stream_of_kind(w->s, KIND_HEART_RATE);
	w->streams[1] = stream_of_kind(w->s, KIND_ECG);
	for (size_t i = 0; i < w->n_sinks; i++)
		assert_int_equal(register_sink(w->s, names[i], true, false, &w->sinks[i]), 0);
}

static inline void world_ground(struct world *w)
{
	for (size_t i = 0; i < N_SINKS; i++)
		for (size_t k = 0; k < 2; k++) {
			if (w->lanes[i][k].flying)
				cut_done(&w->lanes[i][k].cut);
			w->lanes[i][k].flying = false;
		}
}

static inline void world_close(struct world *w)
{
	world_ground(w);
	w->s = store_close(w->s);
}

/*
 * The end of the process, `power`: of the machine. The files are put back as they were before the
 * close, which would have tidied them up.
 */
static inline void world_die(struct world *w, bool power)
{
	char name[160], kept[176];

	for (size_t i = 0; i < ARRAY_SIZE(kept_files); i++) {
		file_of(w, kept_files[i], name);
		(void)snprintf(kept, sizeof(kept), "%s.kept", name);
		copy_file(name, kept);
	}
	world_close(w);
	for (size_t i = 0; i < ARRAY_SIZE(kept_files); i++) {
		file_of(w, kept_files[i], name);
		(void)snprintf(kept, sizeof(kept), "%s.kept", name);
		(void)unlink(name);	  /* may be gone already */
		(void)rename(kept, name); /* a WAL need not be there */
	}
	for (size_t i = 0; i < ARRAY_SIZE(gone_files); i++) {
		file_of(w, gone_files[i], name);
		(void)unlink(name); /* need not be there */
	}
	if (power) {
		file_of(w, "tail", name);
		assert_int_equal(unlink(name), 0);
	}
}

static inline int mark_found(void *userdata, const struct record *r)
{
	struct known *k = known_find(userdata, r->stream, r->seq);

	world_check((struct world *)userdata, k != NULL, "the store holds what was never admitted");
	k->maybe = false;
	k->durable = true;
	return 0;
}

/* After a power cut: what nobody promised may be gone; what is there is durable. */
static inline void world_count_losses(struct world *w)
{
	for (size_t i = 0; i < N_STREAMS; i++)
		assert_int_equal(store_read(w->s, w->streams[i], 1, UINT64_MAX, 0, mark_found, w),
				 0);
	for (size_t i = 0; i < w->n_known; i++)
		w->known[i].lost |= !w->known[i].durable;
}

/* --- what must hold, always --- */

struct rows {
	struct batch_row rows[128];
	size_t n;
};

static inline void collect_row(void *userdata, const struct batch_row *row)
{
	struct rows *rows = userdata;

	assert_true(rows->n < ARRAY_SIZE(rows->rows));
	rows->rows[rows->n++] = *row;
}

struct refusals {
	struct quarantined all[256];
	size_t n;
};

static inline void collect_refusal(void *userdata, const struct quarantined *q)
{
	struct refusals *all = userdata;

	assert_true(all->n < ARRAY_SIZE(all->all));
	all->all[all->n++] = *q;
}

static inline size_t rows_with(const struct rows *rows, uint32_t sink, const struct known *k)
{
	size_t n = 0;

	for (size_t i = 0; i < rows->n; i++)
		n += rows->rows[i].sink == sink && rows->rows[i].stream == k->stream &&
		     rows->rows[i].first_seq <= k->seq && k->seq <= rows->rows[i].last_seq;
	return n;
}

static inline bool is_refused(const struct refusals *all, uint32_t sink, const struct known *k)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->all[i].sink == sink && all->all[i].stream == k->stream &&
		    all->all[i].seq == k->seq)
			return true;
	return false;
}

struct comparing {
	struct world *w;
	size_t at;
	uint32_t stream;
};

static inline void skip_to_next(struct comparing *c)
{
	while (c->at < c->w->n_known &&
	       (c->w->known[c->at].lost || c->w->known[c->at].stream != c->stream))
		c->at++;
}

static inline int compare_record(void *userdata, const struct record *r)
{
	struct comparing *c = userdata;
	const struct known *k;

	skip_to_next(c);
	world_check(c->w, c->at < c->w->n_known, "the store holds more than was admitted");
	k = &c->w->known[c->at++];
	world_check(c->w, r->seq == k->seq, "the store lacks %llx and has %llx",
		    (unsigned long long)k->seq, (unsigned long long)r->seq);
	world_check(c->w, r->heart_rate.bpm == k->bpm, "%llx has two contents in the store",
		    (unsigned long long)k->seq);
	return 0;
}

static inline void check_content(struct world *w)
{
	for (size_t i = 0; i < N_STREAMS; i++) {
		struct comparing c = {w, 0, w->streams[i]};
		int r = store_read(w->s, c.stream, 1, UINT64_MAX, 0, compare_record, &c);

		world_check(w, r == 0, "store_read: %d %s", r, store_problem(w->s));
		skip_to_next(&c);
		world_check(w, c.at == w->n_known, "the store lacks %llx",
			    (unsigned long long)w->known[c.at].seq);
	}
}

static inline void check_sink(struct world *w, size_t sink, const struct rows *rows,
			      const struct refusals *refusals)
{
	uint64_t confirmed[N_STREAMS] = {0}, n[N_STREAMS] = {0}, refused[N_STREAMS] = {0};
	struct cursor_status c[N_STREAMS];
	uint32_t number = w->sinks[sink];

	for (size_t i = 0; i < N_STREAMS; i++) {
		store_cursor_status(w->s, number, w->streams[i], &c[i]);
		world_check(w, c[i].cursor >= w->cursors[sink][i], "a cursor moved back");
		w->cursors[sink][i] = c[i].cursor;
	}
	for (size_t i = 0; i < w->n_known; i++) {
		const struct known *k = &w->known[i];
		size_t which = k->stream == w->streams[0] ? 0 : 1, in_rows;
		bool quarantined;

		if (k->lost)
			continue;
		in_rows = rows_with(rows, number, k);
		quarantined = is_refused(refusals, number, k);
		n[which]++;
		refused[which] += quarantined;
		world_check(w, in_rows <= 1, "%llx is in two rows", (unsigned long long)k->seq);
		world_check(w, !quarantined || !in_rows, "%llx is in quarantine and in a row",
			    (unsigned long long)k->seq);
		if (k->seq > c[which].cursor) {
			world_check(w, !in_rows, "a row stands above its cursor");
			continue;
		}
		confirmed[which] += !in_rows && !quarantined;
		world_check(w, in_rows || quarantined || k->server[number],
			    "the cursor passed %llx: neither held nor at the server",
			    (unsigned long long)k->seq);
		world_check(w, k->seq > c[which].anchor || !in_rows, "a row below the anchor");
	}
	for (size_t i = 0; i < N_STREAMS; i++) {
		world_check(w, c[i].confirmed == confirmed[i],
			    "%u confirmed by the counter, %u are", (unsigned)c[i].confirmed,
			    (unsigned)confirmed[i]);
		world_check(w, c[i].quarantined == refused[i],
			    "%u quarantined by the counter, %u are", (unsigned)c[i].quarantined,
			    (unsigned)refused[i]);
		world_check(w, c[i].waiting + confirmed[i] + refused[i] == n[i],
			    "waiting is miscounted");
	}
}

static inline int64_t highest_row(const struct rows *rows)
{
	int64_t highest = 0;

	for (size_t i = 0; i < rows->n; i++)
		highest = MAX(highest, rows->rows[i].number);
	return highest;
}

static inline void world_check_all(struct world *w)
{
	static struct rows rows;
	static struct refusals refusals;
	const char *why;

	rows.n = refusals.n = 0;
	store_each_row(w->s, collect_row, &rows);
	assert_int_equal(store_each_quarantined(w->s, collect_refusal, &refusals), 0);
	check_content(w);
	why = index_differs(w->s, w->p->now);
	world_check(w, !why, "%s", why);
	for (size_t i = 0; i < w->n_sinks; i++)
		check_sink(w, i, &rows, &refusals);
	/* What took the place of a receipt does not wait for the next lazy commit. */
	if (highest_row(&rows) > w->durable_row || refusals.n > w->durable_refusals)
		world_check(w, store_commit_due(w->s) <= w->p->now + 2 * USEC_PER_SEC,
			    "a row or a quarantined record does not force a commit");
}

/* As somebody who looks from outside sees it. */
static inline void world_audit(struct world *w)
{
	_cleanup_(audit_freep) struct audit *a = NULL;
	_cleanup_(store_closep) struct store *look = NULL;
	const struct audit_line *lines;
	size_t n;

	assert_int_equal(store_look(w->p->state, w->p->run, &look), 0);
	assert_int_equal(audit_new(look, &a), 0);
	while (audit_step(a, 100) == STORE_E_NOTHING)
		;
	n = audit_lines(a, &lines);
	for (size_t i = 0; i < n; i++)
		world_check(w, lines[i].balanced, "audit: sink %u, stream %u: %s", lines[i].sink,
			    lines[i].stream, lines[i].difference);
}

static inline void world_note_durable(struct world *w)
{
	static struct rows rows;
	static struct refusals refusals;

	rows.n = refusals.n = 0;
	store_each_row(w->s, collect_row, &rows);
	assert_int_equal(store_each_quarantined(w->s, collect_refusal, &refusals), 0);
	w->durable_row = highest_row(&rows);
	w->durable_refusals = refusals.n;
}

static inline void world_committed(struct world *w, int r)
{
	for (size_t i = 0; i < w->n_known; i++) {
		w->known[i].durable |= r == 0 && !w->known[i].lost;
		w->known[i].maybe |= r != 0;
	}
	w->uncertain = r != 0;
	if (r == 0) {
		memcpy(w->durable_cursors, w->cursors, sizeof(w->cursors));
		world_note_durable(w);
	}
}
