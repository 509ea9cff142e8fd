/*
 * Wearables over our own Attribute Protocol, for hubs too small or too plain for bluetoothd.
 *
 * The whole needs two things: that bluetoothd is not here (bluez_present.c: two that speak ATT on
 * one link take each other's answers), and an adapter that is on (mgmt.c). While one lacks, every
 * wearable rests, and the owner is told why:
 *
 *	not known --> bluetoothd is here <--> no adapter, or off <--> every wearable goes its own way
 *
 * No wearables but those that the owner named: to find others is to scan, which is bluetoothd's.
 * When the daemon stops, wearables are given HUSH to let their streams stop: a strap that goes on
 * sending ECG to nobody empties its battery.
 */
#include "source/l2cap_source.h"

#include "source/bluez_present.h"
#include "source/l2cap_device.h"
#include "source/mgmt.h"
#include "util/clock.h"
#include "util/log.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUS_RETRY  (10 * USEC_PER_SEC)
#define MGMT_RETRY (10 * USEC_PER_SEC)
#define HUSH	   (500 * USEC_PER_MSEC)

enum { MESSAGES_A_SLICE = 64, HUSH_STEP_MS = 50 };

struct l2cap_source {
	struct source source;
	const struct config *config;
	struct l2cap_context context;
	struct bluez_present *bluez;
	bool bluez_known, bluez_present;
	struct mgmt *mgmt;
	int fd; /* of mgmt; -1: none */
	int fd_error;
	sd_event_source *io, *timer;
	char adapter[DEVICE_ADDRESS_SIZE]; /* that the owner wants; "": any */
	struct l2cap_device *devices[CONFIG_MAX_DEVICES];
	size_t n_devices;
	bool told;
};

/* --- the obstacle --- */

static void find_obstacle(const struct l2cap_source *s, char *ret, size_t size)
{
	if (s->bluez_known && s->bluez_present)
		(void)snprintf(ret, size,
			       "bluetoothd runs here, and two cannot speak to one wearable: use "
			       "type = bluez, or systemctl mask --now bluetooth");
	else if (s->fd < 0 && s->fd_error)
		(void)snprintf(
			ret, size,
			"Bluetooth sockets are closed to this service (%s): copy l2cap.conf from "
			"the share/vitald of this installation to "
			"/etc/systemd/system/vitald.service.d/ (see vitald.conf(5))",
			strerror(s->fd_error));
	else if (s->mgmt && mgmt_problem(s->mgmt)[0])
		(void)snprintf(ret, size, "%s", mgmt_problem(s->mgmt));
	else if (!s->mgmt || !mgmt_ready(s->mgmt))
		(void)snprintf(ret, size, "the Bluetooth adapter is being looked for");
	else
		ret[0] = '\0';
}

/* What is only a moment's state is not told. */
static void reconsider(struct l2cap_source *s)
{
	struct l2cap_context *c = &s->context;
	bool ready = s->mgmt && mgmt_ready(s->mgmt), moment = !ready;
	char obstacle[sizeof(c->obstacle)];

	find_obstacle(s, obstacle, sizeof(obstacle));
	if (ready) {
		(void)snprintf(c->adapter, sizeof(c->adapter), "%s", mgmt_name(s->mgmt));
		(void)snprintf(c->adapter_address, sizeof(c->adapter_address), "%s",
			       mgmt_address(s->mgmt));
	}
	if (s->told && streq(obstacle, c->obstacle))
		return;
	moment = moment && !(s->bluez_known && s->bluez_present) && !s->fd_error &&
		 !(s->mgmt && mgmt_problem(s->mgmt)[0]);
	memcpy(c->obstacle, obstacle, sizeof(obstacle));
	c->gap = s->bluez_present ? GAP_BLUETOOTHD : GAP_ADAPTER;
	for (size_t i = 0; i < s->n_devices; i++)
		l2cap_device_reconsider(s->devices[i]);
	if (moment)
		return;
	s->told = true;
	c->handler.state(c->handler.userdata, obstacle[0] ? obstacle : NULL);
}

/* --- the adapter --- */

static void arm(struct l2cap_source *s, usec_t due)
{
	/* The timer exists and takes any time: setting it cannot fail. */
	(void)sd_event_source_set_time(s->timer, due);
	(void)sd_event_source_set_enabled(s->timer,
					  due == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static void close_mgmt(struct l2cap_source *s)
{
	s->io = sd_event_source_disable_unref(s->io);
	s->mgmt = mgmt_free(s->mgmt);
	if (s->fd >= 0)
		(void)close(s->fd); /* nothing is lost by a failing close */
	s->fd = -1;
	arm(s, USEC_INFINITY);
}

static void lose_mgmt(struct l2cap_source *s, int error)
{
	close_mgmt(s);
	s->fd_error = error;
	arm(s, clock_boot_usec() + MGMT_RETRY);
	reconsider(s);
}

static void on_mgmt_send(void *userdata, const uint8_t *data, size_t size)
{
	struct l2cap_source *s = userdata;

	if (send(s->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_debug("The kernel took no message on Bluetooth: %m"); /* its time runs out */
}

static void on_mgmt_changed(void *userdata)
{
	reconsider(userdata);
}

static int on_mgmt(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct l2cap_source *s = userdata;
	uint8_t data[MGMT_MESSAGE_MAX];

	for (unsigned i = 0; i < MESSAGES_A_SLICE; i++) {
		ssize_t n = recv(fd, data, sizeof(data), MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0) {
			lose_mgmt(s, n < 0 ? errno : ECONNRESET);
			return 0;
		}
		mgmt_receive(s->mgmt, data, (size_t)n, clock_boot_usec());
	}
	arm(s, mgmt_due(s->mgmt));
	return 0;
}

static int open_mgmt(struct l2cap_source *s)
{
	const struct mgmt_handler handler = {.userdata = s,
					     .send = on_mgmt_send,
					     .changed = on_mgmt_changed};
	int r = s->context.door.manage(s->context.door.userdata);

	if (r < 0)
		return r;
	s->fd = r;
	r = mgmt_new(s->adapter[0] ? s->adapter : NULL, &handler, &s->mgmt);
	return r < 0 ? r : sd_event_add_io(s->context.event, &s->io, s->fd, EPOLLIN, on_mgmt, s);
}

static int on_timer(sd_event_source *source, uint64_t at, void *userdata)
{
	struct l2cap_source *s = userdata;
	int r;

	if (!s->mgmt) {
		r = open_mgmt(s);
		if (r < 0) {
			lose_mgmt(s, -r);
			return 0;
		}
		s->fd_error = 0;
	}
	mgmt_tick(s->mgmt, clock_boot_usec());
	arm(s, mgmt_due(s->mgmt));
	return 0;
}

static void on_bluez(void *userdata, bool present)
{
	struct l2cap_source *s = userdata;

	s->bluez_known = true;
	s->bluez_present = present;
	close_mgmt(s);
	s->fd_error = 0;
	if (!present)
		arm(s, 0);
	reconsider(s);
}

/* --- wearables --- */

/* A static random address has both top bits set (Core Specification, Vol 6 Part B 1.3.2.1). */
static bool is_random(const struct config_device *d)
{
	if (d->address_type != CONFIG_ADDRESS_AUTO)
		return d->address_type == CONFIG_ADDRESS_RANDOM;
	return strtoul(d->address, NULL, 16) >> 6 == 3;
}

static struct l2cap_device *find(struct l2cap_source *s, const char *address)
{
	for (size_t i = 0; i < s->n_devices; i++)
		if (streq(l2cap_device_address(s->devices[i]), address))
			return s->devices[i];
	return NULL;
}

static void on_rested(void *userdata, struct l2cap_device *d)
{
	struct l2cap_source *s = userdata;
	char address[DEVICE_ADDRESS_SIZE];

	for (size_t i = 0; i < s->n_devices; i++) {
		if (s->devices[i] != d)
			continue;
		memcpy(address, l2cap_device_address(d), sizeof(address));
		s->devices[i] = s->devices[--s->n_devices];
		l2cap_device_free(d);
		s->context.handler.forgotten(s->context.handler.userdata, address);
		return;
	}
}

static void on_full(void *userdata)
{
	struct l2cap_source *s = userdata;

	for (size_t i = 0; i < s->n_devices; i++)
		l2cap_device_reconsider(s->devices[i]);
}

static struct l2cap_device *add(struct l2cap_source *s, const char *address)
{
	struct l2cap_device *d;

	/* Those that are being let go have a place, too. */
	if (s->n_devices == ARRAY_SIZE(s->devices) ||
	    l2cap_device_new(&s->context, address, &d) < 0) {
		log_warning("No room for the wearable %s until the next reload", address);
		return NULL;
	}
	s->devices[s->n_devices++] = d;
	return d;
}

static void apply_devices(struct l2cap_source *s)
{
	const struct config *config = s->config;

	for (size_t i = s->n_devices; i-- > 0;)
		if (!config_device_find(config, l2cap_device_address(s->devices[i])))
			l2cap_device_wish(s->devices[i], NULL, 0, false);
	for (size_t i = 0; i < config->n_devices; i++) {
		const struct config_device *wish = &config->devices[i];
		struct l2cap_device *d = find(s, wish->address);

		if (!d && wish->kinds)
			d = add(s, wish->address);
		if (d)
			l2cap_device_wish(d, wish->name, source_wanted(config, wish->address),
					  is_random(wish));
	}
}

static void set_config(struct source *source, const struct config *config)
{
	struct l2cap_source *s = (struct l2cap_source *)source; /* its first member */
	const char *adapter = config->adapter ? config->adapter : "";

	s->config = config;
	s->context.max_links = config->max_links;
	if (!streq(adapter, s->adapter)) {
		(void)snprintf(s->adapter, sizeof(s->adapter), "%s", adapter);
		if (s->bluez_known)
			on_bluez(s, s->bluez_present);
	}
	apply_devices(s);
}

/* Until all have stopped their streams, or have had their time. */
static void hush(struct l2cap_source *s)
{
	usec_t end = clock_boot_usec() + HUSH;
	struct pollfd fds[CONFIG_MAX_DEVICES];
	struct l2cap_device *of[CONFIG_MAX_DEVICES];

	for (size_t i = 0; i < s->n_devices; i++)
		l2cap_device_hush(s->devices[i]);
	for (usec_t now = end - HUSH; now < end; now = clock_boot_usec()) {
		nfds_t n = 0;

		for (size_t i = 0; i < s->n_devices; i++) {
			int fd = l2cap_device_hushing(s->devices[i]);

			of[n] = s->devices[i];
			if (fd >= 0)
				fds[n++] = (struct pollfd){.fd = fd, .events = POLLIN};
		}
		if (n == 0 || poll(fds, n, HUSH_STEP_MS) < 0)
			return;
		for (nfds_t i = 0; i < n; i++)
			if (fds[i].revents)
				l2cap_device_read(of[i]);
	}
}

static struct l2cap_source *l2cap_source_free(struct l2cap_source *s)
{
	if (!s)
		return NULL;
	hush(s);
	for (size_t i = 0; i < s->n_devices; i++)
		l2cap_device_free(s->devices[i]);
	bluez_present_free(s->bluez);
	if (s->timer)
		close_mgmt(s);
	sd_event_source_disable_unref(s->timer);
	sd_event_unref(s->context.event);
	free(s);
	return NULL;
}
DEFINE_CLEANUP(struct l2cap_source *, l2cap_source_free)

static void free_source(struct source *source)
{
	(void)l2cap_source_free((struct l2cap_source *)source); /* its first member */
}

static const struct source_operations operations = {.free = free_source, .set_config = set_config};

int l2cap_source_new(sd_event *event, const struct config *config, struct profiles profiles,
		     const struct l2cap_door *door, const struct source_handler *handler,
		     struct source **ret)
{
	_cleanup_(l2cap_source_freep) struct l2cap_source *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	*s = (struct l2cap_source){.source = {&operations},
				   .config = config,
				   .fd = -1,
				   .context = {.event = sd_event_ref(event),
					       .door = *door,
					       .profiles = profiles,
					       .handler = *handler,
					       .max_links = config->max_links,
					       .gap = GAP_ADAPTER,
					       .userdata = s,
					       .full = on_full,
					       .rested = on_rested}};
	(void)snprintf(s->adapter, sizeof(s->adapter), "%s",
		       config->adapter ? config->adapter : "");
	(void)snprintf(s->context.obstacle, sizeof(s->context.obstacle),
		       "the Bluetooth adapter is being looked for");
	r = sd_event_add_time(event, &s->timer, CLOCK_BOOTTIME, USEC_INFINITY, USEC_PER_MSEC,
			      on_timer, s);
	if (r >= 0)
		r = sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
	if (r >= 0)
		r = bluez_present_new(event, BUS_RETRY, on_bluez, s, &s->bluez);
	if (r < 0)
		return r;
	apply_devices(s);
	*ret = &TAKE(s)->source;
	return 0;
}
