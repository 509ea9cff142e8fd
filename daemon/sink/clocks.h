/*
 * The body of POST /v1/clocks, and what its answer means. Pure, like the rest of this room.
 *
 *	{"clocks":[{"boot_id":"4f..","boot_us":21000000,"utc_us":1763798400000000}]}
 *	200, X-Ingest-Contract: 1, {"contract":1,"clocks":1}
 */
#pragma once

#include "model/clock_note.h"
#include "sink/sink.h"

enum clocks_verdict {
	CLOCKS_TAKEN, /* all of them: durable there */
	CLOCKS_LATER, /* no receipt: a failure that may pass, or nobody who speaks the contract */
	CLOCKS_UNWANTED, /* this server does not take clocks, or not these */
};

/* < 0: no memory. */
int clocks_encode(const struct clock_note *notes, size_t n, struct buf *ret);
/* The answer to n of them. */
enum clocks_verdict clocks_judge(const struct answer *a, size_t n);
