/* util/array: what was in it stays, and it moves seldom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/array.h"

static void what_is_in_it_stays(void **state)
{
	uint64_t *items = NULL;
	size_t capacity = 0;

	for (size_t i = 0; i < 1000; i++) {
		items = array_reserve(items, sizeof(*items), i + 1, &capacity);
		assert_non_null(items);
		assert_true(capacity > i);
		items[i] = i;
	}
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(items[i], i);
	free(items);
}

static void it_moves_seldom(void **state)
{
	uint64_t *items = NULL;
	size_t capacity = 0, last = 0, n_moves = 0;

	for (size_t i = 0; i < 1000; i++) {
		items = array_reserve(items, sizeof(*items), i + 1, &capacity);
		n_moves += capacity != last;
		last = capacity;
	}
	assert_int_equal(n_moves, 7); /* 16, 32 ... 1024 */
	items = array_reserve(items, sizeof(*items), 5000, &capacity);
	assert_int_equal(capacity, 8192);
	free(items);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_in_it_stays),
		cmocka_unit_test(it_moves_seldom),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
