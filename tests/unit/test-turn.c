/*
 * What goes to a sink next, and when: what is new at once and beside a backlog, nothing by itself
 * that the owner switched off, first the greeting and what it tells, and a drain that ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "upload_world.h"

/* What is new */

static void new_records_go_out_at_once(void **state)
{
	struct world *w = *state;

	start_greeted(w);
	settle(w, 3);
	assert_int_equal(w->n_gets, 1);
	assert_int_equal(w->n_batches, 1); /* they lingered together */
	assert_int_equal(sink(w).immediate_first_try, 1);
	assert_int_equal(w->events[SYNC_IMMEDIATE_SUCCESS], 3);
	assert_nothing_lost(w);
}

static void an_outage_makes_few_rows(void **state)
{
	struct world *w = *state;

	start_greeted(w);
	w->always = 503;
	admit(w, 1);
	run_until(w, is_down);
	for (int i = 0; i < 500; i++) {
		admit(w, 1);
		assert_true(sd_event_run(w->event, 100) >= 0);
	}
	w->always = 0;
	run_until(w, all_settled);
	assert_in_range(sink(w).background_success, 1, 8);
	assert_nothing_lost(w);
}

static void a_row_that_waits_does_not_hold_up_what_is_new(void **state)
{
	struct world *w = *state;

	w->sink.max_body = 4096;
	admit(w, 3000); /* before the uploader: a backlog */
	start_greeted(w);
	admit(w, 1);
	while (w->held[0][w->admitted] == 0)
		assert_true(sd_event_run(w->event, PATIENCE) >= 0);
	assert_false(all_settled(w)); /* the newest arrived before the backlog was through */
	run_until(w, all_settled);
	assert_int_equal(sink(w).immediate_success, 1);
	assert_true(sink(w).drain_rate > 0);
	assert_nothing_lost(w);
}

/* What was under way is answered and counts; of what is new and of the backlog nothing more goes. */
static void who_is_closing_sends_no_more(void **state)
{
	struct world *w = *state;
	unsigned sent;

	w->sink.max_body = 4096;
	admit(w, 3000);
	start_greeted(w);
	while (!uploader_is_sending(w->uploader))
		assert_true(sd_event_run(w->event, PATIENCE) >= 0);
	uploader_close(w->uploader);
	admit(w, 1);
	uploader_wake(w->uploader, true);
	while (uploader_is_sending(w->uploader))
		assert_true(sd_event_run(w->event, PATIENCE) >= 0);
	sent = w->n_batches;
	while (sd_event_run(w->event, 0) > 0)
		;
	assert_int_equal(w->n_batches, sent);
	assert_in_range(sent, 1, 2); /* lanes */
	assert_int_equal(w->held[0][w->admitted], 0);
	assert_false(all_settled(w));
	assert_int_equal(sink(w).immediate_success + sink(w).background_success, sent);
}

static uint32_t other_stream;

static bool other_is_confirmed(struct world *w)
{
	struct cursor_status c;

	store_cursor_status(w->store, 1, other_stream, &c);
	return c.confirmed == 10;
}

/* A server chokes on one record of the oldest row, and nothing new is heard that could show it. */
static void a_row_that_gets_5xx_starves_no_other(void **state)
{
	struct world *w = *state;
	uint32_t first = w->stream;

	w->bad_status = 500;
	admit(w, 200);
	assert_int_equal(register_stream(w->store, "a0:b1:c2:d3:e4:f6", KIND_HEART_RATE, "u-1",
					 &other_stream),
			 0);
	w->bad[0] = 20; /* the other one does not reach so far */
	w->stream = other_stream;
	admit(w, 10);
	w->stream = first;
	start(w, UPLOADER_DAEMON);
	run_until(w, other_is_confirmed);
	assert_int_equal(cursor(w).quarantined, 0);
	assert_int_equal(cursor(w).confirmed + cursor(w).waiting, 200);
}

/* Features */

/* Turns the loop for as long as a neighbour of ours takes to be greeted five times. */
static void let_others_work(struct world *w)
{
	struct uploader_handler none = {0};
	struct config_sink sink = w->sink;
	struct config config = w->config;
	struct clock_state clock = clock_read(CLOCK_TRUST_YES);
	char state[120], run[120];

	(void)snprintf(state, sizeof(state), "%s/other", w->dir);
	(void)snprintf(run, sizeof(run), "%s/other-run", w->dir);
	(void)mkdir(state, 0700); /* may be there from the last time */
	(void)mkdir(run, 0700);
	sink.name = (char *)"other";
	config.sinks = &sink;
	for (unsigned i = 0; i < 5; i++) {
		struct store_options o = {.state_dir = state,
					  .runtime_dir = run,
					  .role = "test",
					  .tail_size = 1024 * 1024};
		struct store_opening opening;
		struct uploader *other;
		struct store *store;
		unsigned before = w->n_gets;

		assert_int_equal(store_open(&o, clock_boot_usec(), &clock, &opening, &store), 0);
		assert_int_equal(uploader_new(w->event, store, &config, UPLOADER_DAEMON, &none,
					      &other),
				 0);
		while (w->n_gets == before)
			assert_true(sd_event_run(w->event, PATIENCE) > 0);
		uploader_free(other);
		store_close(store);
	}
}

static void without_immediate_new_records_wait_for_the_background(void **state)
{
	struct world *w = *state;

	w->config.immediate = false;
	start_greeted(w);
	admit(w, 300); /* more than linger would wait for */
	let_others_work(w);
	assert_int_equal(w->n_batches, 0);
	assert_int_equal(cursor(w).waiting, 300);
	assert_true(store_commit_due(w->store) <= clock_boot_usec() + USEC_PER_SEC);
	uploader_wake(w->uploader, false);
	run_until(w, all_settled);
	admit(w, 5);
	let_others_work(w);
	assert_int_equal(cursor(w).waiting, 5);
	uploader_return(w->uploader);
	run_until(w, all_settled);
	assert_nothing_lost(w);
	assert_int_equal(w->events[SYNC_IMMEDIATE_SUCCESS], 0);
}

/* What is tried and fails is a row, and rows have their backoff. */
static void without_immediate_the_queue_goes_on(void **state)
{
	struct world *w = *state;

	w->config.immediate = false;
	start_greeted(w);
	admit(w, 5);
	w->always = 503;
	uploader_wake(w->uploader, false);
	run_until(w, is_down);
	w->always = 0;
	run_until(w, all_settled);
	assert_nothing_lost(w);
}

static void without_the_queue_what_failed_waits_for_the_background(void **state)
{
	struct world *w = *state;
	unsigned n;

	w->config.queue = false;
	w->config.backoff_min = w->config.backoff_max = 1; /* over before the loop turns */
	start_greeted(w);
	w->always = 503;
	admit(w, 5);
	run_until(w, is_down);
	w->always = 0;
	n = w->n_batches;
	let_others_work(w); /* many times its backoff */
	assert_int_equal(w->n_batches, n);
	admit(w, 3); /* these are new: they go, and find the server well */
	run_until(w, is_up);
	let_others_work(w);
	assert_int_equal(cursor(w).waiting, 5);
	uploader_wake(w->uploader, false);
	run_until(w, all_settled);
	assert_nothing_lost(w);
}

static void without_both_one_wake_is_one_try(void **state)
{
	struct world *w = *state;
	unsigned n;

	w->config.immediate = w->config.queue = false;
	w->config.backoff_min = w->config.backoff_max = 1; /* over before the loop turns */
	start_greeted(w);
	w->always = 503;
	admit(w, 5);
	let_others_work(w);
	assert_int_equal(w->n_batches, 0);
	uploader_wake(w->uploader, false);
	run_until(w, is_down);
	n = w->n_batches;
	let_others_work(w);
	assert_int_equal(w->n_batches, n);
	w->always = 0;
	admit(w, 5);
	uploader_wake(w->uploader, false); /* the sink is down, and what is new has no row yet */
	run_until(w, all_settled);
	assert_nothing_lost(w);
}

/* Held before anything became a row: there is nothing to try it with but what has to become one. */
static void without_immediate_a_hold_without_rows_ends(void **state)
{
	struct world *w = *state;

	w->config.immediate = false;
	w->config.probe_interval = 3600 * USEC_PER_SEC;
	w->config.backoff_min = 50 * MS;
	w->config.backoff_max = 200 * MS; /* when the network's return is acted on, by lot */
	w->token = "there";
	write_token(w, "there");
	start_greeted(w);
	admit(w, 5);
	assert_int_equal(unlink(w->token_file), 0);
	uploader_wake(w->uploader, false);
	run_until(w, is_held);
	assert_int_equal(w->n_batches, 0);
	write_token(w, "there");
	uploader_return(w->uploader);
	run_until(w, all_settled);
	assert_nothing_lost(w);
}

/* The network comes back in the middle of a long pause: that is what the background waits for. */
static void without_both_a_return_is_one_try_soon(void **state)
{
	struct world *w = *state;

	w->config.immediate = w->config.queue = false;
	w->config.probe_interval = 3600 * USEC_PER_SEC;
	start_greeted(w);
	STATUSES(w, 403);
	admit(w, 5);
	uploader_wake(w->uploader, false);
	run_until(w, is_held);
	uploader_return(w->uploader);
	run_until(w, all_settled);
	assert_nothing_lost(w);
}

/* Greeting */

static void a_server_ahead_of_us_holds_the_sink(void **state)
{
	struct world *w = *state;

	start_greeted(w);
	settle(w, 1);
	w->uploader = uploader_free(w->uploader);
	w->ahead = 5;
	start(w, UPLOADER_DAEMON);
	admit(w, 1);
	run_until(w, is_held);
	assert_non_null(strstr(sink(w).reason, "copied or set back"));
	assert_int_equal(w->n_batches, 1);
	w->ahead = 0;
	run_until(w, all_settled);
	assert_nothing_lost(w);
}

/* Of all wearables, people and names that there ever were: more than any other answer may be long. */
static void a_server_that_remembers_years(void **state)
{
	struct world *w = *state;

	w->n_strangers = 30000;
	start_greeted(w);
	settle(w, 3);
	assert_true(is_up(w));
	assert_int_equal(sink(w).unknown_streams, 30000);
	w->uploader = uploader_free(w->uploader);
	start_greeted(w);
	settle(w, 3);
	assert_int_equal(w->n_gets, 2);
	assert_nothing_lost(w);
}

/* The server is emptied: what it had confirmed is sent again, but not what it refused. */
static void a_server_that_was_set_back_gets_it_again(void **state)
{
	struct world *w = *state;

	w->bad[0] = 7;
	w->bad_status = 200;
	start_greeted(w);
	settle(w, 20);
	w->uploader = uploader_free(w->uploader);
	memset(w->streams, 0, sizeof(w->streams));
	memset(w->last_seq, 0, sizeof(w->last_seq));
	memset(w->held, 0, sizeof(w->held));
	start(w, UPLOADER_DAEMON);
	admit(w, 1);
	assert_false(all_settled(w));
	run_until(w, all_settled);
	assert_int_equal(cursor(w).quarantined, 1);
	assert_nothing_lost(w);
}

static void a_server_without_the_greeting_is_fine(void **state)
{
	struct world *w = *state;

	w->streams_status = 404;
	start(w, UPLOADER_DAEMON);
	settle(w, 1);
	assert_true(is_up(w));
	assert_int_equal(w->n_gets, 1);
}

static void a_greeting_that_fails_is_repeated(void **state)
{
	struct world *w = *state;

	w->streams_status = 503;
	start(w, UPLOADER_DAEMON);
	admit(w, 1);
	run_until(w, is_down);
	assert_int_equal(w->n_gets, 3);
	assert_int_equal(w->n_batches, 0);
	w->streams_status = 0;
	run_until(w, all_settled);
	run_until(w, is_up);
	assert_nothing_lost(w);
}

static bool is_greeted_in_trial(struct world *w)
{
	return w->n_gets > 3;
}

/* What the greeting would have told is of other names: it is asked anew, down or not. */
static void new_names_while_a_trial_greets(void **state)
{
	struct world *w = *state;

	w->streams_status = 503;
	start(w, UPLOADER_DAEMON);
	admit(w, 1);
	run_until(w, is_greeted_in_trial); /* the server has it, its answer is on its way */
	assert_true(is_down(w));
	uploader_renamed(w->uploader);
	w->streams_status = 0;
	run_until(w, all_settled);
	assert_true(is_up(w));
	assert_nothing_lost(w);
}

/* Drain */

static void a_drain_ends_when_nothing_is_left(void **state)
{
	struct world *w = *state;

	w->sink.max_body = 16384;
	admit(w, 2000);
	start(w, UPLOADER_DRAIN);
	run_until(w, is_drained);
	assert_string_equal(w->problem, "");
	assert_true(all_settled(w));
	assert_nothing_lost(w);
}

static void a_drain_with_nothing_to_do_asks_nobody(void **state)
{
	struct world *w = *state;

	start(w, UPLOADER_DRAIN);
	run_until(w, is_drained);
	assert_string_equal(w->problem, "");
	assert_int_equal(w->server->n_requests, 0);
}

static void a_drain_gives_up_where_nobody_answers(void **state)
{
	struct world *w = *state;

	server_down(w->server);
	admit(w, 20);
	start(w, UPLOADER_DRAIN);
	run_until(w, is_drained);
	assert_non_null(strstr(w->problem, "sink main: no answer"));
	assert_false(all_settled(w));
}

static void a_drain_does_not_wait_for_a_clock(void **state)
{
	const struct clock_state unsynced = {.offset_us = 5000};
	struct world *w = *state;
	struct store_opening opening;
	struct store_options o = {.state_dir = w->state,
				  .runtime_dir = w->run,
				  .role = "drain",
				  .tail_size = 1024 * 1024,
				  .durability_window = USEC_PER_SEC,
				  .lazy_commit = 300 * USEC_PER_SEC};

	admit(w, 3);
	w->store = store_close(w->store);
	assert_int_equal(store_open(&o, clock_boot_usec(), &unsynced, &opening, &w->store), 0);
	admit(w, 5); /* of a boot that has no time yet */
	start(w, UPLOADER_DRAIN);
	run_until(w, is_drained);
	assert_int_equal(cursor(w).confirmed, 3);
	assert_non_null(strstr(w->problem, "clock"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(new_records_go_out_at_once),
		TEST(an_outage_makes_few_rows),
		TEST(a_row_that_waits_does_not_hold_up_what_is_new),
		TEST(who_is_closing_sends_no_more),
		TEST(a_row_that_gets_5xx_starves_no_other),
		TEST(without_immediate_new_records_wait_for_the_background),
		TEST(without_immediate_the_queue_goes_on),
		TEST(without_the_queue_what_failed_waits_for_the_background),
		TEST(without_both_one_wake_is_one_try),
		TEST(without_immediate_a_hold_without_rows_ends),
		TEST(without_both_a_return_is_one_try_soon),
		TEST(a_server_ahead_of_us_holds_the_sink),
		TEST(a_server_that_remembers_years),
		TEST(a_server_that_was_set_back_gets_it_again),
		TEST(a_server_without_the_greeting_is_fine),
		TEST(a_greeting_that_fails_is_repeated),
		TEST(new_names_while_a_trial_greets),
		TEST(a_drain_ends_when_nothing_is_left),
		TEST(a_drain_with_nothing_to_do_asks_nobody),
		TEST(a_drain_gives_up_where_nobody_answers),
		TEST(a_drain_does_not_wait_for_a_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
