/*
 * A circuit breaker: after a failure nobody asks any more until its time is over; then one trial
 * goes out, and its outcome decides. Knows no clock; it is told `now`.
 */
#pragma once

#include "util/macro.h"

enum breaker_state {
	BREAKER_CLOSED, /* all may pass */
	BREAKER_OPEN,	/* nothing may, until retry_at */
	BREAKER_TRIAL,	/* one is under way */
};

struct breaker {
	enum breaker_state state;
	usec_t since;	 /* in CLOSED, or out of it */
	usec_t retry_at; /* OPEN: when the next trial may go */
};

/* May a trial go now? True only in OPEN, and only when its time is over. */
bool breaker_ready(const struct breaker *b, usec_t now);
/* OPEN -> TRIAL: the caller sends it. */
void breaker_try(struct breaker *b);
/* The trial was not sent, or nobody will tell how it went: OPEN again, as before. */
void breaker_untry(struct breaker *b, usec_t retry_at);
/* Opens it until retry_at. True: it was closed. */
bool breaker_failure(struct breaker *b, usec_t now, usec_t retry_at);
/* Closes it. True: it was not closed. */
bool breaker_success(struct breaker *b, usec_t now);
/* Something changed outside (network, clock, credential): a trial may go now. */
void breaker_hurry(struct breaker *b, usec_t now);
