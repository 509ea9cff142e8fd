/*
 * When were these samples taken? A PMD frame says when its last sample was, on the sensor's clock;
 * the radio says when the frame arrived, on ours, late by a little or a lot. A timeline is kept for
 * each device and stream and turns the two into times of samples on the clock of arrivals, and notices
 * what the sensor's clock gives away: missing frames, repeated frames, a clock that was reset.
 */
#pragma once

#include "util/macro.h"

enum { TIMELINE_LOWS = 30 };

/* At sensor_us of the sensor's clock, ours was offset_us ahead: by a frame that arrived. */
struct timeline_low {
	int64_t sensor_us, offset_us;
};

struct timeline {
	bool running;
	uint64_t last_ns; /* sensor time of the last sample of the last frame */
	uint32_t nominal_dt_ns;
	struct timeline_low now; /* what is believed at the last arrival */
	double rate;		 /* the offset rises by so much: the sensor's quartz is slow */
	double doubt;		 /* ... and by at most so much more */
	struct timeline_low low; /* of the present part: the least delayed arrival */
	int64_t part_since_us;
	struct timeline_low lows[TIMELINE_LOWS]; /* of the parts before it */
	unsigned n_lows;
};

enum timing_kind {
	TIMING_FIRST, /* nothing before it: spaced by the nominal rate */
	TIMING_CONTINUES,
	TIMING_MISSING,	  /* frames are missing before this one */
	TIMING_DUPLICATE, /* the same frame again: to be dropped and counted */
	TIMING_RESET,	  /* the sensor's clock jumped: starts afresh */
};

struct timing {
	enum timing_kind kind;
	int64_t first_us;    /* of the first sample, on the clock of arrivals */
	uint32_t dt_ns;	     /* between samples */
	uint32_t n_missing;  /* TIMING_MISSING: whole frames */
	int64_t gap_from_us; /* MISSING, RESET: time of the last sample before */
	int64_t gap_to_us;   /*   ... and of the first one after; never less */
};

/* Nothing is known any more: after a (re)connection. nominal_dt_ns is not 0. */
void timeline_reset(struct timeline *t, uint32_t nominal_dt_ns);
/* A frame of n >= 1 samples whose last was at ts_ns arrived at arrival_us. */
void timeline_step(struct timeline *t, uint64_t ts_ns, uint32_t n, int64_t arrival_us,
		   struct timing *ret);
