/* How well each sink takes what it is sent, over an hour, a day, a week, and against the targets. */
#pragma once

#include "control/say.h"
#include "control/snapshot.h"

/* Adds the table "rates": a row for each sink and window in which something moved. */
void scores_put(const struct snapshot *s, struct tables *ret);

struct score_miss {
	char what[SAY_SIZE], consequence[SAY_SIZE], remedy[SAY_SIZE];
};
/*
 * Does this sink miss a target, over a day and still? Not said of a sink that is not up (that says
 * it all), of a few batches, or of what has mended itself meanwhile.
 */
bool scores_missed(const struct snapshot *s, uint32_t sink, const char *name, uint64_t waiting,
		   struct score_miss *ret);
