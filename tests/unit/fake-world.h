/* What the parts of fake-bluez.h share: its world, how changes of it are told, and what is called. */
#pragma once

#include "fake-bluez.h"
#include "util/buf.h"

#define FAKE_ERROR	    "org.bluez.Error."
#define FAKE_PROPERTIES	    "org.freedesktop.DBus.Properties"
#define FAKE_OBJECT_MANAGER "org.freedesktop.DBus.ObjectManager"
#define FAKE_ADAPTER	    "org.bluez.Adapter1"
#define FAKE_DEVICE	    "org.bluez.Device1"
#define FAKE_CHARACTERISTIC "org.bluez.GattCharacteristic1"

enum { FAKE_MTU = 232, FAKE_ECG_FROM = 3 /* the first that only a wearable with ECG has */ };

struct fake_bluez {
	sd_bus *bus;
	sd_event *event;
	sd_event_source *timer;
	struct fake_adapter adapters[FAKE_ADAPTERS_MAX];
	struct fake_strap straps[FAKE_STRAPS_MAX];
	size_t n_straps;
	bool running, hangs, ponged;
	char client[32]; /* the unique name of whoever came first; "": nobody */
	char agent[FAKE_PATH_SIZE];
	unsigned n_heard;
	char answer[64];  /* of the agent */
	struct buf calls; /* lines "METHOD PATH" */
};

/* What a path names. */
struct fake_place {
	struct fake_adapter *adapter;
	struct fake_strap *strap;
	int characteristic; /* -1: none */
};

struct fake_gatt {
	enum characteristic characteristic;
	unsigned service, handle;
	const char *flags[3];
	size_t n_flags;
	const char *value; /* when it is read */
	size_t n_value;
};
extern const struct fake_gatt fake_gatt[FAKE_CHARACTERISTICS];

/* --- fake-tell.c ------------------------------------------------------------------------------- */

int fake_tell_count(const struct fake_strap *s); /* of its characteristics */
void fake_tell_path(const struct fake_strap *s, int i, char ret[static FAKE_PATH_SIZE]);
/* oa{sa{sv}} */
void fake_tell_object(sd_bus_message *m, const struct fake_place *at);
void fake_tell_each(struct fake_bluez *f,
		    void (*each)(sd_bus_message *m, const struct fake_place *at),
		    sd_bus_message *m);
/* Takes the message. */
void fake_tell_emit(struct fake_bluez *f, sd_bus_message *m);
void fake_tell_added(struct fake_bluez *f, const struct fake_place *at);
void fake_tell_removed(struct fake_bluez *f, const char *path, const char *interface);
void fake_tell_strap(struct fake_bluez *f, struct fake_strap *s, const char *property);
void fake_tell_battery(struct fake_bluez *f, struct fake_strap *s);
void fake_tell_adapter(struct fake_bluez *f, struct fake_adapter *a, const char *property);
void fake_tell_value(struct fake_bluez *f, const struct fake_place *at, const void *data,
		     size_t size);

/* --- fake-link.c ------------------------------------------------------------------------------- */

void fake_link_unsubscribe(struct fake_strap *s);
/* bluetoothd knows, and tells nobody. */
void fake_link_end(struct fake_strap *s);
void fake_link_down(struct fake_bluez *f, struct fake_strap *s);
void fake_link_up(struct fake_bluez *f, struct fake_strap *s);
/* To the Connect that waits, if one does; NULL: it succeeded. */
void fake_link_answer(struct fake_strap *s, const char *error);
void fake_link_paired(struct fake_bluez *f, struct fake_strap *s);
void fake_link_know(struct fake_bluez *f, struct fake_strap *s);
void fake_link_forget(struct fake_bluez *f, struct fake_strap *s);
void fake_link_stop_discovery(struct fake_bluez *f, struct fake_adapter *a);
/* One second of a wearable's life. */
void fake_link_live(struct fake_bluez *f, struct fake_strap *s);

/* --- fake-call.c ------------------------------------------------------------------------------- */

/* A filter for sd_bus_add_filter(); userdata is the struct fake_bluez. */
int fake_call(sd_bus_message *m, void *userdata, sd_bus_error *error);
