/* The long answers of a snapshot: queue, anchors, quarantine, audit, events. */
#pragma once

#include "control/snapshot.h"

/* Adds the table of incarnations: since when streams have the names they have, and why. */
void lists_put_incarnations(const struct snapshot *s, struct tables *ret);
/* Adds the table of streams. */
void lists_put_streams(const struct snapshot *s, struct tables *ret);
/* Adds the tables of `which`. CONTROL_E_UNKNOWN: none of these. */
int lists_put(const struct snapshot *s, const char *which, struct tables *ret);
