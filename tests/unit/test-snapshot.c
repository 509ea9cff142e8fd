/*
 * control/snapshot, problems, lists: a real store with a server that confirms, one that is down,
 * and what the tables say of both; the same store looked at without its owner.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control/snapshot.h"
#include "dirs.h"
#include "store/finding.h"
#include "store/outbox.h"
#include "store/register.h"

#include <stdio.h>

#define DEVICE "a0:b1:c2:d3:e4:f5"
#define WALL   INT64_C(1700000000000000)

struct place {
	char dir[DIR_SIZE], state[SUBDIR_SIZE], run[SUBDIR_SIZE];
	usec_t now;
	struct store *store;
	uint32_t sink, stream;
	struct config config;
	struct config_sink sink_config;
	struct config_device device_config;
	struct sink_state sink_state;
	struct device_status device;
	struct snapshot snapshot;
};

static const struct clock_state synced = {.synchronised = true, .offset_us = WALL};

static void wire_snapshot(struct place *p)
{
	p->sink_config = (struct config_sink){.name = (char *)"main",
					      .url = (char *)"https://x",
					      .required = true};
	p->device_config = (struct config_device){.address = DEVICE,
						  .name = (char *)"Anna",
						  .kinds = CONFIG_KINDS_DEFAULT};
	p->config = (struct config){.state_dir = p->state,
				    .runtime_dir = p->run,
				    .gateway = (char *)"hub",
				    .source = CONFIG_SOURCE_SIMULATE,
				    .durability_window = USEC_PER_SEC,
				    .max_size = UINT64_C(2) << 30,
				    .background_interval = 1800 * USEC_PER_SEC,
				    .immediate = true,
				    .queue = true,
				    .reconcile = true,
				    .timers = true,
				    .trust_clock = CLOCK_TRUST_YES,
				    .sinks = &p->sink_config,
				    .n_sinks = 1,
				    .devices = &p->device_config,
				    .n_devices = 1};
	strcpy(p->sink_state.name, "main");
	p->device = (struct device_status){
		.address = DEVICE,
		.name = "Anna",
		.connected = true,
		.state = "streaming",
		.battery = 80,
		.bpm = 61,
		.last = {[KIND_HEART_RATE] = {.type = RECORD_HEART_RATE, .value = {61}},
			 [KIND_ECG] = {.type = RECORD_ECG, .dt_ns = 7692308}},
		.last_frame_us = p->now};
	p->snapshot = (struct snapshot){.store = p->store,
					.config = &p->config,
					.sinks = &p->sink_state,
					.n_sinks = 1,
					.devices = &p->device,
					.n_devices = 1,
					.running = true,
					.pid = 7,
					.now = p->now,
					.wall_us = WALL + (int64_t)p->now,
					.started_us = p->now - 60 * USEC_PER_SEC,
					.clock = synced};
}

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	struct store_opening opening;
	struct store_options o = {.state_dir = p->state,
				  .runtime_dir = p->run,
				  .role = "test",
				  .tail_size = 64 * 1024,
				  .durability_window = USEC_PER_SEC,
				  .lazy_commit = 300 * USEC_PER_SEC};

	dirs_make("/dev/shm", p->dir, p->state, p->run);
	p->now = 1000 * USEC_PER_SEC;
	assert_int_equal(store_open(&o, p->now, &synced, &opening, &p->store), 0);
	assert_int_equal(register_sink(p->store, "main", true, false, &p->sink), 0);
	assert_int_equal(register_stream(p->store, DEVICE, KIND_HEART_RATE, "u-1", &p->stream), 0);
	wire_snapshot(p);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	p->store = store_close(p->store);
	dirs_remove(p->dir);
	free(p);
	return 0;
}

static void hear(struct place *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct record r = {.stream = p->stream,
				   .type = RECORD_HEART_RATE,
				   .boot_us = (int64_t)p->now,
				   .heart_rate = {.bpm = 60, .energy_kj = -1}};

		assert_int_equal(store_admit(p->store, &r, p->now), 0);
		p->now += USEC_PER_SEC;
	}
	p->snapshot.now = p->now;
	p->snapshot.wall_us = WALL + (int64_t)p->now;
	p->device.last_frame_us = p->now - USEC_PER_SEC;
}

static int take_begin(void *userdata, const struct run_info *run)
{
	return 0;
}

static int take_add(void *userdata, const struct stream_info *stream, uint64_t after,
		    const struct record *r)
{
	return 0;
}

static const struct cut_taker taker = {.begin = take_begin, .add = take_add};

static void confirm_all(struct place *p)
{
	_cleanup_(cut_done) struct cut cut = {0};
	struct receipt_entry entry = {.stream = p->stream};

	assert_int_equal(outbox_cut(p->store, p->sink, &taker, &cut), 0);
	entry.acked_through = cut.ranges[0].last_seq;
	entry.accepted = cut.ranges[0].count;
	assert_int_equal(outbox_confirm(p->store, &cut, &entry, 1, p->now), 0);
}

static void defer_all(struct place *p)
{
	_cleanup_(cut_done) struct cut cut = {0};

	assert_int_equal(outbox_cut(p->store, p->sink, &taker, &cut), 0);
	assert_int_equal(outbox_defer(p->store, &cut, p->now, p->now + 12 * USEC_PER_SEC,
				      "connection refused"),
			 0);
}

static void query(struct place *p, const char *which, struct tables *ret)
{
	assert_int_equal(snapshot_tables(&p->snapshot, which, ret), 0);
	assert_false(tables_failed(ret));
}

static void says(const struct tables *t, const char *table, size_t row, const char *column,
		 const char *text)
{
	const char *got = table_get_string(tables_find(t, table), row, column);

	if (!strstr(got, text))
		fail_msg("%s[%zu].%s is \"%s\", without \"%s\"", table, row, column, got, text);
}

static uint64_t number(const struct tables *t, const char *table, const char *column)
{
	return table_get_u64(tables_find(t, table), 0, column, UINT64_MAX);
}

static void healthy(void **state)
{
	struct place *p = *state;
	_cleanup_(tables_done) struct tables t = {0};

	hear(p, 5);
	confirm_all(p);
	assert_string_equal(snapshot_state(&p->snapshot), "healthy");
	query(p, "status", &t);
	says(&t, "summary", 0, "state", "healthy");
	says(&t, "summary", 0, "verdict", "1 wearable connected, everything heard is confirmed");
	assert_int_equal(number(&t, "summary", "waiting"), 0);
	assert_int_equal(number(&t, "summary", "since_us"), 65 * USEC_PER_SEC);
	assert_int_equal(number(&t, "devices", "last_sample_us"), USEC_PER_SEC);
	assert_int_equal(number(&t, "devices", "last_confirmed_us"), USEC_PER_SEC);
	assert_int_equal(number(&t, "sinks", "confirmed"), 5);
	assert_int_equal(number(&t, "streams", "records"), 5);
	assert_int_equal(table_rows(tables_find(&t, "problems")), 0);
}

/* A receipt of an earlier run counts: to be told that there never was one frightens at night. */
static void confirmed_before_the_start(void **state)
{
	struct place *p = *state;
	_cleanup_(tables_done) struct tables mute = {0}, t = {0}, dead = {0};

	hear(p, 1);
	confirm_all(p);
	hear(p, 5);
	query(p, "status", &mute);
	assert_int_equal(number(&mute, "sinks", "last_success_us"), UINT64_MAX);
	finding_confirmed(p->store, p->sink, p->snapshot.wall_us - 120 * (int64_t)USEC_PER_SEC);
	query(p, "status", &t);
	assert_int_equal(number(&t, "sinks", "last_success_us"), 120 * USEC_PER_SEC);
	p->snapshot.running = false;
	p->snapshot.n_sinks = 0;
	query(p, "status", &dead);
	assert_int_equal(number(&dead, "sinks", "last_success_us"), 120 * USEC_PER_SEC);
	assert_int_equal(number(&dead, "devices", "last_confirmed_us"), 120 * USEC_PER_SEC);
}

/* Nobody says "9 ms". */
static void server_down_just_now(void **state)
{
	struct place *p = *state;
	_cleanup_(tables_done) struct tables t = {0};

	p->sink_state.state = SINK_DOWN;
	strcpy(p->sink_state.reason, "connection refused");
	p->sink_state.since = p->now - 9 * USEC_PER_MSEC;
	p->sink_state.next_attempt = p->now + 400 * USEC_PER_MSEC;
	query(p, "status", &t);
	says(&t, "problems", 0, "what", "\"main\" has been down for a moment: connection refused");
	says(&t, "problems", 0, "remedy", "next attempt in a moment, or now");
}

static void server_down(void **state)
{
	struct place *p = *state;
	_cleanup_(tables_done) struct tables t = {0}, queue = {0}, anchors = {0};

	hear(p, 1);
	confirm_all(p);
	hear(p, 5);
	defer_all(p);
	p->sink_state.state = SINK_DOWN;
	strcpy(p->sink_state.reason, "connection refused");
	strcpy(p->sink_state.detail, "Failed to connect to x port 1");
	p->sink_state.since = p->now - 240 * USEC_PER_SEC;
	p->sink_state.next_attempt = p->now + 12 * USEC_PER_SEC;
	query(p, "status", &t);
	says(&t, "summary", 0, "state", "degraded");
	says(&t, "problems", 0, "what", "\"main\" has been down for 4 min: connection refused");
	says(&t, "problems", 0, "detail", "Failed to connect to x port 1");
	says(&t, "problems", 0, "consequence", "nothing is lost: 5 records are safe");
	says(&t, "problems", 0, "remedy", "next attempt in 12 s");
	assert_int_equal(number(&t, "devices", "waiting"), 5);
	assert_int_equal(number(&t, "devices", "last_confirmed_us"), 5 * USEC_PER_SEC);
	query(p, "queue", &queue);
	says(&queue, "queue", 0, "last_error", "connection refused");
	says(&queue, "queue", 0, "device", DEVICE);
	assert_int_equal(number(&queue, "queue", "records"), 5);
	assert_int_equal(number(&queue, "queue_summary", "records"), 5);
	assert_int_equal(number(&queue, "queue", "next_attempt_us"), 12 * USEC_PER_SEC);
	query(p, "anchors", &anchors);
	assert_int_equal(number(&anchors, "anchors", "waiting"), 5);
	assert_int_equal(number(&anchors, "anchors", "confirmed"), 1);
}

/* It was down from the beginning: that something was confirmed some seconds ago would be a lie. */
static void nothing_was_ever_confirmed(void **state)
{
	struct place *p = *state;
	_cleanup_(tables_done) struct tables t = {0}, more = {0};

	hear(p, 5);
	query(p, "status", &t);
	assert_int_equal(number(&t, "devices", "waiting"), 5);
	assert_int_equal(number(&t, "devices", "last_confirmed_us"), UINT64_MAX);
	defer_all(p);
	query(p, "status", &more);
	assert_int_equal(number(&more, "devices", "last_confirmed_us"), UINT64_MAX);
}

/* The server is not to blame, and nobody is sent to look after it. */
static void offline(void **state)
{
	struct place *p = *state;
	_cleanup_(tables_done) struct tables t = {0}, held = {0};

	hear(p, 5);
	defer_all(p);
	p->snapshot.offline = true;
	p->sink_state.state = SINK_DOWN;
	query(p, "status", &t);
	says(&t, "summary", 0, "state", "degraded");
	assert_int_equal(table_rows(tables_find(&t, "problems")), 1);
	says(&t, "problems", 0, "what", "this machine has no network");
	says(&t, "problems", 0, "consequence", "nothing is lost: 5 records are safe");
	says(&t, "problems", 0, "remedy", "Wi-Fi");
	p->sink_state.state = SINK_HELD; /* that one stays, network or not */
	query(p, "status", &held);
	assert_int_equal(table_rows(tables_find(&held, "problems")), 2);
}

static void what_is_switched_off(void **state)
{
	struct place *p = *state;
	_cleanup_(tables_done) struct tables t = {0}, none = {0};

	hear(p, 5);
	p->config.immediate = p->config.queue = p->config.reconcile = false;
	query(p, "status", &t);
	says(&t, "summary", 0, "state", "healthy");
	says(&t, "summary", 0, "verdict", "records wait for the next background run");
	assert_int_equal(table_rows(tables_find(&t, "problems")), 3);
	says(&t, "problems", 0, "consequence",
	     "new records wait for the next background run, at most 30 min");
	says(&t, "problems", 1, "consequence", "did not take waits for the next background run");
	says(&t, "problems", 2, "what", "comparing with the servers is switched off");
	p->config.timers = false;
	query(p, "status", &none);
	says(&none, "problems", 0, "consequence", "new records wait for `vitalctl sync`, a start");
	says(&none, "problems", 3, "what", "the background is switched off");
}

static void missing_things(void **state)
{
	struct place *p = *state;
	_cleanup_(tables_done) struct tables t = {0};

	p->sink_config.token_file = (char *)"/nonexistent/token";
	p->config.source = CONFIG_SOURCE_NONE;
	p->snapshot.clock.synchronised = false;
	p->snapshot.bus_problem = "the bus went away";
	p->device.connected = false;
	strcpy(p->device.why, "out of reach");
	p->snapshot.now = p->device.last_frame_us + 720 * USEC_PER_SEC;
	query(p, "status", &t);
	says(&t, "summary", 0, "state", "not_working");
	says(&t, "problems", 0, "what", "no source of samples");
	says(&t, "problems", 1, "what", "/nonexistent/token");
	says(&t, "problems", 2, "what", "Anna has not been heard for 12 min: out of reach");
	says(&t, "problems", 2, "consequence", "nothing of it is recorded until it comes back");
	says(&t, "problems", 2, "remedy", "worn, charged and in reach?");
	says(&t, "problems", 2, "severity", "degraded"); /* the owner named it */
	says(&t, "problems", 3, "what", "clock");
	says(&t, "problems", 4, "what", "the bus went away");
	says(&t, "problems", 4, "severity", "notice");
}

/* Of the clock: what is the matter, what becomes of the records, and when nothing is the matter. */
static void the_clock(void **state)
{
	struct place *p = *state;
	struct tables t = {0};

	p->config.clock_wait = 120 * USEC_PER_SEC;
	p->snapshot.clock.synchronised = false;
	query(p, "status", &t);
	says(&t, "problems", 0, "what", "the clock is not synchronised");
	says(&t, "problems", 0, "consequence",
	     "records wait up to 2 min for it, then are marked as estimates");
	says(&t, "problems", 0, "consequence", "nothing is lost");
	says(&t, "problems", 0, "remedy", "is the network there?");
	assert_null(strstr(table_get_string(tables_find(&t, "problems"), 0, "what"), "any more"));
	tables_done(&t);
	p->snapshot.clock_ever = true;
	query(p, "status", &t);
	says(&t, "problems", 0, "what", "not synchronised any more");
	says(&t, "problems", 0, "consequence", "times go on from when it was right");
	tables_done(&t);

	p->snapshot.clock.synchronised = true;
	p->snapshot.clock_step_us = -3600 * INT64_C(1000000);
	p->snapshot.clock_step_at = p->snapshot.now - 60 * USEC_PER_SEC;
	query(p, "status", &t);
	says(&t, "summary", 0, "state", "healthy"); /* a notice, by day */
	says(&t, "problems", 0, "what", "the clock was set back by 1 h 0 min, 60 s ago");
	says(&t, "problems", 0, "consequence", "nothing is lost");
	assert_int_equal(table_cell(tables_find(&t, "summary"), 0, "clock_step_us")->i64,
			 p->snapshot.clock_step_us);
	assert_int_equal(table_cell(tables_find(&t, "summary"), 0, "clock_step_wall_us")->i64,
			 p->snapshot.wall_us - 60000000);
	tables_done(&t);
	p->snapshot.now = p->snapshot.clock_step_at + 3600 * USEC_PER_SEC;
	query(p, "status", &t);
	for (size_t i = 0; i < table_rows(tables_find(&t, "problems")); i++)
		assert_null(
			strstr(table_get_string(tables_find(&t, "problems"), i, "what"), "clock"));
	tables_done(&t);
}

static void no_sink_and_a_stranger(void **state)
{
	struct place *p = *state;
	_cleanup_(tables_done) struct tables t = {0};

	p->config.n_sinks = 0;
	p->config.n_devices = 0;
	p->device.connected = false;
	query(p, "status", &t);
	says(&t, "summary", 0, "state", "degraded");
	says(&t, "problems", 0, "what", "no server is configured");
	assert_int_equal(table_rows(tables_find(&t, "problems")),
			 1); /* somebody took a strap off */
	says(&t, "sinks", 0, "state", "retired");
}

/* The first problem after a change of what is known of the wearable; "" is none. */
static void problem_is(struct place *p, const char *what)
{
	_cleanup_(tables_done) struct tables t = {0};

	query(p, "status", &t);
	says(&t, "problems", 0, "what", what);
	assert_int_equal(table_rows(tables_find(&t, "problems")), what[0] ? 1 : 0);
}

/* A server had lost what it confirmed: worth a look for a day; and what the tables say of it. */
static void what_a_server_had_lost(void **state)
{
	struct place *p = *state;
	struct finding f = {.wall_us = p->snapshot.wall_us,
			    .sink = 1,
			    .stream = 1,
			    .first_seq = 7,
			    .last_seq = 9,
			    .n = 3,
			    .what = FINDING_SERVER_ONLY}; /* as after each power cut */
	_cleanup_(tables_done) struct tables t = {0};

	assert_int_equal(finding_add(p->store, &f), 0);
	problem_is(p, "");
	f.what = FINDING_LACKED;
	assert_int_equal(finding_add(p->store, &f), 0);
	problem_is(p, "\"main\" had lost 3 records that it had confirmed");
	assert_string_equal(snapshot_state(&p->snapshot), "healthy");
	query(p, "reconcile", &t);
	says(&t, "reconcile", 0, "sink", "main");
	says(&t, "findings", 0, "what", "server_only");
	says(&t, "findings", 1, "what", "lacked");
}

/* The end of a capture is no fault of a radio. */
static void a_capture_that_has_ended(void **state)
{
	struct place *p = *state;
	struct config config = *p->snapshot.config;
	const struct config *before = p->snapshot.config;

	config.source = CONFIG_SOURCE_REPLAY;
	p->snapshot.config = &config;
	p->snapshot.source_problem = "the capture night is at its end";
	problem_is(p, "the capture night is at its end");
	assert_string_equal(snapshot_state(&p->snapshot), "degraded");
	p->snapshot.config = before;
	problem_is(p, "the wearables cannot be heard: the capture night is at its end");
	assert_string_equal(snapshot_state(&p->snapshot), "not_working");
}

static void a_wearable_that_does_not_stream(void **state)
{
	struct place *p = *state;

	problem_is(p, "");
	p->device.connected = false;
	problem_is(p, "the wearable Anna is not connected");
	p->device.last_frame_us = 0; /* never since the start, a minute ago */
	problem_is(p, "Anna has not been heard for 60 s, since the start");
	p->device.occasional = true;
	problem_is(p, "");
	p->device.occasional = false;
	p->snapshot.source_problem = "there is no adapter"; /* said once, not of each */
	problem_is(p, "there is no adapter");
	p->snapshot.source_problem = NULL;
	p->device.connected = true;
	strcpy(p->device.state, "connecting");
	problem_is(p, "Anna is connected but not streaming");
	strcpy(p->device.why, "it wants to be paired");
	problem_is(p, "Anna is connected but not streaming: it wants to be paired");
	strcpy(p->device.state, "streaming");
	strcpy(p->device.why, "ECG was refused: in charger");
	problem_is(p, "not all of Anna is recorded: ECG was refused: in charger");
}

static void a_wearable_that_was_never_seen(void **state)
{
	struct place *p = *state;
	_cleanup_(tables_done) struct tables t = {0};

	p->snapshot.n_devices = 0;
	problem_is(p, "Anna has not been heard for 60 s, since the start");
	p->snapshot.started_us = p->now - USEC_PER_SEC;
	problem_is(p, "Anna is not heard yet");
	query(p, "devices", &t);
	says(&t, "devices", 0, "name", "Anna");
	says(&t, "devices", 0, "state", "waiting");
	says(&t, "devices", 0, "why", "not seen yet");
	p->device_config.kinds = 1U << KIND_TEMPERATURE; /* it lies in its drawer */
	problem_is(p, "");
	p->config.n_devices = 0;
	problem_is(p, "no wearable has been seen yet");
}

static void all_that_is_known_of_a_wearable(void **state)
{
	struct place *p = *state;
	_cleanup_(tables_done) struct tables t = {0};

	strcpy(p->device.adapter, "hci0");
	strcpy(p->device.offers, "heart_rate polar_pmd");
	p->device.rssi = -67;
	p->device.paired = true;
	p->device.recoveries[RECOVERY_RESUBSCRIBED] = 2;
	p->device.recoveries[RECOVERY_RECONNECTED] = 1;
	query(p, "devices", &t);
	says(&t, "devices", 0, "state", "streaming");
	says(&t, "devices", 0, "readings", "heart rate 61 /min, ecg 130 Hz");
	says(&t, "devices", 0, "adapter", "hci0");
	says(&t, "devices", 0, "offers", "heart_rate polar_pmd");
	assert_int_equal(table_cell(tables_find(&t, "devices"), 0, "rssi_dbm")->i64, -67);
	assert_true(table_cell(tables_find(&t, "devices"), 0, "paired")->yes);
	assert_int_equal(number(&t, "devices", "recoveries"), 3);
	assert_int_equal(number(&t, "devices", "resubscribed"), 2);
	assert_int_equal(number(&t, "devices", "reconnected"), 1);
	assert_int_equal(number(&t, "devices", "restarted"), 0);
}

static void quarantine_and_audit(void **state)
{
	struct place *p = *state;
	_cleanup_(tables_done) struct tables t = {0}, audit = {0}, status = {0};
	_cleanup_(cut_done) struct cut cut = {0};

	hear(p, 1);
	assert_int_equal(outbox_cut(p->store, p->sink, &taker, &cut), 0);
	assert_int_equal(outbox_quarantine(p->store, &cut, p->now, "bad_bpm", "out of range"), 0);
	for (int i = 0; i < 3; i++) {
		hear(p, 1);
		assert_int_equal(store_commit(p->store, p->now), 0);
	}
	query(p, "quarantine", &t);
	says(&t, "quarantine", 0, "code", "bad_bpm");
	says(&t, "quarantine", 0, "sink", "main");
	assert_int_equal(number(&t, "quarantine_summary", "records"), 1);
	query(p, "audit", &audit);
	assert_int_equal(number(&audit, "audit", "balanced"), 1);
	assert_int_equal(number(&audit, "lines", "admitted"), 4);
	assert_int_equal(number(&audit, "lines", "quarantined"), 1);
	assert_int_equal(number(&audit, "lines", "waiting"), 3);
	query(p, "status", &status);
	says(&status, "problems", 0, "what", "1 record refused for good by \"main\"");
	says(&status, "summary", 0, "state", "healthy");
}

static void what_nobody_could_read(void **state)
{
	struct place *p = *state;
	_cleanup_(tables_done) struct tables t = {0};
	const uint8_t bytes[] = {0x10};
	struct undecoded u = {.device = "a0:b1:c2:d3:e4:f5",
			      .characteristic = "2a37",
			      .why = "too short",
			      .data = bytes,
			      .size = sizeof(bytes)};

	assert_int_equal(store_keep_undecoded(p->store, &u, p->now), 0);
	assert_int_equal(store_commit(p->store, p->now), 0);
	assert_int_equal(store_keep_undecoded(p->store, &u, p->now), 0); /* not written yet */
	query(p, "unreadable", &t);
	assert_int_equal(table_rows(tables_find(&t, "unreadable")), 2);
	says(&t, "unreadable", 0, "hex", "10");
	says(&t, "unreadable", 1, "why", "too short");
}

/* The words of each are different, and say what to do; what to do is not the same. */
static void why_nobody_answers(void **state)
{
	static const struct {
		struct control_absence absence;
		const char *state, *what, *remedy;
	} cases[] = {
		{{.kind = CONTROL_DEAD}, "not_working", "vitald is not running", "systemctl start"},
		{{.kind = CONTROL_DEAD, .silent_us = 12 * USEC_PER_SEC},
		 "not_working",
		 "vitald is not running (last alive 12 s ago)",
		 "systemctl start"},
		{{.kind = CONTROL_HUNG, .silent_us = 40 * USEC_PER_SEC, .pid = 7},
		 "not_working",
		 "vitald does not answer (for 40 s)",
		 "systemd restarts it within 90 s; if it lasts: `sudo systemctl restart vitald`"},
		{{.kind = CONTROL_STARTING},
		 "degraded",
		 "vitald is starting",
		 "wait a few seconds"},
		{{.kind = CONTROL_WORKING, .pid = 77, .role = "drain"},
		 "not_working",
		 "vitald is not running; `vitald drain` is at work (pid 77)",
		 "systemctl start"},
		{{.kind = CONTROL_FORBIDDEN}, "not_working", "this user may not ask", "sudo"},
	};
	struct place *p = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(tables_done) struct tables t = {0};

		assert_int_equal(control_tables_from_store(NULL, &p->config, &cases[i].absence,
							   "status", &t),
				 0);
		says(&t, "summary", 0, "state", cases[i].state);
		says(&t, "problems", 0, "what", cases[i].what);
		says(&t, "problems", 0, "remedy", cases[i].remedy);
		assert_true(table_get_string(tables_find(&t, "problems"), 0, "consequence")[0]);
	}
}

/* Beside that nobody answers: why the store could not be read either. */
static void and_the_store_cannot_be_read(void **state)
{
	static const struct control_absence dead = {
		.kind = CONTROL_DEAD,
		.store_what = "the store belongs to root",
		.store_consequence = "vitald cannot start",
		.store_remedy = "give it back",
	};
	struct place *p = *state;
	_cleanup_(tables_done) struct tables t = {0};

	assert_int_equal(control_tables_from_store(NULL, &p->config, &dead, "status", &t), 0);
	says(&t, "summary", 0, "verdict", "vitald is not running");
	says(&t, "problems", 1, "what", "the store belongs to root");
	says(&t, "problems", 1, "consequence", "vitald cannot start");
	says(&t, "problems", 1, "remedy", "give it back");
	says(&t, "problems", 1, "severity", "not_working");
}

static void without_the_daemon(void **state)
{
	static const struct control_absence dead = {.kind = CONTROL_DEAD,
						    .silent_us = 12000 * USEC_PER_SEC};
	struct place *p = *state;
	_cleanup_(store_closep) struct store *look = NULL;
	_cleanup_(tables_done) struct tables t = {0}, audit = {0}, events = {0};

	hear(p, 4);
	assert_int_equal(store_commit(p->store, p->now), 0);
	hear(p, 2); /* in the tail only */
	assert_int_equal(store_look(p->state, p->run, &look), 0);
	assert_int_equal(control_tables_from_store(look, &p->config, &dead, "status", &t), 0);
	says(&t, "summary", 0, "state", "not_working");
	says(&t, "summary", 0, "verdict", "vitald is not running (last alive 3 h 20 min ago)");
	says(&t, "devices", 0, "name", "Anna");
	says(&t, "devices", 0, "state", "stopped");
	says(&t, "sinks", 0, "state", "unknown");
	assert_int_equal(number(&t, "sinks", "waiting"), 6);
	assert_int_equal(control_tables_from_store(look, &p->config, &dead, "audit", &audit), 0);
	assert_int_equal(number(&audit, "audit", "balanced"), 1);
	assert_int_equal(number(&audit, "lines", "in_tail"), 2);
	assert_int_equal(control_tables_from_store(look, &p->config, &dead, "events", &events), 0);
	assert_int_equal(table_rows(tables_find(&events, "events")), 0);
}

static void nothing_at_all(void **state)
{
	static const char *const which[] = {"status",  "sinks",	     "devices", "queue",
					    "anchors", "quarantine", "events"};
	_cleanup_(tables_done) struct tables t = {0};
	const struct snapshot s = {0};

	for (size_t i = 0; i < ARRAY_SIZE(which); i++) {
		assert_int_equal(snapshot_tables(&s, which[i], &t), 0);
		tables_done(&t);
	}
	assert_true(snapshot_tables(&s, "audit", &t) < 0);
	assert_int_equal(snapshot_tables(&s, "weather", &t), CONTROL_E_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(healthy, set_up, tear_down),
		cmocka_unit_test_setup_teardown(confirmed_before_the_start, set_up, tear_down),
		cmocka_unit_test_setup_teardown(server_down, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_was_ever_confirmed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(server_down_just_now, set_up, tear_down),
		cmocka_unit_test_setup_teardown(offline, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_switched_off, set_up, tear_down),
		cmocka_unit_test_setup_teardown(missing_things, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_clock, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_sink_and_a_stranger, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_a_server_had_lost, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_capture_that_has_ended, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_wearable_that_does_not_stream, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_wearable_that_was_never_seen, set_up, tear_down),
		cmocka_unit_test_setup_teardown(all_that_is_known_of_a_wearable, set_up, tear_down),
		cmocka_unit_test_setup_teardown(quarantine_and_audit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_nobody_could_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(why_nobody_answers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(and_the_store_cannot_be_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_the_daemon, set_up, tear_down),
		cmocka_unit_test(nothing_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
