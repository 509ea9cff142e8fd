/*
 * store/wear: what is written is counted, once, by day, in commits that are made anyway, and not on
 * a clock that nobody disciplines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"

/* The kernel counts what is written to disks, which a tmpfs is not. */
static int set_up_on_disk(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	dirs_make("/var/tmp", p->dir, p->state, p->run);
	p->now = 1000 * USEC_PER_SEC;
	*state = p;
	return 0;
}

static uint64_t sum_of(const struct place *p, const char *column)
{
	char sql[80];

	(void)snprintf(sql, sizeof(sql), "SELECT coalesce(sum(%s), 0) FROM wear", column);
	return (uint64_t)ask_sql(p, sql);
}

static uint64_t today(const struct store *s)
{
	struct store_figures f;

	store_figures(s, &f);
	return f.written_today;
}

static void counts_once(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	uint64_t before, written;

	for (unsigned i = 0; i < 20; i++) {
		(void)admit(p, s, stream, 60);
		assert_int_equal(store_commit(s, p->now), 0);
	}
	before = sum_of(p, "bytes");
	if (today(s) == 0)
		skip(); /* the file system of this machine counts nothing */
	assert_true(today(s) > 20 * 512);
	p->now += 601 * USEC_PER_SEC;
	(void)admit(p, s, stream, 60);
	assert_int_equal(store_commit(s, p->now), 0);
	written = sum_of(p, "bytes");
	assert_true(written > before);
	assert_true(sum_of(p, "commits") >= 19);
	/* The next one is ten minutes off. */
	(void)admit(p, s, stream, 60);
	assert_int_equal(store_commit(s, p->now), 0);
	assert_int_equal(sum_of(p, "bytes"), written);
	assert_true(today(s) > written);
	assert_int_equal(store_finish(s, p->now), 0);
	assert_true(sum_of(p, "bytes") > written);
	written = sum_of(p, "bytes");
	store_close(s);
	assert_int_equal(store_look(p->state, p->run, &s), 0);
	assert_int_equal(today(s), written);
	store_close(s);
}

static void not_without_a_clock(void **state)
{
	struct place *p = *state;
	struct store *s = open_with(p, &unsynced, NULL);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);

	(void)admit(p, s, stream, 60);
	assert_int_equal(store_finish(s, p->now), 0);
	assert_int_equal(sum_of(p, "bytes"), 0);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(counts_once, set_up_on_disk, tear_down),
		cmocka_unit_test_setup_teardown(not_without_a_clock, set_up_on_disk, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
