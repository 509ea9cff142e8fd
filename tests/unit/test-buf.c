/* util/buf: growth, widths, and memory that runs out once and for all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/buf.h"

static void test_grows(void **state)
{
	struct buf b = {0};

	for (int i = 0; i < 10000; i++)
		buf_u8(&b, (uint8_t)i);
	assert_int_equal(b.size, 10000);
	assert_true(b.capacity >= b.size);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(b.data[i], (uint8_t)i);
	buf_reset(&b);
	assert_int_equal(b.size, 0);
	assert_non_null(b.data);
	buf_done(&b);
	assert_null(b.data);
	assert_int_equal(b.capacity, 0);
}

static void test_contents(void **state)
{
	static const uint8_t expected[] = {'a', 'b', '7', '!', 0x34, 0x12, 0xff, 0xac, 0x02, 0x01};
	struct buf b = {0};

	buf_append(&b, "ab", 2);
	buf_append(&b, NULL, 0);
	buf_printf(&b, "%d%s", 7, "!");
	buf_le(&b, 0x1234, 2);
	buf_u8(&b, 0xff);
	buf_varint(&b, 300);
	buf_svarint(&b, -1);
	assert_int_equal(b.size, sizeof(expected));
	assert_memory_equal(b.data, expected, sizeof(expected));
	buf_done(&b);
}

static void test_printf_longer_than_the_first_capacity(void **state)
{
	struct buf b = {0};

	buf_printf(&b, "%1000d", 5);
	buf_string(&b, ".");
	assert_int_equal(b.size, 1001);
	assert_int_equal(b.data[999], '5');
	assert_int_equal(b.data[1000], '.');
	buf_done(&b);
}

static void test_out_of_memory_stays(void **state)
{
	struct buf b = {0};

	buf_string(&b, "kept");
	assert_null(buf_reserve(&b, SIZE_MAX / 2));
	assert_true(b.failed);
	buf_string(&b, "dropped");
	buf_varint(&b, 1);
	buf_printf(&b, "%d", 1);
	assert_int_equal(b.size, 4);
	assert_true(b.failed);
	buf_reset(&b);
	assert_false(b.failed);
	buf_string(&b, "again");
	assert_memory_equal(b.data, "again", 5);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grows),
		cmocka_unit_test(test_contents),
		cmocka_unit_test(test_printf_longer_than_the_first_capacity),
		cmocka_unit_test(test_out_of_memory_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
