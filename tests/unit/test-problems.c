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
#include "store/identity.h"

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

	assert_int_equal(register_sink(store, "main", true, false, &sink), 0);
	are_plain(&s, 7);
	s.source_problem = "there is no adapter";
	are_plain(&s, 7);
	config.source = CONFIG_SOURCE_NONE;
	config.n_sinks = 0;
	are_plain(&s, 5);
	s.store = NULL;
	are_plain(&s, 5);
}

static const struct problem_text *find(const struct snapshot *s, const char *what)
{
	static struct problem_list list;

	problems_find(s, &list);
	for (size_t i = 0; i < list.n; i++)
		if (strstr(list.problem[i].what, what))
			return &list.problem[i];
	return NULL;
}

/* Why names were changed, for a week; what still moves; who is at the wrong address; who knows more than we. */
static void names_and_addresses(void **state)
{
	static const enum incarnation_reason reasons[] = {INCARNATION_MACHINE, INCARNATION_BACKUP,
							  INCARNATION_SALVAGED,
							  INCARNATION_CONFLICT, INCARNATION_AHEAD};
	struct place *p = *state;
	_cleanup_(store_closep) struct store *store = open_store(p);
	struct config_sink sink = {.name = (char *)"a-server-with-quite-a-long-name",
				   .url = (char *)"https://x",
				   .required = true};
	struct config config = {.state_dir = p->state,
				.gateway = (char *)"hub-1",
				.sinks = &sink,
				.n_sinks = 1};
	struct sink_state at = {.name = "a-server-with-quite-a-long-name",
				.state = SINK_HELD,
				.elsewhere = true,
				.unknown_streams = 7,
				.reason = "its url was changed, it was https://y:443"};
	struct snapshot s = {.store = store,
			     .config = &config,
			     .sinks = &at,
			     .n_sinks = 1,
			     .running = true,
			     .now = p->now,
			     .wall_us = clock_wall_usec()};
	uint32_t number;

	assert_int_equal(register_sink(store, sink.name, true, false, &number), 0);
	assert_null(find(&s, "new names"));
	assert_non_null(find(&s, "holds 7 streams of \"hub-1\""));
	assert_non_null(strstr(find(&s, "url was changed")->remedy,
			       "vitalctl anchors accept a-server-with-quite-a-long-name"));
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		char problem[200];

		(void)admit(p, store, stream_of_kind(store, KIND_HEART_RATE), 60);
		assert_int_equal(
			store_new_incarnation(
				store, reasons[i],
				"server \"a-server-with-quite-a-long-name\", blood_pressure of "
				"a0:b1:c2:d3:e4:f5",
				p->now),
			0);
		(void)snprintf(problem, sizeof(problem), "%s; it helped nothing",
			       incarnation_words(reasons[i]));
		s.identity_problem = problem;
		are_plain(&s, 4);
		assert_non_null(find(&s, incarnation_words(reasons[i])));
		s.identity_problem = NULL;
		assert_non_null(
			strstr(find(&s, "new names")->consequence, "move to the new names"));
	}
	while (store_move(store, p->now) == 0)
		;
	assert_non_null(strstr(find(&s, "new names")->consequence, "what no server had yet"));
	s.wall_us += 8 * 24 * 3600 * (int64_t)USEC_PER_SEC;
	assert_null(find(&s, "new names"));
}

/* What waits for a sink that is not required goes with its age: nobody may be told that it is safe. */
static void what_is_safe(void **state)
{
	struct place *p = *state;
	_cleanup_(store_closep) struct store *store = open_store(p);
	struct config_sink sink = {.name = (char *)"main",
				   .url = (char *)"https://x",
				   .token_file = (char *)"/nonexistent"};
	struct config config = {.sinks = &sink, .n_sinks = 1};
	struct snapshot s = {.store = store, .config = &config};
	uint32_t number;

	for (unsigned n = 0; n < 3; n++) {
		static const char *const waits[] = {"new records wait here", "1 record waits here",
						    "2 records wait here"};

		assert_int_equal(register_sink(store, "main", false, false, &number), 0);
		sink.required = false;
		assert_non_null(strstr(find(&s, "token file")->consequence, waits[n]));
		assert_non_null(strstr(find(&s, "token file")->consequence, "`retention`"));
		are_plain(&s, 1);
		sink.required = true;
		assert_non_null(strstr(find(&s, "token file")->consequence, "nothing is lost"));
		(void)admit(p, store, stream_of_kind(store, KIND_HEART_RATE), 60);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {store_test(every_problem_is_plain),
					   store_test(names_and_addresses),
					   store_test(what_is_safe)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
