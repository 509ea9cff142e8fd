/*
 * The air between simulated wearables and a daemon: hands bytes over as bluetoothd does, one
 * SEQPACKET socket a characteristic, never waiting, and knows exactly what nobody has read.
 */
#pragma once

#include "source/handover.h"
#include "source/truth.h"

#include <systemd/sd-event.h>

enum {
	AIR_E_PATH = 1,	  /* too long for a unix socket */
	AIR_E_IN_USE = 2, /* somebody listens there already */
};

/* Borrowed for the call; neither may free the air. */
struct air_handler {
	void *userdata;
	/* A daemon came: every strap that is in reach should be linked now. Or it is gone. */
	void (*listener)(void *userdata, bool here);
	/* Notification n was handed over and will never be read. */
	void (*unread)(void *userdata, uint64_t n);
};

struct air;

struct air *air_free(struct air *a);
DEFINE_CLEANUP(struct air *, air_free)
/* `sndbuf` bytes of SO_SNDBUF for each characteristic. */
int air_new(sd_event *event, const char *path, int sndbuf, const struct air_handler *handler,
	    struct air **ret);
/* Binds a SEQPACKET listener, replacing a socket that nobody listens on. AIR_E_*. */
int air_listen(const char *path, int *ret_fd);
bool air_has_listener(const struct air *a);
/* Says something to the daemon, if there is one. */
void air_say(struct air *a, const struct handover *m);
/* Opens a socket for a characteristic and hands its other end over. */
void air_link(struct air *a, const char *device, enum characteristic c, uint16_t mtu);
/* Ends the links of this device; what lies in them can still be read. */
void air_unlink(struct air *a, const char *device, enum gap_reason why);
/* Notification n. */
enum handed air_send(struct air *a, const char *device, enum characteristic c, const void *data,
		     size_t size, uint64_t n);
/* Whether everything handed over has been read. */
bool air_is_clear(struct air *a);
/* Ends everything: what is unread is told, the daemon sees the end of its sockets. */
void air_close(struct air *a);
