/*
 * Frames on their way from the source to the collector, copied to who asked (see the header).
 *
 *	source --> tee --> collector
 *	            |
 *	            +--> wearers: who is connected, and what was said once
 *	            +--> takers: synthesis.c --> send(MSG_DONTWAIT)
 *
 * A taker may come in the middle. So each link is told to it first, with what it said since it
 * began that is not a stream: values that are read once, answers of control points (scales and rates
 * that decoders need). KEPT_MAX such values are kept of each wearable, of at most KEPT_SIZE bytes;
 * where there are more the oldest goes. All of that has the time at which it is told: before the first
 * packet nothing was captured, readers count from there (btmon 5.66 makes such times huge), and a replay
 * at real pace would wait for the age of the link.
 *
 * Who does not read loses packets, and nobody waits. If it is the link itself that could not be told
 * it is told again before the next frame, because nothing after it could be understood.
 */
#include "source/capture.h"

#include "source/packets.h"
#include "source/synthesis.h"
#include "util/clock.h"
#include "util/log.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	WEARERS_MAX = 64,
	KEPT_MAX = 24,
	KEPT_SIZE = 64,
	NAME_SIZE = 64,
};

struct kept {
	enum characteristic characteristic;
	size_t size;
	uint8_t data[KEPT_SIZE];
};

struct wearer {
	char address[DEVICE_ADDRESS_SIZE]; /* "": this place is free */
	char name[NAME_SIZE];
	bool connected;
	usec_t since; /* connected, or gone */
	size_t n_kept;
	struct kept kept[KEPT_MAX];
};

struct taker {
	struct capture *capture;
	int fd; /* -1: this place is free */
	sd_event_source *io;
	char device[DEVICE_ADDRESS_SIZE];
	bool told[WEARERS_MAX]; /* their links */
	uint32_t dropped;
	bool broken; /* nobody reads any more */
	struct synthesis synthesis;
	struct buf packet;
};

struct capture {
	sd_event *event;
	struct profiles profiles;
	struct source_handler next;
	struct taker takers[CAPTURE_MAX];
	struct wearer *wearers;
};

static int64_t wall_of(usec_t boot_us)
{
	return clock_wall_usec() - (int64_t)(clock_boot_usec() - boot_us);
}

/* --- takers --- */

static void close_taker(struct taker *t)
{
	t->io = sd_event_source_disable_unref(t->io);
	if (t->fd >= 0)
		(void)close(t->fd); /* a socket: nothing is lost by a failing close */
	synthesis_done(&t->synthesis);
	buf_done(&t->packet);
	*t = (struct taker){.capture = t->capture, .fd = -1};
}

/* A message as a whole or not at all: that is what SEQPACKET means. */
static void put(struct taker *t)
{
	if (t->broken)
		return;
	if (t->packet.failed ||
	    send(t->fd, t->packet.data, t->packet.size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		t->dropped++;
		t->broken = !t->packet.failed && errno != EAGAIN && errno != ENOBUFS &&
			    errno != EINTR && errno != ENOMEM;
	}
}

static void on_packet(void *userdata, const struct btsnoop_packet *p)
{
	struct taker *t = userdata;
	struct btsnoop_packet numbered = *p;

	numbered.dropped = t->dropped;
	buf_reset(&t->packet);
	btsnoop_write_packet(&t->packet, &numbered);
	put(t);
}

static bool wants(const struct taker *t, const struct wearer *w)
{
	return t->fd >= 0 && (!t->device[0] || streq(t->device, w->address));
}

static unsigned number_of(const struct taker *t, const struct wearer *w)
{
	return (unsigned)(w - t->capture->wearers);
}

static void tell_link(struct taker *t, const struct wearer *w, int64_t wall_us)
{
	unsigned i = number_of(t, w);
	uint32_t before = t->dropped;

	synthesis_connected(&t->synthesis, i, w->address, w->name, wall_us);
	t->told[i] = t->dropped == before;
	for (size_t k = 0; k < w->n_kept; k++)
		synthesis_value(&t->synthesis, i, w->kept[k].characteristic, w->kept[k].data,
				w->kept[k].size, wall_us);
}

static void tell_end(struct taker *t, const struct wearer *w, enum gap_reason why)
{
	unsigned i = number_of(t, w);

	if (t->told[i])
		synthesis_disconnected(&t->synthesis, i, why, wall_of(w->since));
	t->told[i] = false;
}

/* --- wearers --- */

static struct wearer *find(struct capture *c, const char *address)
{
	for (size_t i = 0; i < WEARERS_MAX; i++)
		if (streq(c->wearers[i].address, address))
			return &c->wearers[i];
	return NULL;
}

/* A place that is free, or that of who was gone for longest; NULL: all are connected. */
static struct wearer *make_room(struct capture *c)
{
	struct wearer *oldest = NULL;

	for (size_t i = 0; i < WEARERS_MAX; i++) {
		struct wearer *w = &c->wearers[i];

		if (!w->connected && (!oldest || w->since < oldest->since))
			oldest = w;
	}
	return oldest;
}

/* Said once, and needed later: it is read, or an answer, and no stream. */
static bool is_said_once(const struct capture *c, enum characteristic characteristic)
{
	for (size_t i = 0; i < c->profiles.n; i++) {
		const struct profile *p = c->profiles.list[i];

		for (size_t k = 0; k < p->n_characteristics; k++)
			if (p->characteristics[k].characteristic == characteristic)
				return p->characteristics[k].kinds == 0 &&
				       p->characteristics[k].use & (PROFILE_READ | PROFILE_CONTROL);
	}
	return false;
}

static void keep(struct wearer *w, const struct frame *f)
{
	struct kept *k;

	if (f->size > KEPT_SIZE)
		return;
	if (w->n_kept == KEPT_MAX)
		memmove(&w->kept[0], &w->kept[1], --w->n_kept * sizeof(w->kept[0]));
	k = &w->kept[w->n_kept++];
	*k = (struct kept){.characteristic = f->characteristic, .size = f->size};
	if (f->size > 0)
		memcpy(k->data, f->data, f->size);
}

static void end_wearer(struct capture *c, struct wearer *w, enum gap_reason why, usec_t boot_us)
{
	w->connected = false;
	w->since = boot_us;
	for (size_t i = 0; i < CAPTURE_MAX; i++)
		if (wants(&c->takers[i], w))
			tell_end(&c->takers[i], w, why);
}

/* --- what the source tells --- */

static void on_connected(void *userdata, const char *device, const char *name, usec_t boot_us)
{
	struct capture *c = userdata;
	struct wearer *w = find(c, device);

	if (!w)
		w = make_room(c);
	if (w) {
		*w = (struct wearer){.connected = true, .since = boot_us};
		(void)snprintf(w->address, sizeof(w->address), "%s", device);
		(void)snprintf(w->name, sizeof(w->name), "%s", name); /* the start of a long one */
		for (size_t i = 0; i < CAPTURE_MAX; i++)
			if (wants(&c->takers[i], w))
				tell_link(&c->takers[i], w, wall_of(boot_us));
	}
	c->next.connected(c->next.userdata, device, name, boot_us);
}

static void on_frame(void *userdata, const struct frame *f)
{
	struct capture *c = userdata;
	struct wearer *w = find(c, f->device);

	for (size_t i = 0; w && w->connected && i < CAPTURE_MAX; i++) {
		struct taker *t = &c->takers[i];

		if (!wants(t, w))
			continue;
		if (!t->told[number_of(t, w)])
			tell_link(t, w, wall_of(f->boot_us));
		synthesis_value(&t->synthesis, number_of(t, w), f->characteristic, f->data, f->size,
				wall_of(f->boot_us));
	}
	if (w && is_said_once(c, f->characteristic))
		keep(w, f);
	c->next.frame(c->next.userdata, f);
}

static void on_disconnected(void *userdata, const char *device, enum gap_reason why, usec_t boot_us)
{
	struct capture *c = userdata;
	struct wearer *w = find(c, device);

	if (w)
		end_wearer(c, w, why, boot_us);
	c->next.disconnected(c->next.userdata, device, why, boot_us);
}

/* What is about a source and not of a link needs no copy. */
static void on_device(void *userdata, const struct source_device *device)
{
	struct capture *c = userdata;

	c->next.device(c->next.userdata, device);
}

static void on_forgotten(void *userdata, const char *device)
{
	struct capture *c = userdata;

	c->next.forgotten(c->next.userdata, device);
}

static void on_recorder(void *userdata, const char *device, struct recorder *recorder)
{
	struct capture *c = userdata;

	c->next.recorder(c->next.userdata, device, recorder);
}

static void on_state(void *userdata, const char *problem)
{
	struct capture *c = userdata;

	c->next.state(c->next.userdata, problem);
}

struct source_handler capture_tee(struct capture *c, const struct source_handler *next)
{
	for (size_t i = 0; i < WEARERS_MAX; i++)
		if (c->wearers[i].connected)
			end_wearer(c, &c->wearers[i], GAP_LINK_LOSS, clock_boot_usec());
	c->next = *next;
	return (struct source_handler){
		.userdata = c,
		.connected = on_connected,
		.frame = on_frame,
		.disconnected = on_disconnected,
		.device = on_device,
		.forgotten = on_forgotten,
		.recorder = next->recorder ? on_recorder : NULL,
		.state = on_state,
	};
}

/* --- the whole --- */

static int on_taker(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct taker *t = userdata;
	char text[64];
	ssize_t n = recv(fd, text, sizeof(text), MSG_DONTWAIT); /* whatever it says */

	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return 0;
	if (n == 0 && !(revents & (EPOLLHUP | EPOLLERR))) {
		(void)snprintf(text, sizeof(text), "the end; %u packets were dropped", t->dropped);
		synthesis_note(&t->synthesis, text, clock_wall_usec());
	}
	log_notice("a capture ended; %u packets were dropped", t->dropped);
	close_taker(t);
	return 0;
}

struct capture *capture_free(struct capture *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < CAPTURE_MAX; i++)
		close_taker(&c->takers[i]);
	sd_event_unref(c->event);
	free(c->wearers);
	free(c);
	return NULL;
}

int capture_new(sd_event *event, struct profiles profiles, struct capture **ret)
{
	_cleanup_(capture_freep) struct capture *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	for (size_t i = 0; i < CAPTURE_MAX; i++)
		c->takers[i] = (struct taker){.capture = c, .fd = -1};
	c->event = sd_event_ref(event);
	c->profiles = profiles;
	c->wearers = calloc(WEARERS_MAX, sizeof(*c->wearers));
	if (!c->wearers)
		return -ENOMEM;
	*ret = TAKE(c);
	return 0;
}

static int open_taker(struct taker *t, int fd, const char *device)
{
	int r = synthesis_init(&t->synthesis, t, on_packet);

	if (r < 0)
		return r;
	r = sd_event_add_io(t->capture->event, &t->io, fd, EPOLLIN, on_taker, t);
	if (r < 0)
		return r;
	t->fd = fd;
	(void)snprintf(t->device, sizeof(t->device), "%s", device); /* an address */
	return 0;
}

int capture_add(struct capture *c, int fd, const char *device)
{
	struct taker *t = NULL;
	int64_t now;
	int r;

	for (size_t i = 0; i < CAPTURE_MAX && !t; i++)
		if (c->takers[i].fd < 0)
			t = &c->takers[i];
	if (!t)
		return CAPTURE_E_BUSY;
	if (!packets_is_seqpacket(fd))
		return CAPTURE_E_SOCKET;
	r = open_taker(t, fd, device);
	if (r < 0) {
		close_taker(t); /* t->fd is not set: the caller keeps it */
		return r;
	}
	log_notice("a capture of %s begins", device[0] ? device : "all wearables");
	btsnoop_write_header(&t->packet);
	put(t);
	now = clock_wall_usec();
	synthesis_begin(&t->synthesis, now);
	for (size_t i = 0; i < WEARERS_MAX; i++)
		if (c->wearers[i].connected && wants(t, &c->wearers[i]))
			tell_link(t, &c->wearers[i], now);
	return 0;
}
