/*
 * A route's timer, and what is done when it fires: the one thing that goes to the sink next. Whoever
 * changes what may go, or when, moves it.
 */
#pragma once

#include "upload/route.h"

int turn_init(struct route *r, usec_t now);
void turn_done(struct route *r);
/* The time of the loop. */
usec_t turn_now(const struct route *r);
/* The next turn is taken then; USEC_INFINITY: when somebody says so. */
void turn_at(struct route *r, usec_t at);
/* ... then, or earlier if it is taken earlier anyway. */
void turn_by(struct route *r, usec_t at);
