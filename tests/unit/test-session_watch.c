/*
 * Holds source/session.c to scripts of links that are up: silence and what is done about it, other
 * wishes, lost subscriptions, odd values, and the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "session_toys.h"

static void silence_subscribes_again_then_reconnects(void **state)
{
	struct bench *b = *state;

	start_heart(b);
	later(b, 9 * SECOND);
	value(b, HEART, "\x00\x3c");
	later(b, 9 * SECOND);
	expect(b, "frame 2a37 003c\n");
	later(b, SECOND);
	expect(b, "unsubscribe 2a37\nagain: heart rate measurement has been silent for 10 s\n");
	good(b);
	good(b);
	expect(b, "notify 2a37\n");
	assert_true(session_running(b->session));
	later(b, 19 * SECOND);
	expect(b, "");
	later(b, SECOND);
	expect(b, "need reconnect: heart rate measurement has been silent for 30 s\n");
	value(b, HEART, "\x00\x3c"); /* too late, yet it is a beat */
	expect(b, "frame 2a37 003c\n");
	later(b, 1000 * SECOND);
	expect(b, "");
}

/* It said nothing on its last links, and is not told to connect again as soon. */
static void patience_doubles_silence_until_a_value(void **state)
{
	struct bench *b = *state;

	session_set_patience(b->session, 2);
	b->properties[BATTERY] = NOTIFY;
	offer_heart(b);
	run(b);
	good(b);
	good(b);
	value(b, BATTERY, "\x64");
	expect(b, "notify 2a37\nnotify 2a19\nframe 2a19 64\n");
	assert_false(session_spoke(b->session));
	later(b, 39 * SECOND);
	expect(b, "");
	later(b, SECOND);
	good(b);
	good(b);
	expect(b, "unsubscribe 2a37\nagain: heart rate measurement has been silent for 40 s\n"
		  "notify 2a37\n");
	later(b, 79 * SECOND);
	expect(b, "");
	value(b, HEART, "\x00\x3c"); /* subscribed to all the time */
	assert_true(session_spoke(b->session));
	expect(b, "frame 2a37 003c\n");
	later(b, 10 * SECOND);
	expect(b, "unsubscribe 2a37\nagain: heart rate measurement has been silent for 10 s\n");
}

static void patience_ends_after_ten_minutes(void **state)
{
	struct bench *b = *state;

	session_set_patience(b->session, 16);
	start_heart(b);
	later(b, 200 * SECOND);
	good(b);
	good(b);
	buf_done(&b->log);
	later(b, 399 * SECOND);
	expect(b, "");
	later(b, SECOND);
	expect(b, "need reconnect: heart rate measurement has been silent for 600 s\n");
}

static void a_reconnect_is_asked_for_once(void **state)
{
	struct bench *b = *state;

	start_heart(b);
	later(b, 10 * SECOND);
	later(b, 20 * SECOND); /* the carrier hangs, too */
	expect(b, "unsubscribe 2a37\nagain: heart rate measurement has been silent for 10 s\n"
		  "need reconnect: heart rate measurement has been silent for 30 s\n");
	answer(b, SESSION_E_GONE, 0, NULL, 0);
	expect(b, "");
}

static void a_value_ends_the_episode(void **state)
{
	struct bench *b = *state;

	start_heart(b);
	for (unsigned i = 0; i < 3; i++) {
		later(b, 10 * SECOND);
		answer(b, SESSION_E_REFUSED, 0x0e, NULL, 0);
		good(b);
		value(b, HEART, "\x00\x3c");
		expect(b, "unsubscribe 2a37\n"
			  "again: heart rate measurement has been silent for 10 s\n"
			  "notify 2a37\nframe 2a37 003c\n");
	}
}

static void silent_data_are_asked_of_the_dialogue(void **state)
{
	struct bench *b = *state;

	start_toy(b);
	later(b, 3 * SECOND);
	expect(b, "write control a104\nagain: PMD data has been silent for 3 s\n");
	good(b);
	value(b, CONTROL, "\xf0\x04");
	value(b, DATA, "\x01");
	expect(b, "frame control f004\nframe data 01\n");
	later(b, 3 * SECOND);
	good(b);
	value(b, CONTROL, "\xf0\x04");
	later(b, 6 * SECOND);
	expect(b, "write control a104\nagain: PMD data has been silent for 3 s\n"
		  "frame control f004\nneed reconnect: PMD data has been silent for 9 s\n");
}

/* Not every 60 s for ever: the heart rate may be gone as well, and a new link brings it back. */
static void silent_data_whose_dialogue_is_not_answered_reconnect(void **state)
{
	struct bench *b = *state;

	start_toy(b);
	value(b, DATA, "\x01");
	later(b, 3 * SECOND);
	good(b);
	expect(b, "frame data 01\nwrite control a104\n"
		  "again: PMD data has been silent for 3 s\n");
	later(b, 4 * SECOND);
	expect(b, "");
	later(b, SECOND);
	expect(b, "need reconnect: PMD data has been silent for 8 s\n");
}

static void what_does_not_run_need_not_speak(void **state)
{
	struct bench *b = *state;

	start_toy(b);
	value(b, CONTROL, "\xf1");
	expect(b, "frame control f1\n");
	later(b, 59 * SECOND);
	expect(b, "");
}

static void streams_that_the_wearable_stops_are_started_again(void **state)
{
	struct bench *b = *state;

	start_toy(b);
	value(b, CONTROL, "\xee");
	expect(b, "write control a104\nframe control ee\n");
}

static void a_dialogue_without_end_is_ended(void **state)
{
	struct bench *b = *state;
	unsigned n = 0;

	start_toy(b);
	value(b, CONTROL, "\xe0");
	for (; b->under_way; n++) {
		good(b);
		value(b, CONTROL, "\xe0");
		value(b, DATA, "\x01");
		assert_in_range(n, 0, 100);
	}
	assert_in_range(n, 30, 64);
	assert_string_equal(session_why(b->session), "ecg: the wearable talks without end");
}

static void a_dialogue_that_polls_is_opened_again(void **state)
{
	struct bench *b = *state;

	start_toy(b);
	value(b, CONTROL, "\xbb");
	value(b, CONTROL, "\xf0\x04");
	buf_done(&b->log);
	for (unsigned i = 0; i < 200; i++) {
		later(b, SECOND);
		good(b);
		value(b, CONTROL, "\xf0\x04");
		value(b, DATA, "\x01");
		expect(b, "write control a104\nframe control f004\nframe data 01\n");
	}
	assert_string_equal(session_why(b->session), "");
	/* Answered polls without data are silence all the same. */
	for (unsigned i = 0; i < 3; i++) {
		later(b, SECOND);
		good(b);
		value(b, CONTROL, "\xf0\x04");
	}
	assert_non_null(strstr((const char *)b->log.data, "again: PMD data has been silent"));
}

static void other_wishes_start_and_stop(void **state)
{
	struct bench *b = *state;

	start_toy(b);
	session_set_wanted(b->session, ECG | ACC, b->now);
	assert_int_equal(session_due(b->session), 0);
	run(b);
	expect(b, "write control a144\n");
	good(b);
	session_set_wanted(b->session, 0, b->now);
	run(b);
	value(b, CONTROL, "\xf0\x44");
	expect(b, "write control a100\nframe control f044\n"); /* which nobody wants any more */
	good(b);
	value(b, CONTROL, "\xf0\x00");
	good(b);
	good(b);
	expect(b, "unsubscribe control\nframe control f000\nunsubscribe data\n");
	value(b, DATA, "\x01");
	later(b, 5 * SECOND);
	expect(b, "");
	session_set_wanted(b->session, ECG, b->now);
	run(b);
	good(b);
	good(b);
	expect(b, "indicate control\nnotify data\nwrite control a104\n");
}

static void a_lost_subscription_is_made_again_but_not_madly(void **state)
{
	struct bench *b = *state;

	start_heart(b);
	session_unsubscribed(b->session, HEART, b->now);
	run(b);
	expect(b, "notify 2a37\n");
	session_unsubscribed(b->session, HEART, b->now); /* of the one before */
	good(b);
	expect(b, "");
	session_unsubscribed(b->session, HEART, b->now);
	session_unsubscribed(b->session, BATTERY, b->now);
	run(b);
	expect(b, "");
	later(b, 5 * SECOND);
	expect(b, "notify 2a37\n");
	good(b);
}

static void a_subscription_lost_during_a_write_is_made_again(void **state)
{
	struct bench *b = *state;

	start_toy(b);
	value(b, CONTROL, "\xe0");
	session_unsubscribed(b->session, CONTROL, b->now);
	run(b);
	good(b);
	expect(b, "write control a104\nframe control e0\nindicate control\n");
}

static void what_nobody_wants_is_no_reason(void **state)
{
	struct bench *b = *state;

	b->properties[DATA] = NOTIFY;
	run(b);
	assert_string_not_equal(session_why(b->session), "");
	session_set_wanted(b->session, HR, b->now);
	run(b);
	assert_string_equal(session_why(b->session), "");
}

static void odd_values_do_no_harm(void **state)
{
	struct bench *b = *state;
	static char large[FRAME_MAX + 1];

	session_value(b->session, HEART, (const uint8_t *)"\x00\x3c", 2, b->now,
		      b->now); /* before anything was asked for */
	assert_int_equal(session_counts(b->session)->strays, 1);
	start_heart(b);
	buf_done(&b->log);
	value(b, BATTERY, "\x64"); /* not offered */
	value(b, CHARACTERISTIC_UNKNOWN, "\x64");
	assert_int_equal(session_counts(b->session)->strays, 3);
	value(b, HEART, "");
	expect(b, "frame 2a37\n");
	value_of(b, HEART, large, FRAME_MAX + 1);
	expect(b, "");
	assert_int_equal(session_counts(b->session)->oversized, 1);
	session_done(b->session, 0, 0, NULL, 0, b->now); /* of nothing */
	expect(b, "");
}

static void a_refused_characteristic_that_speaks_is_heard(void **state)
{
	struct bench *b = *state;

	offer_heart(b);
	run(b);
	answer(b, SESSION_E_REFUSED, 0x0e, NULL, 0);
	value(b, HEART, "\x00\x3c");
	expect(b, "notify 2a37\nframe 2a37 003c\n");
}

static void closing_stops_the_streams(void **state)
{
	struct bench *b = *state;

	start_toy(b);
	assert_false(session_closed(b->session));
	session_close(b->session, b->now);
	assert_false(session_closed(b->session));
	run(b);
	expect(b, "write control a0\n");
	value(b, CONTROL, "\xee"); /* no answer is read */
	b->changed = false;
	good(b);
	assert_true(b->changed);
	assert_true(session_closed(b->session));
	later(b, 1000 * SECOND);
	expect(b, "frame control ee\n");
}

static void closing_waits_for_the_command_under_way(void **state)
{
	struct bench *b = *state;

	start_toy(b);
	value(b, CONTROL, "\xee");
	session_close(b->session, b->now);
	run(b);
	answer(b, SESSION_E_REFUSED, 0x80, NULL, 0);
	expect(b, "write control a104\nframe control ee\nwrite control a0\n");
	answer(b, SESSION_E_GONE, 0, NULL, 0);
	expect(b, "");
	assert_true(session_closed(b->session));
}

static void closing_waits_for_an_answer_but_not_long(void **state)
{
	for (unsigned answers = 0; answers < 2; answers++) {
		struct bench *b;

		assert_int_equal(setup((void **)&b), 0);
		start_toy(b);
		value(b, CONTROL, "\xee");
		good(b);
		buf_done(&b->log);
		session_close(b->session, b->now);
		run(b);
		expect(b, "");
		if (answers)
			value(b, CONTROL, "\xf0\x04");
		else
			later(b, 300 * USEC_PER_MSEC);
		expect(b,
		       answers ? "write control a0\nframe control f004\n" : "write control a0\n");
		assert_false(session_closed(b->session));
		good(b);
		assert_true(session_closed(b->session));
		teardown((void **)&b);
	}
}

static void closing_what_does_not_run_is_closed(void **state)
{
	struct bench *b = *state;

	session_close(b->session, b->now);
	run(b);
	assert_true(session_closed(b->session));
	expect(b, "");
}

static void closing_while_pairing_is_closed(void **state)
{
	struct bench *b = *state;

	offer_toy(b);
	run(b);
	answer(b, SESSION_E_SECURITY, 5, NULL, 0);
	session_close(b->session, b->now);
	run(b);
	assert_true(session_closed(b->session));
}

static void closing_repeats_nothing(void **state)
{
	struct bench *b = *state;

	offer_heart(b);
	run(b);
	answer(b, SESSION_E_SECURITY, 5, NULL, 0);
	session_paired(b->session, b->now);
	session_close(b->session, b->now);
	run(b);
	expect(b, "notify 2a37\nneed pairing: the wearable wants an encrypted link\n");
	assert_true(session_closed(b->session));
}

static void closing_stops_what_ran_before_the_bond_was_asked_for(void **state)
{
	struct bench *b = *state;

	start_toy(b);
	value(b, CONTROL, "\xee");
	answer(b, SESSION_E_SECURITY, 5, NULL, 0);
	buf_done(&b->log);
	session_close(b->session, b->now);
	run(b);
	expect(b, "write control a0\n");
	answer(b, SESSION_E_SECURITY, 5, NULL, 0);
	assert_true(session_closed(b->session));
}

/* Whatever the handler is told, it may end the session there. */
static void the_handler_may_free_the_session(void **state)
{
	for (unsigned which = 0; which < 4; which++) {
		struct bench *b;

		assert_int_equal(setup((void **)&b), 0);
		if (which == 0) {
			b->free_at_news = true;
			offer_heart(b);
			run(b);
		} else if (which == 1) {
			start_heart(b);
			b->free_at_news = true;
			value(b, HEART, "\x00\x3c");
		} else if (which == 2) {
			start_heart(b);
			b->free_at_news = true;
			later(b, 10 * SECOND);
		} else {
			offer_heart(b);
			run(b);
			b->free_at_news = true;
			answer(b, SESSION_E_GONE, 0, NULL, 0);
		}
		assert_null(b->session);
		teardown((void **)&b);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		script(silence_subscribes_again_then_reconnects),
		script(patience_doubles_silence_until_a_value),
		script(patience_ends_after_ten_minutes),
		script(a_reconnect_is_asked_for_once),
		script(a_value_ends_the_episode),
		script(silent_data_are_asked_of_the_dialogue),
		script(silent_data_whose_dialogue_is_not_answered_reconnect),
		script(what_does_not_run_need_not_speak),
		script(streams_that_the_wearable_stops_are_started_again),
		script(a_dialogue_without_end_is_ended),
		script(a_dialogue_that_polls_is_opened_again),
		script(other_wishes_start_and_stop),
		script(a_lost_subscription_is_made_again_but_not_madly),
		script(a_subscription_lost_during_a_write_is_made_again),
		script(what_nobody_wants_is_no_reason),
		script(odd_values_do_no_harm),
		script(a_refused_characteristic_that_speaks_is_heard),
		script(closing_stops_the_streams),
		script(closing_waits_for_the_command_under_way),
		script(closing_what_does_not_run_is_closed),
		script(closing_while_pairing_is_closed),
		script(closing_repeats_nothing),
		script(closing_stops_what_ran_before_the_bond_was_asked_for),
		cmocka_unit_test(closing_waits_for_an_answer_but_not_long),
		cmocka_unit_test(the_handler_may_free_the_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
