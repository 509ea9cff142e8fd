/*
 * The way to one sink: two lanes, a health, a credential, one timer. turn.c decides what goes out
 * when, settle.c what an answer means for it. Embedded by the uploader only.
 */
#pragma once

#include "upload/clocks.h"
#include "upload/health.h"
#include "upload/http.h"
#include "upload/lane.h"
#include "upload/reconcile.h"
#include "upload/suspects.h"
#include "upload/token.h"

enum { LANE_IMMEDIATE, LANE_BACKLOG, LANE_MAX_ };
enum { KICKS_WITHOUT_LINGER = 256 }; /* so many new records are enough for a batch */

struct route {
	/* Borrowed. */
	sd_event *event;
	struct store *store;
	const struct config *config;
	const struct config_sink *sink;
	const struct uploader_handler *handler;
	bool drain;
	uint32_t number; /* of the sink in the store */

	sd_event_source *timer;
	usec_t armed; /* what it is set to */
	struct http *http;
	struct token token;
	struct health health;
	struct suspects suspects;

	struct lane lanes[LANE_MAX_];
	usec_t not_before[LANE_MAX_]; /* the store had nothing to give, or failed */
	size_t max_body;	      /* halved by 413 */
	bool plain;		      /* this sink takes no gzip */
	bool more;		      /* the last immediate cut ended at its limit */
	bool trial_new;		      /* the next trial takes what is new, not a row */
	bool background; /* queue = no: the rows may go, for they are looked through just now */
	bool reopen;	 /* what waited while it was down is not in rows yet */
	unsigned kicked; /* records since the last immediate cut */

	struct http_call *greeting; /* GET /v1/streams under way */
	bool greeted;
	bool closing;	/* nothing more is sent */
	bool elsewhere; /* its url is not the one that records were confirmed at */
	bool greeting_token_read;
	unsigned greetings; /* failed attempts in a row */
	usec_t greet_at;

	struct clocks clocks;
	struct reconcile *reconcile;

	bool no_clock;	   /* drain: what is left has no wall time yet */
	bool finished;	   /* drain: nothing more can be done here */
	char problem[240]; /* drain: why something is left, or "" */
	void (*on_finished)(void *userdata);
	void *finished_userdata;

	struct sink_state count; /* only its counters */
	usec_t last_backlog, quarantine_said, fault_said;
	unsigned faults; /* not said yet */
	uint64_t quarantine_unsaid;
};

struct route_options {
	sd_event *event;
	struct store *store;
	const struct config *config;
	const struct config_sink *sink;
	const struct uploader_handler *handler;
	bool drain;
	void (*on_finished)(void *userdata);
	void *userdata;
};

int route_init(struct route *r, const struct route_options *o);
void route_done(struct route *r);
void route_kick(struct route *r, usec_t now);
void route_wake(struct route *r, bool critical);
void route_return(struct route *r);
void route_reconcile(struct route *r, bool everything);
void route_renamed(struct route *r);
/*
 * Its owner says that it is the same server. Nothing is done (`ret_changed`) if it had no other url.
 * < 0: that cannot be written down.
 */
int route_accept(struct route *r, bool *ret_changed);
void route_state(const struct route *r, struct sink_state *ret);

/* No cut is in either lane. */
static inline bool route_is_idle(const struct route *r)
{
	return r->lanes[LANE_IMMEDIATE].state == LANE_IDLE &&
	       r->lanes[LANE_BACKLOG].state == LANE_IDLE;
}
