/* Holds upload/suspects: who is at fault for a refused record, and when that may be said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "upload/suspects.h"

static void a_witness_of_the_same_kind_is_needed(void **state)
{
	struct suspects s = {0};

	suspects_confirmed(&s, KIND_HEART_RATE, 50); /* before: says nothing */
	assert_int_equal(suspects_refused(&s, KIND_HEART_RATE, 1, 7), SUSPICION_WAIT);
	assert_int_equal(suspects_refused(&s, KIND_HEART_RATE, 1, 7), SUSPICION_WAIT);
	suspects_confirmed(&s, KIND_ECG, 1);
	assert_int_equal(suspects_refused(&s, KIND_HEART_RATE, 1, 7), SUSPICION_WAIT);
	suspects_confirmed(&s, KIND_HEART_RATE, 0);
	assert_int_equal(suspects_refused(&s, KIND_HEART_RATE, 1, 7), SUSPICION_WAIT);
	suspects_confirmed(&s, KIND_HEART_RATE, 1);
	assert_int_equal(suspects_refused(&s, KIND_HEART_RATE, 1, 7), SUSPICION_RECORD);
}

static void three_with_no_success_between_are_the_server(void **state)
{
	struct suspects s = {0};

	assert_int_equal(suspects_refused(&s, KIND_HEART_RATE, 1, 1), SUSPICION_WAIT);
	assert_int_equal(suspects_refused(&s, KIND_HEART_RATE, 1, 2), SUSPICION_WAIT);
	assert_int_equal(suspects_refused(&s, KIND_HEART_RATE, 1, 2), SUSPICION_WAIT); /* again */
	suspects_confirmed(&s, KIND_ECG, 1);
	assert_int_equal(suspects_refused(&s, KIND_HEART_RATE, 1, 3), SUSPICION_WAIT);
	assert_int_equal(suspects_refused(&s, KIND_HEART_RATE, 2, 3), SUSPICION_WAIT);
	assert_int_equal(suspects_refused(&s, KIND_HEART_RATE, 1, 4), SUSPICION_ACCOUNT);
	assert_int_equal(suspects_refused(&s, KIND_HEART_RATE, 1, 1), SUSPICION_ACCOUNT);
}

static void a_full_table_forgets_and_stays_safe(void **state)
{
	struct suspects s = {0};

	for (uint64_t seq = 1; seq <= 5 * SUSPECTS_MAX; seq++) {
		assert_int_equal(suspects_refused(&s, KIND_ECG, 1, seq), SUSPICION_WAIT);
		suspects_confirmed(&s, KIND_ECG, 1);
	}
	assert_int_equal(s.n, SUSPECTS_MAX);
	/* The newest is remembered, the first one starts over. */
	assert_int_equal(suspects_refused(&s, KIND_ECG, 1, 5 * SUSPECTS_MAX), SUSPICION_RECORD);
	assert_int_equal(suspects_refused(&s, KIND_ECG, 1, 1), SUSPICION_WAIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_witness_of_the_same_kind_is_needed),
		cmocka_unit_test(three_with_no_success_between_are_the_server),
		cmocka_unit_test(a_full_table_forgets_and_stays_safe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
