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

/* Beside enum store_error. */
enum {
	CUT_BEHIND = 100, /* what comes before must become a row first */
	CUT_ENOUGH,	  /* what comes next goes with the next cut */
};

void cut_done(struct cut *c)
{
	free(c->ranges);
	*c = (struct cut){0};
}

int cut_add_range(struct cut *c, const struct cut_range *range)
{
	struct cut_range *ranges = reallocarray(c->ranges, c->n_ranges + 1, sizeof(*ranges));

	if (!ranges)
		return -ENOMEM;
	c->ranges = ranges;
	c->ranges[c->n_ranges++] = *range;
	return 0;
}

void cursor_touch(struct store *s, struct cursor_state *c)
{
	c->dirty = true;
	if (s->dirty_since == USEC_INFINITY)
		s->dirty_since = s->latest;
}

/* The cursor's own movement rides in the next commit that has another reason. */
void cursor_move(struct cursor_state *c, uint64_t seq, uint64_t id)
{
	assert(seq >= c->seq);
	c->seq = seq;
	c->id = MAX(c->id, id);
	c->dirty = true;
}

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
		cursor_move(c, until->seq, until->id);
	return r;
}

int outbox_row_until(struct store *s, uint32_t sink, uint32_t stream, uint64_t seq, uint64_t id)
{
	const struct mark until = {.seq = seq, .id = id};

	return row_of_open(s, sink, stream, &until, row_usual_priority(s, stream));
}

static struct mark newest(const struct store *s, uint32_t stream)
{
	return (struct mark){.seq = stream_last_seq(stream_of(s, stream)), .id = s->next_id - 1};
}

int outbox_owe_open(struct store *s, uint32_t sink, uint32_t stream)
{
	const struct mark last = newest(s, stream);

	if (sink_of(s, sink)->info.retired || cursor_of(s, sink, stream)->held)
		return 0;
	return row_of_open(s, sink, stream, &last, row_usual_priority(s, stream));
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
		return row_of_open(s, sink, stream, &last, row_usual_priority(s, stream));
	r = row_of_open(s, sink, stream, m, row_usual_priority(s, stream));
	return r == 0 ? row_of_open(s, sink, stream, &last, BATCH_CRITICAL) : r;
}

int outbox_reopen(struct store *s, uint32_t sink, usec_t now)
{
	struct sink_entry *k = sink_of(s, sink);
	int r = 0;

	s->latest = MAX(s->latest, now);
	assert(!k->in_flight);
	for (uint32_t i = 1; r == 0 && i <= s->n_streams; i++)
		if (stream_of(s, i)->old)
			continue; /* store_move() sees to it */
		else if (!cursor_of(s, sink, i)->held)
			r = row_of_newest(s, sink, i);
		else
			k->skipped = true; /* what it has in the tail, only a commit makes safe */
	if (r == 0 && s->tail)
		k->cut_pos = k->in_flight_pos = tail_end(s->tail);
	return r;
}

void outbox_hold(struct store *s, uint32_t sink, uint32_t stream)
{
	struct cursor_state *c = cursor_of(s, sink, stream);

	c->held = true;
	cursor_touch(s, c);
	s->force = true;
}

int outbox_unhold(struct store *s, uint32_t sink, uint32_t stream)
{
	struct cursor_state *c = cursor_of(s, sink, stream);
	const struct mark last = newest(s, stream);

	if (!c->held)
		return 0;
	if (sink_of(s, sink)->in_flight)
		return STORE_E_BUSY; /* records of this stream may be in it, cut before the hold */
	c->held = c->refused = false;
	cursor_touch(s, c);
	if (stream_of(s, stream)->old)
		return 0;
	return row_of_open(s, sink, stream, &last, row_usual_priority(s, stream));
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
		r = cut_add_range(c, &range);
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

	return !c->held && slot->seq > c->seq && !stream_of(s, slot->stream)->old;
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

	if (c->n_records > 0 && seq_run(slot->seq) != c->run.number)
		return CUT_ENOUGH; /* a batch never mixes runs */
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
		if (!store_run(s, seq_run(slot->seq), &c->run))
			return store_fail(s, -EBADMSG, "a record of a run that never was");
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
	c->heard_later_us += (usec_t)slot->heard_us - c->heard_us;
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
	return r == 1 || r == CUT_ENOUGH ? 0 : r;
}

/*
 * A cut that fails becomes rows: with no room for rows, what is new waits until those there are
 * have shrunk. But not for rows that wait themselves, for their owner or for a witness.
 */
static bool has_room(const struct store *s, uint32_t sink)
{
	if (!s->max_batches || s->n_rows + s->n_streams <= s->max_batches)
		return true;
	return !outbox_rows_go_on(s, sink);
}

int outbox_cut(struct store *s, uint32_t sink, const struct cut_taker *taker, struct cut *ret)
{
	struct sink_entry *k = sink_of(s, sink);
	struct cut c = {.sink = sink, .immediate = true};
	int r;

	assert(!k->in_flight);
	if (k->cut_pos < tail_start(s->tail)) {
		/* The ring overtook us: all of it is in the log, and goes by rows. */
		r = outbox_reopen(s, sink, s->latest);
		return r != 0 ? r : STORE_E_NOTHING;
	}
	if (!has_room(s, sink) || s->n_new_quarantine >= QUARANTINE_PENDING_MAX)
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
