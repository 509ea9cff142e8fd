/*
 * `vitald cleanup`: the daily care of the store, in two steps.
 *
 *    look over   the whole file, by reading: seconds on a large store, so this process does it and no
 *                owner's loop, beside a daemon at work as well as without one
 *    clean up    what is old goes (store/cleanup.c), a slice in each turn of the loop; a daemon at
 *                work is asked to
 *
 * Of a store that is damaged nothing is deleted. It is condemned: a daemon at work sees that and ends,
 * and the one that starts sets the store aside and salvages it.
 *
 * A reader keeps the WAL from being cut off, and at its cap new samples would be refused. Ten straps
 * with ECG in an outage fill it in a quarter of an hour (4.5 KB a second, measured), so it is given up
 * after a third of that; SQLite 3.40 asks between its steps only, of which the walk over the trees is
 * one.
 */
#include "background.h"

#include "daemon.h"
#include "model/catalog.h"
#include "model/config.h"
#include "store/cleanup.h"
#include "store/copy.h"
#include "store/salvage.h"
#include "util/human.h"
#include "util/log.h"

#include <stdio.h>

#define LOOK_OVER_MAX (300 * USEC_PER_SEC)
#define SHOW_EVERY    (200 * USEC_PER_MSEC)

struct looking {
	struct background *b;
	usec_t began, shown;
};

static bool on_looking(void *userdata, unsigned thousandths)
{
	struct looking *l = userdata;
	usec_t now = clock_boot_usec();
	char age[HUMAN_SIZE];

	if (now >= l->shown + SHOW_EVERY) {
		l->shown = now;
		(void)snprintf(l->b->progress, sizeof(l->b->progress), "looking it over, %s",
			       human_duration(now - l->began, age)); /* fits */
		background_show(l->b);
	}
	return now < l->began + LOOK_OVER_MAX;
}

static int condemn(const struct background *b, const char *why)
{
	const char *dir = b->config->state_dir;

	log_event(LOG_ERR, CATALOG_STORE_DAMAGED, NULL,
		  "Cleanup: the store in %s is damaged: %s; nothing was deleted, vitald sets it "
		  "aside",
		  dir, why);
	if (salvage_condemn(dir, why) < 0)
		log_error("Cannot write %s/%s: vitald sets it aside when it meets the damage", dir,
			  SALVAGE_MARK);
	return EXIT_STORE;
}

static int look_over(struct background *b)
{
	struct looking l = {.b = b, .began = clock_boot_usec()};
	char why[256] = "";
	int r = copy_check(b->config->state_dir, NULL, false, on_looking, &l, why);

	background_hide(b);
	if (r == STORE_E_CORRUPT)
		return condemn(b, why);
	if (r == COPY_E_STOPPED)
		log_notice("Cleanup: the store could not be looked over within five minutes; "
			   "`vitalctl check` takes its time");
	return EXIT_SUCCESS; /* whatever else there is, who opens it says it */
}

struct care {
	struct cleanup *cleanup;
	sd_event_source *slice;
	int result; /* of the last slice */
};

static int on_slice(sd_event_source *source, void *userdata)
{
	struct background *b = userdata;
	struct care *c = b->work;

	c->result = cleanup_step(c->cleanup);
	if (c->result != STORE_E_MORE)
		background_end(b, c->result ? store_problem(b->store) : NULL);
	return 0;
}

static int begin(struct background *b)
{
	const struct cleanup_rules rules = {
		.retention = b->config->retention,
		.wall_us = clock_wall_usec(),
		.synchronised = clock_read(b->config->trust_clock).synchronised};
	struct care *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	b->work = c;
	c->result = STORE_E_MORE;
	r = cleanup_new(b->store, &rules, &c->cleanup);
	if (r == 0)
		r = sd_event_add_defer(b->event, &c->slice, on_slice, b);
	if (r >= 0)
		r = sd_event_source_set_enabled(c->slice, SD_EVENT_ON);
	if (r >= 0) /* signals, and a daemon that wants the store, come first */
		r = sd_event_source_set_priority(c->slice, SD_EVENT_PRIORITY_IDLE);
	return r < 0 ? r : 0;
}

static void measure(struct background *b)
{
	const struct care *c = b->work;
	struct buf words = {0};

	if (!c || !c->cleanup)
		return;
	cleanup_words(c->cleanup, &words);
	buf_u8(&words, 0);
	if (!words.failed)
		(void)snprintf(b->progress, sizeof(b->progress), "%s", (const char *)words.data);
	buf_done(&words);
}

static void end(struct background *b)
{
	struct care *c = b->work;

	if (!c)
		return;
	b->result = c->result;
	sd_event_source_disable_unref(c->slice);
	cleanup_free(c->cleanup);
	free(c);
	b->work = NULL;
}

static int summarise(const struct background *b)
{
	bool whole = b->result == 0, failed = !whole && b->result != STORE_E_MORE;

	log_event(failed ? LOG_ERR : LOG_NOTICE, CATALOG_CLEANUP, NULL, "Cleanup: %s%s%s",
		  b->progress, b->problem[0] ? "; it ended early because " : "", b->problem);
	if (failed)
		return b->result == STORE_E_CORRUPT ? EXIT_STORE : EXIT_FAILURE;
	return whole || b->stopped ? EXIT_SUCCESS : EXIT_BUSY;
}

const struct duty duty_cleanup = {
	.name = "cleanup",
	.verb = "clean up",
	.catalog = CATALOG_CLEANUP,
	.ask = ASK_CLEANUP,
	.look_over = look_over,
	.begin = begin,
	.end = end,
	.measure = measure,
	.summarise = summarise,
};
