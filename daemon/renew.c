/*
 *	          renew_want()                     done
 *	quiet ------------------> wanted ----------------------> moving --nothing left--> quiet
 *	  ^                         | ^                            | ^
 *	  |                         v | a minute later             v | something is under way, no clock
 *	  |                       too often                      waiting
 *	  +--- renew_look(): records wait under an old name --------^
 *
 * A slice takes some milliseconds and a commit; between two the loop has SLICE_PAUSE for straps and
 * servers, so that 72 hours of ten straps move within a minute and nobody notices.
 */
#include "renew.h"

#include "model/catalog.h"
#include "util/log.h"

#include <stdio.h>

#define SLICE_PAUSE  (20 * USEC_PER_MSEC)
#define BUSY_PAUSE   (100 * USEC_PER_MSEC) /* until a request that is under way may have ended */
#define CLOCK_PAUSE  (1 * USEC_PER_SEC)
#define OFTEN_PAUSE  (60 * USEC_PER_SEC)
#define FAILED_PAUSE (5 * USEC_PER_SEC) /* the card did not take it */

struct renew {
	struct store *store;
	struct renew_handler handler;
	sd_event_source *timer;
	enum incarnation_reason wanted; /* INCARNATION_FIRST: none */
	char detail[160];
	char problem[200];
	bool moving;	/* there is more, and it can be moved */
	bool told_fail; /* that the card did not take it */
};

struct renew *renew_free(struct renew *n)
{
	if (!n)
		return NULL;
	sd_event_source_disable_unref(n->timer);
	free(n);
	return NULL;
}

static void arm(struct renew *n, usec_t at)
{
	if (sd_event_source_set_time(n->timer, at) < 0 ||
	    sd_event_source_set_enabled(n->timer, SD_EVENT_ONESHOT) < 0)
		log_error("The timer of what moves cannot be set");
}

static void say(enum incarnation_reason reason, const char *detail)
{
	char field[32];

	(void)snprintf(field, sizeof(field), "REASON=%s", incarnation_word(reason)); /* fits */
	log_event(LOG_WARNING, CATALOG_RENAMED, LOG_FIELDS(field),
		  "This hub goes on under new names, because %s (%s); what no server has confirmed "
		  "is sent under those",
		  incarnation_words(reason), detail);
}

void renew_say_opening(const struct store_opening *opening)
{
	if (opening->incarnation != INCARNATION_FIRST)
		say(opening->incarnation, opening->incarnation_detail);
}

/* A third time within an hour: a server that is broken, or two hubs that copy each other. */
static void say_too_often(struct renew *n)
{
	bool first = !n->problem[0];

	(void)snprintf(n->problem, sizeof(n->problem),
		       "%s; new names, %d times within the hour, helped nothing (%.40s)",
		       incarnation_words(n->wanted), INCARNATIONS_AN_HOUR, n->detail);
	if (first)
		log_event(LOG_ERR, CATALOG_RENAMED_OFTEN, NULL,
			  "%s; what the server refuses is held until the hour is over", n->problem);
}

/* When to go on; 0: it is done. */
static usec_t begin_anew(struct renew *n, usec_t now)
{
	int r = store_new_incarnation(n->store, n->wanted, n->detail, now);

	if (r == STORE_E_OFTEN) {
		say_too_often(n);
		return now + OFTEN_PAUSE;
	}
	if (r != 0) {
		if (!n->told_fail)
			log_event(LOG_ERR, CATALOG_STORE_TROUBLE, NULL,
				  "New names cannot be written down: %s; it is tried again",
				  store_problem(n->store));
		n->told_fail = true;
		return now + FAILED_PAUSE;
	}
	say(n->wanted, n->detail);
	n->wanted = INCARNATION_FIRST;
	n->problem[0] = '\0';
	n->told_fail = false;
	n->handler.renamed(n->handler.userdata);
	return 0;
}

/* When to go on; USEC_INFINITY: there is nothing, or a fault ends it all. */
static usec_t move(struct renew *n, usec_t now)
{
	int r = store_move(n->store, now);

	n->moving = r == 0 || r == STORE_E_MORE || r == STORE_E_BUSY;
	if (r == 0)
		n->handler.moved(n->handler.userdata, now);
	switch (r) {
	case 0:
	case STORE_E_MORE: return now + SLICE_PAUSE;
	case STORE_E_BUSY: return now + BUSY_PAUSE;
	case STORE_E_NOTHING: return USEC_INFINITY;
	default:
		if (r > 0)
			return now + CLOCK_PAUSE; /* no wall time yet, or cannot be read */
		n->handler.fault(n->handler.userdata, r);
		return USEC_INFINITY;
	}
}

static int on_timer(sd_event_source *source, uint64_t at, void *userdata)
{
	struct renew *n = userdata;
	usec_t now = clock_boot_usec(), next = 0;

	if (n->wanted != INCARNATION_FIRST)
		next = begin_anew(n, now);
	if (n->wanted == INCARNATION_FIRST)
		next = move(n, now);
	if (next != USEC_INFINITY)
		arm(n, next);
	return 0;
}

/* What a server said to the process before this, or at a time when nothing could be written. */
static void recall(struct renew *n)
{
	char detail[120];

	if (n->wanted == INCARNATION_FIRST && store_is_refused(n->store, detail)) {
		n->wanted = INCARNATION_CONFLICT;
		memcpy(n->detail, detail, sizeof(detail));
		arm(n, 0);
	}
}

int renew_new(sd_event *event, struct store *store, const struct renew_handler *handler,
	      struct renew **ret)
{
	_cleanup_(renew_freep) struct renew *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return -ENOMEM;
	n->store = store;
	n->handler = *handler;
	n->moving = store_move_left(store) > 0;
	r = sd_event_add_time(event, &n->timer, CLOCK_BOOTTIME, 0, USEC_PER_MSEC, on_timer, n);
	if (r >= 0)
		r = sd_event_source_set_priority(n->timer, SD_EVENT_PRIORITY_IDLE);
	if (r < 0)
		return r;
	recall(n);
	*ret = TAKE(n);
	return 0;
}

void renew_want(struct renew *n, enum incarnation_reason reason, const char *detail)
{
	if (n->wanted != INCARNATION_FIRST)
		return;
	n->wanted = reason;
	(void)snprintf(n->detail, sizeof(n->detail), "%s", detail); /* cut, if need be */
	arm(n, 0);
}

static bool is_resting(const struct renew *n)
{
	int enabled = SD_EVENT_OFF;

	return sd_event_source_get_enabled(n->timer, &enabled) >= 0 && enabled == SD_EVENT_OFF;
}

void renew_look(struct renew *n)
{
	recall(n);
	if (is_resting(n) && store_move_left(n->store) > 0) {
		n->moving = true;
		arm(n, 0);
	}
}

bool renew_busy(const struct renew *n)
{
	return (n->wanted != INCARNATION_FIRST && !n->problem[0]) || n->moving;
}

const char *renew_problem(const struct renew *n)
{
	return n->problem[0] ? n->problem : NULL;
}
