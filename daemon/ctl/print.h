/* Prints answers: tables as JSON, or as a page. */
#pragma once

#include "ctl/client.h"
#include "ctl/command.h"

struct json;

void print_json_cell(struct json *j, const struct cell *c);
/* A table as an array of objects keyed by column, or (of a table with one row) as one object. */
void print_json_rows(struct json *j, const struct table *t);
void print_json_row(struct json *j, const struct table *t, size_t row);

/*
 * Asks for `which` and gets tables, or says why not on stderr. EXIT_FINE, or the code to exit with.
 * Says on stderr (JSON) or in the page's first line whose answer it is when it is not the daemon's.
 */
int print_query(struct ctl *ctl, const char *which, struct buf *page, struct tables *ret);
/* Ends a command: the page goes out, with a line end after JSON. Returns the code to exit with. */
int print_end(struct buf *page, int code);
/* One command that shows one table: its JSON, or `page` made of it. */
int print_list(struct ctl *ctl, const char *which,
	       void (*make)(struct buf *page, const struct tables *t, size_t width));
/* Says why the daemon or the store could not be asked. Returns the code to exit with. */
int print_failure(struct ctl *ctl, int r);
/* The same, and then what to do instead where no daemon runs; "" is nothing. */
int print_failure_and(struct ctl *ctl, int r, const char *instead);
