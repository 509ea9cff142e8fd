/*
 * From verdict to deed. Three kinds of failure, and none of them drops a record that the server did
 * not name:
 *
 *	verdict      the records                          the sink
 *	RECEIPT      confirmed as far as it says          up
 *	TRANSIENT    the same bytes again, quickly;       down, when the quick attempts are used up
 *	             then rows
 *	  5xx, while others pass: rows, alone after       stays up
 *	  the fourth time, split
 *	BUSY         the same bytes again, soon           as it was
 *	ACCOUNT      rows                                 held
 *	TOKEN        the same bytes with another token,   held, if there is no other token
 *	             once
 *	CLOCK        rows                                 down; held if our clock is right
 *	RECORD       split; a single one waits for a      as it was; held after three single records
 *	             witness (suspects.c), or goes to     with no success between them
 *	             quarantine if the server names it
 *	TOO_LARGE    split                                as it was, takes half as much from now on
 *	ENCODING     the same batch without gzip, once    held, if that does not help
 *
 * A trial (sent although the sink is not up) gets one attempt. When its answer says nothing about
 * the sink, because the sink looked at the records, the next trial goes at once.
 */
#include "upload/settle.h"

#include "model/catalog.h"
#include "store/rates.h"
#include "util/log.h"

#include <stdio.h>

#define STORE_REST	   USEC_PER_SEC
#define QUARANTINE_SILENCE (60 * USEC_PER_SEC)
#define FAULT_SILENCE	   (60 * USEC_PER_SEC)

enum {
	BODY_MIN = 4096,
	POISON_RETRIES = 4, /* so often may one batch get 5xx while others pass */
};

/* Telling */

static unsigned kind_of(const struct route *r, uint32_t stream)
{
	struct stream_status status;

	store_stream_status(r->store, stream, &status);
	return status.info.kind < KIND_MAX ? status.info.kind : 0;
}

/* From when its records were heard until now, on average. */
static usec_t mean_latency(const struct lane *l, usec_t now)
{
	usec_t mean = l->cut.n_records ? l->cut.heard_later_us / l->cut.n_records : 0;

	return now > l->cut.heard_us + mean ? now - l->cut.heard_us - mean : 0;
}

static uint32_t milliseconds(usec_t us)
{
	return (uint32_t)MIN(us / USEC_PER_MSEC, UINT32_MAX);
}

/* For the rates: a batch is counted once, whatever kinds are in it. */
static void count_immediate(struct route *r, const struct lane *l, bool confirmed, uint64_t n,
			    usec_t now)
{
	struct rates_batch batch = {.confirmed = confirmed,
				    .n_records = (uint32_t)MIN(n, UINT32_MAX)};

	if (confirmed) {
		batch.mean_ms = milliseconds(mean_latency(l, now));
		batch.max_ms = milliseconds(now - MIN(l->cut.heard_us, now));
	}
	store_count_batch(r->store, r->number, &batch, clock_wall_usec());
}

static void tell(struct route *r, const struct lane *l, enum sync_event_type type, unsigned kind,
		 uint64_t count, const char *reason, usec_t now)
{
	struct sync_event e = {
		.wall_us = clock_wall_usec(),
		.type = (uint8_t)type,
		.kind = (uint8_t)kind,
		.success = type == SYNC_IMMEDIATE_SUCCESS || type == SYNC_BACKGROUND_SUCCESS,
		.count = (uint32_t)MIN(count, UINT32_MAX),
		.retries = l->attempts > 0 ? l->attempts - 1 : 0,
		.duration_ms = milliseconds(now - l->first_attempt),
		.latency_ms =
			type == SYNC_IMMEDIATE_SUCCESS ? milliseconds(mean_latency(l, now)) : 0,
	};

	if (count == 0 || !r->handler->event)
		return;
	(void)snprintf(e.sink, sizeof(e.sink), "%s", r->sink->name);
	(void)snprintf(e.reason, sizeof(e.reason), "%.*s", (int)sizeof(e.reason) - 1, reason);
	r->handler->event(r->handler->userdata, &e);
}

/* One event for each kind of record in the cut. */
static void tell_cut(struct route *r, const struct lane *l, enum sync_event_type type,
		     const char *reason, usec_t now)
{
	uint64_t count[KIND_MAX] = {0};

	for (size_t i = 0; i < l->cut.n_ranges; i++)
		count[kind_of(r, l->cut.ranges[i].stream)] += l->cut.ranges[i].count;
	for (unsigned kind = 0; kind < KIND_MAX; kind++)
		tell(r, l, type, kind, count[kind], reason, now);
}

static void tell_failure(struct route *r, const struct lane *l, const char *reason, usec_t now)
{
	if (!l->immediate) {
		r->count.background_failed++;
		tell_cut(r, l, SYNC_BACKGROUND_FAILED, reason, now);
		return;
	}
	r->count.immediate_failed++;
	/* A trial only finds out whether a sink is back: that it is not was counted when it went. */
	if (!l->trial)
		count_immediate(r, l, false, 0, now);
	tell_cut(r, l, SYNC_IMMEDIATE_FAILED, reason, now);
	tell_cut(r, l, SYNC_QUEUED, reason, now);
}

/* At most a line a minute; what happens between is a counter in the next one. */
static void say_quarantine(struct route *r, uint64_t n, const char *why, usec_t now)
{
	char field[48];

	r->count.quarantined += n;
	r->quarantine_unsaid += n;
	if (r->quarantine_said && now - r->quarantine_said < QUARANTINE_SILENCE)
		return;
	(void)snprintf(field, sizeof(field), "SINK=%s", r->sink->name); /* 32 at most */
	log_event(LOG_WARNING, CATALOG_QUARANTINED, LOG_FIELDS(field),
		  "sink %s refused %llu records for good, the last because: %s; they are kept in "
		  "quarantine",
		  r->sink->name, (unsigned long long)r->quarantine_unsaid, why);
	r->quarantine_said = now;
	r->quarantine_unsaid = 0;
}

static void say_conflict(const struct route *r, uint32_t stream, const char *what)
{
	struct stream_status status;
	char field[48];

	store_stream_status(r->store, stream, &status);
	(void)snprintf(field, sizeof(field), "SINK=%s", r->sink->name); /* 32 at most */
	log_event(LOG_ERR, CATALOG_CONFLICT, LOG_FIELDS(field),
		  "sink %s holds other data under the identity of a %s record of %s (%s): the "
		  "stream is held, nothing of it is sent",
		  r->sink->name, kind_name(status.info.kind),
		  status.info.device ? status.info.device : "?", what);
}

/* A store that fails does so each second: a line a minute, and the others counted. */
static void say_fault(struct route *r, int fault, usec_t now)
{
	const char *problem = store_problem(r->store);

	r->faults++;
	if (r->fault_said && now - r->fault_said < FAULT_SILENCE)
		return;
	log_error("sink %s: an upload could not be settled (%u times): %s; it is tried again",
		  r->sink->name, r->faults, *problem ? problem : strerror(-fault));
	r->fault_said = now;
	r->faults = 0;
}

/* Ends of a cut */

void settle_fault(struct route *r, struct lane *l, int fault, usec_t now)
{
	say_fault(r, fault, now);
	lane_release(l, r->store);
	for (size_t i = 0; i < LANE_MAX_; i++)
		r->not_before[i] = now + STORE_REST;
	if (r->health.breaker.state == BREAKER_TRIAL)
		health_unknown(&r->health, now + STORE_REST);
}

static void defer(struct route *r, struct lane *l, usec_t at, const char *reason, usec_t now)
{
	int q;

	tell_failure(r, l, reason, now);
	q = outbox_defer(r->store, &l->cut, now, at, reason);
	if (q < 0)
		settle_fault(r, l, q, now);
	else
		lane_settled(l);
}

/* The sink judged the records, so a trial has no outcome: the next one may go at `at`. */
static void trial_without_outcome(struct route *r, const struct lane *l, usec_t at)
{
	if (l->trial)
		health_unknown(&r->health, at);
}

/* Receipts */

static bool settles_something(const struct verdict *v)
{
	for (size_t i = 0; i < v->n_entries; i++)
		if (v->entries[i].acked_through > 0 || v->entries[i].n_rejected > 0 ||
		    v->entries[i].identity_conflict)
			return true;
	return false;
}

static void count_entry(struct route *r, const struct receipt_entry *e, uint64_t *confirmed)
{
	unsigned kind = kind_of(r, e->stream);
	uint64_t n = (uint64_t)e->accepted + e->duplicate;

	confirmed[kind] += n;
	suspects_confirmed(&r->suspects, kind, n);
	r->count.records_confirmed += n;
	r->count.duplicates += e->duplicate;
}

/* All names are in doubt, not only this one: whoever holds it has a copy of the whole store. */
static void on_identity_conflict(struct route *r, uint32_t stream)
{
	struct stream_status status;
	char detail[120];

	store_stream_status(r->store, stream, &status);
	if (status.old)
		return; /* it was sent before the names were changed */
	say_conflict(r, stream, "our run number under another nonce: is a clone at work?");
	(void)snprintf(detail, sizeof(detail), "server \"%s\", %s of %s", r->sink->name,
		       kind_name(status.info.kind), status.info.device);
	if (r->handler->identity)
		r->handler->identity(r->handler->userdata, INCARNATION_CONFLICT, detail);
}

static void look_for_trouble(struct route *r, const struct lane *l, const struct receipt_entry *e,
			     usec_t now)
{
	const struct rejection *bad = NULL, *conflict = NULL;
	uint64_t n = 0;
	char why[180];

	for (size_t i = 0; i < e->n_rejected; i++) {
		if (e->rejected[i].conflict) {
			conflict = &e->rejected[i];
			continue;
		}
		bad = &e->rejected[i];
		n++;
	}
	if (e->identity_conflict)
		on_identity_conflict(r, e->stream);
	else if (conflict)
		say_conflict(r, e->stream, "the same number, other content");
	if (!bad)
		return;
	(void)snprintf(why, sizeof(why), "%s %s", bad->code, bad->detail); /* both bounded */
	say_quarantine(r, n, why, now);
	tell(r, l, SYNC_QUARANTINED, kind_of(r, e->stream), n, why, now);
}

static void count_success(struct route *r, const struct lane *l, uint64_t n, usec_t now)
{
	usec_t since = MAX(l->first_attempt, r->last_backlog);
	uint64_t rate;

	if (l->immediate) {
		r->count.immediate_success++;
		r->count.immediate_first_try += l->attempts == 1;
		count_immediate(r, l, true, n, now);
		return;
	}
	r->count.background_success++;
	rate = n * USEC_PER_SEC / MAX(now - since, 1U);
	r->count.drain_rate = r->count.drain_rate ? (7 * r->count.drain_rate + rate) / 8 : rate;
	r->last_backlog = now;
}

/* Confirms, and quarantines what the answer names. True: done; false: a fault, dealt with. */
static bool confirm(struct route *r, struct lane *l, const struct verdict *v, usec_t now)
{
	int q;

	for (size_t i = 0; i < v->n_entries; i++)
		look_for_trouble(r, l, &v->entries[i], now);
	q = outbox_confirm(r->store, &l->cut, v->entries, v->n_entries, now);
	if (q < 0)
		settle_fault(r, l, q, now);
	else
		lane_settled(l);
	return q >= 0;
}

/* A server that does not hold what came before may have lost it. */
static void look_for_holes(struct route *r, const struct lane *l, const struct verdict *v,
			   usec_t now)
{
	for (size_t i = 0; i < v->n_entries; i++)
		for (size_t k = 0; v->entries[i].missing_after && k < l->cut.n_ranges; k++) {
			const struct cut_range *range = &l->cut.ranges[k];

			if (range->stream == v->entries[i].stream)
				reconcile_missing(r->reconcile, range->stream,
						  store_before(r->store, range->stream,
							       range->first_seq),
						  now);
		}
}

static void on_receipt(struct route *r, struct lane *l, const struct verdict *v, usec_t now)
{
	uint64_t confirmed[KIND_MAX] = {0}, n = 0;

	for (size_t i = 0; i < v->n_entries; i++)
		count_entry(r, &v->entries[i], confirmed);
	for (unsigned kind = 0; kind < KIND_MAX; kind++) {
		tell(r, l, l->immediate ? SYNC_IMMEDIATE_SUCCESS : SYNC_BACKGROUND_SUCCESS, kind,
		     confirmed[kind], "", now);
		n += confirmed[kind];
	}
	count_success(r, l, n, now);
	r->count.last_success_us = clock_wall_usec();
	look_for_holes(r, l, v, now);
	reconcile_receipt(r->reconcile, now);
	if (!confirm(r, l, v, now))
		return;
	if (health_success(&r->health, now)) {
		r->reopen = true;
		outbox_hurry(r->store, r->number, false);
	}
}

/* Failures of the sink */

usec_t settle_sink(struct route *r, const struct verdict *v, const struct answer *a, usec_t now)
{
	bool certificate = a->transport == TRANSPORT_CERTIFICATE || v->class == VERDICT_CLOCK;
	char reason[sizeof(r->health.reason)];

	switch (v->class) {
	case VERDICT_TOKEN:
		(void)snprintf(reason, sizeof(reason), "%.90s; %.105s", v->reason,
			       !r->token.path	     ? "no token_file is configured"
			       : r->token.problem[0] ? r->token.problem
						     : "put a valid one into its token_file "
						       "(a systemd credential: and restart)");
		return health_hold(&r->health, now, reason, v->detail, PROBE_SELDOM);
	case VERDICT_CLOCK:
		if (!clock_read(r->config->trust_clock).synchronised)
			return health_wait_for_clock(&r->health, now, v->reason, v->detail);
		return health_hold(&r->health, now, v->reason, v->detail, PROBE_LADDER);
	case VERDICT_ACCOUNT:
	case VERDICT_ENCODING:
		return health_hold(&r->health, now, v->reason, v->detail,
				   certificate ? PROBE_LADDER : PROBE_SELDOM);
	default: return health_down(&r->health, now, v->reason, v->detail, v->retry_after);
	}
}

static void on_account(struct route *r, struct lane *l, const struct verdict *v,
		       const struct answer *a, usec_t now)
{
	defer(r, l, settle_sink(r, v, a, now), v->reason, now);
}

static void on_token(struct route *r, struct lane *l, const struct verdict *v,
		     const struct answer *a, usec_t now)
{
	bool first = !l->token_read;

	l->token_read = true;
	if (first && token_read(&r->token))
		lane_wait(l, now);
	else
		on_account(r, l, v, a, now);
}

static void on_encoding(struct route *r, struct lane *l, const struct verdict *v,
			const struct answer *a, usec_t now)
{
	int q;

	r->plain = l->gzip; /* not what the other lane has learnt meanwhile */
	if (!l->gzip) {
		on_account(r, l, v, a, now);
		return;
	}
	q = lane_encode(l, false);
	if (q < 0)
		settle_fault(r, l, q, now);
	else
		lane_wait(l, now);
}

/* Failures of records */

static void quarantine(struct route *r, struct lane *l, const char *code, const char *reason,
		       usec_t now)
{
	int q;

	say_quarantine(r, 1, reason, now);
	tell_cut(r, l, SYNC_QUARANTINED, reason, now);
	q = outbox_quarantine(r->store, &l->cut, now, code, reason);
	if (q < 0)
		settle_fault(r, l, q, now);
	else
		lane_settled(l);
}

static void on_refused_single(struct route *r, struct lane *l, const struct verdict *v, int status,
			      usec_t now)
{
	const struct cut_range *range = &l->cut.ranges[0];
	char reason[sizeof(r->health.reason)], code[40];

	switch (suspects_refused(&r->suspects, kind_of(r, range->stream), range->stream,
				 range->first_seq)) {
	case SUSPICION_RECORD:
		trial_without_outcome(r, l, now);
		(void)snprintf(code, sizeof(code), "http_%d", status); /* fits */
		quarantine(r, l, code, v->reason, now);
		break;
	case SUSPICION_WAIT:
		trial_without_outcome(r, l, now);
		defer(r, l, now + backoff_after(&r->health.backoff, l->cut.retry_count + 1),
		      v->reason, now);
		break;
	case SUSPICION_ACCOUNT:
		(void)snprintf(reason, sizeof(reason),
			       "it refuses one record after another and takes none: %.120s",
			       v->reason);
		r->trial_new = true; /* a probe with a record it knows would tell nothing new */
		defer(r, l, health_hold(&r->health, now, reason, "", PROBE_SELDOM), v->reason, now);
		break;
	}
}

static void split(struct route *r, struct lane *l, const struct verdict *v, usec_t now)
{
	int q;

	tell_failure(r, l, v->reason, now);
	trial_without_outcome(r, l, now);
	q = outbox_split(r->store, &l->cut, now, v->reason);
	assert(q <= 0); /* the caller has seen that it is more than one record */
	if (q < 0)
		settle_fault(r, l, q, now);
	else
		lane_settled(l);
}

static void split_or_suspect(struct route *r, struct lane *l, const struct verdict *v, int status,
			     usec_t now)
{
	if (l->cut.n_records > 1)
		split(r, l, v, now);
	else
		on_refused_single(r, l, v, status, now);
}

/* The first record that a refusal names, and whether any of them is a conflict. */
static const struct rejection *first_named(const struct verdict *v, bool *ret_conflict)
{
	const struct rejection *first = NULL;

	*ret_conflict = false;
	for (size_t i = 0; i < v->n_entries; i++)
		for (size_t k = 0; k < v->entries[i].n_rejected; k++) {
			first = first ? first : &v->entries[i].rejected[k];
			*ret_conflict |= v->entries[i].rejected[k].conflict;
		}
	return first;
}

/*
 * A refusal that names records acknowledges nothing, so the way to them is the same: split. But a
 * single record that the server itself names needs no other witness.
 */
static void on_record(struct route *r, struct lane *l, const struct verdict *v, int status,
		      usec_t now)
{
	const struct rejection *named;
	bool conflict;

	named = first_named(v, &conflict);
	if (conflict) {
		trial_without_outcome(r, l, now);
		(void)confirm(r, l, v, now); /* holds the stream; a fault was dealt with */
	} else if (named && l->cut.n_records == 1) {
		trial_without_outcome(r, l, now);
		quarantine(r, l, named->code, named->detail, now);
	} else {
		split_or_suspect(r, l, v, status, now);
	}
}

static void on_too_large(struct route *r, struct lane *l, const struct verdict *v, int status,
			 usec_t now)
{
	size_t tried = MIN(r->max_body, batch_size(l->batch));

	r->max_body = MAX(tried / 2, (size_t)BODY_MIN);
	split_or_suspect(r, l, v, status, now);
}

/* Failures in time */

static size_t max_attempts(const struct route *r)
{
	return MAX(r->config->n_immediate_retry_delays, 1U);
}

/* The longest that a lane waits with a cut in its hands. */
static usec_t longest_wait(const struct route *r)
{
	usec_t longest = 0;

	for (size_t i = 0; i < r->config->n_immediate_retry_delays; i++)
		longest = MAX(longest, r->config->immediate_retry_delays[i]);
	return longest;
}

static bool may_try_again(const struct route *r, const struct lane *l, usec_t wait)
{
	return !l->trial && l->attempts < max_attempts(r) && wait <= longest_wait(r);
}

static void on_busy(struct route *r, struct lane *l, const struct verdict *v, usec_t now)
{
	usec_t wait = v->retry_after ? v->retry_after : r->config->backoff_min;

	if (may_try_again(r, l, wait)) {
		lane_wait(l, now + wait);
		return;
	}
	trial_without_outcome(r, l, now + wait);
	defer(r, l, now + wait, v->reason, now);
}

/* A 5xx that follows this batch while others pass. */
static bool only_this_one(const struct route *r, const struct lane *l, int status)
{
	bool often = l->cut.retry_count + 1 >= POISON_RETRIES;

	if (status < 500 || status == 503 || l->trial)
		return false;
	return r->health.last_success > l->first_attempt ||
	       (often && r->health.last_success > r->health.last_failure);
}

static void on_transient(struct route *r, struct lane *l, const struct verdict *v,
			 const struct answer *a, usec_t now)
{
	if (may_try_again(r, l, v->retry_after)) {
		lane_wait(l, now + MAX(r->config->immediate_retry_delays[l->attempts],
				       v->retry_after));
		return;
	}
	if (!only_this_one(r, l, a->status)) {
		r->trial_new = !l->immediate && a->status >= 500;
		on_account(r, l, v, a, now);
		return;
	}
	if (l->cut.retry_count + 1 >= POISON_RETRIES) {
		split_or_suspect(r, l, v, a->status, now);
		return;
	}
	defer(r, l, now + backoff_after(&r->health.backoff, l->cut.retry_count + 1), v->reason,
	      now);
}

void settle_answer(struct route *r, struct lane *l, const struct answer *a, usec_t now)
{
	static const char nothing[] = "a receipt that acknowledges nothing";
	_cleanup_(verdict_done) struct verdict v = {0};
	int q = receipt_judge(l->batch, a, &v);

	if (q < 0) {
		settle_fault(r, l, q, now);
		return;
	}
	if (v.class == VERDICT_RECEIPT && !settles_something(&v)) {
		v.class = VERDICT_TRANSIENT;
		memcpy(v.reason, nothing, sizeof(nothing));
	}
	log_debug("sink %s: %s batch of %llu records, attempt %u: %s", r->sink->name,
		  l->immediate ? "immediate" : "backlog", (unsigned long long)l->cut.n_records,
		  l->attempts, v.reason);
	switch (v.class) {
	case VERDICT_RECEIPT: on_receipt(r, l, &v, now); break;
	case VERDICT_TRANSIENT: on_transient(r, l, &v, a, now); break;
	case VERDICT_BUSY: on_busy(r, l, &v, now); break;
	case VERDICT_CLOCK:
	case VERDICT_ACCOUNT: on_account(r, l, &v, a, now); break;
	case VERDICT_TOKEN: on_token(r, l, &v, a, now); break;
	case VERDICT_RECORD: on_record(r, l, &v, a->status, now); break;
	case VERDICT_TOO_LARGE: on_too_large(r, l, &v, a->status, now); break;
	case VERDICT_ENCODING: on_encoding(r, l, &v, a, now); break;
	}
}
