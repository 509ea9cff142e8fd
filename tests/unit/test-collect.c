/*
 * collect: frames in, records out. Places: who passes by does not take the place of who is worn.
 * Flows: a gap right before the record that ends it, with its reason, for each kind on its own.
 * States: what sources tell of a wearable, and what is shown where they tell nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "collect.h"
#include "decode/movesense.h"
#include "hearing.h"
#include "place.h"
#include "util/log.h"
#include "util/quota.h"

#include <systemd/sd-journal.h>
#include <unistd.h>

enum { PASSERS_BY = 100, RECORDS_MAX = 64, ECG_N = 73 };

#define STRAP	 "a0:00:00:00:00:01"
#define OTHER	 "a0:00:00:00:00:02"
#define FRAME_NS UINT64_C(561538484) /* 73 samples at 130 Hz, nearly */

/* A collector on a store, and what was admitted of one stream. */
struct room {
	struct place *place;
	struct store *store;
	struct config config;
	struct config_device device;
	struct collect *collect;
	struct source_handler source;
	unsigned n_admitted;
	size_t n;
	struct {
		uint8_t type, reason;
		uint32_t n_missing, dt_ns;
		int32_t value; /* the first of samples */
		int64_t boot_us, duration_us;
	} record[RECORDS_MAX];
};

static void admitted(void *userdata, usec_t now)
{
	struct room *r = userdata;

	r->n_admitted++;
}

static void fault(void *userdata, int r)
{
	fail_msg("a write failed: %d", r);
}

static void open_room(struct room *r, struct place *p, enum gap_reason interrupted)
{
	const struct collect_handler handler = {.userdata = r,
						.admitted = admitted,
						.fault = fault};

	log_init(LOG_TARGET_STDERR, 3);
	r->place = p;
	r->store = open_store(p);
	assert_int_equal(collect_new(r->store, &r->config, interrupted, &handler, &r->collect), 0);
	r->source = collect_source(r->collect);
}

static void close_room(struct room *r)
{
	assert_balanced(r->store);
	r->collect = collect_free(r->collect);
	r->store = store_close(r->store);
}

static void hear(struct room *r, const char *address, enum characteristic c, const void *data,
		 size_t size)
{
	const struct frame f = {.device = address,
				.characteristic = c,
				.boot_us = r->place->now,
				.read_us = r->place->now,
				.data = data,
				.size = size};

	r->source.frame(r->source.userdata, &f);
}

static void beat(struct room *r, const char *address)
{
	static const uint8_t bytes[] = {0x00, 60};

	hear(r, address, CHARACTERISTIC_HEART_RATE_MEASUREMENT, bytes, sizeof(bytes));
	r->place->now += USEC_PER_SEC;
}

/* Frame number i of a sensor that counts from 1 s; 73 zeros. */
static void ecg(struct room *r, unsigned i)
{
	uint8_t bytes[10 + 3 * ECG_N] = {0x00};
	uint64_t ns = 1000000000 + i * FRAME_NS;

	for (unsigned at = 0; at < 8; at++)
		bytes[1 + at] = (uint8_t)(ns >> 8 * at);
	hear(r, STRAP, CHARACTERISTIC_PMD_DATA, bytes, sizeof(bytes));
	r->place->now += FRAME_NS / 1000;
}

static void connect(struct room *r, const char *address, const char *name)
{
	r->source.connected(r->source.userdata, address, name, r->place->now);
}

static void disconnect(struct room *r, const char *address, enum gap_reason why)
{
	r->source.disconnected(r->source.userdata, address, why, r->place->now);
}

static void visit(struct room *r, const char *address)
{
	connect(r, address, "");
	beat(r, address);
	disconnect(r, address, GAP_LINK_LOSS);
}

static int note(void *userdata, const struct record *record)
{
	struct room *r = userdata;

	assert_true(r->n < RECORDS_MAX);
	r->record[r->n].type = record->type;
	r->record[r->n].boot_us = record->boot_us;
	if (record->type == RECORD_GAP) {
		r->record[r->n].reason = record->gap.reason;
		r->record[r->n].n_missing = record->gap.n;
		r->record[r->n].duration_us = record->gap.duration_us;
	} else if (record->type == RECORD_ECG) {
		r->record[r->n].dt_ns = record->ecg.dt_ns;
	} else if (record->type == RECORD_SAMPLES) {
		r->record[r->n].dt_ns = record->samples.dt_ns;
		r->record[r->n].value = record->samples.value[0];
	}
	r->n++;
	return 0;
}

static void read_stream(struct room *r, uint32_t stream)
{
	r->n = 0;
	assert_int_equal(store_read(r->store, stream, 0, UINT64_MAX, 0, note, r), 0);
}

static const struct device_status *status_of(const struct room *r, const char *address)
{
	const struct device_status *status;
	size_t n = collect_devices(r->collect, &status);

	for (size_t i = 0; i < n; i++)
		if (streq(status[i].address, address))
			return &status[i];
	return NULL;
}

static void last_is(const struct room *r, enum kind kind, const char *words)
{
	char got[LAST_READING_SIZE];

	assert_string_equal(last_reading_format(kind, &status_of(r, STRAP)->last[kind], got),
			    words);
}

static void strangers_take_no_place_of_a_strap(void **state)
{
	struct room r = {.config = {.auto_enroll = true}};
	char address[DEVICE_ADDRESS_SIZE];

	open_room(&r, *state, GAP_POWER_CUT);
	visit(&r, STRAP);
	connect(&r, OTHER, "");
	for (unsigned i = 0; i < PASSERS_BY; i++) {
		(void)snprintf(address, sizeof(address), "c0:00:00:00:00:%02x", i);
		visit(&r, address);
		beat(&r, OTHER);
	}
	visit(&r, STRAP);
	assert_int_equal(store_stream_count(r.store), 2 + PASSERS_BY);
	assert_int_equal(r.n_admitted, 2 * PASSERS_BY + 3); /* one of them a gap */
	read_stream(&r, 1);
	assert_int_equal(r.n, 3);
	assert_int_equal(r.record[1].reason, GAP_LINK_LOSS);
	close_room(&r);
}

static void a_gap_stands_before_what_ends_it(void **state)
{
	static const enum gap_reason reasons[] = {GAP_LINK_LOSS,  GAP_DISCONNECTED, GAP_ADAPTER,
						  GAP_BLUETOOTHD, GAP_SILENT,	    GAP_LINK_LOSS};
	struct room r = {.config = {.auto_enroll = true}};
	size_t at = 0;

	open_room(&r, *state, GAP_DAEMON_DOWN);
	connect(&r, STRAP, "");
	beat(&r, STRAP);
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		disconnect(&r, STRAP, reasons[i]);
		disconnect(&r, STRAP, GAP_LINK_LOSS); /* the first reason counts */
		r.place->now += 8 * USEC_PER_SEC;
		connect(&r, STRAP, "");
		beat(&r, STRAP);
	}
	read_stream(&r, 1);
	assert_int_equal(r.n, 1 + 2 * ARRAY_SIZE(reasons));
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		assert_int_equal(r.record[at++].type, RECORD_HEART_RATE);
		assert_int_equal(r.record[at].type, RECORD_GAP);
		assert_int_equal(r.record[at].reason, reasons[i]);
		assert_int_equal(r.record[at].boot_us, r.record[at - 1].boot_us);
		assert_int_equal(r.record[at].duration_us, 9 * USEC_PER_SEC);
		assert_int_equal(r.record[at].boot_us + r.record[at].duration_us,
				 r.record[at + 1].boot_us);
		at++;
	}
	assert_int_equal(status_of(&r, STRAP)->gaps, ARRAY_SIZE(reasons));
	close_room(&r);
}

static void each_kind_has_its_own_gaps(void **state)
{
	struct room r = {.config = {.auto_enroll = true}};

	open_room(&r, *state, GAP_DAEMON_DOWN);
	connect(&r, STRAP, "");
	beat(&r, STRAP);
	ecg(&r, 0);
	ecg(&r, 1);
	ecg(&r, 1); /* twice */
	ecg(&r, 4); /* two are missing */
	disconnect(&r, STRAP, GAP_LINK_LOSS);
	connect(&r, STRAP, "");
	ecg(&r, 9); /* a new link: the clocks are compared anew */
	ecg(&r, 0); /* the sensor began to count afresh */
	read_stream(&r, 1);
	assert_int_equal(r.n, 1); /* nobody knows yet how long it will take */
	read_stream(&r, 2);
	assert_int_equal(r.n, 8);
	assert_int_equal(r.record[0].type, RECORD_ECG);
	assert_int_equal(r.record[0].dt_ns, 7692308); /* as it promises */
	assert_int_equal(r.record[1].dt_ns, FRAME_NS / ECG_N);
	assert_int_equal(r.record[2].reason, GAP_MISSING_FRAMES);
	assert_int_equal(r.record[2].n_missing, 2);
	assert_int_equal(r.record[3].type, RECORD_ECG);
	assert_int_equal(r.record[4].reason, GAP_LINK_LOSS);
	assert_int_equal(r.record[5].type, RECORD_ECG);
	assert_int_equal(r.record[6].reason, GAP_CLOCK_RESET);
	assert_int_equal(r.record[7].type, RECORD_ECG);
	assert_int_equal(status_of(&r, STRAP)->duplicates, 1);
	assert_int_equal(status_of(&r, STRAP)->gaps, 3);
	beat(&r, STRAP);
	read_stream(&r, 1);
	assert_int_equal(r.n, 3);
	assert_int_equal(r.record[1].reason, GAP_LINK_LOSS);
	close_room(&r);
}

static void what_is_not_wanted_is_shown_and_not_kept(void **state)
{
	struct room r = {.device = {.address = STRAP, .kinds = 1U << KIND_HEART_RATE}};
	const uint8_t ppi[] = {0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0x00, 74, 0x2a, 0x03, 5, 0, 6};

	r.config = (struct config){.devices = &r.device, .n_devices = 1};
	open_room(&r, *state, GAP_DAEMON_DOWN);
	connect(&r, STRAP, "");
	beat(&r, STRAP);
	ecg(&r, 0);
	assert_int_equal(r.n_admitted, 1);
	assert_int_equal(store_stream_count(r.store), 1);
	last_is(&r, KIND_HEART_RATE, "60 /min");
	last_is(&r, KIND_ECG, "130 Hz");
	r.device.kinds = 1U << KIND_ECG | 1U << KIND_PPI;
	collect_set_config(r.collect, &r.config);
	beat(&r, STRAP);
	ecg(&r, 1);
	hear(&r, STRAP, CHARACTERISTIC_PMD_DATA, ppi, sizeof(ppi));
	assert_int_equal(r.n_admitted, 3);
	last_is(&r, KIND_PPI, "810 ms");
	assert_int_equal(store_stream_count(r.store), 3);
	read_stream(&r, 2); /* the timeline went on, so nothing is missing before it */
	assert_int_equal(r.n, 1);
	assert_int_equal(r.record[0].dt_ns, FRAME_NS / ECG_N);
	close_room(&r);
}

static void who_is_not_enrolled_is_left_alone(void **state)
{
	struct room r = {.device = {.address = OTHER}};

	r.config = (struct config){.devices = &r.device, .n_devices = 1};
	open_room(&r, *state, GAP_DAEMON_DOWN);
	connect(&r, STRAP, "H10");
	beat(&r, STRAP);
	assert_int_equal(r.n_admitted, 0);
	assert_int_equal(status_of(&r, STRAP)->frames, 0);
	assert_string_equal(status_of(&r, STRAP)->state, "ignored");
	assert_non_null(strstr(status_of(&r, STRAP)->why, "no [device \"" STRAP "\"]"));
	close_room(&r);
}

static void count_undecoded(void *userdata, const struct undecoded *u)
{
	assert_string_equal(u->device, STRAP);
	(*(unsigned *)userdata)++;
}

static void unreadable_frames_are_kept(void **state)
{
	struct room r = {.config = {.auto_enroll = true}};
	const uint8_t short_one = 0x10, too_full = 101, model[] = "H10";
	unsigned n = 0;

	open_room(&r, *state, GAP_DAEMON_DOWN);
	connect(&r, STRAP, "");
	hear(&r, STRAP, CHARACTERISTIC_HEART_RATE_MEASUREMENT, &short_one, 1);
	hear(&r, STRAP, CHARACTERISTIC_BATTERY_LEVEL, &too_full, 1);
	hear(&r, STRAP, CHARACTERISTIC_PMD_DATA, &short_one, 1);
	hear(&r, STRAP, CHARACTERISTIC_UNKNOWN, &short_one,
	     1); /* nobody's: neither read nor kept */
	hear(&r, STRAP, CHARACTERISTIC_MODEL_NUMBER, model, sizeof(model) - 1);
	assert_int_equal(status_of(&r, STRAP)->undecodable, 3);
	assert_int_equal(status_of(&r, STRAP)->frames, 5);
	assert_int_equal(status_of(&r, STRAP)->battery, -1);
	assert_string_equal(status_of(&r, STRAP)->model, "H10");
	assert_int_equal(store_each_undecoded(r.store, count_undecoded, &n), 0);
	assert_int_equal(n, 3);
	close_room(&r);
}

static void answers_of_a_control_point_are_no_readings(void **state)
{
	struct room r = {.config = {.auto_enroll = true}};
	const uint8_t started[] = {0xf0, 0x02, 0x00, 0x00, 0x00};

	open_room(&r, *state, GAP_DAEMON_DOWN);
	connect(&r, STRAP, "");
	hear(&r, STRAP, CHARACTERISTIC_PMD_CONTROL_POINT, started, sizeof(started));
	assert_int_equal(r.n_admitted, 0);
	assert_int_equal(status_of(&r, STRAP)->undecodable, 0);
	assert_int_equal(status_of(&r, STRAP)->frames, 1);
	close_room(&r);
}

/* Compressed acceleration is scaled by what the answer to its start said, on this link. */
static void a_decoder_forgets_with_its_link(void **state)
{
	struct room r = {.device = {.address = STRAP, .kinds = 1U << KIND_ACCELERATION}};
	/* Setting 5, the conversion factor: 2.0 */
	const uint8_t started[] = {0xf0, 0x02, 0x02, 0x00, 0x00, 0x05, 0x01, 0, 0, 0, 0x40};
	/* Type 2 at 16777216 ns, layout 1, compressed: one triple and no differences */
	const uint8_t frame[] = {0x02, 0, 0, 0, 1, 0, 0, 0, 0, 0x81, 1, 0, 2, 0, 3, 0};

	r.config = (struct config){.devices = &r.device, .n_devices = 1};
	open_room(&r, *state, GAP_DAEMON_DOWN);
	connect(&r, STRAP, "");
	hear(&r, STRAP, CHARACTERISTIC_PMD_CONTROL_POINT, started, sizeof(started));
	hear(&r, STRAP, CHARACTERISTIC_PMD_DATA, frame, sizeof(frame));
	disconnect(&r, STRAP, GAP_LINK_LOSS);
	connect(&r, STRAP, "");
	hear(&r, STRAP, CHARACTERISTIC_PMD_DATA, frame, sizeof(frame));
	read_stream(&r, 1);
	assert_int_equal(r.n, 3);
	assert_int_equal(r.record[0].type, RECORD_SAMPLES);
	assert_int_equal(r.record[0].value, 2);
	assert_int_equal(r.record[0].dt_ns, 20000000);
	assert_int_equal(r.record[1].reason, GAP_LINK_LOSS); /* a repeated frame, but a new link */
	assert_int_equal(r.record[2].value, 1);
	close_room(&r);
}

/* It is connected again and again: one line when it begins, and one when it is over. */
static void a_silence_is_told_once(void **state)
{
	struct room r = {.config = {.auto_enroll = true}};
	const char *log;
	struct hearing h;

	open_room(&r, *state, GAP_DAEMON_DOWN);
	log_init(LOG_TARGET_STDERR, LOG_NOTICE);
	h = hearing_begin();
	visit(&r, STRAP);
	for (unsigned i = 0; i < 5; i++) {
		connect(&r, STRAP, "");
		hear(&r, STRAP, CHARACTERISTIC_MODEL_NUMBER, "H10", 3);
		disconnect(&r, STRAP, GAP_SILENT);
	}
	connect(&r, STRAP, "");
	beat(&r, STRAP);
	beat(&r, STRAP);
	disconnect(&r, STRAP, GAP_LINK_LOSS);
	connect(&r, STRAP, "");
	log = hearing_end(&h);
	log_init(LOG_TARGET_STDERR, 3);
	assert_int_equal(hearing_count(log, "said nothing"), 1);
	assert_int_equal(hearing_count(log, "is heard again"), 1);
	assert_int_equal(hearing_count(log, "the link was lost"), 2); /* the visit's, too */
	assert_int_equal(hearing_count(log, "is connected"), 3);
	close_room(&r);
}

static struct buf journal; /* fields, a line each */

/* In place of libsystemd's. */
int sd_journal_sendv_with_location(const char *file, const char *line, const char *func,
				   const struct iovec *iov, int n)
{
	for (int i = 0; i < n; i++) {
		buf_append(&journal, iov[i].iov_base, iov[i].iov_len);
		buf_u8(&journal, '\n');
	}
	return 0;
}

static unsigned count_fields(const char *field)
{
	unsigned count = 0;

	buf_u8(&journal, 0);
	journal.size--;
	for (const char *at = (const char *)journal.data; (at = strstr(at, field)); at++)
		count++;
	return count;
}

/* The catalog says @DEVICE@, and `journalctl DEVICE=...` finds one of many. */
static void a_line_says_whose_it_is(void **state)
{
	struct room r = {.config = {.auto_enroll = true}};
	const uint8_t short_one = 0x10;

	open_room(&r, *state, GAP_DAEMON_DOWN);
	log_init(LOG_TARGET_JOURNAL, LOG_NOTICE);
	connect(&r, STRAP, "");
	assert_int_equal(count_fields("\nDEVICE=" STRAP "\n"), 1);
	hear(&r, STRAP, CHARACTERISTIC_HEART_RATE_MEASUREMENT, &short_one, 1);
	assert_int_equal(count_fields("\nDEVICE=" STRAP "\n"), 2);
	disconnect(&r, STRAP, GAP_LINK_LOSS);
	assert_int_equal(count_fields("\nDEVICE=" STRAP "\n"), 3);
	assert_int_equal(count_fields("MESSAGE="), 3);
	log_init(LOG_TARGET_STDERR, 3);
	buf_done(&journal);
	close_room(&r);
}

/* All night at the edge of range: the journal has the beginning of it, and says that it is one. */
static void who_comes_and_goes_is_told_so_often(void **state)
{
	struct room r = {.config = {.auto_enroll = true}};
	const char *log;
	struct hearing h;
	usec_t begun;

	open_room(&r, *state, GAP_DAEMON_DOWN);
	log_init(LOG_TARGET_STDERR, LOG_NOTICE);
	h = hearing_begin();
	begun = r.place->now;
	for (unsigned i = 0; i < 100; i++)
		visit(&r, STRAP);
	visit(&r, OTHER);
	r.place->now = begun + QUOTA_SPAN;
	visit(&r, STRAP);
	log = hearing_end(&h);
	log_init(LOG_TARGET_STDERR, 3);
	assert_int_equal(hearing_count(log, STRAP), QUOTA_MOST + 2);
	assert_int_equal(hearing_count(log, "no more of it is told"), 1);
	assert_int_equal(hearing_count(log, OTHER), 2);
	assert_int_equal(status_of(&r, STRAP)->gaps, 100); /* each of them is counted */
	close_room(&r);
}

static void state_of_a_source_that_tells_none(void **state)
{
	struct room r = {.config = {.auto_enroll = true}};

	open_room(&r, *state, GAP_DAEMON_DOWN);
	connect(&r, STRAP, "H10");
	assert_string_equal(status_of(&r, STRAP)->state, "streaming");
	assert_string_equal(status_of(&r, STRAP)->why, "");
	beat(&r, STRAP);
	disconnect(&r, STRAP, GAP_ADAPTER);
	assert_string_equal(status_of(&r, STRAP)->state, "waiting");
	assert_non_null(strstr(status_of(&r, STRAP)->why, "the radio of this machine"));
	disconnect(&r, STRAP, GAP_BLUETOOTHD);
	assert_non_null(strstr(status_of(&r, STRAP)->why, "bluetoothd"));
	disconnect(&r, STRAP, GAP_SILENT);
	assert_non_null(strstr(status_of(&r, STRAP)->why, "said nothing"));
	disconnect(&r, STRAP, GAP_DAEMON_DOWN);
	assert_non_null(strstr(status_of(&r, STRAP)->why, "this hub let it go"));
	connect(&r, STRAP, "H10");
	r.source = collect_source(r.collect); /* a new one */
	assert_false(status_of(&r, STRAP)->connected);
	assert_string_equal(status_of(&r, STRAP)->state, "waiting");
	connect(&r, STRAP, "H10");
	beat(&r, STRAP);
	read_stream(&r, 1);
	assert_int_equal(r.record[1].reason, GAP_ADAPTER); /* the first of them */
	close_room(&r);
}

static void state_of_a_source_that_tells(void **state)
{
	struct room r = {.device = {.address = STRAP,
				    .name = (char *)"Anna",
				    .kinds = CONFIG_KINDS_DEFAULT}};
	struct source_device told = {.address = STRAP,
				     .name = "Polar H10",
				     .state = "searching",
				     .why = "",
				     .offers = "",
				     .adapter = "hci0",
				     .rungs = {[RUNG_RECONNECT] = 3}};
	const struct device_status *s;

	r.config = (struct config){.devices = &r.device, .n_devices = 1};
	open_room(&r, *state, GAP_DAEMON_DOWN);
	r.source.device(r.source.userdata, &told);
	s = status_of(&r, STRAP);
	assert_non_null(s);
	assert_string_equal(s->state, "searching");
	assert_string_equal(s->name, "Anna"); /* the owner's word counts */
	assert_string_equal(s->adapter, "hci0");
	assert_int_equal(s->recoveries[RECOVERY_RECONNECTED], 3);
	assert_false(s->connected || s->paired || s->occasional);
	connect(&r, STRAP, "Polar H10");
	assert_string_equal(s->state, "searching"); /* until its source says otherwise */
	told.state = "streaming";
	told.offers = "battery heart_rate polar_pmd";
	told.rssi = -60;
	told.paired = true;
	r.source.device(r.source.userdata, &told);
	assert_string_equal(s->state, "streaming");
	assert_string_equal(s->offers, told.offers);
	assert_int_equal(s->rssi, -60);
	assert_true(s->paired && s->connected && !s->occasional);
	disconnect(&r, STRAP, GAP_DISCONNECTED);
	told.state = "waiting";
	r.source.device(r.source.userdata, &told);
	assert_string_equal(s->why, "the wearable ended the link"); /* where it knows nothing */
	told.why = "it is on another hub";
	r.source.device(r.source.userdata, &told);
	assert_string_equal(s->why, "it is on another hub");
	r.source.forgotten(r.source.userdata, OTHER);
	assert_non_null(status_of(&r, STRAP));
	r.source.forgotten(r.source.userdata, STRAP);
	assert_null(status_of(&r, STRAP));
	close_room(&r);
}

/* Forgotten in the middle of the table: the others keep what is theirs. */
static void who_is_forgotten_can_come_back(void **state)
{
	struct room r = {.config = {.auto_enroll = true}};

	open_room(&r, *state, GAP_DAEMON_DOWN);
	visit(&r, STRAP);
	connect(&r, OTHER, "");
	beat(&r, OTHER);
	r.source.forgotten(r.source.userdata, STRAP);
	assert_int_equal(status_of(&r, OTHER)->frames, 1);
	beat(&r, OTHER);
	visit(&r, STRAP);
	read_stream(&r, 2);
	assert_int_equal(r.n, 2);
	read_stream(&r, 1);
	assert_int_equal(r.n, 3);
	assert_int_equal(r.record[1].reason, GAP_LINK_LOSS);
	close_room(&r);
}

/* Measurements that come one at a time: timed by arrival, whatever their own clock shows. */
static void what_is_measured_now_and_then(void **state)
{
	static const uint8_t oximetry[] = {0x00, 97, 0, 61, 0};
	static const uint8_t fever[] = {0x00, 0x7b, 0x01, 0x00, 0xff}; /* 379, -1 */
	/* 120/80, mean 93, at 2026-02-03 04:05:06 */
	static const uint8_t pressure[] = {0x02, 120, 0, 80, 0, 93, 0, 0xea, 0x07, 2, 3, 4, 5, 6};
	static const struct {
		enum characteristic characteristic;
		const uint8_t *data;
		size_t size;
		enum kind kind;
		const char *words;
		int32_t value;
	} measured[] = {
		{CHARACTERISTIC_PLX_CONTINUOUS, oximetry, sizeof(oximetry), KIND_OXIMETRY,
		 "SpO2 97 %, 61 /min", 97},
		{CHARACTERISTIC_TEMPERATURE, fever, sizeof(fever), KIND_TEMPERATURE,
		 "37.9 \xc2\xb0"
		 "C",
		 379},
		{CHARACTERISTIC_BLOOD_PRESSURE, pressure, sizeof(pressure), KIND_BLOOD_PRESSURE,
		 "120/80 mmHg", 120},
	};
	struct room r = {.config = {.auto_enroll = true}};

	open_room(&r, *state, GAP_DAEMON_DOWN);
	connect(&r, STRAP, "");
	for (size_t i = 0; i < ARRAY_SIZE(measured); i++) {
		int64_t came = (int64_t)r.place->now;

		hear(&r, STRAP, measured[i].characteristic, measured[i].data, measured[i].size);
		r.place->now += USEC_PER_SEC;
		hear(&r, STRAP, measured[i].characteristic, measured[i].data, measured[i].size);
		last_is(&r, measured[i].kind, measured[i].words);
		read_stream(&r, (uint32_t)i + 1);
		assert_int_equal(r.n, 2); /* the same twice is two measurements */
		assert_int_equal(r.record[0].type, RECORD_SAMPLES);
		assert_int_equal(r.record[0].value, measured[i].value);
		assert_int_equal(r.record[0].boot_us, came);
		assert_int_equal(r.record[1].boot_us, came + USEC_PER_SEC);
	}
	assert_int_equal(status_of(&r, STRAP)->undecodable, 0);
	assert_int_equal(status_of(&r, STRAP)->gaps, 0);
	close_room(&r);
}

static void who_offers_only_such_is_occasional(void **state)
{
	struct room r = {.config = {.auto_enroll = true}};
	struct source_device told = {.address = STRAP, .state = "waiting"};

	open_room(&r, *state, GAP_DAEMON_DOWN);
	r.source.device(r.source.userdata, &told); /* nobody knows yet */
	assert_false(status_of(&r, STRAP)->occasional);
	told.offers = "device_info battery thermometer";
	r.source.device(r.source.userdata, &told);
	assert_true(status_of(&r, STRAP)->occasional);
	told.offers = "thermometer heart_rate";
	r.source.device(r.source.userdata, &told);
	assert_false(status_of(&r, STRAP)->occasional);
	told.offers = "battery";
	r.source.device(r.source.userdata, &told);
	assert_false(status_of(&r, STRAP)->occasional);
	close_room(&r);
}

static void a_thermometer_is_occasional(void **state)
{
	struct room r = {.device = {.address = STRAP, .kinds = 1U << KIND_TEMPERATURE}};

	r.config = (struct config){.devices = &r.device, .n_devices = 1};
	open_room(&r, *state, GAP_DAEMON_DOWN);
	connect(&r, STRAP, "");
	assert_true(status_of(&r, STRAP)->occasional);
	r.device.kinds |= 1U << KIND_HEART_RATE;
	collect_set_config(r.collect, &r.config);
	assert_false(status_of(&r, STRAP)->occasional);
	close_room(&r);
}

/* The same beat by the vendor's service: data, reference, a float of bpm, one RR interval. */
static void vendor_beat(struct room *r)
{
	static const uint8_t bytes[] = {2, MOVESENSE_HEART_RATE, 0, 0, 0x70, 0x42, 0xe8, 0x03};

	hear(r, STRAP, CHARACTERISTIC_MOVESENSE_DATA, bytes, sizeof(bytes));
}

static void a_beat_told_twice_is_kept_once(void **state)
{
	struct room r = {.config = {.auto_enroll = true}};

	open_room(&r, *state, GAP_DAEMON_DOWN);
	connect(&r, STRAP, "");
	for (unsigned i = 0; i < 3; i++) {
		beat(&r, STRAP);
		vendor_beat(&r);
	}
	assert_int_equal(r.n_admitted, 3);
	assert_int_equal(status_of(&r, STRAP)->duplicates, 3);
	/* The other one goes on where the first falls silent, and keeps the word on this link. */
	r.place->now += 30 * USEC_PER_SEC;
	vendor_beat(&r);
	beat(&r, STRAP);
	assert_int_equal(r.n_admitted, 4);
	disconnect(&r, STRAP, GAP_LINK_LOSS);
	connect(&r, STRAP, "");
	beat(&r, STRAP);
	assert_int_equal(r.n_admitted, 6); /* with the gap */
	close_room(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(strangers_take_no_place_of_a_strap),
		store_test(a_gap_stands_before_what_ends_it),
		store_test(each_kind_has_its_own_gaps),
		store_test(what_is_not_wanted_is_shown_and_not_kept),
		store_test(who_is_not_enrolled_is_left_alone),
		store_test(unreadable_frames_are_kept),
		store_test(answers_of_a_control_point_are_no_readings),
		store_test(a_decoder_forgets_with_its_link),
		store_test(a_silence_is_told_once),
		store_test(who_comes_and_goes_is_told_so_often),
		store_test(a_line_says_whose_it_is),
		store_test(state_of_a_source_that_tells_none),
		store_test(state_of_a_source_that_tells),
		store_test(who_is_forgotten_can_come_back),
		store_test(what_is_measured_now_and_then),
		store_test(who_offers_only_such_is_occasional),
		store_test(a_thermometer_is_occasional),
		store_test(a_beat_told_twice_is_kept_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
