/*
 * source/bluez_objects: messages as bluetoothd sends them, in any order, with hostile names and in any
 * number; and what is known after each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "source/bluez_objects.h"
#include "source/session.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADAPTER "/org/bluez/hci0"
#define STRAP	ADAPTER "/dev_C0_9E_10_00_00_01"
#define BEAT	STRAP "/service000a/char000b"
#define CONTROL STRAP "/service001d/char001e"
#define PMD_CP	"fb005c81-02e7-f387-1cad-8acd2d8df0c8"
#define SIG(n)	"0000" n "-0000-1000-8000-00805f9b34fb"

static const struct profile heart = {.name = "heart_rate", .service = SIG("180d")};
static const struct profile pmd = {.name = "pmd",
				   .service = "fb005c80-02e7-f387-1cad-8acd2d8df0c8"};
static const struct profile *const profiles[] = {&heart, &pmd};

struct bench {
	int peer;
	sd_bus *bus;
	struct objects *objects;
	const char *kept; /* an address that must stay */
};

static bool keep(void *userdata, const char *address)
{
	const struct bench *b = userdata;

	return b->kept && streq(b->kept, address);
}

/* A bus that is never heard of again is enough to make messages. */
static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	int fds[2];

	assert_non_null(b);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	b->peer = fds[1];
	assert_true(sd_bus_new(&b->bus) >= 0);
	assert_true(sd_bus_set_fd(b->bus, fds[0], fds[0]) >= 0);
	assert_true(sd_bus_start(b->bus) >= 0);
	assert_int_equal(objects_new((struct profiles){profiles, ARRAY_SIZE(profiles)}, keep, b,
				     &b->objects),
			 0);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	b->objects = objects_free(b->objects);
	b->bus = sd_bus_close_unref(b->bus);
	assert_int_equal(close(b->peer), 0);
	free(b);
	return 0;
}

static sd_bus_message *begin(struct bench *b, const char *path, const char *member)
{
	sd_bus_message *m = NULL;

	assert_true(sd_bus_message_new_signal(b->bus, &m, path, "org.example", member) >= 0);
	return m;
}

static sd_bus_message *ready(sd_bus_message *m)
{
	assert_true(sd_bus_message_seal(m, 1, 0) >= 0);
	assert_true(sd_bus_message_rewind(m, true) >= 0);
	return m;
}

/* InterfacesAdded of one interface; `format` and what follows are its properties, "a{sv}". */
static int add(struct bench *b, struct objects_change *change, const char *path,
	       const char *interface, const char *format, ...)
{
	sd_bus_message *m = begin(b, "/", "InterfacesAdded");
	va_list ap;
	int r;

	assert_true(sd_bus_message_append(m, "o", path) >= 0);
	assert_true(sd_bus_message_open_container(m, 'a', "{sa{sv}}") >= 0);
	assert_true(sd_bus_message_open_container(m, 'e', "sa{sv}") >= 0);
	assert_true(sd_bus_message_append(m, "s", interface) >= 0);
	va_start(ap, format);
	assert_true(sd_bus_message_appendv(m, format, ap) >= 0);
	va_end(ap);
	assert_true(sd_bus_message_close_container(m) >= 0);
	assert_true(sd_bus_message_close_container(m) >= 0);
	r = objects_added(b->objects, ready(m), change);
	sd_bus_message_unref(m);
	return r;
}

static void add_device(struct bench *b, const char *path, const char *address, const char *name)
{
	struct objects_change c;

	assert_true(add(b, &c, path, "org.bluez.Device1", "a{sv}", 3, "Address", "s", address,
			"Name", "s", name, "AddressType", "s", "random") >= 0);
	objects_change_done(&c);
}

static void add_characteristic(struct bench *b, const char *path, const char *uuid,
			       const char *flag, const char *other)
{
	struct objects_change c;

	assert_true(add(b, &c, path, "org.bluez.GattCharacteristic1", "a{sv}", 3, "UUID", "s", uuid,
			"Flags", "as", 2, flag, other, "Value", "ay", 2, 1, 2) >= 0);
	assert_int_not_equal(c.kind, OBJECTS_VALUE); /* an old one */
	objects_change_done(&c);
}

/* PropertiesChanged; the value of `change` stays readable until the message is let go. */
static int change(struct bench *b, struct objects_change *ret, sd_bus_message **ret_message,
		  const char *path, const char *interface, const char *format, ...)
{
	sd_bus_message *m = begin(b, path, "PropertiesChanged");
	va_list ap;

	assert_true(sd_bus_message_append(m, "s", interface) >= 0);
	va_start(ap, format);
	assert_true(sd_bus_message_appendv(m, format, ap) >= 0);
	va_end(ap);
	*ret_message = ready(m);
	return objects_changed(b->objects, m, ret);
}

static void drop(struct bench *b, struct objects_change *ret, const char *path,
		 const char *interface)
{
	sd_bus_message *m = begin(b, "/", "InterfacesRemoved");

	assert_true(sd_bus_message_append(m, "oas", path, 1, interface) >= 0);
	assert_true(objects_removed(b->objects, ready(m), ret) >= 0);
	sd_bus_message_unref(m);
}

static size_t count(struct bench *b)
{
	size_t n = 0;

	for (struct objects_device *d = objects_devices(b->objects); d; d = d->next)
		n++;
	return n;
}

static void reads_all_in_any_order(void **state)
{
	struct bench *b = *state;
	sd_bus_message *m = begin(b, "/", "Answer");
	struct objects_device *d;

	assert_true(sd_bus_message_append(
			    m, "a{oa{sa{sv}}}", 4, BEAT, 1, "org.bluez.GattCharacteristic1", 2,
			    "UUID", "s", SIG("2a37"), "Flags", "as", 1, "notify", STRAP, 2,
			    "org.bluez.Device1", 7, "Address", "s", "C0:9E:10:00:00:01", "Name",
			    "s", "Strap", "Connected", "b", 1, "ServicesResolved", "b", 1, "Paired",
			    "b", 1, "RSSI", "n", -61, "UUIDs", "as", 2, SIG("1800"), SIG("180d"),
			    "org.bluez.Battery1", 1, "Percentage", "y", 87, ADAPTER, 1,
			    "org.bluez.Adapter1", 2, "Address", "s", "02:00:00:AA:00:01", "Powered",
			    "b", 1, "/org/bluez", 0) >= 0);
	assert_true(objects_read_all(b->objects, ready(m)) >= 0);
	sd_bus_message_unref(m);
	d = objects_device_at(b->objects, STRAP);
	assert_non_null(d);
	assert_true(d->known && d->connected && d->resolved && d->paired);
	assert_string_equal(d->address, "c0:9e:10:00:00:01");
	assert_string_equal(d->name, "Strap");
	assert_int_equal(d->rssi, -61);
	assert_int_equal(d->battery, 87);
	assert_int_equal(d->offers, 1);
	assert_string_equal(d->characteristics[CHARACTERISTIC_HEART_RATE_MEASUREMENT].path, BEAT);
	assert_int_equal(d->characteristics[CHARACTERISTIC_HEART_RATE_MEASUREMENT].properties,
			 PROPERTY_NOTIFY);
	assert_string_equal(objects_adapter_of(b->objects, d)->address, "02:00:00:aa:00:01");
	assert_string_equal(objects_adapter_name(objects_adapter_of(b->objects, d)), "hci0");
	assert_true(objects_adapter_of(b->objects, d)->powered);
	objects_clear(b->objects);
	assert_null(objects_devices(b->objects));
}

static void follows_changes(void **state)
{
	struct bench *b = *state;
	struct objects_change c;
	sd_bus_message *m;

	add_device(b, STRAP, "C0:9E:10:00:00:01", "Strap");
	assert_true(change(b, &c, &m, STRAP, "org.bluez.Device1", "a{sv}as", 1, "RSSI", "n", -70,
			   0) >= 0);
	assert_int_equal(c.kind, OBJECTS_DEVICE);
	assert_int_equal(c.fields, OBJECTS_FIELD_RSSI);
	assert_int_equal(c.device->rssi, -70);
	sd_bus_message_unref(m);
	/* discovery ended: nobody is heard any more */
	assert_true(change(b, &c, &m, STRAP, "org.bluez.Device1", "a{sv}as", 0, 1, "RSSI") >= 0);
	assert_int_equal(c.device->rssi, 0);
	sd_bus_message_unref(m);
	/* services are known, so there is a link, even if that was not told */
	assert_true(change(b, &c, &m, STRAP, "org.bluez.Device1", "a{sv}as", 1, "ServicesResolved",
			   "b", 1, 0) >= 0);
	assert_true(c.device->connected && c.device->resolved);
	sd_bus_message_unref(m);
	assert_true(change(b, &c, &m, STRAP, "org.bluez.Device1", "a{sv}as", 2, "ServicesResolved",
			   "b", 0, "Connected", "b", 0, 0) >= 0);
	assert_false(c.device->connected || c.device->resolved);
	sd_bus_message_unref(m);
	/* of one that nobody knows */
	assert_true(change(b, &c, &m, STRAP "9", "org.bluez.Device1", "a{sv}as", 1, "RSSI", "n", -7,
			   0) >= 0);
	assert_int_equal(c.kind, OBJECTS_NOTHING);
	sd_bus_message_unref(m);
}

/* Pairing tells the true address; the path stays what it was. */
static void an_address_may_change(void **state)
{
	struct bench *b = *state;
	struct objects_change c;
	sd_bus_message *m;

	add_device(b, ADAPTER "/dev_5A_00_00_00_00_01", "5A:00:00:00:00:01", "Private");
	assert_true(objects_device_hides(objects_devices(b->objects)));
	assert_true(change(b, &c, &m, ADAPTER "/dev_5A_00_00_00_00_01", "org.bluez.Device1",
			   "a{sv}as", 2, "Address", "s", "C0:9E:10:00:00:07", "Paired", "b", 1,
			   0) >= 0);
	assert_true(c.fields & OBJECTS_FIELD_ADDRESS);
	assert_string_equal(c.device->address, "c0:9e:10:00:00:07");
	assert_false(objects_device_hides(c.device));
	sd_bus_message_unref(m);
}

static void hidden_are_those_that_change(void **state)
{
	static const struct {
		const char *address;
		bool random, hides;
	} cases[] = {
		{"00:11:22:33:44:55", true, true},   {"3f:11:22:33:44:55", true, true},
		{"40:11:22:33:44:55", true, true},   {"7f:11:22:33:44:55", true, true},
		{"80:11:22:33:44:55", true, false},  {"c0:11:22:33:44:55", true, false},
		{"40:11:22:33:44:55", false, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct objects_device d = {.random = cases[i].random};

		memcpy(d.address, cases[i].address, sizeof(d.address));
		assert_int_equal(objects_device_hides(&d), cases[i].hides);
	}
}

static void values_are_told_with_their_characteristic(void **state)
{
	struct bench *b = *state;
	struct objects_change c;
	sd_bus_message *m;

	add_device(b, STRAP, "C0:9E:10:00:00:01", "Strap");
	add_characteristic(b, CONTROL, PMD_CP, "write", "indicate");
	assert_int_equal(objects_devices(b->objects)
				 ->characteristics[CHARACTERISTIC_PMD_CONTROL_POINT]
				 .properties,
			 PROPERTY_WRITE | PROPERTY_INDICATE);
	assert_true(change(b, &c, &m, CONTROL, "org.bluez.GattCharacteristic1", "a{sv}as", 1,
			   "Value", "ay", 3, 0xf0, 1, 2, 0) >= 0);
	assert_int_equal(c.kind, OBJECTS_VALUE);
	assert_int_equal(c.characteristic, CHARACTERISTIC_PMD_CONTROL_POINT);
	assert_int_equal(c.size, 3);
	assert_memory_equal(c.value, "\xf0\1\2", 3);
	sd_bus_message_unref(m);
	/* an empty one is one */
	assert_true(change(b, &c, &m, CONTROL, "org.bluez.GattCharacteristic1", "a{sv}as", 1,
			   "Value", "ay", 0, 0) >= 0);
	assert_int_equal(c.kind, OBJECTS_VALUE);
	assert_int_equal(c.size, 0);
	sd_bus_message_unref(m);
	drop(b, &c, CONTROL, "org.bluez.GattCharacteristic1");
	assert_null(objects_devices(b->objects)
			    ->characteristics[CHARACTERISTIC_PMD_CONTROL_POINT]
			    .path);
}

static void what_goes_is_handed_out(void **state)
{
	struct bench *b = *state;
	struct objects_change c;

	assert_true(add(b, &c, ADAPTER, "org.bluez.Adapter1", "a{sv}", 1, "Powered", "b", 1) >= 0);
	assert_int_equal(c.kind, OBJECTS_ADAPTER);
	add_device(b, STRAP, "C0:9E:10:00:00:01", "Strap");
	drop(b, &c, STRAP, "org.bluez.Device1");
	assert_int_equal(c.kind, OBJECTS_DEVICE_GONE);
	assert_string_equal(c.gone_device->address, "c0:9e:10:00:00:01");
	assert_null(objects_devices(b->objects));
	objects_change_done(&c);
	drop(b, &c, ADAPTER, "org.bluez.Adapter1");
	assert_int_equal(c.kind, OBJECTS_ADAPTER_GONE);
	assert_string_equal(c.gone_adapter.path, ADAPTER);
	drop(b, &c, ADAPTER, "org.bluez.Adapter1");
	assert_int_equal(c.kind, OBJECTS_NOTHING);
}

static void names_are_cleaned(void **state)
{
	struct bench *b = *state;
	char name[400] = "\x1b[31mred\x7f";

	add_device(b, STRAP, "C0:9E:10:00:00:01", name);
	assert_string_equal(objects_devices(b->objects)->name, "?[31mred?");
	for (size_t i = 0; i < sizeof(name) - 3; i += 2)
		memcpy(name + i, "\xc3\xa4", 3);
	add_device(b, STRAP, "C0:9E:10:00:00:01", name);
	assert_int_equal(strlen(objects_devices(b->objects)->name), OBJECTS_NAME_SIZE - 2);
	add_device(b, STRAP, "C0:9E:10:00:00:01", "");
	assert_string_equal(objects_devices(b->objects)->name, "");
}

static void a_crowd_is_bounded(void **state)
{
	struct bench *b = *state;
	char path[64], address[18];

	b->kept = "c0:9e:10:00:00:01";
	add_device(b, STRAP, "C0:9E:10:00:00:01", "Strap");
	for (unsigned i = 0; i < 2000; i++) {
		(void)snprintf(address, sizeof(address), "40:00:00:00:%02X:%02X", i >> 8 & 0xff,
			       i & 0xff);
		(void)snprintf(path, sizeof(path), ADAPTER "/dev_40_00_00_00_%02X_%02X",
			       i >> 8 & 0xff, i & 0xff);
		add_device(b, path, address, "passer-by");
	}
	assert_int_equal(count(b), OBJECTS_DEVICES_MAX);
	assert_non_null(objects_device_at(b->objects, STRAP));
	for (struct objects_device *d = objects_devices(b->objects); d; d = d->next)
		d->connected = true; /* nobody may go now: a new one has no place */
	add_device(b, ADAPTER "/dev_99", "99:00:00:00:00:01", "late");
	assert_null(objects_device_at(b->objects, ADAPTER "/dev_99"));
	assert_int_equal(count(b), OBJECTS_DEVICES_MAX);
}

static void long_paths_and_wrong_types_are_refused(void **state)
{
	struct bench *b = *state;
	struct objects_change c;
	sd_bus_message *m;
	char path[300] = STRAP;

	memset(path + strlen(path), 'x', sizeof(path) - strlen(path) - 1);
	assert_true(add(b, &c, path, "org.bluez.Device1", "a{sv}", 1, "Address", "s",
			"C0:9E:10:00:00:01") >= 0);
	assert_int_equal(count(b), 0);
	assert_true(add(b, &c, path, "org.bluez.Adapter1", "a{sv}", 0) >= 0);
	assert_int_equal(c.kind, OBJECTS_NOTHING);
	assert_true(add(b, &c, STRAP, "org.bluez.Device1", "a{sv}", 1, "Connected", "s", "yes") <
		    0);
	assert_true(add(b, &c, STRAP, "org.bluez.Device1", "a{sv}", 1, "Address", "s", "nowhere") <
		    0);
	assert_false(objects_devices(b->objects)->known);
	/* what is not ours is passed over, whatever it is */
	assert_true(change(b, &c, &m, STRAP, "org.bluez.Device1", "a{sv}as", 2, "Modalias", "(yv)",
			   1, "s", "x", "RSSI", "n", -5, 0) >= 0);
	assert_int_equal(c.device->rssi, -5);
	sd_bus_message_unref(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_all_in_any_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(follows_changes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_address_may_change, set_up, tear_down),
		cmocka_unit_test(hidden_are_those_that_change),
		cmocka_unit_test_setup_teardown(values_are_told_with_their_characteristic, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(what_goes_is_handed_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_are_cleaned, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_crowd_is_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(long_paths_and_wrong_types_are_refused, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
