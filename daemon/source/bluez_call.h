/*
 * Calls to bluetoothd: each without waiting, with a deadline of its own, and cancelled by dropping its
 * slot; and what its errors mean.
 */
#pragma once

#include "util/macro.h"

#include <systemd/sd-bus.h>

#define BLUEZ_NAME "org.bluez"

/* The answer, or the error, or (by sd-bus, in the name of the peer) that there was none in time. */
typedef int bluez_answer(sd_bus_message *m, void *userdata, sd_bus_error *error);

/*
 * Calls the method; `format` and what follows as for sd_bus_message_append(). *slot is dropped first:
 * what was asked before is not answered any more. < 0: it could not even be sent.
 */
int bluez_call(sd_bus *bus, sd_bus_slot **slot, const char *path, const char *interface,
	       const char *method, usec_t timeout, bluez_answer *answer, void *userdata,
	       const char *format, ...);
/* Sends `m`, which it does not keep, in the same way. */
int bluez_send(sd_bus *bus, sd_bus_slot **slot, sd_bus_message *m, usec_t timeout,
	       bluez_answer *answer, void *userdata);

enum bluez_error {
	BLUEZ_OK,
	BLUEZ_TIMEOUT,	/* no answer in our time */
	BLUEZ_ABSENT,	/* there is no bluetoothd, and it could not be started */
	BLUEZ_DENIED,	/* by the policy of the bus */
	BLUEZ_BUSY,	/* InProgress */
	BLUEZ_ALREADY,	/* it is as it should be */
	BLUEZ_OFF,	/* the adapter is not powered */
	BLUEZ_BLOCKED,	/* ... and rfkill keeps it so */
	BLUEZ_GONE,	/* no such object, or not connected */
	BLUEZ_BOND,	/* the wearable does not know our key, or refuses to pair */
	BLUEZ_SECURITY, /* the wearable wants an encrypted link */
	BLUEZ_REFUSED,	/* the wearable: an ATT error */
	BLUEZ_FAILED,	/* anything else */
};
/* `ret_att`: the ATT error, if it is known, else 0; may be NULL. */
enum bluez_error bluez_error(sd_bus_message *m, uint8_t *ret_att);
/* What it said, for people: "" when all is well. Borrowed from the message. */
const char *bluez_error_text(sd_bus_message *m);
