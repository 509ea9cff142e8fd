/*
 * sink/clocks: the body to the letter, and which answers are a receipt. upload/clocks: notes go out
 * one request at a time, each until it is confirmed; a server that does not take them is left alone
 * for a day, one that fails is asked again, more and more seldom; and data comes first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_server.h"
#include "place.h"
#include "sink/clocks.h"
#include "upload/clocks.h"

#define MINUTE (60 * USEC_PER_SEC)
#define DAY    (24 * 60 * MINUTE)

static struct answer answer_of(int status, const char *contract, const char *body)
{
	return (struct answer){.status = status,
			       .contract = contract,
			       .body = (const uint8_t *)body,
			       .size = strlen(body)};
}

static void the_body(void **state)
{
	struct clock_note notes[] = {{1, "4f000000-0000-4000-8000-000000000000", 5,
				      1763798400000000},
				     {2, "5f000000-0000-4000-8000-000000000000", 6, 7}};
	struct buf out = {0};

	assert_int_equal(clocks_encode(notes, 2, &out), 0);
	buf_u8(&out, 0);
	assert_string_equal((char *)out.data,
			    "{\"clocks\":[{\"boot_id\":\"4f000000-0000-4000-8000-000000000000\","
			    "\"boot_us\":5,\"utc_us\":1763798400000000},"
			    "{\"boot_id\":\"5f000000-0000-4000-8000-000000000000\","
			    "\"boot_us\":6,\"utc_us\":7}]}");
	buf_done(&out);
}

static void what_an_answer_means(void **state)
{
	static const char good[] = "{\"contract\":1,\"clocks\":2,\"more\":[]}";
	static const struct {
		int status;
		const char *contract, *body;
		enum clocks_verdict verdict;
	} cases[] = {
		{200, "1", good, CLOCKS_TAKEN},
		{200, NULL, good, CLOCKS_LATER}, /* a portal */
		{200, "2", good, CLOCKS_LATER},
		{200, "1", "{\"contract\":1,\"clocks\":1}", CLOCKS_LATER}, /* one is missing */
		{200, "1", "{\"contract\":2,\"clocks\":2}", CLOCKS_LATER},
		{200, "1", "{\"clocks\":2}", CLOCKS_LATER},
		{200, "1", "{\"contract\":1,\"clocks\":\"2\"}", CLOCKS_LATER},
		{200, "1", "[1,2]", CLOCKS_LATER},
		{200, "1", "", CLOCKS_LATER},
		{202, "1", good, CLOCKS_LATER},
		{302, "1", good, CLOCKS_LATER},
		{401, "1", good, CLOCKS_LATER},
		{403, "1", good, CLOCKS_LATER},
		{429, "1", good, CLOCKS_LATER},
		{500, "1", good, CLOCKS_LATER},
		{503, "1", good, CLOCKS_LATER},
		{400, "1", good, CLOCKS_UNWANTED},
		{404, NULL, "", CLOCKS_UNWANTED},
		{405, NULL, "", CLOCKS_UNWANTED},
		{422, NULL, "", CLOCKS_UNWANTED},
		{501, NULL, "", CLOCKS_UNWANTED},
	};
	struct answer none = {.transport = TRANSPORT_NETWORK};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct answer a = answer_of(cases[i].status, cases[i].contract, cases[i].body);

		if (clocks_judge(&a, 2) != cases[i].verdict)
			fail_msg("case %zu: %d %s", i, cases[i].status, cases[i].body);
	}
	assert_int_equal(clocks_judge(&none, 2), CLOCKS_LATER);
}

/* A sink on a loop, with a server that answers by script. */
struct bench {
	struct place *p;
	struct store *s;
	uint32_t sink;
	sd_event *event;
	struct server *server;
	struct http *http;
	struct clocks clocks;
	int status;
	const char *headers; /* of an answer that is no receipt */
	char last[16384];    /* the body that came last */
	unsigned n_answers;
};

static bool answer(void *userdata, const struct server_request *q, struct buf *out)
{
	struct bench *b = userdata;
	char text[64];
	unsigned n = 0;

	assert_int_equal(strncmp(q->head, "POST /v1/clocks ", 16), 0);
	assert_non_null(strstr(q->head, "\r\nAuthorization: Bearer t0ken\r\n"));
	assert_true(q->size < sizeof(b->last));
	memcpy(b->last, q->body, q->size);
	b->last[q->size] = '\0';
	for (const char *at = b->last; (at = strstr(at, "boot_id")); at++)
		n++;
	(void)snprintf(text, sizeof(text), "{\"contract\":1,\"clocks\":%u}", n);
	server_respond(out, b->status, b->status == 200 ? "X-Ingest-Contract: 1\r\n" : b->headers,
		       b->status == 200 ? text : "");
	return false;
}

static int begin(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct http_options o = {0};
	void *place;

	assert_non_null(b);
	assert_int_equal(set_up(&place), 0);
	b->p = place;
	b->s = open_store(b->p);
	assert_int_equal(register_sink(b->s, "a", true, false, &b->sink), 0);
	assert_true(sd_event_new(&b->event) >= 0);
	b->server = server_new(b->event, answer, b);
	b->status = 200;
	b->headers = "";
	o.url = b->server->url;
	assert_int_equal(http_new(b->event, &o, &b->http), 0);
	*state = b;
	return 0;
}

static int end(void **state)
{
	struct bench *b = *state;
	void *place = b->p;

	clocks_done(&b->clocks);
	http_free(b->http);
	server_free(b->server);
	sd_event_unref(b->event);
	store_close(b->s);
	free(b);
	return tear_down(&place);
}

static void on_answer(void *userdata, const struct answer *a)
{
	struct bench *b = userdata;

	clocks_settle(&b->clocks, b->s, b->sink, a, b->p->now);
	b->n_answers++;
}

static void send_now(struct bench *b)
{
	assert_true(clocks_due(&b->clocks, b->s, b->sink) <= b->p->now);
	assert_int_equal(clocks_send(&b->clocks, b->s, b->sink, b->http, "t0ken", USEC_PER_SEC * 5,
				     on_answer, b, b->p->now),
			 0);
	assert_int_equal(clocks_due(&b->clocks, b->s, b->sink), USEC_INFINITY); /* one at a time */
}

static void exchange(struct bench *b)
{
	unsigned n = b->n_answers;

	send_now(b);
	while (b->n_answers == n)
		assert_true(sd_event_run(b->event, USEC_INFINITY) >= 0);
}

static void sent_until_confirmed(void **state)
{
	struct bench *b = *state;

	assert_int_equal(clocks_due(&b->clocks, b->s, b->sink), USEC_INFINITY);
	assert_int_equal(store_note_clock(b->s, 5, 1005, 0), 0);
	b->status = 503;
	for (unsigned i = 0; i < 10; i++) {
		exchange(b);
		assert_int_equal(clocks_due(&b->clocks, b->s, b->sink),
				 b->p->now + MIN(MINUTE << i, 60 * MINUTE));
		b->p->now = clocks_due(&b->clocks, b->s, b->sink);
	}
	assert_int_equal(store_note_clock(b->s, 6, 1006, 0), 0);
	b->status = 200;
	exchange(b);
	assert_non_null(strstr(b->last, "\"boot_us\":5,"));
	assert_non_null(strstr(b->last, "\"boot_us\":6,"));
	assert_int_equal(clocks_due(&b->clocks, b->s, b->sink), USEC_INFINITY);
	assert_int_equal(store_note_clock(b->s, 7, 1007, 0), 0);
	exchange(b);
	assert_null(strstr(b->last, "\"boot_us\":6,")); /* not again */
	b->status = 503;
	assert_int_equal(store_note_clock(b->s, 8, 1008, 0), 0);
	exchange(b);
	assert_int_equal(clocks_due(&b->clocks, b->s, b->sink), b->p->now + MINUTE);
	clocks_hurry(&b->clocks);
	assert_true(clocks_due(&b->clocks, b->s, b->sink) <= b->p->now);
}

static void many_go_in_portions(void **state)
{
	struct bench *b = *state;

	for (int i = 1; i <= 250; i++)
		assert_int_equal(store_note_clock(b->s, i, i, 0), 0);
	for (unsigned i = 0; i < 3; i++)
		exchange(b);
	assert_non_null(strstr(b->last, "\"boot_us\":201,"));
	assert_int_equal(clocks_due(&b->clocks, b->s, b->sink), USEC_INFINITY);
}

static void a_server_without_clocks(void **state)
{
	struct bench *b = *state;

	assert_int_equal(store_note_clock(b->s, 5, 1005, 0), 0);
	b->status = 404;
	exchange(b);
	assert_int_equal(clocks_due(&b->clocks, b->s, b->sink), b->p->now + DAY);
	clocks_hurry(&b->clocks); /* the network being back changes nothing about that */
	assert_int_equal(clocks_due(&b->clocks, b->s, b->sink), b->p->now + DAY);
	b->p->now += DAY;
	b->status = 200; /* it was renewed */
	exchange(b);
	assert_int_equal(clocks_due(&b->clocks, b->s, b->sink), USEC_INFINITY);
}

static void a_server_that_wants_to_be_left_alone(void **state)
{
	struct bench *b = *state;

	assert_int_equal(store_note_clock(b->s, 5, 1005, 0), 0);
	b->status = 429;
	b->headers = "Retry-After: 1800\r\n";
	exchange(b);
	assert_int_equal(clocks_due(&b->clocks, b->s, b->sink), b->p->now + 30 * MINUTE);
	b->p->now += 30 * MINUTE;
	b->headers = "Retry-After: 999999\r\n";
	exchange(b);
	assert_int_equal(clocks_due(&b->clocks, b->s, b->sink), b->p->now + 60 * MINUTE);
}

static void data_comes_first(void **state)
{
	struct bench *b = *state;

	clocks_yield(&b->clocks, b->p->now); /* nothing under way: nothing happens */
	assert_int_equal(store_note_clock(b->s, 5, 1005, 0), 0);
	send_now(b);
	clocks_yield(&b->clocks, b->p->now);
	assert_int_equal(clocks_due(&b->clocks, b->s, b->sink), b->p->now + MINUTE);
	while (sd_event_run(b->event, 0) > 0)
		;
	assert_int_equal(b->n_answers, 0);
	b->p->now += MINUTE;
	exchange(b);
	assert_int_equal(clocks_due(&b->clocks, b->s, b->sink), USEC_INFINITY);
}

#define bench_test(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_body),
		cmocka_unit_test(what_an_answer_means),
		bench_test(sent_until_confirmed),
		bench_test(many_go_in_portions),
		bench_test(a_server_without_clocks),
		bench_test(data_comes_first),
		bench_test(a_server_that_wants_to_be_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
