/* The one that bluetoothd asks when a wearable pairs: org.bluez.Agent1, without keys or display. */
#pragma once

#include "util/macro.h"

#include <systemd/sd-bus.h>

struct agent_handler {
	void *userdata;
	/* May this object of bluetoothd's pair with us? */
	bool (*wanted)(void *userdata, const char *path);
	/* Is this the unique name of bluetoothd? */
	bool (*is_bluetoothd)(void *userdata, const char *sender);
};

struct agent;

struct agent *agent_free(struct agent *a);
DEFINE_CLEANUP(struct agent *, agent_free)
/* Exports it; bluetoothd is told by agent_register(), each time that there is a new one. */
int agent_new(sd_bus *bus, const struct agent_handler *handler, struct agent **ret);
int agent_register(struct agent *a);
