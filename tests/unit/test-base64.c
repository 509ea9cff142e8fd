/* Base64 as RFC 4648 section 10 has it, and every length of rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/base64.h"

static void expect(const char *plain, const char *encoded)
{
	char out[64] = {0};

	assert_int_equal(base64_size(strlen(plain)), strlen(encoded));
	base64_encode(plain, strlen(plain), out);
	assert_string_equal(out, encoded);
}

static void test_vectors(void **state)
{
	expect("", "");
	expect("f", "Zg==");
	expect("fo", "Zm8=");
	expect("foo", "Zm9v");
	expect("foob", "Zm9vYg==");
	expect("fooba", "Zm9vYmE=");
	expect("foobar", "Zm9vYmFy");
}

static void test_whole_alphabet(void **state)
{
	static const uint8_t bytes[] = {0xfb, 0xff, 0xfe, 0x00, 0x10, 0x83, 0xff, 0xff, 0xff};
	char out[13] = {0};

	base64_encode(bytes, sizeof(bytes), out);
	assert_string_equal(out, "+//+ABCD////");
}

static void test_writes_no_more_than_it_says(void **state)
{
	char out[8] = "xxxxxxx";

	base64_encode("abc", 3, out);
	assert_string_equal(out, "YWJjxxx");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_whole_alphabet),
		cmocka_unit_test(test_writes_no_more_than_it_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
