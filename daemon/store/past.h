/*
 * What a stream holds of a time that is over: for whoever fills its gaps later, from the memory of a
 * wearable. What was filled already can be read off the records, so nothing else has to remember it.
 */
#pragma once

#include "store/store.h"

enum {
	/*
	 * At most so many records with times of the past in a row, then one that was just heard: a
	 * start looks at no more of them to find out when the stream was last heard.
	 */
	PAST_SLICE = 1024,
};

/* wall = CLOCK_BOOTTIME + offset now. False: the clock was not synchronised in this run yet. */
bool past_offset(const struct store *s, int64_t *ret_us);
/*
 * Calls back for each record of the stream from some time before `since_wall_us` on, in the order in
 * which they were admitted. STORE_E_CLOCK: there are records whose time is not known yet.
 */
int past_read(struct store *s, uint32_t stream, int64_t since_wall_us, store_record_cb cb,
	      void *userdata);
