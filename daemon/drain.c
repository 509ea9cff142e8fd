/*
 * `vitald drain`: sends what waits, with the background's own patience, until nothing is left or
 * nothing works. `vitald reconcile`: the same, and asks each server what it holds, so that what it
 * lacks waits, too. (What they do beside a daemon, and when they end early: background.c.)
 */
#include "background.h"

#include "control/events.h"
#include "daemon.h"
#include "model/catalog.h"
#include "model/config.h"
#include "renew.h"
#include "upload/uploader.h"
#include "util/log.h"

#include <stdio.h>

struct drain {
	struct uploader *uploader;
	struct renew *renew; /* NULL beside a hung owner, who has the names */
	struct events *events;
	uint64_t confirmed;
};

static void on_sync_event(void *userdata, const struct sync_event *e)
{
	struct background *b = userdata;
	struct drain *d = b->work;

	if (e->type == SYNC_BACKGROUND_SUCCESS || e->type == SYNC_IMMEDIATE_SUCCESS)
		d->confirmed += e->count;
	if (d->events)
		(void)events_push(d->events, e); /* a ring in memory: to lose one is no loss */
}

static void on_drained(void *userdata, const char *problem)
{
	background_end(userdata, problem);
}

static void on_identity(void *userdata, enum incarnation_reason reason, const char *detail)
{
	struct drain *d = ((struct background *)userdata)->work;

	renew_want(d->renew, reason, detail);
}

static bool is_more_to_come(void *userdata)
{
	struct drain *d = ((struct background *)userdata)->work;

	return renew_busy(d->renew);
}

static void on_renamed(void *userdata)
{
	struct drain *d = ((struct background *)userdata)->work;

	uploader_renamed(d->uploader);
}

static void on_moved(void *userdata, usec_t now)
{
	struct drain *d = ((struct background *)userdata)->work;

	uploader_kick(d->uploader, now);
}

static void on_fault(void *userdata, int r)
{
	background_end(userdata, strerror(-r));
}

static uint64_t waiting_of(const struct store *s)
{
	uint64_t waiting = 0;

	for (uint32_t sink = 1; sink <= store_sink_count(s); sink++) {
		struct sink_info info;

		store_sink_info(s, sink, &info);
		for (uint32_t i = 1; !info.retired && i <= store_stream_count(s); i++) {
			struct cursor_status c;

			store_cursor_status(s, sink, i, &c);
			waiting += c.waiting;
		}
	}
	return waiting;
}

static int begin(struct background *b)
{
	const struct uploader_handler handler = {.userdata = b,
						 .event = on_sync_event,
						 .drained = on_drained,
						 .identity = b->owner ? on_identity : NULL,
						 .more = b->owner ? is_more_to_come : NULL};
	const struct renew_handler renew = {.userdata = b,
					    .renamed = on_renamed,
					    .moved = on_moved,
					    .fault = on_fault};
	struct drain *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	b->work = d;
	if (b->owner && events_open(b->config->runtime_dir, true, &d->events) != 0)
		d->events = NULL; /* events are a comfort */
	r = b->owner ? renew_new(b->event, b->store, &renew, &d->renew) : 0;
	return r < 0 ? r
		     : uploader_new(b->event, b->store, b->config, UPLOADER_DRAIN, &handler,
				    &d->uploader);
}

static int begin_reconcile(struct background *b)
{
	const struct drain *d;
	int r = begin(b);

	if (r != 0)
		return r;
	d = b->work;
	uploader_reconcile(d->uploader, false);
	return 0;
}

/* Sinks that were not compared to the end; what was found, the uploader has said. */
static int count_incomplete(const struct drain *d)
{
	int n = 0;

	for (size_t i = 0; d->uploader && i < uploader_sink_count(d->uploader); i++) {
		struct reconcile_state state;

		uploader_reconcile_state(d->uploader, i, &state);
		n += !state.ended && !state.unsupported;
	}
	return n;
}

static void end(struct background *b)
{
	struct drain *d = b->work;

	if (!d)
		return;
	b->result = b->duty == &duty_reconcile ? count_incomplete(d) : 0;
	uploader_free(d->uploader);
	renew_free(d->renew);
	events_close(d->events);
	free(d);
	b->work = NULL;
}

static void measure(struct background *b)
{
	const struct drain *d = b->work;

	if (d && d->renew)
		renew_look(d->renew);
	b->done = d ? d->confirmed : 0; /* NULL: there was no memory for it */
	b->todo = b->done + waiting_of(b->store);
	background_count(b);
}

static int exit_status(const struct background *b)
{
	bool left = b->todo > b->done || b->result > 0;

	return left && !b->stopped ? EXIT_BUSY : EXIT_SUCCESS;
}

static void say(const struct background *b, const char *what)
{
	uint64_t waiting = b->todo - b->done;

	log_event(waiting || b->result > 0 ? LOG_WARNING : LOG_NOTICE, b->duty->catalog, NULL,
		  "%s: %llu records confirmed, %llu still wait%s%s%s", what,
		  (unsigned long long)b->done, (unsigned long long)waiting,
		  b->problem[0] ? " because " : "", b->problem,
		  b->owner ? ""
			   : "; the daemon is hung, so nothing was moved: it will send them again");
}

static int summarise(const struct background *b)
{
	say(b, "Drain");
	return exit_status(b);
}

static int summarise_reconcile(const struct background *b)
{
	say(b, b->result > 0 ? "Reconcile, not to the end" : "Reconcile");
	return exit_status(b);
}

const struct duty duty_drain = {
	.name = "drain",
	.verb = "upload",
	.catalog = CATALOG_DRAIN,
	.ask = ASK_SYNC,
	.online = true,
	.beside_hung = true,
	.begin = begin,
	.end = end,
	.measure = measure,
	.summarise = summarise,
};

const struct duty duty_reconcile = {
	.name = "reconcile",
	.verb = "compare",
	.catalog = CATALOG_RECONCILE,
	.ask = ASK_RECONCILE,
	.online = true,
	.beside_hung = true,
	.begin = begin_reconcile,
	.end = end,
	.measure = measure,
	.summarise = summarise_reconcile,
};
