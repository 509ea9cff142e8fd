/*
 * What an answer of a sink means: the class of the failure decides what happens to the data, and a
 * receipt says, stream by stream, up to where the server holds it. sink/ judges, upload/ acts.
 */
#pragma once

#include "model/record.h"

enum verdict_class {
	VERDICT_RECEIPT,   /* the server holds what the entries below say */
	VERDICT_TRANSIENT, /* same content again, later */
	VERDICT_BUSY,	   /* 409: same content again after retry_after (or 2 s) */
	VERDICT_ACCOUNT,   /* hold the sink, tell the owner, probe */
	VERDICT_TOKEN,	   /* 401: read the credential again, once; then as ACCOUNT */
	VERDICT_CLOCK,	   /* certificate not valid now: TRANSIENT while our clock is not synced */
	VERDICT_RECORD,	   /* 400, 422: something in this batch; split */
	VERDICT_TOO_LARGE, /* 413: halve and remember */
	VERDICT_ENCODING,  /* 415: once without gzip, then as ACCOUNT */
};

/* Stable words for the journal, events and batch.last_error: "transient", ... */
const char *verdict_class_name(enum verdict_class c);

struct rejection {
	uint64_t seq;
	bool conflict; /* same (stream, seq), other content: hold the stream, quarantine nothing */
	char code[40]; /* the server's word; printable ASCII */
	char detail[120];
};

/* One stream of a receipt. */
struct receipt_entry {
	uint32_t stream;	/* our number */
	uint64_t acked_through; /* 0: nothing of this stream was taken */
	uint32_t accepted;
	uint32_t duplicate;
	bool missing_after;
	bool identity_conflict;
	/* Within the batch, by seq; of a receipt: at or below acked_through. */
	struct rejection *rejected;
	size_t n_rejected;
};

struct verdict {
	enum verdict_class class;
	char reason[200]; /* one sentence for the owner; never a secret, never control characters */
	char detail[160]; /* what the transport says, in its own words; likewise; or "" */
	usec_t retry_after; /* 0: the server named none; clamped to 1 s .. 1 h */
	/*
	 * VERDICT_RECEIPT: each stream of the batch once. VERDICT_RECORD: the same, nothing
	 * acknowledged, when the server named the records it refuses; else none.
	 */
	struct receipt_entry *entries;
	size_t n_entries;
};

/* Frees what it holds and empties it. */
void verdict_done(struct verdict *v);
