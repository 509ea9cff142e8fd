/* A sync event: what became of one piece of syncing. For the ring, D-Bus and the journal. */
#pragma once

#include "model/record.h"

enum sync_event_type {
	SYNC_IMMEDIATE_SUCCESS = 1,
	SYNC_IMMEDIATE_FAILED,
	SYNC_QUEUED, /* became batch rows: layer 2 has it now */
	SYNC_BACKGROUND_SUCCESS,
	SYNC_BACKGROUND_FAILED,
	SYNC_QUARANTINED,
	SYNC_RECONCILE, /* count: records that a server lacked and is sent again */
};

/* Fixed size, no holes: lies in the ring as it is. Whoever changes it gives the ring a new version. */
struct sync_event {
	uint64_t number; /* given by the ring, from 1 without a hole; 0: not in it yet */
	int64_t wall_us;
	uint8_t type; /* enum sync_event_type */
	uint8_t kind; /* enum kind: data_type on D-Bus */
	uint8_t success;
	uint8_t spare;
	uint32_t count; /* records */
	uint32_t retries;
	uint32_t duration_ms; /* from the first attempt to the answer */
	uint32_t latency_ms;  /* SYNC_IMMEDIATE_SUCCESS: from hearing to the receipt, on average */
	uint32_t zero;
	char sink[33];
	char reason[87]; /* of a failure, one sentence, cut */
};

const char *sync_event_type_name(unsigned type);  /* "immediate_success", ... */
unsigned sync_event_type_parse(const char *name); /* 0: there is none of that name */
