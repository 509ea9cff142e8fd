/*
 * The page of `vitalctl status`, for a person at three in the morning: the verdict in words in the
 * first line, what is wrong and what to do about it right below, and then the figures.
 *
 *     DEGRADED  the server "main" has been down for 4 min: no answer ...
 *     ...
 *     What is wrong    each with what follows from it for the data, and what to do; the
 *                      words of a library, if there are any, on a line of their own
 *     WEARABLE ...     one line each, and one more with why it does not stream
 *     SERVER ...       one line each
 *     SERVER LAST ...  how well each took what it was sent, over an hour, a day, a week
 */
#include "ctl/screen.h"

#include "ctl/cells.h"
#include "ctl/text.h"
#include "util/human.h"

#include <inttypes.h>
#include <stdio.h>

enum { NAME_COLUMNS = 18 };

static const char *verdict_word(const char *state)
{
	return streq(state, "healthy")	  ? "HEALTHY"
	       : streq(state, "degraded") ? "DEGRADED"
					  : "NOT WORKING";
}

/* "-" for null, "72", "80 %". */
static void put_number(struct table *t, const struct cell *c, const char *unit)
{
	char text[48];

	if (c->type == CELL_U64)
		(void)snprintf(text, sizeof(text), "%" PRIu64 "%s", c->u64, unit);
	else if (c->type == CELL_DOUBLE)
		(void)snprintf(text, sizeof(text), "%.1f%s", c->real, unit);
	else
		(void)snprintf(text, sizeof(text), "-");
	table_string(t, text);
}

static void put_age(struct table *t, const struct cell *c)
{
	char text[TEXT_AGE_SIZE];

	table_string(t, text_age(c, text));
}

static void put_name(struct table *t, const char *name, size_t width)
{
	struct buf b = {0};

	if (width)
		text_cut(&b, name, NAME_COLUMNS);
	else
		text_clean(&b, name);
	buf_u8(&b, 0);
	table_string(t, b.failed ? NULL : (const char *)b.data);
	buf_done(&b);
}

static void make_verdict(struct buf *out, const struct table *summary, size_t width, bool bold)
{
	const char *state = verdict_word(table_get_string(summary, 0, "state"));

	buf_printf(out, bold ? "\033[1m%s\033[0m  " : "%s  ", state);
	text_wrap(out, table_get_string(summary, 0, "verdict"), width ? width : SIZE_MAX / 2,
		  strlen(state) + 2);
}

/* ", set back by 3 s at 2026-03-01T12:00:00Z" */
static void say_step(struct buf *line, const struct table *s)
{
	const struct cell *step = table_cell(s, 0, "clock_step_us");
	const struct cell *when = table_cell(s, 0, "clock_step_wall_us");
	char far[HUMAN_STEP_SIZE], at[32];

	if (!step || !when || step->type != CELL_I64 || when->type != CELL_I64)
		return;
	clock_format(when->i64, at);
	buf_printf(line, ", set %s at %s", human_step(step->i64, far), at);
}

static void make_identity(struct buf *out, const struct table *s, size_t width)
{
	const char *gateway = table_get_string(s, 0, "gateway");
	char age[HUMAN_SIZE];
	struct buf line = {0};

	buf_printf(&line, "%s%svitald %s", gateway, gateway[0] ? ", " : "",
		   table_get_string(s, 0, "version"));
	if (table_get_u64(s, 0, "running", 0))
		buf_printf(&line, ", pid %" PRIu64 ", up %s", table_get_u64(s, 0, "pid", 0),
			   human_age(table_get_u64(s, 0, "since_us", 0), age));
	if (table_get_u64(s, 0, "run", 0))
		buf_printf(&line, ", run %" PRIu64, table_get_u64(s, 0, "run", 0));
	buf_printf(&line, ", clock %ssynchronised",
		   table_get_u64(s, 0, "clock_synchronised", 0) ? "" : "not ");
	say_step(&line, s);
	buf_u8(&line, 0);
	if (!line.failed)
		text_wrap(out, (const char *)line.data, width ? width : SIZE_MAX / 2, 2);
	buf_done(&line);
}

static void make_store(struct buf *out, const struct table *s, size_t width)
{
	uint64_t tail = table_get_u64(s, 0, "tail_size_bytes", 0);
	uint64_t max = table_get_u64(s, 0, "max_bytes", 0);
	uint64_t durability = table_get_u64(s, 0, "durability_us", 0);
	char a[HUMAN_SIZE], b[HUMAN_SIZE];
	struct buf line = {0};

	if (table_cell(s, 0, "log_bytes")->type == CELL_NULL)
		return;
	(void)human_size(table_get_u64(s, 0, "log_bytes", 0) + table_get_u64(s, 0, "wal_bytes", 0),
			 a);
	buf_printf(&line, "store %s", a);
	if (max)
		buf_printf(&line, " of %s", human_size(max, b));
	if (tail)
		buf_printf(&line, ", tail %" PRIu64 " %% full",
			   table_get_u64(s, 0, "tail_used_bytes", 0) * 100 / tail);
	if (durability)
		buf_printf(&line, ", on the disk within %s", human_duration(durability, b));
	else
		buf_string(&line, ", each record on the disk at once");
	if (table_get_u64(s, 0, "written_today_bytes", 0))
		buf_printf(&line, ", %s written today",
			   human_size(table_get_u64(s, 0, "written_today_bytes", 0), b));
	buf_u8(&line, 0);
	if (!line.failed)
		text_wrap(out, (const char *)line.data, width ? width : SIZE_MAX / 2, 2);
	buf_done(&line);
}

static void make_problem(struct buf *out, const struct table *p, size_t row, size_t width)
{
	const char *detail = table_get_string(p, row, "detail");
	const char *consequence = table_get_string(p, row, "consequence");
	const char *remedy = table_get_string(p, row, "remedy");

	if (!width)
		width = SIZE_MAX / 2;
	buf_string(out, streq(table_get_string(p, row, "severity"), "notice") ? "  - " : "  ! ");
	text_wrap(out, table_get_string(p, row, "what"), width, 4);
	if (detail[0]) {
		buf_string(out, "    in detail: ");
		text_wrap(out, detail, width, 15);
	}
	if (consequence[0]) {
		buf_string(out, "    ");
		text_wrap(out, consequence, width, 4);
	}
	if (remedy[0]) {
		buf_string(out, "    -> ");
		text_wrap(out, remedy, width, 7);
	}
}

static void make_problems(struct buf *out, const struct table *p, size_t width)
{
	if (table_rows(p))
		buf_string(out, "\n");
	for (size_t row = 0; row < table_rows(p); row++)
		make_problem(out, p, row, width);
}

static void make_devices(struct buf *out, const struct table *d, size_t width)
{
	_cleanup_(tables_done) struct tables shown = {0};
	struct table *t =
		tables_add(&shown, "",
			   "WEARABLE STATE >HEARD >CONFIRMED >WAITING >GAPS >BATTERY >BPM note");

	for (size_t row = 0; row < table_rows(d); row++) {
		const char *name = table_get_string(d, row, "name");

		put_name(t, name[0] ? name : table_get_string(d, row, "address"), width);
		table_string(t, table_get_string(d, row, "state"));
		put_age(t, table_cell(d, row, "last_sample_us"));
		put_age(t, table_cell(d, row, "last_confirmed_us"));
		put_number(t, table_cell(d, row, "waiting"), "");
		put_number(t, table_cell(d, row, "gaps"), "");
		put_number(t, table_cell(d, row, "battery_percent"), " %");
		put_number(t, table_cell(d, row, "bpm"), "");
		table_string(t, table_get_string(d, row, "why"));
	}
	buf_string(out, "\n");
	cells_page(out, &shown, "no wearables", width);
}

static void make_sinks(struct buf *out, const struct table *s, size_t width)
{
	_cleanup_(tables_done) struct tables shown = {0};
	struct table *t = tables_add(&shown, "",
				     "SERVER STATE >CONFIRMED >WAITING >DONE_IN >NEXT_TRY "
				     ">LAST_YES");

	for (size_t row = 0; row < table_rows(s); row++) {
		bool up = streq(table_get_string(s, row, "state"), "up");

		put_name(t, table_get_string(s, row, "name"), width);
		table_string(t, table_get_string(s, row, "state"));
		put_number(t, table_cell(s, row, "confirmed"), "");
		put_number(t, table_cell(s, row, "waiting"), "");
		put_age(t, table_cell(s, row, "drain_us"));
		put_age(t, table_cell(s, row, up ? "" : "next_attempt_us"));
		put_age(t, table_cell(s, row, "last_success_us"));
	}
	buf_string(out, "\n");
	cells_page(out, &shown, "no servers", width);
}

/* "0.4 s", "12 s": a latency has no use for more digits. */
static void put_latency(struct table *t, const struct cell *c)
{
	char text[48];

	if (c->type != CELL_U64)
		(void)snprintf(text, sizeof(text), "-");
	else if (c->u64 < 10 * USEC_PER_SEC)
		(void)snprintf(text, sizeof(text), "%.1f s", (double)c->u64 / 1e6);
	else
		(void)text_age(c, text);
	table_string(t, text);
}

/* A longer window in which nothing more happened says nothing new. */
static bool says_more(const struct table *r, size_t row)
{
	static const char *const columns[] = {"batches", "queued", "recovered", "late"};

	if (row == 0 ||
	    !streq(table_get_string(r, row, "sink"), table_get_string(r, row - 1, "sink")))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		if (table_get_u64(r, row, columns[i], 0) !=
		    table_get_u64(r, row - 1, columns[i], 0))
			return true;
	return false;
}

static void make_rates(struct buf *out, const struct table *r, size_t width)
{
	_cleanup_(tables_done) struct tables shown = {0};
	struct table *t = tables_add(&shown, "",
				     "SERVER >LAST >BATCHES >AT_ONCE >LATENCY >QUEUED >RECOVERED");
	char window[HUMAN_SIZE];

	for (size_t row = 0; row < table_rows(r); row++) {
		uint64_t hours = table_get_u64(r, row, "window_us", 0) / (3600 * USEC_PER_SEC);

		if (!says_more(r, row))
			continue;
		put_name(t, table_get_string(r, row, "sink"), width);
		(void)snprintf(window, sizeof(window), "%" PRIu64 " %s",
			       hours < 48 ? hours : hours / 24, hours < 48 ? "h" : "d");
		table_string(t, window);
		put_number(t, table_cell(r, row, "batches"), "");
		put_number(t, table_cell(r, row, "at_once_percent"), " %");
		put_latency(t, table_cell(r, row, "latency_us"));
		put_number(t, table_cell(r, row, "queued"), "");
		put_number(t, table_cell(r, row, "recovered_percent"), " %");
	}
	if (tables_failed(&shown))
		out->failed = true;
	else if (table_rows(t)) {
		buf_string(out, "\n");
		text_table(out, t, width);
	}
}

void screen_make(struct buf *out, const struct tables *t, size_t width, bool bold)
{
	const struct table *summary = tables_find(t, "summary");

	make_verdict(out, summary, width, bold);
	make_identity(out, summary, width);
	make_store(out, summary, width);
	make_problems(out, tables_find(t, "problems"), width);
	make_devices(out, tables_find(t, "devices"), width);
	make_sinks(out, tables_find(t, "sinks"), width);
	make_rates(out, tables_find(t, "rates"), width);
}
