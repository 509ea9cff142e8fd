/*
 * New names, and what moves to them: begins an incarnation when a server says that somebody else uses
 * ours, and moves what still waits under old names, a slice at a time between other work. For
 * whoever owns the store: the daemon, or a drain.
 */
#pragma once

#include "store/identity.h"

#include <systemd/sd-event.h>

struct renew;

struct renew_handler {
	void *userdata;
	/* A new incarnation is in force: numbers of streams have to be asked for anew. */
	void (*renamed)(void *userdata);
	/* Records have moved: there is something new to send. */
	void (*moved)(void *userdata, usec_t now);
	/* The store did not do what it must. */
	void (*fault)(void *userdata, int r);
};

struct renew *renew_free(struct renew *n);
DEFINE_CLEANUP(struct renew *, renew_free)
/* Borrows the store. Begins to move at once if there is something. */
int renew_new(sd_event *event, struct store *store, const struct renew_handler *handler,
	      struct renew **ret);
/* A server gave a reason. Done in the loop, after whatever calls this. */
void renew_want(struct renew *n, enum incarnation_reason reason, const char *detail);
/* Now and then: something may have come to wait under an old name again. */
void renew_look(struct renew *n);
/* There is more to move, or a change to come, soon. */
bool renew_busy(const struct renew *n);
/* Why a change that a server asks for is not made; NULL: none is held back. */
const char *renew_problem(const struct renew *n);
/* What began with the opening of a store, for the journal. */
void renew_say_opening(const struct store_opening *opening);
