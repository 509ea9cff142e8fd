/*
 * The truth file of the simulated wearables: JSON Lines, one object a line, each written whole with
 * one write(2), so that it can be read while it grows. truth.c lists the lines.
 */
#pragma once

#include "source/strap.h"

/* What became of a notification. */
enum handed {
	HANDED_YES,	    /* it is in the daemon's socket */
	HANDED_FULL,	    /* the socket was full: dropped, as bluetoothd does */
	HANDED_NO_LISTENER, /* no daemon */
	HANDED_NO_LINK,	    /* a daemon, but no link to this strap */
	HANDED_LOST_IN_AIR, /* the radio ate it */
	HANDED_MAX_,
};

struct truth_entry {
	usec_t boot_us; /* of the hand-over */
	usec_t taken_us; /* when it was measured, by the same clock: of an ECG frame its last sample */
	const char *device;
	const char *what; /* "ok", "duplicate", "malformed" */
	enum handed handed;
	const struct strap_event *event; /* characteristic, and the bytes as they were sent */
	bool meaning;			 /* the bytes still mean what the event says */
};

struct truth;

/* Closes; what was written stays. */
struct truth *truth_free(struct truth *t);
DEFINE_CLEANUP(struct truth *, truth_free)
/* Starts the file anew. */
int truth_new(const char *path, struct truth **ret);
/* The number that the next notification gets. */
uint64_t truth_next(const struct truth *t);
void truth_notification(struct truth *t, const struct truth_entry *entry);
/* Takes back "yes" of notification n: it lay in the socket when its reader died. */
void truth_unread(struct truth *t, uint64_t n);
/* `format` adds members: ",\"key\":value"; "" for none. `device` may be NULL. */
void truth_event(struct truth *t, usec_t boot_us, const char *event, const char *device,
		 const char *format, ...) _printf_(5, 6);
/*
 * The last line, with the totals. < 0: some line could not be written: the file is worth nothing.
 */
int truth_end(struct truth *t, usec_t boot_us);
