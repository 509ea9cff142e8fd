/*
 * The source for hubs without bluetoothd, apart from the sockets of libbluetooth (l2cap.c), so that
 * tests can put a scripted kernel and scripted wearables behind it.
 */
#pragma once

#include "source/source.h"

/* What l2cap.c does with the kernel. All return what they open, nonblocking, or -errno. */
struct l2cap_door {
	void *userdata;
	/* A socket that speaks the management interface. */
	int (*manage)(void *userdata);
	/*
	 * Begins to connect to the wearable's Attribute Protocol, from the adapter with that address.
	 * Once the socket is writable, SO_ERROR says what came of it; each packet is one PDU.
	 */
	int (*connect)(void *userdata, const char *adapter, const char *address, bool random);
	usec_t pause;	  /* the shortest between two attempts; it grows to the thirtyfold */
	usec_t link_ends; /* so long after the last socket of a link is closed */
	usec_t list_wait; /* so long a wearable may take to say what it offers */
};

/* As source_l2cap_new(); copies `door`. */
int l2cap_source_new(sd_event *event, const struct config *config, struct profiles profiles,
		     const struct l2cap_door *door, const struct source_handler *handler,
		     struct source **ret);
