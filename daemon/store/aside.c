/*
 * Ranges below a cursor that are no business of this sink: moved away, or brought here although it had
 * them already. A counter each says how many (in `cursor`); which ones has to be known when a range
 * is sent again, because the server was set back: of those nothing is owed under this name.
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

/* What begins first, behind `seq`, of what moved away at any sink. */
static bool next_moved(const struct store *s, uint32_t stream, uint64_t seq, struct aside *ret)
{
	bool found = false;

	for (size_t i = 0; i < s->n_asides; i++) {
		const struct aside *a = &s->asides[i];

		if (a->stream != stream || a->how != ASIDE_MOVED || a->last_seq <= seq ||
		    (found && a->first_seq >= ret->first_seq))
			continue;
		*ret = *a;
		found = true;
	}
	if (found && ret->first_seq <= seq)
		ret->first_seq = stream_seq_after(stream_of(s, stream), seq);
	return found;
}

int aside_pass_moved(struct store *s, uint32_t sink, uint32_t stream)
{
	const struct stream_state *st = stream_of(s, stream);
	struct cursor_state *c = cursor_of(s, sink, stream);
	struct aside a = {0};

	while (next_moved(s, stream, c->seq, &a)) {
		/* Where its first lies in the log nobody noted: it is looked for from the beginning. */
		int r = outbox_row_until(s, sink, stream, stream_seq_before(st, a.first_seq), 0);

		if (r == 0)
			r = asides_reserve(s, 1);
		if (r != 0)
			return r;
		a.sink = sink;
		a.how = ASIDE_EXEMPT;
		c->exempt += stream_count_between(st, a.first_seq, a.last_seq);
		aside_add(s, &a);
		cursor_move(c, a.last_seq, 0);
		s->force = true;
	}
	return 0;
}

bool outbox_has_asides(const struct store *s, uint32_t sink, uint32_t stream)
{
	return aside_next(s, sink, stream, 0) != UINT64_MAX;
}
