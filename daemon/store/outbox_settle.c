/*
 * What an answer does to what was cut or claimed: confirm, defer, split, quarantine, release. Each of
 * them ends the cut, and each leaves every record of it confirmed, in a row, in quarantine, or as open
 * as before; if memory runs out in the middle, what was not settled goes again and nothing passes it.
 */
#include "store/outbox.h"

#include "store/row_index.h"
#include "store/state.h"

#include <stdio.h>

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
		.priority = row_usual_priority(s, range->stream),
		.created_us = clock_wall_usec(),
	};
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

void outbox_release(struct store *s, struct cut *c)
{
	if (c->sink == 0)
		return;
	if (c->immediate)
		sink_of(s, c->sink)->cut_pos = sink_of(s, c->sink)->in_flight_pos;
	for (size_t i = 0; i < c->n_ranges; i++) {
		struct row_entry *entry = row_index_number(s, c->ranges[i].row);

		if (entry && entry->row.status == BATCH_UPLOADING) {
			entry->row.status = entry->row.retry_count ? BATCH_FAILED : BATCH_PENDING;
			row_index_change_due(s, entry);
		}
	}
	land(s, c);
}

bool outbox_is_old(const struct store *s, const struct cut *c)
{
	for (size_t i = 0; i < c->n_ranges; i++)
		if (stream_of(s, c->ranges[i].stream)->old)
			return true;
	return false;
}

/* Out of memory in the middle: what was not settled goes again, nothing may pass it. */
static int settled(struct store *s, struct cut *c, int r)
{
	if (r < 0)
		outbox_release(s, c);
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
		cursor_move(cursor, range->last_seq, range->last_id);
	return r;
}

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

/* A row whose records up to `acked` are settled. */
static void shrink(const struct store *s, struct row_entry *entry, const struct cut_range *range,
		   uint64_t acked)
{
	const struct stream_state *st = stream_of(s, range->stream);
	struct batch_row *row = &entry->row;

	row->first_seq = stream_seq_after(st, acked);
	row->count -= stream_count_between(st, range->first_seq, acked);
	if (acked == range->last_seq)
		row->first_id = range->last_id;
	row->retry_count = 0;
	row->last_error[0] = '\0';
	/* What was bisected grows again: only the bad record had to go alone. */
	row->limit = row->limit > UINT32_MAX / 4 || row->limit >= 1024 ? 0 : row->limit * 2;
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
		cursor_move(cursor, acked, range->last_id);
		return 0;
	}
	entry = row_index_number(s, range->row);
	assert(entry != NULL);
	rates_recover(s, c->sink, entry->row.created_us, n - n_rejected, clock_wall_usec());
	if (acked == entry->row.last_seq)
		return row_end(s, entry);
	entry->row.status = BATCH_PENDING;
	if (acked != 0)
		shrink(s, entry, range, acked);
	row_touch(s, entry);
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
		cursor_of(s, c->sink, range->stream)->refused |= e->identity_conflict;
		cursor_touch(s, cursor_of(s, c->sink, range->stream));
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
	row_touch(s, entry);
	return row_add(s, &rest); /* `entry` may have moved */
}

static int defer_row(struct store *s, const struct cut_range *range, const struct batch_row *how)
{
	struct row_entry *entry = row_index_number(s, range->row);

	assert(entry != NULL);
	entry->row.status = how->status;
	entry->row.retry_count += how->retry_count;
	entry->row.next_attempt = how->next_attempt;
	entry->row.last_attempt_us = how->last_attempt_us;
	memcpy(entry->row.last_error, how->last_error, sizeof(entry->row.last_error));
	if (entry->row.limit == 1 && range->last_seq != entry->row.last_seq)
		return split_off_rest(s, entry, range);
	row_touch(s, entry);
	return 0;
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
		entry = row_index_number(s, range->row);
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
