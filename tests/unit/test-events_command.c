/*
 * ctl/events: what is followed comes once and in order, although it comes two ways; which events are wanted; and
 * how a time is said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/cells.c" /* vitalctl's files are in no library */
#include "ctl/events.c"
#include "ctl/text.c"
#include "ctl/when.c"

#include <sys/mman.h>

static client_event_cb listener;
static void *listening;
static char printed[8192];

static void put_events(struct tables *t, uint64_t from, uint64_t to)
{
	struct table *e = tables_add(t, "events", CONTROL_EVENTS_COLUMNS);

	for (uint64_t n = from; n <= to; n++) {
		table_u64(e, n);
		table_i64(e, (int64_t)n * (int64_t)USEC_PER_SEC);
		table_string(e, n % 2 ? "immediate_success" : "immediate_failed");
		table_string(e, n % 3 ? "heart_rate" : "ecg");
		table_bool(e, n % 2);
		table_u64(e, n);
		table_u64(e, 0);
		table_u64(e, 0);
		table_null(e);
		table_string(e, n % 5 ? "main" : "other");
		table_string(e, "");
	}
	assert_false(tables_failed(t));
}

/* In place of the bus: 1 to 4 are there when it is asked, and 3 to 6 have come as signals. */
int client_subscribe(struct client *c, client_event_cb cb, void *userdata)
{
	listener = cb;
	listening = userdata;
	return 0;
}

int client_ask(struct client *c, const char *which, struct tables *ret)
{
	assert_non_null(listener); /* subscribed before it asks: nothing falls between */
	put_events(ret, 1, 4);
	return 0;
}

int client_listen(struct client *c)
{
	for (uint64_t n = 3; n <= 6; n++) {
		_cleanup_(tables_done) struct tables t = {0};

		put_events(&t, n, n);
		assert_int_equal(listener(listening, &t), 0);
	}
	return 1;
}

int print_query(struct ctl *ctl, const char *which, struct buf *page, struct tables *ret)
{
	put_events(ret, 1, 6);
	return EXIT_FINE;
}

int print_failure(struct ctl *ctl, int r)
{
	return EXIT_UNAVAILABLE;
}

int print_end(struct buf *page, int code)
{
	assert_int_equal(text_flush(page), 0);
	buf_done(page);
	return code;
}

void print_json_row(struct json *j, const struct table *t, size_t row)
{
	json_uint(j, table_get_u64(t, row, "number", 0));
}

int command_bad_argument(const char *command, const char *argument)
{
	return EXIT_USAGE;
}

bool command_value(int argc, char **argv, int *i, const char *name, const char **ret)
{
	if (!streq(argv[*i], name))
		return false;
	*ret = argv[++*i];
	return true;
}

/* What `vitalctl events WORDS --json` prints; numbers of events, as print_json_row() above says. */
static const char *run(int code, char *const *words)
{
	int memory = memfd_create("out", MFD_CLOEXEC), before = dup(STDOUT_FILENO), argc = 1;
	struct ctl ctl = {.json = true};
	char *argv[8] = {(char *)"events"};
	ssize_t n;

	for (; words[argc - 1]; argc++)
		argv[argc] = words[argc - 1];
	listener = NULL;
	(void)fflush(stdout); /* cmocka's */
	assert_true(memory >= 0 && before >= 0 && dup2(memory, STDOUT_FILENO) >= 0);
	n = command_events(&ctl, argc, argv) - code;
	assert_true(dup2(before, STDOUT_FILENO) >= 0);
	assert_int_equal(n, 0);
	n = pread(memory, printed, sizeof(printed) - 1, 0);
	assert_true(n >= 0);
	printed[n] = '\0';
	assert_int_equal(close(memory) + close(before), 0);
	return printed;
}

#define RUN(code, ...) run(code, (char *const[]){__VA_ARGS__, NULL})
#define W(word)	       ((char *)(word))

static void followed_once_and_in_order(void **state)
{
	assert_string_equal(RUN(EXIT_UNAVAILABLE, W("--follow"), W("--since"), W("1970-01-01")),
			    "1\n2\n3\n4\n5\n6\n");
	assert_string_equal(RUN(EXIT_UNAVAILABLE, W("--follow")), "5\n6\n"); /* what is to come */
	assert_string_equal(RUN(EXIT_UNAVAILABLE, W("-f"), W("--failed")), "6\n");
}

static void wanted(void **state)
{
	assert_string_equal(RUN(EXIT_FINE, W("--failed")), "[2,4,6]\n");
	assert_string_equal(RUN(EXIT_FINE, W("--kind"), W("ecg")), "[3,6]\n");
	assert_string_equal(RUN(EXIT_FINE, W("--kind"), W("immediate_success")), "[1,3,5]\n");
	assert_string_equal(RUN(EXIT_FINE, W("--sink"), W("other")), "[5]\n");
	assert_string_equal(RUN(EXIT_FINE, W("--since"), W("1970-01-01T00:00:04")), "[4,5,6]\n");
	assert_string_equal(RUN(EXIT_FINE, W("--since"), W("1h")), "[]\n");
	assert_string_equal(RUN(EXIT_FINE, W("--sink"), W("main"), W("--kind"), W("ecg")),
			    "[3,6]\n");
}

static void moments(void **state)
{
	static const struct {
		const char *text;
		int64_t s; /* -1: refused */
	} cases[] = {
		{"90s", 999910},
		{"15min", 999100},
		{"1h", 996400},
		{"2d", 827200},
		{"1970-01-02", 86400},
		{"1970-01-02 00:01", 86460},
		{"1970-01-02T00:01:02", 86462},
		{"1970-01-02T00:01:02Z", 86462},
		{"00:00", 950400},
		{"13:46:40", 1000000},
		{"13:46:41", 913601}, /* yesterday: it is not as late yet */
		{"23:30", 948600},
		{"", -1},
		{"-1h", -1},
		{"1", -1},
		{"1 h", -1},
		{"25:00", -1},
		{"12:60", -1},
		{"1970-13-01", -1},
		{"1970-01-02 ", -1},
		{"noon", -1},
		{"999999999999999999999s", -1},
	};
	int64_t us;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool ok = when_parse(cases[i].text, 1000000 * (int64_t)USEC_PER_SEC, &us);

		if (ok != (cases[i].s >= 0) || (ok && us != cases[i].s * (int64_t)USEC_PER_SEC))
			fail_msg("\"%s\": %d %lld", cases[i].text, ok, (long long)us / 1000000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(followed_once_and_in_order),
		cmocka_unit_test(wanted),
		cmocka_unit_test(moments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
