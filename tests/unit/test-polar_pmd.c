/*
 * decode/polar_pmd, pmd_dialogue, pmd_settings: the conversations of real sensors as scripts of
 * bytes, those that go wrong, and the readings that come of the frames after them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "decode/protocol.h"
#include "dialogue.h"
#include "readings.h"

#define H10	  "0f 05 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
#define H10_ECG	  "f0 01 00 00 00 00 01 82 00 01 01 0e 00"
#define START_ECG "02 00 00 01 82 00 01 01 0e 00"
#define H10_ACC	  "f0 01 02 00 00 00 04 19 00 32 00 64 00 c8 00 01 01 10 00 02 03 02 00 04 00 08 00"
#define START_ACC "02 02 00 01 32 00 01 01 10 00 02 01 08 00"
#define TIME	  0x00, 0x94, 0x35, 0x77, 0, 0, 0, 0 /* 2 000 000 000 ns */
#define ECG	  (1U << KIND_ECG)
#define ACC	  (1U << KIND_ACCELERATION)
#define CONTROL	  CHARACTERISTIC_PMD_CONTROL_POINT
#define DATA	  CHARACTERISTIC_PMD_DATA

static struct script s;
static struct readings got;

static void begin(unsigned wanted)
{
	script_begin(&s, &protocol_polar_pmd.profile, wanted);
}

static void assert_settled(unsigned running, const char *problem)
{
	assert_true(s.d.done);
	assert_int_equal(s.d.running, running);
	assert_string_equal(s.d.problem, problem);
}

/* As an H10 really answers (gatttool transcript in phdiethelm/h10_ecg). */
static void test_h10(void **state)
{
	begin(ECG);
	script_says(&s, DIALOGUE_HEARD, H10, "");
	script_says(&s, DIALOGUE_OPEN, "", "01 00");
	assert_false(s.d.done);
	script_says(&s, DIALOGUE_WRITTEN, "", "");
	assert_false(s.d.done);
	script_says(&s, DIALOGUE_HEARD, H10_ECG, START_ECG);
	script_says(&s, DIALOGUE_WRITTEN, "", "");
	script_says(&s, DIALOGUE_HEARD, "f0 02 00 00 00 00", "");
	assert_settled(ECG, "");
	script_says(&s, DIALOGUE_CLOSE, "", "03 00");
	script_says(&s, DIALOGUE_WRITTEN, "", "");
	assert_settled(0, "");
}

/* The hub lets go between a start and its answer: the stream is not to drain the strap. */
static void test_closed_while_starting(void **state)
{
	begin(ECG);
	script_says(&s, DIALOGUE_OPEN, "", "01 00");
	script_says(&s, DIALOGUE_HEARD, H10_ECG, START_ECG);
	script_says(&s, DIALOGUE_WRITTEN, "", "");
	script_says(&s, DIALOGUE_CLOSE, "", "03 00");
	script_says(&s, DIALOGUE_WRITTEN, "", "");
	assert_settled(0, "");
}

static void test_two_streams(void **state)
{
	begin(PROFILE_KINDS_ALL); /* what it does not offer is no problem */
	script_says(&s, DIALOGUE_HEARD, H10, "");
	script_says(&s, DIALOGUE_OPEN, "", "01 00");
	script_says(&s, DIALOGUE_HEARD, H10_ECG, START_ECG);
	script_says(&s, DIALOGUE_HEARD, "f0 02 00 00 00 00", "01 02");
	script_says(&s, DIALOGUE_HEARD, H10_ACC, START_ACC);
	script_says(&s, DIALOGUE_HEARD, "f0 02 02 00 00", "");
	assert_settled(ECG | ACC, "");
	/* the owner does without acceleration, and then without both */
	s.d.wanted = ECG;
	script_says(&s, DIALOGUE_OPEN, "", "03 02");
	script_says(&s, DIALOGUE_HEARD, "f0 03 02 00 00", "");
	assert_settled(ECG, "");
	s.d.wanted = ECG | ACC; /* its settings are remembered */
	script_says(&s, DIALOGUE_OPEN, "", START_ACC);
	script_says(&s, DIALOGUE_HEARD, "f0 02 02 00 00", "");
	assert_settled(ECG | ACC, "");
	script_says(&s, DIALOGUE_CLOSE, "", "03 00");
	script_says(&s, DIALOGUE_HEARD, "f0 03 00 00 00", ""); /* not read */
	script_says(&s, DIALOGUE_WRITTEN, "", "03 02");
	script_says(&s, DIALOGUE_REFUSED, "0e", "");
	assert_true(s.d.done);
	assert_int_equal(s.d.running, 0);
}

static void test_runs_already(void **state)
{
	begin(ECG);
	script_says(&s, DIALOGUE_OPEN, "", "01 00"); /* nothing was read: it is tried */
	script_says(&s, DIALOGUE_HEARD, H10_ECG, START_ECG);
	script_says(&s, DIALOGUE_HEARD, "f0 02 00 06 00", "");
	assert_settled(ECG, "");
}

static void test_small_mtu(void **state)
{
	begin(ECG | ACC);
	script_says(&s, DIALOGUE_HEARD, H10, "");
	script_says(&s, DIALOGUE_OPEN, "", "01 00");
	script_says(&s, DIALOGUE_HEARD, "f0 00 01 0a", "");
	assert_settled(0, "the MTU is too small for its measurements: it refuses every command");
}

static void test_refusals_by_name(void **state)
{
	begin(ECG | ACC);
	script_says(&s, DIALOGUE_HEARD, H10, "");
	script_says(&s, DIALOGUE_OPEN, "", "01 00");
	script_says(&s, DIALOGUE_HEARD, H10_ECG, START_ECG);
	script_says(&s, DIALOGUE_HEARD, "f0 02 00 0d 00", "01 02"); /* the other goes on */
	script_says(&s, DIALOGUE_REFUSED, "0e", "");
	assert_settled(0, "its ecg does not start: it says \"device in charger\" (13)");
	script_says(&s, DIALOGUE_OPEN, "", "01 00"); /* another attempt */
	script_says(&s, DIALOGUE_REFUSED, "03", "01 02");
	script_says(&s, DIALOGUE_HEARD, "f0 01 02 03 00", "");
	assert_settled(0, "its control point refused the command 01 for its ecg (ATT error 0x03)");
	script_says(&s, DIALOGUE_REFUSED, "03", ""); /* of nothing */
}

static void test_settings_in_parts(void **state)
{
	begin(ACC);
	script_says(&s, DIALOGUE_HEARD, H10, "");
	script_says(&s, DIALOGUE_OPEN, "", "01 02");
	script_says(&s, DIALOGUE_HEARD, "f0 01 02 00 01 00 04 19 00 32", "");
	assert_false(s.d.done);
	script_says(&s, DIALOGUE_HEARD, "f0 01 02 00 01 00 64 00 c8 00 01 01 10", "");
	script_says(&s, DIALOGUE_HEARD, "f0 01 02 00 00 00 02 03 02 00 04 00 08 00", START_ACC);
}

/* The nearest to 50 Hz and 8 g, a milli-range, channels; a factor and a secret never go back. */
static void test_choice(void **state)
{
	begin(ACC);
	script_says(&s, DIALOGUE_OPEN, "", "01 02");
	script_says(
		&s, DIALOGUE_HEARD,
		"f0 01 02 00 00 00 02 1a 00 34 00 02 02 10 00 04 00 03 02 10 27 00 00 70 17 00 00 "
		"04 01 03 05 01 00 00 80 3f 06 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
		"01 00 00 01 64 00",
		"02 02 00 01 34 00 02 01 04 00 03 01 10 27 00 00 04 01 03");
	begin(1U << KIND_PPG);
	script_says(&s, DIALOGUE_OPEN, "", "01 01"); /* the first that is offered */
	script_says(&s, DIALOGUE_HEARD,
		    "f0 01 01 00 00 00 02 37 00 1c 00 01 01 16 00 04 01 04 08 01",
		    "02 01 00 01 37 00 01 01 16 00 04 01 04");
}

static void test_more_than_makes_sense(void **state)
{
	static const char part[] = "f0 01 00 00 01 00 0e 01 00 02 00 03 00 04 00 05 00 06 00 07 00 "
				   "08 00 09 00 0a 00 0b 00 0c 00 0d 00 0e 00";

	begin(ECG);
	script_says(&s, DIALOGUE_OPEN, "", "01 00");
	for (int i = 0; i < 3; i++)
		script_says(&s, DIALOGUE_HEARD, part, "");
	assert_false(s.d.done);
	script_says(&s, DIALOGUE_HEARD, part, "");
	assert_settled(0, "its ecg offers more settings than make sense");
}

static void test_beats_need_no_settings(void **state)
{
	begin(1U << KIND_PPI);
	script_says(&s, DIALOGUE_HEARD, "0f 0e 02", "");
	script_says(&s, DIALOGUE_OPEN, "", "02 03");
	script_says(&s, DIALOGUE_HEARD, "f0 02 03 00 00", "");
	assert_settled(0, ""); /* it takes its time: silence is not watched */
	s.d.wanted = 0;
	script_says(&s, DIALOGUE_OPEN, "", "03 03");
}

static void test_it_stopped_by_itself(void **state)
{
	begin(ECG | ACC);
	script_says(&s, DIALOGUE_HEARD, H10, "");
	script_says(&s, DIALOGUE_HEARD, "01 00", ""); /* before it was asked */
	script_says(&s, DIALOGUE_OPEN, "", "01 00");
	script_says(&s, DIALOGUE_HEARD, H10_ECG, START_ECG);
	script_says(&s, DIALOGUE_HEARD, "f0 02 00 00 00 00", "01 02");
	script_says(&s, DIALOGUE_HEARD, "01 00 3f", ""); /* in between: after acceleration */
	assert_int_equal(s.d.running, 0);
	script_says(&s, DIALOGUE_HEARD, H10_ACC, START_ACC);
	script_says(&s, DIALOGUE_HEARD, "f0 02 02 00 00", START_ECG);
	script_says(&s, DIALOGUE_HEARD, "f0 02 00 00 00", "");
	assert_settled(ECG | ACC, "");
	script_says(&s, DIALOGUE_HEARD, "01 00 02", START_ECG);
	assert_int_equal(s.d.running, 0);
}

static void test_silence(void **state)
{
	begin(ECG);
	script_says(&s, DIALOGUE_OPEN, "", "01 00");
	script_says(&s, DIALOGUE_SILENT, "", "01 00"); /* no answer: twice again */
	script_says(&s, DIALOGUE_SILENT, "", "01 00");
	script_says(&s, DIALOGUE_HEARD, H10_ECG, START_ECG);
	script_says(&s, DIALOGUE_HEARD, H10_ECG, ""); /* of the repetition: late */
	script_says(&s, DIALOGUE_HEARD, "f0 02 00 00 00 00", "");
	assert_settled(ECG, "");
	s.d.silent = ECG;
	script_says(&s, DIALOGUE_SILENT, "", START_ECG);
	assert_int_equal(s.d.running, 0);
	s.d.silent = 0;
	script_says(&s, DIALOGUE_SILENT, "", START_ECG);
	script_says(&s, DIALOGUE_SILENT, "", START_ECG);
	script_says(&s, DIALOGUE_SILENT, "", "");
	assert_settled(0, "it does not answer when asked for its ecg");
}

static void test_noise_is_ignored(void **state)
{
	begin(ECG);
	script_says(&s, DIALOGUE_HEARD, "0f", "");
	script_says(&s, DIALOGUE_HEARD, H10_ECG, ""); /* nobody asked */
	script_says(&s, DIALOGUE_OPEN, "", "01 00");
	script_says(&s, DIALOGUE_HEARD, "", "");
	script_says(&s, DIALOGUE_HEARD, "f0 01", "");
	script_says(&s, DIALOGUE_HEARD, "55 01 02", "");
	script_says(&s, DIALOGUE_HEARD, "f0 01 02 00 00", ""); /* another type */
	assert_false(s.d.done);
	script_says(&s, DIALOGUE_HEARD, H10_ECG, START_ECG);
}

static void begin_decoding(void)
{
	readings_begin(&got, &protocol_polar_pmd);
}

static void test_ecg_reading(void **state)
{
	static const uint8_t frame[] = {0, TIME, 0, 0x91, 0xff, 0xff, 0x01, 0, 0};

	begin_decoding();
	assert_int_equal(readings_of(&got, DATA, frame, sizeof(frame)), 0);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.reading[0].kind, KIND_ECG);
	assert_int_equal(got.record[0].type, RECORD_ECG);
	assert_int_equal(got.reading[0].n, 2);
	assert_true(got.reading[0].sensor_ns == 2000000000);
	assert_int_equal(got.reading[0].nominal_dt_ns,
			 7692308); /* 130 Hz where nothing was heard */
	assert_int_equal(got.record[0].ecg.uv[0], -111);
	readings_truncated(&got, DATA, frame, 13);
}

static void test_counts_without_scale(void **state)
{
	begin_decoding();
	assert_int_equal(READINGS(&got, DATA, 0, TIME, 1, 0x34, 0xd2, 0xff, 1, 0, 0), 0);
	assert_int_equal(got.reading[0].kind, KIND_ECG_COUNTS);
	assert_int_equal(got.record[0].type, RECORD_SAMPLES);
	assert_int_equal(got.record[0].samples.n, 2);
	assert_int_equal(got.record[0].samples.n_channels, 1);
	assert_int_equal(got.record[0].samples.unit, UNIT_COUNT);
	assert_int_equal(got.record[0].samples.value[0], 0x1234);
	assert_int_equal(got.record[0].samples.value[1], 1);
	assert_true(got.record[0].samples.sensor_ns == 2000000000);
}

static void test_rate_and_factor_are_heard(void **state)
{
	static const uint8_t acc[] = {2, TIME, 0x81, 4, 0, 8, 0, 0xf6, 0xff};

	begin_decoding();
	assert_int_equal(readings_of(&got, DATA, acc, sizeof(acc)), 0);
	assert_int_equal(got.reading[0].nominal_dt_ns, 20000000);
	assert_int_equal(got.record[0].samples.value[2], -10);
	/* settings in two parts: 52 Hz is what there is */
	assert_int_equal(READINGS(&got, CONTROL, 0x0f, 0x05), 0);
	assert_int_equal(READINGS(&got, CONTROL, 0xf0, 1, 2, 0, 1, 0, 1, 0x34), 0);
	assert_int_equal(READINGS(&got, CONTROL, 0xf0, 1, 2, 0, 0, 0, 1, 1, 16, 0), 0);
	assert_int_equal(READINGS(&got, CONTROL, 0xf0, 2, 2, 0, 0, 5, 1, 0, 0, 0x80, 0x3e), 0);
	assert_int_equal(got.n, 0);
	assert_int_equal(readings_of(&got, DATA, acc, sizeof(acc)), 0);
	assert_int_equal(got.reading[0].kind, KIND_ACCELERATION);
	assert_int_equal(got.reading[0].nominal_dt_ns, 19230769);
	assert_int_equal(got.record[0].samples.unit, UNIT_MILLI_G);
	assert_int_equal(got.record[0].samples.value[0], 1); /* a quarter */
	assert_int_equal(got.record[0].samples.value[2], -3);
	/* refused, of another stream, stopped: nothing to learn */
	assert_int_equal(READINGS(&got, CONTROL, 0xf0, 1, 2, 5, 0), 0);
	assert_int_equal(READINGS(&got, CONTROL, 0xf0, 1, 9, 0, 0, 0, 1, 1, 0), 0);
	assert_int_equal(READINGS(&got, CONTROL, 0x01, 2), 0);
	assert_int_equal(readings_of(&got, DATA, acc, sizeof(acc)), 0);
	assert_int_equal(got.reading[0].nominal_dt_ns, 19230769);
	assert_int_equal(READINGS(&got, CONTROL, 0x77), DECODE_E_MALFORMED);
	assert_int_equal(READINGS(&got, CONTROL, 0xf0, 1), DECODE_E_MALFORMED);
}

static void test_light(void **state)
{
	begin_decoding();
	assert_int_equal(READINGS(&got, DATA, 1, TIME, 0, 1, 0, 0, 2, 0, 0, 3, 0, 0, 4, 0, 0), 0);
	assert_int_equal(got.reading[0].kind, KIND_PPG);
	assert_int_equal(got.reading[0].nominal_dt_ns, 18181818);
	assert_int_equal(got.record[0].samples.n_channels, 4);
	assert_int_equal(got.record[0].samples.value[3], 4);
}

static void test_beats(void **state)
{
	begin_decoding();
	assert_int_equal(READINGS(&got, DATA, 3, TIME, 0, 60, 0xe8, 3, 30, 0, 6, 61, 0xf4, 1, 9, 0,
				  7),
			 0);
	assert_int_equal(got.n, 2);
	assert_int_equal(got.reading[0].kind, KIND_PPI);
	assert_int_equal(got.reading[0].nominal_dt_ns, 0);
	assert_true(got.reading[0].sensor_ns == 1500000000); /* half a second before the last */
	assert_true(got.record[1].samples.sensor_ns == 2000000000);
	assert_int_equal(got.record[0].samples.value[1], 1000);
	assert_int_equal(got.record[1].samples.value[0], 61);
	assert_int_equal(got.record[1].samples.value[3], 7);
	assert_int_equal(got.record[1].samples.n_channels, 4);
	assert_int_equal(READINGS(&got, DATA, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60, 1, 0, 0, 0, 0), 0);
	assert_true(got.reading[0].sensor_ns == 0);
}

static void test_unsupported(void **state)
{
	begin_decoding();
	assert_int_equal(READINGS(&got, DATA, 5, TIME, 0, 1, 2, 3), DECODE_E_UNSUPPORTED);
	assert_int_equal(READINGS(&got, DATA, 1, TIME, 4, 1, 2, 3), DECODE_E_UNSUPPORTED);
	assert_int_equal(READINGS(&got, DATA, 2, TIME, 9, 1, 2, 3), DECODE_E_UNSUPPORTED);
	assert_int_equal(READINGS(&got, DATA, 0, TIME, 9, 1, 2, 3), DECODE_E_UNSUPPORTED);
	assert_int_equal(got.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_h10),
		cmocka_unit_test(test_closed_while_starting),
		cmocka_unit_test(test_two_streams),
		cmocka_unit_test(test_runs_already),
		cmocka_unit_test(test_small_mtu),
		cmocka_unit_test(test_refusals_by_name),
		cmocka_unit_test(test_settings_in_parts),
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_more_than_makes_sense),
		cmocka_unit_test(test_beats_need_no_settings),
		cmocka_unit_test(test_it_stopped_by_itself),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_noise_is_ignored),
		cmocka_unit_test(test_ecg_reading),
		cmocka_unit_test(test_counts_without_scale),
		cmocka_unit_test(test_rate_and_factor_are_heard),
		cmocka_unit_test(test_light),
		cmocka_unit_test(test_beats),
		cmocka_unit_test(test_unsupported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
