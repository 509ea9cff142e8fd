/*
 * One rhythm drives both streams of a strap, so that the heart-rate curve and the ECG strip of a
 * demo tell the same story.
 *
 * Rhythm. RR = 60 / bpm(phase) * (1 + breathing + wandering). Three phases follow each other for
 * ever:
 *
 *	rest (60 s)      the resting rate
 *	exercise (60 s)  rises by 82/min, time constant 18 s; breathing hardly shows
 *	recovery (60 s)  falls back, time constant 22 s
 *
 * Each 40 to 160 beats one is ectopic: it comes after 0.62 RR, and the next after 1.38 RR, because
 * the sinus node was not reset (a compensatory pause: both together are two RR).
 *
 * Voltage. Each beat is a sum of Gaussians around its R wave, as in McSharry et al., "A dynamical
 * model for generating synthetic electrocardiogram signals", IEEE TBME 50 (2003); the offsets of P
 * and T move with the square root of RR, as Bazett has it. To this come breathing, a slow baseline
 * and noise.
 */
#include "source/heart.h"

#include <math.h>

#define PI 3.14159265358979323846

enum { PHASE_S = 60, ECTOPIC_MIN = 40, ECTOPIC_SPREAD = 120 };

struct wave {
	double at_s; /* from R; multiplied by sqrt(RR) where it stretches */
	double width_s;
	double height_uv;
	bool stretches;
};

static const struct wave normal_beat[] = {
	{-0.170, 0.022, 110, true},    /* P */
	{-0.027, 0.0095, -110, false}, /* Q */
	{0.000, 0.0105, 1150, false},  /* R */
	{0.029, 0.0105, -230, false},  /* S */
	{0.290, 0.050, 270, true},     /* T */
};

static const struct wave ectopic_beat[] = {
	{0.000, 0.030, 1400, false}, /* R, wide */
	{0.075, 0.032, -520, false}, /* S */
	{0.310, 0.060, -330, true},  /* T, the other way up */
};

/* How hard the body works: 0 at rest, towards 1 at the end of the exercise. */
static double effort(double day_s)
{
	double t = fmod(day_s, 3 * PHASE_S);

	if (t < PHASE_S)
		return 0;
	if (t < 2 * PHASE_S)
		return 1 - exp(-(t - PHASE_S) / 18);
	return exp(-(t - 2 * PHASE_S) / 22);
}

/* RR in ticks of a sinus beat that follows `tick`. */
static double sinus_rr(struct heart *h, int64_t tick)
{
	double t = (double)tick / HEART_TICKS;
	double work = effort(t + h->day_s);
	double breathing = (0.045 - 0.04 * work) * sin(2 * PI * (0.24 + 0.2 * work) * t);

	h->wandering = 0.92 * h->wandering + 0.006 * (1 - 0.8 * work) * dice_normal(&h->dice);
	return HEART_TICKS * 60 / (h->rest_bpm + 82 * work) * (1 + breathing + h->wandering);
}

static void next_beat(struct heart *h)
{
	const struct beat *last = heart_beat(h, h->n_beats - 1);
	double rr = sinus_rr(h, last->tick);
	struct beat b = {.rr = (uint16_t)lround(rr)};

	if (h->pause > 0) {
		b.rr = h->pause;
		h->pause = 0;
	} else if (h->to_ectopic-- == 0) {
		b.ectopic = true;
		b.rr = (uint16_t)lround(0.62 * rr);
		h->pause = (uint16_t)(lround(2 * rr) - b.rr);
		h->to_ectopic = ECTOPIC_MIN + (unsigned)dice_below(&h->dice, ECTOPIC_SPREAD);
	}
	b.tick = last->tick + b.rr;
	h->beats[h->n_beats++ % HEART_BEATS] = b;
}

void heart_init(struct heart *h, uint64_t seed)
{
	*h = (struct heart){.dice = {seed}, .noise = {~seed}};
	h->rest_bpm = 56 + 14 * dice_unit(&h->dice);
	h->day_s = 40 * dice_unit(&h->dice);
	h->to_ectopic = 15 + (unsigned)dice_below(&h->dice, 30);
	h->beats[0].tick = (int64_t)dice_below(&h->dice, HEART_TICKS);
	h->beats[0].rr = HEART_TICKS;
	h->n_beats = 1;
}

const struct beat *heart_beat(const struct heart *h, uint64_t k)
{
	assert(k < h->n_beats && h->n_beats - k <= HEART_BEATS);
	return &h->beats[k % HEART_BEATS];
}

void heart_run(struct heart *h, int64_t tick)
{
	while (heart_beat(h, h->n_beats - 1)->tick <= tick + HEART_TICKS)
		next_beat(h);
}

static double beat_voltage(const struct beat *b, double from_r_s)
{
	const struct wave *waves = b->ectopic ? ectopic_beat : normal_beat;
	size_t n = b->ectopic ? ARRAY_SIZE(ectopic_beat) : ARRAY_SIZE(normal_beat);
	double stretch = sqrt((double)b->rr / HEART_TICKS);
	double sum = 0;

	for (size_t i = 0; i < n; i++) {
		double at_s = waves[i].at_s * (waves[i].stretches ? stretch : 1);
		double z = (from_r_s - at_s) / waves[i].width_s;

		if (fabs(z) < 5)
			sum += waves[i].height_uv * exp(-z * z / 2);
	}
	return sum;
}

int32_t heart_microvolts(struct heart *h, double seconds)
{
	uint64_t n = MIN(h->n_beats, (uint64_t)HEART_BEATS);
	double sum = 45 * sin(2 * PI * 0.24 * seconds) + 30 * sin(2 * PI * 0.031 * seconds) +
		     7 * dice_normal(&h->noise);

	for (uint64_t i = 0; i < n; i++) {
		const struct beat *b = &h->beats[i];
		double from_r_s = seconds - (double)b->tick / HEART_TICKS;

		if (fabs(from_r_s) < 0.8)
			sum += beat_voltage(b, from_r_s);
	}
	return (int32_t)lround(CLAMP(sum, -20000.0, 20000.0));
}
