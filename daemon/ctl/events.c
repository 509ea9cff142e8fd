/*
 * `vitalctl events [--since 1h]`: what became of each piece of syncing, oldest first. Read from the
 * daemon (the newest thousand) or, where nobody answers, from the ring that it left.
 */
#include "ctl/print.h"
#include "ctl/text.h"
#include "util/human.h"
#include "util/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* "90s", "15min", "1h", "2d": microseconds; false: not like that. */
static bool parse_duration(const char *s, usec_t *ret)
{
	static const struct {
		const char *unit;
		uint64_t seconds;
	} units[] = {{"s", 1}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}};
	char *end;
	unsigned long n;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	n = strtoul(s, &end, 10);
	if (errno || n > 100000)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (streq(end, units[i].unit)) {
			*ret = n * units[i].seconds * USEC_PER_SEC;
			return true;
		}
	return false;
}

static void put_words(struct table *t, const char *s)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "%s", s[0] ? s : "-");
	for (char *p = text; *p; p++)
		*p = *p == '_' ? ' ' : *p;
	table_string(t, text);
}

static void put_event(struct table *t, const struct table *e, size_t row)
{
	char text[32] = "-", took[HUMAN_SIZE];

	if (table_cell(e, row, "time_wall_us")->type == CELL_I64)
		clock_format(table_cell(e, row, "time_wall_us")->i64, text);
	text[10] = ' '; /* 2026-03-01 12:00:00 */
	text[19] = '\0';
	table_string(t, text + 5); /* without the year */
	put_words(t, table_get_string(e, row, "type"));
	put_words(t, table_get_string(e, row, "data_type"));
	(void)snprintf(text, sizeof(text), "%" PRIu64, table_get_u64(e, row, "count", 0));
	table_string(t, text);
	(void)snprintf(text, sizeof(text), "%" PRIu64, table_get_u64(e, row, "retries", 0));
	table_string(t, text);
	table_string(t, human_duration(table_get_u64(e, row, "duration_us", 0), took));
	table_string(t, table_get_string(e, row, "sink"));
	table_string(t, table_get_string(e, row, "reason"));
}

static void make_page(struct buf *page, const struct table *events)
{
	_cleanup_(tables_done) struct tables shown = {0};
	struct table *t =
		tables_add(&shown, "", "TIME_(UTC) WHAT DATA >RECORDS >TRIES >TOOK SERVER note");

	for (size_t row = 0; row < table_rows(events); row++)
		put_event(t, events, row);
	if (tables_failed(&shown))
		page->failed = true;
	else if (table_rows(events))
		text_table(page, t, text_terminal_width(STDOUT_FILENO));
	else
		buf_string(page, "no sync events\n");
}

/* A view of the rows from `since` on; borrows `all`. */
static struct table newer(const struct table *all, int64_t since_wall_us)
{
	struct table view = *all;
	size_t row = 0;

	while (row < table_rows(all) && table_cell(all, row, "time_wall_us")->type == CELL_I64 &&
	       table_cell(all, row, "time_wall_us")->i64 < since_wall_us)
		row++;
	view.cells += row * all->n_columns;
	view.n_cells -= row * all->n_columns;
	return view;
}

static int show(struct ctl *ctl, int64_t since_wall_us)
{
	_cleanup_(tables_done) struct tables t = {0};
	struct buf page = {0};
	struct table view;
	int r = print_query(ctl, "events", &page, &t);

	if (r != EXIT_FINE)
		return print_end(&page, r);
	view = newer(tables_find(&t, "events"), since_wall_us);
	if (ctl->json) {
		struct json j = json_make(&page);

		print_json_rows(&j, &view);
		buf_string(&page, "\n");
	} else {
		make_page(&page, &view);
	}
	return print_end(&page, EXIT_FINE);
}

int command_events(struct ctl *ctl, int argc, char **argv)
{
	const char *since = NULL;
	usec_t duration;

	for (int i = 1; i < argc; i++)
		if (streq(argv[i], "--since") && i + 1 < argc)
			since = argv[++i];
		else if (strncmp(argv[i], "--since=", 8) == 0)
			since = argv[i] + 8;
		else
			return command_bad_argument("events", argv[i]);
	if (!since)
		return show(ctl, INT64_MIN);
	if (!parse_duration(since, &duration)) {
		(void)fprintf(stderr,
			      "vitalctl: --since takes a duration like 90s, 15min, 1h or "
			      "2d, not \"%s\"\n",
			      since);
		return EXIT_USAGE;
	}
	return show(ctl, clock_wall_usec() - (int64_t)duration);
}
