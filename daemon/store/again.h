/*
 * What the owner has sent again: how much that would be, and from where on. outbox_rewind() does it.
 */
#pragma once

#include "store/store.h"

/* How many records outbox_rewind() would make rows of; the store stays as it is. */
int again_count(struct store *s, uint32_t sink, uint32_t stream, uint64_t after_seq,
		uint64_t *ret_n);
/*
 * The seq before the first record of the stream that is not older than that. STORE_E_NOTHING: all
 * are older; STORE_E_MORE: there is too much to look through in one turn of a loop; STORE_E_CLOCK:
 * some have no wall time yet.
 */
int again_since(struct store *s, uint32_t stream, int64_t wall_us, uint64_t *ret_after_seq);
