/*
 * What bluetoothd has told of its objects: adapters, devices, and the characteristics that we know.
 * Filled from the messages of org.freedesktop.DBus.ObjectManager and Properties; no I/O. Shapes are
 * those of org.bluez.Adapter1, Device1, GattCharacteristic1 and Battery1 (bluez, doc/).
 */
#pragma once

#include "model/frame.h"
#include "model/profile.h"

#include <systemd/sd-bus.h>

enum {
	OBJECTS_ADAPTERS_MAX = 8,
	OBJECTS_DEVICES_MAX = 256, /* a hostile neighbour can make up any number */
	OBJECTS_PATH_SIZE = 128,
	OBJECTS_NAME_SIZE = 64,
};

struct objects_adapter {
	char path[OBJECTS_PATH_SIZE]; /* "": this place is free */
	char address[DEVICE_ADDRESS_SIZE];
	bool powered;
	bool discovering; /* for whomever */
};
/* "hci0" of "/org/bluez/hci0". */
const char *objects_adapter_name(const struct objects_adapter *a);

struct objects_characteristic {
	char *path;	     /* NULL: it has none such */
	unsigned properties; /* PROPERTY_... of source/session.h */
};

struct objects_device {
	struct objects_device *next;
	char path[OBJECTS_PATH_SIZE];
	bool known; /* Device1 was told; until then only characteristics were */
	char address[DEVICE_ADDRESS_SIZE];
	char name[OBJECTS_NAME_SIZE]; /* clean UTF-8; "": it told none */
	bool random;		      /* the address is not a public one */
	bool connected, resolved, paired, trusted, blocked;
	bool ghost;	 /* says that it is connected, and never will say anything else */
	int rssi;	 /* dBm, of this discovery; 0: not heard in it */
	int battery;	 /* percent; -1: not told */
	uint64_t offers; /* 1 << index in the profiles, by their services */
	uint64_t order;	 /* the lower, the longer nothing was told of it */
	struct objects_characteristic characteristics[CHARACTERISTIC_MAX_];
};
/* A random address that changes (Core Specification 6.B.1.3.2.2): names no wearable for long. */
bool objects_device_hides(const struct objects_device *d);

enum objects_kind {
	OBJECTS_NOTHING,
	OBJECTS_ADAPTER,
	OBJECTS_ADAPTER_GONE,
	OBJECTS_DEVICE,
	OBJECTS_DEVICE_GONE,
	OBJECTS_VALUE, /* of a characteristic: indicated, notified or read */
};

enum objects_field {
	OBJECTS_FIELD_RSSI = 1 << 0, /* or anything else that only an advertisement brings */
	OBJECTS_FIELD_CONNECTED = 1 << 1,
	OBJECTS_FIELD_RESOLVED = 1 << 2,
	OBJECTS_FIELD_BATTERY = 1 << 3,
	OBJECTS_FIELD_POWERED = 1 << 4,
	OBJECTS_FIELD_DISCOVERING = 1 << 5,
	OBJECTS_FIELD_ADDRESS = 1 << 6,
};

/* What a message changed. What is gone is still whole in it, and is freed by objects_change_done(). */
struct objects_change {
	enum objects_kind kind;
	unsigned fields; /* enum objects_field, told anew */
	struct objects_adapter *adapter;
	struct objects_adapter gone_adapter;
	struct objects_device *device;
	struct objects_device *gone_device;
	enum characteristic characteristic;
	const uint8_t *value; /* borrowed from the message */
	size_t size;
};
void objects_change_done(struct objects_change *c);

struct objects;

struct objects *objects_free(struct objects *o);
DEFINE_CLEANUP(struct objects *, objects_free)
/* `keep`: must this address stay, when there are too many? Borrows profiles. */
int objects_new(struct profiles profiles, bool (*keep)(void *userdata, const char *address),
		void *userdata, struct objects **ret);
/* bluetoothd is gone, and all that it told. */
void objects_clear(struct objects *o);

/*
 * The four messages. < 0: the message is not what it should be, or there is no memory; what stood
 * before the mistake counts.
 */
int objects_read_all(struct objects *o, sd_bus_message *m); /* answer of GetManagedObjects */
int objects_added(struct objects *o, sd_bus_message *m, struct objects_change *ret);
int objects_removed(struct objects *o, sd_bus_message *m, struct objects_change *ret);
int objects_changed(struct objects *o, sd_bus_message *m, struct objects_change *ret);

/* OBJECTS_ADAPTERS_MAX places; free ones have no path. */
struct objects_adapter *objects_adapters(struct objects *o);
/* The first of a list. */
struct objects_device *objects_devices(struct objects *o);
struct objects_device *objects_device_at(struct objects *o, const char *path);
/* The adapter that the device hangs on, or NULL. */
struct objects_adapter *objects_adapter_of(struct objects *o, const struct objects_device *d);
