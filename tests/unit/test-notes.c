/*
 * store/notes: what was known of the clock is owed to every sink until that one confirms it, over
 * restarts; goes when nobody needs it, never before a required sink has it; and cannot fill a card.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"

enum { MANY = 2000 };

static struct clock_note owed[MANY];

static uint32_t add_sink(struct store *s, const char *name, bool required)
{
	uint32_t sink;

	assert_int_equal(register_sink(s, name, required, false, &sink), 0);
	return sink;
}

static void owed_until_confirmed(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t a = add_sink(s, "a", true), b = add_sink(s, "b", false);
	struct clock_note last;

	assert_false(store_clock_noted(s, &last));
	assert_int_equal(store_clocks_owed(s, a, owed, MANY), 0);
	assert_int_equal(store_note_clock(s, 5, 1005, 0), 0);
	assert_int_equal(store_note_clock(s, 6, 2006, 0), 0);
	assert_true(store_clock_noted(s, &last));
	assert_int_equal(last.boot_us, 6);
	assert_int_equal(store_clocks_owed(s, a, owed, 1), 1);
	assert_int_equal(owed[0].utc_us, 1005);
	assert_int_equal(strlen(owed[0].boot_id), 36);
	store_clocks_confirmed(s, a, owed[0].number);
	assert_int_equal(store_clocks_owed(s, a, owed, MANY), 1);
	assert_int_equal(owed[0].utc_us, 2006);
	assert_int_equal(store_clocks_owed(s, b, owed, MANY), 2);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);

	s = open_store(p);
	assert_int_equal(store_clocks_owed(s, a, owed, MANY), 1);
	assert_int_equal(owed[0].boot_us, 6);
	assert_int_equal(store_clocks_owed(s, b, owed, MANY), 2);
	store_clocks_confirmed(s, a, owed[1].number);
	store_clocks_confirmed(s, a, owed[0].number); /* never backwards */
	assert_int_equal(store_clocks_owed(s, a, owed, MANY), 0);
	assert_int_equal(add_sink(s, "c", true), 3);
	assert_int_equal(store_clocks_owed(s, 3, owed, MANY), 2); /* a new one is told all */
	store_close(s);
}

static void nothing_waits_for_a_note(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);

	assert_int_equal(store_commit(s, p->now), 0);
	assert_int_equal(store_note_clock(s, 5, 1005, 0), 0);
	assert_int_equal(store_commit_due(s), USEC_INFINITY); /* it rides along */
	store_close(s);
}

static void old_ones_go(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t a = add_sink(s, "a", true), b = add_sink(s, "b", true);

	(void)add_sink(s, "c", false); /* holds nothing */
	assert_int_equal(store_note_clock(s, 1, 100, 0), 0);
	assert_int_equal(store_note_clock(s, 2, 200, 0), 0);
	assert_int_equal(store_note_clock(s, 3, 300, 0), 0);
	store_clocks_confirmed(s, a, 3);
	assert_int_equal(store_note_clock(s, 4, 400, 250), 0);
	assert_int_equal(store_clocks_owed(s, b, owed, MANY), 4); /* b lacks all of them */
	store_clocks_confirmed(s, b, 2);
	assert_int_equal(store_note_clock(s, 5, 500, 150), 0);
	assert_int_equal(store_clocks_owed(s, 3, owed, MANY), 4);
	assert_int_equal(owed[0].utc_us, 200); /* confirmed, but too young */
	assert_int_equal(store_note_clock(s, 6, 600, INT64_MAX), 0);
	assert_int_equal(store_clocks_owed(s, 3, owed, MANY), 4);
	assert_int_equal(owed[0].utc_us, 300); /* old enough, but b lacks it */
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	s = open_store(p);
	assert_int_equal(store_clocks_owed(s, 3, owed, MANY), 4);
	assert_int_equal(owed[0].utc_us, 300);
	assert_int_equal(store_note_clock(s, 7, 700, 0), 0);
	assert_int_equal(store_clocks_owed(s, 3, owed, MANY), 5);
	assert_true(owed[4].number > owed[3].number);
	store_close(s);
}

static void a_storm_is_bounded(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t a = add_sink(s, "a", true);
	size_t n;

	for (int i = 0; i < MANY; i++) {
		assert_int_equal(store_note_clock(s, i, i, 0), 0);
		if (i % 700 == 0)
			assert_int_equal(store_commit(s, p->now), 0);
	}
	n = store_clocks_owed(s, a, owed, MANY);
	assert_int_equal(n, 1000);
	assert_int_equal(owed[n - 1].boot_us, MANY - 1);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	s = open_store(p);
	assert_int_equal(store_clocks_owed(s, a, owed, MANY), 1000);
	assert_int_equal(owed[0].boot_us, MANY - 1000);
	store_close(s);
}

/* A power cut takes the note, not the number that a sink confirmed of it. */
static void numbers_are_not_confirmed_in_advance(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t a = add_sink(s, "a", true);

	assert_int_equal(store_note_clock(s, 1, 100, 0), 0);
	store_clocks_confirmed(s, a, 1);
	store_close(s); /* without a commit: both are gone */
	s = open_store(p);
	assert_int_equal(store_clocks_owed(s, a, owed, MANY), 0);
	assert_int_equal(store_note_clock(s, 2, 200, 0), 0);
	assert_int_equal(store_clocks_owed(s, a, owed, MANY), 1);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(owed_until_confirmed),
		store_test(nothing_waits_for_a_note),
		store_test(old_ones_go),
		store_test(a_storm_is_bounded),
		store_test(numbers_are_not_confirmed_in_advance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
