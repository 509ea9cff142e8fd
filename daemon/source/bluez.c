/*
 * Wearables, by way of bluetoothd: one connection to the system bus, and everything on it without
 * waiting.
 *
 *	no bus -- connect --> ASKING -- GetManagedObjects --> READY -- bluetoothd gone --> ASKING
 *	  ^                     | no answer: again, later (the call starts bluetoothd)       |
 *	  +------ the bus went away: everything is lost ------------------------------------+
 *
 *	READY:  objects (bluez_objects.c)  what bluetoothd tells of, kept up to date by its signals
 *	        radios  (bluez_radio.c)    one for each adapter that the owner lets us use
 *	        wearables (bluez_wearable.c) one for each that is configured or may be enrolled
 *
 * Whatever happens only changes what is known and wakes think(), which is called once a turn of the
 * loop and decides everything: who is looked for, who connects next, whether to scan, what to tell.
 * So there is one place to read, and no callback frees what stands on the stack.
 */
#include "source/bluez_call.h"
#include "source/bluez_inside.h"
#include "util/clock.h"
#include "util/log.h"

#include <stdio.h>
#include <unistd.h>

#define MANAGER	      "org.freedesktop.DBus.ObjectManager"
#define ASK_TIMEOUT   (30 * USEC_PER_SEC) /* D-Bus gives a service 25 s to start */
#define READ_TIMEOUT  (5 * USEC_PER_SEC)  /* one that runs has nothing to do first */
#define RETRY_MIN     (250 * USEC_PER_MSEC)
#define RETRY_MAX     (15 * USEC_PER_SEC)
#define PROBLEM_GRACE (3 * USEC_PER_SEC)
#define PARTING	      (800 * USEC_PER_MSEC)

/* Why a link ended, as well as it can be known: bluez before 5.83 tells no reasons. */
static enum gap_reason reason_of(struct bluez *b, const struct objects_device *d)
{
	const struct objects_adapter *a = objects_adapter_of(b->objects, d);

	return a && a->powered ? GAP_LINK_LOSS : GAP_ADAPTER;
}

/* --- what is told --- */

static const char *problem_of(struct bluez *b)
{
	const char *problem = NULL;
	bool any = false;

	if (b->phase != PHASE_READY)
		return b->problem[0] ? b->problem : NULL;
	for (size_t i = 0; i < RADIOS_MAX; i++) {
		if (!b->radios[i])
			continue;
		any = true;
		if (radio_ready(b->radios[i]))
			return NULL;
		problem = radio_problem(b->radios[i]);
	}
	if (any)
		return problem;
	return b->config->adapter && *b->config->adapter
		       ? "the adapter that [bluetooth] names is not there: see `bluetoothctl list`"
		       : "there is no Bluetooth adapter: plug one in, or see `sudo dmesg` for why "
			 "it "
			 "is not found";
}

/* A problem that is over within PROBLEM_GRACE, as a restart of bluetoothd is, is none. */
static void tell_state(struct bluez *b, usec_t now)
{
	const char *problem = problem_of(b);
	bool fine = !problem && b->phase == PHASE_READY;

	b->trouble_since = fine ? 0 : b->trouble_since ? b->trouble_since : now;
	if (!fine && (!problem || now < b->trouble_since + PROBLEM_GRACE))
		return;
	if (b->told && fine == b->told_fine && streq(b->told_problem, problem ? problem : ""))
		return;
	b->told = true;
	b->told_fine = fine;
	(void)snprintf(b->told_problem, sizeof(b->told_problem), "%s", problem ? problem : "");
	b->handler.state(b->handler.userdata, problem);
}

/* --- coming and going of bluetoothd --- */

static void lose_all(struct bluez *b, enum gap_reason why, usec_t now)
{
	for (struct wearable *w = b->wearables; w; w = w->next) {
		wearable_blame(w, why);
		wearable_set_object(w, NULL, why, now);
	}
	for (size_t i = 0; i < RADIOS_MAX; i++)
		b->radios[i] = radio_free(b->radios[i]);
	objects_clear(b->objects);
	b->owner[0] = '\0';
}

static void retry_later(struct bluez *b, usec_t now)
{
	b->retry = now + backoff_next(&b->backoff);
	bluez_wake(b);
}

static void lose_daemon(struct bluez *b, const char *problem, usec_t now)
{
	lose_all(b, GAP_BLUETOOTHD, now);
	b->ask = sd_bus_slot_unref(b->ask);
	b->phase = PHASE_ASKING;
	(void)snprintf(b->problem, sizeof(b->problem), "%s", problem);
	retry_later(b, now);
}

static void problem_of_asking(struct bluez *b, sd_bus_message *m)
{
	const char *text = bluez_error_text(m);

	switch (bluez_error(m, NULL)) {
	case BLUEZ_DENIED:
		(void)snprintf(
			b->problem, sizeof(b->problem),
			"the system bus does not let us talk to bluetoothd: add this user to "
			"the group bluetooth, and restart vitald");
		break;
	case BLUEZ_TIMEOUT:
		(void)snprintf(
			b->problem, sizeof(b->problem),
			"bluetoothd does not answer: `sudo systemctl restart bluetooth`, or "
			"`sudo systemctl enable --now vitald-recover.path` to have that done");
		break;
	default:
		(void)snprintf(
			b->problem, sizeof(b->problem),
			"there is no bluetoothd (%.60s): is the package bluez installed? See "
			"`systemctl status bluetooth`",
			text);
	}
}

static int on_objects(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bluez *b = userdata;
	usec_t now = clock_boot_usec();
	const char *owner = sd_bus_message_get_sender(m);
	int r;

	b->ask = sd_bus_slot_unref(b->ask);
	if (bluez_error(m, NULL) != BLUEZ_OK) {
		if (bluez_error(m, NULL) == BLUEZ_TIMEOUT)
			ladder_daemon_unanswered(&b->ladder);
		problem_of_asking(b, m);
		retry_later(b, now);
		return 0;
	}
	ladder_daemon_answered(&b->ladder);
	crowd_withdraw_restart(b);
	(void)snprintf(b->owner, sizeof(b->owner), "%s", owner ? owner : "");
	r = objects_read_all(b->objects, m);
	if (r < 0)
		log_warning("bluetoothd's objects cannot all be read: %s", strerror(-r));
	if (agent_register(b->agent) < 0)
		log_warning("Wearables cannot be paired with: the bus does not take the call");
	b->phase = PHASE_READY;
	b->retry = USEC_INFINITY;
	b->problem[0] = '\0';
	backoff_reset(&b->backoff);
	bluez_wake(b);
	return 0;
}

static void ask(struct bluez *b, usec_t now)
{
	b->phase = PHASE_ASKING;
	b->retry = USEC_INFINITY;
	if (bluez_call(b->bus, &b->ask, "/", MANAGER, "GetManagedObjects",
		       b->owner[0] ? READ_TIMEOUT : ASK_TIMEOUT, on_objects, b, NULL) < 0)
		retry_later(b, now);
}

static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bluez *b = userdata;
	const char *name, *before, *after; /* "": none */
	usec_t now = clock_boot_usec();

	if (sd_bus_message_read(m, "sss", &name, &before, &after) < 0 || !streq(name, BLUEZ_NAME))
		return 0;
	if (*after && streq(after, b->owner))
		return 0;
	if (b->owner[0] || *before)
		log_notice("bluetoothd went away");
	lose_daemon(b,
		    "bluetoothd went away: it is started again; see `systemctl status bluetooth`",
		    now);
	if (*after) {
		(void)snprintf(b->owner, sizeof(b->owner), "%s", after);
		b->retry = now; /* no need to wait for one that is there */
	}
	return 0;
}

/* --- its signals --- */

static bool is_bluetoothd(void *userdata, const char *sender)
{
	const struct bluez *b = userdata;

	return b->owner[0] && streq(sender, b->owner);
}

static void take_device(struct bluez *b, struct objects_change *change, usec_t now)
{
	struct objects_device *d = change->device;
	struct radio *r = bluez_radio_of(b, d->path);

	if (r && ((change->fields & OBJECTS_FIELD_RSSI && d->rssi != 0) ||
		  (change->fields & OBJECTS_FIELD_CONNECTED && d->connected)))
		ladder_adapter_worked(radio_ladder(r), now);
	else if (r && change->fields & OBJECTS_FIELD_CONNECTED)
		ladder_adapter_alive(radio_ladder(r), now);
	if (r && change->fields & OBJECTS_FIELD_CONNECTED && !d->connected)
		ladder_adapter_ended(radio_ladder(r));
	for (struct wearable *w = b->wearables; w; w = w->next) {
		if (w->object == d)
			wearable_told(w, change->fields, reason_of(b, d), now);
		else if (change->fields & OBJECTS_FIELD_RSSI && streq(w->address, d->address))
			ladder_link_seen(&w->device.ladder, now);
	}
}

/*
 * No link survives an adapter that is off, whether or not bluetoothd signals the end of each: after
 * power cycles of a controller that hung, it did not for three of four.
 */
static void take_adapter(struct bluez *b, const struct objects_change *change, usec_t now)
{
	for (struct wearable *w = b->wearables; w; w = w->next) {
		if (!(change->fields & OBJECTS_FIELD_POWERED) || change->adapter->powered ||
		    !streq(w->last_adapter, objects_adapter_name(change->adapter)))
			continue;
		wearable_blame(w, GAP_ADAPTER);
		if (!w->object || !streq(w->adapter, w->last_adapter))
			continue;
		w->object->connected = w->object->resolved = false;
		wearable_told(w, 0, GAP_ADAPTER, now);
	}
}

static void take_value(struct bluez *b, struct objects_change *change, usec_t now)
{
	for (struct wearable *w = b->wearables; w; w = w->next)
		if (w->object == change->device && w->link)
			link_value(w->link, change->characteristic, change->value, change->size,
				   now);
}

/* Device1.Disconnected, since bluez 5.83: before or after Connected=false. */
static void take_reason(struct bluez *b, sd_bus_message *m)
{
	const struct objects_device *d = objects_device_at(b->objects, sd_bus_message_get_path(m));
	const char *reason;

	if (!d || sd_bus_message_read(m, "s", &reason) < 0 ||
	    !streq(reason, "org.bluez.Reason.Remote"))
		return;
	for (struct wearable *w = b->wearables; w; w = w->next)
		if (w->object == d)
			wearable_blame(w, GAP_DISCONNECTED);
}

static void take_gone_device(struct bluez *b, struct objects_change *change, usec_t now)
{
	for (struct wearable *w = b->wearables; w; w = w->next)
		if (w->object == change->gone_device)
			wearable_set_object(w, NULL, reason_of(b, change->gone_device), now);
}

static void take_gone_adapter(struct bluez *b, const char *path, usec_t now)
{
	struct radio *r = bluez_find_radio(b, path);

	for (struct wearable *w = b->wearables; r && w; w = w->next) {
		if (streq(w->last_adapter, radio_name(r)))
			wearable_blame(w, GAP_ADAPTER);
		if (w->object && bluez_radio_of(b, w->object->path) == r)
			wearable_set_object(w, NULL, GAP_ADAPTER, now);
	}
	for (size_t i = 0; i < RADIOS_MAX; i++)
		if (b->radios[i] && b->radios[i] == r)
			b->radios[i] = radio_free(r);
}

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *sender = sd_bus_message_get_sender(m);
	struct objects_change change = {0};
	struct bluez *b = userdata;
	usec_t now = clock_boot_usec();
	int r = 0;

	if (b->phase != PHASE_READY || !sender || !is_bluetoothd(b, sender))
		return 0;
	if (sd_bus_message_is_signal(m, MANAGER, "InterfacesAdded"))
		r = objects_added(b->objects, m, &change);
	else if (sd_bus_message_is_signal(m, MANAGER, "InterfacesRemoved"))
		r = objects_removed(b->objects, m, &change);
	else if (sd_bus_message_is_signal(m, "org.freedesktop.DBus.Properties",
					  "PropertiesChanged"))
		r = objects_changed(b->objects, m, &change);
	else if (sd_bus_message_is_signal(m, "org.bluez.Device1", "Disconnected"))
		take_reason(b, m);
	if (r < 0)
		log_debug("A signal of bluetoothd cannot be read: %s", strerror(-r));
	if (change.kind == OBJECTS_DEVICE && change.device)
		take_device(b, &change, now);
	else if (change.kind == OBJECTS_ADAPTER)
		take_adapter(b, &change, now);
	else if (change.kind == OBJECTS_VALUE && change.device)
		take_value(b, &change, now);
	else if (change.kind == OBJECTS_DEVICE_GONE)
		take_gone_device(b, &change, now);
	else if (change.kind == OBJECTS_ADAPTER_GONE)
		take_gone_adapter(b, change.gone_adapter.path, now);
	objects_change_done(&change);
	bluez_wake(b);
	return 0;
}

/* --- the bus --- */

static bool agent_wants(void *userdata, const char *path)
{
	struct bluez *b = userdata;
	const struct objects_device *d = objects_device_at(b->objects, path);
	const struct wearable *w = d ? bluez_find_wearable(b, d->address) : NULL;

	return w && w->wanted && w->device.pair != CONFIG_PAIR_NO;
}

static void close_bus(struct bluez *b)
{
	for (struct wearable *w = b->wearables; w; w = w->next)
		wearable_set_bus(w, NULL);
	b->ask = sd_bus_slot_unref(b->ask);
	b->agent = agent_free(b->agent);
	b->bus = sd_bus_close_unref(b->bus);
	b->phase = PHASE_NO_BUS;
}

static void lose_bus(struct bluez *b, const char *problem, usec_t now)
{
	lose_all(b, GAP_BLUETOOTHD, now);
	for (struct wearable *w = b->wearables; w; w = w->next)
		wearable_tell_ended(w);
	close_bus(b);
	(void)snprintf(b->problem, sizeof(b->problem), "%s", problem);
	retry_later(b, now);
}

static int on_bus_gone(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	lose_bus(userdata, "the system bus went away: see `systemctl status dbus`",
		 clock_boot_usec());
	return 0;
}

/*
 * Calls that bluetoothd never answers are counted by the bus until this connection ends, however long
 * ago we gave them up; at 128 of them (max_replies_per_connection) it takes no more.
 */
static int on_any(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bluez *b = userdata;

	if (sd_bus_message_is_method_error(m, SD_BUS_ERROR_LIMITS_EXCEEDED)) {
		b->exhausted = true;
		bluez_wake(b);
	}
	return 0;
}

static int open_bus(struct bluez *b)
{
	const struct agent_handler handler = {b, agent_wants, is_bluetoothd};
	int r = sd_bus_open_system_with_description(&b->bus, "bluez");

	if (r < 0)
		return r;
	b->exhausted = false;
	/* else the bus is closed when the loop ends, before wearables are let go */
	if ((r = sd_bus_set_close_on_exit(b->bus, false)) < 0 ||
	    (r = sd_bus_add_filter(b->bus, NULL, on_any, b)) < 0 ||
	    (r = sd_bus_match_signal_async(b->bus, NULL, "org.freedesktop.DBus.Local",
					   "/org/freedesktop/DBus/Local",
					   "org.freedesktop.DBus.Local", "Disconnected",
					   on_bus_gone, NULL, b)) < 0 ||
	    (r = sd_bus_add_match_async(b->bus, NULL,
					"type='signal',sender='org.freedesktop.DBus',"
					"member='NameOwnerChanged',arg0='" BLUEZ_NAME "'",
					on_owner, NULL, b)) < 0 ||
	    (r = sd_bus_add_match_async(b->bus, NULL, "type='signal',sender='" BLUEZ_NAME "'",
					on_signal, NULL, b)) < 0 ||
	    (r = agent_new(b->bus, &handler, &b->agent)) < 0)
		return r;
	return sd_bus_attach_event(b->bus, b->event, SD_EVENT_PRIORITY_NORMAL - 5);
}

static void try_bus(struct bluez *b, usec_t now)
{
	int r = open_bus(b);

	b->retry = USEC_INFINITY;
	if (r >= 0) {
		for (struct wearable *w = b->wearables; w; w = w->next)
			wearable_set_bus(w, b->bus);
		ask(b, now);
		return;
	}
	close_bus(b);
	(void)snprintf(b->problem, sizeof(b->problem),
		       "there is no system bus (%s): see `systemctl status dbus`", strerror(-r));
	retry_later(b, now);
}

/* --- think --- */

static bool has_links(struct bluez *b, const struct radio *r)
{
	for (const struct wearable *w = b->wearables; w; w = w->next)
		if (w->object && w->device.state != DEVICE_IDLE &&
		    bluez_radio_of(b, w->object->path) == r)
			return true;
	return false;
}

/* A radio for each adapter that there is and that may be used; or might, and has links to let go. */
static void meet_radios(struct bluez *b, usec_t now)
{
	const struct radio_handler handler = crowd_radio_handler(b);
	struct objects_adapter *adapters = objects_adapters(b->objects);

	for (size_t i = 0; i < OBJECTS_ADAPTERS_MAX; i++) {
		struct objects_adapter *a = &adapters[i];
		struct radio *r = *a->path ? bluez_find_radio(b, a->path) : NULL;

		if (*a->path && !r && crowd_takes_adapter(b, a)) {
			size_t place = 0;

			while (place < RADIOS_MAX && b->radios[place])
				place++;
			if (place < RADIOS_MAX && radio_new(b->bus, a->path, b->profiles, &handler,
							    &b->radios[place]) == 0)
				r = b->radios[place];
		} else if (r && !crowd_takes_adapter(b, a) && !has_links(b, r)) {
			take_gone_adapter(b, a->path, now);
			r = NULL;
		}
		if (r)
			radio_told(r, a->powered, now);
	}
}

static usec_t next_due(struct bluez *b, usec_t now)
{
	usec_t due = b->retry;

	for (size_t i = 0; i < RADIOS_MAX; i++)
		if (b->radios[i])
			due = MIN(due, radio_due(b->radios[i], now));
	for (struct wearable *w = b->wearables; w; w = w->next) {
		due = MIN(due, wearable_due(w));
		if (w->device.state == DEVICE_IDLE && w->object &&
		    w->device.ladder.not_before > now)
			due = MIN(due, w->device.ladder.not_before);
	}
	if (b->trouble_since && b->trouble_since + PROBLEM_GRACE > now)
		due = MIN(due, b->trouble_since + PROBLEM_GRACE);
	/* windows, and silence: often enough */
	return b->phase == PHASE_READY ? MIN(due, now + USEC_PER_SEC) : due;
}

static void think(struct bluez *b, usec_t now)
{
	if (b->bus && b->exhausted)
		lose_bus(b, "too many calls that bluetoothd did not answer: the bus is opened anew",
			 now);
	if (now >= b->retry)
		b->phase == PHASE_NO_BUS ? try_bus(b, now) : ask(b, now);
	if (ladder_daemon_restart_due(&b->ladder, false, now))
		crowd_ask_restart(b, "it does not answer", now);
	if (b->phase == PHASE_READY)
		meet_radios(b, now);
	if (b->bus && crowd_meet(b) < 0)
		log_warning("No memory for another wearable");
	crowd_take_objects(b, now);
	crowd_part(b, now);
	turns_adopt(b, now);
	for (struct wearable *w = b->wearables; w; w = w->next)
		wearable_tick(w, now);
	for (size_t i = 0; i < RADIOS_MAX; i++)
		if (b->radios[i])
			turns_give(b, b->radios[i], now);
	for (struct wearable *w = b->wearables; w; w = w->next)
		wearable_tell(w);
	tell_state(b, now);
}

static int on_timer(sd_event_source *source, uint64_t at, void *userdata)
{
	struct bluez *b = userdata;
	usec_t now = clock_boot_usec(), due;

	think(b, now);
	due = next_due(b, now);
	if (due != USEC_INFINITY && sd_event_source_get_enabled(source, NULL) == 0)
		bluez_wake_at(b, due);
	return 0;
}

/* --- the source --- */

/* One turn of the bus alone, for as long as `until`; false: it is over. */
static bool turn_bus(struct bluez *b, usec_t until)
{
	usec_t now = clock_boot_usec();
	int r = b->bus && now < until ? sd_bus_process(b->bus, NULL) : -ETIME;

	if (r == 0)
		r = sd_bus_wait(b->bus, until - now);
	return r > 0;
}

static bool all_closed(const struct bluez *b)
{
	for (const struct wearable *w = b->wearables; w; w = w->next)
		if (w->link && !link_closed(w->link))
			return false;
	return true;
}

/*
 * Wearables are told to stop what drains their batteries, and then let go; who does not answer is
 * not waited for.
 */
static void let_go(struct bluez *b)
{
	usec_t until = clock_boot_usec() + PARTING;
	uint64_t queued = 0;

	for (struct wearable *w = b->wearables; w; w = w->next)
		if (w->link)
			link_close(w->link, clock_boot_usec());
	do
		for (struct wearable *w = b->wearables; w; w = w->next)
			if (w->link)
				link_tick(w->link, clock_boot_usec());
	while (!all_closed(b) && turn_bus(b, until));
	for (struct wearable *w = b->wearables; w; w = w->next)
		wearable_part(w);
	b->phase = PHASE_NO_BUS; /* nothing that comes now means anything */
	while (b->bus && sd_bus_get_n_queued_write(b->bus, &queued) >= 0 && queued > 0 &&
	       turn_bus(b, until))
		;
}

static struct bluez *bluez_free(struct bluez *b)
{
	if (!b)
		return NULL;
	if (b->objects && b->timer)
		let_go(b);
	for (size_t i = 0; i < RADIOS_MAX; i++)
		b->radios[i] = radio_free(b->radios[i]);
	sd_event_source_disable_unref(b->timer);
	close_bus(b);
	while (b->wearables) {
		struct wearable *w = b->wearables;

		b->wearables = w->next;
		wearable_free(w);
	}
	b->objects = objects_free(b->objects);
	sd_event_unref(b->event);
	free(b);
	return NULL;
}
DEFINE_CLEANUP(struct bluez *, bluez_free)

static void free_source(struct source *source)
{
	(void)bluez_free((struct bluez *)source); /* its first member */
}

static void set_config(struct source *source, const struct config *config)
{
	struct bluez *b = (struct bluez *)source;

	b->config = config;
	bluez_wake(b);
}

static const struct source_operations operations = {.free = free_source, .set_config = set_config};

int source_bluez_new(sd_event *event, const struct config *config, struct profiles profiles,
		     const struct source_handler *handler, struct source **ret)
{
	_cleanup_(bluez_freep) struct bluez *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return -ENOMEM;
	*b = (struct bluez){.source = {&operations},
			    .config = config,
			    .profiles = profiles,
			    .handler = *handler,
			    .started = clock_boot_usec()};
	b->event = sd_event_ref(event);
	backoff_init(&b->backoff, RETRY_MIN, RETRY_MAX, (uint64_t)getpid());
	r = objects_new(profiles, crowd_keeps, b, &b->objects);
	if (r < 0)
		return r;
	/* From the loop, at once: no callback comes before the caller has its source. */
	r = sd_event_add_time(event, &b->timer, CLOCK_BOOTTIME, 0, USEC_PER_MSEC, on_timer, b);
	if (r < 0)
		return r;
	*ret = &TAKE(b)->source;
	return 0;
}
