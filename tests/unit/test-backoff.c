/* Holds util/backoff: bounds of every wait, the doubling, the ceiling, the spread, the reset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/backoff.h"

#define MIN_WAIT (2 * USEC_PER_SEC)
#define MAX_WAIT (900 * USEC_PER_SEC)

static void waits_stay_in_their_interval(void **state)
{
	for (uint64_t seed = 0; seed < 200; seed++) {
		usec_t ceiling = MIN_WAIT;
		struct backoff b;

		backoff_init(&b, MIN_WAIT, MAX_WAIT, seed);
		for (int i = 0; i < 100; i++) {
			usec_t wait = backoff_next(&b);

			ceiling = MIN(ceiling * 2, MAX_WAIT);
			assert_in_range(wait, MIN_WAIT, ceiling);
		}
	}
}

static void the_whole_interval_is_used(void **state)
{
	usec_t lowest = USEC_INFINITY, highest = 0;
	struct backoff b;

	backoff_init(&b, MIN_WAIT, MAX_WAIT, 42);
	for (int i = 0; i < 1000; i++) {
		usec_t wait = backoff_after(&b, 40);

		lowest = MIN(lowest, wait);
		highest = MAX(highest, wait);
	}
	assert_true(lowest < MAX_WAIT / 20);
	assert_true(highest > MAX_WAIT / 20 * 19);
}

static void reset_starts_over(void **state)
{
	struct backoff b;

	backoff_init(&b, MIN_WAIT, MAX_WAIT, 7);
	for (int i = 0; i < 50; i++)
		(void)backoff_next(&b); /* only to climb */
	backoff_reset(&b);
	assert_in_range(backoff_next(&b), MIN_WAIT, 2 * MIN_WAIT);
}

static void odd_bounds_are_survived(void **state)
{
	struct backoff b;

	backoff_init(&b, 0, 0, 1);
	assert_int_equal(backoff_next(&b), 0);
	backoff_init(&b, 10, 5, 1); /* max below min: min it is */
	assert_int_equal(backoff_next(&b), 10);
	backoff_init(&b, 1, UINT64_MAX / 2, 1);
	for (int i = 0; i < 100; i++)
		assert_in_range(backoff_next(&b), 1, UINT64_C(1) << 32);
}

static void a_spread_begins_at_once(void **state)
{
	usec_t lowest = USEC_INFINITY, highest = 0;
	struct backoff b;

	backoff_init(&b, MIN_WAIT, MAX_WAIT, 3);
	for (int i = 0; i < 1000; i++) {
		usec_t at = backoff_spread(&b, 8000);

		lowest = MIN(lowest, at);
		highest = MAX(highest, at);
	}
	assert_in_range(lowest, 0, 400);
	assert_in_range(highest, 7600, 8000);
	assert_int_equal(backoff_spread(&b, 0), 0);
	assert_true(backoff_spread(&b, USEC_INFINITY) > 0);
	assert_in_range(backoff_next(&b), MIN_WAIT, 2 * MIN_WAIT); /* it was no failure */
}

static void hubs_differ(void **state)
{
	struct backoff a, b;

	backoff_init(&a, MIN_WAIT, MAX_WAIT, 1000);
	backoff_init(&b, MIN_WAIT, MAX_WAIT, 1001);
	assert_int_not_equal(backoff_after(&a, 20), backoff_after(&b, 20));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_stay_in_their_interval),
		cmocka_unit_test(the_whole_interval_is_used),
		cmocka_unit_test(reset_starts_over),
		cmocka_unit_test(odd_bounds_are_survived),
		cmocka_unit_test(a_spread_begins_at_once),
		cmocka_unit_test(hubs_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
