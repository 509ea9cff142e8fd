/* decode/ieee11073: numbers, what is none, and calendars. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "decode/ieee11073.h"

#include <time.h>

static void assert_sfloat(uint16_t word, int32_t mantissa, int exponent)
{
	const uint8_t data[] = {(uint8_t)word, (uint8_t)(word >> 8)};
	struct bytes b = bytes_make(data, sizeof(data));
	struct decimal v = ieee11073_sfloat(&b);

	assert_int_equal(v.mantissa, mantissa);
	assert_int_equal(v.exponent, exponent);
	assert_false(b.failed);
}

static void assert_float(uint32_t word, int32_t mantissa, int exponent)
{
	const uint8_t data[] = {(uint8_t)word, (uint8_t)(word >> 8), (uint8_t)(word >> 16),
				(uint8_t)(word >> 24)};
	struct bytes b = bytes_make(data, sizeof(data));
	struct decimal v = ieee11073_float(&b);

	assert_int_equal(v.mantissa, mantissa);
	assert_int_equal(v.exponent, exponent);
}

static void test_sfloat(void **state)
{
	static const uint16_t none[] = {0x07ff, 0x0800, 0x07fe, 0x0802, 0x0801};

	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		assert_sfloat(none[i], SAMPLES_NONE, 0);
	assert_sfloat(0xf072, 114, -1);
	assert_sfloat(0x0072, 114, 0);
	assert_sfloat(0xe4d2, 1234, -2);
	assert_sfloat(0x1fff, -1, 1);
	assert_sfloat(0x87ff, 2047, -8); /* a number, with this exponent */
	assert_sfloat(0x07fd, 2045, 0);
	assert_sfloat(0x0803, -2045, 0);
	assert_sfloat(0x0000, 0, 0);
}

static void test_float(void **state)
{
	static const uint32_t none[] = {0x007fffff, 0x00800000, 0x007ffffe, 0x00800002, 0x00800001};

	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		assert_float(none[i], SAMPLES_NONE, 0);
	assert_float(0xff00016c, 364, -1);
	assert_float(0xfe000eb0, 3760, -2);
	assert_float(0xff7fffff, 8388607, -1);
	assert_float(0x80800000, -8388608, -128);
	assert_float(0x00800003, -8388605, 0);
}

static uint64_t date(unsigned year, uint8_t month, uint8_t day, uint8_t hour, uint8_t minute,
		     uint8_t second)
{
	const uint8_t data[] = {(uint8_t)year, (uint8_t)(year >> 8), month, day, hour, minute,
				second};
	struct bytes b = bytes_make(data, sizeof(data));

	return ieee11073_date_time(&b);
}

/* As the C library counts, through leap years and the end of a century that was one. */
static void test_calendar(void **state)
{
	struct tm t = {.tm_year = 100, .tm_mon = 0, .tm_mday = 1, .tm_sec = 1};

	for (int day = 0; day < 366 * 120; day++) {
		time_t unix_s = timegm(&t);

		assert_true(date((unsigned)t.tm_year + 1900, (uint8_t)(t.tm_mon + 1),
				 (uint8_t)t.tm_mday, 0, 0,
				 1) == (uint64_t)(unix_s - 946684800) * 1000000000U);
		unix_s += 24 * 3600;
		assert_non_null(gmtime_r(&unix_s, &t));
	}
	assert_true(date(2018, 4, 17, 15, 51, 0) == UINT64_C(577295460) * 1000000000);
}

static void test_no_time(void **state)
{
	assert_true(date(0, 4, 17, 20, 41, 59) == 0);
	assert_true(date(2018, 0, 17, 20, 41, 59) == 0);
	assert_true(date(2018, 4, 0, 20, 41, 59) == 0);
	assert_true(date(2018, 13, 1, 0, 0, 0) == 0);
	assert_true(date(2018, 4, 31, 0, 0, 0) == 0);
	assert_true(date(2018, 2, 29, 0, 0, 0) == 0);
	assert_true(date(2100, 2, 29, 0, 0, 0) == 0);
	assert_true(date(2018, 4, 1, 24, 0, 0) == 0);
	assert_true(date(2018, 4, 1, 0, 60, 0) == 0);
	assert_true(date(2018, 4, 1, 0, 0, 60) == 0);
	assert_true(date(1999, 12, 31, 23, 59, 59) == 0);
	assert_true(date(2000, 1, 1, 0, 0, 0) == 0); /* nobody set it */
	assert_true(date(65535, 1, 1, 0, 0, 0) == 0);
}

static void test_short(void **state)
{
	static const uint8_t data[6] = {0xe2, 0x07, 4, 17, 15, 51};
	struct bytes b = bytes_make(data, 1);

	(void)ieee11073_sfloat(&b);
	assert_true(b.failed);
	b = bytes_make(data, 3);
	(void)ieee11073_float(&b);
	assert_true(b.failed);
	b = bytes_make(data, sizeof(data));
	(void)ieee11073_date_time(&b);
	assert_true(b.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sfloat),	 cmocka_unit_test(test_float),
		cmocka_unit_test(test_calendar), cmocka_unit_test(test_no_time),
		cmocka_unit_test(test_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
