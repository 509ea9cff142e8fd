/*
 * Reads notifications as bluetoothd hands them on.
 *
 * Longer than the MTU allows is nothing that a wearable has sent: one that sends the single byte 1b
 * as ATT PDU makes bluetoothd 5.66 deliver over 1000 bytes of old memory. Such packets are dropped,
 * and the first is told of.
 *
 * How much waits when we are slow is set by the sender's buffer alone (AF_UNIX charges the sender):
 * 167 notifications of 229 bytes with the default, a minute and a half of one ECG; raising
 * SO_RCVBUF at our end changed nothing. What does not fit bluetoothd drops in silence, and the
 * timeline of the sensor tells.
 *
 * Each wake-up reads at most PACKETS_A_SLICE, so that no wearable starves the others.
 */
#include "source/bluez_subscription.h"

#include "source/packets.h"
#include "util/clock.h"

#include <fcntl.h>
#include <unistd.h>

enum {
	PACKET_SIZE = 1024,
	PACKETS_A_SLICE = 64,
	PACKETS_LEFT_MAX = UINT16_MAX, /* far more than a socket holds */
	ATT_HEADER_SIZE = 3,	       /* opcode and handle of a notification */
	PRIORITY = SD_EVENT_PRIORITY_NORMAL - 10,
};

struct subscription {
	struct subscription_handler handler;
	enum characteristic characteristic;
	uint16_t mtu;
	bool dropped;	/* a packet that was too long */
	usec_t arrived; /* the last packet */
	int fd;
	sd_event_source *io;
};

static void take(struct subscription *s, const uint8_t *data, size_t size,
		 const struct timespec *stamp)
{
	usec_t now = clock_boot_usec();

	if (size + ATT_HEADER_SIZE > s->mtu) {
		if (!s->dropped)
			s->handler.oversized(s->handler.userdata, s->characteristic, size, s->mtu);
		s->dropped = true;
		return;
	}
	s->handler.value(s->handler.userdata, s->characteristic, data, size,
			 packets_arrival(stamp, now, clock_offset_usec(), &s->arrived), now);
}

/* False: it has come to its end. */
static bool read_packets(struct subscription *s, unsigned max)
{
	uint8_t data[PACKET_SIZE];
	struct packet_extras extras;

	for (unsigned i = 0; i < max; i++) {
		ssize_t n = packets_receive(s->fd, data, sizeof(data), &extras);

		packets_close_fds(&extras);
		if (n < 0 || extras.end)
			return !extras.end;
		take(s, data, (size_t)n, &extras.stamp);
	}
	return true;
}

static int on_packets(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct subscription *s = userdata;

	if (read_packets(s, PACKETS_A_SLICE))
		return 0;
	s->io = sd_event_source_disable_unref(s->io);
	s->handler.ended(s->handler.userdata, s->characteristic);
	return 0;
}

void subscription_drain(struct subscription *s)
{
	(void)read_packets(s, PACKETS_LEFT_MAX); /* the end, or nothing more: both are well */
}

struct subscription *subscription_free(struct subscription *s)
{
	if (!s)
		return NULL;
	sd_event_source_disable_unref(s->io);
	if (s->fd >= 0)
		(void)close(s->fd); /* tells bluetoothd that nobody listens any more */
	free(s);
	return NULL;
}

int subscription_new(sd_event *event, int fd, uint16_t mtu, enum characteristic c,
		     const struct subscription_handler *handler, struct subscription **ret)
{
	_cleanup_(subscription_freep) struct subscription *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	*s = (struct subscription){.handler = *handler, .characteristic = c, .mtu = mtu};
	s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (s->fd < 0)
		return -errno;
	if (!packets_is_seqpacket(s->fd))
		return -EPROTO;
	r = packets_prepare(s->fd);
	if (r >= 0)
		r = sd_event_add_io(event, &s->io, s->fd, EPOLLIN, on_packets, s);
	if (r >= 0)
		r = sd_event_source_set_priority(s->io, PRIORITY);
	if (r < 0)
		return r;
	*ret = TAKE(s);
	return 0;
}
