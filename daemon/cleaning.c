/*
 * Cleaning up while wearables are heard: a slice is some milliseconds, and has the lowest priority.
 * The whole file is not looked over here, because that blocks for as long as it takes: `vitald
 * cleanup` does it before it asks for this, and `vitalctl check`, in processes of their own.
 */
#include "cleaning.h"

#include "model/catalog.h"
#include "store/cleanup.h"
#include "util/log.h"

#define EVERY (86400 * USEC_PER_SEC)
#define FIRST (1800 * USEC_PER_SEC) /* after the start: there is enough to do then */

struct cleaning {
	sd_event *event;
	struct store *store;
	const struct config *config;
	struct cleanup *cleanup; /* NULL: not at it */
	sd_event_source *slice;
	usec_t due;
};

struct cleaning *cleaning_free(struct cleaning *c)
{
	if (!c)
		return NULL;
	sd_event_source_disable_unref(c->slice);
	c->cleanup = cleanup_free(c->cleanup);
	free(c);
	return NULL;
}

static void tell(const struct cleaning *c, int r)
{
	struct buf words = {0};

	cleanup_words(c->cleanup, &words);
	buf_u8(&words, 0);
	if (r != 0)
		log_event(LOG_ERR, CATALOG_CLEANUP, NULL, "Cleanup ended early: %s",
			  store_problem(c->store));
	else if (!words.failed)
		log_event(LOG_NOTICE, CATALOG_CLEANUP, NULL, "Cleanup: %s",
			  (const char *)words.data);
	buf_done(&words);
}

static int on_slice(sd_event_source *source, void *userdata)
{
	struct cleaning *c = userdata;
	int r = cleanup_step(c->cleanup);

	if (r == STORE_E_MORE)
		return 0;
	(void)sd_event_source_set_enabled(source, SD_EVENT_OFF); /* a valid one */
	tell(c, r);
	c->cleanup = cleanup_free(c->cleanup);
	return 0;
}

int cleaning_new(sd_event *event, struct store *store, const struct config *config,
		 struct cleaning **ret)
{
	_cleanup_(cleaning_freep) struct cleaning *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->event = event;
	c->store = store;
	c->config = config;
	c->due = clock_boot_usec() + FIRST;
	r = sd_event_add_defer(event, &c->slice, on_slice, c);
	if (r >= 0)
		r = sd_event_source_set_enabled(c->slice, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_source_set_priority(c->slice, SD_EVENT_PRIORITY_IDLE);
	if (r < 0)
		return r;
	*ret = TAKE(c);
	return 0;
}

void cleaning_set_config(struct cleaning *c, const struct config *config)
{
	c->config = config;
}

int cleaning_start(struct cleaning *c)
{
	const struct cleanup_rules rules = {
		.retention = c->config->retention,
		.wall_us = clock_wall_usec(),
		.synchronised = clock_read(c->config->trust_clock).synchronised};
	int r;

	c->due = clock_boot_usec() + EVERY;
	if (c->cleanup)
		return 0;
	r = cleanup_new(c->store, &rules, &c->cleanup);
	return r == 0 ? sd_event_source_set_enabled(c->slice, SD_EVENT_ON) : r;
}

void cleaning_tick(struct cleaning *c, usec_t now)
{
	if (c->config->timers && now >= c->due && cleaning_start(c) < 0)
		log_error("Cleaning up cannot begin: out of memory");
}
