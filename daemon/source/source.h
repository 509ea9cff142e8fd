/*
 * A source turns the world into frames. It owns its sockets on the loop, reconnects by itself, and
 * tells three things: a wearable is there, it is gone and why, and here are its bytes. Nothing else
 * knows where bytes come from.
 */
#pragma once

#include "model/frame.h"
#include "model/record.h"

#include <systemd/sd-event.h>

/* Called from the loop. Pointers are borrowed for the call; the callee must not free the source. */
struct source_handler {
	void *userdata;
	/* Connected (again): frames follow. `name` is what the wearable calls itself. */
	void (*connected)(void *userdata, const char *device, const char *name, usec_t boot_us);
	/* A value read once at connection (battery, device information) or a notification. */
	void (*frame)(void *userdata, const struct frame *frame);
	/* The link is gone; GAP_LINK_LOSS or GAP_DISCONNECTED. */
	void (*disconnected)(void *userdata, const char *device, enum gap_reason why,
			     usec_t boot_us);
	/*
	 * The source as a whole came (problem NULL) or went (a sentence): no simulator, no
	 * bluetoothd.
	 */
	void (*state)(void *userdata, const char *problem);
};

struct source;

struct source *source_free(struct source *s);
DEFINE_CLEANUP(struct source *, source_free)

/*
 * Simulated wearables: connects to the SEQPACKET socket of `vitald simulate` at `path`, again and
 * again with a pause of `retry` while nobody is there, and receives one more SEQPACKET socket for
 * each characteristic, as AcquireNotify hands them out.
 */
int source_simulate_new(sd_event *event, const char *path, usec_t retry,
			const struct source_handler *handler, struct source **ret);

/* The process with the wearables in it: `vitald simulate ...`. Returns an exit status. */
int simulator_main(int argc, char **argv);
