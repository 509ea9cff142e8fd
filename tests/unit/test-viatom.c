/*
 * decode/viatom: questions and answers of both languages, answers cut at every byte, lost
 * notifications, and a wearable that must be found out to be a ring.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "decode/viatom.c" /* for its checksum */
#include "dialogue.h"
#include "readings.h"

#define DATA	 CHARACTERISTIC_VIATOM_DATA
#define ECG_KIND (1U << KIND_ECG)
#define HEART	 (1U << KIND_HEART_RATE)
#define OXIMETRY (1U << KIND_OXIMETRY)
#define ASK_ECG	 "a5 03 fc 00 00 01 00 7d"
#define ASK_RING "aa 17 e8 00 00 00 00 1b" /* as captured from a ring's own application */

static struct script s;
static struct readings got;

/* An answer of an ER1 with these samples; its size. */
static size_t ecg_answer(uint8_t *ret, uint16_t bpm, const int16_t *samples, size_t n)
{
	size_t size = 22 + 2 * n;

	memset(ret, 0, HEAD_SIZE + size);
	ret[0] = 0xa5;
	ret[1] = 0x03;
	ret[2] = 0xfc;
	ret[3] = 1;
	ret[5] = (uint8_t)size;
	ret[6] = (uint8_t)(size >> 8);
	ret[7] = (uint8_t)bpm;
	ret[8] = (uint8_t)(bpm >> 8);
	ret[27] = (uint8_t)n;
	ret[28] = (uint8_t)(n >> 8);
	for (size_t i = 0; i < n; i++) {
		ret[29 + 2 * i] = (uint8_t)samples[i];
		ret[30 + 2 * i] = (uint8_t)((uint16_t)samples[i] >> 8);
	}
	ret[HEAD_SIZE + size] = crc8(ret, HEAD_SIZE + size);
	return HEAD_SIZE + size + 1;
}

static void test_checksum(void **state)
{
	static const uint8_t digits[] = "123456789";

	assert_int_equal(crc8(digits, 9), 0xf4); /* the check value of CRC-8, polynomial 07 */
	assert_int_equal(crc8((const uint8_t[]){0xaa, 0x17, 0xe8, 0, 0, 0, 0}, 7), 0x1b);
}

static void test_ecg(void **state)
{
	static const int16_t samples[] = {0, 1, -1, 1000, -1000, 32767, -32768};
	static const int32_t uv[] = {0, 2, -2, 2467, -2467, 80846, -80848};
	uint8_t data[256];
	size_t size = ecg_answer(data, 61, samples, ARRAY_SIZE(samples));

	readings_begin(&got, &protocol_viatom);
	assert_int_equal(readings_of(&got, DATA, data, size), 0);
	assert_int_equal(got.n, 2);
	assert_int_equal(got.reading[0].kind, KIND_HEART_RATE);
	assert_int_equal(got.record[0].heart_rate.bpm, 61);
	assert_int_equal(got.record[0].heart_rate.n_rr, 0);
	assert_int_equal(got.reading[1].kind, KIND_ECG);
	assert_int_equal(got.reading[1].n, 7);
	assert_int_equal(got.reading[1].nominal_dt_ns, 8000000);
	assert_true(got.reading[1].sensor_ns == 0);
	for (size_t i = 0; i < ARRAY_SIZE(uv); i++)
		assert_int_equal(got.record[1].ecg.uv[i], uv[i]);
	size = ecg_answer(data, 0, samples, 0); /* between two polls nothing came */
	assert_int_equal(readings_of(&got, DATA, data, size), 0);
	assert_int_equal(got.n, 0);
}

static void test_ecg_in_parts(void **state)
{
	int16_t samples[125];
	uint8_t data[512];
	size_t size;

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		samples[i] = (int16_t)(i * 257);
	size = ecg_answer(data, 60, samples, ARRAY_SIZE(samples));
	readings_begin(&got, &protocol_viatom);
	for (size_t cut = 3; cut < size; cut++) { /* wherever it is cut */
		assert_int_equal(readings_of(&got, DATA, data, cut), 0);
		assert_int_equal(got.n, 0);
		assert_int_equal(readings_of(&got, DATA, data + cut, size - cut), 0);
		assert_int_equal(got.n, 2);
		assert_int_equal(got.record[1].ecg.n, 125);
		assert_int_equal(got.record[1].ecg.uv[124], 78628); /* 31868 * 2.4673 */
	}
	for (size_t at = 0; at < size; at += 20) /* as with an MTU of 23 */
		assert_int_equal(readings_of(&got, DATA, data + at, MIN(size - at, 20U)), 0);
	assert_int_equal(got.n, 2);
}

static void test_lost_notification(void **state)
{
	static const int16_t samples[20] = {100};
	uint8_t data[128];
	size_t size = ecg_answer(data, 60, samples, ARRAY_SIZE(samples));

	readings_begin(&got, &protocol_viatom);
	assert_int_equal(readings_of(&got, DATA, data, 20), 0);
	assert_int_equal(readings_of(&got, DATA, data, size), 0); /* the next answer */
	assert_int_equal(got.n, 2);
	assert_int_equal(readings_of(&got, DATA, data + 20, 20), DECODE_E_MALFORMED);
	assert_int_equal(readings_of(&got, DATA, NULL, 0), DECODE_E_MALFORMED);
	data[40]++;
	assert_int_equal(readings_of(&got, DATA, data, size), DECODE_E_MALFORMED);
	assert_int_equal(got.n, 0);
	data[40]--;
	assert_int_equal(readings_of(&got, DATA, data, size - 1), 0); /* and more than it says */
	assert_int_equal(readings_of(&got, DATA, data, 2), DECODE_E_MALFORMED);
	assert_int_equal(readings_of(&got, DATA, data, size), 0);
	assert_int_equal(got.n, 2);
}

static void test_bad_sizes(void **state)
{
	static const int16_t samples[2] = {1, 2};
	uint8_t data[128];
	size_t size = ecg_answer(data, 60, samples, 2);

	readings_begin(&got, &protocol_viatom);
	data[27] = 3; /* one more than there are */
	data[size - 1] = crc8(data, size - 1);
	assert_int_equal(readings_of(&got, DATA, data, size), DECODE_E_MALFORMED);
	size = ecg_answer(data, 60, samples, 2);
	data[6] = 0xff; /* longer than any */
	assert_int_equal(readings_of(&got, DATA, data, size), DECODE_E_MALFORMED);
	(void)ecg_answer(data, 60, samples, 2);
	data[5] = 3; /* values that end early */
	data[10] = crc8(data, 10);
	assert_int_equal(readings_of(&got, DATA, data, 11), DECODE_E_MALFORMED);
	data[1] = 0xe1; /* the answer to something else */
	data[2] = 0x1e;
	data[10] = crc8(data, 10);
	assert_int_equal(readings_of(&got, DATA, data, 11), 0);
	assert_int_equal(got.n, 0);
	assert_int_equal(READINGS(&got, CHARACTERISTIC_VIATOM_COMMAND, 0xa5), 0);
}

static void ring_answers(uint8_t spo2, uint8_t pulse, uint8_t flag, uint8_t finger)
{
	uint8_t data[21] = {0x55, 0, 0xff, 0, 0, 13, 0, spo2, pulse, flag};

	data[14] = 97; /* battery */
	data[7 + FINGER_AT] = finger;
	data[20] = crc8(data, 20);
	readings_begin(&got, &protocol_viatom);
	assert_int_equal(readings_of(&got, DATA, data, 20), 0);
	assert_int_equal(got.n, 0);
	assert_int_equal(readings_of(&got, DATA, data + 20, 1), 0);
}

static void test_ring(void **state)
{
	ring_answers(98, 66, 0, 1);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.reading[0].kind, KIND_OXIMETRY);
	assert_int_equal(got.record[0].samples.unit, UNIT_PERCENT);
	assert_int_equal(got.record[0].samples.n_channels, 2);
	assert_int_equal(got.record[0].samples.value[0], 98);
	assert_int_equal(got.record[0].samples.value[1], 66);
	ring_answers(0, 0, 0, 1); /* searching */
	assert_int_equal(got.record[0].samples.value[0], SAMPLES_NONE);
	assert_int_equal(got.record[0].samples.value[1], SAMPLES_NONE);
	ring_answers(0xff, 0xff, 0xff, 0);
	assert_int_equal(got.n, 0);
	ring_answers(98, 66, 0, 0);
	assert_int_equal(got.n, 0);
}

static void begin(unsigned wanted)
{
	script_begin(&s, &protocol_viatom.profile, wanted);
}

static void test_polling(void **state)
{
	begin(ECG_KIND | HEART | OXIMETRY);
	script_says(&s, DIALOGUE_OPEN, "", ASK_ECG " 23");
	assert_int_equal(s.d.out[8], crc8(s.d.out, 8));
	assert_false(s.d.done);
	script_says(&s, DIALOGUE_WRITTEN, "", "");
	assert_true(s.d.again == 0);
	script_says(&s, DIALOGUE_HEARD, "a5 03 fc", "");
	assert_true(s.d.done && s.d.again == USEC_PER_SEC);
	assert_int_equal(s.d.running, ECG_KIND | HEART);
	script_says(&s, DIALOGUE_OPEN, "", "a5 03 fc 00 01 01 00 7d 35"); /* the next number */
	script_says(&s, DIALOGUE_HEARD, "a5 03 fc", "");
	s.d.again = 0;				   /* as the source does */
	script_says(&s, DIALOGUE_WRITTEN, "", ""); /* which was slower than the answer */
	assert_true(s.d.again == USEC_PER_SEC);
	s.d.wanted = 1U << KIND_PPG;
	script_says(&s, DIALOGUE_OPEN, "", "");
	assert_true(s.d.done && s.d.again == 0 && s.d.running == 0);
}

static void test_it_is_a_ring(void **state)
{
	begin(PROFILE_KINDS_ALL);
	script_says(&s, DIALOGUE_OPEN, "", ASK_ECG " 23");
	script_says(&s, DIALOGUE_SILENT, "", ASK_RING);
	script_says(&s, DIALOGUE_HEARD, "55 00 ff", "");
	assert_int_equal(s.d.running, OXIMETRY);
	s.d.silent = OXIMETRY;
	script_says(&s, DIALOGUE_SILENT, "", ASK_RING); /* it stays one */
	script_says(&s, DIALOGUE_CLOSE, "", "");
	assert_true(s.d.done && s.d.running == 0);
}

static void test_no_answer(void **state)
{
	begin(PROFILE_KINDS_ALL);
	script_says(&s, DIALOGUE_OPEN, "", ASK_ECG " 23");
	for (int i = 0; i < SILENCES_MAX; i++) {
		s.profile->converse(&s.d, DIALOGUE_SILENT, NULL, 0);
		assert_true(s.d.n_out > 0);
	}
	script_says(&s, DIALOGUE_SILENT, "", "");
	assert_true(s.d.done);
	assert_string_equal(s.d.problem, "it does not answer when asked for values");
	begin(PROFILE_KINDS_ALL);
	script_says(&s, DIALOGUE_OPEN, "", ASK_ECG " 23");
	script_says(&s, DIALOGUE_REFUSED, "03", "");
	assert_true(s.d.done);
	assert_string_equal(s.d.problem, "it refused to be asked for values (ATT error 0x03)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checksum),     cmocka_unit_test(test_ecg),
		cmocka_unit_test(test_ecg_in_parts), cmocka_unit_test(test_lost_notification),
		cmocka_unit_test(test_bad_sizes),    cmocka_unit_test(test_ring),
		cmocka_unit_test(test_polling),	     cmocka_unit_test(test_it_is_a_ring),
		cmocka_unit_test(test_no_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
