/*
 * The machine going to sleep and waking up, as logind tells it on the system bus. Without a bus or
 * without logind nothing is told, and nothing is lost: sleep is then like a pause.
 */
#pragma once

#include "util/macro.h"

#include <systemd/sd-event.h>

struct sleep;

struct sleep_handler {
	void *userdata;
	/* It goes to sleep, and waits for this call to return (where logind lets us ask for that). */
	void (*before)(void *userdata);
	/* It is awake again. */
	void (*after)(void *userdata);
};

struct sleep *sleep_free(struct sleep *s);
DEFINE_CLEANUP(struct sleep *, sleep_free)
int sleep_new(sd_event *event, const struct sleep_handler *handler, struct sleep **ret);
