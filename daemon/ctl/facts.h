/* Of the machine: what may be the matter with it, for a report. */
#pragma once

#include "util/buf.h"

/* Kernel, system, clock, memory, the card that `state_dir` is on, Bluetooth adapters. */
void facts_put(const char *state_dir, struct buf *ret);
