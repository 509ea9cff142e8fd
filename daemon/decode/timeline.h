/*
 * When were these samples taken? A PMD frame says when its last sample was, on the sensor's clock;
 * the radio says when the frame arrived, on ours, late by a little or a lot. A timeline is kept for
 * each device and stream and turns the two into times of samples on CLOCK_BOOTTIME, and notices
 * what the sensor's clock gives away: missing frames, repeated frames, a clock that was reset.
 */
#pragma once

#include "util/macro.h"

struct timeline {
	bool running;
	uint64_t last_ns; /* sensor time of the last sample of the last frame */
	uint32_t nominal_dt_ns;
	int64_t offset_us; /* boot time = sensor time + offset: the least delayed arrival so far */
	int64_t window_offset_us; /* the candidate that the present window is collecting */
	int64_t window_start_us;  /* ... and when it began, by arrival */
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
	int64_t first_us;    /* boot time of the first sample */
	uint32_t dt_ns;	     /* between samples */
	uint32_t n_missing;  /* TIMING_MISSING: whole frames */
	int64_t gap_from_us; /* MISSING, RESET: boot time of the last sample before */
	int64_t gap_to_us;   /*   ... and of the first one after; never less */
};

/* Nothing is known any more: after a (re)connection. nominal_dt_ns is not 0. */
void timeline_reset(struct timeline *t, uint32_t nominal_dt_ns);
/* A frame of n >= 1 samples whose last was at ts_ns arrived at boot_us. */
void timeline_step(struct timeline *t, uint64_t ts_ns, uint32_t n, int64_t boot_us,
		   struct timing *ret);
