/*
 * upload/tally against hashes made in one go: whatever the slices are, the windows are the same, and
 * no slice is longer than it may be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"
#include "sink/sink.h"
#include "upload/tally.h"
#include "util/digest.h"

enum { SLICE_IDS = 8192, SLICE_BYTES = 256 * 1024, RR = 9, WIDTH = 100 };

struct bench {
	struct place *p;
	struct store *s;
	struct tally *tally;
	uint32_t hr, other, sink;
	uint64_t first, last; /* of hr */
};

static uint64_t add(struct bench *b, uint32_t stream, uint8_t n_rr)
{
	struct record r = {.stream = stream,
			   .type = RECORD_HEART_RATE,
			   .boot_us = (int64_t)b->p->now,
			   .heart_rate = {.bpm = 60, .energy_kj = -1, .n_rr = n_rr}};

	assert_int_equal(store_admit(b->s, &r, b->p->now), 0);
	b->p->now += 10000;
	if (r.seq % 50 == 0)
		assert_int_equal(store_commit(b->s, b->p->now), 0);
	return r.seq;
}

static int begin(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	void *place;

	assert_non_null(b);
	assert_int_equal(set_up(&place), 0);
	b->p = place;
	b->s = open_store(b->p);
	b->hr = stream_of_kind(b->s, KIND_HEART_RATE);
	b->other = stream_of_kind(b->s, KIND_ECG);
	assert_int_equal(register_sink(b->s, "a", true, false, &b->sink), 0);
	assert_int_equal(tally_new(b->s, b->sink, &b->tally), 0);
	*state = b;
	return 0;
}

static int end(void **state)
{
	struct bench *b = *state;
	void *place = b->p;

	tally_free(b->tally);
	store_close(b->s);
	free(b);
	return tear_down(&place);
}

static int hash_one(void *userdata, const struct record *r)
{
	_cleanup_(buf_done) struct buf canonical = {0};

	record_canonical(r, &canonical);
	return digest_update(userdata, canonical.data, canonical.size);
}

static void assert_window(struct bench *b, const struct tally_window *w, uint64_t first,
			  uint64_t last)
{
	_cleanup_(digest_freep) struct digest *d = NULL;
	uint8_t hash[DIGEST_SHA256_SIZE];

	assert_int_equal(w->first_seq, first);
	assert_int_equal(w->last_seq, last);
	assert_int_equal(w->count, last - first + 1);
	assert_int_equal(digest_new(&d), 0);
	assert_int_equal(store_read(b->s, b->hr, first, last, 0, hash_one, d), 0);
	assert_int_equal(digest_finish(d, hash), 0);
	assert_memory_equal(w->sha256, hash, sizeof(hash));
}

/* How many slices it took; none counts more than `most` records. */
static unsigned count(struct bench *b, uint64_t most)
{
	const struct tally_span span = {.stream = b->hr,
					.first_seq = b->first,
					.last_seq = b->last,
					.width = WIDTH};
	uint64_t at = b->first, reached, id;
	unsigned n = 0;
	int r;

	assert_int_equal(tally_begin(b->tally, &span), 0);
	do {
		r = tally_slice(b->tally);
		reached = tally_reached(b->tally, &id);
		assert_in_range(reached - at, 0, most);
		at = reached;
		n++;
	} while (r == STORE_E_MORE);
	assert_int_equal(r, 0);
	return n;
}

static void assert_windows(struct bench *b)
{
	const struct tally_window *windows;
	size_t n = tally_windows(b->tally, &windows);

	assert_int_equal(n, (b->last - b->first) / WIDTH + 1);
	for (size_t i = 0; i < n; i++)
		assert_window(b, &windows[i], b->first + i * WIDTH,
			      MIN(b->first + (i + 1) * WIDTH - 1, b->last));
}

/* Big records: what is hashed in a slice is bounded, whatever their number. */
static void slices_of_bytes(void **state)
{
	enum { SIZE = 8 + 8 + 1 + 2 + 1 + 4 + 2 + 2 * RR, MOST = SLICE_BYTES / SIZE + 1 };
	struct bench *b = *state;

	b->first = add(b, b->hr, RR);
	for (unsigned i = 1; i < MOST + 777; i++)
		b->last = add(b, b->hr, RR);
	assert_int_equal(count(b, MOST), 2);
	assert_windows(b);
}

/* A stream that is rare in the log: what is looked at in a slice is bounded as well. */
static void slices_of_the_log(void **state)
{
	struct bench *b = *state;

	b->first = add(b, b->hr, 0);
	for (unsigned i = 1; i < 3 * SLICE_IDS; i++) {
		if (i % 20 == 0)
			b->last = add(b, b->hr, 0);
		else
			(void)add(b, b->other, 0);
	}
	assert_in_range(count(b, SLICE_IDS / 20 + 2), 3, 4);
	assert_windows(b);
}

/* It is held here, but the server refused it. */
static void quarantine_is_not_hashed(void **state)
{
	static struct taken taken;
	struct bench *b = *state;
	struct cut_taker taker = taker_of(&taken);
	const struct tally_window *windows;
	struct cut cut;

	b->first = add(b, b->hr, 1);
	assert_int_equal(outbox_cut(b->s, b->sink, &taker, &cut), 0);
	assert_int_equal(outbox_quarantine(b->s, &cut, b->p->now, "bad", "bpm"), 0);
	b->last = add(b, b->hr, 1);
	assert_int_equal(count(b, 2), 1);
	assert_int_equal(tally_windows(b->tally, &windows), 1);
	assert_int_equal(windows[0].excused, 1);
	assert_int_equal(windows[0].count, 1);
	assert_int_equal(windows[0].first_seq, b->first);
	assert_int_equal(windows[0].last_seq, b->last);
	b->first = b->last;
	assert_int_equal(count(b, 1), 1);
	assert_windows(b);
}

#define bench_test(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		bench_test(slices_of_bytes),
		bench_test(slices_of_the_log),
		bench_test(quarantine_is_not_hashed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
