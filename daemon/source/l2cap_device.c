/*
 *	RESTING --> WAITING -- pause is over --> CONNECTING -- SO_ERROR 0 --> DISCOVERING
 *	   ^           ^                             | failed         too late |      | found
 *	   |           +-------- drop, pause --------+-------------------------+      v
 *	   |           +-------- drop, pause ------------ link lost, silent ------ RUNNING
 *	   |                                                                          |
 *	   +--- an obstacle: drop; not wanted any more: LEAVING, until it is quiet ---+
 *
 * The kernel scans for whoever is CONNECTING and gives up after 20 to 40 s; any number may wait so at a
 * time, so that those who are away keep nobody out, until max_links are up: then all of them go back to
 * WAITING. What happens on a link that is up is the session's business, carried by gatt.c.
 *
 * A link that we drop stays up in the kernel for 2 s, in case somebody wants it again, and a stuck
 * wearable would be found again as stuck as before: after such a link no pause is shorter than
 * door.link_ends.
 *
 * What ends a link only notes it (doom()); the device's timer does it, at once, from the loop. So no
 * session is freed under the feet of the PDU that it is hearing, and the handler is never called
 * from within l2cap_device_wish().
 *
 * No bonding: that needs the keys of both sides kept, and procedures that bluetoothd has and we do
 * not. A wearable that insists is told of, and what it gives without a bond is taken.
 */
#include "source/l2cap_device.h"

#include "model/catalog.h"
#include "source/gatt.h"
#include "source/ladder.h"
#include "source/packets.h"
#include "util/backoff.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/quota.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	PDU_SIZE = 1024, /* longer than any; gatt.c counts what is too long */
	PDUS_A_SLICE = 64,
	PRIORITY = SD_EVENT_PRIORITY_NORMAL - 10, /* as all straps */
	PRIORITY_TIMER = PRIORITY - 1,		  /* no flood keeps a link from being dropped */
	PAUSES = 30,				  /* the longest pause is so many shortest */
	WHY_SIZE = sizeof(((struct l2cap_context *)NULL)->obstacle),
};

#define CONNECT_WAIT (50 * USEC_PER_SEC) /* the kernel gives up before */
#define FULL_WAIT    (5 * USEC_PER_SEC)	 /* until a link may be free */
#define LEAVE_WAIT   (2 * USEC_PER_SEC)	 /* to let it stop its streams */

enum state { RESTING, WAITING, CONNECTING, DISCOVERING, RUNNING, LEAVING };

struct l2cap_device {
	struct l2cap_context *context;
	char address[DEVICE_ADDRESS_SIZE];
	char name[64];
	bool random;
	unsigned wanted;
	enum state state;
	usec_t due; /* of the state; USEC_INFINITY: whenever something comes */
	int fd;	    /* -1: none */
	sd_event_source *io, *timer;
	struct gatt *gatt;
	struct session *session;
	bool doomed;
	bool ended; /* by the other side or the kernel, not by us */
	enum gap_reason gap;
	char why[WHY_SIZE]; /* why it does not run; of a session: session_why() */
	bool wants_bond;
	bool untold; /* something of it changed */
	usec_t arrived;
	struct backoff backoff;
	struct ladder_link ladder; /* its silences */
	unsigned episode;	   /* 1 << rung: logged since it last spoke */
	struct quota lines;	   /* of the journal, for its rungs */
	uint32_t rungs[RUNG_MAX_];
};

static const char *state_word(const struct l2cap_device *d)
{
	static const char *const words[] = {
		[RESTING] = "waiting",	       [WAITING] = "waiting",	[CONNECTING] = "connecting",
		[DISCOVERING] = "discovering", [RUNNING] = "streaming", [LEAVING] = "leaving"};

	if (d->state == RUNNING && !session_running(d->session))
		return "starting";
	return words[d->state];
}

static void tell(struct l2cap_device *d)
{
	const struct source_handler *h = &d->context->handler;
	bool up = d->session != NULL;
	char why[512 + WHY_SIZE];
	struct source_device told = {.address = d->address,
				     .name = d->name,
				     .state = state_word(d),
				     .why = why,
				     .offers = up ? session_offers(d->session) : "",
				     .adapter = d->context->adapter};

	d->untold = false;
	if (d->state == RESTING && d->context->obstacle[0])
		(void)snprintf(why, sizeof(why), "%s", d->context->obstacle);
	else if (!up)
		(void)snprintf(why, sizeof(why), "%s", d->why);
	else if (d->wants_bond && session_why(d->session)[0])
		(void)snprintf(why, sizeof(why),
			       "needs pairing, which only type = bluez can do; %s",
			       session_why(d->session));
	else
		(void)snprintf(why, sizeof(why), "%s", session_why(d->session));
	memcpy(told.rungs, d->rungs, sizeof(told.rungs));
	h->device(h->userdata, &told);
}

static void arm(struct l2cap_device *d)
{
	usec_t due = d->doomed || d->untold ? 0 : d->due;

	if (d->doomed &&
	    d->io) /* a socket that hung up is ready for ever; turning off cannot fail */
		(void)sd_event_source_set_enabled(d->io, SD_EVENT_OFF);
	if (d->gatt)
		due = MIN(due, gatt_due(d->gatt));
	if (d->session)
		due = MIN(due, session_due(d->session));
	/* The timer exists and takes any time: setting it cannot fail. */
	(void)sd_event_source_set_time(d->timer, due);
	(void)sd_event_source_set_enabled(d->timer,
					  due == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static void be(struct l2cap_device *d, enum state state, usec_t due)
{
	d->state = state;
	d->due = due;
	d->untold = true;
}

/* The first reason counts: the others follow from it. */
static void doom(struct l2cap_device *d, enum gap_reason gap, const char *why)
{
	if (d->doomed)
		return;
	d->doomed = true;
	d->gap = gap;
	(void)snprintf(d->why, sizeof(d->why), "%s", why);
}

static bool all_in_use(const struct l2cap_device *d)
{
	return d->context->n_links >= d->context->max_links;
}

static void say_full(const struct l2cap_device *d, char ret[static WHY_SIZE])
{
	(void)snprintf(ret, WHY_SIZE, "all %u links are in use (max_links)", d->context->n_links);
}

static void give_way(struct l2cap_device *d)
{
	char why[WHY_SIZE];

	say_full(d, why);
	doom(d, GAP_LINK_LOSS, why);
}

static bool may(const struct l2cap_device *d)
{
	return d->wanted && !d->context->obstacle[0];
}

/* --- what the session and gatt.c say --- */

static unsigned on_properties(void *userdata, enum characteristic c)
{
	return gatt_properties(((struct l2cap_device *)userdata)->gatt, c);
}

static void on_read(void *userdata, enum characteristic c)
{
	gatt_read(((struct l2cap_device *)userdata)->gatt, c, clock_boot_usec());
}

static void on_write(void *userdata, enum characteristic c, const uint8_t *data, size_t size)
{
	gatt_write(((struct l2cap_device *)userdata)->gatt, c, data, size, clock_boot_usec());
}

static void on_subscribe(void *userdata, enum characteristic c, bool indicate)
{
	gatt_subscribe(((struct l2cap_device *)userdata)->gatt, c, indicate, clock_boot_usec());
}

static void on_unsubscribe(void *userdata, enum characteristic c)
{
	gatt_unsubscribe(((struct l2cap_device *)userdata)->gatt, c, clock_boot_usec());
}

static void on_frame(void *userdata, const struct frame *frame)
{
	struct l2cap_device *d = userdata;
	struct frame f = *frame;

	f.device = d->address;
	backoff_reset(&d->backoff);
	if (session_spoke(d->session)) {
		d->episode = 0;
		ladder_link_spoke(&d->ladder);
	}
	d->context->handler.frame(d->context->handler.userdata, &f);
}

/* Counts each, and writes the first one of an episode down. */
static void climb(struct l2cap_device *d, enum rung rung, const char *why)
{
	bool first = !(d->episode & 1U << rung);
	enum quota_answer may = first ? quota_take(&d->lines, clock_boot_usec()) : QUOTA_NO;
	char field[DEVICE_FIELD_SIZE];

	d->rungs[rung]++;
	d->episode |= 1U << rung;
	d->untold = true;
	if (may != QUOTA_NO)
		log_event(LOG_NOTICE, CATALOG_DEVICE_RECOVERY,
			  LOG_FIELDS(device_field(d->address, field)), "%s: %s: %s%s", d->address,
			  rung_name(rung), why, quota_words(may));
}

static void on_need(void *userdata, enum session_need need, const char *why)
{
	struct l2cap_device *d = userdata;

	if (need == SESSION_NEED_PAIRING) { /* it is asked once more, and then does without */
		d->wants_bond = true;
		session_paired(d->session, clock_boot_usec());
		return;
	}
	if (need == SESSION_NEED_END) {
		doom(d, GAP_LINK_LOSS, why);
		return;
	}
	climb(d, RUNG_RECONNECT, why);
	ladder_link_silent(&d->ladder);
	doom(d, GAP_SILENT, why);
}

static void on_rung(void *userdata, enum rung rung, const char *why)
{
	climb(userdata, rung, why);
}

static void on_changed(void *userdata)
{
	((struct l2cap_device *)userdata)->untold = true;
}

static void on_recorder(void *userdata, struct recorder *recorder)
{
	struct l2cap_device *d = userdata;

	d->context->handler.recorder(d->context->handler.userdata, d->address, recorder);
}

static void on_send(void *userdata, const uint8_t *data, size_t size)
{
	struct l2cap_device *d = userdata;

	if (send(d->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		doom(d, GAP_LINK_LOSS, "the link takes nothing");
}

static void on_discovered(void *userdata, int result, uint8_t att_error, usec_t now)
{
	static const struct session_carrier carrier = {.properties = on_properties,
						       .read = on_read,
						       .write = on_write,
						       .subscribe = on_subscribe,
						       .unsubscribe = on_unsubscribe};
	static const struct session_handler handler = {.frame = on_frame,
						       .need = on_need,
						       .rung = on_rung,
						       .changed = on_changed};
	struct session_carrier c = carrier;
	struct session_handler h = handler;
	struct l2cap_device *d = userdata;
	const struct source_handler *owner = &d->context->handler;

	c.userdata = h.userdata = d;
	h.recorder = owner->recorder ? on_recorder : NULL;
	if (result == SESSION_E_SECURITY) {
		doom(d, GAP_LINK_LOSS, "needs pairing, which only type = bluez can do");
	} else if (result != 0) {
		doom(d, GAP_LINK_LOSS, "the wearable does not say what it offers");
	} else if (session_new(d->context->profiles, d->wanted, &c, &h, now, &d->session) < 0) {
		doom(d, GAP_LINK_LOSS, "no memory");
	} else {
		session_set_mtu(d->session, gatt_mtu(d->gatt));
		session_set_patience(d->session, d->ladder.mute);
		d->ladder.spoke = false;
		d->why[0] = '\0';
		be(d, RUNNING, USEC_INFINITY);
		owner->connected(owner->userdata, d->address, d->name, now);
	}
}

static void on_done(void *userdata, int result, uint8_t att_error, const uint8_t *data, size_t size,
		    usec_t now)
{
	struct l2cap_device *d = userdata;

	if (d->session)
		session_done(d->session, result, att_error, data, size, now);
}

static void on_value(void *userdata, enum characteristic c, const uint8_t *data, size_t size,
		     usec_t now)
{
	struct l2cap_device *d = userdata;

	if (d->session)
		session_value(d->session, c, data, size, d->arrived, now);
}

static void on_broken(void *userdata, const char *why)
{
	doom(userdata, GAP_LINK_LOSS, why);
}

/* --- the link --- */

static void close_link(struct l2cap_device *d)
{
	d->io = sd_event_source_disable_unref(d->io);
	d->session = session_free(d->session);
	d->context->n_links -= d->gatt != NULL;
	d->gatt = gatt_free(d->gatt);
	if (d->fd >= 0)
		(void)close(d->fd); /* nothing is lost by a failing close */
	d->fd = -1;
}

/* For whoever has to find out why a wearable was given up. */
static void log_link(const struct l2cap_device *d)
{
	struct gatt_counts g = gatt_counts(d->gatt);

	log_debug("%s: link ended (%s); PDUs malformed %u, too long %u, unexpected %u, against the "
		  "rules %u, of unknown handles %u, beyond the tables %u, requests %u",
		  d->address, d->why, g.att.malformed, g.att.oversized, g.att.unexpected,
		  g.att.violations, g.unnamed, g.surplus, g.att.requests);
}

static void wait_for(struct l2cap_device *d, usec_t pause, usec_t now)
{
	be(d, WAITING, now + pause);
}

/* The last thing: the device may be gone. */
static void drop(struct l2cap_device *d, usec_t now)
{
	const struct source_handler *h = &d->context->handler;
	bool was_up = d->session, lingers = d->gatt && !d->ended;
	usec_t pause = backoff_next(&d->backoff);

	if (d->gatt)
		log_link(d);
	close_link(d);
	d->doomed = d->ended = d->wants_bond = false;
	if (may(d))
		wait_for(d, lingers ? MAX(pause, d->context->door.link_ends) : pause, now);
	else
		be(d, RESTING, USEC_INFINITY);
	if (was_up)
		h->disconnected(h->userdata, d->address, d->gap, now);
	if (!d->wanted)
		d->context->rested(d->context->userdata, d);
	else
		tell(d);
}

/*
 * What the kernel makes of the reason that an adapter gives (net/bluetooth/lib.c). "By the local
 * host" is an adapter that is switched off or unplugged: its links end before we are told of it.
 */
static enum gap_reason gap_of(int error)
{
	switch (error) {
	case ECONNRESET: return GAP_DISCONNECTED;
	case ECONNABORTED:
	case ENETDOWN:
	case ENODEV: return GAP_ADAPTER;
	default: return GAP_LINK_LOSS;
	}
}

static void fail(struct l2cap_device *d, int error)
{
	enum gap_reason gap = gap_of(error);
	char why[WHY_SIZE];

	if (d->state != CONNECTING)
		(void)snprintf(why, sizeof(why), "the link was lost (%s)", strerror(error));
	else if (error == ETIMEDOUT || error == EHOSTDOWN || error == EHOSTUNREACH)
		(void)snprintf(why, sizeof(why), "it does not answer (out of range, not worn?)");
	else if (error == EBUSY)
		(void)snprintf(why, sizeof(why), "another program speaks to it");
	else
		(void)snprintf(why, sizeof(why), "cannot be connected: %s", strerror(error));
	doom(d, gap, why);
}

static void read_pdus(struct l2cap_device *d)
{
	uint8_t pdu[PDU_SIZE];
	struct packet_extras extras;

	for (unsigned i = 0; i < PDUS_A_SLICE && !d->doomed; i++) {
		ssize_t n = packets_receive(d->fd, pdu, sizeof(pdu), &extras);
		int error = n < 0 ? errno : ECONNRESET;
		usec_t now = clock_boot_usec();

		packets_close_fds(&extras);
		d->ended = extras.end;
		if (extras.end)
			fail(d, error);
		if (n < 0 || extras.end)
			return;
		(void)packets_arrival(&extras.stamp, now, clock_offset_usec(), &d->arrived);
		gatt_receive(d->gatt, pdu, (size_t)n, now);
		if (d->session) /* it may have asked for another by itself */
			session_set_mtu(d->session, gatt_mtu(d->gatt));
	}
}

static void connected(struct l2cap_device *d, usec_t now)
{
	const struct gatt_handler handler = {.userdata = d,
					     .send = on_send,
					     .discovered = on_discovered,
					     .done = on_done,
					     .value = on_value,
					     .broken = on_broken};
	int r;

	if (all_in_use(d)) { /* two came up at once */
		give_way(d);
		return;
	}
	r = gatt_new(&handler, &d->gatt);
	if (r >= 0) {
		d->context->n_links++;
		r = sd_event_source_set_io_events(d->io, EPOLLIN);
	}
	if (r < 0) {
		fail(d, -r);
		return;
	}
	be(d, DISCOVERING, now + d->context->door.list_wait);
	gatt_discover(d->gatt, now);
	if (all_in_use(d))
		d->context->full(d->context->userdata);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct l2cap_device *d = userdata;
	socklen_t size = sizeof(int);
	int error = 0;

	if (d->state != CONNECTING)
		read_pdus(d);
	else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error)
		fail(d, error ? error : errno);
	else if (events & (EPOLLHUP | EPOLLERR))
		fail(d, ECONNREFUSED);
	else
		connected(d, clock_boot_usec());
	arm(d);
	return 0;
}

static int open_link(struct l2cap_device *d)
{
	const struct l2cap_door *door = &d->context->door;
	int on = 1, r;

	r = door->connect(door->userdata, d->context->adapter_address, d->address, d->random);
	if (r < 0)
		return r;
	d->fd = r;
	if (setsockopt(d->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) < 0)
		return -errno;
	r = sd_event_add_io(d->context->event, &d->io, d->fd, EPOLLOUT, on_io, d);
	return r < 0 ? r : sd_event_source_set_priority(d->io, PRIORITY);
}

static void try_connect(struct l2cap_device *d, usec_t now)
{
	int r;

	if (all_in_use(d)) {
		say_full(d, d->why);
		wait_for(d, FULL_WAIT, now);
		return;
	}
	be(d, CONNECTING, now + CONNECT_WAIT);
	r = open_link(d);
	if (r < 0)
		fail(d, -r);
}

/* --- the state machine --- */

/* What the owner and the machine allow has changed. */
static void follow_wishes(struct l2cap_device *d, usec_t now)
{
	bool obstacle = d->context->obstacle[0];

	if (d->state == RESTING && may(d)) {
		wait_for(d, 0, now);
	} else if (d->state == WAITING && !may(d)) {
		doom(d, GAP_LINK_LOSS, "");
	} else if (obstacle && d->state != RESTING) {
		doom(d, d->context->gap, d->context->obstacle);
	} else if (d->wanted && d->state == CONNECTING && all_in_use(d)) {
		give_way(d);
	} else if (!d->wanted && d->state == RUNNING) {
		session_close(d->session, now);
		be(d, LEAVING, now + LEAVE_WAIT);
	} else if (!d->wanted && d->state != LEAVING) {
		doom(d, GAP_DAEMON_DOWN, "");
	}
}

static void on_due(struct l2cap_device *d, usec_t now)
{
	if (d->state == WAITING)
		try_connect(d, now);
	else if (d->state == CONNECTING)
		fail(d, ETIMEDOUT);
	else if (d->state == DISCOVERING)
		doom(d, GAP_LINK_LOSS, "the wearable takes too long to say what it offers");
	else if (d->state == LEAVING)
		doom(d, GAP_DAEMON_DOWN, "");
}

static int on_timer(sd_event_source *source, uint64_t at, void *userdata)
{
	struct l2cap_device *d = userdata;
	usec_t now = clock_boot_usec();

	follow_wishes(d, now);
	if (!d->doomed && now >= d->due)
		on_due(d, now);
	if (!d->doomed && d->gatt && now >= gatt_due(d->gatt))
		gatt_tick(d->gatt, now);
	if (!d->doomed && d->session && now >= session_due(d->session))
		session_tick(d->session, now);
	if (d->state == LEAVING && session_closed(d->session))
		doom(d, GAP_DAEMON_DOWN, "");
	if (d->doomed) {
		arm(d); /* for the way after it */
		drop(d, now);
		return 0;
	}
	if (d->untold)
		tell(d);
	arm(d);
	return 0;
}

struct l2cap_device *l2cap_device_free(struct l2cap_device *d)
{
	if (!d)
		return NULL;
	close_link(d);
	sd_event_source_disable_unref(d->timer);
	free(d);
	return NULL;
}

int l2cap_device_new(struct l2cap_context *context, const char *address, struct l2cap_device **ret)
{
	_cleanup_(l2cap_device_freep) struct l2cap_device *d = calloc(1, sizeof(*d));
	const struct l2cap_door *door = &context->door;
	int r;

	if (!d)
		return -ENOMEM;
	*d = (struct l2cap_device){.context = context, .due = USEC_INFINITY, .fd = -1};
	(void)snprintf(d->address, sizeof(d->address), "%s", address);
	backoff_init(&d->backoff, door->pause, PAUSES * door->pause, clock_boot_usec());
	r = sd_event_add_time(context->event, &d->timer, CLOCK_BOOTTIME, 0, USEC_PER_MSEC, on_timer,
			      d);
	if (r >= 0)
		r = sd_event_source_set_priority(d->timer, PRIORITY_TIMER);
	if (r < 0)
		return r;
	*ret = TAKE(d);
	return 0;
}

const char *l2cap_device_address(const struct l2cap_device *d)
{
	return d->address;
}

void l2cap_device_wish(struct l2cap_device *d, const char *name, unsigned wanted, bool random)
{
	if (random != d->random && wanted && d->fd >= 0)
		doom(d, GAP_DAEMON_DOWN, "its address type was changed");
	d->random = random;
	d->wanted = wanted;
	(void)snprintf(d->name, sizeof(d->name), "%s", name ? name : ""); /* cut */
	d->untold = true;
	if (d->session && wanted)
		session_set_wanted(d->session, wanted, clock_boot_usec());
	arm(d);
}

bool l2cap_device_wanted(const struct l2cap_device *d)
{
	return d->wanted;
}

void l2cap_device_reconsider(struct l2cap_device *d)
{
	d->untold = true;
	arm(d);
}

void l2cap_device_hush(struct l2cap_device *d)
{
	usec_t now = clock_boot_usec();

	if (!d->session || d->doomed)
		return;
	session_close(d->session, now);
}

int l2cap_device_hushing(struct l2cap_device *d)
{
	usec_t now = clock_boot_usec();

	if (d->session && !d->doomed && now >= session_due(d->session))
		session_tick(d->session, now);
	return d->session && !d->doomed && !session_closed(d->session) ? d->fd : -1;
}

void l2cap_device_read(struct l2cap_device *d)
{
	read_pdus(d);
}
