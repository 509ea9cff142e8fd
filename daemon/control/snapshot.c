/*
 * One look at everything. The daemon makes it from what it holds in its hands, vitalctl from a
 * store that nobody runs; both get the same tables, so a page that was written for one reads the
 * other.
 *
 *     status -> summary, devices, sinks, rates, streams, problems
 */
#include "control/snapshot.h"

#include "control/ages.h"
#include "control/lists.h"
#include "control/problems.h"
#include "control/scores.h"
#include "control/wearables.h"
#include "util/human.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const state_names[] = {
	[SEVERITY_NOTICE] = "healthy",
	[SEVERITY_DEGRADED] = "degraded",
	[SEVERITY_NOT_WORKING] = "not_working",
};

static void wall_or_null(struct table *t, int64_t wall_us)
{
	if (wall_us)
		table_i64(t, wall_us);
	else
		table_null(t);
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
							 : "unknown";
}

static void put_sink_work(struct table *t, const struct snapshot *s, const struct sink_state *state,
			  uint64_t waiting)
{
	uint64_t done = state->immediate_success + state->background_success;

	ages_put(t, s->now, state->since);
	if (state->next_attempt)
		table_u64(t, ages_since(state->next_attempt, s->now));
	else
		table_null(t);
	if (state->drain_rate && waiting)
		table_u64(t, waiting / state->drain_rate * USEC_PER_SEC);
	else
		table_null(t);
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
	enum { WORK_COLUMNS = 12 };
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
	wall_or_null(t, problems_last_success(s, name));
	ages_put_wall(t, s, problems_last_success(s, name));
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
		"last_success_wall_us last_success_us since_us next_attempt_us drain_us "
		"immediate_percent "
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
	struct table *t = tables_add(ret, "problems", "severity what detail consequence remedy");

	for (size_t i = 0; i < list->n; i++) {
		table_string(t, words[list->problem[i].severity]);
		table_string(t, list->problem[i].what);
		table_string(t, list->problem[i].detail);
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
			       !most_waiting(s) ? "everything heard is confirmed"
			       : s->config && !s->config->immediate
				       ? "records wait for the next background run"
				       : "records are going out as they come");
	else
		(void)snprintf(text, sizeof(text), "%s%s", list->problem[0].what,
			       s->store && !s->running ? "; this is what the store holds" : "");
	table_string(t, state_names[worst]);
	table_string(t, text);
}

static void put_store_figures(struct table *t, const struct snapshot *s)
{
	enum { FIGURES = 15 };
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
	table_u64(t, f.written_today);
	table_u64(t, f.written_a_day);
}

static const char *source_word(const struct snapshot *s)
{
	static const char *const names[] = {[CONFIG_SOURCE_NONE] = "none",
					    [CONFIG_SOURCE_SIMULATE] = "simulate",
					    [CONFIG_SOURCE_BLUEZ] = "bluez",
					    [CONFIG_SOURCE_L2CAP] = "l2cap",
					    [CONFIG_SOURCE_REPLAY] = "replay"};

	if (!s->running)
		return "stopped";
	if (s->source_problem)
		return s->source_problem;
	return names[s->config ? s->config->source : CONFIG_SOURCE_NONE];
}

static enum severity worst_of(const struct problem_list *list)
{
	return list->n ? list->problem[0].severity : SEVERITY_NOTICE;
}

/* How far the clock was set the last time, and when, by the clock as it is now. */
static void put_step(struct table *t, const struct snapshot *s)
{
	if (!s->clock_step_us) {
		table_null(t);
		table_null(t);
		return;
	}
	table_i64(t, s->clock_step_us);
	table_i64(t, s->wall_us - (int64_t)(s->now - MIN(s->clock_step_at, s->now)));
}

static void put_summary(const struct snapshot *s, const struct problem_list *list,
			struct tables *ret)
{
	struct table *t = tables_add(
		ret, "summary",
		"state verdict version gateway running pid since_us waiting source "
		"clock_synchronised clock_error_us clock_step_us clock_step_wall_us durability_us "
		"max_bytes "
		"run incarnation tail_used_bytes tail_size_bytes tail_records log_bytes wal_bytes "
		"commits commits_late longest_commit_us last_commit_wall_us undecoded clean_stop "
		"written_today_bytes written_a_day_bytes");

	put_verdict(t, s, list, worst_of(list));
	table_string(t, VITALD_VERSION);
	table_string(t, s->config ? s->config->gateway : NULL);
	table_bool(t, s->running);
	if (s->pid)
		table_i64(t, s->pid);
	else
		table_null(t);
	ages_put(t, s->now, s->started_us);
	table_u64(t, most_waiting(s));
	table_string(t, source_word(s));
	table_bool(t, s->clock.synchronised);
	if (s->clock.synchronised)
		table_i64(t, s->clock.error_us);
	else
		table_null(t);
	put_step(t, s);
	table_u64(t, s->config ? s->config->durability_window : 0);
	table_u64(t, s->config ? s->config->max_size : 0);
	put_store_figures(t, s);
}

static void put_status(const struct snapshot *s, struct tables *ret)
{
	struct problem_list list;

	problems_find(s, &list);
	put_summary(s, &list, ret);
	wearables_put(s, ret);
	put_sinks(s, ret);
	scores_put(s, ret);
	lists_put_streams(s, ret);
	lists_put_incarnations(s, ret);
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
		wearables_put(s, &t);
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
