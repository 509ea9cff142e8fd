/*
 * The condition of a sink.
 *
 *	            attempts used up               401 403 404 405, certificate, ...
 *	   +-----> UP -------------> DOWN <------> HELD <----- (from UP as well)
 *	   |                          |             |
 *	   +---- a trial confirmed ---+-------------+
 *
 *	DOWN  next trial by backoff with full jitter, or as Retry-After says
 *	HELD  next trial after probe_interval; a certificate sooner, on the ladder 5, 15, 60 s; at
 *	      once when something changed: network, clock, configuration, `vitalctl sync`
 *
 * Nothing is dropped in any of them. A change of state is a line in the journal; the same failure
 * again is not.
 */
#include "upload/health.h"

#include "model/catalog.h"
#include "util/log.h"

#include <stdio.h>

static const usec_t ladder[] = {5 * USEC_PER_SEC, 15 * USEC_PER_SEC, 60 * USEC_PER_SEC};

void health_init(struct health *h, const char *sink, const struct config *config, usec_t now)
{
	uint64_t seed = now;

	for (const char *p = config->gateway; *p; p++)
		seed = (seed ^ (uint8_t)*p) * UINT64_C(1099511628211); /* FNV: hubs differ */
	*h = (struct health){.sink = sink, .since = now, .probe_interval = config->probe_interval};
	backoff_init(&h->backoff, config->backoff_min, config->backoff_max, seed);
}

static void say(const struct health *h)
{
	char field[48], why[sizeof(h->reason) + sizeof(h->detail) + 4];

	(void)snprintf(why, sizeof(why), h->detail[0] ? "%s (%s)" : "%s%s", h->reason, h->detail);

	(void)snprintf(field, sizeof(field), "SINK=%s", h->sink); /* 32 characters at most */
	switch (h->state) {
	case SINK_DOWN:
		log_event(LOG_WARNING, CATALOG_SINK_DOWN, LOG_FIELDS(field),
			  "sink %s is down: %s; what is heard waits here", h->sink, why);
		break;
	case SINK_HELD:
		log_event(LOG_ERR, CATALOG_SINK_HELD, LOG_FIELDS(field),
			  "sink %s is held: %s; nothing is lost, it waits here", h->sink, why);
		break;
	case SINK_UP:
	case SINK_RETRYING:
		log_event(LOG_NOTICE, CATALOG_SINK_UP, LOG_FIELDS(field), "sink %s is up again",
			  h->sink);
		break;
	}
}

static void enter(struct health *h, enum sink_state_name state, const char *reason,
		  const char *detail, usec_t now)
{
	bool changed = h->state != state;

	(void)snprintf(h->reason, sizeof(h->reason), "%s", reason); /* cut, if need be */
	(void)snprintf(h->detail, sizeof(h->detail), "%s", detail); /* likewise */
	if (!changed)
		return;
	h->state = state;
	h->since = now;
	say(h);
}

bool health_success(struct health *h, usec_t now)
{
	bool closed = breaker_success(&h->breaker, now);

	h->last_success = now;
	h->probes = 0;
	backoff_reset(&h->backoff);
	enter(h, SINK_UP, "", "", now);
	return closed;
}

/* The lane that was still under way when the other one failed does not make the wait longer. */
static bool already_waiting(const struct health *h, usec_t now, enum sink_state_name state)
{
	return h->state == state && h->breaker.state == BREAKER_OPEN && h->breaker.retry_at > now;
}

usec_t health_down(struct health *h, usec_t now, const char *reason, const char *detail,
		   usec_t retry_after)
{
	usec_t at;

	h->last_failure = now;
	if (already_waiting(h, now, SINK_DOWN)) {
		at = MAX(h->breaker.retry_at, now + retry_after);
	} else {
		at = now + (retry_after > 0 ? retry_after : backoff_next(&h->backoff));
	}
	(void)breaker_failure(&h->breaker, now, at); /* enter() sees whether it changes anything */
	enter(h, SINK_DOWN, reason, detail, now);
	return at;
}

static usec_t step_ladder(struct health *h)
{
	usec_t wait = h->probes < ARRAY_SIZE(ladder) ? ladder[h->probes] : h->probe_interval;

	h->probes++;
	return MIN(wait, h->probe_interval);
}

usec_t health_hold(struct health *h, usec_t now, const char *reason, const char *detail,
		   enum health_probe probe)
{
	usec_t at;

	h->last_failure = now;
	if (already_waiting(h, now, SINK_HELD))
		return h->breaker.retry_at;
	if (h->state != SINK_HELD)
		h->probes = 0;
	at = now + (probe == PROBE_LADDER ? step_ladder(h) : h->probe_interval);
	(void)breaker_failure(&h->breaker, now, at); /* as above */
	enter(h, SINK_HELD, reason, detail, now);
	return at;
}

usec_t health_wait_for_clock(struct health *h, usec_t now, const char *reason, const char *detail)
{
	usec_t at;

	h->last_failure = now;
	at = already_waiting(h, now, SINK_DOWN) ? h->breaker.retry_at : now + step_ladder(h);
	(void)breaker_failure(&h->breaker, now, at); /* as above */
	enter(h, SINK_DOWN, reason, detail, now);
	return at;
}

void health_unknown(struct health *h, usec_t at)
{
	breaker_untry(&h->breaker, at);
}
