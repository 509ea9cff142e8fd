/* Reads, writes, subscriptions, and what a wearable says meanwhile, as scripts of bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gatt_bench.h"

/* What a session does with an H10. */
static void test_whole_link(void **state)
{
	struct bench b;

	discover(&b);
	read_value(&b, MANUFACTURER);
	play(&b, "> 0a 14 00\n"
		 "< 0b 50 6f 6c 61 72\n"
		 "= done 0 00 50 6f 6c 61 72\n");
	subscribe(&b, HEART_RATE, false);
	play(&b, "> 04 0f 00 0f 00\n"
		 "< 05 01 0f 00 02 29\n"
		 "> 12 0f 00 01 00\n"
		 "< 13\n"
		 "= done 0 00\n"
		 "< 1b 0e 00 10 4b 5a 03\n"
		 "= value 2a37 10 4b 5a 03\n");
	subscribe(&b, CONTROL_POINT, true);
	play(&b, "> 04 1e 00 1e 00\n"
		 "< 05 01 1e 00 02 29\n"
		 "> 12 1e 00 02 00\n"
		 "< 13\n"
		 "= done 0 00\n");
	subscribe(&b, CHARACTERISTIC_PMD_DATA, false);
	play(&b, "> 04 21 00 21 00\n"
		 "< 05 02 21 00 fb 34 9b 5f 80 00 00 80 00 10 00 00 02 29 00 00\n"
		 "> 12 21 00 01 00\n"
		 "< 13\n"
		 "= done 0 00\n");
	read_value(&b, CONTROL_POINT);
	play(&b, "> 0a 1d 00\n"
		 "< 0b 0f 05 00\n"
		 "= done 0 00 0f 05 00\n");
	write_value(&b, CONTROL_POINT, "01 00");
	play(&b, "> 12 1d 00 01 00\n"
		 "< 1d 1d 00 f0 01 00 00 00 00 01 82 00 01 01 0e 00\n" /* before the answer */
		 "> 1e\n"
		 "= value fb005c81 f0 01 00 00 00 00 01 82 00 01 01 0e 00\n"
		 "< 1b 0e 00 10 4c\n"
		 "= value 2a37 10 4c\n"
		 "< 13\n"
		 "= done 0 00\n");
	gatt_unsubscribe(b.gatt, HEART_RATE, b.script.now);
	play(&b, "> 12 0f 00 00 00\n"
		 "< 13\n"
		 "= done 0 00\n");
	subscribe(&b, HEART_RATE, false); /* its descriptor is known */
	play(&b, "> 12 0f 00 01 00\n"
		 "< 13\n"
		 "= done 0 00\n");
	end(&b);
}

static void test_descriptors(void **state)
{
	static const struct {
		const char *name, *script;
	} cases[] = {
		{"others first, over two answers", "> 04 0f 00 15 00\n"
						   "< 05 01 0f 00 01 29 10 00 04 29\n"
						   "> 04 11 00 15 00\n"
						   "< 05 01 11 00 02 29 12 00 01 00\n"
						   "> 12 11 00 01 00\n"
						   "< 13\n"
						   "= done 0 00\n"},
		{"none", "> 04 0f 00 15 00\n"
			 "< 05 01 15 00 01 29\n"
			 "= done 2 00\n"},
		{"none, not found", "> 04 0f 00 15 00\n"
				    "< 01 04 0f 00 0a\n"
				    "= done 2 00\n"},
		{"secret", "> 04 0f 00 15 00\n"
			   "< 01 04 0f 00 0f\n"
			   "= done 1 0f\n"},
		{"its writing wants a key", "> 04 0f 00 15 00\n"
					    "< 05 01 0f 00 02 29\n"
					    "> 12 0f 00 01 00\n"
					    "< 01 12 0f 00 05\n"
					    "= done 1 05\n"},
		{"refused", "> 04 0f 00 15 00\n"
			    "< 05 01 0f 00 02 29\n"
			    "> 12 0f 00 01 00\n"
			    "< 01 12 0f 00 fd\n"
			    "= done 2 fd\n"},
		{"no such format", "> 04 0f 00 15 00\n"
				   "< 05 03 0f 00 02 29\n"
				   "= broken: it listed what cannot be\n"
				   "= done 4 00\n"},
		{"no such format, long", "> 04 0f 00 15 00\n"
					 "< 05 00 0f 00 fb 34 9b 5f 80 00 00 80 00 10 00 00 02 29 "
					 "00 00\n"
					 "= broken: it listed what cannot be\n"
					 "= done 4 00\n"},
		{"two of them", "> 04 0f 00 15 00\n"
				"< 05 01 10 00 02 29 11 00 02 29\n"
				"> 12 10 00 01 00\n"
				"< 13\n"
				"= done 0 00\n"},
		{"half of one", "> 04 0f 00 15 00\n"
				"< 05 01 0f 00 02\n"
				"= broken: it listed what cannot be\n"
				"= done 4 00\n"},
		{"nothing", "> 04 0f 00 15 00\n"
			    "< 05 01\n"
			    "= broken: it listed what cannot be\n"
			    "= done 4 00\n"},
		{"no format", "> 04 0f 00 15 00\n"
			      "< 05\n"
			      "= broken: it listed what cannot be\n"
			      "= done 4 00\n"},
		{"before", "> 04 0f 00 15 00\n"
			   "< 05 01 0e 00 02 29\n"
			   "= broken: it listed what cannot be\n"
			   "= done 4 00\n"},
		{"behind", "> 04 0f 00 15 00\n"
			   "< 05 01 16 00 02 29\n"
			   "= broken: it listed what cannot be\n"
			   "= done 4 00\n"},
		{"twice", "> 04 0f 00 15 00\n"
			  "< 05 01 0f 00 01 29 0f 00 02 29\n"
			  "= broken: it listed what cannot be\n"
			  "= done 4 00\n"},
		{"silent", "> 04 0f 00 15 00\n"
			   "+ 30000\n"
			   "= broken: it did not answer a request in time\n"
			   "= done 3 00\n"},
	};
	struct bench b;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin(&b);
		gatt_discover(b.gatt, b.script.now);
		play(&b, MTU_EXCHANGE "> 10 01 00 ff ff 00 28\n"
				      "< 11 06 0c 00 15 00 0d 18\n"
				      "> 10 16 00 ff ff 00 28\n"
				      "< 01 10 16 00 0a\n"
				      "> 08 0c 00 15 00 03 28\n"
				      "< 09 07 0d 00 10 0e 00 37 2a\n"
				      "> 08 0f 00 15 00 03 28\n"
				      "< 01 08 0f 00 0a\n"
				      "= discovered 0 00\n");
		subscribe(&b, HEART_RATE, false);
		play(&b, cases[i].script);
		end(&b);
	}
}

#define BYTES_22 "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15"

/* The manufacturer's name is read; the model takes commands only, the firmware requests as well. */
static void discover_least(struct bench *b)
{
	begin(b);
	gatt_discover(b->gatt, b->script.now);
	play(b, "> 02 05 02\n"
		"< 03 17 00\n"
		"> 10 01 00 ff ff 00 28\n"
		"< 11 06 12 00 18 00 0a 18\n"
		"> 10 19 00 ff ff 00 28\n"
		"< 01 10 19 00 0a\n"
		"> 08 12 00 18 00 03 28\n"
		"< 09 07 13 00 02 14 00 29 2a 15 00 04 16 00 24 2a 17 00 0c 18 00 26 2a\n"
		"= discovered 0 00\n");
}

static void test_long_reads(void **state)
{
	static const char *const cases[] = {
		"> 0a 14 00\n< 0b\n= done 0 00\n",
		"> 0a 14 00\n< 0b 41\n= done 0 00 41\n",
		"> 0a 14 00\n< 0b " BYTES_22 "\n> 0c 14 00 16 00\n< 0d\n= done 0 00 " BYTES_22 "\n",
		"> 0a 14 00\n< 0b " BYTES_22 "\n> 0c 14 00 16 00\n< 01 0c 14 00 07\n"
		"= done 0 00 " BYTES_22 "\n",
		"> 0a 14 00\n< 0b " BYTES_22 "\n> 0c 14 00 16 00\n< 01 0c 14 00 0b\n"
		"= done 0 00 " BYTES_22 "\n",
		"> 0a 14 00\n< 0b " BYTES_22 "\n> 0c 14 00 16 00\n< 0d 41 42\n"
		"= done 0 00 " BYTES_22 " 41 42\n",
		"> 0a 14 00\n< 0b " BYTES_22 "\n> 0c 14 00 16 00\n< 0d " BYTES_22
		"\n> 0c 14 00 2c 00\n< 0d 41\n= done 0 00 " BYTES_22 " " BYTES_22 " 41\n",
		"> 0a 14 00\n< 0b " BYTES_22 "\n> 0c 14 00 16 00\n< 01 0c 14 00 05\n= done 1 05\n",
		"> 0a 14 00\n< 0b " BYTES_22 "\n> 0c 14 00 16 00\n< 01 0c 14 00 0e\n= done 2 0e\n",
		"> 0a 14 00\n< 0b " BYTES_22
		"\n> 0c 14 00 16 00\n+ 30000\n= broken: it did not answer a request in time\n"
		"= done 3 00\n",
		"> 0a 14 00\n< 01 0a 14 00 02\n= done 2 02\n",
		"> 0a 14 00\n< 01 0a 14 00 07\n= done 2 07\n",
		"> 0a 14 00\n< 01 0a 14 00 0a\n= done 2 0a\n",
		"> 0a 14 00\n< 01 0a 14 00 0c\n= done 1 0c\n",
	};
	struct bench b;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		discover_least(&b);
		read_value(&b, MANUFACTURER);
		play(&b, cases[i]);
		end(&b);
	}
}

/* An answer of `size` bytes that are all 0x55. */
static void answer_with(struct bench *b, uint8_t opcode, size_t size)
{
	uint8_t pdu[SCRIPT_PDU_MAX];

	memset(pdu, 0x55, sizeof(pdu));
	pdu[0] = opcode;
	script_receive(&b->script, pdu, 1 + size);
}

static void expect_fives(struct bench *b, size_t size)
{
	char line[4 * SCRIPT_PDU_MAX] = "= done 0 00";
	size_t n = strlen(line);

	for (size_t i = 0; i < size; i++, n += 3)
		memcpy(line + n, " 55", 4);
	script_expect(&b->script, line);
}

/* Part F 3.2.9: no value is longer than 512. */
static void test_longest_values(void **state)
{
	struct bench b;

	discover_least(&b);
	read_value(&b, MANUFACTURER);
	script_expect(&b.script, "> 0a 14 00");
	answer_with(&b, ATT_READ_RESPONSE, 22);
	for (unsigned offset = 22; offset < 506; offset += 22) {
		char line[32];

		(void)snprintf(line, sizeof(line), "> 0c 14 00 %02x %02x", offset & 0xff,
			       offset >> 8);
		script_expect(&b.script, line);
		answer_with(&b, ATT_READ_BLOB_RESPONSE, 22);
	}
	play(&b, "> 0c 14 00 fa 01\n"
		 "< 1d 77 00\n"
		 "> 1e\n");
	answer_with(&b, ATT_READ_BLOB_RESPONSE, 7);
	play(&b, "= broken: it sent a value longer than values can be\n"
		 "= done 4 00\n");
	end(&b);
}

static void test_values_in_the_largest_mtu(void **state)
{
	static const size_t sizes[] = {0, 1, 511, 512};
	struct bench b;

	begin(&b);
	gatt_discover(b.gatt, b.script.now);
	play(&b, "> 02 05 02\n"
		 "< 03 05 02\n"
		 "> 10 01 00 ff ff 00 28\n"
		 "< 11 06 12 00 ff ff 0a 18\n"
		 "> 08 12 00 ff ff 03 28\n"
		 "< 09 07 13 00 02 14 00 29 2a\n"
		 "> 08 15 00 ff ff 03 28\n"
		 "< 01 08 15 00 0a\n"
		 "= discovered 0 00\n");
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		read_value(&b, MANUFACTURER);
		script_expect(&b.script, "> 0a 14 00");
		answer_with(&b, ATT_READ_RESPONSE, sizes[i]);
		expect_fives(&b, sizes[i]);
	}
	read_value(&b, MANUFACTURER);
	script_expect(&b.script, "> 0a 14 00");
	answer_with(&b, ATT_READ_RESPONSE, 513);
	play(&b, "= broken: it sent a value longer than values can be\n"
		 "= done 4 00\n");
	end(&b);
}

/* After 512 bytes nothing is asked for any more. */
static void test_value_that_fills_its_answers(void **state)
{
	struct bench b;

	discover_least(&b);
	play(&b, "< 02 01 01\n"
		 "> 03 05 02\n");
	assert_int_equal(gatt_mtu(b.gatt), 257);
	read_value(&b, MANUFACTURER);
	script_expect(&b.script, "> 0a 14 00");
	answer_with(&b, ATT_READ_RESPONSE, 256);
	script_expect(&b.script, "> 0c 14 00 00 01");
	answer_with(&b, ATT_READ_BLOB_RESPONSE, 256);
	expect_fives(&b, 512);
	end(&b);
}

static void test_writes(void **state)
{
	struct bench b;

	discover_least(&b);
	write_value(&b, CHARACTERISTIC_MODEL_NUMBER, "01 02");
	play(&b, "> 52 16 00 01 02\n"
		 "= done 0 00\n");
	write_value(&b, CHARACTERISTIC_FIRMWARE_REVISION, "");
	play(&b, "> 12 18 00\n"
		 "< 13\n"
		 "= done 0 00\n");
	write_value(&b, CHARACTERISTIC_FIRMWARE_REVISION, "01");
	play(&b, "> 12 18 00 01\n"
		 "< 01 12 18 00 0f\n"
		 "= done 1 0f\n");
	write_value(&b, CHARACTERISTIC_FIRMWARE_REVISION, "01");
	play(&b, "> 12 18 00 01\n"
		 "< 01 12 18 00 80\n"
		 "= done 2 80\n");
	write_value(&b, CHARACTERISTIC_FIRMWARE_REVISION, "01");
	play(&b, "> 12 18 00 01\n"
		 "< 13 00\n"
		 "= broken: it answered what was not asked\n"
		 "= done 4 00\n");
	write_value(&b, CHARACTERISTIC_FIRMWARE_REVISION, "01");
	play(&b, "= done 4 00\n");
	write_value(&b, CHARACTERISTIC_MODEL_NUMBER, "01");
	play(&b, "= done 4 00\n");
	end(&b);
}

static void test_its_own_requests(void **state)
{
	struct bench b;

	discover(&b);
	read_value(&b, MANUFACTURER);
	play(&b, "> 0a 14 00\n"
		 "< 02 64 00\n"
		 "> 03 05 02\n"
		 "< 10 01 00 ff ff 00 28\n"
		 "> 01 10 01 00 0a\n"
		 "< 0b 41\n"
		 "= done 0 00 41\n");
	assert_int_equal(gatt_mtu(b.gatt), 100);
	assert_int_equal(gatt_counts(b.gatt).att.requests, 2);
	end(&b);
}

static void test_services_changed(void **state)
{
	struct bench b;

	discover(&b);
	play(&b, "< 1d 0a 00 01 00 ff ff\n"
		 "> 1e\n"
		 "= broken: its services changed\n");
	assert_int_equal(gatt_counts(b.gatt).att.violations, 0);
	end(&b);

	discover(&b);
	read_value(&b, MANUFACTURER);
	play(&b, "> 0a 14 00\n"
		 "< 1d 0a 00 01 00 ff ff\n"
		 "> 1e\n"
		 "= broken: its services changed\n"
		 "= done 4 00\n");
	subscribe(&b, HEART_RATE, false);
	play(&b, "= done 4 00\n");
	end(&b);
}

static void test_values_before_discovery(void **state)
{
	struct bench b;

	begin(&b);
	play(&b, "< 1b 0e 00 10 4b\n"
		 "< 1b 00 00\n"
		 "< 1d 0e 00 10 4b\n"
		 "> 1e\n");
	assert_int_equal(gatt_counts(b.gatt).unnamed, 3);
	end(&b);
}

static void test_freed_by_callbacks(void **state)
{
	static const char *const what_happens[] = {
		"< 0b 41\n= done 0 00 41\n",
		"< 01 0a 14 00 05\n= done 1 05\n",
		"< 13\n= broken: it answered what was not asked\n",
		"+ 30000\n= broken: it did not answer a request in time\n",
	};
	const char *answer;
	struct bench b;

	for (size_t i = 0; i < ARRAY_SIZE(what_happens); i++) {
		discover(&b);
		read_value(&b, MANUFACTURER);
		play(&b, "> 0a 14 00\n");
		b.freed_by_callback = true;
		play(&b, what_happens[i]);
		assert_null(b.gatt);
		end(&b);
	}
	discover(&b);
	b.freed_by_callback = true;
	read_value(&b, CHARACTERISTIC_SERIAL_NUMBER); /* it has none */
	play(&b, "= done 4 00\n");
	assert_null(b.gatt);
	end(&b);

	assert_true(discover_until(&b, 7, &answer));
	b.freed_by_callback = true;
	play(&b, "< 01 08 25 00 0a\n= discovered 0 00\n");
	assert_null(b.gatt);
	end(&b);

	discover(&b);
	b.freed_by_callback = true;
	play(&b, "< 13\n= broken: it answered what was not asked\n");
	assert_null(b.gatt);
	end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_link),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_long_reads),
		cmocka_unit_test(test_longest_values),
		cmocka_unit_test(test_values_in_the_largest_mtu),
		cmocka_unit_test(test_value_that_fills_its_answers),
		cmocka_unit_test(test_writes),
		cmocka_unit_test(test_its_own_requests),
		cmocka_unit_test(test_services_changed),
		cmocka_unit_test(test_values_before_discovery),
		cmocka_unit_test(test_freed_by_callbacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
