/*
 * Compares what the server says it holds with what we know:
 *
 *	its last seq is one that we have      somebody else is us: a clone, or this store was set
 *	not given out                         back. Nothing may be sent under these numbers.
 *	its last seq is below our anchor      the server was set back. What it lost is owed to it
 *	                                      again, as far as this store still has it.
 *	it has streams that we never had      this store was wiped or replaced, or another hub has
 *	                                      the same name: our names are others, so no harm is
 *	                                      done, but it is told
 *	it does not know the address          an older server; nothing to compare
 *	(404, 405)
 *
 * An anchor can stand above what the server holds without any fault: the last records before it may
 * be in quarantine or exempt. So a stream counts as behind only if more records are missing than
 * those.
 */
#include "upload/greeting.h"

#include "store/compare.h"
#include "store/finding.h"
#include "store/outbox.h"

#include <stdio.h>

static bool is_unreserved(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c != '\0' && strchr("-._~", c));
}

/* RFC 3986 2.1. */
static void put_escaped(struct buf *out, const char *s)
{
	for (; *s; s++) {
		if (is_unreserved(*s))
			buf_u8(out, (uint8_t)*s);
		else
			buf_printf(out, "%%%02X", (uint8_t)*s);
	}
}

int greeting_send(struct http *h, const char *gateway, const char *token, usec_t timeout,
		  http_done done, void *userdata, struct http_call **ret)
{
	struct buf path = {0};
	/* All streams that this hub ever had there: people change, and so do names. */
	struct http_request q = {.method = "GET",
				 .token = token,
				 .timeout = timeout,
				 .long_list = true};
	int r = -ENOMEM;

	buf_string(&path, "/v1/streams?gateway=");
	put_escaped(&path, gateway);
	buf_u8(&path, 0);
	q.path = (const char *)path.data;
	if (!path.failed)
		r = http_send(h, &q, done, userdata, ret);
	buf_done(&path);
	return r;
}

/* They are sorted. */
static const struct stream_position *find(const struct stream_position *positions, size_t n,
					  const struct uuid *id)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = memcmp(positions[middle].stream.bytes, id->bytes, sizeof(id->bytes));

		if (order == 0)
			return &positions[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static bool is_behind(const struct store *s, uint32_t sink, uint32_t stream,
		      const struct stream_position *p)
{
	struct cursor_status c;
	uint64_t excused;

	store_cursor_status(s, sink, stream, &c);
	if (c.confirmed == 0 || (p && p->last_seq >= c.anchor))
		return false;
	if (!p || seq_run(p->last_seq) < seq_run(c.anchor))
		return true;
	excused = c.quarantined + c.exempt + c.moved;
	return c.anchor - p->last_seq > excused;
}

/*
 * A later run than ours, or in ours a later number: neither was given out here. Of a stream whose name is
 * not in force any more that is no news.
 */
static bool is_ahead(const struct stream_status *status, const struct stream_position *p,
		     uint64_t run, struct greeting *ret)
{
	uint64_t theirs = p ? seq_run(p->last_seq) : 0;

	if (!p || status->old || theirs < run || (theirs == run && p->last_seq <= status->last_seq))
		return false;
	(void)snprintf(ret->why, sizeof(ret->why),
		       "the server holds record %llu of run %llu of a stream, this store has only "
		       "reached run %llu: it was copied or set back",
		       (unsigned long long)(p->last_seq & SEQ_N_MAX), (unsigned long long)theirs,
		       (unsigned long long)run);
	(void)snprintf(ret->short_why, sizeof(ret->short_why), "run %llu, where we are in %llu",
		       (unsigned long long)theirs, (unsigned long long)run);
	return true;
}

static size_t count_unknown(const struct store *s, const struct stream_position *positions,
			    size_t n)
{
	size_t n_unknown = n;

	for (uint32_t i = 1; i <= store_stream_count(s); i++) {
		struct stream_status status;

		store_stream_status(s, i, &status);
		n_unknown -= find(positions, n, &status.info.id) != NULL;
	}
	return n_unknown;
}

/* For its owner: the server had lost what it had confirmed. */
static void note_loss(struct store *s, uint32_t sink, uint32_t stream, uint64_t after_seq,
		      uint64_t n)
{
	struct finding f = {.wall_us = clock_wall_usec(),
			    .sink = sink,
			    .stream = stream,
			    .first_seq = MAX(after_seq + 1, compare_oldest(s, sink, stream)),
			    .n = n,
			    .what = FINDING_LACKED};
	struct cursor_status c;

	store_cursor_status(s, sink, stream, &c);
	f.last_seq = c.cursor;
	(void)finding_add(s, &f); /* it is sent again in any case */
}

static int send_again(struct store *s, uint32_t sink, uint32_t stream,
		      const struct stream_position *p, struct greeting *ret)
{
	uint64_t after_seq = p ? p->last_seq : 0, again;
	int r = outbox_rewind(s, sink, stream, after_seq, &again);

	if (r != 0)
		return r < 0 ? r : -EIO;
	if (again > 0)
		note_loss(s, sink, stream, after_seq, again);
	/* Where records came from an older name, the last of them may be none of this sink's. */
	if (again == 0 && outbox_has_asides(s, sink, stream))
		return 0;
	ret->n_behind++;
	ret->n_again += again;
	return 0;
}

static int compare(struct store *s, uint32_t sink, const struct stream_position *positions,
		   size_t n, struct greeting *ret)
{
	struct store_figures figures;
	int r = 0;

	store_figures(s, &figures);
	ret->n_unknown = count_unknown(s, positions, n);
	for (uint32_t i = 1; i <= store_stream_count(s); i++) {
		struct stream_status status;

		store_stream_status(s, i, &status);
		if (is_ahead(&status, find(positions, n, &status.info.id), figures.run.number, ret))
			return GREETING_E_AHEAD;
	}
	for (uint32_t i = 1; r == 0 && i <= store_stream_count(s); i++) {
		struct stream_status status;
		const struct stream_position *p;

		store_stream_status(s, i, &status);
		p = find(positions, n, &status.info.id);
		if (is_behind(s, sink, i, p))
			r = send_again(s, sink, i, p, ret);
	}
	return r;
}

int greeting_judge(struct store *s, uint32_t sink, const struct answer *a, struct greeting *ret)
{
	_cleanup_(freep) struct stream_position *positions = NULL;
	const char *why = "";
	size_t n;
	int r;

	*ret = (struct greeting){0};
	if (a->transport == TRANSPORT_OK && (a->status == 404 || a->status == 405))
		return 0;
	if (a->transport != TRANSPORT_OK || a->status != 200)
		return GREETING_E_REFUSED;
	r = streams_parse(a, &positions, &n, &why);
	if (r > 0) {
		(void)snprintf(ret->why, sizeof(ret->why),
			       "the answer to GET /v1/streams is not understood: %.120s", why);
		return GREETING_E_TRANSIENT;
	}
	return r < 0 ? r : compare(s, sink, positions, n, ret);
}
