/*
 * daemon/sleep with a logind of our own on a private bus: the lock is held while it may be needed,
 * and let go only when what has to be done before a sleep is done; a logind that is absent, late,
 * unwilling or restarted, and a bus that is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake-bus.h"
#include "sleep.h"
#include "told-time.h"
#include "util/log.h"

#include <fcntl.h>
#include <poll.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

enum { TURNS = 2000 };

struct bench {
	struct fake_bus bus;
	sd_event *event;
	sd_bus *logind;
	struct sleep *sleep;
	bool refuses;
	int lock; /* our end of the one that was given last; -1: none */
	unsigned locks, befores, afters;
	bool locked_before; /* when before() was called */
};

/* Does somebody hold the other end? */
static bool is_locked(const struct bench *b)
{
	struct pollfd p = {.fd = b->lock, .events = POLLIN};

	return b->lock >= 0 && poll(&p, 1, 0) == 0;
}

static int on_inhibit(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bench *b = userdata;
	const char *what, *who, *why, *mode;
	int fds[2], r;

	assert_true(sd_bus_message_read(m, "ssss", &what, &who, &why, &mode) >= 0);
	assert_string_equal(what, "sleep");
	assert_string_equal(who, "vitald");
	assert_string_equal(mode, "delay");
	if (b->refuses)
		return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_ACCESS_DENIED, "no");
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	if (b->lock >= 0)
		assert_int_equal(close(b->lock), 0);
	b->lock = fds[0];
	b->locks++;
	r = sd_bus_reply_method_return(m, "h", fds[1]);
	assert_int_equal(close(fds[1]), 0);
	return r;
}

static const sd_bus_vtable manager[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Inhibit", "ssss", "h", on_inhibit, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_SIGNAL("PrepareForSleep", "b", 0),
	SD_BUS_VTABLE_END,
};

static void start_logind(struct bench *b)
{
	assert_true(sd_bus_open_system(&b->logind) >= 0);
	assert_true(sd_bus_add_object_vtable(b->logind, NULL, "/org/freedesktop/login1",
					     "org.freedesktop.login1.Manager", manager, b) >= 0);
	assert_true(sd_bus_request_name(b->logind, "org.freedesktop.login1", 0) >= 0);
	assert_true(sd_bus_attach_event(b->logind, b->event, 0) >= 0);
}

static void stop_logind(struct bench *b)
{
	b->logind = sd_bus_flush_close_unref(b->logind);
}

static void on_before(void *userdata)
{
	struct bench *b = userdata;

	b->befores++;
	b->locked_before = is_locked(b);
}

static void on_after(void *userdata)
{
	struct bench *b = userdata;

	b->afters++;
}

static void begin(struct bench *b)
{
	struct sleep_handler handler = {.userdata = b, .before = on_before, .after = on_after};

	assert_int_equal(sleep_new(b->event, &handler, &b->sleep), 0);
}

/* Turns the loop, and the clock when nothing else happens. */
#define run_until(b, condition)                                    \
	do {                                                       \
		for (int turn_ = 0; !(condition); turn_++) {       \
			if (turn_ == TURNS)                        \
				fail_msg("never: %s", #condition); \
			if (sd_event_run((b)->event, 5000) == 0 && \
			    told_time_next() != USEC_INFINITY)     \
				told_time_set(told_time_next());   \
		}                                                  \
	} while (0)

/* What the bus still carries: nothing tells when an answer has come that changes nothing. */
static void let_arrive(struct bench *b)
{
	for (int i = 0; i < 20; i++)
		(void)sd_event_run(b->event, 5000);
}

static void say(struct bench *b, bool begins)
{
	assert_true(sd_bus_emit_signal(b->logind, "/org/freedesktop/login1",
				       "org.freedesktop.login1.Manager", "PrepareForSleep", "b",
				       (int)begins) >= 0);
}

static int set_up(void **state)
{
	static struct bench bench;

	log_init(LOG_TARGET_STDERR, LOG_ERR);
	bench = (struct bench){.lock = -1};
	fake_bus_start(&bench.bus);
	assert_int_equal(sd_event_new(&bench.event), 0);
	*state = &bench;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	b->sleep = sleep_free(b->sleep);
	stop_logind(b);
	if (b->lock >= 0)
		assert_int_equal(close(b->lock), 0);
	sd_event_unref(b->event);
	fake_bus_stop(&b->bus);
	return 0;
}

static void sleeps_when_all_is_done(void **state)
{
	struct bench *b = *state;

	start_logind(b);
	begin(b);
	run_until(b, is_locked(b));
	for (unsigned i = 1; i <= 3; i++) {
		say(b, true);
		run_until(b, b->befores == i);
		assert_true(b->locked_before); /* it was waited for */
		assert_false(is_locked(b));    /* and it is not any more */
		assert_int_equal(b->afters, i - 1);
		say(b, false);
		run_until(b, b->afters == i && b->locks == i + 1);
		run_until(b, is_locked(b)); /* for the next time */
	}
	b->sleep = sleep_free(b->sleep);
	run_until(b, !is_locked(b)); /* a daemon that ends keeps nobody awake */
}

static void a_logind_that_comes_later(void **state)
{
	struct bench *b = *state;

	begin(b);
	let_arrive(b);
	start_logind(b);
	run_until(b, is_locked(b));
	stop_logind(b); /* and again */
	start_logind(b);
	run_until(b, b->locks == 2 && is_locked(b));
	say(b, true);
	run_until(b, b->befores == 1);
}

static void a_logind_that_refuses(void **state)
{
	struct bench *b = *state;

	b->refuses = true;
	start_logind(b);
	begin(b);
	let_arrive(b);
	say(b, true);
	run_until(b, b->befores == 1);
	say(b, false);
	run_until(b, b->afters == 1);
	assert_int_equal(b->locks, 0);
}

static void a_bus_that_restarts(void **state)
{
	struct bench *b = *state;

	start_logind(b);
	begin(b);
	run_until(b, is_locked(b));
	let_arrive(b);
	sd_bus_close(b->logind);
	b->logind = sd_bus_unref(b->logind);
	fake_bus_stop(&b->bus);
	run_until(b, !is_locked(b));
	fake_bus_start(&b->bus);
	start_logind(b);
	run_until(b, b->locks == 2 && is_locked(b));
	say(b, true);
	run_until(b, b->befores == 1);
}

static void no_bus_at_all(void **state)
{
	struct bench *b = *state;

	fake_bus_stop(&b->bus);
	begin(b); /* no trouble */
	for (int i = 0; i < 10; i++) {
		(void)sd_event_run(b->event, 5000);
		if (told_time_next() != USEC_INFINITY)
			told_time_set(told_time_next());
	}
	fake_bus_start(&b->bus);
	start_logind(b);
	run_until(b, is_locked(b));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sleeps_when_all_is_done), TEST(a_logind_that_comes_later),
		TEST(a_logind_that_refuses),   TEST(a_bus_that_restarts),
		TEST(no_bus_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
