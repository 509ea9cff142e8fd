/*
 * What goes to a sink next, and when:
 *
 *	greeting            UP                          DOWN, HELD (health.c)
 *	GET /v1/streams --> immediate lane: linger,     nothing is cut; when the breaker's time is
 *	once a run          cut what is new, send  <--  over, one trial: the most urgent row that is
 *	                    backlog lane: claim         due, small; or, if there is none, or rows
 *	                    rows, send             -->  got a 5xx, what is new
 *
 * All of it is decided in take_turn(), which does one thing and then sets the timer: to now if it found
 * something to do, else to the earliest moment at which there may be something. Whatever happens
 * (an answer, a kick, a wake) only moves the timer. So between two cuts the loop turns once, and
 * straps and commits, which have better priorities, are never kept waiting for more than one cut: at
 * most max_body of JSON (256 KiB) is read, encoded and compressed in a turn.
 *
 * New records wait for `linger`, so that what is heard at the same time travels together; no longer
 * when many came, or when the last cut could not hold all. The immediate lane has one cut under
 * way, so under load the next cut holds what came meanwhile, and batches grow by themselves.
 *
 * When a sink comes back, what waited becomes rows in one transaction (outbox_reopen()), which
 * needs the immediate lane to be empty; from there on what is new goes out at once again, while the
 * backlog lane drains the rows beside it.
 */
#include "upload/turn.h"

#include "model/catalog.h"
#include "upload/greeting.h"
#include "upload/settle.h"
#include "util/log.h"

#include <stdio.h>

#define TIMER_ACCURACY USEC_PER_MSEC
#define STORE_SILENCE  (100 * USEC_PER_MSEC) /* until asking again where it had nothing to give */
#define CLOCK_SILENCE  USEC_PER_SEC	     /* ... because a record has no wall time yet */
#define DRAIN_PATIENCE (10 * USEC_PER_SEC)   /* how far off a row may be due and still be awaited */

enum {
	CUT_MAX = 256 * 1024, /* bytes of JSON: a slice of the loop */
	TRIAL_MAX = 4 * 1024, /* a trial is small */
};

usec_t turn_now(const struct route *r)
{
	usec_t now = 0;

	(void)sd_event_now(r->event, CLOCK_BOOTTIME, &now); /* fails for no clock it knows */
	return now;
}

void turn_at(struct route *r, usec_t at)
{
	r->armed = at;
	if (sd_event_source_set_time(r->timer, at) < 0 ||
	    sd_event_source_set_enabled(r->timer,
					at == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT) < 0)
		log_error("sink %s: its timer could not be set", r->sink->name);
}

/* Makes take_turn() run at `at`, if it would not run earlier anyway. */
void turn_by(struct route *r, usec_t at)
{
	if (at < r->armed)
		turn_at(r, at);
}

static bool all_idle(const struct route *r)
{
	return route_is_idle(r) && !r->greeting;
}

/*
 * The background looks through what is owed once, and a sink that does not take it ends that. Seen when the
 * answer comes: the next turn of the loop may be later than the end of a short pause, and a pause that is
 * not over yet says nothing of what was asked for during it.
 */
static void end_background(struct route *r, usec_t now)
{
	if (r->health.breaker.state == BREAKER_OPEN && r->health.breaker.retry_at > now)
		r->background = false;
}

/* Sending */

static void on_lane_answer(struct route *r, struct lane *l, const struct answer *a)
{
	usec_t now = turn_now(r);

	l->call = NULL;
	settle_answer(r, l, a, now);
	end_background(r, now);
	turn_at(r, now);
}

static void on_immediate_answer(void *userdata, const struct answer *a)
{
	struct route *r = userdata;

	on_lane_answer(r, &r->lanes[LANE_IMMEDIATE], a);
}

static void on_backlog_answer(void *userdata, const struct answer *a)
{
	struct route *r = userdata;

	on_lane_answer(r, &r->lanes[LANE_BACKLOG], a);
}

static void send_lane(struct route *r, struct lane *l, usec_t now)
{
	struct clock_state clock = clock_read(r->config->trust_clock);
	struct lane_request q = {
		.http = r->http,
		.token = r->token.value,
		.clock = &clock,
		.timeout =
			l->immediate ? r->config->immediate_timeout : r->config->background_timeout,
		.done = l->immediate ? on_immediate_answer : on_backlog_answer,
		.userdata = r,
	};
	int q_r;

	if (r->lanes[LANE_IMMEDIATE].call || r->lanes[LANE_BACKLOG].call) /* both connections */
		clocks_yield(&r->clocks, now);
	q_r = lane_send(l, &q, now);
	if (q_r < 0) {
		settle_fault(r, l, q_r, now);
		return;
	}
	r->count.requests++;
	r->count.bytes_sent += l->size;
}

/* Cuts into a lane. True: it has something to send now. */
static bool fill(struct route *r, struct lane *l, size_t limit, usec_t now)
{
	usec_t *not_before = &r->not_before[l->immediate ? LANE_IMMEDIATE : LANE_BACKLOG];
	int q;

	q = lane_cut(l, r->store, r->number, r->config->gateway, limit, now);
	if (q == STORE_E_MORE) {
		*not_before = now;
		return false; /* the timer runs again at once, after whatever else there is to do */
	}
	if (q > 0) {
		r->no_clock = q == STORE_E_CLOCK;
		*not_before = now + (q == STORE_E_CLOCK ? CLOCK_SILENCE : STORE_SILENCE);
		return false;
	}
	if (q == 0)
		q = lane_encode(l, !r->plain);
	if (q < 0) {
		settle_fault(r, l, q, now);
		return false;
	}
	if (l->immediate) {
		r->more = l->full;
		r->kicked = 0;
	}
	return true;
}

/* The greeting */

static void greeting_failed(struct route *r, const struct verdict *v, const struct answer *a,
			    usec_t now)
{
	size_t n = r->config->n_immediate_retry_delays;

	if (health_is_up(&r->health) && v->class == VERDICT_TRANSIENT && ++r->greetings < n) {
		r->greet_at =
			now + MAX(r->config->immediate_retry_delays[r->greetings], v->retry_after);
		return;
	}
	r->greetings = 0;
	(void)settle_sink(r, v, a, now); /* the timer asks health for the time */
}

static void greeting_refused(struct route *r, const struct answer *a, usec_t now)
{
	_cleanup_(verdict_done) struct verdict v = {0};
	bool first = !r->greeting_token_read;

	if (receipt_judge(r->lanes[LANE_BACKLOG].batch, a, &v) < 0)
		v.class = VERDICT_TRANSIENT;
	if (v.class == VERDICT_TOKEN) {
		r->greeting_token_read = true;
		if (first && token_read(&r->token)) {
			health_unknown(&r->health, now);
			return;
		}
	}
	greeting_failed(r, &v, a, now);
}

static void greeting_done(struct route *r, const struct greeting *g, usec_t now)
{
	char field[48];

	r->greeted = true;
	health_unknown(&r->health, now);
	(void)snprintf(field, sizeof(field), "SINK=%s", r->sink->name); /* 32 at most */
	if (g->n_unknown > 0 && r->count.unknown_streams == 0)
		log_event(LOG_WARNING, CATALOG_SERVER_KNOWS_MORE, LOG_FIELDS(field),
			  "sink %s holds %zu streams of \"%s\" that this store does not know: it "
			  "was wiped or replaced, or another hub has the same name",
			  r->sink->name, g->n_unknown, r->config->gateway);
	r->count.unknown_streams = g->n_unknown;
	if (g->n_behind == 0)
		return;
	if (r->config->reconcile) /* there may be holes below its end */
		reconcile_ask(r->reconcile, SCOPE_RECENT);
	log_event(LOG_WARNING, CATALOG_SERVER_BEHIND, LOG_FIELDS(field),
		  "sink %s holds less than it once confirmed, of %zu streams: the server was set "
		  "back; %llu records are sent again",
		  r->sink->name, g->n_behind, (unsigned long long)g->n_again);
}

/* Held until there are new names; who cannot make any stays held. */
static void greeting_ahead(struct route *r, const struct greeting *g, usec_t now)
{
	char detail[120];

	(void)health_hold(&r->health, now, g->why, "", PROBE_SELDOM); /* as settle_sink() */
	(void)snprintf(detail, sizeof(detail), "server \"%s\", %s", r->sink->name, g->short_why);
	if (r->handler->identity)
		r->handler->identity(r->handler->userdata, INCARNATION_AHEAD, detail);
}

static void on_greeting(void *userdata, const struct answer *a)
{
	struct route *r = userdata;
	struct verdict transient = {.class = VERDICT_TRANSIENT};
	usec_t now = turn_now(r);
	struct greeting g;
	int q;

	r->greeting = NULL;
	q = greeting_judge(r->store, r->number, a, &g);
	(void)snprintf(transient.reason, sizeof(transient.reason), "%s",
		       q < 0 ? "out of memory" : g.why);
	if (q == 0)
		greeting_done(r, &g, now);
	else if (q == GREETING_E_REFUSED)
		greeting_refused(r, a, now);
	else if (q == GREETING_E_AHEAD)
		greeting_ahead(r, &g, now);
	else
		greeting_failed(r, &transient, a, now);
	end_background(r, now);
	turn_at(r, now);
}

static bool greet(struct route *r, usec_t now)
{
	usec_t timeout = r->drain ? r->config->background_timeout : r->config->immediate_timeout;
	struct verdict v = {.class = VERDICT_TRANSIENT, .reason = "the request could not be made"};
	struct answer none = {0};

	if (now < r->greet_at)
		return false;
	if (greeting_send(r->http, r->config->gateway, r->token.value, timeout, on_greeting, r,
			  &r->greeting) < 0)
		greeting_failed(r, &v, &none, now);
	return true;
}

/* The clock */

static void on_clocks(void *userdata, const struct answer *a)
{
	struct route *r = userdata;
	usec_t now = turn_now(r);

	clocks_settle(&r->clocks, r->store, r->number, a, now);
	turn_at(r, now);
}

/* A drain has records to get out; the daemon that comes next tells the rest. */
static usec_t clocks_time(const struct route *r)
{
	if (r->drain || !health_is_up(&r->health) || !r->greeted || !all_idle(r))
		return USEC_INFINITY;
	return clocks_due(&r->clocks, r->store, r->number);
}

static bool tell_clocks(struct route *r, usec_t now)
{
	if (clocks_time(r) > now)
		return false;
	(void)clocks_send(&r->clocks, r->store, r->number, r->http, r->token.value,
			  r->config->immediate_timeout, on_clocks, r, now); /* else later */
	return true;
}

/* Missed data */

/* What it takes the rows of must not be on its way. */
static bool compare(struct route *r, usec_t now)
{
	if (reconcile_due(r->reconcile) > now || (r->drain && !all_idle(r)))
		return false;
	if (reconcile_begin(r->reconcile, now) < 0)
		log_error("sink %s: a comparison could not be begun: out of memory", r->sink->name);
	return true;
}

/* Deciding */

static usec_t immediate_due(const struct route *r)
{
	bool off = r->drain || !r->config->immediate;
	usec_t since = off ? USEC_INFINITY : outbox_waiting_since(r->store, r->number);

	if (since == USEC_INFINITY)
		return USEC_INFINITY;
	if (!r->more && r->kicked < KICKS_WITHOUT_LINGER)
		since += r->config->linger;
	return MAX(since, r->not_before[LANE_IMMEDIATE]);
}

/* Without the queue, rows go only when the background looks through them. */
static usec_t backlog_due(const struct route *r)
{
	bool off = !r->config->queue && !r->drain && !r->background;
	usec_t due = off ? USEC_INFINITY : outbox_next_due(r->store, r->number);

	return due == USEC_INFINITY ? due : MAX(due, r->not_before[LANE_BACKLOG]);
}

/* Lanes that hold a cut and whose time has come. */
static bool send_waiting(struct route *r, usec_t now)
{
	for (size_t i = 0; i < LANE_MAX_; i++) {
		struct lane *l = &r->lanes[i];

		if (l->state == LANE_WAITING && outbox_is_old(r->store, &l->cut)) {
			lane_release(l, r->store);
			if (l->trial)
				health_unknown(&r->health, now); /* it had no outcome */
			return true;
		}
		if (l->state == LANE_WAITING && now >= l->retry_at) {
			send_lane(r, l, now);
			return true;
		}
	}
	return false;
}

static bool fill_immediate(struct route *r, usec_t now)
{
	struct lane *l = &r->lanes[LANE_IMMEDIATE];

	return l->state == LANE_IDLE && immediate_due(r) <= now &&
	       fill(r, l, MIN(r->max_body, (size_t)CUT_MAX), now);
}

static bool fill_backlog(struct route *r, usec_t now)
{
	struct lane *l = &r->lanes[LANE_BACKLOG];

	return l->state == LANE_IDLE && backlog_due(r) <= now &&
	       fill(r, l, MIN(r->max_body, (size_t)CUT_MAX), now);
}

static bool fill_trial(struct route *r, struct lane *l, usec_t due, usec_t now)
{
	if (due > now || !fill(r, l, MIN(r->max_body, (size_t)TRIAL_MAX), now))
		return false;
	l->trial = true;
	r->trial_new = false;
	breaker_try(&r->health.breaker);
	return true;
}

/* What waited while the sink was down becomes rows. */
static bool reopen(struct route *r, usec_t now)
{
	int q;

	if (!r->reopen || r->lanes[LANE_IMMEDIATE].state != LANE_IDLE)
		return false;
	q = outbox_reopen(r->store, r->number, now);
	if (q < 0)
		settle_fault(r, &r->lanes[LANE_IMMEDIATE], q, now);
	else
		r->reopen = false;
	return true;
}

/*
 * What a trial carries: rows first, unless it was rows that got a 5xx: then what is new, and if there is
 * nothing new the rows take turns, so that one that the server chokes on does not stop the others.
 */
static bool try_again(struct route *r, usec_t now)
{
	struct lane *immediate = &r->lanes[LANE_IMMEDIATE], *backlog = &r->lanes[LANE_BACKLOG];

	if (!all_idle(r) || !breaker_ready(&r->health.breaker, now))
		return false;
	if (!r->greeted) {
		if (!greet(r, now))
			return false;
		if (r->greeting)
			breaker_try(&r->health.breaker);
		return true;
	}
	if (r->trial_new && fill_trial(r, immediate, immediate_due(r), now))
		return true;
	if (r->trial_new)
		outbox_take_turns(r->store, r->number);
	if (fill_trial(r, backlog, backlog_due(r), now) ||
	    fill_trial(r, immediate, immediate_due(r), now))
		return true;
	/* Nothing goes out by itself: what is new has to become a row before it can be tried. */
	return !r->config->immediate && backlog_due(r) == USEC_INFINITY && reopen(r, now);
}

/* Without its credential a sink is not even asked. */
static bool credential_is_missing(struct route *r, usec_t now)
{
	struct verdict v = {.class = VERDICT_ACCOUNT};
	struct answer none = {0};

	if (!token_missing(&r->token) || !all_idle(r))
		return false;
	if (!health_is_up(&r->health) && !breaker_ready(&r->health.breaker, now))
		return false;
	(void)token_read(&r->token); /* a problem is kept in it */
	if (!token_missing(&r->token))
		return false;
	(void)snprintf(v.reason, sizeof(v.reason), "%s", r->token.problem);
	(void)settle_sink(r, &v, &none, now); /* the timer asks health for the time */
	end_background(r, now);
	return true;
}

/* Does one thing. False: there is nothing to do now. */
static bool act(struct route *r, usec_t now)
{
	if (r->elsewhere || r->closing)
		return false;
	if (send_waiting(r, now) || credential_is_missing(r, now))
		return true;
	if (!health_is_up(&r->health))
		return try_again(r, now);
	if (!r->greeted)
		return !r->greeting && greet(r, now);
	return compare(r, now) || reopen(r, now) || fill_immediate(r, now) ||
	       fill_backlog(r, now) || tell_clocks(r, now);
}

/* When a sink that is not up may be tried: with what is owed, or with what reopen() makes of it. */
static usec_t trial_due(const struct route *r, usec_t work)
{
	if (!r->greeted)
		return r->greet_at;
	return r->reopen && !r->config->immediate ? MIN(work, r->not_before[LANE_BACKLOG]) : work;
}

/* Drain: records are moving to new names, and will be owed under those. */
static bool more_to_come(const struct route *r)
{
	return r->drain && r->handler->more && r->handler->more(r->handler->userdata);
}

static usec_t next_time(const struct route *r, usec_t now)
{
	usec_t next = more_to_come(r) ? now + STORE_SILENCE : USEC_INFINITY;
	usec_t work = MIN(r->lanes[LANE_IMMEDIATE].state == LANE_IDLE ? immediate_due(r) : next,
			  r->lanes[LANE_BACKLOG].state == LANE_IDLE ? backlog_due(r) : next);

	for (size_t i = 0; i < LANE_MAX_; i++)
		if (r->lanes[i].state == LANE_WAITING)
			next = MIN(next, r->lanes[i].retry_at);
	if (r->closing)
		return USEC_INFINITY;
	if (r->greeting || r->elsewhere)
		return next;
	if (!health_is_up(&r->health)) {
		if (r->health.breaker.state == BREAKER_TRIAL || !all_idle(r))
			return next;
		return MIN(next, MAX(trial_due(r, work), r->health.breaker.retry_at));
	}
	if (!r->greeted)
		return MIN(next, MAX(r->greet_at, now));
	next = MIN(next, reconcile_due(r->reconcile));
	return MIN(next, MIN(work, clocks_time(r)));
}

/* Drain: nothing that could still be done here soon? Then `problem` says what is left. */
static bool drained(struct route *r, usec_t now)
{
	usec_t due;

	if (!r->drain || r->finished || !all_idle(r) || more_to_come(r))
		return false;
	if (health_is_up(&r->health) && reconcile_is_busy(r->reconcile))
		return false;
	due = outbox_next_due(r->store, r->number);
	if (due == USEC_INFINITY && !r->reopen && !reconcile_is_busy(r->reconcile))
		return true;
	if (health_is_up(&r->health) &&
	    (r->reopen || !r->greeted || (due <= now + DRAIN_PATIENCE && !r->no_clock)))
		return false;
	(void)snprintf(r->problem, sizeof(r->problem), "sink %s: %s", r->sink->name,
		       !health_is_up(&r->health) ? r->health.reason
		       : r->no_clock ? "some records wait for the clock to be synchronised"
				     : "some batches wait for another attempt");
	return true;
}

/* All rows had their turn: the rest is for the next time. */
static bool background_is_over(const struct route *r, usec_t now)
{
	return health_is_up(&r->health) && r->greeted && !r->reopen && all_idle(r) &&
	       outbox_next_due(r->store, r->number) > now;
}

static int take_turn(sd_event_source *source, usec_t when, void *userdata)
{
	struct route *r = userdata;
	usec_t now = turn_now(r);

	r->armed = USEC_INFINITY;
	if (r->finished)
		return 0;
	if (drained(r, now)) {
		r->finished = true;
		r->on_finished(r->finished_userdata);
		return 0;
	}
	if (act(r, now)) {
		turn_at(r, now);
		return 0;
	}
	if (r->background && background_is_over(r, now))
		r->background = false;
	/* The last row may have been passed over just now: a drain does not wait an hour for it. */
	turn_at(r, drained(r, now) ? now : MAX(next_time(r, now), now));
	return 0;
}

int turn_init(struct route *r, usec_t now)
{
	int q = sd_event_add_time(r->event, &r->timer, CLOCK_BOOTTIME, now, TIMER_ACCURACY,
				  take_turn, r);

	r->armed = q < 0 ? USEC_INFINITY : now;
	return q < 0 ? q : 0;
}

void turn_done(struct route *r)
{
	r->timer = sd_event_source_disable_unref(r->timer);
}
