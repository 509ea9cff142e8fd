/*
 * Movesense sensors with the GATT sensor data firmware ("GSP"; movesense-device-lib samples,
 * sensein/movesense-py docs/movesense-api.md). All comes on one characteristic:
 *
 *	0 what   1 reference   2- payload       what: 1 result of a command, 2 data,
 *	                                              3 the rest of the data before it
 *
 * The reference is the one we subscribed with (decode/movesense.h) and tells the layout:
 *
 *	ECG, microvolts   u32 ms, 16 samples of s16, a microvolt each
 *	ECG, raw          u32 ms, 16 samples of s32, 0.3814697265625 microvolts each (25000 / 2^16)
 *	heart rate        f32 mean rate, u16 RR intervals in ms; no time
 *	acceleration      u32 ms, rows of three f32, m/s2
 *
 * The time is the sensor's since it was switched on, in ms, and wraps after 49 days: it is continued
 * past that. Whether it is of the first or of the last sample is written nowhere: it serves as the
 * clock of frames, which is the same either way. Data that are too long for a notification come as a
 * 2 and a 3; the length that a message must have tells that there is more to come.
 */
#include "decode/movesense.h"

#include "decode/protocol.h"
#include "util/bytes.h"

#include <math.h>

enum { DATA = 2, DATA_REST = 3, RESULT = 1 };

enum {
	HEAD_SIZE = 2,
	TIME_SIZE = 4,
	ECG_SAMPLES = 16,
	AXES = 3,
	AXES_SIZE = AXES * 4,
	HEART_RATE_SIZE = 6, /* with the first interval */
};

#define GRAVITY	       9.80665
#define NS_PER_MS      UINT64_C(1000000)
#define DT_NS(per_sec) ((1000000000U + (per_sec) / 2U) / (per_sec))

struct memory {
	bool running;
	uint64_t clock_ms;
	uint16_t n_part; /* of a message that is not complete; 0: none */
	uint8_t reference;
	uint8_t part[FRAME_MAX];
};

static_assert(sizeof(struct memory) <= DECODER_STATE_MAX, "fits what a decoder may keep");

/* Streams are a little out of step with each other, so it may also go back. */
static uint64_t continue_clock(struct memory *m, uint32_t ms)
{
	int64_t step = (int32_t)(ms - (uint32_t)m->clock_ms);

	if (!m->running || (step < 0 && m->clock_ms < (uint64_t)-step))
		m->clock_ms = ms;
	else
		m->clock_ms += (uint64_t)step;
	m->running = true;
	return m->clock_ms * NS_PER_MS;
}

static int16_t ecg_width(uint8_t reference)
{
	return reference == MOVESENSE_ECG_MICROVOLTS ? 2 : 4;
}

/* Of a message as long as this: is it whole? */
static bool is_whole(uint8_t reference, size_t size)
{
	switch (reference) {
	case MOVESENSE_HEART_RATE: return size >= HEART_RATE_SIZE && size % 2 == 0;
	case MOVESENSE_ACCELERATION:
		return size >= TIME_SIZE + AXES_SIZE && (size - TIME_SIZE) % AXES_SIZE == 0;
	default: return size >= TIME_SIZE + (size_t)ECG_SAMPLES * (size_t)ecg_width(reference);
	}
}

static int32_t microvolts(uint8_t reference, struct bytes *b)
{
	int64_t v;

	if (reference == MOVESENSE_ECG_MICROVOLTS)
		return (int32_t)bytes_sle(b, 2);
	v = bytes_sle(b, 4) * 3125; /* 25000 / 65536 in its lowest terms */
	return (int32_t)((v + (v < 0 ? -4096 : 4096)) / 8192);
}

static int decode_ecg(struct memory *m, uint8_t reference, struct bytes *b, struct reading *ret,
		      struct decode_error *error)
{
	struct ecg *ecg = &ret->record->ecg;
	size_t over;

	ecg->sensor_ns = continue_clock(m, bytes_le32(b));
	over = bytes_left(b) - (size_t)ECG_SAMPLES * (size_t)ecg_width(reference);
	if (over > 0)
		return decode_fail(error, DECODE_E_MALFORMED, HEAD_SIZE,
				   "expected a time and 16 samples, %zu bytes more came", over);
	ecg->dt_ns = 0;
	ecg->n = ECG_SAMPLES;
	for (size_t i = 0; i < ECG_SAMPLES; i++)
		ecg->uv[i] = microvolts(reference, b);
	ret->kind = KIND_ECG;
	ret->record->type = RECORD_ECG;
	ret->n = ecg->n;
	ret->sensor_ns = ecg->sensor_ns;
	ret->nominal_dt_ns = reference == MOVESENSE_ECG_RAW_125 ? DT_NS(125) : DT_NS(128);
	return 0;
}

static float read_float(struct bytes *b)
{
	uint32_t bits = bytes_le32(b);
	float v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

static int decode_heart_rate(struct bytes *b, struct reading *ret, struct decode_error *error)
{
	struct heart_rate *h = &ret->record->heart_rate;
	float mean = read_float(b);

	if (!(mean >= 0 && mean < 1000)) /* also what is not a number */
		return decode_fail(error, DECODE_E_MALFORMED, HEAD_SIZE,
				   "expected the mean rate of a heart");
	h->bpm = (uint16_t)lroundf(mean);
	h->contact = CONTACT_UNSUPPORTED;
	h->energy_kj = -1;
	h->n_rr = (uint16_t)MIN(bytes_left(b) / 2, (size_t)RR_MAX);
	for (size_t i = 0; i < h->n_rr; i++) {
		uint32_t rr_1024 = (bytes_le16(b) * 1024U + 500) / 1000;

		h->rr_1024[i] = (uint16_t)MIN(rr_1024, (uint32_t)UINT16_MAX);
	}
	ret->kind = KIND_HEART_RATE;
	ret->record->type = RECORD_HEART_RATE;
	ret->n = 1;
	return 0;
}

static int32_t milli_g(float acceleration)
{
	double v = (double)acceleration / GRAVITY * 1000;

	return fabs(v) < 1e9 ? (int32_t)lround(v) : SAMPLES_NONE; /* also what is not a number */
}

static void decode_acceleration(struct memory *m, struct bytes *b, struct reading *ret)
{
	struct samples *s = &ret->record->samples;

	s->sensor_ns = continue_clock(m, bytes_le32(b));
	s->dt_ns = 0;
	s->status = 0;
	s->unit = UNIT_MILLI_G;
	s->n_channels = AXES;
	memset(s->exponent, 0, sizeof(s->exponent));
	s->n = (uint32_t)(bytes_left(b) / AXES_SIZE);
	for (size_t i = 0; i < (size_t)s->n * AXES; i++)
		s->value[i] = milli_g(read_float(b));
	ret->kind = KIND_ACCELERATION;
	ret->record->type = RECORD_SAMPLES;
	ret->n = s->n;
	ret->sensor_ns = s->sensor_ns;
	ret->nominal_dt_ns = DT_NS(52);
}

static int decode_message(struct decoder *d, struct memory *m, const uint8_t *data, size_t size,
			  const struct reading_handler *handler, struct decode_error *error)
{
	struct reading reading = {.record = &d->record};
	struct bytes b = bytes_make(data, size);
	int r = 0;

	if (m->reference == MOVESENSE_HEART_RATE)
		r = decode_heart_rate(&b, &reading, error);
	else if (m->reference == MOVESENSE_ACCELERATION)
		decode_acceleration(m, &b, &reading);
	else
		r = decode_ecg(m, m->reference, &b, &reading, error);
	if (r != 0)
		return r;
	handler->reading(handler->userdata, &reading);
	return 0;
}

/* What is not whole is kept until the rest comes. */
static int take_data(struct decoder *d, struct memory *m, const struct frame *f,
		     const struct reading_handler *handler, struct decode_error *error)
{
	bool rest = f->data[0] == DATA_REST;
	uint8_t reference = f->data[1];
	size_t n = f->size - HEAD_SIZE, before = rest ? m->n_part : 0;

	if (reference <= MOVESENSE_HELLO || reference >= MOVESENSE_MAX_)
		return decode_fail(error, DECODE_E_UNSUPPORTED, 1,
				   "expected a reference that was subscribed with");
	if (rest && (m->n_part == 0 || m->reference != reference || n > sizeof(m->part) - before)) {
		m->n_part = 0;
		return decode_fail(error, DECODE_E_MALFORMED, 0,
				   "expected the rest of what came before, or that first");
	}
	m->reference = reference;
	if (n > 0)
		memcpy(m->part + before, f->data + HEAD_SIZE, n);
	m->n_part = (uint16_t)(before + n);
	if (!is_whole(reference, m->n_part))
		return 0;
	n = m->n_part;
	m->n_part = 0;
	return decode_message(d, m, m->part, n, handler, error);
}

static int decode(struct decoder *d, const struct frame *f, const struct reading_handler *handler,
		  struct decode_error *error)
{
	struct memory m;
	int r;

	if (f->characteristic == CHARACTERISTIC_MOVESENSE_COMMAND)
		return 0; /* ours: it says nothing */
	if (f->size < HEAD_SIZE || f->size > FRAME_MAX)
		return decode_fail(error, DECODE_E_MALFORMED, MIN(f->size, (size_t)FRAME_MAX),
				   "expected a code, a reference and what belongs to them");
	if (f->data[0] == RESULT)
		return 0;
	if (f->data[0] != DATA && f->data[0] != DATA_REST)
		return decode_fail(error, DECODE_E_UNSUPPORTED, 0,
				   "expected a result (01), data (02) or their rest (03)");
	memcpy(&m, d->state, sizeof(m));
	r = take_data(d, &m, f, handler, error);
	memcpy(d->state, &m, sizeof(m));
	return r;
}

static const struct profile_characteristic characteristics[] = {
	{CHARACTERISTIC_MOVESENSE_COMMAND, PROFILE_CONTROL, 0, 0},
	{CHARACTERISTIC_MOVESENSE_DATA, PROFILE_NOTIFY | PROFILE_ANSWERS,
	 1 << KIND_ECG | 1 << KIND_HEART_RATE | 1 << KIND_ACCELERATION, 3 * USEC_PER_SEC},
};

/* It advertises FE06, the maker's, and this one only where the firmware was built to. */
const struct protocol protocol_movesense = {
	.profile = {.name = "movesense",
		    .title = "Movesense sensor data",
		    .service = "34802252-7185-4d5d-b431-630e7050e8f0",
		    .characteristics = characteristics,
		    .n_characteristics = ARRAY_SIZE(characteristics),
		    .converse = movesense_dialogue},
	.decode = decode,
};
