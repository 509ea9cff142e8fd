/*
 * Where a batch row is among the others, without looking at all of them: which goes next, which holds a
 * seq, which has a number. Private to store/. What is returned holds until a row is added or ended.
 */
#pragma once

#include "store/state.h"

/* A row that was put in s->rows, and one that is to leave it. */
void row_index_add(struct store *s, struct row_entry *entry);
void row_index_drop(struct store *s, struct row_entry *entry);
/* After its fields were changed; and after no others than next_attempt and status were. */
void row_index_change(struct store *s, struct row_entry *entry);
void row_index_change_due(struct store *s, struct row_entry *entry);
/* It was copied to another place of s->rows, and the old place is not used any more. */
void row_index_moved(struct store *s, const struct row_entry *from, const struct row_entry *to);

/* Which of two rows goes first, by urgency or in turn; neither, if they are alike. */
bool row_index_before(const struct store *s, enum row_order order, const struct batch_row *a,
		      const struct batch_row *b);
/* The first in that order that is due and not under way. NULL: none. */
struct row_entry *row_index_first_due(const struct store *s, enum row_order order, uint32_t sink,
				      uint32_t stream, usec_t now);
/* When the next is due that is not under way; USEC_INFINITY: there is none. */
usec_t row_index_due(const struct store *s, uint32_t sink, uint32_t stream);
/* The row that holds `seq`, and the lowest that begins behind it. NULL: none. */
struct row_entry *row_index_at(const struct store *s, uint32_t sink, uint32_t stream, uint64_t seq);
struct row_entry *row_index_next(const struct store *s, uint32_t sink, uint32_t stream,
				 uint64_t seq);
struct row_entry *row_index_number(const struct store *s, int64_t number);
