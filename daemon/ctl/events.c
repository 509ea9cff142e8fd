/*
 * `vitalctl events`: what became of each piece of syncing, oldest first. Read from the daemon (the
 * newest thousand) or, where nobody answers, from the ring that it left. --follow goes on with what
 * happens: it subscribes first and asks then, so nothing falls between, and what comes both ways is
 * known by its number.
 */
#include "ctl/cells.h"
#include "ctl/print.h"
#include "ctl/text.h"
#include "ctl/when.h"
#include "model/event.h"
#include "model/record.h"
#include "util/human.h"
#include "util/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* What is wanted. Strings are argv's. */
struct wanted {
	struct ctl *ctl;
	int64_t since_us;
	const char *since, *sink, *kind; /* kind: of data, or type of event */
	bool failed, follow;
	uint64_t seen; /* the number of the newest that was printed */
};

/* Without the year: 03-01 12:00:00 */
static const char *moment(const struct table *e, size_t row, char text[static 32])
{
	const struct cell *c = table_cell(e, row, "time_wall_us");

	(void)snprintf(text, 32, "-");
	if (c->type != CELL_I64)
		return text;
	clock_format(c->i64, text);
	text[10] = ' ';
	text[19] = '\0';
	return text + 5;
}

static void put_event(struct table *t, const struct table *e, size_t row)
{
	char text[32], took[HUMAN_SIZE];

	table_string(t, moment(e, row, text));
	cells_words(t, e, row, "type");
	cells_words(t, e, row, "data_type");
	cells_count(t, e, row, "count");
	cells_count(t, e, row, "retries");
	table_string(t, human_duration(table_get_u64(e, row, "duration_us", 0), took));
	table_string(t, table_get_string(e, row, "sink"));
	table_string(t, table_get_string(e, row, "reason"));
}

static bool is_wanted(const struct wanted *w, const struct table *e, size_t row)
{
	const struct cell *at = table_cell(e, row, "time_wall_us");
	const char *type = table_get_string(e, row, "type");

	if (at->type == CELL_I64 && at->i64 < w->since_us)
		return false;
	if (w->sink && !streq(w->sink, table_get_string(e, row, "sink")))
		return false;
	if (w->kind && !streq(w->kind, type) &&
	    !streq(w->kind, table_get_string(e, row, "data_type")))
		return false;
	return !w->failed || streq(type, "immediate_failed") || streq(type, "background_failed") ||
	       streq(type, "quarantined");
}

static void make_page(const struct wanted *w, struct buf *page, const struct table *events)
{
	_cleanup_(tables_done) struct tables shown = {0};
	struct table *t =
		tables_add(&shown, "", "TIME_(UTC) WHAT DATA >RECORDS >TRIES >TOOK SERVER note");

	for (size_t row = 0; row < table_rows(events); row++)
		if (is_wanted(w, events, row))
			put_event(t, events, row);
	cells_page(page, &shown, "no sync events", text_terminal_width(STDOUT_FILENO));
}

static void make_json(const struct wanted *w, struct buf *page, const struct table *events)
{
	struct json j = json_make(page);

	json_open(&j, '[');
	for (size_t row = 0; row < table_rows(events); row++)
		if (is_wanted(w, events, row))
			print_json_row(&j, events, row);
	json_close(&j, ']');
	buf_string(page, "\n");
}

/* One event, one line: what follows has no table to stand in. */
static void make_line(const struct wanted *w, struct buf *page, const struct table *e, size_t row)
{
	const char *reason = table_get_string(e, row, "reason");
	char text[32], took[HUMAN_SIZE];

	if (w->ctl->json) {
		struct json j = json_make(page);

		print_json_row(&j, e, row);
		buf_string(page, "\n");
		return;
	}
	buf_printf(page, "%s  %-18s %-11s %6" PRIu64 " records, %s, ", moment(e, row, text),
		   table_get_string(e, row, "type"), table_get_string(e, row, "data_type"),
		   table_get_u64(e, row, "count", 0),
		   human_duration(table_get_u64(e, row, "duration_us", 0), took));
	text_clean(page, table_get_string(e, row, "sink"));
	if (reason[0]) {
		buf_string(page, ": ");
		text_clean(page, reason);
	}
	buf_string(page, "\n");
}

/* < 0: nobody reads us any more. */
static int print_lines(struct wanted *w, struct buf *page, const struct table *events)
{
	for (size_t row = 0; row < table_rows(events); row++) {
		uint64_t number = table_get_u64(events, row, "number", 0);

		if (number && number <= w->seen)
			continue;
		w->seen = MAX(w->seen, number);
		if (is_wanted(w, events, row))
			make_line(w, page, events, row);
	}
	return text_flush(page);
}

static int on_event(void *userdata, const struct tables *event)
{
	struct buf line = {0};
	int r = print_lines(userdata, &line, tables_find(event, "events"));

	buf_done(&line);
	return r;
}

/* The daemon hands out the newest thousand: whoever asked for more should know. */
static void say_cut(const struct wanted *w, const struct table *events)
{
	const struct cell *first = table_cell(events, 0, "time_wall_us");

	if (table_rows(events) == CONTROL_MAX_ROWS && first->type == CELL_I64 &&
	    first->i64 > w->since_us)
		(void)fprintf(stderr, "vitalctl: there were more; these are the newest %d\n",
			      CONTROL_MAX_ROWS);
}

static int show(struct wanted *w)
{
	_cleanup_(tables_done) struct tables t = {0};
	struct buf page = {0};
	int r = print_query(w->ctl, "events", &page, &t);

	if (r != EXIT_FINE)
		return print_end(&page, r);
	if (w->since)
		say_cut(w, tables_find(&t, "events"));
	if (w->ctl->json)
		make_json(w, &page, tables_find(&t, "events"));
	else
		make_page(w, &page, tables_find(&t, "events"));
	return print_end(&page, EXIT_FINE);
}

static int follow(struct wanted *w)
{
	_cleanup_(tables_done) struct tables t = {0};
	struct buf page = {0};
	int r = client_subscribe(w->ctl->client, on_event, w);

	if (r == 0)
		r = client_ask(w->ctl->client, "events", &t);
	if (r)
		return print_failure(w->ctl, r);
	if (!w->since) /* only what is to come */
		w->seen = table_get_u64(tables_find(&t, "events"),
					table_rows(tables_find(&t, "events")) - 1, "number", 0);
	r = print_lines(w, &page, tables_find(&t, "events"));
	buf_done(&page);
	if (r == 0)
		r = client_listen(w->ctl->client);
	return r == -EPIPE ? EXIT_FINE : print_failure(w->ctl, r);
}

static int bad_since(const char *since)
{
	(void)fprintf(
		stderr,
		"vitalctl: --since takes a duration like 90s, 15min, 1h or 2d, or a time (UTC) "
		"like 12:30 or \"2026-03-01 12:30\", not \"%s\"\n",
		since);
	return EXIT_USAGE;
}

static bool is_kind(const char *name)
{
	for (unsigned kind = 1; kind < KIND_MAX; kind++)
		if (streq(name, kind_name(kind)))
			return true;
	return sync_event_type_parse(name) != 0;
}

static int bad_kind(const char *name)
{
	(void)fprintf(stderr, "vitalctl: there is no \"%.40s\"; --kind takes a kind of data (",
		      name);
	for (unsigned kind = 1; kind < KIND_MAX; kind++)
		(void)fprintf(stderr, "%s%s", kind > 1 ? ", " : "", kind_name(kind));
	(void)fprintf(stderr, ") or of event (");
	for (unsigned type = 1; sync_event_type_parse(sync_event_type_name(type)); type++)
		(void)fprintf(stderr, "%s%s", type > 1 ? ", " : "", sync_event_type_name(type));
	(void)fprintf(stderr, ")\n");
	return EXIT_USAGE;
}

int command_events(struct ctl *ctl, int argc, char **argv)
{
	struct wanted w = {.ctl = ctl, .since_us = INT64_MIN};

	for (int i = 1; i < argc; i++)
		if (streq(argv[i], "--failed"))
			w.failed = true;
		else if (streq(argv[i], "--follow") || streq(argv[i], "-f"))
			w.follow = true;
		else if (!command_value(argc, argv, &i, "--since", &w.since) &&
			 !command_value(argc, argv, &i, "--sink", &w.sink) &&
			 !command_value(argc, argv, &i, "--kind", &w.kind))
			return command_bad_argument("events", argv[i]);
	if (w.since && !when_parse(w.since, clock_wall_usec(), &w.since_us))
		return bad_since(w.since);
	if (w.kind && !is_kind(w.kind))
		return bad_kind(w.kind);
	return w.follow ? follow(&w) : show(&w);
}
