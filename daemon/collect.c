/*
 * From bytes to records. A device has up to two streams; each stream is in one of three states:
 *
 *    unknown --first frame--> live --link gone--> interrupted --frame--> live
 *       |                                              |
 *       | known from an earlier start: gap             | gap: link_loss, disconnected
 *       | (daemon_down, power_cut)                     |
 *
 * A gap record is admitted when the stream goes on, right before the record that ends it, so that
 * it has both its ends; an interruption that never ends is in `status`, not in the data. While
 * live, the timeline of an ECG tells missing frames and resets of the sensor's clock.
 *
 * What cannot be decoded is counted, kept in the store for whoever debugs the strap, and said once
 * a device.
 */
#include "collect.h"

#include "decode/device_info.h"
#include "decode/heart_rate.h"
#include "decode/pmd.h"
#include "decode/timeline.h"
#include "model/catalog.h"
#include "util/log.h"

#include <stdio.h>

enum {
	MAX_DEVICES = 64,
	ECG_NOMINAL_DT_NS = 7692308, /* 130 Hz */
};

struct flow {
	uint32_t stream;	     /* 0: not used yet */
	bool started;		     /* in this run */
	enum gap_reason interrupted; /* 0: live */
	int64_t last_us;	     /* boot time of the end of what was last heard */
	bool last_known;
	uint32_t refused; /* while the card had no room for a new stream */
	int64_t refused_from_us;
};

struct device {
	struct flow flows[KIND_MAX];
	struct timeline timeline;
	char subject[64];
	bool enrolled;
	bool told_undecodable;
	int64_t today; /* days since 1970, UTC: what `gaps` counts */
};

struct collect {
	struct store *store;
	const struct config *config;
	struct collect_handler handler;
	enum gap_reason interrupted;
	size_t n_known;		      /* streams from before this start */
	uint64_t run;		      /* of this start */
	struct device_status *status; /* apart from `devices`, because it is shown as an array */
	struct device *devices;
	size_t n;
	char source_problem[200];
	bool told_full;
	struct record record, gap; /* large: not on the stack for each frame */
};

struct collect *collect_free(struct collect *c)
{
	if (!c)
		return NULL;
	free(c->status);
	free(c->devices);
	free(c);
	return NULL;
}

int collect_new(struct store *store, const struct config *config, enum gap_reason interrupted,
		const struct collect_handler *handler, struct collect **ret)
{
	_cleanup_(collect_freep) struct collect *c = calloc(1, sizeof(*c));
	struct store_figures figures;

	if (!c)
		return -ENOMEM;
	c->status = calloc(MAX_DEVICES, sizeof(*c->status));
	c->devices = calloc(MAX_DEVICES, sizeof(*c->devices));
	if (!c->status || !c->devices)
		return -ENOMEM;
	c->store = store;
	c->config = config;
	c->handler = *handler;
	c->interrupted = interrupted;
	c->n_known = store_stream_count(store);
	store_figures(store, &figures);
	c->run = figures.run.number;
	*ret = TAKE(c);
	return 0;
}

/* A strap that is given to somebody else opens new streams with its next record. */
static void take_config(struct collect *c, size_t i)
{
	const struct config_device *wanted = config_device_find(c->config, c->status[i].address);
	struct device *d = &c->devices[i];
	const char *subject = wanted && wanted->subject ? wanted->subject : "";

	d->enrolled = wanted || c->config->auto_enroll;
	if (wanted && wanted->name)
		(void)snprintf(c->status[i].name, sizeof(c->status[i].name), "%s", wanted->name);
	if (streq(d->subject, subject))
		return;
	(void)snprintf(d->subject, sizeof(d->subject), "%s", subject); /* the config bounds it */
	memset(d->flows, 0, sizeof(d->flows));
}

void collect_set_config(struct collect *c, const struct config *config)
{
	c->config = config;
	for (size_t i = 0; i < c->n; i++)
		take_config(c, i);
}

static bool goes_before(const struct collect *c, size_t a, size_t b)
{
	if (c->devices[a].enrolled != c->devices[b].enrolled)
		return c->devices[b].enrolled;
	return c->status[a].last_frame_us < c->status[b].last_frame_us;
}

/*
 * A place for a new device. What changes its address with each link, or only passes by, must not
 * take the last place from a strap that is worn: who is not connected goes, strangers first, then
 * the one not heard for longest. MAX_DEVICES: all are connected.
 */
static size_t free_place(struct collect *c)
{
	size_t place = MAX_DEVICES;

	if (c->n < MAX_DEVICES)
		return c->n++;
	for (size_t i = 0; i < c->n; i++)
		if (!c->status[i].connected && (place == MAX_DEVICES || goes_before(c, i, place)))
			place = i;
	return place;
}

/* Index of the device, which is made if it is new; -1: there are too many. */
static int device_index(struct collect *c, const char *address)
{
	size_t place;

	for (size_t i = 0; i < c->n; i++)
		if (streq(c->status[i].address, address))
			return (int)i;
	place = free_place(c);
	if (place == MAX_DEVICES)
		return -1;
	c->status[place] = (struct device_status){.battery = -1};
	c->devices[place] = (struct device){0};
	(void)snprintf(c->status[place].address, sizeof(c->status[place].address), "%s", address);
	take_config(c, place);
	return (int)place;
}

static void count_gap(struct collect *c, size_t i, usec_t now)
{
	int64_t day = clock_wall_usec() / (24 * 3600 * (int64_t)USEC_PER_SEC);

	if (c->devices[i].today != day)
		c->status[i].gaps = 0;
	c->devices[i].today = day;
	c->status[i].gaps++;
}

static int admit(struct collect *c, struct record *r, usec_t now)
{
	int e = store_admit(c->store, r, now);

	if (e < 0) {
		c->handler.fault(c->handler.userdata, e);
		return e;
	}
	if (e == STORE_E_FULL && !c->told_full)
		log_event(LOG_ERR, CATALOG_STORE_FULL, NULL,
			  "The store is full: new records are refused and counted as a gap (%s)",
			  store_problem(c->store));
	c->told_full = e == STORE_E_FULL;
	if (e == 0)
		c->handler.admitted(c->handler.userdata, now);
	return e;
}

static void admit_gap(struct collect *c, size_t i, struct flow *flow, enum gap_reason reason,
		      int64_t from_us, int64_t to_us, uint32_t n, usec_t now)
{
	struct record *gap = &c->gap;

	gap->stream = flow->stream;
	gap->type = RECORD_GAP;
	gap->boot_us = from_us;
	gap->gap = (struct gap){.reason = (uint8_t)reason,
				.n = n,
				.duration_us = MAX(to_us - from_us, 0)};
	if (admit(c, gap, now) == 0)
		count_gap(c, i, now);
}

/*
 * Finds the stream; one that was there before this start was interrupted by whatever ended that.
 * > 0: it is new, and the card has no room to write it down.
 */
static int start_flow(struct collect *c, size_t i, enum kind kind, struct flow *flow)
{
	struct stream_status known;
	int r;

	r = store_stream(c->store, c->status[i].address, kind, c->devices[i].subject,
			 &flow->stream);
	if (r == -ENOSPC)
		return 1; /* to end over it would not help: a start has to write as well */
	if (r != 0) {
		c->handler.fault(c->handler.userdata, r < 0 ? r : -EIO);
		return -1;
	}
	if (flow->started)
		return 0;
	flow->started = true;
	store_stream_status(c->store, flow->stream, &known);
	/* A power cut may have taken all its records; that it had some its name tells. */
	if (known.admitted == 0 && flow->stream > c->n_known)
		return 0;
	/* Heard in this run already: its place was given away, or its subject came back. */
	flow->interrupted = seq_run(known.last_seq) == c->run ? GAP_LINK_LOSS : c->interrupted;
	flow->last_known = store_last_heard(c->store, flow->stream, &flow->last_us);
	return 0;
}

/* No stream to count it in yet: remembered here, and told once there is one. */
static void refuse(struct collect *c, size_t i, struct flow *flow, int64_t from_us)
{
	if (flow->refused++ > 0)
		return;
	flow->refused_from_us = from_us;
	log_event(LOG_ERR, CATALOG_STORE_FULL, NULL,
		  "The card has no room to begin with %s: what it sends is refused until there is "
		  "(%s)",
		  c->status[i].address, store_problem(c->store));
}

/*
 * Before a record that begins at from_us: is there a gap to tell? Returns the flow, NULL when
 * nothing can be admitted.
 */
static struct flow *go_on(struct collect *c, size_t i, enum kind kind, int64_t from_us, usec_t now)
{
	struct flow *flow = &c->devices[i].flows[kind];

	if (flow->stream == 0) {
		int r = start_flow(c, i, kind, flow);

		if (r > 0)
			refuse(c, i, flow, from_us);
		if (r != 0)
			return NULL;
	}
	if (flow->refused)
		admit_gap(c, i, flow, GAP_STORE_FULL, MIN(flow->refused_from_us, from_us), from_us,
			  flow->refused, now);
	flow->refused = 0;
	if (flow->interrupted)
		admit_gap(c, i, flow, flow->interrupted,
			  flow->last_known ? MIN(flow->last_us, from_us) : from_us, from_us, 0,
			  now);
	flow->interrupted = 0;
	return flow;
}

static void undecodable(struct collect *c, size_t i, const struct frame *f,
			const struct decode_error *error)
{
	struct undecoded u = {.wall_us = clock_wall_usec(), .data = f->data, .size = f->size};
	struct device *d = &c->devices[i];
	int r;

	c->status[i].undecodable++;
	(void)snprintf(u.device, sizeof(u.device), "%s", f->device);
	(void)snprintf(u.characteristic, sizeof(u.characteristic), "%s",
		       characteristic_uuid(f->characteristic));
	memcpy(u.why, error->what, sizeof(u.why));
	r = store_keep_undecoded(c->store, &u);
	if (r < 0)
		c->handler.fault(c->handler.userdata, r);
	if (!d->told_undecodable)
		log_event(LOG_WARNING, CATALOG_UNDECODABLE, NULL,
			  "%s sends a %s that cannot be decoded: %s; such frames are counted and "
			  "kept",
			  f->device, characteristic_name(f->characteristic), error->what);
	d->told_undecodable = true;
}

static void take_heart_rate(struct collect *c, size_t i, const struct frame *f)
{
	struct decode_error error;
	struct record *r = &c->record;
	struct flow *flow;
	int64_t came = (int64_t)f->boot_us;
	usec_t now = f->read_us;

	if (heart_rate_decode(f->data, f->size, &r->heart_rate, &error) != 0) {
		undecodable(c, i, f, &error);
		return;
	}
	c->status[i].bpm = r->heart_rate.bpm;
	flow = go_on(c, i, KIND_HEART_RATE, came, now);
	if (!flow)
		return;
	r->stream = flow->stream;
	r->type = RECORD_HEART_RATE;
	r->boot_us = came;
	(void)admit(c, r, now); /* told its handler */
	flow->last_us = came;
	flow->last_known = true;
}

static void tell_timing(struct collect *c, size_t i, struct flow *flow, const struct timing *t,
			usec_t now)
{
	if (t->kind == TIMING_MISSING)
		admit_gap(c, i, flow, GAP_MISSING_FRAMES, t->gap_from_us, t->gap_to_us,
			  t->n_missing, now);
	else if (t->kind == TIMING_RESET)
		admit_gap(c, i, flow, GAP_CLOCK_RESET, t->gap_from_us, t->gap_to_us, 0, now);
}

static void take_ecg(struct collect *c, size_t i, const struct frame *f)
{
	struct device *d = &c->devices[i];
	struct decode_error error;
	struct record *r = &c->record;
	struct timing timing;
	struct flow *flow;

	if (pmd_ecg_decode(f->data, f->size, &r->ecg, &error) != 0) {
		undecodable(c, i, f, &error);
		return;
	}
	if (!d->timeline.running && d->timeline.nominal_dt_ns == 0)
		timeline_reset(&d->timeline, ECG_NOMINAL_DT_NS);
	timeline_step(&d->timeline, r->ecg.sensor_ns, r->ecg.n, (int64_t)f->boot_us, &timing);
	if (timing.kind == TIMING_DUPLICATE) {
		c->status[i].duplicates++;
		return;
	}
	flow = go_on(c, i, KIND_ECG, timing.first_us, f->read_us);
	if (!flow)
		return;
	tell_timing(c, i, flow, &timing, f->read_us);
	r->stream = flow->stream;
	r->type = RECORD_ECG;
	r->boot_us = timing.first_us;
	r->ecg.dt_ns = timing.dt_ns;
	(void)admit(c, r, f->read_us); /* told its handler */
	flow->last_us = timing.first_us + (int64_t)r->ecg.dt_ns * r->ecg.n / 1000;
	flow->last_known = true;
}

static void take_pmd(struct collect *c, size_t i, const struct frame *f)
{
	const struct config_device *wanted = config_device_find(c->config, f->device);
	struct decode_error error;
	struct pmd_header header;

	if (pmd_header_decode(f->data, f->size, &header, &error) != 0)
		undecodable(c, i, f, &error);
	else if (header.type == PMD_ECG && (!wanted || wanted->kinds & 1U << KIND_ECG))
		take_ecg(c, i, f);
}

static void take_string(struct device_status *status, const struct frame *f)
{
	char text[DEVICE_STRING_SIZE];

	if (device_string_decode(f->data, f->size, text, NULL) != 0)
		return;
	if (f->characteristic == CHARACTERISTIC_MODEL_NUMBER)
		memcpy(status->model, text, sizeof(text));
	else if (f->characteristic == CHARACTERISTIC_FIRMWARE_REVISION)
		memcpy(status->firmware, text, sizeof(text));
}

static void take_battery(struct collect *c, size_t i, const struct frame *f)
{
	struct decode_error error;
	uint8_t percent;

	if (battery_decode(f->data, f->size, &percent, &error) != 0)
		undecodable(c, i, f, &error);
	else
		c->status[i].battery = percent;
}

static void on_frame(void *userdata, const struct frame *f)
{
	struct collect *c = userdata;
	int i = device_index(c, f->device);
	const struct config_device *wanted;

	if (i < 0 || !c->devices[i].enrolled)
		return;
	c->status[i].frames++;
	c->status[i].last_frame_us = f->boot_us;
	switch (f->characteristic) {
	case CHARACTERISTIC_HEART_RATE_MEASUREMENT:
		wanted = config_device_find(c->config, f->device);
		if (!wanted || wanted->kinds & 1U << KIND_HEART_RATE)
			take_heart_rate(c, (size_t)i, f);
		break;
	case CHARACTERISTIC_PMD_DATA: take_pmd(c, (size_t)i, f); break;
	case CHARACTERISTIC_BATTERY_LEVEL: take_battery(c, (size_t)i, f); break;
	default: take_string(&c->status[i], f);
	}
}

static void on_connected(void *userdata, const char *address, const char *name, usec_t now)
{
	struct collect *c = userdata;
	int i = device_index(c, address);
	struct device_status *status;

	if (i < 0) {
		log_warning("More than %d wearables: %s is left alone", MAX_DEVICES, address);
		return;
	}
	status = &c->status[i];
	if (!status->name[0])
		(void)snprintf(status->name, sizeof(status->name), "%s", name); /* cut */
	status->connected = true;
	status->why[0] = '\0';
	if (!c->devices[i].enrolled)
		(void)snprintf(status->why, sizeof(status->why),
			       "not enrolled: no [device \"%s\"] in the config", address);
	timeline_reset(&c->devices[i].timeline, ECG_NOMINAL_DT_NS);
	log_event(LOG_NOTICE, CATALOG_DEVICE_CONNECTED, NULL, "%s (%s) is connected", address,
		  status->name);
}

static void on_disconnected(void *userdata, const char *address, enum gap_reason why, usec_t now)
{
	struct collect *c = userdata;
	int i = device_index(c, address);

	if (i < 0)
		return;
	c->status[i].connected = false;
	(void)snprintf(c->status[i].why, sizeof(c->status[i].why), "%s",
		       why == GAP_DISCONNECTED ? "the wearable ended the link"
					       : "the link was lost (out of range?)");
	for (size_t kind = 0; kind < KIND_MAX; kind++)
		if (c->devices[i].flows[kind].stream && !c->devices[i].flows[kind].interrupted)
			c->devices[i].flows[kind].interrupted = why;
	log_event(LOG_NOTICE, CATALOG_DEVICE_LOST, NULL, "%s (%s) is gone: %s", address,
		  c->status[i].name, c->status[i].why);
}

static void on_state(void *userdata, const char *problem)
{
	struct collect *c = userdata;

	(void)snprintf(c->source_problem, sizeof(c->source_problem), "%s", problem ? problem : "");
	if (problem)
		log_event(LOG_WARNING, CATALOG_SOURCE_MISSING, NULL, "%s", problem);
	else
		log_notice("The source of wearables is there");
}

struct source_handler collect_source(struct collect *c)
{
	return (struct source_handler){
		.userdata = c,
		.connected = on_connected,
		.frame = on_frame,
		.disconnected = on_disconnected,
		.state = on_state,
	};
}

size_t collect_devices(const struct collect *c, const struct device_status **ret)
{
	*ret = c->status;
	return c->n;
}

const char *collect_source_problem(const struct collect *c)
{
	return c->source_problem[0] ? c->source_problem : NULL;
}
