/* model/frame: every way to write a characteristic, and the ones that are not ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/frame.h"

static void test_forms(void **state)
{
	static const char *const forms[] = {"2a37",
					    "2A37",
					    "0x2a37",
					    "0X2A37",
					    "00002a37-0000-1000-8000-00805f9b34fb",
					    "00002A37-0000-1000-8000-00805F9B34FB"};

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
		assert_int_equal(characteristic_parse(forms[i]),
				 CHARACTERISTIC_HEART_RATE_MEASUREMENT);
	assert_int_equal(characteristic_parse("FB005C82-02E7-F387-1CAD-8ACD2D8DF0C8"),
			 CHARACTERISTIC_PMD_DATA);
}

static void test_not_ours(void **state)
{
	static const char *const others[] = {"",
					     "?",
					     "2a3",
					     "2a377",
					     "0x2a3",
					     "2a99",
					     "fb005c82",
					     "00002a37-0000-1000-8000-00805f9b34fc",
					     "10002a37-0000-1000-8000-00805f9b34fb"};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_int_equal(characteristic_parse(others[i]), CHARACTERISTIC_UNKNOWN);
}

static void test_there_and_back(void **state)
{
	for (int i = CHARACTERISTIC_UNKNOWN + 1; i < CHARACTERISTIC_MAX_; i++) {
		enum characteristic c = (enum characteristic)i;

		assert_int_equal(characteristic_parse(characteristic_uuid(c)), c);
		assert_true(strlen(characteristic_name(c)) > 3);
	}
	assert_string_equal(characteristic_uuid(CHARACTERISTIC_UNKNOWN), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_not_ours),
		cmocka_unit_test(test_there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
