/*
 * Memory as it was before records were brought into the log otherwise than by the tail, should the
 * commit fail. Nothing may be admitted, cut or made (streams, sinks) between the note and the end.
 * Private to store/.
 */
#pragma once

#include "store/state.h"

struct undo {
	struct stream_state *streams;
	struct run_count **runs;
	struct cursor_state **cursors;
	struct row_entry *rows;
	uint32_t row_numbers;
	size_t n_rows, n_dead_rows;
	struct aside *asides;
	size_t n_asides;
	int64_t next_row;
	uint64_t next_id;
	usec_t dirty_since;
	bool force;
	bool noted;
};

int undo_note(const struct store *s, struct undo *u);
/* Nothing of it ever was: the numbers are given again. */
void undo_all(struct store *s, struct undo *u);
void undo_done(const struct store *s, struct undo *u);
