/*
 * What may be looked at: the read-only face of the store. The daemon looks at its own store through
 * it, vitalctl and `vitald drain` at a store that somebody else owns or nobody does.
 *
 * A store that was opened to look sees the last commit and, beyond it, the slots of the tail: all
 * that a crash would leave, as they were when it was opened: it holds one read transaction until it
 * closes, so close it soon (a checkpoint cannot pass it). It writes nothing.
 */
#pragma once

#include "model/record.h"

struct store;

enum store_error {
	STORE_E_OWNED = 1,   /* another process is the owner */
	STORE_E_ABSENT = 2,  /* there is no store here yet */
	STORE_E_NEWER = 3,   /* written by a newer program: refused, untouched */
	STORE_E_CORRUPT = 4, /* SQLite says so; untouched */
	STORE_E_FULL = 5,    /* no room: the record was shed, an episode is open */
	STORE_E_NOTHING = 6, /* nothing to do */
	STORE_E_CLOCK = 7,   /* the record has no wall time yet */
	STORE_E_DENIED = 8,  /* may not read it */
	STORE_E_MORE = 9,    /* looked at as much as one turn of a loop has time for: ask again */
	STORE_E_BUSY = 10,   /* a request is under way: ask again when it has ended */
	STORE_E_OTHER = 12,  /* another one than is known */
	STORE_E_OFTEN = 11,  /* that happened too often lately */
};

/* 0, STORE_E_ABSENT, _NEWER, _CORRUPT or _DENIED. store_close() ends it. */
int store_look(const char *state_dir, const char *runtime_dir, struct store **ret);
struct store *store_close(struct store *s);
DEFINE_CLEANUP(struct store *, store_close)
/* It was opened to be written, not to be looked at. */
bool store_is_owner(const struct store *s);
/* Why the last call failed, in words; "" if nothing did. Borrowed until the next call. */
const char *store_problem(const struct store *s);

/* Who owns the state directory. */
struct owner_info {
	bool locked;	     /* somebody holds the lock */
	int pid;	     /* 0: unknown */
	char role[16];	     /* "daemon" or "drain" */
	usec_t heartbeat_us; /* CLOCK_BOOTTIME of the last one; 0: none in this boot */
};
void store_owner(const char *state_dir, const char *runtime_dir, struct owner_info *ret);

/* A file of the store that this user may not write: which, whose it is, and what to type. */
struct store_whose {
	char what[160], remedy[200];
};
bool store_whose(const char *state_dir, struct store_whose *ret);

/* A stream and what is known of it. */
struct stream_status {
	struct stream_info info;
	uint64_t admitted; /* sum over runs of the last n */
	uint64_t in_log;   /* 0 unless the caller asked store_audit() */
	uint64_t shed;
	uint64_t deleted;
	uint64_t salvage_lost;
	uint64_t last_seq;
	int64_t last_wall_us; /* of the newest record; 0: not known */
	uint64_t gaps;	      /* gap records in this run */
	bool heard;	      /* something was admitted in this run, under whatever name */
	bool old;	      /* of an earlier incarnation: nothing is sent under this name */
	uint32_t before; /* the stream that had this device, kind and subject before it; 0: none */
};
size_t store_stream_count(const struct store *s);
/* Streams are numbered 1..store_stream_count(). Strings borrowed until the store closes. */
void store_stream_status(const struct store *s, uint32_t stream, struct stream_status *ret);

/* A sink, as the store knows it. */
struct sink_info {
	uint32_t number; /* 1..store_sink_count() */
	char name[33];
	bool required;
	bool retired; /* no longer in the config; holds nothing */
};
size_t store_sink_count(const struct store *s);
void store_sink_info(const struct store *s, uint32_t sink, struct sink_info *ret);
uint32_t store_sink_named(const struct store *s, const char *name); /* 0: there is none */

/* A stream at a sink: `vitalctl anchors`. */
struct cursor_status {
	/* Every seq at or below is confirmed, in a row, quarantined, moved or exempt. */
	uint64_t cursor;
	uint64_t anchor; /* everything up to here is confirmed: min(cursor, lowest row - 1) */
	uint64_t confirmed, waiting, quarantined, moved, exempt; /* counters, of records */
	uint64_t in_rows;					 /* of `waiting` */
	bool held; /* conflict: nothing is sent until the owner decides */
};
void store_cursor_status(const struct store *s, uint32_t sink, uint32_t stream,
			 struct cursor_status *ret);

/* A batch row: a range still to send. `vitalctl queue`. */
enum batch_status { BATCH_PENDING = 0, BATCH_UPLOADING = 1, BATCH_FAILED = 2 };
enum batch_priority { BATCH_NORMAL = 0, BATCH_HIGH = 1, BATCH_CRITICAL = 2 };
struct batch_row {
	int64_t number;
	uint32_t sink, stream;
	uint64_t first_seq, last_seq;
	uint64_t first_id, last_id; /* ids in the log between which those lie */
	uint64_t count;		    /* records */
	uint8_t status;		    /* enum batch_status */
	uint8_t priority;	    /* enum batch_priority */
	uint32_t retry_count;
	int64_t created_us;	 /* wall */
	int64_t last_attempt_us; /* wall; 0: never */
	usec_t next_attempt; /* CLOCK_BOOTTIME; 0: now. Not kept over a restart: then it is due */
	uint32_t limit;	     /* records at most in one request; 0: no limit. Bisecting halves it */
	char last_error[120];
};
typedef void (*store_row_cb)(void *userdata, const struct batch_row *row);
void store_each_row(const struct store *s, store_row_cb cb, void *userdata);

/* A record that a sink refused for good. `vitalctl quarantine`. */
struct quarantined {
	uint32_t sink, stream;
	uint64_t seq;
	int64_t wall_us; /* when */
	char code[40], detail[120];
};
typedef void (*store_quarantine_cb)(void *userdata, const struct quarantined *q);
int store_each_quarantined(struct store *s, store_quarantine_cb cb, void *userdata);

/* Frames that could not be decoded, the last thousand of them. */
struct undecoded {
	int64_t wall_us;
	char device[18];
	char characteristic[37];
	char why[96];
	const uint8_t *data;
	size_t size;
};
typedef void (*store_undecoded_cb)(void *userdata, const struct undecoded *u);
int store_each_undecoded(struct store *s, store_undecoded_cb cb, void *userdata);

/*
 * Records of a stream, in order, from the log and the tail. `cb` returns 0 to go on, > 0 to stop
 * (store_read() then returns 0), < 0 a fault (returned). Gaps in seq (deleted history) are skipped.
 * first_id: an id at or below that of first_seq, 0 if not known. STORE_E_CLOCK: a record has no
 * wall time yet; those before it were given.
 */
typedef int (*store_record_cb)(void *userdata, const struct record *r);
int store_read(struct store *s, uint32_t stream, uint64_t first_seq, uint64_t last_seq,
	       uint64_t first_id, store_record_cb cb, void *userdata);
/* The run that a seq belongs to. False: none such. */
bool store_run(const struct store *s, uint64_t number, struct run_info *ret);
/* The seq of the record before this one in its stream; 0: none. */
uint64_t store_before(const struct store *s, uint32_t stream, uint64_t seq);

/*
 * Until when this stream had been heard, on CLOCK_BOOTTIME of this boot (before it: negative).
 * False: not known, or too long ago to look for.
 */
bool store_last_heard(struct store *s, uint32_t stream, int64_t *ret_boot_us);

/*
 * The ledger, recomputed from the records (per stream admitted = log and tail + deleted +
 * salvage_lost; per required sink admitted - lost before it had them = confirmed + waiting +
 * quarantined + moved + exempt). In steps, so that a loop stays responsive: audit_step() looks at
 * some rows and returns STORE_E_NOTHING while there is more. A finished audit has a line for each
 * (sink, stream).
 */
struct audit_line {
	uint32_t sink, stream;
	uint64_t admitted, in_log, in_tail, deleted, salvage_lost;
	uint64_t confirmed, waiting, quarantined, moved, exempt; /* recomputed */
	uint64_t lost;		    /* of salvage_lost: before this sink had them */
	uint64_t counted_confirmed; /* what the counter says */
	bool balanced;
	char difference[120]; /* in words, where it does not balance */
};
struct audit;
struct audit *audit_free(struct audit *a);
DEFINE_CLEANUP(struct audit *, audit_free)
int audit_new(struct store *s, struct audit **ret);
int audit_step(struct audit *a, size_t n_rows);
size_t audit_lines(const struct audit *a, const struct audit_line **ret);
bool audit_balanced(const struct audit *a);

/*
 * A damaged store that was set aside, and what became of its records. `lost` counts those that have
 * a number there and could not be read; they are gap records in their streams as well.
 */
struct salvage_status {
	char dir[40];	  /* in the state directory, where its files are kept */
	int64_t began_us; /* wall */
	int64_t ended_us; /* wall; 0: under way, or to be begun */
	uint64_t brought; /* records, into this store */
	uint64_t settled; /* left there: every server had confirmed them */
	uint64_t lost;
	char words[160]; /* what else is to be said; "" if nothing */
	bool kept;	 /* its folder is still there */
};
size_t store_salvage_count(const struct store *s);
void store_salvage_status(const struct store *s, size_t i, struct salvage_status *ret);

/* Of the whole store. */
struct store_figures {
	struct uuid incarnation;
	struct run_info run;	       /* the newest */
	uint64_t tail_used, tail_size; /* bytes */
	uint64_t tail_records;
	uint64_t log_bytes, wal_bytes;	/* of the files */
	uint64_t commits, commits_late; /* of this process */
	usec_t longest_commit_us;
	uint64_t undecoded; /* ever */
	int64_t last_commit_wall_us;
	uint64_t written_today, written_a_day; /* bytes, see wear.c; 0: not known */
	bool clean;			       /* the last owner stopped cleanly */
	unsigned room_stage; /* 0: room; 1: below free_reserve; 2: curves are refused; 3: all is */
	bool card_full;	     /* a commit found no room; until there is ballast again */
	uint64_t card_free, reserve; /* bytes; 0: not looked at, or no reserve */
};
void store_figures(const struct store *s, struct store_figures *ret);
