/*
 * Polar Measurement Data: the ECG and acceleration of Polar's sensors. Not a Bluetooth standard;
 * the layouts are those of Polar's SDK (github.com/polarofficial/polar-ble-sdk, and the PDF of the
 * PMD specification in its technical_documentation/). Little-endian throughout.
 *
 * A frame, from fb005c82:
 *
 *	0     type         b0-5: 0 ECG, 2 ACC, ...; b6-7 tell recordings from live streams
 *	1-8   time         ns since 2000-01-01 on the sensor's clock, of the LAST sample
 *	9     frame type   b0-6: layout; b7: delta-compressed
 *	10-   samples
 *
 *	ECG 0   s24 microvolts                        the only one that an H10 sends, 73 a frame
 *	ECG 1   u16 of which 14 bits count, u8 of tags
 *	ECG 2   u24 of which 18 bits count, then tags
 *	ECG 3   s24 signal, s24 second signal, u8 status
 *	ACC 0, 1, 2   x, y, z of s8, s16, s24 milli-g
 *
 * ECG 1 to 3 are counts of the converter: no scale is published, so they are passed on as they are.
 *
 * Compressed: a reference sample (s24 for ECG, three s16 for ACC), then blocks to the end:
 *
 *	u8 bits   u8 count   count * channels deltas of `bits` bits, lowest bit first,
 *	                     channels interleaved, two's complement, padded to a byte
 *
 * Each delta adds to the sample before it. Blocks are measured before any is unpacked: a frame that
 * ends inside a block, or unpacks to more than we hold, is refused whole and the result untouched.
 * Sums wrap at 32 bits, which no sensor reaches. ACC 0 compressed is in g after the factor, ACC 1
 * in milli-g.
 *
 * The control point, fb005c81, answers commands with indications:
 *
 *	0 F0   1 op   2 type   3 error   4 more   5- parameters
 *
 * An H10 whose MTU is still 23 refuses every command with 4 bytes, F0 00 01 0A: "invalid MTU".
 */
#include "decode/pmd.h"

#include "model/frame.h"
#include "util/bytes.h"

#include <math.h>

#define FACTOR_MAX 1e30 /* straps say 0.000244 and the like; this much cannot overflow */

enum {
	TYPE_MASK = 0x3f,
	COMPRESSED = 0x80,
	HEADER_SIZE = 10,
	FRAME_TYPE_AT = 9,
	ANSWER = 0xf0,
	ANSWER_SIZE_MIN = 4,
	DELTA_BITS_MAX = 32,
	CHANNELS_MAX = 3,
};

/* A delta-compressed payload that has been measured: unpacking it cannot fail. */
struct delta {
	struct bytes bytes; /* at the first block */
	size_t n_channels;
	uint32_t n; /* samples, the reference included */
	int32_t reference[CHANNELS_MAX];
};

static int malformed(struct decode_error *error, size_t at, const char *what)
{
	return decode_fail(error, DECODE_E_MALFORMED, at, "%s", what);
}

int pmd_header_decode(const uint8_t *data, size_t size, struct pmd_header *ret,
		      struct decode_error *error)
{
	struct bytes b = bytes_make(data, size);
	uint8_t frame_type;

	if (size < HEADER_SIZE)
		return malformed(error, size, "expected a header of 10 bytes");
	if (size > FRAME_MAX)
		return decode_fail(error, DECODE_E_MALFORMED, FRAME_MAX,
				   "expected at most %d bytes, as in a notification", FRAME_MAX);
	ret->type = bytes_u8(&b) & TYPE_MASK;
	ret->ts_ns = bytes_le64(&b);
	frame_type = bytes_u8(&b);
	ret->compressed = frame_type & COMPRESSED;
	ret->frame_type = (uint8_t)(frame_type & ~COMPRESSED);
	return 0;
}

/* Reads the header of a frame that must be of `type`. */
static int begin_frame(const uint8_t *data, size_t size, uint8_t type, struct pmd_header *ret,
		       struct bytes *ret_payload, struct decode_error *error)
{
	int r = pmd_header_decode(data, size, ret, error);

	if (r != 0)
		return r;
	if (ret->type != type)
		return decode_fail(error, DECODE_E_UNSUPPORTED, 0,
				   "expected type %u (%s), this is %u (%s)", type,
				   pmd_type_name(type), ret->type, pmd_type_name(ret->type));
	*ret_payload = bytes_make(data, size);
	(void)bytes_take(ret_payload, HEADER_SIZE); /* the header was that long */
	return 0;
}

static int unknown_layout(const struct pmd_header *header, struct decode_error *error)
{
	return decode_fail(error, DECODE_E_UNSUPPORTED, FRAME_TYPE_AT,
			   "expected a known frame type, %s %u%s is none",
			   pmd_type_name(header->type), header->frame_type,
			   header->compressed ? " compressed" : "");
}

/* How many samples of `width` bytes the rest holds. */
static int count_samples(const struct bytes *b, size_t width, uint32_t max, uint32_t *ret,
			 struct decode_error *error)
{
	size_t n = bytes_left(b) / width, over = bytes_left(b) % width;

	if (over != 0)
		return decode_fail(error, DECODE_E_MALFORMED, b->size - over,
				   "expected samples of %zu bytes, %zu byte%s left over", width,
				   over, over == 1 ? " is" : "s are");
	if (n == 0)
		return malformed(error, b->size, "expected at least one sample");
	if (n > max)
		return decode_fail(error, DECODE_E_MALFORMED, b->at + width * max,
				   "expected at most %u samples", max);
	*ret = (uint32_t)n;
	return 0;
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

static int delta_measure(struct bytes b, size_t n_channels, size_t width, uint32_t max,
			 struct delta *ret, struct decode_error *error)
{
	uint8_t count = 0;
	int r;

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

/* Writes n * n_channels values, the channels of a sample side by side. */
static void delta_unpack(struct delta *d, int32_t *ret)
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

static int32_t ecg_sample(const uint8_t *sample, size_t width, uint8_t frame_type)
{
	struct bytes b = bytes_make(sample, width);

	switch (frame_type) {
	case 1: return bytes_le16(&b) & 0x3fff;
	case 2: return (int32_t)(bytes_le(&b, 3) & 0x3ffff);
	default: return (int32_t)bytes_sle(&b, 3);
	}
}

static int ecg_raw(const struct pmd_header *header, struct bytes *b, struct ecg *ret,
		   struct decode_error *error)
{
	static const uint8_t widths[] = {3, 3, 3, 7};
	size_t width;
	uint32_t n;
	int r;

	if (header->frame_type >= ARRAY_SIZE(widths))
		return unknown_layout(header, error);
	width = widths[header->frame_type];
	r = count_samples(b, width, ECG_SAMPLES_MAX, &n, error);
	if (r != 0)
		return r;
	for (uint32_t i = 0; i < n; i++)
		ret->uv[i] = ecg_sample(bytes_take(b, width), width, header->frame_type);
	ret->n = n;
	return 0;
}

static int ecg_compressed(const struct pmd_header *header, const struct bytes *b, struct ecg *ret,
			  struct decode_error *error)
{
	struct delta d;
	int r;

	if (header->frame_type != 0)
		return unknown_layout(header, error);
	r = delta_measure(*b, 1, 3, ECG_SAMPLES_MAX, &d, error);
	if (r != 0)
		return r;
	delta_unpack(&d, ret->uv);
	ret->n = d.n;
	return 0;
}

int pmd_ecg_decode(const uint8_t *data, size_t size, struct ecg *ret, struct decode_error *error)
{
	struct pmd_header header;
	struct bytes b;
	int r;

	r = begin_frame(data, size, PMD_ECG, &header, &b, error);
	if (r != 0)
		return r;
	r = header.compressed ? ecg_compressed(&header, &b, ret, error)
			      : ecg_raw(&header, &b, ret, error);
	if (r != 0)
		return r;
	ret->sensor_ns = header.ts_ns;
	ret->dt_ns = 0; /* the timeline's to say */
	return 0;
}

static int acc_raw(const struct pmd_header *header, struct bytes *b, struct pmd_acc *ret,
		   struct decode_error *error)
{
	size_t width = header->frame_type + 1U; /* of one axis */
	uint32_t n;
	int r;

	if (header->frame_type > 2)
		return unknown_layout(header, error);
	r = count_samples(b, 3 * width, PMD_ACC_MAX, &n, error);
	if (r != 0)
		return r;
	for (uint32_t i = 0; i < n; i++)
		for (size_t axis = 0; axis < 3; axis++)
			ret->mg[i][axis] = (int32_t)bytes_sle(b, width);
	ret->n = n;
	return 0;
}

static int32_t scale(int32_t raw, double factor)
{
	double v = raw * factor;

	v = CLAMP(v, -2147483647.0, 2147483646.0);
	return (int32_t)(v < 0 ? v - 0.5 : v + 0.5);
}

static int acc_compressed(const struct pmd_header *header, const struct bytes *b, double factor,
			  struct pmd_acc *ret, struct decode_error *error)
{
	struct delta d;
	int r;

	if (header->frame_type > 1)
		return unknown_layout(header, error);
	if (!(fabs(factor) <= FACTOR_MAX)) /* also what is not a number */
		return decode_fail(error, DECODE_E_UNSUPPORTED, FRAME_TYPE_AT,
				   "expected a conversion factor that makes sense");
	r = delta_measure(*b, 3, 2, PMD_ACC_MAX, &d, error);
	if (r != 0)
		return r;
	delta_unpack(&d, ret->mg[0]);
	ret->n = d.n;
	if (header->frame_type == 0)
		factor *= 1000;
	for (uint32_t i = 0; factor != 1.0 && i < d.n; i++)
		for (size_t axis = 0; axis < 3; axis++)
			ret->mg[i][axis] = scale(ret->mg[i][axis], factor);
	return 0;
}

int pmd_acc_decode(const uint8_t *data, size_t size, double factor, struct pmd_acc *ret,
		   struct decode_error *error)
{
	struct pmd_header header;
	struct bytes b;
	int r;

	r = begin_frame(data, size, PMD_ACC, &header, &b, error);
	if (r != 0)
		return r;
	r = header.compressed ? acc_compressed(&header, &b, factor, ret, error)
			      : acc_raw(&header, &b, ret, error);
	if (r != 0)
		return r;
	ret->ts_ns = header.ts_ns;
	return 0;
}

int pmd_answer_decode(const uint8_t *data, size_t size, struct pmd_answer *ret,
		      struct decode_error *error)
{
	struct bytes b = bytes_make(data, size);

	if (size > FRAME_MAX)
		return decode_fail(error, DECODE_E_MALFORMED, FRAME_MAX,
				   "expected at most %d bytes, as in an indication", FRAME_MAX);
	if (size == 0 || data[0] != ANSWER)
		return malformed(error, 0, "expected 0xf0, the start of an answer");
	if (size < ANSWER_SIZE_MIN)
		return malformed(error, size, "expected f0, op, type, error and more");
	(void)bytes_u8(&b); /* 0xf0 */
	ret->op = bytes_u8(&b);
	ret->type = bytes_u8(&b);
	ret->error = bytes_u8(&b);
	ret->more = bytes_left(&b) > 0 && bytes_u8(&b) != 0;
	ret->n_params = bytes_left(&b);
	ret->params = bytes_take(&b, ret->n_params);
	return 0;
}

const char *pmd_error_name(uint8_t error)
{
	static const char *const names[] = {
		"success",	    "invalid op",	  "invalid type",
		"not supported",    "invalid length",	  "invalid parameter",
		"already in state", "invalid resolution", "invalid sample rate",
		"invalid range",    "invalid MTU",	  "invalid channels",
		"invalid state",    "device in charger",  "disk full",
	};

	return error < ARRAY_SIZE(names) ? names[error] : "unknown";
}

const char *pmd_type_name(uint8_t type)
{
	static const char *const names[] = {
		[PMD_ECG] = "ecg",   [PMD_PPG] = "ppg",	   [PMD_ACC] = "acc",
		[PMD_PPI] = "ppi",   [5] = "gyro",	   [6] = "mag",
		[7] = "skin_temp",   [9] = "sdk_mode",	   [10] = "location",
		[11] = "pressure",   [12] = "temperature", [13] = "offline_recording",
		[14] = "offline_hr",
	};

	return type < ARRAY_SIZE(names) && names[type] ? names[type] : "unknown";
}
