/*
 * One adapter: kept powered, scanning when that is wanted, and power-cycled when it does not answer.
 */
#pragma once

#include "source/bluez_objects.h"
#include "source/ladder.h"

struct radio_handler {
	void *userdata;
	/* radio_due() may be earlier, or radio_ready() or radio_scanning() have changed. */
	void (*wake)(void *userdata);
	/* A call that only bluetoothd itself has to answer was, or was not. */
	void (*answered)(void *userdata, bool yes);
	/*
	 * RUNG_POWER_CYCLE was climbed; RUNG_RESTART: it did not help, several times. `first`: since
	 * the radio last worked.
	 */
	void (*rung)(void *userdata, const char *adapter, enum rung rung, bool first,
		     const char *why);
};

struct radio;

struct radio *radio_free(struct radio *r);
DEFINE_CLEANUP(struct radio *, radio_free)
int radio_new(sd_bus *bus, const char *path, struct profiles profiles,
	      const struct radio_handler *handler, struct radio **ret);
const char *radio_path(const struct radio *r);
const char *radio_name(const struct radio *r); /* "hci0" */
struct ladder_adapter *radio_ladder(struct radio *r);
/* It is powered (as bluetoothd says), and not just being made so. */
void radio_told(struct radio *r, bool powered, usec_t now);
bool radio_ready(const struct radio *r);
/* Why it is not ready: a sentence that says what to do; NULL: it is, or will be in a moment. */
const char *radio_problem(const struct radio *r);
/* `wide`: somebody is missed who may advertise none of our services: every other scan takes all. */
void radio_want_scan(struct radio *r, bool wanted, bool wide);
/* Lets it prove that it answers, by beginning or ending a scan. */
void radio_want_proof(struct radio *r, usec_t now);
/* A scan is on, or being started or stopped: not the time to connect. */
bool radio_scanning(const struct radio *r);
/* For how long it has really listened, in this scan or in the last one, if that was since ... */
usec_t radio_listened(const struct radio *r, usec_t now);
/* ... this. */
void radio_listen_anew(struct radio *r);
usec_t radio_due(const struct radio *r, usec_t now);
void radio_tick(struct radio *r, usec_t now);
