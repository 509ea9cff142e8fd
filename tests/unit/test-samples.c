/*
 * Samples through the whole store: the longest that there are, in a ring that holds two of them;
 * the tail of a daemon that died; the log; a cut for a server; the ledger at each step. And who is
 * refused first when the card fills.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"

enum { N_RECORDS = 12 };

/* Number i of a stream: every fourth is as long as can be, and as hard to pack. */
static void make(struct record *r, uint32_t stream, unsigned i, usec_t now)
{
	struct samples *s = &r->samples;

	memset(r, 0, sizeof(*r));
	r->stream = stream;
	r->type = RECORD_SAMPLES;
	r->boot_us = (int64_t)now;
	s->unit = i % 4 ? UNIT_PERCENT : UNIT_COUNT;
	s->n_channels = i % 4 ? 2 : 16;
	s->n = i % 4 ? 1 : SAMPLES_VALUES_MAX / 16;
	s->dt_ns = i % 4 ? 0 : 20000000;
	s->sensor_ns = i % 2 ? 0 : UINT64_MAX - i;
	s->exponent[1] = i % 3 ? 0 : -1;
	s->status = i;
	for (uint32_t k = 0; k < s->n * s->n_channels; k++)
		s->value[k] = i % 4 ? (int32_t)(97 - k) : k / 16 % 2 ? INT32_MAX : SAMPLES_NONE;
}

struct reading {
	uint32_t stream;
	unsigned n;
};

static int compare(void *userdata, const struct record *r)
{
	static struct record wanted;
	struct reading *reading = userdata;

	make(&wanted, reading->stream, reading->n++, 0);
	assert_int_equal(r->type, RECORD_SAMPLES);
	assert_int_equal(r->samples.sensor_ns, wanted.samples.sensor_ns);
	assert_int_equal(r->samples.dt_ns, wanted.samples.dt_ns);
	assert_int_equal(r->samples.status, wanted.samples.status);
	assert_int_equal(r->samples.unit, wanted.samples.unit);
	assert_int_equal(r->samples.n_channels, wanted.samples.n_channels);
	assert_int_equal(r->samples.n, wanted.samples.n);
	assert_memory_equal(r->samples.exponent, wanted.samples.exponent,
			    wanted.samples.n_channels);
	assert_memory_equal(r->samples.value, wanted.samples.value,
			    4 * (size_t)wanted.samples.n * wanted.samples.n_channels);
	return 0;
}

static void expect_all(struct store *s, uint32_t stream)
{
	struct reading reading = {.stream = stream};

	assert_int_equal(store_read(s, stream, 0, UINT64_MAX, 0, compare, &reading), 0);
	assert_int_equal(reading.n, N_RECORDS);
	assert_balanced(s);
}

static int take_begin(void *userdata, const struct run_info *run)
{
	return 0;
}

static int take_add(void *userdata, const struct stream_info *stream, uint64_t after,
		    const struct record *r)
{
	assert_int_equal(stream->kind, KIND_PPG);
	return compare(userdata, r);
}

static void from_the_tail_to_a_receipt(void **state)
{
	static struct record r;
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_PPG), sink;
	struct reading taken = {.stream = stream};
	const struct cut_taker taker = {&taken, take_begin, take_add};
	struct receipt_entry entry = {.stream = stream};
	struct stream_status status;
	struct cut cut = {0};
	int64_t heard;

	assert_int_equal(register_sink(s, "main", true, false, &sink), 0);
	for (unsigned i = 0; i < N_RECORDS; i++) {
		make(&r, stream, i, p->now);
		assert_int_equal(store_admit(s, &r, p->now), 0); /* the ring is emptied meanwhile */
		p->now += 10000;
	}
	expect_all(s, stream);
	s = store_close(s); /* without a last commit: what was in the tail is found there */
	s = open_store(p);
	expect_all(s, stream);
	/* A new daemon goes on where the last row ended. */
	assert_true(store_last_heard(s, stream, &heard));
	assert_int_equal(heard, p->now - 10000);
	store_stream_status(s, stream, &status);
	assert_int_equal(status.admitted, N_RECORDS);
	assert_int_equal(register_sink(s, "main", true, false, &sink), 0);
	assert_int_equal(outbox_reopen(s, sink, p->now), 0);
	assert_int_equal(outbox_claim(s, sink, p->now, &taker, &cut), 0);
	assert_int_equal(taken.n, N_RECORDS);
	entry.acked_through = cut.ranges[0].last_seq;
	entry.accepted = cut.ranges[0].count;
	assert_int_equal(outbox_confirm(s, &cut, &entry, 1, p->now), 0);
	assert_balanced(s);
	store_close(s);
}

/* The end of a frame is its last row, and one row more. */
static void heard_through_the_last_row(void **state)
{
	static struct record r;
	struct place *p = *state;
	struct store *s = open_store(p);
	uint32_t stream = stream_of_kind(s, KIND_PPG);
	int64_t heard;

	make(&r, stream, 0, p->now);
	assert_int_equal(store_admit(s, &r, p->now), 0);
	assert_int_equal(store_commit(s, p->now), 0);
	assert_true(store_last_heard(s, stream, &heard));
	assert_int_equal(heard, p->now + SAMPLES_VALUES_MAX / 16 * 20000);
	store_close(s);
}

static int admit_one(struct place *p, struct store *s, uint32_t stream, unsigned i)
{
	static struct record r;

	make(&r, stream, i, p->now);
	p->now += 1000;
	return store_admit(s, &r, p->now);
}

/* From nine tenths of max_size on curves are refused, values are not. */
static void curves_are_refused_first(void **state)
{
	static const enum kind curves[] = {KIND_ECG, KIND_ECG_COUNTS, KIND_ACCELERATION, KIND_PPG};
	static const enum kind values[] = {KIND_HEART_RATE, KIND_OXIMETRY, KIND_TEMPERATURE,
					   KIND_BLOOD_PRESSURE, KIND_PPI};
	struct place *p = *state;
	struct store_options o = usual_options(p);
	struct store *s;
	uint32_t sink, filler;

	o.max_size = 256 * 1024;
	s = open_as(p, &o, &synced, NULL);
	assert_int_equal(register_sink(s, "main", true, false, &sink), 0);
	filler = stream_of_kind(s, KIND_PPG);
	for (unsigned i = 0; admit_one(p, s, filler, 4 * i) == 0; i++)
		assert_true(i < 1000);
	for (size_t i = 0; i < ARRAY_SIZE(curves); i++)
		assert_int_equal(admit_one(p, s, stream_of_kind(s, curves[i]), 1), STORE_E_FULL);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		assert_int_equal(admit_one(p, s, stream_of_kind(s, values[i]), 1), 0);
	assert_balanced(s);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(from_the_tail_to_a_receipt),
		store_test(heard_through_the_last_row),
		store_test(curves_are_refused_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
