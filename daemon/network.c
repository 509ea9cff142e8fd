/*
 * One NETLINK_ROUTE socket. What the kernel tells is only a reason to look (util/reach.c says why):
 *
 *	a message -> SETTLING, until nothing was heard for a second, ten at most -> look
 *	    usable, and was not, or with other addresses, or by another way out  -> back()
 *	    not usable                                                          -> offline
 *
 * A network that comes up says so in a dozen messages: link, carrier, addresses, the check for
 * duplicates of each, routes. Only at the end of them is it worth to try.
 *
 * When more is said than the socket holds the kernel drops it and recv() fails with ENOBUFS: then
 * something has changed. What of it shows in the addresses, looking tells; a new way out does not.
 */
#include "network.h"

#include "model/catalog.h"
#include "model/config.h"
#include "model/value.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/reach.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#define SETTLE	   USEC_PER_SEC
#define SETTLE_MAX (10 * USEC_PER_SEC)

enum {
	DATAGRAM_MAX = 16384,
	DATAGRAMS_MAX = 64, /* in one turn of the loop */
	GROUPS = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
		 RTMGRP_IPV6_ROUTE,
};

struct network {
	struct network_handler handler;
	void (*look)(struct reach *ret);
	int fd;
	sd_event_source *io, *timer;
	struct reach reach;
	bool new_route;
	usec_t settling_since; /* 0: nothing was heard since the last look */
};

struct network *network_free(struct network *n)
{
	if (!n)
		return NULL;
	sd_event_source_disable_unref(n->io);
	sd_event_source_disable_unref(n->timer);
	if (n->fd >= 0)
		(void)close(n->fd); /* only read */
	free(n);
	return NULL;
}

static int on_settled(sd_event_source *source, uint64_t at, void *userdata)
{
	struct network *n = userdata;
	struct reach was = n->reach;
	bool back;

	n->look(&n->reach);
	n->settling_since = 0;
	back = n->reach.usable && (!was.usable || n->reach.print != was.print || n->new_route);
	n->new_route = false;
	if (was.usable && !n->reach.usable)
		log_event(LOG_WARNING, CATALOG_NETWORK, NULL,
			  "There is no network any more: what is heard waits here");
	else if (!was.usable && n->reach.usable)
		log_event(LOG_NOTICE, CATALOG_NETWORK, NULL, "There is a network again");
	if (back)
		n->handler.back(n->handler.userdata);
	return 0;
}

static void settle(struct network *n)
{
	usec_t now = clock_boot_usec();

	if (n->settling_since == 0)
		n->settling_since = now;
	if (sd_event_source_set_time(n->timer, MIN(now + SETTLE, n->settling_since + SETTLE_MAX)) <
		    0 ||
	    sd_event_source_set_enabled(n->timer, SD_EVENT_ONESHOT) < 0)
		log_error("The network's timer cannot be set");
}

static int on_message(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	static uint8_t datagram[DATAGRAM_MAX]; /* one loop, and nothing of it is kept */
	struct network *n = userdata;
	unsigned news = 0;

	for (unsigned i = 0; i < DATAGRAMS_MAX; i++) {
		ssize_t size = recv(fd, datagram, sizeof(datagram), MSG_DONTWAIT);

		if (size < 0 && errno == EAGAIN)
			break;
		if (size < 0 && errno != EINTR)
			news |= REACH_LOOK | REACH_ROUTE; /* ENOBUFS: some were lost */
		else if (size > 0)
			news |= reach_news(datagram, (size_t)size);
	}
	n->new_route |= (news & REACH_ROUTE) != 0;
	if (news)
		settle(n);
	return 0;
}

int network_new_from(sd_event *event, int fd, void (*look)(struct reach *ret),
		     const struct network_handler *handler, struct network **ret)
{
	_cleanup_(network_freep) struct network *n = calloc(1, sizeof(*n));
	int r;

	if (!n) {
		(void)close(fd); /* nothing was read from it */
		return -ENOMEM;
	}
	n->fd = fd;
	n->look = look;
	n->handler = *handler;
	r = sd_event_add_io(event, &n->io, fd, EPOLLIN, on_message, n);
	if (r >= 0)
		r = sd_event_add_time(event, &n->timer, CLOCK_BOOTTIME, 0, USEC_PER_MSEC,
				      on_settled, n);
	if (r >= 0)
		r = sd_event_source_set_enabled(n->timer, SD_EVENT_OFF);
	if (r < 0)
		return r;
	look(&n->reach); /* after the socket: nothing is missed in between */
	*ret = TAKE(n);
	return 0;
}

int network_new(sd_event *event, const struct network_handler *handler, struct network **ret)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = GROUPS};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int r = -errno;

		(void)close(fd); /* nothing was read from it */
		return r;
	}
	return network_new_from(event, fd, reach_look, handler, ret);
}

bool network_usable(const struct network *n)
{
	return !n || n->reach.usable;
}

bool network_needed(const struct config *c)
{
	for (size_t i = 0; i < c->n_sinks; i++)
		if (value_url_is_here(c->sinks[i].proxy ? c->sinks[i].proxy : c->sinks[i].url))
			return false;
	return c->n_sinks > 0;
}
