/* Text for a terminal: clean, measured, wrapped, and in tables. */
#pragma once

#include "control/api.h"
#include "util/buf.h"

enum { TEXT_WIDTH = 80 }; /* where nobody says how wide it is */

/* Appends `s` without what could steer a terminal: control characters, direction marks. */
void text_clean(struct buf *out, const char *s);
/* Columns that `s` takes on a terminal. */
size_t text_columns(const char *s);
/* Appends at most `width` columns of `s`, with an ellipsis where it was longer. */
void text_cut(struct buf *out, const char *s, size_t width);
/* Appends `s` in lines of at most `width` columns; every line but the first is indented. */
void text_wrap(struct buf *out, const char *s, size_t width, size_t indent);

#define TEXT_AGE_SIZE 16
/* One unit: "4 s", "14 min", "3 h", "2 d"; "-" for null. Into `ret`, which it returns. */
const char *text_age(const struct cell *us, char ret[static TEXT_AGE_SIZE]);
#define TEXT_SEQ_SIZE 40
/* A place in a stream, as run.number; "-" for none. */
const char *text_seq(uint64_t seq, char ret[static TEXT_SEQ_SIZE]);

/*
 * A table of strings. Names of columns are its heads (`_` is a space); one that begins with `>` is
 * flush right and, like one that begins with `=`, never cut. Column "note", if there is one, is the
 * last and goes on lines of its own. `width` 0: nothing is cut.
 */
void text_table(struct buf *out, const struct table *t, size_t width);

/* Columns of the terminal at `fd`; TEXT_WIDTH for one that does not say; 0: not a terminal. */
size_t text_terminal_width(int fd);
/* Writes it to stdout and empties it; < 0: could not. */
int text_flush(struct buf *out);
