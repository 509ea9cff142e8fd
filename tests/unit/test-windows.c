/*
 * sink/windows: what a server may say of its windows, and everything that it may not: half answers,
 * windows that overlap, come out of order, hold more than they can, more of them than were asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sink/sink.h"

#include <stdio.h>

#define SHA	   "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define W(f, l, n) "{\"first\":" #f ",\"last\":" #l ",\"count\":" #n ",\"sha256\":\"" SHA "\"}"

static struct window *windows;
static size_t n_windows;
static const char *why;

/* Ten windows of 100 numbers, from 1000 on. */
static const struct windows_query asked = {1000, 1999, 100};

static int parse(const struct windows_query *q, const char *body)
{
	struct answer a = {.status = 200,
			   .contract = "1",
			   .body = (const uint8_t *)body,
			   .size = strlen(body)};

	free(windows);
	windows = NULL;
	n_windows = 0;
	why = NULL;
	return windows_parse(&a, q, &windows, &n_windows, &why);
}

static void refused(const char *body, const char *because)
{
	if (parse(&asked, body) != SINK_E_NOT_UNDERSTOOD)
		fail_msg("taken: %s", body);
	assert_null(windows);
	assert_non_null(why);
	if (!strstr(why, because))
		fail_msg("\"%s\" was refused because: %s", body, why);
}

static void what_a_server_says(void **state)
{
	assert_int_equal(parse(&asked, "[" W(1000, 1099, 100) "," W(1107, 1107, 1) "," W(1900, 1999,
											 3) "]"),
			 0);
	assert_int_equal(n_windows, 3);
	assert_int_equal(windows[0].first, 1000);
	assert_int_equal(windows[0].last, 1099);
	assert_int_equal(windows[0].count, 100);
	assert_int_equal(windows[0].sha256[0], 0x00);
	assert_int_equal(windows[0].sha256[1], 0x11);
	assert_int_equal(windows[0].sha256[31], 0xff);
	assert_int_equal(windows[2].first, 1900);
	assert_int_equal(parse(&asked, "[]"), 0);
	assert_int_equal(n_windows, 0);
	assert_int_equal(parse(&asked, "{\"windows\":[" W(1000, 1000, 1) "],\"more\":1}"), 0);
	assert_int_equal(n_windows, 1);
	/* One that holds nothing may be there, with whatever beside it. */
	assert_int_equal(parse(&asked, "[{\"first\":0,\"last\":0,\"count\":0,\"sha256\":null},"
				       "{\"count\":0}," W(1100, 1100, 1) ",{\"count\":0}]"),
			 0);
	assert_int_equal(n_windows, 1);
	assert_int_equal(windows[0].first, 1100);
}

static void half_an_answer(void **state)
{
	refused("", "no list");
	refused("[", "no list");
	refused("[" W(1000, 1099, 100), "no list");
	refused("[" W(1000, 1099, 100) ",", "no list");
	refused("<html>please accept our terms</html>", "no list");
	refused("{}", "no list");
	refused("{\"streams\":[]}", "no list");
	refused("null", "no list");
	refused("[null]", "count");
	refused("[[]]", "count");
	refused("[{}]", "count");
	refused("[{\"count\":1}]", "first or last");
	refused("[{\"first\":1000,\"count\":1,\"sha256\":\"" SHA "\"}]", "first or last");
	refused("[{\"first\":1000,\"last\":1000,\"count\":1}]", "SHA-256");
	refused("[" W(1000, 1000, 1) W(1100, 1100, 1) "]", "no list");
}

static void a_digest_of_another_length(void **state)
{
	static const char *const wrong[] = {
		"",
		"00",
		"00112233445566778899aabbccddeeff00112233445566778899aabbccddee",
		"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0",
		"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00",
		"g0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
		"0:112233445566778899aabbccddeeff00112233445566778899aabbccddeef ",
	};
	char body[300];

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		(void)snprintf(body, sizeof(body),
			       "[{\"first\":1000,\"last\":1000,\"count\":1,\"sha256\":\"%s\"}]",
			       wrong[i]);
		refused(body, "SHA-256");
	}
	refused("[{\"first\":1000,\"last\":1000,\"count\":1,\"sha256\":7}]", "SHA-256");
}

static void wrong_windows(void **state)
{
	refused("[" W(999, 1050, 3) "]", "outside");
	refused("[" W(1950, 2000, 3) "]", "outside");
	refused("[" W(0, 0, 1) "]", "outside");
	refused("[" W(1050, 1049, 1) "]", "outside");
	refused("[" W(1000, 1100, 2) "]", "wider");
	refused("[" W(1000, 1999, 1000) "]", "wider");
	refused("[" W(1000, 1099, 101) "]", "more records");
	refused("[" W(1000, 1000, 2) "]", "more records");
	refused("[" W(1000, 1099, 9223372036854775807) "]", "more records");
	refused("[" W(1000, 1099, 9223372036854775808) "]", "no list"); /* not a number of JSON */
	refused("[" W(1000, 1099, -1) "]", "count");
	refused("[" W(1000, 1099, 1.0) "]", "count");
	refused("[" W(-1, 1099, 1) "]", "first or last");
	refused("[" W(1000, 99999999999999999999, 1) "]", "no list");
}

static void windows_out_of_order(void **state)
{
	refused("[" W(1100, 1199, 100) "," W(1000, 1099, 100) "]", "ascend");
	refused("[" W(1000, 1099, 100) "," W(1000, 1099, 100) "]", "ascend");
	refused("[" W(1000, 1050, 10) "," W(1050, 1099, 10) "]", "ascend");
	/* Two of them for one that was asked for. */
	refused("[" W(1000, 1049, 50) "," W(1050, 1099, 50) "]", "ascend");
}

/* So many of them as fit between the two ends, and not one more. */
static void more_than_asked(void **state)
{
	static const struct windows_query few = {5, 7, 1};

	assert_int_equal(parse(&few, "[" W(5, 5, 1) "," W(6, 6, 1) "," W(7, 7, 1) "]"), 0);
	assert_int_equal(n_windows, 3);
	assert_int_equal(parse(&few,
			       "[" W(5, 5, 1) "," W(6, 6, 1) "," W(7, 7, 1) "," W(8, 8, 1) "]"),
			 SINK_E_NOT_UNDERSTOOD);
	assert_int_equal(parse(&few,
			       "[" W(5, 5, 1) "," W(6, 6, 1) "," W(7, 7, 1) "," W(7, 7, 1) "]"),
			 SINK_E_NOT_UNDERSTOOD);
}

static void not_such_an_answer(void **state)
{
	static const char body[] = "[]";
	struct answer a = {.status = 200, .body = (const uint8_t *)body, .size = 2};

	assert_int_equal(windows_parse(&a, &asked, &windows, &n_windows, &why), 0);
	free(windows);
	windows = NULL;
	a.contract = "2";
	assert_int_equal(windows_parse(&a, &asked, &windows, &n_windows, &why),
			 SINK_E_NOT_UNDERSTOOD);
	a.contract = "1";
	a.status = 206;
	assert_int_equal(windows_parse(&a, &asked, &windows, &n_windows, &why),
			 SINK_E_NOT_UNDERSTOOD);
	a.status = 0;
	a.transport = TRANSPORT_NETWORK;
	assert_int_equal(windows_parse(&a, &asked, &windows, &n_windows, &why),
			 SINK_E_NOT_UNDERSTOOD);
	assert_null(windows);
}

/* The widest there are: a whole run. Nothing of it may wrap around. */
static void at_the_ends_of_the_numbers(void **state)
{
	static const struct windows_query widest = {1, INT64_MAX, 1ULL << 28};

	assert_int_equal(parse(&widest,
			       "[" W(1, 268435456, 268435456) "," W(9223372036854775807,
								    9223372036854775807, 1) "]"),
			 0);
	assert_int_equal(n_windows, 2);
	assert_int_equal(parse(&widest, "[" W(1, 9223372036854775807, 2) "]"),
			 SINK_E_NOT_UNDERSTOOD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_server_says),
		cmocka_unit_test(half_an_answer),
		cmocka_unit_test(a_digest_of_another_length),
		cmocka_unit_test(wrong_windows),
		cmocka_unit_test(windows_out_of_order),
		cmocka_unit_test(more_than_asked),
		cmocka_unit_test(not_such_an_answer),
		cmocka_unit_test(at_the_ends_of_the_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
