/*
 * The database of a damaged store, as far as it can be read: what its tables say of streams, sinks
 * and runs, and the blocks of its log. It writes nothing into the files.
 */
#pragma once

#include "util/uuid.h"

/* Wearables, people and names of years. What is not touched of tables as long as that costs nothing. */
enum { RESCUE_STREAMS_MAX = 65536, RESCUE_SINKS_MAX = 64 };

struct rescue_tables;

struct rescue_reach {
	uint64_t run, last_n;
};
struct rescue_stream {
	uint8_t kind;
	char device[64], subject[256];
	uint64_t deleted;	      /* so many of its oldest */
	struct rescue_reach *reaches; /* ascending: how far each run went in it */
	size_t n_reaches;
};

/* A row of `record` and no more: whether any of it is true nobody knows yet. */
struct rescue_block {
	uint64_t id, seq;
	uint32_t stream; /* 0: a number that no stream can have */
	uint32_t n;	 /* 1 to some thousand */
	int64_t boot_us, offset_us;
	uint8_t clk;
	const uint8_t *payload; /* borrowed for the call */
	size_t size;
};
/* Other than 0: no more of them. */
typedef int (*rescue_block_cb)(void *userdata, const struct rescue_block *b);

/* Reads all but the log. What cannot be read is not there; that is no fault. */
int rescue_tables_open(const char *dir, struct rescue_tables **ret);
struct rescue_tables *rescue_tables_close(struct rescue_tables *t);
DEFINE_CLEANUP(struct rescue_tables *, rescue_tables_close)

/* NULL: there is none with this number, or it could not be read. */
const struct rescue_stream *rescue_tables_stream(const struct rescue_tables *t, uint32_t number);
const char *rescue_tables_sink(const struct rescue_tables *t, uint32_t number);
/* A record of that seq was found: its run goes at least so far, whatever the tables say. */
void rescue_tables_reach(struct rescue_tables *t, uint32_t stream, uint64_t seq);

/* There was such a run; or no run could be read. */
bool rescue_tables_may_have_run(const struct rescue_tables *t, uint64_t run);
/* A tail with these in its header is the tail of this store. */
bool rescue_tables_is_ours(const struct rescue_tables *t, const struct uuid *incarnation,
			   uint64_t run);

/* False: what the sinks had could not be read. */
bool rescue_tables_has_books(const struct rescue_tables *t);
/* Which sinks had this record (1 << (number - 1)), and up to which seq that is so. */
uint64_t rescue_tables_had_by(const struct rescue_tables *t, uint32_t stream, uint64_t seq,
			      uint64_t *ret_last);
/*
 * Gives a record that has none yet its clock: what wall.c would have said; where that will never be
 * known, the one that its run began with. False: nobody knows when it was.
 */
bool rescue_tables_time_of(const struct rescue_tables *t, uint64_t seq, int64_t boot_us,
			   uint8_t *clk, int64_t *offset_us);

/* The log, in the order of its ids. */
void rescue_tables_each_block(struct rescue_tables *t, rescue_block_cb cb, void *userdata);
