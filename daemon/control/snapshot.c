/*
 * One look at everything. The daemon makes it from what it holds in its hands, vitalctl from a
 * store that nobody runs; both get the same tables, so a page that was written for one reads the
 * other.
 *
 *     status -> summary, devices, sinks, streams, problems
 *
 * Ages, not moments, where a clock that is not synchronised would lie: `_us` columns are counted on
 * CLOCK_BOOTTIME. "Last confirmed" of a wearable is the time of its oldest record that waits at a
 * required sink; when none waits, that of its newest. It is looked up by the first batch row (whose
 * id is known), never by a search through the log; for what is under way or not yet cut the sink's
 * last success stands in.
 */
#include "control/snapshot.h"

#include "control/lists.h"
#include "control/problems.h"
#include "store/outbox.h"
#include "util/human.h"

#include <inttypes.h>
#include <stdio.h>

/* What is known of a wearable beside its device_status. */
struct device_debt {
	uint64_t waiting, gaps, streams;
	int64_t last_wall_us; /* newest record; 0: none */
	int64_t owed_wall_us; /* oldest record that waits; INT64_MAX: none waits */
};

struct lowest_row {
	uint32_t sink, stream;
	const struct batch_row *row;
	struct batch_row found;
};

static const char *const state_names[] = {
	[SEVERITY_NOTICE] = "healthy",
	[SEVERITY_DEGRADED] = "degraded",
	[SEVERITY_NOT_WORKING] = "not_working",
};

static usec_t age(usec_t now, usec_t then)
{
	return now > then ? now - then : 0;
}

static void age_or_null(struct table *t, usec_t now, usec_t then)
{
	if (then)
		table_u64(t, age(now, then));
	else
		table_null(t);
}

static void wall_or_null(struct table *t, int64_t wall_us)
{
	if (wall_us)
		table_i64(t, wall_us);
	else
		table_null(t);
}

static void keep_lowest(void *userdata, const struct batch_row *row)
{
	struct lowest_row *lowest = userdata;

	if (row->sink != lowest->sink || row->stream != lowest->stream)
		return;
	if (lowest->row && lowest->found.first_seq <= row->first_seq)
		return;
	lowest->found = *row;
	lowest->row = &lowest->found;
}

static int keep_wall(void *userdata, const struct record *r)
{
	if (r->clk != CLK_PENDING)
		*(int64_t *)userdata = record_wall_us(r);
	return 1; /* the first one is all that is asked for */
}

static int64_t last_success(const struct snapshot *s, uint32_t sink)
{
	const struct sink_state *state;
	struct sink_info info;

	store_sink_info(s->store, sink, &info);
	state = problems_sink_state(s, info.name);
	return state ? state->last_success_us : 0;
}

/* The wall time of the oldest record of a stream that this sink has not; 0: not known. */
static int64_t owed_since(const struct snapshot *s, uint32_t sink, uint32_t stream)
{
	struct lowest_row lowest = {.sink = sink, .stream = stream};
	int64_t wall_us = 0;
	usec_t since;

	store_each_row(s->store, keep_lowest, &lowest);
	if (lowest.row) {
		(void)store_read(s->store, stream, lowest.found.first_seq, lowest.found.last_seq,
				 lowest.found.first_id, keep_wall,
				 &wall_us); /* a fault: not known, which is what 0 says */
		return wall_us;
	}
	since = s->running ? outbox_waiting_since(s->store, sink) : USEC_INFINITY;
	if (since && since != USEC_INFINITY)
		return s->wall_us - (int64_t)age(s->now, since);
	return last_success(s, sink); /* under way, or not cut while the server is down */
}

static void add_stream_debt(const struct snapshot *s, const struct stream_status *stream,
			    struct device_debt *debt)
{
	struct sink_info sink;
	struct cursor_status c;
	uint64_t waiting = 0;

	for (uint32_t i = 1; i <= store_sink_count(s->store); i++) {
		int64_t owed;

		store_sink_info(s->store, i, &sink);
		store_cursor_status(s->store, i, stream->info.number, &c);
		if (sink.retired || !sink.required || !c.waiting)
			continue;
		waiting = MAX(waiting, c.waiting);
		owed = owed_since(s, i, stream->info.number);
		debt->owed_wall_us = MIN(debt->owed_wall_us, owed);
	}
	debt->waiting += waiting;
	debt->gaps += stream->gaps;
	debt->streams++;
	debt->last_wall_us = MAX(debt->last_wall_us, stream->last_wall_us);
}

static struct device_debt device_debt(const struct snapshot *s, const char *address)
{
	struct device_debt debt = {.owed_wall_us = INT64_MAX};
	struct stream_status stream;

	for (uint32_t i = 1; s->store && i <= store_stream_count(s->store); i++) {
		store_stream_status(s->store, i, &stream);
		if (streq(stream.info.device, address))
			add_stream_debt(s, &stream, &debt);
	}
	return debt;
}

static void put_wall_age(struct table *t, const struct snapshot *s, int64_t wall_us)
{
	if (wall_us && wall_us != INT64_MAX)
		table_u64(t, wall_us < s->wall_us ? (uint64_t)(s->wall_us - wall_us) : 0);
	else
		table_null(t);
}

/* Where nobody is asked to confirm, nothing is. */
static void put_confirmed(struct table *t, const struct snapshot *s, const struct device_status *d,
			  const struct device_debt *debt)
{
	if (s->config && !s->config->n_sinks)
		table_null(t);
	else if (debt->owed_wall_us == INT64_MAX && d->last_frame_us)
		age_or_null(t, s->now, d->last_frame_us);
	else
		put_wall_age(t, s,
			     debt->owed_wall_us == INT64_MAX ? debt->last_wall_us
							     : debt->owed_wall_us);
}

static void put_device(struct table *t, const struct snapshot *s, const struct device_status *d)
{
	struct device_debt debt = device_debt(s, d->address);

	table_string(t, d->address);
	table_string(t, d->name);
	table_bool(t, d->connected);
	table_string(t, d->why);
	if (d->battery >= 0)
		table_u64(t, (uint64_t)d->battery);
	else
		table_null(t);
	if (d->bpm)
		table_u64(t, d->bpm);
	else
		table_null(t);
	if (d->last_frame_us)
		age_or_null(t, s->now, d->last_frame_us);
	else
		put_wall_age(t, s, debt.last_wall_us);
	put_confirmed(t, s, d, &debt);
	table_u64(t, debt.waiting);
	table_u64(t, s->running ? d->gaps : debt.gaps);
	table_u64(t, d->frames);
	table_u64(t, d->undecodable);
	table_u64(t, d->duplicates);
	table_string(t, d->model);
	table_string(t, d->firmware);
}

static bool device_known(const struct snapshot *s, const char *address, uint32_t before_stream)
{
	struct stream_status stream;

	for (size_t i = 0; i < s->n_devices; i++)
		if (streq(s->devices[i].address, address))
			return true;
	for (uint32_t i = 1; i < before_stream; i++) {
		store_stream_status(s->store, i, &stream);
		if (streq(stream.info.device, address))
			return true;
	}
	return false;
}

static void put_absent_device(struct table *t, const struct snapshot *s, const char *address,
			      const char *why)
{
	const struct config_device *config =
		s->config ? config_device_find(s->config, address) : NULL;
	struct device_status d = {.battery = -1};

	(void)snprintf(d.address, sizeof(d.address), "%s", address);
	(void)snprintf(d.name, sizeof(d.name), "%s", config && config->name ? config->name : "");
	(void)snprintf(d.why, sizeof(d.why), "%s", why);
	put_device(t, s, &d);
}

/* Those the daemon knows; those the owner named; without a daemon, those the store remembers. */
static void put_devices(const struct snapshot *s, struct tables *ret)
{
	struct table *t =
		tables_add(ret, "devices",
			   "address name connected why battery_percent bpm last_sample_us "
			   "last_confirmed_us waiting gaps frames undecodable duplicates "
			   "model firmware");
	uint32_t n_streams = s->store && !s->running ? (uint32_t)store_stream_count(s->store) : 0;
	struct stream_status stream;

	for (size_t i = 0; i < s->n_devices; i++)
		put_device(t, s, &s->devices[i]);
	for (uint32_t i = 1; i <= n_streams; i++) {
		store_stream_status(s->store, i, &stream);
		if (!device_known(s, stream.info.device, i))
			put_absent_device(t, s, stream.info.device, "the daemon is not running");
	}
	for (size_t i = 0; s->config && i < s->config->n_devices; i++)
		if (!device_known(s, s->config->devices[i].address, n_streams + 1))
			put_absent_device(t, s, s->config->devices[i].address, "not seen yet");
}

static const char *sink_state_word(const struct snapshot *s, const struct sink_state *state,
				   bool retired)
{
	static const char *const names[] = {[SINK_UP] = "up",
					    [SINK_RETRYING] = "retrying",
					    [SINK_DOWN] = "down",
					    [SINK_HELD] = "held"};

	if (retired)
		return "retired";
	return state && state->state < ARRAY_SIZE(names) ? names[state->state]
	       : s->running				 ? "starting"
							 : "stopped";
}

static void put_sink_work(struct table *t, const struct snapshot *s, const struct sink_state *state,
			  uint64_t waiting)
{
	uint64_t done = state->immediate_success + state->background_success;

	age_or_null(t, s->now, state->since);
	if (state->next_attempt)
		table_u64(t, age(state->next_attempt, s->now));
	else
		table_null(t);
	if (state->drain_rate && waiting)
		table_u64(t, waiting / state->drain_rate * USEC_PER_SEC);
	else
		table_null(t);
	wall_or_null(t, state->last_success_us);
	put_wall_age(t, s, state->last_success_us);
	if (done)
		table_double(t, 100.0 * (double)state->immediate_success / (double)done);
	else
		table_null(t);
	table_u64(t, state->immediate_success);
	table_u64(t, state->immediate_failed);
	table_u64(t, state->immediate_first_try);
	table_u64(t, state->background_success);
	table_u64(t, state->background_failed);
	table_u64(t, state->requests);
	table_u64(t, state->duplicates);
	table_u64(t, state->bytes_sent);
}

static void put_sink(struct table *t, const struct snapshot *s, const char *name, const char *url,
		     bool required, bool retired)
{
	enum { WORK_COLUMNS = 14 };
	const struct sink_state *state = problems_sink_state(s, name);
	struct sink_debt debt = problems_sink_debt(s, problems_sink_number(s, name));

	table_string(t, name);
	table_string(t, url);
	table_bool(t, required);
	table_string(t, sink_state_word(s, state, retired));
	table_string(t, state ? state->reason : "");
	table_u64(t, debt.waiting);
	table_u64(t, debt.confirmed);
	table_u64(t, debt.quarantined);
	table_u64(t, debt.held);
	if (state)
		put_sink_work(t, s, state, debt.waiting);
	for (size_t i = 0; !state && i < WORK_COLUMNS; i++)
		table_null(t);
}

static void put_sinks(const struct snapshot *s, struct tables *ret)
{
	struct table *t = tables_add(
		ret, "sinks",
		"name url required state reason waiting confirmed quarantined held_streams "
		"since_us "
		"next_attempt_us drain_us last_success_wall_us last_success_us immediate_percent "
		"immediate_success immediate_failed immediate_first_try background_success "
		"background_failed requests duplicates sent_bytes");
	struct sink_info info;

	for (size_t i = 0; s->config && i < s->config->n_sinks; i++) {
		const struct config_sink *c = &s->config->sinks[i];

		put_sink(t, s, c->name, c->url, c->required, false);
	}
	for (uint32_t i = 1; s->store && i <= store_sink_count(s->store); i++) {
		bool known = false;

		store_sink_info(s->store, i, &info);
		for (size_t j = 0; s->config && j < s->config->n_sinks; j++)
			known = known || streq(s->config->sinks[j].name, info.name);
		if (!known)
			put_sink(t, s, info.name, NULL, info.required, info.retired || s->config);
	}
}

static void put_problems(const struct problem_list *list, struct tables *ret)
{
	static const char *const words[] = {[SEVERITY_NOTICE] = "notice",
					    [SEVERITY_DEGRADED] = "degraded",
					    [SEVERITY_NOT_WORKING] = "not_working"};
	struct table *t = tables_add(ret, "problems", "severity what consequence remedy");

	for (size_t i = 0; i < list->n; i++) {
		table_string(t, words[list->problem[i].severity]);
		table_string(t, list->problem[i].what);
		table_string(t, list->problem[i].consequence);
		table_string(t, list->problem[i].remedy);
	}
}

/* What waits at the required sink that is furthest behind. */
static uint64_t most_waiting(const struct snapshot *s)
{
	struct sink_info info;
	uint64_t most = 0;

	for (uint32_t i = 1; s->store && i <= store_sink_count(s->store); i++) {
		store_sink_info(s->store, i, &info);
		if (!info.retired)
			most = MAX(most, problems_sink_debt(s, i).waiting);
	}
	return most;
}

static void put_verdict(struct table *t, const struct snapshot *s, const struct problem_list *list,
			enum severity worst)
{
	size_t connected = 0;
	char text[256];

	for (size_t i = 0; i < s->n_devices; i++)
		connected += s->devices[i].connected;
	if (worst == SEVERITY_NOTICE)
		(void)snprintf(text, sizeof(text), "%zu wearable%s connected, %s", connected,
			       connected == 1 ? "" : "s",
			       most_waiting(s) ? "records are going out as they come"
					       : "everything heard is confirmed");
	else
		(void)snprintf(text, sizeof(text), "%s%s", list->problem[0].what,
			       s->store && !s->running ? "; this is what the store holds" : "");
	table_string(t, state_names[worst]);
	table_string(t, text);
}

static void put_store_figures(struct table *t, const struct snapshot *s)
{
	enum { FIGURES = 13 };
	char incarnation[UUID_STRING_SIZE];
	struct store_figures f;

	for (size_t i = 0; !s->store && i < FIGURES; i++)
		table_null(t);
	if (!s->store)
		return;
	store_figures(s->store, &f);
	uuid_format(&f.incarnation, incarnation);
	table_u64(t, f.run.number);
	table_string(t, incarnation);
	table_u64(t, f.tail_used);
	table_u64(t, f.tail_size);
	table_u64(t, f.tail_records);
	table_u64(t, f.log_bytes);
	table_u64(t, f.wal_bytes);
	table_u64(t, f.commits);
	table_u64(t, f.commits_late);
	table_u64(t, f.longest_commit_us);
	wall_or_null(t, f.last_commit_wall_us);
	table_u64(t, f.undecoded);
	table_bool(t, f.clean);
}

static const char *source_word(const struct snapshot *s)
{
	if (!s->running)
		return "stopped";
	if (s->source_problem)
		return s->source_problem;
	return s->config && s->config->source == CONFIG_SOURCE_SIMULATE ? "simulate" : "none";
}

static enum severity worst_of(const struct problem_list *list)
{
	return list->n ? list->problem[0].severity : SEVERITY_NOTICE;
}

static void put_summary(const struct snapshot *s, const struct problem_list *list,
			struct tables *ret)
{
	struct table *t = tables_add(
		ret, "summary",
		"state verdict version gateway running pid since_us waiting source "
		"clock_synchronised clock_error_us durability_us max_bytes "
		"run incarnation tail_used_bytes tail_size_bytes tail_records log_bytes wal_bytes "
		"commits commits_late longest_commit_us last_commit_wall_us undecoded clean_stop");

	put_verdict(t, s, list, worst_of(list));
	table_string(t, VITALD_VERSION);
	table_string(t, s->config ? s->config->gateway : NULL);
	table_bool(t, s->running);
	if (s->pid)
		table_i64(t, s->pid);
	else
		table_null(t);
	age_or_null(t, s->now, s->started_us);
	table_u64(t, most_waiting(s));
	table_string(t, source_word(s));
	table_bool(t, s->clock.synchronised);
	if (s->clock.synchronised)
		table_i64(t, s->clock.error_us);
	else
		table_null(t);
	table_u64(t, s->config ? s->config->durability_window : 0);
	table_u64(t, s->config ? s->config->max_size : 0);
	put_store_figures(t, s);
}

static void put_status(const struct snapshot *s, struct tables *ret)
{
	struct problem_list list;

	problems_find(s, &list);
	put_summary(s, &list, ret);
	put_devices(s, ret);
	put_sinks(s, ret);
	lists_put_streams(s, ret);
	put_problems(&list, ret);
}

const char *snapshot_state(const struct snapshot *s)
{
	struct problem_list list;

	problems_find(s, &list);
	return state_names[worst_of(&list)];
}

int snapshot_tables(const struct snapshot *s, const char *which, struct tables *ret)
{
	_cleanup_(tables_done) struct tables t = {0};
	int r = 0;

	if (streq(which, "status"))
		put_status(s, &t);
	else if (streq(which, "sinks"))
		put_sinks(s, &t);
	else if (streq(which, "devices"))
		put_devices(s, &t);
	else
		r = lists_put(s, which, &t);
	if (r)
		return r;
	if (tables_failed(&t))
		return -ENOMEM;
	*ret = t;
	t = (struct tables){0};
	return 0;
}
