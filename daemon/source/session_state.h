/*
 * The inside of a session, shared by the files that make it up: session.c (operations and values),
 * session_dialogue.c (what is said to wearables), session_tell.c (what is said to the owner).
 * Nobody else includes this.
 */
#pragma once

#include "source/session.h"

enum {
	HEARD_MAX = 16, /* frames of data with answers between them come 30 a second */
	WHY_SIZE = 120,
};

/* What is refused or has a problem is tried again after so long. */
#define RETRY (60 * USEC_PER_SEC)

enum phase { SHUT, READY, WRITING, LISTENING, IDLE };

/* One profile on this link. */
struct part {
	const struct profile *profile;
	unsigned kinds; /* of all its characteristics */
	enum characteristic control;
	bool offered;
	bool given_up; /* and `why` says why */
	enum phase phase;
	bool closing;	 /* was told DIALOGUE_CLOSE */
	bool unanswered; /* the last event was an answer that did not come */
	unsigned asked;	 /* the kinds that it was last opened for */
	unsigned n_commands;
	usec_t answer_by;  /* while LISTENING */
	usec_t counted_at; /* n_commands are since then */
	/* when IDLE, DIALOGUE_OPEN once more; USEC_INFINITY: no need */
	usec_t again_at; /* it polls */
	usec_t retry_at; /* it has a problem */
	char why[WHY_SIZE];
	struct dialogue dialogue;
	/* of a profile that records, once its dialogue was opened; freed with the session */
	struct recorder *recorder;
	bool to_ask, answered; /* its owner; and he has */
	usec_t ask_at;	       /* not before */
	enum recorder_phase told_phase;
	uint8_t told_percent;
};

/* One characteristic on this link. */
struct line {
	const struct profile_characteristic *what; /* NULL: in no profile */
	struct part *part;
	unsigned properties;
	bool read;	   /* was asked, whatever came of it */
	bool insecure;	   /*   ... which was that it needs a bond */
	bool on;	   /* subscribed to */
	bool renew;	   /* unsubscribe first */
	bool timed_out;	   /* once, when subscribed to */
	usec_t not_before; /* subscribe then */
	usec_t lost_at;	   /* the subscription ended by itself */
	/* the watch */
	usec_t since;	  /* last heard, or when it should have begun; 0: it need not speak */
	bool rung;	  /* was silent, and was asked again at rung_at */
	bool rung_untold; /* to the handler */
	usec_t rung_at;
	usec_t silent_for;  /* to be told */
	char why[WHY_SIZE]; /* it is not subscribed to, though it should be */
};

enum action { READ, WRITE, SUBSCRIBE, UNSUBSCRIBE };

struct operation {
	enum action action;
	enum characteristic characteristic;
	uint8_t data[DIALOGUE_OUT_MAX]; /* to be written */
	size_t size;
};

struct heard {
	enum characteristic characteristic;
	size_t size;
	uint8_t data[FRAME_MAX];
};

enum pairing { UNPAIRED, PAIRING, PAIRED };

struct session {
	struct session_carrier carrier;
	struct session_handler handler;
	unsigned wanted;
	uint16_t mtu;
	bool begun;	 /* the first tick was */
	bool over;	 /* a reconnect was asked for: nothing more happens */
	bool closing;	 /* session_close() */
	usec_t close_by; /* then, even those that wait for an answer are closed */
	bool due_at_once;
	bool under_way; /* `operation` is */
	bool repeat;	/* `operation` was refused for want of a pairing: it is next */
	enum pairing pairing;
	struct operation operation;
	struct line lines[CHARACTERISTIC_MAX_];
	struct heard heard[HEARD_MAX];
	unsigned n_heard;
	usec_t heard_at;
	usec_t calm_at;	   /* all streams have been running for a while then; USEC_INFINITY: not */
	unsigned patience; /* silences last 1 << patience as long */
	bool spoke;	   /* one of those that are watched did */
	struct session_counts counts;
	/* to be told */
	bool need_untold;
	enum session_need need;
	char need_why[WHY_SIZE];
	bool told_running, told_closed;
	char why[512];
	char offers[256];
	bool *freed; /* of the call that is telling the handler */
	size_t n_parts;
	struct part parts[];
};

static inline bool part_used(const struct session *s, const struct part *p)
{
	return p->offered && !p->given_up && (!p->kinds || p->kinds & s->wanted);
}

static inline bool line_desired(const struct session *s, const struct line *l)
{
	return l->properties && part_used(s, l->part) &&
	       (!l->what->kinds || l->what->kinds & s->wanted ||
		l->what->use & (PROFILE_CONTROL | PROFILE_ANSWERS));
}

static inline bool line_can_subscribe(const struct line *l)
{
	return l->what->use & (PROFILE_NOTIFY | PROFILE_INDICATE | PROFILE_CONTROL) &&
	       l->properties & (PROPERTY_NOTIFY | PROPERTY_INDICATE);
}

/* Subscribed to, or has said why not. */
static inline bool line_settled(const struct line *l)
{
	return !line_can_subscribe(l) || l->on || l->why[0];
}

/* A memory is looked at when nothing else is to be done. */
static inline bool part_waits(const struct session *s, const struct part *p)
{
	return p->profile->records && (!s->handler.recorder || s->calm_at == USEC_INFINITY);
}

/* session_dialogue.c */

/* What a dialogue is to start: what is wanted, and has a characteristic to come by. */
unsigned session_dialogue_target(const struct session *s, const struct part *p);
/* An event now, which is not while a command of it waits or is under way. */
void session_dialogue_event(struct session *s, struct part *p, enum dialogue_event event,
			    const uint8_t *data, size_t size, usec_t now);
/* DIALOGUE_HEARD as soon as it can be, if this characteristic has a dialogue that listens. */
void session_dialogue_hear(struct session *s, enum characteristic c, const uint8_t *data,
			   size_t size);
/* All events that are due: what was heard, answers that did not come, what is to be opened. */
void session_dialogue_run(struct session *s, usec_t now);
/* Do all streams run? Since when decides whether a memory may be looked at. */
void session_dialogue_calm(struct session *s, usec_t now);
usec_t session_dialogue_due(const struct session *s, const struct part *p);
/* Could it be opened, if there is reason to? */
bool session_dialogue_may_open(const struct session *s, const struct part *p);
void session_dialogue_give_up(struct part *p, const char *why);
/*
 * DIALOGUE_CLOSE to each that was not told yet. One that waits for an answer hears it first, if it
 * comes by close_by: it may be that a stream has begun, which is to be stopped then.
 */
void session_dialogue_close(struct session *s, usec_t now);
/* The command under way ended, while the session is closing. */
void session_dialogue_closed(struct session *s, struct part *p, int result, uint8_t att_error,
			     usec_t now);

/* session_tell.c */

bool session_tell_running(const struct session *s);
/* "... has been silent for N s" */
void session_tell_silent(const struct line *l, char ret[static WHY_SIZE]);
/* All news to the handler, `frame` (or NULL) first. The session may be gone afterwards. */
void session_tell(struct session *s, const struct frame *frame, bool changed);
