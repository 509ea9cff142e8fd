/*
 * The backlog lane: which batch row goes next, and its records out of the log. What must not happen here
 * is that one row stops the others: a row whose records have no wall time yet, or cannot be read, is
 * passed over for a while, and a single record that was refused waits behind all that is not suspect.
 */
#include "store/outbox.h"

#include "store/row_index.h"
#include "store/state.h"

#include <stdio.h>

/* A request holds one range of a stream: `acked_through` could not tell two apart. */
static bool is_aboard(const struct cut *c, uint32_t stream)
{
	for (size_t i = 0; i < c->n_ranges; i++)
		if (c->ranges[i].stream == stream)
			return true;
	return false;
}

static enum row_order order_of(const struct store *s, uint32_t sink)
{
	return sink_of(s, sink)->take_turns ? ROWS_BY_TURN : ROWS_BY_URGENCY;
}

/* Nothing goes of a stream that is in conflict, or under an old name. */
static bool is_claimable(const struct store *s, uint32_t sink, uint32_t stream)
{
	return !cursor_of(s, sink, stream)->held && !stream_of(s, stream)->old;
}

static struct row_entry *first_of(const struct store *s, uint32_t sink, uint32_t stream, usec_t now)
{
	if (!is_claimable(s, sink, stream))
		return NULL;
	return row_index_first_due(s, order_of(s, sink), sink, stream, now);
}

/* The most urgent of the rows that are first in their streams. */
static struct row_entry *most_urgent(const struct store *s, const struct cut *c,
				     struct row_entry *const *firsts)
{
	enum row_order order = order_of(s, c->sink);
	struct row_entry *most = NULL;

	for (uint32_t i = 0; i < s->n_streams; i++)
		if (firsts[i] && !is_aboard(c, i + 1) &&
		    (!most || row_index_before(s, order, &firsts[i]->row, &most->row)))
			most = firsts[i];
	return most;
}

usec_t outbox_next_due(const struct store *s, uint32_t sink)
{
	usec_t due = USEC_INFINITY;

	for (uint32_t i = 1; i <= s->n_streams; i++) {
		usec_t of_stream =
			is_claimable(s, sink, i) ? row_index_due(s, sink, i) : USEC_INFINITY;

		due = MIN(due, of_stream);
	}
	return due;
}

bool outbox_rows_go_on(const struct store *s, uint32_t sink)
{
	for (uint32_t i = 1; i <= s->n_streams; i++) {
		/* What is suspect goes last: if the first is, all are. */
		const struct row_entry *first =
			is_claimable(s, sink, i)
				? row_index_first_due(s, ROWS_BY_URGENCY, sink, i, USEC_INFINITY)
				: NULL;

		if (first && !row_is_suspect(&first->row))
			return true;
	}
	return false;
}

struct claiming {
	struct store *s;
	const struct cut_taker *taker;
	struct cut *cut;
	struct cut_range range;
	uint32_t limit;
	uint64_t ids; /* that may still be looked at */
	uint64_t
		next; /* seq that has to come: n is dense, and a row names nothing that was deleted */
	uint64_t gone; /* records that are missing where the row begins */
	bool enough;
};

/*
 * The log lies in the order of its ids, all streams together. A stream that has little in it would
 * make a claim look at all of it, seconds of a loop that has hearts to listen to. A day of ten
 * straps is 2.4 million ids.
 */
enum { CLAIM_IDS = 32768 };

static int claim_record(void *userdata, const struct record *r)
{
	struct claiming *g = userdata;
	const struct stream_state *st = stream_of(g->s, r->stream);
	int e;

	/* What is only looked at may have been caught between log and ring. */
	if (r->seq != g->next && g->s->owner_fd >= 0) {
		if (g->range.count == 0)
			g->gone = stream_count_between(st, g->next, r->seq - 1);
		return 1; /* what comes before it goes */
	}
	if (g->cut->n_records == 0) {
		if (!store_run(g->s, seq_run(r->seq), &g->cut->run))
			return store_fail(g->s, -EBADMSG, "a record of a run that never was");
		e = g->taker->begin(g->taker->userdata, &g->cut->run);
		if (e < 0)
			return e;
	}
	if (seq_run(r->seq) != g->cut->run.number)
		return 1; /* a batch never mixes runs */
	if (g->range.count == 0) {
		g->range.first_seq = r->seq;
		g->range.first_id = r->id;
	}
	e = g->taker->add(g->taker->userdata, &st->info,
			  g->range.count == 0 ? stream_seq_before(st, r->seq) : 0, r);
	if (e < 0)
		return e;
	g->next = r->seq + 1;
	g->range.last_seq = r->seq;
	g->range.last_id = r->id;
	g->range.count++;
	g->cut->n_records++;
	g->cut->kinds |= 1U << st->info.kind;
	g->enough = e == 1 || (g->limit && g->range.count >= g->limit);
	return g->enough;
}

/*
 * What a row begins with is not there to be read any more: the log lost what was written. It is not
 * counted here, where every sink that has a row would count it again, but by whoever salvages the store.
 */
static int is_gone(struct store *s, uint32_t stream, uint64_t n)
{
	s->damaged = true;
	return store_fail(s, STORE_E_CORRUPT, "%llu records of stream %u are gone from the log",
			  (unsigned long long)n, (unsigned)stream);
}

static int claim_row(struct claiming *g, struct row_entry *entry)
{
	struct batch_row *row = &entry->row;
	const struct cut_range want = {.stream = row->stream,
				       .first_seq = row->first_seq,
				       .last_seq = row->last_seq,
				       .first_id = row->first_id};
	uint64_t next, looked;
	int r;

	g->range = (struct cut_range){.stream = row->stream, .row = row->number};
	g->limit = row->limit;
	g->gone = 0;
	g->next = stream_seq_after(stream_of(g->s, row->stream), row->first_seq - 1);
	r = log_read_some(g->s, &want, g->ids, &next, claim_record, g);
	if (r < 0 || (r > 0 && g->range.count == 0))
		return r;
	if (g->gone)
		return is_gone(g->s, row->stream, g->gone);
	looked = g->range.count ? g->range.last_id : next;
	g->ids -= MIN(g->ids, looked - MIN(looked, row->first_id));
	g->enough |= g->ids == 0;
	if (g->range.count == 0 && r == 0 && next != UINT64_MAX) {
		row->first_id = next; /* nothing of it lies before: the next claim begins here */
		row_index_change(g->s, entry);
		return STORE_E_MORE;
	}
	if (g->range.count == 0)
		return r;
	r = cut_add_range(g->cut, &g->range);
	if (r < 0)
		return r;
	row->status = BATCH_UPLOADING; /* not written: on the disk it stays pending */
	row_index_change_due(g->s, entry);
	g->cut->retry_count = MAX(g->cut->retry_count, row->retry_count);
	g->enough |= row->limit != 0;
	return 0;
}

/* A batch holds the records of a stream in order: an older row of the same stream waits. */
static bool goes_back(const struct cut *c, const struct batch_row *row)
{
	for (size_t i = 0; i < c->n_ranges; i++)
		if (c->ranges[i].stream == row->stream && c->ranges[i].last_seq >= row->first_seq)
			return true;
	return false;
}

#define CLOCK_REST  USEC_PER_SEC	  /* a row whose records have no time yet is passed over */
#define DAMAGE_REST (3600 * USEC_PER_SEC) /* and one whose records cannot be read */

/* One row that cannot go is no reason for the others to stay. */
static void pass_over(struct store *s, struct row_entry *entry, int why, usec_t now)
{
	struct batch_row *row = &entry->row;

	row->next_attempt = now + (why == STORE_E_CLOCK ? CLOCK_REST : DAMAGE_REST);
	if (why == STORE_E_CLOCK) {
		row_index_change_due(s, entry); /* nothing to write down: it is no failure */
		return;
	}
	row->status = BATCH_FAILED;
	(void)snprintf(row->last_error, sizeof(row->last_error), "%.*s",
		       (int)sizeof(row->last_error) - 1, s->problem);
	row_touch(s, entry);
}

int outbox_claim(struct store *s, uint32_t sink, usec_t now, const struct cut_taker *taker,
		 struct cut *ret)
{
	struct cut c = {.sink = sink};
	struct claiming g = {.s = s, .taker = taker, .cut = &c, .ids = CLAIM_IDS};
	_cleanup_(freep) struct row_entry **firsts =
		calloc(s->n_streams + 1, sizeof(struct row_entry *));
	struct row_entry *entry;
	int r = 0, passed = STORE_E_NOTHING;

	if (!firsts)
		return -ENOMEM;
	s->latest = MAX(s->latest, now);
	if (s->n_new_quarantine >= QUARANTINE_PENDING_MAX)
		return STORE_E_NOTHING;
	for (uint32_t i = 1; i <= s->n_streams; i++)
		firsts[i - 1] = first_of(s, sink, i, now);
	while (r == 0 && !g.enough && (entry = most_urgent(s, &c, firsts)) != NULL) {
		uint64_t run = seq_run(entry->row.first_seq);

		if (c.n_records > 0 && (sink_of(s, sink)->take_turns || entry->row.limit != 0 ||
					run != c.run.number || goes_back(&c, &entry->row)))
			break;
		r = claim_row(&g, entry);
		if (r == 0 && g.range.count == 0 && c.n_records == 0)
			r = is_gone(s, entry->row.stream, entry->row.count);
		if ((r == STORE_E_CLOCK || r == STORE_E_CORRUPT) && c.n_records == 0) {
			pass_over(s, entry, r, now);
			passed = r;
			r = 0;
			firsts[entry->row.stream - 1] = first_of(s, sink, entry->row.stream, now);
		} else if (g.range.count == 0) {
			break;
		}
	}
	if (r != STORE_E_MORE) /* then the turn is still to be taken */
		sink_of(s, sink)->take_turns = false;
	if (c.n_records > 0 && r >= 0) {
		*ret = c;
		return 0;
	}
	outbox_release(s, &c);
	return r != 0 ? r : passed;
}

void outbox_take_turns(struct store *s, uint32_t sink)
{
	sink_of(s, sink)->take_turns = true;
}

void outbox_hurry(struct store *s, uint32_t sink, bool critical)
{
	for (size_t i = 0; i < s->n_rows; i++) {
		struct batch_row *row = &s->rows[i].row;

		if (row->sink != sink || row->status == BATCH_UPLOADING)
			continue;
		row->next_attempt = 0; /* which is not written */
		if (critical && row->priority != BATCH_CRITICAL) {
			row->priority = BATCH_CRITICAL;
			row_touch(s, &s->rows[i]);
		} else {
			row_index_change_due(s, &s->rows[i]);
		}
	}
}
