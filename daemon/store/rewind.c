/*
 * Back from CONFIRMED to ROW: when a server was set back, or lacks what it had confirmed, the records
 * are a range that is owed again. The cursor never goes back for it (a cursor only moves forward);
 * rows are put below it.
 *
 *      first                                  last   cursor
 *      ....|  row  |######|q|#########|  row  |######|..          # becomes rows, q is quarantined
 */
#include "store/compare.h"
#include "store/outbox.h"
#include "store/row_index.h"
#include "store/state.h"

struct rewinding {
	struct store *s;
	uint32_t sink, stream;
	uint64_t first_id; /* at or below that of the first */
	uint64_t *taken;   /* seqs in quarantine, ascending */
	size_t n_taken;
};

/* The last seq of whatever covers `seq`: a row, quarantine, or what is set aside. 0: nothing does. */
static uint64_t covered_until(const struct rewinding *w, uint64_t seq)
{
	const struct row_entry *row;

	for (size_t i = 0; i < w->n_taken; i++)
		if (w->taken[i] == seq)
			return seq;
	row = row_index_at(w->s, w->sink, w->stream, seq);
	if (row)
		return row->row.last_seq;
	return aside_until(w->s, w->sink, w->stream, seq);
}

/* The first seq above `seq` that something covers; UINT64_MAX: nothing does. */
static uint64_t next_covered(const struct rewinding *w, uint64_t seq)
{
	const struct row_entry *row = row_index_next(w->s, w->sink, w->stream, seq);
	uint64_t next = aside_next(w->s, w->sink, w->stream, seq);

	for (size_t i = 0; i < w->n_taken; i++)
		if (w->taken[i] > seq)
			next = MIN(next, w->taken[i]);
	return row ? MIN(next, row->row.first_seq) : next;
}

/* What of [seq, end] is confirmed. */
static int add_rows(struct rewinding *w, uint64_t seq, uint64_t end, uint64_t *ret_n)
{
	const struct stream_state *st = stream_of(w->s, w->stream);
	struct cursor_state *c = cursor_of(w->s, w->sink, w->stream);
	int r = 0;

	while (r == 0 && seq != 0 && seq <= end) {
		uint64_t covered = covered_until(w, seq);
		uint64_t last =
			covered ? covered : MIN(end, stream_seq_before(st, next_covered(w, seq)));
		struct batch_row row = {.sink = w->sink,
					.stream = w->stream,
					.first_seq = seq,
					.last_seq = last,
					.first_id = w->first_id,
					.last_id = c->id,
					.priority = BATCH_NORMAL,
					.created_us = clock_wall_usec()};

		if (!covered) {
			row.count = stream_count_between(st, seq, last);
			r = row_add(w->s, &row);
		}
		if (!covered && r == 0) {
			c->confirmed -= MIN(c->confirmed, row.count);
			cursor_touch(w->s, c);
			*ret_n += row.count;
		}
		seq = stream_seq_after(st, last);
	}
	return r;
}

int outbox_owe(struct store *s, const struct cut_range *range, uint32_t sink, uint64_t *ret_n)
{
	const struct stream_state *st = stream_of(s, range->stream);
	struct rewinding w = {.s = s,
			      .sink = sink,
			      .stream = range->stream,
			      .first_id = range->first_id};
	uint64_t first = MAX(range->first_seq, compare_oldest(s, sink, range->stream));
	uint64_t last = MIN(range->last_seq, cursor_of(s, sink, range->stream)->seq);
	int r;

	*ret_n = 0;
	if (first == 0 || first > last)
		return 0;
	r = compare_excused(s, sink, range->stream, first, last, &w.taken, &w.n_taken);
	if (r == 0)
		r = add_rows(&w, stream_seq_after(st, first - 1), last, ret_n);
	free(w.taken);
	return r;
}

int outbox_rewind(struct store *s, uint32_t sink, uint32_t stream, uint64_t after_seq,
		  uint64_t *ret_n)
{
	const struct cut_range range = {.stream = stream,
					.first_seq = after_seq + 1,
					.last_seq = UINT64_MAX};

	return outbox_owe(s, &range, sink, ret_n);
}
