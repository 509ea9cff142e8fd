/*
 * A small HTTP server for tests, on the same loop as the client: every answer is a function of the
 * request, so a test is a script and nothing is waited for but events. Plain, on 127.0.0.1. All of
 * it is in this header, because a test is one source file.
 */
#pragma once

#include "util/buf.h"
#include "util/clock.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>
#include <unistd.h>

struct server_request {
	const char *head; /* request line and headers, as they came */
	const uint8_t *body;
	size_t size;
	usec_t at; /* when it was complete */
};

/*
 * Writes a whole response into `out`. Nothing written: no answer, the connection stays open. True:
 * the connection is closed behind what was written.
 */
typedef bool (*server_answer)(void *userdata, const struct server_request *q, struct buf *out);

enum { SERVER_CONNECTIONS = 64 };

struct server {
	sd_event *event;
	server_answer answer;
	void *userdata;
	int fd, port;
	sd_event_source *listening;
	struct server_connection {
		struct server *server;
		int fd;
		sd_event_source *source;
		struct buf in;
	} connections[SERVER_CONNECTIONS];
	unsigned n_accepted, n_requests;
	char url[40];
};

static inline void server_respond(struct buf *out, int status, const char *headers,
				  const char *body)
{
	buf_printf(out, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n%s\r\n", status, strlen(body),
		   headers);
	buf_string(out, body);
}

static inline void server_close(struct server_connection *c)
{
	if (!c->source)
		return;
	c->source = sd_event_source_disable_unref(c->source);
	(void)close(c->fd); /* a socket */
	buf_done(&c->in);
}

static inline void server_write(struct server_connection *c, const struct buf *out)
{
	size_t done = 0;

	while (done < out->size) {
		ssize_t n = send(c->fd, out->data + done, out->size - done, MSG_NOSIGNAL);

		if (n <= 0)
			return; /* it hung up */
		done += (size_t)n;
	}
}

/* Answers the first request in c->in, if it is all there. */
static inline bool server_handle(struct server_connection *c)
{
	struct server_request q = {0};
	struct buf out = {0};
	char *end, *length;
	size_t head, size;
	bool hang_up;

	buf_u8(&c->in, 0);
	c->in.size--;
	end = strstr((char *)c->in.data, "\r\n\r\n");
	if (!end)
		return false;
	head = (size_t)(end + 4 - (char *)c->in.data);
	length = strcasestr((char *)c->in.data, "\r\nContent-Length:");
	size = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
	if (c->in.size < head + size)
		return false;
	end[2] = '\0';
	q = (struct server_request){(char *)c->in.data, c->in.data + head, size, clock_boot_usec()};
	c->server->n_requests++;
	hang_up = c->server->answer(c->server->userdata, &q, &out);
	server_write(c, &out);
	buf_done(&out);
	if (hang_up) {
		server_close(c);
		return false;
	}
	memmove(c->in.data, c->in.data + head + size, c->in.size - head - size);
	c->in.size -= head + size;
	return c->in.size > 0;
}

static inline int server_on_data(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct server_connection *c = userdata;
	char data[16384];
	ssize_t n = recv(fd, data, sizeof(data), 0);

	if (n <= 0) {
		server_close(c);
		return 0;
	}
	buf_append(&c->in, data, (size_t)n);
	while (server_handle(c))
		;
	return 0;
}

static inline int server_on_connection(sd_event_source *source, int fd, uint32_t events,
				       void *userdata)
{
	struct server *s = userdata;
	int peer = accept(fd, NULL, NULL);

	for (size_t i = 0; i < SERVER_CONNECTIONS && peer >= 0; i++) {
		struct server_connection *c = &s->connections[i];

		if (c->source)
			continue;
		c->server = s;
		c->fd = peer;
		s->n_accepted++;
		return sd_event_add_io(s->event, &c->source, peer, EPOLLIN, server_on_data, c);
	}
	return 0;
}

static inline void server_down(struct server *s)
{
	if (s->listening) {
		s->listening = sd_event_source_disable_unref(s->listening);
		(void)close(s->fd); /* a socket */
	}
	for (size_t i = 0; i < SERVER_CONNECTIONS; i++)
		server_close(&s->connections[i]);
}

/* Listens; on the same port, if it did before. */
static inline void server_up(struct server *s)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->port)};
	socklen_t size = sizeof(address);
	int yes = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert(s->fd >= 0);
	assert(setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0);
	assert(bind(s->fd, (struct sockaddr *)&address, size) == 0);
	assert(listen(s->fd, 64) == 0);
	assert(getsockname(s->fd, (struct sockaddr *)&address, &size) == 0);
	s->port = ntohs(address.sin_port);
	assert(sd_event_add_io(s->event, &s->listening, s->fd, EPOLLIN, server_on_connection, s) >=
	       0);
	(void)snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%d", s->port);
}

static inline struct server *server_free(struct server *s)
{
	server_down(s);
	free(s);
	return NULL;
}

static inline struct server *server_new(sd_event *event, server_answer answer, void *userdata)
{
	struct server *s = calloc(1, sizeof(*s));

	assert(s);
	s->event = event;
	s->answer = answer;
	s->userdata = userdata;
	server_up(s);
	return s;
}
