/* util/signals: what arrives is told by the loop, and ends nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/signals.h"

#include <errno.h>
#include <signal.h>

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	int *seen = userdata;

	*seen = *seen * 100 + (int)info->ssi_signo;
	return 0;
}

static void test_each_is_told(void **state)
{
	static const int watched[] = {SIGTERM, SIGUSR1};
	sd_event *event = NULL;
	int seen = 0;

	assert_true(sd_event_new(&event) >= 0);
	assert_int_equal(signals_watch(event, watched, ARRAY_SIZE(watched), on_signal, &seen), 0);
	assert_int_equal(sd_event_run(event, 0), 0);
	assert_int_equal(seen, 0);
	assert_int_equal(raise(SIGUSR1), 0);
	while (seen == 0)
		assert_true(sd_event_run(event, 1000000) > 0);
	assert_int_equal(raise(SIGTERM), 0);
	while (seen == SIGUSR1)
		assert_true(sd_event_run(event, 1000000) > 0);
	assert_int_equal(seen, SIGUSR1 * 100 + SIGTERM);
	sd_event_unref(event);
}

static void test_no_such_signal(void **state)
{
	static const int watched[] = {4711};
	sd_event *event = NULL;

	assert_true(sd_event_new(&event) >= 0);
	assert_int_equal(signals_watch(event, watched, 1, on_signal, NULL), -EINVAL);
	sd_event_unref(event);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_is_told),
		cmocka_unit_test(test_no_such_signal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
