/* util/file: whole files up to a limit, and the names of a folder in their order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static char folder[] = "/tmp/vitald-test-file-XXXXXX";
static const char *const names[] = {"b.conf",  "a.conf", "B.conf", ".c.conf",
				    "d.conf~", ".conf",	 "e"};

static void path_of(const char *name, char ret[static 128])
{
	(void)snprintf(ret, 128, "%s/%s", folder, name);
}

static int make_folder(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[128];
		int fd;

		path_of(names[i], path);
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0 || write(fd, "0123456789", 10) != 10 || close(fd) < 0)
			return -1;
	}
	return 0;
}

static int remove_folder(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[128];

		path_of(names[i], path);
		(void)unlink(path); /* rmdir() below complains */
	}
	return rmdir(folder);
}

static void reads_up_to_a_limit(void **state)
{
	struct buf b = {0};
	char path[128];

	path_of("e", path);
	assert_int_equal(file_read(path, 100, &b), 0);
	assert_int_equal(b.size, 10);
	assert_int_equal(file_read(path, 4, &b), 0);
	assert_int_equal(b.size, 14);
	assert_memory_equal(b.data, "01234567890123", 14);
	assert_int_equal(file_read("/nonexistent", 4, &b), -ENOENT);
	assert_int_equal(file_read(folder, 4, &b), -EISDIR);
	buf_done(&b);
}

static void writes_all_of_it_or_says_why_not(void **state)
{
	struct buf b = {0}, again = {0};
	char path[128];
	int fd;

	path_of("e", path);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_true(fd >= 0);
	buf_string(&b, "something else");
	assert_int_equal(file_write(fd, &b), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(file_read(path, 100, &again), 0);
	assert_int_equal(again.size, b.size);
	assert_memory_equal(again.data, b.data, b.size);
	fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(file_write(fd, &b), -ENOSPC);
	assert_int_equal(close(fd), 0);
	buf_done(&b);
	buf_done(&again);
}

static void lists_in_order(void **state)
{
	_cleanup_(file_list_freep) struct file_list *l = NULL;
	const char *const expected[] = {"B.conf", "a.conf", "b.conf"};

	assert_int_equal(file_list(folder, ".conf", 3, &l), 0);
	assert_int_equal(l->n, 3);
	for (size_t i = 0; i < l->n; i++) {
		char path[128];

		path_of(expected[i], path);
		assert_string_equal(l->paths[i], path);
	}
}

static void has_a_limit(void **state)
{
	struct file_list *l = NULL;

	assert_int_equal(file_list(folder, ".conf", 2, &l), FILE_E_TOO_MANY);
	assert_int_equal(file_list("/nonexistent", ".conf", 2, &l), -ENOENT);
	assert_null(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(reads_up_to_a_limit),
					   cmocka_unit_test(writes_all_of_it_or_says_why_not),
					   cmocka_unit_test(lists_in_order),
					   cmocka_unit_test(has_a_limit)};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
