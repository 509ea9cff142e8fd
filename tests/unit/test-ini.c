/*
 * util/ini: what is an entry, what is a mistake, that each mistake has its line, and that no value
 * is ever repeated in one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/ini.h"

#include <stdio.h>

static struct ini *parse(const char *text, size_t size, struct buf *problems)
{
	struct ini *ini = NULL;

	assert_int_equal(ini_parse("f", text, size, problems, &ini), 0);
	buf_u8(problems, 0);
	return ini;
}

static void expect_problems(const char *text, const char *problems)
{
	struct buf b = {0};
	_cleanup_(ini_freep) struct ini *ini = parse(text, strlen(text), &b);

	assert_string_equal((char *)b.data, problems);
	buf_done(&b);
}

static void expect_entry(const struct ini_entry *e, unsigned line, const char *section,
			 const char *arg, const char *key, const char *value)
{
	assert_int_equal(e->line, line);
	assert_string_equal(e->section, section);
	if (arg)
		assert_string_equal(e->arg, arg);
	else
		assert_null(e->arg);
	if (!key) {
		assert_null(e->key);
		return;
	}
	assert_string_equal(e->key, key);
	assert_string_equal(e->value, value);
}

static void reads_entries(void **state)
{
	const char text[] = "\xef\xbb\xbf# a comment\n"
			    "; another\r\n"
			    "\n"
			    "  [ sync ]  \n"
			    "linger=250ms\n"
			    "\tname  =  a = b # c ; d \r\n"
			    "[sink \"main\"]\n"
			    "proxy =\n"
			    "[sync]\n"
			    "last = line";
	struct buf problems = {0};
	_cleanup_(ini_freep) struct ini *ini = parse(text, sizeof(text) - 1, &problems);
	size_t n;
	const struct ini_entry *e = ini_entries(ini, &n);

	assert_string_equal((char *)problems.data, "");
	assert_int_equal(n, 7);
	expect_entry(&e[0], 4, "sync", NULL, NULL, NULL);
	expect_entry(&e[1], 5, "sync", NULL, "linger", "250ms");
	expect_entry(&e[2], 6, "sync", NULL, "name", "a = b # c ; d");
	expect_entry(&e[3], 7, "sink", "main", NULL, NULL);
	expect_entry(&e[4], 8, "sink", "main", "proxy", "");
	expect_entry(&e[5], 9, "sync", NULL, NULL, NULL);
	expect_entry(&e[6], 10, "sync", NULL, "last", "line");
	buf_done(&problems);
}

static void takes_nothing(void **state)
{
	struct buf problems = {0};
	_cleanup_(ini_freep) struct ini *ini = NULL;
	size_t n;

	assert_int_equal(ini_parse("f", NULL, 0, &problems, &ini), 0);
	(void)ini_entries(ini, &n);
	assert_int_equal(n, 0);
	assert_int_equal(problems.size, 0);
}

static void names_each_mistake(void **state)
{
	expect_problems("a = 1\n",
			"f:1: a stands before the first heading; write its [section] above "
			"it\n");
	expect_problems("[s]\nhunter2\n",
			"f:2: there is no '=' in this line; write key = value, or # in "
			"front of a comment\n");
	expect_problems("[s]\nHUNTER==\n",
			"f:2: what stands before '=' is not a key; keys are lower case "
			"letters, digits and '_'\n");
	expect_problems("[s]\n = 1\n",
			"f:2: what stands before '=' is not a key; keys are lower case "
			"letters, digits and '_'\n");
	expect_problems("[s\nb = 1\n",
			"f:1: a heading has to end with ']'; write [section] or [section "
			"\"name\"]\n");
	expect_problems("\n[]\n",
			"f:2: this is not the name of a section; write [section] or [section "
			"\"name\"], lower case\n");
	expect_problems("[Sync]\n",
			"f:1: this is not the name of a section; write [section] or [section "
			"\"name\"], lower case\n");
	expect_problems("[s \"\"]\n",
			"f:1: the name in the heading is not right; write [section \"name\"] "
			"with 1 to 64 bytes between two quotes\n");
	expect_problems("[s \"a]\n",
			"f:1: the name in the heading is not right; write [section \"name\"] "
			"with 1 to 64 bytes between two quotes\n");
	expect_problems("[s \"a\" b]\n",
			"f:1: the name in the heading is not right; write [section "
			"\"name\"] with 1 to 64 bytes between two quotes\n");
}

static void refuses_a_key_twice(void **state)
{
	expect_problems("[s]\na=1\n[t]\na=1\n[s \"x\"]\na=1\n[s]\na=2\n",
			"f:8: a is already set in line 2; keep one of the two\n");
}

static void tells_all_of_them(void **state)
{
	expect_problems(
		"[s]\nx\na=1\na=2\n[\nskipped\n[t]\ny\n",
		"f:2: there is no '=' in this line; write key = value, or # in front of a "
		"comment\n"
		"f:4: a is already set in line 3; keep one of the two\n"
		"f:5: a heading has to end with ']'; write [section] or [section \"name\"]\n"
		"f:8: there is no '=' in this line; write key = value, or # in front of a "
		"comment\n");
}

static void refuses_what_is_not_text(void **state)
{
	struct buf b = {0};
	_cleanup_(ini_freep) struct ini *ini = parse("[s]\na=\0b\nc=\x1b[1m\n", 16, &b);
	size_t n;

	assert_string_equal(
		(char *)b.data,
		"f:2: there is a NUL byte in this line; is this a text file?\n"
		"f:3: there is a control character in this line; is this a text file?\n");
	(void)ini_entries(ini, &n);
	assert_int_equal(n, 1);
	buf_done(&b);
}

static void bounds_lines(void **state)
{
	char text[INI_LINE_MAX + 2];

	memset(text, '#', sizeof(text));
	text[INI_LINE_MAX] = '\0';
	expect_problems(text, "");
	text[INI_LINE_MAX] = '#';
	text[INI_LINE_MAX + 1] = '\0';
	expect_problems(text, "f:1: this line is longer than 1024 bytes; shorten it\n");
}

static void bounds_the_file(void **state)
{
	_cleanup_(freep) char *text = malloc(INI_FILE_MAX + 2);

	assert_non_null(text);
	memset(text, '\n', INI_FILE_MAX + 1);
	text[INI_FILE_MAX + 1] = '\0';
	expect_problems(text, "f:1: the file is larger than 262144 bytes; is this a configuration "
			      "file?\n");
	text[INI_FILE_MAX] = '\0';
	expect_problems(text, "");
}

static void bounds_entries_and_mistakes(void **state)
{
	struct buf text = {0}, problems = {0};
	struct ini *ini;
	size_t n;

	buf_string(&text, "[s]\n");
	for (unsigned i = 0; i < INI_ENTRIES_MAX + 5; i++)
		buf_printf(&text, "k%u = 1\n", i);
	ini = parse((char *)text.data, text.size, &problems);
	(void)ini_entries(ini, &n);
	assert_int_equal(n, INI_ENTRIES_MAX);
	assert_string_equal((char *)problems.data,
			    "f:1025: there are more than 1024 entries in this file; split it\n"
			    "f:1026: nothing was read from here on; mend the above first\n");
	ini_free(ini);
	buf_reset(&text);
	buf_reset(&problems);
	for (unsigned i = 0; i < 100; i++)
		buf_string(&text, "x\n");
	ini = parse((char *)text.data, text.size, &problems);
	assert_non_null(strstr((char *)problems.data, "f:50: "));
	assert_non_null(strstr((char *)problems.data, "f:51: nothing was read from here on"));
	assert_null(strstr((char *)problems.data, "f:52"));
	ini_free(ini);
	buf_done(&text);
	buf_done(&problems);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_entries),
		cmocka_unit_test(takes_nothing),
		cmocka_unit_test(names_each_mistake),
		cmocka_unit_test(refuses_a_key_twice),
		cmocka_unit_test(tells_all_of_them),
		cmocka_unit_test(refuses_what_is_not_text),
		cmocka_unit_test(bounds_lines),
		cmocka_unit_test(bounds_the_file),
		cmocka_unit_test(bounds_entries_and_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
