/*
 * The world around an uploader: a real store, and a scripted server on the same loop that keeps what
 * it is sent and can be told to answer whatever it likes. Delays are milliseconds; nothing is waited
 * for but events. What a test asks at its end is assert_nothing_lost().
 */
#pragma once

#include "dirs.h"
#include "http_server.h"
#include "store/register.h"
#include "upload/uploader.h"
#include "util/log.h"
#include "util/uuid.h"

#include <jansson.h>
#include <zlib.h>

enum { SEQS = 4096, STREAMS = 4, TIMES = 64 };
#define PATIENCE (20 * USEC_PER_SEC) /* a test that takes longer has failed */
#define MS	 USEC_PER_MSEC

struct world {
	char dir[DIR_SIZE], state[SUBDIR_SIZE], run[SUBDIR_SIZE], token_file[96];
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
	unsigned n_strangers;	       /* other streams there */
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

static inline size_t unzip(const struct server_request *q, char *ret, size_t size)
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

static inline size_t stream_index(struct world *w, const char *id)
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

static inline bool is_bad(const struct world *w, uint64_t seq)
{
	for (size_t i = 0; i < ARRAY_SIZE(w->bad); i++)
		if (w->bad[i] && w->bad[i] == (seq & SEQ_N_MAX))
			return true;
	return false;
}

static inline uint64_t seq_of(json_t *sample)
{
	return (uint64_t)json_integer_value(json_object_get(sample, "seq"));
}

static inline json_t *take_stream(struct world *w, json_t *stream)
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

static inline void take(struct world *w, json_t *root, struct buf *out)
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
static inline bool refuse(struct world *w, json_t *root, struct buf *out)
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

static inline void answer_streams(struct world *w, struct buf *out)
{
	static const struct uuid none = {0};
	char id[UUID_STRING_SIZE];
	struct buf text = {0};

	buf_string(&text, "[");
	for (unsigned i = 0; i < w->n_strangers; i++)
		buf_printf(&text, "%s{\"stream\":\"5d3c1f9e-0000-5000-8000-%012u\",\"last_seq\":1}",
			   i ? "," : "", i);
	for (size_t i = 0; i < STREAMS && !uuid_equal(&w->streams[i], &none); i++) {
		uuid_format(&w->streams[i], id);
		buf_printf(&text, "%s{\"stream\":\"%s\",\"last_seq\":%llu}",
			   i || w->n_strangers ? "," : "", id,
			   (unsigned long long)(w->last_seq[i] + (w->ahead << SEQ_N_BITS)));
	}
	buf_string(&text, "]");
	buf_u8(&text, 0);
	server_respond(out, 200, "X-Ingest-Contract: 1\r\n", (const char *)text.data);
	buf_done(&text);
}

static inline bool token_is_right(const struct world *w, const char *head)
{
	char wanted[100];

	(void)snprintf(wanted, sizeof(wanted), "\r\nAuthorization: Bearer %s\r\n", w->token);
	return strstr(head, wanted) != NULL;
}

static inline void note(struct world *w, const struct server_request *q, size_t json_size)
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

static inline int next_status(struct world *w)
{
	return w->next_status < w->n_statuses ? w->statuses[w->next_status++] : w->always;
}

static inline bool answer(void *userdata, const struct server_request *q, struct buf *out)
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

static inline void on_event(void *userdata, const struct sync_event *e)
{
	struct world *w = userdata;

	assert_string_equal(e->sink, "main");
	assert_in_range(e->type, SYNC_IMMEDIATE_SUCCESS, SYNC_QUARANTINED);
	w->events[e->type] += e->count;
}

static inline void on_drained(void *userdata, const char *problem)
{
	struct world *w = userdata;

	w->drained = true;
	(void)snprintf(w->problem, sizeof(w->problem), "%s", problem ? problem : "");
}

static inline void open_store(struct world *w)
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

static inline int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	dirs_make("/dev/shm", w->dir, w->state, w->run);
	(void)snprintf(w->token_file, sizeof(w->token_file), "%s/token", w->dir);
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

static inline void start(struct world *w, enum uploader_mode mode)
{
	struct uploader_handler handler = {.userdata = w, .event = on_event, .drained = on_drained};

	assert_int_equal(uploader_new(w->event, w->store, &w->config, mode, &handler, &w->uploader),
			 0);
}

static inline int tear_down(void **state)
{
	struct world *w = *state;

	w->uploader = uploader_free(w->uploader);
	w->store = store_close(w->store);
	w->server = server_free(w->server);
	sd_event_unref(w->event);
	dirs_remove(w->dir);
	free(w);
	return 0;
}

static inline void admit(struct world *w, unsigned n)
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

static inline void write_token(struct world *w, const char *token)
{
	FILE *f = fopen(w->token_file, "w");

	assert_non_null(f);
	assert_true(fprintf(f, "%s\n", token) > 0);
	assert_int_equal(fclose(f), 0);
	w->sink.token_file = w->token_file;
}

static inline struct sink_state sink(const struct world *w)
{
	struct sink_state s;

	uploader_sink_state(w->uploader, 0, &s);
	return s;
}

static inline struct cursor_status cursor(const struct world *w)
{
	struct cursor_status c;

	store_cursor_status(w->store, 1, w->stream, &c);
	return c;
}

static inline bool all_settled(struct world *w)
{
	struct cursor_status c = cursor(w);

	return c.confirmed + c.quarantined == w->admitted;
}

static inline bool is_held(struct world *w)
{
	return sink(w).state == SINK_HELD;
}

static inline bool is_down(struct world *w)
{
	return sink(w).state == SINK_DOWN;
}

static inline bool is_up(struct world *w)
{
	return sink(w).state == SINK_UP;
}

static inline bool is_drained(struct world *w)
{
	return w->drained;
}

static inline bool is_greeted(struct world *w)
{
	return w->n_gets > 0;
}

#define run_until(w, condition) run_until_(w, condition, #condition, __LINE__)
static inline void run_until_(struct world *w, bool (*condition)(struct world *), const char *what,
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

#define start_greeted(w) start_greeted_(w, __LINE__)
static inline void start_greeted_(struct world *w, int line)
{
	start(w, UPLOADER_DAEMON);
	run_until_(w, is_greeted, "is_greeted", line);
}

#define settle(w, n) settle_(w, n, __LINE__)
static inline void settle_(struct world *w, unsigned n, int line)
{
	admit(w, n);
	run_until_(w, all_settled, "all_settled", line);
}

/* Each record is with the server or in quarantine, and the books say so. */
static inline void assert_nothing_lost(struct world *w)
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

static inline void statuses(struct world *w, size_t n, const int *list)
{
	memcpy(w->statuses, list, n * sizeof(*list));
	w->n_statuses = n;
	w->next_status = 0;
}
#define STATUSES(w, ...) statuses(w, ARRAY_SIZE(((int[]){__VA_ARGS__})), (int[]){__VA_ARGS__})
