/*
 * decode/protocol: the table holds together, whatever is in it; and the protocols that have no
 * state, heart rate and what is read once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "decode/protocol.h"
#include "model/recorder.h"
#include "readings.h"

#include <ctype.h>

static struct readings got;

static bool is_uuid(const char *s)
{
	for (int i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? s[i] != '-'
			 : !isxdigit((unsigned char)s[i]) || isupper((unsigned char)s[i]))
			return false;
	}
	return s[36] == '\0';
}

static void check_characteristic(const struct protocol *p, const struct profile_characteristic *c)
{
	unsigned streams = PROFILE_NOTIFY | PROFILE_INDICATE;

	assert_in_range(c->characteristic, 1, CHARACTERISTIC_MAX_ - 1);
	assert_ptr_equal(protocol_of(c->characteristic), p); /* no other one has it */
	if (p->profile.records)
		assert_int_equal(c->kinds, RECORDER_WANTED);
	else
		assert_int_equal(c->kinds & ~(unsigned)PROFILE_KINDS_ALL, 0);
	assert_true(c->kinds == 0 || c->use & (streams | PROFILE_CONTROL));
	assert_true(c->silence == 0 || c->kinds != 0);
	assert_true(!(c->use & PROFILE_CONTROL) || p->profile.converse);
	assert_true(!(c->use & PROFILE_ANSWERS) || (c->use & streams && p->profile.converse));
}

static void test_table(void **state)
{
	struct profiles profiles = protocol_profiles();

	assert_int_equal(profiles.n, protocol_count());
	for (size_t i = 0; i < profiles.n; i++) {
		const struct profile *p = profiles.list[i];
		const struct protocol *protocol;
		unsigned n_controls = 0;

		assert_true(p->n_characteristics > 0);
		protocol = protocol_of(p->characteristics[0].characteristic);
		assert_non_null(protocol);
		assert_ptr_equal(p, &protocol->profile);
		assert_int_equal(protocol_index(protocol), i);
		assert_true(is_uuid(p->service) && p->name[0] && p->title[0] && protocol->decode);
		assert_null(strpbrk(p->name, " \t"));
		for (size_t other = 0; other < i; other++)
			assert_string_not_equal(p->name, profiles.list[other]->name);
		for (size_t c = 0; c < p->n_characteristics; c++) {
			check_characteristic(protocol, &p->characteristics[c]);
			n_controls += (p->characteristics[c].use & PROFILE_CONTROL) != 0;
		}
		assert_int_equal(n_controls, p->converse ? 1 : 0);
	}
}

static void test_every_characteristic_has_a_protocol(void **state)
{
	for (int c = CHARACTERISTIC_UNKNOWN + 1; c < CHARACTERISTIC_MAX_; c++)
		assert_non_null(protocol_of((enum characteristic)c));
	assert_null(protocol_of(CHARACTERISTIC_UNKNOWN));
}

static void test_heart_rate(void **state)
{
	static const uint8_t frame[] = {0x16, 60, 0x11, 0x04};

	readings_begin(&got, &protocol_heart_rate);
	assert_int_equal(readings_of(&got, CHARACTERISTIC_HEART_RATE_MEASUREMENT, frame,
				     sizeof(frame)),
			 0);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.reading[0].kind, KIND_HEART_RATE);
	assert_int_equal(got.reading[0].n, 1);
	assert_true(got.reading[0].sensor_ns == 0 && got.reading[0].nominal_dt_ns == 0);
	assert_int_equal(got.record[0].type, RECORD_HEART_RATE);
	assert_int_equal(got.record[0].heart_rate.bpm, 60);
	assert_int_equal(got.record[0].heart_rate.rr_1024[0], 1041);
	readings_truncated(&got, CHARACTERISTIC_HEART_RATE_MEASUREMENT, frame, 2);
	assert_int_equal(READINGS(&got, CHARACTERISTIC_BODY_SENSOR_LOCATION, 1), 0);
	assert_int_equal(got.n, 0);
	assert_int_equal(READINGS(&got, CHARACTERISTIC_BODY_SENSOR_LOCATION, 1, 2),
			 DECODE_E_MALFORMED);
}

static void test_what_is_read_once(void **state)
{
	readings_begin(&got, &protocol_battery);
	assert_int_equal(READINGS(&got, CHARACTERISTIC_BATTERY_LEVEL, 100), 0);
	assert_int_equal(READINGS(&got, CHARACTERISTIC_BATTERY_LEVEL, 101), DECODE_E_MALFORMED);
	readings_begin(&got, &protocol_device_info);
	assert_int_equal(READINGS(&got, CHARACTERISTIC_MODEL_NUMBER, 'H', '1', '0', 0), 0);
	assert_int_equal(got.n, 0);
}

static void test_healthypi(void **state)
{
	static const uint8_t frame[] = {0x39, 0x30, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0x80};
	const struct samples *s = &got.record[0].samples;

	readings_begin(&got, &protocol_healthypi);
	for (size_t size = 0; size <= sizeof(frame); size++)
		assert_int_equal(readings_of(&got, CHARACTERISTIC_HEALTHYPI_ECG, frame, size),
				 size > 0 && size % 4 == 0 ? 0 : DECODE_E_MALFORMED);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.reading[0].kind, KIND_ECG_COUNTS);
	assert_int_equal(got.reading[0].nominal_dt_ns, 7812500);
	assert_true(got.reading[0].n == 3 && got.reading[0].sensor_ns == 0);
	assert_int_equal(s->n_channels, 1);
	assert_int_equal(s->unit, UNIT_COUNT);
	assert_int_equal(s->value[0], 12345);
	assert_int_equal(s->value[1], -1);
	assert_true(s->value[2] != SAMPLES_NONE); /* the lowest count is a count */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_every_characteristic_has_a_protocol),
		cmocka_unit_test(test_heart_rate),
		cmocka_unit_test(test_what_is_read_once),
		cmocka_unit_test(test_healthypi),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
