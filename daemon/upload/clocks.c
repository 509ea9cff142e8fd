/*
 * Clock notes on their way to a sink:
 *
 *	owed --sink idle--> sending --receipt--> confirmed, the next ones
 *	  ^                    |
 *	  +-- a minute, doubling up to an hour, or as Retry-After says: no receipt
 *	  +-- a day: it does not take them (404, 405, 400 ...); a server may be renewed
 *	  +-- a minute: data wanted the connection
 *
 * Nothing depends on it but the correction of estimates, so it says nothing and counts nothing: a
 * sink that is down is told of by its batches.
 */
#include "upload/clocks.h"

#include "sink/clocks.h"

#define PAUSE	  (60 * USEC_PER_SEC)
#define PAUSE_MAX (3600 * USEC_PER_SEC)
#define UNWANTED  (24 * 3600 * USEC_PER_SEC)

enum { NOTES_A_REQUEST = 100, DOUBLINGS_MAX = 6 };

void clocks_done(struct clocks *c)
{
	c->call = http_cancel(c->call);
	buf_done(&c->body);
}

usec_t clocks_due(const struct clocks *c, const struct store *s, uint32_t sink)
{
	struct clock_note first;

	if (c->call || store_clocks_owed(s, sink, &first, 1) == 0)
		return USEC_INFINITY;
	return c->not_before;
}

static void failed(struct clocks *c, usec_t retry_after, usec_t now)
{
	usec_t pause = MAX(PAUSE << MIN(c->failures, (unsigned)DOUBLINGS_MAX), retry_after);

	c->failures++;
	c->not_before = now + MIN(pause, PAUSE_MAX);
}

int clocks_send(struct clocks *c, struct store *s, uint32_t sink, struct http *h, const char *token,
		usec_t timeout, http_done done, void *userdata, usec_t now)
{
	static const char *const headers[] = {"Content-Type: application/json", NULL};
	struct clock_note notes[NOTES_A_REQUEST];
	struct http_request q = {.method = "POST",
				 .path = "/v1/clocks",
				 .headers = headers,
				 .token = token,
				 .timeout = timeout};
	int r;

	assert(!c->call);
	c->n = store_clocks_owed(s, sink, notes, NOTES_A_REQUEST);
	assert(c->n > 0);
	c->through = notes[c->n - 1].number;
	buf_reset(&c->body);
	r = clocks_encode(notes, c->n, &c->body);
	q.body = c->body.data;
	q.size = c->body.size;
	if (r == 0)
		r = http_send(h, &q, done, userdata, &c->call);
	if (r < 0)
		failed(c, 0, now);
	return r;
}

void clocks_settle(struct clocks *c, struct store *s, uint32_t sink, const struct answer *a,
		   usec_t now)
{
	enum clocks_verdict verdict = clocks_judge(a, c->n);

	c->call = NULL;
	c->unwanted = verdict == CLOCKS_UNWANTED;
	switch (verdict) {
	case CLOCKS_TAKEN:
		c->failures = 0;
		c->not_before = now;
		store_clocks_confirmed(s, sink, c->through);
		break;
	case CLOCKS_LATER: failed(c, a->retry_after, now); break;
	case CLOCKS_UNWANTED: c->not_before = now + UNWANTED; break;
	}
}

void clocks_yield(struct clocks *c, usec_t now)
{
	if (!c->call)
		return;
	c->call = http_cancel(c->call);
	c->not_before = now + PAUSE;
}

void clocks_hurry(struct clocks *c)
{
	if (!c->unwanted)
		c->not_before = 0;
}
