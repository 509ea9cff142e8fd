/* What the answer to GET /v1/streams tells: a server that is ahead, behind, or knows streams that we do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"
#include "store/finding.h"
#include "store/identity.h"
#include "upload/greeting.h"

static uint32_t one_sink(struct store *s, const char *name)
{
	uint32_t sink;

	assert_int_equal(register_sink(s, name, true, false, &sink), 0);
	return sink;
}

/* n records, all of them confirmed at the sink. */
static uint64_t confirmed(struct place *p, struct store *s, uint32_t sink, uint32_t stream, int n)
{
	struct taken taken = {.room = 256};
	const struct cut_taker taker = taker_of(&taken);
	struct receipt_entry entry = {.stream = stream};
	struct cut c;

	for (int i = 0; i < n; i++)
		entry.acked_through = admit(p, s, stream, 60);
	assert_int_equal(outbox_cut(s, sink, &taker, &c), 0);
	assert_int_equal(outbox_confirm(s, &c, &entry, 1, p->now), 0);
	return entry.acked_through;
}

static int judge(struct store *s, uint32_t sink, uint32_t stream, uint64_t last_seq,
		 const char *others, struct greeting *ret)
{
	struct stream_status status;
	char id[UUID_STRING_SIZE], text[512];
	struct answer a = {.transport = TRANSPORT_OK, .status = 200, .body = (const uint8_t *)text};

	store_stream_status(s, stream, &status);
	uuid_format(&status.info.id, id);
	a.size = (size_t)snprintf(text, sizeof(text), "[{\"stream\":\"%s\",\"last_seq\":%llu}%s]",
				  id, (unsigned long long)last_seq, others);
	return greeting_judge(s, sink, &a, ret);
}

static void a_server_that_is_ahead(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t sink = one_sink(s, "home"), stream = stream_of_kind(s, KIND_HEART_RATE), fresh;
	uint64_t last = confirmed(p, s, sink, stream, 3);
	struct greeting g;

	assert_int_equal(judge(s, sink, stream, last, "", &g), 0);
	assert_int_equal(g.n_behind, 0);
	/* In our run, but not given out by us: another one has our number, and was first. */
	assert_int_equal(judge(s, sink, stream, last + 1, "", &g), GREETING_E_AHEAD);
	assert_int_equal(judge(s, sink, stream, seq_make(seq_run(last) + 1, 1), "", &g),
			 GREETING_E_AHEAD);
	assert_non_null(strstr(g.why, "copied or set back"));
	/* Under a name that is not in force it is no news. */
	assert_int_equal(store_new_incarnation(s, INCARNATION_AHEAD, "", p->now), 0);
	assert_int_equal(judge(s, sink, stream, seq_make(seq_run(last) + 9, 1), "", &g), 0);
	fresh = stream_of_kind(s, KIND_HEART_RATE);
	assert_int_equal(judge(s, sink, fresh, seq_make(seq_run(last) + 9, 1), "", &g),
			 GREETING_E_AHEAD);
	store_close(s);
}

/* A number of an earlier run that a power cut took here is at the server, and never comes again. */
static void what_a_power_cut_took(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t sink = one_sink(s, "home"), stream = stream_of_kind(s, KIND_HEART_RATE);
	uint64_t last = confirmed(p, s, sink, stream, 3);
	char path[128];
	struct greeting g;

	store_close(s);
	(void)snprintf(path, sizeof(path), "%s/tail", p->run);
	assert_int_equal(unlink(path), 0);
	s = open_store(p);
	assert_int_equal(one_sink(s, "home"), sink);
	assert_int_equal(judge(s, sink, stream, last, "", &g), 0);
	store_close(s);
}

static void streams_that_we_do_not_know(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t sink = one_sink(s, "home"), stream = stream_of_kind(s, KIND_HEART_RATE);
	uint64_t last = confirmed(p, s, sink, stream, 3);
	struct greeting g;

	assert_int_equal(judge(s, sink, stream, last, "", &g), 0);
	assert_int_equal(g.n_unknown, 0);
	assert_int_equal(
		judge(s, sink, stream, last,
		      ",{\"stream\":\"0b7e0000-0000-4000-8000-000000000001\",\"last_seq\":7}", &g),
		0);
	assert_int_equal(g.n_unknown, 1);
	/* An old name is one of ours. */
	assert_int_equal(store_new_incarnation(s, INCARNATION_BACKUP, "", p->now), 0);
	assert_int_equal(judge(s, sink, stream, last, "", &g), 0);
	assert_int_equal(g.n_unknown, 0);
	store_close(s);
}

/* There is one at most. */
static void take_finding(void *userdata, const struct finding *f)
{
	struct finding *ret = userdata;

	assert_int_equal(ret->n, 0);
	*ret = *f;
}

static void a_server_that_is_behind(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t sink = one_sink(s, "home"), stream = stream_of_kind(s, KIND_HEART_RATE);
	uint64_t last = confirmed(p, s, sink, stream, 5);
	struct finding found = {0};
	struct greeting g;

	assert_int_equal(judge(s, sink, stream, last, "", &g), 0);
	assert_int_equal(finding_each(s, take_finding, &found), 0);
	assert_int_equal(found.n, 0);
	assert_int_equal(judge(s, sink, stream, last - 2, "", &g), 0);
	assert_int_equal(g.n_behind, 1);
	assert_int_equal(g.n_again, 2);
	assert_int_equal(judge(s, sink, stream, last - 2, "", &g), 0);
	assert_int_equal(g.n_again, 0); /* they wait already */
	assert_int_equal(finding_each(s, take_finding, &found), 0);
	assert_int_equal(found.what, FINDING_LACKED);
	assert_true(found.first_seq == last - 1 && found.last_seq == last && found.n == 2);
	assert_balanced(s);
	store_close(s);
}

/* What moved for another sink stands above what this one has, and this one lacks nothing. */
static void what_is_exempt_is_not_lacked(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t near = one_sink(s, "near"), far = one_sink(s, "far");
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE), fresh;
	char id[UUID_STRING_SIZE], others[128];
	struct stream_status old;
	struct cursor_status c;
	struct greeting g;
	uint64_t last = confirmed(p, s, near, stream, 5);

	store_stream_status(s, stream, &old);
	uuid_format(&old.info.id, id);
	(void)snprintf(others, sizeof(others), ",{\"stream\":\"%s\",\"last_seq\":%llu}", id,
		       (unsigned long long)last);
	assert_int_equal(store_new_incarnation(s, INCARNATION_CONFLICT, "", p->now), 0);
	fresh = stream_of_kind(s, KIND_HEART_RATE);
	last = confirmed(p, s, near, fresh, 2);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	s = open_store(p); /* the rest moves in the next run, far owes it */
	assert_int_equal(one_sink(s, "near"), near);
	assert_int_equal(one_sink(s, "far"), far);
	while (store_move(s, p->now) == 0)
		;
	assert_int_equal(store_move_left(s), 0);
	store_cursor_status(s, near, fresh, &c);
	assert_true(c.anchor > last && c.exempt == 5);
	assert_int_equal(judge(s, near, fresh, last, others, &g), 0);
	assert_int_equal(g.n_behind, 0);
	assert_int_equal(judge(s, near, fresh, last - 1, others, &g), 0);
	assert_int_equal(g.n_again, 1);
	assert_balanced(s);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(a_server_that_is_ahead),	  store_test(what_a_power_cut_took),
		store_test(streams_that_we_do_not_know),  store_test(a_server_that_is_behind),
		store_test(what_is_exempt_is_not_lacked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
