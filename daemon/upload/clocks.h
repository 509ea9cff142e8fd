/*
 * Tells a sink what was learnt of the clock (POST /v1/clocks): a request of its own, one at a time,
 * when nothing else is to be done there. Embedded by a route only.
 */
#pragma once

#include "store/store.h"
#include "upload/http.h"
#include "util/buf.h"

struct clocks {
	struct http_call *call; /* under way */
	struct buf body;	/* ... of it */
	int64_t through;	/* the number of the last note in it */
	size_t n;		/* notes in it */
	unsigned failures;	/* in a row */
	usec_t not_before;
	bool unwanted; /* the last answer: this server does not take clocks */
};

void clocks_done(struct clocks *c);
/* When there is something to send; USEC_INFINITY: nothing, or it is under way. */
usec_t clocks_due(const struct clocks *c, const struct store *s, uint32_t sink);
/* < 0: the request could not be made; tried again later. */
int clocks_send(struct clocks *c, struct store *s, uint32_t sink, struct http *h, const char *token,
		usec_t timeout, http_done done, void *userdata, usec_t now);
/* In the callback of the request. */
void clocks_settle(struct clocks *c, struct store *s, uint32_t sink, const struct answer *a,
		   usec_t now);
/* Something more important wants the connection: sent again later. */
void clocks_yield(struct clocks *c, usec_t now);
/* What may have changed is asked at once: network back, reload, `vitalctl sync`. */
void clocks_hurry(struct clocks *c);
