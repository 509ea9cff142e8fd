/* util/crc32c: the vectors of RFC 3720 B.4, and pieces that make the same whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/crc32c.h"

static void test_rfc3720(void **state)
{
	static const uint8_t read_command[48] = {0x01, 0xc0, 0,	   0, 0, 0, 0,	  0,	0, 0,
						 0,    0,    0,	   0, 0, 0, 0x14, 0,	0, 0,
						 0,    0,    0x04, 0, 0, 0, 0,	  0x14, 0, 0,
						 0,    0x18, 0x28, 0, 0, 0, 0,	  0,	0, 0,
						 0x02, 0,    0,	   0, 0, 0, 0,	  0};
	uint8_t data[32];

	memset(data, 0, sizeof(data));
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x8a9136aa);
	memset(data, 0xff, sizeof(data));
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x62a8ab43);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x46dd794e);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(31 - i);
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x113fdb5c);
	assert_int_equal(crc32c(0, read_command, sizeof(read_command)), 0xd9963a56);
}

static void test_check_value(void **state)
{
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(0, "", 0), 0);
}

static void test_in_pieces(void **state)
{
	uint8_t data[100];
	uint32_t whole;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 37 + 11);
	whole = crc32c(0, data, sizeof(data));
	for (size_t cut = 0; cut <= sizeof(data); cut++)
		assert_int_equal(crc32c(crc32c(0, data, cut), data + cut, sizeof(data) - cut),
				 whole);
}

static void test_by_table(void **state)
{
	uint8_t data[100];

	assert_int_equal(crc32c_by_table(0, "123456789", 9), 0xe3069283);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 73 + 5);
	for (size_t n = 0; n <= sizeof(data); n++)
		assert_int_equal(crc32c_by_table(7, data, n), crc32c(7, data, n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc3720),
		cmocka_unit_test(test_check_value),
		cmocka_unit_test(test_in_pieces),
		cmocka_unit_test(test_by_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
