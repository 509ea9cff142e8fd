/*
 * Our side of a comparison: the windows of a span of a stream, each with its count and the SHA-256 of
 * its canonical records, made in slices so that the loop stays responsive. Embedded nowhere: it is
 * big, and lives as long as a reconcile does.
 */
#pragma once

#include "store/compare.h"

enum { TALLY_WINDOWS = 1024 };

/* What is counted: numbers in windows of `width`, at most TALLY_WINDOWS of them. */
struct tally_span {
	uint32_t stream;
	uint64_t first_seq, last_seq, width;
	uint64_t first_id; /* at or below that of the first */
};

struct tally_window {
	uint64_t first_seq, last_seq; /* of all that is held here in it; 0: nothing is */
	uint64_t count;		      /* that were hashed */
	uint64_t excused;	      /* held, but in quarantine: not hashed */
	uint64_t first_id;
	uint8_t sha256[32]; /* where count is not 0 */
};

struct tally;

struct tally *tally_free(struct tally *t);
DEFINE_CLEANUP(struct tally *, tally_free)
int tally_new(struct store *s, uint32_t sink, struct tally **ret);
int tally_begin(struct tally *t, const struct tally_span *span);
/*
 * A slice: 256 KiB of records at most. STORE_E_MORE: there is more. STORE_E_CLOCK: complete up to
 * the record that has no wall time yet, which is tally_reached(). 0: complete.
 */
int tally_slice(struct tally *t);
/* The seq behind the last record that was counted, and an id at or below that of the next one. */
uint64_t tally_reached(const struct tally *t, uint64_t *ret_id);
size_t tally_windows(const struct tally *t, const struct tally_window **ret);
