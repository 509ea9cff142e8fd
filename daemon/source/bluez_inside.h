/*
 * The inside of source/bluez.c, shared by the files it is made of: bluez.c (the bus, and what comes
 * from it), bluez_crowd.c (who is known) and bluez_turns.c (who connects, and who is looked for).
 */
#pragma once

#include "source/bluez_agent.h"
#include "source/bluez_radio.h"
#include "source/bluez_wearable.h"
#include "util/backoff.h"

enum { WEARABLES_MAX = 64, RADIOS_MAX = OBJECTS_ADAPTERS_MAX };

enum phase { PHASE_NO_BUS, PHASE_ASKING, PHASE_READY };

struct bluez {
	struct source source;
	sd_event *event;
	const struct config *config;
	struct profiles profiles;
	struct source_handler handler;
	usec_t started;

	sd_bus *bus;
	enum phase phase;
	char owner[64]; /* unique name of bluetoothd; "": there is none */
	sd_bus_slot *ask;
	struct agent *agent;
	struct objects *objects;
	struct radio *radios[RADIOS_MAX];
	struct wearable *wearables;
	size_t n_wearables;
	struct ladder_daemon ladder;

	sd_event_source *timer;
	struct backoff backoff;
	usec_t retry;	      /* of the bus, or of asking; USEC_INFINITY: not */
	bool exhausted;	      /* the bus takes no more calls from this connection */
	usec_t trouble_since; /* 0: there is none */
	bool told, told_fine;
	char problem[240], told_problem[240];
	char full[48]; /* why somebody has to wait */
};

/* The timer exists and takes any time: setting it cannot fail. */
static inline void bluez_wake_at(struct bluez *b, usec_t when)
{
	(void)sd_event_source_set_time(b->timer, when);
	(void)sd_event_source_set_enabled(b->timer, SD_EVENT_ONESHOT);
}

static inline void bluez_wake(void *userdata)
{
	bluez_wake_at(userdata, 0);
}

static inline struct wearable *bluez_find_wearable(struct bluez *b, const char *address)
{
	for (struct wearable *w = b->wearables; w; w = w->next)
		if (streq(w->address, address))
			return w;
	return NULL;
}

static inline struct radio *bluez_find_radio(struct bluez *b, const char *path)
{
	for (size_t i = 0; i < RADIOS_MAX; i++)
		if (b->radios[i] && streq(radio_path(b->radios[i]), path))
			return b->radios[i];
	return NULL;
}

/* The radio that an object of a device belongs to, or NULL. */
static inline struct radio *bluez_radio_of(struct bluez *b, const char *path)
{
	for (size_t i = 0; i < RADIOS_MAX; i++) {
		size_t n = b->radios[i] ? strlen(radio_path(b->radios[i])) : 0;

		if (n > 0 && strncmp(path, radio_path(b->radios[i]), n) == 0 && path[n] == '/')
			return b->radios[i];
	}
	return NULL;
}

/* --- bluez_crowd.c --- */

/* Must what is known of this address be kept, when there is too much? */
bool crowd_keeps(void *userdata, const char *address);
/* Everybody that the config names, and everybody in reach that may be enrolled. */
int crowd_meet(struct bluez *b);
/* Takes over the owner's wishes; who is not wanted any more goes, once its link is down. */
void crowd_part(struct bluez *b, usec_t now);
/* Gives each that has none the object to be reached by. */
void crowd_take_objects(struct bluez *b, usec_t now);
/* May this adapter be used? */
bool crowd_takes_adapter(const struct bluez *b, const struct objects_adapter *a);
/* What a radio tells goes up its ladder. */
struct radio_handler crowd_radio_handler(struct bluez *b);
/* The last rung: a file that asks for a restart of bluetoothd. */
void crowd_ask_restart(struct bluez *b, const char *why, usec_t now);
/* It is well again, or another one: whoever enables that rung later must not restart it. */
void crowd_withdraw_restart(const struct bluez *b);

/* --- bluez_turns.c --- */

/* Links that are up already, whoever made them, are ours if they are wanted. */
void turns_adopt(struct bluez *b, usec_t now);
/* Over this radio: connects the next, or scans, or neither. */
void turns_give(struct bluez *b, struct radio *r, usec_t now);
