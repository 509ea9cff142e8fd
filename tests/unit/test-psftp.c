/*
 * decode/psftp: requests cut into packets and answers put together, as scripts of bytes; then what a
 * bad link makes of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "decode/psftp.h"

static int read_packet(struct psftp_reader *r, const void *packet, size_t size,
		       struct psftp_part *ret)
{
	return psftp_read(r, packet, size, ret);
}

#define READ(r, bytes, ret) read_packet(r, bytes, sizeof(bytes) - 1, ret)

static void assert_packet(struct psftp_writer *w, size_t room, const void *expected, size_t size)
{
	uint8_t packet[PSFTP_MESSAGE_MAX + 1];

	assert_int_equal(psftp_packet(w, room, packet), size);
	if (size)
		assert_memory_equal(packet, expected, size);
}

#define PACKET(w, room, bytes) assert_packet(w, room, bytes, sizeof(bytes) - 1)

static void test_one_packet(void **state)
{
	struct psftp_writer w;

	assert_true(psftp_request(&w, "\x08\x00\x12\x01/", 5));
	PACKET(&w, 128, "\x02\x05\x00\x08\x00\x12\x01/");
	PACKET(&w, 128, "");
	assert_true(psftp_query(&w, PSFTP_RECORDING_STATUS, NULL, 0));
	PACKET(&w, 128, "\x02\x10\x80");
	PACKET(&w, 128, "");
}

static void test_many_packets(void **state)
{
	struct psftp_writer w;
	uint8_t packet[4];

	assert_true(psftp_request(&w, "abcdefgh", 8));
	PACKET(&w, 5,
	       "\x06\x08\x00"
	       "ab");
	PACKET(&w, 5,
	       "\x17"
	       "cdef");
	PACKET(&w, 5,
	       "\x23"
	       "gh");
	PACKET(&w, 5, "");
	/* Exactly full is the last one, not one before an empty one. */
	assert_true(psftp_request(&w, "ab", 2));
	PACKET(&w, 5,
	       "\x02\x02\x00"
	       "ab");
	PACKET(&w, 5, "");
	/* The sequence has four bits. */
	assert_true(psftp_request(&w, "0123456789012345678901234567890123", 34));
	for (unsigned i = 0; i < 18; i++) {
		assert_int_equal(psftp_packet(&w, 3, packet), 3);
		assert_int_equal(packet[0] >> 4, i & 15);
	}
	PACKET(&w, 3, "");
}

static void test_too_long_a_request(void **state)
{
	static const uint8_t much[PSFTP_MESSAGE_MAX];
	struct psftp_writer w;

	assert_true(psftp_request(&w, much, PSFTP_MESSAGE_MAX - 2));
	assert_false(psftp_request(&w, much, PSFTP_MESSAGE_MAX - 1));
	assert_false(psftp_query(&w, PSFTP_STOP_RECORDING, much, PSFTP_MESSAGE_MAX - 1));
}

static void test_answers(void **state)
{
	struct psftp_reader r = {0};
	struct psftp_part part;

	assert_int_equal(READ(&r, "\x06one", &part), 0);
	assert_false(part.last);
	assert_int_equal(part.size, 3);
	assert_memory_equal(part.payload, "one", 3);
	assert_int_equal(READ(&r, "\x17", &part), 0); /* an empty one is fine */
	assert_int_equal(part.size, 0);
	assert_int_equal(READ(&r, "\x23two", &part), 0);
	assert_true(part.last);
	assert_int_equal(part.error, 0);
	assert_int_equal(r.size, 6);
	r = (struct psftp_reader){0};
	assert_int_equal(READ(&r, "\x00\x00\x00", &part), 0);
	assert_true(part.last);
	assert_int_equal(part.error, 0);
	/* An error ends a message in its middle, whatever its number. */
	assert_int_equal(READ(&r, "\x06x", &part), 0);
	assert_int_equal(READ(&r, "\x51\x67\x00", &part), 0);
	assert_true(part.last);
	assert_int_equal(part.error, 103);
	assert_string_equal(psftp_error_name(103), "no such file or directory");
	assert_string_equal(psftp_error_name(201), "not supported by the wearable");
	assert_string_equal(psftp_error_name(0xffff), "unknown");
}

static void test_sequence(void **state)
{
	struct psftp_reader r = {0}, begun;
	struct psftp_part part;
	uint8_t packet[] = {0, 'x'};

	assert_int_equal(READ(&r, "\x07x", &part), PSFTP_E_SEQUENCE); /* its first was lost */
	assert_int_equal(READ(&r, "\x16x", &part), PSFTP_E_SEQUENCE);
	assert_int_equal(READ(&r, "\x06x", &part), 0);
	begun = r;
	assert_int_equal(READ(&r, "\x06x", &part), PSFTP_E_SEQUENCE); /* another first */
	assert_int_equal(READ(&r, "\x27x", &part), PSFTP_E_SEQUENCE); /* one was lost */
	assert_int_equal(READ(&r, "\x07x", &part), PSFTP_E_SEQUENCE); /* twice */
	assert_memory_equal(&r, &begun, sizeof(r));
	for (unsigned i = 1; i < 40; i++) {
		packet[0] = (uint8_t)(7 | (i & 15) << 4);
		assert_int_equal(psftp_read(&r, packet, 2, &part), 0);
	}
	assert_int_equal(r.size, 40);
}

static void test_malformed(void **state)
{
	struct psftp_reader r = {0};
	struct psftp_part part;

	assert_int_equal(READ(&r, "", &part), PSFTP_E_MALFORMED);
	assert_int_equal(READ(&r, "\x00", &part), PSFTP_E_MALFORMED);
	assert_int_equal(READ(&r, "\x00\x67", &part), PSFTP_E_MALFORMED);
	assert_int_equal(READ(&r, "\x04x", &part), PSFTP_E_MALFORMED); /* status 2 */
}

static void test_endless_answer(void **state)
{
	static const uint8_t zeros[500];
	uint8_t packet[sizeof(zeros)] = {6};
	struct psftp_reader r = {0};
	struct psftp_part part;
	unsigned n = 0;
	int e;

	while ((e = psftp_read(&r, packet, sizeof(packet), &part)) == 0 && n < 2000)
		packet[0] = (uint8_t)(7 | (++n & 15) << 4);
	assert_int_equal(e, PSFTP_E_LARGE);
	assert_in_range(r.size, PSFTP_ANSWER_MAX - sizeof(packet), PSFTP_ANSWER_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_packet),	   cmocka_unit_test(test_many_packets),
		cmocka_unit_test(test_too_long_a_request), cmocka_unit_test(test_answers),
		cmocka_unit_test(test_sequence),	   cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_endless_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
