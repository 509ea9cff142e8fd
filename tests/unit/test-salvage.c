/*
 * store/salvage and store/rescue: what is read of a damaged store and how it comes into a new one:
 * under new names, owed where it was owed, once, all of a slice or nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"
#include "store/identity.h"
#include "store/rescue.h"
#include "store/rescue_frame.h"
#include "store/salvage.h"
#include "util/file.h"

#include <fcntl.h>

static struct store *open_salvaging(struct place *p, struct store_opening *opening)
{
	struct store_options o = usual_options(p);

	o.salvage = true;
	return open_as(p, &o, &synced, opening);
}

/* All frames, in order; they borrow the buffer. */
struct heard {
	struct buf bytes;
	struct rescue_message m[4096];
	size_t n;
};

static struct heard *listen_to(const struct place *p, const char *dir)
{
	struct heard *h = calloc(1, sizeof(*h));
	char path[160], out[128];
	size_t at = 0, used;
	int fd;

	assert_non_null(h);
	(void)snprintf(path, sizeof(path), "%s/%s", p->state, dir);
	(void)snprintf(out, sizeof(out), "%s/frames", p->dir);
	fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(rescue_run(path, fd), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(file_read(out, 16 << 20, &h->bytes), 0);
	while (at < h->bytes.size) {
		assert_true(h->n < ARRAY_SIZE(h->m));
		assert_int_equal(rescue_read(h->bytes.data + at, h->bytes.size - at, &h->m[h->n++],
					     &used),
				 0);
		at += used;
	}
	assert_true(h->n > 0 && h->m[h->n - 1].type == RESCUE_END);
	return h;
}

static void stop_listening(struct heard *h)
{
	buf_done(&h->bytes);
	free(h);
}

static uint64_t records_heard(const struct heard *h)
{
	uint64_t n = 0;

	for (size_t i = 0; i < h->n; i++)
		n += h->m[i].type == RESCUE_PIECE ? h->m[i].piece.n : 0;
	return n;
}

static uint64_t lost_heard(const struct heard *h)
{
	uint64_t n = 0;

	for (size_t i = 0; i < h->n; i++)
		n += h->m[i].type == RESCUE_GAP ? h->m[i].n : 0;
	return n;
}

/* 40 of a stream, in blocks of 4; sink a has the first 10, sink b none. */
static void make_store(struct place *p)
{
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE), a, b;
	struct taken taken = {.room = 10};
	struct cut_taker taker = taker_of(&taken);
	struct receipt_entry e = {.stream = stream};
	struct cut cut;

	assert_int_equal(register_sink(s, "a", true, false, &a), 0);
	assert_int_equal(register_sink(s, "b", true, false, &b), 0);
	for (unsigned i = 0; i < 40; i++) {
		(void)admit(p, s, stream, (uint16_t)(100 + i));
		if (i == 9) {
			assert_int_equal(outbox_cut(s, a, &taker, &cut), 0);
			e.acked_through = cut.ranges[0].last_seq;
			assert_int_equal(outbox_confirm(s, &cut, &e, 1, p->now), 0);
		}
		if (i % 4 == 3)
			assert_int_equal(store_commit(s, p->now), 0);
	}
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
}

static void condemn(struct place *p)
{
	struct store *s = open_store(p);

	assert_int_equal(store_condemn(s), 0);
	store_close(s);
}

/* By somebody who does not own it: the owner hears of it, and the first words stay. */
static void condemned_by_another(void **state)
{
	struct place *p = *state;
	_cleanup_(store_closep) struct store *s = open_store(p);
	char why[256] = "";

	assert_false(store_is_damaged(s, why));
	assert_int_equal(salvage_condemn(p->state, "page 7 is rubbish"), 0);
	assert_true(store_is_damaged(s, why));
	assert_string_equal(why, "page 7 is rubbish");
	assert_int_equal(store_condemn(s), 0);
	salvage_reason(p->state, why);
	assert_string_equal(why, "page 7 is rubbish");
}

static void forget_tail(const struct place *p)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/tail", p->run);
	assert_int_equal(unlink(path), 0);
}

/* As the daemon does it, in slices of n pieces; `had_a`: what a has is had by our first sink. */
static int bring_all(struct place *p, struct store *s, const struct heard *h, uint32_t stream,
		     size_t n, uint64_t had)
{
	struct salvage_piece pieces[64];
	struct salvage_status v;
	size_t k = 0;
	int r = 0;

	store_salvage_status(s, 0, &v);
	for (size_t i = 0; r == 0 && i < h->n; i++) {
		if (h->m[i].type == RESCUE_PIECE) {
			pieces[k] = h->m[i].piece;
			pieces[k].stream = stream;
			pieces[k].had &= had;
			v.brought += pieces[k++].n;
		}
		if (k == n || (h->m[i].type == RESCUE_END && k > 0)) {
			r = salvage_bring(s, &v, pieces, k, p->now);
			k = 0;
		}
	}
	return r;
}

static void what_is_owed_is_owed(void **state)
{
	struct place *p = *state;
	struct store_opening opening = {0};
	struct cursor_status at_a, at_b;
	struct salvage_status v;
	struct heard *h;
	struct store *s;
	uint32_t stream, a, b;
	uint64_t n;

	make_store(p);
	condemn(p);
	s = open_salvaging(p, &opening);
	assert_int_equal(strncmp(opening.set_aside, "damaged-", 8), 0);
	assert_int_equal(store_salvage_count(s), 1);
	stream = stream_of_kind(s, KIND_HEART_RATE);
	assert_int_equal(register_sink(s, "a", true, false, &a), 0);
	assert_int_equal(register_sink(s, "b", true, false, &b), 0);
	(void)admit(p, s, stream, 60); /* heard already */
	h = listen_to(p, opening.set_aside);
	assert_int_equal(records_heard(h), 40);
	assert_int_equal(lost_heard(h), 0);
	assert_int_equal(bring_all(p, s, h, stream, 3, 1), 0);
	(void)admit(p, s, stream, 61);
	assert_int_equal(store_commit(s, p->now), 0);
	store_cursor_status(s, a, stream, &at_a);
	store_cursor_status(s, b, stream, &at_b);
	assert_int_equal(at_a.exempt, 10);
	assert_int_equal(at_a.waiting, 32);
	assert_int_equal(at_b.exempt, 0);
	assert_int_equal(at_b.waiting, 42);
	assert_balanced(s);
	/* Sent again after the server was set back: not what it never had under this name. */
	assert_int_equal(outbox_rewind(s, a, stream, 0, &n), 0);
	assert_balanced(s);
	store_salvage_status(s, 0, &v);
	assert_int_equal(v.brought, 40);
	store_close(s);
	s = open_store(p);
	assert_balanced(s);
	store_close(s);
	stop_listening(h);
}

/*
 * A piece that a sink has is passed there, but not what was heard before it, though nothing is cut for
 * that sink now: one is held, the other left the config.
 */
static void what_is_held_stays_owed(void **state)
{
	struct place *p = *state;
	struct store_opening opening = {0};
	struct cursor_status c;
	struct heard *h;
	struct store *s;
	uint32_t stream, a, b;

	make_store(p);
	condemn(p);
	s = open_salvaging(p, &opening);
	stream = stream_of_kind(s, KIND_HEART_RATE);
	assert_int_equal(register_sink(s, "a", true, false, &a), 0);
	assert_int_equal(register_sink(s, "b", true, false, &b), 0);
	assert_int_equal(register_retire_sinks(s), 0);
	assert_int_equal(register_sink(s, "b", true, false, &b), 0);
	assert_int_equal(register_retire_sinks(s), 0); /* a */
	(void)admit(p, s, stream, 60);
	outbox_hold(s, b, stream);
	h = listen_to(p, opening.set_aside);
	for (size_t i = 0; i < h->n; i++)
		h->m[i].piece.had |= h->m[i].piece.had << 1; /* b has what a has */
	assert_int_equal(bring_all(p, s, h, stream, 3, 3), 0);
	assert_balanced(s);
	assert_int_equal(register_sink(s, "a", true, false, &a), 0);
	assert_int_equal(outbox_reopen(s, a, p->now), 0);
	assert_int_equal(outbox_unhold(s, b, stream), 0);
	for (uint32_t sink = 1; sink <= 2; sink++) {
		store_cursor_status(s, sink, stream, &c);
		assert_int_equal(c.exempt, 10);
		assert_int_equal(c.waiting, 31);
	}
	assert_balanced(s);
	store_close(s);
	stop_listening(h);
}

/* The second half of the log is gone, and the ring, which nobody wrote over, has it. */
static void the_ring_has_what_the_log_lost(void **state)
{
	struct place *p = *state;
	struct store_opening opening = {0};
	struct heard *h;
	struct store *s;
	char path[128];
	int fd;

	make_store(p);
	run_sql(p, "DELETE FROM record WHERE id > 20");
	(void)snprintf(path, sizeof(path), "%s/" SALVAGE_MARK, p->state);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "why\n", 4), 4);
	assert_int_equal(close(fd), 0);
	s = open_salvaging(p, &opening);
	assert_string_equal(opening.damage, "why");
	h = listen_to(p, opening.set_aside);
	assert_int_equal(records_heard(h), 40);
	assert_int_equal(lost_heard(h), 0);
	store_close(s);
	stop_listening(h);
}

static void what_is_gone_is_a_gap(void **state)
{
	struct place *p = *state;
	struct store_opening opening = {0};
	const struct rescue_message *gap = NULL;
	struct heard *h;
	struct store *s;

	make_store(p);
	forget_tail(p);
	condemn(p);
	forget_tail(p);
	run_sql(p, "DELETE FROM record WHERE id IN (20, 24)"); /* 17..24 */
	s = open_salvaging(p, &opening);
	h = listen_to(p, opening.set_aside);
	assert_int_equal(records_heard(h), 32);
	assert_int_equal(lost_heard(h), 8);
	for (size_t i = 0; i < h->n; i++)
		gap = h->m[i].type == RESCUE_GAP ? &h->m[i] : gap;
	assert_non_null(gap);
	assert_int_equal(gap->piece.had, 0);
	/* From the last that was found before it to the first behind it, 10 ms apart. */
	assert_int_equal(gap->until_us - gap->piece.boot_us, 9 * 10000);
	store_close(s);
	stop_listening(h);
}

/* What every sink had cannot be read: it is no loss. And without their books all is owed. */
static void the_books_decide(void **state)
{
	struct place *p = *state;
	struct store_opening opening = {0};
	struct heard *h;
	struct store *s;

	make_store(p);
	condemn(p);
	forget_tail(p);
	run_sql(p, "DELETE FROM record WHERE id = 4;" /* 1..4 */
		   "DROP TABLE quarantine; DELETE FROM cursor WHERE sink = 2");
	s = open_salvaging(p, &opening);
	h = listen_to(p, opening.set_aside);
	for (size_t i = 0; i < h->n; i++)
		assert_int_equal(h->m[i].piece.had, 0);
	assert_non_null(strstr(h->m[h->n - 1].name, "all of it is sent again"));
	store_close(s);
	stop_listening(h);
}

static void a_commit_that_fails_brings_nothing(void **state)
{
	struct place *p = *state;
	struct store_opening opening = {0};
	struct stream_status before, after;
	struct salvage_place place;
	struct heard *h;
	struct store *s;
	uint32_t stream, a;

	make_store(p);
	condemn(p);
	s = open_salvaging(p, &opening);
	stream = stream_of_kind(s, KIND_HEART_RATE);
	assert_int_equal(register_sink(s, "a", true, false, &a), 0);
	(void)admit(p, s, stream, 60);
	assert_int_equal(store_commit(s, p->now), 0);
	store_stream_status(s, stream, &before);
	h = listen_to(p, opening.set_aside);
	run_sql(p,
		"CREATE TRIGGER no BEFORE INSERT ON record BEGIN SELECT RAISE(ABORT, 'no'); END");
	assert_true(bring_all(p, s, h, stream, 3, 1) < 0);
	store_stream_status(s, stream, &after);
	assert_int_equal(after.admitted, before.admitted);
	assert_int_equal(after.last_seq, before.last_seq);
	assert_int_equal(salvage_place(s, opening.set_aside, &place), 0);
	assert_int_equal(place.id, 0);
	run_sql(p, "DROP TRIGGER no");
	assert_balanced(s);
	(void)admit(p, s, stream, 61); /* has the number that was not used */
	assert_int_equal(bring_all(p, s, h, stream, 3, 1), 0);
	store_stream_status(s, stream, &after);
	assert_int_equal(after.admitted, before.admitted + 41);
	assert_balanced(s);
	store_close(s);
	stop_listening(h);
}

/* Two halves of setting aside: whatever moment it died in, the next start goes on. */
static void setting_aside_goes_on(void **state)
{
	struct place *p = *state;
	struct store_opening opening = {0};
	char from[128], to[128];
	struct heard *h;
	struct store *s;

	make_store(p);
	(void)snprintf(to, sizeof(to), "%s/damaged.new", p->state);
	assert_int_equal(mkdir(to, 0700), 0);
	(void)snprintf(from, sizeof(from), "%s/store.db-wal", p->state);
	(void)snprintf(to, sizeof(to), "%s/damaged.new/store.db-wal", p->state);
	assert_int_equal(rename(from, to), 0);
	s = open_salvaging(p, &opening);
	assert_true(opening.set_aside[0] != '\0');
	h = listen_to(p, opening.set_aside);
	assert_int_equal(records_heard(h), 40);
	store_close(s);
	s = open_salvaging(p, &opening);
	assert_int_equal(opening.set_aside[0], '\0');
	assert_int_equal(store_salvage_count(s), 1);
	store_close(s);
	stop_listening(h);
}

/* The oldest that was read makes place; where none was read it is the card, and nothing goes. */
static void no_more_than_a_few_are_kept(void **state)
{
	struct place *p = *state;
	struct store_opening opening = {0};
	struct store_options o = {.state_dir = p->state,
				  .runtime_dir = p->run,
				  .role = "test",
				  .tail_size = 16 * 1024,
				  .salvage = true};
	char path[160];
	struct store *s;
	int fd;

	for (int i = 1; i <= SALVAGE_KEPT; i++) {
		(void)snprintf(path, sizeof(path), "%s/damaged-2020010%dT000000Z", p->state, i);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	make_store(p);
	condemn(p);
	assert_int_equal(store_open(&o, p->now, &synced, &opening, &s), STORE_E_CORRUPT);
	assert_non_null(strstr(opening.problem, "replace the card"));
	(void)snprintf(path, sizeof(path), "%s/damaged-20200103T000000Z/done", p->state);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(close(fd), 0);
	s = open_salvaging(p, &opening);
	*strrchr(path, '/') = '\0';
	assert_int_equal(access(path, F_OK), -1);
	(void)snprintf(path, sizeof(path), "%s/damaged-20200101T000000Z", p->state);
	assert_int_equal(access(path, F_OK), 0);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(what_is_owed_is_owed),
		store_test(what_is_held_stays_owed),
		store_test(the_ring_has_what_the_log_lost),
		store_test(what_is_gone_is_a_gap),
		store_test(the_books_decide),
		store_test(a_commit_that_fails_brings_nothing),
		store_test(setting_aside_goes_on),
		store_test(no_more_than_a_few_are_kept),
		store_test(condemned_by_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
