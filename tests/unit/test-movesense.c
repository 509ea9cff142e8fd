/*
 * decode/movesense, movesense_dialogue: payloads of a real sensor (sensein/movesense-py, its test
 * fixtures), messages in two parts, a clock that wraps, and conversations as scripts of bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "decode/movesense.h"
#include "decode/protocol.h"
#include "dialogue.h"
#include "readings.h"

#define DATA	  CHARACTERISTIC_MOVESENSE_DATA
#define ECG	  (1U << KIND_ECG)
#define ACC	  (1U << KIND_ACCELERATION)
#define HR	  (1U << KIND_HEART_RATE)
#define ECG_MV	  "01 02 2f 4d 65 61 73 2f 45 43 47 2f 31 32 38 2f 6d 56" /* /Meas/ECG/128/mV */
#define ECG_125	  "01 03 2f 4d 65 61 73 2f 45 43 47 2f 31 32 35"
#define ECG_128	  "01 04 2f 4d 65 61 73 2f 45 43 47 2f 31 32 38"
#define HEART	  "01 05 2f 4d 65 61 73 2f 48 52"
#define ACC_52	  "01 06 2f 4d 65 61 73 2f 41 63 63 2f 35 32"
#define OK(ref)	  "01 " ref " c8 00"
#define NO(ref)	  "01 " ref " 94 01" /* 404 */
#define HELLO_TOO "01 01 c8 00 02 31 37 00"

static struct script s;
static struct readings got;

static void begin(unsigned wanted)
{
	script_begin(&s, &protocol_movesense.profile, wanted);
	script_says(&s, DIALOGUE_OPEN, "", "00 01");
	script_says(&s, DIALOGUE_WRITTEN, "", "");
}

static void assert_settled(unsigned running, const char *problem)
{
	assert_true(s.d.done);
	assert_int_equal(s.d.running, running);
	assert_string_equal(s.d.problem, problem);
}

static void test_all_streams(void **state)
{
	begin(ECG | ACC | HR);
	script_says(&s, DIALOGUE_HEARD, HELLO_TOO, ECG_MV);
	script_says(&s, DIALOGUE_HEARD, OK("02"), HEART);
	script_says(&s, DIALOGUE_HEARD, "02 02 00 00 00 00", ""); /* data in between */
	script_says(&s, DIALOGUE_HEARD, OK("05"), ACC_52);
	script_says(&s, DIALOGUE_HEARD, OK("02"), ""); /* late, or twice */
	assert_false(s.d.done);
	script_says(&s, DIALOGUE_HEARD, OK("06"), "");
	assert_settled(ECG | ACC, ""); /* for a heart nobody waits */
	s.d.wanted = ECG | HR;
	script_says(&s, DIALOGUE_OPEN, "", "02 06");
	script_says(&s, DIALOGUE_HEARD, OK("06"), "");
	assert_settled(ECG, "");
	script_says(&s, DIALOGUE_CLOSE, "", "02 02");
	script_says(&s, DIALOGUE_WRITTEN, "", "02 05");
	script_says(&s, DIALOGUE_REFUSED, "0e", "");
	assert_settled(0, "");
}

static void test_other_ways_to_an_ecg(void **state)
{
	begin(ECG);
	script_says(&s, DIALOGUE_HEARD, HELLO_TOO, ECG_MV);
	script_says(&s, DIALOGUE_HEARD, NO("02"), ECG_125);
	script_says(&s, DIALOGUE_HEARD, OK("03"), "");
	assert_settled(ECG, "");
	begin(ECG | HR);
	script_says(&s, DIALOGUE_HEARD, "01 01", ECG_MV);
	script_says(&s, DIALOGUE_REFUSED, "0d", ECG_125);
	script_says(&s, DIALOGUE_HEARD, NO("03"), ECG_128);
	script_says(&s, DIALOGUE_HEARD, NO("04"), HEART);
	script_says(&s, DIALOGUE_HEARD, OK("05"), "");
	assert_settled(0, "it does not send /Meas/ECG/128/mV: ATT error 13");
}

static void test_silence(void **state)
{
	begin(ECG);
	script_says(&s, DIALOGUE_SILENT, "", "00 01");
	script_says(&s, DIALOGUE_SILENT, "", "00 01");
	script_says(&s, DIALOGUE_SILENT, "", ECG_MV); /* it does without a greeting */
	script_says(&s, DIALOGUE_HEARD, OK("02"), "");
	assert_settled(ECG, "");
	s.d.silent = ECG;
	script_says(&s, DIALOGUE_SILENT, "", "02 02");
	script_says(&s, DIALOGUE_HEARD, NO("02"), ECG_MV); /* it had forgotten */
	s.d.silent = 0;
	for (int i = 0; i < 2; i++)
		script_says(&s, DIALOGUE_SILENT, "", ECG_MV);
	script_says(&s, DIALOGUE_SILENT, "", ECG_125);
	script_says(&s, DIALOGUE_HEARD, NO("03"), ECG_128);
	script_says(&s, DIALOGUE_HEARD, NO("04"), "");
	assert_settled(0, "it does not send /Meas/ECG/128/mV: no answer");
	script_says(&s, DIALOGUE_REFUSED, "0e", ""); /* of nothing */
	assert_true(s.d.done);
}

static const uint8_t ecg[] = {2,    2,	  0xea, 0xdc, 0x01, 0x00, 0,	0,    0,    0,
			      0,    0,	  0xff, 0xff, 0xee, 0xff, 0x15, 0x00, 0x48, 0x00,
			      0xfc, 0xfe, 0x66, 0xff, 0x68, 0x04, 0x7b, 0x02, 0xc9, 0xf5,
			      0x14, 0xf8, 0x67, 0x1f, 0xd8, 0x56, 0xc7, 0x6f};

static void test_ecg_microvolts(void **state)
{
	static const int32_t uv[] = {0,	   0,	-1,    -18,   21,   72,	   -260, -154,
				     1128, 635, -2615, -2028, 8039, 22232, 28615};

	readings_begin(&got, &protocol_movesense);
	assert_int_equal(readings_of(&got, DATA, ecg, sizeof(ecg)), 0);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.reading[0].kind, KIND_ECG);
	assert_int_equal(got.reading[0].n, 16);
	assert_true(got.reading[0].sensor_ns == UINT64_C(122090) * 1000000);
	assert_int_equal(got.reading[0].nominal_dt_ns, 7812500);
	for (size_t i = 0; i < ARRAY_SIZE(uv); i++)
		assert_int_equal(got.record[0].ecg.uv[i + 1], uv[i]);
}

static void test_ecg_raw(void **state)
{
	uint8_t data[2 + 4 + 64] = {2, MOVESENSE_ECG_RAW_125, 1, 0, 0, 0};

	data[6] = 1;				     /* 0.38 */
	memset(data + 10, 0xff, 4);		     /* -0.38 */
	data[16] = 1;				     /* 65536: 25000 */
	data[14] = 2;				     /* ... and 2: 25000.76 */
	memset(data + 18, 0xff, 3), data[21] = 0x7f; /* the largest */
	readings_begin(&got, &protocol_movesense);
	assert_int_equal(readings_of(&got, DATA, data, sizeof(data)), 0);
	assert_int_equal(got.reading[0].nominal_dt_ns, 8000000);
	assert_int_equal(got.record[0].ecg.uv[0], 0);
	assert_int_equal(got.record[0].ecg.uv[1], 0);
	assert_int_equal(got.record[0].ecg.uv[2], 25001);
	assert_int_equal(got.record[0].ecg.uv[3], 819200000);
	data[1] = MOVESENSE_ECG_RAW_128;
	assert_int_equal(readings_of(&got, DATA, data, sizeof(data)), 0);
	assert_int_equal(got.reading[0].nominal_dt_ns, 7812500);
}

static void test_two_parts(void **state)
{
	uint8_t rest[sizeof(ecg)] = {3, 2};
	uint8_t more[sizeof(ecg) + 1] = {0};

	readings_begin(&got, &protocol_movesense);
	for (size_t cut = 2; cut < sizeof(ecg); cut++) { /* wherever it is cut */
		memcpy(rest + 2, ecg + cut, sizeof(ecg) - cut);
		assert_int_equal(readings_of(&got, DATA, ecg, cut), 0);
		assert_int_equal(got.n, 0);
		if (cut == 2) /* nothing to continue */
			continue;
		assert_int_equal(readings_of(&got, DATA, rest, sizeof(ecg) - cut + 2), 0);
		assert_int_equal(got.n, 1);
		assert_int_equal(got.record[0].ecg.uv[15], 28615);
	}
	/* a rest of nothing, and of something else */
	assert_int_equal(readings_of(&got, DATA, rest, 10), DECODE_E_MALFORMED);
	assert_int_equal(readings_of(&got, DATA, ecg, 10), 0);
	rest[1] = MOVESENSE_ECG_RAW_125;
	assert_int_equal(readings_of(&got, DATA, rest, 10), DECODE_E_MALFORMED);
	rest[1] = 2;
	assert_int_equal(readings_of(&got, DATA, rest, 10), DECODE_E_MALFORMED);
	/* half a message is forgotten when the next begins */
	assert_int_equal(readings_of(&got, DATA, ecg, 10), 0);
	assert_int_equal(readings_of(&got, DATA, ecg, sizeof(ecg)), 0);
	assert_int_equal(got.n, 1);
	memcpy(more, ecg, sizeof(ecg));
	assert_int_equal(readings_of(&got, DATA, more, sizeof(more)), DECODE_E_MALFORMED);
	assert_int_equal(got.n, 0);
}

static uint64_t time_of(uint32_t ms)
{
	uint8_t data[sizeof(ecg)];

	memcpy(data, ecg, sizeof(ecg));
	for (int i = 0; i < 4; i++)
		data[2 + i] = (uint8_t)(ms >> (8 * i));
	assert_int_equal(readings_of(&got, DATA, data, sizeof(data)), 0);
	return got.reading[0].sensor_ns / 1000000;
}

static void test_clock_goes_past_49_days(void **state)
{
	readings_begin(&got, &protocol_movesense);
	assert_true(time_of(0xffffff00) == 0xffffff00);
	assert_true(time_of(0xffffff7d) == 0xffffff7d);
	assert_true(time_of(0x00000002) == UINT64_C(0x100000002));
	assert_true(time_of(0xfffffffe) == 0xfffffffe); /* another stream, a little behind */
	assert_true(time_of(0x00000080) == UINT64_C(0x100000080));
	readings_begin(&got, &protocol_movesense);
	assert_true(time_of(5) == 5);
	assert_true(time_of(0xfffffffe) == 0xfffffffe); /* never below nothing */
}

static void test_heart_rate(void **state)
{
	readings_begin(&got, &protocol_movesense);
	assert_int_equal(READINGS(&got, DATA, 2, 5, 0x4d, 0xbe, 0x84, 0x42, 0x88, 0x03), 0);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.reading[0].kind, KIND_HEART_RATE);
	assert_int_equal(got.record[0].heart_rate.bpm, 66);
	assert_int_equal(got.record[0].heart_rate.n_rr, 1);
	assert_int_equal(got.record[0].heart_rate.rr_1024[0], 926); /* 904 ms: 925.7 */
	assert_int_equal(got.record[0].heart_rate.contact, CONTACT_UNSUPPORTED);
	assert_int_equal(got.record[0].heart_rate.energy_kj, -1);
	assert_int_equal(READINGS(&got, DATA, 2, 5, 0, 0, 0xc0, 0x7f, 0xff, 0xff),
			 DECODE_E_MALFORMED);
	assert_int_equal(READINGS(&got, DATA, 2, 5, 0, 0, 0, 0, 0xff, 0xff), 0);
	assert_int_equal(got.record[0].heart_rate.rr_1024[0], 65535);
}

static void test_acceleration(void **state)
{
	static const uint8_t data[] = {
		2,    6,    0x03, 0xde, 0x01, 0x00, 0x55, 0xab, 0x8b, 0xbf, 0x69,
		0xf7, 0x8d, 0x40, 0x81, 0xdd, 0x0a, 0x41, 0x2b, 0x13, 0x87, 0xbf,
		0x97, 0x5a, 0x8d, 0x40, 0x00, 0x00, 0xc0, 0x7f}; /* the last is no number */

	readings_begin(&got, &protocol_movesense);
	assert_int_equal(readings_of(&got, DATA, data, sizeof(data)), 0);
	assert_int_equal(got.reading[0].kind, KIND_ACCELERATION);
	assert_int_equal(got.reading[0].n, 2);
	assert_int_equal(got.reading[0].nominal_dt_ns, 19230769);
	assert_true(got.reading[0].sensor_ns == UINT64_C(122371) * 1000000);
	assert_int_equal(got.record[0].samples.unit, UNIT_MILLI_G);
	assert_int_equal(got.record[0].samples.n_channels, 3);
	assert_int_equal(got.record[0].samples.value[0], -111); /* -1.0912 m/s2 */
	assert_int_equal(got.record[0].samples.value[1], 452);
	assert_int_equal(got.record[0].samples.value[2], 885);
	assert_int_equal(got.record[0].samples.value[5], SAMPLES_NONE);
}

static void test_no_data(void **state)
{
	readings_begin(&got, &protocol_movesense);
	assert_int_equal(READINGS(&got, DATA, 1, 1, 0xc8, 0), 0);
	assert_int_equal(got.n, 0);
	assert_int_equal(READINGS(&got, CHARACTERISTIC_MOVESENSE_COMMAND, 0, 1), 0);
	assert_int_equal(READINGS(&got, DATA, 2), DECODE_E_MALFORMED);
	assert_int_equal(got.error.at, 1);
	assert_int_equal(READINGS(&got, DATA, 4, 2), DECODE_E_UNSUPPORTED);
	assert_int_equal(READINGS(&got, DATA, 2, 1, 0), DECODE_E_UNSUPPORTED);
	assert_int_equal(READINGS(&got, DATA, 2, 0x63, 0), DECODE_E_UNSUPPORTED); /* of others */
	assert_int_equal(readings_of(&got, DATA, NULL, 0), DECODE_E_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_streams),
		cmocka_unit_test(test_other_ways_to_an_ecg),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_ecg_microvolts),
		cmocka_unit_test(test_ecg_raw),
		cmocka_unit_test(test_two_parts),
		cmocka_unit_test(test_clock_goes_past_49_days),
		cmocka_unit_test(test_heart_rate),
		cmocka_unit_test(test_acceleration),
		cmocka_unit_test(test_no_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
