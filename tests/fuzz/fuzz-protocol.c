/*
 * A link with any wearable of the table, written by the fuzzer: frames of its characteristics and
 * events of its dialogue in any order. Readings are in bounds and agree with their records, a frame
 * that is refused gives none, dialogues stay within what they may write and let go in the end.
 *
 *	0 protocol   then, again and again:   0 what   1 size   2- bytes
 *	what: b0 an event, else a frame; b1-3 which event, or which characteristic
 */
#include "decode/protocol.h"
#include "util/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_TO_CLOSE = 64 };

#define CHECK(condition)                  \
	do {                              \
		if (!(condition))         \
			__builtin_trap(); \
	} while (0)

static struct decoder decoder;
static unsigned n_readings;

static void check_samples(const struct samples *s, uint32_t n)
{
	CHECK(s->n == n && s->n_channels >= 1 && s->n_channels <= SAMPLES_CHANNELS_MAX);
	CHECK((size_t)s->n * s->n_channels <= SAMPLES_VALUES_MAX);
	CHECK(s->unit > 0 && s->unit < UNIT_MAX && s->dt_ns == 0);
	for (size_t i = 0; i < s->n_channels; i++)
		CHECK(s->value[i] != SAMPLES_NONE || s->exponent[i] == 0);
}

static void on_reading(void *userdata, const struct reading *r)
{
	n_readings++;
	CHECK(r->record == &decoder.record && r->n >= 1 && (r->n == 1 || r->nominal_dt_ns));
	CHECK(r->kind > 0 && r->kind < KIND_MAX);
	switch (r->record->type) {
	case RECORD_HEART_RATE:
		CHECK(r->kind == KIND_HEART_RATE && r->record->heart_rate.n_rr <= RR_MAX);
		break;
	case RECORD_ECG:
		CHECK(r->kind == KIND_ECG && r->record->ecg.n == r->n && r->n <= ECG_SAMPLES_MAX);
		break;
	case RECORD_SAMPLES:
		CHECK(r->kind != KIND_ECG && r->kind != KIND_HEART_RATE);
		check_samples(&r->record->samples, r->n);
		break;
	default: __builtin_trap();
	}
}

static void check_frame(const struct protocol *p, unsigned which, const uint8_t *data, size_t size)
{
	const struct reading_handler handler = {NULL, on_reading};
	struct decode_error error = {.at = SIZE_MAX};
	struct frame f = {.device = "a0:b1:c2:d3:e4:f5", .data = data, .size = size};
	int r;

	f.characteristic =
		p->profile.characteristics[which % p->profile.n_characteristics].characteristic;
	n_readings = 0;
	r = p->decode(&decoder, &f, &handler, &error);
	if (r != 0) {
		CHECK(r == DECODE_E_MALFORMED || r == DECODE_E_UNSUPPORTED);
		CHECK(error.at <= size && error.what[0] && n_readings == 0);
	}
}

static void check_event(const struct profile *p, struct dialogue *d, enum dialogue_event event,
			const uint8_t *data, size_t size)
{
	p->converse(d, event, data, size);
	CHECK(d->n_out <= sizeof(d->out) && (d->n_out == 0 || !d->done));
	CHECK(memchr(d->problem, '\0', sizeof(d->problem)));
	CHECK((d->running & ~(unsigned)PROFILE_KINDS_ALL) == 0);
}

static void check_close(const struct profile *p, struct dialogue *d)
{
	check_event(p, d, DIALOGUE_CLOSE, NULL, 0);
	for (int i = 0; i < STEPS_TO_CLOSE && !d->done; i++)
		check_event(p, d, DIALOGUE_WRITTEN, NULL, 0);
	CHECK(d->done && d->running == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = bytes_make(data, size);
	struct profiles profiles = protocol_profiles();
	const struct profile *profile = profiles.list[bytes_u8(&b) % profiles.n];
	const struct protocol *p = protocol_of(profile->characteristics[0].characteristic);
	struct dialogue d = {.wanted = PROFILE_KINDS_ALL, .mtu = 247};
	bool talks = profile->converse && !profile->records; /* fuzz-recorder has those */

	memset(&decoder, 0, sizeof(decoder));
	while (bytes_left(&b) >= 2) {
		uint8_t what = bytes_u8(&b), n = bytes_u8(&b);
		const uint8_t *payload = bytes_take(&b, MIN(n, bytes_left(&b)));

		n = (uint8_t)(data + b.at - payload);
		if (!(what & 1)) {
			check_frame(p, what >> 1, payload, n);
		} else if (talks) {
			d.wanted = what & 0x80 ? 1U << KIND_ECG : PROFILE_KINDS_ALL;
			d.silent = what & 0x40 ? PROFILE_KINDS_ALL : 0;
			check_event(profile, &d, (what >> 1 & 7) % (DIALOGUE_CLOSE + 1), payload,
				    n);
		}
	}
	if (talks)
		check_close(profile, &d);
	return 0;
}
