/*
 * The source `bluez` among others: an owner who changes his mind, other programs of this machine,
 * strangers in the air. Links that are let go of are let go of in order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bluez-bench.h"

#include <stdio.h>

#define HEART_RATE CHARACTERISTIC_HEART_RATE_MEASUREMENT
#define PMD	   CHARACTERISTIC_PMD_DATA

/* Also to a wearable that the owner does not want any more: ECG costs its battery. */
static void parts_in_order(void **state)
{
	struct bench *b = *state;
	unsigned n_written;

	(void)bench_strap(b, STRAP_A);
	bench_start(b, NAMED(STRAP_A));
	bench_await_state(b, STRAP_A, "streaming", 10);
	n_written = bench_calls(b, "WriteValue");
	bench_configure(b, "");
	bench_await_gone(b, STRAP_A, 1, 10);
	assert_int_equal(bench_calls(b, "WriteValue"), n_written + 1);
	assert_int_equal(bench_calls(b, "Disconnect"), 1);
	assert_int_equal(bench_seen(b, STRAP_A)->gap, GAP_DAEMON_DOWN);
	bench_configure(b, NAMED(STRAP_A));
	bench_await_state(b, STRAP_A, "streaming", 30);
	/* ... and wants again, before it is gone */
	bench_configure(b, "");
	bench_configure(b, NAMED(STRAP_A));
	bench_await_gone(b, STRAP_A, 2, 10);
	bench_await_state(b, STRAP_A, "streaming", 30);
	assert_int_equal(bench_calls(b, "PowerOff"), 0);
}

/* A link that nobody ends at the old adapter would keep the strap from the new one for ever. */
static void moves_to_another_adapter(void **state)
{
	struct bench *b = *state;
	struct fake_adapter *other = fake_bluez_plug(b->fake, 1, "00:1a:7d:da:71:14");
	struct fake_strap *a = bench_strap(b, STRAP_A);

	bench_start(b, "[bluetooth]\nadapter=hci0\n" NAMED(STRAP_A));
	bench_await_state(b, STRAP_A, "streaming", 10);
	bench_configure(b, "[bluetooth]\nadapter=hci1\n" NAMED(STRAP_A));
	bench_await_gone(b, STRAP_A, 1, 10);
	bench_pass(b, 10, NULL, 0);
	assert_false(a->connected);
	a->path[0] = '\0'; /* the fake knows one object of each */
	a->adapter = other;
	bench_await_state(b, STRAP_A, "streaming", 60);
	assert_string_equal(b->problem, "");
}

/* A beat that came before the last word was said is heard. */
static void hears_to_the_end(void **state)
{
	static const uint8_t beat[] = {0x00, 60};
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);
	unsigned n;

	bench_start(b, NAMED(STRAP_A));
	bench_await_state(b, STRAP_A, "streaming", 10);
	n = bench_seen(b, STRAP_A)->n_frames[HEART_RATE];
	assert_true(fake_bluez_notify(b->fake, a, HEART_RATE, beat, sizeof(beat)));
	bench_stop(b);
	assert_int_equal(bench_seen(b, STRAP_A)->n_frames[HEART_RATE], n + 1);
}

/* Somebody else on this machine listens to the same strap, by StartNotify. */
static void shares_with_others(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);

	for (size_t i = 0; i < FAKE_CHARACTERISTICS; i++)
		a->characteristics[i].foreign = true;
	bench_start(b, NAMED(STRAP_A));
	bench_await_state(b, STRAP_A, "streaming", 20);
	bench_beat(b, a, 60);
	assert_int_equal(bench_seen(b, STRAP_A)->n_frames[HEART_RATE], 1);
	assert_int_equal(bench_seen(b, STRAP_A)->n_frames[PMD], 1);
	bench_pass(b, 30, &a, 1);
	assert_int_equal(bench_seen(b, STRAP_A)->n_frames[HEART_RATE], 31);
	assert_string_equal(bench_seen(b, STRAP_A)->why, "");
}

/* bluetoothd before 5.84 may hold a subscription whose reader is gone, for as long as the link. */
static void ends_a_link_that_keeps_a_subscription(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);

	for (size_t i = 0; i < FAKE_CHARACTERISTICS; i++)
		a->characteristics[i].ghost = true;
	bench_start(b, NAMED(STRAP_A));
	bench_await_gone(b, STRAP_A, 1, 20);
	assert_int_equal(bench_seen(b, STRAP_A)->gap, GAP_BLUETOOTHD);
	assert_int_equal(bench_seen(b, STRAP_A)->rungs[RUNG_RECONNECT], 1);
	bench_await_state(b, STRAP_A, "streaming", 20);
	bench_pass(b, 30, &a, 1);
	assert_string_equal(bench_seen(b, STRAP_A)->why, "");
	assert_int_equal(bench_seen(b, STRAP_A)->n_disconnected, 1);
	assert_int_equal(bench_seen(b, STRAP_A)->n_frames[HEART_RATE], 30);
}

/* Another link may not help: one is tried, and the wearable is not blamed. */
static void blames_who_keeps_a_subscription(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);

	a->haunted = true;
	bench_start(b, NAMED(STRAP_A));
	bench_await_gone(b, STRAP_A, 1, 20);
	bench_pass(b, 300, NULL, 0);
	assert_int_equal(bench_seen(b, STRAP_A)->n_disconnected, 1);
	assert_non_null(
		strstr(bench_seen(b, STRAP_A)->why, "bluetoothd keeps the last subscription"));
	assert_null(strstr(bench_seen(b, STRAP_A)->why, "refused"));
	a->haunted = false;
	bench_await_state(b, STRAP_A, "streaming", 90);
	bench_pass(b, 90, &a, 1);
	assert_string_equal(bench_seen(b, STRAP_A)->why, "");
	assert_int_equal(bench_seen(b, STRAP_A)->n_disconnected, 1);
}

enum { CROWD = 70 }; /* more than there are places */

static void crowd(struct bench *b, uint8_t first, struct fake_strap *ret[static CROWD])
{
	char address[DEVICE_ADDRESS_SIZE];

	for (unsigned i = 0; i < CROWD; i++) {
		(void)snprintf(address, sizeof(address), "%02x:11:22:33:44:%02x", first, i);
		ret[i] = bench_strap(b, address);
	}
}

/* Their addresses change all the time; who is named later has a place all the same. */
static void crowds_keep_nobody_out(void **state)
{
	struct bench *b = *state;
	struct fake_strap *strangers[CROWD];

	crowd(b, 0x40, strangers); /* resolvable private: begins with 01 */
	for (unsigned i = 0; i < CROWD; i++)
		strangers[i]->random = true;
	bench_start(b, "[source]\nauto_enroll=yes\n");
	bench_pass(b, 5, NULL, 0);
	assert_int_equal(bench_calls(b, "Connect"), 0);
	(void)bench_strap(b, STRAP_B); /* a stranger who can be enrolled */
	bench_await_state(b, STRAP_B, "streaming", 60);
	(void)bench_strap(b, STRAP_A);
	bench_configure(b, "[source]\nauto_enroll=yes\n" NAMED(STRAP_A));
	bench_await_state(b, STRAP_A, "streaming", 60);
	bench_await_state(b, STRAP_B, "streaming", 1);
}

/* Each was enrolled once, and went on its way. */
static void passers_by_make_room(void **state)
{
	struct bench *b = *state;
	struct fake_strap *all[CROWD], *s;

	crowd(b, 0xa0, all);
	for (unsigned i = 0; i < CROWD; i++)
		all[i]->near = false;
	bench_start(b, "[source]\nauto_enroll=yes\n");
	for (unsigned i = 0; i < CROWD; i++) {
		s = all[i];
		s->near = true;
		bench_await_state(b, s->address, "streaming", 120);
		s->near = s->kept = false;
		fake_bluez_lose(b->fake, s);
		bench_await_gone(b, s->address, 1, 5);
		bench_pass(b, 40, NULL, 0); /* bluetoothd forgets it after 30 s */
	}
}

/* As the manual says of max_links: who is named comes first, also when he comes last. */
static void who_is_named_is_given_a_strangers_link(void **state)
{
	struct bench *b = *state;
	struct fake_strap *stranger = bench_strap(b, STRAP_B), *a = bench_strap(b, STRAP_A);

	a->near = false;
	bench_start(b, "[source]\nauto_enroll=yes\n[bluetooth]\nmax_links=1\n" NAMED(STRAP_A));
	bench_await_state(b, STRAP_B, "streaming", 30);
	bench_pass(b, 60, &stranger, 1);
	assert_int_equal(bench_seen(b, STRAP_B)->n_disconnected, 0);
	a->near = true;
	bench_await_state(b, STRAP_A, "streaming", 30);
	bench_pass(b, 30, &a, 1);
	assert_int_equal(bench_seen(b, STRAP_A)->n_disconnected, 0);
	assert_int_equal(bench_seen(b, STRAP_B)->n_connected, 1);
	a->near = false;
	fake_bluez_lose(b->fake, a);
	bench_await_state(b, STRAP_B, "streaming", 120);
}

/* One who is named and never gets through does not cost a stranger its link again and again. */
static void who_is_named_claims_no_link_for_ever(void **state)
{
	struct bench *b = *state;
	struct fake_strap *stranger = bench_strap(b, STRAP_B), *a = bench_strap(b, STRAP_A);

	a->link = FAKE_LINK_FAILS;
	bench_start(b, "[source]\nauto_enroll=yes\n[bluetooth]\nmax_links=1\n" NAMED(STRAP_A));
	bench_pass(b, 900, &stranger, 1);
	assert_in_range(bench_seen(b, STRAP_B)->n_connected, 1, 4);
	assert_true(bench_seen(b, STRAP_B)->connected);
}

/* A scan that ends as soon as a stranger is heard finds nobody who advertises a little later. */
static void strangers_who_refuse_drown_nobody_out(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A), *strangers[CROWD];

	crowd(b, 0xa0, strangers);
	for (unsigned i = 0; i < CROWD; i++)
		strangers[i]->link = FAKE_LINK_UNANSWERED;
	a->near = false;
	a->every = 3;
	bench_start(b, "[source]\nauto_enroll=yes\n" NAMED(STRAP_A));
	bench_pass(b, 180, NULL, 0);
	for (unsigned i = 1; i <= 10; i++) {
		a->near = true;
		bench_await_state(b, STRAP_A, "streaming", 30);
		a->near = false;
		fake_bluez_lose(b->fake, a);
		bench_await_gone(b, STRAP_A, i, 5);
		bench_pass(b, 60 + i, NULL, 0);
	}
}

/* The machine slept; links that are well stay up, and so does the adapter. */
static void sleeps_well(void **state)
{
	struct bench *b = *state;
	struct fake_strap *straps[] = {bench_strap(b, STRAP_A), bench_strap(b, STRAP_B)};

	bench_start(b, NAMED(STRAP_A) NAMED(STRAP_B));
	bench_await_state(b, STRAP_A, "streaming", 30);
	bench_await_state(b, STRAP_B, "streaming", 30);
	for (unsigned i = 0; i < 5; i++) {
		bench_pass(b, 60, straps, 2);
		bench_skip(b, 20 + 600 * i);
		bench_pass(b, 60, straps, 2);
	}
	assert_int_equal(bench_seen(b, STRAP_A)->n_disconnected, 0);
	assert_int_equal(bench_seen(b, STRAP_B)->n_disconnected, 0);
	assert_int_equal(bench_seen(b, STRAP_A)->rungs[RUNG_RECONNECT], 0);
	assert_int_equal(bench_calls(b, "PowerOff"), 0);
}

#define bluez_test(f) cmocka_unit_test_setup_teardown(f, bench_set_up, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		bluez_test(parts_in_order),
		bluez_test(sleeps_well),
		bluez_test(moves_to_another_adapter),
		bluez_test(hears_to_the_end),
		bluez_test(shares_with_others),
		bluez_test(ends_a_link_that_keeps_a_subscription),
		bluez_test(blames_who_keeps_a_subscription),
		bluez_test(crowds_keep_nobody_out),
		bluez_test(passers_by_make_room),
		bluez_test(who_is_named_is_given_a_strangers_link),
		bluez_test(who_is_named_claims_no_link_for_ever),
		bluez_test(strangers_who_refuse_drown_nobody_out),
	};

	return cmocka_run_group_tests(tests, bench_group_set_up, bench_group_tear_down);
}
