/* ctl/program: whatever another program does, it ends in time, in bounds and with a word on what was the matter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/program.c" /* vitalctl's files are in no library */

static void assert_says(const char *shell, size_t max, usec_t limit, const char *wanted)
{
	const char *const argv[] = {"sh", "-c", shell, NULL};
	struct buf said = {0};

	program_run(argv, limit, max, &said);
	buf_u8(&said, 0);
	assert_false(said.failed);
	assert_string_equal((const char *)said.data, wanted);
	buf_done(&said);
}

static void both_outputs_and_the_end_are_told(void **state)
{
	assert_says("echo out; echo err >&2", 100, 10 * USEC_PER_SEC, "out\nerr\n");
	assert_says("echo out; exit 3", 100, 10 * USEC_PER_SEC, "out\n[sh returned 3]\n");
	assert_says("kill -9 $$", 100, 10 * USEC_PER_SEC, "[sh was ended by signal 9]\n");
	assert_says("cat", 100, 10 * USEC_PER_SEC, ""); /* there is nothing to read for it */
	assert_says("echo $SYSTEMD_COLORS", 100, 10 * USEC_PER_SEC, "0\n");
}

static void what_hangs_or_floods_is_ended(void **state)
{
	usec_t began = clock_boot_usec();

	assert_says("echo a; exec sleep 600", 100, USEC_PER_SEC / 5,
		    "a\n\n[sh: it took too long, and was ended]\n");
	assert_says("exec yes", 6, 60 * USEC_PER_SEC, "y\ny\ny\n\n[sh: it is longer than this]\n");
	assert_true(clock_boot_usec() - began < 30 * USEC_PER_SEC);
}

static void what_is_not_there_is_said(void **state)
{
	const char *const argv[] = {"there-is-no-such-program", NULL};
	struct buf said = {0};

	program_run(argv, USEC_PER_SEC, 100, &said);
	buf_u8(&said, 0);
	assert_string_equal((const char *)said.data, "[there-is-no-such-program is not there]\n");
	buf_done(&said);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_outputs_and_the_end_are_told),
		cmocka_unit_test(what_hangs_or_floods_is_ended),
		cmocka_unit_test(what_is_not_there_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
