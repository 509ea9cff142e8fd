/*
 * A source turns the world into frames. It owns its sockets on the loop, reconnects by itself, and
 * tells three things: a wearable is there, it is gone and why, and here are its bytes; and, for the
 * owner's eyes, how far it has come with each. Nothing else knows where bytes come from.
 */
#pragma once

#include "model/config.h"
#include "model/frame.h"
#include "model/profile.h"
#include "model/record.h"
#include "model/recorder.h"

#include <systemd/sd-event.h>

/*
 * The recovery ladder: what is tried, in this order, when a wearable that should speak does not.
 * Each rung is counted and logged once an episode.
 */
enum rung {
	RUNG_RESUBSCRIBE, /* subscribe to the silent characteristic again, start its stream again */
	RUNG_RECONNECT,	  /* drop the link and connect */
	RUNG_UNBOND,	  /* remove a bond that the wearable has forgotten, and pair again */
	RUNG_POWER_CYCLE, /* of the adapter; not while another wearable is heard over it, unless an
			     earlier one failed half way */
	RUNG_RESTART,	  /* of bluetoothd, if vitald-recover.path is enabled */
	RUNG_MAX_,
};
const char *rung_name(enum rung r); /* "subscribe again", ... */

/* How it stands with one wearable. Everything is borrowed; "" is nothing to say. */
struct source_device {
	const char *address;
	const char *name;  /* what it calls itself */
	const char *state; /* one word: "searching", "waiting", "connecting", "streaming", ... */
	const char *
		why; /* what keeps it from its next state, or which stream does not run: a clause */
	const char *offers;  /* names of its profiles, with blanks between */
	const char *adapter; /* "hci0" */
	int rssi;	     /* dBm; 0: not known */
	bool paired;
	uint32_t rungs[RUNG_MAX_]; /* since the daemon started */
};

/* Called from the loop. Pointers are borrowed for the call; the callee must not free the source. */
struct source_handler {
	void *userdata;
	/* Connected (again): frames follow. `name` is what the wearable calls itself. */
	void (*connected)(void *userdata, const char *device, const char *name, usec_t boot_us);
	/* A value read once at connection (battery, device information) or a notification. */
	void (*frame)(void *userdata, const struct frame *frame);
	/* The link is gone, after connected(). */
	void (*disconnected)(void *userdata, const char *device, enum gap_reason why,
			     usec_t boot_us);
	/* Something of it changed, connected or not; configured ones are told from the start. */
	void (*device)(void *userdata, const struct source_device *device);
	/* This one is not looked for any more: neither configured nor to be enrolled. */
	void (*forgotten)(void *userdata, const char *device);
	/* Its memory asks, or is elsewhere than it was (model/recorder.h). NULL: none is touched. */
	void (*recorder)(void *userdata, const char *device, struct recorder *recorder);
	/*
	 * The source as a whole came (problem NULL) or went (a sentence): no simulator, no
	 * bluetoothd, no adapter.
	 */
	void (*state)(void *userdata, const char *problem);
};

struct source;

/* What every kind of source can do; its struct begins with a struct source. */
struct source_operations {
	void (*free)(struct source *s);
	/* The owner's wishes changed; links that are still wanted stay up. NULL: nothing depends. */
	void (*set_config)(struct source *s, const struct config *config);
};

struct source {
	const struct source_operations *operations;
};

struct source *source_free(struct source *s);
DEFINE_CLEANUP(struct source *, source_free)
/*
 * The source that config->source names; NULL in *ret for none. Borrows config (until
 * source_set_config) and profiles. No handler is called from within.
 */
int source_new(sd_event *event, const struct config *config, struct profiles profiles,
	       const struct source_handler *handler, struct source **ret);
void source_set_config(struct source *s, const struct config *config);
/* Does the change need another source, not just source_set_config()? */
bool source_differs(const struct config *a, const struct config *b);
/*
 * The kinds that the owner wants of this device, 1 << enum kind, and RECORDER_WANTED; 0: none, it is
 * not to be connected.
 */
unsigned source_wanted(const struct config *config, const char *address);

/* --- the kinds; source_new() chooses --- */

/*
 * Simulated wearables: connects to the SEQPACKET socket of `vitald simulate` at `path`, again and
 * again with a pause of `retry` while nobody is there, and receives one more SEQPACKET socket for
 * each characteristic, as AcquireNotify hands them out.
 */
int source_simulate_new(sd_event *event, const char *path, usec_t retry,
			const struct source_handler *handler, struct source **ret);
/* Real ones, by way of bluetoothd (org.bluez on the system bus). */
int source_bluez_new(sd_event *event, const struct config *config, struct profiles profiles,
		     const struct source_handler *handler, struct source **ret);
/* Real ones without bluetoothd: our own ATT over L2CAP. Configured devices only, no bonding. */
int source_l2cap_new(sd_event *event, const struct config *config, struct profiles profiles,
		     const struct source_handler *handler, struct source **ret);
/* A capture in btsnoop format, as `btmon -w` or `vitalctl capture` write it. */
int source_replay_new(sd_event *event, const struct config *config,
		      const struct source_handler *handler, struct source **ret);

/* The process with the wearables in it: `vitald simulate ...`. Returns an exit status. */
int simulator_main(int argc, char **argv);
