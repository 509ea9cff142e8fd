/*
 * store/wall: a record that was heard without a clock gets its time once, for ever, from a segment
 * of its boot: the same after a restart, for a gap that began long ago, for one a little ahead of
 * the loop; and what another boot left without one gets the best there is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"

static int64_t offsets[64];
static uint8_t clks[64];

static int note_clock(void *userdata, const struct record *r)
{
	size_t *n = userdata;

	offsets[*n] = r->offset_us;
	clks[(*n)++] = r->clk;
	return 0;
}

static size_t clocks_of(struct store *s, uint32_t stream, int expected)
{
	size_t n = 0;

	assert_int_equal(store_read(s, stream, 1, UINT64_MAX, 0, note_clock, &n), expected);
	return n;
}

static void pending_until_told(void **state)
{
	struct place *p = *state;
	struct store *s = open_with(p, &unsynced, NULL);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);

	assert_int_equal(store_clock_pending_since(s), USEC_INFINITY);
	assert_int_equal(store_resolve_clock(s, CLK_UTC, p->now, 1), 0); /* nobody waits for it */
	(void)admit(p, s, stream, 60);
	assert_int_equal(clocks_of(s, stream, STORE_E_CLOCK), 0);
	assert_int_equal(store_resolve_clock(s, CLK_EST, p->now, 42), 0);
	p->now++;
	(void)admit(p, s, stream, 61);
	assert_int_equal(clocks_of(s, stream, STORE_E_CLOCK), 1);
	assert_int_equal(store_resolve_clock(s, CLK_UTC, p->now, 43), 0);
	store_set_clock(s, &synced);
	(void)admit(p, s, stream, 62);
	assert_int_equal(clocks_of(s, stream, 0), 3);
	assert_int_equal(offsets[0], 42);
	assert_int_equal(clks[0], CLK_EST);
	assert_int_equal(offsets[1], 43);
	assert_int_equal(offsets[2], synced.offset_us);
	store_close(s);
	s = open_store(p);
	assert_int_equal(clocks_of(s, stream, 0), 3);
	assert_int_equal(offsets[0], 42);
	assert_int_equal(offsets[1], 43);
	store_close(s);
}

/* The daemon died before NTP came: the next one of the same boot answers for both. */
static void pending_over_a_restart(void **state)
{
	struct place *p = *state;
	struct store *s = open_with(p, &unsynced, NULL);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);

	(void)admit(p, s, stream, 60);
	store_close(s);
	s = open_store(p); /* by now the clock is known */
	assert_int_equal(clocks_of(s, stream, STORE_E_CLOCK), 0);
	assert_int_equal(store_clock_pending_since(s), p->now);
	assert_int_equal(store_resolve_clock(s, CLK_UTC, p->now, 42), 0);
	assert_int_equal(store_clock_pending_since(s), USEC_INFINITY);
	assert_int_equal(clocks_of(s, stream, 0), 1);
	assert_int_equal(offsets[0], 42);
	store_close(s);
}

static void a_record_ahead_of_the_loop(void **state)
{
	struct place *p = *state;
	struct store *s = open_with(p, &unsynced, NULL);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);

	p->now += 500;
	(void)admit(p, s, stream, 60);
	assert_int_equal(store_resolve_clock(s, CLK_UTC, p->now - 10400, 42), 0);
	assert_int_equal(clocks_of(s, stream, 0), 1);
	store_close(s);
}

static void a_gap_that_began_long_ago(void **state)
{
	struct place *p = *state;
	struct store *s = open_with(p, &unsynced, NULL);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	struct record gap = {.stream = stream,
			     .type = RECORD_GAP,
			     .boot_us = -5,
			     .gap = {.reason = GAP_POWER_CUT, .duration_us = 10}};

	(void)admit(p, s, stream, 60);
	assert_int_equal(store_resolve_clock(s, CLK_EST, p->now, 42), 0);
	assert_int_equal(store_admit(s, &gap, p->now), 0);
	assert_int_equal(clocks_of(s, stream, 0), 2); /* its time is covered already */
	assert_int_equal(offsets[1], 42);
	(void)admit(p, s, stream, 61);
	assert_int_equal(store_resolve_clock(s, CLK_UTC, p->now, 43), 0);
	assert_int_equal(clocks_of(s, stream, 0), 3);
	assert_int_equal(offsets[1], 42); /* for ever */
	store_close(s);
}

static void a_boot_that_is_over(void **state)
{
	struct place *p = *state;
	struct store *s = open_with(p, &unsynced, NULL);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);

	(void)admit(p, s, stream, 60);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	run_sql(p, "UPDATE run SET boot_id = 'another'");
	s = open_with(p, &unsynced, NULL);
	assert_int_equal(store_clock_pending_since(s), USEC_INFINITY); /* of this boot: none */
	assert_int_equal(clocks_of(s, stream, 0), 1);
	assert_int_equal(clks[0], CLK_EST);
	assert_int_equal(offsets[0], unsynced.offset_us);
	(void)admit(p, s, stream, 61);
	assert_int_equal(store_resolve_clock(s, CLK_UTC, p->now, 43), 0);
	assert_int_equal(clocks_of(s, stream, 0), 2);
	assert_int_equal(offsets[0], unsynced.offset_us);
	assert_int_equal(offsets[1], 43);
	store_close(s);
}

/*
 * Once the clock was right, what somebody sets by hand while nobody disciplines it is not believed;
 * a step while it is synchronised is, and what was admitted before keeps its time.
 */
static void only_a_synchronised_offset_counts(void **state)
{
	struct clock_state by_hand = {.offset_us = synced.offset_us + 3600000000};
	struct clock_state stepped = {.synchronised = true, .offset_us = synced.offset_us - 5};
	struct place *p = *state;
	struct store *s = open_with(p, &unsynced, NULL);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);

	store_set_clock(s, &synced);
	(void)admit(p, s, stream, 60);
	store_set_clock(s, &by_hand);
	(void)admit(p, s, stream, 61);
	store_set_clock(s, &stepped);
	(void)admit(p, s, stream, 62);
	assert_int_equal(clocks_of(s, stream, 0), 3);
	assert_int_equal(offsets[0], synced.offset_us);
	assert_int_equal(offsets[1], synced.offset_us);
	assert_int_equal(clks[1], CLK_UTC);
	assert_int_equal(offsets[2], stepped.offset_us);
	store_close(s);
}

/* The network went, and hours later the daemon is restarted: it was right in this boot. */
static void a_restart_remembers_the_clock(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);

	assert_int_equal(store_note_clock(s, (int64_t)p->now, (int64_t)p->now + 42, 0), 0);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	s = open_with(p, &unsynced, NULL);
	(void)admit(p, s, stream, 60);
	assert_int_equal(clocks_of(s, stream, 0), 1);
	assert_int_equal(clks[0], CLK_UTC);
	assert_int_equal(offsets[0], 42);
	store_close(s);
	run_sql(p, "UPDATE clock_note SET boot_id = 'another'");
	s = open_with(p, &unsynced, NULL);
	(void)admit(p, s, stream, 61);
	assert_int_equal(clocks_of(s, stream, STORE_E_CLOCK),
			 1); /* of another boot it says nothing */
	store_close(s);
}

/* Nothing spins, nothing is lost: the lanes say that they wait for the clock. */
static void lanes_wait_for_the_clock(void **state)
{
	struct place *p = *state;
	struct store *s = open_with(p, &unsynced, NULL);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE), sink;
	struct taken taken = {.room = 10};
	struct cut_taker taker = taker_of(&taken);
	struct cut cut;

	assert_int_equal(register_sink(s, "a", true, false, &sink), 0);
	(void)admit(p, s, stream, 60);
	assert_int_equal(outbox_cut(s, sink, &taker, &cut), STORE_E_CLOCK);
	assert_int_equal(outbox_cut(s, sink, &taker, &cut), STORE_E_CLOCK);
	assert_int_equal(outbox_reopen(s, sink, p->now), 0);
	assert_int_equal(outbox_claim(s, sink, p->now, &taker, &cut), STORE_E_CLOCK);
	assert_int_equal(outbox_claim(s, sink, p->now, &taker, &cut), STORE_E_NOTHING);
	p->now += USEC_PER_SEC; /* so long it is passed over */
	assert_int_equal(outbox_claim(s, sink, p->now, &taker, &cut), STORE_E_CLOCK);
	p->now += USEC_PER_SEC;
	assert_int_equal(store_resolve_clock(s, CLK_UTC, p->now, 42), 0);
	assert_int_equal(outbox_claim(s, sink, p->now, &taker, &cut), 0);
	assert_int_equal(cut.n_records, 1);
	outbox_release(s, &cut);
	assert_balanced(s);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(pending_until_told),
		store_test(pending_over_a_restart),
		store_test(a_record_ahead_of_the_loop),
		store_test(a_gap_that_began_long_ago),
		store_test(a_boot_that_is_over),
		store_test(lanes_wait_for_the_clock),
		store_test(only_a_synchronised_offset_counts),
		store_test(a_restart_remembers_the_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
