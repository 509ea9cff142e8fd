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
 * 404 says a server that does not know the question, and one that does not know the stream. One that has
 * answered for another stream knows the question: then it is owed all of this one. Until then such
 * streams are put off; if all are, it cannot be compared with, and nothing is owed.
 *
 * The server's side is a stranger's, so nothing of ours is ever let go because of it: the worst that
 * a lying server achieves is that it is sent everything again, as duplicates. What is compared was
 * confirmed when it was asked for; what became a row since is left alone by outbox_owe().
 *
 * Low priority: it has a connection of its own, so that the lanes never wait for it, its slices come
 * after straps, commits and uploads, and it pauses while the backlog digests what was found. A sink
 * that the lanes find down, or that tells them to wait, is not asked meanwhile.
 */
#include "upload/comparison.h"

#include "model/catalog.h"
#include "store/finding.h"
#include "upload/http.h"
#include "upload/tally.h"
#include "util/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define TIMER_ACCURACY USEC_PER_MSEC
#define DIGEST_PAUSE   (200 * USEC_PER_MSEC) /* while the backlog lane goes first */
#define RETRY_MAX      (60 * USEC_PER_SEC)   /* a server that wants more is asked another time */

enum {
	WIDTH = 4096, /* of the first look */
	FACTOR = 64,  /* how much narrower each next one is */
	SPAN_WINDOWS = 64,
	STACK_MAX = SPAN_WINDOWS + TALLY_WINDOWS, /* a level puts at most a window each on it */
	ROWS_MAX = 256,				  /* so much may be owed before it pauses */
	ATTEMPTS = 3,
	REQUESTS_MAX = 20000, /* what is left is done by the next one */
};

/* As wide as the numbers of a run: of what no record here has, only the count is of interest. */
#define WIDTH_BEYOND (SEQ_N_MAX + 1)

enum step { STEP_SEEK, STEP_SPAN, STEP_HASH, STEP_ASK, STEP_ANSWER };

struct comparison {
	struct comparison_options o;
	struct reconcile_state state;
	sd_event_source *timer;
	usec_t began;
	enum step step;
	struct http *http;
	struct http_call *call;
	unsigned attempts; /* of this request */
	struct tally *tally;

	struct cut_range *ranges;
	size_t n_ranges, at;
	size_t put_off;			/* from there on streams that it answered 404 for */
	bool answered, answered_stream; /* windows: of any stream; of the one under way */
	uint64_t next_seq, next_id;	/* of the range, what is not compared yet begins there */
	uint64_t piece_last;		/* of its piece under way; 0: none is */
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

static usec_t loop_now(const struct comparison *c)
{
	usec_t now = 0;

	(void)sd_event_now(c->o.event, CLOCK_BOOTTIME, &now); /* fails for no clock it knows */
	return now;
}

static void arm(struct comparison *c, usec_t at)
{
	if (sd_event_source_set_time(c->timer, at) < 0 ||
	    sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT) < 0)
		log_error("sink %s: the timer of its comparison could not be set", c->o.sink->name);
}

static void put_finding(struct comparison *c)
{
	struct finding *f = &c->finding;

	if (f->what && c->o.scope != SCOPE_UNSENT)
		(void)finding_add(c->o.store, f); /* it is counted in any case */
	*f = (struct finding){0};
}

static void find_out(struct comparison *c, enum finding_what what, uint64_t first, uint64_t last,
		     uint64_t n)
{
	struct finding *f = &c->finding;
	uint32_t stream = c->span.stream;

	if (f->what == what && f->stream == stream && first > f->last_seq &&
	    compare_count(c->o.store, stream, f->last_seq + 1, first - 1) == 0) {
		f->last_seq = last;
		f->n += n;
		return;
	}
	put_finding(c);
	*f = (struct finding){.wall_us = clock_wall_usec(),
			      .sink = c->o.number,
			      .stream = stream,
			      .first_seq = first,
			      .last_seq = last,
			      .n = n,
			      .what = (uint8_t)what};
}

/* What was not compared waits as it did before. */
static void owe_rest(struct comparison *c)
{
	uint64_t n;

	for (; c->at < c->n_ranges; c->at++) {
		struct cut_range range = c->ranges[c->at];
		int q;

		if (c->step != STEP_SEEK)
			range.first_seq = MAX(range.first_seq, c->next_seq);
		c->step = STEP_SEEK;
		q = outbox_owe(c->o.store, &range, c->o.number, &n);
		if (q < 0)
			log_error("sink %s: %s", c->o.sink->name, store_problem(c->o.store));
	}
}

static void end(struct comparison *c, usec_t now)
{
	put_finding(c);
	c->state.ended = !c->state.unsupported && !c->state.problem[0];
	c->state.took = now - c->began;
	if (c->o.scope == SCOPE_UNSENT)
		owe_rest(c);
	c->at = c->n_ranges;
	c->o.ended(c->o.userdata);
}

static void give_up(struct comparison *c, usec_t now, const char *format, ...) _printf_(3, 4);
static void give_up(struct comparison *c, usec_t now, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(c->state.problem, sizeof(c->state.problem), format, ap); /* cut */
	va_end(ap);
	end(c, now);
}

static void give_up_store(struct comparison *c, usec_t now)
{
	const char *problem = store_problem(c->o.store);

	give_up(c, now, "%s", *problem ? problem : "the store cannot be read");
}

/* Judging */

/* < 0: a fault of the store. */
static int owe_range(struct comparison *c, const struct cut_range *range)
{
	struct stream_status status;
	uint64_t n;
	int q;

	q = outbox_owe(c->o.store, range, c->o.number, &n);
	if (q != 0 || n == 0)
		return q < 0 ? q : 0;
	store_stream_status(c->o.store, range->stream, &status);
	c->again_of[status.info.kind < KIND_MAX ? status.info.kind : 0] += n;
	c->state.again += n;
	c->state.streams_again += !c->again;
	c->again = true;
	find_out(c, FINDING_LACKED, range->first_seq, range->last_seq, n);
	return 0;
}

static int owe(struct comparison *c, const struct tally_window *ours)
{
	const struct cut_range range = {.stream = c->span.stream,
					.first_seq = ours->first_seq,
					.last_seq = ours->last_seq,
					.first_id = ours->first_id};

	return owe_range(c, &range);
}

static void conflict(struct comparison *c, uint64_t seq)
{
	uint32_t stream = c->span.stream;
	struct stream_status status;
	char field[48];

	c->state.conflicts++;
	find_out(c, FINDING_CONFLICT, seq, seq, 1);
	if (c->o.scope == SCOPE_UNSENT || c->held == stream)
		return;
	c->held = stream;
	outbox_hold(c->o.store, c->o.number, stream);
	store_stream_status(c->o.store, stream, &status);
	(void)snprintf(field, sizeof(field), "SINK=%s", c->o.sink->name); /* 32 at most */
	log_event(LOG_ERR, CATALOG_CONFLICT, LOG_FIELDS(field),
		  "sink %s holds other data under the number of a %s record of %s that it had "
		  "confirmed (%" PRIu64 ".%" PRIu64 "): the stream is held, nothing of it is sent",
		  c->o.sink->name, kind_name(status.info.kind),
		  status.info.device ? status.info.device : "?", seq_run(seq),
		  (uint64_t)(seq & SEQ_N_MAX));
}

static void server_only(struct comparison *c, const struct window *theirs)
{
	c->state.server_only += theirs->count;
	find_out(c, FINDING_SERVER_ONLY, theirs->first, theirs->last, theirs->count);
}

static bool is_equal(const struct tally_window *ours, const struct window *theirs)
{
	return ours->count == theirs->count && memcmp(ours->sha256, theirs->sha256, 32) == 0;
}

/* All that was ever admitted between its ends is here. */
static bool is_whole(const struct comparison *c, const struct tally_window *ours)
{
	return ours->count + ours->excused ==
	       compare_count(c->o.store, c->span.stream, ours->first_seq, ours->last_seq);
}

/* Of a single number. */
static int judge_one(struct comparison *c, uint64_t seq, const struct tally_window *ours,
		     const struct window *theirs)
{
	if (!theirs)
		return ours->count ? owe(c, ours) : 0;
	if (ours->count)
		conflict(c, seq);
	else if (!ours->excused && seq >= compare_oldest(c->o.store, c->o.number, c->span.stream))
		server_only(c, theirs);
	return 0;
}

/* > 0: it must be looked at narrower. */
static int judge_window(struct comparison *c, uint64_t seq, const struct tally_window *ours,
			const struct window *theirs)
{
	if (!theirs && ours->count == 0)
		return 0;
	if (theirs && is_equal(ours, theirs)) {
		c->state.compared += ours->count;
		return 0;
	}
	if (c->span.width == 1)
		return judge_one(c, seq, ours, theirs);
	if (!theirs && is_whole(c, ours))
		return owe(c, ours);
	return 1;
}

/* Windows that differ, those that adjoin as one span; the first of them ends up on top. */
static void push(struct comparison *c, const bool *differs, const struct tally_window *windows,
		 size_t n)
{
	const struct tally_span from = c->span;
	uint64_t width = from.width / FACTOR;
	size_t most = (size_t)(TALLY_WINDOWS * width / from.width);

	for (size_t end = n; end > 0;) {
		size_t last = end - 1, begin = last;
		uint64_t id = 0;

		end--;
		if (!differs[last])
			continue;
		while (begin > 0 && differs[begin - 1] && last - begin + 1 < most)
			begin--;
		for (size_t i = begin; i <= last && id == 0; i++)
			id = windows[i].first_id;
		assert(c->depth < STACK_MAX);
		c->stack[c->depth++] = (struct tally_span){
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

static int judge(struct comparison *c, const struct window *theirs, size_t n_theirs)
{
	const struct tally_span *span = &c->span;
	const struct tally_window *ours;
	bool differs[TALLY_WINDOWS] = {false};
	size_t n = tally_windows(c->tally, &ours), k = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t first = span->first_seq + i * span->width;
		const struct window *window = NULL;
		int q;

		if (k < n_theirs && theirs[k].first - first < span->width)
			window = &theirs[k++];
		q = judge_window(c, first, &ours[i], window);
		if (q < 0)
			return q;
		differs[i] = q > 0;
	}
	if (span->width > 1)
		push(c, differs, ours, n);
	return 0;
}

/* From stream to stream */

static struct cut_range *current(const struct comparison *c)
{
	return &c->ranges[c->at];
}

static void next_range(struct comparison *c)
{
	bool same = c->at + 1 < c->n_ranges && c->ranges[c->at + 1].stream == current(c)->stream;

	if (!same) {
		c->state.streams_done++;
		c->again = c->answered_stream = false;
	}
	c->at++;
	c->piece_last = 0;
	c->step = STEP_SEEK;
}

/* Asked for a first window of this stream it says 404. */
static void on_unknown(struct comparison *c, usec_t now)
{
	struct cut_range range = *current(c);
	uint64_t owed = c->state.again;

	if (!c->answered && c->at + 1 >= c->put_off) {
		c->state.unsupported = true;
		end(c, now);
		return;
	}
	c->beyond_last = 0;
	if (c->answered) {
		range.first_seq = c->next_seq;
		if (owe_range(c, &range) < 0) {
			give_up_store(c, now);
			return;
		}
		next_range(c);
	} else {
		memmove(current(c), current(c) + 1, (c->n_ranges - c->at - 1) * sizeof(*c->ranges));
		c->ranges[c->n_ranges - 1] = range;
		c->put_off--;
		c->step = STEP_SEEK;
	}
	c->piece_last = 0;
	arm(c, now);
	if (c->state.again > owed)
		c->o.found(c->o.userdata);
}

/* Asking */

static struct windows_query query_of(const struct comparison *c)
{
	return (struct windows_query){.from_seq = c->span.first_seq,
				      .to_seq = c->span.last_seq,
				      .width = c->span.width};
}

static void ask_again(struct comparison *c, const char *why, usec_t retry_after, usec_t now)
{
	usec_t wait = c->o.config->backoff_min << (2 * (c->attempts - 1)); /* 2 s, 8 s */

	if (c->attempts >= ATTEMPTS || retry_after > RETRY_MAX) {
		c->state.retry_after = retry_after;
		give_up(c, now, "%s", why);
		return;
	}
	c->step = STEP_ASK;
	arm(c, now + MAX(wait, retry_after));
}

static bool is_passing(int status)
{
	return status == 408 || status == 425 || status == 429 || status >= 500;
}

static void on_refused(struct comparison *c, const struct answer *a, usec_t now)
{
	char why[120];

	if (a->transport != TRANSPORT_OK || a->status == 0) {
		(void)snprintf(why, sizeof(why),
			       a->transport_words ? "no answer (%.80s)" : "no answer",
			       a->transport_words);
		ask_again(c, why, 0, now);
		return;
	}
	if ((a->status == 404 || a->status == 405) && !c->answered_stream) {
		on_unknown(c, now);
		return;
	}
	(void)snprintf(why, sizeof(why), "the server answers %d", a->status);
	if (is_passing(a->status))
		ask_again(c, why, a->retry_after, now);
	else
		give_up(c, now, "%s", why);
}

static int take_windows(struct comparison *c, const struct window *windows, size_t n)
{
	if (!c->beyond)
		return judge(c, windows, n);
	for (size_t i = 0; i < n; i++)
		server_only(c, &windows[i]);
	return 0;
}

static void on_answer(void *userdata, const struct answer *a)
{
	_cleanup_(freep) struct window *windows = NULL;
	struct comparison *c = userdata;
	struct windows_query q = query_of(c);
	uint64_t owed = c->state.again;
	usec_t now = loop_now(c);
	const char *why = "";
	size_t n = 0;
	int e;

	c->call = NULL;
	if (a->transport != TRANSPORT_OK || a->status != 200) {
		on_refused(c, a, now);
		return;
	}
	e = windows_parse(a, &q, &windows, &n, &why);
	if (e > 0) {
		ask_again(c, why, 0, now);
		return;
	}
	if (e == 0) {
		c->answered = c->answered_stream = true;
		e = take_windows(c, windows, n);
	}
	if (e < 0) {
		give_up_store(c, now);
		return;
	}
	c->step = STEP_SPAN;
	arm(c, now);
	if (c->state.again > owed)
		c->o.found(c->o.userdata);
}

static void ask(struct comparison *c, usec_t now)
{
	const struct windows_query q = query_of(c);
	struct http_request request = {.method = "GET",
				       .token = c->o.token->value,
				       .timeout = c->o.config->background_timeout};
	char path[240], stream[UUID_STRING_SIZE];
	struct stream_status status;

	if (c->state.requests == REQUESTS_MAX) {
		give_up(c, now, "too much differs for one time; the rest is compared next");
		return;
	}
	c->attempts++;
	if (!c->o.is_up(c->o.userdata)) {
		ask_again(c, "it went down meanwhile", 0, now);
		return;
	}
	store_stream_status(c->o.store, c->span.stream, &status);
	uuid_format(&status.info.id, stream);
	(void)snprintf(path, sizeof(path),
		       "/v1/streams/%s/windows?from_seq=%" PRIu64 "&to_seq=%" PRIu64
		       "&width=%" PRIu64,
		       stream, q.from_seq, q.to_seq, q.width); /* fits */
	request.path = path;
	c->state.requests++;
	c->step = STEP_ANSWER;
	if (http_send(c->http, &request, on_answer, c, &c->call) < 0)
		give_up(c, now, "the request could not be made");
}

/* Going through the ranges */

struct seeking {
	uint64_t seq, id;
};

static int note_first(void *userdata, const struct record *record)
{
	*(struct seeking *)userdata = (struct seeking){record->seq, record->id};
	return 1;
}

/* True: the first record of the range was found, or it has none. */
static int seek(struct comparison *c, bool *ret_found)
{
	enum { SLICE_IDS = 8192 };
	struct cut_range *range = current(c);
	struct seeking found = {0};
	uint64_t next;
	int q;

	q = compare_read(c->o.store, range, SLICE_IDS, &next, note_first, &found);
	*ret_found = q != 0 || found.seq != 0 || next == UINT64_MAX;
	if (q < 0 || (q > 0 && q != STORE_E_CLOCK))
		return -EIO;
	if (!*ret_found)
		range->first_id = next;
	c->next_seq = found.seq ? MAX(found.seq, range->first_seq) : range->last_seq + 1;
	if (q == STORE_E_CLOCK && found.seq == 0)
		c->next_seq = range->first_seq;
	c->next_id = found.seq ? found.id : range->first_id;
	return 0;
}

/* The next piece to look at. False: the range has been looked at. */
static bool next_span(struct comparison *c)
{
	const struct cut_range *range = current(c);
	struct compare_span s;

	c->beyond = false;
	if (c->depth > 0) {
		c->span = c->stack[--c->depth];
		return true;
	}
	if (c->beyond_last) {
		c->span = (struct tally_span){.stream = range->stream,
					      .first_seq = c->beyond_first,
					      .last_seq = c->beyond_last,
					      .width = WIDTH_BEYOND};
		c->beyond = true;
		c->beyond_last = 0;
		return true;
	}
	if (c->piece_last)
		c->next_seq = c->piece_last + 1;
	c->piece_last = 0;
	if (c->next_seq > range->last_seq ||
	    !compare_span(c->o.store, c->o.number, range->stream, c->next_seq,
			  (uint64_t)WIDTH * SPAN_WINDOWS, &s) ||
	    s.first_seq > range->last_seq)
		return false;
	if (s.last_seq <= range->last_seq && c->o.scope != SCOPE_UNSENT) {
		c->beyond_first = s.beyond_first;
		c->beyond_last = s.beyond_last;
	}
	c->span = (struct tally_span){.stream = range->stream,
				      .first_seq = s.first_seq,
				      .last_seq = MIN(s.last_seq, range->last_seq),
				      .width = WIDTH,
				      .first_id = c->next_id};
	c->piece_last = c->span.last_seq;
	return true;
}

/* Hashing came to a record that waits for its time: what is behind it waits too. */
static int stop_at_clock(struct comparison *c, uint64_t reached)
{
	struct cut_range rest = *current(c);
	uint64_t n;

	current(c)->last_seq = reached - 1;
	if (c->o.scope != SCOPE_UNSENT)
		return 0;
	rest.first_seq = reached;
	return outbox_owe(c->o.store, &rest, c->o.number, &n);
}

/* < 0: a fault of the store. */
static int hash(struct comparison *c)
{
	uint64_t reached, id;
	int q = tally_slice(c->tally);

	if (q == STORE_E_MORE)
		return 0;
	reached = tally_reached(c->tally, &id);
	if (q == STORE_E_CLOCK) {
		q = stop_at_clock(c, reached);
		c->span.last_seq = c->piece_last = reached - 1;
	}
	if (q != 0)
		return q < 0 ? q : -EIO;
	c->step = c->span.last_seq >= c->span.first_seq ? STEP_ASK : STEP_SPAN;
	if (c->span.width == WIDTH)
		c->next_id = MAX(c->next_id, id);
	return 0;
}

static int take_span(struct comparison *c)
{
	if (!next_span(c)) {
		next_range(c);
		return 0;
	}
	c->attempts = 0;
	c->step = c->beyond ? STEP_ASK : STEP_HASH;
	if (c->beyond)
		return 0;
	return tally_begin(c->tally, &c->span);
}

/* Does one thing. < 0: a fault of the store. */
static int act(struct comparison *c, usec_t *at)
{
	bool found = false;
	int q;

	switch (c->step) {
	case STEP_SEEK:
		q = seek(c, &found);
		c->step = found ? STEP_SPAN : STEP_SEEK;
		return q;
	case STEP_SPAN:
		if (compare_rows(c->o.store, c->o.number) <= ROWS_MAX)
			return take_span(c);
		*at += DIGEST_PAUSE;
		return 0;
	case STEP_HASH: return hash(c);
	case STEP_ASK:
	case STEP_ANSWER: break;
	}
	return 0;
}

static int on_timer(sd_event_source *source, usec_t when, void *userdata)
{
	struct comparison *c = userdata;
	usec_t now = loop_now(c), at = now;

	if (c->at == c->n_ranges) {
		end(c, now);
		return 0;
	}
	if (c->step == STEP_ASK) {
		ask(c, now);
		return 0;
	}
	if (act(c, &at) < 0) {
		give_up_store(c, now);
		return 0;
	}
	arm(c, at);
	return 0;
}

/* Beginning */

static void add_stream(struct comparison *c, uint32_t stream, uint64_t since)
{
	struct cut_range range = {.stream = stream, .first_id = since};
	struct cursor_status cursor;

	store_cursor_status(c->o.store, c->o.number, stream, &cursor);
	range.first_seq = compare_oldest(c->o.store, c->o.number, stream);
	range.last_seq = cursor.cursor;
	if (cursor.confirmed == 0 || range.first_seq == 0 || range.first_seq > range.last_seq)
		return;
	c->ranges[c->n_ranges++] = range;
}

static int find_ranges(struct comparison *c, const bool *only, size_t n_only)
{
	uint32_t n = (uint32_t)store_stream_count(c->o.store);
	uint64_t since = 0;
	int q = 0;

	if (c->o.scope == SCOPE_UNSENT)
		return compare_take_rows(c->o.store, c->o.number, &c->ranges, &c->n_ranges);
	c->ranges = calloc(n + 1, sizeof(*c->ranges));
	if (!c->ranges)
		return -ENOMEM;
	if (c->o.scope == SCOPE_RECENT)
		q = compare_since(c->o.store, c->o.since_us, &since);
	for (uint32_t i = 1; q == 0 && i <= n; i++)
		if (!only || (i <= n_only && only[i - 1]))
			add_stream(c, i, since);
	return q < 0 ? q : q > 0 ? -EIO : 0;
}

static int open_http(struct comparison *c)
{
	const struct http_options o = {
		.url = c->o.sink->url,
		.ca_file = c->o.sink->ca_file,
		.client_cert = c->o.sink->client_cert,
		.client_key = c->o.sink->client_key,
		.proxy = c->o.sink->proxy,
		.interface = c->o.sink->interface,
	};

	return http_new(c->o.event, &o, &c->http);
}

static uint32_t count_streams(const struct comparison *c)
{
	uint32_t n = 0;

	for (size_t i = 0; i < c->n_ranges; i++)
		n += i == 0 || c->ranges[i - 1].stream != c->ranges[i].stream;
	return n;
}

struct comparison *comparison_free(struct comparison *c)
{
	if (!c)
		return NULL;
	put_finding(c); /* what it says is owed again, though nobody goes on looking */
	c->call = http_cancel(c->call);
	c->http = http_free(c->http);
	sd_event_source_disable_unref(c->timer);
	c->tally = tally_free(c->tally);
	free(c->ranges);
	free(c);
	return NULL;
}

static int add_timer(struct comparison *c, usec_t now)
{
	int q = sd_event_add_time(c->o.event, &c->timer, CLOCK_BOOTTIME, now, TIMER_ACCURACY,
				  on_timer, c);

	return q < 0 ? q : sd_event_source_set_priority(c->timer, SD_EVENT_PRIORITY_NORMAL + 50);
}

int comparison_new(const struct comparison_options *o, const bool *only, size_t n_only, usec_t now,
		   struct comparison **ret)
{
	_cleanup_(comparison_freep) struct comparison *c = calloc(1, sizeof(*c));
	int q;

	if (!c)
		return -ENOMEM;
	c->o = *o;
	c->began = now;
	q = tally_new(o->store, o->number, &c->tally);
	if (q == 0)
		q = open_http(c);
	if (q == 0)
		q = add_timer(c, now);
	if (q >= 0)
		q = find_ranges(c, only, n_only);
	if (q < 0)
		return q;
	c->put_off = c->n_ranges;
	c->state.streams = count_streams(c);
	c->state.everything = o->scope == SCOPE_ALL;
	*ret = TAKE(c);
	return 0;
}

void comparison_state(const struct comparison *c, struct reconcile_state *ret)
{
	*ret = c->state;
	if (c->at < c->n_ranges)
		ret->took = loop_now(c) - c->began;
}

uint64_t comparison_again(const struct comparison *c, unsigned kind)
{
	return c->again_of[kind];
}
