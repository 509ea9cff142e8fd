/*
 * A link that is up, over bluetoothd: carries a session's reads, writes and subscriptions, and hands
 * on its frames.
 */
#pragma once

#include "source/bluez_objects.h"
#include "source/session.h"

struct link_handler {
	void *userdata;
	void (*frame)(void *userdata, const struct frame *frame);
	void (*need)(void *userdata, enum session_need need, const char *why);
	void (*rung)(void *userdata, enum rung rung, const char *why);
	void (*changed)(void *userdata);
	void (*recorder)(void *userdata, struct recorder *recorder); /* may be NULL */
	/* What it says here is longer than the link allows, and is dropped; told once. */
	void (*oversized)(void *userdata, enum characteristic c, size_t size, uint16_t mtu);
	/* link_due() may be earlier than it was. */
	void (*wake)(void *userdata);
};

struct link;

/* Sends nothing. What came until now is handed on by link_drain(), before. */
struct link *link_free(struct link *l);
DEFINE_CLEANUP(struct link *, link_free)
/* Borrows the object, which must outlive it. No handler is called from within. */
int link_new(sd_event *event, sd_bus *bus, struct profiles profiles, unsigned wanted,
	     const struct objects_device *object, const struct link_handler *handler, usec_t now,
	     struct link **ret);
/* Its value was told by a signal. */
void link_value(struct link *l, enum characteristic c, const uint8_t *data, size_t size,
		usec_t now);
/* Battery1 was told: a frame, unless the wearable's own characteristic is there to be read. */
void link_battery(struct link *l, usec_t now);
void link_paired(struct link *l, usec_t now);
/* See session_set_patience(). */
void link_set_patience(struct link *l, unsigned doublings);
void link_set_wanted(struct link *l, unsigned wanted, usec_t now);
/* The hub lets go: the wearable's streams are stopped, which takes a moment. */
void link_close(struct link *l, usec_t now);
bool link_closed(const struct link *l);
/* Hands on what lies in its sockets. */
void link_drain(struct link *l);
usec_t link_due(const struct link *l);
/* need() and wake() come from here only. */
void link_tick(struct link *l, usec_t now);
const struct session *link_session(const struct link *l);
