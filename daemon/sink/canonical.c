/*
 * Canonical bytes: the one form of a record that never depends on how JSON was written that year.
 * Batch ids, the windows of a reconcile and the server's idea of `conflict` are hashes over them,
 * so they are fixed for ever; tests/unit/test-canonical.c holds them byte by byte. Little-endian:
 *
 *   seq u64 | t_us i64 | clk u8 | then, by type
 *   heart_rate   bpm u16 | contact u8 | energy_kj i32, -1 for none | n u16 | rr_1024 u16 * n
 *   ecg          dt_ns u32 | n u32 | uv i32 * n
 *   gap          reason u8 | from_us i64 | to_us i64 | n u32
 *   samples      sensor_ns u64 | dt_ns u32 | status u32 | unit u8 | n_channels u8 |
 *                exponent i8 * n_channels | n u32 | value i32 * n * n_channels, row after row;
 *                -2^31 where the sensor has none
 *
 * t_us and from_us are the same instant in a gap; to_us is from_us plus the gap's duration. There
 * is no length and no type in front: seq alone tells records apart, and a window lists them in its
 * order.
 */
#include "sink/canonical.h"

#include "sink/sink.h"

enum { HEAD = 17, HEART_RATE_FIXED = 9, ECG_FIXED = 8, GAP_FIXED = 21, SAMPLES_FIXED = 22 };

static uint8_t *put_le(uint8_t *p, uint64_t v, size_t width)
{
	for (size_t i = 0; i < width; i++)
		p[i] = (uint8_t)(v >> (8 * i));
	return p + width;
}

static uint8_t *put_heart_rate(uint8_t *p, const struct heart_rate *h)
{
	p = put_le(p, h->bpm, 2);
	p = put_le(p, h->contact, 1);
	p = put_le(p, (uint32_t)h->energy_kj, 4);
	p = put_le(p, h->n_rr, 2);
	for (size_t i = 0; i < h->n_rr; i++)
		p = put_le(p, h->rr_1024[i], 2);
	return p;
}

static uint8_t *put_gap(uint8_t *p, const struct gap *g, int64_t from_us)
{
	p = put_le(p, g->reason, 1);
	p = put_le(p, (uint64_t)from_us, 8);
	p = put_le(p, (uint64_t)(from_us + g->duration_us), 8);
	return put_le(p, g->n, 4);
}

static size_t n_values(const struct samples *s)
{
	return (size_t)s->n * s->n_channels;
}

static uint8_t *put_samples(uint8_t *p, const struct samples *s)
{
	p = put_le(p, s->sensor_ns, 8);
	p = put_le(p, s->dt_ns, 4);
	p = put_le(p, s->status, 4);
	p = put_le(p, s->unit, 1);
	p = put_le(p, s->n_channels, 1);
	for (size_t i = 0; i < s->n_channels; i++)
		p = put_le(p, (uint8_t)s->exponent[i], 1);
	p = put_le(p, s->n, 4);
	return canonical_write_values(s->value, n_values(s), p);
}

size_t canonical_size(const struct record *r)
{
	switch (r->type) {
	case RECORD_HEART_RATE: return HEAD + HEART_RATE_FIXED + 2 * (size_t)r->heart_rate.n_rr;
	case RECORD_ECG: return HEAD + ECG_FIXED + 4 * (size_t)r->ecg.n;
	case RECORD_SAMPLES:
		return HEAD + SAMPLES_FIXED + r->samples.n_channels + 4 * n_values(&r->samples);
	default: return HEAD + GAP_FIXED;
	}
}

uint8_t *canonical_write_values(const int32_t *v, size_t n, uint8_t *p)
{
	for (size_t i = 0; i < n; i++)
		p = put_le(p, (uint32_t)v[i], 4);
	return p;
}

uint8_t *canonical_write(const struct record *r, uint8_t *p)
{
	p = put_le(p, r->seq, 8);
	p = put_le(p, (uint64_t)record_wall_us(r), 8);
	p = put_le(p, r->clk, 1);
	switch (r->type) {
	case RECORD_HEART_RATE: return put_heart_rate(p, &r->heart_rate);
	case RECORD_ECG:
		p = put_le(p, r->ecg.dt_ns, 4);
		p = put_le(p, r->ecg.n, 4);
		return canonical_write_values(r->ecg.uv, r->ecg.n, p);
	case RECORD_SAMPLES: return put_samples(p, &r->samples);
	default: return put_gap(p, &r->gap, record_wall_us(r));
	}
}

void record_canonical(const struct record *r, struct buf *out)
{
	size_t n = canonical_size(r);
	uint8_t *p = buf_reserve(out, n);

	if (!p)
		return;
	(void)canonical_write(r, p); /* its end is p + n */
	out->size += n;
}
