/* UUIDs: the version 5 example of RFC 9562 (A.4), text there and back, and what is no UUID. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/uuid.h"

static void test_version_5(void **state)
{
	struct uuid dns, u;
	char text[UUID_STRING_SIZE];

	assert_true(uuid_parse("6ba7b810-9dad-11d1-80b4-00c04fd430c8", &dns));
	assert_int_equal(uuid_v5(&dns, "www.example.com", 15, &u), 0);
	uuid_format(&u, text);
	assert_string_equal(text, "2ed6657d-e927-568b-95e1-2665a8aea6a2");
}

static void test_version_4(void **state)
{
	struct uuid a, b;

	assert_int_equal(uuid_random(&a), 0);
	assert_int_equal(uuid_random(&b), 0);
	assert_int_equal(a.bytes[6] >> 4, 4);
	assert_int_equal(a.bytes[8] >> 6, 2);
	assert_false(uuid_equal(&a, &b));
}

static void test_text(void **state)
{
	struct uuid u;
	char text[UUID_STRING_SIZE];

	assert_true(uuid_parse("00112233-4455-6677-8899-AABBCCDDEEFF", &u));
	assert_int_equal(u.bytes[0], 0x00);
	assert_int_equal(u.bytes[15], 0xff);
	uuid_format(&u, text);
	assert_string_equal(text, "00112233-4455-6677-8899-aabbccddeeff");
}

static void test_not_a_uuid(void **state)
{
	static const char *const wrong[] = {
		"",
		"00112233-4455-6677-8899-aabbccddeef",
		"00112233-4455-6677-8899-aabbccddeefff",
		"0011223344556677-8899-aabbccddeeff---",
		"00112233-4455-6677-8899-aabbccddeefg",
		"00112233 4455-6677-8899-aabbccddeeff",
	};
	struct uuid u = {{1}};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_false(uuid_parse(wrong[i], &u));
	assert_int_equal(u.bytes[0], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version_5),
		cmocka_unit_test(test_version_4),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_not_a_uuid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
