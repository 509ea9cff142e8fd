/*
 * source/ladder: told time and what happened; who is tried when, which rung comes, and which never
 * does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "source/ladder.h"

#define S(n) ((usec_t)(n)*USEC_PER_SEC)

/* --- one wearable --- */

static void a_stranger_waits_to_be_seen(void **state)
{
	struct ladder_link l = {0};

	assert_true(ladder_link_due(&l, S(1000)) == USEC_INFINITY);
	ladder_link_seen(&l, S(1000));
	assert_true(ladder_link_due(&l, S(1000)) <= S(1000));
	assert_true(ladder_link_due(&l, S(1031)) == USEC_INFINITY); /* it was long ago */
}

static void a_lost_one_is_tried_at_once_and_unseen(void **state)
{
	static const usec_t pauses[] = {250000, 250000, 500000, 1000000, 4000000, 8000000, 8000000};
	struct ladder_link l = {0};
	usec_t now = S(5000);

	ladder_link_lost(&l, now);
	for (size_t i = 0; i < ARRAY_SIZE(pauses); i++) {
		assert_int_equal(l.not_before - now, pauses[i]);
		now = l.not_before;
		ladder_link_failed(&l, false, now);
	}
	assert_true(ladder_link_due(&l, S(5019)) != USEC_INFINITY);
	assert_true(ladder_link_due(&l, S(5021)) == USEC_INFINITY); /* now it has to be seen */
	ladder_link_seen(&l, S(20000));
	assert_true(ladder_link_due(&l, S(20000)) <= S(20000));
}

/* However often it failed: seen, paused, tried and a turn of somebody else is below 30 s. */
static void the_promise_of_thirty_seconds(void **state)
{
	struct ladder_link l = {0};
	usec_t now = S(100000);

	for (int i = 0; i < 1000; i++)
		ladder_link_failed(&l, false, now);
	ladder_link_seen(&l, now);
	assert_true(l.not_before - now + ladder_link_patience(&l, now) < S(30));
}

static void patience_is_for_those_who_are_there(void **state)
{
	struct ladder_link l = {0};

	ladder_link_seen(&l, S(10));
	ladder_link_lost(&l, S(20));
	assert_true(ladder_link_patience(&l, S(21)) == S(5)); /* not heard since it was lost */
	ladder_link_seen(&l, S(22));
	assert_true(ladder_link_patience(&l, S(22)) == S(12));
}

static void a_bond_goes_after_two_and_once_an_hour(void **state)
{
	struct ladder_link l = {0};

	ladder_link_failed(&l, true, S(10));
	assert_false(ladder_link_unbond_due(&l, S(10)));
	ladder_link_failed(&l, false, S(11)); /* another failure between: not in a row */
	ladder_link_failed(&l, true, S(12));
	assert_false(ladder_link_unbond_due(&l, S(12)));
	ladder_link_failed(&l, true, S(13));
	assert_true(ladder_link_unbond_due(&l, S(13)));
	ladder_link_unbonded(&l, S(13));
	assert_false(ladder_link_unbond_due(&l, S(13)));
	ladder_link_failed(&l, true, S(14));
	ladder_link_failed(&l, true, S(15));
	assert_false(ladder_link_unbond_due(&l, S(15)));
	assert_false(ladder_link_unbond_due(&l, S(13 + 3599)));
	assert_true(ladder_link_unbond_due(&l, S(13 + 3600)));
}

static void what_worked_is_forgiven(void **state)
{
	struct ladder_link l = {0};

	ladder_link_failed(&l, true, S(10));
	ladder_link_failed(&l, true, S(11));
	ladder_link_unbonded(&l, S(11));
	ladder_link_up(&l);
	assert_int_equal(l.failures, 0);
	ladder_link_failed(&l, true, S(20));
	ladder_link_failed(&l, true, S(21));
	assert_true(ladder_link_unbond_due(&l, S(21))); /* it had succeeded: no hour to wait */
}

static void only_links_without_a_word_are_mute(void **state)
{
	struct ladder_link l = {0};

	ladder_link_spoke(&l);
	ladder_link_silent(&l);
	ladder_link_lost(&l, S(10));
	assert_int_equal(l.mute, 0);
	ladder_link_silent(&l);
	ladder_link_lost(&l, S(40));
	assert_int_equal(l.mute, 1);
	ladder_link_up(&l); /* a serial number was read */
	ladder_link_lost(&l, S(50));
	assert_int_equal(l.mute, 1);
	for (int i = 0; i < 1000; i++)
		ladder_link_silent(&l);
	assert_in_range(l.mute, 10, 31);
	ladder_link_spoke(&l);
	assert_int_equal(l.mute, 0);
}

/* --- one adapter --- */

static void one_failure_is_no_reason(void **state)
{
	struct ladder_adapter l = {0};

	for (int i = 0; i < 3; i++)
		ladder_adapter_failed(&l);
	assert_int_equal(ladder_adapter_rung(&l, S(100)), RUNG_MAX_);
	assert_true(ladder_adapter_due(&l, S(100)) == USEC_INFINITY);
	ladder_adapter_alive(&l, S(100));
	ladder_adapter_failed(&l);
	assert_int_equal(ladder_adapter_rung(&l, S(100)), RUNG_MAX_);
}

static void many_in_a_row_are(void **state)
{
	struct ladder_adapter l = {0};

	for (int i = 0; i < 4; i++)
		ladder_adapter_failed(&l);
	assert_int_equal(ladder_adapter_rung(&l, S(100)), RUNG_POWER_CYCLE);
}

static void never_while_another_is_heard(void **state)
{
	struct ladder_adapter l = {0};

	for (usec_t now = S(100); now < S(2000); now += S(1)) {
		ladder_adapter_heard(&l, now);
		ladder_adapter_stuck(&l);
		assert_int_equal(ladder_adapter_rung(&l, now), RUNG_MAX_);
	}
	assert_true(ladder_adapter_due(&l, S(2000)) == S(1999 + 10));
	assert_int_equal(ladder_adapter_rung(&l, S(2009)), RUNG_POWER_CYCLE);
}

/* A link that does not end, over an adapter that else works: not more often than in 10 minutes. */
static void a_stuck_link_is_not_worth_much(void **state)
{
	struct ladder_adapter l = {0};

	ladder_adapter_stuck(&l);
	assert_int_equal(ladder_adapter_rung(&l, S(100)), RUNG_POWER_CYCLE);
	ladder_adapter_cycled(&l, S(100));
	assert_int_equal(ladder_adapter_rung(&l, S(101)), RUNG_MAX_);
	ladder_adapter_alive(&l, S(102));
	ladder_adapter_stuck(&l);
	assert_int_equal(ladder_adapter_rung(&l, S(699)), RUNG_MAX_);
	assert_int_equal(ladder_adapter_rung(&l, S(700)), RUNG_POWER_CYCLE);
}

/* One that gives no sign of life has nothing to lose: each 15 s, for one failure; then more. */
static void a_wedged_one_is_tried_again_and_again(void **state)
{
	struct ladder_adapter l = {.failures = 4};
	usec_t now = S(100);

	for (int i = 0; i < 3; i++, now += S(15)) {
		assert_int_equal(ladder_adapter_rung(&l, now), RUNG_POWER_CYCLE);
		ladder_adapter_cycled(&l, now);
		ladder_adapter_failed(&l);
		assert_int_equal(ladder_adapter_rung(&l, now + S(14)), RUNG_MAX_);
	}
	assert_int_equal(ladder_adapter_rung(&l, now), RUNG_RESTART);
	ladder_adapter_alive(&l, now);
	assert_int_equal(ladder_adapter_rung(&l, now + S(1000)), RUNG_MAX_);
}

/* That it can be switched on, and says yes to a scan, is no proof: somebody found is. */
static void cycles_count_until_it_works(void **state)
{
	struct ladder_adapter l = {.failures = 4};
	usec_t now = S(100);

	for (int i = 0; i < 3; i++, now += S(15)) {
		assert_int_equal(ladder_adapter_rung(&l, now), RUNG_POWER_CYCLE);
		ladder_adapter_cycled(&l, now);
		ladder_adapter_alive(&l, now + S(1));
		assert_int_equal(ladder_adapter_rung(&l, now + S(15)), RUNG_MAX_);
		ladder_adapter_failed(&l);
	}
	assert_int_equal(ladder_adapter_rung(&l, now), RUNG_RESTART);
	ladder_adapter_cycled(&l, now);
	ladder_adapter_worked(&l, now + S(1));
	ladder_adapter_failed(&l);
	assert_int_equal(ladder_adapter_rung(&l, now + S(100)), RUNG_MAX_);
}

/* Nobody was there to be found since: not for one failure, hours later. */
static void cycles_are_forgotten(void **state)
{
	struct ladder_adapter l = {.failures = 4};

	ladder_adapter_cycled(&l, S(100));
	ladder_adapter_alive(&l, S(101));
	ladder_adapter_failed(&l);
	assert_int_equal(ladder_adapter_rung(&l, S(699)), RUNG_POWER_CYCLE);
	assert_int_equal(ladder_adapter_rung(&l, S(700)), RUNG_MAX_);
}

/* What could not be switched off holds links that nobody knows: at the first sign of life. */
static void a_failed_cycle_is_owed(void **state)
{
	struct ladder_adapter l = {.failures = 4};

	ladder_adapter_cycled(&l, S(100));
	ladder_adapter_cycle_failed(&l);
	assert_int_equal(ladder_adapter_rung(&l, S(114)), RUNG_MAX_);
	assert_int_equal(ladder_adapter_rung(&l, S(115)), RUNG_POWER_CYCLE);
	ladder_adapter_alive(&l, S(108));
	assert_int_equal(ladder_adapter_rung(&l, S(108)), RUNG_POWER_CYCLE);
	ladder_adapter_heard(&l, S(108)); /* others are: the one that is lost would stay so */
	assert_int_equal(ladder_adapter_rung(&l, S(108)), RUNG_POWER_CYCLE);
	ladder_adapter_cycled(&l, S(108));
	ladder_adapter_alive(&l, S(110));
	assert_int_equal(ladder_adapter_rung(&l, S(5000)), RUNG_MAX_);
}

/* --- bluetoothd --- */

static void a_restart_after_three_and_in_five_minutes(void **state)
{
	struct ladder_daemon l = {0};

	ladder_daemon_unanswered(&l);
	ladder_daemon_unanswered(&l);
	assert_false(ladder_daemon_restart_due(&l, false, S(100)));
	ladder_daemon_answered(&l);
	ladder_daemon_unanswered(&l);
	assert_false(ladder_daemon_restart_due(&l, false, S(100)));
	ladder_daemon_unanswered(&l);
	ladder_daemon_unanswered(&l);
	assert_true(ladder_daemon_restart_due(&l, false, S(100)));
	(void)ladder_daemon_restarted(&l, S(100));
	assert_false(ladder_daemon_restart_due(&l, true, S(399)));
	assert_true(ladder_daemon_restart_due(&l, true, S(400)));
	assert_false(ladder_daemon_restart_due(&l, false, S(400)));
}

/* An episode goes on while one restart after the other is asked for, and nobody is heard. */
static void an_episode_is_told_once(void **state)
{
	struct ladder_daemon l = {0};

	assert_false(ladder_daemon_heard(&l));
	assert_true(ladder_daemon_restarted(&l, S(100)));
	for (unsigned i = 1; i <= 100; i++)
		assert_false(ladder_daemon_restarted(&l, S(100 + 310 * i)));
	assert_true(ladder_daemon_heard(&l));
	assert_false(ladder_daemon_heard(&l));
	assert_true(ladder_daemon_restarted(&l, S(31500)));
	assert_true(ladder_daemon_restarted(&l, S(31500 + 900))); /* it was well meanwhile */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stranger_waits_to_be_seen),
		cmocka_unit_test(a_lost_one_is_tried_at_once_and_unseen),
		cmocka_unit_test(the_promise_of_thirty_seconds),
		cmocka_unit_test(patience_is_for_those_who_are_there),
		cmocka_unit_test(a_bond_goes_after_two_and_once_an_hour),
		cmocka_unit_test(what_worked_is_forgiven),
		cmocka_unit_test(only_links_without_a_word_are_mute),
		cmocka_unit_test(one_failure_is_no_reason),
		cmocka_unit_test(many_in_a_row_are),
		cmocka_unit_test(never_while_another_is_heard),
		cmocka_unit_test(a_stuck_link_is_not_worth_much),
		cmocka_unit_test(a_wedged_one_is_tried_again_and_again),
		cmocka_unit_test(cycles_count_until_it_works),
		cmocka_unit_test(cycles_are_forgotten),
		cmocka_unit_test(a_failed_cycle_is_owed),
		cmocka_unit_test(a_restart_after_three_and_in_five_minutes),
		cmocka_unit_test(an_episode_is_told_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
