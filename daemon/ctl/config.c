/*
 * `vitalctl config`: every key that is in force, its value, and where it was set. A running daemon
 * is asked, for what it reads is what counts; and because a file that was edited counts only after
 * a reload, the files are read as well and compared with it. Without a daemon the files are shown.
 */
#include "ctl/print.h"
#include "ctl/text.h"
#include "util/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

const struct table *command_config_files(struct ctl *ctl, struct tables *ret)
{
	if (!ctl->config)
		return NULL;
	(void)control_put_config(ctl->config, ret); /* no memory shows in the table */
	return tables_find(ret, "config");
}

static const char *cell(const struct table *t, size_t row, const char *column)
{
	return table_get_string(t, row, column);
}

/* The row of the same key; SIZE_MAX: there is none. */
static size_t find(const struct table *t, const struct table *like, size_t row)
{
	for (size_t i = 0; i < table_rows(t); i++)
		if (streq(cell(t, i, "key"), cell(like, row, "key")) &&
		    streq(cell(t, i, "section"), cell(like, row, "section")) &&
		    streq(cell(t, i, "name"), cell(like, row, "name")))
			return i;
	return SIZE_MAX;
}

static void put_difference(struct table *d, const struct table *key, size_t row,
			   const char *in_force, const char *on_disk)
{
	table_string(d, cell(key, row, "section"));
	table_string(d, cell(key, row, "name"));
	table_string(d, cell(key, row, "key"));
	table_string(d, in_force);
	table_string(d, on_disk);
}

/* What of it is different. NULL in a column: there is no such sink or device on that side. */
static struct table *compare(const struct table *in_force, const struct table *on_disk,
			     struct tables *ret)
{
	struct table *d = tables_add(ret, "differs", "section name key in_force on_disk");

	for (size_t i = 0; i < table_rows(in_force); i++) {
		size_t k = find(on_disk, in_force, i);
		const char *value = cell(in_force, i, "value");

		if (k == SIZE_MAX || !streq(value, cell(on_disk, k, "value")))
			put_difference(d, in_force, i, value,
				       k == SIZE_MAX ? NULL : cell(on_disk, k, "value"));
	}
	for (size_t i = 0; i < table_rows(on_disk); i++)
		if (find(in_force, on_disk, i) == SIZE_MAX)
			put_difference(d, on_disk, i, NULL, cell(on_disk, i, "value"));
	return d;
}

static void put_heading(struct buf *page, const struct table *t, size_t row)
{
	if (row > 0 && streq(cell(t, row, "section"), cell(t, row - 1, "section")) &&
	    streq(cell(t, row, "name"), cell(t, row - 1, "name")))
		return;
	buf_printf(page, "%s[%s", row ? "\n" : "", cell(t, row, "section"));
	if (cell(t, row, "name")[0])
		buf_printf(page, " \"%s\"", cell(t, row, "name"));
	buf_string(page, "]\n");
}

/* "[log] level", "[sink main] url" */
static void put_key(struct buf *page, const struct table *d, size_t row)
{
	const char *name = cell(d, row, "name");

	buf_printf(page, "[%s%s%s] %s", cell(d, row, "section"), name[0] ? " " : "", name,
		   cell(d, row, "key"));
}

static void put_value(struct buf *page, const struct table *d, size_t row, const char *column)
{
	const struct cell *c = table_cell(d, row, column);

	if (c->type != CELL_STRING)
		buf_string(page, "(there is none)");
	else if (c->string[0])
		text_clean(page, c->string);
	else
		buf_string(page, "(empty)");
}

static void make_differences(struct buf *page, const struct table *d)
{
	if (!table_rows(d))
		return;
	buf_string(page, "The files say something else than what is in force; `sudo "
			 "systemctl reload\nvitald` takes them over:\n");
	for (size_t row = 0; row < table_rows(d); row++) {
		buf_string(page, "  ");
		put_key(page, d, row);
		buf_string(page, ": ");
		put_value(page, d, row, "in_force");
		buf_string(page, " is in force, ");
		put_value(page, d, row, "on_disk");
		buf_string(page, " is in the files\n");
	}
	buf_string(page, "\n");
}

static void make_page(struct buf *page, const struct table *t)
{
	for (size_t row = 0; row < table_rows(t); row++) {
		struct buf line = {0};

		put_heading(page, t, row);
		buf_printf(&line, "%s = ", cell(t, row, "key"));
		text_clean(&line, cell(t, row, "value"));
		buf_u8(&line, 0);
		if (line.failed)
			page->failed = true;
		else
			buf_printf(page, "%-34s  ", (const char *)line.data);
		buf_done(&line);
		if (table_cell(t, row, "file")->type == CELL_STRING) {
			text_clean(page, cell(t, row, "file"));
			buf_printf(page, ":%" PRIu64 "\n", table_get_u64(t, row, "line", 0));
		} else {
			buf_string(page, "default\n");
		}
	}
}

static void make_json(struct buf *page, const struct table *t, const struct table *d, bool running)
{
	struct json j = json_make(page);

	json_open(&j, '{');
	json_key(&j, "running");
	json_bool(&j, running);
	json_key(&j, "config");
	print_json_rows(&j, t);
	json_key(&j, "differs");
	if (d)
		print_json_rows(&j, d);
	else
		json_none(&j);
	json_close(&j, '}');
	buf_string(page, "\n");
}

static void remark(struct ctl *ctl, struct buf *page, const char *remark)
{
	if (ctl->json)
		(void)fprintf(stderr, "vitalctl: %s\n", remark);
	else
		buf_printf(page, "%s\n\n", remark);
}

int command_config(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(tables_done) struct tables asked = {0}, files = {0}, compared = {0};
	const struct table *t, *on_disk, *d = NULL;
	struct buf page = {0};
	int r;

	if (argc > 1)
		return command_bad_argument("config", argv[1]);
	r = client_ask(ctl->client, "config", &asked);
	on_disk = command_config_files(ctl, &files);
	if (r && !on_disk)
		return print_failure(ctl, r);
	t = r ? on_disk : tables_find(&asked, "config");
	if (r) {
		char why[400];

		(void)snprintf(why, sizeof(why), "%s; this is what the files say",
			       client_problem(ctl->client)); /* fits */
		remark(ctl, &page, why);
	} else if (on_disk) {
		d = compare(t, on_disk, &compared);
	} else {
		remark(ctl, &page,
		       "The files cannot be compared with what is in force: "
		       "`sudo vitald --check-config` says why");
	}
	if (tables_failed(&files) || tables_failed(&compared))
		page.failed = true;
	if (ctl->json) {
		make_json(&page, t, d, r == 0);
	} else {
		if (d)
			make_differences(&page, d);
		make_page(&page, t);
	}
	return print_end(&page, EXIT_FINE);
}
