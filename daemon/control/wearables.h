/* The wearables as a table: "devices" of status, and of `vitalctl devices`. */
#pragma once

#include "control/snapshot.h"

void wearables_put(const struct snapshot *s, struct tables *ret);
