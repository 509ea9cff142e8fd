/*
 * The ledger, recomputed from the records: every block of the log and every slot of the tail is
 * counted against the numbers that were given out (n is dense, so the last n of each run says how
 * many there must be) and against cursors, rows and quarantine. A counter that drifted, a record
 * that is gone without a reason, a cursor above records that are not there: each shows as a
 * difference.
 *
 * On a live store the audit reads through a connection of its own, so that it sees one commit while
 * the loop goes on in between; what was in memory is copied at the start, after a commit.
 */
#include "store/state.h"

#include <stdio.h>

struct stream_count {
	uint64_t in_log, in_tail;
};

struct sink_count {
	uint64_t at_or_below, in_rows; /* of what is held: below the cursor, and of these in rows */
};

struct audit {
	struct store *s; /* a look of our own */
	sqlite3_stmt *stmt;
	struct stream_count *streams;
	struct sink_count *sinks; /* [(sink - 1) * n_streams + stream - 1] */
	struct audit_line *lines;
	size_t n_lines;
	bool balanced;
};

struct audit *audit_free(struct audit *a)
{
	if (!a)
		return NULL;
	(void)sqlite3_finalize(a->stmt); /* only read */
	a->s = store_close(a->s);
	free(a->streams);
	free(a->sinks);
	free(a->lines);
	free(a);
	return NULL;
}

int audit_new(struct store *s, struct audit **ret)
{
	_cleanup_(audit_freep) struct audit *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	if (s->owner_fd >= 0) {
		r = store_commit(s, s->latest); /* so that the look sees all of what memory knows */
		if (r != 0)
			return r;
	}
	r = store_look(s->state_dir, s->runtime_dir, &a->s);
	if (r != 0)
		return r;
	a->streams = calloc(a->s->n_streams + 1, sizeof(*a->streams));
	a->sinks = calloc(a->s->n_streams * a->s->n_sinks + 1, sizeof(*a->sinks));
	a->lines = calloc(a->s->n_streams * (a->s->n_sinks + 1) + 1, sizeof(*a->lines));
	if (!a->streams || !a->sinks || !a->lines)
		return -ENOMEM;
	if (sqlite3_prepare_v2(a->s->db, "SELECT stream, seq, n FROM record", -1, &a->stmt, NULL) !=
	    SQLITE_OK)
		return -EIO;
	*ret = TAKE(a);
	return 0;
}

static uint64_t overlap(uint64_t first, uint64_t last, uint64_t other_first, uint64_t other_last)
{
	uint64_t from = MAX(first, other_first), to = MIN(last, other_last);

	return from <= to ? to - from + 1 : 0;
}

/* Counts [seq, seq + n) of one stream, all of one run, at every sink. */
static void count(struct audit *a, uint32_t stream, uint64_t seq, uint64_t n)
{
	const struct store *s = a->s;
	uint64_t last = seq + n - 1;

	for (uint32_t sink = 1; sink <= s->n_sinks; sink++) {
		struct sink_count *k = &a->sinks[(sink - 1) * s->n_streams + stream - 1];

		k->at_or_below += overlap(seq, last, 0, cursor_of(s, sink, stream)->seq);
	}
	for (size_t i = 0; i < s->n_rows; i++) {
		const struct batch_row *row = &s->rows[i].row;

		if (row->stream == stream)
			a->sinks[(row->sink - 1) * s->n_streams + stream - 1].in_rows +=
				overlap(seq, last, row->first_seq, row->last_seq);
	}
}

static int count_log(struct audit *a, size_t n_rows)
{
	for (size_t i = 0; i < n_rows; i++) {
		int code = sqlite3_step(a->stmt);
		uint32_t stream;
		uint64_t n;

		if (code == SQLITE_DONE)
			return 0;
		if (code != SQLITE_ROW)
			return store_fail_sql(a->s, "audit");
		stream = (uint32_t)sqlite3_column_int64(a->stmt, 0);
		n = (uint64_t)sqlite3_column_int64(a->stmt, 2);
		if (stream < 1 || stream > a->s->n_streams || n == 0)
			return store_fail(a->s, STORE_E_CORRUPT, "a record of no stream");
		a->streams[stream - 1].in_log += n;
		count(a, stream, (uint64_t)sqlite3_column_int64(a->stmt, 1), n);
	}
	return STORE_E_NOTHING;
}

static void count_tail(struct audit *a)
{
	uint64_t position, next;
	const uint8_t *payload;
	struct slot slot;

	if (!a->s->tail)
		return;
	position = MAX(a->s->log_pos, tail_start(a->s->tail));
	while (tail_read(a->s->tail, position, &slot, &payload, &next) == 0) {
		position = next;
		if (slot.id <= a->s->log_id || slot.id >= a->s->next_id || slot.stream < 1 ||
		    slot.stream > a->s->n_streams)
			continue; /* in the log, or admitted since we began */
		a->streams[slot.stream - 1].in_tail++;
		count(a, slot.stream, slot.seq, 1);
	}
}

static void compare(struct audit_line *l)
{
	uint64_t held = l->in_log + l->in_tail + l->deleted + l->salvage_lost;
	uint64_t settled = l->confirmed + l->waiting + l->quarantined + l->moved + l->exempt;

	l->balanced = true;
	if (held != l->admitted) {
		l->balanced = false;
		(void)snprintf(l->difference, sizeof(l->difference),
			       "%llu were admitted, but log, tail and deleted make %llu",
			       (unsigned long long)l->admitted, (unsigned long long)held);
	} else if (l->sink && l->confirmed != l->counted_confirmed) {
		l->balanced = false;
		(void)snprintf(l->difference, sizeof(l->difference),
			       "%llu confirmed by the records, %llu by the counter",
			       (unsigned long long)l->confirmed,
			       (unsigned long long)l->counted_confirmed);
	} else if (l->sink && settled + l->lost != l->admitted) {
		l->balanced = false;
		(void)snprintf(l->difference, sizeof(l->difference),
			       "%llu were admitted, but their states make %llu",
			       (unsigned long long)l->admitted, (unsigned long long)settled);
	}
}

static void add_line(struct audit *a, uint32_t sink, uint32_t stream)
{
	const struct stream_state *st = stream_of(a->s, stream);
	struct audit_line *l = &a->lines[a->n_lines++];

	*l = (struct audit_line){
		.sink = sink,
		.stream = stream,
		.admitted = stream_total(st),
		.in_log = a->streams[stream - 1].in_log,
		.in_tail = a->streams[stream - 1].in_tail,
		.deleted = st->deleted,
		.salvage_lost = st->salvage_lost,
	};
	if (sink) {
		const struct cursor_state *c = cursor_of(a->s, sink, stream);
		const struct sink_count *k = &a->sinks[(sink - 1) * a->s->n_streams + stream - 1];
		uint64_t held = l->in_log + l->in_tail;

		l->quarantined = c->quarantined;
		l->moved = c->moved;
		l->exempt = c->exempt;
		l->counted_confirmed = c->confirmed;
		l->lost = aside_lost_at(a->s, sink, stream);
		l->confirmed = k->at_or_below + l->deleted + l->salvage_lost - l->lost -
			       k->in_rows - c->quarantined - c->moved - c->exempt;
		l->waiting = held - k->at_or_below + k->in_rows;
	}
	compare(l);
	a->balanced &= l->balanced;
}

int audit_step(struct audit *a, size_t n_rows)
{
	int r = count_log(a, n_rows);

	if (r != 0)
		return r;
	count_tail(a);
	a->balanced = true;
	a->n_lines = 0;
	for (uint32_t stream = 1; stream <= a->s->n_streams; stream++) {
		bool any = false;

		for (uint32_t sink = 1; sink <= a->s->n_sinks; sink++)
			if (!sink_of(a->s, sink)->info.retired) {
				add_line(a, sink, stream);
				any = true;
			}
		if (!any)
			add_line(a, 0, stream);
	}
	return 0;
}

size_t audit_lines(const struct audit *a, const struct audit_line **ret)
{
	*ret = a->lines;
	return a->n_lines;
}

bool audit_balanced(const struct audit *a)
{
	return a->balanced;
}
