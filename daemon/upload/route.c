/*
 * One sink, from the moment it is configured: what it is made of, and what may happen to it from
 * outside.
 *
 *	new records       route_kick       what is new may go, after `linger`
 *	wake, return      route_wake, ...  waits and holds end: everything may be tried again
 *	new names         route_renamed    it is greeted once more, and tried
 *	its url accepted  route_accept     what held it ends
 *	a comparison      route_reconcile  what it lacks is owed again
 *
 * None of them sends: they say what may go from now on, and move the timer. What goes next is
 * decided in turn.c, what an answer means for it in settle.c; both know this struct, and neither
 * calls back.
 */
#include "upload/route.h"

#include "model/catalog.h"
#include "store/address.h"
#include "store/register.h"
#include "upload/turn.h"
#include "util/log.h"

#include <stdio.h>

#define YOUNG_BOOT (20 * 60 * USEC_PER_SEC) /* a power cut ended; routers take their time, too */

enum { SPREAD = 4 }; /* times backoff_min: 8 s, 25 requests a second of 200 hubs */

/* Missed data */

static bool on_reconcile_asks(void *userdata)
{
	const struct route *r = userdata;

	return health_is_up(&r->health);
}

static void on_reconcile_event(void *userdata, const struct sync_event *e)
{
	const struct route *r = userdata;

	if (r->handler->event)
		r->handler->event(r->handler->userdata, e);
}

static void on_reconcile_found(void *userdata)
{
	struct route *r = userdata;

	r->background = true; /* it is part of it */
	turn_by(r, turn_now(r));
}

static void on_reconcile_ended(void *userdata)
{
	struct route *r = userdata;
	struct reconcile_state state;

	turn_at(r, turn_now(r));
	reconcile_state(r->reconcile, &state);
	if (r->handler->reconciled)
		r->handler->reconciled(r->handler->userdata, &state);
}

/* Making and breaking */

static int open_http(struct route *r)
{
	struct http_options o = {
		.url = r->sink->url,
		.ca_file = r->sink->ca_file,
		.client_cert = r->sink->client_cert,
		.client_key = r->sink->client_key,
		.proxy = r->sink->proxy,
		.interface = r->sink->interface,
	};

	return http_new(r->event, &o, &r->http);
}

/* Another server under the same name would miss what this one has confirmed. */
static int know_address(struct route *r, usec_t now)
{
	char known[ADDRESS_SIZE], field[48], reason[sizeof(r->health.reason)];
	int q = store_sink_address(r->store, r->number, r->sink->url, known);

	r->elsewhere = q == STORE_E_OTHER;
	if (!r->elsewhere)
		return q;
	(void)snprintf(reason, sizeof(reason),
		       "its url was changed, it was %.110s; `vitalctl anchors "
		       "accept %s` if it is the same server",
		       known, r->sink->name);
	(void)snprintf(field, sizeof(field), "SINK=%s", r->sink->name); /* 32 at most */
	log_event(
		LOG_ERR, CATALOG_SINK_MOVED, LOG_FIELDS(field),
		"sink %s has another url than records were confirmed at (%.200s): nothing is sent "
		"until that is accepted",
		r->sink->name, known);
	(void)health_hold(&r->health, now, reason, "", PROBE_SELDOM); /* nothing is tried */
	return 0;
}

static int open_store(struct route *r, usec_t now)
{
	int q;

	q = register_sink(r->store, r->sink->name, r->sink->required,
			  r->sink->from == CONFIG_FROM_NOW, &r->number);
	if (q == 0)
		q = know_address(r, now);
	if (q < 0)
		return q;
	if (r->drain)
		outbox_hurry(r->store, r->number, false);
	/* What an earlier run left; before the first record of this one, which goes at once. */
	q = outbox_reopen(r->store, r->number, now);
	return q < 0 ? q : 0;
}

/* Beside an owner that hangs nothing goes out that the server has already. */
static int open_reconcile(struct route *r, usec_t now)
{
	const struct reconcile_options o = {
		.event = r->event,
		.store = r->store,
		.number = r->number,
		.config = r->config,
		.sink = r->sink,
		.token = &r->token,
		.by_itself = !r->drain && r->config->reconcile && r->config->timers,
		.userdata = r,
		.is_up = on_reconcile_asks,
		.event_told = on_reconcile_event,
		.found = on_reconcile_found,
		.ended = on_reconcile_ended,
	};
	int q = reconcile_new(&o, now, &r->reconcile);

	if (q == 0 && !store_is_owner(r->store))
		reconcile_ask(r->reconcile, SCOPE_UNSENT);
	return q;
}

/*
 * When the power or the network of a town comes back, all of its hubs see it in the same second,
 * and nobody's backoff has drawn a lot yet.
 */
static usec_t spread(struct route *r)
{
	usec_t within = MIN(SPREAD * r->config->backoff_min, r->config->backoff_max);

	return backoff_spread(&r->health.backoff, within);
}

int route_init(struct route *r, const struct route_options *o)
{
	usec_t now;
	int q;

	*r = (struct route){
		.event = sd_event_ref(o->event),
		.store = o->store,
		.config = o->config,
		.sink = o->sink,
		.handler = o->handler,
		.drain = o->drain,
		.background = true,
		.armed = USEC_INFINITY,
		.max_body = o->sink->max_body,
		.on_finished = o->on_finished,
		.finished_userdata = o->userdata,
	};
	now = turn_now(r);
	token_init(&r->token, o->sink->token_file);
	health_init(&r->health, o->sink->name, o->config, now);
	if (!r->drain && now < YOUNG_BOOT)
		r->greet_at = now + spread(r);
	for (size_t i = 0; i < LANE_MAX_; i++) {
		q = lane_init(&r->lanes[i], i == LANE_IMMEDIATE);
		if (q < 0)
			return q;
	}
	q = open_http(r);
	if (q < 0)
		return q;
	q = turn_init(r, now);
	if (q < 0)
		return q;
	q = open_store(r, now);
	return q < 0 ? q : open_reconcile(r, now);
}

void route_done(struct route *r)
{
	r->greeting = http_cancel(r->greeting);
	clocks_done(&r->clocks);
	r->reconcile = reconcile_free(r->reconcile);
	for (size_t i = 0; i < LANE_MAX_; i++)
		lane_done(&r->lanes[i], r->store);
	turn_done(r);
	r->http = http_free(r->http);
	token_done(&r->token);
	r->event = sd_event_unref(r->event);
}

void route_kick(struct route *r, usec_t now)
{
	usec_t wait;

	r->kicked++;
	if (r->drain)
		turn_by(r, now); /* it moved here */
	if (r->drain || !r->config->immediate || r->lanes[LANE_IMMEDIATE].state != LANE_IDLE)
		return; /* its answer sets the timer */
	wait = r->kicked < KICKS_WITHOUT_LINGER ? r->config->linger : 0;
	if (health_is_up(&r->health) && r->greeted)
		turn_by(r, MAX(now + wait, r->not_before[LANE_IMMEDIATE]));
	else if (breaker_ready(&r->health.breaker, now + wait))
		turn_by(r, now + wait);
}

/* Everything may be tried again, `at` or when it was due anyway. */
static void hurry(struct route *r, usec_t at, bool critical)
{
	breaker_hurry(&r->health.breaker, at);
	outbox_hurry(r->store, r->number, critical);
	(void)token_read(&r->token); /* a problem is kept in it */
	clocks_hurry(&r->clocks);
	r->greet_at = at;
	r->greeting_token_read = false;
	r->background = true;
	r->reopen |= !r->config->immediate;
	for (size_t i = 0; i < LANE_MAX_; i++) {
		r->not_before[i] = at;
		r->lanes[i].retry_at = MIN(r->lanes[i].retry_at, at);
	}
	turn_at(r, turn_now(r));
}

void route_wake(struct route *r, bool critical)
{
	hurry(r, turn_now(r), critical);
}

void route_return(struct route *r)
{
	hurry(r, turn_now(r) + spread(r), false);
}

void route_reconcile(struct route *r, bool everything)
{
	reconcile_ask(r->reconcile, everything ? SCOPE_ALL : SCOPE_RECENT);
	turn_by(r, turn_now(r));
}

void route_renamed(struct route *r)
{
	usec_t now = turn_now(r);

	r->greeting = http_cancel(r->greeting);
	r->greeted = false;
	r->greetings = 0;
	r->greet_at = 0;
	if (route_is_idle(r))
		health_unknown(&r->health, now); /* the greeting was the trial */
	breaker_hurry(&r->health.breaker, now);
	turn_at(r, now);
}

int route_accept(struct route *r, bool *ret_changed)
{
	int q = r->elsewhere ? store_sink_moved(r->store, r->number, r->sink->url) : 0;

	if (q < 0)
		return q;
	*ret_changed = r->elsewhere;
	if (!r->elsewhere)
		return 0;
	r->elsewhere = false;
	/* nobody has refused us there yet */
	(void)health_down(&r->health, turn_now(r), "its new url was accepted, and is tried", "",
			  0); /* tried at once */
	route_renamed(r);
	return 0;
}

void route_state(const struct route *r, struct sink_state *ret)
{
	bool retrying = r->lanes[LANE_IMMEDIATE].state == LANE_WAITING &&
			r->lanes[LANE_IMMEDIATE].attempts > 0;

	*ret = r->count;
	reconcile_state(r->reconcile, &ret->reconcile);
	(void)snprintf(ret->name, sizeof(ret->name), "%s", r->sink->name);
	(void)snprintf(ret->reason, sizeof(ret->reason), "%s", r->health.reason);
	(void)snprintf(ret->detail, sizeof(ret->detail), "%s", r->health.detail);
	ret->state = r->health.state;
	ret->elsewhere = r->elsewhere;
	ret->since = r->health.since;
	if (ret->state != SINK_UP && !r->elsewhere)
		ret->next_attempt = r->health.breaker.retry_at;
	else if (retrying)
		ret->next_attempt = r->lanes[LANE_IMMEDIATE].retry_at;
	if (ret->state == SINK_UP && retrying)
		ret->state = SINK_RETRYING;
}
