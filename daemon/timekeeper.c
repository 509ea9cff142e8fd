/*
 * When the clock is looked at:
 *
 *	each tick (5 s)      is it synchronised? Is it for the first time? Has clock_wait gone by?
 *	somebody set it      a timer that the kernel cancels then (TFD_TIMER_CANCEL_ON_SET): at once;
 *	                     also on waking up
 *	before each record   the offset only, 0.1 us; one that moved is looked into first
 *
 * So a record that is admitted after a step has the offset after the step, and none has to be
 * rewritten. What is in the store already keeps its time.
 *
 *	not synchronised in this boot   records wait, clock_wait long, then all that are there go as
 *	                                estimates (a clock segment); when it comes, what still waits
 *	                                gets the right time, and a note corrects the others
 *	synchronised                    records carry their offset
 *	no longer                       the same offset goes on: clocks that nobody disciplines drift
 *	                                seconds a day, what somebody sets by hand may be anything
 */
#include "timekeeper.h"

#include "model/catalog.h"
#include "util/human.h"
#include "util/log.h"

#include <stdio.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define FAR_AWAY ((time_t)1 << 33) /* the year 2242 */

struct timekeeper {
	struct store *store;
	const struct config *config;
	struct timekeeper_handler handler;
	sd_event *event;
	int fd; /* cancelled when the clock is set */
	sd_event_source *source;
	struct clock_state clock;
	struct clock_watch watch;
	bool told_unsynced;
};

struct timekeeper *timekeeper_free(struct timekeeper *t)
{
	if (!t)
		return NULL;
	sd_event_source_disable_unref(t->source);
	if (t->fd >= 0)
		(void)close(t->fd); /* a timer */
	sd_event_unref(t->event);
	free(t);
	return NULL;
}

static void say_fault(const struct timekeeper *t, const char *doing)
{
	log_event(LOG_ERR, CATALOG_STORE_TROUBLE, NULL, "Cannot %s: %s", doing,
		  store_problem(t->store));
}

static void note(struct timekeeper *t, usec_t now)
{
	int64_t wall_us = (int64_t)now + t->clock.offset_us;

	if (store_note_clock(t->store, (int64_t)now, wall_us,
			     wall_us - (int64_t)t->config->retention) < 0)
		say_fault(t, "note the clock");
}

/* A step and a sleep are one line each; both are rare, or bounded by the notes they make. */
static void say_news(const struct timekeeper *t, const struct clock_news *news)
{
	char text[HUMAN_SIZE];

	if (news->first || news->again)
		log_notice("The clock is synchronised");
	if (news->lost)
		log_notice("The clock is no longer synchronised: times go on from what was known");
	if (news->slept_us)
		log_notice("The machine slept for %s", human_duration(news->slept_us, text));
	if (news->step_us)
		log_event(LOG_WARNING, CATALOG_CLOCK_STEPPED, NULL,
			  "The clock was set %s by %.3f s: records heard from now on have the new "
			  "time, those before keep theirs",
			  news->step_us > 0 ? "forward" : "back",
			  (double)(news->step_us > 0 ? news->step_us : -news->step_us) / 1e6);
}

static void resolve(struct timekeeper *t, enum clk clk, usec_t now)
{
	if (store_clock_pending_since(t->store) == USEC_INFINITY)
		return;
	if (store_resolve_clock(t->store, clk, now, t->clock.offset_us) != 0)
		say_fault(t, "write a clock segment");
	t->handler.kick(t->handler.userdata, false, now);
}

/* Records wait for the clock for a while (clock_wait), then go as estimates. */
static void wait_for_clock(struct timekeeper *t, usec_t now)
{
	usec_t since = store_clock_pending_since(t->store);

	if (since == USEC_INFINITY || now < since + t->config->clock_wait)
		return;
	if (!t->told_unsynced)
		log_event(LOG_WARNING, CATALOG_CLOCK_UNSYNCED, NULL,
			  "The clock is not synchronised: records go out with estimated times");
	t->told_unsynced = true;
	resolve(t, CLK_EST, now);
}

void timekeeper_look(struct timekeeper *t, usec_t now)
{
	struct clock_look look = {.clock = clock_read(t->config->trust_clock),
				  .now = now,
				  .slept_us = clock_slept_usec()};
	struct clock_news news = clock_watch_look(&t->watch, &look);

	t->clock = look.clock;
	store_set_clock(t->store, &t->clock);
	say_news(t, &news);
	if (news.note)
		note(t, now);
	if (t->clock.synchronised) {
		t->told_unsynced = false;
		resolve(t, CLK_UTC, now);
	} else {
		wait_for_clock(t, now);
	}
	if (news.note || news.first || news.again)
		t->handler.kick(t->handler.userdata, news.first || news.again, now);
}

void timekeeper_freshen(struct timekeeper *t, usec_t now)
{
	if (t->watch.synchronised && clock_watch_differs(&t->watch, clock_offset_usec()))
		timekeeper_look(t, now);
}

const struct clock_state *timekeeper_clock(const struct timekeeper *t)
{
	return &t->clock;
}

const struct clock_watch *timekeeper_watch(const struct timekeeper *t)
{
	return &t->watch;
}

void timekeeper_set_config(struct timekeeper *t, const struct config *config)
{
	t->config = config;
}

static int arm(const struct timekeeper *t)
{
	const struct itimerspec never = {.it_value.tv_sec = FAR_AWAY};

	return timerfd_settime(t->fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0
		       ? -errno
		       : 0;
}

static int on_set(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct timekeeper *t = userdata;
	uint64_t expirations;
	usec_t now = 0;

	(void)!read(fd, &expirations, sizeof(expirations)); /* ECANCELED is the news */
	if (arm(t) < 0)
		log_error("The timer that tells of a new time cannot be set: %s", strerror(errno));
	(void)sd_event_now(t->event, CLOCK_BOOTTIME, &now); /* fails for no clock it knows */
	timekeeper_look(t, now);
	return 0;
}

int timekeeper_new(sd_event *event, struct store *store, const struct config *config,
		   const struct clock_state *clock, const struct timekeeper_handler *handler,
		   struct timekeeper **ret)
{
	_cleanup_(timekeeper_freep) struct timekeeper *t = calloc(1, sizeof(*t));
	struct clock_note noted;
	int r;

	if (!t)
		return -ENOMEM;
	t->event = sd_event_ref(event);
	t->store = store;
	t->config = config;
	t->handler = *handler;
	t->clock = *clock;
	if (store_clock_noted(store, &noted))
		clock_watch_know(&t->watch, (usec_t)noted.boot_us, noted.utc_us - noted.boot_us);
	t->fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (t->fd < 0)
		return -errno;
	r = arm(t);
	if (r == 0)
		r = sd_event_add_io(event, &t->source, t->fd, EPOLLIN, on_set, t);
	if (r < 0)
		return r;
	*ret = TAKE(t);
	return 0;
}
