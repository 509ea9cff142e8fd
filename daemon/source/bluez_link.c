/*
 * A session's carrier.
 *
 *	read          ReadValue
 *	write         WriteValue {type: request}
 *	subscribe     notify:   AcquireNotify: a socket   (bluez_subscription.c)
 *	              indicate: StartNotify: values come as PropertiesChanged(Value)
 *	unsubscribe   the socket is closed, or StopNotify
 *
 * What bluetoothd 5.66 does, and what this makes of it:
 * - AcquireNotify on a characteristic that can only indicate is NotSupported; StartNotify it is, then.
 * - It holds the lock of a socket that was closed a moment ago: "Notify acquired" is asked again,
 *   ACQUIRE_TRIES times. While another program has called StartNotify, AcquireNotify is InProgress
 *   for as long as that likes: after as many tries StartNotify it is, which is for everybody.
 * - Before 5.84 "Notify acquired" may also be its answer for as long as the link is up, though nobody
 *   has; then StartNotify is NotPermitted as well, and only another link helps.
 * - ReadValue tells the value by a signal as well: while a characteristic is being read, and for
 *   ECHO after that, the same bytes are not taken for an indication.
 * - When pairing fails, reads and subscriptions are never answered: each has a deadline.
 * - Its sockets end before it says that the link is gone, and also when it dies. So the end of one
 *   is told to the session ENDED_GRACE later: mostly, the session is over by then.
 *
 * The session is only ever called from the loop, and it may ask to be thrown away; so what it needs is
 * kept until link_tick(), where nobody stands on it.
 */
#include "source/bluez_link.h"

#include "source/bluez_call.h"
#include "source/bluez_subscription.h"
#include "util/clock.h"

#define CALL_TIMEOUT  (10 * USEC_PER_SEC)
#define ACQUIRE_PAUSE (200 * USEC_PER_MSEC)
#define ECHO	      (200 * USEC_PER_MSEC)
#define ENDED_GRACE   (500 * USEC_PER_MSEC)
#define GATT	      "org.bluez.GattCharacteristic1"

enum { ACQUIRE_TRIES = 5, NEED_NONE = -1 };

struct link {
	sd_event *event;
	sd_bus *bus;
	const struct objects_device *object;
	struct link_handler handler;
	struct session *session;

	/* the operation under way */
	sd_bus_slot *call;
	enum characteristic characteristic;
	bool reading;
	unsigned tries; /* of AcquireNotify */
	usec_t again;	/* when it is tried again; USEC_INFINITY: not */
	int later;	/* the result to tell from the loop; < 0: none */
	uint16_t mtu;	/* to tell with it; 0: not known */

	/* the last value read, which comes by a signal as well */
	uint8_t echo[FRAME_MAX];
	size_t n_echo;
	usec_t echo_until;

	struct subscription *subscriptions[CHARACTERISTIC_MAX_];
	bool started[CHARACTERISTIC_MAX_]; /* by StartNotify */
	usec_t ended[CHARACTERISTIC_MAX_]; /* when to tell it; 0: it has not ended */

	int need; /* enum session_need, or NEED_NONE */
	char why[120];
};

/* --- answers ----------------------------------------------------------------------------------- */

static int result_of(sd_bus_message *m, uint8_t *ret_att)
{
	switch (bluez_error(m, ret_att)) {
	case BLUEZ_OK:
	case BLUEZ_ALREADY: return 0;
	case BLUEZ_TIMEOUT: return SESSION_E_TIMEOUT;
	case BLUEZ_SECURITY:
	case BLUEZ_BOND: return SESSION_E_SECURITY;
	case BLUEZ_GONE:
	case BLUEZ_ABSENT:
	case BLUEZ_OFF: return SESSION_E_GONE;
	default: return SESSION_E_REFUSED;
	}
}

/* The operation ends with the next tick. */
static void answer_later(struct link *l, int result)
{
	l->later = result;
	l->handler.wake(l->handler.userdata);
}

/* An answer came: the session may go on, and may have a new operation when this returns. */
static void done(struct link *l, int result, uint8_t att, const uint8_t *data, size_t size)
{
	l->call = sd_bus_slot_unref(l->call);
	l->reading = false;
	if (l->mtu)
		session_set_mtu(l->session, l->mtu);
	l->mtu = 0;
	session_done(l->session, result, att, data, size, clock_boot_usec());
	l->handler.wake(l->handler.userdata);
}

static int on_done(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	uint8_t att;
	int result = result_of(m, &att);

	done(userdata, result, att, NULL, 0);
	return 0;
}

static int on_read(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct link *l = userdata;
	const void *data = NULL;
	size_t size = 0;
	uint8_t att;
	int result = result_of(m, &att);

	if (result == 0 && sd_bus_message_read_array(m, 'y', &data, &size) < 0)
		result = SESSION_E_REFUSED;
	if (result == 0 && size > 0 && size <= FRAME_MAX) {
		memcpy(l->echo, data, size);
		l->n_echo = size;
		l->echo_until = clock_boot_usec() + ECHO;
	}
	done(l, result, att, data, size);
	return 0;
}

static int on_started(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct link *l = userdata;
	uint8_t att;
	int result = result_of(m, &att);

	if (bluez_error(m, NULL) == BLUEZ_BUSY &&
	    sd_bus_message_is_method_error(m, "org.bluez.Error.NotPermitted"))
		result = SESSION_E_KEPT;
	l->started[l->characteristic] = result == 0;
	done(l, result, att, NULL, 0);
	return 0;
}

/* --- calls ------------------------------------------------------------------------------------- */

static const char *path_of(const struct link *l, enum characteristic c)
{
	return l->object->characteristics[c].path;
}

/* A call without arguments, or with an empty dictionary. */
static void call(struct link *l, enum characteristic c, const char *method, bluez_answer *answer,
		 bool options)
{
	l->characteristic = c;
	l->again = USEC_INFINITY;
	if (!path_of(l, c) || bluez_call(l->bus, &l->call, path_of(l, c), GATT, method,
					 CALL_TIMEOUT, answer, l, options ? "a{sv}" : NULL, 0) < 0)
		answer_later(l, SESSION_E_GONE);
}

static void on_value(void *userdata, enum characteristic c, const uint8_t *data, size_t size,
		     usec_t boot_us, usec_t now)
{
	struct link *l = userdata;

	session_value(l->session, c, data, size, boot_us, now);
	l->handler.wake(l->handler.userdata);
}

static void on_oversized(void *userdata, enum characteristic c, size_t size, uint16_t mtu)
{
	struct link *l = userdata;

	l->handler.oversized(l->handler.userdata, c, size, mtu);
}

static void on_ended(void *userdata, enum characteristic c)
{
	struct link *l = userdata;

	l->ended[c] = clock_boot_usec() + ENDED_GRACE;
	l->handler.wake(l->handler.userdata);
}

static int on_acquired(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const struct subscription_handler handler = {userdata, on_value, on_oversized, on_ended};
	struct link *l = userdata;
	enum characteristic c = l->characteristic;
	enum bluez_error e;
	uint8_t att;
	int fd, result = result_of(m, &att);

	e = bluez_error(m, NULL);
	if (e == BLUEZ_BUSY && ++l->tries < ACQUIRE_TRIES) {
		l->call = sd_bus_slot_unref(l->call);
		l->again = clock_boot_usec() + ACQUIRE_PAUSE;
		l->handler.wake(l->handler.userdata);
		return 0;
	}
	if (e == BLUEZ_BUSY || sd_bus_message_is_method_error(m, "org.bluez.Error.NotSupported")) {
		call(l, c, "StartNotify", on_started, false);
		return 0;
	}
	if (result == 0 &&
	    (sd_bus_message_read(m, "hq", &fd, &l->mtu) < 0 ||
	     subscription_new(l->event, fd, l->mtu, c, &handler, &l->subscriptions[c]) < 0))
		result = SESSION_E_REFUSED;
	done(l, result, att, NULL, 0);
	return 0;
}

/* --- the carrier ------------------------------------------------------------------------------- */

static unsigned carrier_properties(void *userdata, enum characteristic c)
{
	const struct link *l = userdata;

	return path_of(l, c) ? l->object->characteristics[c].properties : 0;
}

static void carrier_read(void *userdata, enum characteristic c)
{
	struct link *l = userdata;

	l->reading = true;
	call(l, c, "ReadValue", on_read, true);
}

static int write_message(const struct link *l, enum characteristic c, const uint8_t *data,
			 size_t size, sd_bus_message **ret)
{
	int r = sd_bus_message_new_method_call(l->bus, ret, BLUEZ_NAME, path_of(l, c), GATT,
					       "WriteValue");

	if (r < 0 || (r = sd_bus_message_append_array(*ret, 'y', data, size)) < 0)
		return r;
	return sd_bus_message_append(*ret, "a{sv}", 1, "type", "s",
				     l->object->characteristics[c].properties & PROPERTY_WRITE
					     ? "request"
					     : "command");
}

static void carrier_write(void *userdata, enum characteristic c, const uint8_t *data, size_t size)
{
	struct link *l = userdata;
	sd_bus_message *m = NULL;
	int r = path_of(l, c) ? write_message(l, c, data, size, &m) : -ENOENT;

	l->characteristic = c;
	if (r >= 0)
		r = bluez_send(l->bus, &l->call, m, CALL_TIMEOUT, on_done, l);
	sd_bus_message_unref(m);
	if (r < 0)
		answer_later(l, SESSION_E_GONE);
}

static void carrier_subscribe(void *userdata, enum characteristic c, bool indicate)
{
	struct link *l = userdata;

	l->tries = 0;
	l->ended[c] = 0;
	l->subscriptions[c] = subscription_free(l->subscriptions[c]);
	if (indicate)
		call(l, c, "StartNotify", on_started, false);
	else
		call(l, c, "AcquireNotify", on_acquired, true);
}

static void carrier_unsubscribe(void *userdata, enum characteristic c)
{
	struct link *l = userdata;

	l->ended[c] = 0;
	if (l->subscriptions[c]) {
		l->subscriptions[c] = subscription_free(l->subscriptions[c]);
		answer_later(l, 0);
	} else {
		l->started[c] = false;
		call(l, c, "StopNotify", on_done, false);
	}
}

/* --- the session's wishes ---------------------------------------------------------------------- */

static void on_frame(void *userdata, const struct frame *frame)
{
	struct link *l = userdata;
	struct frame f = *frame;

	f.device = l->object->address;
	l->handler.frame(l->handler.userdata, &f);
}

static void on_need(void *userdata, enum session_need need, const char *why)
{
	struct link *l = userdata;

	l->need = (int)need;
	strncpy(l->why, why, sizeof(l->why) - 1);
	l->handler.wake(l->handler.userdata);
}

static void on_rung(void *userdata, enum rung rung, const char *why)
{
	struct link *l = userdata;

	l->handler.rung(l->handler.userdata, rung, why);
}

static void on_changed(void *userdata)
{
	struct link *l = userdata;

	l->handler.changed(l->handler.userdata);
}

static void on_recorder(void *userdata, struct recorder *recorder)
{
	struct link *l = userdata;

	l->handler.recorder(l->handler.userdata, recorder);
}

/* --- the whole --------------------------------------------------------------------------------- */

struct link *link_free(struct link *l)
{
	if (!l)
		return NULL;
	l->session = session_free(l->session);
	sd_bus_slot_unref(l->call);
	for (size_t c = 0; c < CHARACTERISTIC_MAX_; c++)
		subscription_free(l->subscriptions[c]);
	sd_bus_unref(l->bus);
	sd_event_unref(l->event);
	free(l);
	return NULL;
}

int link_new(sd_event *event, sd_bus *bus, struct profiles profiles, unsigned wanted,
	     const struct objects_device *object, const struct link_handler *handler, usec_t now,
	     struct link **ret)
{
	_cleanup_(link_freep) struct link *l = calloc(1, sizeof(*l));
	struct session_carrier carrier = {.userdata = l,
					  .properties = carrier_properties,
					  .read = carrier_read,
					  .write = carrier_write,
					  .subscribe = carrier_subscribe,
					  .unsubscribe = carrier_unsubscribe};
	struct session_handler wishes = {.userdata = l,
					 .frame = on_frame,
					 .need = on_need,
					 .rung = on_rung,
					 .changed = on_changed,
					 .recorder = handler->recorder ? on_recorder : NULL};
	int r;

	if (!l)
		return -ENOMEM;
	*l = (struct link){.object = object,
			   .handler = *handler,
			   .again = USEC_INFINITY,
			   .later = -1,
			   .need = NEED_NONE};
	l->event = sd_event_ref(event);
	l->bus = sd_bus_ref(bus);
	r = session_new(profiles, wanted, &carrier, &wishes, now, &l->session);
	if (r < 0)
		return r;
	*ret = TAKE(l);
	return 0;
}

static bool is_echo(const struct link *l, enum characteristic c, const uint8_t *data, size_t size,
		    usec_t now)
{
	if (l->characteristic != c)
		return false;
	return l->reading ||
	       (now < l->echo_until && size == l->n_echo && memcmp(data, l->echo, size) == 0);
}

void link_value(struct link *l, enum characteristic c, const uint8_t *data, size_t size, usec_t now)
{
	if (!l->started[c] || is_echo(l, c, data, size, now))
		return;
	session_value(l->session, c, data, size, now, now);
	l->handler.wake(l->handler.userdata);
}

void link_battery(struct link *l, usec_t now)
{
	uint8_t percent = (uint8_t)l->object->battery;
	const struct frame f = {.device = l->object->address,
				.characteristic = CHARACTERISTIC_BATTERY_LEVEL,
				.boot_us = now,
				.read_us = now,
				.data = &percent,
				.size = 1};

	if (l->object->battery >= 0 && !path_of(l, CHARACTERISTIC_BATTERY_LEVEL))
		l->handler.frame(l->handler.userdata, &f);
}

void link_paired(struct link *l, usec_t now)
{
	session_paired(l->session, now);
}

void link_set_patience(struct link *l, unsigned doublings)
{
	session_set_patience(l->session, doublings);
}

void link_set_wanted(struct link *l, unsigned wanted, usec_t now)
{
	session_set_wanted(l->session, wanted, now);
}

void link_close(struct link *l, usec_t now)
{
	session_close(l->session, now);
}

bool link_closed(const struct link *l)
{
	return session_closed(l->session);
}

void link_drain(struct link *l)
{
	for (size_t c = 0; c < CHARACTERISTIC_MAX_; c++)
		if (l->subscriptions[c])
			subscription_drain(l->subscriptions[c]);
}

usec_t link_due(const struct link *l)
{
	usec_t due = MIN(session_due(l->session), l->again);

	for (size_t c = 0; c < CHARACTERISTIC_MAX_; c++)
		if (l->ended[c])
			due = MIN(due, l->ended[c]);
	return l->later >= 0 || l->need != NEED_NONE ? 0 : due;
}

static void tell_ended(struct link *l, usec_t now)
{
	for (int c = 0; c < CHARACTERISTIC_MAX_; c++) {
		if (l->ended[c] == 0 || now < l->ended[c])
			continue;
		l->ended[c] = 0;
		l->subscriptions[c] = subscription_free(l->subscriptions[c]);
		session_unsubscribed(l->session, (enum characteristic)c, now);
	}
}

void link_tick(struct link *l, usec_t now)
{
	int later = l->later, need;

	l->later = -1;
	if (later >= 0)
		done(l, later, 0, NULL, 0);
	if (now >= l->again)
		call(l, l->characteristic, "AcquireNotify", on_acquired, true);
	tell_ended(l, now);
	if (now >= session_due(l->session))
		session_tick(l->session, now);
	need = l->need;
	l->need = NEED_NONE;
	if (need != NEED_NONE)
		l->handler.need(l->handler.userdata, (enum session_need)need, l->why);
}

const struct session *link_session(const struct link *l)
{
	return l->session;
}
