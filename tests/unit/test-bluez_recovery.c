/*
 * The source `bluez` when the radio fails: a wearable that says nothing, a controller that does not
 * answer, an adapter that is pulled out or switched off, and bluetoothd gone, back, or hanging. Each
 * has its own rung of the recovery ladder and its own reason for the gap; and what is done for one
 * wearable never costs another one its link.
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

enum { N_STORMS = 20, STRIKES = 20 };

static struct fake_strap *start_streaming(struct bench *b)
{
	struct fake_strap *a = bench_strap(b, STRAP_A);

	bench_start(b, NAMED(STRAP_A) "streams=heart_rate\n");
	bench_await_state(b, STRAP_A, "streaming", 30);
	bench_pass(b, 3, &a, 1);
	return a;
}

/* Each rung in its order, and none twice, before the next. */
static void wakes_a_silent_one(void **state)
{
	struct bench *b = *state;
	struct seen *s = bench_seen(b, STRAP_A);
	struct fake_strap *a = start_streaming(b);

	bench_await_rung(b, STRAP_A, RUNG_RESUBSCRIBE, 120);
	assert_int_equal(s->rungs[RUNG_RECONNECT], 0);
	assert_int_equal(s->n_disconnected, 0);
	bench_await_rung(b, STRAP_A, RUNG_RECONNECT, 120);
	assert_int_equal(s->rungs[RUNG_RESUBSCRIBE], 1);
	assert_int_equal(s->rungs[RUNG_RECONNECT], 1);
	bench_await_gone(b, STRAP_A, 1, 10);
	assert_int_equal(s->gap, GAP_SILENT);
	bench_await_state(b, STRAP_A, "streaming", 60);
	bench_pass(b, 60, &a, 1);
	assert_int_equal(s->rungs[RUNG_RESUBSCRIBE], 1);
	assert_int_equal(s->rungs[RUNG_RECONNECT], 1);
	assert_int_equal(s->rungs[RUNG_UNBOND], 0);
	assert_int_equal(bench_calls(b, "PowerOff"), 0);
}

/* Nobody is heard, but the radio answers: it is the wearable's own silence. */
static void lets_a_mute_one_be(void **state)
{
	struct bench *b = *state;

	(void)start_streaming(b);
	bench_pass(b, 600, NULL, 0);
	assert_true(bench_seen(b, STRAP_A)->rungs[RUNG_RECONNECT] > 1);
	assert_int_equal(bench_calls(b, "PowerOff"), 0);
	assert_int_not_equal(access(b->recover, F_OK), 0);
}

/* A few beats, then none, all night: a bad contact. Each time is counted, and the first are told. */
static void tells_so_often_of_one_that_falls_silent(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = start_streaming(b);

	bench_listen(b);
	for (unsigned i = 0; i < QUOTA_MOST + 6; i++) {
		bench_pass(b, 13, NULL, 0);
		bench_pass(b, 2, &a, 1);
	}
	assert_true(bench_seen(b, STRAP_A)->rungs[RUNG_RESUBSCRIBE] > QUOTA_MOST);
	assert_int_equal(bench_heard(b, "subscribe again"), QUOTA_MOST);
	assert_int_equal(bench_heard(b, "no more of it is told"), 1);
}

/* Not every 30 s for ever: each link waits longer, and what it says at last is heard at once. */
static void waits_longer_for_a_mute_one(void **state)
{
	struct bench *b = *state;
	struct seen *s = bench_seen(b, STRAP_A);
	struct fake_strap *a = start_streaming(b);
	unsigned n_connected;

	bench_pass(b, 3600, NULL, 0);
	assert_in_range(s->n_connected, 5, 11);
	bench_await_state(b, STRAP_A, "streaming", 30);
	bench_pass(b, 60, &a, 1);
	assert_int_equal(s->n_frames[HEART_RATE], 63);
	n_connected = s->n_connected;
	bench_pass(b, 40, NULL, 0);
	assert_int_equal(s->n_connected, n_connected + 1); /* as if it had never been silent */
}

static void spares_who_is_heard(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = start_streaming(b), *stuck = bench_strap(b, STRAP_B);

	bench_configure(b, NAMED(STRAP_A) "streams=heart_rate\n" NAMED(STRAP_B));
	bench_await_state(b, STRAP_B, "streaming", 30);
	stuck->sticks = stuck->speechless = true;
	bench_pass(b, 300, &a, 1);
	stuck->link = FAKE_LINK_UNANSWERED;
	stuck->sticks = false;
	fake_bluez_lose(b->fake, stuck);
	bench_pass(b, 300, &a, 1);
	assert_int_equal(bench_calls(b, "PowerOff"), 0);
	assert_int_equal(bench_seen(b, STRAP_A)->n_disconnected, 0);
	assert_int_equal(bench_seen(b, STRAP_A)->n_frames[HEART_RATE], 603);
}

/* It did end at last: when all are out of reach, hours later, there is nothing to repair. */
static void forgives_a_link_that_ended(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = start_streaming(b), *stuck = bench_strap(b, STRAP_B);

	bench_configure(b, NAMED(STRAP_A) "streams=heart_rate\n" NAMED(STRAP_B));
	bench_await_state(b, STRAP_B, "streaming", 30);
	stuck->sticks = stuck->speechless = true;
	bench_pass(b, 120, &a, 1);
	stuck->sticks = stuck->near = false;
	fake_bluez_lose(b->fake, stuck);
	bench_pass(b, 60, &a, 1);
	a->near = false;
	fake_bluez_lose(b->fake, a);
	bench_pass(b, 120, NULL, 0);
	assert_int_equal(bench_calls(b, "PowerOff"), 0);
}

/* Connected stays true after Disconnect: the controller has lost the link, and does not know. */
static void frees_a_link_that_does_not_end(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = start_streaming(b);

	a->sticks = true;
	bench_await_calls(b, "PowerOn", 1, 300);
	a->sticks = false;
	assert_int_equal(bench_calls(b, "PowerOff"), 1);
	bench_await_state(b, STRAP_A, "streaming", 60);
	assert_int_equal(bench_seen(b, STRAP_A)->rungs[RUNG_POWER_CYCLE], 1);
}

static void cycles_a_radio_that_hangs(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = start_streaming(b);
	unsigned n_connected = bench_seen(b, STRAP_A)->n_connected;

	b->hci->mood = FAKE_RADIO_HANGS;
	bench_await_calls(b, "PowerOff", 1, 300);
	assert_int_equal(b->hci->mood, FAKE_WELL);
	bench_await_gone(b, STRAP_A, 1, 30);
	assert_int_equal(bench_seen(b, STRAP_A)->n_connected, n_connected);
	bench_await_state(b, STRAP_A, "streaming", 60);
	bench_pass(b, 30, &a, 1);
	assert_int_equal(bench_calls(b, "PowerOff"), 1);
	assert_int_not_equal(access(b->recover, F_OK), 0);
}

/*
 * A link that was to be ended has ended by itself: nothing is left to be done about it, and the others
 * have their turns.
 */
static void drops_a_wish_that_came_true(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = start_streaming(b), *other = bench_strap(b, STRAP_B);

	bench_configure(b, NAMED(STRAP_A) "streams=heart_rate\n" NAMED(STRAP_B));
	bench_await_state(b, STRAP_B, "streaming", 30);
	b->hci->mood = FAKE_RADIO_HANGS;
	bench_await_state(b, STRAP_B, "disconnecting", 120);
	assert_int_equal(bench_calls(b, "Disconnect"), 0);
	fake_bluez_lose(b->fake, other);
	b->hci->mood = FAKE_WELL;
	bench_await_state(b, STRAP_B, "streaming", 30);
	bench_pass(b, 4, (struct fake_strap *[]){a, other}, 2);
	fake_bluez_lose(b->fake, a);
	bench_await_gone(b, STRAP_A, bench_seen(b, STRAP_A)->n_disconnected + 1, 5);
	bench_await_state(b, STRAP_A, "streaming", 5); /* it was lost just now: at once */
}

/*
 * It hangs so long that links over it are given up before it is switched off, and bluetoothd tells of
 * no end of theirs. Who is back first must not keep the others from their turns.
 */
static void brings_all_back(void **state)
{
	static const char *const addresses[] = {STRAP_A, STRAP_B, STRAP_C};
	struct fake_strap *straps[ARRAY_SIZE(addresses)];
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++)
		straps[i] = bench_strap(b, addresses[i]);
	bench_start(b, NAMED(STRAP_A) NAMED(STRAP_B) NAMED(STRAP_C));
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++)
		bench_await_state(b, addresses[i], "streaming", 60);
	bench_pass(b, 3, straps, ARRAY_SIZE(straps));
	b->hci->mood = FAKE_RADIO_HANGS;
	b->hci->reticent = true;
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++)
		bench_await_state(b, addresses[i], "disconnecting", 120);
	bench_await_calls(b, "PowerOn", 1, 300);
	assert_int_equal(bench_calls(b, "Disconnect"), 0);
	bench_pass(b, 30, straps, ARRAY_SIZE(straps));
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++)
		assert_string_equal(bench_seen(b, addresses[i])->state, "streaming");
}

/* It says that it scans already, and has begun nothing: that is no sign of life. */
static void sees_through_a_false_scan(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = start_streaming(b);

	b->hci->feigns = true;
	a->near = false;
	fake_bluez_lose(b->fake, a);
	bench_await_calls(b, "PowerOff", 1, 120);
	b->hci->feigns = false;
	a->near = true;
	bench_await_state(b, STRAP_A, "streaming", 30);
}

static void asks_for_a_restart_in_the_end(void **state)
{
	struct bench *b = *state;

	(void)start_streaming(b);
	b->hci->mood = FAKE_RADIO_DEAD;
	bench_await_calls(b, "PowerOff", 1, 300);
	bench_await_recover(b, 900);
	assert_int_equal(unlink(b->recover), 0);
	bench_pass(b, 240, NULL, 0);
	assert_int_not_equal(access(b->recover, F_OK), 0);
	bench_await_recover(b, 900);
}

/* Of two adapters one is dead, and somebody is looked for over both: who is heard keeps his link. */
static void spares_another_adapter(void **state)
{
	struct bench *b = *state;
	struct fake_adapter *dead = fake_bluez_plug(b->fake, 1, "00:1a:7d:da:71:14");
	struct fake_strap *a = start_streaming(b);

	dead->mood = FAKE_RADIO_DEAD;
	bench_configure(b, NAMED(STRAP_A) "streams=heart_rate\n" NAMED(STRAP_B));
	bench_pass(b, 600, &a, 1);
	assert_in_range(bench_calls(b, "PowerOff"), 3, 100);
	assert_int_not_equal(access(b->recover, F_OK), 0);
	assert_int_equal(bench_seen(b, STRAP_A)->n_disconnected, 0);
	a->near = false;
	fake_bluez_lose(b->fake, a);
	bench_await_recover(b, 60); /* now there is nothing to lose */
}

/* It is switched off and on, which is all that it can do: not for ever. */
static void is_not_content_with_cycles_that_do_not_help(void **state)
{
	struct bench *b = *state;
	unsigned n_lines;

	(void)start_streaming(b);
	bench_listen(b);
	b->hci->mood = FAKE_RADIO_BROKEN;
	bench_await_recover(b, 300);
	assert_in_range(bench_calls(b, "PowerOff"), 3, 8);
	bench_pass(b, 600, NULL, 0);
	assert_true(bench_calls(b, "PowerOff") > 10);
	n_lines = bench_heard(b, "is switched off and on");
	assert_int_equal(n_lines, 1);
	assert_int_equal(bench_heard(b, "works again"), 0);
	b->hci->mood = FAKE_WELL;
	bench_await_state(b, STRAP_A, "streaming", 60);
	assert_int_equal(bench_heard(b, "hci0 works again"), 1);
	assert_int_equal(bench_heard(b, "is switched off and on"), n_lines);
}

/* It shows signs of life while it is being switched off, which fails: it is done once more, and told once. */
static void says_once_that_it_works(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = start_streaming(b), *other = bench_strap(b, STRAP_B);

	bench_configure(b, NAMED(STRAP_A) "streams=heart_rate\n" NAMED(STRAP_B));
	bench_await_state(b, STRAP_B, "streaming", 30);
	bench_listen(b);
	b->hci->mood = FAKE_RADIO_DEAD;
	bench_await_calls(b, "PowerOff", 1, 120);
	fake_bluez_lose(b->fake, other);
	fake_bluez_link(b->fake, other);
	bench_pass(b, 12, NULL, 0);
	b->hci->mood = FAKE_WELL;
	bench_pass(b, 60, (struct fake_strap *[]){a, other}, 2);
	assert_int_equal(bench_calls(b, "PowerOn"), 1);
	assert_int_equal(bench_heard(b, "is switched off and on"), 1);
	assert_int_equal(bench_heard(b, "hci0 works again"), 1);
	assert_string_equal(bench_seen(b, STRAP_A)->state, "streaming");
	assert_string_equal(bench_seen(b, STRAP_B)->state, "streaming");
}

/* bluetoothd itself hangs: no adapter is to blame for that. */
static void asks_for_a_restart_of_one_that_hangs(void **state)
{
	struct bench *b = *state;

	(void)bench_strap(b, STRAP_A);
	fake_bluez_hang(b->fake, true);
	bench_listen(b);
	bench_start(b, NAMED(STRAP_A));
	for (unsigned i = 0; i < 3; i++) { /* nobody does it */
		bench_await_recover(b, 400);
		assert_int_equal(unlink(b->recover), 0);
	}
	assert_int_equal(bench_heard(b, "has to be restarted"), 1);
	assert_int_not_equal(b->problem[0], '\0');
	fake_bluez_hang(b->fake, false);
	fake_bluez_crash(b->fake);
	bench_pass(b, 1, NULL, 0);
	fake_bluez_start(b->fake);
	bench_await_state(b, STRAP_A, "streaming", 60);
	assert_string_equal(b->problem, "");
}

/* Nobody has done what was asked for, and it went on by itself, or another one came. */
static void takes_its_request_back(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = start_streaming(b);

	for (unsigned i = 0; i < 2; i++) {
		fake_bluez_hang(b->fake, true);
		bench_await_recover(b, 400);
		fake_bluez_hang(b->fake, false);
		if (i == 0) {
			bench_await_state(b, STRAP_A, "streaming", 60);
			bench_pass(b, 10, &a, 1);
		} else {
			fake_bluez_crash(b->fake);
			bench_pass(b, 1, NULL, 0);
			fake_bluez_start(b->fake);
			bench_pass(b, 2, NULL, 0);
		}
		assert_int_not_equal(access(b->recover, F_OK), 0);
	}
}

static void survives_bluetoothd(void **state)
{
	struct bench *b = *state;
	struct seen *s = bench_seen(b, STRAP_A);
	unsigned n_discoveries;

	(void)start_streaming(b);
	assert_true(fake_bluez_has_agent(b->fake));
	for (unsigned i = 1; i <= 3; i++) {
		n_discoveries = bench_calls(b, "StartDiscovery");
		(i == 2 ? fake_bluez_crash : fake_bluez_stop)(b->fake);
		bench_await_gone(b, STRAP_A, i, 3);
		assert_int_equal(s->gap, GAP_BLUETOOTHD);
		bench_await_problem(b, "bluetoothd", 10);
		bench_pass(b, 30, NULL, 0);
		fake_bluez_start(b->fake);
		bench_await_state(b, STRAP_A, "streaming", 30);
		assert_int_equal(s->n_connected, 1 + i);
		assert_true(fake_bluez_has_agent(b->fake));
		assert_true(bench_calls(b, "StartDiscovery") > n_discoveries);
		assert_string_equal(b->problem, "");
	}
}

/* What is known of a wearable outlives the bus: what was tried, and who is told how often. */
static void survives_the_bus(void **state)
{
	struct bench *b = *state;
	struct seen *s = bench_seen(b, STRAP_A);

	(void)start_streaming(b);
	bench_await_rung(b, STRAP_A, RUNG_RESUBSCRIBE, 120);
	bench_restart_bus(b);
	bench_await_gone(b, STRAP_A, 1, 5);
	assert_int_equal(s->gap, GAP_BLUETOOTHD);
	(void)bench_strap(b, STRAP_A);
	bench_await_state(b, STRAP_A, "streaming", 60);
	assert_int_equal(s->rungs[RUNG_RESUBSCRIBE], 1);
	assert_string_equal(b->problem, "");
}

static void waits_for_bluetoothd(void **state)
{
	struct bench *b = *state;

	(void)bench_strap(b, STRAP_A);
	fake_bluez_stop(b->fake);
	bench_start(b, NAMED(STRAP_A));
	bench_await_problem(b, "bluetoothd", 60);
	bench_pass(b, 600, NULL, 0);
	assert_true(b->n_states <= 2);
	fake_bluez_start(b->fake);
	bench_await_state(b, STRAP_A, "streaming", 30);
	assert_string_equal(b->problem, "");
}

static void survives_the_adapter(void **state)
{
	struct bench *b = *state;

	(void)start_streaming(b);
	fake_bluez_unplug(b->fake, b->hci);
	bench_await_gone(b, STRAP_A, 1, 3);
	assert_int_equal(bench_seen(b, STRAP_A)->gap, GAP_ADAPTER);
	bench_await_problem(b, "adapter", 10);
	bench_pass(b, 30, NULL, 0);
	b->hci = fake_bluez_plug(b->fake, 0, BENCH_ADAPTER);
	bench_await_state(b, STRAP_A, "streaming", 30);
	assert_string_equal(b->problem, "");
}

/* Numbers change when adapters come and go; addresses do not. */
static void knows_its_adapter_by_address(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = bench_strap(b, STRAP_A);
	struct fake_adapter *other = fake_bluez_plug(b->fake, 1, "00:1a:7d:da:71:14");

	bench_start(b, "[bluetooth]\nadapter=00:1A:7D:DA:71:14\n" NAMED(STRAP_A));
	bench_pass(b, 30, NULL, 0);
	assert_false(b->hci->discovering);
	assert_true(other->discovering);
	assert_int_equal(bench_seen(b, STRAP_A)->n_connected, 0);
	a->adapter = other;
	bench_await_state(b, STRAP_A, "streaming", 30);
	fake_bluez_unplug(b->fake, other);
	bench_await_problem(b, "adapter", 10);
}

/* Its filter is gone then, and without one it hears hardly anybody. */
static void powers_it_again(void **state)
{
	struct bench *b = *state;
	struct fake_strap *a = start_streaming(b);

	a->near = false;
	fake_bluez_power(b->fake, b->hci, false);
	bench_await_gone(b, STRAP_A, 1, 3);
	assert_int_equal(bench_seen(b, STRAP_A)->gap, GAP_ADAPTER);
	bench_await_calls(b, "PowerOn", 1, 30);
	bench_pass(b, 60, NULL, 0);
	a->near = true;
	bench_await_state(b, STRAP_A, "streaming", 30);
}

static void asks_to_lift_rfkill(void **state)
{
	struct bench *b = *state;

	(void)bench_strap(b, STRAP_A);
	b->hci->blocked = true;
	fake_bluez_power(b->fake, b->hci, false);
	bench_start(b, NAMED(STRAP_A));
	bench_await_problem(b, "rfkill", 30);
	bench_pass(b, 300, NULL, 0);
	assert_true(b->n_states <= 2);
	b->hci->blocked = false;
	bench_await_state(b, STRAP_A, "streaming", 120);
	assert_string_equal(b->problem, "");
}

/* --- everything at once ------------------------------------------------------------------------ */

/* xorshift64: the same storm each time. */
static unsigned throw(uint64_t * dice, unsigned sides)
{
	*dice ^= *dice << 13;
	*dice ^= *dice >> 7;
	*dice ^= *dice << 17;
	return (unsigned)(*dice % sides);
}

static void strike_strap(struct bench *b, struct fake_strap *s, uint64_t *dice)
{
	switch (throw(dice, 8)) {
	case 0: s->near = !s->near; break;
	case 1: s->link = (enum fake_link) throw(dice, FAKE_LINK_DUMB + 1); break;
	case 2: s->sticks = !s->sticks; break;
	case 3: s->secure = !s->secure; break;
	case 4: s->forgot = s->paired; break;
	case 5: s->refuses = !s->refuses; break;
	case 6: s->speechless = !s->speechless; break;
	default:
		if (s->connected)
			fake_bluez_lose(b->fake, s);
	}
}

/* bluetoothd, as it is left by a storm. */
struct weather {
	bool running, hangs;
	uint64_t dice;
};

/* One that hung is restarted: what happened meanwhile, it never tells. */
static void strike_bluetoothd(struct bench *b, struct weather *w)
{
	if (!w->running) {
		fake_bluez_start(b->fake);
		w->running = true;
	} else if (w->hangs || throw(&w->dice, 4) > 0) {
		fake_bluez_hang(b->fake, false);
		(w->hangs || throw(&w->dice, 2) ? fake_bluez_crash : fake_bluez_stop)(b->fake);
		w->running = w->hangs = false;
	} else {
		fake_bluez_hang(b->fake, true);
		w->hangs = true;
	}
}

static void strike_adapter(struct bench *b, uint64_t *dice)
{
	if (!b->hci->path[0])
		b->hci = fake_bluez_plug(b->fake, 0, BENCH_ADAPTER);
	else if (throw(dice, 3) == 0)
		fake_bluez_unplug(b->fake, b->hci);
	else if (throw(dice, 2))
		fake_bluez_power(b->fake, b->hci, !b->hci->powered);
	else
		b->hci->mood = (enum fake_mood) throw(dice, FAKE_MOOD_MAX_);
}

static void calm(struct bench *b, struct weather *w, struct fake_strap *const *straps, size_t n)
{
	while (!w->running || w->hangs)
		strike_bluetoothd(b, w);
	if (!b->hci->path[0])
		b->hci = fake_bluez_plug(b->fake, 0, BENCH_ADAPTER);
	b->hci->mood = FAKE_WELL;
	for (size_t i = 0; i < n; i++) {
		straps[i]->near = true;
		straps[i]->link = FAKE_LINK_GOOD;
		straps[i]->secure = straps[i]->sticks = straps[i]->forgot = straps[i]->refuses =
			straps[i]->speechless = false;
	}
}

/* Whatever happened, and in which order: when it is over, all come back. */
static void weathers_storms(void **state)
{
	struct bench *b = *state;
	struct fake_strap *straps[] = {bench_strap(b, STRAP_A), bench_strap(b, STRAP_B)};
	struct weather w = {.running = true, .dice = 88172645463325252};

	b->stormy = true;
	bench_start(b, NAMED(STRAP_A) NAMED(STRAP_B));
	for (unsigned storm = 0; storm < N_STORMS; storm++) {
		for (unsigned i = 0; i < STRIKES; i++) {
			if (throw(&w.dice, 4) == 0)
				strike_bluetoothd(b, &w);
			if (throw(&w.dice, 2) == 0)
				strike_adapter(b, &w.dice);
			strike_strap(b, straps[throw(&w.dice, 2)], &w.dice);
			bench_pass(b, throw(&w.dice, 6), straps, 2);
		}
		calm(b, &w, straps, 2);
		bench_await_state(b, STRAP_A, "streaming", 120);
		bench_await_state(b, STRAP_B, "streaming", 120);
		(void)unlink(b->recover);
	}
}

/* What becomes of a strap that bluetoothd knew before it hid: two objects of one address. */
static void leaves_an_object_that_never_ends(void **state)
{
	struct bench *b = *state;
	struct fake_strap *own = bench_strap(b, STRAP_A);
	struct fake_strap *hidden = bench_strap(b, "40:11:22:33:44:55");

	hidden->random = true;
	hidden->identity = STRAP_A;
	fake_bluez_bond(b->fake, own);
	own->near = false;
	bench_start(b, NAMED(STRAP_A) "[bluetooth]\nmax_links=1\n");
	fake_bluez_link(b->fake, hidden);
	fake_bluez_pair(b->fake, hidden);
	bench_await_state(b, STRAP_A, "streaming", 30);
	assert_true(hidden->connected);
	hidden->sticks = hidden->speechless = true;
	bench_await_state(b, STRAP_A, "disconnecting", 60);
	hidden->near = false;
	own->near = true;
	bench_await_state(b, STRAP_A, "streaming", 60);
	assert_true(own->connected && hidden->connected);
	assert_int_equal(bench_calls(b, "PowerOff"), 0);
}

#define bluez_test(f) cmocka_unit_test_setup_teardown(f, bench_set_up, bench_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		bluez_test(wakes_a_silent_one),
		bluez_test(lets_a_mute_one_be),
		bluez_test(tells_so_often_of_one_that_falls_silent),
		bluez_test(waits_longer_for_a_mute_one),
		bluez_test(spares_who_is_heard),
		bluez_test(forgives_a_link_that_ended),
		bluez_test(leaves_an_object_that_never_ends),
		bluez_test(frees_a_link_that_does_not_end),
		bluez_test(cycles_a_radio_that_hangs),
		bluez_test(drops_a_wish_that_came_true),
		bluez_test(brings_all_back),
		bluez_test(sees_through_a_false_scan),
		bluez_test(asks_for_a_restart_in_the_end),
		bluez_test(spares_another_adapter),
		bluez_test(is_not_content_with_cycles_that_do_not_help),
		bluez_test(says_once_that_it_works),
		bluez_test(asks_for_a_restart_of_one_that_hangs),
		bluez_test(takes_its_request_back),
		bluez_test(survives_bluetoothd),
		bluez_test(survives_the_bus),
		bluez_test(waits_for_bluetoothd),
		bluez_test(survives_the_adapter),
		bluez_test(knows_its_adapter_by_address),
		bluez_test(powers_it_again),
		bluez_test(asks_to_lift_rfkill),
		bluez_test(weathers_storms),
	};

	return cmocka_run_group_tests(tests, bench_group_set_up, bench_group_tear_down);
}
