/*
 * The compression of Polar's measurement data (PSDK, technical_documentation, and its pmd package):
 * a reference sample, then blocks to the end of the payload, each of them
 *
 *	u8 bits   u8 count   count * channels deltas of `bits` bits, lowest bit first,
 *	                     channels interleaved, two's complement, padded to a byte
 *
 * Each delta adds to the sample before it. Eleven bytes of blocks can promise a thousand samples, so
 * all are walked before any is unpacked. Sums wrap at 32 bits, which no sensor reaches.
 */
#include "decode/delta.h"

enum { DELTA_BITS_MAX = 32 };

static int malformed(struct decode_error *error, size_t at, const char *what)
{
	return decode_fail(error, DECODE_E_MALFORMED, at, "%s", what);
}

static int measure_block(struct bytes *b, size_t n_channels, uint8_t *ret_count,
			 struct decode_error *error)
{
	size_t at = b->at, need;
	uint8_t bits = bytes_u8(b), count = bytes_u8(b);

	if (b->failed)
		return malformed(error, b->size, "expected bits and count of a block of deltas");
	if (bits > DELTA_BITS_MAX)
		return malformed(error, at, "expected deltas of at most 32 (0x20) bits");
	need = ((size_t)bits * count * n_channels + 7) / 8;
	if (!bytes_take(b, need))
		return decode_fail(error, DECODE_E_MALFORMED, b->size,
				   "expected %zu bytes of deltas in the block at byte %zu", need,
				   at);
	*ret_count = count;
	return 0;
}

int delta_measure(const struct bytes *payload, size_t n_channels, size_t width, uint32_t max,
		  struct delta *ret, struct decode_error *error)
{
	struct bytes b = *payload;
	uint8_t count = 0;
	int r;

	assert(n_channels >= 1 && n_channels <= DELTA_CHANNELS_MAX && width >= 1 && width <= 4);
	for (size_t c = 0; c < n_channels; c++)
		ret->reference[c] = (int32_t)bytes_sle(&b, width);
	if (b.failed)
		return decode_fail(error, DECODE_E_MALFORMED, b.size,
				   "expected a reference sample of %zu bytes", n_channels * width);
	ret->bytes = b;
	ret->n_channels = n_channels;
	ret->n = 1;
	while (bytes_left(&b) > 0) {
		size_t at = b.at;

		r = measure_block(&b, n_channels, &count, error);
		if (r != 0)
			return r;
		ret->n += count;
		if (ret->n > max)
			return decode_fail(error, DECODE_E_MALFORMED, at + 1,
					   "expected at most %u samples after unpacking", max);
	}
	return 0;
}

/* `width` bits (0 to 32) from bit `at` on, sign-extended. */
static uint32_t take_delta(const uint8_t *packed, size_t at, unsigned width)
{
	size_t first = at / 8, last = (at + width + 7) / 8;
	uint32_t sign = width > 0 ? UINT32_C(1) << (width - 1) : 0;
	uint64_t v = 0;

	for (size_t i = first; i < last; i++)
		v |= (uint64_t)packed[i] << (8 * (i - first));
	v = v >> (at % 8) & ((UINT64_C(1) << width) - 1);
	return ((uint32_t)v ^ sign) - sign;
}

void delta_unpack(struct delta *d, int32_t *ret)
{
	struct bytes *b = &d->bytes;
	size_t n = d->n_channels;

	memcpy(ret, d->reference, n * sizeof(*ret));
	while (bytes_left(b) > 0) {
		unsigned width = bytes_u8(b);
		size_t n_deltas = bytes_u8(b) * d->n_channels;
		const uint8_t *packed = bytes_take(b, (width * n_deltas + 7) / 8);

		assert(packed); /* delta_measure() walked the same blocks */
		for (size_t i = 0; i < n_deltas; i++, n++) {
			uint32_t before = (uint32_t)ret[n - d->n_channels];

			ret[n] = (int32_t)(before + take_delta(packed, i * width, width));
		}
	}
}
