/*
 * What can still be read of a damaged store. The log first, in the order of its ids; then the tail,
 * whose ring still holds much that the log lost; then what is missing, as gaps.
 *
 *   log:  blocks  -> whole? new? --+
 *   tail: slots   -> whole? new? --+--> pieces --+
 *   given, and found in neither ------> gaps ----+--> frames --> the owner of the new store
 *   the sinks and streams by name ---------------+
 *
 * A block counts as read when its stream and run are known, its numbers were not seen before, and
 * its payload unpacks to exactly the records it says. One that does not is left out whole, because
 * nobody can tell how much of it is true.
 *
 * How many there must be is known: n is dense from 1 in each (stream, run), so what is neither found
 * nor deleted is missing. Which sink had a record and when it was, the other tables say
 * (rescue_tables.c). Where those of the sinks cannot be read, everything is owed again.
 *
 * This process has a quarter of an hour (alarm(2); rlimits are refused in the unit's sandbox). It may
 * crash: what it said until then counts, and it is started again.
 */
#include "store/rescue.h"

#include "store/pack.h"
#include "store/rescue_frame.h"
#include "store/rescue_tables.h"
#include "store/tail.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PATIENCE_S = 900,
	OUT_FULL = 64 << 10,
	PIECE_MAX = 8 << 10,
	GAPS_MAX = 64, /* of a stream; the last takes the rest */
};

enum phase { PHASE_LOG = 0, PHASE_TAIL = 1, PHASE_GAPS = 2 }; /* of struct salvage_place */

struct found {
	uint64_t first, last;	/* seq */
	int64_t from_us, to_us; /* wall */
	uint8_t clk;
};

/* What became of a stream up to now. */
struct finds {
	bool told;
	struct found *found; /* ascending */
	size_t n_found;
};

struct rescue {
	struct rescue_tables *tables;
	int fd;
	int error; /* of writing to fd */
	struct buf out;
	struct finds *streams; /* [RESCUE_STREAMS_MAX]; number - 1 */
	uint64_t nameless;     /* records of streams that are not known */
	struct buf piece;
	struct record record;
};

static void flush(struct rescue *g)
{
	size_t at = 0;

	if (g->out.failed && g->error == 0)
		g->error = -ENOMEM;
	while (g->error == 0 && at < g->out.size) {
		ssize_t n = write(g->fd, g->out.data + at, g->out.size - at);

		if (n < 0 && errno != EINTR)
			g->error = -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	buf_reset(&g->out);
}

static void tell(struct rescue *g, const struct rescue_message *m)
{
	rescue_write(&g->out, m);
	if (g->out.size >= OUT_FULL)
		flush(g);
}

/* --- records --- */

/* Where it would go among what was found; SIZE_MAX: (some of) it is there already. */
static size_t place_of(const struct finds *st, uint64_t first, uint64_t last)
{
	size_t low = 0, high = st->n_found;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (st->found[middle].last < first)
			low = middle + 1;
		else
			high = middle;
	}
	return low < st->n_found && st->found[low].first <= last ? SIZE_MAX : low;
}

static int note_found(struct finds *st, const struct found *f)
{
	size_t at = place_of(st, f->first, f->last);
	struct found *all, *before = at > 0 ? &st->found[at - 1] : NULL;

	if (before && before->last + 1 == f->first) {
		before->last = f->last;
		before->to_us = f->to_us;
		return 0;
	}
	all = reallocarray(st->found, st->n_found + 1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	memmove(all + at + 1, all + at, (st->n_found - at) * sizeof(*all));
	all[at] = *f;
	st->found = all;
	st->n_found++;
	return 0;
}

static void tell_stream(struct rescue *g, uint32_t number)
{
	const struct rescue_stream *st = rescue_tables_stream(g->tables, number);
	struct rescue_message m = {.type = RESCUE_STREAM, .number = number, .kind = st->kind};

	if (g->streams[number - 1].told)
		return;
	memcpy(m.device, st->device, sizeof(m.device));
	memcpy(m.name, st->subject, sizeof(m.name));
	tell(g, &m);
	g->streams[number - 1].told = true;
}

/* It unpacks to exactly the records that it says. */
static bool is_whole(struct rescue *g, const struct rescue_block *b)
{
	struct bytes in = bytes_make(b->payload, b->size);

	for (uint32_t i = 0; i < b->n; i++) {
		(void)bytes_svarint(&in);
		if (record_unpack(&in, &g->record) < 0)
			return false;
	}
	return !in.failed && bytes_left(&in) == 0;
}

static bool is_new(const struct rescue *g, const struct rescue_block *b)
{
	uint64_t last = b->seq + b->n - 1;

	return seq_run(b->seq) != 0 && (b->seq & SEQ_N_MAX) != 0 &&
	       seq_run(last) == seq_run(b->seq) &&
	       rescue_tables_may_have_run(g->tables, seq_run(b->seq)) &&
	       place_of(&g->streams[b->stream - 1], b->seq, last) != SIZE_MAX;
}

static void end_piece(struct rescue *g, struct rescue_message *m)
{
	if (m->piece.n == 0)
		return;
	m->piece.payload = g->piece.data;
	m->piece.size = g->piece.size;
	tell(g, m);
	m->piece.n = 0;
}

/* A block in pieces: as far as clock and sinks are the same for all of it. */
static void give_block(struct rescue *g, enum phase phase, const struct rescue_block *b)
{
	struct bytes in = bytes_make(b->payload, b->size);
	struct rescue_message m = {.type = RESCUE_PIECE};
	struct salvage_piece *p = &m.piece;
	struct found f = {.first = b->seq, .last = b->seq + b->n - 1, .clk = b->clk};
	int64_t boot_us = b->boot_us, last_us = 0;
	uint64_t had = 0, same_until = 0;

	tell_stream(g, b->stream);
	for (uint32_t i = 0; i < b->n; i++) {
		int64_t offset_us = b->offset_us;
		uint64_t seq = b->seq + i;
		uint8_t clk = b->clk;
		size_t at;

		boot_us += bytes_svarint(&in);
		at = in.at;
		(void)record_unpack(&in, &g->record); /* it is whole */
		if (!rescue_tables_time_of(g->tables, seq, boot_us, &clk, &offset_us))
			return; /* the runs could not be read: nobody knows when this was */
		if (p->n > 0 && (seq > same_until || clk != p->clk || offset_us != p->offset_us ||
				 g->piece.size > PIECE_MAX))
			end_piece(g, &m);
		if (p->n == 0) {
			had = rescue_tables_had_by(g->tables, b->stream, seq, &same_until);
			*p = (struct salvage_piece){.stream = b->stream,
						    .boot_us = boot_us,
						    .offset_us = offset_us,
						    .clk = clk,
						    .had = had};
			last_us = boot_us;
			buf_reset(&g->piece);
		}
		buf_svarint(&g->piece, boot_us - last_us);
		buf_append(&g->piece, b->payload + at, in.at - at);
		last_us = boot_us;
		p->place = (struct salvage_place){phase, b->id, seq};
		p->n++;
		if (i == 0)
			f.from_us = boot_us + offset_us;
		f.to_us = boot_us + offset_us;
		f.clk = clk;
	}
	end_piece(g, &m);
	if (g->piece.failed || note_found(&g->streams[b->stream - 1], &f) < 0)
		g->error = -ENOMEM;
	rescue_tables_reach(g->tables, b->stream, f.last);
}

static int on_block(void *userdata, const struct rescue_block *b)
{
	struct rescue *g = userdata;

	if (!is_whole(g, b))
		return g->error;
	if (!rescue_tables_stream(g->tables, b->stream))
		g->nameless += b->n;
	else if (is_new(g, b))
		give_block(g, PHASE_LOG, b);
	return g->error;
}

/* The ring still holds what was committed lately: what the log lost of it is found here. */
static void read_tail(struct rescue *g, const char *dir)
{
	_cleanup_(tail_freep) struct tail *t = NULL;
	const uint8_t *payload;
	struct slot slot;
	uint64_t position, next;
	char path[512];

	if (snprintf(path, sizeof(path), "%s/tail", dir) >= (int)sizeof(path) ||
	    tail_open(path, false, &t) != 0 ||
	    !rescue_tables_is_ours(g->tables, tail_incarnation(t), tail_run(t)))
		return;
	position = tail_start(t);
	while (g->error == 0 && tail_read(t, position, &slot, &payload, &next) == 0) {
		struct rescue_block b = {.id = slot.id,
					 .stream = slot.stream,
					 .seq = slot.seq,
					 .n = 1,
					 .boot_us = slot.boot_us,
					 .clk = slot.clk,
					 .offset_us = slot.offset_us};
		struct buf block = {0};

		position = next;
		buf_svarint(&block, 0);
		buf_append(&block, payload, slot.n_payload);
		b.payload = block.data;
		b.size = block.size;
		if (!rescue_tables_stream(g->tables, b.stream))
			g->nameless++;
		else if (!block.failed && is_whole(g, &b) && is_new(g, &b))
			give_block(g, PHASE_TAIL, &b);
		buf_done(&block);
	}
}

/* --- what is missing --- */

struct gaps {
	struct rescue *g;
	uint32_t stream;
	uint64_t rank; /* numbers of this stream before the run that is looked at */
	struct rescue_message last;
	size_t n;
};

static void end_gap(struct gaps *w)
{
	if (w->last.n == 0)
		return;
	tell_stream(w->g, w->stream);
	w->last.piece.place = (struct salvage_place){PHASE_GAPS, w->stream, w->n};
	tell(w->g, &w->last);
	w->last.n = 0;
}

static void add_gap(struct gaps *w, uint64_t first, uint64_t last, int64_t from_us, int64_t to_us,
		    uint8_t clk)
{
	while (first <= last) {
		uint64_t until, had = rescue_tables_had_by(w->g->tables, w->stream, first, &until);
		uint64_t n = MIN(last, until) - first + 1;

		if (w->last.n > 0 && w->n >= GAPS_MAX) {
			w->last.n += n;
			w->last.until_us = MAX(w->last.until_us, to_us);
			w->last.piece.had &= had;
		} else {
			end_gap(w);
			w->n++;
			w->last = (struct rescue_message){.type = RESCUE_GAP,
							  .n = n,
							  .until_us = to_us};
			w->last.piece.stream = w->stream;
			w->last.piece.boot_us = from_us;
			w->last.piece.clk = clk;
			w->last.piece.had = had;
		}
		if (until >= last)
			return;
		first = until + 1;
	}
}

/* Numbers [first, last] of one run were not found between these two; either may be NULL. */
static void missing(struct gaps *w, uint64_t first, uint64_t last, const struct found *before,
		    const struct found *after)
{
	uint64_t deleted = rescue_tables_stream(w->g->tables, w->stream)->deleted;
	uint64_t rank = w->rank + (first & SEQ_N_MAX);
	int64_t from_us = before ? before->to_us : after ? after->from_us : 0;
	int64_t to_us = after ? after->from_us : from_us;
	const struct found *near = before ? before : after;

	if (rank <= deleted)
		first += MIN(deleted - rank + 1, last - first + 1);
	if (first <= last)
		add_gap(w, first, last, from_us, MAX(to_us, from_us), near ? near->clk : CLK_EST);
}

static void tell_missing(struct rescue *g, uint32_t number)
{
	const struct rescue_stream *st = rescue_tables_stream(g->tables, number);
	const struct finds *finds = &g->streams[number - 1];
	const struct found *before = NULL;
	struct gaps w = {.g = g, .stream = number};
	size_t at = 0;

	for (size_t i = 0; i < st->n_reaches; i++) {
		uint64_t run = st->reaches[i].run, next = seq_make(run, 1);
		uint64_t end = seq_make(run, st->reaches[i].last_n);

		while (at < finds->n_found && finds->found[at].first <= end) {
			const struct found *f = &finds->found[at++];

			if (f->first > next)
				missing(&w, next, f->first - 1, before, f);
			before = f;
			next = f->last + 1;
		}
		if (next <= end)
			missing(&w, next, end, before,
				at < finds->n_found ? &finds->found[at] : NULL);
		w.rank += st->reaches[i].last_n;
	}
	end_gap(&w);
}

/* --- all of it --- */

static uint64_t bytes_in(const char *dir)
{
	static const char *const names[] = {"store.db", "store.db-wal", "tail"};
	uint64_t bytes = 0;
	char path[512];
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (snprintf(path, sizeof(path), "%s/%s", dir, names[i]) < (int)sizeof(path) &&
		    stat(path, &st) == 0)
			bytes += (uint64_t)st.st_size;
	return bytes;
}

static void tell_sinks(struct rescue *g)
{
	for (uint32_t i = 1; i <= RESCUE_SINKS_MAX; i++) {
		struct rescue_message m = {.type = RESCUE_SINK, .number = i};
		const char *name = rescue_tables_sink(g->tables, i);

		if (!name)
			continue;
		(void)snprintf(m.name, sizeof(m.name), "%s", name); /* is as long at most */
		tell(g, &m);
	}
}

static void tell_end(struct rescue *g, bool any, const char *dir)
{
	struct rescue_message m = {.type = RESCUE_END, .n = g->nameless};

	if (!any)
		(void)snprintf(m.name, sizeof(m.name), "nothing could be read; %llu bytes are kept",
			       (unsigned long long)bytes_in(dir));
	else if (!rescue_tables_has_books(g->tables))
		(void)snprintf(m.name, sizeof(m.name),
			       "what the servers have already could not be read: all of it is sent "
			       "again");
	tell(g, &m);
}

static void read_all(struct rescue *g, const char *dir)
{
	bool any = false;

	tell_sinks(g);
	rescue_tables_each_block(g->tables, on_block, g);
	read_tail(g, dir);
	for (uint32_t i = 1; i <= RESCUE_STREAMS_MAX; i++)
		if (rescue_tables_stream(g->tables, i)) {
			any = true;
			tell_missing(g, i);
		}
	tell_end(g, any, dir);
	flush(g);
}

static void done(struct rescue *g)
{
	for (size_t i = 0; g->streams && i < RESCUE_STREAMS_MAX; i++)
		free(g->streams[i].found);
	free(g->streams);
	buf_done(&g->out);
	buf_done(&g->piece);
	(void)rescue_tables_close(g->tables); /* returns NULL by convention */
}

int rescue_run(const char *dir, int fd)
{
	struct rescue g = {.fd = fd};
	int r = -ENOMEM;

	(void)alarm(PATIENCE_S); /* returns what was left of an earlier one */
	g.streams = calloc(RESCUE_STREAMS_MAX, sizeof(*g.streams));
	if (g.streams)
		r = rescue_tables_open(dir, &g.tables);
	if (r == 0) {
		read_all(&g, dir);
		r = g.error;
	}
	done(&g);
	return r;
}
