/*
 * Moving to new names: what each of several sinks was owed under the old ones it gets under the new, once,
 * with its times and its content; what it had or had refused it does not get again; and the ledger
 * balances between any two slices.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "move_world.h"
#include "store/rates.h"

#include <sqlite3.h>

/* All old streams can be deleted, and the new ones: only quarantine is in the way of its stream. */
static void prune_all(struct place *p, struct store *s)
{
	struct stream_status status;
	struct cursor_status c;
	int r;

	while ((r = store_prune(s, INT64_MAX, 7)) == 0)
		assert_balanced(s);
	assert_int_equal(r, STORE_E_NOTHING);
	for (uint32_t i = 1; i <= store_stream_count(s); i++) {
		store_stream_status(s, i, &status);
		store_cursor_status(s, 2, i, &c);
		assert_int_equal(status.deleted, c.quarantined ? 0 : status.admitted);
	}
}

/* Two of the three sinks, and names that nobody has heard of. */
static struct store *open_renamed(struct place *p, enum incarnation_reason reason)
{
	struct store *s = open_store(p);

	add_sinks(s, false);
	assert_int_equal(store_new_incarnation(s, reason, "", p->now), 0);
	return s;
}

static void end_well(struct place *p, struct servers *v, struct store *s, uint16_t end)
{
	move_all(p, s, true);
	send_all(p, v, s, end);
	store_close(s);
	free(v);
}

static void each_sink_gets_the_rest_once(void **state)
{
	struct place *p = *state;
	struct servers *v = calloc(1, sizeof(*v));
	uint16_t end = make_history(p, v);
	struct store *s = open_renamed(p, INCARNATION_CONFLICT);

	assert_balanced(s);
	assert_true(store_move_left(s) > 0);
	for (uint32_t sink = 1; sink <= 2; sink++) { /* rows wait, but not under these names */
		outbox_hurry(s, sink, false);
		assert_int_equal(outbox_next_due(s, sink), USEC_INFINITY);
		assert_false(request(p, v, s, sink, false, 5, RELEASE));
	}
	end = admit_some(p, s, end, 4);
	assert_true(request(p, v, s, 1, true, 3, CONFIRM));
	move_all(p, s, true);
	send_all(p, v, s, end);
	prune_all(p, s);
	store_close(s);
	free(v);
}

/* It had nothing, and comes back after everything moved: it gets all that is there, once. */
static void a_retired_sink_that_comes_back(void **state)
{
	struct place *p = *state;
	struct servers *v = calloc(1, sizeof(*v));
	uint16_t end = make_history(p, v);
	struct store *s = open_renamed(p, INCARNATION_AHEAD);

	move_all(p, s, true);
	send_all(p, v, s, end);
	add_sinks(s, true);
	assert_true(store_move_left(s) > 0);
	end = admit_some(p, s, end, 3);
	end_well(p, v, s, end);
}

/* It wants all there is, and much of it is there twice, under the old name and under the new. */
static void a_sink_that_is_new(void **state)
{
	for (int slices = 0; slices < 8; slices++) {
		struct servers *v = calloc(1, sizeof(*v));
		struct place *own;
		uint16_t end;
		struct store *s;
		uint32_t d;

		assert_int_equal(set_up((void **)&own), 0);
		end = make_history(own, v);
		s = open_store(own);
		add_sinks(s, false);
		assert_int_equal(store_new_incarnation(s, INCARNATION_CONFLICT, "", own->now), 0);
		for (int i = 0; i < slices; i++)
			assert_true(store_move(s, own->now) >= 0);
		assert_int_equal(register_sink(s, "d", true, false, &d), 0);
		assert_balanced(s);
		end = admit_some(own, s, end, 3);
		move_all(own, s, true);
		send_all(own, v, s, end);
		store_close(s);
		assert_int_equal(tear_down((void **)&own), 0);
		free(v);
	}
}

/* Recovered is measured against what was owed, and how long: a move neither adds to it nor begins anew. */
static void rates_go_with_it(void **state)
{
	struct place *p = *state;
	struct servers *v = calloc(1, sizeof(*v));
	struct store *s = open_store(p);
	struct rates rates;
	uint16_t end;

	add_sinks(s, false);
	end = admit_some(p, s, 1, 6);
	assert_true(request(p, v, s, 1, true, 5, DEFER));
	for (size_t i = 0; i < s->n_rows; i++)
		s->rows[i].row.created_us -= 5 * 3600 * (int64_t)USEC_PER_SEC;
	assert_int_equal(store_new_incarnation(s, INCARNATION_AHEAD, "", p->now), 0);
	move_all(p, s, true);
	for (size_t i = 0; i < s->n_rows; i++)
		if (s->rows[i].row.sink == 1 && s->rows[i].row.first_seq == seq_make(1, 1))
			assert_true(s->rows[i].row.created_us <
				    clock_wall_usec() - 4 * 3600 * (int64_t)USEC_PER_SEC);
	send_all(p, v, s, end);
	store_rates(s, 1, clock_wall_usec(), 0, 24, &rates);
	assert_int_equal(rates.owed, end - 1);
	assert_int_equal(rates.recovered, end - 1);
	store_close(s);
	free(v);
}

/* While somebody reads, the WAL cannot be cut off: it is not written on and on meanwhile. */
static void a_reader_is_waited_for(void **state)
{
	struct place *p = *state;
	struct servers *v = calloc(1, sizeof(*v));
	uint16_t end = make_history(p, v);
	struct store *s = open_renamed(p, INCARNATION_CONFLICT);
	char path[128];
	sqlite3 *db;

	(void)snprintf(path, sizeof(path), "%s/store.db", p->state);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT count(*) FROM run", NULL, NULL, NULL),
			 SQLITE_OK);
	assert_int_equal(store_move(s, p->now), 0);
	s->wal_pages = STORE_WAL_PAGES_CAP + 1;
	assert_int_equal(store_move(s, p->now), STORE_E_BUSY);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	move_all(p, s, true);
	assert_true(s->wal_pages < STORE_WAL_PAGES_CAP);
	send_all(p, v, s, end);
	store_close(s);
	free(v);
}

static void twice_in_a_row(void **state)
{
	struct place *p = *state;
	struct servers *v = calloc(1, sizeof(*v));
	uint16_t end = make_history(p, v);
	struct store *s = open_renamed(p, INCARNATION_AHEAD);

	assert_int_equal(store_move(s, p->now), 0);
	end = admit_some(p, s, end, 3);
	assert_int_equal(store_new_incarnation(s, INCARNATION_AHEAD, "", p->now), 0);
	end = admit_some(p, s, end, 3);
	end_well(p, v, s, end);
}

static void assert_last_heard(struct store *s, int64_t boot_us)
{
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	struct stream_status status;
	int64_t heard;

	assert_true(store_last_heard(s, stream, &heard));
	assert_int_equal(heard, boot_us);
	store_stream_status(s, stream, &status);
	if (status.admitted > 0)
		assert_int_equal(status.last_wall_us, boot_us + synced.offset_us);
}

/* Moved records have newer numbers than what was heard: a gap begins where the last was heard all the same. */
static void moved_is_not_heard(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	struct stream_status status;
	int64_t heard = 0;
	size_t i;

	add_sinks(s, false);
	for (i = 0; i < 10; i++) {
		heard = (int64_t)p->now;
		(void)admit(p, s, stream_of_kind(s, KIND_HEART_RATE), 60);
	}
	assert_int_equal(store_commit(s, p->now), 0);
	assert_int_equal(store_new_incarnation(s, INCARNATION_AHEAD, "", p->now), 0);
	store_stream_status(s, stream_of_kind(s, KIND_HEART_RATE), &status);
	assert_true(status.heard);
	store_close(s);
	for (i = 0; i < 2; i++) { /* nothing was heard under the new names yet */
		s = open_store(p);
		add_sinks(s, false);
		store_stream_status(s, stream_of_kind(s, KIND_HEART_RATE), &status);
		assert_false(status.heard);
		assert_last_heard(s, heard);
		if (i == 0)
			assert_int_equal(store_new_incarnation(s, INCARNATION_AHEAD, "", p->now),
					 0);
		store_close(s);
	}
	s = open_store(p);
	add_sinks(s, false);
	p->now += USEC_PER_SEC;
	heard = (int64_t)p->now;
	(void)admit(p, s, stream_of_kind(s, KIND_HEART_RATE), 61);
	move_all(p, s, true);
	store_close(s);
	for (i = 0; i < 2; i++) {
		s = open_store(p);
		add_sinks(s, false);
		assert_last_heard(s, heard);
		assert_int_equal(store_finish(s, p->now), 0);
		store_close(s);
	}
	s = open_store(p);
	assert_int_equal(store_new_incarnation(s, INCARNATION_MACHINE, "", p->now), 0);
	assert_last_heard(s, heard);
	store_close(s);
	s = open_store(p); /* and what is heard behind that counts as ever */
	add_sinks(s, false);
	heard = (int64_t)p->now;
	(void)admit(p, s, stream_of_kind(s, KIND_HEART_RATE), 62);
	store_close(s);
	s = open_store(p);
	assert_last_heard(s, heard);
	store_close(s);
}

/* A server that was set back gets the new stream's records again, and none that it had under the old. */
static void a_rewind_over_what_moved(void **state)
{
	struct place *p = *state;
	struct servers *v = calloc(1, sizeof(*v));
	uint16_t end = make_history(p, v);
	struct store *s = open_renamed(p, INCARNATION_AHEAD);
	uint64_t n, again = 0, sent = 0;

	move_all(p, s, true);
	send_all(p, v, s, end);
	for (uint32_t i = 1; i <= store_stream_count(s); i++) {
		struct cursor_status c;

		store_cursor_status(s, 1, i, &c);
		sent += c.confirmed;
		assert_int_equal(outbox_rewind(s, 1, i, 0, &n), 0);
		again += n;
		assert_int_equal(store_commit(s, p->now), 0);
		assert_balanced(s);
	}
	assert_int_equal(sent, end - 1);
	assert_int_equal(again, sent);
	memset(v->got[1], 0, sizeof(v->got[1]));
	end_well(p, v, s, end);
}

static void what_is_under_way_is_waited_for(void **state)
{
	struct place *p = *state;
	struct servers *v = calloc(1, sizeof(*v));
	struct store *s = open_store(p);
	const struct cut_taker taker = {v, on_begin, on_add};
	struct receipt_entry entry = {0};
	struct cut c;
	uint16_t end;

	add_sinks(s, false);
	end = admit_some(p, s, 1, 4);
	v->s = s;
	v->room = 3;
	assert_int_equal(outbox_cut(s, 1, &taker, &c), 0);
	assert_int_equal(store_new_incarnation(s, INCARNATION_AHEAD, "", p->now), 0);
	assert_int_equal(store_move(s, p->now), STORE_E_BUSY);
	/* Its receipt counts for what it names; the rest moves. */
	entry = (struct receipt_entry){.stream = c.ranges[0].stream,
				       .acked_through = c.ranges[0].last_seq};
	for (size_t i = 0; i < v->n; i++)
		v->got[1][v->bpm[i]] += i == 0 || i == 2; /* heart rates of the first stream */
	assert_int_equal(outbox_confirm(s, &c, &entry, 1, p->now), 0);
	assert_balanced(s);
	end_well(p, v, s, end);
}

/* A record without a wall time waits under its old name until it has one. */
static void what_has_no_time_waits_for_it(void **state)
{
	struct place *p = *state;
	struct servers *v = calloc(1, sizeof(*v));
	struct store *s = open_with(p, &unsynced, NULL);
	uint16_t end;

	add_sinks(s, false);
	end = admit_some(p, s, 1, 4);
	assert_int_equal(store_new_incarnation(s, INCARNATION_MACHINE, "", p->now), 0);
	assert_int_equal(store_move(s, p->now), STORE_E_CLOCK);
	assert_balanced(s);
	store_set_clock(s, &synced);
	assert_int_equal(store_resolve_clock(s, CLK_UTC, p->now, synced.offset_us), 0);
	move_all(p, s, true);
	send_all(p, v, s, end);
	for (uint16_t bpm = 1; bpm < end; bpm++)
		assert_int_equal(v->clk[bpm], CLK_UTC);
	store_close(s);
	free(v);
}

static void what_was_held_is_let_go(void **state)
{
	struct place *p = *state;
	struct servers *v = calloc(1, sizeof(*v));
	struct store *s = open_store(p);
	const struct cut_taker taker = {v, on_begin, on_add};
	struct receipt_entry entry = {.identity_conflict = true};
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	struct cursor_status status;
	struct cut c;

	add_sinks(s, false);
	(void)admit(p, s, stream, 1);
	v->s = s;
	v->room = 3;
	assert_int_equal(outbox_cut(s, 1, &taker, &c), 0);
	entry.stream = stream;
	assert_int_equal(outbox_confirm(s, &c, &entry, 1, p->now), 0);
	store_cursor_status(s, 1, stream, &status);
	assert_true(status.held);
	assert_int_equal(store_new_incarnation(s, INCARNATION_CONFLICT, "", p->now), 0);
	move_all(p, s, true);
	store_cursor_status(s, 1, stream, &status);
	assert_false(status.held);
	assert_int_equal(status.moved, 1);
	assert_int_equal(status.waiting, 0);
	send_all(p, v, s, 2);
	prune_all(p, s);
	store_close(s);
	free(v);
}

/* Records that are gone from the log are counted, once, and stop nothing. */
static void a_hole_in_the_log(void **state)
{
	struct place *p = *state;
	struct servers *v = calloc(1, sizeof(*v));
	struct store *s = open_store(p);
	struct stream_status status;
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);

	add_sinks(s, false);
	for (uint16_t bpm = 1; bpm <= 6; bpm++) {
		(void)admit(p, s, stream, bpm);
		assert_int_equal(store_commit(s, p->now), 0);
	}
	store_close(s);
	/* The second and third. */
	run_sql(p, "DELETE FROM record WHERE seq IN (268435458, 268435459)");
	s = open_store(p);
	add_sinks(s, false);
	assert_int_equal(store_new_incarnation(s, INCARNATION_MACHINE, "", p->now), 0);
	move_all(p, s, false);
	assert_balanced(s);
	store_stream_status(s, stream, &status);
	assert_int_equal(status.salvage_lost, 2);
	for (uint32_t sink = 1; sink <= 2; sink++) {
		v->got[sink][2] = v->got[sink][3] = 1; /* nobody will */
	}
	send_all(p, v, s, 7);
	store_close(s);
	free(v);
}

/*
 * The last records of a run are gone, and with them how far it came: rows still name them. They go, alone or
 * with others, the store opens again, and what is confirmed is deleted as ever.
 */
static void a_row_beyond_the_log(void **state)
{
	struct place *p = *state;
	struct servers *v = calloc(1, sizeof(*v));
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	struct cursor_status c;
	char path[128];

	add_sinks(s, false);
	for (uint16_t bpm = 1; bpm <= 6; bpm++) {
		(void)admit(p, s, stream, bpm);
		assert_int_equal(store_commit(s, p->now), 0);
	}
	assert_true(
		request(p, v, s, 1, true, 4, CONFIRM)); /* a waits for the last two, b for all */
	for (uint32_t sink = 1; sink <= 2; sink++)
		assert_int_equal(outbox_reopen(s, sink, p->now), 0);
	assert_int_equal(store_commit(s, p->now), 0);
	store_close(s); /* the power is cut: nobody noted it */
	(void)snprintf(path, sizeof(path), "%s/tail", p->run);
	assert_int_equal(unlink(path), 0);
	run_sql(p, "DELETE FROM record WHERE seq IN (268435461, 268435462)");
	s = open_renamed(p, INCARNATION_MACHINE);
	for (int i = 0; i < 2; i++) {
		move_all(p, s, false);
		assert_balanced(s);
		for (uint32_t sink = 1; sink <= 2; sink++) {
			store_cursor_status(s, sink, stream, &c);
			assert_int_equal(c.waiting + c.in_rows, 0);
			assert_int_equal(c.confirmed, sink == 1 ? 4 : 0);
		}
		assert_int_equal(ask_sql(p, "SELECT count(*) FROM batch WHERE stream = 1"), 0);
		assert_int_equal(store_finish(s, p->now), 0);
		store_close(s);
		s = open_store(p);
		add_sinks(s, false);
	}
	v->got[1][5] = v->got[2][5] = v->got[1][6] = v->got[2][6] = 1; /* nobody will */
	send_all(p, v, s, 7);
	prune_all(p, s);
	store_close(s);
	free(v);
}

static void confirm_rest(struct place *p, struct servers *v, struct store *s, uint32_t sink)
{
	assert_int_equal(outbox_reopen(s, sink, p->now), 0);
	while (request(p, v, s, sink, false, 11, CONFIRM))
		;
}

/*
 * Gone from the log before the second sink had it, and after the first had it: the first has it still,
 * whatever is set back or joins later, and it is counted once.
 */
static void what_a_server_has_is_not_lost_to_it(void **state)
{
	struct place *p = *state;
	struct servers *v = calloc(1, sizeof(*v));
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE), late;
	struct stream_status status;
	struct cursor_status c;
	uint64_t n;
	int r;

	add_sinks(s, false);
	for (uint16_t bpm = 1; bpm <= 6; bpm++) {
		(void)admit(p, s, stream, bpm);
		assert_int_equal(store_commit(s, p->now), 0);
	}
	assert_true(request(p, v, s, 1, true, 6, CONFIRM));
	assert_int_equal(store_commit(s, p->now), 0);
	store_close(s);
	run_sql(p, "DELETE FROM record WHERE seq IN (268435458, 268435459)");
	s = open_renamed(p, INCARNATION_MACHINE);
	move_all(p, s, false);
	assert_balanced(s);
	store_cursor_status(s, 1, stream, &c);
	assert_int_equal(c.confirmed, 6);
	assert_int_equal(c.waiting, 0);
	store_cursor_status(s, 2, stream, &c);
	assert_int_equal(c.confirmed, 0);
	assert_int_equal(c.moved, 4);
	assert_int_equal(c.waiting, 0);

	/* That server is set back, and a sink joins: neither gets it, and it is not lost again. */
	assert_int_equal(outbox_rewind(s, 1, stream, 0, &n), 0);
	assert_int_equal(n, 6);
	move_all(p, s, false);
	assert_balanced(s);
	assert_int_equal(register_sink(s, "late", true, false, &late), 0);
	assert_balanced(s);
	move_all(p, s, true);
	store_stream_status(s, stream, &status);
	assert_int_equal(status.salvage_lost, 2);

	/* What is left goes by age; who joins then owes nothing of it. */
	for (uint32_t sink = 1; sink <= late; sink++)
		confirm_rest(p, v, s, sink);
	while ((r = store_prune(s, INT64_MAX, 7)) == 0)
		assert_balanced(s);
	assert_int_equal(r, STORE_E_NOTHING);
	for (int from_now = 0; from_now < 2; from_now++) {
		assert_int_equal(register_sink(s, from_now ? "last" : "later", true, from_now,
					       &late),
				 0);
		assert_balanced(s);
		store_cursor_status(s, late, stream, &c);
		assert_int_equal(c.exempt, 4);
		assert_int_equal(c.waiting + c.in_rows, 0);
	}
	assert_int_equal(store_move_left(s), 0);
	store_close(s);
	free(v);
}

/*
 * A card that does not take a slice: what is heard meanwhile lies in the ring behind no hole, and
 * the next start finds it there.
 */
static void a_slice_that_the_card_refuses(void **state)
{
	struct place *p = *state;
	struct servers *v = calloc(1, sizeof(*v));
	uint16_t end = make_history(p, v);
	struct store *s = open_renamed(p, INCARNATION_CONFLICT);
	struct store_opening opening = {0};
	uint64_t left;
	int r;

	assert_int_equal(store_move(s, p->now), 0);
	left = store_move_left(s);
	run_sql(p, "CREATE TRIGGER no BEFORE INSERT ON aside BEGIN SELECT RAISE(ABORT, 'no'); END");
	for (int i = 0; i < 3; i++) {
		while ((r = store_move(s, p->now)) == 0 || r == STORE_E_MORE)
			;
		assert_int_equal(r, STORE_E_BUSY);
		p->now += 2 * USEC_PER_SEC;
	}
	assert_true(store_move_left(s) > 0 && store_move_left(s) <= left);
	(void)admit_some(p, s, end, 4);
	store_close(s); /* killed */

	run_sql(p, "DROP TRIGGER no");
	s = open_with(p, &synced, &opening);
	assert_int_equal(opening.tail, TAIL_RECOVERED);
	assert_int_equal(opening.incarnation, INCARNATION_FIRST);
	add_sinks(s, false);
	assert_balanced(s);
	end_well(p, v, s, end + 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(each_sink_gets_the_rest_once),
		store_test(a_retired_sink_that_comes_back),
		cmocka_unit_test(a_sink_that_is_new),
		store_test(rates_go_with_it),
		store_test(a_reader_is_waited_for),
		store_test(twice_in_a_row),
		store_test(moved_is_not_heard),
		store_test(a_rewind_over_what_moved),
		store_test(what_is_under_way_is_waited_for),
		store_test(what_has_no_time_waits_for_it),
		store_test(what_was_held_is_let_go),
		store_test(a_hole_in_the_log),
		store_test(a_row_beyond_the_log),
		store_test(what_a_server_has_is_not_lost_to_it),
		store_test(a_slice_that_the_card_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
