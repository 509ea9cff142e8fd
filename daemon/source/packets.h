/*
 * Packets of a SEQPACKET socket, with what the kernel tells of each: when it came, and whether an
 * empty one is a packet or the end. Simulated wearables and bluetoothd hand notifications over on
 * such sockets.
 */
#pragma once

#include "util/macro.h"

#include <sys/types.h>
#include <time.h>

enum {
	PACKET_FDS_SENT_MAX = 4, /* taken from one packet, to close the surplus */
	PACKET_FDS_MAX = 24,	 /* what fits where they, credentials and a stamp are received */
};

/* What comes along with a packet. */
struct packet_extras {
	int fds[PACKET_FDS_MAX]; /* the receiver's to close */
	unsigned n_fds;
	struct timespec stamp; /* when the kernel took it, wall time; zero: it has none */
	bool end;	       /* there will be no more */
};

/* Before the first packet is received: asks for stamps and credentials. */
int packets_prepare(int fd);
/* One packet. < 0: none now; 0 with `end`: none ever. */
ssize_t packets_receive(int fd, void *data, size_t size, struct packet_extras *ret);
/* All but those that were taken, which are -1 now. */
void packets_close_fds(struct packet_extras *extras);
bool packets_is_seqpacket(int fd);
/*
 * When the packet reached this machine. A daemon that was stopped for a while, or sat in a slow commit,
 * reads a socket full of old packets; heart rate carries no time of its own, and would all be given the
 * moment it was read. `offset_us`: wall time minus boot time. `last`: when the packet before it on this
 * socket arrived, and then when this one did.
 */
usec_t packets_arrival(const struct timespec *stamp, usec_t now, int64_t offset_us, usec_t *last);
