/*
 * Holds source/session.c to scripts: what a wearable offers and answers on one side, the operations
 * and the news that come of it, in order, on the other. What comes once it streams is in
 * test-session_watch.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "session_toys.h"

static void all_that_is_offered_is_started_in_order(void **state)
{
	struct bench *b = *state;

	assert_int_equal(session_due(b->session), 0);
	offer_heart(b);
	offer_toy(b);
	b->properties[PLACE] = READ;
	b->properties[BATTERY] = READ | NOTIFY;
	run(b);
	assert_string_equal(session_offers(b->session), "toy battery heart_rate");
	assert_true(b->changed);
	expect(b, "notify 2a37\n");
	good(b);
	expect(b, "read 2a19\n");
	answer(b, 0, 0, "\x64", 1);
	expect(b, "read 2a38\nframe 2a19 64\n");
	answer(b, 0, 0, "\x01", 1);
	expect(b, "notify 2a19\nframe 2a38 01\n");
	good(b);
	expect(b, "read control\n");
	value(b, HEART, "\x00\x3c");
	expect(b, "frame 2a37 003c\n");
	answer(b, 0, 0, "\x0f\x01", 2);
	expect(b, "indicate control\nframe control 0f01\n");
	good(b);
	expect(b, "notify data\n");
	good(b);
	expect(b, "write control a104\n");
	good(b);
	assert_false(session_running(b->session));
	b->changed = false;
	value(b, CONTROL, "\xf0\x04");
	assert_true(b->changed);
	assert_true(session_running(b->session));
	assert_int_equal(session_heard(b->session), b->now);
}

static void nothing_offered_is_nothing_done(void **state)
{
	struct bench *b = *state;

	run(b);
	expect(b, "");
	assert_string_equal(session_offers(b->session), "");
	assert_true(session_running(b->session));
	assert_int_equal(session_due(b->session), USEC_INFINITY);
}

static void an_unwanted_profile_is_left_alone(void **state)
{
	struct bench *b = *state;

	session_set_wanted(b->session, HR, b->now);
	offer_toy(b);
	start_heart(b);
	assert_string_equal(session_offers(b->session), "toy heart_rate");
}

static void refused_reads_are_counted_and_gone_on_from(void **state)
{
	struct bench *b = *state;

	b->properties[PLACE] = b->properties[BATTERY] = READ;
	offer_heart(b);
	offer_toy(b);
	run(b);
	good(b);
	answer(b, SESSION_E_REFUSED, 0x02, NULL, 0);
	answer(b, SESSION_E_REFUSED, 0x0a, NULL, 0);
	expect(b, "notify 2a37\nread 2a19\nread 2a38\nread control\n");
	assert_int_equal(session_counts(b->session)->reads_refused, 2);
}

/* It costs 10 s, and no beat. */
static void a_read_without_answer_is_the_last(void **state)
{
	struct bench *b = *state;

	b->properties[PLACE] = READ;
	b->properties[BATTERY] = READ | NOTIFY;
	offer_heart(b);
	run(b);
	good(b);
	value(b, HEART, "\x00\x3c");
	expect(b, "notify 2a37\nread 2a19\nframe 2a37 003c\n");
	answer(b, SESSION_E_TIMEOUT, 0, NULL, 0);
	expect(b, "notify 2a19\n");
}

static void security_pairs_and_repeats(void **state)
{
	struct bench *b = *state;

	offer_toy(b);
	run(b);
	answer(b, SESSION_E_SECURITY, 0x0f, NULL, 0);
	expect(b, "read control\nneed pairing: the wearable wants an encrypted link\n");
	later(b, 100 * SECOND);
	expect(b, ""); /* nothing happens until then */
	session_paired(b->session, b->now);
	run(b);
	expect(b, "read control\n");
	answer(b, 0, 0, "\x0f\x01", 2);
	good(b);
	good(b);
	expect(b, "indicate control\nframe control 0f01\nnotify data\nwrite control a104\n");
}

static void security_after_pairing_gives_up_the_profile_only(void **state)
{
	struct bench *b = *state;

	offer_toy(b);
	offer_heart(b);
	run(b);
	good(b);
	answer(b, SESSION_E_SECURITY, 0x05, NULL, 0);
	session_paired(b->session, b->now);
	run(b);
	answer(b, SESSION_E_SECURITY, 0x05, NULL, 0); /* a read: the subscription has its say */
	answer(b, SESSION_E_SECURITY, 0x05, NULL, 0);
	expect(b, "notify 2a37\nread control\n"
		  "need pairing: the wearable wants an encrypted link\n"
		  "read control\nindicate control\n");
	assert_true(session_running(b->session));
	assert_string_equal(session_why(b->session),
			    "ecg: the wearable wants an encrypted link, and refused it too");
	value(b, HEART, "\x00\x3c");
	expect(b, "frame 2a37 003c\n");
	later(b, 5 * SECOND);
	expect(b, "");
}

static void a_read_is_no_reason_to_pair(void **state)
{
	struct bench *b = *state;

	b->properties[BATTERY] = READ;
	offer_heart(b);
	offer_toy(b);
	run(b);
	good(b);
	answer(b, SESSION_E_SECURITY, 0x05, NULL, 0);
	expect(b, "notify 2a37\nread 2a19\nread control\n");
	answer(b, SESSION_E_SECURITY, 0x05, NULL, 0);
	expect(b, "need pairing: the wearable wants an encrypted link\n");
	session_paired(b->session, b->now);
	run(b);
	answer(b, 0, 0, "\x0f\x01", 2);
	expect(b, "read control\nread 2a19\nframe control 0f01\n"); /* now it may be told */
	answer(b, SESSION_E_SECURITY, 0x05, NULL, 0);
	expect(b, "indicate control\n");
	assert_int_equal(session_counts(b->session)->reads_refused, 2);
}

static void paired_when_nobody_asked_changes_nothing(void **state)
{
	struct bench *b = *state;

	offer_toy(b);
	session_paired(b->session, b->now);
	run(b);
	answer(b, SESSION_E_SECURITY, 0x05, NULL, 0);
	expect(b, "read control\nneed pairing: the wearable wants an encrypted link\n");
}

static void a_refused_subscription_is_told_and_tried_again(void **state)
{
	struct bench *b = *state;

	offer_heart(b);
	run(b);
	answer(b, SESSION_E_REFUSED, 0x0e, NULL, 0);
	expect(b, "notify 2a37\n");
	assert_string_equal(session_why(b->session),
			    "heart_rate: the wearable refused the subscription (ATT error 0x0e)");
	assert_true(session_running(b->session));
	later(b, 59 * SECOND);
	expect(b, "");
	later(b, SECOND);
	expect(b, "notify 2a37\n");
	answer(b, SESSION_E_REFUSED, 0, NULL, 0);
	assert_string_equal(session_why(b->session),
			    "heart_rate: the wearable refused the subscription");
	later(b, 60 * SECOND);
	good(b);
	expect(b, "notify 2a37\n");
	assert_string_equal(session_why(b->session), "");
}

/* The carrier's fault: whoever owns the link decides whether another one is worth a try. */
static void a_subscription_that_is_kept_needs_another_link(void **state)
{
	struct bench *b = *state;

	offer_heart(b);
	run(b);
	answer(b, SESSION_E_KEPT, 0, NULL, 0);
	expect(b, "notify 2a37\nneed renew: bluetoothd keeps the last subscription\n");
	assert_string_equal(session_why(b->session),
			    "heart_rate: bluetoothd keeps the last subscription");
	later(b, 60 * SECOND);
	good(b);
	expect(b, "notify 2a37\n");
	assert_string_equal(session_why(b->session), "");
}

static void a_battery_that_refuses_is_no_reason(void **state)
{
	struct bench *b = *state;

	b->properties[BATTERY] = NOTIFY;
	run(b);
	answer(b, SESSION_E_REFUSED, 0x0e, NULL, 0);
	assert_string_equal(session_why(b->session), "");
}

static void a_subscription_without_answer_twice_reconnects(void **state)
{
	struct bench *b = *state;

	offer_heart(b);
	run(b);
	answer(b, SESSION_E_TIMEOUT, 0, NULL, 0);
	answer(b, SESSION_E_TIMEOUT, 0, NULL, 0);
	expect(b, "notify 2a37\nnotify 2a37\n"
		  "need reconnect: no answer when heart rate measurement was subscribed to\n");
	later(b, 1000 * SECOND);
	expect(b, "");
	assert_false(session_running(b->session));
}

static void gone_is_gone(void **state)
{
	struct bench *b = *state;

	offer_heart(b);
	run(b);
	answer(b, SESSION_E_GONE, 0, NULL, 0);
	expect(b, "notify 2a37\nneed end: the link went away\n");
}

static void what_cannot_be_subscribed_to_is_told(void **state)
{
	struct bench *b = *state;

	b->properties[HEART] = READ;
	run(b);
	expect(b, "");
	assert_string_equal(session_why(b->session), "heart_rate: it cannot be subscribed to");
}

static void a_problem_is_told_and_tried_again(void **state)
{
	struct bench *b = *state;

	offer_toy(b);
	run(b);
	answer(b, SESSION_E_REFUSED, 2, NULL, 0);
	good(b);
	good(b);
	good(b);
	value(b, CONTROL, "\xf1");
	assert_string_equal(session_why(b->session), "ecg: invalid MTU 23");
	assert_true(session_running(b->session));
	expect(b, "read control\nindicate control\nnotify data\nwrite control a104\n"
		  "frame control f1\n");
	later(b, 60 * SECOND);
	expect(b, "write control a104\n");
	assert_string_equal(session_why(b->session), "ecg: invalid MTU 23");
	good(b);
	value(b, CONTROL, "\xf0\x04");
	assert_string_equal(session_why(b->session), "");
	expect(b, "frame control f004\n");
	value(b, DATA, "\x01");
	expect(b, "frame data 01\n");
	later(b, 2 * SECOND);
	expect(b, "");
}

static void another_mtu_is_reason_to_try_at_once(void **state)
{
	struct bench *b = *state;

	start_toy(b);
	value(b, CONTROL, "\xf1");
	session_set_mtu(b->session, 232);
	expect(b, "frame control f1\n");
	run(b);
	expect(b, "write control a104\n");
}

static void a_command_refused_is_told_to_the_dialogue(void **state)
{
	struct bench *b = *state;

	offer_toy(b);
	run(b);
	answer(b, 0, 0, "\x0f", 1);
	good(b);
	good(b);
	answer(b, SESSION_E_REFUSED, 0x80, NULL, 0);
	assert_string_equal(session_why(b->session), "ecg: refused with 80");
}

static void a_command_without_answer_is_silence(void **state)
{
	struct bench *b = *state;

	offer_toy(b);
	run(b);
	answer(b, 0, 0, "\x0f", 1);
	good(b);
	good(b);
	good(b);
	later(b, 3 * SECOND);
	value(b, CONTROL, "\xcc"); /* chatter is no answer */
	assert_string_equal(session_why(b->session), "");
	later(b, 2 * SECOND);
	assert_string_equal(session_why(b->session), "ecg: no answer");
	session_set_wanted(b->session, HR, b->now);
	run(b);
	answer(b, SESSION_E_TIMEOUT, 0, NULL, 0);
	buf_done(&b->log);
	later(b, 60 * SECOND);
	expect(b, "");
}

static void a_command_not_even_taken_reconnects(void **state)
{
	struct bench *b = *state;

	offer_toy(b);
	run(b);
	answer(b, 0, 0, "\x0f", 1);
	good(b);
	good(b);
	answer(b, SESSION_E_TIMEOUT, 0, NULL, 0);
	expect(b, "read control\nindicate control\nframe control 0f\nnotify data\n"
		  "write control a104\nneed reconnect: no answer to a command\n");
}

static void an_answer_before_its_command_was_taken_waits(void **state)
{
	struct bench *b = *state;

	offer_toy(b);
	run(b);
	answer(b, 0, 0, "\x0f", 1);
	good(b);
	good(b);
	value(b, CONTROL, "\xf0\x04");
	assert_false(session_running(b->session));
	good(b);
	assert_true(session_running(b->session));
	/* More than fit are dropped, in bounded room. */
	value(b, CONTROL, "\xee");
	for (unsigned i = 0; i < 100; i++)
		value(b, CONTROL, "\xcc");
	assert_int_equal(session_counts(b->session)->unheard, 84);
	good(b);
	assert_true(b->session);
}

static void without_a_refused_control_nothing_is_written(void **state)
{
	struct bench *b = *state;

	offer_toy(b);
	run(b);
	answer(b, 0, 0, "\x0f", 1);
	answer(b, SESSION_E_REFUSED, 0xfd, NULL, 0);
	good(b);
	expect(b, "read control\nindicate control\nframe control 0f\nnotify data\n");
	assert_string_equal(session_why(b->session),
			    "ecg: the wearable refused the subscription (ATT error 0xfd)");
	assert_true(session_running(b->session));
	later(b, 60 * SECOND);
	expect(b, "indicate control\n");
	good(b);
	expect(b, "write control a104\n");
}

static void without_refused_data_nothing_is_started(void **state)
{
	struct bench *b = *state;

	offer_toy(b);
	run(b);
	answer(b, 0, 0, "\x0f", 1);
	good(b);
	answer(b, SESSION_E_REFUSED, 0x0e, NULL, 0);
	expect(b, "read control\nindicate control\nframe control 0f\nnotify data\n");
	assert_string_equal(session_why(b->session),
			    "ecg: the wearable refused the subscription (ATT error 0x0e)");
	assert_true(session_running(b->session));
	later(b, 60 * SECOND);
	good(b);
	expect(b, "notify data\nwrite control a104\n");
}

static void without_a_control_point_the_stream_is_given_up(void **state)
{
	struct bench *b = *state;

	b->properties[DATA] = NOTIFY;
	run(b);
	expect(b, "");
	assert_string_equal(session_why(b->session),
			    "ecg: the wearable has nothing to write commands to");
	assert_true(session_running(b->session));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		script(all_that_is_offered_is_started_in_order),
		script(nothing_offered_is_nothing_done),
		script(an_unwanted_profile_is_left_alone),
		script(refused_reads_are_counted_and_gone_on_from),
		script(a_read_without_answer_is_the_last),
		script(security_pairs_and_repeats),
		script(security_after_pairing_gives_up_the_profile_only),
		script(a_read_is_no_reason_to_pair),
		script(paired_when_nobody_asked_changes_nothing),
		script(a_refused_subscription_is_told_and_tried_again),
		script(a_subscription_that_is_kept_needs_another_link),
		script(a_battery_that_refuses_is_no_reason),
		script(a_subscription_without_answer_twice_reconnects),
		script(gone_is_gone),
		script(what_cannot_be_subscribed_to_is_told),
		script(a_problem_is_told_and_tried_again),
		script(another_mtu_is_reason_to_try_at_once),
		script(a_command_refused_is_told_to_the_dialogue),
		script(a_command_without_answer_is_silence),
		script(a_command_not_even_taken_reconnects),
		script(an_answer_before_its_command_was_taken_waits),
		script(without_a_refused_control_nothing_is_written),
		script(without_refused_data_nothing_is_started),
		script(without_a_control_point_the_stream_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
