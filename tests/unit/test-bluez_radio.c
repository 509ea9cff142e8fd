/*
 * source/bluez_radio on a bus that takes no calls (one that was never opened): what cannot be asked
 * for is asked for again, after a pause. What it does with answers is in test-bluez*.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "source/bluez_radio.h"

#define S(n) ((usec_t)(n)*USEC_PER_SEC)

enum { TURNS = 100 };

static void on_wake(void *userdata)
{
}

static void on_answered(void *userdata, bool yes)
{
	fail_msg("nothing was asked");
}

static void on_rung(void *userdata, const char *adapter, enum rung rung, bool first,
		    const char *why)
{
	++*(unsigned *)userdata;
}

static struct radio *make_radio(unsigned *n_rungs)
{
	const struct radio_handler handler = {n_rungs, on_wake, on_answered, on_rung};
	struct radio *r = NULL;
	sd_bus *bus = NULL;

	assert_true(sd_bus_new(&bus) >= 0);
	assert_int_equal(radio_new(bus, "/org/bluez/hci0", (struct profiles){0}, &handler, &r), 0);
	sd_bus_unref(bus);
	return r;
}

/* As its owner does: whenever it is due. When it has had so many turns. */
static usec_t after_turns(struct radio *r, bool powered, usec_t now)
{
	for (unsigned i = 0; i < TURNS; i++) {
		assert_true(radio_due(r, now) != USEC_INFINITY);
		now = MAX(now, radio_due(r, now));
		radio_told(r, powered, now);
		radio_tick(r, now);
	}
	return now;
}

static void a_scan_that_cannot_be_asked_for_has_a_pause(void **state)
{
	unsigned n_rungs = 0;
	struct radio *r = make_radio(&n_rungs);

	radio_told(r, true, S(100));
	radio_want_scan(r, true, false);
	assert_true(after_turns(r, true, S(100)) >= S(100 + TURNS));
	assert_false(radio_scanning(r));
	assert_true(radio_ready(r));
	radio_free(r);
}

static void power_that_cannot_be_asked_for_is_tried_again(void **state)
{
	unsigned n_rungs = 0;
	struct radio *r = make_radio(&n_rungs);

	radio_told(r, true, S(100));
	radio_told(r, false, S(101));
	assert_true(after_turns(r, false, S(101)) >= S(101 + TURNS));
	radio_told(r, true, S(2000)); /* somebody else did it */
	assert_true(radio_ready(r));
	radio_free(r);
}

static void a_cycle_that_cannot_be_asked_for_is_not_forgotten(void **state)
{
	unsigned n_rungs = 0;
	struct radio *r = make_radio(&n_rungs);

	radio_told(r, true, S(100));
	for (int i = 0; i < 4; i++)
		ladder_adapter_failed(radio_ladder(r));
	radio_tick(r, S(100));
	assert_int_equal(n_rungs, 1);
	assert_true(radio_due(r, S(100)) > S(100));
	assert_true(radio_due(r, S(100)) < S(200));
	radio_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_scan_that_cannot_be_asked_for_has_a_pause),
		cmocka_unit_test(power_that_cannot_be_asked_for_is_tried_again),
		cmocka_unit_test(a_cycle_that_cannot_be_asked_for_is_not_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
