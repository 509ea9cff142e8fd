/*
 * An adapter has two sides, each with at most one call under way:
 *
 *	power   OFF -- Powered=true --> ON        somebody switched it off: after POWER_PAUSE, again
 *	         ^                       |        rfkill: it is said, and tried every POWER_RETRY
 *	         +-- Powered=false ------+        the ladder (ladder.c) wants a power cycle
 *
 *	scan    IDLE -> FILTER -> STARTING -> ON -> STOPPING -> IDLE
 *
 * Scans are told to find low-energy devices with our services; without any filter bluetoothd 5.66
 * leaves out those that do not call themselves discoverable. While one is missed that may advertise
 * none of our services (Movesense does not), every other scan takes whoever is there. One that has gone on for SCAN_SPAN is
 * begun anew: bluetoothd tells a signal strength only when it changes, and forgets it when
 * discovery ends, so that each new scan tells who is in reach now; and scans go silent (habluetooth).
 *
 * With a controller that hangs, bluez 5.66 on Linux 6.1 (seen with a simulated one): StartDiscovery
 * fails after 2 to 4 s, or says InProgress, and StopDiscovery then says that nothing was started;
 * Powered=false fails after 2 s and takes one link down; Powered=true fails after 3 s when it was off,
 * and says yes at once when it was on. None of these leaves anything stuck, and once the controller
 * answers again all of them work at the first try. What must not be done is to end a link
 * (bluez_wearable.c).
 *
 * Calls that get no answer say nothing about who is at fault; so then bluetoothd is asked for a
 * property, which it knows without its controller.
 */
#include "source/bluez_radio.h"

#include "source/bluez_call.h"
#include "util/clock.h"
#include "util/log.h"

#include <stdio.h>

#define ADAPTER	      "org.bluez.Adapter1"
#define PROPERTIES    "org.freedesktop.DBus.Properties"
#define SCAN_TIMEOUT  (8 * USEC_PER_SEC)
#define SCAN_SPAN     (10 * USEC_PER_SEC)
#define SCAN_RETRY    (2 * USEC_PER_SEC)
#define POWER_TIMEOUT (10 * USEC_PER_SEC)
#define POWER_PAUSE   (3 * USEC_PER_SEC)
#define POWER_RETRY   (10 * USEC_PER_SEC)
#define CYCLE_PAUSE   (1 * USEC_PER_SEC)
#define PROOF_PAUSE   (2 * USEC_PER_SEC)
#define PROBE_TIMEOUT (5 * USEC_PER_SEC)

enum power { POWER_OFF, POWER_ON, POWER_SWITCHING_ON, POWER_SWITCHING_OFF, POWER_CYCLING };
enum scan { SCAN_IDLE, SCAN_FILTER, SCAN_STARTING, SCAN_ON, SCAN_STOPPING };

struct radio {
	sd_bus *bus;
	char path[OBJECTS_PATH_SIZE];
	struct profiles profiles;
	struct radio_handler handler;
	struct ladder_adapter ladder;
	unsigned episode; /* 1 << rung: told since it last worked */

	enum power power;
	sd_bus_slot *power_call;
	usec_t power_due; /* when to switch it on; USEC_INFINITY: not by itself */
	char problem[200];

	enum scan scan;
	sd_bus_slot *scan_call;
	usec_t scan_began; /* ON */
	usec_t listened;   /* how long the last one was */
	usec_t scan_due;   /* IDLE: not before; ON: when it is begun anew */
	bool wanted, wide;
	enum filter { FILTER_NONE, FILTER_SERVICES, FILTER_WIDE } filter; /* as bluetoothd has it */

	sd_bus_slot *probe;
};

const char *radio_name(const struct radio *r)
{
	const char *slash = strrchr(r->path, '/');

	return slash ? slash + 1 : r->path;
}

static void wake(struct radio *r)
{
	r->handler.wake(r->handler.userdata);
}

/* --- who is at fault? -------------------------------------------------------------------------- */

static void probe(struct radio *r, bluez_answer *answer)
{
	(void)bluez_call(r->bus, &r->probe, r->path, PROPERTIES, "Get", PROBE_TIMEOUT, answer, r,
			 "ss", ADAPTER, "Powered"); /* a bus that takes no calls ends by itself */
}

/* One that does not answer is asked until it does: it is not the adapter then. */
static int on_probe(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct radio *r = userdata;

	r->probe = sd_bus_slot_unref(r->probe);
	if (bluez_error(m, NULL) == BLUEZ_TIMEOUT)
		probe(r, on_probe);
	r->handler.answered(r->handler.userdata, !r->probe);
	return 0;
}

static void ask_daemon(struct radio *r, enum bluez_error e)
{
	if (e == BLUEZ_TIMEOUT && !r->probe)
		probe(r, on_probe);
}

/* What was asked of the adapter was not done. */
static void failed(struct radio *r, enum bluez_error e)
{
	ladder_adapter_failed(&r->ladder);
	ask_daemon(r, e);
}

/* --- scanning ---------------------------------------------------------------------------------- */

/* The bus takes no calls now: not as fast as it can refuse them. */
static void scan_unsent(struct radio *r, usec_t now)
{
	r->scan = SCAN_IDLE;
	r->scan_due = now + SCAN_RETRY;
	r->filter = FILTER_NONE;
}

static void scan_call(struct radio *r, const char *method, bluez_answer *answer, enum scan scan,
		      usec_t now)
{
	r->scan = scan;
	if (bluez_call(r->bus, &r->scan_call, r->path, ADAPTER, method, SCAN_TIMEOUT, answer, r,
		       NULL) < 0)
		scan_unsent(r, now);
}

static int on_scanning(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct radio *r = userdata;
	enum bluez_error e = bluez_error(m, NULL);
	usec_t now = clock_boot_usec();

	r->scan_call = sd_bus_slot_unref(r->scan_call);
	if (e == BLUEZ_OK || e == BLUEZ_BUSY) { /* busy: ours, from before */
		if (e == BLUEZ_OK)
			ladder_adapter_alive(&r->ladder, now);
		r->scan = SCAN_ON;
		r->scan_began = now;
		r->scan_due = now + SCAN_SPAN;
	} else {
		log_debug("%s: StartDiscovery: %s", radio_name(r), bluez_error_text(m));
		r->scan = SCAN_IDLE;
		r->scan_due = now + SCAN_RETRY;
		r->filter = FILTER_NONE;
		if (r->power == POWER_ON)
			failed(r, e);
	}
	wake(r);
	return 0;
}

static int on_scan_stopped(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct radio *r = userdata;
	enum bluez_error e = bluez_error(m, NULL);
	usec_t now = clock_boot_usec();

	r->scan_call = sd_bus_slot_unref(r->scan_call);
	r->scan = SCAN_IDLE;
	r->scan_due = 0;
	if (e == BLUEZ_OK) {
		ladder_adapter_alive(&r->ladder, now);
	} else if (r->power == POWER_ON) { /* that it was busy was not our scan, then */
		r->scan_due = now + SCAN_RETRY;
		r->filter = FILTER_NONE;
		failed(r, e);
	}
	wake(r);
	return 0;
}

static int on_filtered(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct radio *r = userdata;

	if (bluez_error(m, NULL) != BLUEZ_OK)
		return on_scanning(m, r, error);
	scan_call(r, "StartDiscovery", on_scanning, SCAN_STARTING, clock_boot_usec());
	return 0;
}

/* With nothing but a transport it would be taken for no filter: any signal strength makes it one. */
static int append_wide_filter(sd_bus_message *m)
{
	return sd_bus_message_append(m, "a{sv}", 3, "Transport", "s", "le", "DuplicateData", "b", 0,
				     "RSSI", "n", -127);
}

/* a{sv} of SetDiscoveryFilter. */
static int append_filter(const struct radio *r, sd_bus_message *m)
{
	int k = sd_bus_message_open_container(m, 'a', "{sv}");

	if (k < 0 ||
	    (k = sd_bus_message_append(m, "{sv}{sv}", "Transport", "s", "le", "DuplicateData", "b",
				       0)) < 0 ||
	    (k = sd_bus_message_open_container(m, 'e', "sv")) < 0 ||
	    (k = sd_bus_message_append(m, "s", "UUIDs")) < 0 ||
	    (k = sd_bus_message_open_container(m, 'v', "as")) < 0 ||
	    (k = sd_bus_message_open_container(m, 'a', "s")) < 0)
		return k;
	for (size_t i = 0; i < r->profiles.n; i++)
		if (r->profiles.list[i]->advertised &&
		    (k = sd_bus_message_append(m, "s", r->profiles.list[i]->service)) < 0)
			return k;
	for (int i = 0; i < 4; i++)
		if ((k = sd_bus_message_close_container(m)) < 0)
			return k;
	return 0;
}

static void set_filter(struct radio *r, enum filter filter, usec_t now)
{
	sd_bus_message *m = NULL;
	int k = sd_bus_message_new_method_call(r->bus, &m, BLUEZ_NAME, r->path, ADAPTER,
					       "SetDiscoveryFilter");

	r->scan = SCAN_FILTER;
	r->filter = filter;
	if (k >= 0)
		k = filter == FILTER_WIDE ? append_wide_filter(m) : append_filter(r, m);
	if (k >= 0)
		k = bluez_send(r->bus, &r->scan_call, m, SCAN_TIMEOUT, on_filtered, r);
	sd_bus_message_unref(m);
	if (k < 0)
		scan_unsent(r, now);
}

static void tick_scan(struct radio *r, usec_t now)
{
	bool wanted = r->wanted && radio_ready(r);
	enum filter filter =
		r->wide && r->filter == FILTER_SERVICES ? FILTER_WIDE : FILTER_SERVICES;

	if (r->scan == SCAN_ON && (!wanted || now >= r->scan_due)) {
		r->listened = now - r->scan_began;
		scan_call(r, "StopDiscovery", on_scan_stopped, SCAN_STOPPING, now);
	} else if (r->scan == SCAN_IDLE && wanted && now >= r->scan_due) {
		r->filter == filter
			? scan_call(r, "StartDiscovery", on_scanning, SCAN_STARTING, now)
			: set_filter(r, filter, now);
	}
}

/* The adapter was off: it does not scan, and has forgotten the filter. */
static void forget_scan(struct radio *r)
{
	r->scan_call = sd_bus_slot_unref(r->scan_call);
	r->scan = SCAN_IDLE;
	r->scan_due = 0;
	r->filter = FILTER_NONE;
}

/* --- power ------------------------------------------------------------------------------------- */

static void set_power(struct radio *r, bool on, bluez_answer *answer, enum power power, usec_t now)
{
	r->power = power;
	r->power_due = USEC_INFINITY;
	forget_scan(r);
	if (bluez_call(r->bus, &r->power_call, r->path, PROPERTIES, "Set", POWER_TIMEOUT, answer, r,
		       "ssv", ADAPTER, "Powered", "b", (int)on) < 0) {
		r->power = POWER_OFF; /* or on still, which radio_told() sets right */
		r->power_due = now + POWER_RETRY;
	}
}

static int on_switched_on(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct radio *r = userdata;
	enum bluez_error e = bluez_error(m, NULL);
	usec_t now = clock_boot_usec();

	r->power_call = sd_bus_slot_unref(r->power_call);
	r->problem[0] = '\0';
	if (e == BLUEZ_OK) {
		ladder_adapter_alive(&r->ladder, now);
		r->power = POWER_ON;
		wake(r);
		return 0;
	}
	r->power = POWER_OFF;
	r->power_due = now + (e == BLUEZ_BUSY ? POWER_PAUSE : POWER_RETRY);
	if (e == BLUEZ_BUSY) { /* bluetoothd has just started, and does it itself */
		wake(r);
		return 0;
	}
	if (e == BLUEZ_BLOCKED)
		(void)snprintf(r->problem, sizeof(r->problem),
			       "%.12s is switched off by rfkill: `sudo rfkill unblock bluetooth`",
			       radio_name(r));
	else
		(void)snprintf(r->problem, sizeof(r->problem),
			       "%.12s cannot be switched on (%.60s): see `systemctl status "
			       "bluetooth` and `sudo dmesg`",
			       radio_name(r), bluez_error_text(m));
	if (e != BLUEZ_BLOCKED)
		failed(r, e);
	wake(r);
	return 0;
}

static int on_switched_off(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct radio *r = userdata;

	enum bluez_error e = bluez_error(m, NULL);

	r->power_call = sd_bus_slot_unref(r->power_call);
	r->power = POWER_CYCLING;
	r->power_due = clock_boot_usec() + CYCLE_PAUSE;
	if (e != BLUEZ_OK) { /* it is on as before: to switch it on would prove nothing */
		log_debug("%s: Powered=false: %s", radio_name(r), bluez_error_text(m));
		r->power = POWER_ON;
		r->power_due = USEC_INFINITY;
		ladder_adapter_cycle_failed(&r->ladder);
		ask_daemon(r, e);
	}
	wake(r);
	return 0;
}

static void tell_rung(struct radio *r, enum rung rung)
{
	bool first = !(r->episode & 1U << rung);

	r->episode |= 1U << rung;
	r->handler.rung(r->handler.userdata, radio_name(r), rung, first,
			r->ladder.owed	  ? "the last time it could not be switched off"
			: r->ladder.stuck ? "a link over it does not end"
					  : "it does not do what it is asked");
}

static void tick_power(struct radio *r, usec_t now)
{
	enum rung rung = ladder_adapter_rung(&r->ladder, now);

	/* a cycle that is under way, or owed, may yet fail */
	if (r->episode && r->ladder.cycles == 0 && r->power == POWER_ON && !r->ladder.owed) {
		log_notice("%s works again", radio_name(r));
		r->episode = 0;
	}
	if (r->power == POWER_ON && rung != RUNG_MAX_ && !r->probe) {
		tell_rung(r, rung);
		ladder_adapter_cycled(&r->ladder, now);
		set_power(r, false, on_switched_off, POWER_SWITCHING_OFF, now);
	} else if (now >= r->power_due && (r->power == POWER_OFF || r->power == POWER_CYCLING)) {
		if (r->power == POWER_OFF && !r->problem[0])
			log_notice("%s is off: it is switched on", radio_name(r));
		set_power(r, true, on_switched_on, POWER_SWITCHING_ON, now);
	}
}

void radio_told(struct radio *r, bool powered, usec_t now)
{
	if (r->power == POWER_ON && !powered) {
		forget_scan(r);
		r->power = POWER_OFF;
		r->power_due = now + POWER_PAUSE;
	} else if (r->power == POWER_OFF && powered) {
		r->power = POWER_ON;
		r->power_due = USEC_INFINITY;
		r->problem[0] = '\0';
	}
}

/* --- the whole --------------------------------------------------------------------------------- */

const char *radio_path(const struct radio *r)
{
	return r->path;
}

struct ladder_adapter *radio_ladder(struct radio *r)
{
	return &r->ladder;
}

bool radio_ready(const struct radio *r)
{
	return r->power == POWER_ON;
}

const char *radio_problem(const struct radio *r)
{
	return r->problem[0] ? r->problem : NULL;
}

void radio_want_scan(struct radio *r, bool wanted, bool wide)
{
	r->wanted = wanted;
	r->wide = wide;
}

void radio_want_proof(struct radio *r, usec_t now)
{
	r->wanted = true;
	if (r->scan == SCAN_ON && r->ladder.alive + PROOF_PAUSE < now)
		r->scan_due = now;
}

bool radio_scanning(const struct radio *r)
{
	return r->scan != SCAN_IDLE;
}

usec_t radio_listened(const struct radio *r, usec_t now)
{
	return r->scan == SCAN_ON ? now - r->scan_began : r->listened;
}

void radio_listen_anew(struct radio *r)
{
	r->listened = 0;
}

usec_t radio_due(const struct radio *r, usec_t now)
{
	usec_t due = r->power_due;

	if (r->power == POWER_ON && !r->probe)
		due = MIN(due, ladder_adapter_due(&r->ladder, now));
	if (r->scan == SCAN_ON || (r->scan == SCAN_IDLE && r->wanted && radio_ready(r)))
		due = MIN(due, r->scan_due);
	return due;
}

void radio_tick(struct radio *r, usec_t now)
{
	tick_power(r, now);
	tick_scan(r, now);
}

struct radio *radio_free(struct radio *r)
{
	if (!r)
		return NULL;
	sd_bus_slot_unref(r->power_call);
	sd_bus_slot_unref(r->scan_call);
	sd_bus_slot_unref(r->probe);
	sd_bus_unref(r->bus);
	free(r);
	return NULL;
}

int radio_new(sd_bus *bus, const char *path, struct profiles profiles,
	      const struct radio_handler *handler, struct radio **ret)
{
	struct radio *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	*r = (struct radio){.profiles = profiles, .handler = *handler, .power = POWER_OFF};
	assert(strlen(path) < sizeof(r->path));
	memcpy(r->path, path, strlen(path) + 1);
	r->bus = sd_bus_ref(bus);
	*ret = r;
	return 0;
}
