/* The commands that show one table: queue, anchors, quarantine, unreadable, devices. */
#include "ctl/anchors.h"
#include "ctl/cells.h"
#include "ctl/print.h"
#include "ctl/text.h"
#include "util/human.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static void put_cut(struct buf *page, uint64_t total, uint64_t shown)
{
	if (shown < total)
		buf_printf(page, "\n%" PRIu64 " of %" PRIu64 " are shown\n", shown, total);
}

static void put_next_try(struct table *t, const struct table *queue, size_t row)
{
	const struct cell *next = table_cell(queue, row, "next_attempt_us");
	char age[TEXT_AGE_SIZE], text[TEXT_AGE_SIZE + 4];

	if (streq(table_get_string(queue, row, "status"), "uploading"))
		table_string(t, "under way");
	else if (next->type != CELL_U64)
		table_string(t, "-");
	else if (next->u64 < USEC_PER_SEC)
		table_string(t, "now");
	else {
		(void)snprintf(text, sizeof(text), "in %s", text_age(next, age));
		table_string(t, text);
	}
}

static void make_queue(struct buf *page, const struct tables *t, size_t width)
{
	const struct table *queue = tables_find(t, "queue"), *all = tables_find(t, "queue_summary");
	_cleanup_(tables_done) struct tables shown = {0};
	struct table *s = tables_add(&shown, "",
				     "SERVER WEARABLE DATA PRIORITY >RECORDS >TRIES NEXT_TRY note");
	char n[HUMAN_SIZE + 8];
	uint64_t batches = table_get_u64(all, 0, "batches", 0);

	if (batches)
		buf_printf(page, "%" PRIu64 " batch%s wait%s with %s\n\n", batches,
			   batches == 1 ? "" : "es", batches == 1 ? "s" : "",
			   human_records(table_get_u64(all, 0, "records", 0), n));
	for (size_t row = 0; row < table_rows(queue); row++) {
		cells_string(s, queue, row, "sink");
		cells_string(s, queue, row, "device");
		cells_words(s, queue, row, "data_type");
		cells_string(s, queue, row, "priority");
		cells_count(s, queue, row, "records");
		cells_count(s, queue, row, "retries");
		put_next_try(s, queue, row);
		cells_string(s, queue, row, "last_error");
	}
	cells_page(page, &shown,
		   "the queue is empty; what was not sent yet, `vitalctl status` counts", width);
	put_cut(page, batches, table_get_u64(all, 0, "shown", 0));
}

static void make_anchors(struct buf *page, const struct tables *t, size_t width)
{
	const struct table *anchors = tables_find(t, "anchors");
	const struct table *all = tables_find(t, "anchors_summary");
	_cleanup_(tables_done) struct tables shown = {0};
	struct table *s = tables_add(
		&shown, "",
		"SERVER WEARABLE DATA >ANCHOR >NEWEST >CONFIRMED >WAITING >REFUSED note");

	for (size_t row = 0; row < table_rows(anchors); row++) {
		cells_string(s, anchors, row, "sink");
		cells_string(s, anchors, row, "device");
		cells_words(s, anchors, row, "data_type");
		cells_seq(s, anchors, row, "anchor_seq");
		cells_seq(s, anchors, row, "last_seq");
		cells_count(s, anchors, row, "confirmed");
		cells_count(s, anchors, row, "waiting");
		cells_count(s, anchors, row, "quarantined");
		table_string(s, table_get_u64(anchors, row, "held", 0)
					? "held: the server has other content under these numbers"
				: table_get_u64(anchors, row, "old", 0)
					? "its name before names were changed"
					: "");
	}
	cells_page(page, &shown,
		   "there are no anchors yet: nothing was heard, or no server is configured",
		   width);
	put_cut(page, table_get_u64(all, 0, "anchors", 0), table_get_u64(all, 0, "shown", 0));
	if (table_rows(anchors))
		buf_string(page, "\nA place is run.number. Up to the anchor the server holds "
				 "everything but what it\nrefused (`vitalctl quarantine`).\n");
}

static void make_quarantine(struct buf *page, const struct tables *t, size_t width)
{
	const struct table *q = tables_find(t, "quarantine");
	const struct table *all = tables_find(t, "quarantine_summary");
	_cleanup_(tables_done) struct tables shown = {0};
	struct table *s = tables_add(&shown, "", "REFUSED_(UTC) SERVER WEARABLE DATA >RECORD note");

	for (size_t row = 0; row < table_rows(q); row++) {
		char text[256];

		cells_time(s, q, row, "time_wall_us");
		cells_string(s, q, row, "sink");
		cells_string(s, q, row, "device");
		cells_words(s, q, row, "data_type");
		cells_seq(s, q, row, "seq");
		(void)snprintf(text, sizeof(text), "%s: %s", table_get_string(q, row, "code"),
			       table_get_string(q, row, "detail"));
		table_string(s, text);
	}
	cells_page(page, &shown, "the quarantine is empty: no server refused a record for good",
		   width);
	put_cut(page, table_get_u64(all, 0, "records", 0), table_get_u64(all, 0, "shown", 0));
}

/* Appends to a note, with "; " between. */
static void note(struct buf *out, const char *format, ...) _printf_(2, 3);
static void note(struct buf *out, const char *format, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap); /* cut where it is longer */
	va_end(ap);
	if (text[0])
		buf_printf(out, "%s%s", out->size ? "; " : "", text);
}

static void note_count(struct buf *out, const char *what, uint64_t n)
{
	if (n)
		note(out, "%s: %" PRIu64, what, n);
}

/* Why it does not stream, what it said last, what was tried, what it is. */
static void put_device_note(struct table *t, const struct table *d, size_t row)
{
	const char *model = table_get_string(d, row, "model");
	const char *firmware = table_get_string(d, row, "firmware");
	const char *adapter = table_get_string(d, row, "adapter");
	const char *memory = table_get_string(d, row, "memory");
	struct buf text = {0};

	note(&text, "%s", table_get_string(d, row, "why"));
	note(&text, "%s", table_get_string(d, row, "readings"));
	note_count(&text, "unreadable frames", table_get_u64(d, row, "undecodable", 0));
	note_count(&text, "came twice", table_get_u64(d, row, "duplicates", 0));
	note_count(&text, "subscribed again", table_get_u64(d, row, "resubscribed", 0));
	note_count(&text, "reconnected", table_get_u64(d, row, "reconnected", 0));
	note_count(&text, "paired again", table_get_u64(d, row, "unbonded", 0));
	note_count(&text, "power cycles of the adapter", table_get_u64(d, row, "power_cycled", 0));
	note_count(&text, "restarts of bluetoothd", table_get_u64(d, row, "restarted", 0));
	if (memory[0])
		note(&text, "its memory: %s", memory);
	note_count(&text, "values out of it", table_get_u64(d, row, "backfilled", 0));
	note(&text, "%s%s%s", model, firmware[0] ? ", firmware " : "", firmware);
	note(&text, "%s%s%s", adapter[0] ? "over " : "", adapter,
	     table_get_u64(d, row, "paired", 0) ? ", paired" : "");
	buf_u8(&text, 0);
	table_string(t, text.failed ? NULL : (const char *)text.data);
	buf_done(&text);
}

static void put_unit(struct table *t, const struct cell *c, const char *unit)
{
	char text[32] = "-";

	if (c->type == CELL_U64)
		(void)snprintf(text, sizeof(text), "%" PRIu64 " %s", c->u64, unit);
	else if (c->type == CELL_I64)
		(void)snprintf(text, sizeof(text), "%" PRId64 " %s", c->i64, unit);
	table_string(t, text);
}

static void make_devices(struct buf *page, const struct tables *t, size_t width)
{
	const struct table *d = tables_find(t, "devices");
	_cleanup_(tables_done) struct tables shown = {0};
	struct table *s = tables_add(&shown, "",
				     "=ADDRESS NAME STATE >HEARD >BATTERY >SIGNAL >GAPS >RECOVERED "
				     "note");

	for (size_t row = 0; row < table_rows(d); row++) {
		char age[TEXT_AGE_SIZE];

		cells_string(s, d, row, "address");
		cells_string(s, d, row, "name");
		cells_string(s, d, row, "state");
		table_string(s, text_age(table_cell(d, row, "last_sample_us"), age));
		put_unit(s, table_cell(d, row, "battery_percent"), "%");
		put_unit(s, table_cell(d, row, "rssi_dbm"), "dBm");
		cells_count(s, d, row, "gaps");
		cells_count(s, d, row, "recoveries");
		put_device_note(s, d, row);
	}
	cells_page(page, &shown, "no wearable has been seen", width);
}

static void make_unreadable(struct buf *page, const struct tables *t, size_t width)
{
	const struct table *u = tables_find(t, "unreadable");
	_cleanup_(tables_done) struct tables shown = {0};
	struct table *s = tables_add(&shown, "", "HEARD_(UTC) WEARABLE CHARACTERISTIC BYTES note");

	for (size_t row = 0; row < table_rows(u); row++) {
		char text[32], bytes[44];

		cells_time(s, u, row, "time_wall_us");
		cells_string(s, u, row, "device");
		(void)snprintf(text, sizeof(text), "%.8s",
			       table_get_string(u, row, "characteristic"));
		table_string(s, text);
		(void)snprintf(bytes, sizeof(bytes), "%.40s", table_get_string(u, row, "hex"));
		table_string(s, bytes[0] ? bytes : "(none)");
		cells_string(s, u, row, "why");
	}
	cells_page(page, &shown, "every frame that was heard could be read", width);
	if (table_rows(u))
		buf_string(page,
			   "\n--json gives all bytes; `vitalctl decode UUID HEX` explains.\n");
}

static int list(struct ctl *ctl, const char *which, int argc, char **argv,
		void (*make)(struct buf *page, const struct tables *t, size_t width))
{
	return argc > 1 ? command_bad_argument(which, argv[1]) : print_list(ctl, which, make);
}

int command_queue(struct ctl *ctl, int argc, char **argv)
{
	return list(ctl, "queue", argc, argv, make_queue);
}

int command_anchors(struct ctl *ctl, int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(struct ctl *ctl, int argc, char **argv);
	} words[] = {{"export", anchors_export},
		     {"import", anchors_import},
		     {"rewind", anchors_rewind},
		     {"accept", anchors_accept}};

	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(words); i++)
		if (streq(argv[1], words[i].name))
			return words[i].run(ctl, argc - 1, argv + 1);
	return list(ctl, "anchors", argc, argv, make_anchors);
}

int command_quarantine(struct ctl *ctl, int argc, char **argv)
{
	return list(ctl, "quarantine", argc, argv, make_quarantine);
}

int command_devices(struct ctl *ctl, int argc, char **argv)
{
	return list(ctl, "devices", argc, argv, make_devices);
}

int command_unreadable(struct ctl *ctl, int argc, char **argv)
{
	return list(ctl, "unreadable", argc, argv, make_unreadable);
}
