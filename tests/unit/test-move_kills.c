/*
 * Moving to new names while things go wrong: after a kill in any commit, and after whatever else happens in
 * any order, each sink gets all that it was owed, and the ledger balances.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "move_world.h"

#include <sys/wait.h>

/* > 0: it came to its end without. */
static int move_and_die(struct place *p, int commits)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct store *s = open_store(p);
		int r;

		add_sinks(s, false);
		end_after_commits(s, commits);
		if (store_new_incarnation(s, INCARNATION_CONFLICT, "", p->now) != 0)
			_exit(3);
		while ((r = store_move(s, p->now)) == 0 || r == STORE_E_MORE)
			;
		_exit(r == STORE_E_NOTHING ? 1 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
	return WEXITSTATUS(status);
}

static void a_kill_in_every_commit(void **state)
{
	int ended = 0;

	for (int step = 0; !ended; step++) {
		struct servers *v = calloc(1, sizeof(*v));
		struct place *p;
		struct store *s;
		uint16_t end;

		assert_int_equal(set_up((void **)&p), 0);
		end = make_history(p, v);
		ended = move_and_die(p, step);
		s = open_store(p);
		add_sinks(s, false);
		assert_balanced(s);
		if (s->n_incarnations == 1)
			assert_int_equal(store_new_incarnation(s, INCARNATION_CONFLICT, "", p->now),
					 0);
		end = admit_some(p, s, end, 2);
		move_all(p, s, true);
		send_all(p, v, s, end);
		store_close(s);
		assert_int_equal(tear_down((void **)&p), 0);
		free(v);
		assert_true(ended || step < 100);
		if (ended)
			assert_true(step >= 6);
	}
}

static unsigned dice(uint64_t *seed, unsigned n)
{
	*seed = *seed * 6364136223846793005 + 1442695040888963407;
	return (unsigned)(*seed >> 33) % n;
}

static struct store *die(struct place *p, struct store *s)
{
	struct store_opening opening = {0};

	store_close(s);
	s = open_with(p, &synced, &opening);
	assert_true(opening.tail != TAIL_FOREIGN && opening.tail != TAIL_LOST);
	add_sinks(s, false);
	return s;
}

/* The card takes nothing that a slice writes, or nothing at all. */
static void fail_once(struct place *p, struct store *s, bool slice)
{
	run_sql(p,
		slice ? "CREATE TRIGGER no BEFORE INSERT ON aside BEGIN SELECT RAISE(ABORT, 'no');"
			" END"
		      : "CREATE TRIGGER no BEFORE INSERT ON record BEGIN SELECT RAISE(ABORT, 'no');"
			" END");
	(void)store_move(s, p->now);
	(void)store_commit(s, p->now);
	run_sql(p, "DROP TRIGGER no");
	p->now += 2 * USEC_PER_SEC;
}

/*
 * New names, slices, prunes, joining and leaving sinks, requests and kills in any order: nobody has to
 * know one of the others for each sink to get all that it is owed. A kill may forget a receipt, so it
 * may get it twice.
 */
static void walk(uint64_t seed)
{
	struct servers *v = calloc(1, sizeof(*v));
	struct place *p;
	struct store *s;
	uint16_t end;

	assert_int_equal(set_up((void **)&p), 0);
	end = make_history(p, v);
	s = open_store(p);
	add_sinks(s, false);
	for (int i = 0; i < 60; i++) {
		uint32_t sink = 1 + dice(&seed, 2);
		unsigned what = dice(&seed, 12);

		if (what <= 1)
			end = admit_some(p, s, end, 1 + dice(&seed, 5));
		else if (what <= 4)
			(void)request(p, v, s, sink, what == 2, 1 + dice(&seed, 9),
				      dice(&seed, 4) ? CONFIRM : DEFER);
		else if (what <= 7)
			assert_true(store_move(s, p->now) >= 0);
		else if (what == 8 && dice(&seed, 3) == 0)
			assert_int_equal(store_new_incarnation(s, INCARNATION_MACHINE, "", p->now),
					 0);
		else if (what == 9)
			assert_true(store_prune(s, INT64_MAX, 1 + dice(&seed, 5)) >= 0);
		else if (what == 10)
			fail_once(p, s, dice(&seed, 2));
		else if (what == 11)
			s = die(p, s);
		if (dice(&seed, 8) == 0)
			assert_int_equal(outbox_reopen(s, sink, p->now), 0);
		if (dice(&seed, 4) == 0)
			assert_balanced(s);
	}
	move_all(p, s, true);
	for (uint32_t sink = 1; sink <= 2; sink++) {
		assert_int_equal(outbox_reopen(s, sink, p->now), 0);
		outbox_hurry(s, sink, false);
		while (request(p, v, s, sink, false, 11, CONFIRM))
			;
		for (uint16_t bpm = 1; bpm < end; bpm++)
			if (v->got[sink][bpm] + v->refused[sink][bpm] == 0)
				fail_msg("sink %u never got %u", sink, bpm);
	}
	assert_balanced(s);
	store_close(s);
	assert_int_equal(tear_down((void **)&p), 0);
	free(v);
}

static void any_order(void **state)
{
	const char *one = getenv("VITALD_SEED");
	uint64_t n = getenv("VITALD_LONG") ? 2000 : 40;

	for (uint64_t seed = 1; !one && seed <= n; seed++) {
		print_message("seed %llu\n", (unsigned long long)seed);
		walk(seed);
	}
	if (one)
		walk(strtoull(one, NULL, 10));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_kill_in_every_commit),
		cmocka_unit_test(any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
