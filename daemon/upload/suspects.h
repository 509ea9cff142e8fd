/*
 * Single records that a sink refused with nothing but a status, until it is known who is at fault:
 * the record, or a server that refuses everything. Pure bookkeeping.
 */
#pragma once

#include "model/record.h"

enum { SUSPECTS_MAX = 16, SUSPECTS_ACCOUNT = 3 };

struct suspects {
	struct suspect {
		uint32_t stream;
		uint64_t seq;
		uint64_t confirmed; /* of its kind, when it was first refused */
		bool fresh;	    /* no success since it was last refused */
	} list[SUSPECTS_MAX];
	unsigned n, oldest;
	uint64_t confirmed[KIND_MAX]; /* records, by kind */
};

enum suspicion {
	SUSPICION_WAIT,	   /* try others first */
	SUSPICION_RECORD,  /* others of its kind have passed since: it is the record */
	SUSPICION_ACCOUNT, /* three in a row and nothing passed: it is the server */
};

enum suspicion suspects_refused(struct suspects *s, unsigned kind, uint32_t stream, uint64_t seq);
/* The sink confirmed n records of this kind. */
void suspects_confirmed(struct suspects *s, unsigned kind, uint64_t n);
