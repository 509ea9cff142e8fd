/* From the rows of an answer to the rows that a terminal shows: strings, and "-" for what is not known. */
#pragma once

#include "control/api.h"
#include "util/buf.h"

/* Each appends what `from` has in that row and column to `to`. */
void cells_string(struct table *to, const struct table *from, size_t row, const char *column);
/* The same, with spaces for underscores. */
void cells_words(struct table *to, const struct table *from, size_t row, const char *column);
void cells_count(struct table *to, const struct table *from, size_t row, const char *column);
/* A place in a stream, as run.number. */
void cells_seq(struct table *to, const struct table *from, size_t row, const char *column);
void cells_time(struct table *to, const struct table *from, size_t row, const char *column);

/* The first table of `shown`, or a line with `nothing` where it has no rows. */
void cells_page(struct buf *page, const struct tables *shown, const char *nothing, size_t width);
