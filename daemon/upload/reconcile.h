/*
 * Missed data: decides when a sink is compared with, and with what of it, and tells what came of it.
 * The comparison itself is comparison.c. One a route, by pointer.
 */
#pragma once

#include "upload/comparison.h"

struct reconcile;

struct reconcile_options {
	sd_event *event;
	struct store *store;
	uint32_t number; /* of the sink in the store */
	const struct config *config;
	const struct config_sink *sink;
	const struct token *token;
	bool by_itself; /* every reconcile_interval */
	void *userdata;
	bool (*is_up)(void *userdata); /* is the sink? */
	void (*event_told)(void *userdata, const struct sync_event *e);
	/* Something is owed again: as the last thing that is done. */
	void (*found)(void *userdata);
	/* It has ended, well or not: as the last thing that is done. */
	void (*ended)(void *userdata);
};

struct reconcile *reconcile_free(struct reconcile *r);
DEFINE_CLEANUP(struct reconcile *, reconcile_free)
/* Borrows all that the options point at. */
int reconcile_new(const struct reconcile_options *o, usec_t now, struct reconcile **ret);
/* It is due from now on. SCOPE_RECENT is all of it, if nobody looked for very long. */
void reconcile_ask(struct reconcile *r, enum comparison_scope scope);
/* When reconcile_begin() is to be called, if the sink is up then. USEC_INFINITY: not now. */
usec_t reconcile_due(const struct reconcile *r);
/* < 0: no memory; nothing is under way then. */
int reconcile_begin(struct reconcile *r, usec_t now);
/* Every receipt of the sink: after a long silence everything is compared. */
void reconcile_receipt(struct reconcile *r, usec_t now);
/*
 * A receipt said that the server does not hold what comes before. Asks for a comparison of that
 * stream if we know better, once an hour at most.
 */
void reconcile_missing(struct reconcile *r, uint32_t stream, uint64_t after, usec_t now);
/* Asked for, or under way. */
bool reconcile_is_busy(const struct reconcile *r);
/* ... and it is of everything, now or after that. */
bool reconcile_is_of_all(const struct reconcile *r);
void reconcile_state(const struct reconcile *r, struct reconcile_state *ret);
