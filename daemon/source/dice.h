/*
 * Seeded chance, so that a simulated day can be had again. SplitMix64 (Steele, Lea, Flood 2014):
 * one word of state, and two streams with different seeds have nothing to do with each other.
 */
#pragma once

#include "util/macro.h"

struct dice {
	uint64_t state;
};

static inline uint64_t dice_throw(struct dice *d)
{
	uint64_t z = d->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* 0 to just under n; n > 0. */
static inline uint64_t dice_below(struct dice *d, uint64_t n)
{
	return dice_throw(d) % n;
}

/* 0 to just under 1. */
static inline double dice_unit(struct dice *d)
{
	return (double)(dice_throw(d) >> 11) * 0x1p-53;
}

/* Roughly normal, mean 0, variance 1: four uniform ones added up, so never beyond 3.5. */
static inline double dice_normal(struct dice *d)
{
	double sum = 0;

	for (int i = 0; i < 4; i++)
		sum += dice_unit(d);
	return (sum - 2) * 1.7320508075688772;
}

static inline bool dice_chance(struct dice *d, double probability)
{
	return probability > 0 && dice_unit(d) < probability;
}
