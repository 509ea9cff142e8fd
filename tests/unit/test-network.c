/*
 * daemon/network on a clock that stands still and with a socket that the test speaks into: when it
 * says that the network is back, and when it rather does not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "network.h"
#include "told-time.h"
#include "util/log.h"
#include "util/reach.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct bench {
	sd_event *event;
	struct network *network;
	int kernel; /* our end */
	unsigned backs;
};

static struct reach there; /* what looking shows */
static int overruns;	   /* so often recv() fails as if the socket had been too small */

/* Before that of the C library. */
ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
	if (overruns > 0) {
		overruns--;
		errno = ENOBUFS;
		return -1;
	}
	return syscall(SYS_recvfrom, fd, buffer, size, flags, NULL, NULL);
}

static void look(struct reach *ret)
{
	*ret = there;
}

static void on_back(void *userdata)
{
	struct bench *b = userdata;

	b->backs++;
}

static int set_up(void **state)
{
	static struct bench bench;
	struct network_handler handler = {.userdata = &bench, .back = on_back};
	int fds[2];

	log_init(LOG_TARGET_STDERR, LOG_ERR);
	bench = (struct bench){0};
	there = (struct reach){.usable = true, .print = 1};
	overruns = 0;
	assert_int_equal(sd_event_new(&bench.event), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
	bench.kernel = fds[0];
	assert_int_equal(network_new_from(bench.event, fds[1], look, &handler, &bench.network), 0);
	*state = &bench;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	b->network = network_free(b->network);
	sd_event_unref(b->event);
	return close(b->kernel);
}

static void turn(struct bench *b)
{
	while (sd_event_run(b->event, 0) > 0)
		continue;
}

static void pass(struct bench *b, usec_t us)
{
	told_time_set(told_time() + us);
	turn(b);
}

static void say(struct bench *b, uint16_t type)
{
	struct {
		struct nlmsghdr h;
		struct rtmsg route;
	} m = {.h = {.nlmsg_len = sizeof(m), .nlmsg_type = type},
	       .route = {.rtm_family = AF_INET, .rtm_type = RTN_UNICAST}};

	assert_int_equal(send(b->kernel, &m, sizeof(m), 0), sizeof(m));
	turn(b);
}

static void comes_back_once_for_a_dozen_messages(void **state)
{
	struct bench *b = *state;

	there = (struct reach){0};
	say(b, RTM_DELADDR);
	pass(b, 2 * USEC_PER_SEC);
	assert_false(network_usable(b->network));
	assert_int_equal(b->backs, 0);
	there = (struct reach){.usable = true, .print = 1};
	for (int i = 0; i < 6; i++) {
		say(b, i < 3 ? RTM_NEWADDR : RTM_NEWROUTE);
		pass(b, 300 * USEC_PER_MSEC);
		assert_int_equal(b->backs, 0); /* more may follow */
	}
	pass(b, USEC_PER_SEC);
	assert_int_equal(b->backs, 1);
	assert_true(network_usable(b->network));
	pass(b, 3600 * USEC_PER_SEC);
	assert_int_equal(b->backs, 1);
}

static void a_renewed_lease_is_no_news(void **state)
{
	struct bench *b = *state;

	for (int i = 0; i < 50; i++) {
		say(b, i % 2 ? RTM_NEWADDR : RTM_NEWLINK);
		pass(b, 60 * USEC_PER_SEC);
	}
	assert_int_equal(b->backs, 0);
}

static void another_address_and_another_way_out_are(void **state)
{
	struct bench *b = *state;

	there.print = 2;
	say(b, RTM_NEWADDR);
	pass(b, 2 * USEC_PER_SEC);
	assert_int_equal(b->backs, 1);
	say(b, RTM_NEWROUTE);
	pass(b, 2 * USEC_PER_SEC);
	assert_int_equal(b->backs, 2);
	say(b, RTM_NEWLINK); /* the route was told already */
	pass(b, 2 * USEC_PER_SEC);
	assert_int_equal(b->backs, 2);
}

static void a_route_without_an_address_is_no_network(void **state)
{
	struct bench *b = *state;

	there = (struct reach){0};
	say(b, RTM_NEWROUTE);
	pass(b, 2 * USEC_PER_SEC);
	assert_int_equal(b->backs, 0);
	assert_false(network_usable(b->network));
}

/* Wireless drivers can chatter without end. */
static void does_not_wait_for_silence_for_ever(void **state)
{
	struct bench *b = *state;

	there.print = 3;
	for (int i = 0; i < 25 && b->backs == 0; i++) {
		say(b, RTM_NEWLINK);
		pass(b, 500 * USEC_PER_MSEC);
		assert_true(i >= 18 || b->backs == 0);
	}
	assert_int_equal(b->backs, 1);
}

static void what_was_lost_counts_as_a_change(void **state)
{
	struct bench *b = *state;

	overruns = 1; /* a new way out may have been in it: the addresses are the same */
	assert_int_equal(send(b->kernel, "x", 1, 0), 1); /* no message: only the overrun tells */
	turn(b);
	pass(b, 2 * USEC_PER_SEC);
	assert_int_equal(b->backs, 1);
}

static void the_real_socket_opens(void **state)
{
	struct bench *b = *state;
	struct network_handler handler = {.userdata = b, .back = on_back};
	struct network *n = NULL;

	assert_int_equal(network_new(b->event, &handler, &n), 0);
	network_free(n);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(comes_back_once_for_a_dozen_messages),
		TEST(a_renewed_lease_is_no_news),
		TEST(another_address_and_another_way_out_are),
		TEST(a_route_without_an_address_is_no_network),
		TEST(does_not_wait_for_silence_for_ever),
		TEST(what_was_lost_counts_as_a_change),
		TEST(the_real_socket_opens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
