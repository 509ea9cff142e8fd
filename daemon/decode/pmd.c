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
 *	PPG 0   three diodes and the ambient light, s24 each; 7, compressed: sixteen and a status
 *	PPI 0   u8 bpm, u16 interval and u16 its error in ms, u8 flags (b0 artefact, b1 contact,
 *	        b2 contact is supported); an interval a row, the latest last
 *
 * ECG 1 to 3 are counts of the converter: no scale is published, so they are passed on as they are.
 *
 * Compressed frames are those of decode/delta.h, with a reference sample of s24 (ECG, PPG) or s16
 * (ACC). They are measured before they are unpacked: one that ends inside a block, or unpacks to
 * more than we hold, is refused whole and the result untouched. ACC 0 compressed is in g after the
 * factor, ACC 1 in milli-g.
 *
 * The control point, fb005c81, answers commands with indications:
 *
 *	0 F0   1 op   2 type   3 error   4 more   5- parameters
 *
 * An H10 whose MTU is still 23 refuses every command with 4 bytes, F0 00 01 0A: "invalid MTU".
 */
#include "decode/pmd.h"

#include "decode/delta.h"
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
	AXES = 3,
	DIODES = 4,	  /* of frame type 0: the ambient light is the fourth */
	DIODES_MANY = 17, /* of frame type 7: the last is a status */
	PPI_SIZE = 6,
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
	r = delta_measure(b, 1, 3, ECG_SAMPLES_MAX, &d, error);
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

/* Rows of integers of `width` bytes, side by side. */
static int rows_raw(struct bytes *b, size_t n_channels, size_t width, struct samples *ret,
		    struct decode_error *error)
{
	uint32_t n;
	int r;

	r = count_samples(b, n_channels * width, (uint32_t)(SAMPLES_VALUES_MAX / n_channels), &n,
			  error);
	if (r != 0)
		return r;
	for (size_t i = 0; i < n * n_channels; i++)
		ret->value[i] = (int32_t)bytes_sle(b, width);
	ret->n = n;
	return 0;
}

static int32_t scale(int32_t raw, double factor)
{
	double v = raw * factor;

	v = CLAMP(v, -2147483647.0, 2147483646.0);
	return (int32_t)(v < 0 ? v - 0.5 : v + 0.5);
}

static int rows_compressed(const struct bytes *b, size_t n_channels, size_t width, double factor,
			   struct samples *ret, struct decode_error *error)
{
	struct delta d;
	int r;

	if (!(fabs(factor) <= FACTOR_MAX)) /* also what is not a number */
		return decode_fail(error, DECODE_E_UNSUPPORTED, FRAME_TYPE_AT,
				   "expected a conversion factor that makes sense");
	r = delta_measure(b, n_channels, width, (uint32_t)(SAMPLES_VALUES_MAX / n_channels), &d,
			  error);
	if (r != 0)
		return r;
	delta_unpack(&d, ret->value);
	ret->n = d.n;
	for (size_t i = 0; factor != 1.0 && i < d.n * n_channels; i++)
		ret->value[i] = scale(ret->value[i], factor);
	return 0;
}

static void describe(const struct pmd_header *header, enum unit unit, size_t n_channels,
		     struct samples *ret)
{
	ret->sensor_ns = header->ts_ns;
	ret->dt_ns = 0; /* the timeline's to say */
	ret->status = 0;
	ret->unit = (uint8_t)unit;
	ret->n_channels = (uint8_t)n_channels;
	memset(ret->exponent, 0, sizeof(ret->exponent));
}

int pmd_acc_decode(const uint8_t *data, size_t size, double factor, struct samples *ret,
		   struct decode_error *error)
{
	struct pmd_header header;
	struct bytes b;
	int r;

	r = begin_frame(data, size, PMD_ACC, &header, &b, error);
	if (r != 0)
		return r;
	if (header.frame_type > (header.compressed ? 1 : 2))
		return unknown_layout(&header, error);
	if (!header.compressed)
		r = rows_raw(&b, AXES, header.frame_type + 1U, ret, error);
	else
		r = rows_compressed(&b, AXES, 2, header.frame_type == 0 ? factor * 1000 : factor,
				    ret, error);
	if (r != 0)
		return r;
	describe(&header, UNIT_MILLI_G, AXES, ret);
	return 0;
}

int pmd_ppg_decode(const uint8_t *data, size_t size, double factor, struct samples *ret,
		   struct decode_error *error)
{
	struct pmd_header header;
	size_t n_channels;
	struct bytes b;
	int r;

	r = begin_frame(data, size, PMD_PPG, &header, &b, error);
	if (r != 0)
		return r;
	if (header.frame_type != 0 && (header.frame_type != 7 || !header.compressed))
		return unknown_layout(&header, error);
	n_channels = header.frame_type == 7 ? DIODES_MANY : DIODES;
	r = header.compressed ? rows_compressed(&b, n_channels, 3, factor, ret, error)
			      : rows_raw(&b, n_channels, 3, ret, error);
	if (r != 0)
		return r;
	describe(&header, UNIT_COUNT, n_channels, ret);
	return 0;
}

int pmd_ppi_decode(const uint8_t *data, size_t size, struct pmd_ppi *ret,
		   struct decode_error *error)
{
	struct pmd_header header;
	struct bytes b;
	uint32_t n;
	int r;

	r = begin_frame(data, size, PMD_PPI, &header, &b, error);
	if (r != 0)
		return r;
	if (header.frame_type != 0 || header.compressed)
		return unknown_layout(&header, error);
	r = count_samples(&b, PPI_SIZE, PMD_PPI_MAX, &n, error);
	if (r != 0)
		return r;
	ret->ts_ns = header.ts_ns;
	ret->n = n;
	for (uint32_t i = 0; i < n; i++) {
		ret->beat[i].bpm = bytes_u8(&b);
		ret->beat[i].interval_ms = bytes_le16(&b);
		ret->beat[i].error_ms = bytes_le16(&b);
		ret->beat[i].flags = bytes_u8(&b);
	}
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
