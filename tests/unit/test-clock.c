/* util/clock: clocks that move forward, trust as it was told, and times as people write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/clock.h"

static void test_boot_clock_moves_forward(void **state)
{
	usec_t first = clock_boot_usec();

	assert_true(first > 0);
	assert_true(clock_boot_usec() >= first);
}

static void test_offset_joins_the_clocks(void **state)
{
	struct clock_state now = clock_read(CLOCK_TRUST_AUTO);
	int64_t wall = clock_wall_usec();
	int64_t difference = wall - ((int64_t)clock_boot_usec() + now.offset_us);

	assert_true(difference < 5000000 && difference > -5000000);
}

/* Read one after the other on a busy machine, and still of one moment. */
static void test_offset_is_exact(void **state)
{
	int64_t least = INT64_MAX, most = INT64_MIN;

	for (int i = 0; i < 20000; i++) {
		int64_t offset = clock_offset_usec();

		least = MIN(least, offset);
		most = MAX(most, offset);
	}
	assert_in_range(most - least, 0, 1000); /* 1 where nothing else runs */
}

static void test_slept_and_bent(void **state)
{
	int64_t bent = clock_bent_usec();
	usec_t slept = clock_slept_usec();

	assert_true(clock_slept_usec() - slept < 1000 || slept - clock_slept_usec() < 1000);
	assert_true(clock_bent_usec() - bent < 100000 && bent - clock_bent_usec() < 100000);
}

static void test_trust(void **state)
{
	assert_true(clock_read(CLOCK_TRUST_YES).synchronised);
	assert_false(clock_read(CLOCK_TRUST_NO).synchronised);
}

static void test_format(void **state)
{
	char text[32];

	clock_format(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00Z");
	clock_format(INT64_C(1772366400) * 1000000 + 999999, text);
	assert_string_equal(text, "2026-03-01T12:00:00Z");
	clock_format(INT64_C(4102444800) * 1000000, text); /* past 2038 */
	assert_string_equal(text, "2100-01-01T00:00:00Z");
}

static void test_boot_id(void **state)
{
	char first[37], second[37];

	clock_boot_id(first);
	clock_boot_id(second);
	assert_int_equal(strlen(first), 36);
	assert_string_equal(first, second);
	assert_int_equal(first[8], '-');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_boot_clock_moves_forward),
		cmocka_unit_test(test_offset_joins_the_clocks),
		cmocka_unit_test(test_offset_is_exact),
		cmocka_unit_test(test_slept_and_bent),
		cmocka_unit_test(test_trust),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_boot_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
