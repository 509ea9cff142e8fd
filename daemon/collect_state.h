/*
 * What the files of the collector share: collect.c takes frames, collect_device.c keeps a place for
 * each wearable, collect_flow.c turns silence into gaps. Nobody else includes this.
 */
#pragma once

#include "collect.h"
#include "decode/protocol.h"
#include "decode/timeline.h"
#include "util/quota.h"

enum { COLLECT_MAX_DEVICES = 64 };

/* One kind of one device. */
struct flow {
	uint32_t stream;	     /* 0: not used yet */
	bool started;		     /* in this run */
	enum gap_reason interrupted; /* 0: live */
	int64_t last_us;	     /* boot time of the end of what was last heard */
	bool last_known;
	size_t voice;	  /* index of the protocol that speaks for this kind, plus 1; 0: none yet */
	usec_t spoken;	  /* when it last did */
	uint32_t refused; /* while the card had no room for a new stream */
	int64_t refused_from_us;
};

struct device {
	struct flow flows[KIND_MAX];
	struct timeline timelines[KIND_MAX]; /* of kinds whose sensor has a clock */
	struct decoder **decoders;	     /* one for each protocol; NULL until it speaks that */
	char subject[64];
	char lost[120];	 /* why the link went; "" while it is up */
	unsigned wanted; /* kinds, 1 << enum kind */
	bool enrolled;
	bool told_undecodable;
	bool silent;	    /* its last link was, and nothing was heard since */
	struct quota lines; /* of the journal, for its comings and goings */
	bool reported;	    /* its source tells how it stands with it */
	uint64_t filled;    /* of the recording that is being taken */
	int64_t slice_us;   /* end of what was heard before its last slice; 0: none yet */
	int64_t today;	    /* days since 1970, UTC: what `gaps` counts */
};

/* protocol_of() and protocol_index(), looked up once: every frame asks. */
struct known_protocol {
	const struct protocol *protocol; /* NULL: nobody's characteristic */
	size_t index;
};

struct collect {
	struct known_protocol protocols[CHARACTERISTIC_MAX_];
	struct store *store;
	const struct config *config;
	struct collect_handler handler;
	enum gap_reason interrupted;
	size_t n_known;		      /* streams from before this start */
	struct device_status *status; /* apart from `devices`, because it is shown as an array */
	struct device *devices;
	size_t n;
	char source_problem[200];
	bool told_full;
	struct record gap; /* large: not on the stack for each one */
};

/* --- collect_device.c --- */

/* Index of the device, which is made if it is new; -1: there are too many. */
int collect_device_index(struct collect *c, const char *address);
/* Name, subject and wanted kinds, as the config has them now. */
void collect_device_configure(struct collect *c, size_t i);
void collect_device_remove(struct collect *c, size_t i);
/* The decoder that remembers this link's frames of protocol number `index`; NULL: no memory. */
struct decoder *collect_device_decoder(struct device *d, size_t index);
/* A new link: decoders and sensors' clocks begin anew. */
void collect_device_link(struct device *d);
void collect_device_done(struct device *d);
/* What the source says of it. */
void collect_device_report(struct collect *c, size_t i, const struct source_device *told);

/* --- collect_flow.c --- */

/*
 * A reading of `kind` is heard: its time is found, what was not heard before it is told, and it is
 * admitted.
 */
void collect_flow_take(struct collect *c, size_t i, const struct reading *reading,
		       const struct frame *f);
/* The link is gone: what comes next of each stream is preceded by that gap. */
void collect_flow_interrupt(struct device *d, enum gap_reason why);

/* --- collect_recorder.c --- */

/* Answers what a memory asks, and notes how far it has come. */
void collect_recorder(struct collect *c, size_t i, struct recorder *r);
