/*
 * The ring of sync events in the runtime directory: the last few thousand of what became of each
 * piece of syncing. It outlives the daemon's death, not the machine's, and vitalctl reads it
 * without the daemon.
 */
#pragma once

#include "model/event.h"

enum { EVENTS_SLOTS = 4096 };
enum events_error {
	EVENTS_E_ABSENT = 1, /* to read: there is no ring */
	EVENTS_E_DENIED = 2, /* may not read it */
};

struct events;

struct events *events_close(struct events *e);
DEFINE_CLEANUP(struct events *, events_close)
/* `writable`: makes the ring where there is none, or where it is not one of ours. */
int events_open(const char *runtime_dir, bool writable, struct events **ret);
/* Writes it under the next number, whatever its own says. */
int events_push(struct events *e, const struct sync_event *event);
/* The number of the newest; 0: there is none. */
uint64_t events_last(const struct events *e);
/* From the oldest to the newest; half-written ones are left out. */
typedef void (*events_cb)(void *userdata, const struct sync_event *event);
int events_each(struct events *e, int64_t since_wall_us, events_cb cb, void *userdata);
