/*
 * From bytes to records:
 *
 *    frame -> protocol_of(characteristic) -> decode() -> readings -> collect_flow.c -> store
 *       |                                       |
 *       | battery, model, firmware:             | not readable: counted, kept in the store for
 *       | into the status                       | whoever debugs the strap, said once a device
 *
 * What the owner does not want stored is decoded all the same, and its last value shown: so he sees
 * that it could be had. Answers of a control point go the same way; a decoder learns scales from
 * them and reads nothing out of them.
 */
#include "collect_state.h"

#include "decode/device_info.h"
#include "model/catalog.h"
#include "util/log.h"

#include <stdio.h>

struct collect *collect_free(struct collect *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; c->devices && i < c->n; i++)
		collect_device_done(&c->devices[i]);
	free(c->status);
	free(c->devices);
	free(c);
	return NULL;
}

int collect_new(struct store *store, const struct config *config, enum gap_reason interrupted,
		const struct collect_handler *handler, struct collect **ret)
{
	_cleanup_(collect_freep) struct collect *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->status = calloc(COLLECT_MAX_DEVICES, sizeof(*c->status));
	c->devices = calloc(COLLECT_MAX_DEVICES, sizeof(*c->devices));
	if (!c->status || !c->devices)
		return -ENOMEM;
	for (int i = 0; i < CHARACTERISTIC_MAX_; i++) {
		const struct protocol *p = protocol_of((enum characteristic)i);

		c->protocols[i] = (struct known_protocol){p, p ? protocol_index(p) : 0};
	}
	c->store = store;
	c->config = config;
	c->handler = *handler;
	c->interrupted = interrupted;
	c->n_known = store_stream_count(store);
	*ret = TAKE(c);
	return 0;
}

void collect_set_config(struct collect *c, const struct config *config)
{
	c->config = config;
	for (size_t i = 0; i < c->n; i++)
		collect_device_configure(c, i);
}

void collect_renamed(struct collect *c)
{
	for (size_t i = 0; i < c->n; i++)
		for (size_t kind = 0; kind < KIND_MAX; kind++)
			c->devices[i].flows[kind].stream = 0;
}

static void undecodable(struct collect *c, size_t i, const struct frame *f,
			const struct decode_error *error)
{
	struct undecoded u = {.wall_us = clock_wall_usec(), .data = f->data, .size = f->size};
	struct device *d = &c->devices[i];
	char field[DEVICE_FIELD_SIZE];
	int r;

	c->status[i].undecodable++;
	(void)snprintf(u.device, sizeof(u.device), "%s", f->device);
	(void)snprintf(u.characteristic, sizeof(u.characteristic), "%s",
		       characteristic_uuid(f->characteristic));
	memcpy(u.why, error->what, sizeof(u.why));
	r = store_keep_undecoded(c->store, &u, f->read_us);
	if (r < 0)
		c->handler.fault(c->handler.userdata, r);
	if (!d->told_undecodable)
		log_event(LOG_WARNING, CATALOG_UNDECODABLE,
			  LOG_FIELDS(device_field(c->status[i].address, field)),
			  "%s sends a %s that cannot be decoded: %s; such frames are counted and "
			  "kept",
			  f->device, characteristic_name(f->characteristic), error->what);
	d->told_undecodable = true;
}

struct taking {
	struct collect *collect;
	size_t device;
	const struct frame *frame;
};

/* It came or went, which it may do every few seconds, all night: gaps are counted in any case. */
static void tell_move(struct collect *c, size_t i, const char *message_id, const char *what,
		      bool repeated, usec_t now)
{
	const struct device_status *status = &c->status[i];
	struct device *d = &c->devices[i];
	enum quota_answer may = repeated ? QUOTA_NO : quota_take(&d->lines, now);
	char field[DEVICE_FIELD_SIZE];

	log_event(may == QUOTA_NO ? LOG_DEBUG : LOG_NOTICE, message_id,
		  LOG_FIELDS(device_field(status->address, field)), "%s (%s) is %s%s%s%s",
		  status->address, status->name, what, d->lost[0] ? ": " : "", d->lost,
		  quota_words(may));
}

static void on_reading(void *userdata, const struct reading *reading)
{
	const struct taking *t = userdata;
	struct device *d = &t->collect->devices[t->device];

	if (reading->n == 0) /* a frame may be all header */
		return;
	if (d->silent)
		tell_move(t->collect, t->device, NULL, "heard again", false, t->frame->read_us);
	d->silent = false;
	collect_flow_take(t->collect, t->device, reading, t->frame);
}

static void take_protocol(struct collect *c, size_t i, const struct frame *f)
{
	const struct known_protocol *known = &c->protocols[f->characteristic];
	const struct protocol *p = known->protocol;
	struct decoder *decoder = p ? collect_device_decoder(&c->devices[i], known->index) : NULL;
	struct taking taking = {.collect = c, .device = i, .frame = f};
	const struct reading_handler handler = {.userdata = &taking, .reading = on_reading};
	struct decode_error error = {0};

	if (p && !decoder)
		c->handler.fault(c->handler.userdata, -ENOMEM);
	else if (p && p->decode(decoder, f, &handler, &error) != 0)
		undecodable(c, i, f, &error);
}

/* A bad one is as good as none. */
static void take_string(const struct frame *f, char ret[static DEVICE_STRING_SIZE])
{
	char text[DEVICE_STRING_SIZE];

	if (device_string_decode(f->data, f->size, text, NULL) == 0)
		memcpy(ret, text, sizeof(text));
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
	int i = collect_device_index(c, f->device);
	struct device_status *status;

	if (i < 0 || !c->devices[i].enrolled)
		return;
	status = &c->status[i];
	status->frames++;
	status->last_frame_us = f->boot_us;
	switch (f->characteristic) {
	case CHARACTERISTIC_BATTERY_LEVEL: take_battery(c, (size_t)i, f); break;
	case CHARACTERISTIC_MODEL_NUMBER: take_string(f, status->model); break;
	case CHARACTERISTIC_FIRMWARE_REVISION: take_string(f, status->firmware); break;
	default: take_protocol(c, (size_t)i, f);
	}
}

static void set_state(struct collect *c, size_t i, const char *state, const char *why)
{
	struct device_status *status = &c->status[i];

	if (c->devices[i].reported)
		return; /* its source knows better */
	(void)snprintf(status->state, sizeof(status->state), "%s", state); /* fits */
	(void)snprintf(status->why, sizeof(status->why), "%s", why);
}

static void on_connected(void *userdata, const char *address, const char *name, usec_t now)
{
	struct collect *c = userdata;
	int i = collect_device_index(c, address);
	struct device_status *status;
	char why[120] = "";

	if (i < 0) {
		log_warning("More than %d wearables: %s is left alone", COLLECT_MAX_DEVICES,
			    address);
		return;
	}
	status = &c->status[i];
	if (!status->name[0])
		(void)snprintf(status->name, sizeof(status->name), "%s", name); /* cut */
	status->connected = true;
	if (!c->devices[i].enrolled)
		(void)snprintf(why, sizeof(why), "not enrolled: no [device \"%s\"] in the config",
			       address);
	c->devices[i].lost[0] = '\0';
	set_state(c, (size_t)i, c->devices[i].enrolled ? "streaming" : "ignored", why);
	collect_device_link(&c->devices[i]);
	/* One that is silent is connected again and again: what ends that is a value, not a link. */
	tell_move(c, (size_t)i, CATALOG_DEVICE_CONNECTED, "connected", c->devices[i].silent, now);
}

static const char *lost_words(enum gap_reason why)
{
	switch (why) {
	case GAP_DISCONNECTED: return "the wearable ended the link";
	case GAP_ADAPTER: return "the radio of this machine is unplugged, off or stuck";
	case GAP_BLUETOOTHD: return "bluetoothd of this machine was restarted or hangs";
	case GAP_DAEMON_DOWN: return "this hub let it go (its config, or max_links)";
	case GAP_SILENT: return "it was connected and said nothing";
	default: return "the link was lost (out of range?)";
	}
}

static void on_disconnected(void *userdata, const char *address, enum gap_reason why, usec_t now)
{
	struct collect *c = userdata;
	int i = collect_device_index(c, address);
	struct device *d;

	if (i < 0)
		return;
	d = &c->devices[i];
	c->status[i].connected = false;
	c->status[i].memory[0] = '\0';
	(void)snprintf(d->lost, sizeof(d->lost), "%s", lost_words(why)); /* fits */
	set_state(c, (size_t)i, "waiting", d->lost);
	if (!c->status[i].why[0])
		memcpy(c->status[i].why, d->lost, sizeof(c->status[i].why));
	collect_flow_interrupt(d, why);
	tell_move(c, (size_t)i, CATALOG_DEVICE_LOST, "gone", d->silent && why == GAP_SILENT, now);
	d->silent = why == GAP_SILENT;
}

static void on_device(void *userdata, const struct source_device *told)
{
	struct collect *c = userdata;
	int i = collect_device_index(c, told->address);

	if (i >= 0) /* else it is told of again when there is a place */
		collect_device_report(c, (size_t)i, told);
}

static void on_forgotten(void *userdata, const char *address)
{
	struct collect *c = userdata;

	for (size_t i = 0; i < c->n; i++)
		if (streq(c->status[i].address, address)) {
			collect_device_remove(c, i);
			return;
		}
}

static void on_recorder(void *userdata, const char *address, struct recorder *recorder)
{
	struct collect *c = userdata;
	int i = collect_device_index(c, address);

	if (i >= 0 && c->devices[i].enrolled)
		collect_recorder(c, (size_t)i, recorder);
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

/* Whatever source there was is gone, and its links with it. */
static void forget_links(struct collect *c)
{
	for (size_t i = 0; i < c->n; i++) {
		c->devices[i].reported = false;
		if (!c->status[i].connected)
			continue;
		c->status[i].connected = false;
		set_state(c, i, "waiting", "not connected since the source was changed");
		collect_flow_interrupt(&c->devices[i], GAP_DAEMON_DOWN);
	}
}

struct source_handler collect_source(struct collect *c)
{
	forget_links(c);
	return (struct source_handler){
		.userdata = c,
		.connected = on_connected,
		.frame = on_frame,
		.disconnected = on_disconnected,
		.device = on_device,
		.forgotten = on_forgotten,
		.recorder = on_recorder,
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
