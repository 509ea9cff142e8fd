/*
 * Times for the samples of a stream of PMD frames, from two clocks that do not know each other: the
 * sensor's, which says when the last sample of a frame was taken, and ours, which says when the
 * frame arrived. The sensor's is steady but starts anywhere and drifts; ours is right, but arrivals
 * are late: by a connection interval, by seconds when the radio stalls and hands over a bunch.
 *
 *	arrival - ts
 *	   |      x                       x
 *	   |   x      x   x        burst:  x             x
 *	   | x    x     x    x  x    x      x  x     x
 *	   |x__x____x___________x___________x____x__x______x   <- offset: the least delayed
 *	   +---|   window  |   window  |   window  |-------> arrival
 *
 * No frame arrives before it was measured, so the lowest arrival - ts is nearest to the truth, and
 * a late one says nothing: a bunch of delayed frames gets the times it was taken at. One that is
 * lower than the offset corrects it at once. But the line below is not level: a quartz that is slow
 * by 500 ppm makes it rise by 30 ms a minute, and what was lowest a minute ago would be that much too
 * early. So with each second of the sensor's clock the offset rises by rate + doubt:
 *
 *	rate	how fast the line rises. The lowest point of each 20 s is kept for ten minutes; of all
 *		pairs of them, one on each side of their middle, the two whose line passes lowest
 *		there: no delay lies below that line, and bunches and bad minutes lie far above it
 *	doubt	what rate may be wrong by: 300 ppm until there is one, 200 when it was found over 40 s,
 *		25 over five minutes. While rate is right within doubt the offset is never early; the
 *		price is less patience in waiting for a frame on time
 *
 * When the rate is found anew, the offset is what it would be had we known it from the start. It
 * never rises by more than 1000 ppm, though a link be late for hours: no quartz is that bad. Parts
 * of 20 s are counted in arrivals: the frames of a burst, which arrive together, are one part.
 *
 * 99 of 100 samples are within so many ms of the truth, by a quartz that is off by up to 500 ppm
 * (a model of two hours; in brackets what the least of each minute gives, without rate or doubt):
 *
 *	delays                         2nd minute    to the 10th    later
 *	0 to 50 ms, stalls up to 1 s   12  (56)      4  (57)        4  (57)
 *	a connection each 400 ms       26  (53)      10 (53)        9  (54)
 *	0 to 400 ms                    33  (52)      13 (54)        8  (54)
 *
 * Arrivals are given as clock_bent_usec() bends them back: after a boot NTP may bend our own clock
 * by 5 % for seconds, which no sensor follows.
 *
 * Between frames the sensor's clock alone counts; the rate it promises is only good for a frame
 * that has no neighbour (an H10 promises 130 Hz and delivers 130.045). What a frame is depends on
 * step = its ts - ts of the frame before:
 *
 *	step                           kind         its samples
 *	------------------------------------------------------------------------------------
 *	nothing before                 FIRST        spaced by the nominal rate, end at ts
 *	n samples' worth, within 5 %   CONTINUES    evenly in (last, ts]
 *	0                              DUPLICATE    to be dropped; nothing changes
 *	longer, up to an hour          MISSING      nominal, end at ts
 *	                                            n_missing = round(step / (n * nominal)) - 1
 *	the same, but by arrival there RESET        nominal, end at ts = arrival: a new clock
 *	is no room for half of it
 *	shorter, or backwards, more    RESET        the same
 *
 * A Polar sensor without link and strap goes back to 2019-01-01 within a minute, and forward again
 * when a phone sets its clock: both are RESET. Its quartz stays: the rate is kept. n_missing takes the missing frames to be as long as
 * this one; it is exact up to about ten minutes and 0 where less than half a frame is missing.
 *
 * What can go wrong: the first frame after a connection or a reset has nobody to compare with. If
 * it comes late, its samples are late by as much, until a better one arrives; then times step back.
 */
#include "decode/timeline.h"

#include <math.h>

#define PART_US		(20 * (int64_t)USEC_PER_SEC)
#define STEP_MAX_NS	(UINT64_C(3600) * 1000000000)
#define RISE_MAX	1000e-6
#define DOUBT_MAX	300e-6
#define DOUBT_MIN	25e-6
#define DOUBT_SPAN_US	8000.0 /* how well the lows are known, both ends together */
#define SPAN_MIN_US	40e6
#define JUMP_MIN_US	(1 * (int64_t)USEC_PER_SEC)
#define TOLERANCE_PARTS 20 /* 1/20: 5 % */

static int64_t span_us(uint64_t ns)
{
	return (int64_t)(ns / 1000);
}

/* So much a line rises in this time; none in time that runs back. */
static int64_t rise(double slope, int64_t us)
{
	return us > 0 ? (int64_t)(slope * (double)us) : 0;
}

static int64_t risen(const struct timeline *t, const struct timeline_low *from, int64_t sensor_us)
{
	return from->offset_us + rise(t->rate + t->doubt, sensor_us - from->sensor_us);
}

/* A clock that nothing is known of but this frame; its rate may be. */
static void anchor(struct timeline *t, int64_t sensor_us, int64_t arrival_us)
{
	t->now = t->low = (struct timeline_low){sensor_us, arrival_us - sensor_us};
	t->part_since_us = arrival_us;
	t->n_lows = 0;
}

static double middle(const struct timeline *t)
{
	double sum = 0;

	for (unsigned i = 0; i < t->n_lows; i++)
		sum += (double)(t->lows[i].sensor_us - t->lows[0].sensor_us);
	return sum / t->n_lows;
}

/* The slope of the line through two lows that passes lowest at their middle. */
static double slope_below(const struct timeline *t)
{
	double at = middle(t), lowest = INFINITY, slope = 0;

	for (unsigned i = 0; i < t->n_lows; i++) {
		const struct timeline_low *a = &t->lows[i];
		double ax = (double)(a->sensor_us - t->lows[0].sensor_us);

		for (unsigned j = i + 1; j < t->n_lows; j++) {
			const struct timeline_low *b = &t->lows[j];
			double dx = (double)(b->sensor_us - a->sensor_us);
			double s = (double)(b->offset_us - a->offset_us) / dx;
			double y = (double)(a->offset_us - t->lows[0].offset_us) + s * (at - ax);

			if (dx > 0 && ax <= at && ax + dx > at && y < lowest) {
				lowest = y;
				slope = s;
			}
		}
	}
	return slope;
}

static void learn_rate(struct timeline *t)
{
	double span_us = (double)(t->lows[t->n_lows - 1].sensor_us - t->lows[0].sensor_us);
	double doubt = MAX(DOUBT_MIN, MIN(DOUBT_MAX, DOUBT_SPAN_US / span_us));
	double slope;

	/* Before a reset of the sensor's clock it may have been found over a longer time. */
	if (t->n_lows < 3 || span_us < SPAN_MIN_US || doubt > t->doubt)
		return;
	slope = slope_below(t);
	if (slope > RISE_MAX || slope < -RISE_MAX)
		return; /* the radio, not the quartz */
	t->rate = slope;
	t->doubt = doubt;
}

/* A part is over: what do all of them say? */
static void close_part(struct timeline *t, int64_t sensor_us, int64_t arrival_us)
{
	int64_t offset_us = t->now.offset_us + rise(RISE_MAX, arrival_us - t->part_since_us);

	if (t->n_lows == TIMELINE_LOWS)
		memmove(t->lows, t->lows + 1, --t->n_lows * sizeof(t->lows[0]));
	t->lows[t->n_lows++] = t->low;
	learn_rate(t);
	for (unsigned i = 0; i < t->n_lows; i++)
		offset_us = MIN(offset_us, risen(t, &t->lows[i], sensor_us));
	t->now = (struct timeline_low){sensor_us, offset_us};
	t->part_since_us = arrival_us;
}

static void follow(struct timeline *t, int64_t sensor_us, int64_t arrival_us)
{
	struct timeline_low here = {sensor_us, arrival_us - sensor_us};
	bool over = arrival_us - t->part_since_us >= PART_US;

	t->now = (struct timeline_low){sensor_us, risen(t, &t->now, sensor_us)};
	if (over)
		close_part(t, sensor_us, arrival_us);
	if (over || here.offset_us < t->low.offset_us)
		t->low = here;
	t->now.offset_us = MIN(t->now.offset_us, here.offset_us);
}

/* Frames that the sensor skipped took their time here as well, else it was its clock that jumped. */
static bool leaves_no_room(const struct timeline *t, uint64_t ts_ns, uint32_t n, int64_t arrival_us)
{
	int64_t missing_us = span_us(ts_ns - t->last_ns - (uint64_t)n * t->nominal_dt_ns);
	int64_t jump_us = risen(t, &t->now, span_us(ts_ns)) - (arrival_us - span_us(ts_ns));

	return jump_us > MAX(missing_us / 2, JUMP_MIN_US);
}

static enum timing_kind judge(const struct timeline *t, uint64_t ts_ns, uint32_t n,
			      int64_t arrival_us)
{
	uint64_t step, spacing, nominal = t->nominal_dt_ns;

	if (!t->running)
		return TIMING_FIRST;
	if (ts_ns == t->last_ns)
		return TIMING_DUPLICATE;
	step = ts_ns - t->last_ns;
	if (ts_ns < t->last_ns || step > STEP_MAX_NS)
		return TIMING_RESET;
	spacing = step / n;
	if (spacing * TOLERANCE_PARTS > nominal * (TOLERANCE_PARTS + 1))
		return leaves_no_room(t, ts_ns, n, arrival_us) ? TIMING_RESET : TIMING_MISSING;
	if (spacing * TOLERANCE_PARTS < nominal * (TOLERANCE_PARTS - 1))
		return TIMING_RESET;
	return TIMING_CONTINUES;
}

static uint32_t count_missing(const struct timeline *t, uint64_t ts_ns, uint32_t n)
{
	uint64_t step = ts_ns - t->last_ns, frame = (uint64_t)n * t->nominal_dt_ns;
	uint64_t frames = (step + frame / 2) / frame;

	return frames > 1 ? (uint32_t)MIN(frames - 1, UINT32_MAX) : 0;
}

void timeline_reset(struct timeline *t, uint32_t nominal_dt_ns)
{
	assert(nominal_dt_ns > 0);
	*t = (struct timeline){.nominal_dt_ns = nominal_dt_ns, .doubt = DOUBT_MAX};
}

void timeline_step(struct timeline *t, uint64_t ts_ns, uint32_t n, int64_t arrival_us,
		   struct timing *ret)
{
	struct timing timing = {.dt_ns = t->nominal_dt_ns};
	int64_t before_us = t->now.offset_us + span_us(t->last_ns);

	assert(n >= 1);
	timing.kind = judge(t, ts_ns, n, arrival_us);
	if (timing.kind == TIMING_FIRST || timing.kind == TIMING_RESET)
		anchor(t, span_us(ts_ns), arrival_us);
	else if (timing.kind != TIMING_DUPLICATE)
		follow(t, span_us(ts_ns), arrival_us);

	if (timing.kind == TIMING_CONTINUES)
		timing.dt_ns = (uint32_t)MIN((ts_ns - t->last_ns) / n, UINT32_MAX);
	timing.first_us =
		t->now.offset_us + span_us(ts_ns) - span_us((n - 1) * (uint64_t)timing.dt_ns);
	if (timing.kind == TIMING_MISSING)
		timing.n_missing = count_missing(t, ts_ns, n);
	if (timing.kind == TIMING_MISSING || timing.kind == TIMING_RESET) {
		timing.gap_from_us = before_us;
		timing.gap_to_us = MAX(timing.first_us, before_us);
	}
	t->running = true;
	t->last_ns = ts_ns;
	*ret = timing;
}
