/*
 * One question on the daemon's private socket, with a deadline: a daemon that is stopped or stuck
 * accepts connections and never says a word, and whoever asks it must not become stuck as well.
 */
#include "control/ask.h"

#include "control/api.h"

#include <stdio.h>

static int connect_private(const char *runtime_dir, usec_t patience, sd_bus **ret)
{
	char address[600];
	sd_bus *bus = NULL;
	int r;

	if (snprintf(address, sizeof(address), "unix:path=%s/" CONTROL_SOCKET, runtime_dir) >=
	    (int)sizeof(address))
		return -ENAMETOOLONG;
	r = sd_bus_new(&bus);
	if (r >= 0)
		r = sd_bus_set_address(bus, address);
	if (r >= 0)
		r = sd_bus_set_method_call_timeout(bus, patience);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r < 0) {
		sd_bus_unref(bus);
		return r;
	}
	*ret = bus;
	return 0;
}

/* Through authentication, for which sd-bus alone would wait 25 s. 0: ready. */
static int wait_ready(sd_bus *bus, usec_t until)
{
	usec_t now;
	int r;

	while ((r = sd_bus_is_ready(bus)) == 0) {
		r = sd_bus_process(bus, NULL);
		if (r < 0)
			return r;
		now = clock_boot_usec();
		if (now >= until)
			return -ETIMEDOUT;
		if (r == 0)
			(void)sd_bus_wait(bus, until - now); /* process() tells what went wrong */
	}
	return r < 0 ? r : 0;
}

/* "Sync" and "Reconcile" have a switch (critical, everything) that a routine leaves off. */
static int call(sd_bus *bus, enum ask what, sd_bus_message **ret)
{
	static const char *const methods[] = {[ASK_SINKS] = "Query",
					      [ASK_SYNC] = "Sync",
					      [ASK_RECONCILE] = "Reconcile",
					      [ASK_CLEANUP] = "Cleanup"};
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *m = NULL;
	int r;

	r = sd_bus_message_new_method_call(bus, &m, NULL, CONTROL_OBJECT, CONTROL_INTERFACE,
					   methods[what]);
	if (r >= 0 && what == ASK_SINKS)
		r = sd_bus_message_append(m, "s", "sinks");
	if (r >= 0 && (what == ASK_SYNC || what == ASK_RECONCILE))
		r = sd_bus_message_append(m, "b", false);
	if (r >= 0)
		r = sd_bus_call(bus, m, 0, &error, ret);
	if (r >= 0)
		r = 0;
	else if (r == -ETIMEDOUT || r == -ECONNRESET || r == -ENOTCONN)
		r = ASK_E_SILENT;
	else
		r = ASK_E_REFUSED;
	sd_bus_error_free(&error);
	sd_bus_message_unref(m);
	return r;
}

int control_ask(const char *runtime_dir, enum ask what, usec_t patience, struct tables *ret)
{
	sd_bus_message *reply = NULL;
	sd_bus *bus = NULL;
	int r;

	r = connect_private(runtime_dir, patience, &bus);
	if (r < 0)
		return ASK_E_SILENT;
	r = wait_ready(bus, clock_boot_usec() + patience);
	if (r == 0)
		r = call(bus, what, &reply);
	if (r == 0 && tables_read(reply, ret) != 0)
		r = ASK_E_REFUSED; /* of another version, perhaps */
	sd_bus_message_unref(reply);
	sd_bus_close_unref(bus);
	return r < 0 ? ASK_E_SILENT : r;
}
