/*
 * The clocks. Durations and deadlines are CLOCK_BOOTTIME; wall time is microseconds since 1970 and
 * is only trusted when the kernel says that something disciplines it. Only the owner of an event
 * source (and a main function) calls these; everybody else is told `now`.
 */
#pragma once

#include "util/macro.h"

struct clock_state {
	bool synchronised;
	int64_t error_us;  /* estimated error, and what NTP has still to correct */
	int64_t offset_us; /* wall time minus boot time, right now */
};

/* How far to believe the wall clock: ask the kernel, or what the owner's config says. */
enum clock_trust { CLOCK_TRUST_AUTO, CLOCK_TRUST_YES, CLOCK_TRUST_NO };

usec_t clock_boot_usec(void);
int64_t clock_wall_usec(void);
/* Wall time minus boot time, both read at the same moment. */
int64_t clock_offset_usec(void);
/* How long this boot was suspended. */
usec_t clock_slept_usec(void);
/*
 * How far NTP has bent CLOCK_BOOTTIME (and CLOCK_MONOTONIC) away from the bare crystal. Only
 * differences mean something: boot time minus this runs as evenly as the crystal does.
 */
int64_t clock_bent_usec(void);
struct clock_state clock_read(enum clock_trust trust);
/* "2026-03-01T12:00:00Z" into `ret`; UTC. */
void clock_format(int64_t wall_us, char ret[static 32]);
/* 36 characters and NUL, of the running kernel; all zeroes where /proc hides it. */
void clock_boot_id(char ret[static 37]);
