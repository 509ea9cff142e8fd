/*
 * Ranges below a cursor that are no business of this sink: moved away, brought here although it had
 * them already, or lost before it had them. A counter each says how many (in `cursor`; of what was
 * lost the ranges are counted); which ones has to be known when a range is sent again, because the
 * server was set back: of those nothing is owed under this name.
 *
 * Slices of moving lie side by side, so a whole outage is one range.
 */
#include "store/outbox.h"
#include "store/state.h"
#include "util/array.h"

int asides_reserve(struct store *s, size_t n)
{
	struct aside *asides =
		array_reserve(s->asides, sizeof(*asides), s->n_asides + n, &s->asides_capacity);

	if (!asides)
		return -ENOMEM;
	s->asides = asides;
	return 0;
}

void aside_add(struct store *s, const struct aside *aside)
{
	const struct stream_state *st = stream_of(s, aside->stream);
	uint64_t before = stream_seq_before(st, aside->first_seq);

	for (size_t i = 0; i < s->n_asides; i++) {
		struct aside *a = &s->asides[i];

		if (a->sink == aside->sink && a->stream == aside->stream && a->how == aside->how &&
		    a->last_seq == before) {
			a->last_seq = aside->last_seq;
			a->dirty = true;
			return;
		}
	}
	assert(s->n_asides < s->asides_capacity);
	s->asides[s->n_asides] = *aside;
	s->asides[s->n_asides++].dirty = true;
}

int asides_write(struct store *s)
{
	for (size_t i = 0; i < s->n_asides; i++) {
		const struct aside *a = &s->asides[i];
		const int64_t columns[] = {a->sink, a->stream, (int64_t)a->first_seq,
					   (int64_t)a->last_seq, a->how};
		int r;

		if (!a->dirty)
			continue;
		r = sql_put(s, SQL_PUT_ASIDE, columns, ARRAY_SIZE(columns));
		if (r != 0)
			return r;
	}
	return 0;
}

uint64_t aside_count(const struct store *s, uint32_t sink, uint32_t stream, enum aside_how how)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->n_asides; i++) {
		const struct aside *a = &s->asides[i];

		if (a->sink == sink && a->stream == stream && a->how == how)
			n += stream_count_between(stream_of(s, stream), a->first_seq, a->last_seq);
	}
	return n;
}

uint64_t aside_until(const struct store *s, uint32_t sink, uint32_t stream, uint64_t seq)
{
	for (size_t i = 0; i < s->n_asides; i++) {
		const struct aside *a = &s->asides[i];

		if (a->sink == sink && a->stream == stream && a->first_seq <= seq &&
		    a->last_seq >= seq)
			return a->last_seq;
	}
	return 0;
}

uint64_t aside_next(const struct store *s, uint32_t sink, uint32_t stream, uint64_t seq)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < s->n_asides; i++) {
		const struct aside *a = &s->asides[i];

		if (a->sink == sink && a->stream == stream && a->first_seq > seq)
			next = MIN(next, a->first_seq);
	}
	return next;
}

/* What begins first, behind `seq`, of what is set aside so at any sink. */
static bool next_so(const struct store *s, uint32_t stream, enum aside_how how, uint64_t seq,
		    struct aside *ret)
{
	bool found = false;

	for (size_t i = 0; i < s->n_asides; i++) {
		const struct aside *a = &s->asides[i];

		if (a->stream != stream || a->how != how || a->last_seq <= seq ||
		    (found && a->first_seq >= ret->first_seq))
			continue;
		*ret = *a;
		found = true;
	}
	if (found && ret->first_seq <= seq)
		ret->first_seq = stream_seq_after(stream_of(s, stream), seq);
	return found;
}

uint64_t aside_lost_between(const struct store *s, uint32_t stream, uint64_t first, uint64_t last)
{
	const struct stream_state *st = stream_of(s, stream);
	struct aside a = {.last_seq = first - 1};
	uint64_t n = 0;

	while (st->salvage_lost > 0 && next_so(s, stream, ASIDE_LOST, a.last_seq, &a) &&
	       a.first_seq <= last)
		n += stream_count_between(st, a.first_seq, MIN(a.last_seq, last));
	return n;
}

/* What was lost and is set aside nowhere was lost to all: a store of before it was set aside has such. */
uint64_t aside_lost_at(const struct store *s, uint32_t sink, uint32_t stream)
{
	uint64_t lost = stream_of(s, stream)->salvage_lost, known;

	if (lost == 0)
		return 0;
	known = aside_lost_between(s, stream, 1, UINT64_MAX);
	return lost - MIN(lost, known) + aside_count(s, sink, stream, ASIDE_LOST);
}

uint64_t aside_seq_at(const struct store *s, uint32_t stream, uint64_t k)
{
	const struct stream_state *st = stream_of(s, stream);
	uint64_t seq = stream_seq_at(st, k), lost = 0, n;

	while (seq != 0 && (n = aside_lost_between(s, stream, 1, seq)) != lost) {
		lost = n;
		seq = stream_seq_at(st, k + lost);
	}
	return seq;
}

static int set_lost_aside(struct store *s, uint32_t sink, uint32_t stream)
{
	struct aside a = {0};

	while (next_so(s, stream, ASIDE_LOST, a.last_seq, &a)) {
		int r = asides_reserve(s, 1);

		if (r != 0)
			return r;
		a.sink = sink;
		aside_add(s, &a);
	}
	return 0;
}

/* What begins first, behind `seq`, of what moved away or was lost. */
static bool next_gone(const struct store *s, uint32_t stream, uint64_t seq, struct aside *ret)
{
	struct aside lost;
	bool moved = next_so(s, stream, ASIDE_MOVED, seq, ret);

	if (!next_so(s, stream, ASIDE_LOST, seq, &lost) ||
	    (moved && ret->first_seq <= lost.first_seq))
		return moved;
	*ret = lost;
	return true;
}

int aside_pass_gone(struct store *s, uint32_t sink, uint32_t stream)
{
	const struct stream_state *st = stream_of(s, stream);
	struct cursor_state *c = cursor_of(s, sink, stream);
	struct aside a = {0};
	int r = set_lost_aside(s, sink, stream);

	while (r == 0 && next_gone(s, stream, c->seq, &a)) {
		/* Where its first lies in the log nobody noted: it is looked for from the beginning. */
		r = outbox_row_until(s, sink, stream, stream_seq_before(st, a.first_seq), 0);
		if (r == 0)
			r = asides_reserve(s, 1);
		if (r != 0)
			return r;
		if (a.how == ASIDE_MOVED) {
			a.sink = sink;
			a.how = ASIDE_EXEMPT;
			c->exempt += stream_count_between(st, a.first_seq, a.last_seq);
			aside_add(s, &a);
		}
		cursor_move(c, a.last_seq, 0);
		s->force = true;
	}
	return r;
}

bool outbox_has_asides(const struct store *s, uint32_t sink, uint32_t stream)
{
	return aside_next(s, sink, stream, 0) != UINT64_MAX;
}
