/*
 * store/pack: what is packed comes back, at every limit of every field; bytes that were not packed
 * are refused, cut ones at every length.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/pack.h"

static struct buf packed;
static struct record back;

static const struct record *there_and_back(const struct record *r)
{
	struct bytes in;

	buf_reset(&packed);
	record_pack(r, &packed);
	assert_false(packed.failed);
	in = bytes_make(packed.data, packed.size);
	memset(&back, 0xff, sizeof(back));
	assert_int_equal(record_unpack(&in, &back), 0);
	assert_int_equal(bytes_left(&in), 0);
	assert_int_equal(back.type, r->type);
	for (size_t n = 0; n < packed.size; n++) {
		static struct record ignored;

		in = bytes_make(packed.data, n);
		assert_int_equal(record_unpack(&in, &ignored), -EBADMSG);
	}
	return &back;
}

static void heart_rates(void **state)
{
	static const uint16_t n_rrs[] = {0, 1, 6, 7, 8, RR_MAX};
	static const int32_t energies[] = {-1, 0, 127, 128, 65535, INT32_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(n_rrs); i++)
		for (size_t k = 0; k < ARRAY_SIZE(energies); k++)
			for (unsigned contact = 0; contact <= CONTACT_YES; contact++) {
				struct record r = {.type = RECORD_HEART_RATE,
						   .heart_rate = {.bpm = contact ? UINT16_MAX : 0,
								  .contact = (uint8_t)contact,
								  .energy_kj = energies[k],
								  .n_rr = n_rrs[i]}};
				const struct heart_rate *h;

				for (size_t j = 0; j < n_rrs[i]; j++)
					r.heart_rate.rr_1024[j] = (uint16_t)(65535 - j * 251);
				h = &there_and_back(&r)->heart_rate;
				assert_int_equal(h->bpm, r.heart_rate.bpm);
				assert_int_equal(h->contact, contact);
				assert_int_equal(h->energy_kj, energies[k]);
				assert_int_equal(h->n_rr, n_rrs[i]);
				assert_memory_equal(h->rr_1024, r.heart_rate.rr_1024,
						    n_rrs[i] * sizeof(uint16_t));
			}
}

static void ecgs(void **state)
{
	static const uint32_t ns[] = {0, 1, 73, ECG_SAMPLES_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(ns); i++) {
		struct record r = {.type = RECORD_ECG,
				   .ecg = {.sensor_ns = UINT64_MAX - i,
					   .dt_ns = UINT32_MAX,
					   .n = ns[i]}};
		const struct ecg *e;

		for (uint32_t k = 0; k < ns[i]; k++)
			r.ecg.uv[k] = k % 3 == 0 ? INT32_MIN : k % 3 == 1 ? INT32_MAX : (int32_t)k;
		e = &there_and_back(&r)->ecg;
		assert_int_equal(e->sensor_ns, r.ecg.sensor_ns);
		assert_int_equal(e->dt_ns, UINT32_MAX);
		assert_int_equal(e->n, ns[i]);
		assert_memory_equal(e->uv, r.ecg.uv, ns[i] * sizeof(int32_t));
		assert_true(packed.size <= UINT16_MAX); /* a slot must hold it */
	}
}

static void gaps(void **state)
{
	static const int64_t durations[] = {INT64_MIN, -1, 0, 1, INT64_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
		struct record r = {.type = RECORD_GAP,
				   .gap = {.reason = (uint8_t)(i + 1),
					   .n = i ? UINT32_MAX : 0,
					   .duration_us = durations[i]}};
		const struct gap *g = &there_and_back(&r)->gap;

		assert_int_equal(g->reason, i + 1);
		assert_int_equal(g->n, r.gap.n);
		assert_int_equal(g->duration_us, durations[i]);
	}
}

static void samples(void **state)
{
	static const struct {
		uint32_t n, n_channels;
	} shapes[] = {{0, 1}, {1, 1}, {1, 2}, {1, 4}, {73, 1}, {512, 3}, {90, 17}, {1536, 1}};

	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++)
		for (unsigned there = 0; there < 16; there++) {
			size_t n = (size_t)shapes[i].n * shapes[i].n_channels;
			static struct record r;
			const struct samples *s;

			r = (struct record){.type = RECORD_SAMPLES,
					    .samples = {.sensor_ns = there & 1 ? UINT64_MAX : 0,
							.dt_ns = there & 2 ? UINT32_MAX : 0,
							.status = there & 4 ? UINT32_MAX : 0,
							.unit = UNIT_MAX - 1,
							.n_channels = (uint8_t)shapes[i].n_channels,
							.n = shapes[i].n}};
			if (there & 8)
				r.samples.exponent[shapes[i].n_channels - 1] = i % 2 ? -128 : 127;
			for (size_t k = 0; k < n; k++)
				r.samples.value[k] = k % 3 == 0	  ? SAMPLES_NONE
						     : k % 3 == 1 ? INT32_MAX
								  : (int32_t)k;
			s = &there_and_back(&r)->samples;
			assert_memory_equal(s, &r.samples, offsetof(struct samples, exponent));
			assert_memory_equal(s->exponent, r.samples.exponent, shapes[i].n_channels);
			assert_int_equal(s->n, r.samples.n);
			assert_memory_equal(s->value, r.samples.value, n * sizeof(int32_t));
			assert_true(packed.size <= UINT16_MAX); /* a slot must hold it */
		}
}

static void small_things_stay_small(void **state)
{
	struct record r = {
		.type = RECORD_SAMPLES,
		.samples = {.unit = UNIT_PERCENT, .n_channels = 2, .n = 1, .value = {97, 61}}};

	(void)there_and_back(&r);
	assert_int_equal(packed.size, 7);
	/* Each channel differs little from itself, and much from its neighbours. */
	r.samples =
		(struct samples){.unit = UNIT_MILLI_G, .dt_ns = 20000000, .n_channels = 3, .n = 50};
	for (int32_t i = 0; i < 50; i++) {
		r.samples.value[3 * i] = 1000 + i % 5;
		r.samples.value[3 * i + 1] = -500 + i % 3;
		r.samples.value[3 * i + 2] = i;
	}
	(void)there_and_back(&r);
	assert_true(packed.size <= 8 + 3 * 2 + 49 * 3);
}

static int unpack(const void *data, size_t size)
{
	struct bytes in = bytes_make(data, size);

	return record_unpack(&in, &back);
}

static void refused(void **state)
{
	/* No such type; samples of no channel, of 18, too many of them, a reserved bit. */
	assert_int_equal(unpack("\x00\x01\x01\x00", 4), -EBADMSG);
	assert_int_equal(unpack("\x04\x01\x00\x00", 4), -EBADMSG);
	assert_int_equal(unpack("\x04\x01\x12\x00", 4), -EBADMSG);
	assert_int_equal(unpack("\x04\x01\x11\x5b", 4), -EBADMSG);
	assert_int_equal(unpack("\x84\x01\x01\x00", 4), -EBADMSG);
	assert_int_equal(unpack("\x04\x01\x01\x00", 4), 0);
	/* A difference that leaves 32 bits; 257 RR; 1025 samples. */
	assert_int_equal(unpack("\x04\x01\x01\x01\x80\x80\x80\x80\x10", 9), -EBADMSG);
	buf_reset(&packed);
	buf_u8(&packed, RECORD_HEART_RATE | 7 << 5);
	buf_varint(&packed, 60);
	buf_varint(&packed, RR_MAX + 1);
	for (int i = 0; i <= RR_MAX; i++)
		buf_varint(&packed, 1);
	assert_int_equal(unpack(packed.data, packed.size), -EBADMSG);
	for (int bad = 0; bad < 2; bad++) {
		buf_reset(&packed);
		buf_u8(&packed, RECORD_ECG);
		buf_le(&packed, 0, 8);
		buf_varint(&packed, 1);
		buf_varint(&packed, bad ? 1 : ECG_SAMPLES_MAX + 1);
		for (int i = 0; i <= ECG_SAMPLES_MAX; i++)
			buf_svarint(&packed, bad ? INT64_C(1) << 40 : 0);
		assert_int_equal(unpack(packed.data, packed.size), -EBADMSG);
	}
}

static int done(void **state)
{
	buf_done(&packed);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heart_rates),
		cmocka_unit_test(ecgs),
		cmocka_unit_test(gaps),
		cmocka_unit_test(samples),
		cmocka_unit_test(small_things_stay_small),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, done);
}
