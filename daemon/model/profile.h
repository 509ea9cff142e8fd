/*
 * What a wearable offers and how it is asked: a GATT service, what to do with its characteristics,
 * and the dialogue that starts its streams. One profile describes one service; the file in decode/
 * that knows its bytes defines it, decode/protocol.c lists it, and a source is given the list: so
 * sources know the radio and nothing of hearts, and a new wearable is one file.
 */
#pragma once

#include "model/frame.h"
#include "model/record.h"

enum {
	DIALOGUE_OUT_MAX = 128,
	DIALOGUE_STATE_MAX = 256,
	PROFILE_KINDS_ALL = (1 << KIND_MAX) - 2,
};

/* What to do with a characteristic, once a link is up; a wearable may lack any of them. */
enum profile_use {
	PROFILE_READ = 1 << 0,	   /* once; in a dialogue first of all; a frame comes of it */
	PROFILE_NOTIFY = 1 << 1,   /* subscribe to notifications: each is a frame */
	PROFILE_INDICATE = 1 << 2, /* subscribe to indications: each is a frame */
	PROFILE_CONTROL = 1 << 3,  /* the dialogue writes here, and hears what is read and, where it
				     can be subscribed to, what is indicated or notified;
				     subscribed to before the rest. What is heard is a frame, too:
				     decoders learn scales and rates from answers */
	PROFILE_ANSWERS = 1 << 4, /* with NOTIFY or INDICATE: answers come between the data, so that
				     the dialogue hears each frame as well. Subscribed to before
				     DIALOGUE_OPEN, as all others */
};

struct profile_characteristic {
	enum characteristic characteristic;
	unsigned use; /* enum profile_use */
	/*
	 * Kinds that stream here, 1 << enum kind; 0: none of its own. None of them wanted: left alone,
	 * unless the dialogue lives on it.
	 */
	unsigned kinds;
	/*
	 * A stream that has started and says nothing for so long is silent, and is asked again. 0: it
	 * speaks when it likes (a thermometer).
	 */
	usec_t silence;
};

enum dialogue_event {
	DIALOGUE_OPEN, /* everything is subscribed to, or `again` is over; `wanted` may have changed
			   since last time */
	DIALOGUE_HEARD, /* the control characteristic was read (that may be before DIALOGUE_OPEN), or
			   sent something: data, size */
	DIALOGUE_WRITTEN, /* the last command was taken; whether it answers is to be seen */
	DIALOGUE_REFUSED, /* the last command was not: data[0] is the ATT error */
	DIALOGUE_SILENT, /* an answer did not come in time, or the data of `silent` kinds stopped */
	/*
	 * This hub lets go: stop what drains the battery. No answer is read; DIALOGUE_WRITTEN or
	 * DIALOGUE_REFUSED brings the next command, until it is done.
	 */
	DIALOGUE_CLOSE,
	/* What it asked its recorder's owner was answered. */
	DIALOGUE_ANSWERED,
};

struct recorder;

/*
 * The conversation with one service on one link; all zero before DIALOGUE_OPEN. After each event
 * the source writes `out` (if n_out) to the control characteristic and waits for what comes. Pure:
 * bytes in, bytes out, time is told.
 */
struct dialogue {
	/* told by the source */
	unsigned wanted; /* kinds, 1 << enum kind */
	unsigned silent; /* DIALOGUE_SILENT: kinds whose data stopped; 0: an answer is missing */
	uint16_t mtu;
	usec_t now;		   /* when the event was */
	struct recorder *recorder; /* of a profile that has one (model/recorder.h) */
	/* told by the profile */
	uint8_t out[DIALOGUE_OUT_MAX];
	size_t n_out;
	bool done;	   /* nothing more to say for now: no answer is waited for */
	bool more;	   /* part of an answer was heard: the rest is waited for as long again */
	usec_t again;	   /* DIALOGUE_OPEN again so long after this event: polling. 0: never */
	unsigned running;  /* kinds that stream */
	char problem[120]; /* why one that is wanted does not: a sentence; "" when all is well */
	uint64_t state[DIALOGUE_STATE_MAX / 8]; /* the profile's own */
};

struct profile {
	const char *name;    /* "heart_rate", "polar_pmd": one word, for tables and configs */
	const char *title;   /* "Heart Rate", "Polar measurement data" */
	const char *service; /* UUID, 128 bits, lower case */
	bool advertised;     /* wearables can be found by it */
	bool enrolls;	     /* auto_enroll takes who offers it */
	/*
	 * Its dialogue is about a memory (model/recorder.h): it begins when all streams run and have
	 * for a while, and what comes of it is told apart from them. Its characteristics are of the
	 * kind RECORDER_WANTED.
	 */
	bool records;
	const struct profile_characteristic *characteristics;
	size_t n_characteristics;
	/* NULL: to subscribe is all. */
	void (*converse)(struct dialogue *d, enum dialogue_event event, const uint8_t *data,
			 size_t size);
};

struct profiles {
	const struct profile *const *list;
	size_t n;
};
