/*
 * The wall: what is behind it is kept. Records go in by store_admit(), get their place (id, seq),
 * and lie in the tail (survives the process) until store_commit() puts them in the log (survives
 * the power). Knows no event loop and no clock: its owner tells it `now` (CLOCK_BOOTTIME) and asks
 * when the next commit is due. One owner at a time, held by a lock in the state directory.
 */
#pragma once

#include "model/clock_note.h"
#include "store/look.h"
#include "util/clock.h"

/* Why a store goes on under new names. Words of these are in the database: append only. */
enum incarnation_reason {
	INCARNATION_FIRST,
	INCARNATION_MACHINE,  /* another machine's fingerprint */
	INCARNATION_BACKUP,   /* a file marked as a backup, or older than the tail beside it */
	INCARNATION_SALVAGED, /* what could be read of a damaged one */
	INCARNATION_CONFLICT, /* a server knows our run number under another nonce: a clone */
	INCARNATION_AHEAD,    /* a server holds later numbers than we gave out */
	INCARNATION_MAX_,
};

struct store_options {
	const char *state_dir;
	const char *runtime_dir;
	const char *role;	  /* "daemon", "drain" */
	size_t tail_size;	  /* bytes of the ring */
	usec_t durability_window; /* T */
	usec_t lazy_commit;	  /* what is confirmed is committed this late at most */
	uint64_t max_size;	  /* bytes of records and rows; 0: no limit */
	uint64_t max_batches;	  /* batch rows; 0: no limit */
	uint64_t free_reserve; /* bytes left to the rest of the machine, at most 5 % of the card */
	bool ballast;	       /* lay in what a full card is saved with */
	bool salvage;	       /* set a damaged store aside and begin a new one */
	const char *machine;   /* whose hardware this is (machine_read()); NULL, "": not known */
};

/* What was found at the start. */
enum tail_found {
	TAIL_NONE,	/* first start, or a clean stop left it empty */
	TAIL_RECOVERED, /* records of the last run were in it and are committed now */
	TAIL_LOST,	/* the last owner did not stop cleanly and its tail is gone: a power cut */
	TAIL_FOREIGN,	/* of another store: set aside */
};
struct store_opening {
	enum tail_found tail;
	uint64_t n_recovered;
	uint64_t n_torn; /* slots that were half written */
	bool clean;
	bool created;
	char set_aside[40]; /* a damaged store: the folder it is kept in; "" if there was none */
	char damage[256];   /* why, in words */
	enum incarnation_reason incarnation; /* that began now; INCARNATION_FIRST: none */
	char incarnation_detail[160];
	char problem[256]; /* when store_open() fails: why, in words */
};

/*
 * Becomes the owner, recovers the tail, commits a new run, in that order; when it returns 0 all
 * that was heard before is in the log. STORE_E_OWNED: somebody else is; ask with
 * store_want_owner(). Otherwise STORE_E_NEWER, STORE_E_CORRUPT with the store untouched.
 */
int store_open(const struct store_options *o, usec_t now, const struct clock_state *clock,
	       struct store_opening *ret_opening, struct store **ret);
/* A config that was read anew: T, laziness and limits. Directories and the ring stay. */
void store_set_options(struct store *s, const struct store_options *o);
/* Commits everything and notes that the stop was clean. Then store_close(). */
int store_finish(struct store *s, usec_t now);

/* Asks the owner to let go (a drain does within a second); and: does somebody ask me? */
int store_want_owner(const char *runtime_dir);
bool store_owner_wanted(const struct store *s);
/* The owner's sign of life, in the tail's header; every few seconds. */
void store_heartbeat(struct store *s, usec_t now);

/* What the clock says from now on: how records that are admitted get their wall time. */
void store_set_clock(struct store *s, const struct clock_state *clock);
/*
 * Gives all records of this boot that have none yet their wall time, for ever; committed at once.
 */
int store_resolve_clock(struct store *s, enum clk clk, usec_t now, int64_t offset_us);
/* When the oldest record without a wall time was heard; USEC_INFINITY: there is none. */
usec_t store_clock_pending_since(const struct store *s);

/*
 * Notes that at boot_us of this boot it was utc_us; written with the next commit. Notes that every
 * required sink has confirmed and that are older than before_wall_us go.
 */
int store_note_clock(struct store *s, int64_t boot_us, int64_t utc_us, int64_t before_wall_us);
/* The newest note of this boot. False: there is none. */
bool store_clock_noted(const struct store *s, struct clock_note *ret);
/* The oldest notes that this sink has not confirmed, `max` at most. Returns how many. */
size_t store_clocks_owed(const struct store *s, uint32_t sink, struct clock_note *ret, size_t max);
/* It has them, up to this number. */
void store_clocks_confirmed(struct store *s, uint32_t sink, int64_t number);

/*
 * Gives r its id, seq, clk and offset and publishes it in the tail: from here on it survives this
 * process. r->stream, type, boot_us and content are the caller's. STORE_E_FULL: shed, counted.
 */
int store_admit(struct store *s, struct record *r, usec_t now);
/*
 * There is room again (the last commit went through): what was shed is told in gap records now, and not
 * only before the next record of a stream, which may never come. STORE_E_NOTHING: nothing was shed;
 * STORE_E_FULL: there is no room yet.
 */
int store_tell_shed(struct store *s, usec_t now);
/*
 * Keeps a frame that could not be decoded, the newest 64 until the next commit, which it does not hurry:
 * it may wait for lazy_commit.
 */
int store_keep_undecoded(struct store *s, const struct undecoded *u, usec_t now);

/* When the next commit is due, by T, by laziness or because something forces one. */
usec_t store_commit_due(const struct store *s);
/* One transaction, FULL: the whole tail, cursors, rows, quarantine, counters. */
int store_commit(struct store *s, usec_t now);
/* Idle work: PASSIVE checkpoint past a megabyte, TRUNCATE past the cap. */
int store_checkpoint(struct store *s);
/*
 * The size limit comes near: history that every required sink has confirmed should go, however
 * young (store_prune() with INT64_MAX). At 90 % of it new curves (ECG, acceleration, PPG) are refused,
 * at all of it everything new; what waits is never deleted.
 */
bool store_wants_room(const struct store *s);
/*
 * Looks at n_rows blocks of history, from where it was left on, and deletes what is confirmed and
 * older than `before_wall_us`. 0: ask again; STORE_E_NOTHING: that was all there is for now.
 */
int store_prune(struct store *s, int64_t before_wall_us, size_t n_rows);

/*
 * Something that was written here cannot be read any more: STORE_E_CORRUPT came up, or somebody who
 * looked the file over wrote it down. `ret_why` only then.
 */
bool store_is_damaged(const struct store *s, char ret_why[static 256]);
/*
 * Writes that down, unless it is already: the next store_open() with `salvage` sets this store aside.
 * Then store_close().
 */
int store_condemn(struct store *s);
