/*
 * HTTP on the loop: the one door to libcurl (multi interface, socket_action, on sd-event). A client
 * is one server with its connections, TLS sessions and credentials; a call is one exchange. Never
 * follows redirects, never talks plain http but to loopback, always verifies, bounds the answer,
 * never blocks.
 */
#pragma once

#include "sink/sink.h"
#include "util/macro.h"

#include <systemd/sd-event.h>

struct http;

struct http_options {
	const char *url; /* base, no trailing slash */
	const char *ca_file, *client_cert, *client_key, *proxy, *interface; /* or NULL */
};

struct http *http_free(struct http *h);
DEFINE_CLEANUP(struct http *, http_free)
/*
 * -EINVAL: not https://, nor http:// to a loopback address. Sets SIGPIPE to be ignored, if nobody
 * has decided on it: OpenSSL writes to sockets without MSG_NOSIGNAL.
 */
int http_new(sd_event *event, const struct http_options *o, struct http **ret);

struct http_request {
	const char *method;	    /* "GET" or "POST" */
	const char *path;	    /* "/v1/batches" */
	const char *const *headers; /* "Name: value", NULL at the end; copied; or NULL */
	const char *token;	    /* Bearer, or NULL; copied, never logged */
	const void *body;	    /* borrowed until it calls back or is cancelled */
	size_t size;
	usec_t timeout; /* and as long again as a slow line needs for the body */
	bool long_list; /* is asked for: the answer may have 16 MiB instead of one */
};

/*
 * Called once, from the loop, unless cancelled, and as the last thing that is done: it may send
 * again, cancel others, and free the client. `answer` is borrowed for the call.
 */
typedef void (*http_done)(void *userdata, const struct answer *answer);

struct http_call; /* a request under way */
int http_send(struct http *h, const struct http_request *r, http_done done, void *userdata,
	      struct http_call **ret);
/* It will not call back. Takes NULL; returns NULL. Not for a call that is calling back. */
struct http_call *http_cancel(struct http_call *c);
