/*
 * Windows are counted from the first number of the span, as the server counts them from from_seq.
 * What is in quarantine is seen (it is held here, the server is not alone with it) but not hashed.
 */
#include "upload/tally.h"

#include "sink/sink.h"
#include "util/digest.h"

enum {
	SLICE_BYTES = 256 * 1024, /* of canonical records */
	SLICE_IDS = 8192,	  /* of all streams, looked at on the way to them */
};

struct tally {
	struct store *store;
	uint32_t sink;
	struct digest *digest;
	struct buf canonical;

	struct tally_span span;
	struct cut_range rest; /* still to be read */
	uint64_t *excused;
	size_t n_excused;
	size_t bytes; /* in this slice */
	bool paused;  /* it is full */
	size_t open;  /* window whose digest runs */
	size_t n;
	struct tally_window windows[TALLY_WINDOWS];
};

struct tally *tally_free(struct tally *t)
{
	if (!t)
		return NULL;
	t->digest = digest_free(t->digest);
	buf_done(&t->canonical);
	free(t->excused);
	free(t);
	return NULL;
}

int tally_new(struct store *s, uint32_t sink, struct tally **ret)
{
	_cleanup_(tally_freep) struct tally *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	t->store = s;
	t->sink = sink;
	r = digest_new(&t->digest);
	if (r < 0)
		return r;
	*ret = TAKE(t);
	return 0;
}

int tally_begin(struct tally *t, const struct tally_span *span)
{
	assert((span->last_seq - span->first_seq) / span->width < TALLY_WINDOWS);
	t->span = *span;
	t->rest = (struct cut_range){.stream = span->stream,
				     .first_seq = span->first_seq,
				     .last_seq = span->last_seq,
				     .first_id = span->first_id};
	t->n = (size_t)((span->last_seq - span->first_seq) / span->width + 1);
	t->open = 0;
	memset(t->windows, 0, t->n * sizeof(t->windows[0]));
	free(t->excused);
	t->excused = NULL;
	t->n_excused = 0;
	return compare_excused(t->store, t->sink, span->stream, span->first_seq, span->last_seq,
			       &t->excused, &t->n_excused);
}

/* Is this number one of those in quarantine? */
static bool excuses(const struct tally *t, uint64_t seq)
{
	size_t low = 0, high = t->n_excused;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (t->excused[middle] < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low < t->n_excused && t->excused[low] == seq;
}

static int close_window(struct tally *t)
{
	struct tally_window *w = &t->windows[t->open];

	return w->count ? digest_finish(t->digest, w->sha256) : 0;
}

static int hash(struct tally *t, const struct record *r)
{
	buf_reset(&t->canonical);
	record_canonical(r, &t->canonical);
	if (t->canonical.failed)
		return -ENOMEM;
	t->bytes += t->canonical.size;
	return digest_update(t->digest, t->canonical.data, t->canonical.size);
}

static int count_record(void *userdata, const struct record *r)
{
	struct tally *t = userdata;
	size_t at = (size_t)((r->seq - t->span.first_seq) / t->span.width);
	struct tally_window *w = &t->windows[at];
	int q = 0;

	if (at != t->open) {
		q = close_window(t);
		t->open = at;
	}
	if (q < 0)
		return q;
	if (w->first_seq == 0) {
		w->first_seq = r->seq;
		w->first_id = r->id;
	}
	w->last_seq = r->seq;
	t->rest.first_seq = r->seq + 1;
	t->rest.first_id = r->id;
	if (excuses(t, r->seq)) {
		w->excused++;
		return 0;
	}
	w->count++;
	q = hash(t, r);
	t->paused = t->bytes >= SLICE_BYTES;
	return q < 0 ? q : t->paused;
}

int tally_slice(struct tally *t)
{
	uint64_t next;
	int r;

	t->bytes = 0;
	t->paused = false;
	r = compare_read(t->store, &t->rest, SLICE_IDS, &next, count_record, t);
	if (r == 0 && t->paused && t->rest.first_seq <= t->rest.last_seq)
		return STORE_E_MORE;
	if (r == 0 && !t->paused && next != UINT64_MAX) {
		t->rest.first_id = next;
		return STORE_E_MORE;
	}
	if (r == 0 || r == STORE_E_CLOCK) {
		int q = close_window(t);

		return q < 0 ? q : r;
	}
	return r;
}

uint64_t tally_reached(const struct tally *t, uint64_t *ret_id)
{
	*ret_id = t->rest.first_id;
	return t->rest.first_seq;
}

size_t tally_windows(const struct tally *t, const struct tally_window **ret)
{
	*ret = t->windows;
	return t->n;
}
