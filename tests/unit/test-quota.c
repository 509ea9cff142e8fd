/* Holds util/quota: so many, the last of them known as such, then none until the span is over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/quota.h"

static void use_up(struct quota *q, usec_t now)
{
	for (unsigned i = 1; i < QUOTA_MOST; i++)
		assert_int_equal(quota_take(q, now + i), QUOTA_YES);
	assert_int_equal(quota_take(q, now + QUOTA_MOST), QUOTA_LAST);
}

static void the_last_is_known_as_such(void **state)
{
	struct quota q = {0};

	use_up(&q, 5);
	assert_int_equal(quota_take(&q, 5 + QUOTA_SPAN), QUOTA_NO);
	assert_string_equal(quota_words(QUOTA_YES), "");
	assert_string_not_equal(quota_words(QUOTA_LAST), "");
}

static void begins_anew_when_the_span_is_over(void **state)
{
	struct quota q = {0};

	use_up(&q, 0);
	assert_int_equal(quota_take(&q, QUOTA_SPAN), QUOTA_NO); /* the first was at 1 */
	use_up(&q, QUOTA_SPAN);
	assert_int_equal(quota_take(&q, QUOTA_SPAN + QUOTA_MOST), QUOTA_NO);
}

/* Who comes now and then never comes to the end of it. */
static void the_span_counts_from_the_first(void **state)
{
	struct quota q = {0};

	for (unsigned i = 0; i < 4 * QUOTA_MOST; i++)
		assert_int_equal(quota_take(&q, i * QUOTA_SPAN / (QUOTA_MOST - 1)), QUOTA_YES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_is_known_as_such),
		cmocka_unit_test(begins_anew_when_the_span_is_over),
		cmocka_unit_test(the_span_counts_from_the_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
