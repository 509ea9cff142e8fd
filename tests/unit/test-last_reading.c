/* control/last_reading: each kind in its own words; what is not there is "-". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control/last_reading.h"

static void is(enum kind kind, const struct record *r, const char *text)
{
	struct last_reading last = {0};
	char got[LAST_READING_SIZE];

	last_reading_note(&last, r);
	assert_ptr_equal(last_reading_format(kind, &last, got), got);
	assert_string_equal(got, text);
}

static void hearts(void **state)
{
	struct record r = {.type = RECORD_HEART_RATE,
			   .heart_rate = {.bpm = 61, .contact = CONTACT_UNSUPPORTED}};

	is(KIND_HEART_RATE, &r, "61 /min");
	r.heart_rate.contact = CONTACT_YES;
	is(KIND_HEART_RATE, &r, "61 /min");
	r.heart_rate = (struct heart_rate){.bpm = 0, .contact = CONTACT_NONE};
	is(KIND_HEART_RATE, &r, "- /min, no contact");
	r = (struct record){.type = RECORD_ECG, .ecg = {.dt_ns = 7689500, .n = 73}};
	is(KIND_ECG, &r, "130 Hz");
}

static void single_values(void **state)
{
	struct record r = {
		.type = RECORD_SAMPLES,
		.samples = {.unit = UNIT_PERCENT, .n_channels = 2, .n = 1, .value = {97, 61}}};

	is(KIND_OXIMETRY, &r, "SpO2 97 %, 61 /min");
	r.samples.value[0] = SAMPLES_NONE;
	is(KIND_OXIMETRY, &r, "SpO2 - %, 61 /min");
	r.samples = (struct samples){
		.unit = UNIT_CELSIUS, .n_channels = 1, .exponent = {-1}, .n = 1, .value = {366}};
	is(KIND_TEMPERATURE, &r,
	   "36.6 \xc2\xb0"
	   "C");
	r.samples.unit = UNIT_FAHRENHEIT;
	r.samples.value[0] = 979;
	is(KIND_TEMPERATURE, &r,
	   "97.9 \xc2\xb0"
	   "F");
	r.samples = (struct samples){.unit = UNIT_MMHG,
				     .n_channels = 4,
				     .n = 1,
				     .value = {120, 80, 93, SAMPLES_NONE}};
	is(KIND_BLOOD_PRESSURE, &r, "120/80 mmHg");
	r.samples.unit = UNIT_KPA;
	r.samples.exponent[0] = r.samples.exponent[1] = -1;
	r.samples.value[0] = 160;
	r.samples.value[1] = 107;
	is(KIND_BLOOD_PRESSURE, &r, "16.0/10.7 kPa");
}

static void many_values(void **state)
{
	struct record r = {.type = RECORD_SAMPLES,
			   .samples = {.unit = UNIT_MILLI_G,
				       .dt_ns = 20000000,
				       .n_channels = 3,
				       .n = 2,
				       .value = {1, 2, 3, 4, 5, 6}}};

	is(KIND_ACCELERATION, &r, "50 Hz");
	r.samples.dt_ns = 0; /* nobody knows the rate */
	is(KIND_PPG, &r, "heard");
	r.samples = (struct samples){.unit = UNIT_PER_MINUTE,
				     .n_channels = 4,
				     .n = 2,
				     .value = {74, 810, 5, 0, 75, 800, 5, 0}};
	is(KIND_PPI, &r, "800 ms"); /* the newest */
}

static void what_is_not_there(void **state)
{
	struct record r = {.type = RECORD_SAMPLES, .samples = {.unit = UNIT_CELSIUS}};
	struct last_reading before = {0}, after = {0};
	const struct record gap = {.type = RECORD_GAP, .gap = {.reason = GAP_SILENT}};

	is(KIND_TEMPERATURE, &r,
	   "- \xc2\xb0"
	   "C");
	is(KIND_PPI, &r, "- ms");
	r.samples = (struct samples){.unit = UNIT_PERCENT,
				     .n_channels = 2,
				     .exponent = {-128, -128},
				     .n = 1,
				     .value = {INT32_MIN + 1, INT32_MAX}};
	is(KIND_OXIMETRY, &r, "SpO2 -2147483647e-128 %, 2147483647e-128 /min");
	is(KIND_TEMPERATURE, &gap, "");
	last_reading_note(&before, &r);
	last_reading_note(&after, &r);
	last_reading_note(&after, &gap); /* changes nothing */
	assert_memory_equal(&before, &after, sizeof(before));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hearts),
		cmocka_unit_test(single_values),
		cmocka_unit_test(many_values),
		cmocka_unit_test(what_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
