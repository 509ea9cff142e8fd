/*
 * Brings what can be read of a damaged store into the new one, behind everything else: a child
 * reads (store/rescue.h), the loop takes a slice in a turn.
 */
#pragma once

#include "model/config.h"
#include "store/salvage.h"

#include <systemd/sd-event.h>

struct salvager;

struct salvager_handler {
	void *userdata;
	void (*brought)(void *userdata); /* there is something new to send */
};

struct salvager *salvager_free(struct salvager *s);
DEFINE_CLEANUP(struct salvager *, salvager_free)
/* Begins, or goes on with, what is not ended. The sinks of the config are in the store. */
int salvager_new(sd_event *event, struct store *store, const struct config *config,
		 const struct salvager_handler *handler, struct salvager **ret);
/* A config that was read anew. */
void salvager_set_config(struct salvager *s, const struct config *config);
/* `vitald salvage DIR`: the child. */
int salvage_main(const char *dir);
