/*
 * The daemon's ear for simulated wearables.
 *
 *	ABSENT -- connect, "hello" --> PRESENT -- "strap" -------------> a device: connected()
 *	  ^                              |        "value" -------------> frame()
 *	  |                              |        "link" + descriptor -> a socket: frame()
 *	  |                              |        "gone", or its last socket ended -> disconnected()
 *	  +--- hang-up, nonsense --------+        (what lies in its sockets is read first)
 *
 * Nothing of a device outlives its connection. A descriptor that arrives is checked to be a
 * SEQPACKET socket; a message that is not one of handover.h's, or not in this order, ends the
 * connection, since whoever wrote it is not the simulator of this version.
 *
 * A packet longer than FRAME_MAX is handed on, up to PACKET_SIZE bytes: refusing it is the
 * decoders' business, and they count it.
 *
 * Each wake-up reads at most PACKETS_A_SLICE packets of one socket, so that none starves the
 * others; messages come before packets, so that "gone" is known when its hang-ups are seen.
 */
#include "source/handover.h"
#include "source/packets.h"
#include "source/source.h"
#include "util/clock.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	PACKET_SIZE = 1024,
	PACKETS_A_SLICE = 64,
	MESSAGES_A_SLICE = 1024, /* more than the simulator's socket holds at the default size */
	DEVICES_MAX = 64,
	LINKS_MAX = 8, /* a device */
	PRIORITY_PACKETS = SD_EVENT_PRIORITY_NORMAL - 10,
	PRIORITY_MESSAGES = SD_EVENT_PRIORITY_NORMAL - 11,
};

struct device;

struct link {
	struct device *device;
	enum characteristic characteristic;
	int fd;		/* -1: this place is free */
	usec_t arrived; /* the last packet */
	sd_event_source *io;
};

struct device {
	struct simulate *source;
	struct device *next;
	char address[DEVICE_ADDRESS_SIZE];
	struct link links[LINKS_MAX];
};

enum presence { UNTOLD, ABSENT, CLOSED /* there, but not to us */, PRESENT };

struct simulate {
	struct source source;
	sd_event *event;
	struct sockaddr_un address;
	usec_t retry;
	struct source_handler handler;
	int fd; /* -1: not connected */
	bool greeted;
	sd_event_source *io;
	sd_event_source *timer;
	struct device *devices;
	enum presence presence;
};

static int close_fd(int fd)
{
	if (fd >= 0)
		(void)close(fd); /* a socket: nothing is lost by a failing close */
	return -1;
}

static void link_close(struct link *l)
{
	l->io = sd_event_source_disable_unref(l->io);
	l->fd = close_fd(l->fd);
}

static struct device *device_free(struct device *d)
{
	if (!d)
		return NULL;
	for (unsigned i = 0; i < LINKS_MAX; i++)
		link_close(&d->links[i]);
	free(d);
	return NULL;
}
DEFINE_CLEANUP(struct device *, device_free)

static void hand_on(struct device *d, enum characteristic c, const uint8_t *data, size_t size,
		    usec_t arrived, usec_t now)
{
	struct simulate *s = d->source;
	struct frame frame = {.device = d->address,
			      .characteristic = c,
			      .boot_us = arrived,
			      .read_us = now,
			      .data = data,
			      .size = size};

	s->handler.frame(s->handler.userdata, &frame);
}

/* Reads up to `max` packets; false when the socket has come to its end. */
static bool read_packets(struct link *l, unsigned max)
{
	uint8_t data[PACKET_SIZE];
	struct packet_extras extras;
	usec_t now;

	for (unsigned i = 0; i < max; i++) {
		ssize_t n = packets_receive(l->fd, data, sizeof(data), &extras);

		packets_close_fds(&extras);
		if (n < 0 || extras.end)
			return !extras.end;
		now = clock_boot_usec();
		hand_on(l->device, l->characteristic, data, (size_t)n,
			packets_arrival(&extras.stamp, now, clock_offset_usec(), &l->arrived), now);
	}
	return true;
}

static struct device **find_device(struct simulate *s, const char *address)
{
	struct device **p = &s->devices;

	while (*p && !streq((*p)->address, address))
		p = &(*p)->next;
	return p;
}

/* The rest of a device's packets, then the news that it is gone. */
static void end_device(struct device **p, enum gap_reason why)
{
	_cleanup_(device_freep) struct device *d = *p;
	struct simulate *s = d->source;

	*p = d->next;
	for (unsigned i = 0; i < LINKS_MAX; i++)
		if (d->links[i].fd >= 0)
			(void)read_packets(&d->links[i],
					   UINT16_MAX); /* far more than a socket holds */
	s->handler.disconnected(s->handler.userdata, d->address, why, clock_boot_usec());
}

static bool has_links(const struct device *d)
{
	for (unsigned i = 0; i < LINKS_MAX; i++)
		if (d->links[i].fd >= 0)
			return true;
	return false;
}

static int on_packets(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct link *l = userdata;
	struct device *d = l->device;

	if (read_packets(l, PACKETS_A_SLICE))
		return 0;
	link_close(l);
	if (!has_links(d)) /* nobody said why */
		end_device(find_device(d->source, d->address), GAP_LINK_LOSS);
	return 0;
}

static void tell(struct simulate *s, enum presence presence, const char *problem)
{
	if (s->presence == presence)
		return;
	s->presence = presence;
	s->handler.state(s->handler.userdata, problem);
}

/* The timer exists and takes any time: setting it cannot fail. */
static void retry_in(struct simulate *s, usec_t pause)
{
	(void)sd_event_source_set_time(s->timer, clock_boot_usec() + pause);
	(void)sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

static void disconnect(struct simulate *s, enum presence presence, const char *problem)
{
	while (s->devices) /* before hanging up: then the other side counts what is unread */
		end_device(&s->devices, GAP_LINK_LOSS);
	s->io = sd_event_source_disable_unref(s->io);
	s->fd = close_fd(s->fd);
	s->greeted = false;
	retry_in(s, s->retry);
	tell(s, presence, problem);
}

static bool on_strap(struct simulate *s, const struct handover *m)
{
	struct device *d;
	unsigned n = 0;

	for (d = s->devices; d; d = d->next)
		n++;
	if (n == DEVICES_MAX || *find_device(s, m->device))
		return false;
	d = calloc(1, sizeof(*d));
	if (!d)
		return false;
	*d = (struct device){.source = s, .next = s->devices};
	memcpy(d->address, m->device, sizeof(d->address));
	for (unsigned i = 0; i < LINKS_MAX; i++)
		d->links[i] = (struct link){.device = d, .fd = -1};
	s->devices = d;
	s->handler.connected(s->handler.userdata, d->address, m->name, clock_boot_usec());
	return true;
}

/* Takes `fd` when it says true. */
static bool on_link(struct device *d, const struct handover *m, int fd)
{
	struct link *free_link = NULL;

	for (unsigned i = 0; i < LINKS_MAX; i++) {
		if (d->links[i].fd < 0)
			free_link = &d->links[i];
		else if (d->links[i].characteristic == m->characteristic)
			return false;
	}
	if (!free_link || !packets_is_seqpacket(fd) || packets_prepare(fd) < 0)
		return false;
	if (sd_event_add_io(d->source->event, &free_link->io, fd, EPOLLIN, on_packets, free_link) <
		    0 ||
	    sd_event_source_set_priority(free_link->io, PRIORITY_PACKETS) < 0) {
		free_link->io = sd_event_source_disable_unref(free_link->io);
		return false;
	}
	free_link->fd = fd;
	free_link->characteristic = m->characteristic;
	return true;
}

/* False: not a message for here and now. Takes *fd, and makes it -1, when it keeps it. */
static bool on_message(struct simulate *s, const struct handover *m, int *fd)
{
	usec_t now = clock_boot_usec();
	struct device **p = find_device(s, m->device);

	if ((*fd >= 0) != (m->kind == HANDOVER_LINK))
		return false;
	if (m->kind == HANDOVER_HELLO) {
		if (s->greeted)
			return false;
		s->greeted = true;
		tell(s, PRESENT, NULL);
		return true;
	}
	if (!s->greeted)
		return false;
	if (m->kind == HANDOVER_STRAP)
		return on_strap(s, m);
	if (!*p)
		return false;
	if (m->kind == HANDOVER_VALUE)
		hand_on(*p, m->characteristic, m->value, m->n_value, now, now);
	else if (m->kind == HANDOVER_GONE)
		end_device(p, m->why);
	else if (!on_link(*p, m, *fd))
		return false;
	else
		*fd = -1;
	return true;
}

/* One message. > 0: there may be more; 0: none now; < 0: this connection is over, *ret_why. */
static int read_message(struct simulate *s, const char **ret_why)
{
	uint8_t data[HANDOVER_SIZE];
	struct handover m;
	struct packet_extras extras;
	bool good;
	ssize_t n = packets_receive(s->fd, data, sizeof(data), &extras);

	*ret_why = "the simulated wearables went away";
	if (extras.end)
		return -ECONNRESET;
	if (n < 0)
		return 0;
	good = extras.n_fds <= 1 && handover_parse(data, (size_t)n, &m) == 0;
	if (extras.n_fds == 0)
		extras.fds[0] = -1;
	good = good && on_message(s, &m, &extras.fds[0]);
	packets_close_fds(&extras);
	*ret_why = "what listens at the socket of the simulated wearables does not speak this "
		   "version's language";
	return good ? 1 : -EBADMSG;
}

static int on_messages(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct simulate *s = userdata;
	const char *why;
	int r = 1;

	for (unsigned i = 0; r > 0 && i < MESSAGES_A_SLICE; i++)
		r = read_message(s, &why);
	if (r < 0)
		disconnect(s, ABSENT, why);
	return 0;
}

static int try_connect(struct simulate *s)
{
	int r;

	s->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		return -errno;
	r = packets_prepare(s->fd);
	if (r < 0)
		return r;
	if (connect(s->fd, (struct sockaddr *)&s->address, sizeof(s->address)) < 0)
		return -errno;
	r = sd_event_add_io(s->event, &s->io, s->fd, EPOLLIN, on_messages, s);
	return r < 0 ? r : sd_event_source_set_priority(s->io, PRIORITY_MESSAGES);
}

static int on_retry(sd_event_source *source, uint64_t at, void *userdata)
{
	struct simulate *s = userdata;
	char problem[256];
	int r = try_connect(s);
	bool closed = r == -EACCES || r == -EPERM;

	if (r >= 0)
		return 0;
	(void)snprintf(problem, sizeof(problem), "no simulated wearables at %s (%s): %s",
		       s->address.sun_path, strerror(-r),
		       closed ? "the socket is not open to this user"
			      : "start `vitald simulate --socket` with this path");
	disconnect(s, closed ? CLOSED : ABSENT, problem);
	return 0;
}

static struct simulate *simulate_free(struct simulate *s)
{
	if (!s)
		return NULL;
	while (s->devices) {
		struct device *d = s->devices;

		s->devices = d->next;
		device_free(d);
	}
	sd_event_source_disable_unref(s->io);
	sd_event_source_disable_unref(s->timer);
	close_fd(s->fd);
	sd_event_unref(s->event);
	free(s);
	return NULL;
}

DEFINE_CLEANUP(struct simulate *, simulate_free)

static void free_source(struct source *source)
{
	(void)simulate_free((struct simulate *)source); /* its first member */
}

static const struct source_operations operations = {.free = free_source};

int source_simulate_new(sd_event *event, const char *path, usec_t retry,
			const struct source_handler *handler, struct source **ret)
{
	_cleanup_(simulate_freep) struct simulate *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	*s = (struct simulate){.source = {&operations},
			       .retry = retry,
			       .handler = *handler,
			       .fd = -1};
	s->event = sd_event_ref(event);
	s->address.sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(s->address.sun_path))
		return -ENAMETOOLONG;
	memcpy(s->address.sun_path, path, strlen(path) + 1);
	/* From the loop, at once: no callback comes before the caller has its source. */
	r = sd_event_add_time(event, &s->timer, CLOCK_BOOTTIME, 0, USEC_PER_MSEC, on_retry, s);
	if (r < 0)
		return r;
	*ret = &TAKE(s)->source;
	return 0;
}
