/*
 * What row_index.c answers, found by looking at every row: the model it is compared with.
 */
#pragma once

#include "store/row_index.h"

static inline bool model_waits(const struct batch_row *row, uint32_t sink, uint32_t stream)
{
	return row->sink == sink && row->stream == stream && row->status != BATCH_UPLOADING;
}

/* Of two rows that are alike in all that an order asks for, the older goes first. */
static inline bool model_before(const struct store *s, enum row_order order,
				const struct batch_row *a, const struct batch_row *b)
{
	if (row_index_before(s, order, a, b) || row_index_before(s, order, b, a))
		return row_index_before(s, order, a, b);
	return a->number < b->number;
}

static inline const struct row_entry *model_first_due(const struct store *s, enum row_order order,
						      uint32_t sink, uint32_t stream, usec_t now)
{
	const struct row_entry *first = NULL;

	for (size_t i = 0; i < s->n_rows; i++) {
		const struct batch_row *row = &s->rows[i].row;

		if (model_waits(row, sink, stream) && row->next_attempt <= now &&
		    (!first || model_before(s, order, row, &first->row)))
			first = &s->rows[i];
	}
	return first;
}

static inline usec_t model_due(const struct store *s, uint32_t sink, uint32_t stream)
{
	usec_t due = USEC_INFINITY;

	for (size_t i = 0; i < s->n_rows; i++)
		if (model_waits(&s->rows[i].row, sink, stream))
			due = MIN(due, s->rows[i].row.next_attempt);
	return due;
}

/* The row that holds `seq`; ret_next: the lowest behind it. */
static inline const struct row_entry *model_at(const struct store *s, uint32_t sink,
					       uint32_t stream, uint64_t seq,
					       const struct row_entry **ret_next)
{
	const struct row_entry *at = NULL, *next = NULL;

	for (size_t i = 0; i < s->n_rows; i++) {
		const struct batch_row *row = &s->rows[i].row;

		if (row->sink != sink || row->stream != stream)
			continue;
		if (row->first_seq <= seq && row->last_seq >= seq)
			at = &s->rows[i];
		if (row->first_seq > seq && (!next || row->first_seq < next->row.first_seq))
			next = &s->rows[i];
	}
	*ret_next = next;
	return at;
}

static inline bool seq_is_found(const struct store *s, uint32_t sink, uint32_t stream, uint64_t seq)
{
	const struct row_entry *next, *at = model_at(s, sink, stream, seq, &next);

	return row_index_at(s, sink, stream, seq) == at &&
	       row_index_next(s, sink, stream, seq) == next;
}

/* Why the index is not what a look at every row says; NULL: it is. */
static inline const char *stream_differs(const struct store *s, uint32_t sink, uint32_t stream,
					 usec_t now)
{
	uint64_t n = 0;

	for (enum row_order order = 0; order < ROWS_WITHOUT_DUE; order++)
		if (row_index_first_due(s, order, sink, stream, now) !=
		    model_first_due(s, order, sink, stream, now))
			return order == ROWS_BY_TURN ? "another row's turn" : "another row is due";
	if (row_index_due(s, sink, stream) != model_due(s, sink, stream))
		return "a row is due at another time";
	if (!seq_is_found(s, sink, stream, 0))
		return "another row is the lowest";
	for (size_t i = 0; i < s->n_rows; i++) {
		const struct batch_row *row = &s->rows[i].row;

		if (row->sink != sink || row->stream != stream)
			continue;
		n += row->count;
		if (!seq_is_found(s, sink, stream, row->first_seq) ||
		    !seq_is_found(s, sink, stream, row->last_seq) ||
		    !seq_is_found(s, sink, stream, row->last_seq + 1))
			return "another row holds a seq";
		if (row_index_number(s, row->number) != &s->rows[i])
			return "a number is another row's";
	}
	return cursor_of(s, sink, stream)->in_rows == n ? NULL : "records in rows are miscounted";
}

static inline const char *index_differs(const struct store *s, usec_t now)
{
	const char *why = NULL;

	for (uint32_t sink = 1; !why && sink <= s->n_sinks; sink++)
		for (uint32_t stream = 1; !why && stream <= s->n_streams; stream++)
			why = stream_differs(s, sink, stream, now);
	return why;
}
