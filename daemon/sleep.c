/*
 * logind's protocol (org.freedesktop.login1(5), systemd's "Inhibitor Locks"):
 *
 *	Inhibit("sleep", who, why, "delay") -> a descriptor. As long as it is open the machine waits
 *	                                       with going to sleep, five seconds at most
 *	PrepareForSleep(true)               -> before(), close the descriptor
 *	PrepareForSleep(false)              -> after(), ask for another one
 *
 * What was heard and is not on the card lies in the tail, on a tmpfs, which survives a suspend; but
 * a battery that runs empty meanwhile takes it. So it is committed before.
 *
 * The bus may be missing, restart or come later, and so may logind: each time it appears the lock
 * is asked for. It is not started for that. Where it is refused (a policy) the signal comes all the
 * same, and a commit takes milliseconds.
 */
#include "sleep.h"

#include "util/backoff.h"
#include "util/clock.h"
#include "util/log.h"

#include <fcntl.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define LOGIND	       "org.freedesktop.login1"
#define LOGIND_PATH    "/org/freedesktop/login1"
#define LOGIND_MANAGER "org.freedesktop.login1.Manager"
#define RETRY_MIN      (2 * USEC_PER_SEC)
#define RETRY_MAX      (300 * USEC_PER_SEC)

struct sleep {
	sd_event *event;
	struct sleep_handler handler;
	sd_bus *bus;
	sd_event_source *retry;
	struct backoff backoff;
	int lock; /* -1: none */
};

static int connect_bus(struct sleep *s);

static void unlock(struct sleep *s)
{
	if (s->lock >= 0)
		(void)close(s->lock); /* that is all it is for */
	s->lock = -1;
}

struct sleep *sleep_free(struct sleep *s)
{
	if (!s)
		return NULL;
	unlock(s);
	s->bus = sd_bus_close_unref(s->bus);
	sd_event_source_disable_unref(s->retry);
	sd_event_unref(s->event);
	free(s);
	return NULL;
}

static int on_lock(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct sleep *s = userdata;
	int fd;

	if (sd_bus_message_is_method_error(m, NULL)) {
		log_debug("logind gives no lock: %s", sd_bus_message_get_error(m)->message);
		return 0;
	}
	unlock(s);
	if (sd_bus_message_read(m, "h", &fd) >= 0) /* the message closes its own */
		s->lock = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return 0;
}

static int lock(struct sleep *s)
{
	sd_bus_message *m = NULL;
	int r;

	r = sd_bus_message_new_method_call(s->bus, &m, LOGIND, LOGIND_PATH, LOGIND_MANAGER,
					   "Inhibit");
	if (r >= 0)
		r = sd_bus_message_set_auto_start(m, false);
	if (r >= 0)
		r = sd_bus_message_append(m, "ssss", "sleep", "vitald",
					  "What was heard is written to the disk", "delay");
	if (r >= 0)
		r = sd_bus_call_async(s->bus, NULL, m, on_lock, s, 0);
	sd_bus_message_unref(m);
	return r;
}

static int on_prepare(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct sleep *s = userdata;
	int begins;

	if (sd_bus_message_read(m, "b", &begins) < 0)
		return 0;
	if (begins) {
		log_info("The machine goes to sleep");
		s->handler.before(s->handler.userdata);
		unlock(s);
		return 0;
	}
	log_info("The machine is awake again");
	(void)lock(s); /* without it the next sleep does not wait for us */
	s->handler.after(s->handler.userdata);
	return 0;
}

static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct sleep *s = userdata;
	const char *name, *before, *after;

	if (sd_bus_message_read(m, "sss", &name, &before, &after) >= 0 && after[0])
		(void)lock(s); /* as above */
	return 0;
}

static void lose_bus(struct sleep *s)
{
	s->bus = sd_bus_close_unref(s->bus);
	unlock(s);
	if (sd_event_source_set_time_relative(s->retry, backoff_next(&s->backoff)) < 0 ||
	    sd_event_source_set_enabled(s->retry, SD_EVENT_ONESHOT) < 0)
		log_error("The timer for the system bus cannot be set");
}

static int on_gone(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	lose_bus(userdata);
	return 0;
}

static int on_retry(sd_event_source *source, uint64_t at, void *userdata)
{
	struct sleep *s = userdata;

	if (connect_bus(s) < 0)
		lose_bus(s);
	return 0;
}

static int on_connected(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct sleep *s = userdata;

	backoff_reset(&s->backoff);
	return 0;
}

static int connect_bus(struct sleep *s)
{
	int r = sd_bus_open_system_with_description(&s->bus, "sleep");

	if (r >= 0)
		r = sd_bus_match_signal_async(s->bus, NULL, LOGIND, LOGIND_PATH, LOGIND_MANAGER,
					      "PrepareForSleep", on_prepare, on_connected, s);
	if (r >= 0)
		r = sd_bus_add_match_async(s->bus, NULL,
					   "type='signal',sender='org.freedesktop.DBus',"
					   "member='NameOwnerChanged',arg0='" LOGIND "'",
					   on_owner, NULL, s);
	if (r >= 0)
		r = sd_bus_match_signal_async(s->bus, NULL, "org.freedesktop.DBus.Local",
					      "/org/freedesktop/DBus/Local",
					      "org.freedesktop.DBus.Local", "Disconnected", on_gone,
					      NULL, s);
	if (r >= 0)
		r = sd_bus_attach_event(s->bus, s->event, SD_EVENT_PRIORITY_NORMAL);
	return r < 0 ? r : lock(s);
}

int sleep_new(sd_event *event, const struct sleep_handler *handler, struct sleep **ret)
{
	_cleanup_(sleep_freep) struct sleep *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->event = sd_event_ref(event);
	s->handler = *handler;
	s->lock = -1;
	backoff_init(&s->backoff, RETRY_MIN, RETRY_MAX, clock_boot_usec());
	r = sd_event_add_time(event, &s->retry, CLOCK_BOOTTIME, 0, USEC_PER_SEC, on_retry, s);
	if (r >= 0)
		r = sd_event_source_set_enabled(s->retry, SD_EVENT_OFF);
	if (r < 0)
		return r;
	if (connect_bus(s) < 0)
		lose_bus(s);
	*ret = TAKE(s);
	return 0;
}
