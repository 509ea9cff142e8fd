/*
 * A heart: when it beats, and the voltage that a chest strap sees of it. Times are those of whoever
 * listens, from 0; a beat falls on a whole 1/1024 s, so RR intervals add up without rounding.
 */
#pragma once

#include "source/dice.h"

enum { HEART_TICKS = 1024, HEART_BEATS = 32 };

struct beat {
	int64_t tick; /* of its R wave, in 1/1024 s */
	uint16_t rr;  /* since the beat before */
	bool ectopic; /* from a ventricle: early, wide, without a P wave */
};

/* Embedded; the fields are heart.c's. */
struct heart {
	struct dice dice;		/* of the rhythm */
	struct dice noise;		/* of the electrodes */
	struct beat beats[HEART_BEATS]; /* beat k at k % HEART_BEATS */
	uint64_t n_beats;
	double rest_bpm;
	double day_s;	  /* where in the cycle of phases time 0 lies */
	double wandering; /* slow variability, a part of RR */
	unsigned to_ectopic;
	uint16_t pause; /* what the beat after an ectopic one has to make good */
};

void heart_init(struct heart *h, uint64_t seed);
/* Beats until one lies more than a second after `tick`: the ECG at `tick` can be drawn then. */
void heart_run(struct heart *h, int64_t tick);
/* Beat k of n_beats, one of the last HEART_BEATS. */
const struct beat *heart_beat(const struct heart *h, uint64_t k);
/* Microvolts at this time, noise included; heart_run() has been there. */
int32_t heart_microvolts(struct heart *h, double seconds);
