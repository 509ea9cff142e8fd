/*
 * store/audit: a store that is whole balances; each kind of damage, made by hand in the database
 * behind the program's back, is noticed, at the stream and sink where it was done.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"

#include <sqlite3.h>

static uint32_t stream, other, sink;

/*
 * 12 records: 1..4 confirmed, 5 quarantined, 6..8 in a row, 9..10 open, 11..12 open and in the
 * tail; another stream with 2 that are open.
 */
static struct store *make(struct place *p)
{
	struct taken taken = {.room = 4};
	struct cut_taker taker = taker_of(&taken);
	struct store *s = open_store(p);
	struct receipt_entry e = {0};
	struct cut cut;

	stream = stream_of_kind(s, KIND_HEART_RATE);
	other = stream_of_kind(s, KIND_ECG);
	assert_int_equal(register_sink(s, "a", true, false, &sink), 0);
	for (uint16_t i = 0; i < 8; i++)
		(void)admit(p, s, stream, i);
	assert_int_equal(outbox_cut(s, sink, &taker, &cut), 0);
	e = (struct receipt_entry){.stream = stream, .acked_through = cut.ranges[0].last_seq};
	assert_int_equal(outbox_confirm(s, &cut, &e, 1, p->now), 0);
	taken.room = 1;
	assert_int_equal(outbox_cut(s, sink, &taker, &cut), 0);
	assert_int_equal(outbox_quarantine(s, &cut, p->now, "bad", ""), 0);
	taken.room = 4;
	assert_int_equal(outbox_cut(s, sink, &taker, &cut), 0);
	assert_int_equal(cut.n_records, 3);
	assert_int_equal(outbox_defer(s, &cut, p->now, p->now, "down"), 0);
	assert_int_equal(store_commit(s, p->now), 0);
	(void)admit(p, s, stream, 8);
	(void)admit(p, s, stream, 9);
	(void)admit(p, s, other, 0);
	(void)admit(p, s, other, 1);
	assert_int_equal(store_commit(s, p->now), 0);
	(void)admit(p, s, stream, 10);
	(void)admit(p, s, stream, 11);
	return s;
}

static bool look_and_audit(struct place *p, char *ret_difference)
{
	_cleanup_(store_closep) struct store *s = NULL;
	_cleanup_(audit_freep) struct audit *a = NULL;
	const struct audit_line *lines;
	size_t n;

	assert_int_equal(store_look(p->state, p->run, &s), 0);
	assert_int_equal(audit_new(s, &a), 0);
	while (audit_step(a, 1) == STORE_E_NOTHING)
		;
	n = audit_lines(a, &lines);
	for (size_t i = 0; i < n; i++)
		if (!lines[i].balanced) {
			assert_int_equal(lines[i].stream, stream);
			strcpy(ret_difference, lines[i].difference);
		}
	return audit_balanced(a);
}

static void whole(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	_cleanup_(audit_freep) struct audit *a = NULL;
	const struct audit_line *l;
	char difference[120];

	assert_true(look_and_audit(p, difference));
	assert_balanced(s);
	assert_int_equal(audit_new(s, &a), 0);
	while (audit_step(a, 1) == STORE_E_NOTHING)
		;
	assert_int_equal(audit_lines(a, &l), 2);
	assert_int_equal(l->admitted, 12);
	assert_int_equal(l->confirmed, 4);
	assert_int_equal(l->quarantined, 1);
	assert_int_equal(l->waiting, 7);
	assert_int_equal(l->in_log, 12);
	store_close(s);
}

static void each_difference(void **state)
{
	static const char *const damages[] = {
		"DELETE FROM record WHERE id = 10", /* the block of 9 and 10 */
		"UPDATE record SET n = n + 1 WHERE stream = 1 AND id = 10",
		"INSERT INTO record SELECT 9999, stream, seq, n, boot_us, clk, offset_us, payload"
		" FROM record WHERE stream = 1 LIMIT 1",
		"UPDATE cursor SET seq = seq + 1 WHERE stream = 1",
		"UPDATE cursor SET seq = seq - 1 WHERE stream = 1",
		"UPDATE cursor SET confirmed = confirmed + 1 WHERE stream = 1",
		"UPDATE cursor SET confirmed = confirmed - 1 WHERE stream = 1",
		"UPDATE cursor SET quarantined = 0 WHERE stream = 1",
		"UPDATE cursor SET moved = 1 WHERE stream = 1",
		"UPDATE cursor SET exempt = 1 WHERE stream = 1",
		"DELETE FROM cursor WHERE stream = 1",
		"DELETE FROM batch",
		"UPDATE batch SET first_seq = first_seq + 1",
		"UPDATE batch SET last_seq = last_seq - 1",
		"UPDATE batch SET first_seq = first_seq - 3",
		"UPDATE stream SET deleted = 1 WHERE number = 1",
		"UPDATE stream SET salvage_lost = 1 WHERE number = 1",
		"INSERT INTO stream_run VALUES(1, 1, 20)",
	};

	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		struct place *p;
		char path[128], difference[120] = "";
		sqlite3 *db;

		assert_int_equal(set_up((void **)&p), 0);
		store_close(make(p));
		(void)snprintf(path, sizeof(path), "%s/store.db", p->state);
		assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
		assert_int_equal(sqlite3_exec(db, damages[i], NULL, NULL, NULL), SQLITE_OK);
		assert_int_equal(sqlite3_changes(db), 1);
		assert_int_equal(sqlite3_close(db), SQLITE_OK);
		if (look_and_audit(p, difference))
			fail_msg("not noticed: %s", damages[i]);
		assert_true(strlen(difference) > 0);
		assert_int_equal(tear_down((void **)&p), 0);
	}
}

static void nothing_at_all(void **state)
{
	struct store *s = open_store(*state);
	_cleanup_(audit_freep) struct audit *a = NULL;
	const struct audit_line *lines;

	assert_int_equal(store_commit(s, 0), 0); /* no stream, no sink */
	assert_balanced(s);
	assert_int_equal(register_sink(s, "a", true, false, &sink), 0);
	assert_balanced(s);
	assert_int_equal(audit_new(s, &a), 0);
	assert_int_equal(audit_step(a, 1), 0);
	assert_int_equal(audit_lines(a, &lines), 0);
	store_close(s);
}

/* The owner goes on while an audit is half way: it sees one moment. */
static void while_the_owner_goes_on(void **state)
{
	struct place *p = *state;
	struct store *s = make(p);
	_cleanup_(audit_freep) struct audit *a = NULL;

	assert_int_equal(audit_new(s, &a), 0);
	assert_int_equal(audit_step(a, 1), STORE_E_NOTHING);
	assert_int_equal(outbox_reopen(s, sink, p->now), 0);
	for (unsigned i = 0; i < 1000; i++) /* several times around the ring */
		(void)admit(p, s, stream, 1);
	assert_int_equal(store_commit(s, p->now), 0);
	while (audit_step(a, 1) == STORE_E_NOTHING)
		;
	assert_true(audit_balanced(a));
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(whole),
		cmocka_unit_test(each_difference),
		store_test(nothing_at_all),
		store_test(while_the_owner_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
