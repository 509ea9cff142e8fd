/*
 * A socket ends when recvmsg() gives nothing *and* no credentials: an empty packet, which is a
 * notification without bytes, brings the sender's along (SO_PASSCRED), the end does not. poll()
 * cannot tell the two apart once the other side has hung up.
 *
 * Stamps are wall time, because that is what the kernel gives for AF_UNIX; only their age counts. If
 * the clock was set between the packet and its reading the age is wrong by as much. Set back, the
 * packet seems to come from the future; set forward, from before the one that came before it on
 * this socket: then the stamp is dropped. A packet that seems to be early is worse than one that is
 * late: the sensor's clock is compared with the least delayed.
 */
#include "source/packets.h"

#include <sys/socket.h>
#include <unistd.h>

#define OLDEST_PACKET (600 * USEC_PER_SEC) /* an older stamp is a clock that was set */

int packets_prepare(int fd)
{
	int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) < 0)
		return -errno;
	return 0;
}

ssize_t packets_receive(int fd, void *data, size_t size, struct packet_extras *ret)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(PACKET_FDS_SENT_MAX * sizeof(int)) +
			   CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(struct timespec))];
	} control;
	struct iovec iov = {.iov_base = data, .iov_len = size};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	static_assert(sizeof(control) <= PACKET_FDS_MAX * sizeof(int), "no credentials, more room");
	*ret = (struct packet_extras){.end = n == 0 && m.msg_controllen == 0};
	if (n < 0) {
		ret->end = errno != EAGAIN && errno != EINTR;
		return -1;
	}
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS) {
			ret->n_fds = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(ret->fds, CMSG_DATA(c), ret->n_fds * sizeof(int));
		} else if (c->cmsg_type == SCM_TIMESTAMPNS) {
			memcpy(&ret->stamp, CMSG_DATA(c), sizeof(ret->stamp));
		}
	}
	return n;
}

void packets_close_fds(struct packet_extras *extras)
{
	for (unsigned i = 0; i < extras->n_fds; i++)
		if (extras->fds[i] >= 0)
			(void)close(extras->fds[i]); /* nothing of ours was written to it */
	extras->n_fds = 0;
}

bool packets_is_seqpacket(int fd)
{
	int type = 0, domain = 0;
	socklen_t size = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET &&
	       getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

usec_t packets_arrival(const struct timespec *stamp, usec_t now, int64_t offset_us, usec_t *last)
{
	int64_t stamp_us = (int64_t)stamp->tv_sec * 1000000 + stamp->tv_nsec / 1000;
	int64_t age = (int64_t)now + offset_us - stamp_us;
	usec_t arrival = now;

	if (stamp_us != 0 && age >= 0 && age <= (int64_t)OLDEST_PACKET &&
	    *last + (usec_t)age <= now)
		arrival = now - (usec_t)age;
	*last = arrival;
	return arrival;
}
