/*
 * How a sink is: up, down (transient failures, breaker open) or held (needs its owner). Decides
 * when it may be tried, and says each change once in the journal.
 */
#pragma once

#include "upload/uploader.h"
#include "util/backoff.h"
#include "util/breaker.h"

struct health {
	const char *sink; /* name, borrowed */
	enum sink_state_name state;
	char reason[200]; /* why it is not up, for anybody; "" when it is */
	char detail[160]; /* ... in the words of who found out; or "" */
	usec_t since;
	struct breaker breaker;
	struct backoff backoff;
	usec_t probe_interval;
	unsigned probes;     /* failed ones in this hold */
	usec_t last_success; /* 0: never */
	usec_t last_failure;
};

enum health_probe {
	PROBE_SELDOM, /* only the owner can help: every probe_interval */
	PROBE_LADDER, /* may heal by itself (a certificate): 5, 15, 60 s, probe_interval */
};

void health_init(struct health *h, const char *sink, const struct config *config, usec_t now);
/* Something was confirmed. True: it had not been up. */
bool health_success(struct health *h, usec_t now);
/*
 * The attempts are used up: down until the time returned; at least retry_after (0: none named).
 * `detail`, here and below, goes with the reason; "": there is no more to say.
 */
usec_t health_down(struct health *h, usec_t now, const char *reason, const char *detail,
		   usec_t retry_after);
/* Only the owner can help: held; returns when it is probed. */
usec_t health_hold(struct health *h, usec_t now, const char *reason, const char *detail,
		   enum health_probe probe);
/* A certificate that will do once our clock is right: down, tried on the ladder. */
usec_t health_wait_for_clock(struct health *h, usec_t now, const char *reason, const char *detail);
/* The answer says nothing of the sink's health: whatever was due is due at `at`. */
void health_unknown(struct health *h, usec_t at);
/* Nothing speaks against sending: it is up, or was not tried yet. */
static inline bool health_is_up(const struct health *h)
{
	return h->breaker.state == BREAKER_CLOSED;
}
