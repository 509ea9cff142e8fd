/*
 * store/run: each start has a number and a nonce of its own, on the disk before anybody uses them;
 * what cannot be written did not begin, and neither did what would have begun with it; a pair is of
 * two boots, and the newer one is ours.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"
#include "store/run.h"
#include "store/state.h"

#define NO_RUN_FROM(n)                                                           \
	"CREATE TRIGGER no BEFORE INSERT ON run WHEN NEW.number >= " #n " BEGIN" \
	" SELECT RAISE(ABORT, 'no'); END"

static void each_start_has_its_own(void **state)
{
	struct place *p = *state;
	struct uuid nonces[3];

	for (size_t i = 0; i < ARRAY_SIZE(nonces); i++) {
		struct store *s = open_store(p), *look = NULL;
		struct store_figures f;

		/* Nothing was admitted, and nothing committed since. */
		assert_int_equal(store_look(p->state, p->run, &look), 0);
		store_figures(look, &f);
		assert_int_equal(f.run.number, i + 1);
		nonces[i] = f.run.nonce;
		for (size_t k = 0; k < i; k++)
			assert_false(uuid_equal(&nonces[i], &nonces[k]));
		store_close(look);
		store_close(s); /* as a crash leaves it */
	}
}

/* The card in another machine, and a card that takes nothing: the names change when it does. */
static void what_is_not_written_did_not_begin(void **state)
{
	struct place *p = *state;
	struct store_options o = {.state_dir = p->state,
				  .runtime_dir = p->run,
				  .role = "test",
				  .tail_size = 16 * 1024,
				  .machine = "id:aa"};
	struct store_opening opening;
	struct store *s;
	struct uuid names;

	assert_int_equal(store_open(&o, p->now, &synced, &opening, &s), 0);
	names = s->incarnation;
	store_close(s);
	run_sql(p, NO_RUN_FROM(1));
	o.machine = "id:bb";
	assert_true(store_open(&o, p->now, &synced, &opening, &s) < 0);
	run_sql(p, "DROP TRIGGER no");
	assert_int_equal(store_look(p->state, p->run, &s), 0);
	assert_int_equal(s->run.number, 1);
	assert_true(uuid_equal(&s->incarnation, &names));
	store_close(s);
	assert_int_equal(store_open(&o, p->now, &synced, &opening, &s), 0);
	assert_int_equal(opening.incarnation, INCARNATION_MACHINE);
	assert_int_equal(s->run.number, 2);
	assert_false(uuid_equal(&s->incarnation, &names));
	store_close(s);
}

static void a_pair_is_of_two_boots(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	struct run_info runs[5];
	uint64_t number = 7;

	store_close(s);
	run_sql(p, "UPDATE run SET boot_id = 'a0000000-0000-4000-8000-000000000001'");
	s = open_store(p);
	run_sql(p, NO_RUN_FROM(4)); /* the second of the two */
	assert_true(run_begin_pair(s, 1, &number) < 0);
	assert_int_equal(number, 7);
	assert_int_equal(s->run.number, 2);
	assert_false(store_run(s, 3, &runs[0]));
	run_sql(p, "DROP TRIGGER no");
	assert_int_equal(run_begin_pair(s, 1, &number), 0);
	assert_int_equal(number, 3);
	assert_int_equal(s->run.number, 4);
	store_close(s);
	s = open_store(p);
	assert_int_equal(s->run.number, 5);
	for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
		assert_true(store_run(s, i + 1, &runs[i]));
		for (size_t k = 0; k < i; k++)
			assert_false(uuid_equal(&runs[i].nonce, &runs[k].nonce));
	}
	assert_string_equal(runs[2].boot_id, "a0000000-0000-4000-8000-000000000001");
	assert_string_equal(runs[3].boot_id, runs[1].boot_id);
	assert_string_not_equal(runs[3].boot_id, runs[2].boot_id);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(each_start_has_its_own),
		store_test(what_is_not_written_did_not_begin),
		store_test(a_pair_is_of_two_boots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
