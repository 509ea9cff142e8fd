/*
 * The sockets of the source l2cap: libbluetooth's only door.
 *
 * For a connection nothing is needed but the permission to open AF_BLUETOOTH: fixed channel 4 of
 * L2CAP is the Attribute Protocol (Core Specification, Vol 3 Part A 2.1), connecting to it makes the
 * kernel scan for the wearable and create the link, and a packet is a PDU. The kernel tells success
 * and failure by SO_ERROR. The security level stays low: a higher one needs keys, which only
 * bluetoothd has.
 *
 * The management socket is bound to no adapter; who has no CAP_NET_ADMIN may ask on it, but not
 * change anything.
 *
 * sys/socket.h has to come before the headers of libbluetooth, which do without what they use.
 */
#include "source/l2cap_source.h"

#include <bluetooth/bluetooth.h>
#include <bluetooth/hci.h>
#include <bluetooth/l2cap.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHANNEL_ATT = 4 };

static int bind_to(int fd, const void *address, size_t size)
{
	if (fd < 0)
		return -errno;
	if (bind(fd, address, (socklen_t)size) < 0) {
		int r = -errno;

		(void)close(fd); /* nothing was done with it */
		return r;
	}
	return fd;
}

static int manage(void *userdata)
{
	struct sockaddr_hci address = {.hci_family = AF_BLUETOOTH,
				       .hci_dev = HCI_DEV_NONE,
				       .hci_channel = HCI_CHANNEL_CONTROL};
	int fd = socket(AF_BLUETOOTH, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, BTPROTO_HCI);

	return bind_to(fd, &address, sizeof(address));
}

static int begin_connect(void *userdata, const char *adapter, const char *address, bool random)
{
	struct sockaddr_l2 from = {.l2_family = AF_BLUETOOTH,
				   .l2_cid = htobs(CHANNEL_ATT),
				   .l2_bdaddr_type = BDADDR_LE_PUBLIC};
	struct sockaddr_l2 to = from;
	int fd = socket(AF_BLUETOOTH, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, BTPROTO_L2CAP);

	if (str2ba(adapter, &from.l2_bdaddr) < 0 || str2ba(address, &to.l2_bdaddr) < 0) {
		if (fd >= 0)
			(void)close(fd); /* nothing was done with it */
		return -EINVAL;
	}
	to.l2_bdaddr_type = random ? BDADDR_LE_RANDOM : BDADDR_LE_PUBLIC;
	fd = bind_to(fd, &from, sizeof(from));
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 &&
	    errno != EINPROGRESS) {
		int r = -errno;

		(void)close(fd); /* nothing was done with it */
		return r;
	}
	return fd;
}

int source_l2cap_new(sd_event *event, const struct config *config, struct profiles profiles,
		     const struct source_handler *handler, struct source **ret)
{
	/* To list all takes an honest one a minute, in the least MTU over a slow link that loses much. */
	static const struct l2cap_door door = {.manage = manage,
					       .connect = begin_connect,
					       .pause = USEC_PER_SEC,
					       .link_ends = 3 * USEC_PER_SEC,
					       .list_wait = 120 * USEC_PER_SEC};

	return l2cap_source_new(event, config, profiles, &door, handler, ret);
}
