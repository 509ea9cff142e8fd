/* decode/heart_rate: what straps send, what they should not, and the byte that is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "decode/heart_rate.h"
#include "model/frame.h"

#include <stdio.h>

static struct heart_rate decoded(const uint8_t *data, size_t size)
{
	struct heart_rate h;

	memset(&h, 0x5a, sizeof(h));
	assert_int_equal(heart_rate_decode(data, size, &h, NULL), 0);
	return h;
}

#define DECODE(...)                                     \
	({                                              \
		const uint8_t bytes_[] = {__VA_ARGS__}; \
		decoded(bytes_, sizeof(bytes_));        \
	})

static void assert_malformed(const uint8_t *data, size_t size, size_t at)
{
	struct decode_error error = {.at = 999};
	struct heart_rate h, before;

	memset(&h, 0x5a, sizeof(h));
	before = h;
	assert_int_equal(heart_rate_decode(data, size, &h, &error), DECODE_E_MALFORMED);
	assert_int_equal(error.at, at);
	assert_true(strlen(error.what) > 10);
	assert_memory_equal(&h, &before, sizeof(h)); /* untouched */
}

static void test_plain(void **state)
{
	struct heart_rate h = DECODE(0x00, 72);

	assert_int_equal(h.bpm, 72);
	assert_int_equal(h.contact, CONTACT_UNSUPPORTED);
	assert_int_equal(h.energy_kj, -1);
	assert_int_equal(h.n_rr, 0);
	assert_int_equal(h.rr_1024[0], 0x5a5a); /* what is not used is not written */
}

static void test_everything(void **state)
{
	struct heart_rate h = DECODE(0x1f, 0x2c, 0x01, 0x10, 0x27, 0x11, 0x04, 0xff, 0xff);

	assert_int_equal(h.bpm, 300);
	assert_int_equal(h.contact, CONTACT_YES);
	assert_int_equal(h.energy_kj, 10000);
	assert_int_equal(h.n_rr, 2);
	assert_int_equal(h.rr_1024[0], 1041);
	assert_int_equal(h.rr_1024[1], 65535);
}

static void test_contact(void **state)
{
	assert_int_equal(DECODE(0x00, 60).contact, CONTACT_UNSUPPORTED);
	assert_int_equal(DECODE(0x02, 60).contact, CONTACT_UNSUPPORTED);
	assert_int_equal(DECODE(0x04, 60).contact, CONTACT_NONE);
	assert_int_equal(DECODE(0x06, 60).contact, CONTACT_YES);
}

static void test_tolerated(void **state)
{
	assert_int_equal(DECODE(0x10, 60).n_rr, 0);	     /* intervals promised, none there */
	assert_int_equal(DECODE(0x10, 60, 0x11).n_rr, 0);    /* half of one */
	assert_int_equal(DECODE(0x10, 60, 1, 4, 9).n_rr, 1); /* one and a half */
	assert_int_equal(DECODE(0x00, 0).bpm, 0);	     /* no lock yet */
	assert_int_equal(DECODE(0xe0, 61).bpm, 61);	     /* reserved flags */
	assert_int_equal(DECODE(0x00, 61, 1, 2).n_rr, 0);    /* bytes that nobody announced */
	assert_int_equal(DECODE(0x08, 61, 0xff, 0xff).energy_kj, 65535);     /* overflowed */
	assert_int_equal(DECODE(0x10, 56, 0x2d, 4, 0x35, 0).rr_1024[1], 53); /* implausible: kept */
}

static void test_the_most_that_fits(void **state)
{
	uint8_t data[FRAME_MAX + 1] = {0x10, 60};
	struct heart_rate h = decoded(data, FRAME_MAX);

	assert_int_equal(h.n_rr, RR_MAX);
	assert_malformed(data, sizeof(data), FRAME_MAX);
}

static void test_too_short(void **state)
{
	assert_malformed(NULL, 0, 0);
	assert_malformed((const uint8_t[]){0x00}, 1, 1);
	assert_malformed((const uint8_t[]){0x01}, 1, 1);
	assert_malformed((const uint8_t[]){0x01, 0x12}, 2, 2);
	assert_malformed((const uint8_t[]){0x08, 0x12}, 2, 2);
	assert_malformed((const uint8_t[]){0x08, 0x12, 0x01}, 3, 3);
	assert_malformed((const uint8_t[]){0x19, 0x12, 0x01, 0x01}, 4, 4);
}

static void test_body_location(void **state)
{
	struct decode_error error;
	uint8_t location = 99;

	assert_int_equal(body_location_decode((const uint8_t[]){1}, 1, &location, NULL), 0);
	assert_int_equal(location, 1);
	assert_string_equal(body_location_name(1), "chest");
	assert_string_equal(body_location_name(6), "foot");
	assert_string_equal(body_location_name(7), "reserved");
	assert_int_equal(body_location_decode(NULL, 0, &location, &error), DECODE_E_MALFORMED);
	assert_int_equal(error.at, 0);
	assert_int_equal(body_location_decode((const uint8_t[]){2, 2}, 2, &location, &error),
			 DECODE_E_MALFORMED);
	assert_int_equal(error.at, 1);
	assert_int_equal(location, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_contact),
		cmocka_unit_test(test_tolerated),
		cmocka_unit_test(test_the_most_that_fits),
		cmocka_unit_test(test_too_short),
		cmocka_unit_test(test_body_location),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
