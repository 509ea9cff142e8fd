/*
 * The network of this machine: whether there is one, and the moment at which it comes back, by
 * rtnetlink: the one thing that works under NetworkManager, networkd and dhcpcd alike.
 */
#pragma once

#include "util/macro.h"

#include <systemd/sd-event.h>

struct network;
struct reach;
struct config;

struct network_handler {
	void *userdata;
	/* There is a network again, or another one. Called from the loop, some time after it. */
	void (*back)(void *userdata);
};

struct network *network_free(struct network *n);
DEFINE_CLEANUP(struct network *, network_free)
int network_new(sd_event *event, const struct network_handler *handler, struct network **ret);
/* False: no link has an address, and nobody but this machine can be asked. NULL: not known. */
bool network_usable(const struct network *n);
/* All servers of this config are elsewhere: without a network none of them can be asked. */
bool network_needed(const struct config *c);

/* For tests: another socket (taken) than the kernel's, and another look at the addresses. */
int network_new_from(sd_event *event, int fd, void (*look)(struct reach *ret),
		     const struct network_handler *handler, struct network **ret);
