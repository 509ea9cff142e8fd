/*
 * The client's side of the Generic Attribute Profile on one link: what the wearable offers, and
 * reads, writes and subscriptions by characteristic instead of handle. It is what a struct
 * session_carrier needs. Pure, as att.h.
 */
#pragma once

#include "source/att.h"
#include "source/session.h"

/*
 * Called as the last thing that a function of this header does; any may free the gatt. Results are 0
 * or SESSION_E_*; `att_error` is of SESSION_E_SECURITY and SESSION_E_REFUSED.
 */
struct gatt_handler {
	void *userdata;
	/* The exception: called in the midst, and must not call back. One PDU. */
	void (*send)(void *userdata, const uint8_t *data, size_t size);
	/* gatt_discover() ended: now gatt_properties() and gatt_mtu() are known. */
	void (*discovered)(void *userdata, int result, uint8_t att_error, usec_t now);
	/* A read (with its value), write, subscription or its end is over: as session_done(). */
	void (*done)(void *userdata, int result, uint8_t att_error, const uint8_t *data,
		     size_t size, usec_t now);
	/* Notified or indicated, by a characteristic that we know. */
	void (*value)(void *userdata, enum characteristic c, const uint8_t *data, size_t size,
		      usec_t now);
	/*
	 * The link must be dropped: the wearable broke the rules, did not answer, or changed its
	 * services. What is under way ends after this, with SESSION_E_GONE or _TIMEOUT.
	 */
	void (*broken)(void *userdata, const char *why);
};

struct gatt_counts {
	struct att_counts att;
	uint32_t unnamed; /* values at handles that are no characteristic of ours */
	uint32_t surplus; /* services and characteristics beyond the limits of gatt_table.h */
};

struct gatt;

struct gatt *gatt_free(struct gatt *g);
DEFINE_CLEANUP(struct gatt *, gatt_free)
int gatt_new(const struct gatt_handler *handler, struct gatt **ret);

/* Agrees on the MTU, then finds services and characteristics. Once, before anything else. */
void gatt_discover(struct gatt *g, usec_t now);
/* PROPERTY_* of session.h; 0: the wearable has no such characteristic. */
unsigned gatt_properties(const struct gatt *g, enum characteristic c);
uint16_t gatt_mtu(const struct gatt *g);

/*
 * One at a time, each answered by done(), never from within. Longer values are read piece by piece,
 * up to ATT_VALUE_MAX. What takes commands only is written by a command, which is done when it is
 * sent. The descriptor that a subscription needs is looked for with the first one.
 */
void gatt_read(struct gatt *g, enum characteristic c, usec_t now);
void gatt_write(struct gatt *g, enum characteristic c, const uint8_t *data, size_t size,
		usec_t now);
void gatt_subscribe(struct gatt *g, enum characteristic c, bool indicate, usec_t now);
void gatt_unsubscribe(struct gatt *g, enum characteristic c, usec_t now);

/* One PDU of the wearable. */
void gatt_receive(struct gatt *g, const uint8_t *data, size_t size, usec_t now);
/* When gatt_tick() has something to do; USEC_INFINITY: nothing. */
usec_t gatt_due(const struct gatt *g);
void gatt_tick(struct gatt *g, usec_t now);
struct gatt_counts gatt_counts(const struct gatt *g);
