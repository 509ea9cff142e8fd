/*
 * HTTP on the loop: the one door to libcurl (multi interface, socket_action, on sd-event). A client
 * is one server with its connections, TLS session cache and credentials; a request is one exchange.
 * Never follows redirects, never talks plain http but to loopback, always verifies, bounds the
 * answer.
 */
#pragma once

#include "util/macro.h"

#include "sink/sink.h"

#include <systemd/sd-event.h>

struct http;

struct http_options {
	const char *url; /* base, no trailing slash */
	const char *ca_file, *client_cert, *client_key, *proxy, *interface; /* or NULL */
};

struct http *http_free(struct http *h);
DEFINE_CLEANUP(struct http *, http_free)
int http_new(sd_event *event, const struct http_options *o, struct http **ret);

struct http_request {
	const char *method;	    /* "GET" or "POST" */
	const char *path;	    /* "/v1/batches" */
	const char *const *headers; /* "Name: value", NULL at the end; copied */
	const char *token;	    /* Bearer, or NULL; copied, never logged */
	const void *body;	    /* copied */
	size_t size;
	usec_t timeout;
};

/* Called once, from the loop, unless cancelled. `answer` is borrowed for the call. */
typedef void (*http_done)(void *userdata, const struct answer *answer);

struct http_call; /* a request under way */
int http_send(struct http *h, const struct http_request *r, http_done done, void *userdata,
	      struct http_call **ret);
/* It will not call back. Takes NULL; returns NULL. */
struct http_call *http_cancel(struct http_call *c);
