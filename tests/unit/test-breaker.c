/* Holds util/breaker: each arrow of its drawing, and that state changes are told exactly once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/breaker.h"

static void opens_once_and_waits(void **state)
{
	struct breaker b = {0};

	assert_false(breaker_ready(&b, 100)); /* closed: no trial needed */
	assert_true(breaker_failure(&b, 100, 200));
	assert_false(breaker_failure(&b, 110, 300));
	assert_int_equal(b.since, 100);
	assert_false(breaker_ready(&b, 299));
	assert_true(breaker_ready(&b, 300));
}

static void one_trial_at_a_time(void **state)
{
	struct breaker b = {0};

	(void)breaker_failure(&b, 100, 200);
	breaker_try(&b);
	assert_false(breaker_ready(&b, 1000));
	assert_false(breaker_failure(&b, 1000, 2000)); /* it was open before */
	assert_int_equal(b.state, BREAKER_OPEN);
	assert_true(breaker_ready(&b, 2000));
}

static void success_closes_from_anywhere(void **state)
{
	struct breaker b = {0};

	assert_false(breaker_success(&b, 1));
	(void)breaker_failure(&b, 100, 200);
	assert_true(breaker_success(&b, 150)); /* one that was under way */
	(void)breaker_failure(&b, 200, 300);
	breaker_try(&b);
	assert_true(breaker_success(&b, 350));
	assert_int_equal(b.since, 350);
	assert_int_equal(b.state, BREAKER_CLOSED);
}

static void a_trial_can_be_taken_back(void **state)
{
	struct breaker b = {0};

	breaker_untry(&b, 5);
	assert_int_equal(b.state, BREAKER_CLOSED);
	(void)breaker_failure(&b, 100, 200);
	breaker_try(&b);
	breaker_untry(&b, 400);
	assert_false(breaker_ready(&b, 399));
	assert_true(breaker_ready(&b, 400));
}

static void hurry_only_shortens(void **state)
{
	struct breaker b = {0};

	breaker_hurry(&b, 10);
	assert_int_equal(b.state, BREAKER_CLOSED);
	(void)breaker_failure(&b, 100, 200);
	breaker_hurry(&b, 150);
	assert_true(breaker_ready(&b, 150));
	breaker_hurry(&b, 500);
	assert_true(breaker_ready(&b, 150));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_once_and_waits),
		cmocka_unit_test(one_trial_at_a_time),
		cmocka_unit_test(success_closes_from_anywhere),
		cmocka_unit_test(a_trial_can_be_taken_back),
		cmocka_unit_test(hurry_only_shortens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
