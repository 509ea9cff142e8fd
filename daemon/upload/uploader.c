/*
 * The uploader is the set of routes, one for each sink that is configured; each drains the same log
 * at its own pace (route.c), and none knows of the others. What a route is made of:
 *
 *	uploader -> route -> turn           what goes next, and when
 *	                  -> lane (twice)   one cut: claim, encode, send
 *	                  -> settle         one answer: confirm, defer, split, quarantine
 *	                  -> health         up, down, held; the breaker and its times
 *	                  -> greeting       GET /v1/streams, once in a run
 *	                  -> reconcile      what the server says it holds, every few hours
 *	                  -> clocks         POST /v1/clocks, when nothing else is to be done
 *	                  -> suspects, token, http
 *
 * The store decides what is owed; nothing here remembers records. If the process dies at any point,
 * what was not settled is sent again, which the server answers with `duplicate`.
 */
#include "upload/uploader.h"

#include "store/register.h"
#include "upload/route.h"

struct uploader {
	struct uploader_handler handler;
	sd_event_source *finished; /* drain: tells the owner, from the loop */
	struct route *routes;
	size_t n_routes;
};

struct uploader *uploader_free(struct uploader *u)
{
	if (!u)
		return NULL;
	for (size_t i = 0; i < u->n_routes; i++)
		route_done(&u->routes[i]);
	sd_event_source_disable_unref(u->finished);
	free(u->routes);
	free(u);
	return NULL;
}

/* Some route has finished, or there is none: when all have, the owner is told. */
static int on_finished_event(sd_event_source *source, void *userdata)
{
	struct uploader *u = userdata;
	const char *problem = NULL;

	for (size_t i = 0; i < u->n_routes; i++) {
		if (!u->routes[i].finished)
			return 0;
		if (!problem && u->routes[i].problem[0])
			problem = u->routes[i].problem;
	}
	if (u->handler.drained)
		u->handler.drained(u->handler.userdata, problem);
	return 0;
}

static void on_route_finished(void *userdata)
{
	struct uploader *u = userdata;

	(void)sd_event_source_set_enabled(u->finished, SD_EVENT_ONESHOT); /* it exists */
}

static int add_routes(struct uploader *u, sd_event *event, struct store *store,
		      const struct config *config, enum uploader_mode mode)
{
	struct route_options o = {
		.event = event,
		.store = store,
		.config = config,
		.handler = &u->handler,
		.drain = mode == UPLOADER_DRAIN,
		.on_finished = on_route_finished,
		.userdata = u,
	};

	u->routes = calloc(config->n_sinks + 1, sizeof(*u->routes));
	if (!u->routes)
		return -ENOMEM;
	for (size_t i = 0; i < config->n_sinks; i++) {
		int r;

		o.sink = &config->sinks[i];
		u->n_routes++; /* also what is half made is undone */
		r = route_init(&u->routes[i], &o);
		if (r < 0)
			return r;
	}
	return register_retire_sinks(store);
}

int uploader_new(sd_event *event, struct store *store, const struct config *config,
		 enum uploader_mode mode, const struct uploader_handler *handler,
		 struct uploader **ret)
{
	_cleanup_(uploader_freep) struct uploader *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	u->handler = *handler;
	r = sd_event_add_defer(event, &u->finished, on_finished_event, u);
	if (r < 0)
		return r;
	if (mode == UPLOADER_DAEMON) {
		r = sd_event_source_set_enabled(u->finished, SD_EVENT_OFF);
		if (r < 0)
			return r;
	}
	r = add_routes(u, event, store, config, mode);
	if (r < 0)
		return r;
	*ret = TAKE(u);
	return 0;
}

void uploader_kick(struct uploader *u, usec_t now)
{
	for (size_t i = 0; i < u->n_routes; i++)
		route_kick(&u->routes[i], now);
}

void uploader_wake(struct uploader *u, bool critical)
{
	for (size_t i = 0; i < u->n_routes; i++)
		route_wake(&u->routes[i], critical);
}

void uploader_return(struct uploader *u)
{
	for (size_t i = 0; i < u->n_routes; i++)
		route_return(&u->routes[i]);
}

int uploader_accept(struct uploader *u, const char *sink, bool *ret_changed)
{
	for (size_t i = 0; i < u->n_routes; i++)
		if (streq(u->routes[i].sink->name, sink))
			return route_accept(&u->routes[i], ret_changed);
	return -ENOENT;
}

void uploader_close(struct uploader *u)
{
	for (size_t i = 0; i < u->n_routes; i++)
		u->routes[i].closing = true;
}

bool uploader_is_sending(const struct uploader *u)
{
	for (size_t i = 0; i < u->n_routes; i++)
		for (size_t k = 0; k < LANE_MAX_; k++)
			if (u->routes[i].lanes[k].call)
				return true;
	return false;
}

void uploader_renamed(struct uploader *u)
{
	for (size_t i = 0; i < u->n_routes; i++)
		route_renamed(&u->routes[i]);
}

size_t uploader_sink_count(const struct uploader *u)
{
	return u->n_routes;
}

void uploader_sink_state(const struct uploader *u, size_t index, struct sink_state *ret)
{
	assert(index < u->n_routes);
	route_state(&u->routes[index], ret);
}

void uploader_reconcile(struct uploader *u, bool everything)
{
	for (size_t i = 0; i < u->n_routes; i++)
		route_reconcile(&u->routes[i], everything);
}

bool uploader_is_reconciling(const struct uploader *u, bool *ret_everything)
{
	bool busy = false;

	*ret_everything = false;
	for (size_t i = 0; i < u->n_routes; i++) {
		busy |= reconcile_is_busy(u->routes[i].reconcile);
		*ret_everything |= reconcile_is_of_all(u->routes[i].reconcile);
	}
	return busy;
}

void uploader_reconcile_state(const struct uploader *u, size_t index, struct reconcile_state *ret)
{
	assert(index < u->n_routes);
	reconcile_state(u->routes[index].reconcile, ret);
}
