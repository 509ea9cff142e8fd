/*
 * The script, and the loop. fake_bluez_settle() uses that messages between two peers keep their order
 * on the bus: when the client has answered a Ping, it has also read all that was sent to it before,
 * and all that it sent is here. What it asks of the bus itself takes one more round.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake-world.h"
#include "told-time.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADVERTISES_EVERY USEC_PER_SEC

enum { QUIET_ROUNDS = 2 };

void fake_bluez_start(struct fake_bluez *f)
{
	assert_true(sd_bus_request_name(f->bus, "org.bluez", 0) >= 0);
	f->running = true;
	for (size_t i = 0; i < f->n_straps; i++)
		if (f->straps[i].paired)
			fake_link_know(f, &f->straps[i]);
}

void fake_bluez_crash(struct fake_bluez *f)
{
	assert_true(sd_bus_release_name(f->bus, "org.bluez") >= 0);
	f->running = false;
	f->agent[0] = '\0';
	for (size_t i = 0; i < FAKE_ADAPTERS_MAX; i++)
		f->adapters[i].discovering = f->adapters[i].filtered = false;
	for (size_t i = 0; i < f->n_straps; i++) {
		struct fake_strap *s = &f->straps[i];

		fake_link_unsubscribe(s);
		s->asked = sd_bus_message_unref(s->asked);
		s->connected = s->resolved = s->listed = false;
		s->ends = 0;
		s->rssi = 0;
		s->path[0] = '\0';
	}
}

void fake_bluez_stop(struct fake_bluez *f)
{
	for (size_t i = 0; i < f->n_straps; i++)
		fake_link_forget(f, &f->straps[i]);
	for (size_t i = 0; i < FAKE_ADAPTERS_MAX; i++)
		if (f->adapters[i].path[0])
			fake_tell_removed(f, f->adapters[i].path, FAKE_ADAPTER);
	fake_bluez_crash(f);
}

void fake_bluez_power(struct fake_bluez *f, struct fake_adapter *a, bool powered)
{
	if (a->powered == powered)
		return;
	a->powered = powered;
	if (!powered && a->mood == FAKE_RADIO_HANGS)
		a->mood = FAKE_WELL;
	if (!powered)
		fake_link_stop_discovery(f, a);
	a->filtered = a->filtered && powered;
	for (size_t i = 0; !powered && i < f->n_straps; i++)
		if (f->straps[i].adapter == a && f->straps[i].connected)
			a->reticent ? fake_link_end(&f->straps[i])
				    : fake_link_down(f, &f->straps[i]);
	fake_tell_adapter(f, a, "Powered");
}

void fake_bluez_hang(struct fake_bluez *f, bool hangs)
{
	f->hangs = hangs;
}

struct fake_adapter *fake_bluez_plug(struct fake_bluez *f, unsigned n, const char *address)
{
	struct fake_adapter *a = &f->adapters[n];

	*a = (struct fake_adapter){.address = address, .powered = true};
	(void)snprintf(a->path, sizeof(a->path), "/org/bluez/hci%u", n);
	fake_tell_added(f, &(struct fake_place){a, NULL, -1});
	return a;
}

void fake_bluez_unplug(struct fake_bluez *f, struct fake_adapter *a)
{
	for (size_t i = 0; i < f->n_straps; i++)
		if (f->straps[i].adapter == a)
			fake_link_forget(f, &f->straps[i]);
	fake_tell_removed(f, a->path, FAKE_ADAPTER);
	*a = (struct fake_adapter){0};
}

struct fake_strap *fake_bluez_strap(struct fake_bluez *f, struct fake_adapter *a,
				    const char *address, const char *name)
{
	struct fake_strap *s = &f->straps[f->n_straps++];

	assert_true(f->n_straps <= FAKE_STRAPS_MAX);
	*s = (struct fake_strap){
		.adapter = a, .name = name, .near = true, .has_ecg = true, .battery = 87};
	(void)snprintf(s->address, sizeof(s->address), "%s", address);
	for (size_t i = 0; i < FAKE_CHARACTERISTICS; i++)
		s->characteristics[i].fd = -1;
	return s;
}

void fake_bluez_crowd(struct fake_bluez *f, struct fake_adapter *a, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct fake_strap s = {.adapter = a, .name = "\x1b[2J", .rssi = -40};

		(void)snprintf(s.address, sizeof(s.address), "00:00:00:00:%02x:%02x", i / 256 % 256,
			       i % 256);
		fake_link_know(f, &s);
	}
}

void fake_bluez_bond(struct fake_bluez *f, struct fake_strap *s)
{
	s->paired = s->trusted = s->kept = true;
	fake_link_know(f, s);
}

void fake_bluez_link(struct fake_bluez *f, struct fake_strap *s)
{
	fake_link_know(f, s);
	fake_link_up(f, s);
}

void fake_bluez_pair(struct fake_bluez *f, struct fake_strap *s)
{
	fake_link_paired(f, s);
}

void fake_bluez_lose(struct fake_bluez *f, struct fake_strap *s)
{
	fake_link_down(f, s);
}

void fake_bluez_leave(struct fake_bluez *f, struct fake_strap *s)
{
	assert_true(sd_bus_emit_signal(f->bus, s->path, FAKE_DEVICE, "Disconnected", "ss",
				       "org.bluez.Reason.Remote",
				       "Connection terminated by remote user") >= 0);
	fake_link_down(f, s);
}

void fake_bluez_drain(struct fake_bluez *f, struct fake_strap *s, uint8_t percent)
{
	s->battery = percent;
	fake_tell_battery(f, s);
}

static struct fake_characteristic *find_characteristic(struct fake_strap *s, enum characteristic c,
						       struct fake_place *ret)
{
	int i = 0;

	while (fake_gatt[i].characteristic != c)
		i++;
	*ret = (struct fake_place){s->adapter, s, i};
	return &s->characteristics[i];
}

/* False: nobody reads it any more. */
static bool send_packet(int fd, const void *data, size_t size)
{
	return (size_t)sendto(fd, data, size, MSG_NOSIGNAL, NULL, 0) == size;
}

bool fake_bluez_notify(struct fake_bluez *f, struct fake_strap *s, enum characteristic c,
		       const void *data, size_t size)
{
	struct fake_place at;
	struct fake_characteristic *characteristic = find_characteristic(s, c, &at);

	if (characteristic->fd >= 0)
		return send_packet(characteristic->fd, data, size);
	if (characteristic->notifying)
		fake_tell_value(f, &at, data, size);
	return characteristic->notifying;
}

void fake_bluez_end(struct fake_bluez *f, struct fake_strap *s, enum characteristic c)
{
	struct fake_place at;
	struct fake_characteristic *characteristic = find_characteristic(s, c, &at);

	assert_int_equal(close(characteristic->fd), 0);
	characteristic->fd = -1;
}

unsigned fake_bluez_calls(const struct fake_bluez *f, const char *method, const char *path)
{
	const char *line = (const char *)f->calls.data, *end = line + f->calls.size, *next;
	size_t length = strlen(method);
	unsigned n = 0;

	for (; line < end; line = next) {
		next = (const char *)memchr(line, '\n', (size_t)(end - line)) + 1;
		if (strncmp(line, method, length) != 0 || line[length] != ' ')
			continue;
		n += !path || (strncmp(line + length + 1, path, strlen(path)) == 0 &&
			       line[length + 1 + strlen(path)] == '\n');
	}
	return n;
}

bool fake_bluez_has_agent(const struct fake_bluez *f)
{
	return f->agent[0] != '\0';
}

const char *fake_bluez_client(const struct fake_bluez *f)
{
	return f->client;
}

/* --- time ------------------------------------------------------------------------------------ */

static int on_pong(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	((struct fake_bluez *)userdata)->ponged = true;
	return 0;
}

static void drain(struct fake_bluez *f)
{
	int r;

	while ((r = sd_event_run(f->event, 0)) > 0)
		;
	assert_true(r >= 0);
}

/* To the client and back; or to the bus and back, when there is none. */
static void round_trip(struct fake_bluez *f)
{
	const char *peer = f->client[0] ? f->client : "org.freedesktop.DBus";

	f->ponged = false;
	assert_true(sd_bus_call_method_async(f->bus, NULL, peer, "/", "org.freedesktop.DBus.Peer",
					     "Ping", on_pong, f, NULL) >= 0);
	while (!f->ponged)
		assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
	drain(f);
}

void fake_bluez_serve(struct fake_bluez *f, const atomic_bool *done)
{
	int r = 0;

	while (r >= 0 && !*done) {
		r = sd_bus_process(f->bus, NULL);
		if (r == 0)
			r = sd_bus_wait(f->bus, USEC_PER_MSEC);
	}
	assert_true(r >= 0);
}

void fake_bluez_settle(struct fake_bluez *f)
{
	drain(f);
	for (unsigned quiet = 0, heard = f->n_heard; quiet < QUIET_ROUNDS; heard = f->n_heard) {
		round_trip(f);
		quiet = heard == f->n_heard ? quiet + 1 : 0;
	}
}

static int on_agent(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const sd_bus_error *e = sd_bus_message_get_error(m);
	struct fake_bluez *f = userdata;

	(void)snprintf(f->answer, sizeof(f->answer), "%s", e ? e->name : "");
	return 0;
}

const char *fake_bluez_ask(struct fake_bluez *f, const struct fake_strap *s)
{
	(void)snprintf(f->answer, sizeof(f->answer), "no answer");
	assert_true(sd_bus_call_method_async(f->bus, NULL, f->client, f->agent, "org.bluez.Agent1",
					     "RequestAuthorization", on_agent, f, "o",
					     s->path) >= 0);
	fake_bluez_settle(f);
	return f->answer;
}

bool fake_bluez_until(struct fake_bluez *f, bool (*condition)(void *userdata), void *userdata,
		      usec_t patience)
{
	usec_t end = told_time() + patience;

	for (;;) {
		fake_bluez_settle(f);
		if (condition(userdata))
			return true;
		if (told_time() >= end)
			return false;
		told_time_set(MIN(told_time_next(), end));
	}
}

struct fake_bluez *fake_bluez_free(struct fake_bluez *f)
{
	if (!f)
		return NULL;
	for (size_t i = 0; i < f->n_straps; i++) {
		fake_link_unsubscribe(&f->straps[i]);
		sd_bus_message_unref(f->straps[i].asked);
	}
	sd_event_source_disable_unref(f->timer);
	sd_bus_flush_close_unref(f->bus);
	sd_event_unref(f->event);
	buf_done(&f->calls);
	free(f);
	return NULL;
}

static int on_second(sd_event_source *source, uint64_t at, void *userdata)
{
	struct fake_bluez *f = userdata;

	for (size_t i = 0; i < f->n_straps; i++)
		fake_link_live(f, &f->straps[i]);
	return sd_event_source_set_time(source, at + ADVERTISES_EVERY);
}

struct fake_bluez *fake_bluez_new(sd_event *event)
{
	struct fake_bluez *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->event = sd_event_ref(event);
	assert_true(sd_bus_open_system(&f->bus) >= 0);
	assert_true(sd_bus_attach_event(f->bus, event, 0) >= 0);
	assert_true(sd_bus_add_filter(f->bus, NULL, fake_call, f) >= 0);
	assert_true(sd_bus_match_signal(f->bus, NULL, "org.freedesktop.DBus", NULL,
					"org.freedesktop.DBus", "NameOwnerChanged", NULL,
					NULL) >= 0);
	assert_true(sd_event_add_time(event, &f->timer, CLOCK_BOOTTIME,
				      told_time() + ADVERTISES_EVERY, 1, on_second, f) >= 0);
	assert_true(sd_event_source_set_enabled(f->timer, SD_EVENT_ON) >= 0);
	fake_bluez_start(f);
	return f;
}
