/* decode/polar_file: the messages that a recording takes, whole, with fields from elsewhere, broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "decode/polar_file.h"

#define BYTES(text) (text), (sizeof(text) - 1)

static void assert_entry(const char *data, size_t size, size_t *at, const char *name, uint64_t n)
{
	struct polar_entry e;

	assert_true(polar_next_entry(data, size, at, &e));
	assert_int_equal(e.n_name, strlen(name));
	assert_memory_equal(e.name, name, e.n_name);
	assert_int_equal(e.size, n);
}

static void test_directory(void **state)
{
	static const char two[] = "\x0a\x06\x0a\x02V/\x10\x00"	 /* V/, 0 */
				  "\x10\x01"			 /* of another time */
				  "\x0a\x0b\x10\xac\x02\x0a\x03" /* size before name */
				  "abc\x1d\x01\x02";		 /* broken: 4 bytes */
	static const char good[] = "\x0a\x06\x0a\x02V/\x10\x00"
				   "\x0a\x08\x10\xac\x02\x0a\x03"
				   "abc"
				   "\x0a\x00"; /* without a name */
	struct polar_entry e;
	size_t at = 0;

	assert_entry(BYTES(good), &at, "V/", 0);
	assert_entry(BYTES(good), &at, "abc", 300);
	assert_entry(BYTES(good), &at, "", 0);
	assert_false(polar_next_entry(BYTES(good), &at, &e));
	at = 0;
	assert_entry(BYTES(two), &at, "V/", 0);
	assert_false(polar_next_entry(BYTES(two), &at, &e));
	for (size_t size = 1; size < 8; size++) { /* cut anywhere: no entry, no harm */
		at = 0;
		assert_false(polar_next_entry(good, size, &at, &e));
	}
	at = 0;
	assert_false(
		polar_next_entry(BYTES("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), &at, &e));
}

static void test_status(void **state)
{
	struct polar_status s;

	assert_int_equal(polar_status_decode(BYTES("\x08\x01\x12\x05V1 \xc3z"), &s, NULL), 0);
	assert_true(s.recording);
	assert_string_equal(s.name, "V1??z");
	assert_int_equal(polar_status_decode(BYTES(""), &s, NULL), 0);
	assert_false(s.recording);
	assert_string_equal(s.name, "");
	assert_int_equal(polar_status_decode(BYTES("\x08\x00\x12\x46"
						   "0123456789012345678901234567890123456789"
						   "012345678901234567890123456789"),
					     &s, NULL),
			 0);
	assert_int_equal(strlen(s.name), POLAR_NAME_MAX);
	assert_int_equal(polar_status_decode(BYTES("\x08"), &s, NULL), DECODE_E_MALFORMED);
	assert_int_equal(polar_status_decode(BYTES("\x0b\x01"), &s, NULL), DECODE_E_MALFORMED);
}

static void test_beats(void **state)
{
	/* An interval of 1 s; 28: { 1: 800, 65535, 0 } in two fields; 27, 9 and 29: of no interest. */
	static const char file[] = "\x0a\x02\x18\x01"
				   "\xda\x01\x02xx"
				   "\xe2\x01\x04\x0a\x02\xa0\x06"
				   "\x49"
				   "12345678"
				   "\xed\x01"
				   "1234"
				   "\xe2\x01\x07\x0a\x03\xff\xff\x03\x08\x00";
	uint16_t values[sizeof(file)];
	struct polar_samples s;

	assert_int_equal(polar_samples_decode(BYTES(file), values, &s, NULL), 0);
	assert_int_equal(s.interval_ms, 1000);
	assert_int_equal(s.n_bpm, 0);
	assert_int_equal(s.n_rr, 3);
	assert_int_equal(values[0], 800);
	assert_int_equal(values[1], 65535);
	assert_int_equal(values[2], 0);
}

static void test_rates(void **state)
{
	static const char file[] = "\x12\x02\x46\x47"
				   "\x0a\x06\x08\x00\x10\x01\x20\x05"
				   "\x10\x48"
				   "\xe2\x01\x03\x0a\x01\x09";
	uint16_t values[sizeof(file)];
	struct polar_samples s;

	assert_int_equal(polar_samples_decode(BYTES(file), values, &s, NULL), 0);
	assert_int_equal(s.interval_ms, 60005);
	assert_int_equal(s.n_bpm, 3);
	assert_int_equal(values[0], 70);
	assert_int_equal(values[2], 72);
	assert_int_equal(s.n_rr, 1);
	assert_int_equal(values[3], 9);
	assert_int_equal(polar_samples_decode(BYTES(""), values, &s, NULL), 0);
	assert_int_equal(s.n_bpm + s.n_rr, 0);
}

static void test_broken_samples(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
	} bad[] = {
		{BYTES("\x12\x02\x46")},	     /* half a field */
		{BYTES("\x12\x01\xff")},	     /* half a number */
		{BYTES("\x12\x03\x80\x80\x04")},     /* 65536 */
		{BYTES("\x15\x01\x02\x03\x04")},     /* rates of a type that they do not have */
		{BYTES("\x0a\x04\x18\xff\xff\x7f")}, /* an interval of weeks */
		{BYTES("\x0a\x04\x08\x80\xb7\x1b")}, /* 450000 h */
		{BYTES("\xe2\x01\x02\x0a\x05")},
		{BYTES("\x13")}, /* a type that is not in use */
	};
	struct decode_error error;
	uint16_t values[16];
	struct polar_samples s;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(polar_samples_decode(bad[i].bytes, bad[i].size, values, &s,
						      &error),
				 DECODE_E_MALFORMED);
		assert_true(error.what[0]);
	}
}

static void test_requests(void **state)
{
	static const char path[] = "/V1/SAMPLES.BPB";
	char long_name[140] = {0};
	struct psftp_writer w;

	assert_true(polar_operation(&w, PSFTP_GET, "/"));
	assert_int_equal(w.size, 7);
	assert_memory_equal(w.message, "\x05\x00\x08\x00\x12\x01/", 7);
	assert_true(polar_operation(&w, PSFTP_REMOVE, path));
	assert_int_equal(w.size, 2 + 4 + strlen(path));
	assert_memory_equal(w.message, "\x13\x00\x08\x03\x12\x0f/V1/SAMPLES.BPB", w.size);
	assert_true(polar_start_beats(&w, "V1"));
	assert_int_equal(w.size, 2 + 2 + 4 + 4);
	assert_memory_equal(w.message, "\x0e\x80\x08\x10\x12\x02\x18\x01\x1a\x02V1", w.size);
	memset(long_name, 'x', 128);
	assert_false(polar_operation(&w, PSFTP_GET, long_name));
	assert_false(polar_start_beats(&w, long_name));
	long_name[127] = '\0';
	assert_true(polar_operation(&w, PSFTP_GET, long_name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_directory),      cmocka_unit_test(test_status),
		cmocka_unit_test(test_beats),	       cmocka_unit_test(test_rates),
		cmocka_unit_test(test_broken_samples), cmocka_unit_test(test_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
