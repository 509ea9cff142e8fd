/*
 * store/cleanup: what goes by age goes, in slices, and says so; nothing of it on a clock that nobody
 * disciplines, and nothing that a server has not confirmed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"
#include "store/cleanup.h"
#include "util/buf.h"

#define DAY	   (INT64_C(86400) * 1000000)
#define MUCH_LATER (synced.offset_us + 200 * DAY)

/* Runs it to its end; what it said. */
static int clean(struct store *s, const struct cleanup_rules *rules, unsigned *ret_steps,
		 struct buf *words)
{
	_cleanup_(cleanup_freep) struct cleanup *c = NULL;
	unsigned steps = 1;
	int r;

	assert_int_equal(cleanup_new(s, rules, &c), 0);
	while ((r = cleanup_step(c)) == STORE_E_MORE)
		assert_true(++steps < 1000);
	buf_reset(words);
	cleanup_words(c, words);
	buf_append(words, "", 1);
	if (ret_steps)
		*ret_steps = steps;
	return r;
}

/* All of it confirmed, and each record in a block of its own. */
static void make_history(struct place *p, struct store *s, uint32_t stream, uint32_t sink,
			 unsigned n)
{
	while (n--) {
		(void)admit(p, s, stream, 60);
		confirm_new(s, sink);
		assert_int_equal(store_commit(s, p->now), 0);
	}
}

static void what_is_old_goes(void **state)
{
	const struct cleanup_rules rules = {.retention = 7 * DAY,
					    .wall_us = MUCH_LATER,
					    .synchronised = true};
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE), a;
	struct buf words = {0};
	struct stream_status status;

	assert_int_equal(register_sink(s, "a", true, false, &a), 0);
	make_history(p, s, stream, a, 40);
	(void)admit(p, s, stream, 61); /* nobody has confirmed it */
	assert_int_equal(clean(s, &rules, NULL, &words), 0);
	assert_string_equal((char *)words.data, "40 records past retention deleted");
	store_stream_status(s, stream, &status);
	assert_int_equal(status.deleted, 40);
	assert_int_equal(status.admitted, 41);
	assert_balanced(s);
	assert_int_equal(clean(s, &rules, NULL, &words), 0);
	assert_string_equal((char *)words.data, "no record is past retention");
	buf_done(&words);
	store_close(s);
}

static void notes_go_by_their_age(void **state)
{
	const struct cleanup_rules rules = {.retention = 7 * DAY,
					    .wall_us = MUCH_LATER,
					    .synchronised = true};
	struct place *p = *state;
	struct store *s = open_store(p);
	struct buf words = {0};
	unsigned steps;
	char sql[512];

	(void)snprintf(
		sql, sizeof(sql),
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)"
		" INSERT INTO finding SELECT i, %lld, 1, 1, 1, 1, 1, 1 FROM n;"
		"INSERT INTO finding VALUES(9999, %lld, 1, 1, 1, 1, 1, 1);"
		"INSERT INTO wear VALUES(%lld, 1, 1), (%lld, 1, 1)",
		(long long)(MUCH_LATER - 91 * DAY), (long long)(MUCH_LATER - 89 * DAY),
		(long long)(MUCH_LATER / DAY - 91), (long long)(MUCH_LATER / DAY - 89));
	run_sql(p, sql);
	assert_int_equal(clean(s, &rules, &steps, &words), 0);
	assert_non_null(strstr((char *)words.data, "1201 old notes deleted"));
	assert_true(steps > 1200 / 500); /* in slices */
	assert_int_equal(ask_sql(p, "SELECT number FROM finding"), 9999);
	assert_int_equal(ask_sql(p, "SELECT count(*) FROM finding"), 1);
	assert_int_equal(ask_sql(p, "SELECT count(*) FROM wear WHERE bytes = 1"), 1);
	buf_done(&words);
	store_close(s);
}

static void nothing_is_old_without_a_clock(void **state)
{
	const struct cleanup_rules rules = {.retention = 7 * DAY, .wall_us = MUCH_LATER};
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE), a;
	struct buf words = {0};
	struct stream_status status;

	assert_int_equal(register_sink(s, "a", true, false, &a), 0);
	(void)admit(p, s, stream, 60);
	confirm_new(s, a);
	run_sql(p, "INSERT INTO finding VALUES(1, 1, 1, 1, 1, 1, 1, 1)");
	assert_int_equal(clean(s, &rules, NULL, &words), 0);
	assert_non_null(strstr((char *)words.data, "not synchronised"));
	store_stream_status(s, stream, &status);
	assert_int_equal(status.deleted, 0);
	assert_int_equal(ask_sql(p, "SELECT count(*) FROM finding"), 1);
	buf_done(&words);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(what_is_old_goes),
		store_test(notes_go_by_their_age),
		store_test(nothing_is_old_without_a_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
