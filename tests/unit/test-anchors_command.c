/*
 * ctl/anchors: several streams are sent again one by one. One that fails ends it, and what was done before
 * that is told, on the page and in JSON; a dry run has nothing to tell then.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/anchors.c" /* vitalctl's files are in no library */
#include "ctl/text.c"
#include "ctl/when.c"
#include "hearing.h"

enum { STREAMS = 4 };

static const char *const ids[STREAMS] = {"10000000-0000-4000-8000-000000000000",
					 "20000000-0000-4000-8000-000000000000",
					 "30000000-0000-4000-8000-000000000000",
					 "40000000-0000-4000-8000-000000000000"};
static struct buf printed;
static const char *said;
static unsigned n_asked, fails_at; /* 0: none fails */

/* In place of the bus and the terminal. */
int client_ask(struct client *c, const char *which, struct tables *ret)
{
	struct table *t = tables_add(ret, "anchors", "sink device data_type stream anchor_seq");

	for (size_t i = 0; i < STREAMS; i++) {
		table_string(t, "main");
		table_string(t, "a0:b1:c2:d3:e4:f5");
		table_string(t, i % 2 ? "ecg" : "heart_rate");
		table_string(t, ids[i]);
		table_u64(t, seq_make(2, 20));
	}
	t = tables_add(ret, "anchors_summary", "incarnation");
	table_string(t, ids[0]);
	return 0;
}

int client_rewind(struct client *c, const struct control_rewind *wish, struct tables *ret)
{
	struct table *t;

	if (++n_asked == fails_at)
		return CLIENT_E_REFUSED;
	t = tables_add(ret, "rewound", CONTROL_REWOUND_COLUMNS);
	table_string(t, wish->sink);
	table_string(t, "a0:b1:c2:d3:e4:f5");
	table_string(t, "ecg");
	table_string(t, "u-1");
	table_string(t, "");
	table_u64(t, wish->after_seq);
	table_u64(t, 10);
	table_u64(t, 1024);
	table_bool(t, false);
	return 0;
}

int client_accept(struct client *c, const char *sink, struct tables *ret)
{
	return CLIENT_E_ABSENT;
}

int print_query(struct ctl *ctl, const char *which, struct buf *page, struct tables *ret)
{
	return EXIT_UNAVAILABLE;
}

int print_failure(struct ctl *ctl, int r)
{
	(void)fprintf(stderr, "vitalctl: refused\n");
	return EXIT_UNAVAILABLE;
}

int print_failure_and(struct ctl *ctl, int r, const char *instead)
{
	return EXIT_UNAVAILABLE;
}

void print_json_rows(struct json *j, const struct table *t)
{
	json_uint(j, table_rows(t));
}

int print_end(struct buf *page, int code)
{
	buf_u8(page, 0);
	assert_false(page->failed);
	buf_done(&printed);
	printed = *page;
	return code;
}

int command_bad_argument(const char *command, const char *argument)
{
	return EXIT_USAGE;
}

bool command_value(int argc, char **argv, int *i, const char *name, const char **ret)
{
	if (!streq(argv[*i], name) || *i + 1 >= argc)
		return false;
	*ret = argv[++*i];
	return true;
}

/* Runs it; what it writes to stderr is in `said`. */
static int run(int (*command)(struct ctl *ctl, int argc, char **argv), bool json, int argc,
	       const char **argv)
{
	struct hearing h = hearing_begin();
	struct ctl ctl = {.json = json};
	int code;

	n_asked = 0;
	code = command(&ctl, argc, (char **)argv);
	said = hearing_end(&h);
	return code;
}

static int rewind_all(bool json, bool dry_run)
{
	const char *argv[] = {"rewind", "main", "--all", "--to", "2.10", "--dry-run", NULL};

	return run(anchors_rewind, json, dry_run ? 6 : 5, argv);
}

static const char *page(void)
{
	return (const char *)printed.data;
}

static void all_of_them(void **state)
{
	fails_at = 0;
	assert_int_equal(rewind_all(false, false), EXIT_FINE);
	assert_int_equal(n_asked, STREAMS);
	assert_non_null(strstr(page(), "40 records, about 4.0 KiB, are sent again"));
	assert_string_equal(said, "");
	assert_int_equal(rewind_all(true, false), EXIT_FINE);
	assert_string_equal(page(), "{\"dry_run\":false,\"rewound\":4}\n");
}

static void one_that_fails(void **state)
{
	fails_at = 3;
	assert_int_equal(rewind_all(false, false), EXIT_UNAVAILABLE);
	assert_int_equal(n_asked, 3);
	assert_non_null(strstr(page(), "20 records, about 2.0 KiB, are sent again"));
	assert_string_equal(said, "vitalctl: refused\n"
				  "vitalctl: it ended there: only what is listed is sent again for "
				  "certain; the same command does the rest\n");
	assert_int_equal(rewind_all(true, false), EXIT_UNAVAILABLE);
	assert_string_equal(page(), "{\"dry_run\":false,\"rewound\":2}\n");
}

static void nothing_was_done(void **state)
{
	fails_at = 1;
	assert_int_equal(rewind_all(false, false), EXIT_UNAVAILABLE);
	assert_string_equal(page(), "");
	assert_string_equal(said, "vitalctl: refused\n");
	fails_at = 3;
	assert_int_equal(rewind_all(false, true), EXIT_UNAVAILABLE);
	assert_string_equal(page(), "");
	assert_string_equal(said, "vitalctl: refused\n");
}

static void an_import_that_fails(void **state)
{
	char path[] = "/tmp/anchors-XXXXXX";
	const char *argv[] = {"import", path, NULL};
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_true(dprintf(fd,
			    "{\"format\":\"%s\",\"version\":1,\"incarnation\":\"%s\","
			    "\"anchors\":[",
			    ANCHOR_FILE_FORMAT, ids[0]) > 0);
	for (size_t i = 0; i < STREAMS; i++)
		assert_true(dprintf(fd, "%s{\"sink\":\"main\",\"stream\":\"%s\",\"anchor\":%llu}\n",
				    i ? "," : "", ids[i], (unsigned long long)seq_make(2, 10)) > 0);
	assert_true(dprintf(fd, "]}\n") > 0);
	assert_int_equal(close(fd), 0);
	fails_at = 2;
	assert_int_equal(run(anchors_import, false, 2, argv), EXIT_UNAVAILABLE);
	assert_int_equal(n_asked, 2);
	assert_non_null(strstr(page(), "10 records, about 1.0 KiB, are sent again"));
	assert_non_null(strstr(said, "the same command does the rest"));
	assert_int_equal(unlink(path), 0);
	buf_done(&printed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_of_them),
		cmocka_unit_test(one_that_fails),
		cmocka_unit_test(nothing_was_done),
		cmocka_unit_test(an_import_that_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
