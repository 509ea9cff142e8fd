/*
 * What is still owed to each sink: cursors, and batch rows. The uploader cuts from here and settles
 * here; nobody else moves a cursor.
 *
 * Two lanes. The *immediate* lane cuts new records off the tail in the order of their ids, one cut
 * at a time for each sink, and settles it (confirm, or defer, which makes batch rows of it) before
 * the next is cut, so a cursor never passes what is not settled. The *backlog* lane claims batch
 * rows. Changes are made in memory and become durable with the next commit; new rows and quarantine
 * force one.
 */
#pragma once

#include "model/verdict.h"
#include "store/store.h"

/* Part of a cut: contiguous records of one stream. */
struct cut_range {
	uint32_t stream;
	uint64_t first_seq, last_seq;
	uint64_t first_id, last_id;
	uint32_t count;
	int64_t row; /* batch row it came from; 0: immediate */
};

/* What one request carries. Records of one run only. cut_done() frees it. */
struct cut {
	uint32_t sink;
	bool immediate;
	struct run_info run;
	struct cut_range *ranges;
	size_t n_ranges;
	uint64_t n_records;
	uint32_t kinds;	       /* bit 1 << enum kind */
	uint32_t retry_count;  /* the highest of its rows */
	usec_t heard_us;       /* immediate: when its oldest record was heard */
	usec_t heard_later_us; /* immediate: the sum of how much later than that each was */
};
void cut_done(struct cut *c);

/* Whom the records are given to while cutting. */
struct cut_taker {
	void *userdata;
	/* Once, before the first record. */
	int (*begin)(void *userdata, const struct run_info *run);
	/* 0: go on. 1: taken, but no more after this one. < 0: a fault, the cut fails. */
	int (*add)(void *userdata, const struct stream_info *stream, uint64_t after,
		   const struct record *r);
};

/* When the oldest record that waits for the immediate lane was heard; USEC_INFINITY: none waits. */
usec_t outbox_waiting_since(const struct store *s, uint32_t sink);
/*
 * Cuts what is new. STORE_E_NOTHING, STORE_E_CLOCK (no wall time yet), or 0 and `ret` is in flight.
 */
int outbox_cut(struct store *s, uint32_t sink, const struct cut_taker *taker, struct cut *ret);

/* When the next batch row may be tried: 0 now, USEC_INFINITY: there is none. */
usec_t outbox_next_due(const struct store *s, uint32_t sink);
/*
 * Claims from the most urgent row that is due (priority, then heart rate before ECG, then the
 * oldest), and from further rows like it while the taker has room. Rows that bisecting has limited
 * go alone. The rows are `uploading` until confirmed, deferred, split or released. STORE_E_MORE:
 * nothing found yet, ask again at once.
 */
int outbox_claim(struct store *s, uint32_t sink, usec_t now, const struct cut_taker *taker,
		 struct cut *ret);
/*
 * A server chokes on something, and it may be one row: the next claim takes of one row alone, of
 * that which failed least, whatever its priority.
 */
void outbox_take_turns(struct store *s, uint32_t sink);
/*
 * All rows of this sink are due now (network back, `vitalctl sync`); with `critical`, also first.
 */
void outbox_hurry(struct store *s, uint32_t sink, bool critical);

/*
 * The receipt: moves cursors and shrinks rows up to what it acknowledges, quarantines what it
 * rejects, holds streams in conflict, and makes rows of what an immediate cut had beyond it.
 */
int outbox_confirm(struct store *s, struct cut *c, const struct receipt_entry *entries,
		   size_t n_entries, usec_t now);
/* It failed: rows are due at next_attempt, one retry more; an immediate cut becomes rows. */
int outbox_defer(struct store *s, struct cut *c, usec_t now, usec_t next_attempt,
		 const char *error);
/*
 * Something in it was refused (400, 422, 413, or 5xx for it alone): each range goes alone from now
 * on, a range that went alone in halves. Due at once. STORE_E_NOTHING: it is a single record
 * already (then nothing was changed and the caller still has to settle it).
 */
int outbox_split(struct store *s, struct cut *c, usec_t now, const char *error);
/* The single record of this cut is refused for good. */
int outbox_quarantine(struct store *s, struct cut *c, usec_t now, const char *code,
		      const char *detail);
/* Is any part of this stream none of this sink's, because it moved from or to another name? */
bool outbox_has_asides(const struct store *s, uint32_t sink, uint32_t stream);
/* Was it cut under names that are not in force any more? Then it is not sent, or not again. */
bool outbox_is_old(const struct store *s, const struct cut *c);
/*
 * No answer and no judgement (shutdown, handover): rows wait as before, an immediate cut is uncut.
 */
void outbox_release(struct store *s, struct cut *c);

/*
 * While a sink is down nothing is cut. When it is back: one row a stream of all that waits, the
 * newest minute of it apart and critical; the immediate lane goes on with what comes next.
 */
int outbox_reopen(struct store *s, uint32_t sink, usec_t now);
/*
 * The server lost what it had confirmed: what it held of this stream behind after_seq and up to the
 * cursor is owed again, as far as this store still has it. Quarantine stays quarantine, and the
 * cursor stays where it is. ret_n: records that became rows.
 */
int outbox_rewind(struct store *s, uint32_t sink, uint32_t stream, uint64_t after_seq,
		  uint64_t *ret_n);
/*
 * The same of a range: of its records from first_seq through last_seq exactly those that are
 * confirmed there. first_id: at or below that of the first one; 0: not known.
 */
int outbox_owe(struct store *s, const struct cut_range *range, uint32_t sink, uint64_t *ret_n);
/* The server holds other content under the numbers of this stream: nothing of it is sent. */
void outbox_hold(struct store *s, uint32_t sink, uint32_t stream);
/*
 * Ends the hold of a stream in conflict: what waits of it becomes a row. STORE_E_BUSY: an immediate
 * cut is under way.
 */
int outbox_unhold(struct store *s, uint32_t sink, uint32_t stream);
