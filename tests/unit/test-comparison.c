/*
 * upload/comparison with a real store and a server of which the test writes every answer: honest ones,
 * wrong windows, half answers, others than were asked for, statuses. Whatever comes, nothing is owed
 * again but what an understood answer lacks, the ledger balances, and the number of requests is
 * bounded.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_server.h"
#include "place.h"
#include "sink/sink.h"
#include "store/compare.h"
#include "store/finding.h"
#include "upload/comparison.h"
#include "upload/tally.h"
#include "util/digest.h"
#include "util/log.h"

enum { RECORDS = 5000 };

static struct place *place;
static struct store *store;
static sd_event *loop;
static struct server *server;
static struct config config;
static struct config_sink sink_config;
static struct token token;
static struct comparison *comparison;
static struct reconcile_state state_;
static uint32_t hr, sink;
static uint64_t first, last;
static const char *unknown;				   /* to the server: the id of a stream */
static bool ended, has[RECORDS + 1], altered[RECORDS + 1]; /* by n */
static const char *answers[8];				   /* instead of honest ones */
static int statuses[8];
static const char *headers;
static size_t n_answers;
static unsigned n_requests, n_down, n_founds;

/* The server */

static int hash_one(void *userdata, const struct record *r)
{
	_cleanup_(buf_done) struct buf canonical = {0};
	uint64_t n = r->seq & SEQ_N_MAX;

	if (!has[n])
		return 0;
	record_canonical(r, &canonical);
	canonical.data[8] ^= altered[n];
	assert_int_equal(digest_update(userdata, canonical.data, canonical.size), 0);
	return 0;
}

static void put_window(struct buf *out, uint64_t from, uint64_t to)
{
	_cleanup_(digest_freep) struct digest *d = NULL;
	uint8_t hash[DIGEST_SHA256_SIZE];
	uint64_t low = 0, high = 0;
	unsigned n = 0;

	assert_int_equal(digest_new(&d), 0);
	for (uint64_t seq = MAX(from, first); seq <= MIN(to, last); seq++)
		if (has[seq & SEQ_N_MAX]) {
			low = low ? low : seq;
			high = seq;
			n++;
		}
	if (n == 0)
		return;
	assert_int_equal(store_read(store, hr, MAX(from, first), MIN(to, last), 0, hash_one, d), 0);
	assert_int_equal(digest_finish(d, hash), 0);
	buf_printf(out, "%s{\"first\":%llu,\"last\":%llu,\"count\":%u,\"sha256\":\"",
		   out->size > 1 ? "," : "", (unsigned long long)low, (unsigned long long)high, n);
	for (size_t i = 0; i < sizeof(hash); i++)
		buf_printf(out, "%02x", hash[i]);
	buf_string(out, "\"}");
}

static uint64_t parameter(const char *head, const char *name)
{
	const char *at = strstr(head, name);

	assert_non_null(at);
	return strtoull(at + strlen(name), NULL, 10);
}

static bool on_request(void *userdata, const struct server_request *q, struct buf *out)
{
	_cleanup_(buf_done) struct buf body = {0};
	uint64_t from = parameter(q->head, "from_seq="), to = parameter(q->head, "to_seq=");
	uint64_t width = parameter(q->head, "width=");
	unsigned i = n_requests++;

	assert_in_range((to - from) / width, 0, TALLY_WINDOWS - 1);
	if (unknown && strstr(q->head, unknown)) {
		server_respond(out, 404, "", "");
		return false;
	}
	if (i < n_answers && (answers[i] || statuses[i])) {
		server_respond(out, statuses[i] ? statuses[i] : 200, headers,
			       answers[i] ? answers[i] : "");
		return false;
	}
	buf_string(&body, "[");
	for (; from <= MIN(to, last); from += width)
		put_window(&body, from, MIN(from + width - 1, to));
	buf_string(&body, "]");
	buf_u8(&body, 0);
	server_respond(out, 200, "X-Ingest-Contract: 1\r\n", (const char *)body.data);
	return false;
}

/* The hub */

/* Not the first n_down times. */
static bool is_up(void *userdata)
{
	return n_down == 0 || n_down-- == 0;
}

static void on_found(void *userdata)
{
	n_founds++;
}

static void on_ended(void *userdata)
{
	comparison_state(comparison, &state_);
	comparison = comparison_free(comparison);
	ended = true;
}

static void confirm_all(unsigned n)
{
	static struct taken taken;
	struct cut_taker taker = taker_of(&taken);
	struct cut cut;

	taken.room = 250;
	while (n > 0) {
		struct receipt_entry e = {.stream = hr};

		for (unsigned i = 0; i < 100; i++, n--)
			last = admit(place, store, hr, 60);
		assert_int_equal(outbox_cut(store, sink, &taker, &cut), 0);
		e.acked_through = last;
		assert_int_equal(outbox_confirm(store, &cut, &e, 1, place->now), 0);
		assert_int_equal(store_commit(store, place->now), 0);
	}
}

static int begin(void **state)
{
	assert_int_equal(set_up(state), 0);
	place = *state;
	store = open_store(place);
	hr = stream_of_kind(store, KIND_HEART_RATE);
	assert_int_equal(register_sink(store, "main", true, false, &sink), 0);
	confirm_all(RECORDS);
	first = last - RECORDS + 1;
	memset(has, 1, sizeof(has));
	memset(altered, 0, sizeof(altered));
	memset(answers, 0, sizeof(answers));
	memset(statuses, 0, sizeof(statuses));
	headers = "";
	unknown = NULL;
	n_answers = n_requests = n_down = n_founds = 0;
	assert_true(sd_event_new(&loop) >= 0);
	server = server_new(loop, on_request, NULL);
	sink_config = (struct config_sink){.name = (char *)"main", .url = server->url};
	config = (struct config){.background_timeout = 5 * USEC_PER_SEC,
				 .backoff_min = 2 * USEC_PER_MSEC};
	return 0;
}

static int finish(void **state)
{
	assert_balanced(store);
	comparison = comparison_free(comparison);
	store = store_close(store);
	server = server_free(server);
	sd_event_unref(loop);
	return tear_down(state);
}

static void begin_comparison(void)
{
	const struct comparison_options o = {.event = loop,
					     .store = store,
					     .number = sink,
					     .config = &config,
					     .sink = &sink_config,
					     .token = &token,
					     .scope = SCOPE_ALL,
					     .is_up = is_up,
					     .found = on_found,
					     .ended = on_ended};

	ended = false;
	n_requests = 0;
	assert_int_equal(comparison_new(&o, NULL, 0, clock_boot_usec(), &comparison), 0);
}

static const struct reconcile_state *compare(void)
{
	begin_comparison();
	while (!ended)
		assert_true(sd_event_run(loop, 20 * USEC_PER_SEC) > 0);
	return &state_;
}

static uint64_t waiting(void)
{
	struct cursor_status c;

	store_cursor_status(store, sink, hr, &c);
	return c.waiting;
}

static void everything_is_there(void **state)
{
	const struct reconcile_state *s = compare();

	assert_true(s->ended);
	assert_int_equal(s->compared, RECORDS);
	assert_int_equal(s->again + s->server_only + s->conflicts, 0);
	assert_int_equal(n_requests, 1);
	assert_int_equal(waiting(), 0);
}

static void everything_is_gone(void **state)
{
	memset(has, 0, sizeof(has));
	assert_int_equal(compare()->again, RECORDS);
	assert_int_equal(n_requests, 1); /* an empty window needs no closer look */
	assert_int_equal(waiting(), RECORDS);
	assert_int_equal(compare()->again, 0); /* it is owed: there is nothing left to compare */
}

static void some_are_gone(void **state)
{
	has[1] = has[64] = has[65] = has[4096] = has[4097] = has[RECORDS] = false;
	assert_int_equal(compare()->again, 6);
	assert_int_equal(state_.compared, RECORDS - 6);
	assert_int_equal(waiting(), 6);
	assert_in_range(n_requests, 3, 12);
}

static void every_other_is_gone(void **state)
{
	for (size_t n = 1; n <= RECORDS; n += 2)
		has[n] = false;
	/* With more rows than ROWS_MAX it would pause until somebody sends them. */
	for (size_t n = 401; n <= RECORDS; n++)
		has[n] = true;
	assert_int_equal(compare()->again, 200);
	assert_int_equal(waiting(), 200);
}

static void one_is_another(void **state)
{
	struct cursor_status c;

	altered[300] = true;
	has[301] = false;
	assert_int_equal(compare()->conflicts, 1);
	assert_int_equal(state_.again, 1);
	store_cursor_status(store, sink, hr, &c);
	assert_true(c.held);
}

#define SHA "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* Not understood three times: then it gives up, and nothing is owed again. */
static void answers_that_are_none(void **state)
{
	static const char *const wrong[] = {
		"",
		"[",
		"{\"windows\":3}",
		"[{\"first\":268435457,\"last\":268435457,\"count\":1,\"sha256\":\"00\"}]",
		"[{\"first\":268435457,\"last\":268435457,\"count\":4000000000,\"sha256\":\"" SHA
		"\"}]",
		"[{\"first\":1,\"last\":1,\"count\":1,\"sha256\":\"" SHA "\"}]",
		"[{\"first\":268439553,\"last\":268439553,\"count\":1,\"sha256\":\"" SHA "\"},"
		"{\"first\":268435457,\"last\":268435457,\"count\":1,\"sha256\":\"" SHA "\"}]",
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i += 3) {
		answers[0] = wrong[i];
		answers[1] = wrong[(i + 1) % ARRAY_SIZE(wrong)];
		answers[2] = wrong[(i + 2) % ARRAY_SIZE(wrong)];
		n_answers = 3;
		(void)compare();
		assert_false(state_.ended);
		assert_true(state_.problem[0] != '\0');
		assert_int_equal(n_requests, 3);
		assert_int_equal(waiting(), 0);
	}
}

static void it_comes_to_its_senses(void **state)
{
	statuses[0] = 503;
	answers[1] = "<html>";
	n_answers = 2;
	has[7] = false;
	assert_true(compare()->ended);
	assert_int_equal(state_.again, 1);
}

static void a_server_without_windows(void **state)
{
	statuses[0] = 404;
	n_answers = 1;
	(void)compare();
	assert_true(state_.unsupported);
	assert_false(state_.ended);
	assert_string_equal(state_.problem, "");
	assert_int_equal(n_requests, 1);
	statuses[0] = 403;
	(void)compare();
	assert_false(state_.unsupported);
	assert_true(strstr(state_.problem, "403") != NULL);
	assert_int_equal(n_requests, 1);
	assert_int_equal(waiting(), 0);
}

static uint64_t waiting_of(uint32_t stream)
{
	struct cursor_status c;

	store_cursor_status(store, sink, stream, &c);
	return c.waiting;
}

/* Another stream with 100 records, confirmed as the first. */
static uint32_t add_stream(enum kind kind)
{
	uint32_t was = hr, stream = hr = stream_of_kind(store, kind);
	uint64_t was_last = last;

	confirm_all(100);
	hr = was;
	last = was_last;
	return stream;
}

static void name_stream(uint32_t stream, char ret[static UUID_STRING_SIZE])
{
	struct stream_status status;

	store_stream_status(store, stream, &status);
	uuid_format(&status.info.id, ret);
}

/* It tells of other streams, so it knows the question: it has nothing of this one. */
static void a_server_without_one_stream(void **state)
{
	uint32_t other = add_stream(KIND_ECG);
	char id[UUID_STRING_SIZE];

	name_stream(other, id);
	unknown = id;
	assert_true(compare()->ended);
	assert_false(state_.unsupported);
	assert_int_equal(state_.compared, RECORDS);
	assert_int_equal(state_.again, 100);
	assert_int_equal(state_.streams_again, 1);
	assert_int_equal(state_.streams_done, 2);
	assert_int_equal(waiting_of(other), 100);
	assert_int_equal(waiting(), 0);
	assert_int_equal(n_founds, 1);
}

/* Asked for that one first: whether it knows the question only the next one tells. */
static void a_server_without_the_first_stream(void **state)
{
	uint32_t other = add_stream(KIND_ECG);
	char id[UUID_STRING_SIZE];

	name_stream(hr, id);
	unknown = id;
	answers[1] = "[]"; /* it knows the other one, and has nothing of it */
	n_answers = 2;
	assert_true(compare()->ended);
	assert_false(state_.unsupported);
	assert_int_equal(state_.streams_again, 2);
	assert_int_equal(waiting(), RECORDS);
	assert_int_equal(waiting_of(other), 100);
}

static void a_server_that_knows_no_stream(void **state)
{
	uint32_t other = add_stream(KIND_ECG);

	unknown = "/v1/streams/";
	(void)compare();
	assert_true(state_.unsupported);
	assert_false(state_.ended);
	assert_string_equal(state_.problem, "");
	assert_int_equal(n_requests, 2);
	assert_int_equal(waiting() + waiting_of(other), 0);
}

/* It knew it a moment ago: that is no answer to believe. */
static void a_stream_that_vanishes_meanwhile(void **state)
{
	has[1] = false; /* then it is asked once more, for less */
	statuses[1] = 404;
	n_answers = 2;
	assert_false(compare()->ended);
	assert_false(state_.unsupported);
	assert_non_null(strstr(state_.problem, "404"));
	assert_int_equal(waiting(), 0);
}

/* Whatever the lanes found: it is not asked while it is down, and not waited for. */
static void a_sink_that_goes_down(void **state)
{
	n_down = 3;
	assert_false(compare()->ended);
	assert_int_equal(n_requests, 0);
	assert_int_equal(waiting(), 0);
	n_down = 2;
	assert_true(compare()->ended);
	assert_int_equal(n_requests, 1);
}

static void a_server_that_wants_to_be_left_alone(void **state)
{
	statuses[0] = 429;
	headers = "Retry-After: 1800\r\n";
	n_answers = 1;
	assert_false(compare()->ended);
	assert_int_equal(n_requests, 1);
	assert_int_equal(state_.retry_after, 1800 * USEC_PER_SEC);
}

static void count_one(void *userdata, const struct finding *f)
{
	*(uint64_t *)userdata += f->n;
}

static void what_was_found_is_known_though_it_is_stopped(void **state)
{
	uint64_t n = 0;

	has[7] = has[8] = false;
	begin_comparison();
	while (n_founds == 0)
		assert_true(sd_event_run(loop, 20 * USEC_PER_SEC) > 0);
	assert_false(ended);
	comparison = comparison_free(comparison);
	assert_int_equal(finding_each(store, count_one, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(waiting(), 2);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, finish)
	const struct CMUnitTest tests[] = {
		TEST(everything_is_there),
		TEST(everything_is_gone),
		TEST(some_are_gone),
		TEST(every_other_is_gone),
		TEST(one_is_another),
		TEST(answers_that_are_none),
		TEST(it_comes_to_its_senses),
		TEST(a_server_without_windows),
		TEST(a_server_without_one_stream),
		TEST(a_server_without_the_first_stream),
		TEST(a_server_that_knows_no_stream),
		TEST(a_stream_that_vanishes_meanwhile),
		TEST(a_sink_that_goes_down),
		TEST(a_server_that_wants_to_be_left_alone),
		TEST(what_was_found_is_known_though_it_is_stopped),
	};

	log_init(LOG_TARGET_STDERR, LOG_EMERG);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
