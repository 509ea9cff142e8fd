/*
 * Moving what is still owed under an old name. The new stream has the same device, kind and subject;
 * records go behind what is in it already, in their order, with the times and the content they had:
 *
 *	old   |##confirmed##|== owed at A ==|== owed at A and B ==|
 *	                    (B had it)
 *	A           at A: moved  moved            B: ..., moved
 *	new   |## new ##|== row at A ==|== row at A and B ==|## new ##|
 *	                 exempt at B
 *
 * A slice is a piece of one run of one old stream in which no sink changes from owing to not owing. It
 * is one transaction with the whole tail: copies in, both ledgers changed. So between two slices,
 * and after a kill in one, a record is owed under one name and not under two. The copies wait in memory
 * (`staged`) for that commit; if it fails, nothing of the slice ever was (undo.c).
 *
 * Cursors: in the new stream everything below the copies is first put into rows, because a cursor
 * passes nothing that is not settled; so no cut may be under way at any sink (STORE_E_BUSY). What a
 * sink owed is a row, what it did not is set aside as exempt (aside.c); in the old stream the cursor
 * passes, or the row shrinks, and the range is set aside as moved. Sinks that are retired do not ask for
 * anything to be moved, but what is moved for others is moved at them too, lest they get it twice
 * when they come back.
 *
 * Time: boot_us is on the clock of the boot that a record's run began in. A record with a true time is
 * reckoned onto the clock of this boot (boot_us and offset change, their sum does not); an estimate
 * of this boot stays as it is; one of another boot goes to a server with its boot_us and the id of that
 * boot, so it gets a run of its own, of that boot, with a fresh one for what is heard from then on.
 *
 * A record that the log does not have any more is counted as lost, once, and set aside as lost at those
 * sinks that were owed it: what the others have confirmed they have.
 */
#include "store/identity.h"

#include "store/pack.h"
#include "store/register.h"
#include "store/row_index.h"
#include "store/run.h"
#include "store/state.h"
#include "store/undo.h"

enum {
	SLICE_BYTES = 64 * 1024,
	BLOCK_BYTES = 3072, /* as in log.c */
	LOOK_IDS = 32768,   /* of the log, in one slice: other streams lie between */
};

struct slice {
	struct store *s;
	struct undo *undo;
	uint32_t from, to;
	uint64_t first, last; /* seqs that are looked for */
	uint64_t next;	      /* the one expected; first + n */
	uint64_t found;	      /* a record behind a hole; 0: none */
	bool estimates;	      /* of another boot: run */
	struct run_info run;  /* that they had */
	uint64_t last_id;     /* in the old stream */
	size_t bytes;
	struct staged *blocks;
	size_t n_blocks;
	int64_t last_boot_us, last_wall_us;
};

static void blocks_free(struct staged *blocks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_done(&blocks[i].payload);
	free(blocks);
}

void staged_free(struct store *s)
{
	blocks_free(s->staged, s->n_staged);
	s->staged = NULL;
	s->n_staged = 0;
}

int staged_write(struct store *s)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->n_staged; i++) {
		const struct staged *b = &s->staged[i];
		const int64_t columns[7] = {(int64_t)b->id, b->stream,	(int64_t)b->seq,
					    (int64_t)b->n,  b->boot_us, b->clk,
					    b->offset_us};

		r = log_insert(s, columns, b->payload.data, b->payload.size);
	}
	return r;
}

/* --- what is owed --- */

/* The lowest seq that this sink waits for; 0: none. */
static uint64_t first_owed(const struct store *s, uint32_t sink, uint32_t stream)
{
	const struct row_entry *row = row_index_next(s, sink, stream, 0);
	uint64_t first = stream_seq_after(stream_of(s, stream), cursor_of(s, sink, stream)->seq);

	if (!row)
		return first;
	return first ? MIN(first, row->row.first_seq) : row->row.first_seq;
}

/* The lowest that any sink of the config waits for. */
static uint64_t first_of_all(const struct store *s, uint32_t stream)
{
	uint64_t first = 0;

	for (uint32_t sink = 1; sink <= s->n_sinks; sink++) {
		uint64_t seq = sink_of(s, sink)->info.retired ? 0 : first_owed(s, sink, stream);

		if (seq)
			first = first ? MIN(first, seq) : seq;
	}
	return first;
}

/* How far from `seq` on this sink owes, or does not owe, without a change. */
static uint64_t alike_until(const struct store *s, uint32_t sink, uint32_t stream, uint64_t seq)
{
	const struct cursor_state *c = cursor_of(s, sink, stream);
	const struct row_entry *row = row_index_at(s, sink, stream, seq);

	if (seq > c->seq)
		return UINT64_MAX;
	if (row)
		return row->row.last_seq;
	row = row_index_next(s, sink, stream, seq);
	return row ? MIN(c->seq, row->row.first_seq - 1) : c->seq;
}

/*
 * A row may name numbers that nobody remembers: how far a run came the log tells, and it may have lost the
 * last of it. Then all of them are looked for, and given up.
 */
static uint64_t last_alike(const struct store *s, uint32_t stream, uint64_t first)
{
	const struct stream_state *st = stream_of(s, stream);
	uint64_t last = seq_make(seq_run(first), SEQ_N_MAX);

	for (size_t i = 0; i < st->n_runs; i++)
		if (st->runs[i].run == seq_run(first) && st->runs[i].last_n >= (first & SEQ_N_MAX))
			last = seq_make(st->runs[i].run, st->runs[i].last_n);
	for (uint32_t sink = 1; sink <= s->n_sinks; sink++)
		last = MIN(last, alike_until(s, sink, stream, first));
	return last;
}

static bool is_flying(const struct store *s, uint32_t stream, uint64_t seq)
{
	for (uint32_t sink = 1; sink <= s->n_sinks; sink++) {
		const struct row_entry *row = row_index_at(s, sink, stream, seq);

		if (sink_of(s, sink)->in_flight || (row && row->row.status == BATCH_UPLOADING))
			return true;
	}
	return false;
}

/* --- reading --- */

static struct staged *block_for(struct slice *g, const struct record *r, int64_t boot_us,
				int64_t offset_us)
{
	struct staged *last = g->n_blocks ? &g->blocks[g->n_blocks - 1] : NULL;
	struct staged *blocks;

	if (last && last->clk == r->clk && last->offset_us == offset_us &&
	    last->payload.size + g->s->scratch.size + 10 <= BLOCK_BYTES)
		return last;
	blocks = reallocarray(g->blocks, g->n_blocks + 1, sizeof(*blocks));
	if (!blocks)
		return NULL;
	g->blocks = blocks;
	last = &g->blocks[g->n_blocks++];
	*last = (struct staged){.stream = g->to,
				.clk = r->clk,
				.boot_us = boot_us,
				.offset_us = offset_us};
	g->last_boot_us = boot_us;
	return last;
}

static bool is_of_another_boot(const struct slice *g, uint64_t seq, struct run_info *ret)
{
	return store_run(g->s, seq_run(seq), ret) && !streq(ret->boot_id, g->s->run.boot_id);
}

static int copy(struct slice *g, const struct record *r, bool rebase)
{
	int64_t offset_us = rebase ? g->s->clock.offset_us : r->offset_us;
	int64_t boot_us = r->boot_us + r->offset_us - offset_us;
	struct staged *b;

	buf_reset(&g->s->scratch);
	record_pack(r, &g->s->scratch);
	if (g->s->scratch.failed)
		return -ENOMEM;
	b = block_for(g, r, boot_us, offset_us);
	if (!b)
		return -ENOMEM;
	buf_svarint(&b->payload, boot_us - g->last_boot_us);
	buf_append(&b->payload, g->s->scratch.data, g->s->scratch.size);
	if (b->payload.failed)
		return -ENOMEM;
	b->n++;
	g->last_boot_us = boot_us;
	g->last_wall_us = boot_us + offset_us;
	g->bytes += g->s->scratch.size;
	g->last_id = r->id;
	g->next = r->seq + 1;
	return g->bytes >= SLICE_BYTES;
}

static int on_record(void *userdata, const struct record *r)
{
	struct slice *g = userdata;
	struct run_info run = {0};
	bool other = is_of_another_boot(g, r->seq, &run);

	if (r->seq != g->next) {
		g->found = r->seq;
		return 1;
	}
	if (g->n_blocks == 0) {
		g->estimates = other && r->clk != CLK_UTC;
		g->run = run;
	} else if (g->estimates != (other && r->clk != CLK_UTC)) {
		return 1;
	}
	return copy(g, r, other && !g->estimates);
}

/* --- the ledgers --- */

/* Records of the old stream that this sink is rid of, whichever way. `n` of them from `first` on. */
static int leave(struct store *s, uint32_t sink, uint32_t stream, uint64_t first, uint64_t last,
		 uint64_t last_id)
{
	const struct stream_state *st = stream_of(s, stream);
	struct cursor_state *c = cursor_of(s, sink, stream);
	struct row_entry *entry = row_index_at(s, sink, stream, first);
	uint64_t before = stream_seq_before(st, first), next = stream_seq_after(st, last);
	int r = 0;

	if (first > c->seq) {
		/* What a retired sink did not get before that, it waits for still. */
		const struct batch_row rest = {
			.sink = sink,
			.stream = stream,
			.first_seq = stream_seq_after(st, c->seq),
			.last_seq = before,
			.first_id = c->id,
			.last_id = last_id,
			.count = stream_count_between(st, c->seq + 1, before),
			.priority = row_usual_priority(s, stream),
			.created_us = clock_wall_usec(),
		};

		if (rest.count > 0)
			r = row_add(s, &rest);
		cursor_move(c, last, last_id);
		return r;
	}
	assert(entry != NULL);
	if (entry->row.first_seq < first) {
		struct batch_row rest = entry->row;

		entry->row.last_seq = before;
		entry->row.count = stream_count_between(st, entry->row.first_seq, before);
		row_touch(s, entry);
		if (next == 0 || next > rest.last_seq)
			return 0;
		rest.first_seq = next;
		rest.count = stream_count_between(st, rest.first_seq, rest.last_seq);
		return row_add(s, &rest);
	}
	if (next == 0 || next > entry->row.last_seq)
		return row_end(s, entry);
	entry->row.count -= stream_count_between(st, first, last);
	entry->row.first_seq = next;
	entry->row.first_id = MAX(entry->row.first_id, last_id);
	row_touch(s, entry);
	return 0;
}

static bool owes(const struct store *s, uint32_t sink, uint32_t stream, uint64_t seq)
{
	return seq > cursor_of(s, sink, stream)->seq || row_index_at(s, sink, stream, seq) != NULL;
}

/* Rows, ends of rows and asides that one slice can make: none of them may fail halfway. */
static int reserve(struct store *s)
{
	int r = rows_reserve(s, 3 * s->n_sinks);

	return r == 0 ? asides_reserve(s, 2 * s->n_sinks) : r;
}

static int settle_at(struct store *s, uint32_t sink, const struct aside *old, struct aside fresh,
		     const struct batch_row *row, uint64_t last_id)
{
	struct cursor_state *c = cursor_of(s, sink, old->stream),
			    *to = cursor_of(s, sink, fresh.stream);
	bool owed = owes(s, sink, old->stream, old->first_seq);
	const struct row_entry *entry = row_index_at(s, sink, old->stream, old->first_seq);
	struct batch_row mine = *row;
	uint64_t before = stream_seq_before(stream_of(s, fresh.stream), fresh.first_seq);
	int r;

	if (entry) { /* what waited goes on waiting, and is not counted as owed again */
		mine.created_us = entry->row.created_us;
		mine.number = entry->row.number;
	}
	r = outbox_row_until(s, sink, fresh.stream, before, row->first_id - 1);
	if (r != 0)
		return r;
	cursor_move(to, fresh.last_seq, row->last_id);
	mine.sink = fresh.sink = sink;
	if (!owed) {
		to->exempt += row->count;
		aside_add(s, &fresh);
		return 0;
	}
	c->moved += row->count;
	cursor_touch(s, c);
	aside_add(s, &(struct aside){sink, old->stream, old->first_seq, old->last_seq, ASIDE_MOVED,
				     true});
	r = row_add(s, &mine);
	return r == 0 ? leave(s, sink, old->stream, old->first_seq, old->last_seq, last_id) : r;
}

static int settle(struct slice *g, uint64_t n, uint64_t first, uint64_t first_id)
{
	struct store *s = g->s;
	const struct aside old = {.stream = g->from,
				  .first_seq = g->first,
				  .last_seq = g->next - 1};
	const struct aside fresh = {.stream = g->to,
				    .first_seq = first,
				    .last_seq = first + n - 1,
				    .how = ASIDE_EXEMPT};
	const struct batch_row row = {.stream = g->to,
				      .first_seq = first,
				      .last_seq = first + n - 1,
				      .first_id = first_id,
				      .last_id = first_id + n - 1,
				      .count = n,
				      .priority = row_usual_priority(s, g->to),
				      .created_us = clock_wall_usec()};
	int r = 0;

	for (uint32_t sink = 1; r == 0 && sink <= s->n_sinks; sink++)
		r = settle_at(s, sink, &old, fresh, &row, g->last_id);
	return r;
}

/* Estimates of another boot need a run of that boot, above all that the stream has. */
static int run_for(struct slice *g, uint64_t *ret)
{
	struct store *s = g->s;
	uint64_t last = seq_run(stream_last_seq(stream_of(s, g->to)));

	*ret = s->run.number;
	if (!g->estimates)
		return 0;
	for (size_t i = s->n_runs; i-- > 0 && s->runs[i].info.number >= last;)
		if (streq(s->runs[i].info.boot_id, g->run.boot_id)) {
			*ret = s->runs[i].info.number;
			return 0;
		}
	return run_begin_pair(s, g->run.number, ret);
}

/* Gives the blocks their ids and seqs, and both ledgers what follows; from here on it is done. */
static int stage(struct slice *g)
{
	struct store *s = g->s;
	struct stream_state *st = stream_of(s, g->to);
	uint64_t n = g->next - g->first, first_id = s->next_id, run, first, last;
	int r = run_for(g, &run);

	if (r != 0)
		return r;
	last = stream_last_seq(st);
	first = seq_run(last) == run ? last + 1 : seq_make(run, 1);
	if ((first & SEQ_N_MAX) + n > SEQ_N_MAX)
		return -EOVERFLOW; /* 268 million in one run: the owner restarts and goes on */
	r = undo_note(s, g->undo);
	if (r == 0)
		r = reserve(s);
	if (r == 0)
		r = stream_reach(st, run, ((first + n - 1) & SEQ_N_MAX));
	if (r != 0)
		return r;
	for (size_t i = 0, at = 0; i < g->n_blocks; i++) {
		g->blocks[i].seq = first + at;
		at += g->blocks[i].n;
		g->blocks[i].id = first_id + at - 1;
	}
	s->staged = g->blocks;
	s->n_staged = g->n_blocks;
	g->blocks = NULL;
	g->n_blocks = 0;
	s->next_id += n;
	st->last_wall_us = MAX(st->last_wall_us, g->last_wall_us);
	st->dirty = true;
	return settle(g, n, first, first_id);
}

/* Nothing of [first, last] is in the log any more. */
static int give_up(struct slice *g, uint64_t last)
{
	struct store *s = g->s;
	struct stream_state *st = stream_of(s, g->from);
	uint64_t n = stream_count_between(st, g->first, last) -
		     aside_lost_between(s, g->from, g->first, last); /* for another sink, before */
	int r = reserve(s);

	for (uint32_t sink = 1; r == 0 && sink <= s->n_sinks; sink++) {
		if (!owes(s, sink, g->from, g->first))
			continue; /* it had them, or will not have them: that stays true */
		aside_add(s, &(struct aside){sink, g->from, g->first, last, ASIDE_LOST, true});
		r = leave(s, sink, g->from, g->first, last, 0);
	}
	st->salvage_lost += n;
	st->dirty = true;
	s->force = true;
	return r;
}

/* --- one slice --- */

/* Copies what there is of [first, last] and follows it through. */
static int one_slice(struct slice *g)
{
	struct store *s = g->s;
	struct stream_state *st = stream_of(s, g->from);
	struct cut_range want = {.stream = g->from, .first_seq = g->first, .last_seq = g->last};
	uint64_t next;
	int r;

	want.first_id = g->first >= st->move_seq ? st->move_id : 0;
	r = log_read_some(s, &want, LOOK_IDS, &next, on_record, g);
	if (r < 0 || (r > 0 && g->n_blocks == 0))
		return r;
	st->move_seq = g->first;
	if (g->n_blocks > 0) {
		r = stage(g);
		stream_of(s, g->from)->move_seq = g->next;
		stream_of(s, g->from)->move_id = g->last_id;
		return r;
	}
	if (g->found)
		return give_up(g, MIN(g->last, g->found - 1));
	if (next == UINT64_MAX)
		return give_up(g, g->last);
	st->move_id = next;
	return STORE_E_MORE;
}

static int move_stream(struct store *s, uint32_t stream, struct undo *undo)
{
	const struct stream_info *info = &stream_of(s, stream)->info;
	struct slice g = {.s = s, .undo = undo, .from = stream, .first = first_of_all(s, stream)};
	int r;

	if (g.first == 0)
		return STORE_E_NOTHING;
	if (is_flying(s, stream, g.first))
		return STORE_E_BUSY;
	r = register_stream(s, info->device, (enum kind)info->kind, info->subject, &g.to);
	if (r != 0)
		return r;
	g.last = last_alike(s, stream, g.first);
	g.next = g.first;
	r = one_slice(&g);
	blocks_free(g.blocks, g.n_blocks);
	return r;
}

/* Nothing waits under this name any more: what held it is no concern. */
static void let_go(struct store *s, uint32_t stream)
{
	for (uint32_t sink = 1; sink <= s->n_sinks; sink++) {
		struct cursor_state *c = cursor_of(s, sink, stream);

		if (c->held && !sink_of(s, sink)->info.retired) {
			c->held = c->refused = false;
			cursor_touch(s, c);
		}
	}
}

/* Heart rate first, and of a kind what is oldest. */
static int move_any(struct store *s, struct undo *undo)
{
	int all = STORE_E_NOTHING;

	for (unsigned kind = 0; kind < KIND_MAX; kind++)
		for (uint32_t i = 1; i <= s->n_streams; i++) {
			int r;

			if (!stream_of(s, i)->old || stream_of(s, i)->info.kind != kind)
				continue;
			r = move_stream(s, i, undo);
			if (r <= 0 || r == STORE_E_MORE)
				return r;
			if (r == STORE_E_NOTHING)
				let_go(s, i);
			else
				all = r; /* others may be able to */
		}
	return all;
}

int store_move(struct store *s, usec_t now)
{
	struct undo undo = {0};
	int r;

	assert(s->owner_fd >= 0);
	if (store_move_left(s) == 0)
		return move_any(s, &undo); /* nothing, but what was held is let go of */
	if (s->retry_at > now || care_wal_is_full(s))
		return STORE_E_BUSY; /* for the card */
	if (store_wants_room(s))
		(void)store_prune(s, INT64_MAX,
				  256); /* what has moved is here twice; else it is told */
	if (store_commit(s, now) != 0)
		return STORE_E_BUSY;
	r = move_any(s, &undo);
	if (r == 0 && store_commit(s, now) != 0)
		r = STORE_E_BUSY;
	if (r != 0) {
		undo_all(s, &undo);
		staged_free(s);
	}
	undo_done(s, &undo);
	return r;
}

uint64_t store_move_left(const struct store *s)
{
	uint64_t most = 0;

	for (uint32_t sink = 1; sink <= s->n_sinks; sink++) {
		uint64_t left = 0;

		for (uint32_t i = 1; !sink_of(s, sink)->info.retired && i <= s->n_streams; i++) {
			struct cursor_status c;

			if (!stream_of(s, i)->old)
				continue;
			store_cursor_status(s, sink, i, &c);
			left += c.waiting;
		}
		most = MAX(most, left);
	}
	return most;
}
