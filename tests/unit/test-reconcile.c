/*
 * upload/reconcile with a real store and a server that answers one thing: when the next comparison is
 * due, how much is compared, and what a failure, a silence or a missing record changes of that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_server.h"
#include "place.h"
#include "store/finding.h"
#include "upload/reconcile.h"
#include "util/log.h"

#define MINUTE (60 * USEC_PER_SEC)
#define HOUR   (60 * MINUTE)

static struct place *place;
static struct store *store;
static sd_event *loop;
static struct server *server;
static struct config config;
static struct config_sink sink_config;
static struct token token;
static struct reconcile *reconcile;
static uint32_t hr, ecg, sink;
static uint64_t last; /* of heart rate */
static int status;
static const char *headers;
static unsigned n_requests, n_ended;

static bool on_request(void *userdata, const struct server_request *q, struct buf *out)
{
	n_requests++;
	server_respond(out, status, headers, "[]"); /* it lacks all that it is asked for */
	return false;
}

static bool is_up(void *userdata)
{
	return true;
}

static void on_event(void *userdata, const struct sync_event *e)
{
	assert_int_equal(e->type, SYNC_RECONCILE);
}

static void on_found(void *userdata)
{
}

static void on_ended(void *userdata)
{
	n_ended++;
}

static void confirm(uint32_t stream)
{
	static struct taken taken;
	struct cut_taker taker = taker_of(&taken);
	struct receipt_entry e = {.stream = stream};
	struct cut cut;

	e.acked_through = admit(place, store, stream, 60);
	assert_int_equal(outbox_cut(store, sink, &taker, &cut), 0);
	assert_int_equal(outbox_confirm(store, &cut, &e, 1, place->now), 0);
	assert_int_equal(store_commit(store, place->now), 0);
	if (stream == hr)
		last = e.acked_through;
}

static void make(bool by_itself)
{
	const struct reconcile_options o = {.event = loop,
					    .store = store,
					    .number = sink,
					    .config = &config,
					    .sink = &sink_config,
					    .token = &token,
					    .by_itself = by_itself,
					    .is_up = is_up,
					    .event_told = on_event,
					    .found = on_found,
					    .ended = on_ended};

	reconcile = reconcile_free(reconcile);
	assert_int_equal(reconcile_new(&o, clock_boot_usec(), &reconcile), 0);
}

static int begin(void **state)
{
	assert_int_equal(set_up(state), 0);
	place = *state;
	store = open_store(place);
	hr = stream_of_kind(store, KIND_HEART_RATE);
	ecg = stream_of_kind(store, KIND_ECG);
	assert_int_equal(register_sink(store, "main", true, false, &sink), 0);
	status = 200;
	headers = "";
	n_requests = n_ended = 0;
	assert_true(sd_event_new(&loop) >= 0);
	server = server_new(loop, on_request, NULL);
	sink_config = (struct config_sink){.name = (char *)"main", .url = server->url};
	config = (struct config){.background_timeout = 5 * USEC_PER_SEC,
				 .backoff_min = 2 * USEC_PER_MSEC,
				 .trust_clock = CLOCK_TRUST_YES,
				 .reconcile = true,
				 .reconcile_interval = 6 * HOUR,
				 .reconcile_window = 24 * HOUR,
				 .reconcile_all_after = 48 * HOUR};
	make(true);
	return 0;
}

static int finish(void **state)
{
	reconcile = reconcile_free(reconcile);
	assert_balanced(store);
	store = store_close(store);
	server = server_free(server);
	sd_event_unref(loop);
	return tear_down(state);
}

static struct reconcile_state state_now(void)
{
	struct reconcile_state s;

	reconcile_state(reconcile, &s);
	return s;
}

static struct reconcile_state run(void)
{
	unsigned n = n_ended;

	assert_int_equal(reconcile_begin(reconcile, clock_boot_usec()), 0);
	assert_true(reconcile_due(reconcile) == USEC_INFINITY);
	assert_true(reconcile_is_busy(reconcile));
	while (n_ended == n)
		assert_true(sd_event_run(loop, 20 * USEC_PER_SEC) > 0);
	return state_now();
}

/* How far off the next one is. */
static usec_t due_in(void)
{
	usec_t due = reconcile_due(reconcile), now = clock_boot_usec();

	return due == USEC_INFINITY ? due : due - MIN(due, now);
}

static void first_things_first(void **state)
{
	assert_in_range(due_in(), 2 * MINUTE - 10 * USEC_PER_SEC, 10 * MINUTE);
	config.reconcile_interval = MINUTE;
	make(true);
	assert_in_range(due_in(), 50 * USEC_PER_SEC, MINUTE);
	make(false);
	assert_true(due_in() == USEC_INFINITY);
	assert_false(reconcile_is_busy(reconcile));
	reconcile_ask(reconcile, SCOPE_RECENT);
	assert_int_equal(due_in(), 0);
	assert_true(reconcile_is_busy(reconcile));
	assert_int_equal(state_now().phase, RECONCILE_WAITING);
	(void)run();
	assert_true(due_in() == USEC_INFINITY); /* nobody asked for more */
}

static void everything_once_then_the_last_day(void **state)
{
	assert_true(run().everything); /* never was */
	assert_true(state_now().ended);
	assert_in_range(due_in(), 6 * HOUR * 89 / 100, 6 * HOUR * 11 / 10);
	assert_false(run().everything);
	reconcile_ask(reconcile, SCOPE_ALL);
	assert_true(run().everything);
	assert_false(run().everything);
	finding_reconciled(store, sink, clock_wall_usec() - 49 * (int64_t)HOUR);
	assert_true(run().everything);
	/* The clock was ahead when it was compared last, or confirmed something. */
	finding_reconciled(store, sink, clock_wall_usec() + 49 * (int64_t)HOUR);
	assert_true(run().everything);
	assert_false(run().everything);
	finding_confirmed(store, sink, clock_wall_usec() + 49 * (int64_t)HOUR);
	reconcile_receipt(reconcile, clock_boot_usec());
	assert_true(run().everything);
	config.trust_clock = CLOCK_TRUST_NO; /* nobody knows what the last day is */
	assert_true(run().everything);
}

static void more_than_what_is_done_is_done_after(void **state)
{
	(void)run();
	assert_int_equal(reconcile_begin(reconcile, clock_boot_usec()), 0);
	reconcile_ask(reconcile, SCOPE_RECENT); /* that is what is being done */
	reconcile_ask(reconcile, SCOPE_ALL);
	assert_false(state_now().everything);
	while (n_ended == 1)
		assert_true(sd_event_run(loop, 20 * USEC_PER_SEC) > 0);
	assert_int_equal(due_in(), 0);
	assert_true(run().everything);
	assert_false(reconcile_is_busy(reconcile));
}

static void what_failed_is_tried_again_in_time(void **state)
{
	confirm(hr);
	status = 403;
	assert_false(run().ended);
	assert_in_range(due_in(), 9 * MINUTE, 10 * MINUTE);
	status = 429;
	headers = "Retry-After: 1800\r\n";
	assert_false(run().ended);
	assert_in_range(due_in(), 29 * MINUTE, 30 * MINUTE);
	headers = "Retry-After: 999999\r\n";
	assert_false(run().ended);
	assert_in_range(due_in(), 59 * MINUTE, HOUR);
	assert_int_equal(state_now().last_us, 0);
	finding_reconciled(store, sink, clock_wall_usec());
	status = 200;
	assert_true(run().everything); /* what was to be looked at still is */
	assert_int_equal(state_now().again, 1);
	assert_in_range(due_in(), 5 * HOUR, 7 * HOUR);
}

static void a_server_without_windows_is_asked_seldom(void **state)
{
	confirm(hr);
	status = 404;
	assert_true(run().unsupported);
	assert_in_range(due_in(), 5 * HOUR, 7 * HOUR);
}

static void after_a_long_silence_everything(void **state)
{
	(void)run();
	finding_confirmed(store, sink, clock_wall_usec() - 47 * (int64_t)HOUR);
	reconcile_receipt(reconcile, clock_boot_usec());
	assert_in_range(due_in(), 5 * HOUR, 7 * HOUR);
	finding_confirmed(store, sink, clock_wall_usec() - 49 * (int64_t)HOUR);
	reconcile_receipt(reconcile, clock_boot_usec());
	assert_in_range(due_in(), MINUTE, 10 * MINUTE);
	assert_true(run().everything);
}

/* Of that stream only, once an hour, and only where we know better than the server. */
static void what_a_receipt_misses(void **state)
{
	usec_t now = 5000 * USEC_PER_SEC;

	confirm(hr);
	confirm(ecg);
	finding_reconciled(store, sink, clock_wall_usec());
	reconcile_missing(reconcile, hr, 0, now);
	reconcile_missing(reconcile, hr, last + 1, now);
	assert_false(reconcile_is_busy(reconcile));
	status = 404; /* so that nothing is owed, and it stays what a receipt may miss */
	reconcile_missing(reconcile, hr, last, now);
	assert_int_equal(due_in(), 0);
	assert_int_equal(run().streams, 1);
	assert_false(reconcile_is_busy(reconcile));
	reconcile_missing(reconcile, ecg, last, now);
	assert_int_equal(run().streams, 1);
	reconcile_missing(reconcile, ecg, last, now + 59 * MINUTE);
	assert_false(reconcile_is_busy(reconcile));
	reconcile_missing(reconcile, ecg, last, now + 61 * MINUTE);
	assert_int_equal(run().streams, 1);
	config.reconcile = false;
	reconcile_missing(reconcile, ecg, last, now + 9 * HOUR);
	assert_false(reconcile_is_busy(reconcile));
}

/* Whether it is of the last day, or of a stream: what is older, and of the others, is looked at then. */
static void what_is_lacking_is_not_alone(void **state)
{
	confirm(hr);
	confirm(ecg);
	finding_reconciled(store, sink, clock_wall_usec());
	reconcile_missing(reconcile, hr, last, 5000 * USEC_PER_SEC);
	assert_int_equal(run().streams, 1);
	assert_int_equal(state_now().again, 1);
	assert_int_equal(due_in(), 0);
	assert_true(reconcile_is_of_all(reconcile));
	assert_true(run().everything);
	assert_int_equal(state_now().again, 2); /* one more, of ecg */
	assert_false(reconcile_is_busy(reconcile));
	confirm(hr);
	config.reconcile_window = 100 * 365 * 24 * HOUR; /* a test lives in a time of its own */
	reconcile_ask(reconcile, SCOPE_RECENT);
	assert_false(run().everything);
	assert_int_equal(state_now().again, 1);
	assert_true(run().everything);
	assert_int_equal(state_now().again, 1); /* no other one */
	assert_false(reconcile_is_busy(reconcile));
	assert_in_range(due_in(), 5 * HOUR, 7 * HOUR);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, finish)
	const struct CMUnitTest tests[] = {
		TEST(first_things_first),
		TEST(everything_once_then_the_last_day),
		TEST(more_than_what_is_done_is_done_after),
		TEST(what_failed_is_tried_again_in_time),
		TEST(a_server_without_windows_is_asked_seldom),
		TEST(after_a_long_silence_everything),
		TEST(what_a_receipt_misses),
		TEST(what_is_lacking_is_not_alone),
	};

	log_init(LOG_TARGET_STDERR, LOG_EMERG);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
