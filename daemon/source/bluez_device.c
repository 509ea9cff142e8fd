/*
 * One wearable.
 *
 *                     turn                    Connect: yes              ServicesResolved
 *	IDLE ------------------> CONNECTING ----------------> RESOLVING ------------------> UP
 *	 ^ ^  link was up already:  |  | no, or too late         |   | pair = yes, or the    | |
 *	 | |  straight to RESOLVING |  |                         |   | bond was removed      | |
 *	 | |                        |  v                         |   v                       | |
 *	 | +-- Connected=false -- DROPPING <---------------------+  PAIRING -- Pair: yes ----> |
 *	 |     (8 s: stuck)         ^  ^   too late, or refused       | no                     |
 *	 |                          |  +------------------------------+                        |
 *	 |                          +---- the session needs a new link ------------------------+
 *	 +-- UNBONDING <- the bond seems lost                Connected=false: IDLE, from anywhere
 *
 * What bluetoothd 5.66 does, and what this makes of it:
 * - Connect to a wearable that is not there does not return within 40 s; Disconnect cancels it.
 * - Connect returns when the link is up, services follow. A wearable that is bonded and has lost
 *   its key: Connect says yes, encryption fails, the link drops, ServicesResolved never comes.
 *   That happens twice in a row, then the bond is removed (ladder.c).
 * - Disconnect answers at once and the link stays up for 2 s. One that is still up after DROP_WITHIN
 *   is told again (that it is down may not have been signalled), and the second time the adapter is
 *   suspected: its controller does not answer.
 * - Pairing that fails may leave calls without an answer, ours has a deadline of its own.
 */
#include "source/bluez_device.h"

#include <stdio.h>

#define RESOLVE_WITHIN (20 * USEC_PER_SEC)
#define PAIR_WITHIN    (20 * USEC_PER_SEC)
#define REMOVE_WITHIN  (5 * USEC_PER_SEC)
#define PAIR_PAUSE     (600 * USEC_PER_SEC)
#define RENEW_PAUSE    (3600 * USEC_PER_SEC)
#define DROP_WITHIN    (4 * USEC_PER_SEC)

enum { BUSY_MAX = 3, PAIRINGS_MAX = 2, DROPS_STUCK = 2 };

static void enter(struct device *d, enum device_state state, usec_t deadline)
{
	d->state = state;
	d->deadline = deadline;
}

static void say(struct device *d, const char *why)
{
	(void)snprintf(d->why, sizeof(d->why), "%s", why); /* cut: it is for people */
}

static void session_end(struct device *d, enum gap_reason why)
{
	bool session = d->session;

	d->session = false;
	if (session)
		d->port.down(d->port.userdata, why);
}

static void drop(struct device *d, usec_t now)
{
	d->drops = d->state == DEVICE_DROPPING ? d->drops + 1 : 0;
	enter(d, DEVICE_DROPPING, now + DROP_WITHIN);
	d->port.disconnect(d->port.userdata);
}

/* The link came up, and nothing more: if it is bonded, the bond is suspected. */
static void failed(struct device *d, bool broken, const char *why, usec_t now)
{
	say(d, why);
	ladder_link_failed(&d->ladder, broken && d->bonded, now);
	session_end(d, GAP_LINK_LOSS);
	if (d->connected || d->state == DEVICE_CONNECTING)
		drop(d, now);
	else
		enter(d, DEVICE_IDLE, USEC_INFINITY);
}

static void begin_session(struct device *d, usec_t now)
{
	enter(d, DEVICE_UP, USEC_INFINITY);
	say(d, "");
	if (d->session) {
		d->port.paired(d->port.userdata);
		return;
	}
	d->session = true;
	if (d->port.up(d->port.userdata) >= 0)
		return;
	d->session = false;
	failed(d, false, "this machine has no memory for it", now);
}

static void begin_pairing(struct device *d, usec_t now)
{
	enter(d, DEVICE_PAIRING, now + PAIR_WITHIN);
	d->port.pair(d->port.userdata);
}

static void resolved(struct device *d, usec_t now)
{
	bool unbonded = d->repair && !d->bonded && d->pair == CONFIG_PAIR_NO;

	d->busy = 0;
	if (unbonded)
		d->repair = false;
	if (!d->bonded && (d->repair || d->pair == CONFIG_PAIR_YES))
		begin_pairing(d, now);
	else
		begin_session(d, now);
	if (unbonded && d->session)
		say(d, "it had forgotten its bond, and is not paired again: pair = no");
}

void device_init(struct device *d, const struct device_port *port)
{
	*d = (struct device){.port = *port, .deadline = USEC_INFINITY};
}

void device_start(struct device *d, usec_t now)
{
	if (ladder_link_unbond_due(&d->ladder, now)) {
		ladder_link_unbonded(&d->ladder, now);
		enter(d, DEVICE_UNBONDING, now + REMOVE_WITHIN);
		d->port.rung(d->port.userdata, RUNG_UNBOND,
			     "it seems to have forgotten that it is paired with this hub");
		d->port.remove(d->port.userdata);
	} else if (d->connected) {
		enter(d, DEVICE_RESOLVING, now + RESOLVE_WITHIN);
		if (d->resolved)
			resolved(d, now);
	} else {
		d->came_up = false;
		enter(d, DEVICE_CONNECTING, now + ladder_link_patience(&d->ladder, now));
		d->port.connect(d->port.userdata);
	}
}

static void connect_done(struct device *d, int result, const char *why, usec_t now)
{
	if (result == 0) {
		d->busy = 0;
		enter(d, DEVICE_RESOLVING, now + RESOLVE_WITHIN);
		if (d->resolved)
			resolved(d, now);
	} else if (result == DEVICE_E_BUSY && ++d->busy < BUSY_MAX) {
		/* patience first; to call Disconnect would cancel what is under way */
		say(d, why);
		ladder_link_failed(&d->ladder, false, now);
		enter(d, DEVICE_IDLE, USEC_INFINITY);
	} else if (result == DEVICE_E_GONE) {
		device_lost(d, GAP_LINK_LOSS, now);
		ladder_link_failed(&d->ladder, false, now); /* else it would be asked at once */
	} else {
		d->busy = 0;
		/* of a key that is not known any more the link may die before Connect answers */
		failed(d, result == DEVICE_E_BOND || d->came_up, why, now);
	}
}

/*
 * Maybe by chance; but from the second time on the streams that need no bond count for more: the link
 * stays if it can, and is not asked to pair for a while.
 */
static bool pairing_is_left(struct device *d, usec_t now)
{
	if (++d->pairings < PAIRINGS_MAX)
		return false;
	d->repair = false;
	d->pair_after = now + PAIR_PAUSE;
	return true;
}

static void pair_done(struct device *d, int result, const char *why, usec_t now)
{
	char text[120];

	if (result == 0) {
		d->repair = false;
		d->pairings = 0;
		begin_session(d, now);
		return;
	}
	(void)snprintf(text, sizeof(text), "pairing failed: %s", why); /* cut */
	if (pairing_is_left(d, now) && d->session)
		begin_session(d, now);
	else
		failed(d, false, text, now);
}

void device_done(struct device *d, int result, const char *why, usec_t now)
{
	if (d->state == DEVICE_CONNECTING) {
		connect_done(d, result, why, now);
	} else if (d->state == DEVICE_PAIRING) {
		pair_done(d, result, why, now);
	} else if (d->state == DEVICE_UNBONDING) {
		d->repair = true;
		enter(d, DEVICE_IDLE, USEC_INFINITY);
	} else if (d->state == DEVICE_DROPPING && !d->connected) {
		enter(d, DEVICE_IDLE, USEC_INFINITY); /* a pending Connect was cancelled */
	}
}

static void link_ended(struct device *d, enum gap_reason why, usec_t now)
{
	switch (d->state) {
	case DEVICE_UP:
	case DEVICE_PAIRING:
		if (d->state == DEVICE_PAIRING)
			(void)pairing_is_left(d, now); /* what is left of the link is nothing */
		enter(d, DEVICE_IDLE, USEC_INFINITY);
		if (!d->session) {
			failed(d, false, "the link was lost while pairing", now);
			break;
		}
		ladder_link_lost(&d->ladder, now);
		session_end(d, why);
		break;
	case DEVICE_RESOLVING:
		enter(d, DEVICE_IDLE, USEC_INFINITY);
		failed(d, true, "the link was lost before its services were read", now);
		break;
	case DEVICE_DROPPING: enter(d, DEVICE_IDLE, USEC_INFINITY); break;
	case DEVICE_IDLE:
	case DEVICE_CONNECTING: /* Connect will answer */
	case DEVICE_UNBONDING: break;
	}
}

void device_told(struct device *d, bool connected, bool is_resolved, bool bonded,
		 enum gap_reason why, usec_t now)
{
	bool ended = d->connected && !connected;

	d->connected = connected;
	d->came_up = d->came_up || connected;
	d->resolved = is_resolved;
	d->bonded = bonded;
	if (ended)
		link_ended(d, why, now);
	else if (connected && is_resolved &&
		 (d->state == DEVICE_RESOLVING || d->state == DEVICE_CONNECTING))
		resolved(d, now);
}

/* Once: if that did not help, what can be heard counts for more. */
static void renew_link(struct device *d, const char *why, usec_t now)
{
	if (d->link_renewed && now < d->link_renewed + RENEW_PAUSE)
		return;
	d->link_renewed = now;
	d->port.rung(d->port.userdata, RUNG_RECONNECT, why);
	say(d, why);
	session_end(d, GAP_BLUETOOTHD);
	ladder_link_lost(&d->ladder, now);
	drop(d, now);
}

void device_need(struct device *d, enum session_need need, const char *why, usec_t now)
{
	if (d->state != DEVICE_UP)
		return;
	if (need == SESSION_NEED_PAIRING &&
	    (d->pair == CONFIG_PAIR_NO || now < d->pair_after ||
	     (d->bonded && d->renewed && now < d->renewed + RENEW_PAUSE))) {
		if (d->pair == CONFIG_PAIR_NO)
			say(d, "it wants to be paired, and pair = no");
		d->port.paired(d->port.userdata); /* it goes on with what is open to it */
	} else if (need == SESSION_NEED_PAIRING && d->bonded) {
		/* encrypted already, and not good enough: only a new bond can be */
		d->renewed = now;
		d->ladder.broken = UINT16_MAX;
		session_end(d, GAP_LINK_LOSS);
		failed(d, true, "it refuses the bond that it has with this hub", now);
	} else if (need == SESSION_NEED_PAIRING) {
		begin_pairing(d, now);
	} else if (need == SESSION_NEED_RENEW) {
		renew_link(d, why, now);
	} else {
		bool gone = need == SESSION_NEED_END;

		if (!gone) {
			d->port.rung(d->port.userdata, RUNG_RECONNECT, why);
			ladder_link_silent(&d->ladder);
		}
		say(d, why);
		session_end(d, gone ? GAP_LINK_LOSS : GAP_SILENT);
		ladder_link_lost(&d->ladder, now);
		drop(d, now);
	}
}

void device_lost(struct device *d, enum gap_reason why, usec_t now)
{
	bool worked = d->session;

	d->connected = d->resolved = false;
	d->busy = 0;
	if (d->state == DEVICE_UNBONDING)
		d->repair = true;
	enter(d, DEVICE_IDLE, USEC_INFINITY);
	if (worked)
		ladder_link_lost(&d->ladder, now);
	session_end(d, why);
}

void device_leave(struct device *d, bool leaving, usec_t now)
{
	if (d->leaving == leaving)
		return;
	d->leaving = leaving;
	if (!leaving || d->state == DEVICE_IDLE || d->state == DEVICE_DROPPING ||
	    d->state == DEVICE_UNBONDING)
		return;
	session_end(d, GAP_DAEMON_DOWN); /* the owner's word: nobody listens */
	drop(d, now);
}

usec_t device_due(const struct device *d)
{
	return d->deadline;
}

void device_tick(struct device *d, usec_t now)
{
	if (now < d->deadline)
		return;
	switch (d->state) {
	case DEVICE_CONNECTING:
		failed(d, false, "it did not answer (out of range, or connected elsewhere?)", now);
		break;
	case DEVICE_RESOLVING: failed(d, true, "it did not tell its services", now); break;
	case DEVICE_PAIRING:
		(void)pairing_is_left(d, now); /* the link has to go: it answers nothing more */
		failed(d, false, "pairing took too long", now);
		break;
	case DEVICE_DROPPING:
		if (d->connected && d->drops + 1 >= DROPS_STUCK)
			d->port.stuck(d->port.userdata);
		if (d->connected)
			drop(d, now);
		else
			enter(d, DEVICE_IDLE, USEC_INFINITY);
		break;
	case DEVICE_UNBONDING: enter(d, DEVICE_IDLE, USEC_INFINITY); break;
	case DEVICE_IDLE:
	case DEVICE_UP: d->deadline = USEC_INFINITY; break;
	}
}

bool device_has_link(const struct device *d)
{
	return d->connected || d->state != DEVICE_IDLE;
}
