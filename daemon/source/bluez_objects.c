/*
 * Messages of bluetoothd, made into a picture of its world.
 *
 *	/org/bluez/hci0                                      Adapter1
 *	/org/bluez/hci0/dev_A0_B1_C2_D3_E4_F5                Device1, Battery1
 *	/org/bluez/hci0/dev_.../service0012/char0013         GattCharacteristic1
 *
 * GetManagedObjects gives them in no order, so a characteristic may make the place for its device;
 * until Device1 itself is told, nobody is shown that device. The path of a device keeps the address
 * under which it was first met, and Address changes when pairing gives its true one: therefore
 * nobody may take the address from the path.
 *
 * Everything is bounded: adapters and devices by number (who was told of longest ago gives way, but
 * not who is connected, bonded, or kept), paths and names by size, characteristics by the table of
 * those that this program knows. What a wearable calls itself ends up in terminals and JSON, and is
 * cleaned here.
 */
#include "source/bluez_objects.h"

#include "model/value.h"
#include "source/session.h"
#include "util/utf8.h"

#include <strings.h>

enum { OFFERS_MAX = 64 };

struct objects {
	struct profiles profiles;
	bool (*keep)(void *userdata, const char *address);
	void *userdata;
	struct objects_adapter adapters[OBJECTS_ADAPTERS_MAX];
	struct objects_device *devices;
	size_t n_devices;
	uint64_t order;
};

/* --- values ------------------------------------------------------------------------------------ */

/* C0, DEL and C1: what a terminal may obey. */
static bool is_control(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

static void clean_name(const char *name, char ret[static OBJECTS_NAME_SIZE])
{
	size_t size = strlen(name), n, length = 0;
	uint32_t code = 0;

	for (size_t at = 0; at < size; at += MAX(n, 1U)) {
		n = utf8_character((const uint8_t *)name + at, size - at, &code);
		if (length + MAX(n, 1U) >= OBJECTS_NAME_SIZE)
			break;
		if (n > 0 && !is_control(code))
			memcpy(ret + length, name + at, n);
		else
			ret[length] = '?';
		length += n > 0 && !is_control(code) ? n : 1;
	}
	ret[length] = '\0';
}

/* Each reads a variant of its type, and passes over one of another. */
static int read_bool(sd_bus_message *m, bool *ret)
{
	int v, r = sd_bus_message_read(m, "v", "b", &v);

	if (r >= 0)
		*ret = v;
	return r;
}

static int read_string(sd_bus_message *m, const char **ret)
{
	const char *type = NULL;
	int r = sd_bus_message_peek_type(m, NULL, &type);

	*ret = "";
	if (r < 0)
		return r;
	if (!type || (!streq(type, "s") && !streq(type, "o")))
		return sd_bus_message_skip(m, "v");
	return sd_bus_message_read(m, "v", type, ret);
}

static int read_strings(sd_bus_message *m, void (*each)(void *userdata, const char *s),
			void *userdata)
{
	const char *s;
	int r = sd_bus_message_enter_container(m, 'v', "as");

	if (r < 0 || (r = sd_bus_message_enter_container(m, 'a', "s")) < 0)
		return r;
	while ((r = sd_bus_message_read_basic(m, 's', &s)) > 0)
		each(userdata, s);
	if (r < 0 || (r = sd_bus_message_exit_container(m)) < 0)
		return r;
	r = sd_bus_message_exit_container(m);
	return r < 0 ? r : 1;
}

static int read_bytes(sd_bus_message *m, const uint8_t **ret, size_t *ret_size)
{
	const void *data = NULL;
	int r = sd_bus_message_enter_container(m, 'v', "ay");

	if (r < 0 || (r = sd_bus_message_read_array(m, 'y', &data, ret_size)) < 0)
		return r;
	*ret = data;
	r = sd_bus_message_exit_container(m);
	return r < 0 ? r : 1;
}

/* --- places ------------------------------------------------------------------------------------ */

const char *objects_adapter_name(const struct objects_adapter *a)
{
	const char *slash = strrchr(a->path, '/');

	return slash ? slash + 1 : a->path;
}

bool objects_device_hides(const struct objects_device *d)
{
	return d->random && strtoul(d->address, NULL, 16) >> 6 < 2;
}

static struct objects_device *device_free(struct objects_device *d)
{
	if (!d)
		return NULL;
	for (size_t i = 0; i < CHARACTERISTIC_MAX_; i++)
		free(d->characteristics[i].path);
	free(d);
	return NULL;
}

void objects_change_done(struct objects_change *c)
{
	c->gone_device = device_free(c->gone_device);
}

/* Takes it from the list; the caller's now. */
static struct objects_device *unlink_device(struct objects *o, struct objects_device *d)
{
	struct objects_device **p = &o->devices;

	while (*p != d)
		p = &(*p)->next;
	*p = d->next;
	o->n_devices--;
	return d;
}

/* One that may be forgotten: bluetoothd tells of it again when it is heard again. */
static struct objects_device *least_missed(struct objects *o)
{
	struct objects_device *found = NULL;

	for (struct objects_device *d = o->devices; d; d = d->next)
		if (!d->connected && !d->paired && !o->keep(o->userdata, d->address) &&
		    (!found || d->order < found->order))
			found = d;
	return found;
}

struct objects_device *objects_device_at(struct objects *o, const char *path)
{
	for (struct objects_device *d = o->devices; d; d = d->next)
		if (streq(d->path, path))
			return d;
	return NULL;
}

/* NULL in *ret: there is no room for it. */
static int device_place(struct objects *o, const char *path, struct objects_device **ret)
{
	struct objects_device *d = objects_device_at(o, path), *least;

	*ret = d;
	if (d)
		return 0;
	least = o->n_devices < OBJECTS_DEVICES_MAX ? NULL : least_missed(o);
	if (o->n_devices >= OBJECTS_DEVICES_MAX && !least)
		return 0;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	if (least)
		device_free(unlink_device(o, least));
	d->battery = -1;
	d->order = o->order;
	memcpy(d->path, path, strlen(path) + 1);
	d->next = o->devices;
	o->devices = d;
	o->n_devices++;
	*ret = d;
	return 0;
}

static struct objects_adapter *adapter_at(struct objects *o, const char *path)
{
	for (size_t i = 0; i < OBJECTS_ADAPTERS_MAX; i++)
		if (streq(o->adapters[i].path, path))
			return &o->adapters[i];
	return NULL;
}

static struct objects_adapter *adapter_place(struct objects *o, const char *path)
{
	struct objects_adapter *a = adapter_at(o, path);

	if (!a)
		a = adapter_at(o, "");
	if (a)
		memcpy(a->path, path, strlen(path) + 1);
	return a;
}

/* The part of a path up to the device; false: it is not below one, or too long for anything. */
static bool device_path(const char *path, char ret[static OBJECTS_PATH_SIZE])
{
	const char *device = strstr(path, "/dev_"), *end;

	if (!device || strlen(path) >= OBJECTS_PATH_SIZE)
		return false;
	end = strchrnul(device + 1, '/');
	memcpy(ret, path, (size_t)(end - path));
	ret[end - path] = '\0';
	return true;
}

/* --- interfaces -------------------------------------------------------------------------------- */

/* Where the properties of one interface of one object go. */
struct target {
	struct objects *objects;
	const char *path;
	struct objects_change *change;
	/* GattCharacteristic1 comes in any order, and is put together at its end */
	enum characteristic characteristic;
	unsigned properties;
};

/* > 0: read; 0: not one of ours; < 0: malformed. The name comes first, the variant is next. */
typedef int property_reader(struct target *t, const char *name, sd_bus_message *m);

static int read_address(sd_bus_message *m, char ret[static DEVICE_ADDRESS_SIZE])
{
	const char *s;
	int r = read_string(m, &s);

	if (r >= 0 && *s && !value_address(s, ret))
		return -EBADMSG;
	return r;
}

static int adapter_property(struct target *t, const char *name, sd_bus_message *m)
{
	struct objects_adapter *a = t->change->adapter;

	if (streq(name, "Address"))
		return read_address(m, a->address);
	if (streq(name, "Powered")) {
		t->change->fields |= OBJECTS_FIELD_POWERED;
		return read_bool(m, &a->powered);
	}
	if (streq(name, "Discovering")) {
		t->change->fields |= OBJECTS_FIELD_DISCOVERING;
		return read_bool(m, &a->discovering);
	}
	return 0;
}

static void take_service(void *userdata, const char *uuid)
{
	const struct target *t = userdata;
	const struct profiles *p = &t->objects->profiles;

	for (size_t i = 0; i < p->n && i < OFFERS_MAX; i++)
		if (strcasecmp(p->list[i]->service, uuid) == 0)
			t->change->device->offers |= UINT64_C(1) << i;
}

static int device_switch(struct target *t, const char *name, sd_bus_message *m)
{
	struct objects_device *d = t->change->device;
	int r;

	if (streq(name, "Connected")) {
		t->change->fields |= OBJECTS_FIELD_CONNECTED;
		r = read_bool(m, &d->connected);
		d->ghost = d->ghost && d->connected;
		return r;
	}
	if (streq(name, "ServicesResolved")) {
		t->change->fields |= OBJECTS_FIELD_RESOLVED;
		r = read_bool(m, &d->resolved);
		d->connected = d->connected || d->resolved; /* 5.66 may forget to tell */
		return r;
	}
	if (streq(name, "Paired"))
		return read_bool(m, &d->paired);
	if (streq(name, "Trusted"))
		return read_bool(m, &d->trusted);
	if (streq(name, "Blocked"))
		return read_bool(m, &d->blocked);
	return 0;
}

static int device_property(struct target *t, const char *name, sd_bus_message *m)
{
	struct objects_device *d = t->change->device;
	const char *s;
	int16_t rssi;
	int r = device_switch(t, name, m);

	if (r != 0)
		return r;
	if (streq(name, "Address")) {
		r = read_address(m, d->address);
		d->known = d->address[0] != '\0';
		t->change->fields |= OBJECTS_FIELD_ADDRESS;
		return r;
	}
	if (streq(name, "AddressType")) {
		r = read_string(m, &s);
		d->random = streq(s, "random");
		return r;
	}
	if (streq(name, "Name")) {
		r = read_string(m, &s);
		clean_name(s, d->name);
		return r;
	}
	if (streq(name, "RSSI")) {
		t->change->fields |= OBJECTS_FIELD_RSSI;
		r = sd_bus_message_read(m, "v", "n", &rssi);
		d->rssi = r < 0 ? d->rssi : rssi;
		return r;
	}
	if (streq(name, "ManufacturerData") || streq(name, "ServiceData"))
		t->change->fields |= OBJECTS_FIELD_RSSI; /* and read by nobody */
	if (streq(name, "UUIDs")) {
		d->offers = 0;
		return read_strings(m, take_service, t);
	}
	return 0;
}

static int battery_property(struct target *t, const char *name, sd_bus_message *m)
{
	uint8_t percent;
	int r;

	if (!streq(name, "Percentage"))
		return 0;
	r = sd_bus_message_read(m, "v", "y", &percent);
	if (r < 0)
		return r;
	t->change->device->battery = percent;
	t->change->fields |= OBJECTS_FIELD_BATTERY;
	return r;
}

static void take_flag(void *userdata, const char *flag)
{
	static const struct {
		const char *flag;
		unsigned property;
	} flags[] = {
		{"read", PROPERTY_READ},	 {"write-without-response", PROPERTY_WRITE_COMMAND},
		{"write", PROPERTY_WRITE},	 {"notify", PROPERTY_NOTIFY},
		{"indicate", PROPERTY_INDICATE},
	};
	struct target *t = userdata;

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (streq(flags[i].flag, flag))
			t->properties |= flags[i].property;
}

static int characteristic_property(struct target *t, const char *name, sd_bus_message *m)
{
	const char *s;
	int r;

	if (streq(name, "UUID")) {
		r = read_string(m, &s);
		t->characteristic = characteristic_parse(s);
		return r;
	}
	if (streq(name, "Flags"))
		return read_strings(m, take_flag, t);
	if (streq(name, "Value")) {
		t->change->kind = OBJECTS_VALUE;
		return read_bytes(m, &t->change->value, &t->change->size);
	}
	return 0;
}

static int read_properties(struct target *t, property_reader *reader, sd_bus_message *m)
{
	const char *name;
	int r = sd_bus_message_enter_container(m, 'a', "{sv}");

	if (r < 0)
		return r;
	while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		if ((r = sd_bus_message_read_basic(m, 's', &name)) < 0)
			return r;
		r = reader ? reader(t, name, m) : 0;
		if (r == 0)
			r = sd_bus_message_skip(m, "v");
		if (r < 0 || (r = sd_bus_message_exit_container(m)) < 0)
			return r;
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int find_device(struct target *t)
{
	char path[OBJECTS_PATH_SIZE];
	int r;

	if (!device_path(t->path, path))
		return 0;
	r = device_place(t->objects, path, &t->change->device);
	if (t->change->device)
		t->change->device->order = ++t->objects->order;
	return r;
}

/* The first characteristic of a kind counts; a wearable that has two is not known. */
static int keep_characteristic(struct target *t)
{
	struct objects_characteristic *c;
	char *path;

	if (t->characteristic == CHARACTERISTIC_UNKNOWN)
		return 0;
	c = &t->change->device->characteristics[t->characteristic];
	if (!c->path || strcmp(t->path, c->path) < 0) {
		path = strdup(t->path);
		if (!path)
			return -ENOMEM;
		free(c->path);
		c->path = path;
		c->properties = t->properties;
	}
	return 0;
}

/* The properties of one interface, told for the first time or anew. */
static int read_interface(struct target *t, const char *interface, sd_bus_message *m)
{
	int r;

	if (strlen(t->path) >= OBJECTS_PATH_SIZE)
		return read_properties(t, NULL, m);
	if (streq(interface, "org.bluez.Adapter1")) {
		t->change->adapter = adapter_place(t->objects, t->path);
		t->change->kind = t->change->adapter ? OBJECTS_ADAPTER : OBJECTS_NOTHING;
		return read_properties(t, t->change->adapter ? adapter_property : NULL, m);
	}
	if (streq(interface, "org.bluez.Device1") || streq(interface, "org.bluez.Battery1")) {
		r = find_device(t);
		if (r < 0 || !t->change->device)
			return r < 0 ? r : read_properties(t, NULL, m);
		t->change->kind = OBJECTS_DEVICE;
		return read_properties(t,
				       streq(interface, "org.bluez.Device1") ? device_property
									     : battery_property,
				       m);
	}
	if (!streq(interface, "org.bluez.GattCharacteristic1"))
		return read_properties(t, NULL, m);
	r = find_device(t);
	if (r < 0 || !t->change->device)
		return r < 0 ? r : read_properties(t, NULL, m);
	r = read_properties(t, characteristic_property, m);
	t->change->kind = OBJECTS_NOTHING; /* an old value that is told with the object */
	return r < 0 ? r : keep_characteristic(t);
}

/* oa{sa{sv}}, as InterfacesAdded has it, and as an entry of GetManagedObjects. */
static int read_object(struct objects *o, sd_bus_message *m, struct objects_change *change)
{
	struct target t = {.objects = o, .change = change};
	const char *interface;
	int r = sd_bus_message_read_basic(m, 'o', &t.path);

	if (r < 0 || (r = sd_bus_message_enter_container(m, 'a', "{sa{sv}}")) < 0)
		return r;
	while ((r = sd_bus_message_enter_container(m, 'e', "sa{sv}")) > 0) {
		if ((r = sd_bus_message_read_basic(m, 's', &interface)) < 0 ||
		    (r = read_interface(&t, interface, m)) < 0 ||
		    (r = sd_bus_message_exit_container(m)) < 0)
			return r;
	}
	if (change->device && change->device->known && change->kind == OBJECTS_NOTHING)
		change->kind = OBJECTS_DEVICE;
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

int objects_read_all(struct objects *o, sd_bus_message *m)
{
	int r = sd_bus_message_enter_container(m, 'a', "{oa{sa{sv}}}");

	if (r < 0)
		return r;
	while ((r = sd_bus_message_enter_container(m, 'e', "oa{sa{sv}}")) > 0) {
		struct objects_change change = {0};

		if ((r = read_object(o, m, &change)) < 0 ||
		    (r = sd_bus_message_exit_container(m)) < 0)
			return r;
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

int objects_added(struct objects *o, sd_bus_message *m, struct objects_change *ret)
{
	*ret = (struct objects_change){0};
	return read_object(o, m, ret);
}

static void remove_interface(struct objects *o, const char *path, const char *interface,
			     struct objects_change *change)
{
	struct objects_adapter *a = *path ? adapter_at(o, path) : NULL;
	struct objects_device *d = objects_device_at(o, path);

	if (streq(interface, "org.bluez.Adapter1") && a) {
		change->kind = OBJECTS_ADAPTER_GONE;
		change->gone_adapter = *a;
		*a = (struct objects_adapter){0};
	} else if (streq(interface, "org.bluez.Device1") && d) {
		change->kind = OBJECTS_DEVICE_GONE;
		change->gone_device = unlink_device(o, d);
	} else if (streq(interface, "org.bluez.Battery1") && d) {
		d->battery = -1;
	}
}

/* The characteristic that has this path, of the device that the path is below. */
static enum characteristic characteristic_at(struct objects *o, const char *path,
					     struct objects_device **ret)
{
	char at[OBJECTS_PATH_SIZE];

	*ret = device_path(path, at) ? objects_device_at(o, at) : NULL;
	for (int c = CHARACTERISTIC_UNKNOWN + 1; *ret && c < CHARACTERISTIC_MAX_; c++)
		if ((*ret)->characteristics[c].path && streq((*ret)->characteristics[c].path, path))
			return (enum characteristic)c;
	return CHARACTERISTIC_UNKNOWN;
}

int objects_removed(struct objects *o, sd_bus_message *m, struct objects_change *ret)
{
	const char *path, *interface;
	struct objects_device *d;
	enum characteristic c;
	int r = sd_bus_message_read_basic(m, 'o', &path);

	*ret = (struct objects_change){0};
	if (r < 0 || (r = sd_bus_message_enter_container(m, 'a', "s")) < 0)
		return r;
	while ((r = sd_bus_message_read_basic(m, 's', &interface)) > 0) {
		c = CHARACTERISTIC_UNKNOWN;
		if (streq(interface, "org.bluez.GattCharacteristic1"))
			c = characteristic_at(o, path, &d);
		if (c != CHARACTERISTIC_UNKNOWN) {
			free(d->characteristics[c].path);
			d->characteristics[c] = (struct objects_characteristic){0};
		}
		remove_interface(o, path, interface, ret);
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* What was invalidated has no value any more: of RSSI, that matters. */
static int read_invalidated(struct objects_change *change, sd_bus_message *m)
{
	const char *name;
	int r = sd_bus_message_enter_container(m, 'a', "s");

	if (r < 0)
		return r;
	while ((r = sd_bus_message_read_basic(m, 's', &name)) > 0)
		if (change->device && streq(name, "RSSI"))
			change->device->rssi = 0;
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

int objects_changed(struct objects *o, sd_bus_message *m, struct objects_change *ret)
{
	struct target t = {.objects = o, .path = sd_bus_message_get_path(m), .change = ret};
	property_reader *reader = NULL;
	const char *interface;
	int r = sd_bus_message_read_basic(m, 's', &interface);

	*ret = (struct objects_change){0};
	if (r < 0)
		return r;
	if (streq(interface, "org.bluez.Adapter1")) {
		ret->adapter = adapter_at(o, t.path);
		ret->kind = ret->adapter ? OBJECTS_ADAPTER : OBJECTS_NOTHING;
		reader = ret->adapter ? adapter_property : NULL;
	} else if (streq(interface, "org.bluez.Device1") ||
		   streq(interface, "org.bluez.Battery1")) {
		ret->device = objects_device_at(o, t.path);
		if (ret->device)
			ret->device->order = ++o->order;
		ret->kind = ret->device ? OBJECTS_DEVICE : OBJECTS_NOTHING;
		reader = !ret->device				 ? NULL
			 : streq(interface, "org.bluez.Device1") ? device_property
								 : battery_property;
	} else if (streq(interface, "org.bluez.GattCharacteristic1")) {
		ret->characteristic = characteristic_at(o, t.path, &ret->device);
		reader = ret->characteristic != CHARACTERISTIC_UNKNOWN ? characteristic_property
								       : NULL;
	}
	r = read_properties(&t, reader, m);
	return r < 0 ? r : read_invalidated(ret, m);
}

/* --- the whole --------------------------------------------------------------------------------- */

struct objects_adapter *objects_adapters(struct objects *o)
{
	return o->adapters;
}

struct objects_device *objects_devices(struct objects *o)
{
	return o->devices;
}

struct objects_adapter *objects_adapter_of(struct objects *o, const struct objects_device *d)
{
	const char *end = strstr(d->path, "/dev_");

	for (size_t i = 0; i < OBJECTS_ADAPTERS_MAX; i++) {
		const char *path = o->adapters[i].path;

		if (*path && end && strlen(path) == (size_t)(end - d->path) &&
		    strncmp(path, d->path, strlen(path)) == 0)
			return &o->adapters[i];
	}
	return NULL;
}

void objects_clear(struct objects *o)
{
	while (o->devices)
		device_free(unlink_device(o, o->devices));
	memset(o->adapters, 0, sizeof(o->adapters));
}

struct objects *objects_free(struct objects *o)
{
	if (!o)
		return NULL;
	objects_clear(o);
	free(o);
	return NULL;
}

int objects_new(struct profiles profiles, bool (*keep)(void *userdata, const char *address),
		void *userdata, struct objects **ret)
{
	struct objects *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	*o = (struct objects){.profiles = profiles, .keep = keep, .userdata = userdata};
	*ret = o;
	return 0;
}
