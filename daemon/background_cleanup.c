/*
 * `vitald cleanup`: the daily care of the store (store/cleanup.c), a slice in each turn of the
 * loop. Unlike the daemon it looks over the whole file first: it has nobody to listen to meanwhile.
 */
#include "background.h"

#include "daemon.h"
#include "model/catalog.h"
#include "model/config.h"
#include "store/cleanup.h"
#include "util/log.h"

#include <stdio.h>

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
	const struct cleanup_rules rules = {.retention = b->config->retention,
					    .wall_us = clock_wall_usec(),
					    .synchronised =
						    clock_read(b->config->trust_clock).synchronised,
					    .check = true};
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
	.begin = begin,
	.end = end,
	.measure = measure,
	.summarise = summarise,
};
