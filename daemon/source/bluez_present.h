/*
 * Is bluetoothd here? Whoever speaks to wearables without it must know, since the kernel lets two
 * speak ATT on one link, and each then takes the other's answers for its own. Watches the owner of
 * org.bluez on the system bus; never starts it.
 */
#pragma once

#include "util/macro.h"

#include <systemd/sd-event.h>

struct bluez_present;

/* From the loop: once when it is known, then whenever it changes. */
typedef void (*bluez_present_told)(void *userdata, bool present);

struct bluez_present *bluez_present_free(struct bluez_present *p);
DEFINE_CLEANUP(struct bluez_present *, bluez_present_free)
/*
 * A machine without a system bus has no bluetoothd either: that is told, and the bus is looked for
 * again every `retry`.
 */
int bluez_present_new(sd_event *event, usec_t retry, bluez_present_told told, void *userdata,
		      struct bluez_present **ret);
