/*
 * A row for each sink that is configured, and for those only the store knows: without a daemon it
 * knows when they were last compared, and what was found. Findings are the newest CONTROL_MAX_ROWS.
 */
#include "control/comparisons.h"

#include "control/ages.h"
#include "control/problems.h"
#include "store/finding.h"

static void put_wall(struct table *t, int64_t wall_us)
{
	if (wall_us)
		table_i64(t, wall_us);
	else
		table_null(t);
}

static const char *phase_word(enum reconcile_phase phase)
{
	static const char *const words[] = {[RECONCILE_IDLE] = "idle",
					    [RECONCILE_WAITING] = "waiting",
					    [RECONCILE_RUNNING] = "running"};

	return words[phase];
}

static const char *sink_word(enum sink_state_name state)
{
	static const char *const words[] = {[SINK_UP] = "up",
					    [SINK_RETRYING] = "retrying",
					    [SINK_DOWN] = "down",
					    [SINK_HELD] = "held"};

	return state < ARRAY_SIZE(words) ? words[state] : "unknown";
}

static void put_work(struct table *t, const struct snapshot *s, const struct sink_state *sink)
{
	const struct reconcile_state *c = &sink->reconcile;
	bool known = c->ended || c->took || c->phase == RECONCILE_RUNNING;

	table_string(t, phase_word(c->phase));
	table_string(t, sink_word(sink->state));
	table_string(t, sink->reason);
	if (c->due == USEC_INFINITY)
		table_null(t);
	else
		table_u64(t, ages_since(c->due, s->now));
	if (known)
		table_bool(t, c->ended);
	else
		table_null(t);
	table_bool(t, c->unsupported);
	table_string(t, c->problem);
	table_bool(t, c->everything);
	table_u64(t, c->streams);
	table_u64(t, c->streams_done);
	table_u64(t, c->streams_again);
	table_u64(t, c->compared);
	table_u64(t, c->again);
	table_u64(t, c->server_only);
	table_u64(t, c->conflicts);
	table_u64(t, c->requests);
	table_u64(t, c->took);
}

static void put_sink(struct table *t, const struct snapshot *s, uint32_t number, const char *name)
{
	enum { WORK_COLUMNS = 17 };
	const struct sink_state *sink = problems_sink_state(s, name);
	struct finding_times times;

	finding_times(s->store, number, &times);
	table_string(t, name);
	put_wall(t, times.reconciled_us);
	ages_put_wall(t, s, times.reconciled_us);
	table_u64(t, problems_sink_debt(s, number).waiting);
	if (sink)
		put_work(t, s, sink);
	for (size_t i = 0; !sink && i < WORK_COLUMNS; i++)
		table_null(t);
}

static void put_sinks(const struct snapshot *s, struct tables *ret)
{
	struct table *t = tables_add(
		ret, "reconcile",
		"sink last_wall_us last_us waiting phase sink_state reason due_us ended "
		"unsupported "
		"problem everything streams streams_done streams_again compared again server_only "
		"conflicts requests took_us");

	for (uint32_t i = 1; s->store && i <= store_sink_count(s->store); i++) {
		struct sink_info info;

		store_sink_info(s->store, i, &info);
		if (!info.retired)
			put_sink(t, s, i, info.name);
	}
}

struct listing {
	const struct store *store;
	struct table *t;
	size_t skip, total;
};

static void count(void *userdata, const struct finding *f)
{
	struct listing *l = userdata;

	l->total++;
}

static void put_finding(void *userdata, const struct finding *f)
{
	struct listing *l = userdata;
	struct stream_status stream = {0};
	struct sink_info sink = {0};

	if (l->skip > 0) {
		l->skip--;
		return;
	}
	if (f->sink >= 1 && f->sink <= store_sink_count(l->store))
		store_sink_info(l->store, f->sink, &sink);
	if (f->stream >= 1 && f->stream <= store_stream_count(l->store))
		store_stream_status(l->store, f->stream, &stream);
	put_wall(l->t, f->wall_us);
	table_string(l->t, sink.name);
	table_string(l->t, stream.info.device);
	table_string(l->t, kind_name(stream.info.kind));
	table_string(l->t, finding_name(f->what));
	table_u64(l->t, f->first_seq);
	table_u64(l->t, f->last_seq);
	table_u64(l->t, f->n);
}

int comparisons_put(const struct snapshot *s, struct tables *ret)
{
	struct listing l = {.store = s->store};
	int r = 0;

	put_sinks(s, ret);
	l.t = tables_add(ret, "findings",
			 "time_wall_us sink device data_type what first_seq last_seq records");
	if (!s->store)
		return 0;
	r = finding_each(s->store, count, &l);
	l.skip = l.total > CONTROL_MAX_ROWS ? l.total - CONTROL_MAX_ROWS : 0;
	if (r == 0)
		r = finding_each(s->store, put_finding, &l);
	return r < 0 ? r : 0;
}
