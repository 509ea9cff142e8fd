/*
 * decode/pulse_oximeter, thermometer, blood_pressure: every field that a flag can announce, each
 * value ended at every byte, and the clocks of wearables that nobody set.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "decode/protocol.h"
#include "readings.h"

#define TIME	0xe2, 0x07, 4, 17, 15, 51, 0 /* 2018-04-17T15:51:00 */
#define TIME_NS (UINT64_C(577295460) * 1000000000)

static struct readings got;

static const struct samples *only(enum kind kind, enum unit unit, uint8_t n_channels)
{
	const struct samples *s = &got.record[0].samples;

	assert_int_equal(got.n, 1);
	assert_int_equal(got.reading[0].kind, kind);
	assert_int_equal(got.reading[0].n, 1);
	assert_int_equal(got.reading[0].nominal_dt_ns, 0);
	assert_true(got.reading[0].sensor_ns == s->sensor_ns);
	assert_int_equal(got.record[0].type, RECORD_SAMPLES);
	assert_int_equal(s->unit, unit);
	assert_int_equal(s->n_channels, n_channels);
	assert_int_equal(s->n, 1);
	assert_int_equal(s->dt_ns, 0);
	return s;
}

static void assert_value(const struct samples *s, size_t i, int32_t mantissa, int exponent)
{
	assert_int_equal(s->value[i], mantissa);
	assert_int_equal(s->exponent[i], exponent);
}

static void test_oximeter_continuous(void **state)
{
	static const uint8_t full[] = {0x1f, 0x62, 0x00, 0x48, 0x00, /* 98 %, 72 */
				       1,    0,	   2,	 0,	     /* fast */
				       3,    0,	   4,	 0,	     /* slow */
				       0x80, 0x01, 0x20, 0x08, 0x01, 0x0c, 0xf0};
	const struct samples *s;

	readings_begin(&got, &protocol_pulse_oximeter);
	assert_int_equal(READINGS(&got, CHARACTERISTIC_PLX_CONTINUOUS, 0, 0x62, 0, 0x48, 0), 0);
	s = only(KIND_OXIMETRY, UNIT_PERCENT, 2);
	assert_value(s, 0, 98, 0);
	assert_value(s, 1, 72, 0);
	assert_int_equal(s->status, 0);
	assert_int_equal(readings_of(&got, CHARACTERISTIC_PLX_CONTINUOUS, full, sizeof(full)), 0);
	s = only(KIND_OXIMETRY, UNIT_PERCENT, 3);
	assert_value(s, 2, 12, -1);
	assert_int_equal(s->status, 0x01800820); /* 24 bits of device status, 16 are defined */
	assert_true(s->sensor_ns == 0);
	readings_truncated(&got, CHARACTERISTIC_PLX_CONTINUOUS, full, sizeof(full));
}

static void test_oximeter_spot(void **state)
{
	static const uint8_t full[] = {0x0f, 0xd7, 0xf3, 0xff, 0x07, TIME, 0,
				       0x80, 0,	   0x08, 0,    0x0c, 0xf0};
	uint8_t unset[sizeof(full)];
	const struct samples *s;

	readings_begin(&got, &protocol_pulse_oximeter);
	assert_int_equal(readings_of(&got, CHARACTERISTIC_PLX_SPOT_CHECK, full, sizeof(full)), 0);
	s = only(KIND_OXIMETRY, UNIT_PERCENT, 3);
	assert_value(s, 0, 983, -1);
	assert_value(s, 1, SAMPLES_NONE, 0);
	assert_value(s, 2, 12, -1);
	assert_int_equal(s->status, 0x80000800);
	assert_true(s->sensor_ns == TIME_NS);
	readings_truncated(&got, CHARACTERISTIC_PLX_SPOT_CHECK, full, sizeof(full));
	memcpy(unset, full, sizeof(full));
	unset[0] |= 0x10;
	assert_int_equal(readings_of(&got, CHARACTERISTIC_PLX_SPOT_CHECK, unset, sizeof(unset)), 0);
	assert_true(got.reading[0].sensor_ns == 0);
}

static void test_thermometer(void **state)
{
	static const uint8_t full[] = {0x07, 0xb0, 0x0e, 0x00, 0xfe, TIME, 4};
	const struct samples *s;

	readings_begin(&got, &protocol_thermometer);
	assert_int_equal(READINGS(&got, CHARACTERISTIC_TEMPERATURE, 0, 0x6c, 1, 0, 0xff), 0);
	s = only(KIND_TEMPERATURE, UNIT_CELSIUS, 1);
	assert_value(s, 0, 364, -1);
	assert_int_equal(s->status, 0);
	assert_int_equal(READINGS(&got, CHARACTERISTIC_TEMPERATURE_INTERMEDIATE, 0, 0xff, 0xff,
				  0x7f, 0),
			 0);
	s = only(KIND_TEMPERATURE, UNIT_CELSIUS, 1);
	assert_value(s, 0, SAMPLES_NONE, 0);
	assert_int_equal(s->status, 1);
	assert_int_equal(readings_of(&got, CHARACTERISTIC_TEMPERATURE, full, sizeof(full)), 0);
	s = only(KIND_TEMPERATURE, UNIT_FAHRENHEIT, 1);
	assert_value(s, 0, 3760, -2);
	assert_true(s->sensor_ns == TIME_NS);
	readings_truncated(&got, CHARACTERISTIC_TEMPERATURE, full, sizeof(full));
}

static void test_blood_pressure(void **state)
{
	static const uint8_t full[] = {0x1f, 0xbd, 0xf0, 0x0b, 0x00, 0x9f, 0xf0,
				       TIME, 0x3c, 0x00, 1,    0x27, 0x00};
	const struct samples *s;

	readings_begin(&got, &protocol_blood_pressure);
	assert_int_equal(readings_of(&got, CHARACTERISTIC_BLOOD_PRESSURE, full, sizeof(full)), 0);
	s = only(KIND_BLOOD_PRESSURE, UNIT_KPA, 4);
	assert_value(s, 0, 189, -1);
	assert_value(s, 1, 11, 0);
	assert_value(s, 2, 159, -1);
	assert_value(s, 3, 60, 0);
	assert_int_equal(s->status, 0x27);
	assert_true(s->sensor_ns == TIME_NS);
	readings_truncated(&got, CHARACTERISTIC_BLOOD_PRESSURE, full, sizeof(full));
	assert_int_equal(READINGS(&got, CHARACTERISTIC_BLOOD_PRESSURE, 0, 0x8a, 0, 0x58, 0, 0xff,
				  0x07),
			 0);
	s = only(KIND_BLOOD_PRESSURE, UNIT_MMHG, 4);
	assert_value(s, 0, 138, 0);
	assert_value(s, 2, SAMPLES_NONE, 0);
	assert_value(s, 3, SAMPLES_NONE, 0);
}

/* What the cuff holds while it is pumped up must never look like a blood pressure. */
static void test_cuff_pressure(void **state)
{
	static const uint8_t data[] = {0, 0x8a, 0, 0xff, 0x07, 0xff, 0x07};

	readings_begin(&got, &protocol_blood_pressure);
	assert_int_equal(readings_of(&got, CHARACTERISTIC_CUFF_PRESSURE, data, sizeof(data)), 0);
	assert_int_equal(got.n, 0);
	readings_truncated(&got, CHARACTERISTIC_CUFF_PRESSURE, data, sizeof(data));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_oximeter_continuous), cmocka_unit_test(test_oximeter_spot),
		cmocka_unit_test(test_thermometer),	    cmocka_unit_test(test_blood_pressure),
		cmocka_unit_test(test_cuff_pressure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
