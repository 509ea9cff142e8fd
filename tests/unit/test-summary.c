/* daemon/summary: a line for each sink and kind, of what happened since the last, and never more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hearing.h"
#include "summary.h"

#include "util/log.h"

#include <stdio.h>

/* What the summary says, without the journal. */
static const char *say(struct summary *s)
{
	struct hearing h = hearing_begin();

	log_init(LOG_TARGET_STDERR, LOG_INFO);
	summary_say(s);
	return hearing_end(&h);
}

static void count(struct summary *s, enum sync_event_type type, enum kind kind, uint32_t n,
		  uint32_t latency_ms)
{
	const struct sync_event e = {
		.type = type, .kind = kind, .count = n, .latency_ms = latency_ms, .sink = "main"};

	summary_count(s, &e);
}

static size_t lines_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void each_sink_and_kind(void **state)
{
	static struct summary s;

	assert_string_equal(say(&s), "");
	count(&s, SYNC_IMMEDIATE_SUCCESS, KIND_HEART_RATE, 10, 100);
	count(&s, SYNC_IMMEDIATE_SUCCESS, KIND_HEART_RATE, 30, 500);
	count(&s, SYNC_IMMEDIATE_FAILED, KIND_HEART_RATE, 5, 0);
	count(&s, SYNC_QUEUED, KIND_HEART_RATE, 5, 0);
	count(&s, SYNC_BACKGROUND_FAILED, KIND_HEART_RATE, 5, 0);
	count(&s, SYNC_BACKGROUND_SUCCESS, KIND_HEART_RATE, 4, 0);
	count(&s, SYNC_QUARANTINED, KIND_HEART_RATE, 1, 0);
	count(&s, SYNC_RECONCILE, KIND_ECG, 7, 0);
	assert_string_equal(
		say(&s),
		"vitald: info: main, heart_rate: 44 records confirmed; at once 2 of 3 batches (66 "
		"%), 0.4 s "
		"after they were heard; 5 records queued; 4 from the queue in 1 of 2 batches; 1 "
		"refused\n"
		"vitald: info: main, ecg: 0 records confirmed; 7 were missing at the server\n");
	assert_string_equal(say(&s), ""); /* said once */
	count(&s, SYNC_IMMEDIATE_FAILED, KIND_ECG, 3, 0);
	assert_string_equal(say(&s), "vitald: info: main, ecg: 0 records confirmed; at once 0 of 1 "
				     "batches (0 %)\n");
}

/* Anything but success at the first attempt is worth a line now. */
static void calm(void **state)
{
	static const enum sync_event_type worth[] = {
		SYNC_IMMEDIATE_FAILED,	SYNC_QUEUED,	  SYNC_BACKGROUND_SUCCESS,
		SYNC_BACKGROUND_FAILED, SYNC_QUARANTINED, SYNC_RECONCILE};
	static struct summary s;

	assert_true(summary_is_calm(&s));
	for (size_t i = 0; i < ARRAY_SIZE(worth); i++) {
		count(&s, SYNC_IMMEDIATE_SUCCESS, KIND_HEART_RATE, 10, 100);
		count(&s, SYNC_IMMEDIATE_SUCCESS, KIND_ECG, 10, 100);
		assert_true(summary_is_calm(&s));
		count(&s, worth[i], KIND_ECG, 1, 0);
		assert_false(summary_is_calm(&s));
		(void)say(&s);
		assert_true(summary_is_calm(&s));
	}
}

static void bounded(void **state)
{
	static struct summary s;

	for (unsigned i = 0; i < 10000; i++) {
		struct sync_event e = {.type = SYNC_IMMEDIATE_SUCCESS,
				       .kind = (uint8_t)(i % KIND_MAX),
				       .count = UINT32_MAX,
				       .latency_ms = UINT32_MAX};

		(void)snprintf(e.sink, sizeof(e.sink), "sink%u", i);
		summary_count(&s, &e);
	}
	assert_int_equal(lines_of(say(&s)), SUMMARY_LINES);
	assert_int_equal(lines_of(say(&s)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_sink_and_kind),
		cmocka_unit_test(calm),
		cmocka_unit_test(bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
