/*
 * When, and what:
 *
 *	asked for                    the last reconcile_window, or everything
 *	every reconcile_interval,    the last reconcile_window; everything, if it was not compared to the
 *	first 2 to 10 min after      end for reconcile_all_after, if that is how long the sink was silent
 *	the start                    before it came back, or if the clock cannot tell what is recent
 *	a greeting finds it behind   the last reconcile_window
 *	missing_after in a receipt   that stream
 *	one of these found that      everything, at once: who lost something of the last day may have lost
 *	something is lacking         all, and of a strap that lies in a drawer no receipt will ever tell
 *
 * One that does not get through is tried again after ten minutes, or when the server wants to be asked
 * again. What it found until then is owed already. A server that cannot be compared with for days is a
 * line in the journal once, not each time; status says it all the while.
 */
#include "upload/reconcile.h"

#include "model/catalog.h"
#include "store/compare.h"
#include "store/finding.h"
#include "util/human.h"
#include "util/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

#define FIRST_MIN     (120 * USEC_PER_SEC) /* after the start: first things first */
#define FIRST_MAX     (600 * USEC_PER_SEC)
#define AGAIN_AFTER   (600 * USEC_PER_SEC)  /* it did not get through */
#define RETRY_MAX     (3600 * USEC_PER_SEC) /* ... nor longer, whatever Retry-After says */
#define MISSING_EVERY (3600 * USEC_PER_SEC)

struct reconcile {
	struct reconcile_options o;
	struct comparison *work;     /* NULL: none is under way */
	enum comparison_scope scope; /* of that, or of the last */
	bool some_only;		     /* it is of suspects only */
	usec_t planned;		     /* by itself */
	bool asked, all, unsent;     /* what is to be done next */
	bool some;		     /* of the suspects */
	bool told_unsupported;
	char told[160]; /* why the last one did not get through, as it was said; "": it did */
	struct reconcile_state state;
	/* What made everything be compared, for who looks at what came of it: of this one, of the next. */
	uint64_t lacked, lacked_next;
	bool *suspects;	  /* [stream - 1]: a receipt misses something */
	usec_t *acted_at; /* ... and when that was acted on last; 0: never */
	size_t n_suspects;
};

static usec_t loop_now(const struct reconcile *r)
{
	usec_t now = 0;

	(void)sd_event_now(r->o.event, CLOCK_BOOTTIME, &now); /* fails for no clock it knows */
	return now;
}

/* A receipt made some streams suspect, and nobody wants more than those. */
static bool is_of_suspects(const struct reconcile *r)
{
	return r->some && !r->asked;
}

static usec_t between(usec_t min, usec_t max)
{
	uint64_t random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = 0;
	return max > min ? min + random % (max - min) : min;
}

/* Telling */

static void tell(struct reconcile *r, unsigned kind, uint64_t count)
{
	const struct reconcile_state *state = &r->state;
	struct sync_event e = {
		.wall_us = clock_wall_usec(),
		.type = SYNC_RECONCILE,
		.kind = (uint8_t)kind,
		.success = state->ended,
		.count = (uint32_t)MIN(count, UINT32_MAX),
		.duration_ms = (uint32_t)MIN(state->took / USEC_PER_MSEC, UINT32_MAX),
	};

	(void)snprintf(e.sink, sizeof(e.sink), "%s", r->o.sink->name);
	(void)snprintf(e.reason, sizeof(e.reason), "%.*s", (int)sizeof(e.reason) - 1,
		       state->problem);
	r->o.event_told(r->o.userdata, &e);
}

/* One for each kind of which something is sent again; one without a kind, if it is none. */
static void tell_events(struct reconcile *r)
{
	bool any = false;

	for (unsigned kind = 0; kind < KIND_MAX; kind++)
		if (comparison_again(r->work, kind)) {
			tell(r, kind, comparison_again(r->work, kind));
			any = true;
		}
	if (!any)
		tell(r, 0, 0);
}

static void describe_scope(const struct reconcile *r, char ret[static 64])
{
	char window[HUMAN_SIZE];

	if (r->some_only)
		(void)snprintf(ret, 64, "what was missed");
	else if (r->state.everything)
		(void)snprintf(ret, 64, "all that is kept here");
	else
		(void)snprintf(ret, 64, "the last %s",
			       human_duration(r->o.config->reconcile_window, window));
}

static void say_differences(const struct reconcile *r, const char *field, const char *scope)
{
	const struct reconcile_state *s = &r->state;

	log_event(LOG_WARNING, CATALOG_RECONCILE, LOG_FIELDS(field),
		  "reconcile: %s lacked %" PRIu64 " records of %u streams: sent again; %" PRIu64
		  " are there only, %" PRIu64 " differ (%s, %" PRIu64 " records are equal)",
		  s->sink, s->again, s->streams_again, s->server_only, s->conflicts, scope,
		  s->compared);
}

/* One line, whatever came of it; none for the same trouble again. */
static void say(struct reconcile *r)
{
	const struct reconcile_state *s = &r->state;
	char field[48], scope[64];

	(void)snprintf(field, sizeof(field), "SINK=%s", s->sink); /* 32 at most */
	describe_scope(r, scope);
	if (s->problem[0] && streq(s->problem, r->told) && !s->again)
		return;
	memcpy(r->told, s->problem, sizeof(r->told));
	if (s->problem[0])
		log_event(LOG_WARNING, CATALOG_RECONCILE, LOG_FIELDS(field),
			  "reconcile: %s could not be compared to the end: %s; %" PRIu64
			  " records are equal, %" PRIu64 " are sent again",
			  s->sink, s->problem, s->compared, s->again);
	else if (r->scope == SCOPE_UNSENT)
		log_info("reconcile: %s holds %" PRIu64
			 " of the records that wait, and lacks %" PRIu64,
			 s->sink, s->compared, s->again);
	else if (s->again || s->server_only || s->conflicts)
		say_differences(r, field, scope);
	else
		log_event(LOG_INFO, CATALOG_RECONCILE, LOG_FIELDS(field),
			  "reconcile: %s holds everything of %s (%" PRIu64 " records compared)",
			  s->sink, scope, s->compared);
}

static void say_unsupported(struct reconcile *r)
{
	char field[48];

	if (r->told_unsupported)
		return;
	r->told_unsupported = true;
	(void)snprintf(field, sizeof(field), "SINK=%s", r->o.sink->name); /* 32 at most */
	log_event(LOG_NOTICE, CATALOG_RECONCILE, LOG_FIELDS(field),
		  "reconcile: %s cannot be compared: its server does not tell what it holds "
		  "(GET /v1/streams/ID/windows)",
		  r->o.sink->name);
}

/* Ending */

static void plan(struct reconcile *r, usec_t now)
{
	usec_t interval = r->o.config->reconcile_interval;

	if (!r->o.by_itself)
		return;
	if (r->state.ended || r->state.unsupported)
		r->planned = now + between(interval - interval / 10, interval + interval / 10);
	else
		r->planned = now + MAX(MIN(interval, (usec_t)AGAIN_AFTER),
				       MIN(r->state.retry_after, (usec_t)RETRY_MAX));
}

static void put_down(struct reconcile *r)
{
	struct reconcile_state *s = &r->state;

	if (s->unsupported)
		say_unsupported(r);
	else
		say(r);
	if (r->scope == SCOPE_UNSENT)
		return;
	if (!s->unsupported)
		tell_events(r);
	if (s->ended && !r->some_only) {
		s->last_us = clock_wall_usec();
		finding_reconciled(r->o.store, r->o.number, s->last_us);
	}
}

static void take_state(const struct reconcile *r, struct reconcile_state *ret)
{
	comparison_state(r->work, ret);
	ret->phase = RECONCILE_RUNNING;
	ret->last_us = r->state.last_us;
	memcpy(ret->sink, r->state.sink, sizeof(ret->sink));
}

static bool is_up(void *userdata)
{
	const struct reconcile *r = userdata;

	return r->o.is_up(r->o.userdata);
}

static void on_found(void *userdata)
{
	struct reconcile *r = userdata;

	r->o.found(r->o.userdata);
}

static void on_ended(void *userdata)
{
	struct reconcile *r = userdata;
	struct reconcile_state s;

	take_state(r, &s);
	s.phase = RECONCILE_IDLE;
	r->state = s;
	put_down(r);
	if (!s.ended && s.everything && !s.unsupported)
		r->all = true; /* what was to be looked at still is */
	if (r->scope == SCOPE_RECENT && s.again > 0) {
		r->all = true;
		r->asked = r->asked || s.ended; /* else when it is tried again */
		r->lacked_next = s.again;
	}
	if (!r->some_only || !s.ended)
		plan(r, loop_now(r));
	r->work = comparison_free(r->work);
	r->o.ended(r->o.userdata);
}

/* Beginning */

/* Or nobody knows how long: the clock was as far ahead then. */
static bool is_long_ago(const struct reconcile *r, int64_t then_us, int64_t wall_us)
{
	return llabs(wall_us - then_us) > (int64_t)r->o.config->reconcile_all_after;
}

/*
 * The last day is not enough if nobody has compared for longer than that, or if nobody knows when
 * that was.
 */
static enum comparison_scope scope_of(const struct reconcile *r, int64_t wall_us)
{
	struct finding_times t;

	if (r->unsent)
		return SCOPE_UNSENT;
	if (is_of_suspects(r))
		return SCOPE_RECENT;
	finding_times(r->o.store, r->o.number, &t);
	if (r->all || t.reconciled_us == 0 || is_long_ago(r, t.reconciled_us, wall_us) ||
	    !clock_read(r->o.config->trust_clock).synchronised)
		return SCOPE_ALL;
	return SCOPE_RECENT;
}

int reconcile_begin(struct reconcile *r, usec_t now)
{
	int64_t wall_us = clock_wall_usec();
	const struct comparison_options o = {
		.event = r->o.event,
		.store = r->o.store,
		.number = r->o.number,
		.config = r->o.config,
		.sink = r->o.sink,
		.token = r->o.token,
		.scope = scope_of(r, wall_us),
		/* What a receipt misses may be as old as the row that it was for. */
		.since_us =
			is_of_suspects(r) ? 0 : wall_us - (int64_t)r->o.config->reconcile_window,
		.userdata = r,
		.is_up = is_up,
		.found = on_found,
		.ended = on_ended,
	};
	int q;

	assert(!r->work);
	r->scope = o.scope;
	r->some_only = o.scope == SCOPE_RECENT && is_of_suspects(r);
	q = comparison_new(&o, r->some_only ? r->suspects : NULL, r->n_suspects, now, &r->work);
	if (r->n_suspects) /* whichever way, they are looked at now */
		memset(r->suspects, 0, r->n_suspects * sizeof(*r->suspects));
	r->lacked = r->lacked_next;
	r->lacked_next = 0;
	r->asked = r->unsent = r->some = false;
	r->all = r->all && o.scope != SCOPE_ALL;
	if (q < 0)
		r->planned = r->o.by_itself ? now + AGAIN_AFTER : USEC_INFINITY;
	return q;
}

/* Asking for one */

void reconcile_ask(struct reconcile *r, enum comparison_scope scope)
{
	if (r->work && !r->some_only && (scope == SCOPE_RECENT || scope == r->scope))
		return; /* that is what is being done */
	r->all = r->all || scope == SCOPE_ALL;
	r->unsent = r->unsent || scope == SCOPE_UNSENT;
	r->asked = true;
}

usec_t reconcile_due(const struct reconcile *r)
{
	if (r->work)
		return USEC_INFINITY;
	return r->asked || r->some ? 0 : r->planned;
}

bool reconcile_is_busy(const struct reconcile *r)
{
	return r->work || r->asked || r->some;
}

bool reconcile_is_of_all(const struct reconcile *r)
{
	return reconcile_is_busy(r) && (r->all || (r->work && r->scope == SCOPE_ALL));
}

void reconcile_receipt(struct reconcile *r, usec_t now)
{
	int64_t wall_us = clock_wall_usec();
	struct finding_times t;

	finding_times(r->o.store, r->o.number, &t);
	finding_confirmed(r->o.store, r->o.number, wall_us);
	if (t.confirmed_us == 0 || !is_long_ago(r, t.confirmed_us, wall_us))
		return;
	r->all = true;
	if (r->o.by_itself)
		r->planned = MIN(r->planned, now + between(FIRST_MIN, FIRST_MAX));
}

/* Room for all streams there are. */
static int grow_suspects(struct reconcile *r)
{
	size_t n = store_stream_count(r->o.store), old = r->n_suspects;
	bool *suspects;
	usec_t *acted_at;

	if (n <= old)
		return 0;
	suspects = reallocarray(r->suspects, n, sizeof(*suspects));
	if (!suspects)
		return -ENOMEM;
	r->suspects = suspects;
	acted_at = reallocarray(r->acted_at, n, sizeof(*acted_at));
	if (!acted_at)
		return -ENOMEM;
	r->acted_at = acted_at;
	memset(suspects + old, 0, (n - old) * sizeof(*suspects));
	memset(acted_at + old, 0, (n - old) * sizeof(*acted_at));
	r->n_suspects = n;
	return 0;
}

static bool is_quarantined(const struct reconcile *r, uint32_t stream, uint64_t seq)
{
	_cleanup_(freep) uint64_t *seqs = NULL;
	size_t n = 0;

	/* If that cannot be told, there is nothing to be gained in asking. */
	return compare_excused(r->o.store, r->o.number, stream, seq, seq, &seqs, &n) != 0 || n > 0;
}

void reconcile_missing(struct reconcile *r, uint32_t stream, uint64_t after, usec_t now)
{
	struct cursor_status c;
	usec_t *at;

	if (!r->o.config->reconcile || grow_suspects(r) < 0)
		return;
	at = &r->acted_at[stream - 1];
	if (*at && now < *at + MISSING_EVERY)
		return;
	store_cursor_status(r->o.store, r->o.number, stream, &c);
	if (after == 0 || after > c.anchor ||
	    after < compare_oldest(r->o.store, r->o.number, stream) ||
	    is_quarantined(r, stream, after))
		return;
	*at = now;
	r->suspects[stream - 1] = r->some = true;
}

/* Making and breaking */

struct reconcile *reconcile_free(struct reconcile *r)
{
	if (!r)
		return NULL;
	r->work = comparison_free(r->work);
	free(r->suspects);
	free(r->acted_at);
	free(r);
	return NULL;
}

int reconcile_new(const struct reconcile_options *o, usec_t now, struct reconcile **ret)
{
	_cleanup_(reconcile_freep) struct reconcile *r = calloc(1, sizeof(*r));
	usec_t interval = o->config->reconcile_interval;
	struct finding_times t;

	if (!r)
		return -ENOMEM;
	r->o = *o;
	r->planned =
		o->by_itself ? now + MIN(interval, between(FIRST_MIN, FIRST_MAX)) : USEC_INFINITY;
	finding_times(o->store, o->number, &t);
	r->state.last_us = t.reconciled_us;
	(void)snprintf(r->state.sink, sizeof(r->state.sink), "%s", o->sink->name);
	*ret = TAKE(r);
	return 0;
}

void reconcile_state(const struct reconcile *r, struct reconcile_state *ret)
{
	if (r->work)
		take_state(r, ret);
	else
		*ret = r->state;
	ret->again += r->lacked;
	ret->due = r->planned;
	if (!r->work && (r->asked || r->some))
		ret->phase = RECONCILE_WAITING;
}
