/*
 * What is owed to each sink. Two schedules that lost data elsewhere shaped this file:
 *
 *  - A cursor that passes a batch because the *next* one was confirmed. So the immediate lane has
 *    one cut under way for each sink, and the cursor passes it only by a receipt or in the same
 *    commit that writes its batch rows or its quarantine.
 *  - A long outage that makes a row for each failed batch. So nothing is cut while a sink is down,
 *    and when it is back one row a stream says "from the cursor to the newest"; a row is a range
 *    still to send, and one row that ends where the next begins is one row.
 *
 *        confirmed        |  row  |  confirmed  |    row     | in flight |  open
 *      ...................|#######|.............|############|~~~~~~~~~~~|-------->  seq
 *                         ^anchor                            ^cursor
 *
 * The anchor that an owner sees is min(cursor, lowest row - 1).
 */
#include "store/outbox.h"

#include "store/pack.h"
#include "store/state.h"

#include <stdio.h>

enum { CUT_BEHIND = 100 }; /* beside enum store_error: what comes before must become a row first */

void cut_done(struct cut *c)
{
	free(c->ranges);
	*c = (struct cut){0};
}

static int add_range(struct cut *c, const struct cut_range *range)
{
	struct cut_range *ranges = reallocarray(c->ranges, c->n_ranges + 1, sizeof(*ranges));

	if (!ranges)
		return -ENOMEM;
	c->ranges = ranges;
	c->ranges[c->n_ranges++] = *range;
	return 0;
}

static uint8_t usual_priority(const struct store *s, uint32_t stream)
{
	return stream_of(s, stream)->info.kind == KIND_HEART_RATE ? BATCH_HIGH : BATCH_NORMAL;
}

static void touch_cursor(struct store *s, struct cursor_state *c)
{
	c->dirty = true;
	if (s->dirty_since == USEC_INFINITY)
		s->dirty_since = s->latest;
}

/* The cursor's own movement rides in the next commit that has another reason. */
static void move_cursor(struct cursor_state *c, uint64_t seq, uint64_t id)
{
	assert(seq >= c->seq);
	c->seq = seq;
	c->id = MAX(c->id, id);
	c->dirty = true;
}

static struct batch_row row_of_range(const struct store *s, uint32_t sink,
				     const struct cut_range *range, uint64_t first_seq)
{
	return (struct batch_row){
		.sink = sink,
		.stream = range->stream,
		.first_seq = first_seq,
		.last_seq = range->last_seq,
		.first_id = range->first_id,
		.last_id = range->last_id,
		.count = stream_count_between(stream_of(s, range->stream), first_seq,
					      range->last_seq),
		.priority = usual_priority(s, range->stream),
		.created_us = clock_wall_usec(),
	};
}

static bool claimable(const struct store *s, const struct batch_row *row, uint32_t sink, usec_t now)
{
	return row->sink == sink && row->status != BATCH_UPLOADING && row->next_attempt <= now &&
	       !cursor_of(s, sink, row->stream)->held;
}

/*
 * A single record that was refused waits for others to be taken: were it tried first, a sink that
 * refused three of them in a row would be probed with them for ever.
 */
static bool is_suspect(const struct batch_row *row)
{
	return row->count == 1 && row->retry_count > 0;
}

/* --- the immediate lane --- */

usec_t outbox_waiting_since(const struct store *s, uint32_t sink)
{
	const struct sink_entry *k = sink_of(s, sink);
	const uint8_t *payload;
	struct slot slot;
	uint64_t next;

	if (!s->tail || k->in_flight || k->cut_pos >= tail_end(s->tail))
		return USEC_INFINITY;
	if (k->cut_pos < tail_start(s->tail))
		return 0; /* overtaken by the ring: outbox_cut() makes rows of it */
	if (tail_read(s->tail, k->cut_pos, &slot, &payload, &next) != 0)
		return USEC_INFINITY;
	return (usec_t)slot.heard_us;
}

/* A row of everything of one stream that is neither behind the cursor nor in a row. */
static int row_of_open(struct store *s, uint32_t sink, uint32_t stream, const struct mark *until,
		       uint8_t priority)
{
	struct cursor_state *c = cursor_of(s, sink, stream);
	struct stream_state *st = stream_of(s, stream);
	struct batch_row row = {.sink = sink,
				.stream = stream,
				.first_seq = stream_seq_after(st, c->seq),
				.last_seq = until->seq,
				.first_id = c->id,
				.last_id = until->id,
				.priority = priority,
				.created_us = clock_wall_usec()};
	int r;

	if (row.first_seq == 0 || row.first_seq > until->seq)
		return 0;
	row.count = stream_count_between(st, row.first_seq, until->seq);
	r = row_add(s, &row);
	if (r == 0)
		move_cursor(c, until->seq, until->id);
	return r;
}

static struct mark newest(const struct store *s, uint32_t stream)
{
	return (struct mark){.seq = stream_last_seq(stream_of(s, stream)), .id = s->next_id - 1};
}

/* The newest minute after an outage first: somebody may be looking at this heart right now. */
static int row_of_newest(struct store *s, uint32_t sink, uint32_t stream)
{
	struct stream_state *st = stream_of(s, stream);
	struct cursor_state *c = cursor_of(s, sink, stream);
	const struct mark *m = st->marks[0].heard_us ? &st->marks[0] : &st->marks[1];
	const struct mark last = newest(s, stream);
	int r;

	if (m->heard_us == 0 || m->seq <= c->seq || m->seq >= last.seq)
		return row_of_open(s, sink, stream, &last, usual_priority(s, stream));
	r = row_of_open(s, sink, stream, m, usual_priority(s, stream));
	return r == 0 ? row_of_open(s, sink, stream, &last, BATCH_CRITICAL) : r;
}

int outbox_reopen(struct store *s, uint32_t sink, usec_t now)
{
	struct sink_entry *k = sink_of(s, sink);
	int r = 0;

	s->latest = MAX(s->latest, now);
	assert(!k->in_flight);
	for (uint32_t i = 1; r == 0 && i <= s->n_streams; i++)
		if (!cursor_of(s, sink, i)->held)
			r = row_of_newest(s, sink, i);
		else
			k->skipped = true; /* what it has in the tail, only a commit makes safe */
	if (r == 0 && s->tail)
		k->cut_pos = k->in_flight_pos = tail_end(s->tail);
	return r;
}

int outbox_unhold(struct store *s, uint32_t sink, uint32_t stream)
{
	struct cursor_state *c = cursor_of(s, sink, stream);
	const struct mark last = newest(s, stream);

	if (!c->held)
		return 0;
	if (sink_of(s, sink)->in_flight)
		return STORE_E_BUSY; /* records of this stream may be in it, cut before the hold */
	c->held = false;
	touch_cursor(s, c);
	return row_of_open(s, sink, stream, &last, usual_priority(s, stream));
}

static int range_for(struct store *s, struct sink_entry *k, struct cut *c, const struct slot *slot,
		     struct cut_range **ret)
{
	uint32_t *index = &k->range_of[slot->stream - 1];
	struct cut_range range = {.stream = slot->stream,
				  .first_seq = slot->seq,
				  .first_id = slot->id};
	int r;

	if (*index == 0) {
		r = add_range(c, &range);
		if (r < 0)
			return r;
		*index = (uint32_t)c->n_ranges;
	}
	*ret = &c->ranges[*index - 1];
	return 0;
}

static bool is_open(const struct store *s, uint32_t sink, const struct slot *slot)
{
	const struct cursor_state *c = cursor_of(s, sink, slot->stream);

	return !c->held && slot->seq > c->seq;
}

/*
 * Does something that is not settled lie between the cursor and this record? After a start it does:
 * what was open then is in the log, and no slot of the new ring tells of it.
 */
static bool leaves_a_hole(const struct store *s, const struct sink_entry *k,
			  const struct slot *slot)
{
	const struct cursor_state *c = cursor_of(s, k->info.number, slot->stream);

	return k->range_of[slot->stream - 1] == 0 &&
	       stream_seq_before(stream_of(s, slot->stream), slot->seq) > c->seq;
}

/* Takes one slot. 0: go on, 1: taken, and enough; > 1: a condition. */
static int cut_slot(struct store *s, struct sink_entry *k, const struct cut_taker *taker,
		    const struct slot *slot, const uint8_t *payload, struct cut *c)
{
	struct record *record = &s->scratch_record;
	struct bytes in = bytes_make(payload, slot->n_payload);
	const struct stream_state *st = stream_of(s, slot->stream);
	struct cut_range *range;
	int r;

	if (leaves_a_hole(s, k, slot))
		return CUT_BEHIND;
	if (record_unpack(&in, record) < 0)
		return -EBADMSG;
	record->stream = slot->stream;
	record->id = slot->id;
	record->seq = slot->seq;
	record->boot_us = slot->boot_us;
	record->clk = slot->clk;
	record->offset_us = slot->offset_us;
	if (!wall_resolve(s, record))
		return STORE_E_CLOCK;
	if (c->n_records == 0) {
		r = taker->begin(taker->userdata, &c->run);
		if (r < 0)
			return r;
		c->heard_us = (usec_t)slot->heard_us;
	}
	r = range_for(s, k, c, slot, &range);
	if (r < 0)
		return r;
	r = taker->add(taker->userdata, &st->info,
		       range->count == 0 ? stream_seq_before(st, slot->seq) : 0, record);
	if (r < 0)
		return r;
	range->last_seq = slot->seq;
	range->last_id = slot->id;
	range->count++;
	c->n_records++;
	c->kinds |= 1U << st->info.kind;
	return r;
}

static int cut_slots(struct store *s, struct sink_entry *k, const struct cut_taker *taker,
		     struct cut *c)
{
	uint64_t next;
	const uint8_t *payload;
	struct slot slot;
	int r = 0;

	while (r == 0 && tail_read(s->tail, k->cut_pos, &slot, &payload, &next) == 0) {
		if (is_open(s, k->info.number, &slot))
			r = cut_slot(s, k, taker, &slot, payload, c);
		else
			k->skipped |= cursor_of(s, k->info.number, slot.stream)->held;
		if (r == 0 || r == 1)
			k->cut_pos = next;
	}
	return r == 1 ? 0 : r;
}

/*
 * A cut that fails becomes rows: with no room for rows, what is new waits until those there are
 * have shrunk. But not for rows that wait themselves, for their owner or for a witness.
 */
static bool has_room(const struct store *s, uint32_t sink)
{
	if (!s->max_batches || s->n_rows + s->n_streams <= s->max_batches)
		return true;
	for (size_t i = 0; i < s->n_rows; i++)
		if (claimable(s, &s->rows[i].row, sink, USEC_INFINITY) &&
		    !is_suspect(&s->rows[i].row))
			return false;
	return true;
}

int outbox_cut(struct store *s, uint32_t sink, const struct cut_taker *taker, struct cut *ret)
{
	struct sink_entry *k = sink_of(s, sink);
	struct cut c = {.sink = sink, .immediate = true, .run = s->run};
	int r;

	assert(!k->in_flight);
	if (k->cut_pos < tail_start(s->tail)) {
		/* The ring overtook us: all of it is in the log, and goes by rows. */
		r = outbox_reopen(s, sink, s->latest);
		return r != 0 ? r : STORE_E_NOTHING;
	}
	if (!has_room(s, sink))
		return STORE_E_NOTHING;
	k->in_flight_pos = k->cut_pos;
	r = cut_slots(s, k, taker, &c);
	for (size_t i = 0; i < c.n_ranges; i++)
		k->range_of[c.ranges[i].stream - 1] = 0;
	if (c.n_records == 0 || r < 0) {
		if (r < 0)
			k->cut_pos = k->in_flight_pos;
		else
			k->in_flight_pos = k->cut_pos; /* only held ones were passed over */
		cut_done(&c);
		if (r == CUT_BEHIND)
			r = outbox_reopen(s, sink, s->latest);
		return r != 0 ? r : STORE_E_NOTHING;
	}
	k->in_flight = true;
	*ret = c;
	return 0;
}

/* The cut has ended, whichever way. */
static void land(struct store *s, struct cut *c)
{
	if (c->immediate) {
		struct sink_entry *k = sink_of(s, c->sink);

		k->in_flight = false;
		k->in_flight_pos = k->cut_pos;
	}
	cut_done(c);
}

static void release(struct store *s, struct cut *c)
{
	if (c->sink == 0)
		return;
	if (c->immediate)
		sink_of(s, c->sink)->cut_pos = sink_of(s, c->sink)->in_flight_pos;
	for (size_t i = 0; i < c->n_ranges; i++) {
		struct row_entry *entry = row_find(s, c->ranges[i].row);

		if (entry && entry->row.status == BATCH_UPLOADING)
			entry->row.status = entry->row.retry_count ? BATCH_FAILED : BATCH_PENDING;
	}
	land(s, c);
}

/* Out of memory in the middle: what was not settled goes again, nothing may pass it. */
static int settled(struct store *s, struct cut *c, int r)
{
	if (r < 0)
		release(s, c);
	else
		land(s, c);
	return r;
}

/* Of an immediate cut what begins at first_seq becomes a row, and the cursor passes it. */
static int owe(struct store *s, const struct cut *c, const struct cut_range *range,
	       uint64_t first_seq, const struct batch_row *like)
{
	struct cursor_state *cursor = cursor_of(s, c->sink, range->stream);
	struct batch_row row = row_of_range(s, c->sink, range, first_seq);
	int r;

	if (like) {
		row.status = like->status;
		row.retry_count = like->retry_count;
		row.next_attempt = like->next_attempt;
		row.last_attempt_us = like->last_attempt_us;
		row.limit = like->limit;
		memcpy(row.last_error, like->last_error, sizeof(row.last_error));
	}
	r = row_add(s, &row);
	if (r == 0)
		move_cursor(cursor, range->last_seq, range->last_id);
	return r;
}

/* --- the backlog lane --- */

/* Which of two rows goes first. */
static bool before(const struct store *s, const struct batch_row *a, const struct batch_row *b)
{
	unsigned kind_a = stream_of(s, a->stream)->info.kind;
	unsigned kind_b = stream_of(s, b->stream)->info.kind;

	if (is_suspect(a) != is_suspect(b))
		return is_suspect(b);
	if (a->priority != b->priority)
		return a->priority > b->priority;
	if (kind_a != kind_b)
		return kind_a < kind_b;
	return a->first_id < b->first_id;
}

/* A request holds one range of a stream: `acked_through` could not tell two apart. */
static bool is_aboard(const struct cut *c, uint32_t stream)
{
	for (size_t i = 0; i < c->n_ranges; i++)
		if (c->ranges[i].stream == stream)
			return true;
	return false;
}

static struct row_entry *most_urgent(const struct store *s, const struct cut *c, usec_t now)
{
	struct row_entry *best = NULL;

	for (size_t i = 0; i < s->n_rows; i++)
		if (claimable(s, &s->rows[i].row, c->sink, now) &&
		    !is_aboard(c, s->rows[i].row.stream) &&
		    (!best || before(s, &s->rows[i].row, &best->row)))
			best = &s->rows[i];
	return best;
}

usec_t outbox_next_due(const struct store *s, uint32_t sink)
{
	usec_t due = USEC_INFINITY;

	for (size_t i = 0; i < s->n_rows; i++)
		if (claimable(s, &s->rows[i].row, sink, USEC_INFINITY))
			due = MIN(due, s->rows[i].row.next_attempt);
	return due;
}

struct claiming {
	struct store *s;
	const struct cut_taker *taker;
	struct cut *cut;
	struct cut_range range;
	uint32_t limit;
	uint64_t ids; /* that may still be looked at */
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
	g->range.last_seq = r->seq;
	g->range.last_id = r->id;
	g->range.count++;
	g->cut->n_records++;
	g->cut->kinds |= 1U << st->info.kind;
	g->enough = e == 1 || (g->limit && g->range.count >= g->limit);
	return g->enough;
}

/* Nothing of this range is there to be read any more. */
static int give_up_row(struct store *s, struct row_entry *entry)
{
	struct stream_state *st = stream_of(s, entry->row.stream);

	st->salvage_lost += entry->row.count;
	st->dirty = true;
	s->force = true;
	return row_end(s, entry);
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
	r = log_read_some(g->s, &want, g->ids, &next, claim_record, g);
	if (r < 0 || (r > 0 && g->range.count == 0))
		return r;
	looked = g->range.count ? g->range.last_id : next;
	g->ids -= MIN(g->ids, looked - MIN(looked, row->first_id));
	g->enough |= g->ids == 0;
	if (g->range.count == 0 && r == 0 && next != UINT64_MAX) {
		row->first_id = next; /* nothing of it lies before: the next claim begins here */
		return STORE_E_MORE;
	}
	if (g->range.count == 0)
		return r;
	r = add_range(g->cut, &g->range);
	if (r < 0)
		return r;
	row->status = BATCH_UPLOADING; /* not written: on the disk it stays pending */
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
	if (why == STORE_E_CLOCK)
		return; /* nothing to write down: it is no failure */
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
	struct row_entry *entry;
	int r = 0, passed = STORE_E_NOTHING;

	s->latest = MAX(s->latest, now);
	while (r == 0 && !g.enough && (entry = most_urgent(s, &c, now)) != NULL) {
		uint64_t run = seq_run(entry->row.first_seq);

		if (c.n_records > 0 &&
		    (entry->row.limit != 0 || run != c.run.number || goes_back(&c, &entry->row)))
			break;
		r = claim_row(&g, entry);
		if ((r == STORE_E_CLOCK || r == STORE_E_CORRUPT) && c.n_records == 0) {
			pass_over(s, entry, r, now);
			passed = r;
			r = 0;
		} else if (r == 0 && g.range.count == 0 && c.n_records == 0)
			r = give_up_row(s, entry);
		else if (g.range.count == 0)
			break;
	}
	if (c.n_records > 0 && r >= 0) {
		*ret = c;
		return 0;
	}
	release(s, &c);
	return r != 0 ? r : passed;
}

void outbox_hurry(struct store *s, uint32_t sink, bool critical)
{
	for (size_t i = 0; i < s->n_rows; i++) {
		struct batch_row *row = &s->rows[i].row;

		if (row->sink != sink || row->status == BATCH_UPLOADING)
			continue;
		row->next_attempt = 0;
		if (critical)
			row->priority = BATCH_CRITICAL;
		row_touch(s, &s->rows[i]);
	}
}

/* --- settling --- */

static int put_in_quarantine(struct store *s, uint32_t sink, uint32_t stream, uint64_t seq,
			     const char *code, const char *detail)
{
	struct quarantined q = {.sink = sink,
				.stream = stream,
				.seq = seq,
				.wall_us = clock_wall_usec()};
	struct quarantined *all =
		reallocarray(s->new_quarantine, s->n_new_quarantine + 1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	(void)snprintf(q.code, sizeof(q.code), "%s", code);
	(void)snprintf(q.detail, sizeof(q.detail), "%s", detail);
	s->new_quarantine = all;
	s->new_quarantine[s->n_new_quarantine++] = q;
	cursor_of(s, sink, stream)->quarantined++;
	cursor_of(s, sink, stream)->dirty = true;
	s->force = true;
	return 0;
}

static const struct receipt_entry *entry_of(const struct receipt_entry *entries, size_t n,
					    uint32_t stream)
{
	for (size_t i = 0; i < n; i++)
		if (entries[i].stream == stream)
			return &entries[i];
	return NULL;
}

/* The first seq that the server has with other content; 0: none. */
static uint64_t first_conflict(const struct receipt_entry *e)
{
	for (size_t i = 0; i < e->n_rejected; i++)
		if (e->rejected[i].conflict)
			return e->rejected[i].seq;
	return 0;
}

static int quarantine_rejected(struct store *s, const struct cut *c, const struct receipt_entry *e,
			       uint64_t acked, uint64_t *ret_n)
{
	uint64_t n = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < e->n_rejected; i++)
		if (e->rejected[i].seq <= acked) {
			r = put_in_quarantine(s, c->sink, e->stream, e->rejected[i].seq,
					      e->rejected[i].code, e->rejected[i].detail);
			n++;
		}
	*ret_n = n;
	return r;
}

/* Everything of the range up to `acked` is settled; what is behind it stays owed. */
static int settle_range(struct store *s, const struct cut *c, const struct cut_range *range,
			uint64_t acked, uint64_t n_rejected)
{
	const struct stream_state *st = stream_of(s, range->stream);
	struct cursor_state *cursor = cursor_of(s, c->sink, range->stream);
	uint64_t n = acked ? stream_count_between(st, range->first_seq, acked) : 0;
	struct row_entry *entry;

	assert(n >= n_rejected);
	cursor->confirmed += n - n_rejected;
	cursor->dirty = true;
	if (c->immediate) {
		uint64_t rest = acked ? stream_seq_after(st, acked) : range->first_seq;

		if (acked < range->last_seq)
			return owe(s, c, range, rest, NULL);
		move_cursor(cursor, acked, range->last_id);
		return 0;
	}
	entry = row_find(s, range->row);
	assert(entry != NULL);
	row_touch(s, entry);
	if (acked == entry->row.last_seq)
		return row_end(s, entry);
	entry->row.status = BATCH_PENDING;
	if (acked == 0)
		return 0;
	entry->row.first_seq = stream_seq_after(st, acked);
	entry->row.count -= n;
	if (acked == range->last_seq)
		entry->row.first_id = range->last_id;
	entry->row.retry_count = 0;
	entry->row.last_error[0] = '\0';
	/* What was bisected grows again: only the bad record had to go alone. */
	entry->row.limit = entry->row.limit > UINT32_MAX / 4 || entry->row.limit >= 1024
				   ? 0
				   : entry->row.limit * 2;
	return 0;
}

static int confirm_range(struct store *s, const struct cut *c, const struct cut_range *range,
			 const struct receipt_entry *e)
{
	uint64_t acked = e ? MIN(e->acked_through, range->last_seq) : 0;
	uint64_t conflict = e ? first_conflict(e) : 0, n_rejected = 0;
	int r = 0;

	if (e && (e->identity_conflict || conflict)) {
		cursor_of(s, c->sink, range->stream)->held = true;
		touch_cursor(s, cursor_of(s, c->sink, range->stream));
		s->force = true;
	}
	if (e && e->identity_conflict)
		acked = 0;
	else if (conflict && conflict <= acked)
		acked = conflict > range->first_seq ? conflict - 1 : 0;
	if (acked < range->first_seq)
		acked = 0;
	if (acked)
		r = quarantine_rejected(s, c, e, acked, &n_rejected);
	return r == 0 ? settle_range(s, c, range, acked, n_rejected) : r;
}

int outbox_confirm(struct store *s, struct cut *c, const struct receipt_entry *entries,
		   size_t n_entries, usec_t now)
{
	int r = 0;

	s->latest = MAX(s->latest, now);
	for (size_t i = 0; r == 0 && i < c->n_ranges; i++)
		r = confirm_range(s, c, &c->ranges[i],
				  entry_of(entries, n_entries, c->ranges[i].stream));
	return settled(s, c, r);
}

/* A single bad record must not hold up the rest of its row. */
static int split_off_rest(struct store *s, struct row_entry *entry, const struct cut_range *range)
{
	struct batch_row rest = entry->row;
	uint64_t next = stream_seq_after(stream_of(s, range->stream), range->last_seq);

	if (entry->row.limit != 1 || range->last_seq == entry->row.last_seq)
		return 0;
	entry->row.last_seq = range->last_seq;
	entry->row.last_id = range->last_id;
	entry->row.count = range->count;
	rest.first_seq = next;
	rest.first_id = range->last_id;
	rest.count -= range->count;
	rest.status = BATCH_PENDING;
	rest.limit = 0;
	rest.retry_count = 0;
	rest.next_attempt = 0;
	rest.last_error[0] = '\0';
	return row_add(s, &rest); /* `entry` may have moved */
}

static int defer_row(struct store *s, const struct cut_range *range, const struct batch_row *how)
{
	struct row_entry *entry = row_find(s, range->row);

	assert(entry != NULL);
	entry->row.status = how->status;
	entry->row.retry_count += how->retry_count;
	entry->row.next_attempt = how->next_attempt;
	entry->row.last_attempt_us = how->last_attempt_us;
	memcpy(entry->row.last_error, how->last_error, sizeof(entry->row.last_error));
	row_touch(s, entry);
	return split_off_rest(s, entry, range);
}

int outbox_defer(struct store *s, struct cut *c, usec_t now, usec_t next_attempt, const char *error)
{
	struct batch_row how = {.status = BATCH_FAILED,
				.retry_count = 1,
				.next_attempt = next_attempt,
				.last_attempt_us = clock_wall_usec()};
	int r = 0;

	s->latest = MAX(s->latest, now);
	(void)snprintf(how.last_error, sizeof(how.last_error), "%s", error); /* cut */
	for (size_t i = 0; r == 0 && i < c->n_ranges; i++)
		r = c->immediate ? owe(s, c, &c->ranges[i], c->ranges[i].first_seq, &how)
				 : defer_row(s, &c->ranges[i], &how);
	return settled(s, c, r);
}

int outbox_split(struct store *s, struct cut *c, usec_t now, const char *error)
{
	struct batch_row how = {.status = BATCH_FAILED, .last_attempt_us = clock_wall_usec()};
	int r = 0;

	s->latest = MAX(s->latest, now);
	if (c->n_records <= 1)
		return STORE_E_NOTHING;
	(void)snprintf(how.last_error, sizeof(how.last_error), "%s", error); /* cut */
	for (size_t i = 0; r == 0 && i < c->n_ranges; i++) {
		const struct cut_range *range = &c->ranges[i];
		struct row_entry *entry;

		how.limit = c->n_ranges > 1 ? range->count : (range->count + 1) / 2;
		if (c->immediate) {
			r = owe(s, c, range, range->first_seq, &how);
			continue;
		}
		entry = row_find(s, range->row);
		assert(entry != NULL);
		entry->row.limit = how.limit;
		how.next_attempt = 0;
		r = defer_row(s, range, &how);
	}
	return settled(s, c, r);
}

int outbox_quarantine(struct store *s, struct cut *c, usec_t now, const char *code,
		      const char *detail)
{
	const struct cut_range *range = &c->ranges[0];
	int r;

	assert(c->n_records == 1);
	s->latest = MAX(s->latest, now);
	r = put_in_quarantine(s, c->sink, range->stream, range->first_seq, code, detail);
	if (r == 0)
		r = settle_range(s, c, range, range->first_seq, 1);
	return settled(s, c, r);
}

void outbox_release(struct store *s, struct cut *c)
{
	release(s, c);
}
