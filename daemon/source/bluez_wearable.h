/*
 * One wearable as bluetoothd's client has it: its life (bluez_device.h) joined with the calls that it
 * takes, its link while it has one, and what the owner is told of it.
 */
#pragma once

#include "source/bluez_device.h"
#include "source/bluez_link.h"
#include "util/quota.h"

struct wearable_handler {
	void *userdata;
	/* Something changed: look at everything anew. */
	void (*wake)(void *userdata);
	/* Bytes came from it. */
	void (*heard)(void *userdata, const char *path);
	/* When the adapter of this object last gave a sign of life. */
	usec_t (*alive)(void *userdata, const char *path);
	/* Its link did not end, although it was told to. */
	void (*stuck)(void *userdata, const char *path);
	struct source_handler source;
};

struct wearable {
	struct wearable *next;
	sd_event *event;
	sd_bus *bus;
	struct profiles profiles;
	struct wearable_handler handler;
	char address[DEVICE_ADDRESS_SIZE];
	char name[OBJECTS_NAME_SIZE];
	unsigned wanted; /* kinds; 0: it is not to be connected */
	bool configured;
	bool hides;	 /* behind an address that changes */
	bool yields;	 /* its link to somebody who is named */
	bool there_once; /* it was connected since the start */
	struct device device;
	struct objects_device *object; /* NULL: bluetoothd does not know it now */
	char adapter[16];	       /* "hci0"; "" without an object */
	char last_adapter[16];	       /* the same, and stays: objects go before their adapter */
	struct link *link;	       /* NULL: none that is up */
	bool ended;		       /* its link did, and that was not told yet */
	enum gap_reason why_ended, blamed;
	usec_t ended_at;
	usec_t disconnects; /* since when Disconnect waits for a sign of life; 0: it does not */
	usec_t parting; /* not wanted: its streams are being stopped, at most until then; 0: no */
	sd_bus_slot *call, *trust, *settle;
	bool settled; /* all that bluetoothd has to tell of its services has come */
	usec_t tried; /* when it last had its turn */
	uint32_t rungs[RUNG_MAX_];
	unsigned episode;   /* 1 << rung: logged since it last streamed */
	struct quota lines; /* of the journal, for its rungs and misdeeds */
	const char *waits;  /* why it does not have its turn; NULL: it does not wait */
	uint64_t told;	    /* a digest of what the owner was told last */
};

struct wearable *wearable_free(struct wearable *w);
DEFINE_CLEANUP(struct wearable *, wearable_free)
int wearable_new(sd_event *event, sd_bus *bus, struct profiles profiles, const char *address,
		 const struct wearable_handler *handler, struct wearable **ret);
/* The bus to call on, or NULL: it went away; what was asked is not answered any more. */
void wearable_set_bus(struct wearable *w, sd_bus *bus);
/* The object to use from now on, or NULL. While there is a link, it is the same or NULL. */
void wearable_set_object(struct wearable *w, struct objects_device *object, enum gap_reason why,
			 usec_t now);
/* Properties of its object were told; `ended`: why, should its link have ended. */
void wearable_told(struct wearable *w, unsigned fields, enum gap_reason ended, usec_t now);
/* More is known of why its link has just ended, or is about to. */
void wearable_blame(struct wearable *w, enum gap_reason why);
void wearable_set_wanted(struct wearable *w, unsigned wanted, enum config_pair pair, usec_t now);
void wearable_start(struct wearable *w, usec_t now);
usec_t wearable_due(const struct wearable *w);
void wearable_tick(struct wearable *w, usec_t now);
/* Tells that its link ended, if that was not told yet: no more will be known of why. */
void wearable_tell_ended(struct wearable *w);
/* The adapter has to prove that it answers, before anything goes on here. */
bool wearable_wants_proof(const struct wearable *w);
/* Tells the owner how it stands, if that is news. */
void wearable_tell(struct wearable *w);
/* The daemon stops: says its last words to the wearable, waits for nothing. */
void wearable_part(struct wearable *w);
