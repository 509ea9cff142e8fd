/*
 * The uploader with a real store and a scripted server: each row of the contract's table of answers
 * and what it does to records and sink, the attempts of layer 1, breaker, holds and probes,
 * bisecting, and that after each of them nothing is lost and the ledger balances.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "upload_world.h"

/* Layer 1 */

static void attempts_follow_the_delays_with_the_same_bytes(void **state)
{
	struct world *w = *state;

	start_greeted(w);
	STATUSES(w, 500, 503);
	settle(w, 2);
	assert_int_equal(w->n_batches, 3);
	assert_in_range(w->at[1] - w->at[0], 9 * MS, 500 * MS);
	assert_in_range(w->at[2] - w->at[1], 29 * MS, 500 * MS);
	assert_string_equal(w->keys[0], w->keys[2]);
	assert_true(is_up(w));
	assert_int_equal(sink(w).immediate_success, 1);
	assert_int_equal(sink(w).immediate_first_try, 0);
	assert_nothing_lost(w);
}

static void no_answer_is_transient_and_the_breaker_opens(void **state)
{
	struct world *w = *state;

	start_greeted(w);
	settle(w, 1);
	server_down(w->server);
	admit(w, 5);
	run_until(w, is_down);
	assert_int_equal(w->events[SYNC_IMMEDIATE_FAILED], 5);
	assert_int_equal(w->events[SYNC_QUEUED], 5);
	admit(w, 50); /* nothing of it is cut */
	server_up(w->server);
	run_until(w, all_settled);
	run_until(w, is_up);
	admit(w, 1); /* and the immediate path works again */
	run_until(w, all_settled);
	assert_int_equal(sink(w).immediate_success, 2);
	assert_nothing_lost(w);
}

/* Transient */

static void retry_after_is_respected(void **state)
{
	struct world *w = *state;

	start_greeted(w);
	STATUSES(w, 429);
	w->headers = "Retry-After: 1\r\n";
	admit(w, 1);
	run_until(w, is_down);
	settle(w, 1);
	assert_in_range(w->at[1] - w->at[0], 950 * MS, 5 * USEC_PER_SEC);
	assert_nothing_lost(w);
}

static void what_is_not_a_receipt_confirms_nothing(void **state)
{
	static const int odd[] = {202, 204, 302, 407, 511, 408, 425, 502};
	struct world *w = *state;

	start_greeted(w);
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		statuses(w, 1, &odd[i]);
		settle(w, 1);
	}
	assert_int_equal(w->n_batches, 2 * ARRAY_SIZE(odd));
	assert_nothing_lost(w);
}

static void busy_waits_and_sends_the_same(void **state)
{
	struct world *w = *state;

	start_greeted(w);
	STATUSES(w, 409);
	settle(w, 1);
	assert_int_equal(w->n_batches, 2);
	assert_string_equal(w->keys[0], w->keys[1]);
	assert_true(w->at[1] - w->at[0] >= 4 * MS);
	assert_true(is_up(w));
}

/* Account */

static void an_account_failure_holds_and_is_probed(void **state)
{
	static const int refusals[] = {403, 404, 405, 410};
	struct world *w = *state;

	start_greeted(w);
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		statuses(w, 1, &refusals[i]);
		admit(w, 2);
		run_until(w, is_held);
		admit(w, 2);
		run_until(w, all_settled); /* by the probe */
		run_until(w, is_up);
	}
	assert_nothing_lost(w);
}

static void waking_ends_a_hold_at_once(void **state)
{
	struct world *w = *state;

	w->config.probe_interval = 3600 * USEC_PER_SEC;
	start_greeted(w);
	STATUSES(w, 403);
	admit(w, 2);
	run_until(w, is_held);
	assert_non_null(strstr(sink(w).reason, "403"));
	uploader_wake(w->uploader, true);
	run_until(w, all_settled);
	assert_true(is_up(w));
	assert_nothing_lost(w);
}

/* The network is back, and the hold ends; when exactly is drawn by lot. */
static void returning_ends_a_hold_soon(void **state)
{
	struct world *w = *state;

	w->config.probe_interval = 3600 * USEC_PER_SEC;
	start_greeted(w);
	STATUSES(w, 403);
	admit(w, 2);
	run_until(w, is_held);
	uploader_return(w->uploader);
	run_until(w, all_settled);
	assert_true(is_up(w));
	assert_nothing_lost(w);
}

static void a_refused_token_is_read_again_once(void **state)
{
	struct world *w = *state;

	w->config.probe_interval = 3600 * USEC_PER_SEC;
	write_token(w, "old");
	w->token = "old";
	start_greeted(w);
	settle(w, 1);
	w->token = "new";
	write_token(w, " new ");
	settle(w, 1);
	assert_int_equal(w->n_batches, 3);
	assert_string_equal(w->keys[1], w->keys[2]);
	w->token = "newer"; /* and the file does not change */
	admit(w, 1);
	run_until(w, is_held);
	assert_non_null(strstr(sink(w).reason, "401"));
	assert_int_equal(w->n_batches, 4);
	write_token(w, "newer");
	uploader_wake(w->uploader, false);
	run_until(w, all_settled);
	assert_nothing_lost(w);
}

static void a_missing_token_file_is_named(void **state)
{
	struct world *w = *state;

	w->sink.token_file = w->token_file;
	w->token = "there";
	start(w, UPLOADER_DAEMON);
	admit(w, 1);
	run_until(w, is_held);
	assert_non_null(strstr(sink(w).reason, w->token_file));
	assert_int_equal(w->n_gets, 0);
	write_token(w, "there");
	run_until(w, all_settled); /* the probe reads it */
	assert_nothing_lost(w);
}

/* Records */

static void a_receipt_that_names_records_quarantines_them(void **state)
{
	struct world *w = *state;

	w->bad[0] = 2;
	w->bad[1] = 5;
	w->bad_status = 200;
	start_greeted(w);
	settle(w, 6);
	assert_int_equal(cursor(w).quarantined, 2);
	assert_int_equal(sink(w).quarantined, 2);
	assert_int_equal(w->events[SYNC_QUARANTINED], 2);
	assert_nothing_lost(w);
}

static void a_partial_receipt_leaves_the_rest(void **state)
{
	struct world *w = *state;

	w->ack_only = 3;
	start_greeted(w);
	settle(w, 10);
	assert_int_equal(w->n_batches, 4);
	assert_int_equal(sink(w).duplicates, 0);
	assert_nothing_lost(w);
}

static void one_bad_record_is_found_by_bisecting(void **state)
{
	struct world *w = *state;

	w->bad[0] = 77;
	w->bad_status = 400;
	start_greeted(w);
	settle(w, 200);
	assert_int_equal(cursor(w).quarantined, 1);
	assert_int_equal(w->held[0][77], 0);
	assert_true(is_up(w));
	assert_in_range(w->n_batches, 10, 40);
	assert_nothing_lost(w);
}

static void a_named_record_needs_no_witness(void **state)
{
	struct world *w = *state;

	w->bad[0] = 1;
	w->bad_status = 422;
	w->named = true;
	start_greeted(w);
	settle(w, 1);
	assert_int_equal(cursor(w).quarantined, 1);
	assert_int_equal(w->n_batches, 1);
	assert_nothing_lost(w);
}

static void a_lonely_bad_record_waits_for_a_witness(void **state)
{
	struct world *w = *state;

	w->bad[0] = 1;
	w->bad_status = 400;
	start_greeted(w);
	admit(w, 1);
	while (w->n_batches < 4)
		assert_true(sd_event_run(w->event, PATIENCE) >= 0);
	assert_int_equal(cursor(w).quarantined, 0);
	assert_true(is_up(w));
	settle(w, 1);
	assert_int_equal(cursor(w).quarantined, 1);
	assert_nothing_lost(w);
}

static void a_server_that_refuses_all_quarantines_nothing(void **state)
{
	struct world *w = *state;

	w->always = 400;
	start_greeted(w);
	admit(w, 40);
	run_until(w, is_held);
	assert_int_equal(cursor(w).quarantined, 0);
	w->always = 0;
	run_until(w, all_settled);
	assert_int_equal(cursor(w).quarantined, 0);
	assert_true(is_up(w));
	assert_nothing_lost(w);
}

/* A glitch of a strap is seldom one record. */
static void bad_neighbours_do_not_block_the_others(void **state)
{
	struct world *w = *state;

	w->bad_status = 400;
	for (unsigned i = 0; i < ARRAY_SIZE(w->bad); i++)
		w->bad[i] = 5 + i;
	start_greeted(w);
	settle(w, 20);
	assert_int_equal(cursor(w).quarantined, 4);
	assert_nothing_lost(w);
}

static void too_large_halves_and_remembers(void **state)
{
	struct world *w = *state;
	unsigned n;

	w->body_max = 9000;
	start_greeted(w);
	settle(w, 250);
	n = w->n_batches;
	w->largest = 0;
	settle(w, 250);
	assert_in_range(w->largest, 1, 9000); /* not tried again */
	assert_true(w->n_batches > n);
	assert_int_equal(cursor(w).quarantined, 0);
	assert_nothing_lost(w);
}

static void a_server_without_gzip_gets_plain(void **state)
{
	struct world *w = *state;

	w->no_gzip = true;
	start_greeted(w);
	settle(w, 2);
	assert_int_equal(w->n_batches, 2);
	settle(w, 2);
	assert_int_equal(w->n_batches, 3); /* remembered */
	STATUSES(w, 415);
	admit(w, 1);
	run_until(w, is_held);
	run_until(w, all_settled);
	assert_nothing_lost(w);
}

static void a_conflict_holds_the_stream_only(void **state)
{
	struct world *w = *state;

	w->bad[0] = 3;
	w->bad_status = 200;
	w->conflict = true;
	start_greeted(w);
	admit(w, 5);
	while (!cursor(w).held)
		assert_true(sd_event_run(w->event, PATIENCE) >= 0);
	assert_int_equal(cursor(w).quarantined, 0);
	assert_int_equal(cursor(w).confirmed, 2);
	assert_true(is_up(w));
}

static void a_batch_that_breaks_the_server_is_split(void **state)
{
	struct world *w = *state;
	unsigned rounds = 0;

	w->bad[0] = 4;
	w->bad_status = 500;
	start_greeted(w);
	admit(w, 8);
	while (cursor(w).quarantined == 0 && ++rounds < 4000) {
		if (w->admitted < SEQS - 1 && rounds % 2 == 0)
			admit(w, 1);
		assert_true(sd_event_run(w->event, 5 * MS) >= 0);
	}
	assert_int_equal(cursor(w).quarantined, 1);
	run_until(w, all_settled);
	assert_nothing_lost(w);
}

/* The same server under another name of this machine: nothing is sent until its owner says so, once. */
static void another_url_is_accepted_once(void **state)
{
	struct world *w = *state;
	bool changed = true;
	char url[64];

	start_greeted(w);
	assert_int_equal(uploader_accept(w->uploader, "main", &changed), 0);
	assert_false(changed);
	w->uploader = uploader_free(w->uploader);
	(void)snprintf(url, sizeof(url), "http://localhost:%d", w->server->port); /* fits */
	w->sink.url = url;
	start(w, UPLOADER_DAEMON);
	admit(w, 3);
	assert_true(is_held(w));
	assert_int_equal(uploader_accept(w->uploader, "nobody", &changed), -ENOENT);
	assert_int_equal(uploader_accept(w->uploader, "main", &changed), 0);
	assert_true(changed);
	run_until(w, all_settled);
	assert_int_equal(uploader_accept(w->uploader, "main", &changed), 0);
	assert_false(changed);
	assert_nothing_lost(w);
}

/* Stop */

static bool used_up(struct world *w)
{
	return w->next_status == w->n_statuses || w->n_batches > 60 * TIMES || all_settled(w);
}

/* One spell of bad weather. The server is honest again at its end, and its owner does nothing. */
static void spell(struct world *w, unsigned *seed)
{
	static const int any[] = {0,   0,   0,	 200, 202, 204, 302, 400, 400, 400, 401, 403, 404,
				  408, 409, 413, 415, 422, 425, 429, 500, 500, 502, 503, 511};
	static const int get[] = {0, 0, 404, 500, 401, 403, 200};

	w->n_statuses = 1 + (unsigned)rand_r(seed) % 24;
	w->next_status = 0;
	for (size_t i = 0; i < w->n_statuses; i++)
		w->statuses[i] = any[(unsigned)rand_r(seed) % ARRAY_SIZE(any)];
	w->ack_only = (unsigned)rand_r(seed) % 4;
	w->streams_status = 0;
	if (!w->uploader) {
		w->streams_status = get[(unsigned)rand_r(seed) % ARRAY_SIZE(get)];
		start(w, UPLOADER_DAEMON);
	}
	for (unsigned i = 0; i < 3; i++) {
		admit(w, 1 + (unsigned)rand_r(seed) % 12);
		assert_true(sd_event_run(w->event, (unsigned)rand_r(seed) % 20 * MS) >= 0);
	}
	if (w->streams_status == 0)
		run_until(w, used_up);
	if (rand_r(seed) % 4 == 0)
		w->uploader = uploader_free(w->uploader);
	w->n_statuses = w->next_status = 0;
	w->ack_only = 0;
	w->streams_status = 0;
	if (!w->uploader)
		start(w, UPLOADER_DAEMON);
	settle(w, 1 + (unsigned)rand_r(seed) % 3);
	w->n_batches = 0;
	if (rand_r(seed) % 4 == 0)
		w->uploader = uploader_free(w->uploader);
}

static void whatever_a_server_did_once_it_is_well_all_is_sent(void **state)
{
	struct world *w = *state;
	const char *wanted = getenv("VITALD_SPELLS");
	unsigned n = wanted ? (unsigned)atoi(wanted) : 20, seed = wanted ? (unsigned)getpid() : 1;

	log_init(LOG_TARGET_STDERR, LOG_ERR - 1);
	for (unsigned i = 0; i < n && w->admitted < SEQS - 64; i++)
		spell(w, &seed);
	log_init(LOG_TARGET_STDERR, LOG_INFO);
	assert_nothing_lost(w);
}

static void stopping_gives_the_cut_back(void **state)
{
	struct world *w = *state;

	start_greeted(w);
	w->always = 500;
	admit(w, 4);
	while (w->n_batches == 0)
		assert_true(sd_event_run(w->event, PATIENCE) >= 0);
	w->uploader = uploader_free(w->uploader); /* between two attempts */
	w->always = 0;
	assert_int_equal(cursor(w).confirmed, 0);
	start(w, UPLOADER_DAEMON);
	run_until(w, all_settled);
	assert_nothing_lost(w);
}

static void stopping_cancels_what_is_under_way(void **state)
{
	struct world *w = *state;

	start_greeted(w);
	admit(w, 4);
	for (unsigned n = w->server->n_accepted; w->server->n_requests < 1 + n / 100;)
		assert_true(sd_event_run(w->event, MS) >= 0);
	w->uploader = uploader_free(w->uploader);
	start(w, UPLOADER_DAEMON);
	run_until(w, all_settled);
	assert_nothing_lost(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(attempts_follow_the_delays_with_the_same_bytes),
		TEST(no_answer_is_transient_and_the_breaker_opens),
		TEST(retry_after_is_respected),
		TEST(what_is_not_a_receipt_confirms_nothing),
		TEST(busy_waits_and_sends_the_same),
		TEST(an_account_failure_holds_and_is_probed),
		TEST(waking_ends_a_hold_at_once),
		TEST(returning_ends_a_hold_soon),
		TEST(a_refused_token_is_read_again_once),
		TEST(a_missing_token_file_is_named),
		TEST(a_receipt_that_names_records_quarantines_them),
		TEST(a_partial_receipt_leaves_the_rest),
		TEST(one_bad_record_is_found_by_bisecting),
		TEST(a_named_record_needs_no_witness),
		TEST(a_lonely_bad_record_waits_for_a_witness),
		TEST(a_server_that_refuses_all_quarantines_nothing),
		TEST(bad_neighbours_do_not_block_the_others),
		TEST(too_large_halves_and_remembers),
		TEST(a_server_without_gzip_gets_plain),
		TEST(a_conflict_holds_the_stream_only),
		TEST(a_batch_that_breaks_the_server_is_split),
		TEST(another_url_is_accepted_once),
		TEST(whatever_a_server_did_once_it_is_well_all_is_sent),
		TEST(stopping_gives_the_cut_back),
		TEST(stopping_cancels_what_is_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
