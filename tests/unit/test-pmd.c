/*
 * decode/pmd: every layout we know, every way to end in the middle of one, answers of the control
 * point.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "decode/pmd.h"
#include "model/frame.h"

#define TIME 0x00, 0x94, 0x35, 0x77, 0, 0, 0, 0 /* 2 000 000 000 ns */

static struct ecg ecg;
static struct samples acc;
static struct decode_error error;

#define ECG(...)                                                                               \
	pmd_ecg_decode((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), \
		       &ecg, &error)
#define ACC(factor, ...)                                                                       \
	pmd_acc_decode((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), \
		       factor, &acc, &error)

static void assert_uv(uint32_t n, const int32_t *expected)
{
	assert_int_equal(ecg.n, n);
	assert_int_equal(ecg.sensor_ns, 2000000000);
	assert_int_equal(ecg.dt_ns, 0);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(ecg.uv[i], expected[i]);
}

static void assert_mg(uint32_t n, const int32_t expected[][3])
{
	assert_int_equal(acc.n, n);
	assert_int_equal(acc.sensor_ns, 2000000000);
	for (uint32_t i = 0; i < n; i++)
		for (int axis = 0; axis < 3; axis++)
			assert_int_equal(acc.value[3 * i + (size_t)axis], expected[i][axis]);
}

static void test_header(void **state)
{
	static const uint8_t data[] = {0x42, 1, 0, 0, 0, 0, 0, 0, 0x80, 0x81, 9};
	struct pmd_header header;

	assert_int_equal(pmd_header_decode(data, sizeof(data), &header, NULL), 0);
	assert_int_equal(header.type, PMD_ACC);
	assert_true(header.ts_ns == UINT64_C(0x8000000000000001));
	assert_int_equal(header.frame_type, 1);
	assert_true(header.compressed);
	assert_int_equal(pmd_header_decode(data, 9, &header, &error), DECODE_E_MALFORMED);
	assert_int_equal(error.at, 9);
	assert_int_equal(pmd_header_decode(NULL, 0, &header, &error), DECODE_E_MALFORMED);
}

static void test_ecg_raw(void **state)
{
	assert_int_equal(ECG(0, TIME, 0, 0x91, 0xff, 0xff, 0x01, 0, 0, 0, 0, 0x80), 0);
	assert_uv(3, (const int32_t[]){-111, 1, -8388608});
	assert_int_equal(ECG(0, TIME, 1, 0x34, 0xd2, 0xff, 0xff, 0x3f, 0), 0);
	assert_uv(2, (const int32_t[]){0x1234, 0x3fff});
	assert_int_equal(ECG(0, TIME, 2, 0x01, 0x00, 0xfe, 0xff, 0xff, 0x03), 0);
	assert_uv(2, (const int32_t[]){0x20001, 0x3ffff});
	assert_int_equal(ECG(0, TIME, 3, 0xfe, 0xff, 0xff, 9, 9, 9, 1), 0);
	assert_uv(1, (const int32_t[]){-2});
}

static void test_ecg_compressed(void **state)
{
	/* 5; +1 -1 +3 -4 in 3 bits; block of no bits: 2 times the same; block of nothing */
	assert_int_equal(ECG(0, TIME, 0x80, 5, 0, 0, 3, 4, 0x39 | 3 << 6, 0x08, 0, 2, 0, 0), 0);
	assert_uv(7, (const int32_t[]){5, 6, 5, 8, 4, 4, 4});
	/* 32 bits wrap instead of overflowing */
	assert_int_equal(ECG(0, TIME, 0x80, 0xff, 0xff, 0x7f, 32, 2, 0xff, 0xff, 0xff, 0x7f, 1, 0,
			     0, 0),
			 0);
	assert_uv(3, (const int32_t[]){8388607, INT32_MIN + 8388606, INT32_MIN + 8388607});
	/* a reference alone */
	assert_int_equal(ECG(0, TIME, 0x80, 0xff, 0xff, 0xff), 0);
	assert_uv(1, (const int32_t[]){-1});
}

static void test_ecg_malformed_names_the_byte(void **state)
{
	ecg.n = 4711;
	assert_int_equal(ECG(0, TIME, 0), DECODE_E_MALFORMED); /* no sample */
	assert_int_equal(error.at, 10);
	assert_int_equal(ECG(0, TIME, 0, 1, 2, 3, 4), DECODE_E_MALFORMED); /* one and a third */
	assert_int_equal(error.at, 13);
	assert_int_equal(ECG(0, TIME, 3, 1, 2, 3, 4, 5, 6), DECODE_E_MALFORMED);
	assert_int_equal(error.at, 10);
	assert_int_equal(ECG(0, TIME, 0x80, 1, 2), DECODE_E_MALFORMED); /* half a reference */
	assert_int_equal(error.at, 12);
	assert_int_equal(ECG(0, TIME, 0x80, 1, 2, 3, 4), DECODE_E_MALFORMED); /* half a block */
	assert_int_equal(error.at, 14);
	assert_int_equal(ECG(0, TIME, 0x80, 1, 2, 3, 8, 3, 1, 2), DECODE_E_MALFORMED);
	assert_int_equal(error.at, 17);
	assert_int_equal(ECG(0, TIME, 0x80, 1, 2, 3, 33, 0), DECODE_E_MALFORMED);
	assert_int_equal(error.at, 13);
	/* 1 + 5 * 255 samples out of 23 bytes */
	assert_int_equal(ECG(0, TIME, 0x80, 1, 2, 3, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255),
			 DECODE_E_MALFORMED);
	assert_int_equal(error.at, 22);
	assert_int_equal(ecg.n, 4711); /* untouched throughout */
}

static void test_unsupported(void **state)
{
	assert_int_equal(ECG(1, TIME, 0, 1, 2, 3), DECODE_E_UNSUPPORTED); /* PPG */
	assert_int_equal(error.at, 0);
	assert_int_equal(ECG(0, TIME, 4, 1, 2, 3), DECODE_E_UNSUPPORTED);
	assert_int_equal(error.at, 9);
	assert_int_equal(ECG(0, TIME, 0x81, 1, 2, 3), DECODE_E_UNSUPPORTED);
	assert_int_equal(ACC(1, 0, TIME, 0, 1, 2, 3), DECODE_E_UNSUPPORTED);
	assert_int_equal(ACC(1, 2, TIME, 3, 1, 2, 3), DECODE_E_UNSUPPORTED);
	assert_int_equal(ACC(1, 2, TIME, 0x82, 1, 2, 3, 4, 5, 6), DECODE_E_UNSUPPORTED);
	assert_int_equal(ACC(__builtin_nan(""), 2, TIME, 0x81, 1, 2, 3, 4, 5, 6),
			 DECODE_E_UNSUPPORTED);
}

static void test_longest_frame(void **state)
{
	uint8_t data[FRAME_MAX + 2] = {0, TIME, 0};

	assert_int_equal(pmd_ecg_decode(data, FRAME_MAX, &ecg, NULL), 0);
	assert_int_equal(ecg.n, 168);
	assert_int_equal(pmd_ecg_decode(data, FRAME_MAX + 1, &ecg, &error), DECODE_E_MALFORMED);
	assert_int_equal(error.at, FRAME_MAX);
}

static void test_acc_raw(void **state)
{
	assert_int_equal(ACC(1, 2, TIME, 0, 0xff, 2, 0x80), 0);
	assert_mg(1, (const int32_t[][3]){{-1, 2, -128}});
	assert_int_equal(ACC(1, 2, TIME, 1, 0xf7, 0xff, 0xff, 0xff, 0xe7, 0x03, 1, 0, 2, 0, 3, 0),
			 0);
	assert_mg(2, (const int32_t[][3]){{-9, -1, 999}, {1, 2, 3}});
	assert_int_equal(ACC(1, 2, TIME, 2, 1, 0, 0, 2, 0, 0, 0xff, 0xff, 0xff), 0);
	assert_mg(1, (const int32_t[][3]){{1, 2, -1}});
	assert_int_equal(ACC(1, 2, TIME, 1, 1, 2, 3, 4, 5), DECODE_E_MALFORMED);
	assert_int_equal(error.at, 10);
}

static void test_acc_compressed(void **state)
{
	/* -15 20 1008; -5 -3 0 in 6 bits */
	assert_int_equal(ACC(1, 2, TIME, 0x81, 0xf1, 0xff, 0x14, 0, 0xf0, 0x03, 6, 1, 0x7b, 0x0f,
			     0),
			 0);
	assert_mg(2, (const int32_t[][3]){{-15, 20, 1008}, {-20, 17, 1008}});
	assert_int_equal(ACC(0.25, 2, TIME, 0x81, 4, 0, 8, 0, 0xf6, 0xff), 0);
	assert_mg(1, (const int32_t[][3]){{1, 2, -3}}); /* -2.5, away from zero */
	assert_int_equal(ACC(0.000244, 2, TIME, 0x80, 0, 0x10, 0, 0xf0, 0, 0), 0);
	assert_mg(1, (const int32_t[][3]){{999, -999, 0}}); /* g times 1000 */
	assert_int_equal(ACC(1e30, 2, TIME, 0x81, 1, 0, 0xff, 0xff, 0, 0), 0);
	assert_true(acc.value[0] > 2147000000 && acc.value[1] < -2147000000);
	assert_int_equal(ACC(1, 2, TIME, 0x81, 1, 0, 2, 0, 3, 0, 0, 255, 0, 255, 0, 2),
			 DECODE_E_MALFORMED); /* 513 */
	assert_int_equal(ACC(1, 2, TIME, 0x81, 1, 0, 2, 0, 3, 0, 0, 255, 0, 255, 0, 1), 0);
	assert_int_equal(acc.n, SAMPLES_VALUES_MAX / 3);
}

#define PPG(...)                                                                                  \
	pmd_ppg_decode((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), 1, \
		       &acc, &error)

static void test_ppg(void **state)
{
	uint8_t many[10 + 17 * 3 + 2] = {1, TIME, 0x87};

	assert_int_equal(PPG(1, TIME, 0, 1, 2, 3, 4, 5, 6, 0xff, 0xff, 0x7f, 0, 0, 0x80), 0);
	assert_int_equal(acc.n, 1);
	assert_int_equal(acc.n_channels, 4);
	assert_int_equal(acc.unit, UNIT_COUNT);
	assert_true(acc.sensor_ns == 2000000000);
	assert_int_equal(acc.value[0], 0x030201);
	assert_int_equal(acc.value[2], 8388607);
	assert_int_equal(acc.value[3], -8388608);
	/* a reference, and one more with +1 in each channel, 2 bits */
	assert_int_equal(PPG(1, TIME, 0x80, 1, 0, 0, 2, 0, 0, 3, 0, 0, 4, 0, 0, 2, 1, 0x55), 0);
	assert_int_equal(acc.n, 2);
	assert_int_equal(acc.value[4], 2);
	assert_int_equal(acc.value[7], 5);
	many[10] = 9;
	many[10 + 16 * 3] = 7;
	many[sizeof(many) - 1] = 2; /* two more of the same */
	assert_int_equal(pmd_ppg_decode(many, sizeof(many), 2, &acc, &error), 0);
	assert_int_equal(acc.n, 3);
	assert_int_equal(acc.n_channels, 17);
	assert_int_equal(acc.value[0], 18);
	assert_int_equal(acc.value[2 * 17 + 16], 14);
	assert_int_equal(pmd_ppg_decode(many, sizeof(many) - 1, 1, &acc, &error),
			 DECODE_E_MALFORMED);
	assert_int_equal(pmd_ppg_decode(many, 10 + 16 * 3, 1, &acc, &error), DECODE_E_MALFORMED);
	assert_int_equal(PPG(1, TIME, 7, 1, 2, 3), DECODE_E_UNSUPPORTED); /* never seen raw */
	assert_int_equal(PPG(1, TIME, 4, 1, 2, 3), DECODE_E_UNSUPPORTED);
	assert_int_equal(error.at, 9);
	assert_int_equal(PPG(1, TIME, 0, 1, 2, 3), DECODE_E_MALFORMED);
	/* 385 rows of 4 are more than the record holds */
	assert_int_equal(PPG(1, TIME, 0x80, 1, 0, 0, 2, 0, 0, 3, 0, 0, 4, 0, 0, 0, 255, 0, 129),
			 DECODE_E_MALFORMED);
}

static void test_ppi(void **state)
{
	static const uint8_t data[] = {3, TIME, 0, 60, 0xe8, 3, 30, 0, 6, 128, 0x80, 0x80, 1, 0, 1};
	struct pmd_ppi ppi;

	assert_int_equal(pmd_ppi_decode(data, sizeof(data), &ppi, &error), 0);
	assert_int_equal(ppi.n, 2);
	assert_true(ppi.ts_ns == 2000000000);
	assert_int_equal(ppi.beat[0].bpm, 60);
	assert_int_equal(ppi.beat[0].interval_ms, 1000);
	assert_int_equal(ppi.beat[0].error_ms, 30);
	assert_int_equal(ppi.beat[0].flags, 6);
	assert_int_equal(ppi.beat[1].interval_ms, 0x8080);
	for (size_t size = 0; size < sizeof(data); size++)
		assert_int_equal(pmd_ppi_decode(data, size, &ppi, &error),
				 size == 16 ? 0 : DECODE_E_MALFORMED);
	assert_int_equal(pmd_ppi_decode((const uint8_t[]){3, TIME, 1, 0, 0, 0, 0, 0, 0}, 16, &ppi,
					&error),
			 DECODE_E_UNSUPPORTED);
}

static void test_answers(void **state)
{
	static const uint8_t settings[] = {0xf0, 1, 0, 0, 0, 0, 1, 0x82, 0};
	static const uint8_t refused[] = {0xf0, 0x00, 0x01, 0x0a};
	static const uint8_t more[] = {0xf0, 1, 2, 0, 1};
	struct pmd_answer answer;

	assert_int_equal(pmd_answer_decode(settings, sizeof(settings), &answer, NULL), 0);
	assert_int_equal(answer.op, 1);
	assert_int_equal(answer.type, PMD_ECG);
	assert_int_equal(answer.error, 0);
	assert_false(answer.more);
	assert_int_equal(answer.n_params, 4);
	assert_ptr_equal(answer.params, settings + 5);
	assert_int_equal(pmd_answer_decode(refused, sizeof(refused), &answer, NULL), 0);
	assert_int_equal(answer.error, 10);
	assert_int_equal(answer.n_params, 0);
	assert_int_equal(pmd_answer_decode(more, sizeof(more), &answer, NULL), 0);
	assert_true(answer.more);
	assert_int_equal(pmd_answer_decode(refused, 3, &answer, &error), DECODE_E_MALFORMED);
	assert_int_equal(error.at, 3);
	assert_int_equal(pmd_answer_decode(refused + 1, 3, &answer, &error), DECODE_E_MALFORMED);
	assert_int_equal(error.at, 0);
	assert_int_equal(pmd_answer_decode(NULL, 0, &answer, &error), DECODE_E_MALFORMED);
}

static void test_names(void **state)
{
	assert_string_equal(pmd_error_name(0), "success");
	assert_string_equal(pmd_error_name(14), "disk full");
	assert_string_equal(pmd_error_name(15), "unknown");
	assert_string_equal(pmd_type_name(PMD_ECG), "ecg");
	assert_string_equal(pmd_type_name(8), "unknown");
	assert_string_equal(pmd_type_name(14), "offline_hr");
	assert_string_equal(pmd_type_name(63), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_ecg_raw),
		cmocka_unit_test(test_ecg_compressed),
		cmocka_unit_test(test_ecg_malformed_names_the_byte),
		cmocka_unit_test(test_unsupported),
		cmocka_unit_test(test_longest_frame),
		cmocka_unit_test(test_acc_raw),
		cmocka_unit_test(test_acc_compressed),
		cmocka_unit_test(test_ppg),
		cmocka_unit_test(test_ppi),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
