/*
 * The store from outside: what is admitted is there after a crash, after a clean stop and after a
 * power cut as far as it was promised; numbers never come back; the ledger balances after each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"

#include <sys/wait.h>

static struct store *open_limited(struct place *p, uint64_t max_size)
{
	struct store_options o = {.state_dir = p->state,
				  .runtime_dir = p->run,
				  .role = "test",
				  .tail_size = 64 * 1024,
				  .durability_window = USEC_PER_SEC,
				  .lazy_commit = 300 * USEC_PER_SEC,
				  .max_size = max_size};
	struct store_opening opening;
	struct store *s = NULL;

	assert_int_equal(store_open(&o, p->now, &synced, &opening, &s), 0);
	return s;
}

static int count_one(void *userdata, const struct record *r)
{
	uint64_t *n = userdata;

	assert_int_equal(r->heart_rate.bpm, 60 + *n % 100);
	(*n)++;
	return 0;
}

static uint64_t count_all(struct store *s, uint32_t stream)
{
	uint64_t n = 0;

	assert_int_equal(store_read(s, stream, 1, UINT64_MAX, 0, count_one, &n), 0);
	return n;
}

static void crash_keeps_the_tail(void **state)
{
	struct place *p = *state;
	struct store_opening opening;
	struct store_figures figures;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	uint64_t last = 0;

	for (unsigned i = 0; i < 50; i++)
		last = admit(p, s, stream, (uint16_t)(60 + i % 100));
	assert_int_equal(count_all(s, stream), 50);
	store_close(s); /* without store_finish(): as a crash leaves it */
	p->now += 60 * USEC_PER_SEC;
	s = open_with(p, &synced, &opening);
	store_figures(s, &figures);
	assert_int_equal(figures.commits_late, 0); /* the card was not to blame */
	assert_int_equal(opening.tail, TAIL_RECOVERED);
	assert_int_equal(opening.n_recovered, 50);
	assert_false(opening.clean);
	assert_int_equal(count_all(s, stream), 50);
	assert_true(admit(p, s, stream, 60 + 50) > last);
	assert_int_equal(count_all(s, stream), 51);
	assert_balanced(s);
	store_close(s);
}

static void power_cut_keeps_what_was_committed(void **state)
{
	struct place *p = *state;
	struct store_opening opening;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	uint64_t last = 0;
	char path[128];

	for (unsigned i = 0; i < 10; i++)
		(void)admit(p, s, stream, (uint16_t)(60 + i));
	assert_int_equal(store_commit(s, p->now), 0);
	for (unsigned i = 10; i < 20; i++)
		last = admit(p, s, stream, (uint16_t)(60 + i));
	store_close(s);
	(void)snprintf(path, sizeof(path), "%s/tail", p->run);
	assert_int_equal(unlink(path), 0);
	s = open_with(p, &synced, &opening);
	assert_int_equal(opening.tail, TAIL_LOST);
	assert_int_equal(count_all(s, stream), 10);
	assert_true(admit(p, s, stream, 60 + 10) > last);
	assert_balanced(s);
	store_close(s);
}

static void clean_stop_is_clean(void **state)
{
	struct place *p = *state;
	struct store_opening opening;
	struct store *s = open_with(p, &synced, &opening);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);

	assert_true(opening.created);
	(void)admit(p, s, stream, 60);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	s = open_with(p, &synced, &opening);
	assert_true(opening.clean);
	assert_int_equal(opening.tail, TAIL_NONE);
	assert_int_equal(count_all(s, stream), 1);
	assert_int_equal(stream_of_kind(s, KIND_HEART_RATE), stream);
	store_close(s);
}

static void one_owner(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p), *second = NULL, *look = NULL;
	struct store_options o = {.state_dir = p->state, .runtime_dir = p->run, .role = "drain"};
	struct store_opening opening;
	struct owner_info owner;
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);

	(void)admit(p, s, stream, 60);
	assert_int_equal(store_open(&o, p->now, &synced, &opening, &second), STORE_E_OWNED);
	assert_null(second);
	assert_int_equal(store_look(p->state, p->run, &look), 0);
	assert_int_equal(count_all(look, stream), 1);
	assert_balanced(look);
	store_close(look);
	store_owner(p->state, p->run, &owner);
	assert_true(owner.locked);
	assert_int_equal(owner.pid, getpid());
	assert_string_equal(owner.role, "test");
	store_close(s);
	store_owner(p->state, p->run, &owner);
	assert_false(owner.locked);
}

static void a_ring_full_of_uncommitted_commits(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	struct store_figures figures;

	for (unsigned i = 0; i < 5000; i++)
		(void)admit(p, s, stream, (uint16_t)(60 + i % 100));
	store_figures(s, &figures);
	assert_true(figures.commits > 1);
	assert_int_equal(count_all(s, stream), 5000);
	assert_balanced(s);
	store_close(s);
	s = open_store(p);
	assert_int_equal(count_all(s, stream), 5000);
	store_close(s);
}

static void due_by_T_and_by_laziness(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE), sink;
	usec_t heard;

	assert_int_equal(register_sink(s, "a", true, false, &sink), 0);
	assert_int_equal(store_commit(s, p->now), 0);
	assert_int_equal(store_commit_due(s), USEC_INFINITY);
	heard = p->now;
	(void)admit(p, s, stream, 60);
	assert_int_equal(store_commit_due(s), heard + USEC_PER_SEC);
	store_close(s);
}

static void wall_time_is_frozen_later(void **state)
{
	struct place *p = *state;
	struct store *s = open_with(p, &unsynced, NULL);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	uint64_t n = 0;

	(void)admit(p, s, stream, 60);
	assert_int_equal(store_read(s, stream, 1, UINT64_MAX, 0, count_one, &n), STORE_E_CLOCK);
	assert_int_equal(store_commit(s, p->now), 0);
	assert_int_equal(store_read(s, stream, 1, UINT64_MAX, 0, count_one, &n), STORE_E_CLOCK);
	assert_true(store_clock_pending_since(s) < p->now);
	assert_int_equal(store_resolve_clock(s, CLK_UTC, p->now, 42), 0);
	assert_int_equal(store_clock_pending_since(s), USEC_INFINITY);
	assert_int_equal(count_all(s, stream), 1);
	store_close(s);
	s = open_store(p);
	assert_int_equal(count_all(s, stream), 1);
	store_close(s);
}

static void old_history_goes(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE), sink;
	struct stream_status status;

	assert_int_equal(register_sink(s, "a", true, true, &sink), 0);
	for (unsigned i = 0; i < 20; i++)
		(void)admit(p, s, stream, (uint16_t)(60 + i));
	assert_int_equal(store_prune(s, INT64_MAX, 100), STORE_E_NOTHING); /* not confirmed */
	assert_int_equal(outbox_reopen(s, sink, p->now), 0);
	assert_int_equal(store_prune(s, INT64_MAX, 100), STORE_E_NOTHING); /* still owed */
	store_close(s);
	s = open_store(p);
	assert_int_equal(register_retire_sinks(s), 0); /* the config names it no more */
	assert_int_equal(store_prune(s, INT64_MAX, 100), 0);
	store_stream_status(s, stream, &status);
	assert_int_equal(status.deleted, 20);
	assert_int_equal(status.admitted, 20);
	assert_balanced(s);
	(void)admit(p, s, stream, 60);
	assert_int_equal(count_all(s, stream), 1);
	store_close(s);
}

static int count_shed_gap(void *userdata, const struct record *r)
{
	uint64_t *n = userdata;

	if (r->type == RECORD_GAP && r->gap.reason == GAP_STORE_FULL)
		*n += r->gap.n;
	return 0;
}

static int begin_nothing(void *userdata, const struct run_info *run)
{
	return 0;
}

static int add_nothing(void *userdata, const struct stream_info *stream, uint64_t after,
		       const struct record *r)
{
	return 0;
}

/* A server that takes everything. */
static void confirm_all(struct store *s, uint32_t sink, usec_t now)
{
	const struct cut_taker taker = {.begin = begin_nothing, .add = add_nothing};
	struct cut cut;

	assert_int_equal(outbox_reopen(s, sink, now), 0);
	while (outbox_claim(s, sink, now, &taker, &cut) == 0) {
		struct receipt_entry e = {.stream = cut.ranges[0].stream,
					  .acked_through = cut.ranges[0].last_seq,
					  .accepted = cut.ranges[0].count};

		assert_int_equal(outbox_confirm(s, &cut, &e, 1, now), 0);
	}
}

/*
 * At the limit new records are refused and counted; what waits stays; then confirmed history goes.
 */
static void the_size_limit_sheds_and_recovers(void **state)
{
	struct place *p = *state;
	struct store *s = open_limited(p, 128 * 1024);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE), sink;
	struct stream_status status;
	struct record r = {.stream = stream, .type = RECORD_HEART_RATE};
	uint64_t told = 0, admitted = 0;

	assert_int_equal(register_sink(s, "a", true, false, &sink), 0);
	do {
		r.heart_rate = (struct heart_rate){.bpm = 60, .energy_kj = -1};
		r.boot_us = (int64_t)p->now;
		p->now += 1000;
		admitted++;
		assert_true(admitted < 1000000);
	} while (store_admit(s, &r, p->now) == 0);
	for (unsigned i = 0; i < 9; i++)
		assert_int_equal(store_admit(s, &r, p->now), STORE_E_FULL);
	store_stream_status(s, stream, &status);
	assert_int_equal(status.shed, 10);
	assert_true(store_wants_room(s));
	assert_int_equal(store_prune(s, INT64_MAX, 100), STORE_E_NOTHING); /* all of it waits */
	assert_balanced(s);
	confirm_all(s, sink, p->now);
	assert_int_equal(store_commit(s, p->now), 0);
	while (store_prune(s, INT64_MAX, 100) == 0)
		;
	assert_int_equal(store_admit(s, &r, p->now), 0);
	assert_int_equal(store_read(s, stream, 1, UINT64_MAX, 0, count_shed_gap, &told), 0);
	assert_int_equal(told, 10);
	assert_balanced(s);
	store_close(s);
}

static int take_all(void *userdata, const struct stream_info *stream, uint64_t after,
		    const struct record *r)
{
	return 0;
}

/* One record behind many of another stream: found in slices, and not taken for lost meanwhile. */
static void a_rare_stream_is_claimed_in_slices(void **state)
{
	const struct cut_taker taker = {NULL, begin_nothing, take_all};
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t often = stream_of_kind(s, KIND_HEART_RATE), rare, sink;
	struct cut cut = {0};
	size_t n_more = 0;
	uint64_t seq;
	int r;

	assert_int_equal(register_sink(s, "server", true, false, &sink), 0);
	assert_int_equal(register_stream(s, "a0:b1:c2:d3:e4:f6", KIND_HEART_RATE, "u-2", &rare), 0);
	for (unsigned i = 0; i < 150000; i++)
		(void)admit(p, s, often, 60);
	seq = admit(p, s, rare, 60);
	assert_int_equal(store_commit(s, p->now), 0);
	assert_int_equal(outbox_reopen(s, sink, p->now), 0);
	while ((r = outbox_claim(s, sink, p->now, &taker, &cut)) == STORE_E_MORE ||
	       (r == 0 && cut.ranges[0].stream == often)) {
		n_more += r == STORE_E_MORE;
		if (r == 0)
			cut_done(&cut); /* its rows are under way from here on */
	}
	assert_int_equal(r, 0);
	assert_in_range(n_more, 1, 5);
	assert_int_equal(cut.n_records, 1);
	assert_int_equal(cut.ranges[0].stream, rare);
	assert_int_equal(cut.ranges[0].first_seq, seq);
	outbox_release(s, &cut);
	store_close(s);
}

static void copy(struct place *p, const char *from, const char *to)
{
	char command[256];

	(void)snprintf(command, sizeof(command), "cp '%s/%s' '%s/%s'", p->state, from, p->state,
		       to);
	assert_int_equal(system(command), 0);
}

/* The log was put back from a copy: the tail belongs to a run that it never saw. */
static void a_tail_newer_than_the_log(void **state)
{
	struct place *p = *state;
	struct store_opening opening;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	char path[128];

	(void)admit(p, s, stream, 60);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	copy(p, "store.db", "copy");
	s = open_store(p);
	(void)admit(p, s, stream, 61);
	store_close(s);
	copy(p, "copy", "store.db");
	(void)snprintf(path, sizeof(path), "%s/store.db-wal", p->state);
	(void)unlink(path); /* may be gone already */
	s = open_with(p, &synced, &opening);
	assert_int_equal(opening.tail, TAIL_FOREIGN);
	(void)snprintf(path, sizeof(path), "%s/tail.foreign", p->run);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(opening.incarnation, INCARNATION_BACKUP);
	assert_int_equal(count_all(s, stream), 1);
	assert_int_not_equal(stream_of_kind(s, KIND_HEART_RATE), stream);
	(void)admit(p, s, stream_of_kind(s, KIND_HEART_RATE), 61);
	assert_int_equal(count_all(s, stream), 1);
	assert_balanced(s);
	store_close(s);
}

static enum tail_found found_by(struct place *p, const char *role)
{
	struct store_options o = {.state_dir = p->state,
				  .runtime_dir = p->run,
				  .role = role,
				  .tail_size = 64 * 1024};
	struct store_opening opening;
	struct store *s = NULL;

	assert_int_equal(store_open(&o, p->now, &synced, &opening, &s), 0);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	return opening.tail;
}

/* The gap that a power cut leaves is written by a daemon: a drain before it must not hide it. */
static void a_drain_does_not_hide_a_power_cut(void **state)
{
	struct place *p = *state;
	char path[128];

	store_close(open_store(p));
	(void)snprintf(path, sizeof(path), "%s/tail", p->run);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(found_by(p, "drain"), TAIL_LOST);
	assert_int_equal(found_by(p, "drain"), TAIL_LOST);
	assert_int_equal(found_by(p, "daemon"), TAIL_LOST);
	assert_int_equal(found_by(p, "daemon"), TAIL_NONE);
}

enum { SOMEBODY = 65534 }; /* who owns nothing */

/* As the user of the store, in a process of its own: 0, or the number of what is wrong. */
static int try_what_is_not_ours(const struct place *p, bool root)
{
	const struct store_options o = {.state_dir = p->state,
					.runtime_dir = p->run,
					.role = "daemon",
					.tail_size = 16 * 1024};
	struct store_opening opening;
	struct store_whose whose;
	struct store *s = NULL;

	if (root && (setgid(SOMEBODY) < 0 || setuid(SOMEBODY) < 0))
		return 1;
	if (!store_whose(p->state, &whose) || !strstr(whose.what, "/store.db"))
		return 2;
	if (!strstr(whose.what, root ? "belongs to root" : "by its own user") ||
	    !strstr(whose.remedy, "sudo chown -R ") || !strstr(whose.remedy, p->state))
		return 3;
	if (store_open(&o, p->now, &synced, &opening, &s) >= 0)
		return 4;
	return strstr(opening.problem, whose.what) && strstr(opening.problem, whose.remedy) ? 0 : 5;
}

/* A copy that root put back with mv: not "unable to open database file", but whose it is. */
static void a_file_that_is_not_ours(void **state)
{
	struct place *p = *state;
	bool root = geteuid() == 0;
	struct store_whose whose;
	char path[160];
	int status;
	pid_t pid;

	store_close(open_store(p));
	assert_false(store_whose(p->state, &whose));
	(void)snprintf(path, sizeof(path), "chown -R %d %s", SOMEBODY, p->dir);
	assert_int_equal(root ? system(path) : 0, 0);
	(void)snprintf(path, sizeof(path), "%s/store.db", p->state);
	assert_int_equal(root ? chown(path, 0, 0) : 0, 0);
	assert_int_equal(chmod(path, root ? 0644 : 0400), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(try_what_is_not_ours(p, root));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(crash_keeps_the_tail),
		store_test(power_cut_keeps_what_was_committed),
		store_test(clean_stop_is_clean),
		store_test(a_drain_does_not_hide_a_power_cut),
		store_test(one_owner),
		store_test(a_ring_full_of_uncommitted_commits),
		store_test(due_by_T_and_by_laziness),
		store_test(wall_time_is_frozen_later),
		store_test(a_rare_stream_is_claimed_in_slices),
		store_test(old_history_goes),
		store_test(a_tail_newer_than_the_log),
		store_test(the_size_limit_sheds_and_recovers),
		store_test(a_file_that_is_not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
