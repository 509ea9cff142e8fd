/*
 * store/finding: what a reconcile found survives a restart, the last thousand of it, none twice; and
 * the times of a sink, which are written with commits and make none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"
#include "store/finding.h"

static struct finding found[2 * FINDINGS_MAX];
static size_t n_found;

static void collect(void *userdata, const struct finding *f)
{
	found[n_found++] = *f;
}

static size_t look(struct store *s)
{
	n_found = 0;
	assert_int_equal(finding_each(s, collect, NULL), 0);
	return n_found;
}

static void add(struct store *s, uint64_t first, int64_t wall_us)
{
	const struct finding f = {.wall_us = wall_us,
				  .sink = 1,
				  .stream = 1,
				  .first_seq = first,
				  .last_seq = first + 9,
				  .n = 7,
				  .what = FINDING_LACKED};

	assert_int_equal(finding_add(s, &f), 0);
}

static void survive_a_restart(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);

	add(s, 100, 5);
	assert_int_equal(look(s), 1);
	assert_true(store_commit_due(s) <= p->now + 5 * USEC_PER_SEC);
	assert_int_equal(store_commit(s, p->now), 0);
	assert_int_equal(look(s), 1);
	add(s, 200, 6);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	s = open_store(p);
	assert_int_equal(look(s), 2);
	assert_int_equal(found[0].first_seq, 100);
	assert_int_equal(found[0].last_seq, 109);
	assert_int_equal(found[0].n, 7);
	assert_int_equal(found[0].wall_us, 5);
	assert_int_equal(found[0].sink, 1);
	assert_int_equal(found[0].stream, 1);
	assert_int_equal(found[0].what, FINDING_LACKED);
	assert_int_equal(found[1].first_seq, 200);
	store_close(s);
}

static void the_same_again(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	struct finding other = {.wall_us = 9,
				.sink = 1,
				.stream = 1,
				.first_seq = 100,
				.last_seq = 109,
				.n = 7,
				.what = FINDING_CONFLICT};

	add(s, 100, 5);
	add(s, 200, 5);
	add(s, 100, 6); /* in memory */
	assert_int_equal(look(s), 2);
	assert_int_equal(found[1].wall_us, 6);
	assert_int_equal(store_commit(s, p->now), 0);
	add(s, 200, 7); /* on the disk */
	assert_int_equal(look(s), 2);
	assert_int_equal(found[1].wall_us, 7);
	assert_int_equal(store_commit(s, p->now), 0);
	assert_int_equal(look(s), 2);
	assert_int_equal(found[0].first_seq, 100);
	assert_int_equal(found[1].wall_us, 7);
	assert_int_equal(finding_add(s, &other), 0); /* the same place, but another finding */
	assert_int_equal(look(s), 3);
	store_close(s);
}

static void the_last_thousand(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);

	for (uint64_t i = 0; i < 400; i++)
		add(s, 1000 + 10 * i, 1);
	assert_int_equal(store_commit(s, p->now), 0);
	for (uint64_t i = 400; i < 1500; i++) /* commits fail: memory is bounded as well */
		add(s, 1000 + 10 * i, 1);
	assert_int_equal(look(s), 400 + FINDINGS_MAX);
	assert_int_equal(store_commit(s, p->now), 0);
	assert_int_equal(look(s), FINDINGS_MAX);
	assert_int_equal(found[0].first_seq, 1000 + 10 * 500);
	assert_int_equal(found[FINDINGS_MAX - 1].first_seq, 1000 + 10 * 1499);
	store_close(s);
}

static void the_times_of_a_sink(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	struct finding_times t;
	uint32_t a, b;

	assert_int_equal(register_sink(s, "a", true, false, &a), 0);
	assert_int_equal(register_sink(s, "b", true, false, &b), 0);
	assert_int_equal(store_commit(s, p->now), 0);
	finding_confirmed(s, b, 1000);
	finding_reconciled(s, b, 2000);
	assert_int_equal(store_commit_due(s), USEC_INFINITY);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	s = open_store(p);
	finding_times(s, b, &t);
	assert_int_equal(t.confirmed_us, 1000);
	assert_int_equal(t.reconciled_us, 2000);
	finding_times(s, a, &t);
	assert_int_equal(t.confirmed_us, 0);
	assert_int_equal(t.reconciled_us, 0);
	store_close(s);
}

static void their_names(void **state)
{
	assert_string_equal(finding_name(FINDING_LACKED), "lacked");
	assert_string_equal(finding_name(FINDING_SERVER_ONLY), "server_only");
	assert_string_equal(finding_name(FINDING_CONFLICT), "conflict");
	assert_string_equal(finding_name(0), "unknown");
	assert_string_equal(finding_name(99), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(survive_a_restart), store_test(the_same_again),
		store_test(the_last_thousand), store_test(the_times_of_a_sink),
		cmocka_unit_test(their_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
