/*
 * Viatom's wearables (also sold as Wellue and Lepu). One service, two languages, and in both nothing
 * comes unasked: the hub asks for the present values about once a second. Little-endian.
 *
 *	ER1, ER2, DuoEK (an ECG)                    O2Ring, Checkme O2 (an oximeter)
 *	0    A5                                     0    AA when asked, 55 in the answer
 *	1    command, 03 for the present values     1    command, 17; 00 in an answer that is well
 *	2    its complement                         2    its complement
 *	3    type  4 number                         3    block, 16 bits
 *	5    size of the data, 16 bits              5    size of the data, 16 bits
 *	7    data                                   7    data
 *	..   CRC-8 of all before, polynomial 07     ..   the same
 *
 *	0    heart rate, 16 bits                    0    SpO2, %
 *	2    battery, times, status                 1    pulse rate
 *	20   number of samples, 16 bits             2    FF: no finger; battery, movement
 *	22   samples, s16, 2.4673 microvolts        11   0: no finger
 *	     each (1.0035 * 1800 / (4096 * 178.74) mV), 125 a second
 *
 * An answer is longer than a notification and is put together from several; its first bytes tell
 * how long it is. Where a notification was lost the next answer is recognised by how it begins, and
 * a checksum that does not fit costs the whole answer. (Protocol by capture: Lepu's demo
 * applications for the ECG, github.com/MackeyStingray/o2r for the ring.) There is no time in it.
 *
 * Which language a wearable speaks shows when it answers: it is asked in one, and after a silence in
 * the other.
 */
#include "decode/protocol.h"
#include "util/bytes.h"

#include <stdio.h>

enum {
	ECG_HEAD = 0xa5,
	RING_ASK_HEAD = 0xaa,
	RING_HEAD = 0x55,
	ECG_PRESENT = 0x03,
	RING_OK = 0x00,
	RING_PRESENT = 0x17,
	HEAD_SIZE = 7,
	CRC_SIZE = 1,
	LENGTH_AT = 5,
	VALUES_SIZE = 20, /* before the number of samples */
	RING_SIZE = 13,
	MESSAGE_MAX = HEAD_SIZE + VALUES_SIZE + 2 + 2 * ECG_SAMPLES_MAX + CRC_SIZE,
	ECG_DT_NS = 8000000,
	NO_FINGER = 0xff,
	FINGER_AT = 11,
	SILENCES_MAX = 6,
};

#define POLL_AFTER USEC_PER_SEC

struct memory {
	uint16_t n; /* of the message so far; 0: none has begun */
	uint8_t bytes[MESSAGE_MAX];
};

static_assert(sizeof(struct memory) <= DECODER_STATE_MAX, "fits what a decoder may keep");

struct talk {
	bool ring;	/* which language */
	bool heard;	/* it answered, so it is the right one */
	uint8_t number; /* of the next question */
	uint8_t n_silences;
};

static_assert(sizeof(struct talk) <= DIALOGUE_STATE_MAX, "fits what a dialogue may keep");

static uint8_t crc8(const uint8_t *data, size_t size)
{
	uint8_t crc = 0;

	for (size_t i = 0; i < size; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (uint8_t)(crc << 1 ^ (crc & 0x80 ? 0x07 : 0));
	}
	return crc;
}

static bool begins(const uint8_t *data, size_t size)
{
	return size >= 3 && (data[0] == ECG_HEAD || data[0] == RING_HEAD) &&
	       (data[1] ^ data[2]) == 0xff;
}

/* Samples look like any beginning now and then, but hardly ever like one of these. */
static bool begins_anew(const uint8_t *data, size_t size)
{
	return begins(data, size) && data[1] == (data[0] == ECG_HEAD ? ECG_PRESENT : RING_OK);
}

/* The size that the message must have; 0: its length has not come yet. */
static size_t whole_size(const struct memory *m)
{
	if (m->n < HEAD_SIZE)
		return 0;
	return HEAD_SIZE + CRC_SIZE + (size_t)(m->bytes[LENGTH_AT] | m->bytes[LENGTH_AT + 1] << 8);
}

static void hand_on(struct decoder *d, const struct reading_handler *handler, enum kind kind,
		    uint8_t type, uint32_t n, uint32_t dt_ns)
{
	struct reading reading = {.kind = kind,
				  .record = &d->record,
				  .n = n,
				  .nominal_dt_ns = dt_ns};

	d->record.type = type;
	handler->reading(handler->userdata, &reading);
}

static void hand_on_heart_rate(struct decoder *d, const struct reading_handler *handler,
			       uint16_t bpm)
{
	struct heart_rate *h = &d->record.heart_rate;

	if (bpm == 0) /* it has none */
		return;
	h->bpm = bpm;
	h->contact = CONTACT_UNSUPPORTED;
	h->energy_kj = -1;
	h->n_rr = 0;
	hand_on(d, handler, KIND_HEART_RATE, RECORD_HEART_RATE, 1, 0);
}

static int decode_ecg(struct decoder *d, struct bytes *b, const struct reading_handler *handler,
		      struct decode_error *error)
{
	struct ecg *ecg = &d->record.ecg;
	uint16_t bpm = bytes_le16(b), n;

	(void)bytes_take(b, VALUES_SIZE - 2);
	n = bytes_le16(b);
	if (b->failed || bytes_left(b) < 2U * n)
		return decode_fail(error, DECODE_E_MALFORMED, 0,
				   "expected 20 bytes of values, then samples as many as they say");
	if (n > ECG_SAMPLES_MAX)
		return decode_fail(error, DECODE_E_MALFORMED, 0, "expected at most %d samples",
				   ECG_SAMPLES_MAX);
	hand_on_heart_rate(d, handler, bpm);
	if (n == 0)
		return 0;
	ecg->sensor_ns = 0;
	ecg->dt_ns = 0;
	ecg->n = n;
	for (uint16_t i = 0; i < n; i++) {
		int32_t v = (int32_t)bytes_sle(b, 2) * 24673;

		ecg->uv[i] = (v + (v < 0 ? -5000 : 5000)) / 10000;
	}
	hand_on(d, handler, KIND_ECG, RECORD_ECG, n, ECG_DT_NS);
	return 0;
}

static void decode_ring(struct decoder *d, const uint8_t *data,
			const struct reading_handler *handler)
{
	struct samples *s = &d->record.samples;

	if (data[2] == NO_FINGER || data[FINGER_AT] == 0)
		return;
	*s = (struct samples){.unit = UNIT_PERCENT, .n_channels = 2, .n = 1};
	s->value[0] = data[0] > 0 && data[0] <= 100 ? data[0] : SAMPLES_NONE;
	s->value[1] = data[1] > 0 && data[1] < 0xff ? data[1] : SAMPLES_NONE;
	hand_on(d, handler, KIND_OXIMETRY, RECORD_SAMPLES, 1, 0);
}

static int decode_message(struct decoder *d, const uint8_t *message, size_t size,
			  const struct reading_handler *handler, struct decode_error *error)
{
	struct bytes b = bytes_make(message + HEAD_SIZE, size - HEAD_SIZE - CRC_SIZE);

	if (crc8(message, size - CRC_SIZE) != message[size - CRC_SIZE])
		return decode_fail(error, DECODE_E_MALFORMED, 0,
				   "expected a checksum that fits; a notification may be lost");
	if (message[0] == ECG_HEAD && message[1] == ECG_PRESENT)
		return decode_ecg(d, &b, handler, error);
	if (message[0] == RING_HEAD && message[1] == RING_OK && b.size == RING_SIZE)
		decode_ring(d, b.data, handler);
	return 0; /* the answer to something else */
}

static int take(struct memory *m, const struct frame *f, struct decode_error *error)
{
	if (begins_anew(f->data, f->size))
		m->n = 0;
	if (m->n == 0 && !begins(f->data, f->size))
		return decode_fail(
			error, DECODE_E_MALFORMED, 0,
			"expected the beginning of an answer: a5 or 55, a command and its "
			"complement");
	if (f->size > sizeof(m->bytes) - m->n) {
		m->n = 0;
		return decode_fail(error, DECODE_E_MALFORMED, 0, "expected at most %d bytes in all",
				   MESSAGE_MAX);
	}
	memcpy(m->bytes + m->n, f->data, f->size);
	m->n = (uint16_t)(m->n + f->size);
	if (whole_size(m) > sizeof(m->bytes) || (whole_size(m) > 0 && m->n > whole_size(m))) {
		m->n = 0;
		return decode_fail(error, DECODE_E_MALFORMED, 0,
				   "expected an answer as long as its head says");
	}
	return 0;
}

static int decode(struct decoder *d, const struct frame *f, const struct reading_handler *handler,
		  struct decode_error *error)
{
	struct memory m;
	size_t size;
	int r;

	if (f->characteristic == CHARACTERISTIC_VIATOM_COMMAND)
		return 0; /* ours: it says nothing */
	if (f->size == 0)
		return decode_fail(error, DECODE_E_MALFORMED, 0, "expected a part of an answer");
	memcpy(&m, d->state, sizeof(m));
	r = take(&m, f, error);
	size = m.n;
	if (r == 0 && size > 0 && size == whole_size(&m))
		m.n = 0;
	memcpy(d->state, &m, sizeof(m));
	if (r != 0 || m.n > 0)
		return r;
	return decode_message(d, m.bytes, size, handler, error);
}

static void ask(struct dialogue *d, struct talk *t)
{
	uint8_t command = t->ring ? RING_PRESENT : ECG_PRESENT;
	size_t n = HEAD_SIZE;

	memset(d->out, 0, HEAD_SIZE);
	d->out[0] = t->ring ? RING_ASK_HEAD : ECG_HEAD;
	d->out[1] = command;
	d->out[2] = (uint8_t)~command;
	if (!t->ring) {
		d->out[4] = t->number++;
		d->out[LENGTH_AT] = 1;
		d->out[n++] = 0x7d; /* the present values, at 125 samples a second */
	}
	d->out[n] = crc8(d->out, n);
	d->n_out = n + 1;
	d->done = false;
}

static void rest(struct dialogue *d, usec_t again)
{
	d->done = true;
	d->again = again;
}

static void on_silence(struct dialogue *d, struct talk *t)
{
	if (t->n_silences < SILENCES_MAX) {
		t->n_silences++;
		if (!t->heard)
			t->ring = !t->ring;
		ask(d, t);
		return;
	}
	t->heard = false;
	d->running = 0;
	(void)snprintf(d->problem, sizeof(d->problem), "it does not answer when asked for values");
	rest(d, 0);
}

static void hear(struct dialogue *d, struct talk *t)
{
	unsigned kinds = t->ring ? 1U << KIND_OXIMETRY : 1U << KIND_ECG | 1U << KIND_HEART_RATE;

	t->heard = true;
	t->n_silences = 0;
	d->running = kinds & d->wanted;
	rest(d, POLL_AFTER);
}

static void converse(struct dialogue *d, enum dialogue_event event, const uint8_t *data,
		     size_t size)
{
	const unsigned ours = 1U << KIND_ECG | 1U << KIND_HEART_RATE | 1U << KIND_OXIMETRY;
	struct talk t;

	memcpy(&t, d->state, sizeof(t));
	d->n_out = 0;
	switch (event) {
	case DIALOGUE_OPEN:
		d->problem[0] = '\0';
		if (!(d->wanted & ours)) {
			d->running = 0;
			rest(d, 0);
			break;
		}
		ask(d, &t);
		break;
	case DIALOGUE_HEARD: hear(d, &t); break;
	case DIALOGUE_WRITTEN:
		if (d->done && d->running) /* answered before we were told that it was written */
			rest(d, POLL_AFTER);
		break;
	case DIALOGUE_REFUSED:
		(void)snprintf(d->problem, sizeof(d->problem),
			       "it refused to be asked for values (ATT error 0x%02x)",
			       size > 0 ? data[0] : 0);
		d->running = 0;
		rest(d, 0);
		break;
	case DIALOGUE_SILENT: on_silence(d, &t); break;
	case DIALOGUE_CLOSE: /* who is not asked is silent */
		d->running = 0;
		rest(d, 0);
		break;
	case DIALOGUE_ANSWERED: break; /* it asks nobody */
	}
	memcpy(d->state, &t, sizeof(t));
}

static const struct profile_characteristic characteristics[] = {
	{CHARACTERISTIC_VIATOM_COMMAND, PROFILE_CONTROL, 0, 0},
	{CHARACTERISTIC_VIATOM_DATA, PROFILE_NOTIFY | PROFILE_ANSWERS,
	 1 << KIND_ECG | 1 << KIND_HEART_RATE | 1 << KIND_OXIMETRY, 5 * USEC_PER_SEC},
};

const struct protocol protocol_viatom = {
	.profile = {.name = "viatom",
		    .title = "Viatom values",
		    .service = "14839ac4-7d7e-415c-9a42-167340cf2339",
		    .characteristics = characteristics,
		    .n_characteristics = ARRAY_SIZE(characteristics),
		    .converse = converse},
	.decode = decode,
};
