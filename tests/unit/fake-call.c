/*
 * Every call comes through one filter and is looked up in a table by its interface and name: what is
 * not answered is then only a `return`. Names and texts of errors are those of bluez 5.66
 * (src/error.c, device.c, adapter.c, gatt-client.c).
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

#define LINGERS (2 * USEC_PER_SEC) /* a link, after Disconnect */

/* < 0: of sd-bus; else answered, or never to be. */
typedef int method(struct fake_bluez *f, const struct fake_place *at, sd_bus_message *m);

static int refuse(sd_bus_message *m, const char *error, const char *text)
{
	return sd_bus_reply_method_errorf(m, error, "%s", text);
}

static int do_nothing(struct fake_bluez *f, const struct fake_place *at, sd_bus_message *m)
{
	return sd_bus_reply_method_return(m, NULL);
}

static void put_entry(sd_bus_message *m, const struct fake_place *at)
{
	assert_true(sd_bus_message_open_container(m, 'e', "oa{sa{sv}}") >= 0);
	fake_tell_object(m, at);
	assert_true(sd_bus_message_close_container(m) >= 0);
}

static int get_objects(struct fake_bluez *f, const struct fake_place *at, sd_bus_message *m)
{
	sd_bus_message *answer = NULL;

	assert_true(sd_bus_message_new_method_return(m, &answer) >= 0);
	assert_true(sd_bus_message_open_container(answer, 'a', "{oa{sa{sv}}}") >= 0);
	fake_tell_each(f, put_entry, answer);
	assert_true(sd_bus_message_close_container(answer) >= 0);
	fake_tell_emit(f, answer);
	return 0;
}

static int register_agent(struct fake_bluez *f, const struct fake_place *at, sd_bus_message *m)
{
	const char *path, *capability;

	assert_true(sd_bus_message_read(m, "os", &path, &capability) >= 0);
	if (f->agent[0])
		return refuse(m, FAKE_ERROR "AlreadyExists", "Already Exists");
	(void)snprintf(f->agent, sizeof(f->agent), "%s", path);
	return sd_bus_reply_method_return(m, NULL);
}

static int unregister_agent(struct fake_bluez *f, const struct fake_place *at, sd_bus_message *m)
{
	f->agent[0] = '\0';
	return sd_bus_reply_method_return(m, NULL);
}

static int set_filter(struct fake_bluez *f, const struct fake_place *at, sd_bus_message *m)
{
	const char *name, *text;

	at->adapter->filtered = false;
	at->adapter->all = true;
	assert_true(sd_bus_message_enter_container(m, 'a', "{sv}") > 0);
	while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
		assert_true(sd_bus_message_read(m, "s", &name) > 0);
		if (streq(name, "Transport")) {
			assert_true(sd_bus_message_read(m, "v", "s", &text) > 0);
			at->adapter->filtered = streq(text, "le");
		} else if (streq(name, "UUIDs")) {
			assert_true(sd_bus_message_enter_container(m, 'v', "as") > 0);
			at->adapter->all = sd_bus_message_at_end(m, false) > 0;
			assert_true(sd_bus_message_skip(m, "as") >= 0);
			assert_true(sd_bus_message_exit_container(m) >= 0);
		} else {
			assert_true(sd_bus_message_skip(m, "v") > 0);
		}
		assert_true(sd_bus_message_exit_container(m) >= 0);
	}
	return sd_bus_reply_method_return(m, NULL);
}

static int start_discovery(struct fake_bluez *f, const struct fake_place *at, sd_bus_message *m)
{
	if (!at->adapter->powered)
		return refuse(m, FAKE_ERROR "NotReady", "Resource Not Ready");
	if (at->adapter->discovering || at->adapter->feigns)
		return refuse(m, FAKE_ERROR "InProgress", "Operation already in progress");
	at->adapter->discovering = true;
	fake_tell_adapter(f, at->adapter, "Discovering");
	return sd_bus_reply_method_return(m, NULL);
}

static int end_discovery(struct fake_bluez *f, const struct fake_place *at, sd_bus_message *m)
{
	if (!at->adapter->discovering)
		return refuse(m, FAKE_ERROR "Failed", "No discovery started");
	fake_link_stop_discovery(f, at->adapter);
	return sd_bus_reply_method_return(m, NULL);
}

static int remove_device(struct fake_bluez *f, const struct fake_place *at, sd_bus_message *m)
{
	const char *path;

	assert_true(sd_bus_message_read(m, "o", &path) >= 0);
	for (size_t i = 0; i < f->n_straps; i++)
		if (streq(f->straps[i].path, path)) {
			fake_link_forget(f, &f->straps[i]);
			f->straps[i].paired = false;
			return sd_bus_reply_method_return(m, NULL);
		}
	return refuse(m, FAKE_ERROR "DoesNotExist", "Does Not Exist");
}

static bool is_connecting(const struct fake_bluez *f, const struct fake_adapter *a)
{
	for (size_t i = 0; i < f->n_straps; i++)
		if (f->straps[i].adapter == a && f->straps[i].asked)
			return true;
	return false;
}

static int connect_device(struct fake_bluez *f, const struct fake_place *at, sd_bus_message *m)
{
	struct fake_strap *s = at->strap;

	if (at->adapter->discovering || is_connecting(f, at->adapter))
		buf_printf(&f->calls, "Rash %s\n", s->path);
	if (!at->adapter->powered)
		return refuse(m, FAKE_ERROR "NotReady", "Resource Not Ready");
	if (s->asked || s->link == FAKE_LINK_BUSY)
		return refuse(m, FAKE_ERROR "InProgress", "Operation already in progress");
	if (s->connected)
		return sd_bus_reply_method_return(m, NULL);
	if (s->link == FAKE_LINK_FAILS)
		return refuse(m, FAKE_ERROR "Failed", "le-connection-abort-by-local");
	s->asked = sd_bus_message_ref(m);
	if (s->near && s->link != FAKE_LINK_UNANSWERED)
		fake_link_up(f, s);
	return 0;
}

static int disconnect_device(struct fake_bluez *f, const struct fake_place *at, sd_bus_message *m)
{
	struct fake_strap *s = at->strap;

	if (!s->connected && !s->asked)
		return refuse(m, FAKE_ERROR "NotConnected", "Not Connected");
	fake_link_answer(s, "le-connection-abort-by-local");
	if (s->connected && !s->sticks)
		s->ends = told_time() + LINGERS;
	return sd_bus_reply_method_return(m, NULL);
}

static int pair_device(struct fake_bluez *f, const struct fake_place *at, sd_bus_message *m)
{
	struct fake_strap *s = at->strap;
	int r;

	if (s->paired)
		return refuse(m, FAKE_ERROR "AlreadyExists", "Already Exists");
	if (!s->connected)
		return refuse(m, FAKE_ERROR "ConnectionAttemptFailed", "Page Timeout");
	if (s->refuses || !f->agent[0])
		return refuse(m, FAKE_ERROR "AuthenticationFailed", "Authentication Failed");
	s->forgot = s->forgets;
	fake_link_paired(f, s);
	r = sd_bus_reply_method_return(m, NULL);
	if (s->forgets)
		fake_link_down(f, s);
	return r;
}

static int set_property(struct fake_bluez *f, const struct fake_place *at, sd_bus_message *m)
{
	const char *interface, *name;
	int value;

	assert_true(sd_bus_message_read(m, "ssv", &interface, &name, "b", &value) >= 0);
	if (streq(interface, FAKE_ADAPTER) && streq(name, "Powered")) {
		buf_printf(&f->calls, "%s %s\n", value ? "PowerOn" : "PowerOff", at->adapter->path);
		if (at->adapter->mood == FAKE_RADIO_DEAD)
			return 0; /* never answered */
		if (value && at->adapter->blocked)
			return refuse(m, FAKE_ERROR "Blocked", "Blocked through rfkill");
		fake_bluez_power(f, at->adapter, value);
	} else if (streq(interface, FAKE_DEVICE) && streq(name, "Trusted")) {
		at->strap->trusted = value;
		fake_tell_strap(f, at->strap, "Trusted");
	} else {
		return refuse(m, SD_BUS_ERROR_INVALID_ARGS, "No such property");
	}
	return sd_bus_reply_method_return(m, NULL);
}

/* Is it PMD's, and the link not what it wants? */
static bool is_locked(const struct fake_place *at)
{
	return at->characteristic >= FAKE_ECG_FROM && at->strap->secure && !at->strap->paired;
}

static int read_value(struct fake_bluez *f, const struct fake_place *at, sd_bus_message *m)
{
	sd_bus_message *answer = NULL;
	const void *value = fake_gatt[at->characteristic].value;
	size_t size = fake_gatt[at->characteristic].n_value;

	if (is_locked(at))
		return refuse(m, FAKE_ERROR "NotPermitted", "Not paired");
	fake_tell_value(f, at, value, size);
	assert_true(sd_bus_message_new_method_return(m, &answer) >= 0);
	assert_true(sd_bus_message_append_array(answer, 'y', value, size) >= 0);
	fake_tell_emit(f, answer);
	return 0;
}

/* The control point of an H10: what it says to the commands for ECG. */
static void answer_command(struct fake_bluez *f, struct fake_strap *s, const uint8_t *data,
			   size_t size)
{
	static const uint8_t settings[] = {0xf0, 0x01, 0x00, 0x00, 0x00, 0x00, 0x01,
					   0x82, 0x00, 0x01, 0x01, 0x0e, 0x00};
	uint8_t answer[] = {0xf0, data[0], data[1], data[0] == 2 ? s->pmd_error : 0, 0, 0};
	enum characteristic c = CHARACTERISTIC_PMD_CONTROL_POINT;

	if (size < 2 || s->speechless)
		return;
	if (data[0] == 1)
		(void)fake_bluez_notify(f, s, c, settings, sizeof(settings));
	else
		(void)fake_bluez_notify(f, s, c, answer, sizeof(answer) - (data[0] != 2));
}

static int write_value(struct fake_bluez *f, const struct fake_place *at, sd_bus_message *m)
{
	const void *data;
	size_t size;
	int r;

	assert_true(sd_bus_message_read_array(m, 'y', &data, &size) >= 0);
	if (is_locked(at))
		return refuse(m, FAKE_ERROR "NotPermitted", "Not paired");
	r = sd_bus_reply_method_return(m, NULL);
	answer_command(f, at->strap, data, size);
	return r;
}

/* What StartNotify and AcquireNotify have in common: false: it was answered. */
static bool may_notify(const struct fake_place *at, sd_bus_message *m, int *ret)
{
	struct fake_characteristic *c = &at->strap->characteristics[at->characteristic];

	if (!at->strap->connected)
		*ret = refuse(m, FAKE_ERROR "Failed", "Not connected");
	else if (is_locked(at))
		*ret = refuse(m, FAKE_ERROR "NotPermitted", "Not paired");
	else if (c->fd >= 0 || c->ghost || at->strap->haunted)
		*ret = refuse(m, FAKE_ERROR "NotPermitted", "Notify acquired");
	else if (c->notifying)
		*ret = refuse(m, FAKE_ERROR "InProgress", "Operation already in progress");
	else
		return true;
	return false;
}

static int start_notify(struct fake_bluez *f, const struct fake_place *at, sd_bus_message *m)
{
	int r;

	if (!may_notify(at, m, &r))
		return r;
	at->strap->characteristics[at->characteristic].notifying = true;
	return sd_bus_reply_method_return(m, NULL);
}

static int stop_notify(struct fake_bluez *f, const struct fake_place *at, sd_bus_message *m)
{
	at->strap->characteristics[at->characteristic].notifying = false;
	return sd_bus_reply_method_return(m, NULL);
}

static int acquire_notify(struct fake_bluez *f, const struct fake_place *at, sd_bus_message *m)
{
	struct fake_characteristic *c = &at->strap->characteristics[at->characteristic];
	int fds[2], r;

	if (!streq(fake_gatt[at->characteristic].flags[0], "notify"))
		return refuse(m, FAKE_ERROR "NotSupported", "Operation is not supported");
	if (c->fd >= 0 && recv(c->fd, fds, sizeof(fds), MSG_DONTWAIT) == 0) {
		assert_int_equal(close(c->fd), 0); /* its reader has let go */
		c->fd = -1;
	}
	if (!may_notify(at, m, &r))
		return r;
	if (c->foreign)
		return refuse(m, FAKE_ERROR "InProgress", "Operation already in progress");
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	c->fd = fds[0];
	r = sd_bus_reply_method_return(m, "hq", fds[1], FAKE_MTU);
	assert_int_equal(close(fds[1]), 0);
	return r;
}

static const struct {
	const char *interface, *name;
	method *method;
	enum fake_mood until; /* not answered by an adapter in this mood or a worse one */
} methods[] = {
	{FAKE_OBJECT_MANAGER, "GetManagedObjects", get_objects, FAKE_MOOD_MAX_},
	{FAKE_PROPERTIES, "Set", set_property, FAKE_MOOD_MAX_},
	{"org.bluez.AgentManager1", "RegisterAgent", register_agent, FAKE_MOOD_MAX_},
	{"org.bluez.AgentManager1", "UnregisterAgent", unregister_agent, FAKE_MOOD_MAX_},
	{"org.bluez.AgentManager1", "RequestDefaultAgent", do_nothing, FAKE_MOOD_MAX_},
	{FAKE_ADAPTER, "SetDiscoveryFilter", set_filter, FAKE_MOOD_MAX_},
	{FAKE_ADAPTER, "StartDiscovery", start_discovery, FAKE_RADIO_HANGS},
	{FAKE_ADAPTER, "StopDiscovery", end_discovery, FAKE_RADIO_HANGS},
	{FAKE_ADAPTER, "RemoveDevice", remove_device, FAKE_RADIO_HANGS},
	{FAKE_DEVICE, "Connect", connect_device, FAKE_RADIO_HANGS},
	{FAKE_DEVICE, "Disconnect", disconnect_device, FAKE_RADIO_HANGS},
	{FAKE_DEVICE, "Pair", pair_device, FAKE_RADIO_HANGS},
	{FAKE_CHARACTERISTIC, "ReadValue", read_value, FAKE_RADIO_HANGS},
	{FAKE_CHARACTERISTIC, "WriteValue", write_value, FAKE_RADIO_HANGS},
	{FAKE_CHARACTERISTIC, "StartNotify", start_notify, FAKE_RADIO_HANGS},
	{FAKE_CHARACTERISTIC, "StopNotify", stop_notify, FAKE_RADIO_HANGS},
	{FAKE_CHARACTERISTIC, "AcquireNotify", acquire_notify, FAKE_RADIO_HANGS},
};

/* False: there is nothing at this path. */
static bool find_place(struct fake_bluez *f, const char *path, struct fake_place *ret)
{
	char at[FAKE_PATH_SIZE];

	*ret = (struct fake_place){.characteristic = -1};
	if (streq(path, "/") || streq(path, "/org/bluez"))
		return true;
	for (size_t i = 0; i < FAKE_ADAPTERS_MAX; i++)
		if (streq(f->adapters[i].path, path))
			ret->adapter = &f->adapters[i];
	for (size_t i = 0; !ret->adapter && i < f->n_straps; i++) {
		struct fake_strap *s = &f->straps[i];

		if (!s->path[0] || strncmp(s->path, path, strlen(s->path)) != 0)
			continue;
		for (int c = 0; s->listed && c < fake_tell_count(s); c++) {
			fake_tell_path(s, c, at);
			if (streq(at, path))
				*ret = (struct fake_place){s->adapter, s, c};
		}
		if (streq(s->path, path))
			*ret = (struct fake_place){s->adapter, s, -1};
	}
	return ret->adapter;
}

static bool is_answered(const struct fake_bluez *f, const struct fake_place *at,
			enum fake_mood until)
{
	if (at->characteristic >= 0 && at->strap->link == FAKE_LINK_DUMB)
		return false;
	return !f->hangs && (!at->adapter || at->adapter->mood < until);
}

static int on_call(struct fake_bluez *f, sd_bus_message *m)
{
	const char *interface = sd_bus_message_get_interface(m);
	const char *member = sd_bus_message_get_member(m), *path = sd_bus_message_get_path(m);
	struct fake_place at;

	f->n_heard++;
	buf_printf(&f->calls, "%s %s\n", member, path);
	if (!find_place(f, path, &at))
		return f->hangs ? 1 : refuse(m, SD_BUS_ERROR_UNKNOWN_OBJECT, "No such object");
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (streq(methods[i].interface, interface) && streq(methods[i].name, member)) {
			if (is_answered(f, &at, methods[i].until))
				assert_true(methods[i].method(f, &at, m) >= 0);
			return 1;
		}
	return refuse(m, SD_BUS_ERROR_UNKNOWN_METHOD, "No such method");
}

/* bluetoothd ends what a client that goes away had asked for. */
static void client_gone(struct fake_bluez *f)
{
	f->client[0] = f->agent[0] = '\0';
	for (size_t i = 0; i < FAKE_ADAPTERS_MAX; i++) {
		fake_link_stop_discovery(f, &f->adapters[i]);
		f->adapters[i].filtered = false;
	}
	for (size_t i = 0; i < f->n_straps; i++)
		fake_link_unsubscribe(&f->straps[i]);
}

int fake_call(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct fake_bluez *f = userdata;
	const char *name, *before, *after, *own;

	if (sd_bus_message_is_method_call(m, NULL, NULL) > 0)
		return on_call(f, m);
	if (sd_bus_message_is_signal(m, "org.freedesktop.DBus", "NameOwnerChanged") <= 0)
		return 0;
	assert_true(sd_bus_message_read(m, "sss", &name, &before, &after) >= 0);
	assert_true(sd_bus_get_unique_name(f->bus, &own) >= 0);
	if (name[0] == ':' && !streq(name, own)) {
		if (*after && !f->client[0])
			(void)snprintf(f->client, sizeof(f->client), "%s", after);
		else if (!*after && streq(name, f->client))
			client_gone(f);
	}
	return 0;
}
