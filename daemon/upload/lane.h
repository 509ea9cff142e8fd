/*
 * A lane: one cut on its way to a sink, from the store's hands into a body, through its attempts,
 * until its owner settles it. A sink has two: what is new, and the backlog.
 */
#pragma once

#include "store/outbox.h"
#include "upload/http.h"

enum lane_state {
	LANE_IDLE,
	LANE_SENDING, /* a request is under way */
	LANE_WAITING, /* for its first or next attempt, until retry_at */
};

struct lane {
	bool immediate;
	enum lane_state state;
	struct batch *batch;
	struct cut cut;	     /* in flight unless IDLE */
	struct uuid id;	     /* of the batch */
	const uint8_t *body; /* in the batch */
	size_t size;
	bool gzip;	   /* what the body is, whatever the sink is found to take meanwhile */
	size_t limit;	   /* bytes of JSON for this cut */
	bool full;	   /* the cut ended at the limit, not at the end of what waits */
	bool trial;	   /* goes out although the sink is not up */
	bool token_read;   /* the credential was read again for this cut */
	unsigned attempts; /* made */
	usec_t first_attempt, retry_at;
	struct http_call *call; /* SENDING */
};

struct lane_request {
	struct http *http;
	const char *token; /* or NULL */
	const struct clock_state *clock;
	usec_t timeout;
	http_done done;
	void *userdata;
};

int lane_init(struct lane *l, bool immediate);
/* Cancels, releases the cut, frees. */
void lane_done(struct lane *l, struct store *s);
/* Cuts or claims. STORE_E_NOTHING, STORE_E_CLOCK, < 0, or 0: in flight, WAITING to be sent. */
int lane_cut(struct lane *l, struct store *s, uint32_t sink, const char *gateway, size_t limit,
	     usec_t now);
/* Makes the body anew; after lane_cut(), and when the encoding changes. */
int lane_encode(struct lane *l, bool gzip);
int lane_send(struct lane *l, const struct lane_request *q, usec_t now);
/* The next attempt goes at `until`. */
void lane_wait(struct lane *l, usec_t until);
/* The cut was settled: ready for the next. */
void lane_settled(struct lane *l);
/* No judgement: gives the cut back as it was. */
void lane_release(struct lane *l, struct store *s);
