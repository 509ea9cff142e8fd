/*
 * store/owner: one holder at a time, the lock ends with its holder, asking is seen and answered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"
#include "store/owner.h"

#include <signal.h>
#include <sys/wait.h>

static void one_at_a_time(void **state)
{
	struct place *p = *state;
	int fd, second = -1;

	assert_int_equal(owner_held(p->state), 0); /* no file yet */
	assert_int_equal(owner_take(p->state, &fd), 0);
	assert_int_equal(owner_held(p->state), 1);
	assert_int_equal(owner_take(p->state, &second), OWNER_E_TAKEN);
	assert_int_equal(second, -1);
	assert_int_equal(close(fd), 0);
	assert_int_equal(owner_held(p->state), 0); /* a file, nobody holds it */
	assert_int_equal(owner_take(p->state, &fd), 0);
	assert_int_equal(close(fd), 0);
}

static void ends_with_its_process(void **state)
{
	struct place *p = *state;
	int pipes[2], status, fd;
	pid_t pid;
	char byte;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (pid == 0) {
		fd = -1;
		_exit(owner_take(p->state, &fd) != 0 || write(pipes[1], "x", 1) != 1 ||
		      pause() != -1);
	}
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	assert_int_equal(owner_take(p->state, &fd), OWNER_E_TAKEN);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(owner_take(p->state, &fd), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(close(pipes[0]), 0);
	assert_int_equal(close(pipes[1]), 0);
}

static void asking(void **state)
{
	struct place *p = *state;

	assert_false(owner_asked(p->run));
	assert_int_equal(owner_ask(p->run), 0);
	assert_int_equal(owner_ask(p->run), 0);
	assert_true(owner_asked(p->run));
	owner_answered(p->run);
	assert_false(owner_asked(p->run));
	owner_answered(p->run); /* nobody asked */
}

static void nowhere(void **state)
{
	static char longer[600];
	int fd;

	memset(longer, 'x', sizeof(longer) - 1);
	assert_int_equal(owner_take("/nowhere", &fd), -ENOENT);
	assert_int_equal(owner_held("/nowhere"), 0);
	assert_int_equal(owner_ask("/nowhere"), -ENOENT);
	assert_false(owner_asked("/nowhere"));
	assert_int_equal(owner_take(longer, &fd), -ENAMETOOLONG);
	assert_false(owner_asked(longer));
	owner_answered(longer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(one_at_a_time),
		store_test(ends_with_its_process),
		store_test(asking),
		store_test(nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
