/*
 * The targets of the design: more than 95 % of the batches confirmed on the immediate path while
 * the sink is up, less than 5 s from hearing to the receipt on average, more than 99 % of what did
 * not go at once confirmed within 24 h.
 *
 * Missing one of the first two is said when the day misses it and the last hour as well: a bad
 * night that is over wakes nobody. An outage is one failed batch, for while a sink is down nothing
 * new is sent, so it does not count twice. The third is said only while records really wait.
 */
#include "control/scores.h"

#include "control/problems.h"
#include "control/say.h"
#include "store/rates.h"
#include "util/human.h"

#include <inttypes.h>
#include <stdio.h>

enum {
	AT_ONCE_PERCENT = 95,
	RECOVERED_PERCENT = 99,
	LATENCY_MS = 5000,
	ENOUGH_DAY = 200, /* batches, before anything is said of a day */
	ENOUGH_HOUR = 20,
	ENOUGH_OWED = 100, /* records */
};

static void put_percent(struct table *t, uint64_t part, uint64_t whole)
{
	if (whole)
		table_double(t, 100.0 * (double)MIN(part, whole) / (double)whole);
	else
		table_null(t);
}

static void put_window(struct table *t, const struct snapshot *s, const struct sink_info *sink,
		       unsigned n_hours)
{
	struct rates r;

	store_rates(s->store, sink->number, s->wall_us, 0, n_hours, &r);
	if (r.confirmed + r.failed + r.owed + r.recovered + r.late == 0)
		return;
	table_string(t, sink->name);
	table_u64(t, n_hours * 3600 * USEC_PER_SEC);
	table_u64(t, r.confirmed + r.failed);
	table_u64(t, r.confirmed);
	put_percent(t, r.confirmed, r.confirmed + r.failed);
	if (r.n_timed) {
		table_u64(t, r.latency_ms / r.n_timed * USEC_PER_MSEC);
		table_u64(t, r.max_ms * USEC_PER_MSEC);
	} else {
		table_null(t);
		table_null(t);
	}
	table_u64(t, r.owed);
	table_u64(t, r.recovered);
	table_u64(t, r.late);
	table_u64(t, r.overdue);
	put_percent(t, r.recovered, r.recovered + r.late + r.overdue);
}

void scores_put(const struct snapshot *s, struct tables *ret)
{
	static const unsigned windows[] = {1, 24, 7 * 24};
	struct table *t = tables_add(ret, "rates",
				     "sink window_us batches confirmed at_once_percent latency_us "
				     "latency_max_us queued recovered late overdue "
				     "recovered_percent");
	struct sink_info sink;

	for (uint32_t i = 1; s->store && i <= store_sink_count(s->store); i++) {
		store_sink_info(s->store, i, &sink);
		for (size_t k = 0; !sink.retired && k < ARRAY_SIZE(windows); k++)
			put_window(t, s, &sink, windows[k]);
	}
}

static bool poor(const struct rates *r, uint64_t enough)
{
	uint64_t tried = r->confirmed + r->failed;

	return tried >= enough && r->confirmed * 100 < tried * AT_ONCE_PERCENT;
}

static bool slow(const struct rates *r, uint64_t enough)
{
	return r->confirmed >= enough && r->n_timed && r->latency_ms / r->n_timed > LATENCY_MS;
}

static bool recovery_missed(const struct snapshot *s, uint32_t sink, const char *name,
			    uint64_t waiting, struct score_miss *ret)
{
	char n[HUMAN_SIZE + 8];
	struct rates r;

	store_rates(s->store, sink, s->wall_us, 25, 24, &r);
	if (!waiting || r.owed < ENOUGH_OWED ||
	    r.overdue * 100 <= r.owed * (100 - RECOVERED_PERCENT))
		return false;
	say(ret->what,
	    "%s for \"%s\" should have arrived a day ago and did not, although it answers",
	    human_records(MIN(r.overdue, waiting), n), name);
	say(ret->consequence, "nothing is lost: it is kept on this machine and tried again");
	say(ret->remedy, "`vitalctl queue` says why it waits, `vitalctl sync` sends it now");
	return true;
}

bool scores_missed(const struct snapshot *s, uint32_t sink, const char *name, uint64_t waiting,
		   struct score_miss *ret)
{
	const struct sink_state *state = problems_sink_state(s, name);
	struct rates day, hour;
	char age[HUMAN_SIZE];

	if (!s->store || !sink || !s->clock.synchronised || !state ||
	    (state->state != SINK_UP && state->state != SINK_RETRYING))
		return false;
	if (recovery_missed(s, sink, name, waiting, ret))
		return true;
	store_rates(s->store, sink, s->wall_us, 0, 24, &day);
	store_rates(s->store, sink, s->wall_us, 0, 1, &hour);
	if (poor(&day, ENOUGH_DAY) && poor(&hour, ENOUGH_HOUR)) {
		say(ret->what, "only %" PRIu64 " %% of what is sent to \"%s\" gets through at once",
		    hour.confirmed * 100 / (hour.confirmed + hour.failed), name);
		say(ret->consequence, "nothing is lost: the rest arrives later, by itself");
		say(ret->remedy, "the connection is poor or the server busy: `vitalctl events "
				 "--failed` says what happens");
		return true;
	}
	if (slow(&day, ENOUGH_DAY) && slow(&hour, ENOUGH_HOUR)) {
		say(ret->what, "what is measured reaches \"%s\" only after %s, on average", name,
		    human_duration(hour.latency_ms / hour.n_timed * USEC_PER_MSEC, age));
		say(ret->consequence, "nothing is lost: who watches it there sees it late");
		say(ret->remedy, "is the connection slow, or the server busy? `vitalctl events` "
				 "says how long each took");
		return true;
	}
	return false;
}
