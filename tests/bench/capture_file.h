/* A capture as a radio would have written it, of straps that are worn for a while. */
#pragma once

#include "util/macro.h"

/*
 * `n` straps (STRAP_MAX at most) with heart rate and ECG for `seconds`, as a btsnoop file. Prints
 * lines of "name value": the notifications of each kind.
 */
int capture_file(const char *path, unsigned n, double seconds);
