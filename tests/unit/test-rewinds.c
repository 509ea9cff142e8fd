/* daemon/rewinds: what is answered is on the disk; a dry run is not; and each refusal has its words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rewinds.h"

#include "place.h"

struct bench {
	struct place *place;
	struct store *store;
	uint32_t hr, sink;
	struct control_rewind wish;
};

static struct bench make(void **state, unsigned n)
{
	struct bench b = {.place = *state, .store = open_store(*state)};
	struct taken taken = {.room = 256};
	struct cut_taker taker = taker_of(&taken);
	struct receipt_entry e = {0};
	struct stream_status status;
	struct cut cut;

	b.hr = stream_of_kind(b.store, KIND_HEART_RATE);
	assert_int_equal(register_sink(b.store, "main", true, false, &b.sink), 0);
	while (n--)
		(void)admit(b.place, b.store, b.hr, 60);
	assert_int_equal(outbox_cut(b.store, b.sink, &taker, &cut), 0);
	e = (struct receipt_entry){.stream = b.hr, .acked_through = cut.ranges[0].last_seq};
	assert_int_equal(outbox_confirm(b.store, &cut, &e, 1, b.place->now), 0);
	assert_int_equal(store_commit(b.store, b.place->now), 0);
	store_stream_status(b.store, b.hr, &status);
	b.wish = (struct control_rewind){.sink = "main", .stream = status.info.id};
	return b;
}

static uint64_t rewind_it(struct bench *b)
{
	_cleanup_(tables_done) struct tables t = {0};
	char why[200];

	assert_int_equal(rewinds_do(b->store, &b->wish, b->place->now, &t, why), 0);
	assert_false(tables_failed(&t));
	assert_true(table_rows(tables_find(&t, "rewound")) <= 1);
	return table_get_u64(tables_find(&t, "rewound"), 0, "records", 0);
}

/* As it would be found after a power cut. */
static uint64_t waiting_on_disk(const struct bench *b)
{
	_cleanup_(store_closep) struct store *look = NULL;
	struct cursor_status c;

	assert_int_equal(store_look(b->place->state, b->place->run, &look), 0);
	store_cursor_status(look, b->sink, b->hr, &c);
	return c.waiting;
}

static void what_is_answered_is_on_the_disk(void **state)
{
	struct bench b = make(state, 9);

	b.wish.after_seq = seq_make(1, 4);
	b.wish.dry_run = true;
	assert_int_equal(rewind_it(&b), 5);
	assert_int_equal(waiting_on_disk(&b), 0);
	b.wish.dry_run = false;
	assert_int_equal(rewind_it(&b), 5);
	assert_int_equal(waiting_on_disk(&b), 5);
	assert_int_equal(rewind_it(&b), 0);
	assert_balanced(b.store);
	store_close(b.store);
}

static void since_a_time(void **state)
{
	struct bench b = make(state, 9); /* 10 ms apart, up to now */

	b.wish.since_us = synced.offset_us + (int64_t)b.place->now - 30000;
	assert_int_equal(rewind_it(&b), 3);
	b.wish.since_us = synced.offset_us + (int64_t)b.place->now;
	assert_int_equal(rewind_it(&b), 0); /* nothing is so young */
	store_close(b.store);
}

static void is_refused(struct bench *b, const char *words)
{
	_cleanup_(tables_done) struct tables t = {0};
	char why[200] = "";

	assert_int_equal(rewinds_do(b->store, &b->wish, b->place->now, &t, why), CONTROL_E_REFUSED);
	assert_non_null(strstr(why, words));
	assert_int_equal(waiting_on_disk(b), 0);
}

static void refusals(void **state)
{
	struct bench b = make(state, 3);

	b.wish.sink = "other";
	is_refused(&b, "no such server");
	b.wish.sink = "main";
	b.wish.stream.bytes[0] ^= 1;
	is_refused(&b, "no such stream");
	b.wish.stream.bytes[0] ^= 1;
	assert_int_equal(register_retire_sinks(b.store), 0); /* it was asked for since the last */
	assert_int_equal(register_retire_sinks(b.store), 0);
	is_refused(&b, "no such server");
	store_close(b.store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(what_is_answered_is_on_the_disk),
		store_test(since_a_time),
		store_test(refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
