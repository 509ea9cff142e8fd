/*
 * Holds source/bluez_present.c to a bus of its own: no bus, a bus without bluetoothd, one that comes
 * and goes (here: another connection that takes its name), and a bus that ends. Waits on sockets and
 * the retry only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "source/bluez_present.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define RETRY (5 * USEC_PER_MSEC)

struct bench {
	char dir[32], file[64], socket[64];
	pid_t daemon; /* 0: none */
	sd_event *event;
	struct bluez_present *watch;
	unsigned n_told;
	bool present;
};

static void told(void *userdata, bool present)
{
	struct bench *b = userdata;

	assert_true(b->n_told == 0 || b->present != present);
	b->n_told++;
	b->present = present;
}

static void start_bus(struct bench *b)
{
	char answer[128], print[32];
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	b->daemon = fork();
	assert_true(b->daemon >= 0);
	if (b->daemon == 0) {
		(void)snprintf(print, sizeof(print), "--print-address=%d", fds[1]);
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || fcntl(fds[1], F_SETFD, 0) < 0)
			_exit(126);
		execlp("dbus-daemon", "dbus-daemon", "--nofork", "--nopidfile", print,
		       "--config-file", b->file, NULL);
		_exit(127);
	}
	assert_int_equal(close(fds[1]), 0);
	if (read(fds[0], answer, sizeof(answer)) <= 0)
		fail_msg("dbus-daemon does not start: install the package dbus-daemon");
	assert_int_equal(close(fds[0]), 0);
}

static void stop_bus(struct bench *b)
{
	if (!b->daemon)
		return;
	assert_int_equal(kill(b->daemon, SIGTERM), 0);
	assert_int_equal(waitpid(b->daemon, NULL, 0), b->daemon);
	b->daemon = 0;
	(void)unlink(b->socket);
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	char address[96];
	FILE *f;

	assert_non_null(b);
	(void)snprintf(b->dir, sizeof(b->dir), "/tmp/test-present-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	(void)snprintf(b->file, sizeof(b->file), "%s/conf", b->dir);
	(void)snprintf(b->socket, sizeof(b->socket), "%s/bus", b->dir);
	f = fopen(b->file, "we");
	assert_non_null(f);
	assert_true(fprintf(f,
			    "<busconfig><listen>unix:path=%s</listen>"
			    "<auth>EXTERNAL</auth><policy context=\"default\">"
			    "<allow send_destination=\"*\"/><allow receive_sender=\"*\"/>"
			    "<allow own=\"*\"/><allow user=\"*\"/></policy></busconfig>\n",
			    b->socket) > 0);
	assert_int_equal(fclose(f), 0);
	(void)snprintf(address, sizeof(address), "unix:path=%s", b->socket);
	assert_int_equal(setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1), 0);
	assert_true(sd_event_new(&b->event) >= 0);
	assert_int_equal(bluez_present_new(b->event, RETRY, told, b, &b->watch), 0);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	bluez_present_free(b->watch);
	sd_event_unref(b->event);
	stop_bus(b);
	(void)unlink(b->file);
	assert_int_equal(rmdir(b->dir), 0);
	free(b);
	return 0;
}

static void until_told(struct bench *b, unsigned n, bool present)
{
	for (unsigned turns = 0; b->n_told < n; turns++) {
		assert_in_range(turns, 0, 100000);
		assert_true(sd_event_run(b->event, USEC_PER_SEC) >= 0);
	}
	assert_int_equal(b->n_told, n);
	assert_int_equal(b->present, present);
}

static sd_bus *bluetoothd(void)
{
	sd_bus *bus;

	assert_true(sd_bus_open_system(&bus) >= 0);
	assert_true(sd_bus_request_name(bus, "org.bluez", 0) >= 0);
	return bus;
}

static void without_a_bus_it_is_not_here(void **state)
{
	struct bench *b = *state;
	sd_bus *bus;

	until_told(b, 1, false);
	start_bus(b);
	bus = bluetoothd();
	until_told(b, 2, true);
	sd_bus_close_unref(bus);
	until_told(b, 3, false);
}

static void it_comes_and_goes(void **state)
{
	struct bench *b = *state;
	sd_bus *bus;

	start_bus(b);
	until_told(b, 1, false);
	bus = bluetoothd();
	until_told(b, 2, true);
	assert_true(sd_bus_release_name(bus, "org.bluez") >= 0);
	until_told(b, 3, false);
	sd_bus_close_unref(bus);
}

static void it_was_here_before(void **state)
{
	struct bench *b = *state;
	sd_bus *bus;

	start_bus(b);
	bus = bluetoothd();
	until_told(b, 1, true);
	sd_bus_close_unref(bus);
	until_told(b, 2, false);
}

static void a_bus_that_ends_takes_it_along(void **state)
{
	struct bench *b = *state;
	sd_bus *bus;

	start_bus(b);
	bus = bluetoothd();
	until_told(b, 1, true);
	stop_bus(b);
	until_told(b, 2, false); /* nothing listens there any more */
	sd_bus_close_unref(bus);
	start_bus(b);
	bus = bluetoothd();
	until_told(b, 3, true);
	sd_bus_close_unref(bus);
}

#define script(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		script(without_a_bus_it_is_not_here),
		script(it_comes_and_goes),
		script(it_was_here_before),
		script(a_bus_that_ends_takes_it_along),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
