/*
 * The life of one wearable with bluetoothd: connecting, pairing, a session, and letting go. Pure:
 * what it wants done it asks of its port, what happened it is told, with the time; so that every
 * order of answers, signals and silence is tested without a bus.
 */
#pragma once

#include "model/config.h"
#include "source/ladder.h"
#include "source/session.h"

enum device_state {
	DEVICE_IDLE,	   /* no link; bluez.c decides when its turn is */
	DEVICE_CONNECTING, /* Connect was called */
	DEVICE_RESOLVING,  /* the link is up, its services are being read */
	DEVICE_PAIRING,	   /* Pair was called */
	DEVICE_UP,	   /* a session is at work */
	DEVICE_DROPPING,   /* Disconnect was called */
	DEVICE_UNBONDING,  /* RemoveDevice was called */
};

/* How a call ended. */
enum {
	DEVICE_E_FAILED = 1,
	DEVICE_E_TIMEOUT, /* our own: no answer */
	DEVICE_E_BUSY,	  /* InProgress: something else is under way with it, or with the adapter */
	DEVICE_E_BOND,	  /* AuthenticationFailed, or the key is missing */
	DEVICE_E_GONE,	  /* there is no such object any more */
};

/*
 * Calls are answered by device_done(), from the loop and never from within. A new call takes the
 * place of the last one, whose answer does not come any more.
 */
struct device_port {
	void *userdata;
	void (*connect)(void *userdata);
	void (*disconnect)(void *userdata);
	void (*pair)(void *userdata);
	void (*remove)(void *userdata);
	/* The session may begin; may go on after pairing; has to end. */
	int (*up)(void *userdata); /* < 0: there is no memory for one */
	void (*paired)(void *userdata);
	void (*down)(void *userdata, enum gap_reason why);
	void (*rung)(void *userdata, enum rung rung, const char *why);
	/* A link did not end although it was told to, twice. */
	void (*stuck)(void *userdata);
};

struct device {
	enum device_state state;
	struct device_port port;
	struct ladder_link ladder;
	enum config_pair pair;
	bool connected, resolved, bonded; /* as bluetoothd says */
	bool came_up;			  /* a link, since Connect was called */
	bool repair;			  /* its bond was removed: pair before anything else */
	bool session;			  /* up() was called, down() was not yet */
	bool leaving;			  /* not wanted any more */
	unsigned busy;			  /* DEVICE_E_BUSY in a row */
	unsigned drops;			  /* DEVICE_DROPPING: that Disconnect was said again */
	unsigned pairings;		  /* that failed, in a row */
	usec_t pair_after;		  /* until then it does without */
	usec_t link_renewed; /* when a link was last given up for its subscriptions; 0: never */
	usec_t renewed;	     /* when a bond that it refused was last given up; 0: never */
	usec_t deadline;     /* of the state; USEC_INFINITY: none */
	char why[120];	     /* the last attempt failed: a clause; "": it did not */
};

void device_init(struct device *d, const struct device_port *port);
/* Its turn: connects, or takes over a link that is up. DEVICE_IDLE only. */
void device_start(struct device *d, usec_t now);
/* The call under way ended. `why` is what bluetoothd said, for people. */
void device_done(struct device *d, int result, const char *why, usec_t now);
/* Connected, ServicesResolved and Paired, whenever one of them changes; `why` if the link ended. */
void device_told(struct device *d, bool connected, bool resolved, bool bonded, enum gap_reason why,
		 usec_t now);
void device_need(struct device *d, enum session_need need, const char *why, usec_t now);
/* Everything about it is gone at once: its object, its adapter, bluetoothd. */
void device_lost(struct device *d, enum gap_reason why, usec_t now);
/* It is not wanted any more (or again). */
void device_leave(struct device *d, bool leaving, usec_t now);
usec_t device_due(const struct device *d);
void device_tick(struct device *d, usec_t now);
/* It takes one of the adapter's links, or is about to. */
bool device_has_link(const struct device *d);
