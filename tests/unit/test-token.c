/* Holds upload/token: what counts as a token, what is said where there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "upload/token.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[] = "/dev/shm/vitald-test-token-XXXXXX";

static void put(const void *text, size_t size)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, size, f), size);
	assert_int_equal(fclose(f), 0);
}

static void a_line_is_trimmed(void **state)
{
	struct token t;

	put(" \tabc.DEF-1~\r\n\n", 15);
	token_init(&t, path);
	assert_string_equal(t.value, "abc.DEF-1~");
	assert_string_equal(t.problem, "");
	assert_false(token_missing(&t));
	assert_false(token_read(&t)); /* the same */
	put("other", 5);
	assert_true(token_read(&t));
	assert_string_equal(t.value, "other");
	token_done(&t);
}

static void what_does_not_belong_in_a_header_is_none(void **state)
{
	static const struct {
		const char *text;
		size_t size;
	} bad[] = {{"", 0}, {" \n", 2}, {"a b", 3}, {"a\nEvil: 1", 9}, {"a\0b", 3}, {"\xff", 1}};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct token t;

		put(bad[i].text, bad[i].size);
		token_init(&t, path);
		assert_null(t.value);
		assert_true(token_missing(&t));
		assert_non_null(strstr(t.problem, path));
		token_done(&t);
	}
}

static void length_is_bounded(void **state)
{
	char text[TOKEN_MAX + 1];
	struct token t;

	memset(text, 'x', sizeof(text));
	put(text, TOKEN_MAX);
	token_init(&t, path);
	assert_int_equal(strlen(t.value), TOKEN_MAX);
	put(text, TOKEN_MAX + 1);
	assert_false(token_read(&t));
	assert_true(token_missing(&t));
	token_done(&t);
}

static void no_file_is_said_and_no_path_is_fine(void **state)
{
	struct token t;

	token_init(&t, "/nonexistent/token");
	assert_true(token_missing(&t));
	assert_non_null(strstr(t.problem, "/nonexistent/token cannot be read"));
	token_done(&t);
	token_init(&t, "/dev/shm"); /* a directory */
	assert_true(token_missing(&t));
	token_done(&t);
	token_init(&t, NULL);
	assert_false(token_missing(&t));
	assert_false(token_read(&t));
	token_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_trimmed),
		cmocka_unit_test(what_does_not_belong_in_a_header_is_none),
		cmocka_unit_test(length_is_bounded),
		cmocka_unit_test(no_file_is_said_and_no_path_is_fine),
	};
	int failed, fd = mkstemp(path);

	if (fd < 0)
		return 1;
	(void)close(fd); /* only its name is wanted */
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	return unlink(path) == 0 ? failed : 1;
}
