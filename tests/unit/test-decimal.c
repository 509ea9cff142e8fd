/* util/decimal: the point where it belongs, no digit more and none less, at both ends of an int32. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/decimal.h"

static void is(int32_t mantissa, int exponent, const char *text)
{
	char got[DECIMAL_SIZE];

	assert_ptr_equal(decimal_format(mantissa, exponent, got), got);
	assert_string_equal(got, text);
}

static void whole_numbers(void **state)
{
	is(0, 0, "0");
	is(97, 0, "97");
	is(-980, 0, "-980");
	is(12, 2, "1200");
	is(-1, 9, "-1000000000");
	is(0, 5, "0");
	is(INT32_MAX, 0, "2147483647");
	is(INT32_MIN, 0, "-2147483648");
}

static void with_a_point(void **state)
{
	is(366, -1, "36.6");
	is(370, -1, "37.0"); /* the thermometer measured that zero */
	is(5, -1, "0.5");
	is(5, -3, "0.005");
	is(-5, -3, "-0.005");
	is(10, -1, "1.0");
	is(0, -2, "0.00");
	is(INT32_MIN, -10, "-0.2147483648");
	is(INT32_MAX, -9, "2.147483647");
	is(INT32_MIN, -12, "-0.002147483648");
}

static void beyond_what_is_measured(void **state)
{
	is(12, 20, "12e20");
	is(-12, -20, "-12e-20");
	is(INT32_MIN, -128, "-2147483648e-128");
	is(INT32_MAX, 127, "2147483647e127");
	is(INT32_MIN, 9, "-2147483648000000000");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_numbers),
		cmocka_unit_test(with_a_point),
		cmocka_unit_test(beyond_what_is_measured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
