/*
 * store/register: one name has one number, before and after a restart and a crash; what cannot be
 * written is not there; what a sink need not have; and that looking makes nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"

static uint32_t stream_of_subject(struct store *s, const char *subject)
{
	uint32_t stream;

	assert_int_equal(register_stream(s, "a0:b1:c2:d3:e4:f5", KIND_ECG, subject, &stream), 0);
	return stream;
}

/* No process ends in good order here: what was given out must be on the disk. */
static void one_name_has_one_number(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t first = stream_of_subject(s, "u-1"), second = stream_of_subject(s, "u-2"), sink;

	assert_int_equal(first, 1);
	assert_int_equal(second, 2);
	assert_int_equal(stream_of_subject(s, "u-1"), first);
	assert_int_equal(register_sink(s, "a", true, false, &sink), 0);
	store_close(s);
	s = open_store(p);
	assert_int_equal(store_stream_count(s), 2);
	assert_int_equal(stream_of_subject(s, "u-2"), second);
	assert_int_equal(stream_of_subject(s, "u-3"), 3);
	assert_int_equal(register_sink(s, "b", true, false, &sink), 0);
	assert_int_equal(sink, 2);
	assert_int_equal(register_sink(s, "a", true, false, &sink), 0);
	assert_int_equal(sink, 1);
	store_close(s);
}

static void what_is_not_written_is_not_there(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = 7;

	run_sql(p,
		"CREATE TRIGGER no BEFORE INSERT ON stream BEGIN SELECT RAISE(ABORT, 'no'); END");
	assert_true(register_stream(s, "a0:b1:c2:d3:e4:f5", KIND_ECG, "u-1", &stream) < 0);
	assert_int_equal(stream, 7);
	assert_int_equal(store_stream_count(s), 0);
	run_sql(p, "DROP TRIGGER no");
	assert_int_equal(stream_of_subject(s, "u-1"), 1);
	store_close(s);
}

static void a_sink_that_begins_now(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE), all, new;
	struct cursor_status c;

	for (unsigned i = 0; i < 5; i++)
		(void)admit(p, s, stream, 60);
	assert_int_equal(register_sink(s, "all", true, false, &all), 0);
	assert_int_equal(register_sink(s, "new", true, true, &new), 0);
	(void)admit(p, s, stream, 60);
	store_close(s);
	s = open_store(p);
	store_cursor_status(s, all, stream, &c);
	assert_int_equal(c.exempt, 0);
	assert_int_equal(c.waiting, 6);
	store_cursor_status(s, new, stream, &c);
	assert_int_equal(c.exempt, 5);
	assert_int_equal(c.waiting, 1);
	/* It is new once: what came since is owed. */
	assert_int_equal(register_sink(s, "new", true, true, &new), 0);
	store_cursor_status(s, new, stream, &c);
	assert_int_equal(c.waiting, 1);
	assert_balanced(s);
	store_close(s);
}

static bool is_retired(struct store *s, uint32_t sink)
{
	struct sink_info info;

	store_sink_info(s, sink, &info);
	return info.retired;
}

/* The config is read a second time, without the second sink; and then with it again. */
static void a_reload_retires_and_recalls(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t a, b;

	assert_int_equal(register_sink(s, "a", true, false, &a), 0);
	assert_int_equal(register_sink(s, "b", true, false, &b), 0);
	assert_int_equal(register_retire_sinks(s), 0);
	assert_false(is_retired(s, a) || is_retired(s, b));
	assert_int_equal(register_sink(s, "a", true, false, &a), 0);
	assert_int_equal(register_retire_sinks(s), 0);
	assert_false(is_retired(s, a));
	assert_true(is_retired(s, b));
	assert_int_equal(register_sink(s, "a", true, false, &a), 0);
	assert_int_equal(register_sink(s, "b", true, false, &b), 0);
	assert_int_equal(register_retire_sinks(s), 0);
	assert_false(is_retired(s, a) || is_retired(s, b));
	store_close(s);
}

static void looking_makes_nothing(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p), *look = NULL;
	uint32_t a, b;

	assert_int_equal(register_sink(s, "a", true, false, &a), 0);
	assert_int_equal(store_look(p->state, p->run, &look), 0);
	assert_int_equal(register_sink(look, "b", true, false, &b), 0);
	assert_int_equal(store_sink_count(look), 2);
	assert_int_equal(register_retire_sinks(look), 0);
	assert_true(is_retired(look, a));
	store_close(look);
	store_close(s);
	s = open_store(p);
	assert_int_equal(store_sink_count(s), 1);
	assert_false(is_retired(s, a));
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(one_name_has_one_number), store_test(what_is_not_written_is_not_there),
		store_test(a_sink_that_begins_now),  store_test(a_reload_retires_and_recalls),
		store_test(looking_makes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
