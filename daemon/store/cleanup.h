/*
 * The daily duties of a store, in slices short enough for a loop: history past its retention, notes
 * that nobody reads any more, damaged stores whose salvage is long over, the checkpoint, the
 * ballast.
 */
#pragma once

#include "store/store.h"
#include "util/buf.h"

struct cleanup;

struct cleanup_rules {
	usec_t retention;
	int64_t wall_us; /* now */
	/* Nothing expires on a clock that nobody disciplines: then only what needs no clock is done. */
	bool synchronised;
};

struct cleanup *cleanup_free(struct cleanup *c);
DEFINE_CLEANUP(struct cleanup *, cleanup_free)
int cleanup_new(struct store *s, const struct cleanup_rules *rules, struct cleanup **ret);
/* One slice. 0: all is done; STORE_E_MORE: ask again; else why it stopped (store_problem()). */
int cleanup_step(struct cleanup *c);
/* What it did so far, a clause without a full stop: "120 old records deleted, ..." */
void cleanup_words(const struct cleanup *c, struct buf *ret);
