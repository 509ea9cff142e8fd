/*
 * What moved since the last summary, for each sink and data type: a line each in the journal. A line
 * for each sync would be a gigabyte of card a day.
 */
#pragma once

#include "model/config.h"
#include "model/event.h"

enum { SUMMARY_LINES = CONFIG_MAX_SINKS * KIND_MAX };

struct summary_line {
	char sink[33];
	uint8_t kind;
	uint64_t at_once, by_queue;	   /* records confirmed */
	uint64_t good, bad;		   /* batches of the immediate path */
	uint64_t good_later, bad_later;	   /* of the queue */
	uint64_t queued, refused, missing; /* records; missing: a reconcile found that */
	uint64_t latency_ms;		   /* of each record at once, added up */
};

/* Embedded; all zeroes is empty. */
struct summary {
	struct summary_line lines[SUMMARY_LINES];
	size_t n;
};

void summary_count(struct summary *s, const struct sync_event *e);
/* All went at once, or nothing did: to say so can wait. */
bool summary_is_calm(const struct summary *s);
/* Says it and begins anew. Nothing, where nothing moved. */
void summary_say(struct summary *s);
