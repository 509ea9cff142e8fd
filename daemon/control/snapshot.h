/*
 * One look at everything: status, queue, anchors, quarantine, audit and events as tables, made from
 * borrowed pointers. Pure but for reading the store: no clock, no bus; writes nothing.
 */
#pragma once

#include "control/api.h"
#include "control/last_reading.h"
#include "model/config.h"
#include "store/look.h"
#include "upload/uploader.h"
#include "util/clock.h"

/* What was tried to get it to speak again, and how often since the daemon started. */
enum recovery {
	RECOVERY_RESUBSCRIBED,
	RECOVERY_RECONNECTED,
	RECOVERY_UNBONDED,
	RECOVERY_POWER_CYCLED,
	RECOVERY_RESTARTED,
	RECOVERY_MAX_,
};

/* A wearable, as whoever collects from it knows it. "" is nothing to say. */
struct device_status {
	char address[DEVICE_ADDRESS_SIZE];
	char name[64];
	bool connected;
	char state[24]; /* one word: "streaming", "waiting", "searching", ... */
	char why[120];	/* why it does not stream, or which stream does not run */
	/* It speaks when it likes (a thermometer): that it is not there is no trouble. */
	bool occasional;
	char adapter[16]; /* "hci0" */
	int rssi;	  /* dBm; 0: not known */
	bool paired;
	char offers[120]; /* names of profiles, with blanks between */
	uint32_t recoveries[RECOVERY_MAX_];
	int battery;					/* percent; -1: unknown */
	unsigned bpm;					/* of the last measurement; 0: none yet */
	struct last_reading last[KIND_MAX];		/* of each kind */
	usec_t last_frame_us;				/* CLOCK_BOOTTIME; 0: none yet */
	uint64_t frames, undecodable, gaps, duplicates; /* gaps: of today */
	char model[65], firmware[65];
	char memory[80]; /* "recording", "fetching 34 %", or why it does not; "" none is wanted */
	uint64_t backfilled; /* records that came out of it, since the daemon started */
};

/* Something that needs words. `severity` decides what the whole is called. */
enum severity { SEVERITY_NOTICE, SEVERITY_DEGRADED, SEVERITY_NOT_WORKING };
struct problem {
	enum severity severity;
	const char *what, *consequence, *remedy;
};

/*
 * What is looked at. Everything is borrowed and may be NULL or empty. Sinks are an array, filled by
 * uploader_sink_state(), so that vitalctl does not carry the uploader with it.
 */
struct snapshot {
	struct store *store;
	const struct config *config;
	const struct sink_state *sinks;
	size_t n_sinks;
	const struct device_status *devices;
	size_t n_devices;
	/* Beside those that follow from the rest, and before them. */
	const struct problem *problems;
	size_t n_problems;
	bool offline;		    /* this machine has no network, and all servers need one */
	const char *source_problem; /* why the source as a whole is not there */
	const char
		*identity_problem; /* renew_problem(): why names are not changed that should be */
	const char *bus_problem;   /* control_problem(): why the system bus is not there */
	struct events *events;

	bool running; /* a daemon is looked at, not what one left behind */
	int pid;
	usec_t now;	   /* CLOCK_BOOTTIME */
	int64_t wall_us;   /* at `now` */
	usec_t started_us; /* CLOCK_BOOTTIME; 0: not known */
	struct clock_state clock;
	bool clock_ever;       /* it was synchronised at some time of this boot */
	int64_t clock_step_us; /* how far it was set the last time; 0: never in this run */
	usec_t clock_step_at;
};

/*
 * `which` of api.h. CONTROL_E_UNKNOWN. "audit" runs to its end here; the daemon does it in steps.
 */
int snapshot_tables(const struct snapshot *s, const char *which, struct tables *ret);
/* The tables of an audit that is finished. */
int snapshot_audit(const struct store *store, const struct audit *audit, struct tables *ret);
/* "healthy", "degraded" or "not_working". */
const char *snapshot_state(const struct snapshot *s);
