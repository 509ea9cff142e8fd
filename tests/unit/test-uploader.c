/*
 * The uploader with a real store and a scripted server on the same loop: each row of the contract's
 * table of answers and what it does to records and sink, the attempts of layer 1, breaker, holds
 * and probes, bisecting, drains, and that after each of them nothing is lost and the ledger
 * balances. Delays are milliseconds; nothing is waited for but events.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_server.h"
#include "store/register.h"
#include "upload/uploader.h"
#include "util/log.h"
#include "util/uuid.h"

#include <jansson.h>
#include <sys/stat.h>
#include <zlib.h>

enum { SEQS = 4096, STREAMS = 4, TIMES = 64 };
#define PATIENCE (20 * USEC_PER_SEC) /* a test that takes longer has failed */
#define MS	 USEC_PER_MSEC

struct world {
	char dir[64], state[96], run[96], token_file[96];
	sd_event *event;
	struct store *store;
	struct uploader *uploader;
	struct server *server;
	struct config config;
	struct config_sink sink;
	uint32_t stream;
	uint64_t admitted;
	/* What the server holds. */
	struct uuid streams[STREAMS];
	uint64_t last_seq[STREAMS];
	unsigned held[STREAMS][SEQS]; /* by n: how often it came */
	/* What it is told to do. */
	int statuses[TIMES]; /* for the next batches; 0: honest */
	size_t n_statuses, next_status;
	int always;		       /* status of all of them; 0: honest */
	int streams_status;	       /* of GET /v1/streams; 0: honest */
	uint64_t ahead;		       /* runs added there */
	uint64_t bad[4];	       /* records (n) that get bad_status */
	int bad_status;		       /*   ... or are named in a receipt, if 200 */
	size_t body_max;	       /* JSON above gets a 413 */
	bool no_gzip, named, conflict; /* 415; a 400 names the record; code is "conflict" */
	uint64_t ack_only;	       /* acknowledge only this many of each stream */
	const char *token;	       /* wanted */
	const char *headers;	       /* beside the status */
	/* What came. */
	unsigned n_batches, n_gets;
	usec_t at[TIMES * 64];
	char keys[TIMES * 64][64];
	size_t largest;
	/* What was told. */
	unsigned events[SYNC_QUARANTINED + 1];
	bool drained;
	char problem[256];
};

/* The server */

static size_t unzip(const struct server_request *q, char *ret, size_t size)
{
	z_stream z = {.next_in = (uint8_t *)q->body,
		      .avail_in = (unsigned)q->size,
		      .next_out = (uint8_t *)ret,
		      .avail_out = (unsigned)size};

	assert_int_equal(inflateInit2(&z, 31), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(inflateEnd(&z), Z_OK);
	return z.total_out;
}

static size_t stream_index(struct world *w, const char *id)
{
	struct uuid u, none = {0};
	size_t i = 0;

	assert_true(uuid_parse(id, &u));
	while (!uuid_equal(&w->streams[i], &u) && !uuid_equal(&w->streams[i], &none))
		i++;
	assert_in_range(i, 0, STREAMS - 1);
	w->streams[i] = u;
	return i;
}

static bool is_bad(const struct world *w, uint64_t seq)
{
	for (size_t i = 0; i < ARRAY_SIZE(w->bad); i++)
		if (w->bad[i] && w->bad[i] == (seq & SEQ_N_MAX))
			return true;
	return false;
}

static uint64_t seq_of(json_t *sample)
{
	return (uint64_t)json_integer_value(json_object_get(sample, "seq"));
}

static json_t *take_stream(struct world *w, json_t *stream)
{
	const char *id = json_string_value(json_object_get(stream, "stream"));
	json_t *sample, *rejected = json_array();
	unsigned accepted = 0, duplicate = 0;
	size_t i, at = stream_index(w, id);
	uint64_t acked = 0;

	json_array_foreach(json_object_get(stream, "samples"), i, sample)
	{
		uint64_t seq = seq_of(sample);

		if (w->ack_only && i >= w->ack_only)
			break;
		acked = seq;
		if (is_bad(w, seq)) {
			json_array_append_new(rejected,
					      json_pack("{s:I, s:s, s:s}", "seq", (json_int_t)seq,
							"code",
							w->conflict ? "conflict" : "bad_value",
							"detail", "bpm"));
			continue;
		}
		if (w->held[at][seq & (SEQS - 1)]++ == 0)
			accepted++;
		else
			duplicate++;
		w->last_seq[at] = MAX(w->last_seq[at], seq);
	}
	return json_pack("{s:s, s:I, s:i, s:i, s:o}", "stream", id, "acked_through",
			 (json_int_t)acked, "accepted", accepted, "duplicate", duplicate,
			 "rejected", rejected);
}

static void take(struct world *w, json_t *root, struct buf *out)
{
	json_t *answer = json_pack("{s:i, s:O, s:[]}", "contract", 1, "batch",
				   json_object_get(root, "batch"), "streams");
	json_t *stream;
	char *text;
	size_t i;

	json_array_foreach(json_object_get(root, "streams"), i, stream)
		json_array_append_new(json_object_get(answer, "streams"), take_stream(w, stream));
	text = json_dumps(answer, 0);
	server_respond(out, 200, "X-Ingest-Contract: 1\r\n", text);
	free(text);
	json_decref(answer);
}

/* A 400 for a bad record in it: with or without a name. True: there was one. */
static bool refuse(struct world *w, json_t *root, struct buf *out)
{
	json_t *stream, *sample;
	char body[400] = "";
	bool found = false;
	size_t i, k;

	json_array_foreach(json_object_get(root, "streams"), i, stream)
		json_array_foreach(json_object_get(stream, "samples"), k, sample)
	{
		if (!is_bad(w, seq_of(sample)) || found)
			continue;
		found = true;
		if (w->named)
			(void)snprintf(body, sizeof(body),
				       "{\"streams\":[{\"stream\":\"%s\",\"rejected\":[{\"seq\":%"
				       "llu,\"code\":\"bad_value\",\"detail\":\"bpm 0\"}]}]}",
				       json_string_value(json_object_get(stream, "stream")),
				       (unsigned long long)seq_of(sample));
	}
	if (found)
		server_respond(out, w->bad_status, "", body);
	return found;
}

static void answer_streams(struct world *w, struct buf *out)
{
	static const struct uuid none = {0};
	char text[600] = "[", id[UUID_STRING_SIZE];

	for (size_t i = 0; i < STREAMS && !uuid_equal(&w->streams[i], &none); i++) {
		size_t n = strlen(text);

		uuid_format(&w->streams[i], id);
		(void)snprintf(text + n, sizeof(text) - n,
			       "%s{\"stream\":\"%s\",\"last_seq\":%llu}", i ? "," : "", id,
			       (unsigned long long)(w->last_seq[i] + (w->ahead << SEQ_N_BITS)));
	}
	strcat(text, "]");
	server_respond(out, 200, "X-Ingest-Contract: 1\r\n", text);
}

static bool token_is_right(const struct world *w, const char *head)
{
	char wanted[100];

	(void)snprintf(wanted, sizeof(wanted), "\r\nAuthorization: Bearer %s\r\n", w->token);
	return strstr(head, wanted) != NULL;
}

static void note(struct world *w, const struct server_request *q, size_t json_size)
{
	const char *key = strstr(q->head, "\r\nIdempotency-Key: \"");
	unsigned i = w->n_batches++;

	assert_non_null(key);
	assert_non_null(strstr(q->head, "\r\nX-Sent-At-Us: "));
	assert_non_null(strstr(q->head, "\r\nX-Clock: synced; error_us="));
	assert_non_null(strstr(q->head, "\r\nContent-Type: application/json\r\n"));
	assert_null(strstr(q->head, "Expect"));
	assert_in_range(i, 0, ARRAY_SIZE(w->at) - 1);
	w->at[i] = q->at;
	memcpy(w->keys[i], key + 20, 36);
	w->largest = MAX(w->largest, json_size);
}

static int next_status(struct world *w)
{
	return w->next_status < w->n_statuses ? w->statuses[w->next_status++] : w->always;
}

static bool answer(void *userdata, const struct server_request *q, struct buf *out)
{
	bool gzip = strstr(q->head, "\r\nContent-Encoding: gzip\r\n") != NULL;
	static char text[1 << 20];
	struct world *w = userdata;
	json_t *root;
	size_t size;
	int status;

	if (strncmp(q->head, "GET /v1/streams?gateway=gw%201 ", 31) == 0) {
		w->n_gets++;
		if (w->streams_status)
			server_respond(out, w->streams_status, "", "");
		else
			answer_streams(w, out);
		return false;
	}
	assert_int_equal(strncmp(q->head, "POST /v1/batches ", 17), 0);
	size = gzip ? unzip(q, text, sizeof(text)) : q->size;
	if (!gzip)
		memcpy(text, q->body, size);
	note(w, q, size);
	status = next_status(w);
	if (w->token && !token_is_right(w, q->head))
		status = 401;
	if (w->no_gzip && gzip)
		status = 415;
	if (w->body_max && size > w->body_max)
		status = 413;
	if (status) {
		server_respond(out, status, w->headers ? w->headers : "", "");
		return false;
	}
	root = json_loadb(text, size, 0, NULL);
	assert_non_null(root);
	if (w->bad_status == 200 || !w->bad_status || !refuse(w, root, out))
		take(w, root, out);
	json_decref(root);
	return false;
}

/* The hub */

static void on_event(void *userdata, const struct sync_event *e)
{
	struct world *w = userdata;

	assert_string_equal(e->sink, "main");
	assert_in_range(e->type, SYNC_IMMEDIATE_SUCCESS, SYNC_QUARANTINED);
	w->events[e->type] += e->count;
}

static void on_drained(void *userdata, const char *problem)
{
	struct world *w = userdata;

	w->drained = true;
	(void)snprintf(w->problem, sizeof(w->problem), "%s", problem ? problem : "");
}

static void open_store(struct world *w)
{
	struct clock_state clock = clock_read(CLOCK_TRUST_YES);
	struct store_options o = {.state_dir = w->state,
				  .runtime_dir = w->run,
				  .role = "test",
				  .tail_size = 1024 * 1024,
				  .durability_window = USEC_PER_SEC,
				  .lazy_commit = 300 * USEC_PER_SEC};
	struct store_opening opening;

	if (store_open(&o, clock_boot_usec(), &clock, &opening, &w->store) != 0)
		fail_msg("store_open: %s", opening.problem);
	assert_int_equal(register_stream(w->store, "a0:b1:c2:d3:e4:f5", KIND_HEART_RATE, "u-1",
					 &w->stream),
			 0);
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	strcpy(w->dir, "/dev/shm/vitald-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->state, sizeof(w->state), "%s/state", w->dir);
	(void)snprintf(w->run, sizeof(w->run), "%s/run", w->dir);
	(void)snprintf(w->token_file, sizeof(w->token_file), "%s/token", w->dir);
	assert_int_equal(mkdir(w->state, 0700), 0);
	assert_int_equal(mkdir(w->run, 0700), 0);
	assert_true(sd_event_new(&w->event) >= 0);
	w->server = server_new(w->event, answer, w);
	w->sink = (struct config_sink){.name = (char *)"main",
				       .url = w->server->url,
				       .required = true,
				       .max_body = 256 * 1024};
	w->config = (struct config){.gateway = (char *)"gw 1",
				    .linger = 2 * MS,
				    .immediate_retry_delays = {0, 10 * MS, 30 * MS},
				    .n_immediate_retry_delays = 3,
				    .immediate_timeout = 2 * USEC_PER_SEC,
				    .background_timeout = 2 * USEC_PER_SEC,
				    .backoff_min = 5 * MS,
				    .backoff_max = 20 * MS,
				    .probe_interval = 20 * MS,
				    .trust_clock = CLOCK_TRUST_YES,
				    .immediate = true,
				    .queue = true,
				    .sinks = &w->sink,
				    .n_sinks = 1};
	open_store(w);
	*state = w;
	return 0;
}

static void start(struct world *w, enum uploader_mode mode)
{
	struct uploader_handler handler = {.userdata = w, .event = on_event, .drained = on_drained};

	assert_int_equal(uploader_new(w->event, w->store, &w->config, mode, &handler, &w->uploader),
			 0);
}

static int tear_down(void **state)
{
	struct world *w = *state;
	char command[128];

	w->uploader = uploader_free(w->uploader);
	w->store = store_close(w->store);
	w->server = server_free(w->server);
	sd_event_unref(w->event);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", w->dir);
	assert_int_equal(system(command), 0);
	free(w);
	return 0;
}

static void admit(struct world *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		usec_t now = clock_boot_usec();
		struct record r = {
			.stream = w->stream,
			.type = RECORD_HEART_RATE,
			.boot_us = (int64_t)now,
			.heart_rate = {.bpm = 60, .energy_kj = -1, .n_rr = 1, .rr_1024 = {1000}}};

		assert_int_equal(store_admit(w->store, &r, now), 0);
		w->admitted++;
		if (w->uploader)
			uploader_kick(w->uploader, now);
	}
}

static void write_token(struct world *w, const char *token)
{
	FILE *f = fopen(w->token_file, "w");

	assert_non_null(f);
	assert_true(fprintf(f, "%s\n", token) > 0);
	assert_int_equal(fclose(f), 0);
	w->sink.token_file = w->token_file;
}

static struct sink_state sink(const struct world *w)
{
	struct sink_state s;

	uploader_sink_state(w->uploader, 0, &s);
	return s;
}

static struct cursor_status cursor(const struct world *w)
{
	struct cursor_status c;

	store_cursor_status(w->store, 1, w->stream, &c);
	return c;
}

static bool all_settled(struct world *w)
{
	struct cursor_status c = cursor(w);

	return c.confirmed + c.quarantined == w->admitted;
}

static bool is_held(struct world *w)
{
	return sink(w).state == SINK_HELD;
}

static bool is_down(struct world *w)
{
	return sink(w).state == SINK_DOWN;
}

static bool is_up(struct world *w)
{
	return sink(w).state == SINK_UP;
}

static bool is_drained(struct world *w)
{
	return w->drained;
}

static bool is_greeted(struct world *w)
{
	return w->n_gets > 0;
}

#define run_until(w, condition) run_until_(w, condition, #condition, __LINE__)
static void run_until_(struct world *w, bool (*condition)(struct world *), const char *what,
		       int line)
{
	usec_t end = clock_boot_usec() + PATIENCE;

	while (!condition(w)) {
		usec_t now = clock_boot_usec();

		if (now > end)
			fail_msg("line %d: %s did not come: %s; batches %u, confirmed %llu of %llu",
				 line, what, sink(w).reason, w->n_batches,
				 (unsigned long long)cursor(w).confirmed,
				 (unsigned long long)w->admitted);
		assert_true(sd_event_run(w->event, 100 * MS) >= 0);
		if (store_commit_due(w->store) <= now)
			assert_int_equal(store_commit(w->store, now), 0);
	}
}

/* Each record is with the server or in quarantine, and the books say so. */
static void assert_nothing_lost(struct world *w)
{
	_cleanup_(audit_freep) struct audit *a = NULL;
	struct cursor_status c = cursor(w);
	uint64_t held = 0;
	int r;

	for (uint64_t n = 1; n <= w->admitted; n++)
		held += w->held[0][n] > 0;
	assert_int_equal(held, c.confirmed);
	assert_int_equal(c.confirmed + c.quarantined, w->admitted);
	assert_int_equal(c.waiting, 0);
	assert_int_equal(store_commit(w->store, clock_boot_usec()), 0);
	assert_int_equal(audit_new(w->store, &a), 0);
	do {
		r = audit_step(a, 100000);
	} while (r == STORE_E_NOTHING);
	assert_int_equal(r, 0);
	assert_true(audit_balanced(a));
}

static void statuses(struct world *w, size_t n, const int *list)
{
	memcpy(w->statuses, list, n * sizeof(*list));
	w->n_statuses = n;
	w->next_status = 0;
}
#define STATUSES(w, ...) statuses(w, ARRAY_SIZE(((int[]){__VA_ARGS__})), (int[]){__VA_ARGS__})

/* Layer 1 */

static void new_records_go_out_at_once(void **state)
{
	struct world *w = *state;

	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
	admit(w, 3);
	run_until(w, all_settled);
	assert_int_equal(w->n_gets, 1);
	assert_int_equal(w->n_batches, 1); /* they lingered together */
	assert_int_equal(sink(w).immediate_first_try, 1);
	assert_int_equal(w->events[SYNC_IMMEDIATE_SUCCESS], 3);
	assert_nothing_lost(w);
}

static void attempts_follow_the_delays_with_the_same_bytes(void **state)
{
	struct world *w = *state;

	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
	STATUSES(w, 500, 503);
	admit(w, 2);
	run_until(w, all_settled);
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

	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
	admit(w, 1);
	run_until(w, all_settled);
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

static void an_outage_makes_few_rows(void **state)
{
	struct world *w = *state;

	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
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
	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
	admit(w, 1);
	while (w->held[0][w->admitted] == 0)
		assert_true(sd_event_run(w->event, PATIENCE) >= 0);
	assert_false(all_settled(w)); /* the newest arrived before the backlog was through */
	run_until(w, all_settled);
	assert_int_equal(sink(w).immediate_success, 1);
	assert_true(sink(w).drain_rate > 0);
	assert_nothing_lost(w);
}

/* Transient */

static void retry_after_is_respected(void **state)
{
	struct world *w = *state;

	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
	STATUSES(w, 429);
	w->headers = "Retry-After: 1\r\n";
	admit(w, 1);
	run_until(w, is_down);
	admit(w, 1);
	run_until(w, all_settled);
	assert_in_range(w->at[1] - w->at[0], 950 * MS, 5 * USEC_PER_SEC);
	assert_nothing_lost(w);
}

static void what_is_not_a_receipt_confirms_nothing(void **state)
{
	static const int odd[] = {202, 204, 302, 407, 511, 408, 425, 502};
	struct world *w = *state;

	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		statuses(w, 1, &odd[i]);
		admit(w, 1);
		run_until(w, all_settled);
	}
	assert_int_equal(w->n_batches, 2 * ARRAY_SIZE(odd));
	assert_nothing_lost(w);
}

static void busy_waits_and_sends_the_same(void **state)
{
	struct world *w = *state;

	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
	STATUSES(w, 409);
	admit(w, 1);
	run_until(w, all_settled);
	assert_int_equal(w->n_batches, 2);
	assert_string_equal(w->keys[0], w->keys[1]);
	assert_true(w->at[1] - w->at[0] >= 4 * MS);
	assert_true(is_up(w));
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
	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
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
	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
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
	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
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
	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
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
	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
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
	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
	STATUSES(w, 403);
	admit(w, 5);
	uploader_wake(w->uploader, false);
	run_until(w, is_held);
	uploader_return(w->uploader);
	run_until(w, all_settled);
	assert_nothing_lost(w);
}

/* Account */

static void an_account_failure_holds_and_is_probed(void **state)
{
	static const int refusals[] = {403, 404, 405, 410};
	struct world *w = *state;

	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
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
	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
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
	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
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
	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
	admit(w, 1);
	run_until(w, all_settled);
	w->token = "new";
	write_token(w, " new ");
	admit(w, 1);
	run_until(w, all_settled);
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
	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
	admit(w, 6);
	run_until(w, all_settled);
	assert_int_equal(cursor(w).quarantined, 2);
	assert_int_equal(sink(w).quarantined, 2);
	assert_int_equal(w->events[SYNC_QUARANTINED], 2);
	assert_nothing_lost(w);
}

static void a_partial_receipt_leaves_the_rest(void **state)
{
	struct world *w = *state;

	w->ack_only = 3;
	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
	admit(w, 10);
	run_until(w, all_settled);
	assert_int_equal(w->n_batches, 4);
	assert_int_equal(sink(w).duplicates, 0);
	assert_nothing_lost(w);
}

static void one_bad_record_is_found_by_bisecting(void **state)
{
	struct world *w = *state;

	w->bad[0] = 77;
	w->bad_status = 400;
	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
	admit(w, 200);
	run_until(w, all_settled);
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
	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
	admit(w, 1);
	run_until(w, all_settled);
	assert_int_equal(cursor(w).quarantined, 1);
	assert_int_equal(w->n_batches, 1);
	assert_nothing_lost(w);
}

static void a_lonely_bad_record_waits_for_a_witness(void **state)
{
	struct world *w = *state;

	w->bad[0] = 1;
	w->bad_status = 400;
	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
	admit(w, 1);
	while (w->n_batches < 4)
		assert_true(sd_event_run(w->event, PATIENCE) >= 0);
	assert_int_equal(cursor(w).quarantined, 0);
	assert_true(is_up(w));
	admit(w, 1);
	run_until(w, all_settled);
	assert_int_equal(cursor(w).quarantined, 1);
	assert_nothing_lost(w);
}

static void a_server_that_refuses_all_quarantines_nothing(void **state)
{
	struct world *w = *state;

	w->always = 400;
	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
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
	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
	admit(w, 20);
	run_until(w, all_settled);
	assert_int_equal(cursor(w).quarantined, 4);
	assert_nothing_lost(w);
}

static void too_large_halves_and_remembers(void **state)
{
	struct world *w = *state;
	unsigned n;

	w->body_max = 9000;
	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
	admit(w, 250);
	run_until(w, all_settled);
	n = w->n_batches;
	w->largest = 0;
	admit(w, 250);
	run_until(w, all_settled);
	assert_in_range(w->largest, 1, 9000); /* not tried again */
	assert_true(w->n_batches > n);
	assert_int_equal(cursor(w).quarantined, 0);
	assert_nothing_lost(w);
}

static void a_server_without_gzip_gets_plain(void **state)
{
	struct world *w = *state;

	w->no_gzip = true;
	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
	admit(w, 2);
	run_until(w, all_settled);
	assert_int_equal(w->n_batches, 2);
	admit(w, 2);
	run_until(w, all_settled);
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
	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
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
	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
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

/* Greeting */

static void a_server_ahead_of_us_holds_the_sink(void **state)
{
	struct world *w = *state;

	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
	admit(w, 1);
	run_until(w, all_settled);
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

/* The server is emptied: what it had confirmed is sent again, but not what it refused. */
static void a_server_that_was_set_back_gets_it_again(void **state)
{
	struct world *w = *state;

	w->bad[0] = 7;
	w->bad_status = 200;
	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
	admit(w, 20);
	run_until(w, all_settled);
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
	admit(w, 1);
	run_until(w, all_settled);
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

/* Drain, stop */

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
	admit(w, 1 + (unsigned)rand_r(seed) % 3);
	run_until(w, all_settled);
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

	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
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

	start(w, UPLOADER_DAEMON);
	run_until(w, is_greeted);
	admit(w, 4);
	for (unsigned n = w->server->n_accepted; w->server->n_requests < 1 + n / 100;)
		assert_true(sd_event_run(w->event, MS) >= 0);
	w->uploader = uploader_free(w->uploader);
	start(w, UPLOADER_DAEMON);
	run_until(w, all_settled);
	assert_nothing_lost(w);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(new_records_go_out_at_once),
		TEST(attempts_follow_the_delays_with_the_same_bytes),
		TEST(no_answer_is_transient_and_the_breaker_opens),
		TEST(an_outage_makes_few_rows),
		TEST(a_row_that_waits_does_not_hold_up_what_is_new),
		TEST(retry_after_is_respected),
		TEST(what_is_not_a_receipt_confirms_nothing),
		TEST(busy_waits_and_sends_the_same),
		TEST(without_immediate_new_records_wait_for_the_background),
		TEST(without_immediate_the_queue_goes_on),
		TEST(without_the_queue_what_failed_waits_for_the_background),
		TEST(without_both_one_wake_is_one_try),
		TEST(without_both_a_return_is_one_try_soon),
		TEST(without_immediate_a_hold_without_rows_ends),
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
		TEST(a_server_ahead_of_us_holds_the_sink),
		TEST(a_server_that_was_set_back_gets_it_again),
		TEST(a_server_without_the_greeting_is_fine),
		TEST(a_greeting_that_fails_is_repeated),
		TEST(new_names_while_a_trial_greets),
		TEST(a_drain_ends_when_nothing_is_left),
		TEST(a_drain_with_nothing_to_do_asks_nobody),
		TEST(a_drain_gives_up_where_nobody_answers),
		TEST(a_drain_does_not_wait_for_a_clock),
		TEST(whatever_a_server_did_once_it_is_well_all_is_sent),
		TEST(stopping_gives_the_cut_back),
		TEST(stopping_cancels_what_is_under_way),
		TEST(a_row_that_gets_5xx_starves_no_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
