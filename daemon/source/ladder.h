/*
 * When to try again, and which rung of the recovery ladder comes next: for one wearable, for one
 * adapter, and for bluetoothd as a whole. Pure: told what happened, and when; tells what is due.
 */
#pragma once

#include "source/source.h"

/* --- one wearable ------------------------------------------------------------------------------ */

struct ladder_link {
	unsigned failures; /* to connect, in a row */
	unsigned
		broken; /* of them: a link that came up, of a bonded wearable, and led to nothing */
	usec_t not_before; /* of the next attempt */
	usec_t lost;	   /* when a link that worked ended; 0: never */
	usec_t seen;	   /* when it was last heard to advertise; 0: never */
	usec_t unbonded;   /* when its bond was last removed in vain; 0: never */
	unsigned mute;	   /* links in a row on which it said nothing, until they were given up */
	bool spoke;	   /* on this link */
};

void ladder_link_seen(struct ladder_link *l, usec_t now);
/* It streams, or would. */
void ladder_link_up(struct ladder_link *l);
/* One of its streams did. */
void ladder_link_spoke(struct ladder_link *l);
/* Its link is given up for silence: that of the next link is to be borne 1 << mute as long. */
void ladder_link_silent(struct ladder_link *l);
void ladder_link_lost(struct ladder_link *l, usec_t now);
/* `broken`: see above. */
void ladder_link_failed(struct ladder_link *l, bool broken, usec_t now);
/* RUNG_UNBOND: its side of the bond seems to be lost. */
bool ladder_link_unbond_due(const struct ladder_link *l, usec_t now);
void ladder_link_unbonded(struct ladder_link *l, usec_t now);
/* It advertised a moment ago. */
bool ladder_link_near(const struct ladder_link *l, usec_t now);
/*
 * When to connect: now or earlier is now; USEC_INFINITY: when it is seen again.
 */
usec_t ladder_link_due(const struct ladder_link *l, usec_t now);
/* How long to wait for this attempt before it is cancelled. */
usec_t ladder_link_patience(const struct ladder_link *l, usec_t now);

/* --- one adapter ------------------------------------------------------------------------------- */

struct ladder_adapter {
	unsigned failures; /* things it was asked for and did not do, in a row */
	bool stuck;	   /* a link does not end although it was told to */
	usec_t alive;	   /* when it last did what it was asked, or brought something; 0: never */
	usec_t heard;	   /* when a wearable was last heard over it; 0: never */
	usec_t cycled;	   /* when it was last power-cycled; 0: never */
	unsigned cycles;   /* since it last worked */
	bool owed;	   /* the last one was begun and did not succeed */
};

/* A sign of life: it did what it was asked, as far as it says itself. */
void ladder_adapter_alive(struct ladder_adapter *l, usec_t now);
/* Its radio does: it found somebody, or has connected. */
void ladder_adapter_worked(struct ladder_adapter *l, usec_t now);
/* A wearable was heard, which is more. */
void ladder_adapter_heard(struct ladder_adapter *l, usec_t now);
void ladder_adapter_failed(struct ladder_adapter *l);
void ladder_adapter_stuck(struct ladder_adapter *l);
/* A link over it ended. If another one still does not, that is said again. */
void ladder_adapter_ended(struct ladder_adapter *l);
/* RUNG_POWER_CYCLE when that is due, RUNG_RESTART when it did not help, else RUNG_MAX_. */
enum rung ladder_adapter_rung(const struct ladder_adapter *l, usec_t now);
/* A wearable was heard over it a moment ago. */
/* A wearable was heard over it a moment ago. */
bool ladder_adapter_hears(const struct ladder_adapter *l, usec_t now);
/* When ladder_adapter_rung() may have another answer without anything happening. */
usec_t ladder_adapter_due(const struct ladder_adapter *l, usec_t now);
/* A cycle begins; it could not even be switched off. */
void ladder_adapter_cycled(struct ladder_adapter *l, usec_t now);
void ladder_adapter_cycle_failed(struct ladder_adapter *l);

/* --- bluetoothd -------------------------------------------------------------------------------- */

struct ladder_daemon {
	unsigned unanswered; /* calls that only bluetoothd itself has to answer, in a row */
	usec_t restarted;    /* when that was last asked for; 0: never */
	bool told;	     /* and nobody was heard since */
};

void ladder_daemon_answered(struct ladder_daemon *l);
void ladder_daemon_unanswered(struct ladder_daemon *l);
/*
 * RUNG_RESTART is due: it does not answer, or power cycles do not help and nobody is heard over any
 * adapter (`helpless`).
 */
bool ladder_daemon_restart_due(const struct ladder_daemon *l, bool helpless, usec_t now);
/* That is asked for. True: it is the first time of an episode, and worth a line. */
bool ladder_daemon_restarted(struct ladder_daemon *l, usec_t now);
/* A wearable was heard. True: that ends an episode. */
bool ladder_daemon_heard(struct ladder_daemon *l);
