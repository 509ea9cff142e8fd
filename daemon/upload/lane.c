/*
 * One cut at a time:
 *
 *	IDLE --lane_cut()--> WAITING --lane_send()--> SENDING --answer--> the owner judges
 *	  ^                     ^                                          |         |
 *	  |                     +--------- lane_wait(), once more ---------+         |
 *	  +-------------------------- settled or released ---------------------------+
 *
 * All attempts send the same bytes: the body stays in the lane's batch until the cut is settled.
 * Beside it go three headers that are not the body's business: the batch id for servers that want
 * it there, and when and by what clock this attempt was sent.
 */
#include "upload/lane.h"

#include <stdio.h>

int lane_init(struct lane *l, bool immediate)
{
	*l = (struct lane){.immediate = immediate};
	return batch_new(&l->batch);
}

void lane_done(struct lane *l, struct store *s)
{
	lane_release(l, s);
	l->batch = batch_free(l->batch);
}

struct taking {
	struct lane *lane;
	const char *gateway;
};

static int on_begin(void *userdata, const struct run_info *run)
{
	struct taking *t = userdata;

	batch_begin(t->lane->batch, t->gateway, run);
	return 0;
}

static int on_add(void *userdata, const struct stream_info *stream, uint64_t after,
		  const struct record *r)
{
	struct taking *t = userdata;
	int q;

	q = batch_add(t->lane->batch, stream, after, r);
	if (q < 0)
		return q;
	t->lane->full = batch_size(t->lane->batch) >= t->lane->limit;
	return t->lane->full;
}

void lane_wait(struct lane *l, usec_t until)
{
	l->state = LANE_WAITING;
	l->retry_at = until;
}

int lane_cut(struct lane *l, struct store *s, uint32_t sink, const char *gateway, size_t limit,
	     usec_t now)
{
	struct taking taking = {l, gateway};
	struct cut_taker taker = {&taking, on_begin, on_add};

	int r;

	assert(l->state == LANE_IDLE);
	l->limit = limit;
	l->full = false;
	l->trial = false;
	l->token_read = false;
	l->attempts = 0;
	r = l->immediate ? outbox_cut(s, sink, &taker, &l->cut)
			 : outbox_claim(s, sink, now, &taker, &l->cut);
	if (r == 0)
		lane_wait(l, now);
	return r;
}

int lane_encode(struct lane *l, bool gzip)
{
	l->gzip = gzip;
	return batch_finish(l->batch, gzip, &l->id, &l->body, &l->size);
}

static void describe_clock(const struct clock_state *clock, char ret[static 64])
{
	if (clock->synchronised)
		(void)snprintf(ret, 64, "X-Clock: synced; error_us=%lld",
			       (long long)clock->error_us);
	else
		(void)snprintf(ret, 64, "X-Clock: unsynced");
}

int lane_send(struct lane *l, const struct lane_request *q, usec_t now)
{
	char id[UUID_STRING_SIZE], key[80], sent[64], clock[64];
	const char *headers[] = {
		"Content-Type: application/json",	   key,	 sent, clock,
		l->gzip ? "Content-Encoding: gzip" : NULL, NULL,
	};
	struct http_request request = {
		.method = "POST",
		.path = "/v1/batches",
		.headers = headers,
		.token = q->token,
		.body = l->body,
		.size = l->size,
		.timeout = q->timeout,
	};
	long long sent_us = (long long)now + q->clock->offset_us;
	int r;

	uuid_format(&l->id, id);
	(void)snprintf(key, sizeof(key), "Idempotency-Key: \"%s\"", id);
	(void)snprintf(sent, sizeof(sent), "X-Sent-At-Us: %lld", sent_us);
	describe_clock(q->clock, clock);
	r = http_send(q->http, &request, q->done, q->userdata, &l->call);
	if (r < 0)
		return r;
	if (l->attempts++ == 0)
		l->first_attempt = now;
	l->state = LANE_SENDING;
	return 0;
}

void lane_settled(struct lane *l)
{
	cut_done(&l->cut);
	l->state = LANE_IDLE;
}

void lane_release(struct lane *l, struct store *s)
{
	l->call = http_cancel(l->call);
	if (l->state == LANE_IDLE)
		return;
	outbox_release(s, &l->cut);
	lane_settled(l);
}
