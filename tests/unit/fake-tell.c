/*
 * The objects of bluetoothd as they are told: all of them, one that came or went, a property that
 * changed. Written by hand, not by sd-bus's own object manager: bluetoothd leaves out properties
 * that have no value, and sd-bus cannot.
 *
 *	/org/bluez/hci0                                      Adapter1
 *	/org/bluez/hci0/dev_A0_B1_C2_D3_E4_F5                Device1, Battery1
 *	/org/bluez/hci0/dev_.../service000a/char000b         GattCharacteristic1
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake-world.h"

#include <stdio.h>

static const char pmd_can[] = "\x0f\x05\0\0"; /* ECG, acceleration */

const struct fake_gatt fake_gatt[FAKE_CHARACTERISTICS] = {
	{CHARACTERISTIC_HEART_RATE_MEASUREMENT, 0x0a, 0x0b, {"notify"}, 1, "", 0},
	{CHARACTERISTIC_BODY_SENSOR_LOCATION, 0x0a, 0x0e, {"read"}, 1, "\1", 1},
	{CHARACTERISTIC_MANUFACTURER_NAME, 0x10, 0x11, {"read"}, 1, "Polar", 5},
	{CHARACTERISTIC_PMD_CONTROL_POINT,
	 0x20,
	 0x21,
	 {"indicate", "write", "read"},
	 3,
	 pmd_can,
	 5},
	{CHARACTERISTIC_PMD_DATA, 0x20, 0x24, {"notify"}, 1, "", 0},
};

static const struct {
	unsigned handle;
	const char *uuid;
} services[] = {
	{0x0a, "0000180d-0000-1000-8000-00805f9b34fb"},
	{0x10, "0000180a-0000-1000-8000-00805f9b34fb"},
	{0x20, "fb005c80-02e7-f387-1cad-8acd2d8df0c8"},
};

int fake_tell_count(const struct fake_strap *s)
{
	return s->has_ecg ? FAKE_CHARACTERISTICS : FAKE_ECG_FROM;
}

static size_t n_services(const struct fake_strap *s)
{
	return ARRAY_SIZE(services) - !s->has_ecg;
}

/* One property, if it is the one that was asked for; NULL: all are. */
static void put(sd_bus_message *m, const char *only, const char *name, const char *type, ...)
{
	va_list ap;

	if (only && !streq(only, name))
		return;
	assert_true(sd_bus_message_open_container(m, 'e', "sv") >= 0);
	assert_true(sd_bus_message_append(m, "s", name) >= 0);
	assert_true(sd_bus_message_open_container(m, 'v', type) >= 0);
	va_start(ap, type);
	assert_true(sd_bus_message_appendv(m, type, ap) >= 0);
	va_end(ap);
	assert_true(sd_bus_message_close_container(m) >= 0);
	assert_true(sd_bus_message_close_container(m) >= 0);
}

typedef void putter(sd_bus_message *m, const struct fake_place *at, const char *only);

static void put_adapter(sd_bus_message *m, const struct fake_place *at, const char *only)
{
	put(m, only, "Address", "s", at->adapter->address);
	put(m, only, "Powered", "b", at->adapter->powered);
	put(m, only, "Discovering", "b", at->adapter->discovering);
}

static void put_device(sd_bus_message *m, const struct fake_place *at, const char *only)
{
	const struct fake_strap *s = at->strap;

	put(m, only, "Adapter", "o", s->adapter->path);
	put(m, only, "Address", "s", s->address);
	put(m, only, "AddressType", "s", s->random ? "random" : "public");
	if (s->name)
		put(m, only, "Name", "s", s->name);
	if (s->rssi)
		put(m, only, "RSSI", "n", s->rssi);
	put(m, only, "UUIDs", "as", (int)n_services(s), services[0].uuid, services[1].uuid,
	    services[2].uuid);
	put(m, only, "Connected", "b", s->connected);
	put(m, only, "ServicesResolved", "b", s->resolved);
	put(m, only, "Paired", "b", s->paired);
	put(m, only, "Trusted", "b", s->trusted);
	put(m, only, "Blocked", "b", 0);
}

static void put_battery(sd_bus_message *m, const struct fake_place *at, const char *only)
{
	put(m, only, "Percentage", "y", at->strap->battery);
}

static void put_characteristic(sd_bus_message *m, const struct fake_place *at, const char *only)
{
	const struct fake_characteristic *c = &at->strap->characteristics[at->characteristic];
	const char *const *flags = fake_gatt[at->characteristic].flags;
	const char *uuid = characteristic_uuid(fake_gatt[at->characteristic].characteristic);
	char full[40];

	(void)snprintf(full, sizeof(full), strlen(uuid) == 4 ? "0000%s%s" : "%s%s", uuid,
		       strlen(uuid) == 4 ? "-0000-1000-8000-00805f9b34fb" : "");
	put(m, only, "UUID", "s", full);
	put(m, only, "Flags", "as", (int)fake_gatt[at->characteristic].n_flags, flags[0], flags[1],
	    flags[2]);
	put(m, only, "Notifying", "b", c->notifying || c->fd >= 0);
	put(m, only, "NotifyAcquired", "b", c->fd >= 0);
	put(m, only, "MTU", "q", FAKE_MTU);
}

static void put_interface(sd_bus_message *m, const char *interface, putter *put_all,
			  const struct fake_place *at)
{
	assert_true(sd_bus_message_open_container(m, 'e', "sa{sv}") >= 0);
	assert_true(sd_bus_message_append(m, "s", interface) >= 0);
	assert_true(sd_bus_message_open_container(m, 'a', "{sv}") >= 0);
	put_all(m, at, NULL);
	assert_true(sd_bus_message_close_container(m) >= 0);
	assert_true(sd_bus_message_close_container(m) >= 0);
}

void fake_tell_path(const struct fake_strap *s, int i, char ret[static FAKE_PATH_SIZE])
{
	(void)snprintf(ret, FAKE_PATH_SIZE, "%.60s/service%04x/char%04x", s->path,
		       fake_gatt[i].service, fake_gatt[i].handle);
}

static void place_path(const struct fake_place *at, char ret[static FAKE_PATH_SIZE])
{
	if (at->characteristic >= 0)
		fake_tell_path(at->strap, at->characteristic, ret);
	else
		memcpy(ret, at->strap ? at->strap->path : at->adapter->path, FAKE_PATH_SIZE);
}

/* oa{sa{sv}} */
void fake_tell_object(sd_bus_message *m, const struct fake_place *at)
{
	char path[FAKE_PATH_SIZE];

	place_path(at, path);
	assert_true(sd_bus_message_append(m, "o", path) >= 0);
	assert_true(sd_bus_message_open_container(m, 'a', "{sa{sv}}") >= 0);
	if (at->characteristic >= 0) {
		put_interface(m, FAKE_CHARACTERISTIC, put_characteristic, at);
	} else if (at->strap) {
		put_interface(m, FAKE_DEVICE, put_device, at);
		if (at->strap->listed)
			put_interface(m, "org.bluez.Battery1", put_battery, at);
	} else {
		put_interface(m, FAKE_ADAPTER, put_adapter, at);
	}
	assert_true(sd_bus_message_close_container(m) >= 0);
}

void fake_tell_each(struct fake_bluez *f,
		    void (*each)(sd_bus_message *m, const struct fake_place *at), sd_bus_message *m)
{
	for (size_t i = 0; i < FAKE_ADAPTERS_MAX; i++)
		if (f->adapters[i].path[0])
			each(m, &(struct fake_place){&f->adapters[i], NULL, -1});
	for (size_t i = 0; i < f->n_straps; i++) {
		struct fake_strap *s = &f->straps[i];

		for (int c = 0; s->listed && c < fake_tell_count(s); c++)
			each(m, &(struct fake_place){s->adapter, s, c});
		if (s->path[0])
			each(m, &(struct fake_place){s->adapter, s, -1});
	}
}

void fake_tell_emit(struct fake_bluez *f, sd_bus_message *m)
{
	if (f->running && !f->hangs)
		assert_true(sd_bus_send(f->bus, m, NULL) >= 0);
	sd_bus_message_unref(m);
}

void fake_tell_added(struct fake_bluez *f, const struct fake_place *at)
{
	sd_bus_message *m = NULL;

	assert_true(sd_bus_message_new_signal(f->bus, &m, "/", FAKE_OBJECT_MANAGER,
					      "InterfacesAdded") >= 0);
	fake_tell_object(m, at);
	fake_tell_emit(f, m);
}

void fake_tell_removed(struct fake_bluez *f, const char *path, const char *interface)
{
	sd_bus_message *m = NULL;

	assert_true(sd_bus_message_new_signal(f->bus, &m, "/", FAKE_OBJECT_MANAGER,
					      "InterfacesRemoved") >= 0);
	assert_true(sd_bus_message_append(m, "oas", path, 2, FAKE_PROPERTIES, interface) >= 0);
	fake_tell_emit(f, m);
}

static sd_bus_message *new_change(struct fake_bluez *f, const struct fake_place *at,
				  const char *interface)
{
	sd_bus_message *m = NULL;
	char path[FAKE_PATH_SIZE];

	place_path(at, path);
	assert_true(sd_bus_message_new_signal(f->bus, &m, path, FAKE_PROPERTIES,
					      "PropertiesChanged") >= 0);
	assert_true(sd_bus_message_append(m, "s", interface) >= 0);
	assert_true(sd_bus_message_open_container(m, 'a', "{sv}") >= 0);
	return m;
}

static void tell(struct fake_bluez *f, const struct fake_place *at, const char *property)
{
	sd_bus_message *m = new_change(f, at, at->strap ? FAKE_DEVICE : FAKE_ADAPTER);
	bool gone = at->strap && streq(property, "RSSI") && at->strap->rssi == 0;

	(at->strap ? put_device : put_adapter)(m, at, property);
	assert_true(sd_bus_message_close_container(m) >= 0);
	assert_true(sd_bus_message_append(m, "as", (int)gone, property) >= 0);
	fake_tell_emit(f, m);
}

void fake_tell_strap(struct fake_bluez *f, struct fake_strap *s, const char *property)
{
	tell(f, &(struct fake_place){s->adapter, s, -1}, property);
}

void fake_tell_battery(struct fake_bluez *f, struct fake_strap *s)
{
	const struct fake_place at = {s->adapter, s, -1};
	sd_bus_message *m = new_change(f, &at, "org.bluez.Battery1");

	put_battery(m, &at, "Percentage");
	assert_true(sd_bus_message_close_container(m) >= 0);
	assert_true(sd_bus_message_append(m, "as", 0) >= 0);
	fake_tell_emit(f, m);
}

void fake_tell_adapter(struct fake_bluez *f, struct fake_adapter *a, const char *property)
{
	tell(f, &(struct fake_place){a, NULL, -1}, property);
}

void fake_tell_value(struct fake_bluez *f, const struct fake_place *at, const void *data,
		     size_t size)
{
	sd_bus_message *m = new_change(f, at, FAKE_CHARACTERISTIC);

	assert_true(sd_bus_message_open_container(m, 'e', "sv") >= 0);
	assert_true(sd_bus_message_append(m, "s", "Value") >= 0);
	assert_true(sd_bus_message_open_container(m, 'v', "ay") >= 0);
	assert_true(sd_bus_message_append_array(m, 'y', data, size) >= 0);
	for (int i = 0; i < 3; i++) /* v, e, a */
		assert_true(sd_bus_message_close_container(m) >= 0);
	assert_true(sd_bus_message_append(m, "as", 0) >= 0);
	fake_tell_emit(f, m);
}
