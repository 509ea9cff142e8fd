/*
 * The port of bluez_device.c, in D-Bus: Connect, Disconnect and Pair of org.bluez.Device1, RemoveDevice
 * of org.bluez.Adapter1, each in the one slot of the wearable, so that what is asked later cancels
 * the answer to what was asked before. Trusted=true has its own, since nobody waits for it.
 *
 * Disconnect is dangerous. Its answer comes when the controller has taken the link down; a controller
 * that hangs never says so, and until then bluetoothd 5.66 sends no other command to the kernel's
 * management socket: the adapter cannot even be switched off, for good, although the controller may
 * be well again (seen: Powered=false times out, then Busy, until bluetoothd is restarted). So a link
 * is told to end only when the adapter gave a sign of life after that was wanted.
 *
 * Why a link ended comes to light a moment after it did: bluetoothd that is being stopped first takes
 * down its links, then its adapters, then itself. So the end is told BLAME_GRACE later, with the time
 * that it had.
 *
 * bluetoothd 5.66 does not signal every change: after it was restarted, Connected=true was missing for
 * one of four wearables, whose ServicesResolved came. So what its answers mean counts as well: Connect
 * that succeeded, and Disconnect that finds no link.
 *
 * Two names for one wearable: the address, which is the key everywhere, and the path of its object,
 * which is only ever handed back to bluetoothd.
 */
#include "source/bluez_wearable.h"

#include "model/catalog.h"
#include "source/bluez_call.h"
#include "util/clock.h"
#include "util/log.h"

#include <stdio.h>

#define DEVICE		"org.bluez.Device1"
#define PROPERTIES	"org.freedesktop.DBus.Properties"
#define CONNECT_TIMEOUT (60 * USEC_PER_SEC) /* the state's own deadline is shorter */
#define CALL_TIMEOUT	(6 * USEC_PER_SEC)
#define PAIR_TIMEOUT	(30 * USEC_PER_SEC)
#define PROOF_AGE	(1 * USEC_PER_SEC)
#define PART_AGE	(5 * USEC_PER_SEC)
#define PART_WITHIN	(1 * USEC_PER_SEC)
#define BLAME_GRACE	(1500 * USEC_PER_MSEC)

static void wake(struct wearable *w)
{
	w->handler.wake(w->handler.userdata);
}

/* --- calls ------------------------------------------------------------------------------------- */

static int result_of(sd_bus_message *m)
{
	switch (bluez_error(m, NULL)) {
	case BLUEZ_OK:
	case BLUEZ_ALREADY: return 0;
	case BLUEZ_TIMEOUT: return DEVICE_E_TIMEOUT;
	case BLUEZ_BUSY: return DEVICE_E_BUSY;
	case BLUEZ_BOND:
	case BLUEZ_SECURITY: return DEVICE_E_BOND;
	default: break;
	}
	if (sd_bus_message_is_method_error(m, SD_BUS_ERROR_UNKNOWN_OBJECT) ||
	    sd_bus_message_is_method_error(m, SD_BUS_ERROR_UNKNOWN_METHOD))
		return DEVICE_E_GONE;
	return DEVICE_E_FAILED;
}

/* What bluetoothd should have signalled, and did not always. */
static void correct(struct wearable *w, bool connected, usec_t now)
{
	if (!w->object || w->object->connected == connected)
		return;
	w->object->connected = connected;
	if (!connected)
		w->object->resolved = false;
	device_told(&w->device, connected, w->object->resolved && w->settled, w->object->paired,
		    GAP_LINK_LOSS, now);
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct wearable *w = userdata;

	w->call = sd_bus_slot_unref(w->call);
	if (w->device.state == DEVICE_CONNECTING && result_of(m) == 0)
		correct(w, true, clock_boot_usec());
	else if (w->device.state == DEVICE_DROPPING && bluez_error(m, NULL) == BLUEZ_GONE)
		correct(w, false, clock_boot_usec());
	device_done(&w->device, result_of(m), bluez_error_text(m), clock_boot_usec());
	wake(w);
	return 0;
}

/* What cannot even be sent ends by the deadline of its state, or with the bus. */
static void call(struct wearable *w, const char *method, usec_t timeout)
{
	if (w->object && bluez_call(w->bus, &w->call, w->object->path, DEVICE, method, timeout,
				    on_answer, w, NULL) < 0)
		log_debug("%s: %s cannot be sent", w->address, method);
}

static void port_connect(void *userdata)
{
	call(userdata, "Connect", CONNECT_TIMEOUT);
}

static void port_disconnect(void *userdata)
{
	struct wearable *w = userdata;

	w->call = sd_bus_slot_unref(w->call);
	w->disconnects = clock_boot_usec();
}

/*
 * A link that is up is only told to end once its adapter is known to answer: see the first comment. A
 * Connect that is still pending holds nothing in the controller, and is cancelled at once.
 */
static void try_disconnect(struct wearable *w)
{
	if (w->disconnects == 0 || !w->object ||
	    (w->object->connected &&
	     w->handler.alive(w->handler.userdata, w->object->path) + PROOF_AGE < w->disconnects))
		return;
	w->disconnects = 0;
	call(w, "Disconnect", CALL_TIMEOUT);
}

/* The link may have ended before it was told to: that wish is void, whatever comes up later. */
bool wearable_wants_proof(const struct wearable *w)
{
	return w->device.state == DEVICE_DROPPING && w->disconnects > 0 && w->object &&
	       w->object->connected;
}

static int on_trusted(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct wearable *w = userdata;

	w->trust = sd_bus_slot_unref(w->trust); /* without it, it only is asked about more often */
	return 0;
}

static void port_pair(void *userdata)
{
	struct wearable *w = userdata;

	if (w->object)
		(void)bluez_call(w->bus, &w->trust, w->object->path, PROPERTIES, "Set",
				 CALL_TIMEOUT, on_trusted, w, "ssv", DEVICE, "Trusted", "b",
				 1); /* as above */
	call(w, "Pair", PAIR_TIMEOUT);
}

static void port_remove(void *userdata)
{
	struct wearable *w = userdata;
	char adapter[OBJECTS_PATH_SIZE];

	if (!w->object)
		return;
	(void)snprintf(adapter, sizeof(adapter), "%.*s",
		       (int)(strstr(w->object->path, "/dev_") - w->object->path), w->object->path);
	if (bluez_call(w->bus, &w->call, adapter, "org.bluez.Adapter1", "RemoveDevice",
		       CALL_TIMEOUT, on_answer, w, "o", w->object->path) < 0)
		log_debug("%s: RemoveDevice cannot be sent", w->address);
}

/* --- the ladder -------------------------------------------------------------------------------- */

/* Counts each, and writes the first one of an episode down: the next begins when it streams. */
static void climb(struct wearable *w, enum rung rung, const char *why)
{
	bool first = !(w->episode & 1U << rung);
	enum quota_answer may = first ? quota_take(&w->lines, clock_boot_usec()) : QUOTA_NO;
	char field[DEVICE_FIELD_SIZE];

	w->rungs[rung]++;
	w->episode |= 1U << rung;
	if (may != QUOTA_NO)
		log_event(LOG_NOTICE, CATALOG_DEVICE_RECOVERY,
			  LOG_FIELDS(device_field(w->address, field)), "%s (%s): %s: %s%s",
			  w->address, w->name, rung_name(rung), why, quota_words(may));
}

static void port_rung(void *userdata, enum rung rung, const char *why)
{
	climb(userdata, rung, why);
}

static void port_stuck(void *userdata)
{
	struct wearable *w = userdata;

	if (w->object)
		w->handler.stuck(w->handler.userdata, w->object->path);
}

/* --- the link ---------------------------------------------------------------------------------- */

static void on_frame(void *userdata, const struct frame *frame)
{
	struct wearable *w = userdata;
	struct frame f = *frame;

	f.device = w->address;
	if (f.characteristic != CHARACTERISTIC_BATTERY_LEVEL && w->object) {
		ladder_link_up(&w->device.ladder);
		w->handler.heard(w->handler.userdata, w->object->path);
	}
	if (session_spoke(link_session(w->link))) { /* what is read once is no end of a silence */
		w->episode = 0;
		ladder_link_spoke(&w->device.ladder);
	}
	w->handler.source.frame(w->handler.source.userdata, &f);
}

static void on_need(void *userdata, enum session_need need, const char *why)
{
	struct wearable *w = userdata;

	device_need(&w->device, need, why, clock_boot_usec());
}

static void on_recorder(void *userdata, struct recorder *recorder)
{
	struct wearable *w = userdata;

	w->handler.source.recorder(w->handler.source.userdata, w->address, recorder);
}

static void on_changed(void *userdata)
{
	wake(userdata);
}

static void on_oversized(void *userdata, enum characteristic c, size_t size, uint16_t mtu)
{
	struct wearable *w = userdata;
	enum quota_answer may = quota_take(&w->lines, clock_boot_usec());
	char field[DEVICE_FIELD_SIZE];

	if (may != QUOTA_NO)
		log_event(LOG_WARNING, NULL, LOG_FIELDS(device_field(w->address, field)),
			  "%s (%s): a %s of %zu bytes is longer than the MTU of %u allows: such "
			  "ones are dropped%s",
			  w->address, w->name, characteristic_name(c), size, mtu, quota_words(may));
}

void wearable_tell_ended(struct wearable *w)
{
	bool ended = w->ended;

	w->ended = false;
	w->blamed = 0;
	if (ended)
		w->handler.source.disconnected(w->handler.source.userdata, w->address, w->why_ended,
					       w->ended_at);
}

static int port_up(void *userdata)
{
	struct wearable *w = userdata;
	const struct link_handler handler = {.userdata = w,
					     .frame = on_frame,
					     .need = on_need,
					     .rung = port_rung,
					     .changed = on_changed,
					     .recorder = w->handler.source.recorder ? on_recorder
										    : NULL,
					     .oversized = on_oversized,
					     .wake = on_changed};
	usec_t now = clock_boot_usec();
	int r = link_new(w->event, w->bus, w->profiles, w->wanted, w->object, &handler, now,
			 &w->link);

	if (r < 0) {
		log_error("%s: no session: %s", w->address, strerror(-r));
		return r;
	}
	link_set_patience(w->link, w->device.ladder.mute);
	wearable_tell_ended(w);
	w->there_once = true;
	w->handler.source.connected(w->handler.source.userdata, w->address, w->name, now);
	link_battery(w->link, now);
	return 0;
}

static void port_paired(void *userdata)
{
	struct wearable *w = userdata;

	if (w->link)
		link_paired(w->link, clock_boot_usec());
}

static void port_down(void *userdata, enum gap_reason why)
{
	struct wearable *w = userdata;

	if (!w->link)
		return;
	link_drain(w->link);
	w->link = link_free(w->link);
	w->ended = true;
	w->why_ended = why == GAP_LINK_LOSS && w->blamed ? w->blamed : why;
	w->ended_at = clock_boot_usec();
	wake(w);
}

/* --- what it is told --------------------------------------------------------------------------- */

void wearable_set_bus(struct wearable *w, sd_bus *bus)
{
	w->call = sd_bus_slot_unref(w->call);
	w->trust = sd_bus_slot_unref(w->trust);
	w->settle = sd_bus_slot_unref(w->settle);
	sd_bus_unref(w->bus);
	w->bus = sd_bus_ref(bus);
}

void wearable_set_object(struct wearable *w, struct objects_device *object, enum gap_reason why,
			 usec_t now)
{
	const char *name;
	size_t size;

	if (w->object && w->object != object) {
		w->disconnects = 0;
		w->settled = false;
		w->settle = sd_bus_slot_unref(w->settle);
		w->call = sd_bus_slot_unref(w->call);
		device_lost(&w->device, why, now);
	}
	w->object = object;
	w->adapter[0] = '\0';
	if (!object)
		return;
	name = strstr(object->path, "/hci");
	size = name ? strcspn(name + 1, "/") : 0;
	if (size > 0 && size < sizeof(w->adapter)) {
		memcpy(w->adapter, name + 1, size);
		w->adapter[size] = '\0';
		memcpy(w->last_adapter, w->adapter, sizeof(w->last_adapter));
	}
	wearable_told(w, 0, why, now);
}

static int on_settled(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct wearable *w = userdata;

	w->settle = sd_bus_slot_unref(w->settle);
	w->settled = true;
	wearable_told(w, 0, GAP_LINK_LOSS, clock_boot_usec());
	wake(w);
	return 0;
}

/*
 * bluetoothd gathers what changed by object, so that ServicesResolved=true may come before the
 * characteristics that it speaks of (seen with 5.66: one of four wearables seemed to have none). It sends
 * what it has gathered before each answer; so after any question and its answer all is there.
 */
static bool has_settled(struct wearable *w)
{
	if (!w->object->resolved) {
		w->settled = false;
		w->settle = sd_bus_slot_unref(w->settle);
	} else if (!w->settled && !w->settle &&
		   bluez_call(w->bus, &w->settle, w->object->path, PROPERTIES, "Get", CALL_TIMEOUT,
			      on_settled, w, "ss", DEVICE, "ServicesResolved") < 0) {
		w->settled = true; /* the bus is going away */
	}
	return w->settled;
}

void wearable_told(struct wearable *w, unsigned fields, enum gap_reason ended, usec_t now)
{
	const struct objects_device *o = w->object;
	bool resolved = has_settled(w);

	if (o->name[0])
		memcpy(w->name, o->name, sizeof(w->name));
	if (fields & OBJECTS_FIELD_RSSI)
		ladder_link_seen(&w->device.ladder, now);
	if (o->connected && !w->device.connected)
		ladder_link_seen(&w->device.ladder, now);
	device_told(&w->device, o->connected, resolved, o->paired, ended, now);
	if (w->link && fields & OBJECTS_FIELD_BATTERY)
		link_battery(w->link, now);
}

void wearable_blame(struct wearable *w, enum gap_reason why)
{
	if (w->ended && (w->why_ended == GAP_LINK_LOSS || why == GAP_BLUETOOTHD))
		w->why_ended = why;
	else if (!w->ended)
		w->blamed = why;
}

void wearable_set_wanted(struct wearable *w, unsigned wanted, enum config_pair pair, usec_t now)
{
	bool changed = wanted != w->wanted;

	w->wanted = wanted;
	w->device.pair = pair;
	if (w->parting)
		return;
	if (changed && !wanted && w->link) { /* what drains its battery stops first */
		link_close(w->link, now);
		w->parting = now + PART_WITHIN;
		return;
	}
	device_leave(&w->device, wanted == 0, now);
	if (changed && w->link && wanted)
		link_set_wanted(w->link, wanted, now);
}

void wearable_start(struct wearable *w, usec_t now)
{
	w->tried = now;
	w->waits = NULL;
	device_start(&w->device, now);
}

/* What was closed stays closed: if it is wanted again by now, it needs another link. */
static void leave(struct wearable *w, usec_t now)
{
	w->parting = 0;
	device_leave(&w->device, true, now);
	device_leave(&w->device, w->wanted == 0, now);
	wake(w);
}

usec_t wearable_due(const struct wearable *w)
{
	usec_t due = device_due(&w->device);

	if (w->parting)
		due = MIN(due, w->parting);

	if (w->ended)
		due = MIN(due, w->ended_at + BLAME_GRACE);
	return w->link ? MIN(due, link_due(w->link)) : due;
}

void wearable_tick(struct wearable *w, usec_t now)
{
	if (w->ended && now >= w->ended_at + BLAME_GRACE)
		wearable_tell_ended(w);
	device_tick(&w->device, now);
	if (w->device.state == DEVICE_DROPPING)
		try_disconnect(w);
	if (w->link)
		link_tick(w->link, now);
	if (w->parting && (!w->link || link_closed(w->link) || now >= w->parting))
		leave(w, now);
}

/* --- what it tells ----------------------------------------------------------------------------- */

enum { WHY_SIZE = 640 }; /* as a session's, and what the link itself wants */

/* On a link that is up: what was done without, and what runs without it. */
static const char *why_of_session(const struct wearable *w, const struct session *s,
				  char text[static WHY_SIZE])
{
	const char *why = session_why(s);

	if (!w->device.why[0])
		return why;
	(void)snprintf(text, WHY_SIZE, "%s%s%s", w->device.why, why[0] ? "; " : "", why); /* cut */
	return text;
}

static const char *state_of(const struct wearable *w, char text[static WHY_SIZE],
			    const char **ret_why)
{
	const struct session *session = w->link ? link_session(w->link) : NULL;

	*ret_why = w->device.why;
	switch (w->device.state) {
	case DEVICE_CONNECTING:
	case DEVICE_RESOLVING: return "connecting";
	case DEVICE_PAIRING: *ret_why = ""; return "pairing";
	case DEVICE_DROPPING:
	case DEVICE_UNBONDING: return "disconnecting";
	case DEVICE_UP:
		*ret_why = session ? why_of_session(w, session, text) : "out of memory";
		return session && session_running(session) ? "streaming" : "starting";
	case DEVICE_IDLE: break;
	}
	if (w->hides) {
		*ret_why = "hides behind a changing address; name it in [device]";
		return "ignored";
	}
	if (w->waits) {
		*ret_why = w->waits;
		return "waiting";
	}
	if (!w->device.why[0])
		*ret_why = w->there_once || w->device.ladder.seen ? "not seen any more"
								  : "not seen since start";
	return "searching";
}

/* FNV-1a: to notice a change is enough. */
static uint64_t digest(uint64_t hash, const void *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ ((const uint8_t *)data)[i]) * UINT64_C(0x100000001b3);
	return hash;
}

void wearable_tell(struct wearable *w)
{
	struct source_device d = {.address = w->address, .name = w->name, .adapter = w->adapter};
	const char *texts[] = {NULL, NULL, NULL, w->name, w->adapter};
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	char why[WHY_SIZE];

	d.state = state_of(w, why, &d.why);
	d.offers = w->link ? session_offers(link_session(w->link)) : "";
	d.rssi = w->object ? w->object->rssi : 0;
	d.paired = w->object && w->object->paired;
	memcpy(d.rungs, w->rungs, sizeof(d.rungs));
	texts[0] = d.state;
	texts[1] = d.why;
	texts[2] = d.offers;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		hash = digest(hash, texts[i], strlen(texts[i]) + 1);
	hash = digest(hash, w->rungs, sizeof(w->rungs));
	hash = digest(hash, &d.paired, sizeof(d.paired));
	if (hash == w->told) /* signal strength alone is no news */
		return;
	w->told = hash;
	if (w->handler.source.device)
		w->handler.source.device(w->handler.source.userdata, &d);
}

/* --- the whole --------------------------------------------------------------------------------- */

void wearable_part(struct wearable *w)
{
	bool ours = w->device.session || w->device.state == DEVICE_CONNECTING ||
		    w->device.state == DEVICE_RESOLVING || w->device.state == DEVICE_PAIRING;

	if (w->link)
		link_drain(w->link); /* what came while its streams were being stopped */
	w->link = link_free(w->link);
	if (ours && w->object &&
	    w->handler.alive(w->handler.userdata, w->object->path) + PART_AGE > clock_boot_usec())
		call(w, "Disconnect", CALL_TIMEOUT);
	w->call = sd_bus_slot_unref(w->call); /* it was sent; what it answers nobody hears */
	w->trust = sd_bus_slot_unref(w->trust);
	w->settle = sd_bus_slot_unref(w->settle);
}

struct wearable *wearable_free(struct wearable *w)
{
	if (!w)
		return NULL;
	link_free(w->link);
	sd_bus_slot_unref(w->call);
	sd_bus_slot_unref(w->trust);
	sd_bus_slot_unref(w->settle);
	sd_bus_unref(w->bus);
	sd_event_unref(w->event);
	free(w);
	return NULL;
}

int wearable_new(sd_event *event, sd_bus *bus, struct profiles profiles, const char *address,
		 const struct wearable_handler *handler, struct wearable **ret)
{
	struct wearable *w = calloc(1, sizeof(*w));
	const struct device_port port = {.userdata = w,
					 .connect = port_connect,
					 .disconnect = port_disconnect,
					 .pair = port_pair,
					 .remove = port_remove,
					 .up = port_up,
					 .paired = port_paired,
					 .down = port_down,
					 .rung = port_rung,
					 .stuck = port_stuck};

	if (!w)
		return -ENOMEM;
	*w = (struct wearable){.profiles = profiles, .handler = *handler};
	device_init(&w->device, &port);
	(void)snprintf(w->address, sizeof(w->address), "%s", address); /* fits: it is one */
	w->event = sd_event_ref(event);
	w->bus = sd_bus_ref(bus);
	*ret = w;
	return 0;
}
