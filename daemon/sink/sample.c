/*
 * A record as JSON text, by hand: this runs once for every heartbeat of every strap, and a general
 * writer costs more than everything else on a record's way to the server. Room is asked for once a
 * record; numbers go two digits at a time; keys are copied with sizes the compiler knows.
 *
 *   {"seq":536870913,"t_us":1763798400000000,"clk":"utc","bpm":71,"rr_1024":[865],"contact":true}
 *       "contact" only where the strap can tell, "energy_kj" after it only where it counts
 *   {...,"clk":"utc","dt_ns":7689500,"n":73,"data":"<base64 of little-endian int32>"}
 *       t_us is the time of the first sample; data is microvolts
 *   {...,"clk":"est","gap":{"reason":"link_loss","from_us":...,"to_us":...,"n":8}}
 *       n is 0 where nobody knows
 */
#include "sink/sample.h"

#include "sink/canonical.h"
#include "util/base64.h"

enum {
	FIXED_BOUND = 256, /* every key and number but what is counted below, and the slack */
	RR_BOUND = 6,	   /* "65535," */
};

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

static uint8_t *put_ecg(uint8_t *p, const struct ecg *e)
{
	uint8_t uv[4 * ECG_SAMPLES_MAX];
	size_t size = (size_t)(canonical_write_uv(e, uv) - uv);

	p = PUT(p, "\"dt_ns\":");
	p = sample_write_number(e->dt_ns, p);
	p = PUT(p, ",\"n\":");
	p = sample_write_number(e->n, p);
	p = PUT(p, ",\"data\":\"");
	base64_encode(uv, size, (char *)p);
	p += base64_size(size);
	return PUT(p, "\"}");
}

static uint8_t *put_gap(uint8_t *p, const struct gap *g, int64_t from_us)
{
	p = PUT(p, "\"gap\":{\"reason\":\"");
	p = (uint8_t *)stpcpy((char *)p, gap_reason_name(g->reason));
	p = PUT(p, "\",\"from_us\":");
	p = put_signed(p, from_us);
	p = PUT(p, ",\"to_us\":");
	p = put_signed(p, from_us + g->duration_us);
	p = PUT(p, ",\"n\":");
	p = sample_write_number(g->n, p);
	return PUT(p, "}}");
}

size_t sample_bound(const struct record *r)
{
	switch (r->type) {
	case RECORD_HEART_RATE: return FIXED_BOUND + RR_BOUND * (size_t)r->heart_rate.n_rr;
	case RECORD_ECG: return FIXED_BOUND + base64_size(4 * (size_t)r->ecg.n);
	default: return FIXED_BOUND;
	}
}

uint8_t *sample_write(const struct record *r, uint8_t *p)
{
	p = PUT(p, "{\"seq\":");
	p = sample_write_number(r->seq, p);
	p = PUT(p, ",\"t_us\":");
	p = put_signed(p, record_wall_us(r));
	p = r->clk == CLK_UTC ? PUT(p, ",\"clk\":\"utc\",") : PUT(p, ",\"clk\":\"est\",");
	switch (r->type) {
	case RECORD_HEART_RATE: return put_heart_rate(p, &r->heart_rate);
	case RECORD_ECG: return put_ecg(p, &r->ecg);
	default: return put_gap(p, &r->gap, record_wall_us(r));
	}
}
