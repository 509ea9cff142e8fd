/* One wearable of the l2cap source: its socket, and its way from resting to running and back. */
#pragma once

#include "source/l2cap_source.h"

struct l2cap_device;

/* What the wearables of a source share; the source's own. */
struct l2cap_context {
	sd_event *event;
	struct l2cap_door door;
	struct profiles profiles;
	struct source_handler handler;
	char adapter[12]; /* "hci0"; "" before it is known */
	char adapter_address[DEVICE_ADDRESS_SIZE];
	char obstacle[320];  /* why none may connect; "": all may */
	enum gap_reason gap; /* what that means to those that were connected */
	uint64_t max_links;
	unsigned n_links; /* that are up */
	void *userdata;
	/* All links are in use now: each is to reconsider. */
	void (*full)(void *userdata);
	/* It rests and is not wanted any more; may free it. */
	void (*rested)(void *userdata, struct l2cap_device *d);
};

struct l2cap_device *l2cap_device_free(struct l2cap_device *d);
DEFINE_CLEANUP(struct l2cap_device *, l2cap_device_free)
int l2cap_device_new(struct l2cap_context *context, const char *address, struct l2cap_device **ret);
const char *l2cap_device_address(const struct l2cap_device *d);
/* What the owner wants of it, as in config_device; 0: nothing, it is let go. Then it is told of. */
void l2cap_device_wish(struct l2cap_device *d, const char *name, unsigned wanted, bool random);
bool l2cap_device_wanted(const struct l2cap_device *d);
/* The obstacle changed: the loop comes back to it at once. */
void l2cap_device_reconsider(struct l2cap_device *d);
/*
 * The daemon stops: its streams are asked to stop. Then poll the descriptor (-1: nothing to wait for
 * any more) and come back when there is something to read.
 */
void l2cap_device_hush(struct l2cap_device *d);
int l2cap_device_hushing(struct l2cap_device *d);
void l2cap_device_read(struct l2cap_device *d);
