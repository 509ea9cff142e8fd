/*
 * Damaged stores: set aside whole, kept, and their records brought into the new one. What lies in
 * them is read by a process of its own (rescue.h), because SQLite may crash or loop on garbage.
 */
#pragma once

#include "store/store.h"

/* In the state directory, by whoever found damage, owner or not: the next start sets the store aside. */
#define SALVAGE_MARK "store.damaged"
/* Writes it; `why` is one line. */
int salvage_condemn(const char *state_dir, const char *why);

/*
 * Moves the files of the store, and the tail, to STATE_DIR/damaged-STAMP. The next store_open()
 * makes a new one. `ret_dir` is the name of the folder.
 */
int salvage_set_aside(const char *state_dir, const char *runtime_dir, char ret_dir[static 40]);
/*
 * Of the damaged stores no more than SALVAGE_KEPT are kept: the oldest whose salvage is over goes.
 * STORE_E_CORRUPT: there are as many that were not read yet. It is the card, and not the store.
 */
enum { SALVAGE_KEPT = 5 };
int salvage_make_place(const char *state_dir);
/* Was it condemned, or did setting it aside not come to its end? */
bool salvage_is_due(const char *state_dir);
/* What they wrote down who condemned it; "" if nobody did. */
void salvage_reason(const char *state_dir, char ret[static 256]);
/* Enters every folder that no salvage was ever begun for. At the start of an owner. */
int salvage_enter(struct store *s);
/* Removes the folders whose salvage ended before then. How many, or < 0. */
int salvage_remove_old(struct store *s, int64_t before_wall_us);

/* Up to where all was brought over already: in the log of the damaged store, then in its tail. */
struct salvage_place {
	uint8_t phase; /* 0: log, 1: tail, 2: the gaps */
	uint64_t id, seq;
};
bool salvage_place_before(const struct salvage_place *a, const struct salvage_place *b);
int salvage_place(struct store *s, const char *dir, struct salvage_place *ret);

/* Consecutive records of a stream as a row of `record` holds them (schema.c). */
struct salvage_piece {
	struct salvage_place place; /* of its last record */
	uint32_t stream;	    /* of this store */
	uint32_t n;
	int64_t boot_us; /* of the first */
	int64_t offset_us;
	uint8_t clk;
	uint64_t had; /* 1 << (sink - 1): that sink of this store has confirmed them */
	const uint8_t *payload;
	size_t size;
};
/*
 * Brings pieces over, in one commit with their place: all of it or nothing. `v` are the sums from
 * now on. STORE_E_BUSY: a request is under way, or somebody reads, that must end first; STORE_E_FULL: there is no room.
 */
int salvage_bring(struct store *s, const struct salvage_status *v,
		  const struct salvage_piece *pieces, size_t n, usec_t now);
