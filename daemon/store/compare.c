/*
 * Where "the last day" begins, and how a stream falls into spans that can be hashed and asked for in
 * one piece:
 *
 *      |run 3              |      |run 5        |  row   |        | open
 *      ####################        ############# ........ ########  ...
 *      [ span, in pieces  ][beyond][    span    ]         [ span ]
 *                                                                 ^cursor
 *
 * Rows are left out, because a server may hold some of their records already. What is in quarantine
 * stays inside a span, as single numbers that are not hashed: the server refused them, so it does
 * not hold them, and if there are many of them a stream must not fall into crumbs.
 */
#include "store/compare.h"

#include "store/row_index.h"
#include "store/state.h"

/* A block begins with its first record; it ends at most so much later. */
#define BLOCK_SPAN (3600 * USEC_PER_SEC)

/* So many in a row at most may have been told later, see past.h: 1024 records. */
enum { TOLD_BLOCKS = 64 };

static bool is_younger(const struct store *s, sqlite3_stmt *stmt, int64_t wall_us)
{
	struct record r = {.seq = (uint64_t)sqlite3_column_int64(stmt, 1),
			   .boot_us = sqlite3_column_int64(stmt, 2),
			   .clk = (uint8_t)sqlite3_column_int(stmt, 3),
			   .offset_us = sqlite3_column_int64(stmt, 4)};

	/* Of what nobody knows the time for certain, it is young: to compare it does no harm. */
	return !wall_resolve(s, &r) || r.clk != CLK_UTC || record_wall_us(&r) >= wall_us;
}

/* The place behind the old ones of the next blocks, and whether one that is young follows there. */
static int pass_old(struct store *s, sqlite3_stmt *stmt, uint64_t from_id, int64_t wall_us,
		    bool *ret_young, uint64_t *ret_id)
{
	int code = SQLITE_DONE;

	*ret_young = false;
	*ret_id = from_id;
	(void)sqlite3_bind_int64(stmt, 1, (int64_t)from_id); /* checked by the step */
	while (!*ret_young && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
		*ret_young = is_younger(s, stmt, wall_us);
		if (!*ret_young)
			*ret_id = (uint64_t)sqlite3_column_int64(stmt, 0) + 1;
	}
	(void)sqlite3_reset(stmt); /* repeats the error of the step */
	return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : store_fail_sql(s, "record");
}

/*
 * Blocks stand in the order in which they were heard, so the first that is young enough is found by
 * halving. Between them stands what a wearable's memory told later, with times of before: so a place is
 * old only if all of the next blocks are. A clock that was set back breaks that order, too; then a part
 * of the day is compared the next time that everything is.
 */
int compare_since(struct store *s, int64_t wall_us, uint64_t *ret_id)
{
	uint64_t low = 0, high = s->log_id + 1; /* high: is young, or behind all */
	sqlite3_stmt *stmt = NULL;
	bool young;
	int r = 0;

	wall_us -= (int64_t)MAX((usec_t)BLOCK_SPAN, s->lazy_commit);
	if (sqlite3_prepare_v2(s->db,
			       "SELECT id, seq, boot_us, clk, offset_us FROM record WHERE id >= ?1"
			       " ORDER BY id LIMIT ?2",
			       -1, &stmt, NULL) != SQLITE_OK ||
	    sqlite3_bind_int(stmt, 2, TOLD_BLOCKS) != SQLITE_OK)
		r = store_fail_sql(s, "record");
	while (r == 0 && low < high) {
		uint64_t middle = low + (high - low) / 2, next;

		r = pass_old(s, stmt, middle, wall_us, &young, &next);
		if (young || next == middle)
			high = middle;
		else
			low = next;
	}
	if (r == 0)
		r = pass_old(s, stmt, high, wall_us, &young, ret_id);
	(void)sqlite3_finalize(stmt); /* only read */
	return r;
}

uint64_t compare_oldest(const struct store *s, uint32_t sink, uint32_t stream)
{
	const struct stream_state *st = stream_of(s, stream);

	/* What was exempt from the beginning is the oldest; what came here so may lie anywhere. */
	uint64_t exempt =
		cursor_of(s, sink, stream)->exempt - aside_count(s, sink, stream, ASIDE_EXEMPT);

	return aside_seq_at(s, stream, MAX(st->deleted, exempt) + 1);
}

uint64_t compare_count(const struct store *s, uint32_t stream, uint64_t first_seq,
		       uint64_t last_seq)
{
	return stream_count_between(stream_of(s, stream), first_seq, last_seq);
}

/* Where what covers `seq` ends, a row or what is set aside; 0: nothing covers it. */
static uint64_t covered_until(const struct store *s, uint32_t sink, uint32_t stream, uint64_t seq)
{
	const struct row_entry *row = row_index_at(s, sink, stream, seq);

	return row ? row->row.last_seq : aside_until(s, sink, stream, seq);
}

/* The first seq behind what covers `seq`; it itself, if nothing does. 0: there is none. */
static uint64_t behind_rows(const struct store *s, uint32_t sink, uint32_t stream, uint64_t seq)
{
	uint64_t last;

	while (seq != 0 && (last = covered_until(s, sink, stream, seq)) != 0)
		seq = stream_seq_after(stream_of(s, stream), last);
	return seq;
}

static uint64_t next_row(const struct store *s, uint32_t sink, uint32_t stream, uint64_t seq)
{
	const struct row_entry *row = row_index_next(s, sink, stream, seq);
	uint64_t next = aside_next(s, sink, stream, seq);

	return row ? MIN(next, row->row.first_seq) : next;
}

bool compare_span(const struct store *s, uint32_t sink, uint32_t stream, uint64_t seq,
		  uint64_t most, struct compare_span *ret)
{
	const struct stream_state *st = stream_of(s, stream);
	uint64_t cursor = cursor_of(s, sink, stream)->seq, next, run_end;

	seq = behind_rows(s, sink, stream, stream_seq_after(st, seq ? seq - 1 : 0));
	if (seq == 0 || seq > cursor)
		return false;
	*ret = (struct compare_span){.first_seq = seq};
	run_end = seq_make(seq_run(seq) + 1, 0) - 1;
	ret->last_seq = MIN(stream_seq_before(st, run_end + 1), cursor);
	ret->last_seq = MIN(ret->last_seq, seq + most - 1);
	next = next_row(s, sink, stream, seq);
	if (next <= ret->last_seq)
		ret->last_seq = stream_seq_before(st, next);
	else if (seq_run(seq) < s->run.number &&
		 ret->last_seq == stream_seq_before(st, run_end + 1)) {
		uint64_t after = stream_seq_after(st, ret->last_seq);

		ret->beyond_first = ret->last_seq + 1;
		ret->beyond_last = (after ? after : seq_make(s->run.number, 0)) - 1;
	}
	return true;
}

int compare_read(struct store *s, const struct cut_range *range, uint64_t n_ids,
		 uint64_t *ret_next_id, store_record_cb cb, void *userdata)
{
	return log_read_some(s, range, n_ids, ret_next_id, cb, userdata);
}

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int excuse(uint64_t **seqs, size_t *n, uint64_t seq)
{
	uint64_t *more = reallocarray(*seqs, *n + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	*seqs = more;
	more[(*n)++] = seq;
	return 0;
}

static int excused_on_disk(struct store *s, sqlite3_stmt *stmt, uint64_t **seqs, size_t *n)
{
	int code, r = 0;

	while (r == 0 && (code = sqlite3_step(stmt)) == SQLITE_ROW)
		r = excuse(seqs, n, (uint64_t)sqlite3_column_int64(stmt, 0));
	return r == 0 && code != SQLITE_DONE ? store_fail_sql(s, "quarantine") : r;
}

int compare_excused(struct store *s, uint32_t sink, uint32_t stream, uint64_t first_seq,
		    uint64_t last_seq, uint64_t **ret, size_t *ret_n)
{
	_cleanup_(freep) uint64_t *seqs = NULL;
	sqlite3_stmt *stmt = NULL;
	size_t n = 0;
	int r;

	if (sqlite3_prepare_v2(s->db,
			       "SELECT seq FROM quarantine WHERE sink = ?1 AND stream = ?2"
			       " AND seq BETWEEN ?3 AND ?4 ORDER BY seq",
			       -1, &stmt, NULL) != SQLITE_OK ||
	    sqlite3_bind_int64(stmt, 1, sink) != SQLITE_OK ||
	    sqlite3_bind_int64(stmt, 2, stream) != SQLITE_OK ||
	    sqlite3_bind_int64(stmt, 3, (int64_t)first_seq) != SQLITE_OK ||
	    sqlite3_bind_int64(stmt, 4, (int64_t)MIN(last_seq, (uint64_t)INT64_MAX)) != SQLITE_OK)
		r = store_fail_sql(s, "quarantine");
	else
		r = excused_on_disk(s, stmt, &seqs, &n);
	(void)sqlite3_finalize(stmt); /* repeats the error of the step */
	for (size_t i = 0; r == 0 && i < s->n_new_quarantine; i++) {
		const struct quarantined *q = &s->new_quarantine[i];

		if (q->sink == sink && q->stream == stream && q->seq >= first_seq &&
		    q->seq <= last_seq)
			r = excuse(&seqs, &n, q->seq);
	}
	if (r != 0)
		return r;
	if (n > 0)
		qsort(seqs, n, sizeof(*seqs), by_number);
	*ret = TAKE(seqs);
	*ret_n = n;
	return 0;
}

size_t compare_rows(const struct store *s, uint32_t sink)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_rows; i++)
		n += s->rows[i].row.sink == sink &&
		     !cursor_of(s, sink, s->rows[i].row.stream)->held &&
		     !stream_of(s, s->rows[i].row.stream)->old;
	return n;
}

static int by_place(const void *a, const void *b)
{
	const struct cut_range *x = a, *y = b;

	if (x->stream != y->stream)
		return x->stream < y->stream ? -1 : 1;
	return (x->first_seq > y->first_seq) - (x->first_seq < y->first_seq);
}

int compare_take_rows(struct store *s, uint32_t sink, struct cut_range **ret, size_t *ret_n)
{
	_cleanup_(freep) struct cut_range *ranges = calloc(s->n_rows + 1, sizeof(*ranges));
	size_t n = 0;

	assert(s->owner_fd < 0);
	if (!ranges)
		return -ENOMEM;
	for (size_t i = s->n_rows; i-- > 0;) {
		const struct batch_row *row = &s->rows[i].row;
		struct cursor_state *c = cursor_of(s, row->sink, row->stream);
		int r;

		if (row->sink != sink || c->held)
			continue;
		ranges[n++] = (struct cut_range){.stream = row->stream,
						 .first_seq = row->first_seq,
						 .last_seq = row->last_seq,
						 .first_id = row->first_id,
						 .last_id = row->last_id};
		c->confirmed += row->count;
		r = row_end(s, &s->rows[i]);
		if (r < 0)
			return r;
	}
	qsort(ranges, n, sizeof(*ranges), by_place);
	*ret = TAKE(ranges);
	*ret_n = n;
	return 0;
}
