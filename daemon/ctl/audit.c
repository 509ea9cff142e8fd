/*
 * `vitalctl audit`: does the ledger balance? The daemon (or, without one, vitalctl on its store)
 * counts the records again and compares with what the counters say; exit code 0 if they agree and 1
 * if not, with the difference in words.
 */
#include "ctl/print.h"
#include "ctl/text.h"
#include "util/human.h"
#include "util/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static void put_count(struct table *t, uint64_t n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, n);
	table_string(t, text);
}

static void make_lines(struct buf *page, const struct table *lines, size_t width)
{
	_cleanup_(tables_done) struct tables shown = {0};
	struct table *t = tables_add(
		&shown, "",
		"SERVER WEARABLE DATA >ADMITTED >CONFIRMED >WAITING >REFUSED >OTHER note");

	for (size_t row = 0; row < table_rows(lines); row++) {
		table_string(t, table_get_string(lines, row, "sink"));
		table_string(t, table_get_string(lines, row, "device"));
		table_string(t, streq(table_get_string(lines, row, "data_type"), "heart_rate")
					? "heart rate"
					: table_get_string(lines, row, "data_type"));
		put_count(t, table_get_u64(lines, row, "admitted", 0));
		put_count(t, table_get_u64(lines, row, "confirmed", 0));
		put_count(t, table_get_u64(lines, row, "waiting", 0));
		put_count(t, table_get_u64(lines, row, "quarantined", 0));
		put_count(t, table_get_u64(lines, row, "moved", 0) +
				     table_get_u64(lines, row, "exempt", 0) +
				     table_get_u64(lines, row, "lost", 0));
		table_string(t, table_get_string(lines, row, "difference"));
	}
	if (tables_failed(&shown))
		page->failed = true;
	else if (table_rows(lines))
		text_table(page, t, width);
}

static void make_page(struct buf *page, const struct table *lines, uint64_t n, bool balanced,
		      size_t width)
{
	if (table_rows(lines) == 0)
		buf_string(page, "The ledger balances: there is nothing in it yet.\n");
	else if (balanced)
		buf_string(page, "The ledger balances: every record that was admitted is "
				 "accounted for.\n\n");
	else
		buf_string(page, "THE LEDGER DOES NOT BALANCE. Nothing was changed. Keep the store "
				 "as it is\nand report this with the lines below.\n\n");
	make_lines(page, lines, width);
	if (table_rows(lines) < n)
		buf_printf(page, "\n%zu of %" PRIu64 " are shown\n", table_rows(lines), n);
}

static void make_json(struct buf *page, const struct table *lines, bool balanced)
{
	struct json j = json_make(page);

	json_open(&j, '{');
	json_key(&j, "balanced");
	json_bool(&j, balanced);
	json_key(&j, "lines");
	print_json_rows(&j, lines);
	json_close(&j, '}');
	buf_string(page, "\n");
}

int command_audit(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(tables_done) struct tables t = {0};
	struct buf page = {0};
	bool balanced;
	int r;

	if (argc > 1)
		return command_bad_argument("audit", argv[1]);
	r = print_query(ctl, "audit", &page, &t);
	if (r != EXIT_FINE)
		return print_end(&page, r);
	balanced = table_get_u64(tables_find(&t, "audit"), 0, "balanced", 0);
	if (ctl->json)
		make_json(&page, tables_find(&t, "lines"), balanced);
	else
		make_page(&page, tables_find(&t, "lines"),
			  table_get_u64(tables_find(&t, "audit"), 0, "lines", 0), balanced,
			  text_terminal_width(STDOUT_FILENO));
	return print_end(&page, balanced ? EXIT_FINE : EXIT_DEGRADED);
}
