/*
 * What a chest strap puts on the air, from one heart (heart.c):
 *
 *	2a37      each second: bpm over the last four beats, and the RR intervals completed since
 *	fb005c82  each 73 samples at 130 Hz: Polar Measurement Data, ECG, frame type 0, 229 bytes
 *	2a19      each minute: battery, one percent less each twenty
 *
 * Bytes. 2A37 (Heart Rate Service 1.0, 3.1): flags, bpm u8, RR u16 in 1/1024 s, oldest first. A
 * Polar H10 never sets the contact bits: flags are 10 with RR intervals, 00 without. The other
 * model sends 16 and 06, and for three seconds in three hundred it has lost the skin: 04, and no
 * intervals.
 *
 *	PMD   0  type: 00, ECG
 *	      1  u64 ns since 2000-01-01 of the LAST sample, on the strap's clock
 *	      9  frame type: 00, each sample a signed 24-bit number of microvolts
 *	     10  73 samples
 *
 * Sample k is taken k/130 s after the strap was put on, so timestamps of frames are 73/130 s apart
 * to the nanosecond. A heart-rate value holds the beats up to its own time: what a radio drops is
 * lost with it, as in life.
 */
#include "source/strap.h"

#include "source/heart.h"

#include <stdio.h>

#define NS_PER_SEC	 UINT64_C(1000000000)
#define HEART_RATE_EVERY NS_PER_SEC
#define BATTERY_EVERY	 (60 * NS_PER_SEC)
#define BATTERY_PERCENT	 (1200 * NS_PER_SEC) /* lasts for one percent */
#define SKIN_CYCLE	 (300 * NS_PER_SEC)
#define SKIN_LOST	 (3 * NS_PER_SEC) /* at the end of each cycle */

enum { FLAG_CONTACT = 0x02, FLAG_CONTACT_SUPPORTED = 0x04, FLAG_RR = 0x10, BPM_BEATS = 4 };

struct strap {
	struct strap_options options;
	struct heart heart;
	char address[DEVICE_ADDRESS_SIZE];
	char name[32];
	uint64_t clock_base_ns; /* its clock at time 0; wraps below 0 after a reset, as u64 may */
	uint64_t next_sample;
	uint64_t next_heart_rate_ns;
	uint64_t next_battery_ns;
	uint64_t next_beat; /* the first whose RR was not told yet */
	uint64_t now_ns;
};

static uint64_t sample_ns(uint64_t k)
{
	uint64_t whole = k / STRAP_ECG_RATE;

	return whole * NS_PER_SEC + k % STRAP_ECG_RATE * NS_PER_SEC / STRAP_ECG_RATE;
}

static uint64_t ecg_due(const struct strap *s)
{
	return s->options.ecg ? sample_ns(s->next_sample + STRAP_ECG_SAMPLES - 1) : UINT64_MAX;
}

static int64_t tick_of(uint64_t ns)
{
	return (int64_t)(ns / NS_PER_SEC * HEART_TICKS +
			 ns % NS_PER_SEC * HEART_TICKS / NS_PER_SEC);
}

struct strap *strap_free(struct strap *s)
{
	free(s);
	return NULL;
}

int strap_new(const struct strap_options *options, struct strap **ret)
{
	_cleanup_(strap_freep) struct strap *s = calloc(1, sizeof(*s));
	struct dice dice = {options->seed * STRAP_MAX + options->index};

	if (!s)
		return -ENOMEM;
	assert(options->index < STRAP_MAX);
	s->options = *options;
	s->clock_base_ns = options->clock_ns;
	heart_init(&s->heart, dice_throw(&dice));
	(void)snprintf(s->address, sizeof(s->address), "c0:de:00:00:00:%02x", options->index + 1);
	(void)snprintf(s->name, sizeof(s->name), "Simulated strap %u", options->index + 1);
	s->next_beat = 1;
	s->next_heart_rate_ns = NS_PER_SEC + dice_below(&dice, NS_PER_SEC);
	s->next_battery_ns = dice_below(&dice, BATTERY_EVERY);
	*ret = TAKE(s);
	return 0;
}

uint64_t strap_due(const struct strap *s)
{
	return MIN(ecg_due(s), MIN(s->next_heart_rate_ns, s->next_battery_ns));
}

static uint8_t battery_percent(const struct strap *s)
{
	uint64_t used = s->now_ns / BATTERY_PERCENT;

	return used < 96 - s->options.index ? (uint8_t)(96 - s->options.index - used) : 1;
}

static void put_le(struct strap_event *e, uint64_t v, size_t width)
{
	for (size_t i = 0; i < width; i++)
		e->data[e->size++] = (uint8_t)(v >> (8 * i));
}

static uint16_t bpm_now(const struct strap *s)
{
	uint32_t sum = 0;
	uint32_t n = 0;

	for (uint64_t k = s->next_beat; k > 1 && n < BPM_BEATS; n++)
		sum += heart_beat(&s->heart, --k)->rr;
	return n ? (uint16_t)((HEART_TICKS * 60 * n + sum / 2) / sum) : 0;
}

/* Takes the beats up to now; those without skin are heard by nobody. */
static void gather_beats(struct strap *s, bool skin, struct strap_event *e)
{
	int64_t now = tick_of(e->at_ns);
	const struct beat *b;

	heart_run(&s->heart, now);
	while ((b = heart_beat(&s->heart, s->next_beat))->tick <= now && e->n_rr < STRAP_RR_MAX) {
		if (skin)
			e->rr_1024[e->n_rr++] = b->rr;
		s->next_beat++;
	}
	e->bpm = bpm_now(s);
}

static void make_heart_rate(struct strap *s, struct strap_event *e)
{
	bool skin = !s->options.contact_bits || e->at_ns % SKIN_CYCLE < SKIN_CYCLE - SKIN_LOST;
	unsigned flags = 0;

	e->characteristic = CHARACTERISTIC_HEART_RATE_MEASUREMENT;
	gather_beats(s, skin, e);
	if (s->options.contact_bits) {
		e->contact = skin ? CONTACT_YES : CONTACT_NONE;
		flags |= FLAG_CONTACT_SUPPORTED | (skin ? FLAG_CONTACT : 0);
	}
	put_le(e, flags | (e->n_rr ? FLAG_RR : 0), 1);
	put_le(e, e->bpm, 1);
	for (unsigned i = 0; i < e->n_rr; i++)
		put_le(e, e->rr_1024[i], 2);
	s->next_heart_rate_ns += HEART_RATE_EVERY;
}

static void make_ecg(struct strap *s, struct strap_event *e)
{
	e->characteristic = CHARACTERISTIC_PMD_DATA;
	e->ts_ns = s->clock_base_ns + e->at_ns;
	heart_run(&s->heart, tick_of(e->at_ns));
	put_le(e, 0, 1); /* type: ECG */
	put_le(e, e->ts_ns, 8);
	put_le(e, 0, 1); /* frame type */
	for (unsigned i = 0; i < STRAP_ECG_SAMPLES; i++) {
		double seconds = (double)(s->next_sample + i) / STRAP_ECG_RATE;

		e->uv[i] = heart_microvolts(&s->heart, seconds);
		put_le(e, (uint32_t)e->uv[i], 3);
	}
	s->next_sample += STRAP_ECG_SAMPLES;
}

static void make_battery(struct strap *s, struct strap_event *e)
{
	e->characteristic = CHARACTERISTIC_BATTERY_LEVEL;
	put_le(e, battery_percent(s), 1);
	s->next_battery_ns += BATTERY_EVERY;
}

void strap_next(struct strap *s, struct strap_event *ret)
{
	*ret = (struct strap_event){.at_ns = strap_due(s)};
	s->now_ns = ret->at_ns;
	if (ret->at_ns == ecg_due(s))
		make_ecg(s, ret);
	else if (ret->at_ns == s->next_heart_rate_ns)
		make_heart_rate(s, ret);
	else
		make_battery(s, ret);
}

void strap_reset_clock(struct strap *s)
{
	s->clock_base_ns = STRAP_CLOCK_RESET_NS - s->now_ns;
}

void strap_jump_clock(struct strap *s, int64_t ns)
{
	s->clock_base_ns += (uint64_t)ns; /* wraps, as the sum with now_ns does */
}

const char *strap_address(const struct strap *s)
{
	return s->address;
}

const char *strap_name(const struct strap *s)
{
	return s->name;
}

bool strap_notifies(const struct strap *s, enum characteristic c)
{
	return c == CHARACTERISTIC_HEART_RATE_MEASUREMENT || c == CHARACTERISTIC_BATTERY_LEVEL ||
	       (c == CHARACTERISTIC_PMD_DATA && s->options.ecg);
}

static size_t put_string(const char *value, uint8_t *ret, size_t size)
{
	size_t n = strlen(value);

	if (n > size)
		return 0;
	memcpy(ret, value, n);
	return n;
}

size_t strap_value(const struct strap *s, enum characteristic c, uint8_t *ret, size_t size)
{
	char serial[16];

	if (size == 0)
		return 0;
	switch (c) {
	case CHARACTERISTIC_BATTERY_LEVEL: ret[0] = battery_percent(s); return 1;
	case CHARACTERISTIC_BODY_SENSOR_LOCATION: ret[0] = 1; return 1; /* chest */
	case CHARACTERISTIC_MANUFACTURER_NAME: return put_string("vitald", ret, size);
	case CHARACTERISTIC_MODEL_NUMBER:
		return put_string(s->options.ecg ? "simulated ECG strap" : "simulated strap", ret,
				  size);
	case CHARACTERISTIC_SERIAL_NUMBER:
		(void)snprintf(serial, sizeof(serial), "SIM%08u", s->options.index + 1);
		return put_string(serial, ret, size);
	case CHARACTERISTIC_FIRMWARE_REVISION: return put_string(VITALD_VERSION, ret, size);
	case CHARACTERISTIC_HARDWARE_REVISION:
	case CHARACTERISTIC_SOFTWARE_REVISION: return put_string("none", ret, size);
	default: return 0;
	}
}
