/* The daily duties of the store (store/cleanup.h) in the daemon's loop, a slice in a turn. */
#pragma once

#include "model/config.h"
#include "store/store.h"

#include <systemd/sd-event.h>

struct cleaning;

struct cleaning *cleaning_free(struct cleaning *c);
DEFINE_CLEANUP(struct cleaning *, cleaning_free)
int cleaning_new(sd_event *event, struct store *store, const struct config *config,
		 struct cleaning **ret);
void cleaning_set_config(struct cleaning *c, const struct config *config);
/* Begins now, unless it is at it. */
int cleaning_start(struct cleaning *c);
/* Now and then: begins when a day has passed, should systemd's timer not have asked. */
void cleaning_tick(struct cleaning *c, usec_t now);
