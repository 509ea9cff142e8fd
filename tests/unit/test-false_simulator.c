/*
 * The daemon's source with a false simulator at its other end, which is the test: nonsense ends in a hang-up
 * and a sentence, and nobody is connected afterwards; what is only unusual is taken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "simulate_bench.h"

#include <sys/socket.h>
#include <sys/un.h>

static int false_listener(struct bench *b)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", b->socket);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static void say(int fd, const char *text, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(4 * sizeof(int))];
	} control = {.header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	struct iovec iov = {.iov_base = (char *)text, .iov_len = strlen(text)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds > 0) {
		control.header.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
	}
	assert_true(sendmsg(fd, &m, MSG_NOSIGNAL) >= 0);
}

#define STRAP_1 "strap " FIRST " Simulated strap"
#define LINK_1	"link " FIRST " 2a37 232"

static void nonsense_ends_the_connection(void **state)
{
	static const struct {
		const char *messages[5];
		unsigned n_fds; /* with the last one */
		bool pipe;	/* which are no sockets */
	} cases[] = {
		{{"\x01\x02\xff"}, 0, false},
		{{STRAP_1}, 0, false}, /* no hello */
		{{"hello 2"}, 0, false},
		{{"hello 1", "hello 1"}, 0, false},
		{{"hello 1"}, 1, false},
		{{"hello 1", STRAP_1, STRAP_1}, 0, false},
		{{"hello 1", "value " FIRST " 2a19 60"}, 0, false},
		{{"hello 1", "gone " FIRST " link_loss"}, 0, false},
		{{"hello 1", STRAP_1, LINK_1}, 0, false},
		{{"hello 1", STRAP_1, LINK_1}, 2, false},
		{{"hello 1", STRAP_1, LINK_1}, 4, false},
		{{"hello 1", STRAP_1, LINK_1}, 1, true},
		{{"hello 1", STRAP_1, "gone " FIRST " power_cut"}, 0, false},
	};
	struct bench *b = *state;
	int listener = false_listener(b);

	listen_to(b);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned problems = b->n_problems, last = 0;
		int pair[4], fd;

		assert_true(sd_event_run(b->event, USEC_INFINITY) >= 0); /* connects */
		fd = accept(listener, NULL, NULL);
		assert_true(fd >= 0);
		assert_int_equal(cases[i].pipe ? pipe(pair)
					       : socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair),
				 0);
		pair[2] = pair[0];
		pair[3] = pair[1];
		while (last + 1 < 5 && cases[i].messages[last + 1])
			last++;
		say(fd, "hello 1", NULL, 0);
		(void)close(fd); /* so that each case starts from being there */
		RUN_UNTIL(b, b->n_problems == problems + 1);
		problems++;
		assert_true(sd_event_run(b->event, USEC_INFINITY) >= 0);
		fd = accept(listener, NULL, NULL);
		for (unsigned m = 0; m <= last; m++)
			say(fd, cases[i].messages[m], pair, m == last ? cases[i].n_fds : 0);
		/* Hung up on, whether or not it had been told that somebody is there. */
		char byte;

		while (sd_event_run(b->event, 0) > 0 || recv(fd, &byte, 1, MSG_DONTWAIT) != 0)
			;
		assert_false(b->there);
		assert_int_equal(b->n_connected, b->n_disconnected);
		(void)close(fd);
		(void)close(pair[0]);
		(void)close(pair[1]);
	}
	(void)close(listener);
}

static void a_link_may_end_without_a_word_and_packets_be_long(void **state)
{
	struct bench *b = *state;
	int listener = false_listener(b), pair[2], fd;
	char packet[2000];

	listen_to(b);
	assert_true(sd_event_run(b->event, USEC_INFINITY) >= 0);
	fd = accept(listener, NULL, NULL);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	say(fd, "hello 1", NULL, 0);
	say(fd, STRAP_1, NULL, 0);
	say(fd, LINK_1, &pair[1], 1);
	(void)close(pair[1]);
	memset(packet, 'x', sizeof(packet));
	assert_int_equal(send(pair[0], packet, sizeof(packet), 0), sizeof(packet));
	for (unsigned i = 0; i < 150; i++) /* more than one slice */
		assert_int_equal(send(pair[0], packet, i % 3, 0), i % 3);
	assert_int_equal(send(pair[0], packet, 0, 0), 0);
	(void)close(pair[0]);
	RUN_UNTIL(b, b->n_disconnected == 1);
	assert_int_equal(b->n_frames, 152);
	assert_int_equal(strcspn((char *)b->heard.data, "\n"), 23 + 2 * 1024);
	assert_int_equal(b->why, GAP_LINK_LOSS);
	assert_true(b->there);
	(void)close(fd);
	(void)close(listener);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(nonsense_ends_the_connection),
		TEST(a_link_may_end_without_a_word_and_packets_be_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
