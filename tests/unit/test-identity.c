/*
 * Incarnations: what begins one, that it is told, that names change and numbers of streams do not lie,
 * and that a kill at any step leaves a store in which every record is. A kill is a process of its own
 * that ends in the middle of what it does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"
#include "store/state.h"

#include <sys/wait.h>

static struct store *open_on(struct place *p, const char *machine, struct store_opening *opening)
{
	struct store_options o = usual_options(p);

	o.machine = machine;
	return open_as(p, &o, &synced, opening);
}

struct history {
	size_t n;
	struct incarnation all[8];
};

static void note(void *userdata, const struct incarnation *i)
{
	struct history *h = userdata;

	assert_true(h->n < ARRAY_SIZE(h->all));
	h->all[h->n++] = *i;
}

static struct history history_of(const struct store *s)
{
	struct history h = {0};

	store_each_incarnation(s, note, &h);
	return h;
}

static int count_one(void *userdata, const struct record *r)
{
	(*(size_t *)userdata)++;
	return 0;
}

static size_t count_all(struct store *s, uint32_t stream)
{
	size_t n = 0;

	assert_int_equal(store_read(s, stream, 1, UINT64_MAX, 0, count_one, &n), 0);
	return n;
}

static void the_first_one_is_written_down(void **state)
{
	struct place *p = *state;
	struct store_opening opening;
	struct store *s = open_on(p, NULL, &opening);
	struct store_figures figures;
	struct history h = history_of(s);

	store_figures(s, &figures);
	assert_int_equal(h.n, 1);
	assert_int_equal(h.all[0].number, 1);
	assert_int_equal(h.all[0].reason, INCARNATION_FIRST);
	assert_true(uuid_equal(&h.all[0].id, &figures.incarnation));
	assert_true(h.all[0].began_us > 0);
	assert_int_equal(opening.incarnation, INCARNATION_FIRST);
	store_close(s);
	run_sql(p, "DELETE FROM incarnation"); /* as a store of version 1 is */
	s = open_on(p, NULL, &opening);
	h = history_of(s);
	assert_int_equal(h.n, 1);
	assert_true(uuid_equal(&h.all[0].id, &figures.incarnation));
	assert_int_equal(h.all[0].reason, INCARNATION_FIRST);
	store_close(s);
}

static void a_new_one_renames_every_stream(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t old = stream_of_kind(s, KIND_HEART_RATE), fresh;
	struct stream_status before, after;
	struct history h;

	(void)admit(p, s, old, 60);
	store_stream_status(s, old, &before);
	assert_false(before.old);
	assert_int_equal(store_new_incarnation(s, INCARNATION_CONFLICT, "sink a", p->now), 0);
	store_stream_status(s, old, &before);
	assert_true(before.old);
	fresh = stream_of_kind(s, KIND_HEART_RATE);
	assert_int_not_equal(fresh, old);
	store_stream_status(s, fresh, &after);
	assert_false(after.old);
	assert_int_equal(after.before, old);
	assert_false(uuid_equal(&before.info.id, &after.info.id));
	assert_string_equal(before.info.device, after.info.device);
	assert_string_equal(before.info.subject, after.info.subject);
	h = history_of(s);
	assert_int_equal(h.n, 2);
	assert_int_equal(h.all[1].number, 2);
	assert_int_equal(h.all[1].reason, INCARNATION_CONFLICT);
	assert_string_equal(h.all[1].detail, "sink a");
	(void)admit(p, s, fresh, 61);
	assert_balanced(s);
	store_close(s);

	s = open_store(p); /* the tail has the old name in its header, and is ours all the same */
	h = history_of(s);
	assert_int_equal(h.n, 2);
	assert_int_equal(stream_of_kind(s, KIND_HEART_RATE), fresh);
	assert_int_equal(count_all(s, old), 1);
	assert_int_equal(count_all(s, fresh), 1);
	assert_balanced(s);
	store_close(s);
}

static void a_server_cannot_have_it_again_and_again(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);

	for (int i = 0; i < INCARNATIONS_AN_HOUR; i++)
		assert_int_equal(store_new_incarnation(s,
						       i % 2 ? INCARNATION_AHEAD
							     : INCARNATION_CONFLICT,
						       "", p->now),
				 0);
	assert_int_equal(store_new_incarnation(s, INCARNATION_CONFLICT, "", p->now), STORE_E_OFTEN);
	assert_int_equal(store_new_incarnation(s, INCARNATION_AHEAD, "", p->now), STORE_E_OFTEN);
	assert_int_equal(history_of(s).n, 1 + INCARNATIONS_AN_HOUR);
	assert_int_equal(store_new_incarnation(s, INCARNATION_SALVAGED, "", p->now), 0);
	store_close(s);
	run_sql(p, "UPDATE incarnation SET began_us = began_us - 3601000000");
	s = open_store(p);
	assert_int_equal(store_new_incarnation(s, INCARNATION_CONFLICT, "", p->now), 0);
	store_close(s);
}

static void another_machine(void **state)
{
	static const struct {
		const char *here;
		bool other;
	} steps[] = {
		{"", false},		   /* not known: nothing to compare */
		{"id:aa", false},	   /* noted from now on */
		{"board:11 id:aa", false}, /* more is known of it */
		{"board:11 id:bb", false}, /* installed anew on the same board */
		{"board:22 id:bb", true},  /* the card in another one */
		{"board:22 id:bb", false}, /* noted */
		{"id:bb", false},	   /* the board cannot be read just now */
		{"id:cc", true},
	};
	struct place *p = *state;
	size_t n = 1;

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		struct store_opening opening;
		struct store *s = open_on(p, steps[i].here, &opening);
		struct history h = history_of(s);

		n += steps[i].other;
		if (opening.incarnation != (steps[i].other ? INCARNATION_MACHINE : 0) || h.n != n)
			fail_msg("step %zu: %u, %zu incarnations", i, opening.incarnation, h.n);
		store_close(s);
	}
}

static void a_marked_backup(void **state)
{
	struct place *p = *state;
	struct store_opening opening;
	struct store *s = open_on(p, NULL, &opening);
	uint32_t stream = stream_of_kind(s, KIND_ECG);

	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	run_sql(p, "INSERT INTO meta VALUES('backup', '2026-03-01 07:30:00')");
	s = open_on(p, NULL, &opening);
	assert_int_equal(opening.incarnation, INCARNATION_BACKUP);
	assert_non_null(strstr(opening.incarnation_detail, "2026-03-01 07:30:00"));
	assert_int_not_equal(stream_of_kind(s, KIND_ECG), stream);
	store_close(s);
	s = open_on(p, NULL, &opening);
	assert_int_equal(opening.incarnation, INCARNATION_FIRST);
	assert_int_equal(history_of(s).n, 2);
	store_close(s);
}

/* What a server refused is known to the next process, until there are other names. */
static void a_refusal_is_not_forgotten(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t sink, stream = stream_of_kind(s, KIND_ECG);
	char detail[120];

	assert_int_equal(register_sink(s, "home", true, false, &sink), 0);
	(void)admit(p, s, stream, 60);
	assert_false(store_is_refused(s, detail));
	cursor_of(s, sink, stream)->held = cursor_of(s, sink, stream)->refused = true;
	cursor_touch(s, cursor_of(s, sink, stream));
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	s = open_store(p);
	assert_true(store_is_refused(s, detail));
	assert_string_equal(detail, "server \"home\", ecg of a0:b1:c2:d3:e4:f5");
	assert_int_equal(store_new_incarnation(s, INCARNATION_CONFLICT, detail, p->now), 0);
	assert_false(store_is_refused(s, detail));
	store_close(s);
}

/* --- kills --- */

static void begin_and_die(struct place *p, int commits)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct store *s = open_store(p);
		uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);

		(void)admit(p, s, stream, 61);
		end_after_commits(s, commits);
		if (store_new_incarnation(s, INCARNATION_CONFLICT, "", p->now) != 0)
			_exit(1);
		(void)admit(p, s, stream_of_kind(s, KIND_HEART_RATE), 62);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_kill_at_every_step(void **state)
{
	/* In the commit of the tail, in that of the change, in that of the new stream, after all. */
	static const size_t changed[] = {1, 1, 2, 2}, heard[] = {2, 2, 2, 3};

	for (int step = 0; step < 4; step++) {
		struct place *p;
		struct store_opening opening;
		struct store *s;
		size_t n = 0;

		assert_int_equal(set_up((void **)&p), 0);
		s = open_store(p);
		(void)admit(p, s, stream_of_kind(s, KIND_HEART_RATE), 60);
		store_close(s);
		begin_and_die(p, step);
		s = open_with(p, &synced, &opening);
		assert_int_not_equal(opening.tail, TAIL_FOREIGN);
		assert_int_equal(opening.incarnation, INCARNATION_FIRST);
		assert_int_equal(history_of(s).n, changed[step]);
		for (uint32_t i = 1; i <= store_stream_count(s); i++)
			n += count_all(s, i);
		assert_int_equal(n, heard[step]);
		assert_balanced(s);
		store_close(s);
		assert_int_equal(tear_down((void **)&p), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(the_first_one_is_written_down),
		store_test(a_new_one_renames_every_stream),
		store_test(a_server_cannot_have_it_again_and_again),
		store_test(another_machine),
		store_test(a_marked_backup),
		store_test(a_refusal_is_not_forgotten),
		cmocka_unit_test(a_kill_at_every_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
