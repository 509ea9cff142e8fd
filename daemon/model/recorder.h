/*
 * The memory of a wearable that records by itself while nobody listens. A profile whose wearables
 * have one (struct profile, `records`) leads its dialogue over such a struct: what to do about it is
 * the dialogue's business, the source carries the bytes, and whoever keeps the data is asked.
 *
 *	MAY?   may its memory be looked at now?        TAKE?  here is a recording: is it all kept?
 *	NAME?  what is the next recording to be called, so that its times are known by it?
 *
 * Nothing is deleted in a wearable before the answer to TAKE is yes. A link that breaks at any moment
 * leaves the memory as it is.
 */
#pragma once

#include "util/buf.h"
#include "util/clock.h"

/* In a mask of wanted kinds: its memory is wanted, too. Not a kind: nothing streams. */
#define RECORDER_WANTED (1U << 31)

enum { RECORDER_NAME_SIZE = 65, RECORDER_STATE_MAX = 4096 };

enum recorder_question {
	RECORDER_NOTHING,
	RECORDER_MAY,
	RECORDER_TAKE,
	RECORDER_NAME,
};

enum recorder_answer {
	RECORDER_YES,
	RECORDER_NO,   /* and `why` says why; ask again in a minute */
	RECORDER_WAIT, /* the same question again, in a moment */
};

/* How far it has come, for the owner's eyes. */
enum recorder_phase {
	RECORDER_IDLE,
	RECORDER_LOOKING,  /* what is there? */
	RECORDER_FETCHING, /* percent */
	RECORDER_KEEPING,  /* all is fetched */
	RECORDER_RECORDING,
	RECORDER_OFF, /* not wanted: it records nothing of ours */
};

struct recording {
	char name[RECORDER_NAME_SIZE]; /* that it was begun with; "" not known */
	usec_t ended; /* CLOCK_BOOTTIME, when it was stopped just now; 0: before that, by whomever */
	uint32_t interval_ms; /* between rates */
	const uint16_t *bpm;  /* n_bpm rates; 0: none found */
	size_t n_bpm;
	const uint16_t *rr_ms; /* n_rr intervals between beats, one after the other */
	size_t n_rr;
};

struct recorder {
	/* told by the dialogue */
	enum recorder_phase phase;
	uint8_t percent;
	enum recorder_question question; /* not NOTHING: DIALOGUE_ANSWERED follows */
	struct recording recording;	 /* TAKE */
	usec_t now;			 /* when it was asked */
	/* told by whoever answers */
	enum recorder_answer answer;
	char name[RECORDER_NAME_SIZE]; /* NAME: letters and digits */
	char why[80];
	/* the dialogue's own; freed with the session */
	struct buf file;
	uint16_t *values;
	uint64_t state[RECORDER_STATE_MAX / 8];
};
