/* decode/device_info: percents, and strings as straps pad, cut and garble them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "decode/device_info.h"
#include "model/frame.h"

static void assert_string(const char *in, size_t size, const char *expected)
{
	char out[DEVICE_STRING_SIZE];

	assert_int_equal(device_string_decode((const uint8_t *)in, size, out, NULL), 0);
	assert_string_equal(out, expected);
}

static void test_battery(void **state)
{
	struct decode_error error;
	uint8_t percent = 42;

	assert_int_equal(battery_decode((const uint8_t[]){101}, 1, &percent, &error),
			 DECODE_E_MALFORMED);
	assert_int_equal(error.at, 0);
	assert_int_equal(battery_decode(NULL, 0, &percent, &error), DECODE_E_MALFORMED);
	assert_int_equal(error.at, 0);
	assert_int_equal(battery_decode((const uint8_t[]){50, 0}, 2, &percent, &error),
			 DECODE_E_MALFORMED);
	assert_int_equal(error.at, 1);
	assert_int_equal(percent, 42);
	assert_int_equal(battery_decode((const uint8_t[]){0}, 1, &percent, NULL), 0);
	assert_int_equal(percent, 0);
	assert_int_equal(battery_decode((const uint8_t[]){100}, 1, &percent, NULL), 0);
	assert_int_equal(percent, 100);
}

static void test_strings(void **state)
{
	assert_string("Polar H10", 9, "Polar H10");
	assert_string("HRM\0\0", 5, "HRM");
	assert_string("HRM \0 ", 6, "HRM");
	assert_string("  ", 2, "");
	assert_string(NULL, 0, "");
	assert_string("a\0b", 3, "a?b");
	assert_string("a\x1b[2Jb", 6, "a?[2Jb");
	assert_string("\x7f\xc2\x9b.", 4, "??.");
	assert_string("\xff\xff", 2, "??");
	assert_string("caf\xc3\xa9", 5, "caf\xc3\xa9");
	assert_string("caf\xc3", 4, "caf?");
}

static void test_long_strings_end_at_a_character(void **state)
{
	char in[FRAME_MAX + 1], expected[DEVICE_STRING_SIZE];
	struct decode_error error;

	memset(in, 'x', sizeof(in));
	memset(expected, 'x', sizeof(expected));
	expected[DEVICE_STRING_SIZE - 1] = '\0';
	assert_string(in, 64, expected);
	assert_string(in, FRAME_MAX, expected);
	memcpy(in + 63, "\xc3\xa9", 2);
	expected[63] = '\0';
	assert_string(in, 100, expected);
	assert_int_equal(device_string_decode((const uint8_t *)in, sizeof(in), expected, &error),
			 DECODE_E_MALFORMED);
	assert_int_equal(error.at, FRAME_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_battery),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_long_strings_end_at_a_character),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
