/* util/bytes: reads in order, and a read past the end that is remembered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/buf.h"
#include "util/bytes.h"

static void test_in_order(void **state)
{
	static const uint8_t data[] = {1,    2, 3, 4, 5, 6, 7, 0xff, 0xff,
				       0xff, 8, 0, 0, 0, 0, 0, 0,    9};
	struct bytes b = bytes_make(data, sizeof(data));

	assert_int_equal(bytes_u8(&b), 1);
	assert_int_equal(bytes_le16(&b), 0x0302);
	assert_int_equal(bytes_le32(&b), 0x07060504);
	assert_int_equal(bytes_sle(&b, 3), -1);
	assert_int_equal(bytes_le64(&b), UINT64_C(0x0900000000000008));
	assert_int_equal(bytes_left(&b), 0);
	assert_false(b.failed);
}

static void test_past_the_end(void **state)
{
	struct bytes b = bytes_make("abc", 3);

	assert_int_equal(bytes_le32(&b), 0);
	assert_true(b.failed);
	assert_int_equal(b.at, 0);
	assert_int_equal(bytes_u8(&b), 0); /* stays failed though there is a byte */
	assert_null(bytes_take(&b, 0));
}

static void test_signed(void **state)
{
	static const uint8_t data[] = {0x80, 0xff, 0x7f, 0x00, 0x00, 0x80, 0,
				       0,    0,	   0,	 0,    0,    0,	   0x80};
	struct bytes b = bytes_make(data, sizeof(data));

	assert_int_equal(bytes_sle(&b, 1), -128);
	assert_int_equal(bytes_sle(&b, 2), 32767);
	assert_int_equal(bytes_sle(&b, 3), -8388608);
	assert_true(bytes_sle(&b, 8) == INT64_MIN);
}

static void test_varints_come_back(void **state)
{
	static const int64_t values[] = {0,	    -1,	       1,	  63,	    -64,
					 64,	    127,       128,	  300,	    -300,
					 INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
	struct buf out = {0};
	struct bytes b;

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		buf_svarint(&out, values[i]);
		buf_varint(&out, (uint64_t)values[i]);
	}
	assert_int_equal(out.data[0], 0);
	b = bytes_make(out.data, out.size);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		assert_true(bytes_svarint(&b) == values[i]);
		assert_true(bytes_varint(&b) == (uint64_t)values[i]);
	}
	assert_false(b.failed);
	assert_int_equal(bytes_left(&b), 0);
	buf_done(&out);
}

static void test_bad_varints(void **state)
{
	static const uint8_t endless[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
					  0x80, 0x80, 0x80, 0x80, 0x01};
	struct bytes b = bytes_make(endless, sizeof(endless));

	assert_int_equal(bytes_varint(&b), 0);
	assert_true(b.failed);
	b = bytes_make(endless, 3);
	assert_int_equal(bytes_varint(&b), 0);
	assert_true(b.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_order),    cmocka_unit_test(test_past_the_end),
		cmocka_unit_test(test_signed),	    cmocka_unit_test(test_varints_come_back),
		cmocka_unit_test(test_bad_varints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
