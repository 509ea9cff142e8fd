/*
 * One poll() loop over a few connections. A request is read whole, its body inflated, then walked:
 *
 *	"stream":"<36 characters>"    begins an entry
 *	{"seq":<digits>               a record of it
 *
 * Neither can occur inside a string of the bodies that the daemon builds for a benchmark. For each
 * entry: which seqs are new (a bit each, by run), first, last, accepted, duplicate. That this costs
 * a fifth of what the daemon does for a record keeps it from being what is measured; it runs on
 * another core.
 */
#include "server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

enum {
	CONNECTIONS = 8,
	REQUEST_MAX = 2 << 20,
	JSON_MAX = 8 << 20,
	STREAMS = 64,
	UUID_TEXT = 36,
	ANSWER_MAX_SIZE = 32 * 1024,
	N_BITS = 28,
};

struct stream {
	char id[UUID_TEXT];
	uint64_t run;
	uint8_t *seen; /* of this run */
	uint64_t room; /* seqs */
};

struct connection {
	char *in;
	size_t size;
};

struct receiver {
	struct server_counts *counts;
	struct stream streams[STREAMS * 4];
	size_t n_streams;
	struct pollfd fds[CONNECTIONS + 1];
	struct connection connections[CONNECTIONS + 1];
	z_stream z;
	char *json;
	char answer[ANSWER_MAX_SIZE];
	size_t answer_size;
};

static void say(struct receiver *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct receiver *v, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(v->answer + v->answer_size, sizeof(v->answer) - v->answer_size, format, ap);
	va_end(ap);
	if (n > 0)
		v->answer_size = MIN(v->answer_size + (size_t)n, sizeof(v->answer) - 1);
}

static struct stream *find(struct receiver *v, const char *id, uint64_t run)
{
	struct stream *s;

	for (size_t i = 0; i < v->n_streams; i++)
		if (v->streams[i].run == run && memcmp(v->streams[i].id, id, UUID_TEXT) == 0)
			return &v->streams[i];
	if (v->n_streams == ARRAY_SIZE(v->streams))
		return NULL;
	s = &v->streams[v->n_streams++];
	memcpy(s->id, id, UUID_TEXT);
	s->run = run;
	return s;
}

/* True: it was not there before. */
static bool take(struct stream *s, uint64_t n)
{
	uint8_t bit = (uint8_t)(1U << n % 8);

	if (n >= s->room) {
		uint64_t room = MAX(2 * n, UINT64_C(65536));
		uint8_t *seen = realloc(s->seen, room / 8 + 1);

		if (!seen)
			abort();
		memset(seen + s->room / 8 + (s->room > 0), 0,
		       room / 8 - s->room / 8 + (s->room == 0));
		s->seen = seen;
		s->room = room;
	}
	if (s->seen[n / 8] & bit)
		return false;
	s->seen[n / 8] |= bit;
	return true;
}

struct entry {
	const char *id;
	uint64_t last, accepted, duplicate;
};

static void end_entry(struct receiver *v, const struct entry *e, size_t *n)
{
	if (!e->id)
		return;
	say(v,
	    "%s{\"stream\":\"%.36s\",\"acked_through\":%llu,\"accepted\":%llu,\"duplicate\":%llu,"
	    "\"rejected\":[]}",
	    (*n)++ ? "," : "", e->id, (unsigned long long)e->last, (unsigned long long)e->accepted,
	    (unsigned long long)e->duplicate);
	v->counts->records += e->accepted;
	v->counts->duplicates += e->duplicate;
}

/* Every '{' begins the body, an entry, a record, or the object of a gap. */
static void walk(struct receiver *v, size_t size)
{
	const char *p = v->json, *end = p + size;
	struct stream *s = NULL;
	struct entry e = {0};
	size_t n = 0;

	while ((p = memchr(p, '{', (size_t)(end - p))) != NULL) {
		p++;
		if (end - p > 60 && memcmp(p, "\"stream\":\"", 10) == 0) {
			end_entry(v, &e, &n);
			e = (struct entry){.id = p + 10};
			s = NULL;
		} else if (e.id && end - p > 30 && memcmp(p, "\"seq\":", 6) == 0) {
			e.last = strtoull(p + 6, NULL, 10);
			if (!s || s->run != e.last >> N_BITS)
				s = find(v, e.id, e.last >> N_BITS);
			if (!s)
				abort();
			if (take(s, e.last & ((UINT64_C(1) << N_BITS) - 1)))
				e.accepted++;
			else
				e.duplicate++;
		}
	}
	end_entry(v, &e, &n);
}

static bool unpack(struct receiver *v, const char *body, size_t size, size_t *ret)
{
	(void)inflateReset(&v->z); /* was made in start() */
	v->z.next_in = (z_const Bytef *)(uintptr_t)body;
	v->z.avail_in = (uInt)size;
	v->z.next_out = (Bytef *)v->json;
	v->z.avail_out = JSON_MAX - 1;
	if (inflate(&v->z, Z_FINISH) != Z_STREAM_END)
		return false;
	*ret = JSON_MAX - 1 - v->z.avail_out;
	v->json[*ret] = '\0';
	return true;
}

static void send_answer(struct receiver *v, int fd, int status)
{
	char head[160];
	int n = snprintf(
		head, sizeof(head),
		"HTTP/1.1 %d X\r\nX-Ingest-Contract: 1\r\nContent-Type: application/json\r\n"
		"Content-Length: %zu\r\n\r\n",
		status, v->answer_size);
	struct iovec parts[2] = {{head, (size_t)n}, {v->answer, v->answer_size}};
	struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2};

	(void)sendmsg(fd, &m, MSG_NOSIGNAL); /* a receipt fits; if the daemon is gone, so be it */
}

static void answer(struct receiver *v, int fd, const char *head, const char *body, size_t size)
{
	const char *key = strcasestr(head, "\r\nIdempotency-Key: \"");
	size_t json_size;

	v->answer_size = 0;
	v->counts->requests++;
	if (strncmp(head, "GET ", 4) == 0) {
		say(v, "[]");
	} else if (key && unpack(v, body, size, &json_size)) {
		v->counts->body_bytes += size;
		v->counts->json_bytes += json_size;
		say(v, "{\"contract\":1,\"batch\":\"%.36s\",\"streams\":[", key + 20);
		walk(v, json_size);
		say(v, "]}");
	} else {
		v->counts->bad++;
		send_answer(v, fd, 500);
		return;
	}
	send_answer(v, fd, 200);
}

/* Takes one request off the front of what was read. False: it is not all there. */
static bool one_request(struct receiver *v, int fd, struct connection *c)
{
	char *body, *length;
	size_t size = 0, whole;

	c->in[c->size] = '\0';
	body = strstr(c->in, "\r\n\r\n");
	if (!body)
		return false;
	*body = '\0';
	length = strcasestr(c->in, "\r\nContent-Length:");
	if (length)
		size = strtoul(length + 17, NULL, 10);
	whole = (size_t)(body + 4 - c->in) + size;
	if (whole > c->size) {
		*body = '\r';
		return false;
	}
	answer(v, fd, c->in, body + 4, size);
	memmove(c->in, c->in + whole, c->size - whole);
	c->size -= whole;
	return true;
}

static void read_some(struct receiver *v, size_t i)
{
	struct connection *c = &v->connections[i];
	ssize_t n = recv(v->fds[i].fd, c->in + c->size, REQUEST_MAX - 1 - c->size, 0);

	if (n <= 0) {
		(void)close(v->fds[i].fd); /* a connection that ended */
		v->fds[i].fd = -1;
		return;
	}
	c->size += (size_t)n;
	while (one_request(v, v->fds[i].fd, c))
		;
}

static void accept_one(struct receiver *v)
{
	int fd = accept(v->fds[0].fd, NULL, NULL);

	for (size_t i = 1; fd >= 0 && i <= CONNECTIONS; i++)
		if (v->fds[i].fd < 0) {
			v->fds[i] = (struct pollfd){.fd = fd, .events = POLLIN};
			v->connections[i].size = 0;
			return;
		}
	if (fd >= 0)
		(void)close(fd); /* one too many */
}

static void serve(int listener, struct server_counts *counts)
{
	static struct receiver v;

	v.counts = counts;
	v.json = malloc(JSON_MAX);
	if (!v.json || inflateInit2(&v.z, 15 + 16) != Z_OK)
		_exit(EXIT_FAILURE);
	v.fds[0] = (struct pollfd){.fd = listener, .events = POLLIN};
	for (size_t i = 1; i <= CONNECTIONS; i++) {
		v.fds[i].fd = -1;
		v.connections[i].in = malloc(REQUEST_MAX);
		if (!v.connections[i].in)
			_exit(EXIT_FAILURE);
	}
	while (poll(v.fds, CONNECTIONS + 1, -1) >= 0) {
		if (v.fds[0].revents)
			accept_one(&v);
		for (size_t i = 1; i <= CONNECTIONS; i++)
			if (v.fds[i].fd >= 0 && v.fds[i].revents)
				read_some(&v, i);
	}
	_exit(EXIT_FAILURE);
}

static int listen_on_loopback(int *ret_port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 16) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &size) < 0)
		return -errno;
	*ret_port = ntohs(at.sin_port);
	return fd;
}

int server_start(struct server *ret)
{
	struct server s = {0};
	int listener;

	s.counts = mmap(NULL, sizeof(*s.counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	if (s.counts == MAP_FAILED)
		return -errno;
	listener = listen_on_loopback(&s.port);
	if (listener < 0)
		return listener;
	s.pid = fork();
	if (s.pid < 0)
		return -errno;
	if (s.pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* fails for no valid signal */
		serve(listener, s.counts);
	}
	(void)close(listener); /* the child's */
	*ret = s;
	return 0;
}

void server_stop(struct server *s)
{
	if (s->pid <= 0)
		return;
	(void)kill(s->pid, SIGKILL);	/* our child */
	(void)waitpid(s->pid, NULL, 0); /* it ends */
	s->pid = 0;
}
