/*
 * Holds source/mgmt.c to scripts: what the kernel answers, as bytes, and what is asked of it then.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "source/mgmt.h"
#include "util/buf.h"

#include <stdio.h>

#define SECOND	  USEC_PER_SEC
#define LIST	  "0300ffff0000"
#define INFO	  "040000000000"
#define SET_LE	  "0d000000010001"
#define SET_POWER "05000000010001"

struct bench {
	struct mgmt *mgmt;
	usec_t now;
	struct buf sent; /* hexadecimal, a line each */
	unsigned n_changed;
};

static void on_send(void *userdata, const uint8_t *data, size_t size)
{
	struct bench *b = userdata;

	for (size_t i = 0; i < size; i++)
		buf_printf(&b->sent, "%02x", data[i]);
	buf_printf(&b->sent, "\n");
}

static void on_changed(void *userdata)
{
	((struct bench *)userdata)->n_changed++;
}

static void begin(struct bench *b, const char *adapter)
{
	const struct mgmt_handler handler = {b, on_send, on_changed};

	assert_int_equal(mgmt_new(adapter, &handler, &b->mgmt), 0);
	assert_int_equal(mgmt_due(b->mgmt), 0);
	mgmt_tick(b->mgmt, b->now);
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	b->now = 100 * SECOND;
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	mgmt_free(b->mgmt);
	buf_done(&b->sent);
	free(b);
	return 0;
}

static void expect(struct bench *b, const char *lines)
{
	buf_printf(&b->sent, "%s", "");
	assert_string_equal(b->sent.data ? (const char *)b->sent.data : "", lines);
	buf_done(&b->sent);
}

/* The kernel says; in hexadecimal. */
static void say(struct bench *b, const char *hex)
{
	uint8_t data[MGMT_MESSAGE_MAX];
	size_t n = 0;

	for (; hex[0] && hex[1]; hex += 2) {
		const char digits[] = {hex[0], hex[1], '\0'};

		data[n++] = (uint8_t)strtoul(digits, NULL, 16);
	}
	b->now += USEC_PER_MSEC;
	mgmt_receive(b->mgmt, data, n, b->now);
}

/* Command complete of Read Controller Information; settings as 8 digits. */
static void say_info(struct bench *b, unsigned index, const char *address, const char *supported,
		     const char *settings)
{
	char hex[256];

	(void)snprintf(hex, sizeof(hex), "0100%02x000000040000%s09ffff%s%s000000", index, address,
		       supported, settings);
	say(b, hex);
}

#define OURS "00ef00be00c0" /* c0:00:be:00:ef:00 */
#define ALL  "ff3e0100"

static void an_adapter_that_is_off_is_switched_on(void **state)
{
	struct bench *b = *state;

	begin(b, NULL);
	expect(b, LIST "\n");
	say(b, "0100ffff0700030000"
	       "01000000");
	expect(b, INFO "\n");
	say_info(b, 0, OURS, ALL, "00000000");
	assert_string_equal(mgmt_name(b->mgmt), "hci0");
	assert_string_equal(mgmt_address(b->mgmt), "c0:00:be:00:ef:00");
	expect(b, SET_LE "\n");
	say(b, "01000000070"
	       "00d0000"
	       "00020000");
	expect(b, SET_POWER "\n");
	assert_false(mgmt_ready(b->mgmt));
	say(b, "0100000007000500"
	       "00"
	       "01020000");
	assert_true(mgmt_ready(b->mgmt));
	assert_int_equal(b->n_changed, 1);
	assert_string_equal(mgmt_problem(b->mgmt), "");
	assert_int_equal(mgmt_due(b->mgmt), USEC_INFINITY);
}

static void bring_up(struct bench *b)
{
	begin(b, NULL);
	say(b, "0100ffff070003000001000000");
	say_info(b, 0, OURS, ALL, "01020000");
	assert_true(mgmt_ready(b->mgmt));
	buf_done(&b->sent);
	b->n_changed = 0;
}

static void the_one_that_is_wanted_is_found(void **state)
{
	struct bench *b = *state;

	begin(b, "c0:00:be:00:ef:00");
	say(b, "0100ffff0b00030000"
	       "0300"
	       "0100"
	       "0200"
	       "0000");
	expect(b, LIST "\n040001000000\n");
	say(b, "02000100030004001100"); /* hci1 went meanwhile; a byte too many does no harm */
	expect(b, "040002000000\n");
	say_info(b, 2, "010000000000", ALL, "01020000");
	expect(b, INFO "\n");
	say_info(b, 0, OURS, ALL, "01020000");
	assert_true(mgmt_ready(b->mgmt));
	assert_string_equal(mgmt_name(b->mgmt), "hci0");
}

static void without_le_is_passed_over(void **state)
{
	struct bench *b = *state;

	begin(b, NULL);
	say(b, "0100ffff0700030000"
	       "01000000");
	say_info(b, 0, OURS, "81000000", "01000000");
	assert_string_equal(mgmt_problem(b->mgmt),
			    "this machine has no Bluetooth adapter that can do LE");
	assert_string_equal(mgmt_name(b->mgmt), "");
}

static void none_is_told_and_looked_for(void **state)
{
	struct bench *b = *state;

	begin(b, "hci3");
	say(b, "0100ffff050003000000"
	       "00");
	assert_string_equal(mgmt_problem(b->mgmt),
			    "this machine has no Bluetooth adapter hci3 that can do LE");
	assert_int_equal(b->n_changed, 1);
	expect(b, LIST "\n");
	b->now += 9 * SECOND;
	mgmt_tick(b->mgmt, b->now);
	expect(b, "");
	b->now += 2 * SECOND;
	mgmt_tick(b->mgmt, b->now);
	expect(b, LIST "\n");
	say(b, "0100ffff050003000000"
	       "00");
	assert_int_equal(b->n_changed, 1); /* nothing new */
	say(b, "040003000000");		   /* index added */
	expect(b, LIST "\n");
	say(b, "0100ffff0700030000"
	       "01000300");
	say_info(b, 3, OURS, ALL, "01020000");
	assert_true(mgmt_ready(b->mgmt));
	assert_string_equal(mgmt_problem(b->mgmt), "");
}

static void without_the_right_it_waits_for_somebody_else(void **state)
{
	struct bench *b = *state;

	begin(b, NULL);
	say(b, "0100ffff070003000001000000");
	say_info(b, 0, OURS, ALL, "00020000");
	say(b, "020000000300050014");
	assert_non_null(strstr(mgmt_problem(b->mgmt),
			       "the adapter hci0 is off, and switching it on needs CAP_NET_ADMIN"));
	buf_done(&b->sent);
	b->now += 10 * SECOND;
	mgmt_tick(b->mgmt, b->now);
	expect(b, SET_POWER "\n");
	say(b, "020000000300050014");
	say(b, "06000000040001020000"); /* new settings: it is on */
	assert_true(mgmt_ready(b->mgmt));
	assert_string_equal(mgmt_problem(b->mgmt), "");
	assert_int_equal(b->n_changed, 2);
}

static void other_refusals_are_told(void **state)
{
	struct bench *b = *state;

	begin(b, NULL);
	say(b, "0100ffff070003000001000000");
	say_info(b, 0, OURS, ALL, "00020000");
	say(b, "020000000300050012");
	assert_string_equal(mgmt_problem(b->mgmt),
			    "the adapter hci0 is blocked: rfkill unblock bluetooth");
	b->now += 10 * SECOND;
	mgmt_tick(b->mgmt, b->now);
	say(b, "020000000300050003");
	assert_string_equal(mgmt_problem(b->mgmt),
			    "the adapter hci0 cannot be switched on (the kernel says 0x03)");
	b->now += 10 * SECOND;
	mgmt_tick(b->mgmt, b->now);
	say(b, "01000000070005000000020000"); /* done, and yet it is off */
	assert_string_equal(mgmt_problem(b->mgmt),
			    "the adapter hci0 cannot be switched on (the kernel says 0x0b)");
}

static void no_answer_is_told(void **state)
{
	struct bench *b = *state;

	begin(b, NULL);
	say(b, "0100ffff070003000001000000");
	say_info(b, 0, OURS, ALL, "00020000");
	buf_done(&b->sent);
	b->now = mgmt_due(b->mgmt);
	mgmt_tick(b->mgmt, b->now);
	assert_non_null(strstr(mgmt_problem(b->mgmt), "the kernel does not answer"));
	b->now = mgmt_due(b->mgmt);
	mgmt_tick(b->mgmt, b->now);
	expect(b, SET_POWER "\n");
}

static void switched_off_is_switched_on_again(void **state)
{
	struct bench *b = *state;

	bring_up(b);
	say(b, "06000100040000020000"); /* another adapter */
	assert_true(mgmt_ready(b->mgmt));
	say(b, "06000000040000020000");
	assert_false(mgmt_ready(b->mgmt));
	expect(b, SET_POWER "\n");
	assert_int_equal(b->n_changed, 1);
}

static void unplugged_begins_anew(void **state)
{
	struct bench *b = *state;

	bring_up(b);
	say(b, "050000000000");
	assert_false(mgmt_ready(b->mgmt));
	assert_string_equal(mgmt_name(b->mgmt), "");
	expect(b, LIST "\n");
}

static void nonsense_does_nothing(void **state)
{
	struct bench *b = *state;

	begin(b, NULL);
	buf_done(&b->sent);
	say(b, "");
	say(b, "0100");
	say(b, "0100ffff0000");
	say(b, "0100ffff03000400"
	       "00"); /* the answer to another command */
	say(b, "010001000700030000"
	       "01000000"); /*   ... or of another adapter */
	say(b, "ffffffff0000");
	expect(b, "");
	say(b, "0100ffff070003000005000000"); /* five, and then one */
	expect(b, INFO "\n");
	say(b, "010000000300040000"); /* without the information */
	assert_false(mgmt_ready(b->mgmt));
	assert_non_null(strstr(mgmt_problem(b->mgmt), "no Bluetooth adapter"));
}

#define script(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		script(an_adapter_that_is_off_is_switched_on),
		script(the_one_that_is_wanted_is_found),
		script(without_le_is_passed_over),
		script(none_is_told_and_looked_for),
		script(without_the_right_it_waits_for_somebody_else),
		script(other_refusals_are_told),
		script(no_answer_is_told),
		script(switched_off_is_switched_on_again),
		script(unplugged_begins_anew),
		script(nonsense_does_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
