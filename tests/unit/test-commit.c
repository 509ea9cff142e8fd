/*
 * store/commit and store/admit on a disk that fails: slots are kept, the commit is tried again, one
 * of unknown outcome writes nothing twice; a ring that is full of what no commit takes sheds,
 * counts and says so in a gap record; when a commit is due for whom.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/rates.h"
#include "store/state.h"
#include "world.h"

#include <signal.h>
#include <sys/resource.h>

/* No file grows beyond `size` from now on. */
static void limit_files(rlim_t size)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static int admit_one(struct place *p, struct store *s, uint32_t stream)
{
	struct record r = {.stream = stream,
			   .type = RECORD_HEART_RATE,
			   .boot_us = (int64_t)p->now,
			   .heart_rate = {.bpm = 60, .energy_kj = -1}};
	int e = store_admit(s, &r, p->now);

	p->now += 1000;
	return e;
}

struct gaps {
	unsigned n, records;
	struct gap last;
};

static int count_gaps(void *userdata, const struct record *r)
{
	struct gaps *g = userdata;

	g->records++;
	if (r->type == RECORD_GAP) {
		g->n++;
		g->last = r->gap;
	}
	return 0;
}

static int same_as_before(void *userdata, const struct record *r)
{
	unsigned *n = userdata;

	assert_int_equal(r->type, RECORD_HEART_RATE);
	assert_int_equal(r->heart_rate.bpm, 40 + *n % 100);
	assert_int_equal(r->heart_rate.n_rr, 3);
	assert_int_equal(r->heart_rate.rr_1024[2], *n);
	++*n;
	return 0;
}

/* The ring is full, and the record that finds it so waits in memory while a commit makes room for it. */
static void what_finds_the_ring_full(void **state)
{
	enum { RECORDS = 2000 }; /* the ring has room for 150 */
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE), sink;
	const struct rates_batch batch = {.confirmed = true, .n_records = 1, .mean_ms = 100};
	unsigned n = 0;

	assert_int_equal(register_sink(s, "a", true, false, &sink), 0);
	for (unsigned i = 0; i < RECORDS; i++) {
		struct record r = {.stream = stream,
				   .type = RECORD_HEART_RATE,
				   .boot_us = (int64_t)p->now,
				   .heart_rate = {.bpm = (uint16_t)(40 + i % 100),
						  .energy_kj = -1,
						  .n_rr = 3,
						  .rr_1024 = {800, 900, (uint16_t)i}}};

		store_count_batch(s, sink, &batch,
				  clock_wall_usec()); /* a commit writes that, too */
		assert_int_equal(store_admit(s, &r, p->now), 0);
		p->now += USEC_PER_SEC;
	}
	assert_int_equal(store_read(s, stream, 1, UINT64_MAX, 0, same_as_before, &n), 0);
	assert_int_equal(n, RECORDS);
	assert_true(s->commits > 5);
	store_close(s);
}

static void a_full_card(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	unsigned admitted = 0, shed = 0;
	struct stream_status status;
	struct gaps gaps = {0};
	int64_t from;

	assert_int_equal(store_commit(s, p->now), 0); /* with what wear there was so far */
	limit_files(0);
	assert_int_equal(store_commit(s, p->now), 0); /* nothing to write */
	while (admit_one(p, s, stream) == 0)
		admitted++;
	assert_true(admitted > 100); /* the whole ring */
	from = (int64_t)p->now - 1000;
	for (shed = 1; shed < 10; shed++)
		assert_int_equal(admit_one(p, s, stream), STORE_E_FULL);
	assert_true(store_commit(s, p->now) < 0);
	assert_true(strlen(store_problem(s)) > 0);
	assert_int_equal(store_commit_due(s), p->now + USEC_PER_SEC); /* not in a loop */
	limit_files(RLIM_INFINITY);
	assert_int_equal(admit_one(p, s, stream), STORE_E_FULL); /* before the next try */
	shed++;
	p->now += USEC_PER_SEC;
	assert_int_equal(admit_one(p, s, stream), 0);
	assert_int_equal(store_commit(s, p->now), 0);
	assert_int_equal(store_read(s, stream, 1, UINT64_MAX, 0, count_gaps, &gaps), 0);
	assert_int_equal(gaps.records, admitted + 2);
	assert_int_equal(gaps.n, 1);
	assert_int_equal(gaps.last.reason, GAP_STORE_FULL);
	assert_int_equal(gaps.last.n, shed);
	assert_int_equal(gaps.last.duration_us, (int64_t)p->now - 1000 - from);
	store_stream_status(s, stream, &status);
	assert_int_equal(status.shed, shed);
	assert_balanced(s);
	store_close(s);
}

/* A strap that is put away while the card is full: its gap is told all the same. */
static void what_was_shed_is_told_without_a_next_record(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE);
	struct gaps gaps = {0};

	assert_int_equal(store_tell_shed(s, p->now), STORE_E_NOTHING);
	limit_files(0);
	while (admit_one(p, s, stream) == 0)
		;
	assert_true(store_commit(s, p->now) < 0);
	assert_int_equal(store_tell_shed(s, p->now), STORE_E_FULL);
	limit_files(RLIM_INFINITY);
	p->now += 5 * USEC_PER_SEC;
	assert_int_equal(store_finish(s, p->now), 0);
	assert_int_equal(store_tell_shed(s, p->now), STORE_E_NOTHING);
	assert_int_equal(store_read(s, stream, 1, UINT64_MAX, 0, count_gaps, &gaps), 0);
	assert_int_equal(gaps.n, 1);
	assert_int_equal(gaps.last.reason, GAP_STORE_FULL);
	assert_int_equal(gaps.last.n, 1);
	assert_balanced(s);
	store_close(s);
}

/* fdatasync() fails behind the last byte of a commit: what it did is known after the next start. */
static void a_commit_of_unknown_outcome(void **state)
{
	static const bool died[] = {false, true};

	for (size_t i = 0; i < ARRAY_SIZE(died); i++) {
		static struct world w;
		struct gaps gaps = {0};
		uint32_t stream;

		w = (struct world){0};
		assert_int_equal(set_up((void **)&w.p), 0);
		w.s = open_store(w.p);
		stream = stream_of_kind(w.s, KIND_HEART_RATE);
		(void)admit(w.p, w.s, stream, 1);
		(void)admit(w.p, w.s, stream, 2);
		sync_fails = true;
		assert_true(store_commit(w.s, w.p->now) < 0);
		sync_fails = false;
		(void)admit(w.p, w.s, stream, 3);
		if (died[i]) {
			world_die(&w, false);
			w.s = open_store(w.p);
		} else {
			assert_int_equal(store_commit(w.s, w.p->now), 0);
		}
		(void)admit(w.p, w.s, stream, 4);
		assert_int_equal(store_read(w.s, stream, 1, UINT64_MAX, 0, count_gaps, &gaps), 0);
		assert_int_equal(gaps.records, 4);
		assert_balanced(w.s);
		store_close(w.s);
		assert_int_equal(tear_down((void **)&w.p), 0);
	}
}

static void when_it_is_due(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_HEART_RATE), required, optional;
	struct taken taken = {.room = 10};
	struct cut_taker taker = taker_of(&taken);
	struct receipt_entry e = {.stream = stream};
	usec_t heard = p->now;
	struct cut cut;

	(void)admit(p, s, stream, 1);
	assert_int_equal(store_commit_due(s), heard + USEC_PER_SEC); /* nobody else has it */
	assert_int_equal(register_sink(s, "a", true, false, &required), 0);
	assert_int_equal(register_sink(s, "b", false, false, &optional), 0);
	assert_int_equal(store_commit_due(s), USEC_INFINITY);
	heard = p->now;
	e.acked_through = admit(p, s, stream, 1);
	assert_int_equal(outbox_reopen(s, required, p->now), 0);
	assert_int_equal(store_commit(s, p->now), 0);
	heard = p->now;
	e.acked_through = admit(p, s, stream, 1);
	assert_int_equal(store_commit_due(s), heard + USEC_PER_SEC);
	assert_int_equal(outbox_cut(s, required, &taker, &cut), 0);
	assert_int_equal(store_commit_due(s), heard + USEC_PER_SEC); /* no answer yet */
	assert_int_equal(outbox_confirm(s, &cut, &e, 1, p->now), 0);
	assert_int_equal(store_commit_due(s), heard + 300 * USEC_PER_SEC); /* lazily */
	for (unsigned i = 0; i < 130; i++)
		(void)admit(p, s, stream, 1);
	assert_int_equal(store_commit_due(s), 0); /* half full */
	store_close(s);
}

static unsigned n_unreadable;
static uint8_t newest;

static void on_unreadable(void *userdata, const struct undecoded *u)
{
	n_unreadable++;
	newest = u->data[0];
}

/* A strap with a firmware that nobody knows sends them all day: no reason to write to the card all day. */
static void what_nobody_can_read_waits(void **state)
{
	struct place *p = *state;
	struct store *s = open_store(p);
	uint8_t bytes = 0;
	const struct undecoded u = {.device = "a0:b1:c2:d3:e4:f5", .data = &bytes, .size = 1};
	usec_t first = p->now;

	assert_int_equal(store_commit(s, p->now), 0);
	for (; bytes < 100; bytes++, p->now += USEC_PER_SEC)
		assert_int_equal(store_keep_undecoded(s, &u, p->now), 0);
	assert_int_equal(store_commit_due(s), first + 300 * USEC_PER_SEC);
	n_unreadable = 0;
	assert_int_equal(store_each_undecoded(s, on_unreadable, NULL), 0);
	assert_int_equal(n_unreadable, 64); /* of so many without a commit, the newest */
	assert_int_equal(newest, 99);
	assert_int_equal(store_commit(s, p->now), 0);
	assert_int_equal(store_commit_due(s), USEC_INFINITY);
	assert_int_equal(ask_sql(p, "SELECT count(*) FROM undecoded"), 64);
	assert_int_equal(ask_sql(p, "SELECT value FROM meta WHERE key = 'undecoded'"), 100);
	store_close(s);
}

/* A reload: what was promised before counts from the next look. */
static void other_options(void **state)
{
	const struct store_options o = {.durability_window = 50 * USEC_PER_MSEC,
					.lazy_commit = USEC_PER_SEC};
	struct place *p = *state;
	struct store *s = open_store(p);
	usec_t heard = p->now;

	(void)admit(p, s, stream_of_kind(s, KIND_HEART_RATE), 60);
	assert_int_equal(store_commit_due(s), heard + USEC_PER_SEC);
	store_set_options(s, &o);
	assert_int_equal(store_commit_due(s), heard + 50 * USEC_PER_MSEC);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(what_nobody_can_read_waits),
		store_test(other_options),
		store_test(what_finds_the_ring_full),
		store_test(a_full_card),
		store_test(what_was_shed_is_told_without_a_next_record),
		cmocka_unit_test(a_commit_of_unknown_outcome),
		store_test(when_it_is_due),
	};

	(void)signal(SIGXFSZ, SIG_IGN); /* the error is what is wanted */
	flaky_disk();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
