/*
 * One stream of one device, in one of three states:
 *
 *    unknown --first reading--> live --link gone--> interrupted --reading--> live
 *       |                                                |
 *       | known from an earlier start: gap               | gap: link_loss, disconnected, adapter,
 *       | (daemon_down, power_cut)                       | bluetoothd, silent
 *
 * A gap record is admitted when the stream goes on, right before the record that ends it, so that
 * it has both its ends; an interruption that never ends is in `status`, not in the data. While
 * live, the timeline of a sensor that has a clock tells missing frames and resets of that clock;
 * one that has none is timed by arrival.
 */
#include "collect_state.h"

#include "model/catalog.h"
#include "store/register.h"
#include "util/log.h"

#define VOICE_SILENT (10 * USEC_PER_SEC)

static void count_gap(struct collect *c, size_t i)
{
	int64_t day = clock_wall_usec() / (24 * 3600 * (int64_t)USEC_PER_SEC);

	if (c->devices[i].today != day)
		c->status[i].gaps = 0;
	c->devices[i].today = day;
	c->status[i].gaps++;
}

static int admit(struct collect *c, struct record *r, usec_t now)
{
	int e;

	if (c->handler.admitting)
		c->handler.admitting(c->handler.userdata, now);
	e = store_admit(c->store, r, now);
	if (e < 0) {
		c->handler.fault(c->handler.userdata, e);
		return e;
	}
	if (e == STORE_E_FULL && !c->told_full)
		log_event(LOG_ERR, CATALOG_STORE_FULL, NULL,
			  "The store is full: new records are refused and counted as a gap (%s)",
			  store_problem(c->store));
	c->told_full = e == STORE_E_FULL;
	if (e == 0)
		c->handler.admitted(c->handler.userdata, now);
	return e;
}

static void admit_gap(struct collect *c, size_t i, const struct flow *flow, struct gap what,
		      int64_t from_us, int64_t to_us, usec_t now)
{
	struct record *gap = &c->gap;

	gap->stream = flow->stream;
	gap->type = RECORD_GAP;
	gap->boot_us = from_us;
	gap->gap = what;
	gap->gap.duration_us = MAX(to_us - from_us, 0);
	if (admit(c, gap, now) == 0)
		count_gap(c, i);
}

/*
 * Finds the stream; one that was there before this start was interrupted by whatever ended that.
 * > 0: it is new, and the card has no room to write it down.
 */
static int start(struct collect *c, size_t i, enum kind kind, struct flow *flow)
{
	struct stream_status known;
	int r;

	r = register_stream(c->store, c->status[i].address, kind, c->devices[i].subject,
			    &flow->stream);
	if (r == -ENOSPC)
		return 1; /* to end over it would not help: a start has to write as well */
	if (r != 0) {
		c->handler.fault(c->handler.userdata, r < 0 ? r : -EIO);
		return -1;
	}
	if (flow->started)
		return 0;
	flow->started = true;
	store_stream_status(c->store, flow->stream, &known);
	/* A power cut may have taken all its records; that it had some its name tells. */
	if (known.admitted == 0 && flow->stream > c->n_known && !known.before)
		return 0;
	/* Heard in this run already: its place was given away, or its subject came back. */
	flow->interrupted = known.heard ? GAP_LINK_LOSS : c->interrupted;
	flow->last_known = store_last_heard(c->store, flow->stream, &flow->last_us);
	return 0;
}

/* No stream to count it in yet: remembered here, and told once there is one. */
static void refuse(struct collect *c, size_t i, struct flow *flow, int64_t from_us)
{
	if (flow->refused++ > 0)
		return;
	flow->refused_from_us = from_us;
	log_event(LOG_ERR, CATALOG_STORE_FULL, NULL,
		  "The card has no room to begin with %s: what it sends is refused until there is "
		  "(%s)",
		  c->status[i].address, store_problem(c->store));
}

/*
 * Before a record that begins at from_us: is there a gap to tell? Returns the flow, NULL when
 * nothing can be admitted.
 */
static struct flow *go_on(struct collect *c, size_t i, enum kind kind, int64_t from_us, usec_t now)
{
	struct flow *flow = &c->devices[i].flows[kind];

	if (flow->stream == 0) {
		int r = start(c, i, kind, flow);

		if (r > 0)
			refuse(c, i, flow, from_us);
		if (r != 0)
			return NULL;
	}
	if (flow->refused)
		admit_gap(c, i, flow, (struct gap){.reason = GAP_STORE_FULL, .n = flow->refused},
			  MIN(flow->refused_from_us, from_us), from_us, now);
	flow->refused = 0;
	if (flow->interrupted)
		admit_gap(c, i, flow, (struct gap){.reason = (uint8_t)flow->interrupted},
			  flow->last_known ? MIN(flow->last_us, from_us) : from_us, from_us, now);
	flow->interrupted = 0;
	return flow;
}

static void tell_timing(struct collect *c, size_t i, const struct flow *flow,
			const struct timing *t, usec_t now)
{
	if (t->kind == TIMING_MISSING)
		admit_gap(c, i, flow, (struct gap){.reason = GAP_MISSING_FRAMES, .n = t->n_missing},
			  t->gap_from_us, t->gap_to_us, now);
	else if (t->kind == TIMING_RESET)
		admit_gap(c, i, flow, (struct gap){.reason = GAP_CLOCK_RESET}, t->gap_from_us,
			  t->gap_to_us, now);
}

/*
 * By the sensor's clock, if it has one, against the bare crystal of ours. Else by arrival: heart
 * rate (2A37) says nothing of when it was, and is late by what the radio took.
 */
static void find_timing(struct device *d, const struct reading *reading, usec_t came,
			struct timing *ret)
{
	struct timeline *timeline = &d->timelines[reading->kind];
	uint32_t dt_ns = reading->nominal_dt_ns;
	int64_t bent_us;

	if (!reading->sensor_ns || !dt_ns) {
		*ret = (struct timing){.kind = TIMING_FIRST,
				       .dt_ns = dt_ns,
				       .first_us =
					       (int64_t)came - (int64_t)((reading->n - 1) *
									 (uint64_t)dt_ns / 1000)};
		return;
	}
	if (timeline->nominal_dt_ns != dt_ns) /* the first one, or it was set to another rate */
		timeline_reset(timeline, dt_ns);
	bent_us = clock_bent_usec();
	timeline_step(timeline, reading->sensor_ns, reading->n, (int64_t)came - bent_us, ret);
	ret->first_us += bent_us;
	ret->gap_from_us += bent_us;
	ret->gap_to_us += bent_us;
}

static void set_dt(struct record *r, uint32_t dt_ns)
{
	if (r->type == RECORD_ECG)
		r->ecg.dt_ns = dt_ns;
	else if (r->type == RECORD_SAMPLES)
		r->samples.dt_ns = dt_ns;
}

/*
 * A wearable may tell the same beats twice, by the standard's service and by its maker's. Whoever
 * spoke first on this link speaks for the kind, until it falls silent.
 */
static bool is_second_voice(const struct collect *c, struct flow *flow, const struct frame *f)
{
	size_t voice = c->protocols[f->characteristic].index + 1;

	if (flow->voice && flow->voice != voice && f->boot_us < flow->spoken + VOICE_SILENT)
		return true;
	flow->voice = voice;
	flow->spoken = f->boot_us;
	return false;
}

void collect_flow_take(struct collect *c, size_t i, const struct reading *reading,
		       const struct frame *f)
{
	struct record *r = reading->record;
	struct timing timing;
	struct flow *flow;

	if (is_second_voice(c, &c->devices[i].flows[reading->kind], f)) {
		c->status[i].duplicates++;
		return;
	}
	find_timing(&c->devices[i], reading, f->boot_us, &timing);
	if (timing.kind == TIMING_DUPLICATE) {
		c->status[i].duplicates++;
		return;
	}
	set_dt(r, timing.dt_ns);
	last_reading_note(&c->status[i].last[reading->kind], r);
	if (r->type == RECORD_HEART_RATE)
		c->status[i].bpm = r->heart_rate.bpm;
	if (!(c->devices[i].wanted & 1U << reading->kind))
		return; /* shown, not kept */
	flow = go_on(c, i, reading->kind, timing.first_us, f->read_us);
	if (!flow)
		return;
	tell_timing(c, i, flow, &timing, f->read_us);
	r->stream = flow->stream;
	r->boot_us = timing.first_us;
	(void)admit(c, r, f->read_us); /* told its handler */
	flow->last_us = timing.first_us + (int64_t)((uint64_t)timing.dt_ns * reading->n / 1000);
	flow->last_known = true;
}

void collect_flow_interrupt(struct device *d, enum gap_reason why)
{
	for (size_t kind = 0; kind < KIND_MAX; kind++)
		if (d->flows[kind].started && !d->flows[kind].interrupted)
			d->flows[kind].interrupted = why;
}
