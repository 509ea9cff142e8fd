/*
 * What became of the clock since the last look: was it synchronised, did it step, did the machine
 * sleep, and is that worth a note (store_note_clock)? Rules only; it is told what the clocks say.
 */
#pragma once

#include "util/clock.h"

struct clock_look {
	struct clock_state clock;
	usec_t now;	 /* CLOCK_BOOTTIME */
	usec_t slept_us; /* clock_slept_usec() */
};

/* Embedded; zeroed is new. The fields are clock_watch.c's, but for `last_step*`. */
struct clock_watch {
	bool synchronised; /* at the last look */
	bool ever;	   /* ... or at any before, in this boot */
	int64_t offset_us; /* of the last look while it was synchronised */
	usec_t looked;	   /* when that was; 0: never in this run */
	usec_t slept_us;

	bool noted;
	int64_t noted_offset_us;
	usec_t noted_at;
	bool due; /* something is worth a note, and there have been too many */
	unsigned n_burst;
	usec_t burst_since;

	int64_t last_step_us; /* the last step that was told; 0: none */
	usec_t last_step_at;
};

struct clock_news {
	bool first;	 /* synchronised, and was not before in this run */
	bool again;	 /* ... and had been before */
	bool lost;	 /* no longer synchronised */
	int64_t step_us; /* it stepped by so much, to be told; 0: not */
	usec_t slept_us; /* the machine slept so long */
	bool note;
};

/* A note that an earlier run of this boot has made. */
void clock_watch_know(struct clock_watch *w, usec_t noted_at, int64_t offset_us);
struct clock_news clock_watch_look(struct clock_watch *w, const struct clock_look *look);
/* Cheap, for every record: is this offset another one than that of the last look? */
bool clock_watch_differs(const struct clock_watch *w, int64_t offset_us);
