/*
 * How well syncing went, hour by hour and sink by sink, for a week: what `vitalctl status` compares
 * with the targets. Counters, no records; to lose some of them is no loss of data.
 */
#pragma once

#include "store/look.h"

enum {
	RATES_HOURS = 8 * 24 /* hours with something in them are kept: eight days without a pause */
};
#define RATES_IN_TIME (24 * 3600 * (int64_t)USEC_PER_SEC) /* what is owed longer came late */

/* One batch on the immediate path, after its last attempt. */
struct rates_batch {
	bool confirmed;
	uint32_t n_records;
	uint32_t mean_ms, max_ms; /* from hearing to the receipt, of the confirmed */
};

/* Sums over some hours. */
struct rates {
	uint64_t confirmed, failed; /* batches on the immediate path */
	uint64_t n_timed;	    /* records confirmed by it */
	uint64_t latency_ms;	    /* sum over them */
	uint64_t max_ms;
	uint64_t owed;	    /* records that became batch rows */
	uint64_t recovered; /* of them: confirmed within RATES_IN_TIME */
	uint64_t late;	    /* of them: confirmed after it */
	uint64_t overdue;   /* of them: neither, although RATES_IN_TIME is over */
};

/* `wall_us`: now. Written with a commit that another reason makes, at most once a lazy commit. */
void store_count_batch(struct store *s, uint32_t sink, const struct rates_batch *batch,
		       int64_t wall_us);
/*
 * The sums over the hour that runs at wall_us less `skip` hours and the n_hours before it. What was
 * counted while the clock was not known is in each sum with skip 0.
 */
void store_rates(const struct store *s, uint32_t sink, int64_t wall_us, unsigned skip,
		 unsigned n_hours, struct rates *ret);
