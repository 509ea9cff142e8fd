/*
 * Admission: a record gets its place (id, seq), its time is frozen or left for a clock segment, and
 * a slot of the tail is published. From that store on it survives this process.
 *
 * What cannot be taken (a full disk, the size limit) is shed: it gets no number, is counted, and
 * opens an episode; the first record that is taken again is preceded by a gap record that says from
 * when, until when, and how many.
 */
#include "store/store.h"

#include "store/pack.h"
#include "store/state.h"

#define MARK_EVERY (30 * USEC_PER_SEC) /* two marks: the newest 30 to 60 s */

enum { KEEP_MAX = 64 };

static int publish(struct store *s, struct record *r, usec_t now)
{
	struct slot slot = {.id = r->id,
			    .seq = r->seq,
			    .boot_us = r->boot_us,
			    .offset_us = r->offset_us,
			    .heard_us = (int64_t)now,
			    .stream = r->stream,
			    .clk = r->clk};
	int e;

	buf_reset(&s->scratch);
	record_pack(r, &s->scratch);
	if (s->scratch.failed)
		return -ENOMEM;
	slot.n_payload = (uint16_t)s->scratch.size;
	e = tail_append(s->tail, &slot, s->scratch.data, s->log_pos);
	if (e != TAIL_E_FULL)
		return e;
	/*
	 * Full of what is not in the log: this is the moment to put it there. On a disk that just
	 * failed not again for each record: the loop would do nothing else.
	 */
	if (now < s->retry_at || store_commit(s, now) != 0)
		return TAIL_E_FULL;
	return tail_append(s->tail, &slot, s->scratch.data, s->log_pos);
}

static void remember(struct store *s, struct stream_state *st, const struct record *r, usec_t now)
{
	if (st->marks[1].heard_us == 0 || now >= st->marks[1].heard_us + MARK_EVERY) {
		st->marks[0] = st->marks[1];
		st->marks[1] = (struct mark){now, stream_last_seq(st), r->id - 1};
	}
	st->gaps += r->type == RECORD_GAP && r->gap.reason != GAP_BACKFILLED;
	if (r->clk == CLK_PENDING) {
		s->pending_since = MIN(s->pending_since, now);
		s->pending_until = MAX(s->pending_until, r->boot_us);
	} else if (r->boot_us >= st->last_boot_us) { /* else a memory told it */
		st->last_boot_us = r->boot_us;
		st->last_wall_us = record_wall_us(r);
	}
}

static void freeze_clock(const struct store *s, struct record *r)
{
	r->clk = s->clock_known ? CLK_UTC : CLK_PENDING;
	r->offset_us = s->clock_known ? s->clock.offset_us : 0;
}

static int admit(struct store *s, struct record *r, usec_t now)
{
	struct stream_state *st = stream_of(s, r->stream);
	uint64_t last = stream_last_seq(st);
	uint64_t n = seq_run(last) == s->run.number ? (last & SEQ_N_MAX) + 1 : 1;
	int e;

	if (n > SEQ_N_MAX)
		return -EOVERFLOW; /* 268 million in one run: the owner restarts and goes on */
	r->id = s->next_id;
	r->seq = seq_make(s->run.number, n);
	freeze_clock(s, r);
	e = stream_reserve_run(st); /* a number that is in the ring must not be given again */
	if (e == 0)
		e = publish(s, r, now);
	if (e != 0)
		return e;
	s->next_id++;
	remember(s, st, r, now);
	return stream_reach(st, s->run.number, n);
}

/* The end of an episode of shedding is a record like any other. */
static int admit_episode(struct store *s, uint32_t stream, int64_t until_us, usec_t now)
{
	struct stream_state *st = stream_of(s, stream);
	struct record gap = {.stream = stream,
			     .type = RECORD_GAP,
			     .boot_us = st->episode_from_us,
			     .gap = {.reason = GAP_STORE_FULL,
				     .n = (uint32_t)MIN(st->episode, UINT32_MAX),
				     .duration_us = MAX(until_us - st->episode_from_us, 0)}};
	int r = admit(s, &gap, now);

	if (r == 0)
		st->episode = 0;
	return r;
}

static int shed(struct stream_state *st, const struct record *r)
{
	if (st->episode++ == 0)
		st->episode_from_us = r->boot_us;
	st->shed++;
	st->dirty = true;
	return STORE_E_FULL;
}

/* By the size limit: what comes in waves first, then all. */
static bool refuses(const struct store *s, const struct stream_state *st)
{
	return s->full >= 2 || (s->full == 1 && kind_is_wave(st->info.kind));
}

int store_admit(struct store *s, struct record *r, usec_t now)
{
	struct stream_state *st = stream_of(s, r->stream);
	int e;

	assert(!st->old);
	s->latest = MAX(s->latest, now);
	if (refuses(s, st))
		return shed(st, r);
	if (st->episode > 0) {
		e = admit_episode(s, r->stream, r->boot_us, now);
		if (e != 0)
			return e == TAIL_E_FULL ? shed(st, r) : e;
	}
	e = admit(s, r, now);
	return e == TAIL_E_FULL ? shed(st, r) : e;
}

/*
 * A wearable whose new firmware nobody knows sends them all day: as hurried as a record, they would be a
 * commit every few seconds, for bytes that are only looked at when somebody asks.
 */
int store_keep_undecoded(struct store *s, const struct undecoded *u, usec_t now)
{
	struct keep *k = calloc(1, sizeof(*k)), **end = &s->keep;

	s->undecoded++;
	if (!k)
		return -ENOMEM;
	k->u = *u;
	k->u.data = malloc(u->size ? u->size : 1);
	if (!k->u.data) {
		free(k);
		return -ENOMEM;
	}
	memcpy((void *)k->u.data, u->data, u->size);
	if (s->n_keep == 0)
		s->keep_since = now;
	if (s->n_keep == KEEP_MAX)
		keep_drop_oldest(s);
	while (*end)
		end = &(*end)->next;
	*end = k;
	s->n_keep++;
	return 0;
}

int store_tell_shed(struct store *s, usec_t now)
{
	bool told = false;
	int r = 0;

	if (s->retry_at != 0)
		return STORE_E_FULL;
	for (uint32_t i = 1; r == 0 && i <= s->n_streams; i++) {
		if (stream_of(s, i)->episode == 0 || refuses(s, stream_of(s, i)))
			continue;
		r = admit_episode(s, i, (int64_t)now, now);
		told = true;
	}
	if (r != 0)
		return r == TAIL_E_FULL ? STORE_E_FULL : r;
	return told ? 0 : STORE_E_NOTHING;
}
