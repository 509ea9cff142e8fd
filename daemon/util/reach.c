/*
 * A hub is offline when no link that is up has an address beyond the link itself. That is less than
 * "the server answers", which only asking the server tells, and it is the same under
 * NetworkManager, networkd and dhcpcd. IPv4 link-local addresses do not count: DHCP clients take
 * one when nobody gave them a better one.
 *
 * The messages (netlink(7), rtnetlink(7)), each padded to four bytes, in the byte order of the
 * machine:
 *
 *	u32 length, u16 type, u16 flags, u32, u32     struct nlmsghdr
 *	RTM_NEWLINK, RTM_DELLINK    ...               wireless drivers send many that change nothing
 *	RTM_NEWADDR, RTM_DELADDR    ...               also when a lease is renewed
 *	RTM_NEWROUTE                u8 family, u8 bits of the destination, ..., u8 type at 7
 *
 * So links and addresses are only a reason to look again, and what is seen then is compared with
 * what was. A default route is news by itself, unless it takes the place of another (NLM_F_REPLACE:
 * IPv6 routers are heard every few minutes).
 */
#include "util/reach.h"

#include "util/bytes.h"

#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>

enum { ROUTE_TYPE_AT = 7 }; /* of struct rtmsg */

/* FNV-1a. */
static uint64_t hash(uint64_t h, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i++)
		h = (h ^ bytes[i]) * UINT64_C(1099511628211);
	return h;
}

static bool is_global_4(const struct in_addr *a)
{
	uint32_t host = ntohl(a->s_addr);

	return host >> 24 != IN_LOOPBACKNET && host >> 16 != 0xa9fe && host != INADDR_ANY;
}

static bool is_global_6(const struct in6_addr *a)
{
	return !IN6_IS_ADDR_LOOPBACK(a) && !IN6_IS_ADDR_LINKLOCAL(a) && !IN6_IS_ADDR_UNSPECIFIED(a);
}

/* Adds one address to what is known; one that leads nowhere is none. */
static void add(const struct ifaddrs *i, struct reach *ret)
{
	uint64_t h = hash(UINT64_C(14695981039346656037), i->ifa_name, strlen(i->ifa_name));

	if (i->ifa_addr->sa_family == AF_INET) {
		struct sockaddr_in four;

		memcpy(&four, i->ifa_addr, sizeof(four));
		if (!is_global_4(&four.sin_addr))
			return;
		h = hash(h, &four.sin_addr, sizeof(four.sin_addr));
	} else if (i->ifa_addr->sa_family == AF_INET6) {
		struct sockaddr_in6 six;

		memcpy(&six, i->ifa_addr, sizeof(six));
		if (!is_global_6(&six.sin6_addr))
			return;
		h = hash(h, &six.sin6_addr, sizeof(six.sin6_addr));
	} else {
		return;
	}
	ret->usable = true;
	ret->print ^= h; /* in whatever order they come */
}

void reach_of(const struct ifaddrs *list, struct reach *ret)
{
	*ret = (struct reach){0};
	for (const struct ifaddrs *i = list; i; i = i->ifa_next)
		if (i->ifa_addr && i->ifa_flags & IFF_UP && i->ifa_flags & IFF_RUNNING &&
		    !(i->ifa_flags & IFF_LOOPBACK))
			add(i, ret);
}

void reach_look(struct reach *ret)
{
	struct ifaddrs *list;

	if (getifaddrs(&list) < 0) {
		*ret = (struct reach){.usable = true};
		return;
	}
	reach_of(list, ret);
	freeifaddrs(list);
}

static unsigned news_of(const struct nlmsghdr *h, struct bytes *body)
{
	const uint8_t *route;

	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
	case RTM_NEWADDR:
	case RTM_DELADDR:
	case RTM_DELROUTE: return REACH_LOOK;
	case RTM_NEWROUTE:
		route = bytes_take(body, sizeof(struct rtmsg));
		return route && route[1] == 0 && route[ROUTE_TYPE_AT] == RTN_UNICAST &&
				       !(h->nlmsg_flags & NLM_F_REPLACE)
			       ? REACH_ROUTE
			       : 0;
	default: return 0;
	}
}

unsigned reach_news(const void *data, size_t size)
{
	struct bytes in = bytes_make(data, size);
	unsigned news = 0;

	while (bytes_left(&in) >= sizeof(struct nlmsghdr)) {
		const uint8_t *at = bytes_take(&in, sizeof(struct nlmsghdr)), *rest;
		struct nlmsghdr h;
		struct bytes body;

		memcpy(&h, at, sizeof(h));
		if (h.nlmsg_len < sizeof(h))
			break;
		rest = bytes_take(&in, h.nlmsg_len - sizeof(h));
		if (!rest)
			break;
		body = bytes_make(rest, h.nlmsg_len - sizeof(h));
		news |= news_of(&h, &body);
		(void)bytes_take(&in, MIN(bytes_left(&in), -h.nlmsg_len % NLMSG_ALIGNTO));
	}
	return news;
}
