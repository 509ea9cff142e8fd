/*
 * `vitald drain`, `vitald reconcile`, `vitald cleanup`: layer 3. Commands that do one duty of the
 * daemon, whatever became of it, and end. What they have in common is here; what each of them does
 * is a struct duty, in a file of its own.
 */
#pragma once

#include "control/ask.h"
#include "store/store.h"

#include <systemd/sd-event.h>

struct background;
struct config;

struct duty {
	const char *name; /* the command, and the role of an owner */
	const char *verb; /* "nothing to ..." */
	const char *catalog;
	enum ask ask;	  /* what a daemon that is alive is asked for */
	bool online;	  /* it is done with servers */
	bool beside_hung; /* it can be done by reading only */
	/* What is done first, by reading, whoever owns the store; not 0: the exit status. Or NULL. */
	int (*look_over)(struct background *b);
	/* On b->event; background_end() when it is done. Not 0: a fault, already said. */
	int (*begin)(struct background *b);
	/* Lets go of what begin() made, also where that failed half way. */
	void (*end)(struct background *b);
	/* Every now and then while it works, and at last: how far is it? */
	void (*measure)(struct background *b);
	/* One line in the journal; returns the exit status. */
	int (*summarise)(const struct background *b);
};

extern const struct duty duty_drain, duty_reconcile, duty_cleanup;

struct background {
	const struct duty *duty;
	const struct config *config;
	bool by_timer; /* nobody looks on */
	bool terminal; /* somebody does */
	struct store *store;
	bool owner; /* else only looking, beside an owner that hangs */
	sd_event *event;
	void *work;	     /* the duty's own */
	uint64_t done, todo; /* records */
	char progress[120];  /* how far it is, in words */
	int result;	     /* the duty's own */
	char problem[200];   /* why it ended early; "" */
	bool stopped;	     /* by a signal, or for a daemon */
};

/* The duty is done, or can do no more: `problem`, or NULL. */
void background_end(struct background *b, const char *problem);
/* progress, of records: done of todo. */
void background_count(struct background *b);
/* How far it is, on the terminal if there is one. */
void background_show(const struct background *b);
/* Wipes that line. */
void background_hide(const struct background *b);
/* The command, from its arguments to its exit status. */
int background_main(const struct duty *duty, const char *config_path, bool by_timer);

/*
 * background_ask.c: the owner answers and was asked; returns the exit status. ASK_E_SILENT, as a
 * negative number, if it does not answer.
 */
int background_ask(struct background *b, const struct owner_info *owner, usec_t patience);
