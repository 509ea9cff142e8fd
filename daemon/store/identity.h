/*
 * Whose name do the records carry? The *incarnation* is a random number that every stream id is
 * derived from. It changes when somebody else may be using the same names: then the store goes on
 * under new ones, nothing is sent under the old ones any more, and what a server had not confirmed
 * moves over to the new streams, of the same device, kind and subject (store_move()).
 */
#pragma once

#include "store/store.h"

/* As an owner reads it: "the card came from another machine". */
const char *incarnation_words(enum incarnation_reason reason);
const char *incarnation_word(enum incarnation_reason reason); /* "machine" */
enum incarnation_reason incarnation_reason_of(const char *word);

struct incarnation {
	uint32_t number; /* from 1; the highest is in force */
	struct uuid id;
	int64_t began_us; /* wall */
	enum incarnation_reason reason;
	char detail[160];
};
typedef void (*store_incarnation_cb)(void *userdata, const struct incarnation *i);
void store_each_incarnation(const struct store *s, store_incarnation_cb cb, void *userdata);

/*
 * At run time: commits the tail, then begins a new incarnation in one transaction. From then on
 * register_stream() gives new streams; numbers that were asked for before are of the old ones and
 * must be asked for anew. Requests under way may end: what they confirm counts. For reasons that a
 * server gives (conflict, ahead) at most INCARNATIONS_AN_HOUR: STORE_E_OFTEN.
 */
int store_new_incarnation(struct store *s, enum incarnation_reason reason, const char *detail,
			  usec_t now);
enum { INCARNATIONS_AN_HOUR = 3 };
/*
 * A server refuses a name that is in force, because it knows it in somebody else's hand; which, in
 * words. It is not forgotten when the process ends.
 */
bool store_is_refused(const struct store *s, char ret_detail[static 120]);

/*
 * One slice of moving, at most 64 KiB, in one commit. 0: ask again; STORE_E_MORE: found nothing yet, ask
 * again; STORE_E_NOTHING: everything is where it belongs; STORE_E_BUSY, STORE_E_CLOCK: a request is
 * under way, or a record has no wall time yet: ask in a while. At any moment between two slices,
 * and after a crash in one, every record is owed once.
 *
 * For a salvage: streams, records and cursors that are brought into a store under the names they had are
 * moved by this as well; nothing but their rows in the tables is needed.
 */
int store_move(struct store *s, usec_t now);
/* Records that still wait under an old name, at whichever sink most of a stream do. */
uint64_t store_move_left(const struct store *s);
