/*
 * `vitalctl reconcile`: has each server still got what it confirmed? Begins a comparison and returns, or
 * waits for its end with --wait; the daemon does the work. --show only looks, also at the store of a
 * daemon that does not run.
 */
#include "ctl/cells.h"
#include "ctl/print.h"
#include "ctl/text.h"
#include "util/human.h"
#include "util/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LOOK (200 * USEC_PER_MSEC)

struct wanted {
	bool all, wait, show;
};

static bool is_phase(const struct table *t, size_t row, const char *phase)
{
	return streq(table_get_string(t, row, "phase"), phase);
}

static bool is_down(const struct table *t, size_t row)
{
	const char *state = table_get_string(t, row, "sink_state");

	return streq(state, "down") || streq(state, "held");
}

/* It goes on without anybody waiting for it. */
static bool is_over(const struct table *t, size_t row)
{
	return !is_phase(t, row, "running") && (!is_phase(t, row, "waiting") || is_down(t, row));
}

static bool is_fine(const struct table *t, size_t row)
{
	const struct cell *ended = table_cell(t, row, "ended");

	if (table_get_u64(t, row, "conflicts", 0))
		return false;
	if (is_phase(t, row, "waiting") && is_down(t, row))
		return false;		/* whatever came of the last one */
	return ended->type != CELL_BOOL /* nobody has looked in this run */
	       || ended->yes || is_phase(t, row, "running");
}

static void put_counts(struct buf *page, const struct table *t, size_t row)
{
	uint64_t again = table_get_u64(t, row, "again", 0);
	uint64_t only = table_get_u64(t, row, "server_only", 0);
	uint64_t conflicts = table_get_u64(t, row, "conflicts", 0);
	char n[HUMAN_SIZE + 8];

	if (again)
		buf_printf(page, "; it lacked %s, sent again", human_records(again, n));
	if (only)
		buf_printf(page, "; %s %s there only", human_records(only, n),
			   only == 1 ? "is" : "are");
	if (conflicts)
		buf_printf(page, "; %s differ%s, held", human_records(conflicts, n),
			   conflicts == 1 ? "s" : "");
}

static void put_result(struct buf *page, const struct table *t, size_t row)
{
	const struct cell *ended = table_cell(t, row, "ended");
	char n[HUMAN_SIZE + 8], age[TEXT_AGE_SIZE];

	if (table_get_u64(t, row, "unsupported", 0)) {
		buf_string(page, "cannot be compared: its server does not tell what it holds");
		return;
	}
	if (ended->type != CELL_BOOL) {
		if (table_cell(t, row, "last_us")->type == CELL_NULL)
			buf_string(page, "was never compared");
		else
			buf_printf(page, "was last compared %s ago",
				   text_age(table_cell(t, row, "last_us"), age));
		return;
	}
	buf_printf(page, "%s equal", human_records(table_get_u64(t, row, "compared", 0), n));
	put_counts(page, t, row);
	if (!ended->yes) {
		buf_string(page, "; it could not be compared to the end: ");
		text_clean(page, table_get_string(t, row, "problem"));
	} else if (table_cell(t, row, "last_us")->type != CELL_NULL) {
		buf_printf(page, " (%s ago)", text_age(table_cell(t, row, "last_us"), age));
	}
}

static void put_state(struct buf *page, const struct table *t, size_t row)
{
	char n[HUMAN_SIZE + 8];

	if (is_phase(t, row, "running")) {
		buf_printf(page, "%" PRIu64 " of %" PRIu64 " streams compared, %s equal so far",
			   table_get_u64(t, row, "streams_done", 0),
			   table_get_u64(t, row, "streams", 0),
			   human_records(table_get_u64(t, row, "compared", 0), n));
		put_counts(page, t, row);
	} else if (is_phase(t, row, "waiting") && is_down(t, row)) {
		buf_string(page, "is compared when it is up again; now: ");
		text_clean(page, table_get_string(t, row, "reason"));
	} else if (is_phase(t, row, "waiting")) {
		buf_string(page, "begins now");
	} else {
		put_result(page, t, row);
	}
}

static void put_sink(struct buf *page, const struct table *t, size_t row, size_t width)
{
	struct buf line = {0};

	buf_printf(&line, "%s: ", table_get_string(t, row, "sink"));
	put_state(&line, t, row);
	buf_u8(&line, 0);
	if (line.failed)
		page->failed = true;
	else
		text_wrap(page, (const char *)line.data, width, 2);
	buf_done(&line);
}

static void put_findings(struct buf *page, const struct table *f, size_t width)
{
	_cleanup_(tables_done) struct tables shown = {0};
	struct table *s =
		tables_add(&shown, "", "FOUND_(UTC) SERVER WEARABLE DATA FOUND >RECORDS FROM TO");

	for (size_t row = 0; row < table_rows(f); row++) {
		cells_time(s, f, row, "time_wall_us");
		cells_string(s, f, row, "sink");
		cells_string(s, f, row, "device");
		cells_words(s, f, row, "data_type");
		cells_words(s, f, row, "what");
		cells_count(s, f, row, "records");
		cells_seq(s, f, row, "first_seq");
		cells_seq(s, f, row, "last_seq");
	}
	if (tables_failed(&shown))
		page->failed = true;
	if (table_rows(f) == 0)
		return;
	buf_string(page, "\n");
	text_table(page, s, width);
}

static void make_page(struct buf *page, const struct tables *t, size_t width)
{
	const struct table *sinks = tables_find(t, "reconcile");

	for (size_t row = 0; row < table_rows(sinks); row++)
		put_sink(page, sinks, row, width ? width : SIZE_MAX / 2);
	if (table_rows(sinks) == 0)
		buf_string(page, "no server is configured: nothing to compare with\n");
	put_findings(page, tables_find(t, "findings"), width);
}

static void make_json(struct buf *page, const struct tables *t)
{
	struct json j = json_make(page);

	json_open(&j, '{');
	json_key(&j, "reconcile");
	print_json_rows(&j, tables_find(t, "reconcile"));
	json_key(&j, "findings");
	print_json_rows(&j, tables_find(t, "findings"));
	json_close(&j, '}');
	buf_string(page, "\n");
}

static bool all_over(const struct table *sinks)
{
	for (size_t row = 0; row < table_rows(sinks); row++)
		if (!is_over(sinks, row))
			return false;
	return true;
}

static void show_progress(const struct ctl *ctl, const struct table *sinks)
{
	uint64_t done = 0, streams = 0, compared = 0;
	char n[HUMAN_SIZE + 8];

	if (ctl->json || !isatty(STDERR_FILENO))
		return;
	for (size_t row = 0; row < table_rows(sinks); row++) {
		done += table_get_u64(sinks, row, "streams_done", 0);
		streams += table_get_u64(sinks, row, "streams", 0);
		compared += table_get_u64(sinks, row, "compared", 0);
	}
	(void)fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " streams, %s equal\033[K", done, streams,
		      human_records(compared, n));
}

/* 0, or why the daemon does not answer any more. */
static int wait_for_end(struct ctl *ctl, struct tables *t)
{
	const struct timespec pause = {.tv_nsec = LOOK * 1000};
	int r = 0;

	while (r == 0 && !all_over(tables_find(t, "reconcile"))) {
		show_progress(ctl, tables_find(t, "reconcile"));
		(void)nanosleep(&pause, NULL); /* woken early is fine */
		tables_done(t);
		r = client_ask(ctl->client, "reconcile", t);
	}
	if (!ctl->json && isatty(STDERR_FILENO))
		(void)fputs("\r\033[K", stderr); /* a terminal that went away is no trouble */
	return r;
}

static int exit_code(const struct wanted *w, const struct table *sinks)
{
	if (!w->wait && !w->show)
		return EXIT_FINE;
	for (size_t row = 0; row < table_rows(sinks); row++)
		if (!is_fine(sinks, row))
			return EXIT_DEGRADED;
	return EXIT_FINE;
}

static int take_options(int argc, char **argv, struct wanted *ret)
{
	for (int i = 1; i < argc; i++)
		if (streq(argv[i], "--all"))
			ret->all = true;
		else if (streq(argv[i], "--wait"))
			ret->wait = true;
		else if (streq(argv[i], "--show"))
			ret->show = true;
		else
			return command_bad_argument("reconcile", argv[i]);
	return 0;
}

/* Begins one, unless it is only to be shown. 0, or the exit code of a failure that was told. */
static int ask(struct ctl *ctl, const struct wanted *wanted, struct buf *page, struct tables *t)
{
	int r;

	if (wanted->show)
		return print_query(ctl, "reconcile", page, t);
	r = client_reconcile(ctl->client, wanted->all, t);
	if (r == 0 && wanted->wait)
		r = wait_for_end(ctl, t);
	return r ? print_failure_and(ctl, r,
				     "without it, `sudo vitald reconcile` compares and sends")
		 : 0;
}

int command_reconcile(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(tables_done) struct tables t = {0};
	struct wanted wanted = {0};
	struct buf page = {0};
	int r = take_options(argc, argv, &wanted);

	if (r)
		return r;
	r = ask(ctl, &wanted, &page, &t);
	if (r)
		return print_end(&page, r);
	if (ctl->json)
		make_json(&page, &t);
	else
		make_page(&page, &t, text_terminal_width(STDOUT_FILENO));
	return print_end(&page, exit_code(&wanted, tables_find(&t, "reconcile")));
}
