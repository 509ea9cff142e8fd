/*
 * store/care: what may be deleted and what may not, and that everybody's books still balance after
 * it: a sink that is new, one that comes back, one that nobody waits for; history from before the
 * clock was known; ids and numbers that never come back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"
#include "store/state.h"

#define OLD (synced.offset_us + INT64_C(2000000000)) /* after all that is admitted here */

static uint32_t sink_named(struct store *s, const char *name, bool required)
{
	uint32_t sink;

	assert_int_equal(register_sink(s, name, required, false, &sink), 0);
	return sink;
}

/* Everything that is new is confirmed at this sink. */
static void confirm_all(struct store *s, uint32_t sink, usec_t now)
{
	struct taken taken = {.room = 100};
	struct cut_taker taker = taker_of(&taken);
	struct cut cut;
	int r;

	while ((r = outbox_cut(s, sink, &taker, &cut)) == 0 ||
	       (r = outbox_claim(s, sink, now, &taker, &cut)) == 0) {
		struct receipt_entry e[4] = {0};

		for (size_t i = 0; i < cut.n_ranges; i++)
			e[i] = (struct receipt_entry){.stream = cut.ranges[i].stream,
						      .acked_through = cut.ranges[i].last_seq};
		assert_int_equal(outbox_confirm(s, &cut, e, cut.n_ranges, now), 0);
	}
	assert_int_equal(r, STORE_E_NOTHING);
}

static void admit_some(struct place *p, struct store *s, uint32_t stream, unsigned n)
{
	while (n--)
		(void)admit(p, s, stream, 60);
}

static void restart(struct place *p, struct store **s)
{
	assert_int_equal(store_finish(*s, p->now), 0);
	*s = store_close(*s);
	*s = open_store(p);
}

static uint64_t exempt_at(struct store *s, uint32_t sink, uint32_t stream)
{
	struct cursor_status c;

	store_cursor_status(s, sink, stream, &c);
	return c.exempt;
}

static void a_retired_sink_comes_back(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	uint32_t a = sink_named(s, "a", true), b = sink_named(s, "b", true);

	admit_some(p, s, stream, 10);
	assert_int_equal(outbox_reopen(s, b, p->now), 0); /* in a row */
	confirm_all(s, a, p->now);
	assert_int_equal(store_commit(s, p->now), 0);
	admit_some(p, s, stream, 5); /* open at b */
	confirm_all(s, a, p->now);
	restart(p, &s);
	assert_int_equal(sink_named(s, "a", true), a);
	assert_int_equal(register_retire_sinks(s), 0);
	assert_int_equal(store_prune(s, OLD, 100), 0);
	assert_int_equal(store_prune(s, OLD, 100), STORE_E_NOTHING);
	assert_balanced(s);
	admit_some(p, s, stream, 3);
	restart(p, &s);
	(void)sink_named(s, "a", true);
	assert_int_equal(sink_named(s, "b", true), b);
	assert_int_equal(exempt_at(s, b, stream), 15);
	assert_balanced(s);
	assert_int_equal(outbox_reopen(s, b, p->now), 0);
	confirm_all(s, b, p->now);
	confirm_all(s, a, p->now);
	assert_balanced(s);
	store_close(s);
}

static void nobody_waits_for_an_optional_sink(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	uint32_t a = sink_named(s, "a", true), view = sink_named(s, "view", false);
	struct taken taken = {.room = 2};
	struct cut_taker taker = taker_of(&taken);
	struct cut cut;

	admit_some(p, s, stream, 6);
	confirm_all(s, a, p->now);
	assert_int_equal(outbox_cut(s, view, &taker, &cut), 0);
	assert_int_equal(store_prune(s, OLD, 100), STORE_E_NOTHING); /* on its way */
	outbox_release(s, &cut);
	assert_int_equal(store_prune(s, OLD, 100), 0);
	assert_int_equal(exempt_at(s, view, stream), 6);
	assert_balanced(s);
	admit_some(p, s, stream, 2);
	confirm_all(s, view, p->now);
	confirm_all(s, a, p->now);
	assert_balanced(s);
	store_close(s);
}

static void a_new_sink_after_deletion(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	uint32_t a = sink_named(s, "a", true), b, c;

	admit_some(p, s, stream, 4);
	confirm_all(s, a, p->now);
	assert_int_equal(store_prune(s, OLD, 100), 0);
	admit_some(p, s, stream, 3);
	b = sink_named(s, "b", true);
	assert_int_equal(register_sink(s, "c", true, true, &c), 0);
	/* Whatever happens now: both are there with what they need not have, or not at all. */
	store_close(s);
	s = open_store(p);
	assert_int_equal(sink_named(s, "b", true), b);
	assert_int_equal(exempt_at(s, b, stream), 4);
	assert_int_equal(exempt_at(s, c, stream), 7);
	assert_int_equal(outbox_reopen(s, b, p->now), 0);
	confirm_all(s, b, p->now);
	assert_balanced(s);
	store_close(s);
}

/* The first of three records is in quarantine, the others are confirmed. */
static void quarantine_one(struct place *p, struct store *s, uint32_t sink, uint32_t stream)
{
	struct taken taken = {.room = 1};
	struct cut_taker taker = taker_of(&taken);
	struct cut cut;

	admit_some(p, s, stream, 3);
	assert_int_equal(outbox_cut(s, sink, &taker, &cut), 0);
	assert_int_equal(outbox_quarantine(s, &cut, p->now, "bad", "why"), 0);
	confirm_all(s, sink, p->now);
	assert_int_equal(store_commit(s, p->now), 0); /* a block of its own */
}

static void what_is_quarantined_stays(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE), a = sink_named(s, "a", true);

	quarantine_one(p, s, a, stream);
	assert_int_equal(store_prune(s, OLD, 100), STORE_E_NOTHING);
	assert_balanced(s);
	store_close(s);
}

static void quarantine_does_not_keep_other_streams(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE), a = sink_named(s, "a", true);
	uint32_t other = stream_of_kind(s, KIND_ECG);
	struct stream_status status;

	quarantine_one(p, s, a, stream);
	admit_some(p, s, other, 3);
	confirm_all(s, a, p->now);
	assert_int_equal(store_prune(s, OLD, 1), 0); /* looks at what is older and stays */
	assert_int_equal(store_prune(s, OLD, 1), 0);
	store_stream_status(s, other, &status);
	assert_int_equal(status.deleted, 3);
	assert_int_equal(store_prune(s, OLD, 1), STORE_E_NOTHING);
	assert_balanced(s);
	store_close(s);
}

/* Under the size limit a record that was refused for good counts less than one that is new. */
static void quarantine_goes_before_new_data_is_refused(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE), a = sink_named(s, "a", true);
	struct stream_status status;

	struct store_options full = {.max_size = 1024, .durability_window = USEC_PER_SEC};

	quarantine_one(p, s, a, stream);
	assert_int_equal(store_prune(s, OLD, 100), STORE_E_NOTHING);
	/* Its owner's only copy: while there is room for what is new, it stays. */
	assert_int_equal(store_prune(s, INT64_MAX, 100), STORE_E_NOTHING);
	store_set_options(s, &full);
	assert_int_equal(store_checkpoint(s), 0); /* looks how full it is */
	assert_int_equal(store_prune(s, INT64_MAX, 100), 0);
	store_stream_status(s, stream, &status);
	assert_int_equal(status.deleted, 3);
	assert_balanced(s);
	store_close(s);
}

static void history_from_before_the_clock(void **state)
{
	struct place *p = *state;
	struct store *s = open_with(p, &unsynced, NULL);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE), a = sink_named(s, "a", true);
	struct stream_status status;

	admit_some(p, s, stream, 2);
	assert_int_equal(store_resolve_clock(s, CLK_EST, p->now, unsynced.offset_us), 0);
	p->now++;
	admit_some(p, s, stream, 2);
	assert_int_equal(store_resolve_clock(s, CLK_UTC, p->now, synced.offset_us), 0);
	confirm_all(s, a, p->now);
	assert_int_equal(store_commit(s, p->now), 0);
	/* The block is half est: it is as old as the next one that knows. */
	assert_int_equal(store_prune(s, OLD, 100), STORE_E_NOTHING);
	store_set_clock(s, &synced);
	admit_some(p, s, stream, 1);
	confirm_all(s, a, p->now);
	assert_int_equal(store_commit(s, p->now), 0);
	assert_int_equal(store_prune(s, synced.offset_us, 100), STORE_E_NOTHING); /* too young */
	assert_int_equal(store_prune(s, OLD, 100), 0);
	store_stream_status(s, stream, &status);
	assert_int_equal(status.deleted, 5);
	assert_balanced(s);
	store_close(s);
}

/* What a wearable's memory tells of another day. */
static void tell_past(struct place *p, struct store *s, uint32_t stream, int64_t boot_us)
{
	struct record r = {.stream = stream,
			   .type = RECORD_HEART_RATE,
			   .boot_us = boot_us,
			   .heart_rate = {.bpm = 50, .energy_kj = -1}};

	for (int i = 0; i < 3; i++, r.boot_us += (int64_t)USEC_PER_SEC)
		assert_int_equal(store_admit(s, &r, p->now), 0);
}

/* It comes with the clock, before anything that was heard by it, and makes nobody older. */
static void an_estimate_beside_a_memory(void **state)
{
	struct place *p = *state;
	struct store *s = open_with(p, &unsynced, NULL);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE), a = sink_named(s, "a", true);
	int64_t week = INT64_C(7) * 86400 * 1000000, heard = (int64_t)p->now + synced.offset_us;
	struct stream_status status;

	admit_some(p, s, stream, 3);
	assert_int_equal(store_resolve_clock(s, CLK_EST, p->now, unsynced.offset_us), 0);
	assert_int_equal(store_commit(s, p->now), 0);
	store_set_clock(s, &synced);
	tell_past(p, s, stream, (int64_t)p->now - week);
	confirm_all(s, a, p->now);
	assert_int_equal(store_commit(s, p->now), 0);
	assert_int_equal(store_prune(s, heard, 100), STORE_E_NOTHING); /* who can tell? */
	for (int i = 0; i < 2; i++) { /* the next day, and in the next run */
		admit_some(p, s, stream, 3);
		tell_past(p, s, stream, (int64_t)p->now - week);
		confirm_all(s, a, p->now);
		restart(p, &s);
		assert_int_equal(sink_named(s, "a", true), a);
		p->now += 86400 * USEC_PER_SEC;
	}
	assert_int_equal(store_prune(s, heard, 100), STORE_E_NOTHING);
	store_stream_status(s, stream, &status);
	assert_int_equal(status.deleted, 0);
	assert_int_equal(store_prune(s, heard + 60 * (int64_t)USEC_PER_SEC, 100), 0);
	store_stream_status(s, stream, &status);
	assert_true(status.deleted >= 6 && status.deleted < 15);
	assert_balanced(s);
	store_close(s);
}

static int count_steps(void *userdata)
{
	++*(unsigned *)userdata;
	return 0;
}

/* A hub that had no network had no clock either: weeks of blocks, and each asks when it was. */
static void many_estimates(void **state)
{
	enum { BLOCKS = 5000, STEPS = 1000 };
	struct place *p = *state;
	struct store *s = open_with(p, &unsynced, NULL);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE), a = sink_named(s, "a", true);
	struct stream_status status;
	unsigned steps = 0;

	for (int i = 0; i < BLOCKS; i++) {
		admit_some(p, s, stream, 1);
		assert_int_equal(store_commit(s, p->now), 0);
	}
	assert_int_equal(store_resolve_clock(s, CLK_EST, p->now, unsynced.offset_us), 0);
	store_set_clock(s, &synced);
	admit_some(p, s, stream, 1);
	assert_int_equal(outbox_reopen(s, a, p->now), 0);
	confirm_all(s, a, p->now);
	assert_int_equal(store_commit(s, p->now), 0);
	sqlite3_progress_handler(s->db, STEPS, count_steps, &steps);
	assert_int_equal(store_prune(s, OLD, 256), 0);
	sqlite3_progress_handler(s->db, 0, NULL, NULL);
	store_stream_status(s, stream, &status);
	assert_int_equal(status.deleted, 256);
	assert_in_range(steps, 0, 1000); /* some for each block, not for each of each */
	store_close(s);
}

static void numbers_do_not_come_back(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE), a = sink_named(s, "a", true);
	char path[128];
	uint64_t last;

	admit_some(p, s, stream, 5);
	confirm_all(s, a, p->now);
	assert_int_equal(store_prune(s, OLD, 100), 0); /* all there is */
	last = admit(p, s, stream, 60);
	store_close(s);
	(void)snprintf(path, sizeof(path), "%s/tail", p->run);
	assert_int_equal(unlink(path), 0); /* the power is cut */
	s = open_store(p);
	assert_true(admit(p, s, stream, 60) > last);
	assert_balanced(s);
	(void)sink_named(s, "a", true);
	confirm_all(s, a, p->now);
	assert_balanced(s);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(a_retired_sink_comes_back),
		store_test(nobody_waits_for_an_optional_sink),
		store_test(a_new_sink_after_deletion),
		store_test(what_is_quarantined_stays),
		store_test(quarantine_does_not_keep_other_streams),
		store_test(quarantine_goes_before_new_data_is_refused),
		store_test(history_from_before_the_clock),
		store_test(an_estimate_beside_a_memory),
		store_test(many_estimates),
		store_test(numbers_do_not_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
