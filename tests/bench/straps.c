/*
 * To draw an ECG sample costs more than all that the daemon does with it, so it is done before
 * anything is measured. What is left of a notification is a memcpy and two or three numbers:
 *
 *	2a37   0 flags 0x16 (contact told, contact, RR follows)   1 bpm   2-3 RR, 1/1024 s
 *	PMD    0 type 0 (ECG)   1-8 ns of the last sample   9 frame type 0   10- s24 microvolts
 */
#include "straps.h"

#include "source/heart.h"

#include <stdio.h>

enum {
	RATE = 130,
	MINUTE = 60,
	POOL_FRAMES = MINUTE * RATE / ECG_FRAME_SAMPLES,
	POOL_BEATS = 256,
	PMD_HEADER = 10,
	PMD_SIZE = PMD_HEADER + 3 * ECG_FRAME_SAMPLES,
};

#define FIRST_SENSOR_NS UINT64_C(599616000000000000) /* 2019-01-01, as a strap without a clock */
#define FRAME_NS	(UINT64_C(1000000000) * ECG_FRAME_SAMPLES / RATE)

struct strap {
	char address[DEVICE_ADDRESS_SIZE];
	uint16_t rr[POOL_BEATS];
	uint8_t ecg[POOL_FRAMES][3 * ECG_FRAME_SAMPLES];
	uint64_t n_beats, n_frames;
};

struct straps {
	uint8_t data[PMD_SIZE];
	size_t n;
	struct strap straps[];
};

struct straps *straps_free(struct straps *s)
{
	free(s);
	return NULL;
}

static void draw(struct strap *s, uint64_t seed)
{
	struct heart heart;
	size_t beat = 0;

	heart_init(&heart, seed);
	for (size_t i = 0; i < (size_t)POOL_FRAMES * ECG_FRAME_SAMPLES; i++) {
		double at = (double)i / RATE;
		int32_t uv;

		heart_run(&heart, (int64_t)(at * HEART_TICKS));
		uv = heart_microvolts(&heart, at);
		for (size_t k = 0; k < 3; k++)
			s->ecg[i / ECG_FRAME_SAMPLES][i % ECG_FRAME_SAMPLES * 3 + k] =
				(uint8_t)((uint32_t)uv >> 8 * k);
	}
	while (beat < POOL_BEATS) {
		uint64_t before = heart.n_beats;

		heart_run(&heart, heart_beat(&heart, before - 1)->tick);
		for (uint64_t k = before; k < heart.n_beats && beat < POOL_BEATS; k++)
			s->rr[beat++] = heart_beat(&heart, k)->rr;
		if (heart.n_beats == before)
			heart_run(&heart, heart_beat(&heart, before - 1)->tick + HEART_TICKS);
	}
}

int straps_new(size_t n, struct straps **ret)
{
	struct straps *s = calloc(1, sizeof(*s) + n * sizeof(s->straps[0]));

	if (!s)
		return -ENOMEM;
	s->n = n;
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(s->straps[i].address, sizeof(s->straps[i].address),
			       "a0:b1:c2:d3:e4:%02x", (unsigned)(i & 0xff)); /* fits */
		draw(&s->straps[i], i + 1);
	}
	*ret = s;
	return 0;
}

void straps_heart_rate(struct straps *s, size_t strap, usec_t now, struct frame *ret)
{
	struct strap *one = &s->straps[strap];
	uint16_t rr = one->rr[one->n_beats++ % POOL_BEATS];

	s->data[0] = 0x16;
	s->data[1] = (uint8_t)MIN(60 * HEART_TICKS / MAX(rr, 256), 250);
	s->data[2] = (uint8_t)rr;
	s->data[3] = (uint8_t)(rr >> 8);
	*ret = (struct frame){one->address, CHARACTERISTIC_HEART_RATE_MEASUREMENT,
			      now,	    now,
			      s->data,	    4};
}

void straps_ecg(struct straps *s, size_t strap, usec_t now, struct frame *ret)
{
	struct strap *one = &s->straps[strap];
	uint64_t ns = FIRST_SENSOR_NS + ++one->n_frames * FRAME_NS;

	memset(s->data, 0, PMD_HEADER);
	for (size_t i = 0; i < 8; i++)
		s->data[1 + i] = (uint8_t)(ns >> 8 * i);
	memcpy(s->data + PMD_HEADER, one->ecg[one->n_frames % POOL_FRAMES], sizeof(one->ecg[0]));
	*ret = (struct frame){one->address, CHARACTERISTIC_PMD_DATA, now, now, s->data, PMD_SIZE};
}

const char *straps_address(const struct straps *s, size_t strap)
{
	return s->straps[strap].address;
}
