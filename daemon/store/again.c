/*
 * Looks before a rewind. The count walks over the spans that a rewind would walk over, so that a dry
 * run says neither more nor less than what is done then.
 */
#include "store/again.h"

#include "store/compare.h"

#define SPAN_MOST (UINT64_C(1) << 40) /* numbers at a time: all */

enum {
	SLICE_IDS = 20000,
	SLICES_MAX =
		50, /* a million ids, some tenths of a second on a Pi: the owner waits for it */
};

int again_count(struct store *s, uint32_t sink, uint32_t stream, uint64_t after_seq,
		uint64_t *ret_n)
{
	uint64_t oldest = compare_oldest(s, sink, stream), last = 0, n = 0;
	uint64_t first = MAX(oldest, after_seq == UINT64_MAX ? after_seq : after_seq + 1);
	struct compare_span span = {.last_seq = first - 1};
	_cleanup_(freep) uint64_t *excused = NULL;
	size_t n_excused = 0;
	int r;

	*ret_n = 0;
	if (oldest == 0)
		return 0;
	while (compare_span(s, sink, stream, span.last_seq + 1, SPAN_MOST, &span)) {
		n += compare_count(s, stream, span.first_seq, span.last_seq);
		last = span.last_seq;
	}
	if (n == 0)
		return 0;
	r = compare_excused(s, sink, stream, first, last, &excused, &n_excused);
	if (r == 0)
		*ret_n = n - MIN(n, n_excused);
	return r;
}

struct search {
	int64_t wall_us;
	uint64_t found; /* seq; 0: not yet */
};

static int look(void *userdata, const struct record *r)
{
	struct search *search = userdata;

	if (record_wall_us(r) < search->wall_us)
		return 0;
	search->found = r->seq;
	return 1;
}

int again_since(struct store *s, uint32_t stream, int64_t wall_us, uint64_t *ret_after_seq)
{
	struct cut_range range = {.stream = stream, .first_seq = 1, .last_seq = UINT64_MAX};
	struct search search = {.wall_us = wall_us};
	uint64_t next_id;
	int r = compare_since(s, wall_us, &next_id);

	for (unsigned i = 0; r == 0 && !search.found && next_id != UINT64_MAX; i++) {
		if (i == SLICES_MAX)
			return STORE_E_MORE;
		range.first_id = next_id;
		r = compare_read(s, &range, SLICE_IDS, &next_id, look, &search);
	}
	if (r != 0)
		return r;
	if (!search.found)
		return STORE_E_NOTHING;
	*ret_after_seq = store_before(s, stream, search.found);
	return 0;
}
