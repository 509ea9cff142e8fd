/*
 * What a reconcile compares: the records of a stream that a sink has confirmed and that are still
 * here. Nothing of this moves a cursor; outbox_owe() makes rows of what the server lacks.
 */
#pragma once

#include "store/outbox.h"

/* Numbers of one run that are all behind us and in no row. */
struct compare_span {
	uint64_t first_seq, last_seq;
	/*
	 * Numbers behind it that no record of this stream ever had here, though a server may hold
	 * some: what a power cut took from this store only. 0, 0: the run may still go on.
	 */
	uint64_t beyond_first, beyond_last;
};

/* The first id of the log from which on records are as young as that; 0: all are. */
int compare_since(struct store *s, int64_t wall_us, uint64_t *ret_id);
/* The first seq that is neither deleted nor exempt at this sink; 0: there is none. */
uint64_t compare_oldest(const struct store *s, uint32_t sink, uint32_t stream);
/* The next span from `seq` on, of at most `most` numbers. False: there is none up to the cursor. */
bool compare_span(const struct store *s, uint32_t sink, uint32_t stream, uint64_t seq,
		  uint64_t most, struct compare_span *ret);
/* How many records were admitted with these numbers. */
uint64_t compare_count(const struct store *s, uint32_t stream, uint64_t first_seq,
		       uint64_t last_seq);
/*
 * store_read(), but a slice of it: looks at no more than n_ids ids from range->first_id on.
 * ret_next_id: where to go on; UINT64_MAX: all was looked at, or `cb` stopped it.
 */
int compare_read(struct store *s, const struct cut_range *range, uint64_t n_ids,
		 uint64_t *ret_next_id, store_record_cb cb, void *userdata);
/* The seqs of [first, last] that are in quarantine there, ascending; the caller frees them. */
int compare_excused(struct store *s, uint32_t sink, uint32_t stream, uint64_t first_seq,
		    uint64_t last_seq, uint64_t **ret, size_t *ret_n);
/* Rows of this sink that may go out: not those of held streams, nor of old names. */
size_t compare_rows(const struct store *s, uint32_t sink);
/*
 * Of a store that is only looked at: takes all rows of this sink (but those of held streams) for
 * confirmed, in memory, and gives their ranges, which the caller frees. What the server turns out
 * to lack of them is owed again.
 */
int compare_take_rows(struct store *s, uint32_t sink, struct cut_range **ret, size_t *ret_n);
