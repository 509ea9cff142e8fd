/*
 * A row for each wearable that the daemon knows, or the owner named, or, where no daemon runs, the
 * store remembers: how it stands with the link, what it said last, what of it is not yet confirmed.
 *
 * "Last confirmed" of a wearable is the time of its oldest record that waits at a required sink;
 * when none waits, that of its newest; null while something waits for a sink that has confirmed nothing
 * of this wearable yet. It is looked up by the first batch row (whose id is known),
 * never by a search through the log; for what is under way or not yet cut the sink's last success
 * stands in.
 */
#include "control/wearables.h"

#include "control/ages.h"
#include "control/problems.h"
#include "store/outbox.h"

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
	struct sink_info info;

	store_sink_info(s->store, sink, &info);
	return problems_last_success(s, info.name);
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
		return s->wall_us - (int64_t)ages_since(s->now, since);
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

/* Does something wait for a required sink that has never confirmed anything of this wearable? */
static bool is_unconfirmed(const struct snapshot *s, const char *address)
{
	for (uint32_t i = 1; s->store && i <= store_sink_count(s->store); i++) {
		uint64_t confirmed = 0, waiting = 0;
		struct sink_info sink;

		store_sink_info(s->store, i, &sink);
		for (uint32_t k = 1; k <= store_stream_count(s->store); k++) {
			struct stream_status stream;
			struct cursor_status c;

			store_stream_status(s->store, k, &stream);
			if (!streq(stream.info.device, address))
				continue;
			store_cursor_status(s->store, i, k, &c);
			confirmed += c.confirmed;
			waiting += c.waiting;
		}
		if (sink.required && !sink.retired && waiting && !confirmed)
			return true;
	}
	return false;
}

/* Where nobody is asked to confirm, nothing is. */
static void put_confirmed(struct table *t, const struct snapshot *s, const struct device_status *d,
			  const struct device_debt *debt)
{
	if ((s->config && !s->config->n_sinks) || is_unconfirmed(s, d->address))
		table_null(t);
	else if (debt->owed_wall_us == INT64_MAX && d->last_frame_us)
		ages_put(t, s->now, d->last_frame_us);
	else
		ages_put_wall(t, s,
			      debt->owed_wall_us == INT64_MAX ? debt->last_wall_us
							      : debt->owed_wall_us);
}

/* "heart rate 61 /min, ecg 130 Hz" */
static void put_readings(struct table *t, const struct device_status *d)
{
	char text[KIND_MAX * (LAST_READING_SIZE + 20)];
	size_t n = 0;

	text[0] = '\0';
	for (unsigned kind = 1; kind < KIND_MAX; kind++) {
		char name[20], words[LAST_READING_SIZE];

		if (!last_reading_format(kind, &d->last[kind], words)[0])
			continue;
		(void)snprintf(name, sizeof(name), "%s", kind_name(kind)); /* fits */
		for (char *p = name; *p; p++)
			*p = *p == '_' ? ' ' : *p;
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %s", n ? ", " : "", name,
				      words); /* room for all */
	}
	table_string(t, text);
}

static void put_link(struct table *t, const struct device_status *d)
{
	uint64_t sum = 0;

	table_string(t, d->adapter);
	if (d->rssi)
		table_i64(t, d->rssi);
	else
		table_null(t);
	table_bool(t, d->paired);
	table_string(t, d->offers);
	for (size_t i = 0; i < RECOVERY_MAX_; i++)
		sum += d->recoveries[i];
	table_u64(t, sum);
	for (size_t i = 0; i < RECOVERY_MAX_; i++)
		table_u64(t, d->recoveries[i]);
}

static void put_device(struct table *t, const struct snapshot *s, const struct device_status *d)
{
	struct device_debt debt = device_debt(s, d->address);

	table_string(t, d->address);
	table_string(t, d->name);
	table_bool(t, d->connected);
	table_string(t, d->state);
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
		ages_put(t, s->now, d->last_frame_us);
	else
		ages_put_wall(t, s, debt.last_wall_us);
	put_confirmed(t, s, d, &debt);
	table_u64(t, debt.waiting);
	table_u64(t, s->running ? d->gaps : debt.gaps);
	table_u64(t, d->frames);
	table_u64(t, d->undecodable);
	table_u64(t, d->duplicates);
	table_string(t, d->model);
	table_string(t, d->firmware);
	put_readings(t, d);
	put_link(t, d);
	table_string(t, d->memory);
	table_u64(t, d->backfilled);
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
	(void)snprintf(d.state, sizeof(d.state), "%s", s->running ? "waiting" : "stopped");
	(void)snprintf(d.why, sizeof(d.why), "%s", why);
	put_device(t, s, &d);
}

/* Those the daemon knows; those the owner named; without a daemon, those the store remembers. */
void wearables_put(const struct snapshot *s, struct tables *ret)
{
	struct table *t =
		tables_add(ret, "devices",
			   "address name connected state why battery_percent bpm last_sample_us "
			   "last_confirmed_us waiting gaps frames undecodable duplicates "
			   "model firmware readings adapter rssi_dbm paired offers recoveries "
			   "resubscribed reconnected unbonded power_cycled restarted memory "
			   "backfilled");
	uint32_t n_streams = s->store && !s->running ? (uint32_t)store_stream_count(s->store) : 0;
	struct stream_status stream;

	for (size_t i = 0; i < s->n_devices; i++)
		put_device(t, s, &s->devices[i]);
	for (uint32_t i = 1; i <= n_streams; i++) {
		store_stream_status(s->store, i, &stream);
		if (!device_known(s, stream.info.device, i))
			put_absent_device(t, s, stream.info.device,
					  "only vitald knows, and it does not answer");
	}
	for (size_t i = 0; s->config && i < s->config->n_devices; i++)
		if (!device_known(s, s->config->devices[i].address, n_streams + 1))
			put_absent_device(t, s, s->config->devices[i].address, "not seen yet");
}
