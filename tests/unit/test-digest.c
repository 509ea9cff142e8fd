/*
 * SHA-256 and SHA-1 on the examples of FIPS 180-2, in one piece, in pieces, and one after another.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/digest.h"

#define TWO_BLOCKS "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"

static const uint8_t sha256_abc[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
				     0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
				     0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
				     0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
static const uint8_t sha256_two_blocks[] = {0x24, 0x8d, 0x6a, 0x61, 0xd2, 0x06, 0x38, 0xb8,
					    0xe5, 0xc0, 0x26, 0x93, 0x0c, 0x3e, 0x60, 0x39,
					    0xa3, 0x3c, 0xe4, 0x59, 0x64, 0xff, 0x21, 0x67,
					    0xf6, 0xec, 0xed, 0xd4, 0x19, 0xdb, 0x06, 0xc1};
static const uint8_t sha256_nothing[] = {0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14,
					 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
					 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c,
					 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55};
static const uint8_t sha1_abc[] = {0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81, 0x6a, 0xba, 0x3e,
				   0x25, 0x71, 0x78, 0x50, 0xc2, 0x6c, 0x9c, 0xd0, 0xd8, 0x9d};

static void expect(struct digest *d, const uint8_t wanted[static DIGEST_SHA256_SIZE])
{
	uint8_t hash[DIGEST_SHA256_SIZE];

	assert_int_equal(digest_finish(d, hash), 0);
	assert_memory_equal(hash, wanted, sizeof(hash));
}

static void test_sha256(void **state)
{
	_cleanup_(digest_freep) struct digest *d = NULL;

	assert_int_equal(digest_new(&d), 0);
	expect(d, sha256_nothing);
	assert_int_equal(digest_update(d, "abc", 3), 0);
	expect(d, sha256_abc);
	for (size_t i = 0; i < strlen(TWO_BLOCKS); i++)
		assert_int_equal(digest_update(d, &TWO_BLOCKS[i], 1), 0);
	expect(d, sha256_two_blocks);
	expect(d, sha256_nothing);
}

static void test_sha1_of_two_pieces(void **state)
{
	uint8_t hash[DIGEST_SHA1_SIZE];

	for (size_t cut = 0; cut <= 3; cut++) {
		assert_int_equal(digest_sha1_two("abc", cut, &"abc"[cut], 3 - cut, hash), 0);
		assert_memory_equal(hash, sha1_abc, sizeof(hash));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sha256),
		cmocka_unit_test(test_sha1_of_two_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
