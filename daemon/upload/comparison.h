/*
 * One comparison with one sink: what it says it holds against what it has confirmed, window by
 * window. Owes again exactly what it lacks, writes down what was found, holds what differs. It has a
 * connection of its own and never more than one request under way.
 */
#pragma once

#include "upload/token.h"
#include "upload/uploader.h"

struct comparison;

enum comparison_scope {
	SCOPE_RECENT, /* what was heard since since_us */
	SCOPE_ALL,
	/*
	 * Beside an owner that hangs: what waits, before it is sent. Nothing is written down, and
	 * if the server cannot be compared with, all of it is owed as before.
	 */
	SCOPE_UNSENT,
};

struct comparison_options {
	sd_event *event;
	struct store *store;
	uint32_t number; /* of the sink in the store */
	const struct config *config;
	const struct config_sink *sink;
	const struct token *token;
	enum comparison_scope scope;
	int64_t since_us; /* wall */
	void *userdata;
	/* Is the sink up? One that is down or held is not asked; if it stays so the comparison ends. */
	bool (*is_up)(void *userdata);
	/* Something is owed again: as the last thing that is done. */
	void (*found)(void *userdata);
	/* It has ended, well or not: as the last thing that is done; it may be freed in it. */
	void (*ended)(void *userdata);
};

/* Also ends it. */
struct comparison *comparison_free(struct comparison *c);
DEFINE_CLEANUP(struct comparison *, comparison_free)
/* Begins. Borrows all that the options point at. `only`: [stream - 1]; NULL: all streams. */
int comparison_new(const struct comparison_options *o, const bool *only, size_t n_only, usec_t now,
		   struct comparison **ret);
/* All but the sink, the phase, and the times of this and the next one. */
void comparison_state(const struct comparison *c, struct reconcile_state *ret);
/* Records of this kind that are owed again. */
uint64_t comparison_again(const struct comparison *c, unsigned kind);
