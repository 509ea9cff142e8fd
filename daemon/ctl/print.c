/*
 * What all commands do with an answer. JSON goes to stdout alone, so that a script can read it;
 * whatever a person should know beside it goes to stderr.
 */
#include "ctl/print.h"

#include "ctl/text.h"
#include "util/json.h"

#include <stdio.h>
#include <unistd.h>

void print_json_cell(struct json *j, const struct cell *c)
{
	switch (c->type) {
	case CELL_NULL: json_none(j); break;
	case CELL_STRING: json_text(j, c->string); break;
	case CELL_I64: json_int(j, c->i64); break;
	case CELL_U64: json_uint(j, c->u64); break;
	case CELL_DOUBLE: json_double(j, c->real); break;
	case CELL_BOOL: json_bool(j, c->yes); break;
	}
}

void print_json_row(struct json *j, const struct table *t, size_t row)
{
	json_open(j, '{');
	for (size_t i = 0; i < t->n_columns && row < table_rows(t); i++) {
		json_key(j, t->columns[i]);
		print_json_cell(j, &t->cells[row * t->n_columns + i]);
	}
	json_close(j, '}');
}

void print_json_rows(struct json *j, const struct table *t)
{
	json_open(j, '[');
	for (size_t row = 0; row < table_rows(t); row++)
		print_json_row(j, t, row);
	json_close(j, ']');
}

int print_failure(struct ctl *ctl, int r)
{
	const char *problem = client_problem(ctl->client);

	(void)fprintf(stderr, "vitalctl: %s\n", problem[0] ? problem : strerror(r < 0 ? -r : EIO));
	return r == CLIENT_E_DENIED ? EXIT_DENIED
	       : r == -ENOMEM	    ? EXIT_NO_MEMORY
				    : EXIT_UNAVAILABLE;
}

int print_failure_and(struct ctl *ctl, int r, const char *instead)
{
	int code = print_failure(ctl, r);

	if (r == CLIENT_E_ABSENT && instead[0])
		(void)fprintf(stderr, "vitalctl: %s\n", instead);
	return code;
}

int print_query(struct ctl *ctl, const char *which, struct buf *page, struct tables *ret)
{
	int r = client_query(ctl->client, which, ret);
	const char *problem = client_problem(ctl->client);

	if (r)
		return print_failure(ctl, r);
	if (problem[0] && ctl->json)
		(void)fprintf(stderr, "vitalctl: %s; this is what the store holds\n", problem);
	else if (problem[0])
		buf_printf(page, "%s; this is what the store holds\n\n", problem);
	return EXIT_FINE;
}

int print_end(struct buf *page, int code)
{
	int r = text_flush(page);

	buf_done(page);
	if (r < 0 && r != -EPIPE)
		(void)fprintf(stderr, "vitalctl: cannot write: %s\n", strerror(-r));
	return r == -ENOMEM ? EXIT_NO_MEMORY : r < 0 && r != -EPIPE ? EXIT_UNAVAILABLE : code;
}

int print_list(struct ctl *ctl, const char *which,
	       void (*make)(struct buf *page, const struct tables *t, size_t width))
{
	_cleanup_(tables_done) struct tables t = {0};
	struct buf page = {0};
	int r = print_query(ctl, which, &page, &t);

	if (r == EXIT_FINE && ctl->json) {
		struct json j = json_make(&page);

		print_json_rows(&j, tables_find(&t, which));
		buf_string(&page, "\n");
	} else if (r == EXIT_FINE) {
		make(&page, &t, text_terminal_width(STDOUT_FILENO));
	}
	return print_end(&page, r);
}
