/*
 * control/problems: each that a snapshot can show has a cause, a consequence and something to do, none of them is
 * cut, and none of them speaks of what only a programmer knows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control/problems.h"

#include "place.h"

#include <ctype.h>

/* Words that mean nothing to who is woken by them. */
static const char *const jargon[] = {"tail",   "commit",  "cursor", "frame", "decode",
				     "outbox", "stream_", "errno",  "NULL",  "sqlite"};

static bool has_word(const char *text, const char *word)
{
	const char *p = strstr(text, word);

	return p && (p == text || !isalpha((unsigned char)p[-1]));
}

static void is_plain(const char *text, const char *which, const char *what)
{
	if (!text[0])
		fail_msg("\"%s\" has no %s", what, which);
	if (strlen(text) >= 199)
		fail_msg("\"%s\": its %s is cut", what, which);
	for (size_t i = 0; i < ARRAY_SIZE(jargon); i++)
		if (has_word(text, jargon[i]))
			fail_msg("\"%s\": its %s says \"%s\"", what, which, jargon[i]);
}

static void are_plain(const struct snapshot *s, size_t at_least)
{
	struct problem_list list;

	problems_find(s, &list);
	assert_true(list.n >= at_least);
	for (size_t i = 0; i < list.n; i++) {
		const struct problem_text *p = &list.problem[i];

		is_plain(p->what, "cause", p->what);
		is_plain(p->consequence, "consequence", p->what);
		is_plain(p->remedy, "remedy", p->what);
		if (i > 0)
			assert_true(list.problem[i - 1].severity >= p->severity);
	}
}

static void every_problem_is_plain(void **state)
{
	struct place *p = *state;
	_cleanup_(store_closep) struct store *store = open_store(p);
	struct config_sink sinks[] = {{.name = (char *)"main",
				       .url = (char *)"https://x",
				       .required = true},
				      {.name = (char *)"other",
				       .url = (char *)"https://y",
				       .token_file = (char *)"/nonexistent"}};
	struct config_device wish = {.address = "a0:b1:c2:d3:e4:f5",
				     .name = (char *)"Anna",
				     .kinds = CONFIG_KINDS_DEFAULT};
	struct config config = {.state_dir = p->state,
				.source = CONFIG_SOURCE_BLUEZ,
				.max_size = 1,
				.sinks = sinks,
				.n_sinks = 2,
				.devices = &wish,
				.n_devices = 1};
	struct sink_state states[] = {{.name = "main", .state = SINK_DOWN, .reason = "no answer"},
				      {.name = "other", .state = SINK_HELD, .reason = "403"}};
	struct device_status device = {.address = "a0:b1:c2:d3:e4:f6",
				       .name = "Ben",
				       .undecodable = 3,
				       .battery = 5};
	struct snapshot s = {.store = store,
			     .config = &config,
			     .sinks = states,
			     .n_sinks = 2,
			     .devices = &device,
			     .n_devices = 1,
			     .bus_problem = "the bus went away",
			     .running = true,
			     .now = p->now,
			     .wall_us = synced.offset_us};
	uint32_t sink;

	assert_int_equal(store_sink(store, "main", true, false, &sink), 0);
	are_plain(&s, 7);
	s.source_problem = "there is no adapter";
	are_plain(&s, 7);
	config.source = CONFIG_SOURCE_NONE;
	config.n_sinks = 0;
	are_plain(&s, 5);
	s.store = NULL;
	are_plain(&s, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {store_test(every_problem_is_plain)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
