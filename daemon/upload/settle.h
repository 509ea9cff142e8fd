/* What an answer does to the sink and to the records that it is about. */
#pragma once

#include "upload/route.h"

/* The answer to a lane's request: settles its cut, or leaves the lane WAITING to send again. */
void settle_answer(struct route *r, struct lane *l, const struct answer *a, usec_t now);
/*
 * The part of a failure that concerns the sink, not the records (TRANSIENT, ACCOUNT, TOKEN, CLOCK):
 * down or held; returns when it will be tried again.
 */
usec_t settle_sink(struct route *r, const struct verdict *v, const struct answer *a, usec_t now);
/* A fault of ours or of the store: said once here; the cut goes back, the lane rests a second. */
void settle_fault(struct route *r, struct lane *l, int fault, usec_t now);
