/*
 * Packs the content of records. A heart-rate record is four bytes, an ECG frame of 73 samples about
 * a hundred: neighbouring samples differ by little, so differences as varints are half the size of
 * the 24-bit samples that came over the air, at the price of an addition each. What is read back
 * was checksummed (tail) or comes from SQLite (log), and is checked all the same: a bad disk is
 * outside.
 *
 * The type has two bits, and there are four of them: RECORD_SAMPLES is 4, of which two bits are 0.
 */
#include "store/pack.h"

enum {
	N_RR_FOLLOWS = 7,
	HAS_SENSOR_NS = 1 << 3,
	HAS_DT_NS = 1 << 4,
	HAS_STATUS = 1 << 5,
	HAS_EXPONENTS = 1 << 6,
	SAMPLES_RESERVED = 1 << 7,
};

static uint8_t *put_varint(uint8_t *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}

static uint8_t *put_svarint(uint8_t *p, int64_t v)
{
	return put_varint(p, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

static void pack_heart_rate(const struct heart_rate *h, struct buf *out)
{
	uint8_t *start = buf_reserve(out, 16 + 3 * (size_t)h->n_rr), *p = start;
	unsigned n_rr = h->n_rr < N_RR_FOLLOWS ? h->n_rr : N_RR_FOLLOWS;

	if (!p)
		return;
	*p++ = (uint8_t)(RECORD_HEART_RATE | h->contact << 2 | (h->energy_kj >= 0) << 4 |
			 n_rr << 5);
	p = put_varint(p, h->bpm);
	if (h->energy_kj >= 0)
		p = put_varint(p, (uint64_t)h->energy_kj);
	if (n_rr == N_RR_FOLLOWS)
		p = put_varint(p, h->n_rr);
	for (size_t i = 0; i < h->n_rr; i++)
		p = put_varint(p, h->rr_1024[i]);
	out->size += (size_t)(p - start);
}

static void pack_ecg(const struct ecg *e, struct buf *out)
{
	uint8_t *start, *p;
	int64_t last = 0;

	buf_u8(out, RECORD_ECG);
	buf_le(out, e->sensor_ns, 8);
	start = p = buf_reserve(out, 20 + 5 * (size_t)e->n);
	if (!p)
		return;
	p = put_varint(p, e->dt_ns);
	p = put_varint(p, e->n);
	for (size_t i = 0; i < e->n; i++) {
		p = put_svarint(p, e->uv[i] - last);
		last = e->uv[i];
	}
	out->size += (size_t)(p - start);
}

static bool has_exponents(const struct samples *s)
{
	for (size_t i = 0; i < s->n_channels; i++)
		if (s->exponent[i])
			return true;
	return false;
}

static uint8_t samples_head(const struct samples *s)
{
	return (uint8_t)(RECORD_SAMPLES | (s->sensor_ns ? HAS_SENSOR_NS : 0) |
			 (s->dt_ns ? HAS_DT_NS : 0) | (s->status ? HAS_STATUS : 0) |
			 (has_exponents(s) ? HAS_EXPONENTS : 0));
}

static void pack_samples(const struct samples *s, struct buf *out)
{
	size_t n = (size_t)s->n * s->n_channels;
	uint8_t head = samples_head(s), *start, *p;

	buf_u8(out, head);
	buf_u8(out, s->unit);
	buf_u8(out, s->n_channels);
	buf_varint(out, s->n);
	if (head & HAS_SENSOR_NS)
		buf_le(out, s->sensor_ns, 8);
	if (head & HAS_DT_NS)
		buf_varint(out, s->dt_ns);
	if (head & HAS_STATUS)
		buf_varint(out, s->status);
	if (head & HAS_EXPONENTS)
		buf_append(out, s->exponent, s->n_channels);
	start = p = buf_reserve(out, 5 * n);
	if (!p)
		return;
	for (size_t i = 0; i < n; i++) {
		int64_t above = i < s->n_channels ? 0 : s->value[i - s->n_channels];

		p = put_svarint(p, s->value[i] - above);
	}
	out->size += (size_t)(p - start);
}

void record_pack(const struct record *r, struct buf *out)
{
	switch (r->type) {
	case RECORD_HEART_RATE: pack_heart_rate(&r->heart_rate, out); break;
	case RECORD_ECG: pack_ecg(&r->ecg, out); break;
	case RECORD_GAP:
		buf_u8(out, RECORD_GAP);
		buf_u8(out, r->gap.reason);
		buf_varint(out, r->gap.n);
		buf_svarint(out, r->gap.duration_us);
		break;
	case RECORD_SAMPLES: pack_samples(&r->samples, out); break;
	default: assert(!"a record has one of four types");
	}
}

static int unpack_heart_rate(uint8_t head, struct bytes *in, struct heart_rate *h)
{
	uint64_t n_rr = head >> 5;

	h->contact = head >> 2 & 3;
	h->bpm = (uint16_t)bytes_varint(in);
	h->energy_kj = head & 1 << 4 ? (int32_t)bytes_varint(in) : -1;
	if (n_rr == N_RR_FOLLOWS)
		n_rr = bytes_varint(in);
	if (n_rr > RR_MAX)
		return -EBADMSG;
	h->n_rr = (uint16_t)n_rr;
	for (size_t i = 0; i < n_rr; i++)
		h->rr_1024[i] = (uint16_t)bytes_varint(in);
	return 0;
}

static int unpack_ecg(struct bytes *in, struct ecg *e)
{
	uint64_t n;
	int64_t last = 0;

	e->sensor_ns = bytes_le64(in);
	e->dt_ns = (uint32_t)bytes_varint(in);
	n = bytes_varint(in);
	if (n > ECG_SAMPLES_MAX)
		return -EBADMSG;
	e->n = (uint32_t)n;
	for (size_t i = 0; i < n; i++) {
		last = (int64_t)((uint64_t)last + (uint64_t)bytes_svarint(in));
		if (last < INT32_MIN || last > INT32_MAX)
			return -EBADMSG;
		e->uv[i] = (int32_t)last;
	}
	return 0;
}

static int unpack_values(struct bytes *in, size_t n, size_t n_channels, int32_t *ret)
{
	for (size_t i = 0; i < n; i++) {
		int64_t above = i < n_channels ? 0 : ret[i - n_channels];
		int64_t v = (int64_t)((uint64_t)above + (uint64_t)bytes_svarint(in));

		if (v < INT32_MIN || v > INT32_MAX)
			return -EBADMSG;
		ret[i] = (int32_t)v;
	}
	return 0;
}

static int unpack_samples(uint8_t head, struct bytes *in, struct samples *s)
{
	const uint8_t *exponents;
	uint64_t n;

	if (!(head & RECORD_SAMPLES) || head & SAMPLES_RESERVED)
		return -EBADMSG;
	s->unit = bytes_u8(in);
	s->n_channels = bytes_u8(in);
	n = bytes_varint(in);
	if (s->n_channels < 1 || s->n_channels > SAMPLES_CHANNELS_MAX ||
	    n > SAMPLES_VALUES_MAX / s->n_channels)
		return -EBADMSG;
	s->n = (uint32_t)n;
	s->sensor_ns = head & HAS_SENSOR_NS ? bytes_le64(in) : 0;
	s->dt_ns = head & HAS_DT_NS ? (uint32_t)bytes_varint(in) : 0;
	s->status = head & HAS_STATUS ? (uint32_t)bytes_varint(in) : 0;
	memset(s->exponent, 0, sizeof(s->exponent));
	exponents = head & HAS_EXPONENTS ? bytes_take(in, s->n_channels) : NULL;
	if (exponents)
		memcpy(s->exponent, exponents, s->n_channels);
	return unpack_values(in, s->n * (size_t)s->n_channels, s->n_channels, s->value);
}

int record_unpack(struct bytes *in, struct record *ret)
{
	uint8_t head = bytes_u8(in);
	int r = 0;

	ret->type = head & 3 ? head & 3 : RECORD_SAMPLES;
	switch (ret->type) {
	case RECORD_HEART_RATE: r = unpack_heart_rate(head, in, &ret->heart_rate); break;
	case RECORD_ECG: r = unpack_ecg(in, &ret->ecg); break;
	case RECORD_GAP:
		ret->gap.reason = bytes_u8(in);
		ret->gap.n = (uint32_t)bytes_varint(in);
		ret->gap.duration_us = bytes_svarint(in);
		break;
	default: r = unpack_samples(head, in, &ret->samples); break;
	}
	return r < 0 || in->failed ? -EBADMSG : 0;
}
