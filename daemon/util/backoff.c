/*
 * Backoff with full jitter.
 *
 *	failure   wait, uniform in
 *	      1   [min, 2 min]
 *	      2   [min, 4 min]
 *	      n   [min, min(max, min << n)]
 *
 * The lower bound stays at `min` all the way up: after a power cut in a street a thousand hubs come
 * back in the same second, and what keeps them from knocking together is the width of the interval,
 * not its lower end (AWS Architecture Blog, "Exponential Backoff And Jitter", measures it). The
 * generator is xorshift64* (Vigna 2014): jitter needs no secrets, and a test can seed it.
 */
#include "util/backoff.h"

enum { MAX_SHIFT = 32 };

void backoff_init(struct backoff *b, usec_t min, usec_t max, uint64_t seed)
{
	*b = (struct backoff){
		.min = min,
		.max = MAX(min, max),
		.random = seed ? seed : 1,
	};
}

static uint64_t draw(struct backoff *b)
{
	b->random ^= b->random >> 12;
	b->random ^= b->random << 25;
	b->random ^= b->random >> 27;
	return b->random * UINT64_C(2685821657736338717);
}

usec_t backoff_after(struct backoff *b, unsigned failures)
{
	unsigned shift = MIN(failures, (unsigned)MAX_SHIFT);
	usec_t ceiling = b->min > b->max >> shift ? b->max : b->min << shift;

	return b->min + draw(b) % (ceiling - b->min + 1);
}

usec_t backoff_next(struct backoff *b)
{
	if (b->failures < MAX_SHIFT)
		b->failures++;
	return backoff_after(b, b->failures);
}

usec_t backoff_spread(struct backoff *b, usec_t within)
{
	return within == USEC_INFINITY ? draw(b) : draw(b) % (within + 1);
}

void backoff_reset(struct backoff *b)
{
	b->failures = 0;
}
