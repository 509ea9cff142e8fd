/*
 * What a reconcile found at a sink, the last FINDINGS_MAX of it, and when each sink last confirmed
 * something and was last compared to the end. Kept beside the ledger, never in it.
 */
#pragma once

#include "store/look.h"

enum { FINDINGS_MAX = 1000 };

/* On disk: append only. */
enum finding_what {
	FINDING_LACKED = 1, /* the server had lost it: owed again */
	FINDING_SERVER_ONLY = 2,
	FINDING_CONFLICT = 3, /* other content under the same number: the stream is held */
};
#define FINDING_MAX 4

struct finding {
	int64_t wall_us; /* when it was found last */
	uint32_t sink, stream;
	uint64_t first_seq, last_seq;
	uint64_t n; /* records */
	uint8_t what;
};

/* Written with the next commit. The same one found before is not kept twice. < 0: no memory. */
int finding_add(struct store *s, const struct finding *f);
typedef void (*finding_cb)(void *userdata, const struct finding *f);
/* The oldest first. */
int finding_each(struct store *s, finding_cb cb, void *userdata);
const char *finding_name(unsigned what); /* "lacked", "server_only", "conflict" */

struct finding_times {
	int64_t confirmed_us;  /* wall: of the last receipt; 0: never */
	int64_t reconciled_us; /* wall: when it was last compared to the end; 0: never */
};
void finding_times(const struct store *s, uint32_t sink, struct finding_times *ret);
/* Ride in the next commit that has another reason. */
void finding_confirmed(struct store *s, uint32_t sink, int64_t wall_us);
void finding_reconciled(struct store *s, uint32_t sink, int64_t wall_us);
