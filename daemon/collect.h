/*
 * The collector: what joins source, decode and store. Frames in, records admitted; and for each
 * wearable the state that an owner asks for. Silence becomes gap records with their reasons.
 */
#pragma once

#include "control/snapshot.h"
#include "source/source.h"
#include "store/store.h"

struct collect;

struct collect_handler {
	void *userdata;
	/* A record is about to be admitted: is the clock what the store was told? May be NULL. */
	void (*admitting)(void *userdata, usec_t now);
	/* Something was admitted at `now`. */
	void (*admitted)(void *userdata, usec_t now);
	/* A write that should not fail did. */
	void (*fault)(void *userdata, int r);
};

struct collect *collect_free(struct collect *c);
DEFINE_CLEANUP(struct collect *, collect_free)
/*
 * Borrows store and config. `interrupted`: why nobody listened before this start (GAP_DAEMON_DOWN
 * or GAP_POWER_CUT): the first frame of each known stream is preceded by that gap.
 */
int collect_new(struct store *store, const struct config *config, enum gap_reason interrupted,
		const struct collect_handler *handler, struct collect **ret);
/* The config was loaded anew. Subjects and names count from the next record. */
void collect_set_config(struct collect *c, const struct config *config);
/* Streams have new names: their numbers are asked for anew. What goes on is not interrupted by it. */
void collect_renamed(struct collect *c);
/* What to give to a source, each time there is a new one: the links of the last one are gone. */
struct source_handler collect_source(struct collect *c);
/* Borrowed until the next frame. */
size_t collect_devices(const struct collect *c, const struct device_status **ret);
/* Why the source as a whole is not there; NULL: it is. */
const char *collect_source_problem(const struct collect *c);
