/* One link's PDUs, as scripts of bytes: every opcode, every condition, every length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pdu_script.h"
#include "source/att.h"

struct bench {
	struct script script;
	struct att *att;
	bool freed_by_callback;
	const char *ask_again; /* from done() */
};

static void on_send(void *userdata, const uint8_t *data, size_t size)
{
	struct bench *b = userdata;

	script_see(&b->script, ">", data, size);
}

static void on_value(void *userdata, uint16_t handle, const uint8_t *data, size_t size, usec_t now)
{
	struct bench *b = userdata;
	char what[32];

	(void)snprintf(what, sizeof(what), "= value %04x", handle);
	script_see(&b->script, what, data, size);
	assert_int_equal(now, b->script.now);
	if (b->freed_by_callback)
		b->att = att_free(b->att);
}

static void on_broken(void *userdata, const char *why)
{
	struct bench *b = userdata;
	char what[128];

	(void)snprintf(what, sizeof(what), "= broken: %s", why);
	script_see(&b->script, what, NULL, 0);
	if (b->freed_by_callback)
		b->att = att_free(b->att);
}

static int ask(struct bench *b, const char *hex);

static void on_done(void *userdata, int result, uint8_t error, const uint8_t *data, size_t size,
		    usec_t now)
{
	struct bench *b = userdata;
	char what[32];

	(void)snprintf(what, sizeof(what), "= done %d %02x", result, error);
	script_see(&b->script, what, data, size);
	if (b->ask_again)
		assert_int_equal(ask(b, b->ask_again), 0);
	b->ask_again = NULL;
	if (b->freed_by_callback)
		b->att = att_free(b->att);
}

static int ask(struct bench *b, const char *hex)
{
	uint8_t data[SCRIPT_PDU_MAX];
	size_t size = script_bytes(hex, data);

	return att_request(b->att, data, size, on_done, b, b->script.now);
}

static void receive(void *userdata, const uint8_t *data, size_t size, usec_t now)
{
	struct bench *b = userdata;

	att_receive(b->att, data, size, now);
}

static usec_t due(void *userdata)
{
	struct bench *b = userdata;

	return b->att ? att_due(b->att) : USEC_INFINITY;
}

static void tick(void *userdata, usec_t now)
{
	struct bench *b = userdata;

	att_tick(b->att, now);
}

static void begin(struct bench *b)
{
	struct att_handler handler = {.userdata = b,
				      .send = on_send,
				      .value = on_value,
				      .broken = on_broken};

	*b = (struct bench){.script = {.userdata = b,
				       .receive = receive,
				       .due = due,
				       .tick = tick,
				       .now = 1000 * USEC_PER_SEC}};
	assert_int_equal(att_new(&handler, &b->att), 0);
	assert_int_equal(att_mtu(b->att), 23);
	assert_int_equal(att_due(b->att), USEC_INFINITY);
}

static void end(struct bench *b)
{
	script_play(&b->script, "");
	b->att = att_free(b->att);
	buf_done(&b->script.seen);
}

static void play(struct bench *b, const char *lines)
{
	script_play(&b->script, lines);
}

static void test_requests_wait_for_each_other(void **state)
{
	struct bench b;

	begin(&b);
	assert_int_equal(ask(&b, "0a 10 00"), 0);
	assert_int_equal(ask(&b, "12 11 00 01 00"), 0);
	assert_int_equal(ask(&b, "0a 12 00"), 0);
	play(&b, "> 0a 10 00\n"
		 "< 0b 2a 2b\n"
		 "> 12 11 00 01 00\n"
		 "= done 0 00 2a 2b\n"
		 "< 13\n"
		 "> 0a 12 00\n"
		 "= done 0 00\n"
		 "< 01 0a 12 00 0e\n"
		 "= done 1 0e\n");
	assert_int_equal(att_due(b.att), USEC_INFINITY);
	end(&b);
}

static void test_callback_may_ask(void **state)
{
	struct bench b;

	begin(&b);
	b.ask_again = "0a 11 00";
	assert_int_equal(ask(&b, "0a 10 00"), 0);
	play(&b, "> 0a 10 00\n"
		 "< 0b\n"
		 "= done 0 00\n"
		 "> 0a 11 00\n"
		 "< 0b 01\n"
		 "= done 0 00 01\n");
	end(&b);
}

static void test_queue_is_bounded(void **state)
{
	struct bench b;

	begin(&b);
	for (unsigned i = 0; i < 1 + ATT_QUEUE_MAX; i++)
		assert_int_equal(ask(&b, "0a 10 00"), 0);
	assert_int_equal(ask(&b, "0a 10 00"), ATT_E_FULL);
	play(&b, "> 0a 10 00\n"
		 "< 0b\n"
		 "> 0a 10 00\n"
		 "= done 0 00\n");
	assert_int_equal(ask(&b, "0a 10 00"), 0);
	end(&b);
}

static void test_nothing_longer_than_the_mtu_is_sent(void **state)
{
	static const uint8_t command[24] = {ATT_WRITE_COMMAND};
	static const uint8_t request[24] = {ATT_WRITE_REQUEST};
	struct bench b;

	begin(&b);
	assert_int_equal(att_request(b.att, request, 24, on_done, &b, 0), ATT_E_LONG);
	assert_int_equal(att_command(b.att, command, 24), ATT_E_LONG);
	play(&b, "");
	assert_int_equal(att_command(b.att, (const uint8_t[]){ATT_WRITE_COMMAND, 1, 0, 7}, 4), 0);
	play(&b, "> 52 01 00 07\n");
	assert_int_equal(att_due(b.att), USEC_INFINITY); /* nobody answers it */
	end(&b);
}

static void test_mtu(void **state)
{
	static const struct {
		const char *answer;
		unsigned mtu;
	} cases[] = {
		{"< 03 e8 00\n= done 0 00 e8 00\n", 232}, {"< 03 17 00\n= done 0 00 17 00\n", 23},
		{"< 03 16 00\n= done 0 00 16 00\n", 23},  {"< 03 00 00\n= done 0 00 00 00\n", 23},
		{"< 03 05 02\n= done 0 00 05 02\n", 517}, {"< 03 06 02\n= done 0 00 06 02\n", 517},
		{"< 03 ff ff\n= done 0 00 ff ff\n", 517}, {"< 01 02 00 00 06\n= done 1 06\n", 23},
	};
	struct bench b;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin(&b);
		assert_int_equal(ask(&b, "02 05 02"), 0);
		play(&b, "> 02 05 02\n");
		play(&b, cases[i].answer);
		assert_int_equal(att_mtu(b.att), cases[i].mtu);
		end(&b);
	}
}

/* Whoever asks: afterwards both use it. */
static void test_mtu_of_the_wearable(void **state)
{
	struct bench b;

	begin(&b);
	assert_int_equal(ask(&b, "02 05 02"), 0);
	play(&b, "> 02 05 02\n"
		 "< 02 e8 00\n"
		 "> 03 05 02\n");
	assert_int_equal(att_mtu(b.att), 232);
	play(&b, "< 03 e8 00\n"
		 "= done 0 00 e8 00\n"
		 "< 02 e8\n"
		 "> 01 02 00 00 04\n"
		 "< 02 e8 00 00\n"
		 "> 01 02 00 00 04\n");
	assert_int_equal(att_mtu(b.att), 232);
	assert_int_equal(att_counts(b.att)->requests, 3);
	end(&b);
}

static void test_values(void **state)
{
	struct bench b;

	begin(&b);
	play(&b, "< 1b 10 00 16 4b\n"
		 "= value 0010 16 4b\n"
		 "< 1b 10 00\n"
		 "= value 0010\n"
		 "< 1d 34 12 f0 02\n"
		 "> 1e\n"
		 "= value 1234 f0 02\n"
		 "< 1d 00 00\n"
		 "> 1e\n"
		 "= value 0000\n");
	assert_int_equal(ask(&b, "0a 10 00"), 0);
	play(&b, "> 0a 10 00\n"
		 "< 1b 10 00 01\n"
		 "= value 0010 01\n"
		 "< 1d 11 00 02\n"
		 "> 1e\n"
		 "= value 0011 02\n"
		 "< 0b 03\n"
		 "= done 0 00 03\n");
	end(&b);
}

static void test_what_is_dropped(void **state)
{
	struct bench b;

	begin(&b);
	assert_int_equal(ask(&b, "0a 10 00"), 0);
	play(&b, "> 0a 10 00\n"
		 "<\n"
		 "< 1b\n"
		 "< 1b 10\n"
		 "< 1d\n"
		 "< 1d 10\n");
	assert_int_equal(att_counts(b.att)->malformed, 5);
	play(&b, "< 1e\n"
		 "< 23 10 00 01 00 16\n"
		 "< 52 10 00 01\n"
		 "< d2 10 00 01\n"
		 "< 40\n"
		 "< 42 05 02\n"
		 "< 15 00\n"
		 "< 1f\n"
		 "< 25 00\n"
		 "< 3f\n"
		 "< ff\n");
	assert_int_equal(att_counts(b.att)->unexpected, 11);
	/* 24 bytes of 23 */
	play(&b, "< 1b 10 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15\n"
		 "< 1d 10 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15\n"
		 "< 12 10 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15\n");
	assert_int_equal(att_counts(b.att)->oversized, 3);
	play(&b, "< 1b 10 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14\n"
		 "= value 0010 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14\n"
		 "< 0b 03\n"
		 "= done 0 00 03\n");
	assert_int_equal(att_counts(b.att)->violations, 0);
	end(&b);
}

static void test_its_requests_are_answered(void **state)
{
	struct bench b;

	begin(&b);
	play(&b, "< 02 40 00\n"
		 "> 03 05 02\n"
		 "< 04 01 00 ff ff\n"
		 "> 01 04 01 00 0a\n"
		 "< 06 01 00 ff ff 00 28 0d 18\n"
		 "> 01 06 01 00 0a\n"
		 "< 08 02 01 ff ff 03 28\n"
		 "> 01 08 02 01 0a\n"
		 "< 0a 03 00\n"
		 "> 01 0a 03 00 0a\n"
		 "< 10 01 00 ff ff 00 28\n"
		 "> 01 10 01 00 0a\n"
		 "< 12 05 00 01 00\n"
		 "> 01 12 05 00 03\n"
		 "< 0c 05 00 16 00\n"
		 "> 01 0c 05 00 06\n"
		 "< 0e 05 00 06 00\n"
		 "> 01 0e 05 00 06\n"
		 "< 16 05 00 00 00 01\n"
		 "> 01 16 05 00 06\n"
		 "< 18 01\n"
		 "> 01 18 00 00 06\n"
		 "< 20 05 00 06 00\n"
		 "> 01 20 05 00 06\n"
		 "< 3e\n"
		 "> 01 3e 00 00 06\n"
		 "< 00\n"
		 "> 01 00 00 00 06\n"
		 "< 0a\n"
		 "> 01 0a 00 00 0a\n"
		 "< 10 01\n"
		 "> 01 10 00 00 0a\n"
		 "< 12\n"
		 "> 01 12 00 00 03\n");
	assert_int_equal(att_counts(b.att)->requests, 17);
	assert_int_equal(att_mtu(b.att), 64);
	assert_false(att_broken(b.att));
	end(&b);
}

/* An answer that cannot be ends the link, and what was asked. */
static void test_wrong_answers(void **state)
{
	static const struct {
		const char *asked, *answer;
	} cases[] = {
		{NULL, "< 0b 01"},
		{NULL, "< 03 e8 00"},
		{NULL, "< 13"},
		{NULL, "< 01 0a 10 00 0a"},
		{NULL, "< 01"},
		{"0a 10 00", "< 0d 01"},
		{"0a 10 00", "< 09 01"},
		{"0a 10 00", "< 13"},
		{"0a 10 00", "< 21 00"},
		{"0a 10 00", "< 01 0c 10 00 0a"},
		{"0a 10 00", "< 01 0a 10 00"},
		{"0a 10 00", "< 01 0a 10 00 0a 00"},
		{"0a 10 00", "< 01"},
		{"0a 10 00", "< 0b 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 "
			     "15 16"},
		{"02 05 02", "< 03"},
		{"02 05 02", "< 03 e8"},
		{"02 05 02", "< 03 e8 00 00"},
		{"12 10 00 01", "< 13 00"},
		{"12 10 00 01", "< 0b"},
	};
	struct bench b;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin(&b);
		if (cases[i].asked) {
			assert_int_equal(ask(&b, cases[i].asked), 0);
			assert_int_equal(ask(&b, "0a 77 00"), 0);
			b.script.seen.size = 0;
		}
		script_line(&b.script, cases[i].answer);
		if (cases[i].asked)
			play(&b, "= broken: it answered what was not asked\n"
				 "= done 3 00\n"
				 "= done 3 00\n");
		else
			play(&b, "= broken: it answered what was not asked\n");
		assert_true(att_broken(b.att));
		assert_int_equal(att_counts(b.att)->violations, 1);
		assert_int_equal(att_mtu(b.att), 23);
		assert_int_equal(ask(&b, "0a 10 00"), ATT_E_GONE);
		assert_int_equal(att_command(b.att, (const uint8_t[]){0x52, 1, 0}, 3), ATT_E_GONE);
		play(&b, "< 1d 10 00 01\n"
			 "< 02 e8 00\n"
			 "< 0b 01\n"
			 "+ 60000\n");
		assert_int_equal(att_due(b.att), USEC_INFINITY);
		end(&b);
	}
}

static void test_timeout(void **state)
{
	struct bench b;

	begin(&b);
	assert_int_equal(ask(&b, "0a 10 00"), 0);
	assert_int_equal(ask(&b, "0a 11 00"), 0);
	assert_int_equal(att_due(b.att), b.script.now + 30 * USEC_PER_SEC);
	att_tick(b.att, b.script.now); /* too early */
	play(&b, "> 0a 10 00\n"
		 "+ 29999\n"
		 "< 1b 10 00 01\n"
		 "= value 0010 01\n"
		 "< 0b\n"
		 "> 0a 11 00\n"
		 "= done 0 00\n"
		 "+ 29999\n");
	assert_int_equal(ask(&b, "0a 12 00"), 0);
	play(&b, "+ 1\n"
		 "= broken: it did not answer a request in time\n"
		 "= done 2 00\n"
		 "= done 3 00\n"
		 "< 0b\n");
	end(&b);
}

static void test_break(void **state)
{
	struct bench b;

	begin(&b);
	assert_int_equal(ask(&b, "0a 10 00"), 0);
	att_break(b.att, "of its list");
	att_break(b.att, "of the first reason");
	play(&b, "> 0a 10 00\n"
		 "= broken: of its list\n"
		 "= done 3 00\n");
	end(&b);
}

/* Each callback may free it. */
static void test_freed_by_callbacks(void **state)
{
	static const char *const what_happens[] = {
		"< 0b 01\n= done 0 00 01\n",
		"< 01 0a 10 00 05\n= done 1 05\n",
		"< 13\n= broken: it answered what was not asked\n",
		"+ 30000\n= broken: it did not answer a request in time\n",
		"< 1b 10 00 01\n= value 0010 01\n",
		"< 1d 10 00 01\n> 1e\n= value 0010 01\n",
	};
	struct bench b;

	for (size_t i = 0; i < ARRAY_SIZE(what_happens); i++) {
		begin(&b);
		assert_int_equal(ask(&b, "0a 10 00"), 0);
		play(&b, "> 0a 10 00\n");
		b.freed_by_callback = true;
		play(&b, what_happens[i]);
		assert_null(b.att);
		end(&b);
	}
	begin(&b);
	b.freed_by_callback = true;
	play(&b, "< 13\n= broken: it answered what was not asked\n");
	assert_null(b.att);
	end(&b);
}

static void test_uuids(void **state)
{
	static const struct {
		const char *hex;
		unsigned number;
		enum characteristic characteristic;
	} cases[] = {
		{"37 2a", 0x2a37, CHARACTERISTIC_HEART_RATE_MEASUREMENT},
		{"02 29", 0x2902, CHARACTERISTIC_UNKNOWN},
		{"00 00", 0, CHARACTERISTIC_UNKNOWN},
		{"fb 34 9b 5f 80 00 00 80 00 10 00 00 37 2a 00 00", 0x2a37,
		 CHARACTERISTIC_HEART_RATE_MEASUREMENT},
		{"fb 34 9b 5f 80 00 00 80 00 10 00 00 37 2a 01 00", 0, CHARACTERISTIC_UNKNOWN},
		{"fb 34 9b 5f 80 00 00 80 00 10 00 00 37 2a 00 01", 0, CHARACTERISTIC_UNKNOWN},
		{"fb 34 9b 5f 80 00 00 80 00 10 00 01 37 2a 00 00", 0, CHARACTERISTIC_UNKNOWN},
		{"c8 f0 8d 2d cd 8a ad 1c 87 f3 e7 02 81 5c 00 fb", 0,
		 CHARACTERISTIC_PMD_CONTROL_POINT},
		{"c8 f0 8d 2d cd 8a ad 1c 87 f3 e7 02 82 5c 00 fb", 0, CHARACTERISTIC_PMD_DATA},
		{"c8 f0 8d 2d cd 8a ad 1c 87 f3 e7 02 80 5c 00 fb", 0, CHARACTERISTIC_UNKNOWN},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t uuid[SCRIPT_PDU_MAX];
		size_t size = script_bytes(cases[i].hex, uuid);

		assert_int_equal(att_pdu_short_uuid(uuid, size), cases[i].number);
		assert_int_equal(att_pdu_characteristic(uuid, size), cases[i].characteristic);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests_wait_for_each_other),
		cmocka_unit_test(test_callback_may_ask),
		cmocka_unit_test(test_queue_is_bounded),
		cmocka_unit_test(test_nothing_longer_than_the_mtu_is_sent),
		cmocka_unit_test(test_mtu),
		cmocka_unit_test(test_mtu_of_the_wearable),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_what_is_dropped),
		cmocka_unit_test(test_its_requests_are_answered),
		cmocka_unit_test(test_wrong_answers),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_break),
		cmocka_unit_test(test_freed_by_callbacks),
		cmocka_unit_test(test_uuids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
