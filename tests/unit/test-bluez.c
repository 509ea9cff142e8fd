/*
 * The source `bluez` and a false bluetoothd: who is connected, in which order, what is heard of them, and
 * how each link comes to its end. What goes wrong with the radio itself is in test-bluez_recovery.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bluez-bench.h"
#include "util/quota.h"

#include <unistd.h>

#define HEART_RATE CHARACTERISTIC_HEART_RATE_MEASUREMENT
#define PMD	   CHARACTERISTIC_PMD_DATA

static const uint8_t pmd_frame[13] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06,
				      0x07, 0x08, 0x00, 0x10, 0x00, 0x00};

static void streams_heart_rate_and_ecg(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);
	struct seen *s = bench_seen(b, STRAP_A);

	bench_start(b, NAMED(STRAP_A));
	bench_await_state(b, STRAP_A, "streaming", 10);
	assert_string_equal(s->name, "Polar H10 0A1B2C3D");
	assert_non_null(strstr(s->offers, "heart_rate"));
	assert_non_null(strstr(s->offers, "polar_pmd"));
	assert_string_equal(s->why, "");
	assert_string_equal(b->problem, "");
	assert_int_equal(s->n_frames[CHARACTERISTIC_BODY_SENSOR_LOCATION], 1);
	assert_int_equal(s->n_frames[CHARACTERISTIC_MANUFACTURER_NAME], 1);
	assert_int_equal(s->n_frames[CHARACTERISTIC_BATTERY_LEVEL], 1);
	/* features, settings, started; bluetoothd says what is read twice */
	assert_int_equal(s->n_frames[CHARACTERISTIC_PMD_CONTROL_POINT], 3);
	bench_beat(b, a, 61);
	assert_int_equal(s->n_frames[HEART_RATE], 1);
	assert_int_equal(s->n_last, 4);
	assert_int_equal(s->last[1], 61);
	assert_true(fake_bluez_notify(b->fake, a, PMD, pmd_frame, sizeof(pmd_frame)));
	fake_bluez_settle(b->fake);
	assert_int_equal(s->n_frames[PMD], 2); /* with the one of bench_beat() */
	assert_memory_equal(s->last, pmd_frame, sizeof(pmd_frame));
	fake_bluez_drain(b->fake, a, 12);
	fake_bluez_settle(b->fake);
	assert_int_equal(s->n_frames[CHARACTERISTIC_BATTERY_LEVEL], 2);
	assert_int_equal(s->last[0], 12);
	assert_int_equal(bench_calls(b, "Pair"), 0);
}

/* The owner wants no ECG: its characteristics are left alone. */
static void asks_for_what_is_wanted(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);

	bench_start(b, NAMED(STRAP_A) "streams=heart_rate\n");
	bench_await_state(b, STRAP_A, "streaming", 10);
	assert_false(fake_bluez_notify(b->fake, a, PMD, pmd_frame, sizeof(pmd_frame)));
	assert_int_equal(bench_calls(b, "WriteValue"), 0);
}

static void tells_why_a_stream_does_not_start(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);

	a->pmd_error = 13;
	bench_start(b, NAMED(STRAP_A));
	bench_await_state(b, STRAP_A, "streaming", 60);
	assert_non_null(strstr(bench_seen(b, STRAP_A)->why, "charger"));
	bench_beat(b, a, 62);
	assert_int_equal(bench_seen(b, STRAP_A)->n_frames[HEART_RATE], 1);
}

/* bluetoothd 5.66 does not tell whether a link broke or was ended. */
static void reconnects(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);
	struct seen *s = bench_seen(b, STRAP_A);

	bench_start(b, NAMED(STRAP_A));
	for (unsigned i = 1; i <= 3; i++) {
		bench_await_state(b, STRAP_A, "streaming", 30);
		assert_int_equal(s->n_connected, i);
		bench_pass(b, 5, &a, 1);
		fake_bluez_lose(b->fake, a);
		bench_await_gone(b, STRAP_A, i, 3);
		assert_int_equal(s->gap, GAP_LINK_LOSS);
	}
	for (size_t i = 0; i < RUNG_MAX_; i++)
		assert_int_equal(s->rungs[i], 0);
}

/* ... since 5.83 it does. */
static void knows_who_left(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);

	bench_start(b, NAMED(STRAP_A));
	bench_await_state(b, STRAP_A, "streaming", 10);
	fake_bluez_leave(b->fake, a);
	bench_await_gone(b, STRAP_A, 1, 3);
	assert_int_equal(bench_seen(b, STRAP_A)->gap, GAP_DISCONNECTED);
	bench_await_state(b, STRAP_A, "streaming", 30);
}

/* It was away for hours: back within half a minute. */
static void finds_it_again(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);

	bench_start(b, NAMED(STRAP_A));
	bench_await_state(b, STRAP_A, "streaming", 30);
	a->near = false;
	fake_bluez_lose(b->fake, a);
	bench_await_gone(b, STRAP_A, 1, 3);
	bench_pass(b, 60, NULL, 0);
	bench_skip(b, 4 * 3600);
	bench_pass(b, 60, NULL, 0);
	assert_string_equal(bench_seen(b, STRAP_A)->state, "searching");
	assert_int_not_equal(bench_seen(b, STRAP_A)->why[0], '\0');
	a->near = true;
	bench_await_state(b, STRAP_A, "streaming", 30);
	assert_int_equal(bench_calls(b, "PowerOff"), 0);
}

static void tries_again_when_refused(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);

	a->link = FAKE_LINK_FAILS;
	bench_start(b, NAMED(STRAP_A));
	bench_await_calls(b, "Connect", 5, 120);
	assert_non_null(strstr(bench_seen(b, STRAP_A)->why, "abort-by-local"));
	a->link = FAKE_LINK_GOOD;
	bench_await_state(b, STRAP_A, "streaming", 30);
	assert_int_equal(bench_calls(b, "PowerOff"), 0);
}

/* bluetoothd forgets in half a minute whom it was never connected with. */
static void meets_it_anew(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);

	a->link = FAKE_LINK_FAILS;
	bench_start(b, NAMED(STRAP_A));
	bench_await_calls(b, "Connect", 1, 30);
	a->near = false;
	bench_pass(b, 60, NULL, 0);
	assert_string_equal(a->path, "");
	a->near = true;
	a->link = FAKE_LINK_GOOD;
	bench_await_state(b, STRAP_A, "streaming", 30);
}

/* Something else is under way with it: that would only be disturbed. */
static void is_patient_with_the_busy(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);

	a->link = FAKE_LINK_BUSY;
	bench_start(b, NAMED(STRAP_A));
	bench_pass(b, 60, NULL, 0);
	assert_in_range(bench_calls(b, "Connect"), 2, 30);
	a->link = FAKE_LINK_GOOD;
	bench_await_state(b, STRAP_A, "streaming", 30);
}

/* As after pairing that failed: nothing on the link is answered. */
static void waits_for_no_answer_for_ever(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);

	a->link = FAKE_LINK_DUMB;
	bench_start(b, NAMED(STRAP_A));
	bench_await_calls(b, "Disconnect", 1, 180);
	assert_int_not_equal(bench_seen(b, STRAP_A)->why[0], '\0');
	a->link = FAKE_LINK_GOOD;
	bench_await_state(b, STRAP_A, "streaming", 60);
}

static void gives_up_on_services(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);

	a->link = FAKE_LINK_UNRESOLVED;
	bench_start(b, NAMED(STRAP_A));
	bench_await_calls(b, "Disconnect", 1, 60);
	assert_non_null(strstr(bench_seen(b, STRAP_A)->why, "services"));
	assert_int_equal(bench_seen(b, STRAP_A)->n_connected, 0);
	a->link = FAKE_LINK_GOOD;
	bench_await_state(b, STRAP_A, "streaming", 60);
	assert_int_equal(bench_calls(b, "RemoveDevice"), 0);
}

static void tells_empty_from_ended(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);
	unsigned n;

	bench_start(b, NAMED(STRAP_A));
	bench_await_state(b, STRAP_A, "streaming", 10);
	n = bench_calls(b, "AcquireNotify");
	assert_true(fake_bluez_notify(b->fake, a, HEART_RATE, "", 0));
	bench_pass(b, 2, &a, 1);
	assert_int_equal(bench_calls(b, "AcquireNotify"), n);
	fake_bluez_end(b->fake, a, HEART_RATE);
	bench_await_calls(b, "AcquireNotify", n + 1, 20);
	fake_bluez_settle(b->fake);
	n = bench_seen(b, STRAP_A)->n_frames[HEART_RATE];
	bench_beat(b, a, 63);
	assert_int_equal(bench_seen(b, STRAP_A)->n_frames[HEART_RATE], n + 1);
	assert_int_equal(bench_seen(b, STRAP_A)->n_disconnected, 0);
}

/* More than one notification can hold, as bluetoothd delivers after a malformed one. */
static void drops_what_is_too_long(void **state)
{
	static const uint8_t stale[1200] = {0x10, 60};
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);
	struct seen *s = bench_seen(b, STRAP_A);

	bench_start(b, NAMED(STRAP_A));
	bench_await_state(b, STRAP_A, "streaming", 10);
	bench_listen(b);
	assert_true(fake_bluez_notify(b->fake, a, HEART_RATE, stale, sizeof(stale)));
	assert_true(fake_bluez_notify(b->fake, a, HEART_RATE, stale, 232 - 3 + 1));
	fake_bluez_settle(b->fake);
	assert_int_equal(s->n_frames[HEART_RATE], 0);
	assert_int_equal(bench_heard(b, STRAP_A " (Polar H10 0A1B2C3D): a "), 1);
	assert_int_equal(bench_heard(b, "such ones are dropped"), 1);
	assert_true(fake_bluez_notify(b->fake, a, HEART_RATE, stale, 232 - 3));
	fake_bluez_settle(b->fake);
	assert_int_equal(s->n_frames[HEART_RATE], 1);
}

/* ... which may be said of each link, and links may be many. */
static void tells_so_often_of_what_is_too_long(void **state)
{
	static const uint8_t stale[1200] = {0x10, 60};
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);

	bench_start(b, NAMED(STRAP_A) "streams=heart_rate\n");
	bench_await_state(b, STRAP_A, "streaming", 10);
	bench_listen(b);
	for (unsigned i = 1; i <= QUOTA_MOST + 4; i++) {
		assert_true(fake_bluez_notify(b->fake, a, HEART_RATE, stale, sizeof(stale)));
		fake_bluez_lose(b->fake, a);
		bench_await_gone(b, STRAP_A, i, 10);
		bench_await_state(b, STRAP_A, "streaming", 30);
	}
	assert_int_equal(bench_heard(b, "such ones are dropped"), QUOTA_MOST);
}

static void pairs_when_it_must(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);

	a->secure = true;
	bench_start(b, NAMED(STRAP_A));
	bench_await_state(b, STRAP_A, "streaming", 30);
	assert_true(a->paired && a->trusted);
	assert_true(bench_seen(b, STRAP_A)->paired);
	assert_int_equal(bench_calls(b, "Pair"), 1);
	assert_true(fake_bluez_notify(b->fake, a, PMD, pmd_frame, sizeof(pmd_frame)));
	fake_bluez_lose(b->fake, a);
	bench_await_gone(b, STRAP_A, 1, 3);
	bench_await_state(b, STRAP_A, "streaming", 30);
	assert_int_equal(bench_calls(b, "Pair"), 1);
}

static void obeys_the_owner_about_pairing(void **state)
{
	struct bench *b = *state;
	struct fake_strap *never = bench_strap(b, STRAP_A), *first = bench_strap(b, STRAP_B);

	never->secure = true;
	bench_start(b, NAMED(STRAP_A) "pair=no\n" NAMED(STRAP_B) "pair=yes\n");
	bench_await_state(b, STRAP_A, "streaming", 60);
	bench_await_state(b, STRAP_B, "streaming", 60);
	assert_false(never->paired);
	assert_true(first->paired);
	assert_non_null(strstr(bench_seen(b, STRAP_A)->why, "pair = no; ecg: "));
	bench_beat(b, never, 64);
	assert_int_equal(bench_seen(b, STRAP_A)->n_frames[HEART_RATE], 1);
}

static void lets_only_its_own_pair(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A), *stranger = bench_strap(b, STRAP_B);
	struct fake_strap *never = bench_strap(b, STRAP_C);

	bench_start(b, NAMED(STRAP_A) NAMED(STRAP_C) "pair=no\n");
	bench_await_state(b, STRAP_A, "streaming", 30);
	bench_await_state(b, STRAP_C, "streaming", 30);
	fake_bluez_link(b->fake, stranger);
	assert_string_equal(fake_bluez_ask(b->fake, a), "");
	assert_string_equal(fake_bluez_ask(b->fake, stranger), "org.bluez.Error.Rejected");
	assert_string_equal(fake_bluez_ask(b->fake, never), "org.bluez.Error.Rejected");
}

/* Who is in reach of the radio may ask all night. */
static void tells_of_strangers_so_often(void **state)
{
	struct bench *b = *state;
	struct fake_strap *stranger = bench_strap(b, STRAP_B);

	(void)bench_strap(b, STRAP_A);
	bench_start(b, NAMED(STRAP_A));
	bench_await_state(b, STRAP_A, "streaming", 30);
	fake_bluez_link(b->fake, stranger);
	bench_listen(b);
	for (unsigned i = 0; i < 2 * QUOTA_MOST; i++)
		assert_string_equal(fake_bluez_ask(b->fake, stranger), "org.bluez.Error.Rejected");
	assert_int_equal(bench_heard(b, "asked to pair"), QUOTA_MOST);
	assert_int_equal(bench_heard(b, "no more of it is told"), 1);
}

static void renews_a_lost_bond(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);

	a->secure = a->forgot = true;
	fake_bluez_bond(b->fake, a);
	bench_start(b, NAMED(STRAP_A));
	bench_await_state(b, STRAP_A, "streaming", 60);
	assert_int_equal(bench_calls(b, "RemoveDevice"), 1);
	assert_true(a->paired);
	assert_int_equal(bench_seen(b, STRAP_A)->rungs[RUNG_UNBOND], 1);
}

static void renews_it_once_an_hour(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);

	a->secure = a->forgot = a->forgets = true;
	fake_bluez_bond(b->fake, a);
	bench_start(b, NAMED(STRAP_A));
	bench_await_rung(b, STRAP_A, RUNG_UNBOND, 60);
	bench_pass(b, 180, NULL, 0);
	bench_skip(b, 3300);
	bench_pass(b, 60, NULL, 0);
	assert_int_equal(bench_calls(b, "RemoveDevice"), 1);
	bench_await_calls(b, "RemoveDevice", 2, 120);
	assert_int_equal(bench_seen(b, STRAP_A)->rungs[RUNG_UNBOND], 2);
}

static void keeps_to_the_cap(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A), *second = bench_strap(b, STRAP_B);

	bench_start(b, "[bluetooth]\nmax_links=2\n" NAMED(STRAP_A) NAMED(STRAP_B) NAMED(STRAP_C));
	bench_await_state(b, STRAP_A, "streaming", 30);
	bench_await_state(b, STRAP_B, "streaming", 30);
	(void)bench_strap(b, STRAP_C);
	bench_pass(b, 60, (struct fake_strap *[]){a, second}, 2);
	assert_int_equal(bench_seen(b, STRAP_C)->n_connected, 0);
	assert_int_not_equal(bench_seen(b, STRAP_C)->why[0], '\0');
	a->near = false;
	fake_bluez_lose(b->fake, a);
	bench_await_connected(b, STRAP_C, 60);
}

/* Also when the stranger was there first. */
static void prefers_who_is_named(void **state)
{
	struct bench *b = *state;
	struct fake_strap *stranger = bench_strap(b, STRAP_B);

	stranger->near = false;
	bench_start(b, "[source]\nauto_enroll=yes\n[bluetooth]\nmax_links=1\n" NAMED(STRAP_A));
	(void)bench_strap(b, STRAP_A);
	stranger->near = true;
	bench_await_state(b, STRAP_A, "streaming", 30);
	bench_pass(b, 30, NULL, 0);
	assert_int_equal(bench_seen(b, STRAP_B)->n_connected, 0);
}

static void enrolls_if_it_may(void **state)
{
	struct bench *b = *state;

	(void)bench_strap(b, STRAP_A);
	bench_start(b, "[source]\nauto_enroll=yes\n");
	bench_await_state(b, STRAP_A, "streaming", 30);
}

/* A neighbour can make up any number of wearables. */
static void is_not_drowned(void **state)
{
	struct bench *b = *state;

	bench_start(b, "[source]\nauto_enroll=yes\n" NAMED(STRAP_A));
	fake_bluez_crowd(b->fake, b->hci, 1000);
	bench_pass(b, 5, NULL, 0);
	(void)bench_strap(b, STRAP_A);
	bench_await_state(b, STRAP_A, "streaming", 30);
}

static void leaves_strangers_alone(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);

	(void)bench_strap(b, STRAP_B);
	bench_start(b, NAMED(STRAP_A) "streams=heart_rate\n");
	bench_await_state(b, STRAP_A, "streaming", 30);
	bench_pass(b, 30, &a, 1);
	assert_int_equal(bench_seen(b, STRAP_B)->n_connected, 0);
	assert_string_equal(bench_seen(b, STRAP_B)->state, "");
	assert_int_equal(bench_calls(b, "Connect"), 1);
}

static void tells_namesakes_apart(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A), *c = bench_strap(b, STRAP_C);

	bench_start(b, NAMED(STRAP_A) NAMED(STRAP_C));
	bench_await_state(b, STRAP_A, "streaming", 30);
	bench_await_state(b, STRAP_C, "streaming", 30);
	bench_beat(b, a, 65);
	bench_beat(b, c, 66);
	assert_int_equal(bench_seen(b, STRAP_A)->last[1], 65);
	assert_int_equal(bench_seen(b, STRAP_C)->last[1], 66);
}

#define HIDDEN "40:11:22:33:44:55" /* resolvable private: begins with 01 */

static void takes_a_private_address_that_is_named(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, HIDDEN);

	a->random = true;
	bench_start(b, NAMED(HIDDEN));
	bench_await_state(b, HIDDEN, "streaming", 30);
}

/* It would be another one each quarter of an hour; once it is paired, it has a name to go by. */
static void enrolls_no_private_address(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, HIDDEN);

	a->random = true;
	a->identity = STRAP_A;
	bench_start(b, "[source]\nauto_enroll=yes\n");
	bench_pass(b, 60, NULL, 0);
	assert_int_equal(bench_calls(b, "Connect"), 0);
	fake_bluez_link(b->fake, a);
	fake_bluez_pair(b->fake, a);
	bench_await_state(b, STRAP_A, "streaming", 30);
	assert_false(bench_seen(b, HIDDEN)->connected);
}

static void adopts_links(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);

	fake_bluez_link(b->fake, a);
	bench_start(b, NAMED(STRAP_A));
	bench_await_state(b, STRAP_A, "streaming", 5);
	assert_int_equal(bench_calls(b, "Connect"), 0);
	bench_beat(b, a, 67);
	assert_int_equal(bench_seen(b, STRAP_A)->n_frames[HEART_RATE], 1);
}

static void follows_the_owner(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A), *c = bench_strap(b, STRAP_C);

	(void)bench_strap(b, STRAP_B);
	bench_start(b, NAMED(STRAP_A) NAMED(STRAP_C));
	bench_await_state(b, STRAP_A, "streaming", 30);
	bench_await_state(b, STRAP_C, "streaming", 30);
	bench_configure(b, NAMED(STRAP_B) NAMED(STRAP_C));
	bench_await_gone(b, STRAP_A, 1, 10);
	assert_int_equal(bench_seen(b, STRAP_A)->gap, GAP_DAEMON_DOWN);
	bench_await_state(b, STRAP_B, "streaming", 30);
	bench_pass(b, 5, &c, 1);
	assert_true(bench_seen(b, STRAP_A)->forgotten);
	assert_false(a->connected);
	assert_int_equal(bench_seen(b, STRAP_C)->n_disconnected, 0);
	assert_int_equal(bench_seen(b, STRAP_C)->n_frames[HEART_RATE], 5);
	bench_configure(b, NAMED(STRAP_A) NAMED(STRAP_B) NAMED(STRAP_C));
	bench_await_state(b, STRAP_A, "streaming", 30);
	assert_int_equal(bench_seen(b, STRAP_C)->n_disconnected, 0);
}

/* Anybody on the system bus can send signals, also to us alone. */
static void believes_bluetoothd_only(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);
	sd_bus_message *m = NULL;
	sd_bus *other = NULL;

	bench_start(b, NAMED(STRAP_A));
	bench_await_state(b, STRAP_A, "streaming", 10);
	assert_true(sd_bus_open_system(&other) >= 0);
	assert_true(sd_bus_message_new_signal(other, &m, a->path, "org.freedesktop.DBus.Properties",
					      "PropertiesChanged") >= 0);
	assert_true(sd_bus_message_append(m, "sa{sv}as", "org.bluez.Device1", 1, "Connected", "b",
					  0, 0) >= 0);
	assert_true(sd_bus_message_set_destination(m, fake_bluez_client(b->fake)) >= 0);
	assert_true(sd_bus_send(other, m, NULL) >= 0);
	sd_bus_message_unref(m);
	assert_true(sd_bus_call_method(other, "org.freedesktop.DBus", "/org/freedesktop/DBus",
				       "org.freedesktop.DBus.Peer", "Ping", NULL, NULL,
				       NULL) >= 0); /* it has arrived */
	bench_pass(b, 10, &a, 1);
	assert_int_equal(bench_seen(b, STRAP_A)->n_disconnected, 0);
	other = sd_bus_flush_close_unref(other);
}

static void leaves_in_order(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);
	unsigned n_written;

	bench_start(b, NAMED(STRAP_A));
	bench_await_state(b, STRAP_A, "streaming", 10);
	n_written = bench_calls(b, "WriteValue");
	bench_stop(b);
	assert_int_equal(bench_calls(b, "WriteValue"), n_written + 1); /* ECG costs its battery */
	assert_int_equal(bench_calls(b, "Disconnect"), 1);
	assert_int_equal(fake_bluez_calls(b->fake, "Disconnect", a->path), 1);
	assert_false(b->hci->discovering);
	assert_false(fake_bluez_has_agent(b->fake));
}

#define bluez_test(f) cmocka_unit_test_setup_teardown(f, bench_set_up, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		bluez_test(streams_heart_rate_and_ecg),
		bluez_test(asks_for_what_is_wanted),
		bluez_test(tells_why_a_stream_does_not_start),
		bluez_test(reconnects),
		bluez_test(knows_who_left),
		bluez_test(finds_it_again),
		bluez_test(tries_again_when_refused),
		bluez_test(meets_it_anew),
		bluez_test(is_patient_with_the_busy),
		bluez_test(waits_for_no_answer_for_ever),
		bluez_test(gives_up_on_services),
		bluez_test(tells_empty_from_ended),
		bluez_test(drops_what_is_too_long),
		bluez_test(tells_so_often_of_what_is_too_long),
		bluez_test(pairs_when_it_must),
		bluez_test(obeys_the_owner_about_pairing),
		bluez_test(lets_only_its_own_pair),
		bluez_test(tells_of_strangers_so_often),
		bluez_test(renews_a_lost_bond),
		bluez_test(renews_it_once_an_hour),
		bluez_test(keeps_to_the_cap),
		bluez_test(prefers_who_is_named),
		bluez_test(enrolls_if_it_may),
		bluez_test(is_not_drowned),
		bluez_test(leaves_strangers_alone),
		bluez_test(tells_namesakes_apart),
		bluez_test(takes_a_private_address_that_is_named),
		bluez_test(enrolls_no_private_address),
		bluez_test(adopts_links),
		bluez_test(follows_the_owner),
		bluez_test(believes_bluetoothd_only),
		bluez_test(leaves_in_order),
	};

	return cmocka_run_group_tests(tests, bench_group_set_up, bench_group_tear_down);
}
