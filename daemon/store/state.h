/*
 * What the files of this room share: the store as it is in memory. Private to store/.
 */
#pragma once

#include "store/address.h"
#include "store/finding.h"
#include "store/identity.h"
#include "store/outbox.h"
#include "store/tail.h"
#include "util/buf.h"

#include <sqlite3.h>

/* The last n of a run in a stream: with n dense from 1 this is also how many there are. */
struct run_count {
	uint64_t run;
	uint64_t last_n;
};

/* Where a stream stood some time ago: what "the newest minute" is cut at. */
struct mark {
	usec_t heard_us;
	uint64_t seq; /* last one before */
	uint64_t id;
};

struct stream_state {
	struct stream_info info;
	char *device, *subject; /* owned; info borrows them */
	struct run_count *runs; /* ascending */
	size_t runs_capacity;
	size_t n_runs, n_noted; /* of them in `stream_run`; the last may have grown since */
	uint64_t shed, deleted, salvage_lost, gaps;
	uint64_t episode; /* shed since the last admitted record */
	int64_t episode_from_us;
	int64_t last_wall_us;
	int64_t last_boot_us; /* in this run: the highest of all; INT64_MIN: none yet */
	struct mark marks[2];
	bool stays;		    /* a block of it could not be deleted in this round */
	bool old;		    /* of an earlier incarnation */
	uint64_t move_seq, move_id; /* from where on store_move() looks for which record of it */
	bool dirty;
};

/* In which order rows are found: row_index.h. */
enum row_order {
	ROWS_BY_URGENCY,
	ROWS_BY_TURN,
	ROWS_BY_SEQ,
	ROWS_BY_NUMBER,
	ROW_ORDERS,
	ROWS_WITHOUT_DUE = ROWS_BY_SEQ,
};

/* A node of a tree of rows; links are places in store.rows, from 1. 0: none. */
struct row_link {
	uint32_t up, left, right;
	usec_t due; /* the earliest at or below this node; in the orders that ask for it */
};

struct cursor_state {
	uint64_t seq, id; /* id: at or above that of the record at seq, below that of the next */
	uint64_t confirmed, quarantined, moved, exempt;
	uint64_t in_rows;	       /* records */
	uint32_t rows[ROWS_BY_NUMBER]; /* roots of the trees */
	bool held;
	bool refused; /* held, because our name is somebody else's there */
	bool dirty;
};

struct sink_entry {
	struct sink_info info;
	char address[ADDRESS_SIZE]; /* where it was confirmed; "": not known yet */
	bool seen;		    /* in the config of this start */
	bool unwritten;		    /* new: the next commit writes it */
	struct finding_times times;
	bool times_dirty;	      /* the next commit writes them, but none is made for them */
	struct cursor_state *cursors; /* [stream number - 1] */
	uint64_t cut_pos;	      /* in the tail: the next record to cut */
	uint64_t in_flight_pos; /* where the cut under way began; cut_pos when there is none */
	bool in_flight;
	bool take_turns; /* the next claim: those first that failed least */
	bool skipped;	 /* a held stream's records were passed over since the last commit */
	int64_t clocks;	 /* the last clock note that it has confirmed */
	bool clocks_dirty;
	uint32_t *range_of; /* scratch while cutting: [stream - 1] -> index + 1 */
};

/*
 * Records below the cursor of a sink that are not confirmed there and never will be: they moved to
 * another stream (MOVED), came from one where the sink had them already (EXEMPT), or were gone from
 * the log before it had them (LOST).
 */
enum aside_how { ASIDE_MOVED = 1, ASIDE_EXEMPT = 2, ASIDE_LOST = 3 };
struct aside {
	uint32_t sink, stream;
	uint64_t first_seq, last_seq;
	uint8_t how;
	bool dirty;
};

/* A block that is to be written by the next commit: moved, not heard. */
struct staged {
	uint64_t id, seq, n;
	uint32_t stream;
	uint8_t clk;
	int64_t boot_us, offset_us;
	struct buf payload;
};

struct row_entry {
	struct batch_row row;
	bool dirty;
	uint64_t counted; /* of row.count, in cursor_state.in_rows */
	struct row_link links[ROW_ORDERS];
};

struct segment {
	char boot_id[37];
	int64_t from_us, to_us; /* (from, to] on that boot's CLOCK_BOOTTIME */
	int64_t offset_us;
	uint8_t clk;
};

struct run_entry {
	struct run_info info;
	/* wall - boot when it began: the best guess for records without a clock */
	int64_t offset_us;
	bool synced;
	int64_t started_us; /* wall */
};

/* Counters of an hour and a sink: rates.c. */
struct rates_hour {
	int64_t hour; /* since 1970; 0: lately, the clock was not known */
	uint32_t sink;
	uint32_t confirmed, failed, n_timed, max_ms, owed, recovered, late;
	uint64_t latency_ms;
	bool dirty;
};

struct rates_hours {
	struct rates_hour *hours;
	size_t n, capacity;
	usec_t due;   /* not written before this */
	bool written; /* by the transaction under way */
};

struct keep {
	struct undecoded u; /* data owned */
	struct keep *next;
};

/* Bytes this process had the kernel write; wear.c. */
struct wear {
	uint64_t noted, seen; /* in the table; to be, with the commit under way */
	uint64_t commits;     /* of s->commits, in the table */
	int64_t day;	      /* since 1970 */
	uint64_t today, average;
	usec_t next; /* not written before this */
};

/* What was heard before when: blocks from `from` on, and before `to`, before wall_us. */
struct heard_before {
	uint64_t from, to;
	int64_t wall_us;
};

/* What the WAL may grow to before it is cut off, in pages. */
enum { STORE_WAL_PAGES_CAP = 8000 };

/* Prepared once, used for ever. */
enum statement {
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_ADD_RECORD,
	SQL_READ_STREAM,
	SQL_PUT_CURSOR,
	SQL_PUT_ROW,
	SQL_DELETE_ROW,
	SQL_PUT_QUARANTINE,
	SQL_PUT_ASIDE,
	SQL_PUT_STREAM,
	SQL_PUT_STREAM_RUN,
	SQL_PUT_META,
	SQL_MAX_ID,
	SQL_OLDEST,
	SQL_BLOCKS_AFTER,
	SQL_DELETE_RECORD,
	SQL_ADD_UNDECODED,
	SQL_TRIM_UNDECODED,
	SQL_ADD_NOTE,
	SQL_DROP_NOTES,
	SQL_PUT_CLOCKS,
	SQL_ADD_WEAR,
	SQL_USED,
	SQL_PUT_HOUR,
	SQL_TRIM_HOURS,
	SQL_MAX_,
};

struct store {
	sqlite3 *db;
	sqlite3_stmt *statements[SQL_MAX_];
	char problem[256];
	char *state_dir, *runtime_dir;
	char role[16];
	int owner_fd;	   /* -1: only looking */
	struct tail *tail; /* NULL: none (looking at a store without one) */
	size_t tail_wanted;

	usec_t durability_window, lazy_commit;
	uint64_t max_size, max_batches;
	uint64_t prune_id; /* deleting goes on behind this block */
	struct heard_before heard_before;
	uint64_t used;	       /* bytes of the database that are not free pages */
	uint64_t free_inside;  /* bytes of those that are */
	uint64_t free_reserve; /* to be left free, as configured */
	uint64_t reserve;      /* the same, on this card; 0: none */
	uint64_t card_free;
	unsigned room_stage;
	bool wants_ballast;
	bool card_full; /* a commit failed for want of room; until there is ballast again */

	struct uuid incarnation;
	struct incarnation *incarnations; /* ascending */
	size_t n_incarnations;
	char machine[192];  /* the fingerprint that was noted; "": none */
	char set_aside[40]; /* this store was made in place of a damaged one, kept there */
	char backup[64];    /* the mark of a backup; "": none */
	bool set_back;	    /* the tail is of this store, and of a later time */
	struct aside *asides;
	size_t n_asides, asides_capacity;
	struct staged *staged;
	size_t n_staged;
	struct run_entry *runs; /* ascending */
	size_t n_runs;
	struct run_info run; /* ours, or the newest */
	struct stream_state *streams;
	size_t n_streams;
	struct sink_entry *sinks;
	size_t n_sinks;
	struct row_entry *rows;
	size_t n_rows, rows_capacity;
	uint64_t *row_looks; /* a test counts there how often one is looked at; NULL: nobody */
	int64_t next_row;
	int64_t *dead_rows; /* to be deleted by the next commit */
	size_t n_dead_rows, dead_rows_capacity;
	struct quarantined *new_quarantine; /* to be written by the next commit */
	size_t n_new_quarantine;
	struct finding *new_findings; /* the same */
	size_t n_new_findings;
	struct segment *segments;
	size_t n_segments;
	struct clock_note *notes; /* ascending; the last n_new_notes are to be written */
	size_t n_notes, n_new_notes;
	struct keep *keep; /* undecoded frames, in the order they came */
	size_t n_keep;
	usec_t keep_since; /* when the first of them came */
	uint64_t undecoded;
	struct rates_hours rates;

	struct wear wear;
	struct salvage_status *salvages;
	size_t n_salvages;
	const struct import *import; /* written by the commit under way */
	bool damaged;		     /* something could not be read that was written here */

	uint64_t next_id;
	uint64_t log_id;       /* every id up to here is in the log, or was */
	uint64_t log_pos;      /* the same as a position in the tail */
	bool replaying;	       /* the tail of the last run: a tear ends it */
	int wal_pages;	       /* in the WAL since the last commit */
	uint32_t row_numbers;  /* root of the tree of all rows by number */
	bool uncertain;	       /* the last COMMIT failed: what it did is not known */
	bool force;	       /* rows or quarantine wait to become durable */
	usec_t retry_at;       /* no commit before this, after a failed one */
	usec_t dirty_since;    /* cursors or rows changed; USEC_INFINITY: not */
	usec_t pending_since;  /* a record without a wall time; USEC_INFINITY: none */
	int64_t pending_until; /* the highest boot_us of such a record in this run */
	usec_t latest;	       /* the highest `now` we were told */
	struct clock_state clock;
	bool clock_known;     /* was synchronised at some time of this run */
	uint8_t full;	      /* 0: room; 1: no new ECG; 2: nothing new */
	uint8_t full_by_size; /* the same, by max_size alone */
	bool notes_pruned;    /* notes below the first are to be deleted */
	bool clean;
	bool power_cut; /* since a daemon was last here */

	struct buf scratch; /* not within a commit: a record that wants room may wait in it */
	struct record scratch_record;
	uint64_t rows_since_note; /* log rows since stream_run was last written */
	uint64_t commits, commits_late;
	usec_t longest_commit_us;
	int64_t last_commit_wall_us;
};

/* Remembers why, in words, and returns `r`. */
int store_fail(struct store *s, int r, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same for what SQLite just said; -EIO and the like. */
int store_fail_sql(struct store *s, const char *doing);

static inline struct stream_state *stream_of(const struct store *s, uint32_t stream)
{
	assert(stream >= 1 && stream <= s->n_streams);
	return &s->streams[stream - 1];
}

static inline struct sink_entry *sink_of(const struct store *s, uint32_t sink)
{
	assert(sink >= 1 && sink <= s->n_sinks);
	return &s->sinks[sink - 1];
}

static inline struct cursor_state *cursor_of(const struct store *s, uint32_t sink, uint32_t stream)
{
	(void)stream_of(s, stream); /* asserts */
	return &sink_of(s, sink)->cursors[stream - 1];
}

/* schema.c */
int schema_open(struct store *s, bool writable, bool *ret_created);
int schema_prepare(struct store *s);
int schema_load(struct store *s); /* meta, runs, streams, sinks, cursors, rows, segments */
int sql_exec(struct store *s, const char *sql);
int sql_step(struct store *s, enum statement statement); /* runs it to its end and resets it */
/* Runs a statement that is for this once to its end, if all could be bound (`ok`), and finalizes it. */
int sql_once(struct store *s, sqlite3_stmt *stmt, bool ok, const char *doing);
/* Ends a transaction: commits it if `r` is 0, else takes it back. Returns the first error. */
int sql_end(struct store *s, int r);
/* Binds the parameters from the first on; put() runs it then. */
int sql_bind(struct store *s, enum statement statement, const int64_t *columns, size_t n);
int sql_put(struct store *s, enum statement statement, const int64_t *columns, size_t n);
/* With each row that it finds; what `fn` returns other than 0 ends it. */
int sql_each(struct store *s, const char *sql, int (*fn)(struct store *s, sqlite3_stmt *stmt));
int sql_put_meta(struct store *s, const char *key, const void *value, size_t size);
int sql_put_meta_int(struct store *s, const char *key, int64_t value);

/* identity.c */
int identity_load_one(struct store *s, const struct incarnation *i);
void identity_mark(struct store *s); /* which streams are old */
bool identity_is_ours(const struct store *s, const struct uuid *incarnation);
int identity_of_stream(const struct uuid *incarnation, const struct stream_info *info,
		       struct uuid *ret);
/* At the start: what has to begin, if anything; written within the transaction of the run. */
void identity_judge(const struct store *s, const char *machine, struct incarnation *ret);
int identity_write(struct store *s, const struct incarnation *i, const char *machine);
int identity_began(struct store *s, const struct incarnation *i);

/* aside.c */
int asides_reserve(struct store *s, size_t n);
void aside_add(struct store *s, const struct aside *aside); /* there is room for it */
int asides_write(struct store *s);
/* How many records of the stream are set aside so at the sink. */
uint64_t aside_count(const struct store *s, uint32_t sink, uint32_t stream, enum aside_how how);
/* The last seq of the range that `seq` lies in; 0: in none. */
uint64_t aside_until(const struct store *s, uint32_t sink, uint32_t stream, uint64_t seq);
/* Where the next range above `seq` begins; UINT64_MAX: there is none. */
uint64_t aside_next(const struct store *s, uint32_t sink, uint32_t stream, uint64_t seq);
/* A new sink gets of what moved the copy alone, of what was lost nothing; the rest becomes rows. */
int aside_pass_gone(struct store *s, uint32_t sink, uint32_t stream);
/* How many of [first, last] were lost before some sink had them. */
uint64_t aside_lost_between(const struct store *s, uint32_t stream, uint64_t first, uint64_t last);
/* How many were lost before this sink had them. */
uint64_t aside_lost_at(const struct store *s, uint32_t sink, uint32_t stream);
/* The seq of the k-th record that was not lost, k from 1; 0: there is none. */
uint64_t aside_seq_at(const struct store *s, uint32_t stream, uint64_t k);

/* move.c */
void staged_free(struct store *s);
int staged_write(struct store *s);

/* log.c */
/* A row of the table; columns: id, stream, seq, n, boot_us, clk, offset_us. */
int log_insert(struct store *s, const int64_t columns[static 7], const void *payload, size_t size);
int log_write_tail(struct store *s);
int log_note_runs(struct store *s);
/* When each stream was last heard, from the newest records that are there. */
void log_find_newest(struct store *s);
/*
 * store_read(), but looks at no more than `n_ids` ids from want->first_id on. `ret_next_id`: where
 * to go on; UINT64_MAX: all was looked at.
 */
int log_read_some(struct store *s, const struct cut_range *want, uint64_t n_ids,
		  uint64_t *ret_next_id, store_record_cb cb, void *userdata);
uint64_t log_high_id(struct store *s, int *ret_r);

/* streams.c */
uint64_t stream_last_seq(const struct stream_state *st);
uint64_t stream_total(const struct stream_state *st);
/* Records with first <= seq <= last. */
uint64_t stream_count_between(const struct stream_state *st, uint64_t first, uint64_t last);
uint64_t stream_seq_before(const struct stream_state *st, uint64_t seq); /* 0: none */
uint64_t stream_seq_after(const struct stream_state *st, uint64_t seq);	 /* 0: none */
/* The seq of the k-th record, k from 1; 0: there is none. */
uint64_t stream_seq_at(const struct stream_state *st, uint64_t k);
/* After it stream_reach() cannot fail. */
int stream_reserve_run(struct stream_state *st);
/* Notes that the run reaches up to n in this stream. */
int stream_reach(struct stream_state *st, uint64_t run, uint64_t n);
/* The stream that had this device, kind and subject before this one; 0: none. */
uint32_t stream_before(const struct store *s, uint32_t stream);
int stream_add(struct store *s, const struct stream_info *info);
int sink_add(struct store *s, const struct sink_info *info);

/* care.c */
int care_measure(struct store *s); /* how full is it? After each commit */
/*
 * For who writes slice upon slice: checkpoints when it is time to. True: the WAL is at its cap, because
 * somebody reads, and must not grow.
 */
bool care_wal_is_full(struct store *s);

/* salvage.c: what is brought over, within the commit's transaction */
int salvage_write(struct store *s);

/* commit.c */
void keep_free(struct store *s);
void keep_drop_oldest(struct store *s);			       /* there is one */
int sink_write(struct store *s, const struct sink_info *info); /* its row, new or changed */
int streams_write(struct store *s); /* the counters that changed, within a transaction */

/* wall.c: when was that? */
bool wall_resolve(const struct store *s, struct record *r);
int wall_add_segment(struct store *s, const struct segment *segment);
int wall_cover_past(struct store *s);
void wall_expect_pending(struct store *s, usec_t now);
void wall_remember(struct store *s); /* what an earlier run of this boot knew */

/* rates.c */
void rates_load(struct store *s, int64_t hour, uint32_t sink, const void *data, size_t size);
/* Records became a row that was made at created_us. */
void rates_owe(struct store *s, uint32_t sink, int64_t created_us, uint64_t n);
/* Records of such a row were confirmed, at wall_us. */
void rates_recover(struct store *s, uint32_t sink, int64_t created_us, uint64_t n, int64_t wall_us);
/* Within the commit's transaction, if it is time for it, or `now`; and after it. */
int rates_write(struct store *s, bool now);
void rates_committed(struct store *s);

/* notes.c: what was known of the clock, and who has been told */
int notes_load(struct store *s);
int notes_write(struct store *s);
void notes_committed(struct store *s);

/* rows.c */
int row_add(struct store *s, const struct batch_row *row);
int row_end(struct store *s, struct row_entry *row);
/* After its fields were changed, if that is to be written; else row_index_change(). */
void row_touch(struct store *s, struct row_entry *row);
int rows_write(struct store *s);
int rows_reserve(struct store *s, size_t n); /* row_add() and row_end() cannot fail so often */
/* Heart rate before ECG. */
uint8_t row_usual_priority(const struct store *s, uint32_t stream);
/* A single record that was refused: everything else goes first. */
bool row_is_suspect(const struct batch_row *row);

/* finding.c: within the commit's transaction; and when it is through */
int finding_write(struct store *s);
void finding_written(struct store *s);

/*
 * So much quarantine waits for a commit that nothing more is sent before one goes through: else a
 * server that refuses everything, on a disk that takes nothing, would fill the memory.
 */
enum { QUARANTINE_PENDING_MAX = 1024 };

/* outbox.c, for its neighbours */
/* What is open in a stream becomes a row, and the cursor passes it. */
int outbox_owe_open(struct store *s, uint32_t sink, uint32_t stream);
/* What is open of a stream up to there becomes a row. */
int outbox_row_until(struct store *s, uint32_t sink, uint32_t stream, uint64_t seq, uint64_t id);
/* outbox_claim.c: is there a row that will go without an owner or a witness? */
bool outbox_rows_go_on(const struct store *s, uint32_t sink);
int cut_add_range(struct cut *c, const struct cut_range *range);
void cursor_touch(struct store *s, struct cursor_state *c);
/* The cursor's own movement rides in the next commit that has another reason. */
void cursor_move(struct cursor_state *c, uint64_t seq, uint64_t id);
