/*
 * The canonical bytes of each kind of record, byte by byte: whoever changes one breaks every
 * server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sink/canonical.h"
#include "sink/sink.h"

static void expect(const struct record *r, const uint8_t *wanted, size_t size)
{
	_cleanup_(buf_done) struct buf out = {0};

	buf_string(&out, "before");
	record_canonical(r, &out);
	assert_false(out.failed);
	assert_int_equal(out.size, 6 + size);
	assert_int_equal(canonical_size(r), size);
	assert_memory_equal(out.data, "before", 6);
	assert_memory_equal(out.data + 6, wanted, size);
}

/* seq 536870913, t_us 1763798400000000 */
#define SEQ_AND_TIME \
	0x01, 0x00, 0x00, 0x20, 0, 0, 0, 0, 0x00, 0x60, 0x16, 0x51, 0x2a, 0x44, 0x06, 0x00

static struct record record_of(uint8_t type)
{
	return (struct record){.type = type,
			       .clk = CLK_UTC,
			       .seq = seq_make(2, 1),
			       .boot_us = 5000000,
			       .offset_us = INT64_C(1763798395000000)};
}

static void test_heart_rate(void **state)
{
	static const uint8_t wanted[] = {SEQ_AND_TIME, 1,    71,   0, 2,    0x2c, 0x01, 0, 0,
					 0x02,	       0x00, 0x61, 3, 0xff, 0xff};
	static const uint8_t bare[] = {SEQ_AND_TIME, 2,	   0x2c, 0x01, 0, 0xff,
				       0xff,	     0xff, 0xff, 0,    0};
	struct record r = record_of(RECORD_HEART_RATE);

	r.heart_rate = (struct heart_rate){.bpm = 71,
					   .contact = CONTACT_YES,
					   .energy_kj = 300,
					   .n_rr = 2,
					   .rr_1024 = {865, 65535}};
	expect(&r, wanted, sizeof(wanted));
	r.clk = CLK_EST;
	r.heart_rate = (struct heart_rate){.bpm = 300, .energy_kj = -1};
	expect(&r, bare, sizeof(bare));
}

static void test_ecg(void **state)
{
	static const uint8_t wanted[] = {
		SEQ_AND_TIME, 1,    0x2c, 0x55, 0x75, 0x00, 3,	  0,	0,    0,    0x01,
		0x00,	      0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x80,
	};
	struct record r = record_of(RECORD_ECG);

	r.ecg = (struct ecg){.dt_ns = 7689516, .n = 3, .uv = {1, -1, INT32_MIN}};
	expect(&r, wanted, sizeof(wanted));
}

static void test_gap(void **state)
{
	static const uint8_t wanted[] = {SEQ_AND_TIME, 1,    1,	   0x00, 0x60, 0x16, 0x51, 0x2a,
					 0x44,	       0x06, 0x00, 0x00, 0x72, 0x90, 0x51, 0x2a,
					 0x44,	       0x06, 0x00, 8,	 0,    0,    0};
	struct record r = record_of(RECORD_GAP);

	r.gap = (struct gap){.reason = GAP_LINK_LOSS, .n = 8, .duration_us = 8000000};
	expect(&r, wanted, sizeof(wanted));
}

static void test_samples(void **state)
{
	static const uint8_t wanted[] = {
		SEQ_AND_TIME,
		1,
		/* sensor_ns */ 8,
		7,
		6,
		5,
		4,
		3,
		2,
		1,
		/* dt_ns */ 0x00,
		0x2d,
		0x31,
		0x01,
		/* status */ 0x40,
		0x00,
		0x00,
		0x80,
		/* unit, channels, exponents */ 1,
		2,
		0xff,
		3,
		/* n */ 2,
		0,
		0,
		0,
		/* values */ 97,
		0,
		0,
		0,
		0x00,
		0x00,
		0x00,
		0x80,
		0xfe,
		0xff,
		0xff,
		0xff,
		1,
		1,
		0,
		0,
	};
	struct record r = record_of(RECORD_SAMPLES);

	r.samples = (struct samples){.sensor_ns = 0x0102030405060708,
				     .dt_ns = 20000000,
				     .status = 0x80000040,
				     .unit = UNIT_PERCENT,
				     .n_channels = 2,
				     .exponent = {-1, 3},
				     .n = 2,
				     .value = {97, SAMPLES_NONE, -2, 257}};
	expect(&r, wanted, sizeof(wanted));
}

static void test_before_1970(void **state)
{
	static const uint8_t minus_one[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	_cleanup_(buf_done) struct buf out = {0};
	struct record r = record_of(RECORD_GAP);

	r.boot_us = -1;
	r.offset_us = 0;
	record_canonical(&r, &out);
	assert_memory_equal(out.data + 8, minus_one, 8);
}

static void test_longest(void **state)
{
	struct record r = record_of(RECORD_SAMPLES);
	static uint8_t out[CANONICAL_MAX];

	r.samples.n_channels = 16;
	r.samples.n = SAMPLES_VALUES_MAX / 16;
	assert_int_equal(canonical_write(&r, out) - out, CANONICAL_MAX - 1);
	r = record_of(RECORD_ECG);
	r.ecg.n = ECG_SAMPLES_MAX;
	assert_true(canonical_size(&r) < CANONICAL_MAX);
	r = record_of(RECORD_HEART_RATE);
	r.heart_rate.n_rr = RR_MAX;
	assert_true(canonical_size(&r) < CANONICAL_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heart_rate),  cmocka_unit_test(test_ecg),
		cmocka_unit_test(test_gap),	    cmocka_unit_test(test_samples),
		cmocka_unit_test(test_before_1970), cmocka_unit_test(test_longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
