/*
 * Everybody that bluez.c has to do with: wearables that the config names, those that may be enrolled,
 * and the radios that they are heard over; and what is asked for when nothing else helps.
 *
 * A wearable is known by its address. bluetoothd may know it twice, over two adapters: it is reached by
 * the object that is connected, or the best heard. One that hides behind a changing address is shown
 * once, and left alone until its owner names it.
 */
#include "model/catalog.h"
#include "source/bluez_inside.h"
#include "util/clock.h"
#include "util/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

bool crowd_keeps(void *userdata, const char *address)
{
	struct bluez *b = userdata;

	return config_device_find(b->config, address) || bluez_find_wearable(b, address);
}

/* --- the ladder --- */

/* NULL: no memory. */
static char *request_path(const struct bluez *b)
{
	char *path;

	return asprintf(&path, "%s/recover", b->config->runtime_dir) < 0 ? NULL : path;
}

void crowd_withdraw_restart(const struct bluez *b)
{
	_cleanup_(freep) char *path = request_path(b);

	if (path)
		(void)unlink(path); /* mostly there is none */
}

/* A file is all that may be done without being root: vitald-recover.path sees it. */
void crowd_ask_restart(struct bluez *b, const char *why, usec_t now)
{
	bool first = ladder_daemon_restarted(&b->ladder, now);
	_cleanup_(freep) char *path = request_path(b);
	int fd;

	if (!path)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0)
		(void)close(fd); /* it is there, and has no content */
	log_event(first ? LOG_WARNING : LOG_DEBUG, CATALOG_RESTART_ASKED, NULL,
		  "bluetoothd has to be restarted: %s; %s", why,
		  fd >= 0 ? "vitald-recover.path does it, if it is enabled"
			  : "and the request could not be written");
	for (struct wearable *w = b->wearables; w; w = w->next)
		w->rungs[RUNG_RESTART] += w->configured;
}

static void on_radio_answered(void *userdata, bool yes)
{
	struct bluez *b = userdata;

	if (yes)
		ladder_daemon_answered(&b->ladder);
	else
		ladder_daemon_unanswered(&b->ladder);
	bluez_wake(b);
}

static bool is_anybody_heard(struct bluez *b, usec_t now)
{
	for (size_t i = 0; i < RADIOS_MAX; i++)
		if (b->radios[i] && ladder_adapter_hears(radio_ladder(b->radios[i]), now))
			return true;
	return false;
}

static void on_radio_rung(void *userdata, const char *adapter, enum rung rung, bool first,
			  const char *why)
{
	struct bluez *b = userdata;
	usec_t now = clock_boot_usec();

	if (rung == RUNG_RESTART && !is_anybody_heard(b, now) &&
	    ladder_daemon_restart_due(&b->ladder, true, now))
		crowd_ask_restart(b, "power cycles of the adapter did not help", now);
	log_event(first && rung == RUNG_POWER_CYCLE ? LOG_WARNING : LOG_DEBUG,
		  CATALOG_ADAPTER_CYCLED, NULL, "%s is switched off and on: %s", adapter, why);
	for (struct wearable *w = b->wearables; w; w = w->next)
		w->rungs[RUNG_POWER_CYCLE] += streq(w->adapter, adapter);
}

static void on_heard(void *userdata, const char *path)
{
	struct bluez *b = userdata;
	struct radio *r = bluez_radio_of(b, path);

	if (ladder_daemon_heard(&b->ladder))
		crowd_withdraw_restart(b);
	if (r)
		ladder_adapter_heard(radio_ladder(r), clock_boot_usec());
}

static usec_t on_alive(void *userdata, const char *path)
{
	struct radio *r = bluez_radio_of(userdata, path);

	return r ? radio_ladder(r)->alive : 0;
}

/*
 * A link does not end. bluetoothd 5.66 that knew a wearable by its own address, and meets it behind a
 * private one, has two objects of it and tells the end of the link to the wrong one: the other says
 * Connected for ever (seen in its journal: "No matching connection for device"). Then it is not the
 * adapter's fault, and the wearable goes on by its other object.
 */
static void on_stuck(void *userdata, const char *path)
{
	struct bluez *b = userdata;
	struct radio *r = bluez_radio_of(b, path);
	struct objects_device *stuck = NULL, *other = NULL;

	for (struct objects_device *d = objects_devices(b->objects); d; d = d->next)
		if (streq(d->path, path))
			stuck = d;
	for (struct objects_device *d = objects_devices(b->objects); stuck && d; d = d->next)
		if (d != stuck && d->known && !d->ghost && streq(d->address, stuck->address))
			other = d;
	if (other)
		stuck->ghost = true;
	else if (r)
		ladder_adapter_stuck(radio_ladder(r));
	bluez_wake(b);
}

/* --- wearables --- */

bool crowd_takes_adapter(const struct bluez *b, const struct objects_adapter *a)
{
	const char *wanted = b->config->adapter;

	return !wanted || !*wanted || streq(wanted, objects_adapter_name(a)) ||
	       streq(wanted, a->address);
}

static void forget(struct bluez *b, struct wearable **p)
{
	_cleanup_(wearable_freep) struct wearable *w = *p;

	*p = w->next;
	b->n_wearables--;
	wearable_tell_ended(w);
	if (b->handler.forgotten)
		b->handler.forgotten(b->handler.userdata, w->address);
}

/* Who gives way when all places are taken, first to last. */
enum rank { RANK_HIDES, RANK_AWAY, RANK_NEAR, RANK_KEPT };

static enum rank rank_of(const struct wearable *w)
{
	if (w->configured || w->ended || device_has_link(&w->device))
		return RANK_KEPT;
	if (w->hides)
		return RANK_HIDES;
	return !w->object && w->there_once ? RANK_AWAY : RANK_NEAR;
}

/* Strangers are many, change their addresses, and must not keep out who is worn, or named. */
static bool make_place(struct bluez *b, enum rank rank)
{
	struct wearable **least = NULL;

	if (b->n_wearables < WEARABLES_MAX)
		return true;
	for (struct wearable **p = &b->wearables; *p; p = &(*p)->next)
		if (rank_of(*p) < rank &&
		    (!least || rank_of(*p) < rank_of(*least) ||
		     (rank_of(*p) == rank_of(*least) && (*p)->tried < (*least)->tried)))
			least = p;
	if (least)
		forget(b, least);
	return least != NULL;
}

/* NULL in *ret: there is no place for it. */
static int make_wearable(struct bluez *b, const char *address, enum rank rank,
			 struct wearable **ret)
{
	const struct wearable_handler handler = {.userdata = b,
						 .wake = bluez_wake,
						 .heard = on_heard,
						 .alive = on_alive,
						 .stuck = on_stuck,
						 .source = b->handler};
	struct wearable *w = NULL;
	int r;

	*ret = bluez_find_wearable(b, address);
	if (*ret || !make_place(b, rank))
		return 0;
	r = wearable_new(b->event, b->bus, b->profiles, address, &handler, &w);
	if (r < 0)
		return r;
	w->next = b->wearables;
	b->wearables = w;
	b->n_wearables++;
	w->configured = rank == RANK_KEPT;
	w->hides = rank == RANK_HIDES;
	*ret = w;
	return 0;
}

static uint64_t enrolling_services(const struct bluez *b)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < b->profiles.n && i < 64; i++)
		if (b->profiles.list[i]->enrolls)
			mask |= UINT64_C(1) << i;
	return mask;
}

/* Everybody that the config names, and everybody in reach that may be enrolled. */
int crowd_meet(struct bluez *b)
{
	uint64_t enrolls = enrolling_services(b);
	struct wearable *w;
	bool hides;
	int r = 0;

	for (size_t i = 0; i < b->config->n_devices && r >= 0; i++)
		r = make_wearable(b, b->config->devices[i].address, RANK_KEPT, &w);
	if (!b->config->auto_enroll)
		return r;
	for (struct objects_device *d = objects_devices(b->objects); d && r >= 0; d = d->next) {
		if (!d->known || !(d->offers & enrolls) || (d->rssi == 0 && !d->connected))
			continue;
		hides = objects_device_hides(d) && !config_device_find(b->config, d->address);
		r = make_wearable(b, d->address, hides ? RANK_HIDES : RANK_NEAR, &w);
		/* Once is enough: on the way to its identity, its type may come before its address. */
		if (r >= 0 && w)
			w->hides |= hides;
	}
	return r;
}

/* It hangs on an adapter that there is, and that the owner lets us use (still). */
static bool is_usable(struct bluez *b, const struct objects_device *d)
{
	const struct objects_adapter *a = d ? objects_adapter_of(b->objects, d) : NULL;

	return a && crowd_takes_adapter(b, a) && bluez_radio_of(b, d->path);
}

static void take_config(struct bluez *b, struct wearable *w, usec_t now)
{
	const struct config_device *c = config_device_find(b->config, w->address);
	unsigned wanted = 0;

	w->configured = c != NULL;
	if (c)
		w->hides = false;
	w->yields = w->yields && w->device.state != DEVICE_IDLE && !c;
	if (!w->hides && !w->yields && (w->device.state == DEVICE_IDLE || is_usable(b, w->object)))
		wanted = source_wanted(b->config, w->address);
	wearable_set_wanted(w, wanted, c ? c->pair : CONFIG_PAIR_AUTO, now);
}

/* Who is neither named nor enrolled any more goes, once its link is down. */
void crowd_part(struct bluez *b, usec_t now)
{
	for (struct wearable **p = &b->wearables; *p;) {
		struct wearable *w = *p;

		take_config(b, w, now);
		if (!w->configured && w->device.state == DEVICE_IDLE &&
		    (!b->config->auto_enroll || (!w->object && !w->there_once)))
			forget(b, p);
		else
			p = &w->next;
	}
}

/* Of the objects of one wearable, on several adapters: the connected, or the best heard. */
static struct objects_device *best_object(struct bluez *b, const struct wearable *w)
{
	struct objects_device *best = NULL;

	for (struct objects_device *d = objects_devices(b->objects); d; d = d->next) {
		if (!d->known || d->ghost || !streq(d->address, w->address) || !is_usable(b, d))
			continue;
		if (!best || d->connected > best->connected ||
		    (d->connected == best->connected && d->rssi != 0 &&
		     (best->rssi == 0 || d->rssi > best->rssi)))
			best = d;
	}
	return best;
}

void crowd_take_objects(struct bluez *b, usec_t now)
{
	for (struct wearable *w = b->wearables; w; w = w->next) {
		struct objects_device *d;

		if (w->object && !w->object->ghost &&
		    (w->device.state != DEVICE_IDLE || w->object->connected))
			continue;
		d = best_object(b, w);
		if (d != w->object)
			wearable_set_object(w, d, GAP_LINK_LOSS, now);
		if (d && d->rssi != 0 && w->device.ladder.seen == 0)
			ladder_link_seen(&w->device.ladder, now);
	}
}

struct radio_handler crowd_radio_handler(struct bluez *b)
{
	return (struct radio_handler){b, bluez_wake, on_radio_answered, on_radio_rung};
}
