/*
 * Who is at fault when a single record is refused with 400 or 422 and no entry that names it? A bad
 * record is refused while others pass; a bad server refuses them all. So a refused record waits,
 * others of its kind go first, and only when one of them was confirmed and the record is refused
 * again is it given up. Three different ones with no success between them mean the server.
 *
 *	refused -> WAIT -> others of its kind confirmed -> refused -> RECORD
 *	             \---> two others refused, no success ----------> ACCOUNT
 *
 * Lost with the process: then the record is refused once more, which costs one request. When more
 * are under suspicion than the table holds, the oldest starts over, for the same price.
 */
#include "upload/suspects.h"

static struct suspect *find(struct suspects *s, uint32_t stream, uint64_t seq)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->list[i].stream == stream && s->list[i].seq == seq)
			return &s->list[i];
	return NULL;
}

static struct suspect *add(struct suspects *s, unsigned kind, uint32_t stream, uint64_t seq)
{
	struct suspect *one;

	if (s->n < SUSPECTS_MAX) {
		one = &s->list[s->n++];
	} else {
		one = &s->list[s->oldest];
		s->oldest = (s->oldest + 1) % SUSPECTS_MAX;
	}
	*one = (struct suspect){.stream = stream, .seq = seq, .confirmed = s->confirmed[kind]};
	return one;
}

static void drop(struct suspects *s, struct suspect *one)
{
	*one = s->list[--s->n];
	s->oldest = 0;
}

enum suspicion suspects_refused(struct suspects *s, unsigned kind, uint32_t stream, uint64_t seq)
{
	struct suspect *one = find(s, stream, seq);
	unsigned fresh = 0;

	assert(kind < KIND_MAX);
	if (one && s->confirmed[kind] > one->confirmed) {
		drop(s, one);
		return SUSPICION_RECORD;
	}
	if (!one)
		one = add(s, kind, stream, seq);
	one->fresh = true;
	for (unsigned i = 0; i < s->n; i++)
		fresh += s->list[i].fresh;
	return fresh >= SUSPECTS_ACCOUNT ? SUSPICION_ACCOUNT : SUSPICION_WAIT;
}

void suspects_confirmed(struct suspects *s, unsigned kind, uint64_t n)
{
	assert(kind < KIND_MAX);
	if (n == 0)
		return;
	s->confirmed[kind] += n;
	for (unsigned i = 0; i < s->n; i++)
		s->list[i].fresh = false;
}
