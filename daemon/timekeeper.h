/*
 * Keeps the store told of the clock: records that wait for it, the offset that new ones get, notes
 * of what was learnt; and says in the journal what an owner should know. For the daemon's loop.
 */
#pragma once

#include "clock_watch.h"
#include "model/config.h"
#include "store/store.h"

#include <systemd/sd-event.h>

struct timekeeper_handler {
	void *userdata;
	/* Records have their time now, or a note is to be sent; `wake`: the clock became right. */
	void (*kick)(void *userdata, bool wake, usec_t now);
};

struct timekeeper;

struct timekeeper *timekeeper_free(struct timekeeper *t);
DEFINE_CLEANUP(struct timekeeper *, timekeeper_free)
/* Borrows store and config. `clock`: what the store was opened with. */
int timekeeper_new(sd_event *event, struct store *store, const struct config *config,
		   const struct clock_state *clock, const struct timekeeper_handler *handler,
		   struct timekeeper **ret);
void timekeeper_set_config(struct timekeeper *t, const struct config *config);
/* Every few seconds. Steps are noticed without it. */
void timekeeper_look(struct timekeeper *t, usec_t now);
/* Before a record is admitted: its offset is that of this moment. */
void timekeeper_freshen(struct timekeeper *t, usec_t now);
/* As it was at the last look. */
const struct clock_state *timekeeper_clock(const struct timekeeper *t);
const struct clock_watch *timekeeper_watch(const struct timekeeper *t);
