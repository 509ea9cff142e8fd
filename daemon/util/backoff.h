/*
 * How long to wait after a failure: exponential, with full jitter between the shortest wait and a
 * ceiling that doubles with each failure. Knows no clock; tells durations.
 */
#pragma once

#include "util/macro.h"

struct backoff {
	usec_t min, max;
	unsigned failures;
	uint64_t random; /* state of the generator, never 0 */
};

/* `seed`: what differs from hub to hub; any value. */
void backoff_init(struct backoff *b, usec_t min, usec_t max, uint64_t seed);
/* One failure more: how long to wait now. */
usec_t backoff_next(struct backoff *b);
/* The wait that follows `failures` failures in a row, counted by somebody else. */
usec_t backoff_after(struct backoff *b, unsigned failures);
/* Somewhere in [0, within]: when many begin at the same moment, and nobody has failed yet. */
usec_t backoff_spread(struct backoff *b, usec_t within);
void backoff_reset(struct backoff *b);
