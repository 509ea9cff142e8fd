/*
 * One line for a person who wants to know whether the thing on the skin works, so not a curve: of
 * what comes in frames of many samples it is the rate they come at, of single values the values. A
 * value that the sensor says it has not is "-".
 */
#include "control/last_reading.h"

#include "util/decimal.h"

#include <inttypes.h>
#include <stdio.h>

/* Of the last row, which is the newest. */
static const char *value(const struct samples *s, unsigned channel, char ret[static DECIMAL_SIZE])
{
	int32_t v = SAMPLES_NONE;

	if (s->n && channel < s->n_channels)
		v = s->value[(s->n - 1) * s->n_channels + channel];
	return v == SAMPLES_NONE ? "-" : decimal_format(v, s->exponent[channel], ret);
}

static void format_rate(uint32_t dt_ns, char ret[static LAST_READING_SIZE])
{
	if (dt_ns)
		(void)snprintf(ret, LAST_READING_SIZE, "%.0f Hz", 1e9 / dt_ns);
	else
		(void)snprintf(ret, LAST_READING_SIZE, "heard");
}

static void format_samples(enum kind kind, const struct samples *s,
			   char ret[static LAST_READING_SIZE])
{
	const char *unit = s->unit == UNIT_MMHG ? "mmHg" : unit_name(s->unit);
	char a[DECIMAL_SIZE], b[DECIMAL_SIZE];

	/* 64 bytes hold two decimals and their words. */
	switch (kind) {
	case KIND_OXIMETRY:
		(void)snprintf(ret, LAST_READING_SIZE, "SpO2 %.20s %%, %.20s /min", value(s, 0, a),
			       value(s, 1, b));
		break;
	case KIND_TEMPERATURE:
		(void)snprintf(ret, LAST_READING_SIZE, "%s %s", value(s, 0, a), unit);
		break;
	case KIND_BLOOD_PRESSURE:
		(void)snprintf(ret, LAST_READING_SIZE, "%.20s/%.20s %s", value(s, 0, a),
			       value(s, 1, b), unit);
		break;
	case KIND_PPI: (void)snprintf(ret, LAST_READING_SIZE, "%s ms", value(s, 1, a)); break;
	default: format_rate(s->dt_ns, ret);
	}
}

const char *last_reading_format(enum kind kind, const struct record *r,
				char ret[static LAST_READING_SIZE])
{
	ret[0] = '\0';
	switch (r->type) {
	case RECORD_HEART_RATE:
		(void)snprintf(ret, LAST_READING_SIZE, "%" PRIu16 " /min%s", r->heart_rate.bpm,
			       r->heart_rate.contact == CONTACT_NONE ? ", no contact" : "");
		break;
	case RECORD_ECG: format_rate(r->ecg.dt_ns, ret); break;
	case RECORD_SAMPLES: format_samples(kind, &r->samples, ret); break;
	default: break;
	}
	return ret;
}
