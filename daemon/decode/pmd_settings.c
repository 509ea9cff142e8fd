/*
 * Settings of a PMD stream. The wearable offers some values for each; a start command names one
 * of each that is offered, else it is refused ("invalid parameter"). Both are lists of
 *
 *	0 id   1 count   2- count values
 *
 *	id 0 rate, u16, per second      id 3 range in thousandths, u32
 *	   1 resolution, u16, bits         4 channels, u8
 *	   2 range, u16                    5 conversion factor, f32, only in the answer to a start
 *	                                   6 security, 16 bytes: never sent back
 *
 * An H10 offers one ECG (130 Hz, 14 bits) and acceleration at 25 to 200 Hz, 2 to 8 g. Dialogue and
 * decoder both come here with the same answer, and so agree on the rate without speaking.
 */
#include "decode/pmd_settings.h"

#include "util/bytes.h"

enum setting { RATE, RESOLUTION, RANGE, RANGE_MILLI, CHANNELS, FACTOR, SECURITY, N_SETTINGS };

static const uint8_t widths[N_SETTINGS] = {2, 2, 2, 4, 1, 4, 16};

/* Movement of a body: 50 Hz halves what 100 Hz costs the battery, 8 g survives a jump. */
static const uint32_t acceleration[FACTOR] = {50, 16, 8, 8000, 3};

struct offer {
	uint8_t id;
	uint8_t count;
	const uint8_t *values; /* count * widths[id] bytes */
};

static bool next_offer(struct bytes *b, struct offer *ret)
{
	if (bytes_left(b) == 0)
		return false;
	ret->id = bytes_u8(b);
	ret->count = bytes_u8(b);
	if (b->failed || ret->id >= N_SETTINGS)
		return false;
	ret->values = bytes_take(b, (size_t)ret->count * widths[ret->id]);
	return ret->values != NULL;
}

bool pmd_settings_append(struct pmd_settings *s, const struct pmd_answer *answer)
{
	if (answer->n_params > sizeof(s->bytes) - s->n)
		return false;
	if (answer->n_params > 0)
		memcpy(s->bytes + s->n, answer->params, answer->n_params);
	s->n = (uint8_t)(s->n + answer->n_params);
	return true;
}

/* The first, or what comes nearest to what we would like. */
static uint32_t best(const struct offer *o, uint8_t type)
{
	struct bytes b = bytes_make(o->values, (size_t)o->count * widths[o->id]);
	uint32_t ret = (uint32_t)bytes_le(&b, widths[o->id]), target = acceleration[o->id];

	for (uint8_t i = 1; type == PMD_ACC && i < o->count; i++) {
		uint32_t v = (uint32_t)bytes_le(&b, widths[o->id]);
		uint32_t off = v > target ? v - target : target - v;

		if (off < (ret > target ? ret - target : target - ret))
			ret = v;
	}
	return ret;
}

void pmd_settings_choose(const struct pmd_settings *s, uint8_t type, struct pmd_choice *ret)
{
	struct bytes b = bytes_make(s->bytes, s->n);
	unsigned chosen = 0;
	struct offer o;

	*ret = (struct pmd_choice){0};
	while (next_offer(&b, &o)) {
		uint32_t value;

		if (o.id >= FACTOR || o.count == 0 || chosen & 1U << o.id)
			continue;
		chosen |= 1U << o.id;
		value = best(&o, type);
		ret->bytes[ret->n++] = o.id;
		ret->bytes[ret->n++] = 1;
		for (uint8_t i = 0; i < widths[o.id]; i++)
			ret->bytes[ret->n++] = (uint8_t)(value >> (8 * i));
		if (o.id == RATE)
			ret->rate = (uint16_t)value;
	}
}

double pmd_settings_factor(const struct pmd_settings *s)
{
	struct bytes b = bytes_make(s->bytes, s->n);
	struct offer o;
	float factor;

	while (next_offer(&b, &o))
		if (o.id == FACTOR && o.count == 1) {
			struct bytes value = bytes_make(o.values, sizeof(factor));
			uint32_t bits = bytes_le32(&value);

			memcpy(&factor, &bits, sizeof(factor));
			return (double)factor;
		}
	return 1;
}
