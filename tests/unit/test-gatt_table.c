/* Discovery as scripts of bytes: whole, in the least MTU, and with every answer that can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gatt_bench.h"
#include "source/gatt_table.h"

static unsigned lines_of(const char *text, char first)
{
	unsigned n = 0;

	for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
		n += *text == first;
	return n;
}

static void test_discovery(void **state)
{
	static const struct {
		enum characteristic characteristic;
		unsigned properties;
	} expected[] = {
		{HEART_RATE, PROPERTY_NOTIFY},
		{SENSOR_LOCATION, PROPERTY_READ},
		{CHARACTERISTIC_BATTERY_LEVEL, PROPERTY_READ | PROPERTY_NOTIFY},
		{MANUFACTURER, PROPERTY_READ},
		{CHARACTERISTIC_MODEL_NUMBER, PROPERTY_READ},
		{CHARACTERISTIC_SERIAL_NUMBER, 0},
		{CONTROL_POINT, PROPERTY_READ | PROPERTY_WRITE | PROPERTY_INDICATE},
		{CHARACTERISTIC_PMD_DATA, PROPERTY_NOTIFY},
		{CHARACTERISTIC_UNKNOWN, 0},
	};
	struct bench b;

	discover(&b);
	assert_int_equal(gatt_mtu(b.gatt), 232);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		assert_int_equal(gatt_properties(b.gatt, expected[i].characteristic),
				 expected[i].properties);
	assert_int_equal(gatt_due(b.gatt), USEC_INFINITY);
	assert_int_equal(lines_of(DISCOVERY, '>'), 8); /* questions, one round trip each */
	end(&b);
}

/* Many answers, one item each; and an older strap that does not know MTU exchange. */
static void test_mtu_23(void **state)
{
	struct bench b;

	begin(&b);
	gatt_discover(b.gatt, b.script.now);
	play(&b, "> 02 05 02\n"
		 "< 01 02 00 00 06\n"
		 "> 10 01 00 ff ff 00 28\n"
		 "< 11 06 01 00 05 00 00 18 06 00 06 00 01 18 0c 00 11 00 0d 18\n"
		 "> 10 12 00 ff ff 00 28\n"
		 "< 11 14 1b 00 21 00 c8 f0 8d 2d cd 8a ad 1c 87 f3 e7 02 80 5c 00 fb\n"
		 "> 10 22 00 ff ff 00 28\n"
		 "< 01 10 22 00 0a\n"
		 "> 08 01 00 21 00 03 28\n"
		 "< 09 07 02 00 02 03 00 00 2a 0d 00 10 0e 00 37 2a\n"
		 "> 08 0f 00 21 00 03 28\n"
		 "< 09 07 10 00 02 11 00 38 2a\n"
		 "> 08 12 00 21 00 03 28\n"
		 "< 09 15 1c 00 2a 1d 00 c8 f0 8d 2d cd 8a ad 1c 87 f3 e7 02 81 5c 00 fb\n"
		 "> 08 1e 00 21 00 03 28\n"
		 "< 09 15 1f 00 10 20 00 c8 f0 8d 2d cd 8a ad 1c 87 f3 e7 02 82 5c 00 fb\n"
		 "> 08 21 00 21 00 03 28\n"
		 "< 01 08 21 00 0a\n"
		 "= discovered 0 00\n");
	assert_int_equal(gatt_mtu(b.gatt), 23);
	subscribe(&b, CONTROL_POINT, true);
	play(&b, "> 04 1e 00 1e 00\n"
		 "< 05 01 1e 00 02 29\n"
		 "> 12 1e 00 02 00\n"
		 "< 13\n"
		 "= done 0 00\n");
	write_value(&b, CONTROL_POINT,
		    "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13");
	play(&b, "> 12 1d 00 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13\n"
		 "< 13\n"
		 "= done 0 00\n");
	write_value(&b, CONTROL_POINT,
		    "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14");
	play(&b, "= done 2 0d\n");
	end(&b);
}

static void test_wearable_without_services(void **state)
{
	struct bench b;

	begin(&b);
	gatt_discover(b.gatt, b.script.now);
	play(&b, MTU_EXCHANGE "> 10 01 00 ff ff 00 28\n"
			      "< 01 10 01 00 0a\n"
			      "= discovered 0 00\n");
	assert_int_equal(gatt_properties(b.gatt, HEART_RATE), 0);
	read_value(&b, HEART_RATE);
	play(&b, "= done 4 00\n");
	subscribe(&b, HEART_RATE, false);
	play(&b, "= done 4 00\n");
	write_value(&b, HEART_RATE, "01");
	play(&b, "= done 4 00\n");
	end(&b);
}

static void test_errors_at_each_step(void **state)
{
	struct {
		uint8_t error;
		int result;
	} cases[] = {{0x05, SESSION_E_SECURITY}, {0x08, SESSION_E_SECURITY},
		     {0x0c, SESSION_E_SECURITY}, {0x0f, SESSION_E_SECURITY},
		     {0x01, SESSION_E_REFUSED},	 {0x0e, SESSION_E_REFUSED},
		     {0x80, SESSION_E_REFUSED},	 {0x00, SESSION_E_REFUSED}};
	char lines[128];
	const char *answer;
	unsigned step, request;
	struct bench b;

	for (step = 1; discover_until(&b, step, &answer); step++) {
		end(&b);
		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
			assert_true(discover_until(&b, step, &answer));
			request = step < 4 ? 0x10 : 0x08;
			(void)snprintf(lines, sizeof(lines),
				       "< 01 %02x 01 00 %02x\n= discovered %d %02x\n", request,
				       cases[i].error, cases[i].result, cases[i].error);
			play(&b, lines);
			assert_false(gatt_due(b.gatt) == 0);
			end(&b);
		}
	}
	assert_int_equal(step, 8);
}

static void test_timeout_at_each_step(void **state)
{
	const char *answer;
	struct bench b;
	unsigned step;

	for (step = 0; discover_until(&b, step, &answer); step++) {
		play(&b, "+ 29999\n"
			 "+ 1\n"
			 "= broken: it did not answer a request in time\n"
			 "= discovered 3 00\n");
		read_value(&b, HEART_RATE);
		play(&b, "= done 4 00\n");
		end(&b);
	}
	assert_int_equal(step, 8);
}

/* An answer cut short is never taken for the whole: either another question follows, or the end. */
static void test_truncated_answers(void **state)
{
	uint8_t data[SCRIPT_PDU_MAX];
	const char *answer;
	size_t size = 0;
	struct bench b;
	size_t n_cuts = 0, n_broken = 0, n_dropped = 0, n_partly = 0;

	for (unsigned step = 0; discover_until(&b, step, &answer); step++) {
		size = script_bytes(answer + 1, data);
		n_cuts += size;
		end(&b);
		for (size_t cut = 0; cut < size; cut++) {
			assert_true(discover_until(&b, step, &answer));
			script_receive(&b.script, data, cut);
			if (cut == 0) {
				play(&b, "");
				assert_int_equal(gatt_counts(b.gatt).att.malformed, 1);
				n_dropped++;
			} else if (gatt_due(b.gatt) == USEC_INFINITY) {
				play(&b, step == 0 || step == 7
						 ? "= broken: it answered what was not asked\n"
						   "= discovered 4 00\n"
						 : "= broken: it listed what cannot be\n"
						   "= discovered 4 00\n");
				assert_int_equal(gatt_counts(b.gatt).att.violations, 1);
				n_broken++;
			} else { /* a list of whole items is a list */
				assert_true(b.script.seen.size > 0 && b.script.seen.data[0] == '>');
				b.script.seen.size = 0;
				n_partly++;
			}
			end(&b);
		}
	}
	assert_int_equal(n_dropped, 8);
	assert_int_equal(n_partly, 4 + 8 + 1);
	assert_int_equal(n_broken, n_cuts - n_dropped - n_partly);
}

static void test_lists_that_cannot_be(void **state)
{
	static const struct {
		unsigned step;
		const char *answer;
	} cases[] = {
		/* services: other sizes, last before first, not rising, a list with nothing in it */
		{1, "< 11 05 01 00 07 00 00\n"},
		{1, "< 11 00\n"},
		{1, "< 11 06\n"},
		{1, "< 11 06 07 00 01 00 00 18\n"},
		{1, "< 11 06 00 00 01 00 00 18\n"},
		{1, "< 11 06 01 00 07 00 00 18 07 00 08 00 01 18\n"},
		{1, "< 11 06 01 00 ff ff 00 18 01 00 ff ff 01 18\n"},
		{2, "< 11 06 01 00 07 00 00 18\n"},
		{2, "< 11 06 1a 00 1f 00 00 18\n"},
		/* characteristics: the same, and values before their declarations or out of range */
		{4, "< 09 08 02 00 02 03 00 00 2a 00\n"},
		{4, "< 09 07\n"},
		{4, "< 09 07 02 00 02 02 00 00 2a\n"},
		{4, "< 09 07 02 00 02 01 00 00 2a\n"},
		{4, "< 09 07 02 00 02 03 00 00 2a 03 00 02 04 00 00 2a\n"},
		{4, "< 09 07 02 00 02 08 00 00 2a\n"},
		{5, "< 09 07 02 00 02 03 00 00 2a\n"},
		{5, "< 09 07 19 00 02 1a 00 00 2a\n"},
		{6, "< 09 07 ff ff 02 00 00 00 2a\n"},
	};
	const char *answer;
	struct bench b;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_true(discover_until(&b, cases[i].step, &answer));
		script_line(&b.script, cases[i].answer);
		play(&b, "= broken: it listed what cannot be\n"
			 "= discovered 4 00\n");
		end(&b);
	}
}

static void test_answers_that_nobody_asked_for(void **state)
{
	const char *answer;
	struct bench b;

	for (unsigned step = 0; discover_until(&b, step, &answer); step++) {
		play(&b, "< 13\n"
			 "= broken: it answered what was not asked\n"
			 "= discovered 4 00\n");
		end(&b);
	}
	discover(&b);
	play(&b, "< 0b 01\n"
		 "= broken: it answered what was not asked\n");
	end(&b);
}

/* Handles of a list that ends at the last one there is: it would begin at 0 again. */
static void test_last_handle(void **state)
{
	struct bench b;

	begin(&b);
	gatt_discover(b.gatt, b.script.now);
	play(&b, MTU_EXCHANGE "> 10 01 00 ff ff 00 28\n"
			      "< 11 06 f0 ff ff ff 0d 18\n"
			      "> 08 f0 ff ff ff 03 28\n"
			      "< 09 07 fe ff 10 ff ff 37 2a\n"
			      "= discovered 0 00\n");
	subscribe(&b, HEART_RATE, false); /* there cannot be a descriptor */
	play(&b, "= done 2 00\n");
	end(&b);
}

/* The second battery, and one in a secondary service that is in no list, do not count. */
static void test_two_of_a_kind(void **state)
{
	struct bench b;

	begin(&b);
	gatt_discover(b.gatt, b.script.now);
	play(&b,
	     MTU_EXCHANGE "> 10 01 00 ff ff 00 28\n"
			  "< 11 06 05 00 09 00 0f 18 15 00 19 00 0f 18\n"
			  "> 10 1a 00 ff ff 00 28\n"
			  "< 01 10 1a 00 0a\n"
			  "> 08 05 00 19 00 03 28\n"
			  "< 09 07 06 00 02 07 00 19 2a 0b 00 10 0c 00 37 2a 16 00 12 17 00 19 2a\n"
			  "> 08 18 00 19 00 03 28\n"
			  "< 01 08 18 00 0a\n"
			  "= discovered 0 00\n");
	assert_int_equal(gatt_properties(b.gatt, CHARACTERISTIC_BATTERY_LEVEL), PROPERTY_READ);
	assert_int_equal(gatt_properties(b.gatt, HEART_RATE), 0);
	play(&b, "< 1b 17 00 64\n"
		 "< 1b 0c 00 10 40\n");
	assert_int_equal(gatt_counts(b.gatt).unnamed, 2);
	play(&b, "< 1b 07 00 64\n"
		 "= value 2a19 64\n");
	end(&b);
}

/* Outside of all services, and its value beyond the last. */
static void test_value_out_of_range(void **state)
{
	struct bench b;

	begin(&b);
	gatt_discover(b.gatt, b.script.now);
	play(&b, MTU_EXCHANGE "> 10 01 00 ff ff 00 28\n"
			      "< 11 06 05 00 09 00 0f 18 15 00 19 00 0f 18\n"
			      "> 10 1a 00 ff ff 00 28\n"
			      "< 01 10 1a 00 0a\n"
			      "> 08 05 00 19 00 03 28\n"
			      "< 09 07 0b 00 10 1a 00 37 2a\n"
			      "= broken: it listed what cannot be\n"
			      "= discovered 4 00\n");
	end(&b);
}

/* More services and characteristics than anything has: what came first counts, asking ends. */
static void test_limits(void **state)
{
	uint8_t pdu[ATT_MTU_OURS] = {ATT_READ_BY_GROUP_RESPONSE, 6};
	struct bench b;
	unsigned n;

	begin(&b);
	gatt_discover(b.gatt, b.script.now);
	play(&b, MTU_EXCHANGE "> 10 01 00 ff ff 00 28\n");
	for (n = 0; n <= GATT_SERVICES_MAX; n++) {
		unsigned first = 1 + 0x400 * n, last = first + 0x3ff;
		uint8_t item[] = {first & 0xff, first >> 8, last & 0xff, last >> 8, 0x0d, 0x18};

		memcpy(pdu + 2 + sizeof(item) * n, item, sizeof(item));
	}
	script_receive(&b.script, pdu, 2 + 6 * n);
	play(&b, "> 08 01 00 00 80 03 28\n");
	assert_int_equal(gatt_counts(b.gatt).surplus, 1);
	for (unsigned k = 0; k < GATT_CHARACTERISTICS_MAX; k++) {
		unsigned declaration = 2 + 2 * k, value = declaration + 1;
		uint8_t item[] = {ATT_READ_BY_TYPE_RESPONSE,
				  7,
				  declaration & 0xff,
				  declaration >> 8,
				  2,
				  value & 0xff,
				  value >> 8,
				  0,
				  0xff};

		script_receive(&b.script, item, sizeof(item));
		assert_true(b.script.seen.size > 2 && b.script.seen.data[2] == '0');
		b.script.seen.size = 0;
	}
	play(&b, "< 09 07 02 01 10 03 01 37 2a 04 01 02 05 01 38 2a\n"
		 "= discovered 0 00\n");
	assert_int_equal(gatt_counts(b.gatt).surplus, 3);
	assert_int_equal(gatt_properties(b.gatt, HEART_RATE), 0);
	end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_discovery),
		cmocka_unit_test(test_mtu_23),
		cmocka_unit_test(test_wearable_without_services),
		cmocka_unit_test(test_errors_at_each_step),
		cmocka_unit_test(test_timeout_at_each_step),
		cmocka_unit_test(test_truncated_answers),
		cmocka_unit_test(test_lists_that_cannot_be),
		cmocka_unit_test(test_answers_that_nobody_asked_for),
		cmocka_unit_test(test_last_handle),
		cmocka_unit_test(test_two_of_a_kind),
		cmocka_unit_test(test_value_out_of_range),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
