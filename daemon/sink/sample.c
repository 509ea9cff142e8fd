/*
 * A record as JSON text, by hand: this runs once for every heartbeat of every strap, and a general
 * writer costs more than everything else on a record's way to the server. Room is asked for once a
 * record; numbers go two digits at a time; keys are copied with sizes the compiler knows.
 *
 *   {"seq":536870913,"t_us":1763798400000000,"clk":"utc","bpm":71,"rr_1024":[865],"contact":true}
 *       "contact" only where the strap can tell, "energy_kj" after it only where it counts
 *   {...,"clk":"utc","dt_ns":7689500,"n":73,"data":"<base64 of little-endian int32>"}
 *       t_us is the time of the first sample; data is microvolts
 *   {...,"clk":"utc","unit":"%","values":{"spo2":97,"pulse_rate":null}}
 *       single values of any other kind, in the digits that the wearable sent; null where it has none
 *   {...,"clk":"utc","unit":"m[g]","dt_ns":20000000,"n":25,"channels":3,"data":"<base64>"}
 *       curves of any other kind: n rows of so many channels, t_us is the time of the first row
 *       Both: "exponent":[-1] where one is not 0: of the values it was written by, of the data it
 *       has to be applied. "status":64, bits of the service, where there is something to remark.
 *       "device_time":"2026-11-23T04:15:09.123456789" of the last row, on the sensor's own clock.
 *   {...,"clk":"est","boot_us":...,"gap":{"reason":"link_loss","from_us":...,"to_us":...,"n":8}}
 *       n is 0 where nobody knows
 *   "boot_us" stands behind every "est": t_us is what a clock said that nobody had set, and this is
 *       the same moment on CLOCK_BOOTTIME of the batch's boot_id, by which a server that is told
 *       later when that was (POST /v1/clocks) finds the true time. It is no part of the canonical
 *       bytes.
 */
#include "sink/sample.h"

#include "sink/canonical.h"
#include "util/base64.h"
#include "util/clock.h"
#include "util/decimal.h"

#include <stdio.h>

enum {
	FIXED_BOUND = 256,   /* every key and number but what is counted below, and the slack */
	RR_BOUND = 6,	     /* "65535," */
	CHANNEL_BOUND = 72,  /* "pulse_amplitude_index":-0.002147483648, and "-128," */
	SAMPLES_BOUND = 160, /* the keys and numbers that only samples have */
};

#define SENSOR_EPOCH_S INT64_C(946684800) /* 2000-01-01 */

/* Copies a literal without its NUL. */
#define PUT(p, literal) ((uint8_t *)memcpy(p, literal, sizeof(literal) - 1) + sizeof(literal) - 1)

static const char two_digits[] =
	"00010203040506070809101112131415161718192021222324252627282930313233"
	"34353637383940414243444546474849505152535455565758596061626364656667"
	"6869707172737475767778798081828384858687888990919293949596979899";

uint8_t *sample_write_number(uint64_t v, uint8_t *p)
{
	char text[2 * SAMPLE_NUMBER_ROOM];
	char *at = text + SAMPLE_NUMBER_ROOM;

	for (; v >= 100; v /= 100) {
		at -= 2;
		memcpy(at, two_digits + v % 100 * 2, 2);
	}
	if (v >= 10) {
		at -= 2;
		memcpy(at, two_digits + v * 2, 2);
	} else {
		*--at = (char)('0' + v);
	}
	memcpy(p, at, (size_t)(text + SAMPLE_NUMBER_ROOM - at));
	return p + (text + SAMPLE_NUMBER_ROOM - at);
}

static uint8_t *put_signed(uint8_t *p, int64_t v)
{
	if (v >= 0)
		return sample_write_number((uint64_t)v, p);
	*p++ = '-';
	return sample_write_number(-(uint64_t)v, p);
}

static uint8_t *put_heart_rate(uint8_t *p, const struct heart_rate *h)
{
	p = PUT(p, "\"bpm\":");
	p = sample_write_number(h->bpm, p);
	p = PUT(p, ",\"rr_1024\":[");
	for (size_t i = 0; i < h->n_rr; i++) {
		if (i > 0)
			*p++ = ',';
		p = sample_write_number(h->rr_1024[i], p);
	}
	*p++ = ']';
	if (h->contact == CONTACT_YES)
		p = PUT(p, ",\"contact\":true");
	else if (h->contact == CONTACT_NONE)
		p = PUT(p, ",\"contact\":false");
	if (h->energy_kj >= 0) {
		p = PUT(p, ",\"energy_kj\":");
		p = sample_write_number((uint64_t)h->energy_kj, p);
	}
	*p++ = '}';
	return p;
}

static uint8_t *put_text(uint8_t *p, const char *text)
{
	return (uint8_t *)stpcpy((char *)p, text);
}

/* Base64 of little-endian int32, closed. */
static uint8_t *put_data(uint8_t *p, const int32_t *values, size_t n)
{
	uint8_t bytes[4 * MAX(ECG_SAMPLES_MAX, SAMPLES_VALUES_MAX)];
	size_t size = (size_t)(canonical_write_values(values, n, bytes) - bytes);

	p = PUT(p, "\"data\":\"");
	base64_encode(bytes, size, (char *)p);
	p += base64_size(size);
	return PUT(p, "\"");
}

static uint8_t *put_ecg(uint8_t *p, const struct ecg *e)
{
	p = PUT(p, "\"dt_ns\":");
	p = sample_write_number(e->dt_ns, p);
	p = PUT(p, ",\"n\":");
	p = sample_write_number(e->n, p);
	*p++ = ',';
	p = put_data(p, e->uv, e->n);
	*p++ = '}';
	return p;
}

/* A spot measurement; what comes in rows has a distance between them. */
static bool is_single(const struct samples *s)
{
	return s->n == 1 && s->dt_ns == 0;
}

static uint8_t *put_values(uint8_t *p, const struct samples *s, unsigned kind)
{
	char text[DECIMAL_SIZE];

	p = PUT(p, "\"values\":{");
	for (unsigned i = 0; i < s->n_channels; i++) {
		p = i > 0 ? PUT(p, ",\"") : PUT(p, "\"");
		p = put_text(p, channel_name(kind, i));
		p = PUT(p, "\":");
		p = put_text(p, s->value[i] == SAMPLES_NONE
					? "null"
					: decimal_format(s->value[i], s->exponent[i], text));
	}
	*p++ = '}';
	return p;
}

static uint8_t *put_rows(uint8_t *p, const struct samples *s)
{
	p = PUT(p, "\"dt_ns\":");
	p = sample_write_number(s->dt_ns, p);
	p = PUT(p, ",\"n\":");
	p = sample_write_number(s->n, p);
	p = PUT(p, ",\"channels\":");
	p = sample_write_number(s->n_channels, p);
	*p++ = ',';
	return put_data(p, s->value, (size_t)s->n * s->n_channels);
}

static uint8_t *put_exponents(uint8_t *p, const struct samples *s)
{
	bool some = false;

	for (unsigned i = 0; i < s->n_channels; i++)
		some = some || s->exponent[i];
	if (!some)
		return p;
	p = PUT(p, ",\"exponent\":[");
	for (unsigned i = 0; i < s->n_channels; i++) {
		if (i > 0)
			*p++ = ',';
		p = put_signed(p, s->exponent[i]);
	}
	*p++ = ']';
	return p;
}

/* No zone: what the wearable's clock shows is whatever somebody once set it to. */
static uint8_t *put_device_time(uint8_t *p, uint64_t sensor_ns)
{
	int64_t us = (SENSOR_EPOCH_S + (int64_t)(sensor_ns / 1000000000)) * 1000000;
	unsigned ns = (unsigned)(sensor_ns % 1000000000);
	char text[48];

	clock_format(us, text);
	*strchrnul(text, 'Z') = '\0';
	p = PUT(p, ",\"device_time\":\"");
	p = put_text(p, text);
	if (ns) {
		(void)snprintf(text, sizeof(text), ".%09u", ns); /* fits */
		p = put_text(p, text);
	}
	*p++ = '"';
	return p;
}

static uint8_t *put_samples(uint8_t *p, const struct samples *s, unsigned kind)
{
	p = PUT(p, "\"unit\":\"");
	p = put_text(p, unit_name(s->unit));
	p = PUT(p, "\",");
	p = is_single(s) ? put_values(p, s, kind) : put_rows(p, s);
	p = put_exponents(p, s);
	if (s->status) {
		p = PUT(p, ",\"status\":");
		p = sample_write_number(s->status, p);
	}
	if (s->sensor_ns)
		p = put_device_time(p, s->sensor_ns);
	*p++ = '}';
	return p;
}

static uint8_t *put_gap(uint8_t *p, const struct gap *g, int64_t from_us)
{
	p = PUT(p, "\"gap\":{\"reason\":\"");
	p = put_text(p, gap_reason_name(g->reason));
	p = PUT(p, "\",\"from_us\":");
	p = put_signed(p, from_us);
	p = PUT(p, ",\"to_us\":");
	p = put_signed(p, from_us + g->duration_us);
	p = PUT(p, ",\"n\":");
	p = sample_write_number(g->n, p);
	return PUT(p, "}}");
}

static uint8_t *put_clock(uint8_t *p, const struct record *r)
{
	if (r->clk == CLK_UTC)
		return PUT(p, ",\"clk\":\"utc\",");
	p = PUT(p, ",\"clk\":\"est\",\"boot_us\":");
	p = put_signed(p, r->boot_us);
	*p++ = ',';
	return p;
}

static size_t samples_bound(const struct samples *s)
{
	size_t n = FIXED_BOUND + SAMPLES_BOUND + CHANNEL_BOUND * (size_t)s->n_channels;

	return is_single(s) ? n : n + base64_size(4 * (size_t)s->n * s->n_channels);
}

size_t sample_bound(const struct record *r)
{
	switch (r->type) {
	case RECORD_HEART_RATE: return FIXED_BOUND + RR_BOUND * (size_t)r->heart_rate.n_rr;
	case RECORD_ECG: return FIXED_BOUND + base64_size(4 * (size_t)r->ecg.n);
	case RECORD_SAMPLES: return samples_bound(&r->samples);
	default: return FIXED_BOUND;
	}
}

uint8_t *sample_write(const struct record *r, unsigned kind, uint8_t *p)
{
	p = PUT(p, "{\"seq\":");
	p = sample_write_number(r->seq, p);
	p = PUT(p, ",\"t_us\":");
	p = put_signed(p, record_wall_us(r));
	p = put_clock(p, r);
	switch (r->type) {
	case RECORD_HEART_RATE: return put_heart_rate(p, &r->heart_rate);
	case RECORD_ECG: return put_ecg(p, &r->ecg);
	case RECORD_SAMPLES: return put_samples(p, &r->samples, kind);
	default: return put_gap(p, &r->gap, record_wall_us(r));
	}
}
