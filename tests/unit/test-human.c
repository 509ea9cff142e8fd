/* util/human: durations, ages, sizes and counts, each on both sides of where its words change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/human.h"

#define MINUTE (60 * USEC_PER_SEC)
#define HOUR   (60 * MINUTE)

static void durations(void **state)
{
	static const struct {
		usec_t us;
		const char *text;
	} said[] = {
		{0, "0 ms"},
		{999 * USEC_PER_MSEC, "999 ms"},
		{USEC_PER_SEC, "1 s"},
		{119 * USEC_PER_SEC, "119 s"},
		{2 * MINUTE, "2 min"},
		{HOUR - 1, "59 min"},
		{HOUR, "1 h 0 min"},
		{24 * HOUR - 1, "23 h 59 min"},
		{52 * HOUR, "2 d 4 h"},
		{UINT64_MAX, "213503982 d 8 h"},
	};
	char text[HUMAN_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(said); i++) {
		assert_string_equal(human_duration(said[i].us, text), said[i].text);
		assert_string_equal(human_age(said[i].us, text),
				    said[i].us < USEC_PER_SEC ? "a moment" : said[i].text);
	}
}

static void steps(void **state)
{
	static const struct {
		int64_t us;
		const char *text;
	} said[] = {
		{(int64_t)HOUR - 2000, "forward by 1 h 0 min"},
		{-(int64_t)HOUR + 499999, "back by 1 h 0 min"},
		{-(int64_t)HOUR + 500001, "back by 59 min"},
		{3499999, "forward by 3 s"},
		{-250999, "back by 250 ms"},
		{INT64_MIN, "back by 106751991 d 4 h"},
	};
	char text[HUMAN_STEP_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(said); i++)
		assert_string_equal(human_step(said[i].us, text), said[i].text);
}

static void sizes(void **state)
{
	char text[HUMAN_SIZE];

	assert_string_equal(human_size(0, text), "0 B");
	assert_string_equal(human_size(1023, text), "1023 B");
	assert_string_equal(human_size(1024, text), "1.0 KiB");
	assert_string_equal(human_size((1 << 20) - 1, text), "1.0 MiB");
	assert_string_equal(human_size(UINT64_MAX, text), "16777216.0 TiB");
}

static void counts(void **state)
{
	char text[HUMAN_SIZE + 8];

	assert_string_equal(human_records(0, text), "0 records");
	assert_string_equal(human_records(1, text), "1 record");
	assert_string_equal(human_records(UINT64_MAX, text), "18446744073709551615 records");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations),
		cmocka_unit_test(steps),
		cmocka_unit_test(sizes),
		cmocka_unit_test(counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
