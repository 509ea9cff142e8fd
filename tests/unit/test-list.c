/* ctl/list: the page of `vitalctl devices`, to the letter, in a terminal of a hundred columns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/cells.c" /* vitalctl's files are in no library */
#include "ctl/list.c"
#include "ctl/text.c"

enum { COLUMNS = 100 };

static struct tables answer;
static struct buf page;

/* In place of the bus and the terminal. */
int print_list(struct ctl *ctl, const char *which,
	       void (*make)(struct buf *page, const struct tables *t, size_t width))
{
	assert_string_equal(which, "devices");
	make(&page, &answer, COLUMNS);
	buf_u8(&page, 0);
	assert_false(page.failed);
	return 0;
}

int anchors_export(struct ctl *ctl, int argc, char **argv)
{
	return 3;
}

int anchors_import(struct ctl *ctl, int argc, char **argv)
{
	return 4;
}

int anchors_rewind(struct ctl *ctl, int argc, char **argv)
{
	return 5;
}

int anchors_accept(struct ctl *ctl, int argc, char **argv)
{
	return 5;
}

int command_bad_argument(const char *command, const char *argument)
{
	return 2;
}

struct wearable {
	const char *address, *name, *state, *why, *readings, *model, *firmware, *adapter;
	uint64_t heard_us, battery, gaps, undecodable, resubscribed, reconnected;
	int64_t rssi;
	bool paired;
};

static void add(const struct wearable *w)
{
	struct table *t =
		answer.n ? answer.table[0]
			 : tables_add(&answer, "devices",
				      "address name state why readings model firmware adapter "
				      "last_sample_us battery_percent gaps undecodable "
				      "resubscribed reconnected recoveries rssi_dbm paired");

	table_string(t, w->address);
	table_string(t, w->name);
	table_string(t, w->state);
	table_string(t, w->why);
	table_string(t, w->readings);
	table_string(t, w->model);
	table_string(t, w->firmware);
	table_string(t, w->adapter);
	if (w->heard_us)
		table_u64(t, w->heard_us);
	else
		table_null(t);
	if (w->battery)
		table_u64(t, w->battery);
	else
		table_null(t);
	table_u64(t, w->gaps);
	table_u64(t, w->undecodable);
	table_u64(t, w->resubscribed);
	table_u64(t, w->reconnected);
	table_u64(t, w->resubscribed + w->reconnected);
	if (w->rssi)
		table_i64(t, w->rssi);
	else
		table_null(t);
	table_bool(t, w->paired);
}

static void page_is(const char *text)
{
	char *argv[] = {(char *)"devices", NULL};

	assert_int_equal(command_devices(NULL, 1, argv), 0);
	assert_string_equal((const char *)page.data, text);
	tables_done(&answer);
	answer = (struct tables){0};
	buf_done(&page);
}

static void all_that_can_be_said(void **state)
{
	add(&(struct wearable){.address = "a0:b1:c2:d3:e4:f5",
			       .name = "Anna",
			       .state = "streaming",
			       .readings = "heart rate 61 /min, ecg 130 Hz",
			       .model = "H10",
			       .firmware = "3.1.1",
			       .adapter = "hci0",
			       .heard_us = USEC_PER_SEC,
			       .battery = 80,
			       .gaps = 12,
			       .resubscribed = 2,
			       .reconnected = 1,
			       .rssi = -67,
			       .paired = true});
	add(&(struct wearable){.address = "a0:b1:c2:d3:e4:f6",
			       .name = "Simulated strap 12",
			       .state = "connecting",
			       .why = "it has not been seen for an hour and the adapter was reset "
				      "twice meanwhile",
			       .readings = "oximetry SpO2 97 %, 61 /min",
			       .heard_us = 5400 * USEC_PER_SEC,
			       .undecodable = 3});
	add(&(struct wearable){.address = "a0:b1:c2:d3:e4:f7", .state = "waiting"});
	page_is("ADDRESS            NAME                STATE        HEARD  BATTERY   SIGNAL  GAPS"
		"  RECOVERED\n"
		"a0:b1:c2:d3:e4:f5  Anna                streaming      1 s     80 %  -67 dBm    12"
		"          3\n"
		"    heart rate 61 /min, ecg 130 Hz; subscribed again: 2; reconnected: 1; H10, "
		"firmware 3.1.1; over\n"
		"    hci0, paired\n"
		"a0:b1:c2:d3:e4:f6  Simulated strap 12  connecting  90 min        -        -     0"
		"          0\n"
		"    it has not been seen for an hour and the adapter was reset twice meanwhile; "
		"oximetry SpO2 97 %,\n"
		"    61 /min; unreadable frames: 3\n"
		"a0:b1:c2:d3:e4:f7  -                   waiting          -        -        -     0"
		"          0\n");
}

static void nothing_to_say(void **state)
{
	(void)tables_add(&answer, "devices", "address");
	page_is("no wearable has been seen\n");
}

static void an_argument_too_many(void **state)
{
	char *argv[] = {(char *)"devices", (char *)"x", NULL};

	assert_int_equal(command_devices(NULL, 2, argv), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_can_be_said),
		cmocka_unit_test(nothing_to_say),
		cmocka_unit_test(an_argument_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
