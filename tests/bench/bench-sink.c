/*
 * What one record costs on its way into a body, in nanoseconds of this process on one core: text
 * and canonical bytes (batch_add), hash and gzip (batch_finish), and the canonical bytes with their
 * SHA-256 alone. Bodies of 256 KiB; the best of several rounds, since anything else that runs here
 * only adds.
 */
#include "sink/sink.h"
#include "util/digest.h"

#include <stdio.h>
#include <time.h>

enum { BODY = 256 * 1024, ROUNDS = 40 };

struct cost {
	double add, finish;
	size_t records, json, gzip;
};

static double now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint32_t noise(void)
{
	static uint32_t state = 1;

	state = state * 1103515245 + 12345;
	return state >> 16;
}

static void make(struct record *r, uint8_t type, uint64_t n)
{
	r->type = type;
	r->clk = CLK_UTC;
	r->seq = seq_make(2, n + 1);
	r->boot_us = (int64_t)n * (type == RECORD_ECG ? 561538 : 1000000) + noise() % 3000;
	r->offset_us = INT64_C(1763798400000000);
	if (type == RECORD_HEART_RATE) {
		r->heart_rate.bpm = (uint16_t)(68 + n / 16 % 8);
		r->heart_rate.contact = CONTACT_YES;
		r->heart_rate.energy_kj = -1;
		r->heart_rate.n_rr = 1;
		r->heart_rate.rr_1024[0] = (uint16_t)(61440 / r->heart_rate.bpm + noise() % 40);
		return;
	}
	r->ecg.dt_ns = 7689500;
	r->ecg.n = 73;
	for (size_t i = 0; i < r->ecg.n; i++)
		r->ecg.uv[i] = (int32_t)(noise() % 120) - 60;
}

static void one_body(struct batch *b, uint8_t type, size_t n_streams, struct cost *best)
{
	static const struct run_info run = {.number = 2, .boot_id = "b"};
	static struct record records[4096];
	struct stream_info streams[16];
	const uint8_t *body;
	struct uuid id;
	size_t size, n = 0;
	double start;

	for (size_t i = 0; i < n_streams; i++)
		streams[i] = (struct stream_info){.number = (uint32_t)i + 1,
						  .kind = type,
						  .id = {{(uint8_t)i}},
						  .device = "a0:b1:c2:d3:e4:f5",
						  .subject = "u-1"};
	for (size_t i = 0; i < 4096; i++)
		make(&records[i], type, i / n_streams);
	start = now_ns();
	batch_begin(b, "gw-0001", &run);
	for (; batch_size(b) < BODY && n < 4096; n++)
		if (batch_add(b, &streams[n % n_streams], 0, &records[n]) < 0)
			abort();
	best->add = MIN(best->add, (now_ns() - start) / (double)n);
	best->json = batch_size(b) / n;
	start = now_ns();
	if (batch_finish(b, true, &id, &body, &size) < 0)
		abort();
	best->finish = MIN(best->finish, (now_ns() - start) / (double)n);
	best->records = n;
	best->gzip = size / n;
}

static void bodies(const char *name, uint8_t type, size_t n_streams)
{
	_cleanup_(batch_freep) struct batch *b = NULL;
	struct cost best = {.add = 1e9, .finish = 1e9};

	if (batch_new(&b) < 0)
		abort();
	for (int i = 0; i < ROUNDS; i++)
		one_body(b, type, n_streams, &best);
	printf("%-24s add %6.0f  finish %6.0f  total %6.0f ns; JSON %zu B, gzip %zu B (%zu a "
	       "body)\n",
	       name, best.add, best.finish, best.add + best.finish, best.json, best.gzip,
	       best.records);
}

static void canonical(const char *name, uint8_t type)
{
	_cleanup_(digest_freep) struct digest *d = NULL;
	_cleanup_(buf_done) struct buf out = {0};
	static struct record r;
	uint8_t hash[DIGEST_SHA256_SIZE];
	double best = 1e9, start;

	if (digest_new(&d) < 0)
		abort();
	make(&r, type, 1);
	for (int round = 0; round < ROUNDS; round++) {
		start = now_ns();
		buf_reset(&out);
		for (r.seq = seq_make(2, 1); r.seq < seq_make(2, 1001); r.seq++)
			record_canonical(&r, &out);
		if (digest_update(d, out.data, out.size) < 0 || digest_finish(d, hash) < 0)
			abort();
		best = MIN(best, (now_ns() - start) / 1000);
	}
	printf("%-24s canonical bytes and SHA-256 %6.0f ns\n", name, best);
}

int main(void)
{
	bodies("heart rate, 1 stream", RECORD_HEART_RATE, 1);
	bodies("heart rate, 10 streams", RECORD_HEART_RATE, 10);
	bodies("ECG, 1 stream", RECORD_ECG, 1);
	bodies("ECG, 10 streams", RECORD_ECG, 10);
	canonical("heart rate", RECORD_HEART_RATE);
	canonical("ECG", RECORD_ECG);
	return 0;
}
