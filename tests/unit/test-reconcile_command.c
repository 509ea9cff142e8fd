/* ctl/reconcile: the page of `vitalctl reconcile --show`, to the letter: names are what their owner gave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/cells.c" /* vitalctl's files are in no library */
#include "ctl/reconcile.c"
#include "ctl/text.c"

static struct buf printed;

/* In place of the bus and the terminal. */
int print_query(struct ctl *ctl, const char *which, struct buf *page, struct tables *ret)
{
	struct table *t = tables_add(ret, "reconcile", "sink ended compared again last_us");
	struct table *f = tables_add(ret, "findings",
				     "time_wall_us sink device data_type what first_seq last_seq "
				     "records");

	assert_string_equal(which, "reconcile");
	table_string(t, "a_b");
	table_bool(t, true);
	table_u64(t, 100);
	table_u64(t, 3);
	table_null(t);
	table_i64(f, INT64_C(1772366400000000));
	table_string(f, "a_b");
	table_string(f, "a0:b1:c2:d3:e4:f5");
	table_string(f, "heart_rate");
	table_string(f, "server_only");
	table_u64(f, seq_make(2, 1));
	table_u64(f, seq_make(2, 3));
	table_u64(f, 3);
	assert_false(tables_failed(ret));
	return EXIT_FINE;
}

int print_end(struct buf *page, int code)
{
	buf_u8(page, 0);
	assert_false(page->failed);
	printed = *page;
	return code;
}

int print_failure_and(struct ctl *ctl, int r, const char *instead)
{
	return EXIT_UNAVAILABLE;
}

void print_json_rows(struct json *j, const struct table *t)
{
	fail();
}

int command_bad_argument(const char *command, const char *argument)
{
	return EXIT_USAGE;
}

int client_ask(struct client *c, const char *which, struct tables *ret)
{
	return CLIENT_E_ABSENT;
}

int client_reconcile(struct client *c, bool everything, struct tables *ret)
{
	return CLIENT_E_ABSENT;
}

static void what_was_found(void **state)
{
	char *argv[] = {(char *)"reconcile", (char *)"--show", NULL};
	struct ctl ctl = {0};

	assert_int_equal(command_reconcile(&ctl, 2, argv), EXIT_FINE);
	assert_string_equal((const char *)printed.data,
			    "a_b: 100 records equal; it lacked 3 records, sent again\n"
			    "\n"
			    "FOUND (UTC)           SERVER  WEARABLE           DATA        FOUND    "
			    "    RECORDS  FROM  TO\n"
			    "2026-03-01T12:00:00Z  a_b     a0:b1:c2:d3:e4:f5  heart rate  server "
			    "only        3  2.1   2.3\n");
	buf_done(&printed);
}

static void nobody_to_ask(void **state)
{
	char *argv[] = {(char *)"reconcile", (char *)"x", NULL};
	struct ctl ctl = {0};

	assert_int_equal(command_reconcile(&ctl, 2, argv), EXIT_USAGE);
	assert_int_equal(command_reconcile(&ctl, 1, argv), EXIT_UNAVAILABLE);
	buf_done(&printed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_found),
		cmocka_unit_test(nobody_to_ask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
