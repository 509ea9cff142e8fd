/*
 * util/json: commas at every level, integers to their ends, text that is hostile, memory that is
 * not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/json.h"

#include <stdio.h>

static void assert_wrote(struct buf *b, const char *expected)
{
	assert_false(b->failed);
	assert_int_equal(b->size, strlen(expected));
	assert_memory_equal(b->data, expected, b->size);
	buf_done(b);
}

static void test_levels_and_commas(void **state)
{
	struct buf b = {0};
	struct json j = json_make(&b);

	json_open(&j, '{');
	json_key(&j, "a");
	json_int(&j, 1);
	json_key(&j, "b");
	json_open(&j, '[');
	json_open(&j, '[');
	json_close(&j, ']');
	json_open(&j, '{');
	json_close(&j, '}');
	json_bool(&j, true);
	json_bool(&j, false);
	json_none(&j);
	json_text(&j, "x");
	json_close(&j, ']');
	json_key(&j, "c");
	json_uint(&j, 2);
	json_close(&j, '}');
	assert_wrote(&b, "{\"a\":1,\"b\":[[],{},true,false,null,\"x\"],\"c\":2}");
}

static void test_integers(void **state)
{
	struct buf b = {0};
	struct json j = json_make(&b);

	json_open(&j, '[');
	json_int(&j, 0);
	json_int(&j, -1);
	json_int(&j, INT64_MAX);
	json_int(&j, INT64_MIN);
	json_uint(&j, UINT64_MAX);
	json_uint(&j, 9);
	json_uint(&j, 10);
	json_uint(&j, 99);
	json_uint(&j, 100);
	json_uint(&j, 101);
	json_close(&j, ']');
	assert_wrote(&b, "[0,-1,9223372036854775807,-9223372036854775808,"
			 "18446744073709551615,9,10,99,100,101]");
}

static void test_every_number_of_digits(void **state)
{
	for (uint64_t v = 7, last = 0; v > last; last = v, v = v * 10 + 3) {
		struct buf b = {0};
		struct json j = json_make(&b);
		char expected[32];

		(void)snprintf(expected, sizeof(expected), "%llu", (unsigned long long)v);
		json_uint(&j, v);
		assert_wrote(&b, expected);
		if (v > UINT64_MAX / 11)
			break;
	}
}

static void test_doubles(void **state)
{
	struct buf b = {0};
	struct json j = json_make(&b);

	json_open(&j, '[');
	json_double(&j, 0.1);
	json_double(&j, -2.5);
	json_double(&j, 3);
	json_double(&j, 0.1 + 0.2);
	json_double(&j, 1e300);
	json_double(&j, __builtin_nan(""));
	json_double(&j, __builtin_inf());
	json_double(&j, -__builtin_inf());
	json_close(&j, ']');
	assert_wrote(&b, "[0.1,-2.5,3,0.30000000000000004,1e+300,null,null,null]");
}

static void test_text_is_escaped(void **state)
{
	struct buf b = {0};
	struct json j = json_make(&b);

	json_text(&j, "\"\\/\b\f\n\r\t\x01\x1f\x7f caf\xc3\xa9 \xf0\x9f\x92\x93");
	assert_wrote(&b, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f caf\xc3\xa9 "
			 "\xf0\x9f\x92\x93\"");
}

static void test_bad_utf8_is_replaced(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"a\xff"
		 "b",
		 "\"a\xef\xbf\xbd"
		 "b\""},
		{"\xc3", "\"\xef\xbf\xbd\""},				      /* cut */
		{"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""},		      /* overlong */
		{"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* surrogate */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf b = {0};
		struct json j = json_make(&b);

		json_text(&j, cases[i].in);
		assert_wrote(&b, cases[i].out);
	}
}

static void test_failed_buffer_stays_empty(void **state)
{
	struct buf b = {.failed = true};
	struct json j = json_make(&b);

	json_open(&j, '[');
	json_int(&j, -5);
	json_text(&j, "x\n");
	json_double(&j, 1.5);
	json_close(&j, ']');
	assert_true(b.failed);
	assert_int_equal(b.size, 0);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels_and_commas),
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_every_number_of_digits),
		cmocka_unit_test(test_doubles),
		cmocka_unit_test(test_text_is_escaped),
		cmocka_unit_test(test_bad_utf8_is_replaced),
		cmocka_unit_test(test_failed_buffer_stays_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
