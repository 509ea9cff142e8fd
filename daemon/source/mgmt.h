/*
 * Asks the kernel for one Bluetooth adapter that can hold LE links, by the management interface that
 * bluetoothd uses as well: which adapters there are, is ours on, and switch it on. Pure: messages in
 * and out, time is told. Layouts: doc/mgmt-api of BlueZ 5.66.
 */
#pragma once

#include "util/macro.h"

enum { MGMT_MESSAGE_MAX = 1024 }; /* nothing that we ask for is longer */

/* Called as the last thing that a function of this header does. */
struct mgmt_handler {
	void *userdata;
	/* The exception: called in the midst, and must not call back. One message. */
	void (*send)(void *userdata, const uint8_t *data, size_t size);
	/* Something else comes out of the functions below. */
	void (*changed)(void *userdata);
};

struct mgmt;

struct mgmt *mgmt_free(struct mgmt *m);
DEFINE_CLEANUP(struct mgmt *, mgmt_free)
/* `adapter`: "hci0", an address in lower case, or NULL for the first that can do LE; copied. */
int mgmt_new(const char *adapter, const struct mgmt_handler *handler, struct mgmt **ret);
/* One message of the kernel. */
void mgmt_receive(struct mgmt *m, const uint8_t *data, size_t size, usec_t now);
/* When mgmt_tick() has something to do; 0 at first. */
usec_t mgmt_due(const struct mgmt *m);
void mgmt_tick(struct mgmt *m, usec_t now);

/* The adapter is on and can do LE. */
bool mgmt_ready(const struct mgmt *m);
/* Why it is not: a sentence; "" when it is, or before that is known. */
const char *mgmt_problem(const struct mgmt *m);
/* "hci0" and its address, once it was found; "" before. */
const char *mgmt_name(const struct mgmt *m);
const char *mgmt_address(const struct mgmt *m);
