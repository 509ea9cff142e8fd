/*
 * sink/sample: the JSON of samples of every kind, to the letter; and that the room asked for is
 * enough for the worst of them. Heart rate, ECG and gaps are in test-batch.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sink/sample.h"
#include "util/base64.h"

#include <jansson.h>

#define T0   INT64_C(1763798400000000)
#define HEAD "{\"seq\":536870913,\"t_us\":1763798400000000,\"clk\":\"utc\","

static uint8_t out[32 * 1024];

static const char *write_one(unsigned kind, const struct samples *s)
{
	static struct record r;
	size_t n;

	r = (struct record){.type = RECORD_SAMPLES,
			    .clk = CLK_UTC,
			    .seq = seq_make(2, 1),
			    .offset_us = T0,
			    .samples = *s};
	n = (size_t)(sample_write(&r, kind, out) - out);
	assert_true(n <= sample_bound(&r));
	out[n] = '\0';
	return (const char *)out;
}

static void single_values(void **state)
{
	struct samples s = {.unit = UNIT_PERCENT, .n_channels = 2, .n = 1, .value = {97, 61}};

	assert_string_equal(write_one(KIND_OXIMETRY, &s),
			    HEAD "\"unit\":\"%\",\"values\":{\"spo2\":97,\"pulse_rate\":61}}");
	s.value[1] = SAMPLES_NONE;
	s.status = 64;
	assert_string_equal(write_one(KIND_OXIMETRY, &s),
			    HEAD "\"unit\":\"%\",\"values\":{\"spo2\":97,\"pulse_rate\":null},"
				 "\"status\":64}");
	s = (struct samples){.unit = UNIT_CELSIUS,
			     .n_channels = 1,
			     .exponent = {-1},
			     .n = 1,
			     .sensor_ns = UINT64_C(817099509) * 1000000000,
			     .value = {366}};
	assert_string_equal(write_one(KIND_TEMPERATURE, &s),
			    HEAD "\"unit\":\"Cel\",\"values\":{\"temperature\":36.6},"
				 "\"exponent\":[-1],\"device_time\":\"2025-11-22T04:05:09\"}");
	s = (struct samples){.unit = UNIT_MMHG,
			     .n_channels = 4,
			     .exponent = {0, 0, 0, 2},
			     .n = 1,
			     .value = {120, 80, 93, -1}};
	assert_string_equal(write_one(KIND_BLOOD_PRESSURE, &s), HEAD
			    "\"unit\":\"mm[Hg]\",\"values\":{\"systolic\":120,\"diastolic\":80,"
			    "\"mean\":93,\"pulse_rate\":-100},\"exponent\":[0,0,0,2]}");
	s = (struct samples){.unit = UNIT_COUNT, .n_channels = 2, .n = 1, .value = {1, 2}};
	assert_string_equal(write_one(KIND_PPG, &s), /* a kind that has no names */
			    HEAD
			    "\"unit\":\"{count}\",\"values\":{\"channel_1\":1,\"channel_2\":2}}");
}

static void rows(void **state)
{
	struct samples s = {.unit = UNIT_MILLI_G,
			    .dt_ns = 20000000,
			    .n_channels = 3,
			    .n = 2,
			    .sensor_ns = 1000000001,
			    .value = {1, -1, 0x01020304, 0, 0, SAMPLES_NONE}};

	assert_string_equal(write_one(KIND_ACCELERATION, &s),
			    HEAD "\"unit\":\"m[g]\",\"dt_ns\":20000000,\"n\":2,\"channels\":3,"
				 "\"data\":\"AQAAAP////8EAwIBAAAAAAAAAAAAAACA\","
				 "\"device_time\":\"2000-01-01T00:00:01.000000001\"}");
	s = (struct samples){.unit = UNIT_COUNT, .dt_ns = 1, .n_channels = 1, .n = 1};
	assert_string_equal(write_one(KIND_ECG_COUNTS, &s), /* a row that has neighbours */
			    HEAD "\"unit\":\"{count}\",\"dt_ns\":1,\"n\":1,\"channels\":1,"
				 "\"data\":\"AAAAAA==\"}");
}

/* The longest of each shape is read back whole, and fits the room that was asked for. */
static void the_room_is_enough(void **state)
{
	for (int many = 0; many < 2; many++)
		for (unsigned kind = KIND_OXIMETRY; kind < KIND_MAX; kind++) {
			static struct samples s;
			json_t *root, *values;

			s = (struct samples){.sensor_ns = UINT64_MAX,
					     .dt_ns = many ? UINT32_MAX : 0,
					     .status = UINT32_MAX,
					     .unit = UNIT_COUNT,
					     .n_channels = SAMPLES_CHANNELS_MAX,
					     .n = many ? SAMPLES_VALUES_MAX / SAMPLES_CHANNELS_MAX
						       : 1};
			memset(s.exponent, many ? -128 : -12, sizeof(s.exponent));
			for (size_t i = 0; i < s.n * s.n_channels; i++)
				s.value[i] = -2147483647;
			root = json_loads(write_one(kind, &s), JSON_REJECT_DUPLICATES, NULL);
			assert_non_null(root);
			values = json_object_get(root, many ? "data" : "values");
			assert_int_equal(many ? json_string_length(values)
					      : json_object_size(values),
					 many ? base64_size(4 * (size_t)s.n * s.n_channels)
					      : SAMPLES_CHANNELS_MAX);
			assert_string_equal(json_string_value(json_object_get(root, "device_time")),
					    "2584-07-20T23:34:33.709551615");
			json_decref(root);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(single_values),
		cmocka_unit_test(rows),
		cmocka_unit_test(the_room_is_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
