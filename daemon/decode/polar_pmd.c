/*
 * Polar's sensors as a protocol: H10 (ECG, acceleration), Verity Sense, OH1 and 360 (light, beats,
 * acceleration). The frames are in decode/pmd.c, the dialogue that starts them in
 * decode/pmd_dialogue.c; here the two are joined. A frame does not say how fast its samples are or
 * by what they are scaled: that was in the answers of the control point, so the decoder listens to
 * them as the dialogue does, and makes the same choice. Without answers (a replay that begins in
 * the middle, vitalctl) the rates are the usual ones.
 *
 * Beats (PPI) are each a reading of its own: they are not evenly spaced. When a frame tells the time
 * of its last beat, those before it are placed by the intervals between them.
 */
#include "decode/pmd_dialogue.h"
#include "decode/pmd_settings.h"
#include "decode/protocol.h"

enum {
	N_TYPES = 3, /* with a rate: ECG, PPG, ACC */
	N_BEAT_CHANNELS = 4,
	OP_SETTINGS = 1,
	OP_START = 2,
	TYPE_MASK = 0x3f,
	ANSWER = 0xf0,
	FEATURES = 0x0f,
	STOPPED = 0x01,
	ECG_MICROVOLTS = 0, /* frame type */
};

static const uint16_t usual_rate[N_TYPES] = {[PMD_ECG] = 130, [PMD_PPG] = 55, [PMD_ACC] = 50};

struct memory {
	struct {
		uint16_t rate; /* 0: not heard of */
		bool scaled;
		double factor;
	} type[N_TYPES];
	uint8_t op, of_type; /* what `heard` is the beginning of */
	struct pmd_settings heard;
};

static_assert(sizeof(struct memory) <= DECODER_STATE_MAX, "fits what a decoder may keep");

static void learn(struct memory *m, const struct pmd_answer *answer)
{
	struct pmd_choice choice;
	uint8_t type = answer->type & TYPE_MASK;

	if (type >= N_TYPES || answer->error != 0)
		return;
	if (m->op != answer->op || m->of_type != type)
		m->heard.n = 0;
	m->op = answer->op;
	m->of_type = type;
	if (!pmd_settings_append(&m->heard, answer))
		m->heard.n = 0; /* the dialogue gives up on it as well */
	if (answer->more)
		return;
	if (answer->op == OP_SETTINGS) {
		pmd_settings_choose(&m->heard, type, &choice);
		m->type[type].rate = choice.rate;
	} else if (answer->op == OP_START) {
		m->type[type].scaled = true;
		m->type[type].factor = pmd_settings_factor(&m->heard);
	}
	m->heard.n = 0;
}

static int decode_control(struct memory *m, const struct frame *f, struct decode_error *error)
{
	struct pmd_answer answer;
	int r;

	if (f->size > 0 && (f->data[0] == FEATURES || f->data[0] == STOPPED))
		return 0;
	r = pmd_answer_decode(f->data, f->size, &answer, error);
	if (r != 0)
		return r;
	learn(m, &answer);
	return 0;
}

static uint32_t nominal_dt_ns(const struct memory *m, uint8_t type)
{
	uint16_t rate = m->type[type].rate ? m->type[type].rate : usual_rate[type];

	return (1000000000U + rate / 2U) / rate;
}

static double factor_of(const struct memory *m, uint8_t type)
{
	return m->type[type].scaled ? m->type[type].factor : 1;
}

/* ECG 1 to 3 are counts without a scale: another kind. Both shapes share their memory. */
static void make_counts(struct record *r)
{
	uint64_t sensor_ns = r->ecg.sensor_ns;
	uint32_t n = r->ecg.n;

	memmove(r->samples.value, r->ecg.uv, n * sizeof(*r->ecg.uv));
	r->type = RECORD_SAMPLES;
	r->samples.sensor_ns = sensor_ns;
	r->samples.dt_ns = 0;
	r->samples.status = 0;
	r->samples.unit = UNIT_COUNT;
	r->samples.n_channels = 1;
	r->samples.exponent[0] = 0;
	r->samples.n = n;
}

static int decode_ecg(const struct frame *f, const struct pmd_header *header, struct reading *ret,
		      struct decode_error *error)
{
	int r = pmd_ecg_decode(f->data, f->size, &ret->record->ecg, error);

	if (r != 0)
		return r;
	ret->n = ret->record->ecg.n;
	ret->kind = KIND_ECG;
	ret->record->type = RECORD_ECG;
	if (header->frame_type != ECG_MICROVOLTS) {
		ret->kind = KIND_ECG_COUNTS;
		make_counts(ret->record);
	}
	return 0;
}

static int decode_rows(const struct memory *m, const struct frame *f,
		       const struct pmd_header *header, struct reading *ret,
		       struct decode_error *error)
{
	struct samples *s = &ret->record->samples;
	double factor = factor_of(m, header->type);
	int r = header->type == PMD_ACC ? pmd_acc_decode(f->data, f->size, factor, s, error)
					: pmd_ppg_decode(f->data, f->size, factor, s, error);

	if (r != 0)
		return r;
	ret->n = s->n;
	ret->kind = header->type == PMD_ACC ? KIND_ACCELERATION : KIND_PPG;
	ret->record->type = RECORD_SAMPLES;
	return 0;
}

static int decode_beats(struct decoder *d, const struct frame *f,
			const struct reading_handler *handler, struct decode_error *error)
{
	struct samples *s = &d->record.samples;
	struct reading reading = {.kind = KIND_PPI, .record = &d->record, .n = 1};
	struct pmd_ppi ppi;
	uint64_t before_ns = 0; /* of the last beat */
	int r = pmd_ppi_decode(f->data, f->size, &ppi, error);

	if (r != 0)
		return r;
	for (uint32_t i = 1; i < ppi.n; i++)
		before_ns += ppi.beat[i].interval_ms * UINT64_C(1000000);
	for (uint32_t i = 0; i < ppi.n; i++) {
		if (i > 0)
			before_ns -= ppi.beat[i].interval_ms * UINT64_C(1000000);
		d->record.type = RECORD_SAMPLES;
		*s = (struct samples){.unit = UNIT_PER_MINUTE,
				      .n_channels = N_BEAT_CHANNELS,
				      .n = 1,
				      .sensor_ns =
					      ppi.ts_ns > before_ns ? ppi.ts_ns - before_ns : 0,
				      .value = {ppi.beat[i].bpm, ppi.beat[i].interval_ms,
						ppi.beat[i].error_ms, ppi.beat[i].flags}};
		reading.sensor_ns = s->sensor_ns;
		handler->reading(handler->userdata, &reading);
	}
	return 0;
}

static int decode_data(struct decoder *d, const struct memory *m, const struct frame *f,
		       const struct reading_handler *handler, struct decode_error *error)
{
	struct reading reading = {.record = &d->record};
	struct pmd_header header;
	int r = pmd_header_decode(f->data, f->size, &header, error);

	if (r != 0)
		return r;
	switch (header.type) {
	case PMD_ECG: r = decode_ecg(f, &header, &reading, error); break;
	case PMD_ACC:
	case PMD_PPG: r = decode_rows(m, f, &header, &reading, error); break;
	case PMD_PPI: return decode_beats(d, f, handler, error);
	default:
		return decode_fail(
			error, DECODE_E_UNSUPPORTED, 0,
			"expected ECG (00), PPG (01), ACC (02) or PPI (03), this is type "
			"%u (%s)",
			header.type, pmd_type_name(header.type));
	}
	if (r != 0)
		return r;
	reading.sensor_ns = header.ts_ns;
	reading.nominal_dt_ns = nominal_dt_ns(m, header.type);
	handler->reading(handler->userdata, &reading);
	return 0;
}

static int decode(struct decoder *d, const struct frame *f, const struct reading_handler *handler,
		  struct decode_error *error)
{
	struct memory m;
	int r;

	memcpy(&m, d->state, sizeof(m));
	if (f->characteristic == CHARACTERISTIC_PMD_DATA)
		return decode_data(d, &m, f, handler, error);
	r = decode_control(&m, f, error);
	memcpy(d->state, &m, sizeof(m));
	return r;
}

static const struct profile_characteristic characteristics[] = {
	{CHARACTERISTIC_PMD_CONTROL_POINT, PROFILE_READ | PROFILE_CONTROL, 0, 0},
	{CHARACTERISTIC_PMD_DATA, PROFILE_NOTIFY,
	 1 << KIND_ECG | 1 << KIND_ACCELERATION | 1 << KIND_PPG | 1 << KIND_PPI, 3 * USEC_PER_SEC},
};

const struct protocol protocol_polar_pmd = {
	.profile = {.name = "polar_pmd",
		    .title = "Polar measurement data",
		    .service = "fb005c80-02e7-f387-1cad-8acd2d8df0c8",
		    .characteristics = characteristics,
		    .n_characteristics = ARRAY_SIZE(characteristics),
		    .converse = pmd_dialogue},
	.decode = decode,
};
