/*
 * The socket that AcquireNotify gives: one packet is one notification, and its end is the end of the
 * subscription.
 */
#pragma once

#include "model/frame.h"

#include <systemd/sd-event.h>

struct subscription_handler {
	void *userdata;
	void (*value)(void *userdata, enum characteristic c, const uint8_t *data, size_t size,
		      usec_t boot_us, usec_t now);
	/* The first packet that is longer than the MTU allows; it and all others are dropped. */
	void (*oversized)(void *userdata, enum characteristic c, size_t size, uint16_t mtu);
	/* There will be no more; the callee may free it. */
	void (*ended)(void *userdata, enum characteristic c);
};

struct subscription;

struct subscription *subscription_free(struct subscription *s);
DEFINE_CLEANUP(struct subscription *, subscription_free)
/* Duplicates fd. < 0: it is not such a socket, or the machine is out of something. */
int subscription_new(sd_event *event, int fd, uint16_t mtu, enum characteristic c,
		     const struct subscription_handler *handler, struct subscription **ret);
/* Reads what is there, when the link has ended: nothing that came is lost. */
void subscription_drain(struct subscription *s);
