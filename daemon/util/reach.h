/*
 * Is there a network to send over? What the kernel says of this machine's addresses, and which of
 * its messages (rtnetlink) are a reason to look again.
 */
#pragma once

#include "util/macro.h"

struct ifaddrs;

struct reach {
	bool usable;	/* an address that others can answer to, on a link that is up */
	uint64_t print; /* changes when any of them does */
};

/* As it is now. Where the kernel does not say: usable, for trying costs little. */
void reach_look(struct reach *ret);
/* The same of a list from getifaddrs(3); NULL is an empty one. */
void reach_of(const struct ifaddrs *list, struct reach *ret);

enum reach_news {
	REACH_LOOK = 1,	 /* links or addresses changed */
	REACH_ROUTE = 2, /* a way out that was not there before */
};
/* One datagram of a NETLINK_ROUTE socket: bits of enum reach_news. */
unsigned reach_news(const void *data, size_t size);
