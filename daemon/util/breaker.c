/*
 * The breaker's states:
 *
 *	          failure                  retry_at passed, breaker_try()
 *	 CLOSED ------------> OPEN ----------------------------------------> TRIAL
 *	    ^                  ^                                               |  |
 *	    |                  +------------------ failure, untry ------------+  |
 *	    +------------------------------ success ------------------------------+
 *
 * A success that was under way when the breaker opened closes it as well: whatever proves that the
 * other side works is welcome.
 */
#include "util/breaker.h"

bool breaker_ready(const struct breaker *b, usec_t now)
{
	return b->state == BREAKER_OPEN && now >= b->retry_at;
}

void breaker_try(struct breaker *b)
{
	assert(b->state == BREAKER_OPEN);
	b->state = BREAKER_TRIAL;
}

void breaker_untry(struct breaker *b, usec_t retry_at)
{
	if (b->state != BREAKER_TRIAL)
		return;
	b->state = BREAKER_OPEN;
	b->retry_at = retry_at;
}

bool breaker_failure(struct breaker *b, usec_t now, usec_t retry_at)
{
	bool opened = b->state == BREAKER_CLOSED;

	if (opened)
		b->since = now;
	b->state = BREAKER_OPEN;
	b->retry_at = retry_at;
	return opened;
}

bool breaker_success(struct breaker *b, usec_t now)
{
	if (b->state == BREAKER_CLOSED)
		return false;
	*b = (struct breaker){.state = BREAKER_CLOSED, .since = now};
	return true;
}

void breaker_hurry(struct breaker *b, usec_t now)
{
	if (b->state == BREAKER_OPEN)
		b->retry_at = MIN(b->retry_at, now);
}
