/*
 * What is watched is the offset, wall time minus boot time. On Linux both clocks run at the same
 * rate: adjtime(), NTP's slewing, chrony's 8 %, a leap smear bend CLOCK_BOOTTIME just as they bend
 * CLOCK_REALTIME (timekeeping.c: one multiplier for both), so none of them moves the offset. It
 * moves when somebody sets the clock, and at a leap second. Hence
 *
 *	a change of       is
 *	------------------------------------------------------------------------------------------
 *	up to 10 ms       nothing: how well two clocks can be read one after the other, on a busy
 *	                  machine, and half of what sample times may be wrong by (20 ms)
 *	more, at once     a step: noted; from 100 ms on also told, which is what a daemon that steps
 *	                  instead of slewing steps by at least (ntpd 128 ms, timesyncd 400 ms)
 *	more, slowly      nothing Linux does; under a hypervisor that corrects its guests it may be:
 *	                  noted once an hour. Slowly is below 1000 ppm, twice what NTP ever slews
 *
 * Further worth a note: the first look that is synchronised, a sleep, and a day gone by. Notes come
 * in a burst of eight at most, then one a minute, whatever the clock does: a record carries the
 * offset of its own admission, so a note that was left out costs only estimates.
 *
 * While the clock is not synchronised its offset means nothing: what somebody sets by hand then is
 * neither believed nor told. The last offset that was synchronised goes on, as the crystal does.
 */
#include "clock_watch.h"

#define NOISE_US      10000
#define TOLD_US	      100000
#define DRIFT_PPM_MAX 1000
#define SLEEP_MIN     USEC_PER_SEC
#define DRIFT_EVERY   (3600 * USEC_PER_SEC)
#define NOTE_EVERY    (24 * DRIFT_EVERY)
#define BURST_REFILL  (60 * USEC_PER_SEC)
#define RECORD_US     100 /* an offset is read to a few microseconds */

enum { BURST_MAX = 8 };

static bool is_beyond(int64_t difference_us, int64_t limit_us)
{
	return difference_us > limit_us || difference_us < -limit_us;
}

/* At most BURST_MAX at once, then one each BURST_REFILL. */
static bool may_note(struct clock_watch *w, usec_t now)
{
	while (w->n_burst > 0 && now >= w->burst_since + BURST_REFILL) {
		w->n_burst--;
		w->burst_since += BURST_REFILL;
	}
	if (w->n_burst == 0)
		w->burst_since = now;
	if (w->n_burst >= BURST_MAX)
		return false;
	w->n_burst++;
	return true;
}

static bool is_worth_a_note(const struct clock_watch *w, const struct clock_look *look)
{
	usec_t age = look->now - MIN(w->noted_at, look->now);

	if (!w->noted || age >= NOTE_EVERY)
		return true;
	return age >= DRIFT_EVERY &&
	       is_beyond(look->clock.offset_us - w->noted_offset_us, NOISE_US);
}

static int64_t find_step(const struct clock_watch *w, const struct clock_look *look)
{
	int64_t moved_us = look->clock.offset_us - w->offset_us;
	usec_t elapsed = look->now - MIN(w->looked, look->now);
	int64_t limit_us = NOISE_US + (int64_t)(elapsed / (1000000 / DRIFT_PPM_MAX));

	return w->looked && is_beyond(moved_us, limit_us) ? moved_us : 0;
}

void clock_watch_know(struct clock_watch *w, usec_t noted_at, int64_t offset_us)
{
	w->noted = w->ever = true;
	w->noted_at = noted_at;
	w->noted_offset_us = offset_us;
}

bool clock_watch_differs(const struct clock_watch *w, int64_t offset_us)
{
	return is_beyond(offset_us - w->offset_us, RECORD_US);
}

static void note(struct clock_watch *w, const struct clock_look *look, struct clock_news *news)
{
	if (!w->due || !may_note(w, look->now))
		return;
	w->due = false;
	news->note = true;
	clock_watch_know(w, look->now, look->clock.offset_us);
}

/* One look while the clock can be believed. */
static void believe(struct clock_watch *w, const struct clock_look *look, struct clock_news *news)
{
	int64_t step_us = find_step(w, look);

	news->first = !w->looked;
	news->again = w->looked && !w->synchronised;
	/* Before this run, in this boot: a first look, but not the first note. */
	if (!w->looked && w->noted)
		w->due |= is_beyond(look->clock.offset_us - w->noted_offset_us, NOISE_US);
	w->due |= step_us || news->slept_us || is_worth_a_note(w, look);
	note(w, look, news);
	if (news->note && is_beyond(step_us, TOLD_US - 1)) {
		news->step_us = step_us;
		w->last_step_us = step_us;
		w->last_step_at = look->now;
	}
	w->ever = true;
	w->offset_us = look->clock.offset_us;
	w->looked = look->now;
}

struct clock_news clock_watch_look(struct clock_watch *w, const struct clock_look *look)
{
	struct clock_news news = {0};

	if (look->slept_us >= w->slept_us + SLEEP_MIN && w->looked)
		news.slept_us = look->slept_us - w->slept_us;
	w->slept_us = look->slept_us;
	if (look->clock.synchronised)
		believe(w, look, &news);
	else
		news.lost = w->synchronised;
	w->synchronised = look->clock.synchronised;
	return news;
}
