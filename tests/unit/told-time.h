/*
 * Time that stands still until the test moves it, for a program that runs on sd-event: linked into
 * a test, this takes the place of CLOCK_MONOTONIC and CLOCK_BOOTTIME and of timerfd, in libsystemd
 * as well. Hours of patience are tested in a second, and a busy machine changes nothing. Wall time
 * goes on by itself: the kernel stamps packets with it.
 */
#pragma once

#include "util/macro.h"

/* Both clocks; begins at 1000 s. */
usec_t told_time(void);
/* The earliest time for which sd-event has armed a timer; USEC_INFINITY: none. */
usec_t told_time_next(void);
/* Moves both clocks on; the timers that are due fire in the next turn of the loop. */
void told_time_set(usec_t now);
