/*
 * util/reach: which addresses make a network, which messages of the kernel are news, and that bytes
 * that are no messages do no harm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/reach.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>

enum { RUNNING = IFF_UP | IFF_RUNNING };

struct address {
	struct ifaddrs i;
	struct sockaddr_in6 a;
};

static struct ifaddrs *address(struct address *a, const char *name, unsigned flags,
			       const char *text, struct ifaddrs *next)
{
	struct sockaddr_in four = {.sin_family = AF_INET};

	*a = (struct address){.i = {.ifa_next = next,
				    .ifa_name = (char *)name,
				    .ifa_flags = flags,
				    .ifa_addr = (struct sockaddr *)&a->a}};
	if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
		memcpy(&a->a, &four, sizeof(four));
	else if (inet_pton(AF_INET6, text, &a->a.sin6_addr) == 1)
		a->a.sin6_family = AF_INET6;
	else
		a->i.ifa_addr = NULL; /* as a tunnel without one */
	return &a->i;
}

static bool usable(const char *name, unsigned flags, const char *text)
{
	struct address a;
	struct reach r;

	reach_of(address(&a, name, flags, text, NULL), &r);
	return r.usable;
}

static void which_addresses_make_a_network(void **state)
{
	struct reach none;

	assert_true(usable("eth0", RUNNING, "192.168.1.7"));
	assert_true(usable("wlan0", RUNNING, "2001:db8::7"));
	assert_true(usable("wlan0", RUNNING, "fd00::7"));
	assert_false(usable("lo", RUNNING | IFF_LOOPBACK, "127.0.0.1"));
	assert_false(usable("lo", RUNNING | IFF_LOOPBACK,
			    "10.9.9.9"));		     /* an alias there leads nowhere */
	assert_false(usable("eth0", IFF_UP, "192.168.1.7")); /* no cable */
	assert_false(usable("eth0", IFF_RUNNING, "192.168.1.7"));
	assert_false(usable("eth0", RUNNING, "169.254.3.4")); /* nobody gave it a better one */
	assert_false(usable("eth0", RUNNING, "fe80::1"));
	assert_false(usable("eth0", RUNNING, "::1"));
	assert_false(usable("eth0", RUNNING, "0.0.0.0"));
	assert_false(usable("tun0", RUNNING, ""));
	reach_of(NULL, &none);
	assert_false(none.usable);
}

static void another_address_is_another_print(void **state)
{
	struct address a[3];
	struct reach one, two, turned, other, moved;

	reach_of(address(&a[0], "eth0", RUNNING, "192.168.1.7", NULL), &one);
	reach_of(address(&a[1], "eth0", RUNNING, "2001:db8::7", &a[0].i), &two);
	(void)address(&a[1], "eth0", RUNNING, "2001:db8::7", NULL);
	reach_of(address(&a[2], "eth0", RUNNING, "192.168.1.7", &a[1].i), &turned);
	reach_of(address(&a[0], "eth0", RUNNING, "192.168.1.8", NULL), &other);
	reach_of(address(&a[0], "wlan0", RUNNING, "192.168.1.7", NULL), &moved);
	assert_true(one.print != two.print && one.print != other.print && one.print != moved.print);
	assert_true(two.print == turned.print);
}

static void the_kernel_is_asked(void **state)
{
	struct reach r = {.usable = true, .print = 99};

	reach_look(&r);
	assert_int_not_equal(r.print, 99); /* whatever this machine has */
	assert_true(r.usable || r.print == 0);
}

static size_t message(uint8_t *at, uint16_t type, uint16_t flags, const void *body, size_t size)
{
	struct nlmsghdr h = {.nlmsg_len = (uint32_t)(sizeof(h) + size),
			     .nlmsg_type = type,
			     .nlmsg_flags = flags};

	memcpy(at, &h, sizeof(h));
	if (size)
		memcpy(at + sizeof(h), body, size);
	return sizeof(h) + size;
}

static unsigned news(uint16_t type, uint16_t flags, const void *body, size_t size)
{
	uint8_t bytes[256];

	return reach_news(bytes, message(bytes, type, flags, body, size));
}

static void which_messages_are_news(void **state)
{
	const struct rtmsg way_out = {.rtm_family = AF_INET, .rtm_type = RTN_UNICAST};
	const struct rtmsg near = {.rtm_family = AF_INET,
				   .rtm_dst_len = 24,
				   .rtm_type = RTN_UNICAST};
	const struct rtmsg dead_end = {.rtm_family = AF_INET6, .rtm_type = RTN_UNREACHABLE};

	assert_int_equal(news(RTM_NEWLINK, 0, NULL, 0), REACH_LOOK);
	assert_int_equal(news(RTM_DELLINK, 0, NULL, 0), REACH_LOOK);
	assert_int_equal(news(RTM_NEWADDR, 0, NULL, 0), REACH_LOOK);
	assert_int_equal(news(RTM_DELADDR, 0, NULL, 0), REACH_LOOK);
	assert_int_equal(news(RTM_DELROUTE, 0, &way_out, sizeof(way_out)), REACH_LOOK);
	assert_int_equal(news(RTM_NEWROUTE, 0, &way_out, sizeof(way_out)), REACH_ROUTE);
	assert_int_equal(news(RTM_NEWROUTE, NLM_F_REPLACE, &way_out, sizeof(way_out)), 0);
	assert_int_equal(news(RTM_NEWROUTE, 0, &near, sizeof(near)), 0);
	assert_int_equal(news(RTM_NEWROUTE, 0, &dead_end, sizeof(dead_end)), 0);
	assert_int_equal(news(RTM_NEWROUTE, 0, &way_out, 7), 0); /* cut */
	assert_int_equal(news(RTM_NEWNEIGH, 0, NULL, 0), 0);
	assert_int_equal(news(NLMSG_ERROR, 0, NULL, 0), 0);
}

static void many_in_one_datagram(void **state)
{
	const struct rtmsg way_out = {.rtm_family = AF_INET, .rtm_type = RTN_UNICAST};
	uint8_t bytes[256] = {0};
	size_t n = message(bytes, RTM_NEWNEIGH, 0, "abcde", 5);

	n += 3; /* padded */
	n += message(bytes + n, RTM_NEWADDR, 0, NULL, 0);
	n += message(bytes + n, RTM_NEWROUTE, 0, &way_out, sizeof(way_out));
	assert_int_equal(reach_news(bytes, n), REACH_LOOK | REACH_ROUTE);
	assert_int_equal(reach_news(bytes, n - 1), REACH_LOOK); /* the last one is cut */
	bytes[0] = 15;						/* shorter than its own header */
	assert_int_equal(reach_news(bytes, n), 0);
	memset(bytes, 0xff, 4);
	assert_int_equal(reach_news(bytes, n), 0);
	assert_int_equal(reach_news(bytes, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(which_addresses_make_a_network),
		cmocka_unit_test(another_address_is_another_print),
		cmocka_unit_test(the_kernel_is_asked),
		cmocka_unit_test(which_messages_are_news),
		cmocka_unit_test(many_in_one_datagram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
