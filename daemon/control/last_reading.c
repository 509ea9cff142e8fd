/*
 * One line for a person who wants to know whether the thing on the skin works, so not a curve: of
 * what comes in frames of many samples it is the rate they come at, of single values the values. A
 * value that the sensor says it has not is "-".
 *
 * Every reading passes here and hardly any is looked at, so words are made last: to print each beat
 * was a tenth of all that the daemon does for one.
 */
#include "control/last_reading.h"

#include "util/decimal.h"

#include <inttypes.h>
#include <stdio.h>

#define DEGREE "\xc2\xb0" /* U+00B0 */

static void note_samples(struct last_reading *l, const struct samples *s)
{
	l->unit = s->unit;
	l->dt_ns = s->dt_ns;
	for (unsigned i = 0; i < LAST_READING_VALUES; i++) {
		bool there = s->n && i < s->n_channels;

		l->exponent[i] = there ? s->exponent[i] : 0;
		l->value[i] = there ? s->value[(s->n - 1) * s->n_channels + i] : SAMPLES_NONE;
	}
}

void last_reading_note(struct last_reading *l, const struct record *r)
{
	switch (r->type) {
	case RECORD_HEART_RATE:
		l->value[0] = r->heart_rate.bpm;
		l->contact = r->heart_rate.contact;
		break;
	case RECORD_ECG: l->dt_ns = r->ecg.dt_ns; break;
	case RECORD_SAMPLES: note_samples(l, &r->samples); break;
	default: return;
	}
	l->type = r->type;
}

static const char *value(const struct last_reading *l, unsigned i, char ret[static DECIMAL_SIZE])
{
	return l->value[i] == SAMPLES_NONE ? "-" : decimal_format(l->value[i], l->exponent[i], ret);
}

static void format_rate(uint32_t dt_ns, char ret[static LAST_READING_SIZE])
{
	if (dt_ns)
		(void)snprintf(ret, LAST_READING_SIZE, "%.0f Hz", 1e9 / dt_ns);
	else
		(void)snprintf(ret, LAST_READING_SIZE, "heard");
}

/* As a person writes it; servers are told the names of UCUM. */
static const char *unit_word(enum unit unit)
{
	switch (unit) {
	case UNIT_MMHG: return "mmHg";
	case UNIT_CELSIUS: return DEGREE "C";
	case UNIT_FAHRENHEIT: return DEGREE "F";
	default: return unit_name(unit);
	}
}

static void format_samples(enum kind kind, const struct last_reading *l,
			   char ret[static LAST_READING_SIZE])
{
	const char *unit = unit_word(l->unit);
	char a[DECIMAL_SIZE], b[DECIMAL_SIZE];

	/* 64 bytes hold two decimals and their words. */
	switch (kind) {
	case KIND_OXIMETRY:
		(void)snprintf(ret, LAST_READING_SIZE, "SpO2 %.20s %%, %.20s /min", value(l, 0, a),
			       value(l, 1, b));
		break;
	case KIND_TEMPERATURE:
		(void)snprintf(ret, LAST_READING_SIZE, "%s %s", value(l, 0, a), unit);
		break;
	case KIND_BLOOD_PRESSURE:
		(void)snprintf(ret, LAST_READING_SIZE, "%.20s/%.20s %s", value(l, 0, a),
			       value(l, 1, b), unit);
		break;
	case KIND_PPI: (void)snprintf(ret, LAST_READING_SIZE, "%s ms", value(l, 1, a)); break;
	default: format_rate(l->dt_ns, ret);
	}
}

/* 0 is how a strap says that it has found no beats yet, and no heart that stands still. */
static void format_heart_rate(const struct last_reading *l, char ret[static LAST_READING_SIZE])
{
	char bpm[16] = "-";

	if (l->value[0])
		(void)snprintf(bpm, sizeof(bpm), "%" PRId32, l->value[0]);
	(void)snprintf(ret, LAST_READING_SIZE, "%s /min%s", bpm,
		       l->contact == CONTACT_NONE ? ", no contact" : "");
}

const char *last_reading_format(enum kind kind, const struct last_reading *l,
				char ret[static LAST_READING_SIZE])
{
	ret[0] = '\0';
	switch (l->type) {
	case RECORD_HEART_RATE: format_heart_rate(l, ret); break;
	case RECORD_ECG: format_rate(l->dt_ns, ret); break;
	case RECORD_SAMPLES: format_samples(kind, l, ret); break;
	default: break;
	}
	return ret;
}
