/*
 * Back from CONFIRMED to ROW: when a server was set back, what it lost is a range that is owed
 * again. The cursor never goes back for it (a cursor only moves forward); rows are put below it.
 *
 *      after_seq                                     cursor
 *      ....|  row  |######|q|#########|  row  |######|          # becomes rows, q is quarantined
 */
#include "store/outbox.h"

#include "store/state.h"

struct rewinding {
	struct store *s;
	uint32_t sink, stream;
	uint64_t *taken; /* seqs in quarantine, ascending */
	size_t n_taken;
};

static void note_quarantined(void *userdata, const struct quarantined *q)
{
	struct rewinding *w = userdata;
	uint64_t *taken;

	if (q->sink != w->sink || q->stream != w->stream)
		return;
	taken = reallocarray(w->taken, w->n_taken + 1, sizeof(*taken));
	if (!taken)
		return; /* then it is sent again and refused again: no harm */
	w->taken = taken;
	w->taken[w->n_taken++] = q->seq;
}

/* The last seq of whatever covers `seq` already: a row, or quarantine. 0: nothing does. */
static uint64_t covered_until(const struct rewinding *w, uint64_t seq)
{
	for (size_t i = 0; i < w->n_taken; i++)
		if (w->taken[i] == seq)
			return seq;
	for (size_t i = 0; i < w->s->n_rows; i++) {
		const struct batch_row *row = &w->s->rows[i].row;

		if (row->sink == w->sink && row->stream == w->stream && row->first_seq <= seq &&
		    row->last_seq >= seq)
			return row->last_seq;
	}
	return 0;
}

/* The first seq above `seq` that something covers; UINT64_MAX: nothing does. */
static uint64_t next_covered(const struct rewinding *w, uint64_t seq)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < w->n_taken; i++)
		if (w->taken[i] > seq)
			next = MIN(next, w->taken[i]);
	for (size_t i = 0; i < w->s->n_rows; i++) {
		const struct batch_row *row = &w->s->rows[i].row;

		if (row->sink == w->sink && row->stream == w->stream && row->first_seq > seq)
			next = MIN(next, row->first_seq);
	}
	return next;
}

static int add_rows(struct rewinding *w, uint64_t seq, uint64_t *ret_n)
{
	const struct stream_state *st = stream_of(w->s, w->stream);
	struct cursor_state *c = cursor_of(w->s, w->sink, w->stream);
	int r = 0;

	while (r == 0 && seq != 0 && seq <= c->seq) {
		uint64_t covered = covered_until(w, seq);
		uint64_t last = covered ? covered
					: MIN(c->seq, stream_seq_before(st, next_covered(w, seq)));
		struct batch_row row = {.sink = w->sink,
					.stream = w->stream,
					.first_seq = seq,
					.last_seq = last,
					.last_id = c->id,
					.priority = BATCH_NORMAL,
					.created_us = clock_wall_usec()};

		if (!covered) {
			row.count = stream_count_between(st, seq, last);
			c->confirmed -= MIN(c->confirmed, row.count);
			c->dirty = true;
			*ret_n += row.count;
			r = row_add(w->s, &row);
		}
		seq = stream_seq_after(st, last);
	}
	return r;
}

int outbox_rewind(struct store *s, uint32_t sink, uint32_t stream, uint64_t after_seq,
		  uint64_t *ret_n)
{
	const struct stream_state *st = stream_of(s, stream);
	struct rewinding w = {.s = s, .sink = sink, .stream = stream};
	uint64_t oldest =
		stream_seq_at(st, MAX(st->deleted, cursor_of(s, sink, stream)->exempt) + 1);
	int r;

	*ret_n = 0;
	r = store_each_quarantined(s, note_quarantined, &w);
	if (r == 0)
		r = add_rows(&w, MAX(oldest, stream_seq_after(st, after_seq)), ret_n);
	free(w.taken);
	return r;
}
