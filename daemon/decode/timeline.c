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
 * lower than the offset corrects it at once. For a sensor whose clock is slow the line rises: so
 * the lowest of each window of 60 s replaces the offset at the window's end. A minute has a hundred
 * frames, of which a few come right before their connection event. At 50 ppm, a poor quartz, times
 * are at most 6 ms early and step by 3 ms a minute; at 500 ppm by ten times that. Windows are
 * counted in arrivals: the frames of a burst, which arrive together, cannot fill one. And as no
 * clock drifts faster than 1000 ppm the offset never rises faster, though a link be late for hours.
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
 *	shorter, or backwards, more    RESET        nominal, end at ts = arrival: a new clock
 *
 * A Polar sensor without link and strap goes back to 2019-01-01 within a minute, and forward again
 * when a phone sets its clock: both are RESET. n_missing takes the missing frames to be as long as
 * this one; it is exact up to about ten minutes and 0 where less than half a frame is missing.
 *
 * What can go wrong: the first frame after a connection or a reset has nobody to compare with. If
 * it comes late, its samples are late by as much, until a better one arrives; then times step back.
 */
#include "decode/timeline.h"

#define WINDOW_US	(60 * (int64_t)USEC_PER_SEC)
#define STEP_MAX_NS	(UINT64_C(3600) * 1000000000)
#define RISE_MAX_PPM	1000
#define TOLERANCE_PARTS 20 /* 1/20: 5 % */

static int64_t span_us(uint64_t ns)
{
	return (int64_t)(ns / 1000);
}

static void anchor(struct timeline *t, int64_t offset_us, int64_t boot_us)
{
	t->offset_us = offset_us;
	t->window_offset_us = offset_us;
	t->window_start_us = boot_us;
}

/*
 * The window is over: its lowest offset counts from here on, if a clock can have drifted that far.
 */
static void close_window(struct timeline *t, int64_t boot_us, int64_t offset_us)
{
	int64_t rise_max_us = (boot_us - t->window_start_us) / (1000000 / RISE_MAX_PPM);

	t->offset_us = MIN(t->window_offset_us, t->offset_us + rise_max_us);
	t->window_offset_us = offset_us;
	t->window_start_us = boot_us;
}

static void follow(struct timeline *t, uint64_t ts_ns, int64_t boot_us)
{
	int64_t offset_us = boot_us - span_us(ts_ns);

	if (boot_us - t->window_start_us >= WINDOW_US)
		close_window(t, boot_us, offset_us);
	t->window_offset_us = MIN(t->window_offset_us, offset_us);
	t->offset_us = MIN(t->offset_us, offset_us);
}

static enum timing_kind judge(const struct timeline *t, uint64_t ts_ns, uint32_t n)
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
		return TIMING_MISSING;
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
	*t = (struct timeline){.nominal_dt_ns = nominal_dt_ns};
}

void timeline_step(struct timeline *t, uint64_t ts_ns, uint32_t n, int64_t boot_us,
		   struct timing *ret)
{
	struct timing timing = {.dt_ns = t->nominal_dt_ns};
	int64_t before_us = t->offset_us + span_us(t->last_ns);

	assert(n >= 1);
	timing.kind = judge(t, ts_ns, n);
	if (timing.kind == TIMING_FIRST || timing.kind == TIMING_RESET)
		anchor(t, boot_us - span_us(ts_ns), boot_us);
	else if (timing.kind != TIMING_DUPLICATE)
		follow(t, ts_ns, boot_us);

	if (timing.kind == TIMING_CONTINUES)
		timing.dt_ns = (uint32_t)MIN((ts_ns - t->last_ns) / n, UINT32_MAX);
	timing.first_us = t->offset_us + span_us(ts_ns) - span_us((n - 1) * (uint64_t)timing.dt_ns);
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
