/*
 * store/copy: a copy of a store in use is whole and begins a new incarnation; it never writes over
 * anything, and never leaves half of one; damage is found; the way back to version 1 gives what a
 * program of that version would have made, with everything in it, and the way up again loses none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"
#include "store/copy.h"
#include "store/identity.h"
#include "store/migrate.h"
#include "util/buf.h"

#include <fcntl.h>
#include <sqlite3.h>

static void in_place(const struct place *p, const char *name, char ret[static 160])
{
	(void)snprintf(ret, 160, "%s/%s", p->dir, name);
}

/* Two streams; one sink has some of it, the other has a row. */
static struct store *used_store(struct place *p)
{
	struct store *s = open_store(p);
	uint32_t heart = stream_of_kind(s, KIND_HEART_RATE), ecg = stream_of_kind(s, KIND_ECG);
	struct taken taken = {.room = 7};
	struct cut_taker taker = taker_of(&taken);
	struct receipt_entry e = {0};
	uint32_t a, b;
	struct cut cut;

	assert_int_equal(register_sink(s, "a", true, false, &a), 0);
	assert_int_equal(register_sink(s, "b", true, false, &b), 0);
	for (unsigned i = 0; i < 50; i++) {
		(void)admit(p, s, heart, (uint16_t)(50 + i));
		(void)admit(p, s, ecg, (uint16_t)(50 + i));
	}
	assert_int_equal(outbox_cut(s, a, &taker, &cut), 0);
	e = (struct receipt_entry){.stream = cut.ranges[0].stream,
				   .acked_through = cut.ranges[0].last_seq};
	assert_int_equal(outbox_confirm(s, &cut, &e, 1, p->now), 0);
	assert_int_equal(outbox_reopen(s, b, p->now), 0);
	assert_int_equal(store_commit(s, p->now), 0);
	return s;
}

static bool count_progress(void *userdata, unsigned thousandths)
{
	unsigned *n = userdata;

	(*n)++;
	return true;
}

static bool stop_at_once(void *userdata, unsigned thousandths)
{
	return false;
}

static void a_copy_is_whole_and_marked(void **state)
{
	struct place *p = *state;
	struct store *s = used_store(p);
	char copy[160], why[256] = "", command[512];
	struct store_figures before, after;

	in_place(p, "copy.db", copy);
	if (copy_backup(p->state, copy, NULL, NULL, why) != 0)
		fail_msg("%s", why);
	assert_int_equal(copy_check(p->state, copy, true, NULL, NULL, why), 0);
	store_figures(s, &before);
	(void)admit(p, s, 1, 99); /* it goes on */
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	(void)snprintf(command, sizeof(command),
		       "rm -f '%s'/store.db* '%s'/tail && mv '%s' '%s'/store.db", p->state, p->run,
		       copy, p->state);
	assert_int_equal(system(command), 0);
	s = open_store(p);
	store_figures(s, &after);
	assert_false(uuid_equal(&before.incarnation, &after.incarnation));
	assert_balanced(s);
	store_close(s);
}

static void nothing_is_written_over(void **state)
{
	struct place *p = *state;
	struct store *s = used_store(p);
	char copy[160], why[256] = "";
	char text[16] = "";
	int fd;

	in_place(p, "copy.db", copy);
	fd = open(copy, O_RDWR | O_CREAT, 0600);
	assert_int_equal(write(fd, "mine", 4), 4);
	assert_int_equal(copy_backup(p->state, copy, NULL, NULL, why), COPY_E_EXISTS);
	assert_int_equal(pread(fd, text, sizeof(text), 0), 4);
	assert_string_equal(text, "mine");
	assert_int_equal(close(fd), 0);
	store_close(s);
}

static void no_half_copy_is_left(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	char copy[160], why[256] = "";
	unsigned n = 0;

	for (unsigned i = 0; i < 60000; i++) {
		(void)admit(p, s, stream, (uint16_t)(i * 7919));
		if (i % 10 == 0)
			assert_int_equal(store_commit(s, p->now), 0);
	}
	in_place(p, "copy.db", copy);
	assert_int_equal(copy_backup(p->state, copy, stop_at_once, NULL, why), COPY_E_STOPPED);
	assert_int_equal(access(copy, F_OK), -1);
	assert_int_equal(copy_backup(p->state, "/nowhere/copy.db", NULL, NULL, why), -ENOENT);
	assert_int_equal(copy_backup(p->state, copy, count_progress, &n, why), 0);
	assert_true(n > 1);
	assert_int_equal(copy_backup("/nowhere", copy, NULL, NULL, why), STORE_E_ABSENT);
	store_close(s);
}

static void damage_is_found(void **state)
{
	struct place *p = *state;
	struct store *s = used_store(p);
	char copy[160], why[256] = "";
	int fd;

	in_place(p, "copy.db", copy);
	assert_int_equal(copy_backup(p->state, copy, NULL, NULL, why), 0);
	fd = open(copy, O_RDWR);
	assert_int_equal(pwrite(fd, "\xa5\xa5\xa5\xa5\xa5\xa5\xa5\xa5", 8, 512 * 9), 8);
	assert_int_equal(close(fd), 0);
	assert_int_equal(copy_check(p->state, copy, false, NULL, NULL, why), STORE_E_CORRUPT);
	assert_true(why[0] != '\0');
	assert_int_equal(copy_check(p->state, NULL, false, NULL, NULL, why),
			 0); /* the store is not */
	store_close(s);
}

static sqlite3 *open_db(const char *dir)
{
	char path[160];
	sqlite3 *db;

	(void)snprintf(path, sizeof(path), "%s/store.db", dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	return db;
}

/* All that `sql` gives, as text. */
static void dump(sqlite3 *db, const char *sql, struct buf *ret)
{
	sqlite3_stmt *stmt;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	while (sqlite3_step(stmt) == SQLITE_ROW)
		for (int i = 0; i < sqlite3_column_count(stmt); i++)
			buf_printf(ret, "%s|", (const char *)sqlite3_column_text(stmt, i));
	assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
	buf_append(ret, "", 1);
	assert_false(ret->failed);
}

#define SCHEMA "SELECT name, sql FROM sqlite_master ORDER BY name"
#define RECORDS \
	"SELECT id, stream, seq, n, boot_us, clk, offset_us, hex(payload) FROM record ORDER BY id"
#define BOOKS                                                                                      \
	"SELECT sink, stream, seq, confirmed, quarantined, moved, exempt FROM cursor UNION ALL "   \
	"SELECT number, sink, stream, first_seq, last_seq, status, priority FROM batch UNION ALL " \
	"SELECT number, required, retired, 0, 0, 0, 0 FROM sink UNION ALL "                        \
	"SELECT stream, run, last_n, 0, 0, 0, 0 FROM stream_run"

static void down_to_the_first_and_up_again(void **state)
{
	struct place *p = *state;
	struct store *s = used_store(p);
	struct buf records = {0}, books = {0}, now = {0}, first = {0};
	char why[256] = "", backup[512];
	sqlite3 *db;

	assert_int_equal(copy_downgrade(p->state, p->run, 1, backup, why), STORE_E_OWNED);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	assert_int_equal(copy_downgrade(p->state, p->run, MIGRATE_NEWEST, backup, why),
			 STORE_E_NOTHING);
	assert_int_equal(copy_downgrade(p->state, p->run, 0, backup, why), -EINVAL);
	db = open_db(p->state);
	dump(db, RECORDS, &records);
	dump(db, BOOKS, &books);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	if (copy_downgrade(p->state, p->run, 1, backup, why) != 0)
		fail_msg("%s", why);
	assert_int_equal(copy_check(p->state, backup, true, NULL, NULL, why), 0);
	db = open_db(p->state);
	dump(db, RECORDS, &now);
	assert_string_equal((char *)now.data, (char *)records.data);
	buf_reset(&now);
	dump(db, BOOKS, &now);
	assert_string_equal((char *)now.data, (char *)books.data);
	buf_reset(&now);
	dump(db, SCHEMA, &now);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	/* What a program of version 1 would have made. */
	db = open_db(p->run);
	assert_int_equal(migrate_to(db, 0, 1), 0);
	dump(db, SCHEMA, &first);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_string_equal((char *)now.data, (char *)first.data);
	/* It is used by that program, and then comes back. */
	s = open_store(p);
	assert_balanced(s);
	(void)admit(p, s, 1, 99);
	assert_balanced(s);
	store_close(s);
	db = open_db(p->state);
	buf_reset(&now);
	dump(db, RECORDS, &now);
	assert_int_equal(strncmp((char *)now.data, (char *)records.data, records.size - 1), 0);
	assert_true(records.size > 500 && books.size > 100);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	buf_done(&records);
	buf_done(&books);
	buf_done(&now);
	buf_done(&first);
}

static int version_of_store(const struct place *p)
{
	sqlite3 *db = open_db(p->state);
	sqlite3_stmt *stmt;
	int version;

	assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	version = sqlite3_column_int(stmt, 0);
	assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	return version;
}

static void is_refused(const struct place *p, const char *because)
{
	char why[256] = "", backup[512];

	assert_int_equal(copy_downgrade(p->state, p->run, 1, backup, why), COPY_E_UNDER_WAY);
	assert_non_null(strstr(why, because));
	assert_int_equal(version_of_store(p), MIGRATE_NEWEST);
}

/* What is under way would be forgotten on the way: it is ended first. */
static void no_way_back_before_all_is_at_rest(void **state)
{
	struct place *p = *state;
	struct store *s = used_store(p);
	char why[256] = "", backup[512];
	int r;

	assert_int_equal(store_new_incarnation(s, INCARNATION_CONFLICT, "", p->now), 0);
	assert_true(store_move_left(s) > 0);
	store_close(s);
	is_refused(p, "move to new names");
	s = open_store(p);
	while ((r = store_move(s, p->now)) == 0 || r == STORE_E_MORE)
		;
	assert_int_equal(r, STORE_E_NOTHING);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	run_sql(p, "INSERT INTO salvage VALUES('damaged-20200101T000000Z', 1, 0, 0, 0, 0, 0, 0, 0, "
		   "'')");
	is_refused(p, "damaged-20200101T000000Z");
	run_sql(p, "UPDATE salvage SET ended_us = 2");
	if (copy_downgrade(p->state, p->run, 1, backup, why) != 0)
		fail_msg("%s", why);
	assert_int_equal(version_of_store(p), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(a_copy_is_whole_and_marked),
		store_test(nothing_is_written_over),
		store_test(no_half_copy_is_left),
		store_test(damage_is_found),
		store_test(down_to_the_first_and_up_again),
		store_test(no_way_back_before_all_is_at_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
