/*
 * Moving to new names while things go wrong: after a kill in any commit, after whatever else happens in
 * any order, and beside what is lost each sink gets all that it was owed, and the ledger balances.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "move_world.h"
#include "store/row_index.h"
#include "walk.h"

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

/* --- walks --- */

struct walker {
	struct place *p;
	struct servers *v;
	struct store *s;
	uint16_t end; /* the first heart rate that was not heard yet */
	uint64_t seed;
};

static unsigned dice(struct walker *w, unsigned n)
{
	return walk_dice(&w->seed, n);
}

static void set_out(struct walker *w, uint64_t seed)
{
	*w = (struct walker){.v = calloc(1, sizeof(*w->v)), .seed = seed};
	assert_non_null(w->v);
	assert_int_equal(set_up((void **)&w->p), 0);
	w->end = make_history(w->p, w->v);
	w->s = open_store(w->p);
	add_sinks(w->s, false);
}

static void arrive(struct walker *w)
{
	assert_balanced(w->s);
	store_close(w->s);
	assert_int_equal(tear_down((void **)&w->p), 0);
	free(w->v);
}

static void die(struct walker *w)
{
	struct store_opening opening = {0};

	store_close(w->s);
	w->s = open_with(w->p, &synced, &opening);
	assert_true(opening.tail != TAIL_FOREIGN && opening.tail != TAIL_LOST);
	add_sinks(w->s, false);
}

enum { COMMON_STEPS = 11 };

/* One of what may happen at any time; `what` < COMMON_STEPS. */
static void step(struct walker *w, unsigned what, uint32_t sink)
{
	if (what <= 1)
		w->end = admit_some(w->p, w->s, w->end, 1 + dice(w, 5));
	else if (what <= 4)
		(void)request(w->p, w->v, w->s, sink, what == 2, 1 + dice(w, 9),
			      dice(w, 4) ? CONFIRM : DEFER);
	else if (what <= 7)
		assert_true(store_move(w->s, w->p->now) >= 0);
	else if (what == 8 && dice(w, 3) == 0)
		assert_int_equal(store_new_incarnation(w->s, INCARNATION_MACHINE, "", w->p->now),
				 0);
	else if (what == 9)
		assert_true(store_prune(w->s, INT64_MAX, 1 + dice(w, 5)) >= 0);
	else if (what == 10)
		die(w);
	if (dice(w, 8) == 0)
		assert_int_equal(outbox_reopen(w->s, sink, w->p->now), 0);
}

static void send_rest(struct walker *w, uint32_t sink)
{
	assert_int_equal(outbox_reopen(w->s, sink, w->p->now), 0);
	outbox_hurry(w->s, sink, false);
	while (request(w->p, w->v, w->s, sink, false, 11, CONFIRM))
		;
}

/* The first two sinks have all that was heard, but what may be missing. */
static void assert_delivered(const struct walker *w, const bool *may_miss)
{
	for (uint32_t sink = 1; sink <= 2; sink++)
		for (uint16_t bpm = 1; bpm < w->end; bpm++)
			if (w->v->got[sink][bpm] + w->v->refused[sink][bpm] == 0 &&
			    !(may_miss && may_miss[bpm]))
				fail_msg("sink %u never got %u", sink, bpm);
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
	struct walker w;

	set_out(&w, seed);
	for (int i = 0; i < 60; i++) {
		uint32_t sink = 1 + dice(&w, 2);
		unsigned what = dice(&w, COMMON_STEPS + 1);

		if (what == COMMON_STEPS)
			fail_once(w.p, w.s, dice(&w, 2));
		else
			step(&w, what, sink);
		if (dice(&w, 4) == 0)
			assert_balanced(w.s);
	}
	move_all(w.p, w.s, true);
	for (uint32_t sink = 1; sink <= 2; sink++)
		send_rest(&w, sink);
	assert_delivered(&w, NULL);
	arrive(&w);
}

static void any_order(void **state)
{
	(void)walk_all(walk);
}

/* --- and with losses --- */

struct losses {
	bool lost[N_BPM];
	uint64_t n;
};

static int note_lost(void *userdata, const struct record *r)
{
	struct losses *l = userdata;

	l->n += !l->lost[r->heart_rate.bpm];
	l->lost[r->heart_rate.bpm] = true;
	return 0;
}

static bool is_owed(const struct store *s, uint32_t sink, uint32_t stream, uint64_t seq)
{
	return seq > cursor_of(s, sink, stream)->seq || row_index_at(s, sink, stream, seq);
}

/* A block under an old name that somebody still waits for, all of it. */
static bool may_be_lost(const struct store *s, uint32_t stream, uint64_t seq, uint64_t n)
{
	/* How far a run came its last block may be the only one to tell. */
	if (!stream_of(s, stream)->old ||
	    stream_count_between(stream_of(s, stream), seq, seq | SEQ_N_MAX) <= n)
		return false;
	for (uint32_t sink = 1; sink <= 2; sink++) { /* who is retired asks for nothing */
		bool all = true;

		for (uint64_t i = seq; all && i < seq + n; i++)
			all = is_owed(s, sink, stream, i);
		if (all)
			return true;
	}
	return false;
}

static void lose_one(struct store *s, struct losses *l, unsigned nth)
{
	sqlite3_stmt *stmt;
	char sql[80];
	uint64_t id, seq, n;
	uint32_t stream;
	int r;

	assert_int_equal(
		sqlite3_prepare_v2(s->db, "SELECT id, stream, seq, n FROM record LIMIT 1 OFFSET ?1",
				   -1, &stmt, NULL),
		SQLITE_OK);
	assert_int_equal(sqlite3_bind_int(stmt, 1, (int)nth), SQLITE_OK);
	if (sqlite3_step(stmt) != SQLITE_ROW) {
		(void)sqlite3_finalize(stmt);
		return;
	}
	id = (uint64_t)sqlite3_column_int64(stmt, 0);
	stream = (uint32_t)sqlite3_column_int64(stmt, 1);
	seq = (uint64_t)sqlite3_column_int64(stmt, 2);
	n = (uint64_t)sqlite3_column_int64(stmt, 3);
	assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
	/* By the last of all a start knows where the ring goes on. */
	if (!may_be_lost(s, stream, seq, n) || id == log_high_id(s, &r))
		return;
	assert_int_equal(store_read(s, stream, seq, seq + n - 1, 0, note_lost, l), 0);
	(void)snprintf(sql, sizeof(sql), "DELETE FROM record WHERE id = %llu",
		       (unsigned long long)id);
	assert_int_equal(sqlite3_exec(s->db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void rewind_one(struct walker *w, uint32_t sink)
{
	uint32_t stream = 1 + dice(w, (unsigned)store_stream_count(w->s));
	const struct stream_state *st = stream_of(w->s, stream);
	uint64_t total = stream_total(st), n;
	uint64_t after = total ? stream_seq_at(st, dice(w, (unsigned)total)) : 0;

	assert_int_equal(outbox_rewind(w->s, sink, stream, after, &n), 0);
}

static uint64_t count_lost(struct store *s)
{
	uint64_t n = 0;

	for (uint32_t i = 1; i <= store_stream_count(s); i++)
		n += stream_of(s, i)->salvage_lost;
	return n;
}

/*
 * Blocks vanish from the log that somebody waits for, servers are set back, and others join: what is lost is
 * counted once, and taken off nobody who has it.
 */
static void lossy_walk(uint64_t seed)
{
	struct losses l = {0};
	struct walker w;
	uint32_t late;

	set_out(&w, seed);
	for (int i = 0; i < 60; i++) {
		uint32_t sink = 1 + dice(&w, 2);
		unsigned what = dice(&w, COMMON_STEPS + 4);

		if (what < COMMON_STEPS)
			step(&w, what, sink);
		else if (what <= COMMON_STEPS + 1)
			lose_one(w.s, &l, dice(&w, 40));
		else if (what == COMMON_STEPS + 2)
			rewind_one(&w, sink);
		else if (dice(&w, 4) == 0)
			assert_int_equal(register_sink(w.s, dice(&w, 2) ? "d" : "e", true,
						       dice(&w, 2), &late),
					 0);
	}
	for (int round = 0; round < 2; round++) {
		move_all(w.p, w.s, false);
		assert_balanced(w.s);
		assert_int_equal(count_lost(w.s), l.n);
		for (uint32_t sink = 1; sink <= w.s->n_sinks; sink++)
			if (!sink_of(w.s, sink)->info.retired)
				send_rest(&w, sink);
		assert_delivered(&w, l.lost);
		assert_balanced(w.s);
		while (round == 0 && store_prune(w.s, INT64_MAX, 7) == 0)
			;
		assert_int_equal(register_sink(w.s, "f", true, false, &late), 0);
		assert_balanced(w.s);
	}
	arrive(&w);
}

static void with_losses(void **state)
{
	(void)walk_all(lossy_walk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_kill_in_every_commit),
		cmocka_unit_test(any_order),
		cmocka_unit_test(with_losses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
