/*
 * `vitalctl sync`: try everything now. Ends backoff and holds, commits the tail, and returns at
 * once with what was started; `vitalctl status --watch` shows how it goes. Needs the daemon:
 * without one `vitald drain` uploads what waits.
 */
#include "ctl/print.h"
#include "util/human.h"
#include "util/json.h"

#include <inttypes.h>
#include <stdio.h>

static void make_page(struct buf *page, const struct table *sinks)
{
	char n[HUMAN_SIZE + 8];

	for (size_t row = 0; row < table_rows(sinks); row++) {
		uint64_t waiting = table_get_u64(sinks, row, "waiting", 0);

		if (streq(table_get_string(sinks, row, "state"), "retired"))
			continue;
		if (waiting)
			buf_printf(page, "%s: trying now, %s wait%s\n",
				   table_get_string(sinks, row, "name"), human_records(waiting, n),
				   waiting == 1 ? "s" : "");
		else
			buf_printf(page, "%s: everything is confirmed\n",
				   table_get_string(sinks, row, "name"));
	}
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
		make_page(&page, tables_find(&t, "sinks"));
	}
	return print_end(&page, EXIT_FINE);
}
