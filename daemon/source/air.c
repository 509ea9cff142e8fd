/*
 * How bytes get from a simulated strap to the daemon, and how it is known what did not.
 *
 *	simulator                                            daemon
 *	listener  <-- connect ------------------------------ control
 *	client    --- "hello", "strap", "value" ... -------> (handover.h)
 *	          --- "link ADDRESS UUID MTU" + descriptor -> end B
 *	end A     === one packet a notification ===========> end B
 *	dup of B  (kept here)
 *
 * Why the dup: the packets in a socketpair live as long as some descriptor of end B does. When the
 * daemon dies by SIGKILL, its control connection hangs up; what it had not read is then still in B,
 * and is read here instead, packet by packet, before B goes. Packets leave in order, so if k of
 * them remain they are the last k that were sent, and a ring of numbers a link says which. What was
 * sent between the death and our noticing is among them. So `yes - unread` is exact, to the packet.
 *
 * A link that ends before the daemon has read all of it keeps its dup (end A is closed: the daemon
 * reads to the end and sees the hang-up) until it is empty.
 *
 *	link:  UP -- air_unlink --> ENDING -- empty --> freed
 *	         \                     \---- daemon gone, air_close --> rest told as unread, freed
 *	          \--- daemon gone, air_close ----------------------/
 *
 * Full means full: SO_SNDBUF of end A counts the kernel's overhead as well, so that 212992 bytes
 * (the default of Linux, and what bluetoothd leaves it at) hold 167 frames of 229 bytes. Nobody
 * queues. An empty packet is a notification without bytes, not the end; SO_PASSCRED tells them
 * apart, since a packet brings credentials along and the end of a connection does not.
 *
 * One daemon at a time: while one is connected the next waits in the backlog of the listener.
 */
#include "source/air.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	BACKLOG = 8,
	PACKET_TRUESIZE_MIN =
		256, /* no sk_buff is accounted for less: bounds packets in a socket */
	CONTROL_SNDBUF =
		1 << 20,  /* a few hundred reconnections that a stopped daemon has not read */
	ENDING_MAX = 192, /* links kept for a daemon that does not read; then it is told off */
};

struct link {
	struct link *next;
	char device[DEVICE_ADDRESS_SIZE];
	enum characteristic characteristic;
	int fd;		   /* end A; -1: ENDING */
	int other;	   /* dup of end B */
	uint64_t *numbers; /* of the last `capacity` packets sent, n_sent % capacity */
	size_t capacity;
	uint64_t n_sent;
};

struct air {
	sd_event *event;
	struct air_handler handler;
	int sndbuf;
	struct sockaddr_un address;
	int listener;
	int client; /* -1: nobody */
	sd_event_source *listener_source;
	sd_event_source *client_source;
	struct link *links;
};

static int close_fd(int fd)
{
	if (fd >= 0)
		(void)close(fd); /* a socket: nothing is lost by a failing close */
	return -1;
}

static struct link *link_free(struct link *l)
{
	if (!l)
		return NULL;
	l->fd = close_fd(l->fd);
	l->other = close_fd(l->other);
	free(l->numbers);
	free(l);
	return NULL;
}
DEFINE_CLEANUP(struct link *, link_free)

/* One packet of end B with these flags; false: there is none. An empty one is one. */
static bool take_packet(int fd, int flags)
{
	char control[CMSG_SPACE(sizeof(struct ucred))];
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};

	return recvmsg(fd, &m, MSG_DONTWAIT | flags) >= 0 && m.msg_controllen > 0;
}

static void tell_unread(struct air *a, struct link *l)
{
	uint64_t k = 0;

	while (take_packet(l->other, 0))
		k++;
	for (uint64_t i = l->n_sent - MIN(k, l->n_sent); i < l->n_sent; i++)
		a->handler.unread(a->handler.userdata, l->numbers[i % l->capacity]);
}

/* Frees links that ended and are empty; `all`: every link, telling what is unread in it. */
static size_t sweep(struct air *a, bool all)
{
	size_t ending = 0;

	for (struct link **p = &a->links; *p;) {
		struct link *l = *p;

		if (!all && (l->fd >= 0 || take_packet(l->other, MSG_PEEK))) {
			ending += l->fd < 0;
			p = &l->next;
			continue;
		}
		if (all)
			tell_unread(a, l);
		*p = l->next;
		link_free(l);
	}
	return ending;
}

static void drop_client(struct air *a)
{
	if (a->client < 0)
		return;
	sweep(a, true);
	a->client_source = sd_event_source_disable_unref(a->client_source);
	a->client = close_fd(a->client);
	(void)sd_event_source_set_enabled(a->listener_source,
					  SD_EVENT_ON); /* it exists: cannot fail */
	a->handler.listener(a->handler.userdata, false);
}

/* The daemon has nothing to say; what it says is thrown away. Its end is what matters. */
static int on_client(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct air *a = userdata;
	char junk[64];

	if (!(events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) &&
	    recv(fd, junk, sizeof(junk), MSG_DONTWAIT) > 0)
		return 0;
	drop_client(a);
	return 0;
}

static int on_listener(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct air *a = userdata;
	int size = CONTROL_SNDBUF;

	a->client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (a->client < 0)
		return 0;							 /* gave up again */
	(void)setsockopt(a->client, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)); /* else smaller */
	if (sd_event_add_io(a->event, &a->client_source, a->client, EPOLLIN | EPOLLRDHUP, on_client,
			    a) < 0 ||
	    sd_event_source_set_priority(a->client_source, SD_EVENT_PRIORITY_IMPORTANT) < 0) {
		a->client_source = sd_event_source_disable_unref(a->client_source);
		a->client = close_fd(a->client); /* no memory: the daemon tries again */
		return 0;
	}
	(void)sd_event_source_set_enabled(source, SD_EVENT_OFF); /* it exists: cannot fail */
	air_say(a, &(struct handover){.kind = HANDOVER_HELLO});
	a->handler.listener(a->handler.userdata, true);
	return 0;
}

struct air *air_free(struct air *a)
{
	if (!a)
		return NULL;
	while (a->links) {
		struct link *l = a->links;

		a->links = l->next;
		link_free(l);
	}
	sd_event_source_disable_unref(a->client_source);
	sd_event_source_disable_unref(a->listener_source);
	close_fd(a->client);
	if (a->listener >= 0)
		(void)unlink(a->address.sun_path); /* a leftover is replaced by the next one */
	close_fd(a->listener);
	sd_event_unref(a->event);
	free(a);
	return NULL;
}

static int fill_address(const char *path, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(ret->sun_path))
		return AIR_E_PATH;
	memcpy(ret->sun_path, path, strlen(path) + 1);
	return 0;
}

/* A socket file without a listener is left over from a process that was killed. */
static void remove_stale(int fd, const struct sockaddr_un *address)
{
	struct stat st;

	if (lstat(address->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return; /* nothing, or not ours to remove */
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
	    errno == ECONNREFUSED)
		(void)unlink(address->sun_path); /* bind() tells if it is still there */
}

/*
 * The daemon is not root: what root binds belongs to the owner of the directory, who made it the
 * place to meet. The owner's rights are taken for the call, so that nothing is changed by a path
 * that the owner might exchange meanwhile.
 */
static int bind_for_owner(int fd, const struct sockaddr_un *address)
{
	_cleanup_(freep) char *directory = strdup(address->sun_path);
	char *slash = directory ? strrchr(directory, '/') : NULL;
	struct stat st = {0};
	int r;

	if (slash)
		slash[slash == directory] = '\0';
	if (geteuid() != 0 || !slash || stat(directory, &st) < 0 || st.st_uid == 0)
		return bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno
											: 0;
	if (setegid(st.st_gid) < 0 || seteuid(st.st_uid) < 0)
		return -errno;
	r = bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
	return seteuid(0) < 0 || setegid(0) < 0 ? -errno : r;
}

int air_listen(const char *path, int *ret_fd)
{
	struct sockaddr_un address;
	int r = fill_address(path, &address);
	int fd;

	if (r != 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	remove_stale(fd, &address);
	close_fd(fd); /* it may be connected now */
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	r = bind_for_owner(fd, &address);
	if (r == 0 && listen(fd, BACKLOG) < 0)
		r = -errno;
	if (r != 0) {
		close_fd(fd);
		return r == -EADDRINUSE ? AIR_E_IN_USE : r;
	}
	*ret_fd = fd;
	return 0;
}

int air_new(sd_event *event, const char *path, int sndbuf, const struct air_handler *handler,
	    struct air **ret)
{
	_cleanup_(air_freep) struct air *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	*a = (struct air){.handler = *handler, .sndbuf = sndbuf, .listener = -1, .client = -1};
	a->event = sd_event_ref(event);
	r = air_listen(path, &a->listener);
	if (r != 0)
		return r;
	(void)fill_address(path, &a->address); /* it did fit */
	r = sd_event_add_io(event, &a->listener_source, a->listener, EPOLLIN, on_listener, a);
	if (r < 0)
		return r;
	*ret = TAKE(a);
	return 0;
}

bool air_has_listener(const struct air *a)
{
	return a->client >= 0;
}

/*
 * A daemon that does not take a message is as good as gone: hanging up on it makes it so, on the
 * loop.
 */
static void say(struct air *a, const struct handover *m, int fd)
{
	char text[HANDOVER_SIZE];
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)),
				.cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_RIGHTS}};
	struct iovec iov = {.iov_base = text, .iov_len = handover_format(m, text)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		h.msg_control = &control;
		h.msg_controllen = sizeof(control.space);
	}
	if (a->client >= 0 && sendmsg(a->client, &h, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		(void)shutdown(a->client, SHUT_RDWR); /* already gone is fine */
}

void air_say(struct air *a, const struct handover *m)
{
	say(a, m, -1);
}

/* NULL: the kernel has no socket, or nobody has memory, to spare. */
static struct link *link_new(const struct air *a, const char *device, enum characteristic c)
{
	_cleanup_(link_freep) struct link *l = calloc(1, sizeof(*l));
	socklen_t size = sizeof(int);
	int ends[2], buffer = 0, on = 1;

	if (!l)
		return NULL;
	l->fd = l->other = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return NULL;
	l->fd = ends[0];
	l->other = ends[1];
	l->characteristic = c;
	(void)snprintf(l->device, sizeof(l->device), "%s", device);
	if (setsockopt(l->fd, SOL_SOCKET, SO_SNDBUF, &a->sndbuf, sizeof(a->sndbuf)) < 0 ||
	    setsockopt(l->other, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
	    getsockopt(l->fd, SOL_SOCKET, SO_SNDBUF, &buffer, &size) < 0)
		return NULL;
	l->capacity = (size_t)buffer / PACKET_TRUESIZE_MIN + 1;
	l->numbers = calloc(l->capacity, sizeof(*l->numbers));
	return l->numbers ? TAKE(l) : NULL;
}

void air_link(struct air *a, const char *device, enum characteristic c, uint16_t mtu)
{
	struct handover m = {.kind = HANDOVER_LINK, .characteristic = c, .mtu = mtu};
	struct link *l;

	if (a->client < 0)
		return;
	l = sweep(a, false) > ENDING_MAX ? NULL : link_new(a, device, c);
	if (!l) {
		(void)shutdown(a->client, SHUT_RDWR); /* as in say() */
		return;
	}
	(void)snprintf(m.device, sizeof(m.device), "%s", device);
	say(a, &m, l->other);
	l->next = a->links;
	a->links = l;
}

void air_unlink(struct air *a, const char *device, enum gap_reason why)
{
	struct handover m = {.kind = HANDOVER_GONE, .why = why};

	(void)snprintf(m.device, sizeof(m.device), "%s", device);
	air_say(a, &m); /* before the hang-ups, so that nobody has to guess why */
	for (struct link *l = a->links; l; l = l->next)
		if (streq(l->device, device))
			l->fd = close_fd(l->fd);
	sweep(a, false);
}

enum handed air_send(struct air *a, const char *device, enum characteristic c, const void *data,
		     size_t size, uint64_t n)
{
	struct link *l = a->links;

	if (a->client < 0)
		return HANDED_NO_LISTENER;
	while (l && (l->fd < 0 || l->characteristic != c || !streq(l->device, device)))
		l = l->next;
	if (!l)
		return HANDED_NO_LINK;
	if (send(l->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return HANDED_FULL;
	l->numbers[l->n_sent++ % l->capacity] = n;
	return HANDED_YES;
}

bool air_is_clear(struct air *a)
{
	for (struct link *l = a->links; l; l = l->next)
		if (take_packet(l->other, MSG_PEEK))
			return false;
	return true;
}

void air_close(struct air *a)
{
	(void)sd_event_source_set_enabled(a->listener_source, SD_EVENT_OFF); /* cannot fail */
	sweep(a, true);
	a->client_source = sd_event_source_disable_unref(a->client_source);
	a->client = close_fd(a->client);
}
