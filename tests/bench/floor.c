/* Straight calls, no layers: whatever is slower than this is ours. */
#include "floor.h"

#include "meter.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <systemd/sd-event.h>
#include <unistd.h>

enum { BLOCK = 4096 };

static void print(const char *prefix, const struct meter *m, size_t n)
{
	(void)printf("%s_wall_s %.6f\n%s_cpu_s %.6f\n%s_bytes_each %.1f\n%s_disk_bytes_each %.1f\n",
		     prefix, m->wall_s, prefix, m->cpu_s, prefix,
		     (double)m->write_bytes / (double)n, prefix, (double)m->disk_bytes / (double)n);
}

int floor_disk(const char *directory, size_t n)
{
	static char block[BLOCK];
	struct meter start, used;
	char path[512];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/block", directory);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || pwrite(fd, block, BLOCK, 0) != BLOCK || fsync(fd) < 0)
		return -errno;
	meter_read(directory, &start);
	for (size_t i = 0; i < n; i++) {
		memset(block, (int)i, sizeof(block));
		if (pwrite(fd, block, BLOCK, 0) != BLOCK || fdatasync(fd) < 0)
			return -errno;
	}
	meter_since(&start, directory, &used);
	(void)close(fd); /* was synchronised */
	(void)unlink(path);
	print("disk", &used, n);
	(void)printf("disk_rate %.1f\n", (double)n / used.wall_s);
	return 0;
}

/* What a store keeps in a row: the columns behind the key, and the payload. */
struct row {
	sqlite3_int64 columns[7]; /* id stream seq n boot_us clk offset_us */
	void *payload;
	int size;
};

struct rows {
	struct row *rows;
	size_t n, n_records;
};

static int read_rows(const char *store, struct rows *ret)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *stmt = NULL;
	size_t room = 0;

	if (sqlite3_open_v2(store, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(db,
			       "SELECT id, stream, seq, n, boot_us, clk, offset_us, payload FROM "
			       "record ORDER BY id",
			       -1, &stmt, NULL) != SQLITE_OK)
		return -EIO;
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		struct row *row;

		if (ret->n == room) {
			room = room ? 2 * room : 1024;
			ret->rows = reallocarray(ret->rows, room, sizeof(*ret->rows));
			if (!ret->rows)
				return -ENOMEM;
		}
		row = &ret->rows[ret->n++];
		for (int i = 0; i < 7; i++)
			row->columns[i] = sqlite3_column_int64(stmt, i);
		row->size = sqlite3_column_bytes(stmt, 7);
		row->payload = malloc((size_t)row->size + 1);
		if (!row->payload)
			return -ENOMEM;
		memcpy(row->payload, sqlite3_column_blob(stmt, 7), (size_t)row->size);
		ret->n_records += (size_t)row->columns[3];
	}
	(void)sqlite3_finalize(stmt); /* was only read */
	(void)sqlite3_close(db);
	return 0;
}

static void sql(sqlite3 *db, const char *text)
{
	if (sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK)
		return;
	(void)fprintf(stderr, "bench: %s: %s\n", text, sqlite3_errmsg(db));
	exit(EXIT_FAILURE);
}

static sqlite3 *make_table(const char *path)
{
	sqlite3 *db = NULL;

	if (sqlite3_open(path, &db) != SQLITE_OK)
		exit(EXIT_FAILURE);
	sql(db, "PRAGMA page_size=1024; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
		"PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-384;"
		"CREATE TABLE record(id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, seq INTEGER"
		" NOT NULL, n INTEGER NOT NULL, boot_us INTEGER NOT NULL, clk INTEGER NOT NULL,"
		" offset_us INTEGER NOT NULL, payload BLOB NOT NULL)");
	return db;
}

static void insert(sqlite3_stmt *stmt, const struct row *row, sqlite3_int64 id, int size)
{
	(void)sqlite3_bind_int64(stmt, 1, id); /* step tells if one of these failed */
	for (int i = 1; i < 7; i++)
		(void)sqlite3_bind_int64(stmt, i + 1, row->columns[i]);
	(void)sqlite3_bind_blob(stmt, 8, row->payload, size, SQLITE_STATIC);
	if (sqlite3_step(stmt) != SQLITE_DONE)
		exit(EXIT_FAILURE);
	(void)sqlite3_reset(stmt);
}

/* `split`: each row is written as its n records, of an equal part of its payload. */
static void insert_all(const char *directory, const char *prefix, const struct rows *rows,
		       size_t n_commits, bool split)
{
	size_t done = 0, commits = 0, written = 0;
	sqlite3_stmt *stmt = NULL;
	struct meter start, used;
	char path[512];
	sqlite3 *db;

	(void)snprintf(path, sizeof(path), "%s/%s.db", directory, prefix);
	db = make_table(path);
	meter_read(directory, &start);
	if (sqlite3_prepare_v2(db, "INSERT INTO record VALUES(?1,?2,?3,?4,?5,?6,?7,?8)", -1, &stmt,
			       NULL) != SQLITE_OK)
		exit(EXIT_FAILURE);
	sql(db, "BEGIN");
	for (size_t i = 0; i < rows->n; i++) {
		const struct row *row = &rows->rows[i];
		size_t n = split ? (size_t)row->columns[3] : 1;

		for (size_t k = 0; k < n; k++)
			insert(stmt, row, (sqlite3_int64)++written, row->size / (int)n);
		done += (size_t)row->columns[3];
		if (done * n_commits < (commits + 1) * rows->n_records)
			continue;
		sql(db, "COMMIT; BEGIN");
		if (++commits % 32 == 0)
			(void)sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL,
							NULL);
	}
	sql(db, "COMMIT");
	(void)sqlite3_finalize(stmt);
	(void)sqlite3_close(db); /* checkpoints, as the store does when it closes */
	meter_since(&start, directory, &used);
	print(prefix, &used, rows->n_records);
	(void)printf("%s_rate %.1f\n", prefix, (double)rows->n_records / used.wall_s);
}

int floor_rows(const char *directory, const char *store, size_t n_commits)
{
	struct rows rows = {0};
	int r = read_rows(store, &rows);

	if (r < 0)
		return r;
	(void)printf("rows %zu\nrecords %zu\n", rows.n, rows.n_records);
	insert_all(directory, "blocks", &rows, n_commits, false);
	insert_all(directory, "singles", &rows, n_commits, true);
	return 0;
}

static size_t ignore(char *data, size_t size, size_t n, void *userdata)
{
	return size * n;
}

int floor_libraries(const char *url, const char *ca_file, size_t n)
{
	CURL *easy = curl_easy_init();
	sd_event *event = NULL;
	sqlite3 *db = NULL;
	size_t failed = 0;

	if (!easy || sd_event_new(&event) < 0 || sqlite3_open(":memory:", &db) != SQLITE_OK)
		return -ENOMEM;
	(void)curl_easy_setopt(easy, CURLOPT_URL, url); /* a failure shows in the transfers */
	if (ca_file)
		(void)curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
	(void)curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ignore);
	for (size_t i = 0; i < n; i++)
		failed += curl_easy_perform(easy) != CURLE_OK;
	(void)printf("bare_failed %zu\nbare_rss %llu\nbare_peak_rss %llu\n", failed,
		     (unsigned long long)meter_rss(), (unsigned long long)meter_peak_rss());
	curl_easy_cleanup(easy);
	(void)sqlite3_close(db);
	sd_event_unref(event);
	return 0;
}
