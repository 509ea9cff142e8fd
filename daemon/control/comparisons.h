/* What the servers were found to hold: the last comparison with each, and the findings. */
#pragma once

#include "control/snapshot.h"

/* Adds the tables "reconcile" and "findings". */
int comparisons_put(const struct snapshot *s, struct tables *ret);
