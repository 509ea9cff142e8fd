/*
 * store/migrate: every step there and back on a real file, a step that fails leaves the version it
 * began with, and a store of a newer program is refused untouched, byte for byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"
#include "store/migrate.h"

#include <fcntl.h>
#include <sqlite3.h>

static void path_of(const struct place *p, char ret[static 128])
{
	(void)snprintf(ret, 128, "%s/store.db", p->state);
}

static sqlite3 *open_file(const struct place *p)
{
	char path[128];
	sqlite3 *db;

	path_of(p, path);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	return db;
}

#define N_TABLES "SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"

static void there_and_back(void **state)
{
	struct place *p = *state;
	sqlite3 *db = open_file(p);

	for (int version = 1; version <= MIGRATE_NEWEST; version++) {
		assert_int_equal(migrate_to(db, version - 1, version), 0);
		assert_int_equal(ask_db(db, "PRAGMA user_version"), version);
		assert_int_equal(migrate_to(db, version, version - 1), 0);
		assert_int_equal(ask_db(db, "PRAGMA user_version"), version - 1);
		assert_int_equal(migrate_to(db, version - 1, version), 0);
	}
	assert_true(ask_db(db, N_TABLES) > 5);
	assert_int_equal(migrate_to(db, MIGRATE_NEWEST, MIGRATE_NEWEST), 0);
	assert_int_equal(migrate_to(db, MIGRATE_NEWEST, 0), 0);
	assert_int_equal(ask_db(db, N_TABLES), 0);
	assert_int_equal(ask_db(db, "PRAGMA user_version"), 0);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* A store that was used goes down to nothing, and up again to one that works. */
static void with_records_in_it(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	sqlite3 *db;

	(void)admit(p, s, stream, 60);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	db = open_file(p);
	assert_int_equal(migrate_to(db, MIGRATE_NEWEST, 0), 0);
	assert_int_equal(migrate_to(db, 0, MIGRATE_NEWEST), 0);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	s = open_store(p);
	(void)admit(p, s, stream_of_kind(s, KIND_HEART_RATE), 60);
	assert_balanced(s);
	store_close(s);
}

static void a_step_that_fails(void **state)
{
	struct place *p = *state;
	sqlite3 *db = open_file(p);

	assert_int_equal(sqlite3_exec(db, "CREATE TABLE undecoded(x)", NULL, NULL, NULL),
			 SQLITE_OK);
	assert_true(migrate_to(db, 0, 1) < 0);
	assert_int_equal(ask_db(db, "PRAGMA user_version"), 0);
	assert_int_equal(ask_db(db, N_TABLES), 1); /* nothing of the step stayed */
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static size_t read_file(const struct place *p, uint8_t *bytes, size_t size)
{
	char path[128];
	ssize_t n;
	int fd;

	path_of(p, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	n = read(fd, bytes, size);
	assert_true(n > 0 && (size_t)n < size);
	assert_int_equal(close(fd), 0);
	return (size_t)n;
}

static void newer_is_refused_untouched(void **state)
{
	static uint8_t before[1 << 18], after[1 << 18];
	struct place *p = *state;
	struct store_options o = {.state_dir = p->state, .runtime_dir = p->run, .role = "test"};
	struct store_opening opening;
	struct store *s = open_store(p), *look = NULL;
	sqlite3 *db;
	size_t n;

	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	db = open_file(p);
	assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	n = read_file(p, before, sizeof(before));
	s = NULL;
	assert_int_equal(store_open(&o, p->now, &synced, &opening, &s), STORE_E_NEWER);
	assert_null(s);
	assert_non_null(strstr(opening.problem, "99"));
	assert_int_equal(store_look(p->state, p->run, &look), STORE_E_NEWER);
	assert_null(look);
	assert_int_equal(read_file(p, after, sizeof(after)), n);
	assert_memory_equal(before, after, n);
}

static void corrupt_is_refused_untouched(void **state)
{
	static uint8_t before[1 << 18], after[1 << 18];
	struct place *p = *state;
	struct store_options o = {.state_dir = p->state, .runtime_dir = p->run, .role = "test"};
	struct store_opening opening;
	struct store *s = NULL;
	char path[128];
	FILE *f;
	size_t n;

	path_of(p, path);
	f = fopen(path, "w");
	assert_non_null(f);
	for (int i = 0; i < 4096; i++)
		assert_int_equal(fputc('x', f), 'x');
	assert_int_equal(fclose(f), 0);
	n = read_file(p, before, sizeof(before));
	assert_int_equal(store_open(&o, p->now, &synced, &opening, &s), STORE_E_CORRUPT);
	assert_null(s);
	assert_int_equal(store_look(p->state, p->run, &s), STORE_E_CORRUPT);
	assert_int_equal(read_file(p, after, sizeof(after)), n);
	assert_memory_equal(before, after, n);
}

static void absent(void **state)
{
	struct place *p = *state;
	struct store *s = NULL;

	assert_int_equal(store_look(p->state, p->run, &s), STORE_E_ABSENT);
	assert_int_equal(sqlite3_close(open_file(p)), SQLITE_OK); /* an empty file at most */
	assert_int_equal(store_look(p->state, p->run, &s), STORE_E_ABSENT);
	assert_null(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(there_and_back),
		store_test(with_records_in_it),
		store_test(a_step_that_fails),
		store_test(newer_is_refused_untouched),
		store_test(corrupt_is_refused_untouched),
		store_test(absent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
