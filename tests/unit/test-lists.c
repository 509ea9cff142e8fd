/*
 * control/lists: what there is one of for each stream, in a store that had many: an answer is never more
 * than its reader takes, what is left out is the oldest, it is counted, and what does not balance is in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control/lists.h"
#include "store/state.h"

#include "place.h"

enum { MANY = TABLE_MAX_ROWS + 100, SINKS = 3 };

/* Stream 1 has five records; so many in all, and incarnations too. */
static struct store *make(struct place *p, unsigned n)
{
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	char sql[640];

	for (uint16_t i = 0; i < 5; i++)
		(void)admit(p, s, stream, i);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	(void)snprintf(
		sql, sizeof(sql),
		"WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < %u)"
		" INSERT INTO stream(number, uuid, device, kind, subject)"
		" SELECT i, randomblob(16), printf('%%017d', i), 1, 'u-1' FROM n;"
		"WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < %u)"
		" INSERT INTO incarnation SELECT i, randomblob(16), i, 'machine', '' FROM n",
		n, n);
	run_sql(p, sql);
	s = open_store(p);
	for (unsigned i = 0; i < SINKS; i++) {
		const char name[] = {(char)('a' + i), '\0'};
		uint32_t sink;

		assert_int_equal(register_sink(s, name, true, false, &sink), 0);
	}
	return s;
}

static const struct table *ask(struct store *s, const char *which, const char *table,
			       struct tables *ret)
{
	const struct snapshot snapshot = {.store = s};
	const struct table *t;

	assert_int_equal(lists_put(&snapshot, which, ret), 0);
	assert_false(tables_failed(ret));
	t = tables_find(ret, table);
	assert_true(table_rows(t) <= TABLE_MAX_ROWS);
	return t;
}

static bool names(const struct table *t, unsigned stream)
{
	char device[24];

	(void)snprintf(device, sizeof(device), "%017u", stream);
	for (size_t row = 0; row < table_rows(t); row++)
		if (streq(table_get_string(t, row, "device"), device))
			return true;
	return false;
}

static void anchors(void **state)
{
	struct place *p = *state;
	struct store *s = make(p, MANY / SINKS);
	_cleanup_(tables_done) struct tables t = {0};
	const struct table *list = ask(s, "anchors", "anchors", &t), *all;

	all = tables_find(&t, "anchors_summary");
	assert_int_equal(table_rows(list), TABLE_MAX_ROWS / SINKS * SINKS);
	assert_int_equal(table_get_u64(all, 0, "shown", 0), table_rows(list));
	assert_int_equal(table_get_u64(all, 0, "anchors", 0), MANY / SINKS * SINKS);
	assert_true(names(list, MANY / SINKS));
	assert_false(names(list, 2));
	store_close(s);
}

static void all_anchors_of_few(void **state)
{
	struct place *p = *state;
	struct store *s = make(p, 40);
	_cleanup_(tables_done) struct tables t = {0};
	const struct table *list = ask(s, "anchors", "anchors", &t);

	assert_int_equal(table_rows(list), 40 * SINKS);
	assert_int_equal(table_get_u64(tables_find(&t, "anchors_summary"), 0, "anchors", 0),
			 40 * SINKS);
	assert_string_equal(table_get_string(list, 0, "device"), "a0:b1:c2:d3:e4:f5");
	store_close(s);
}

static void an_audit(void **state)
{
	struct place *p = *state;
	struct store *s = make(p, MANY / SINKS);
	_cleanup_(tables_done) struct tables t = {0};
	const struct table *lines;

	cursor_of(s, 1, 1)->confirmed = 1; /* of the oldest, which is not among the newest */
	cursor_of(s, 1, 1)->dirty = true;
	lines = ask(s, "audit", "lines", &t);
	assert_int_equal(table_rows(lines), TABLE_MAX_ROWS);
	assert_int_equal(table_get_u64(tables_find(&t, "audit"), 0, "lines", 0),
			 MANY / SINKS * SINKS);
	assert_int_equal(table_get_u64(tables_find(&t, "audit"), 0, "balanced", 1), 0);
	assert_string_equal(table_get_string(lines, 0, "device"), "a0:b1:c2:d3:e4:f5");
	assert_int_equal(table_get_u64(lines, 0, "balanced", 1), 0);
	assert_int_equal(table_get_u64(lines, 1, "balanced", 0), 1);
	assert_true(names(lines, MANY / SINKS));
	store_close(s);
}

static void streams_and_names(void **state)
{
	struct place *p = *state;
	struct store *s = make(p, MANY);
	const struct snapshot snapshot = {.store = s};
	_cleanup_(tables_done) struct tables t = {0};
	const struct table *list;

	lists_put_streams(&snapshot, &t);
	lists_put_incarnations(&snapshot, &t);
	assert_false(tables_failed(&t));
	list = tables_find(&t, "streams");
	assert_int_equal(table_rows(list), TABLE_MAX_ROWS);
	assert_true(names(list, MANY));
	assert_false(names(list, 2));
	list = tables_find(&t, "incarnations");
	assert_int_equal(table_rows(list), CONTROL_MAX_ROWS);
	assert_int_equal(table_get_u64(list, CONTROL_MAX_ROWS - 1, "number", 0), MANY);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(anchors),
		store_test(all_anchors_of_few),
		store_test(an_audit),
		store_test(streams_and_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
