/*
 * A logind, as far as vitald knows one, on the bus that DBUS_SYSTEM_BUS_ADDRESS names. Each line of
 * the standard input is a command, answered by the same line when it is done:
 *
 *	ready   somebody holds a lock
 *	sleep   PrepareForSleep(true), and nobody holds it any more: the machine would sleep now
 *	wake    PrepareForSleep(false), and somebody holds another one
 */
#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

enum { WAIT_US = 20000 };

static int lock = -1; /* our end of the one that was given last */

static bool is_locked(void)
{
	struct pollfd p = {.fd = lock, .events = POLLIN};

	return lock >= 0 && poll(&p, 1, 0) == 0;
}

static int on_inhibit(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	int fds[2], r;

	r = pipe2(fds, O_CLOEXEC);
	assert(r == 0);
	if (lock >= 0)
		(void)close(lock); /* nobody reads it */
	lock = fds[0];
	r = sd_bus_reply_method_return(m, "h", fds[1]);
	(void)close(fds[1]); /* the message has its own */
	return r;
}

static const sd_bus_vtable manager[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Inhibit", "ssss", "h", on_inhibit, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_SIGNAL("PrepareForSleep", "b", 0),
	SD_BUS_VTABLE_END,
};

static void wait_until(sd_bus *bus, bool locked)
{
	while (is_locked() != locked) {
		int r = sd_bus_process(bus, NULL);

		assert(r >= 0);
		if (r == 0)
			(void)sd_bus_wait(bus, WAIT_US); /* looked at again in any case */
	}
}

static void say(sd_bus *bus, bool begins)
{
	int r = sd_bus_emit_signal(bus, "/org/freedesktop/login1", "org.freedesktop.login1.Manager",
				   "PrepareForSleep", "b", (int)begins);

	assert(r >= 0);
}

int main(void)
{
	sd_bus *bus = NULL;
	char line[16];
	int r;

	r = sd_bus_open_system(&bus);
	assert(r >= 0);
	r = sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/login1",
				     "org.freedesktop.login1.Manager", manager, NULL);
	assert(r >= 0);
	r = sd_bus_request_name(bus, "org.freedesktop.login1", 0);
	assert(r >= 0);
	while (fgets(line, sizeof(line), stdin)) {
		bool sleep = strcmp(line, "sleep\n") == 0;

		if (strcmp(line, "ready\n") != 0)
			say(bus, sleep);
		wait_until(bus, !sleep);
		(void)fputs(line, stdout); /* whoever does not read it any more, ends us */
		(void)fflush(stdout);
	}
	sd_bus_flush_close_unref(bus);
	return 0;
}
