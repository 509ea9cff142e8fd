/*
 * `vitalctl sync`: try everything now. Ends backoff and holds, commits the tail, and returns at
 * once with what was started; `vitalctl status --watch` shows how it goes. Needs the daemon:
 * without one `vitald drain` uploads what waits.
 */
#include "ctl/print.h"
#include "ctl/text.h"
#include "util/human.h"
#include "util/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* There is no next attempt: only its owner can end that. */
static bool is_stuck(const struct table *sinks, size_t row)
{
	return streq(table_get_string(sinks, row, "state"), "held") &&
	       table_cell(sinks, row, "next_attempt_us")->type == CELL_NULL;
}

static void put_sink(struct buf *page, const struct table *sinks, size_t row, size_t width)
{
	uint64_t waiting = table_get_u64(sinks, row, "waiting", 0);
	char n[HUMAN_SIZE + 8];
	struct buf line = {0};

	buf_printf(&line, "%s: ", table_get_string(sinks, row, "name"));
	if (waiting)
		buf_printf(&line, "%s, %s wait%s",
			   is_stuck(sinks, row) ? "not tried" : "trying now",
			   human_records(waiting, n), waiting == 1 ? "s" : "");
	else
		buf_string(&line, is_stuck(sinks, row) ? "not tried" : "everything is confirmed");
	if (is_stuck(sinks, row))
		buf_printf(&line, ": %s", table_get_string(sinks, row, "reason"));
	buf_u8(&line, 0);
	if (line.failed)
		page->failed = true;
	else
		text_wrap(page, (const char *)line.data, width ? width : SIZE_MAX / 2, 2);
	buf_done(&line);
}

static void make_page(struct buf *page, const struct table *sinks, size_t width)
{
	for (size_t row = 0; row < table_rows(sinks); row++)
		if (!streq(table_get_string(sinks, row, "state"), "retired"))
			put_sink(page, sinks, row, width);
	if (table_rows(sinks) == 0)
		buf_string(page, "no server is configured: nothing to sync with\n");
}

int command_sync(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(tables_done) struct tables t = {0};
	struct buf page = {0};
	int r;

	if (argc > 1)
		return command_bad_argument("sync", argv[1]);
	r = client_sync(ctl->client, true, &t);
	if (r)
		return print_failure_and(ctl, r,
					 "without it, `sudo vitald drain` sends what waits");
	if (ctl->json) {
		struct json j = json_make(&page);

		print_json_rows(&j, tables_find(&t, "sinks"));
		buf_string(&page, "\n");
	} else {
		make_page(&page, tables_find(&t, "sinks"), text_terminal_width(STDOUT_FILENO));
	}
	return print_end(&page, EXIT_FINE);
}
