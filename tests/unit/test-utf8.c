/* util/utf8: each length of character, and each way of not being one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/utf8.h"

static size_t length(const char *s, uint32_t *ret)
{
	return utf8_character((const uint8_t *)s, strlen(s), ret);
}

static void test_well_formed(void **state)
{
	uint32_t code = 0;

	assert_int_equal(length("A", &code), 1);
	assert_int_equal(code, 'A');
	assert_int_equal(length("\xc2\x80", &code), 2);
	assert_int_equal(code, 0x80);
	assert_int_equal(length("\xe2\x82\xac", &code), 3);
	assert_int_equal(code, 0x20ac);
	assert_int_equal(length("\xf4\x8f\xbf\xbf", &code), 4);
	assert_int_equal(code, 0x10ffff);
	assert_int_equal(utf8_character((const uint8_t *)"", 1, &code), 1);
	assert_int_equal(code, 0);
}

static void test_not_a_character(void **state)
{
	static const char *const bad[] = {
		"",		    /* nothing */
		"\x80",		    /* follows nobody */
		"\xc3",		    /* cut */
		"\xc3(",	    /* not followed */
		"\xe2\x82",	    /* cut */
		"\xc1\xbf",	    /* overlong */
		"\xe0\x9f\xbf",	    /* overlong */
		"\xf0\x8f\xbf\xbf", /* overlong */
		"\xed\xbf\xbf",	    /* surrogate */
		"\xf4\x90\x80\x80", /* beyond Unicode */
		"\xf8\x88\x80\x80\x80",
		"\xff",
	};
	uint32_t code = 42;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(length(bad[i], &code), 0);
	assert_int_equal(code, 42);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_well_formed),
		cmocka_unit_test(test_not_a_character),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
