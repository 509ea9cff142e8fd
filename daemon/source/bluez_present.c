/*
 *	no bus (tried every `retry`) --> asking NameHasOwner --> here <--> not here
 *	      ^                                  |                 |          |
 *	      +--------- the bus went away ------+-----------------+----------+
 *
 * The match for NameOwnerChanged is installed before the question is asked, so that no change falls
 * between the two. While the bus restarts nothing is told: bluetoothd ends with it, or comes back
 * with it.
 */
#include "source/bluez_present.h"

#include "util/clock.h"

#include <systemd/sd-bus.h>

#define NAME "org.bluez"
#define BUS  "org.freedesktop.DBus"
#define PATH "/org/freedesktop/DBus"

struct bluez_present {
	sd_event *event;
	usec_t retry;
	bluez_present_told told;
	void *userdata;
	sd_bus *bus;
	sd_event_source *timer;
	bool known, present;
};

static void learn(struct bluez_present *p, bool present)
{
	if (p->known && p->present == present)
		return;
	p->known = true;
	p->present = present;
	p->told(p->userdata, present);
}

static void let_go(struct bluez_present *p)
{
	p->bus = sd_bus_close_unref(p->bus);
	/* The timer exists and takes any time: setting it cannot fail. */
	(void)sd_event_source_set_time(p->timer, clock_boot_usec() + p->retry);
	(void)sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bluez_present *p = userdata;
	int present;

	if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "b", &present) < 0) {
		let_go(p);
		return 0;
	}
	learn(p, present);
	return 0;
}

/* name, old owner, new owner ("": none) */
static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *name, *before, *after;

	if (sd_bus_message_read(m, "sss", &name, &before, &after) >= 0 && streq(name, NAME))
		learn(userdata, after[0] != '\0');
	return 0;
}

static int on_gone(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	let_go(userdata);
	return 0;
}

static int ask(struct bluez_present *p)
{
	int r = sd_bus_open_system(&p->bus);

	if (r >= 0)
		r = sd_bus_attach_event(p->bus, p->event, SD_EVENT_PRIORITY_NORMAL);
	if (r >= 0)
		r = sd_bus_match_signal_async(p->bus, NULL, "org.freedesktop.DBus.Local",
					      "/org/freedesktop/DBus/Local",
					      "org.freedesktop.DBus.Local", "Disconnected", on_gone,
					      NULL, p);
	if (r >= 0)
		r = sd_bus_add_match_async(p->bus, NULL,
					   "type='signal',sender='" BUS "',path='" PATH
					   "',member='NameOwnerChanged',arg0='" NAME "'",
					   on_owner, NULL, p);
	if (r >= 0)
		r = sd_bus_call_method_async(p->bus, NULL, BUS, PATH, BUS, "NameHasOwner",
					     on_answer, p, "s", NAME);
	return r;
}

static int on_timer(sd_event_source *source, uint64_t at, void *userdata)
{
	struct bluez_present *p = userdata;

	if (ask(p) < 0) {
		let_go(p);
		learn(p, false);
	}
	return 0;
}

struct bluez_present *bluez_present_free(struct bluez_present *p)
{
	if (!p)
		return NULL;
	sd_bus_close_unref(p->bus);
	sd_event_source_disable_unref(p->timer);
	sd_event_unref(p->event);
	free(p);
	return NULL;
}

int bluez_present_new(sd_event *event, usec_t retry, bluez_present_told told, void *userdata,
		      struct bluez_present **ret)
{
	_cleanup_(bluez_present_freep) struct bluez_present *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	*p = (struct bluez_present){.retry = retry, .told = told, .userdata = userdata};
	p->event = sd_event_ref(event);
	r = sd_event_add_time(event, &p->timer, CLOCK_BOOTTIME, 0, USEC_PER_MSEC, on_timer, p);
	if (r < 0)
		return r;
	*ret = TAKE(p);
	return 0;
}
