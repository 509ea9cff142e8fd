/*
 * One comparison, from its beginning to its end:
 *
 *	ranges     what is compared, of each stream: what the sink has confirmed and is still held
 *	  |
 *	SEEK       where in the log the first record of the range lies
 *	  |
 *	SPAN  <--------------------------------+   the next piece: one that differs, else of the range
 *	  |                                    |
 *	HASH       our own windows, in slices  |
 *	  |                                    |
 *	ASK        GET .../windows             |
 *	  |                                    |
 *	judge -- what differs is looked at narrower: 4096 numbers, 64, 1
 *
 *	of a window          what is done
 *	equal                counted
 *	the server has none  all of it is owed again; looked at narrower only if we lost a part ourselves
 *	they differ          narrower; a single one that differs is a conflict, and the stream is held
 *	only the server's    a finding: nothing here can be made of it
 *
 * The server's side is a stranger's, so nothing of ours is ever let go because of it: the worst that
 * a lying server achieves is that it is sent everything again, as duplicates. What is compared was
 * confirmed when it was asked for; what became a row since is left alone by outbox_owe().
 *
 * Low priority: it has a connection of its own, so that the lanes never wait for it, its slices come
 * after all other events of the loop, and it pauses while the backlog digests what was found.
 */
#include "upload/reconcile.h"

#include "model/catalog.h"
#include "store/finding.h"
#include "upload/http.h"
#include "util/human.h"
#include "util/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>

#define TIMER_ACCURACY USEC_PER_MSEC
#define FIRST_MIN      (120 * USEC_PER_SEC) /* after the start: first things first */
#define FIRST_MAX      (600 * USEC_PER_SEC)
#define AGAIN_AFTER    (600 * USEC_PER_SEC) /* it did not get through */
#define MISSING_EVERY  (3600 * USEC_PER_SEC)
#define DIGEST_PAUSE   (200 * USEC_PER_MSEC) /* while the backlog lane goes first */
#define RETRY_MAX      (60 * USEC_PER_SEC)   /* a server that wants more is asked another time */

enum {
	WIDTH = 4096, /* of the first look */
	FACTOR = 64,  /* how much narrower each next one is */
	SPAN_WINDOWS = 64,
	STACK_MAX = SPAN_WINDOWS + TALLY_WINDOWS, /* a level puts at most a window each on it */
	ROWS_MAX = 256,				  /* so much may be owed before it pauses */
	ATTEMPTS = 3,
	REQUESTS_MAX = 20000, /* a comparison; what is left is done by the next one */
};

/* As wide as the numbers of a run: of what no record here has, only the count is of interest. */
#define WIDTH_BEYOND (SEQ_N_MAX + 1)

enum step { STEP_SEEK, STEP_SPAN, STEP_HASH, STEP_ASK, STEP_ANSWER };

/* What one that is under way needs. */
struct work {
	enum reconcile_what what;
	bool one_stream;
	usec_t began;
	enum step step;
	struct http *http;
	struct http_call *call;
	unsigned attempts; /* of this request */
	struct tally *tally;

	struct cut_range *ranges;
	size_t n_ranges, at;
	uint64_t next_seq, next_id; /* of the range, what is not compared yet begins there */
	uint64_t piece_last;	    /* of its piece under way; 0: none is */
	struct tally_span span;
	bool beyond; /* no record of ours has these numbers */
	bool again;  /* something of this stream is owed again */
	struct tally_span stack[STACK_MAX];
	size_t depth;
	uint64_t beyond_first, beyond_last; /* to be asked behind the stack; 0: not */

	uint32_t held; /* the stream that was held last */
	uint64_t again_of[KIND_MAX];
	struct finding finding; /* grows while what is found adjoins */
};

struct reconcile {
	struct reconcile_options o;
	sd_event_source *timer;
	struct work *work;
	usec_t planned; /* by itself */
	bool asked, all, unsent;
	uint32_t stream; /* that alone; 0: all */
	bool told_unsupported;
	struct reconcile_state state;
	usec_t *missing_at; /* [stream - 1]: when missing_after was acted on; 0: never */
	size_t n_missing_at;
};

static usec_t loop_now(const struct reconcile *r)
{
	usec_t now = 0;

	(void)sd_event_now(r->o.event, CLOCK_BOOTTIME, &now); /* fails for no clock it knows */
	return now;
}

static void arm(struct reconcile *r, usec_t at)
{
	if (sd_event_source_set_time(r->timer, at) < 0 ||
	    sd_event_source_set_enabled(r->timer, SD_EVENT_ONESHOT) < 0)
		log_error("sink %s: the timer of its comparison could not be set", r->o.sink->name);
}

static usec_t between(usec_t min, usec_t max)
{
	uint64_t random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = 0;
	return max > min ? min + random % (max - min) : min;
}

static struct work *work_free(struct work *w)
{
	if (!w)
		return NULL;
	w->call = http_cancel(w->call);
	w->http = http_free(w->http);
	w->tally = tally_free(w->tally);
	free(w->ranges);
	free(w);
	return NULL;
}
DEFINE_CLEANUP(struct work *, work_free)

/* Telling */

static void put_finding(struct reconcile *r)
{
	struct finding *f = &r->work->finding;

	if (f->what && r->work->what != RECONCILE_UNSENT)
		(void)finding_add(r->o.store, f); /* it is counted in any case */
	*f = (struct finding){0};
}

static void find_out(struct reconcile *r, enum finding_what what, uint64_t first, uint64_t last,
		     uint64_t n)
{
	struct finding *f = &r->work->finding;
	uint32_t stream = r->work->span.stream;

	if (f->what == what && f->stream == stream && first > f->last_seq &&
	    compare_count(r->o.store, stream, f->last_seq + 1, first - 1) == 0) {
		f->last_seq = last;
		f->n += n;
		return;
	}
	put_finding(r);
	*f = (struct finding){.wall_us = clock_wall_usec(),
			      .sink = r->o.number,
			      .stream = stream,
			      .first_seq = first,
			      .last_seq = last,
			      .n = n,
			      .what = (uint8_t)what};
}

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
		if (r->work->again_of[kind]) {
			tell(r, kind, r->work->again_of[kind]);
			any = true;
		}
	if (!any)
		tell(r, 0, 0);
}

static void describe_scope(const struct reconcile *r, char ret[static 64])
{
	char window[HUMAN_SIZE];

	if (r->work->one_stream)
		(void)snprintf(ret, 64, "one stream");
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

/* One line, whatever came of it. */
static void say(const struct reconcile *r)
{
	const struct reconcile_state *s = &r->state;
	char field[48], scope[64];

	(void)snprintf(field, sizeof(field), "SINK=%s", s->sink); /* 32 at most */
	describe_scope(r, scope);
	if (s->problem[0])
		log_event(LOG_WARNING, CATALOG_RECONCILE, LOG_FIELDS(field),
			  "reconcile: %s could not be compared to the end: %s; %" PRIu64
			  " records are equal, %" PRIu64 " are sent again",
			  s->sink, s->problem, s->compared, s->again);
	else if (r->work->what == RECONCILE_UNSENT)
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

/* What was not compared waits as it did before. */
static void owe_rest(struct reconcile *r)
{
	struct work *w = r->work;
	uint64_t n;

	for (; w->at < w->n_ranges; w->at++) {
		struct cut_range range = w->ranges[w->at];
		int q;

		if (w->step != STEP_SEEK)
			range.first_seq = MAX(range.first_seq, w->next_seq);
		w->step = STEP_SEEK;
		q = outbox_owe(r->o.store, &range, r->o.number, &n);
		if (q < 0)
			log_error("sink %s: %s", r->o.sink->name, store_problem(r->o.store));
	}
}

static void plan(struct reconcile *r, usec_t now)
{
	usec_t interval = r->o.config->reconcile_interval;

	if (!r->o.by_itself)
		return;
	if (r->state.ended || r->state.unsupported)
		r->planned = now + between(interval - interval / 10, interval + interval / 10);
	else
		r->planned = now + MIN(interval, (usec_t)AGAIN_AFTER);
}

static void end(struct reconcile *r, usec_t now)
{
	bool unsent = r->work->what == RECONCILE_UNSENT, one = r->work->one_stream;
	struct reconcile_state *s = &r->state;

	put_finding(r);
	s->ended = !s->unsupported && !s->problem[0];
	s->took = now - r->work->began;
	if (unsent)
		owe_rest(r);
	if (s->unsupported)
		say_unsupported(r);
	else
		say(r);
	if (!unsent && !s->unsupported)
		tell_events(r);
	if (s->ended && !unsent && !one) {
		s->last_us = clock_wall_usec();
		finding_reconciled(r->o.store, r->o.number, s->last_us);
	}
	if (!s->ended && s->everything && !s->unsupported)
		r->all = true; /* what was to be looked at still is */
	s->phase = RECONCILE_IDLE;
	if (!one || !s->ended)
		plan(r, now);
	r->work = work_free(r->work);
	r->o.ended(r->o.userdata);
}

static void give_up(struct reconcile *r, usec_t now, const char *format, ...) _printf_(3, 4);
static void give_up(struct reconcile *r, usec_t now, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(r->state.problem, sizeof(r->state.problem), format, ap); /* cut */
	va_end(ap);
	end(r, now);
}

static void give_up_store(struct reconcile *r, usec_t now)
{
	const char *problem = store_problem(r->o.store);

	give_up(r, now, "%s", *problem ? problem : "the store cannot be read");
}

/* Judging */

/* < 0: a fault of the store. */
static int owe(struct reconcile *r, const struct tally_window *w)
{
	const struct cut_range range = {.stream = r->work->span.stream,
					.first_seq = w->first_seq,
					.last_seq = w->last_seq,
					.first_id = w->first_id};
	struct stream_status status;
	uint64_t n;
	int q;

	q = outbox_owe(r->o.store, &range, r->o.number, &n);
	if (q != 0 || n == 0)
		return q < 0 ? q : 0;
	store_stream_status(r->o.store, range.stream, &status);
	r->work->again_of[status.info.kind < KIND_MAX ? status.info.kind : 0] += n;
	r->state.again += n;
	r->state.streams_again += !r->work->again;
	r->work->again = true;
	find_out(r, FINDING_LACKED, range.first_seq, range.last_seq, n);
	return 0;
}

static void conflict(struct reconcile *r, uint64_t seq)
{
	uint32_t stream = r->work->span.stream;
	struct stream_status status;
	char field[48];

	r->state.conflicts++;
	find_out(r, FINDING_CONFLICT, seq, seq, 1);
	if (r->work->what == RECONCILE_UNSENT || r->work->held == stream)
		return;
	r->work->held = stream;
	outbox_hold(r->o.store, r->o.number, stream);
	store_stream_status(r->o.store, stream, &status);
	(void)snprintf(field, sizeof(field), "SINK=%s", r->o.sink->name); /* 32 at most */
	log_event(LOG_ERR, CATALOG_CONFLICT, LOG_FIELDS(field),
		  "sink %s holds other data under the number of a %s record of %s that it had "
		  "confirmed (%" PRIu64 ".%" PRIu64 "): the stream is held, nothing of it is sent",
		  r->o.sink->name, kind_name(status.info.kind),
		  status.info.device ? status.info.device : "?", seq_run(seq),
		  (uint64_t)(seq & SEQ_N_MAX));
}

static void server_only(struct reconcile *r, const struct window *theirs)
{
	r->state.server_only += theirs->count;
	find_out(r, FINDING_SERVER_ONLY, theirs->first, theirs->last, theirs->count);
}

static bool is_equal(const struct tally_window *ours, const struct window *theirs)
{
	return ours->count == theirs->count && memcmp(ours->sha256, theirs->sha256, 32) == 0;
}

/* All that was ever admitted between its ends is here. */
static bool is_whole(const struct reconcile *r, const struct tally_window *ours)
{
	return ours->count + ours->excused ==
	       compare_count(r->o.store, r->work->span.stream, ours->first_seq, ours->last_seq);
}

/* Of a single number. */
static int judge_one(struct reconcile *r, uint64_t seq, const struct tally_window *ours,
		     const struct window *theirs)
{
	if (!theirs)
		return ours->count ? owe(r, ours) : 0;
	if (ours->count)
		conflict(r, seq);
	else if (!ours->excused &&
		 seq >= compare_oldest(r->o.store, r->o.number, r->work->span.stream))
		server_only(r, theirs);
	return 0;
}

/* > 0: it must be looked at narrower. */
static int judge_window(struct reconcile *r, uint64_t seq, const struct tally_window *ours,
			const struct window *theirs)
{
	if (!theirs && ours->count == 0)
		return 0;
	if (theirs && is_equal(ours, theirs)) {
		r->state.compared += ours->count;
		return 0;
	}
	if (r->work->span.width == 1)
		return judge_one(r, seq, ours, theirs);
	if (!theirs && is_whole(r, ours))
		return owe(r, ours);
	return 1;
}

/* Windows that differ, those that adjoin as one span; the first of them ends up on top. */
static void push(struct reconcile *r, const bool *differs, const struct tally_window *windows,
		 size_t n)
{
	struct work *w = r->work;
	const struct tally_span from = w->span;
	uint64_t width = from.width / FACTOR;
	size_t most = (size_t)(TALLY_WINDOWS * width / from.width);

	for (size_t end = n; end > 0;) {
		size_t begin = end - 1, last = end - 1;
		uint64_t id = 0;

		end--;
		if (!differs[last])
			continue;
		while (begin > 0 && differs[begin - 1] && last - begin + 1 < most)
			begin--;
		for (size_t i = begin; i <= last && id == 0; i++)
			id = windows[i].first_id;
		assert(w->depth < STACK_MAX);
		w->stack[w->depth++] = (struct tally_span){
			.stream = from.stream,
			.first_seq = from.first_seq + begin * from.width,
			.last_seq =
				MIN(from.last_seq, from.first_seq + (last + 1) * from.width - 1),
			.width = width,
			.first_id = id ? id : from.first_id,
		};
		end = begin;
	}
}

static int judge(struct reconcile *r, const struct window *theirs, size_t n_theirs)
{
	const struct tally_span *span = &r->work->span;
	const struct tally_window *ours;
	bool differs[TALLY_WINDOWS] = {false};
	size_t n = tally_windows(r->work->tally, &ours), k = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t first = span->first_seq + i * span->width;
		const struct window *w = NULL;
		int q;

		if (k < n_theirs && theirs[k].first - first < span->width)
			w = &theirs[k++];
		q = judge_window(r, first, &ours[i], w);
		if (q < 0)
			return q;
		differs[i] = q > 0;
	}
	if (span->width > 1)
		push(r, differs, ours, n);
	return 0;
}

/* Asking */

static struct windows_query query_of(const struct work *w)
{
	return (struct windows_query){.from_seq = w->span.first_seq,
				      .to_seq = w->span.last_seq,
				      .width = w->span.width};
}

static void ask_again(struct reconcile *r, const char *why, usec_t retry_after, usec_t now)
{
	usec_t wait = (USEC_PER_SEC / 2) << (2 * r->work->attempts); /* 2 s, 8 s */

	if (r->work->attempts >= ATTEMPTS || retry_after > RETRY_MAX) {
		give_up(r, now, "%s", why);
		return;
	}
	r->work->step = STEP_ASK;
	arm(r, now + MAX(wait, retry_after));
}

static bool is_passing(int status)
{
	return status == 408 || status == 425 || status == 429 || status >= 500;
}

static void on_refused(struct reconcile *r, const struct answer *a, usec_t now)
{
	char why[120];

	if (a->transport != TRANSPORT_OK || a->status == 0) {
		(void)snprintf(why, sizeof(why), "no answer from the server%s%.80s",
			       a->transport_detail ? ": " : "",
			       a->transport_detail ? a->transport_detail : "");
		ask_again(r, why, 0, now);
		return;
	}
	if (a->status == 404 || a->status == 405) {
		r->state.unsupported = true;
		end(r, now);
		return;
	}
	(void)snprintf(why, sizeof(why), "the server answers %d", a->status);
	if (is_passing(a->status))
		ask_again(r, why, a->retry_after, now);
	else
		give_up(r, now, "%s", why);
}

static int take_windows(struct reconcile *r, const struct window *windows, size_t n)
{
	struct work *w = r->work;

	if (!w->beyond)
		return judge(r, windows, n);
	for (size_t i = 0; i < n; i++)
		server_only(r, &windows[i]);
	return 0;
}

static void on_answer(void *userdata, const struct answer *a)
{
	_cleanup_(freep) struct window *windows = NULL;
	struct reconcile *r = userdata;
	struct windows_query q = query_of(r->work);
	uint64_t owed = r->state.again;
	usec_t now = loop_now(r);
	const char *why = "";
	size_t n = 0;
	int e;

	r->work->call = NULL;
	if (a->transport != TRANSPORT_OK || a->status != 200) {
		on_refused(r, a, now);
		return;
	}
	e = windows_parse(a, &q, &windows, &n, &why);
	if (e > 0) {
		ask_again(r, why, 0, now);
		return;
	}
	if (e == 0)
		e = take_windows(r, windows, n);
	if (e < 0) {
		give_up_store(r, now);
		return;
	}
	r->work->step = STEP_SPAN;
	arm(r, now);
	if (r->state.again > owed)
		r->o.found(r->o.userdata);
}

static void ask(struct reconcile *r, usec_t now)
{
	const struct windows_query q = query_of(r->work);
	struct http_request request = {.method = "GET",
				       .token = r->o.token->value,
				       .timeout = r->o.config->background_timeout};
	char path[240], stream[UUID_STRING_SIZE];
	struct stream_status status;

	if (r->state.requests == REQUESTS_MAX) {
		give_up(r, now, "too much differs for one time; the rest is compared next");
		return;
	}
	store_stream_status(r->o.store, r->work->span.stream, &status);
	uuid_format(&status.info.id, stream);
	(void)snprintf(path, sizeof(path),
		       "/v1/streams/%s/windows?from_seq=%" PRIu64 "&to_seq=%" PRIu64
		       "&width=%" PRIu64,
		       stream, q.from_seq, q.to_seq, q.width); /* fits */
	request.path = path;
	r->state.requests++;
	r->work->attempts++;
	r->work->step = STEP_ANSWER;
	if (http_send(r->work->http, &request, on_answer, r, &r->work->call) < 0)
		give_up(r, now, "the request could not be made");
}

/* Going through the ranges */

static struct cut_range *current(const struct work *w)
{
	return &w->ranges[w->at];
}

struct seeking {
	uint64_t seq, id;
};

static int note_first(void *userdata, const struct record *record)
{
	*(struct seeking *)userdata = (struct seeking){record->seq, record->id};
	return 1;
}

/* True: the first record of the range was found, or it has none. */
static int seek(struct reconcile *r, bool *ret_found)
{
	enum { SLICE_IDS = 8192 };
	struct cut_range *range = current(r->work);
	struct seeking found = {0};
	uint64_t next;
	int q;

	q = compare_read(r->o.store, range, SLICE_IDS, &next, note_first, &found);
	*ret_found = q != 0 || found.seq != 0 || next == UINT64_MAX;
	if (q < 0 || (q > 0 && q != STORE_E_CLOCK))
		return -EIO;
	if (!*ret_found)
		range->first_id = next;
	r->work->next_seq = found.seq ? MAX(found.seq, range->first_seq) : range->last_seq + 1;
	if (q == STORE_E_CLOCK && found.seq == 0)
		r->work->next_seq = range->first_seq;
	r->work->next_id = found.seq ? found.id : range->first_id;
	return 0;
}

static void next_range(struct work *w, struct reconcile_state *state)
{
	bool same = w->at + 1 < w->n_ranges && w->ranges[w->at + 1].stream == current(w)->stream;

	if (!same) {
		state->streams_done++;
		w->again = false;
	}
	w->at++;
	w->piece_last = 0;
	w->step = STEP_SEEK;
}

/* The next piece to look at. False: the range has been looked at. */
static bool next_span(struct reconcile *r)
{
	const struct cut_range *range = current(r->work);
	struct work *w = r->work;
	struct compare_span s;

	w->beyond = false;
	if (w->depth > 0) {
		w->span = w->stack[--w->depth];
		return true;
	}
	if (w->beyond_last) {
		w->span = (struct tally_span){.stream = range->stream,
					      .first_seq = w->beyond_first,
					      .last_seq = w->beyond_last,
					      .width = WIDTH_BEYOND};
		w->beyond = true;
		w->beyond_last = 0;
		return true;
	}
	if (w->piece_last)
		w->next_seq = w->piece_last + 1;
	w->piece_last = 0;
	if (w->next_seq > range->last_seq ||
	    !compare_span(r->o.store, r->o.number, range->stream, w->next_seq,
			  (uint64_t)WIDTH * SPAN_WINDOWS, &s) ||
	    s.first_seq > range->last_seq)
		return false;
	if (s.last_seq <= range->last_seq && w->what != RECONCILE_UNSENT) {
		w->beyond_first = s.beyond_first;
		w->beyond_last = s.beyond_last;
	}
	w->span = (struct tally_span){.stream = range->stream,
				      .first_seq = s.first_seq,
				      .last_seq = MIN(s.last_seq, range->last_seq),
				      .width = WIDTH,
				      .first_id = w->next_id};
	w->piece_last = w->span.last_seq;
	return true;
}

/* Hashing came to a record that waits for its time: what is behind it waits too. */
static int stop_at_clock(struct reconcile *r, uint64_t reached)
{
	struct work *w = r->work;
	struct cut_range rest = *current(w);
	uint64_t n;

	current(w)->last_seq = reached - 1;
	if (w->what != RECONCILE_UNSENT)
		return 0;
	rest.first_seq = reached;
	return outbox_owe(r->o.store, &rest, r->o.number, &n);
}

/* < 0: a fault of the store. */
static int hash(struct reconcile *r)
{
	struct work *w = r->work;
	uint64_t reached, id;
	int q = tally_slice(w->tally);

	if (q == STORE_E_MORE)
		return 0;
	reached = tally_reached(w->tally, &id);
	if (q == STORE_E_CLOCK) {
		q = stop_at_clock(r, reached);
		w->span.last_seq = w->piece_last = reached - 1;
	}
	if (q != 0)
		return q < 0 ? q : -EIO;
	w->step = w->span.last_seq >= w->span.first_seq ? STEP_ASK : STEP_SPAN;
	if (w->span.width == WIDTH)
		w->next_id = MAX(w->next_id, id);
	return 0;
}

static int take_span(struct reconcile *r)
{
	struct work *w = r->work;

	if (!next_span(r)) {
		next_range(w, &r->state);
		return 0;
	}
	w->attempts = 0;
	w->step = w->beyond ? STEP_ASK : STEP_HASH;
	if (w->beyond)
		return 0;
	return tally_begin(w->tally, &w->span);
}

/* Does one thing. < 0: a fault of the store. */
static int act(struct reconcile *r, usec_t *at)
{
	struct work *w = r->work;
	bool found = false;
	int q;

	switch (w->step) {
	case STEP_SEEK:
		q = seek(r, &found);
		w->step = found ? STEP_SPAN : STEP_SEEK;
		return q;
	case STEP_SPAN:
		if (compare_rows(r->o.store, r->o.number) <= ROWS_MAX)
			return take_span(r);
		*at += DIGEST_PAUSE;
		return 0;
	case STEP_HASH: return hash(r);
	case STEP_ASK:
	case STEP_ANSWER: break;
	}
	return 0;
}

static int on_timer(sd_event_source *source, usec_t when, void *userdata)
{
	struct reconcile *r = userdata;
	usec_t now = loop_now(r), at = now;

	if (!r->work)
		return 0;
	if (r->work->at == r->work->n_ranges) {
		end(r, now);
		return 0;
	}
	if (r->work->step == STEP_ASK) {
		ask(r, now);
		return 0;
	}
	if (act(r, &at) < 0) {
		give_up_store(r, now);
		return 0;
	}
	arm(r, at);
	return 0;
}

/* Beginning */

static int add_stream(const struct reconcile *r, struct work *w, uint32_t stream, uint64_t since)
{
	struct cut_range range = {.stream = stream, .first_id = since};
	struct cursor_status c;

	store_cursor_status(r->o.store, r->o.number, stream, &c);
	range.first_seq = compare_oldest(r->o.store, r->o.number, stream);
	range.last_seq = c.cursor;
	if (c.confirmed == 0 || range.first_seq == 0 || range.first_seq > range.last_seq)
		return 0;
	w->ranges[w->n_ranges++] = range;
	return 0;
}

static int find_ranges(const struct reconcile *r, struct work *w, uint32_t only, int64_t since_us)
{
	uint32_t n = (uint32_t)store_stream_count(r->o.store);
	uint64_t since = 0;
	int q = 0;

	if (w->what == RECONCILE_UNSENT)
		return compare_take_rows(r->o.store, r->o.number, &w->ranges, &w->n_ranges);
	w->ranges = calloc(n + 1, sizeof(*w->ranges));
	if (!w->ranges)
		return -ENOMEM;
	if (w->what == RECONCILE_RECENT)
		q = compare_since(r->o.store, since_us, &since);
	for (uint32_t i = 1; q == 0 && i <= n; i++)
		if (only == 0 || only == i)
			q = add_stream(r, w, i, since);
	return q < 0 ? q : q > 0 ? -EIO : 0;
}

static int open_http(const struct reconcile *r, struct work *w)
{
	const struct http_options o = {
		.url = r->o.sink->url,
		.ca_file = r->o.sink->ca_file,
		.client_cert = r->o.sink->client_cert,
		.client_key = r->o.sink->client_key,
		.proxy = r->o.sink->proxy,
		.interface = r->o.sink->interface,
	};

	return http_new(r->o.event, &o, &w->http);
}

/*
 * The last day is not enough if nobody has compared for longer than that, or if nobody knows when
 * that was.
 */
static enum reconcile_what scope_of(const struct reconcile *r, int64_t wall_us)
{
	struct finding_times t;

	if (r->unsent)
		return RECONCILE_UNSENT;
	if (r->stream)
		return RECONCILE_RECENT;
	finding_times(r->o.store, r->o.number, &t);
	if (r->all || t.reconciled_us == 0 ||
	    wall_us - t.reconciled_us > (int64_t)r->o.config->reconcile_all_after ||
	    !clock_read(r->o.config->trust_clock).synchronised)
		return RECONCILE_ALL;
	return RECONCILE_RECENT;
}

static uint32_t count_streams(const struct work *w)
{
	uint32_t n = 0;

	for (size_t i = 0; i < w->n_ranges; i++)
		n += i == 0 || w->ranges[i - 1].stream != w->ranges[i].stream;
	return n;
}

int reconcile_begin(struct reconcile *r, usec_t now)
{
	_cleanup_(work_freep) struct work *w = calloc(1, sizeof(*w));
	int64_t wall_us = clock_wall_usec();
	int q;

	assert(!r->work);
	if (!w)
		return -ENOMEM;
	w->began = now;
	w->what = scope_of(r, wall_us);
	w->one_stream = w->what == RECONCILE_RECENT && r->stream != 0;
	q = tally_new(r->o.store, r->o.number, &w->tally);
	if (q == 0)
		q = open_http(r, w);
	if (q == 0)
		q = find_ranges(r, w, r->stream, wall_us - (int64_t)r->o.config->reconcile_window);
	if (q < 0) {
		r->asked = false;
		r->planned = r->o.by_itself ? now + AGAIN_AFTER : USEC_INFINITY;
		return q;
	}
	r->state = (struct reconcile_state){.phase = RECONCILE_RUNNING,
					    .last_us = r->state.last_us,
					    .everything = w->what == RECONCILE_ALL,
					    .streams = count_streams(w)};
	(void)snprintf(r->state.sink, sizeof(r->state.sink), "%s", r->o.sink->name);
	r->asked = r->unsent = false;
	r->all = r->all && w->what != RECONCILE_ALL;
	r->stream = 0;
	r->work = TAKE(w);
	arm(r, now);
	return 0;
}

/* Asking for one */

void reconcile_ask(struct reconcile *r, enum reconcile_what what, uint32_t stream)
{
	bool all_streams = r->asked && r->stream == 0;

	if (r->work && stream == 0 && !r->work->one_stream &&
	    (what == RECONCILE_RECENT || what == r->work->what))
		return; /* that is what is being done */
	r->all = r->all || what == RECONCILE_ALL;
	r->unsent = r->unsent || what == RECONCILE_UNSENT;
	r->stream = all_streams || (r->asked && r->stream != stream) ? 0 : stream;
	r->asked = true;
}

usec_t reconcile_due(const struct reconcile *r)
{
	if (r->work)
		return USEC_INFINITY;
	return r->asked ? 0 : r->planned;
}

bool reconcile_is_busy(const struct reconcile *r)
{
	return r->work || r->asked;
}

void reconcile_receipt(struct reconcile *r, usec_t now)
{
	int64_t wall_us = clock_wall_usec();
	struct finding_times t;

	finding_times(r->o.store, r->o.number, &t);
	finding_confirmed(r->o.store, r->o.number, wall_us);
	if (t.confirmed_us == 0 ||
	    wall_us - t.confirmed_us <= (int64_t)r->o.config->reconcile_all_after)
		return;
	r->all = true;
	if (r->o.by_itself)
		r->planned = MIN(r->planned, now + between(FIRST_MIN, FIRST_MAX));
}

static usec_t *missing_at(struct reconcile *r, uint32_t stream)
{
	size_t n = store_stream_count(r->o.store);
	usec_t *at;

	if (n > r->n_missing_at) {
		at = reallocarray(r->missing_at, n, sizeof(*at));
		if (!at)
			return NULL;
		memset(at + r->n_missing_at, 0, (n - r->n_missing_at) * sizeof(*at));
		r->missing_at = at;
		r->n_missing_at = n;
	}
	return &r->missing_at[stream - 1];
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
	usec_t *at = missing_at(r, stream);

	if (!at || !r->o.config->reconcile || (*at && now < *at + MISSING_EVERY))
		return;
	store_cursor_status(r->o.store, r->o.number, stream, &c);
	if (after == 0 || after > c.anchor ||
	    after < compare_oldest(r->o.store, r->o.number, stream) ||
	    is_quarantined(r, stream, after))
		return;
	*at = now;
	reconcile_ask(r, RECONCILE_RECENT, stream);
}

/* Making and breaking */

struct reconcile *reconcile_free(struct reconcile *r)
{
	if (!r)
		return NULL;
	r->work = work_free(r->work);
	sd_event_source_disable_unref(r->timer);
	free(r->missing_at);
	free(r);
	return NULL;
}

int reconcile_new(const struct reconcile_options *o, usec_t now, struct reconcile **ret)
{
	_cleanup_(reconcile_freep) struct reconcile *r = calloc(1, sizeof(*r));
	struct finding_times t;
	int q;

	if (!r)
		return -ENOMEM;
	r->o = *o;
	r->planned = o->by_itself ? now + MIN(o->config->reconcile_interval,
					      between(FIRST_MIN, FIRST_MAX))
				  : USEC_INFINITY;
	finding_times(o->store, o->number, &t);
	r->state.last_us = t.reconciled_us;
	(void)snprintf(r->state.sink, sizeof(r->state.sink), "%s", o->sink->name);
	q = sd_event_add_time(o->event, &r->timer, CLOCK_BOOTTIME, 0, TIMER_ACCURACY, on_timer, r);
	if (q >= 0)
		q = sd_event_source_set_enabled(r->timer, SD_EVENT_OFF);
	if (q >= 0)
		q = sd_event_source_set_priority(r->timer, SD_EVENT_PRIORITY_NORMAL + 50);
	if (q < 0)
		return q;
	*ret = TAKE(r);
	return 0;
}

void reconcile_state(const struct reconcile *r, struct reconcile_state *ret)
{
	*ret = r->state;
	ret->due = r->planned;
	if (ret->phase == RECONCILE_IDLE && r->asked)
		ret->phase = RECONCILE_WAITING;
	if (r->work)
		ret->took = loop_now(r) - r->work->began;
}
