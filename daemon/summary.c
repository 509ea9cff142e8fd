/*
 * The summary, every 15 minutes while anything moved, every hour while all went at once:
 *
 *     main, heart_rate: 900 records confirmed; at once 880 of 881 batches (99 %), 0.4 s after they were
 *     heard; 3 records queued; 3 from the queue in 1 of 1 batches
 *
 * A line that stands alone in the journal makes journald touch some thirty pages of its file: 96 of them
 * a day are 10 MB of card, as much as all that vitald writes beside them.
 *
 * At most one line for each sink and kind, however much happened, also where a sink that left the
 * config makes room for another: what has no place in the table is left to its events.
 */
#include "summary.h"

#include "model/catalog.h"
#include "util/buf.h"
#include "util/log.h"

#include <inttypes.h>
#include <stdio.h>

static struct summary_line *line_of(struct summary *s, const struct sync_event *e)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->lines[i].kind == e->kind && streq(s->lines[i].sink, e->sink))
			return &s->lines[i];
	if (s->n == SUMMARY_LINES)
		return NULL;
	s->lines[s->n] = (struct summary_line){.kind = e->kind};
	memcpy(s->lines[s->n].sink, e->sink, sizeof(e->sink));
	return &s->lines[s->n++];
}

void summary_count(struct summary *s, const struct sync_event *e)
{
	/* A comparison in which nothing was missing is of no kind. */
	struct summary_line *l = e->kind ? line_of(s, e) : NULL;

	if (!l)
		return;
	switch (e->type) {
	case SYNC_IMMEDIATE_SUCCESS:
		l->good++;
		l->at_once += e->count;
		l->latency_ms += (uint64_t)e->latency_ms * e->count;
		break;
	case SYNC_IMMEDIATE_FAILED: l->bad++; break;
	case SYNC_QUEUED: l->queued += e->count; break;
	case SYNC_BACKGROUND_SUCCESS:
		l->good_later++;
		l->by_queue += e->count;
		break;
	case SYNC_BACKGROUND_FAILED: l->bad_later++; break;
	case SYNC_QUARANTINED: l->refused += e->count; break;
	case SYNC_RECONCILE: l->missing += e->count; break;
	default: break;
	}
}

bool summary_is_calm(const struct summary *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct summary_line *l = &s->lines[i];

		if (l->bad || l->queued || l->good_later || l->bad_later || l->refused ||
		    l->missing)
			return false;
	}
	return true;
}

static void put_at_once(struct buf *b, const struct summary_line *l)
{
	uint64_t tried = l->good + l->bad;

	if (!tried)
		return;
	buf_printf(b, "; at once %" PRIu64 " of %" PRIu64 " batches (%" PRIu64 " %%)", l->good,
		   tried, l->good * 100 / tried);
	if (l->at_once)
		buf_printf(b, ", %.1f s after they were heard",
			   (double)l->latency_ms / (double)l->at_once / 1000);
}

static void put_queue(struct buf *b, const struct summary_line *l)
{
	if (l->queued)
		buf_printf(b, "; %" PRIu64 " records queued", l->queued);
	if (l->good_later + l->bad_later)
		buf_printf(b, "; %" PRIu64 " from the queue in %" PRIu64 " of %" PRIu64 " batches",
			   l->by_queue, l->good_later, l->good_later + l->bad_later);
	if (l->refused)
		buf_printf(b, "; %" PRIu64 " refused", l->refused);
	if (l->missing)
		buf_printf(b, "; %" PRIu64 " were missing at the server", l->missing);
}

static void say_line(const struct summary_line *l)
{
	char sink[48], kind[40];
	struct buf b = {0};

	put_at_once(&b, l);
	put_queue(&b, l);
	(void)snprintf(sink, sizeof(sink), "SINK=%s", l->sink);			/* fits */
	(void)snprintf(kind, sizeof(kind), "DATA_TYPE=%s", kind_name(l->kind)); /* fits */
	log_event(LOG_INFO, CATALOG_SUMMARY, LOG_FIELDS(sink, kind),
		  "%s, %s: %" PRIu64 " records confirmed%.*s", l->sink, kind_name(l->kind),
		  l->at_once + l->by_queue, b.failed ? 0 : (int)b.size,
		  b.data ? (const char *)b.data : "");
	buf_done(&b);
}

void summary_say(struct summary *s)
{
	for (size_t i = 0; i < s->n; i++)
		say_line(&s->lines[i]);
	s->n = 0;
}
