/*
 * Holds source/bluez_device.c to scripts: every order of answers, signals and silence, without a bus.
 * What it asks of its port is written down, line by line; time is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "source/bluez_device.h"
#include "util/buf.h"

#define SECOND USEC_PER_SEC

struct bench {
	struct device device;
	struct buf log;
	usec_t now;
	bool no_memory;
};

static void on_connect(void *userdata)
{
	buf_printf(&((struct bench *)userdata)->log, "connect\n");
}

static void on_disconnect(void *userdata)
{
	buf_printf(&((struct bench *)userdata)->log, "disconnect\n");
}

static void on_pair(void *userdata)
{
	buf_printf(&((struct bench *)userdata)->log, "pair\n");
}

static void on_remove(void *userdata)
{
	buf_printf(&((struct bench *)userdata)->log, "remove\n");
}

static int on_up(void *userdata)
{
	struct bench *b = userdata;

	buf_printf(&b->log, "up\n");
	return b->no_memory ? -ENOMEM : 0;
}

static void on_paired(void *userdata)
{
	buf_printf(&((struct bench *)userdata)->log, "paired\n");
}

static void on_down(void *userdata, enum gap_reason why)
{
	buf_printf(&((struct bench *)userdata)->log, "down %d\n", why);
}

static void on_rung(void *userdata, enum rung rung, const char *why)
{
	buf_printf(&((struct bench *)userdata)->log, "%s\n", rung_name(rung));
}

static void on_stuck(void *userdata)
{
	buf_printf(&((struct bench *)userdata)->log, "stuck\n");
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	const struct device_port port = {.userdata = b,
					 .connect = on_connect,
					 .disconnect = on_disconnect,
					 .pair = on_pair,
					 .remove = on_remove,
					 .up = on_up,
					 .paired = on_paired,
					 .down = on_down,
					 .rung = on_rung,
					 .stuck = on_stuck};

	assert_non_null(b);
	b->now = 100 * SECOND;
	device_init(&b->device, &port);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	buf_done(&b->log);
	free(b);
	return 0;
}

static void expect(struct bench *b, const char *lines)
{
	buf_printf(&b->log, "%s", "");
	assert_string_equal(b->log.data ? (const char *)b->log.data : "", lines);
	buf_done(&b->log);
}

static void later(struct bench *b, usec_t how_much)
{
	b->now += how_much;
	device_tick(&b->device, b->now);
}

/* What bluetoothd says; it is also seen, as it is in reach. */
static void told(struct bench *b, bool connected, bool resolved, bool bonded)
{
	ladder_link_seen(&b->device.ladder, b->now);
	device_told(&b->device, connected, resolved, bonded, GAP_LINK_LOSS, b->now);
}

static void answer(struct bench *b, int result, const char *why)
{
	b->now += 30 * USEC_PER_MSEC;
	device_done(&b->device, result, why, b->now);
}

static bool is_due(const struct bench *b)
{
	return b->device.state == DEVICE_IDLE &&
	       ladder_link_due(&b->device.ladder, b->now) <= b->now;
}

/* Its next turn, as soon as it may have one. */
static void start(struct bench *b)
{
	ladder_link_seen(&b->device.ladder, b->now);
	assert_int_equal(b->device.state, DEVICE_IDLE);
	b->now = MAX(b->now, b->device.ladder.not_before);
	device_start(&b->device, b->now);
}

static void link_up(struct bench *b, bool bonded)
{
	start(b);
	expect(b, "connect\n");
	told(b, true, false, bonded);
	answer(b, 0, "");
	told(b, true, true, bonded);
}

/* --- the scripts --- */

static void a_link_comes_and_goes(void **state)
{
	struct bench *b = *state;

	link_up(b, false);
	expect(b, "up\n");
	assert_int_equal(device_due(&b->device), USEC_INFINITY);
	told(b, false, false, false);
	expect(b, "down 1\n");
	assert_false(is_due(b));
	later(b, SECOND);
	assert_true(is_due(b));
}

/* An old reason would hide the new one: that the link was lost. */
static void what_failed_before_is_forgotten_when_it_works(void **state)
{
	struct bench *b = *state;

	start(b);
	answer(b, DEVICE_E_FAILED, "le-connection-abort-by-local");
	told(b, false, false, false);
	answer(b, 0, "");
	assert_string_equal(b->device.why, "le-connection-abort-by-local");
	expect(b, "connect\ndisconnect\n");
	link_up(b, false);
	assert_string_equal(b->device.why, "");
}

/* bluetoothd may know the object and say that it does not: never as fast as it can answer. */
static void an_object_that_is_not_there_is_not_hammered(void **state)
{
	struct bench *b = *state;

	for (unsigned i = 0; i < 8; i++) {
		start(b);
		expect(b, "connect\n");
		answer(b, DEVICE_E_GONE, "Method \"Connect\" doesn't exist");
		assert_false(is_due(b));
	}
	later(b, 7 * SECOND);
	assert_false(is_due(b));
	later(b, SECOND);
	assert_true(is_due(b));
}

/* A link comes up, and its streams want a bond. */
static void ask_to_pair(struct bench *b)
{
	link_up(b, false);
	device_need(&b->device, SESSION_NEED_PAIRING, "", b->now);
}

static void pairing_is_asked_for_once_and_kept(void **state)
{
	struct bench *b = *state;

	link_up(b, false);
	expect(b, "up\n");
	device_need(&b->device, SESSION_NEED_PAIRING, "", b->now);
	expect(b, "pair\n");
	told(b, true, true, true);
	answer(b, 0, "");
	expect(b, "paired\n");
}

/* Its heart rate needs no bond: it must not be torn down again and again for the ECG's sake. */
static void pairing_that_fails_leaves_the_open_streams_alone(void **state)
{
	struct bench *b = *state;

	ask_to_pair(b);
	answer(b, DEVICE_E_BOND, "Authentication Failed");
	expect(b, "up\npair\ndown 1\ndisconnect\n"); /* once is chance */
	assert_string_equal(b->device.why, "pairing failed: Authentication Failed");
	told(b, false, false, false);
	ask_to_pair(b);
	answer(b, DEVICE_E_BOND, "Authentication Failed");
	expect(b, "up\npair\npaired\n"); /* in vain: the session asks once more, and does without */
	assert_int_equal(b->device.state, DEVICE_UP);
	told(b, false, false, false);
	expect(b, "down 1\n");
	/* The next links do without at once, for a while. */
	ask_to_pair(b);
	expect(b, "up\npaired\n");
	told(b, false, false, false);
	expect(b, "down 1\n");
	later(b, 600 * SECOND);
	ask_to_pair(b);
	told(b, true, true, true);
	answer(b, 0, "");
	expect(b, "up\npair\npaired\n");
}

/* Some drop the link when they do not want to pair; a link may also just break. */
static void pairing_that_costs_the_link_twice_is_left(void **state)
{
	struct bench *b = *state;

	for (unsigned i = 0; i < 2; i++) {
		ask_to_pair(b);
		expect(b, "up\npair\n");
		told(b, false, false, false);
		expect(b, "down 1\n");
	}
	ask_to_pair(b);
	expect(b, "up\npaired\n");
}

static void pairing_without_an_answer_twice_is_left(void **state)
{
	struct bench *b = *state;

	for (unsigned i = 0; i < 2; i++) {
		ask_to_pair(b);
		later(b, 20 * SECOND);
		expect(b, "up\npair\ndown 1\ndisconnect\n");
		told(b, false, false, false);
	}
	ask_to_pair(b);
	expect(b, "up\npaired\n");
}

/* The owner said: before anything else. */
static void pairing_that_the_owner_wants_comes_first(void **state)
{
	struct bench *b = *state;

	b->device.pair = CONFIG_PAIR_YES;
	for (unsigned i = 0; i < 3; i++) {
		link_up(b, false);
		expect(b, "pair\n");
		answer(b, DEVICE_E_BOND, "Authentication Failed");
		expect(b, "disconnect\n");
		told(b, false, false, false);
	}
	link_up(b, false);
	told(b, true, true, true);
	answer(b, 0, "");
	expect(b, "pair\nup\n");
}

/*
 * Bonded, and refused all the same: the bond is made anew, once an hour. Meanwhile what needs none goes
 * on, though beats (which look like success) come in between.
 */
static void a_bond_that_is_refused_is_renewed_once_an_hour(void **state)
{
	struct bench *b = *state;

	link_up(b, true);
	device_need(&b->device, SESSION_NEED_PAIRING, "", b->now);
	expect(b, "up\ndown 1\ndisconnect\n");
	told(b, false, false, true);
	start(b);
	expect(b, "remove the bond and pair again\nremove\n");
	device_lost(&b->device, GAP_LINK_LOSS, b->now);
	link_up(b, false);
	told(b, true, true, true);
	answer(b, 0, "");
	expect(b, "pair\nup\n");
	ladder_link_up(&b->device.ladder); /* a beat */
	device_need(&b->device, SESSION_NEED_PAIRING, "", b->now);
	expect(b, "paired\n");
	told(b, false, false, true);
	expect(b, "down 1\n");
	later(b, 3600 * SECOND);
	link_up(b, true);
	device_need(&b->device, SESSION_NEED_PAIRING, "", b->now);
	expect(b, "up\ndown 1\ndisconnect\n");
}

/* It was told to forget its bond, and does not want another one: it has a heart rate still. */
static void a_bond_that_is_not_made_again_is_left(void **state)
{
	struct bench *b = *state;

	for (unsigned i = 0; i < 2; i++) { /* encryption fails, the link drops */
		start(b);
		told(b, true, false, true);
		answer(b, 0, "");
		told(b, false, false, true);
	}
	expect(b, "connect\nconnect\n");
	start(b);
	expect(b, "remove the bond and pair again\nremove\n");
	device_lost(&b->device, GAP_LINK_LOSS, b->now);
	for (unsigned i = 0; i < 2; i++) {
		link_up(b, false);
		answer(b, DEVICE_E_BOND, "Authentication Failed");
		expect(b, "pair\ndisconnect\n");
		told(b, false, false, false);
	}
	link_up(b, false);
	expect(b, "up\n");
}

/* The bond has to go, or there is no link at all; a new one is the owner's to make. */
static void a_bond_that_the_owner_does_not_want_is_not_made_again(void **state)
{
	struct bench *b = *state;

	b->device.pair = CONFIG_PAIR_NO;
	for (unsigned i = 0; i < 2; i++) {
		start(b);
		told(b, true, false, true);
		answer(b, 0, "");
		told(b, false, false, true);
	}
	expect(b, "connect\nconnect\n");
	start(b);
	expect(b, "remove the bond and pair again\nremove\n");
	answer(b, 0, "");
	link_up(b, false);
	expect(b, "up\n");
	assert_non_null(strstr(b->device.why, "pair = no"));
	told(b, false, false, false);
	expect(b, "down 1\n");
	link_up(b, false);
	expect(b, "up\n");
	assert_string_equal(b->device.why, "");
	device_need(&b->device, SESSION_NEED_PAIRING, "", b->now);
	expect(b, "paired\n"); /* it does without */
	assert_non_null(strstr(b->device.why, "pair = no"));
}

static void a_link_that_was_gone_was_not_silent(void **state)
{
	struct bench *b = *state;

	link_up(b, false);
	device_need(&b->device, SESSION_NEED_END, "the link went away", b->now);
	expect(b, "up\ndown 1\ndisconnect\n");
	told(b, false, false, false);
	link_up(b, false);
	device_need(&b->device, SESSION_NEED_RECONNECT, "silent", b->now);
	expect(b, "up\nreconnect\ndown 10\ndisconnect\n");
}

/* Nothing would ever happen on a link without a session. */
static void a_link_without_memory_is_tried_again(void **state)
{
	struct bench *b = *state;

	b->no_memory = true;
	link_up(b, false);
	expect(b, "up\ndisconnect\n");
	assert_string_equal(b->device.why, "this machine has no memory for it");
	told(b, false, false, false);
	expect(b, "");
	b->no_memory = false;
	link_up(b, false);
	expect(b, "up\n");
}

static void it_leaves_from_every_state(void **state)
{
	struct bench *b = *state;

	start(b);
	device_leave(&b->device, true, b->now);
	expect(b, "connect\ndisconnect\n");
	answer(b, 0, "");
	assert_int_equal(b->device.state, DEVICE_IDLE);
	device_leave(&b->device, false, b->now);
	link_up(b, false);
	device_leave(&b->device, true, b->now);
	expect(b, "up\ndown 3\ndisconnect\n");
	device_leave(&b->device, true, b->now);
	expect(b, "");
	told(b, false, false, false);
	assert_int_equal(b->device.state, DEVICE_IDLE);
}

#define script(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		script(a_link_comes_and_goes),
		script(what_failed_before_is_forgotten_when_it_works),
		script(an_object_that_is_not_there_is_not_hammered),
		script(pairing_is_asked_for_once_and_kept),
		script(pairing_that_fails_leaves_the_open_streams_alone),
		script(pairing_that_costs_the_link_twice_is_left),
		script(pairing_without_an_answer_twice_is_left),
		script(pairing_that_the_owner_wants_comes_first),
		script(a_bond_that_is_refused_is_renewed_once_an_hour),
		script(a_bond_that_is_not_made_again_is_left),
		script(a_bond_that_the_owner_does_not_want_is_not_made_again),
		script(a_link_that_was_gone_was_not_silent),
		script(a_link_without_memory_is_tried_again),
		script(it_leaves_from_every_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
