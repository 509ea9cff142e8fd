/*
 * What a wearable recorded while nobody listened becomes records, where the stream has a gap.
 *
 *	recording   |---- x x x x x x x x x x x x x ----|     name: which stream, begun when
 *	stream       live live ]  gap: link_loss  [ live
 *	taken                   x x x x x x x
 *
 * Only beats in a gap: what was heard is not told again. Times are counted from the name's, interval
 * by interval. A beat that the strap did not find is no interval, so the sum can only be too early;
 * counted back from when the recording was stopped it can only be too late. A beat is taken if both
 * put it into the same gap, UNSURE apart at most: nobody is told a time that is a guess.
 *
 * A process may die at any moment, and a recording be fetched twice. So nothing is remembered of what
 * was taken: the stream itself is read, and what is in it at that time is not taken again. Counted
 * from the name, times are the same whenever they are counted; a clock that is disciplined moves less
 * than SAME_BEAT between two fetches.
 *
 * A slice at a time, each committed, with something that was just heard between two of them, because
 * that is how a start finds out what was heard last (store/past.h). When the last one is on the disk
 * the wearable may forget.
 */
#include "collect_state.h"

#include "model/catalog.h"
#include "store/past.h"
#include "util/log.h"

#include <inttypes.h>
#include <stdio.h>

#define EDGE	  (500 * (int64_t)USEC_PER_MSEC) /* a beat at the end of a gap is in the next value */
#define SAME_BEAT (100 * (int64_t)USEC_PER_MSEC)
#define BEFORE	  (60 * (int64_t)USEC_PER_SEC) /* the first gap begins no earlier than that */
#define UNSURE	  (10 * (int64_t)USEC_PER_SEC)
#define LONGEST	  (8 * 24 * 3600 * (int64_t)USEC_PER_SEC)
#define LIVE_FOR  (10 * USEC_PER_SEC)

enum {
	HOLES_MAX = 256,
	TIMES_MAX = 400000, /* four days of beats */
	BEATS_MAX = 16,	    /* in a second */
};

struct hole {
	int64_t from_us, to_us;
	uint32_t n; /* to be taken in this slice */
};

/* A second of the recording: its last beat, as early and as late as it may have been. */
struct second {
	int64_t early_us, late_us;
	uint16_t bpm, n_rr, rr_1024[BEATS_MAX];
	int hole;
};

struct fill {
	struct hole holes[HOLES_MAX];
	size_t n_holes;
	int64_t *times; /* of what the stream has, ascending once sorted */
	size_t n_times, room;
	bool failed;
	struct second slice[PAST_SLICE];
	size_t n_slice, n_records; /* with the records that announce them */
	bool more;
	int64_t unsure_us; /* how far the two ways of counting are apart, if that is too much */
};

static struct fill *fill_free(struct fill *f)
{
	if (f)
		free(f->times);
	free(f);
	return NULL;
}
DEFINE_CLEANUP(struct fill *, fill_free)

/* --- names: "V1", eight digits of the stream's UUID, UTC in microseconds as sixteen more --- */

static void make_name(const struct stream_info *info, int64_t wall_us,
		      char ret[static RECORDER_NAME_SIZE])
{
	const uint8_t *id = info->id.bytes;

	(void)snprintf(ret, RECORDER_NAME_SIZE, "V1%02X%02X%02X%02X%016" PRIX64, id[0], id[1],
		       id[2], id[3], (uint64_t)wall_us); /* fits */
}

/* False: it is not of this stream. */
static bool read_name(const struct stream_info *info, const char *name, int64_t *ret_wall_us)
{
	char again[RECORDER_NAME_SIZE];
	uint64_t wall_us;

	if (strlen(name) != 26 || sscanf(name + 10, "%16" SCNx64, &wall_us) != 1)
		return false;
	*ret_wall_us = (int64_t)wall_us;
	make_name(info, *ret_wall_us, again);
	return streq(again, name);
}

/* --- what the stream has --- */

static bool can_be_filled(uint8_t reason)
{
	switch ((enum gap_reason)reason) {
	case GAP_LINK_LOSS:
	case GAP_DISCONNECTED:
	case GAP_DAEMON_DOWN:
	case GAP_POWER_CUT:
	case GAP_ADAPTER:
	case GAP_BLUETOOTHD:
	case GAP_SILENT: return true;
	case GAP_MISSING_FRAMES: /* of other kinds */
	case GAP_CLOCK_RESET:
	case GAP_STORE_FULL: /* there was no room for it */
	case GAP_SALVAGE:    /* its stream has another name since, and the recording the old one */
	case GAP_BACKFILLED: break;
	}
	return false;
}

static void note_time(struct fill *f, int64_t wall_us)
{
	size_t room = f->room ? 2 * f->room : 4096;
	int64_t *times;

	if (f->n_times == f->room && f->room < TIMES_MAX) {
		times = reallocarray(f->times, room, sizeof(*times));
		if (times) {
			f->times = times;
			f->room = room;
		}
	}
	f->failed |= f->n_times == f->room;
	if (!f->failed)
		f->times[f->n_times++] = wall_us;
}

static int on_record(void *userdata, const struct record *r)
{
	struct fill *f = userdata;
	int64_t from_us = record_wall_us(r);

	if (r->type == RECORD_HEART_RATE)
		note_time(f, from_us);
	else if (r->type == RECORD_GAP && can_be_filled(r->gap.reason) && f->n_holes < HOLES_MAX)
		f->holes[f->n_holes++] =
			(struct hole){from_us + EDGE, from_us + r->gap.duration_us - EDGE, 0};
	return 0;
}

static int compare_times(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static bool has_near(const struct fill *f, int64_t wall_us)
{
	size_t low = 0, high = f->n_times;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (f->times[middle] <= wall_us - SAME_BEAT)
			low = middle + 1;
		else
			high = middle;
	}
	return low < f->n_times && f->times[low] < wall_us + SAME_BEAT;
}

static int find_hole(const struct fill *f, const struct second *s)
{
	for (size_t i = 0; i < f->n_holes; i++) {
		const struct hole *h = &f->holes[i];

		if (s->early_us > h->from_us && s->early_us < h->to_us && s->late_us > h->from_us &&
		    s->late_us < h->to_us)
			return (int)i;
	}
	return -1;
}

/* --- what the recording has --- */

/* False: the slice is full. */
static bool offer(struct fill *f, struct second *s)
{
	size_t n = f->n_records;

	s->hole = find_hole(f, s);
	if (s->hole < 0 || has_near(f, s->early_us))
		return true;
	n += f->holes[s->hole].n == 0 ? 2 : 1;
	if (n > PAST_SLICE) {
		f->more = true;
		return false;
	}
	f->holes[s->hole].n++;
	f->n_records = n;
	f->slice[f->n_slice++] = *s;
	return true;
}

/* Beats that end in the same second since the beginning are one record, at the last of them. */
static void offer_beats(struct fill *f, const struct recording *r, int64_t began_us,
			int64_t ended_us)
{
	int64_t sum_us = 0, late = 0;
	struct second s = {0};
	uint64_t beats_us = 0;

	for (size_t i = 0; i < r->n_rr; i++)
		sum_us += r->rr_ms[i] * (int64_t)USEC_PER_MSEC;
	if (ended_us)
		late = ended_us - began_us - sum_us;
	if (late > UNSURE || late < -UNSURE) {
		f->unsure_us = late;
		return;
	}
	sum_us = 0;
	for (size_t i = 0; i < r->n_rr; i++) {
		int64_t second = sum_us / (int64_t)USEC_PER_SEC,
			rr_us = r->rr_ms[i] * INT64_C(1000);
		bool apart = (sum_us + rr_us) / (int64_t)USEC_PER_SEC != second;

		if (s.n_rr > 0 && (apart || s.n_rr == BEATS_MAX)) {
			if (!offer(f, &s))
				return;
			s.n_rr = 0;
			beats_us = 0;
		}
		sum_us += rr_us;
		beats_us += (uint64_t)rr_us;
		s.rr_1024[s.n_rr++] = (uint16_t)MIN((r->rr_ms[i] * 1024U + 500) / 1000, UINT16_MAX);
		s.early_us = began_us + sum_us;
		s.late_us = s.early_us + late;
		if (beats_us > 0)
			s.bpm = (uint16_t)MIN((60 * USEC_PER_SEC * s.n_rr + beats_us / 2) /
						      beats_us,
					      UINT16_MAX);
	}
	if (s.n_rr > 0)
		(void)offer(f, &s); /* told in `more` */
}

static void offer_rates(struct fill *f, const struct recording *r, int64_t began_us)
{
	for (size_t i = 0; i < r->n_bpm; i++) {
		struct second s = {.bpm = r->bpm[i]};

		s.early_us = s.late_us =
			began_us + (int64_t)i * r->interval_ms * (int64_t)USEC_PER_MSEC;
		if (s.bpm > 0 && !offer(f, &s))
			return;
	}
}

/* --- from one to the other --- */

static int admit_slice(struct collect *c, uint32_t stream, struct fill *f, int64_t offset_us,
		       usec_t now)
{
	struct record *r = &c->gap;
	int hole = -1, e = 0;

	for (size_t i = 0; e == 0 && i < f->n_slice; i++) {
		const struct second *s = &f->slice[i];
		const struct hole *h = &f->holes[s->hole];

		if (s->hole != hole) {
			*r = (struct record){.stream = stream,
					     .type = RECORD_GAP,
					     .boot_us = h->from_us - EDGE - offset_us,
					     .gap = {.reason = GAP_BACKFILLED,
						     .n = h->n,
						     .duration_us =
							     h->to_us - h->from_us + 2 * EDGE}};
			e = store_admit(c->store, r, now);
			hole = s->hole;
		}
		if (e != 0)
			break;
		*r = (struct record){.stream = stream,
				     .type = RECORD_HEART_RATE,
				     .boot_us = s->early_us - offset_us,
				     .heart_rate = {.bpm = s->bpm,
						    .contact = CONTACT_UNSUPPORTED,
						    .energy_kj = -1,
						    .n_rr = s->n_rr}};
		memcpy(r->heart_rate.rr_1024, s->rr_1024, s->n_rr * sizeof(s->rr_1024[0]));
		e = store_admit(c->store, r, now);
	}
	return e == 0 ? store_commit(c->store, now) : e;
}

static enum recorder_answer no(struct recorder *r, const char *why)
{
	(void)snprintf(r->why, sizeof(r->why), "%s", why);
	return RECORDER_NO;
}

/* The stream, if it is heard just now: gaps are written down when it goes on. */
static const struct flow *live_flow(const struct collect *c, size_t i, usec_t now)
{
	const struct flow *flow = &c->devices[i].flows[KIND_HEART_RATE];

	if (!flow->stream || flow->interrupted || flow->refused || !flow->last_known ||
	    flow->last_us + (int64_t)LIVE_FOR < (int64_t)now)
		return NULL;
	return flow;
}

static enum recorder_answer fill(struct collect *c, size_t i, const struct flow *flow,
				 struct recorder *r, int64_t began_us, int64_t offset_us,
				 usec_t now)
{
	_cleanup_(fill_freep) struct fill *f = calloc(1, sizeof(*f));
	const struct recording *recording = &r->recording;
	int64_t ended_us = recording->ended ? (int64_t)recording->ended + offset_us : 0;
	int e;

	if (!f)
		return no(r, "no memory for what it recorded");
	e = past_read(c->store, flow->stream, began_us - BEFORE, on_record, f);
	if (e != 0 || f->failed)
		return no(r, "what was heard at that time cannot be read");
	qsort(f->times, f->n_times, f->n_times ? sizeof(*f->times) : 1, compare_times);
	if (recording->n_rr > 0)
		offer_beats(f, recording, began_us, ended_us);
	else
		offer_rates(f, recording, began_us);
	if (f->unsure_us)
		log_notice(
			"%s: its recording lasted %lld s longer than its beats: when they were is "
			"not known, they are not taken",
			c->status[i].address, (long long)(f->unsure_us / (int64_t)USEC_PER_SEC));
	if (f->n_slice == 0)
		return RECORDER_YES;
	e = admit_slice(c, flow->stream, f, offset_us, now);
	c->handler.admitted(c->handler.userdata, now);
	if (e < 0)
		c->handler.fault(c->handler.userdata, e);
	if (e != 0)
		return no(r, "the card has no room for what it recorded");
	c->devices[i].filled += f->n_slice;
	c->status[i].backfilled += f->n_slice;
	c->devices[i].slice_us = flow->last_us;
	return f->more ? RECORDER_WAIT : RECORDER_YES;
}

static enum recorder_answer take(struct collect *c, size_t i, const struct flow *flow,
				 struct recorder *r, int64_t offset_us, usec_t now)
{
	struct device *d = &c->devices[i];
	struct stream_status stream;
	enum recorder_answer answer;
	char field[DEVICE_FIELD_SIZE];
	int64_t began_us;

	store_stream_status(c->store, flow->stream, &stream);
	if (!read_name(&stream.info, r->recording.name, &began_us)) {
		log_notice(
			"%s had a recording that is not of this hub and person (\"%s\"): it makes "
			"room for ours",
			c->status[i].address, r->recording.name);
		return RECORDER_YES;
	}
	if (began_us > (int64_t)now + offset_us || began_us + LONGEST < (int64_t)now + offset_us) {
		log_notice("%s: when its recording began is not known, it is not taken",
			   c->status[i].address);
		return RECORDER_YES;
	}
	if (d->slice_us == flow->last_us) /* nothing was heard since the last slice */
		return RECORDER_WAIT;
	answer = fill(c, i, flow, r, began_us, offset_us, now);
	if (answer == RECORDER_YES && d->filled > 0)
		log_event(LOG_NOTICE, CATALOG_BACKFILLED,
			  LOG_FIELDS(device_field(c->status[i].address, field)),
			  "%s (%s): %llu values of its own memory fill gaps", c->status[i].address,
			  c->status[i].name, (unsigned long long)d->filled);
	if (answer == RECORDER_YES)
		d->filled = 0;
	return answer;
}

static enum recorder_answer answer(struct collect *c, size_t i, struct recorder *r, usec_t now)
{
	const struct flow *flow = live_flow(c, i, now);
	struct stream_status stream;
	int64_t offset_us;

	if (!past_offset(c->store, &offset_us))
		return no(r, "its memory waits for the clock of this hub");
	if (!flow)
		return RECORDER_WAIT;
	switch (r->question) {
	case RECORDER_TAKE: return take(c, i, flow, r, offset_us, now);
	case RECORDER_NAME:
		store_stream_status(c->store, flow->stream, &stream);
		make_name(&stream.info, (int64_t)now + offset_us, r->name);
		break;
	case RECORDER_MAY:
	case RECORDER_NOTHING: break;
	}
	return RECORDER_YES;
}

static void show(struct device_status *status, const struct recorder *r)
{
	static const char *const words[] = {
		[RECORDER_IDLE] = "",
		[RECORDER_LOOKING] = "looking",
		[RECORDER_FETCHING] = "fetching",
		[RECORDER_KEEPING] = "keeping",
		[RECORDER_RECORDING] = "recording",
		[RECORDER_OFF] = "",
	};

	if (r->phase == RECORDER_FETCHING)
		(void)snprintf(status->memory, sizeof(status->memory), "fetching %u %%",
			       r->percent);
	else
		(void)snprintf(status->memory, sizeof(status->memory), "%s",
			       r->phase == RECORDER_IDLE ? r->why : words[r->phase]);
}

void collect_recorder(struct collect *c, size_t i, struct recorder *r)
{
	if (r->question != RECORDER_NOTHING)
		r->answer = answer(c, i, r, r->now);
	show(&c->status[i], r);
}
