/*
 * The long answers. Those that grow with time (queue, quarantine, events, findings) are bounded by
 * CONTROL_MAX_ROWS, because an answer is made in one turn of the daemon's loop; what is cut of a queue
 * or a quarantine is counted in the summary table beside it.
 *
 * Those with something for each stream grow with wearables, subjects and names, over years: of them the
 * newest TABLE_MAX_ROWS are given, which is what a reader takes; of an audit, before all others, what
 * does not balance.
 */
#include "control/lists.h"

#include "control/comparisons.h"
#include "model/config_show.h"
#include "store/identity.h"

struct listing {
	const struct snapshot *s;
	struct table *t;
	uint64_t total, shown, records, skip;
};

static void put_stream(struct table *t, const struct store *store, uint32_t number)
{
	struct stream_status stream;

	if (number >= 1 && number <= store_stream_count(store)) {
		store_stream_status(store, number, &stream);
		table_string(t, stream.info.device);
		table_string(t, kind_name(stream.info.kind));
	} else {
		table_null(t);
		table_null(t);
	}
}

static void put_stream_id(struct table *t, const struct store *store, uint32_t number)
{
	struct stream_status stream;
	char id[UUID_STRING_SIZE];

	if (number < 1 || number > store_stream_count(store)) {
		table_null(t);
		return;
	}
	store_stream_status(store, number, &stream);
	uuid_format(&stream.info.id, id);
	table_string(t, id);
}

static void put_sink_name(struct table *t, const struct store *store, uint32_t number)
{
	struct sink_info sink;

	if (number >= 1 && number <= store_sink_count(store)) {
		store_sink_info(store, number, &sink);
		table_string(t, sink.name);
	} else {
		table_null(t);
	}
}

static void put_wall(struct table *t, int64_t wall_us)
{
	if (wall_us)
		table_i64(t, wall_us);
	else
		table_null(t);
}

static void put_row(void *userdata, const struct batch_row *row)
{
	static const char *const status[] = {[BATCH_PENDING] = "pending",
					     [BATCH_UPLOADING] = "uploading",
					     [BATCH_FAILED] = "failed"};
	static const char *const priority[] = {
		[BATCH_NORMAL] = "normal", [BATCH_HIGH] = "high", [BATCH_CRITICAL] = "critical"};
	struct listing *l = userdata;
	struct table *t = l->t;

	l->total++;
	l->records += row->count;
	if (l->shown == CONTROL_MAX_ROWS)
		return;
	l->shown++;
	table_i64(t, row->number);
	put_sink_name(t, l->s->store, row->sink);
	put_stream(t, l->s->store, row->stream);
	put_stream_id(t, l->s->store, row->stream);
	table_string(t, row->status < ARRAY_SIZE(status) ? status[row->status] : NULL);
	table_string(t, row->priority < ARRAY_SIZE(priority) ? priority[row->priority] : NULL);
	table_u64(t, row->count);
	table_u64(t, row->retry_count);
	if (l->s->running)
		table_u64(t, row->next_attempt > l->s->now ? row->next_attempt - l->s->now : 0);
	else
		table_null(t);
	table_u64(t, row->first_seq);
	table_u64(t, row->last_seq);
	put_wall(t, row->created_us);
	put_wall(t, row->last_attempt_us);
	table_string(t, row->last_error);
}

static void put_queue(const struct snapshot *s, struct tables *ret)
{
	struct listing l = {.s = s};

	l.t = tables_add(ret, "queue",
			 "number sink device data_type stream status priority records retries "
			 "next_attempt_us first_seq last_seq created_wall_us last_attempt_wall_us "
			 "last_error");
	if (s->store)
		store_each_row(s->store, put_row, &l);
	l.t = tables_add(ret, "queue_summary", "batches shown records");
	table_u64(l.t, l.total);
	table_u64(l.t, l.shown);
	table_u64(l.t, l.records);
}

/* From which number on streams are given, `each` rows of them. */
static uint32_t first_stream(const struct store *store, size_t each)
{
	size_t n = store_stream_count(store), most = TABLE_MAX_ROWS / MAX(each, (size_t)1);

	return (uint32_t)(n > most ? n - most : 0) + 1;
}

static void put_anchor(struct table *t, const struct snapshot *s, uint32_t sink, uint32_t stream)
{
	struct stream_status status;
	struct cursor_status c;

	store_stream_status(s->store, stream, &status);
	store_cursor_status(s->store, sink, stream, &c);
	put_sink_name(t, s->store, sink);
	put_stream(t, s->store, stream);
	table_string(t, status.info.subject);
	put_stream_id(t, s->store, stream);
	table_u64(t, c.anchor);
	table_u64(t, c.cursor);
	table_u64(t, status.last_seq);
	table_u64(t, c.confirmed);
	table_u64(t, c.waiting);
	table_u64(t, c.quarantined);
	table_u64(t, c.moved);
	table_u64(t, c.exempt);
	table_bool(t, c.held);
	table_bool(t, status.old);
}

static void put_anchors_summary(const struct snapshot *s, size_t shown, struct tables *ret)
{
	struct table *t = tables_add(ret, "anchors_summary", "incarnation gateway anchors shown");
	char incarnation[UUID_STRING_SIZE];
	struct store_figures figures;

	if (!s->store)
		return;
	store_figures(s->store, &figures);
	uuid_format(&figures.incarnation, incarnation);
	table_string(t, incarnation);
	table_string(t, s->config ? s->config->gateway : NULL);
	table_u64(t, store_sink_count(s->store) * store_stream_count(s->store));
	table_u64(t, shown);
}

static void put_anchors(const struct snapshot *s, struct tables *ret)
{
	struct table *t =
		tables_add(ret, "anchors",
			   "sink device data_type subject stream anchor_seq cursor_seq last_seq "
			   "confirmed waiting quarantined moved exempt held old");

	uint32_t n = s->store ? (uint32_t)store_sink_count(s->store) : 0;

	for (uint32_t i = 1; i <= n; i++)
		for (uint32_t j = first_stream(s->store, n); j <= store_stream_count(s->store); j++)
			put_anchor(t, s, i, j);
	put_anchors_summary(s, t ? table_rows(t) : 0, ret);
}

static void put_quarantined(void *userdata, const struct quarantined *q)
{
	struct listing *l = userdata;

	l->total++;
	if (l->shown == CONTROL_MAX_ROWS)
		return;
	l->shown++;
	put_wall(l->t, q->wall_us);
	put_sink_name(l->t, l->s->store, q->sink);
	put_stream(l->t, l->s->store, q->stream);
	table_u64(l->t, q->seq);
	table_string(l->t, q->code);
	table_string(l->t, q->detail);
}

static int put_quarantine(const struct snapshot *s, struct tables *ret)
{
	struct listing l = {.s = s};
	int r = 0;

	l.t = tables_add(ret, "quarantine", "time_wall_us sink device data_type seq code detail");
	if (s->store)
		r = store_each_quarantined(s->store, put_quarantined, &l);
	l.t = tables_add(ret, "quarantine_summary", "records shown");
	table_u64(l.t, l.total);
	table_u64(l.t, l.shown);
	return r < 0 ? r : 0;
}

static void put_undecoded(void *userdata, const struct undecoded *u)
{
	struct listing *l = userdata;
	char hex[2 * FRAME_MAX + 1] = "";

	for (size_t i = 0; i < MIN(u->size, (size_t)FRAME_MAX); i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", u->data[i]); /* fits */
	put_wall(l->t, u->wall_us);
	table_string(l->t, u->device);
	table_string(l->t, u->characteristic);
	table_string(l->t, u->why);
	table_string(l->t, hex);
}

static int put_unreadable(const struct snapshot *s, struct tables *ret)
{
	struct listing l = {.s = s};
	int r = 0;

	l.t = tables_add(ret, "unreadable", "time_wall_us device characteristic why hex");
	if (s->store)
		r = store_each_undecoded(s->store, put_undecoded, &l);
	return r < 0 ? r : 0;
}

static void put_audit_line(struct table *t, const struct store *store,
			   const struct audit_line *line)
{
	put_sink_name(t, store, line->sink);
	put_stream(t, store, line->stream);
	table_bool(t, line->balanced);
	table_u64(t, line->admitted);
	table_u64(t, line->in_log);
	table_u64(t, line->in_tail);
	table_u64(t, line->deleted);
	table_u64(t, line->salvage_lost);
	table_u64(t, line->confirmed);
	table_u64(t, line->waiting);
	table_u64(t, line->quarantined);
	table_u64(t, line->moved);
	table_u64(t, line->exempt);
	table_u64(t, line->lost);
	table_u64(t, line->counted_confirmed);
	table_string(t, line->difference);
}

/* Of those that balance, or of those that do not, the newest that there is room for. */
static void put_audit_lines(struct table *t, const struct store *store, const struct audit *audit,
			    bool balanced)
{
	const struct audit_line *lines = NULL;
	size_t n = audit_lines(audit, &lines), n_such = 0, room = TABLE_MAX_ROWS;

	if (!t)
		return;
	room -= table_rows(t);
	for (size_t i = 0; i < n; i++)
		n_such += lines[i].balanced == balanced;
	for (size_t i = 0; i < n; i++)
		if (lines[i].balanced == balanced && n_such-- <= room)
			put_audit_line(t, store, &lines[i]);
}

int snapshot_audit(const struct store *store, const struct audit *audit, struct tables *ret)
{
	_cleanup_(tables_done) struct tables tables = {0};
	struct table *t = tables_add(&tables, "audit", "balanced lines");
	const struct audit_line *lines = NULL;

	table_bool(t, audit_balanced(audit));
	table_u64(t, audit_lines(audit, &lines));
	t = tables_add(&tables, "lines",
		       "sink device data_type balanced admitted in_log in_tail deleted "
		       "salvage_lost confirmed waiting quarantined moved exempt lost "
		       "counted_confirmed difference");
	put_audit_lines(t, store, audit, false);
	put_audit_lines(t, store, audit, true);
	if (tables_failed(&tables))
		return -ENOMEM;
	*ret = tables;
	tables = (struct tables){0};
	return 0;
}

static int put_audit(const struct snapshot *s, struct tables *ret)
{
	enum { STEP_ROWS = 10000 };
	_cleanup_(audit_freep) struct audit *audit = NULL;
	int r;

	if (!s->store)
		return -ENODATA;
	r = audit_new(s->store, &audit);
	if (r < 0)
		return r;
	do
		r = audit_step(audit, STEP_ROWS);
	while (r == STORE_E_NOTHING);
	return r < 0 ? r : snapshot_audit(s->store, audit, ret);
}

static void count_event(void *userdata, const struct sync_event *event)
{
	struct listing *l = userdata;

	l->total++;
}

static void put_event(void *userdata, const struct sync_event *event)
{
	struct listing *l = userdata;
	struct table *t = l->t;

	if (l->skip) {
		l->skip--;
		return;
	}
	table_u64(t, event->number);
	table_i64(t, event->wall_us);
	table_string(t, sync_event_type_name(event->type));
	table_string(t, event->kind ? kind_name(event->kind) : NULL);
	table_bool(t, event->success);
	table_u64(t, event->count);
	table_u64(t, event->retries);
	table_u64(t, event->duration_ms * USEC_PER_MSEC);
	if (event->type == SYNC_IMMEDIATE_SUCCESS)
		table_u64(t, event->latency_ms * USEC_PER_MSEC);
	else
		table_null(t);
	table_string(t, event->sink);
	table_string(t, event->reason);
}

/* The newest CONTROL_MAX_ROWS, oldest first. */
static int put_events(const struct snapshot *s, struct tables *ret)
{
	struct listing l = {.s = s};
	int r;

	l.t = tables_add(ret, "events", CONTROL_EVENTS_COLUMNS);
	if (!s->events)
		return 0;
	r = events_each(s->events, INT64_MIN, count_event, &l);
	if (r < 0)
		return r;
	l.skip = l.total > CONTROL_MAX_ROWS ? l.total - CONTROL_MAX_ROWS : 0;
	return events_each(s->events, INT64_MIN, put_event, &l);
}

static void count_incarnation(void *userdata, const struct incarnation *i)
{
	struct listing *l = userdata;

	l->total++;
}

static void put_incarnation(void *userdata, const struct incarnation *i)
{
	struct listing *l = userdata;
	struct table *t = l->t;
	char id[UUID_STRING_SIZE];

	if (l->skip) {
		l->skip--;
		return;
	}
	uuid_format(&i->id, id);
	table_u64(t, i->number);
	put_wall(t, i->began_us);
	table_string(t, incarnation_word(i->reason));
	table_string(t, i->detail);
	table_string(t, id);
}

void lists_put_incarnations(const struct snapshot *s, struct tables *ret)
{
	struct listing l = {.s = s};

	l.t = tables_add(ret, "incarnations", "number began_wall_us reason detail id");
	if (!s->store)
		return;
	store_each_incarnation(s->store, count_incarnation, &l);
	l.skip = l.total > CONTROL_MAX_ROWS ? l.total - CONTROL_MAX_ROWS : 0;
	store_each_incarnation(s->store, put_incarnation, &l);
}

void lists_put_streams(const struct snapshot *s, struct tables *ret)
{
	struct table *t =
		tables_add(ret, "streams",
			   "device data_type subject id records last_seq last_wall_us gaps "
			   "shed deleted salvage_lost old");
	struct stream_status stream;
	char id[UUID_STRING_SIZE];

	for (uint32_t i = s->store ? first_stream(s->store, 1) : 1;
	     s->store && i <= store_stream_count(s->store); i++) {
		store_stream_status(s->store, i, &stream);
		uuid_format(&stream.info.id, id);
		table_string(t, stream.info.device);
		table_string(t, kind_name(stream.info.kind));
		table_string(t, stream.info.subject);
		table_string(t, id);
		table_u64(t, stream.admitted);
		table_u64(t, stream.last_seq);
		put_wall(t, stream.last_wall_us);
		table_u64(t, stream.gaps);
		table_u64(t, stream.shed);
		table_u64(t, stream.deleted);
		table_u64(t, stream.salvage_lost);
		table_bool(t, stream.old);
	}
}

static int put_key(void *userdata, const struct config_shown *shown)
{
	struct table *t = userdata;

	table_string(t, shown->section);
	table_string(t, shown->name);
	table_string(t, shown->key);
	table_string(t, shown->value);
	table_string(t, shown->file);
	if (shown->file)
		table_u64(t, shown->line);
	else
		table_null(t);
	return 0;
}

int control_put_config(const struct config *config, struct tables *ret)
{
	struct table *t = tables_add(ret, "config", "section name key value file line");

	return config ? config_show(config, put_key, t) : 0;
}

int lists_put(const struct snapshot *s, const char *which, struct tables *ret)
{
	if (streq(which, "queue")) {
		put_queue(s, ret);
		return 0;
	}
	if (streq(which, "anchors")) {
		put_anchors(s, ret);
		return 0;
	}
	if (streq(which, "quarantine"))
		return put_quarantine(s, ret);
	if (streq(which, "unreadable"))
		return put_unreadable(s, ret);
	if (streq(which, "reconcile"))
		return comparisons_put(s, ret);
	if (streq(which, "audit"))
		return put_audit(s, ret);
	if (streq(which, "events"))
		return put_events(s, ret);
	if (streq(which, "config"))
		return control_put_config(s->config, ret);
	return CONTROL_E_UNKNOWN;
}
