/* The page of `vitalctl status`. */
#pragma once

#include "control/api.h"
#include "util/buf.h"

/* `width` 0: not a terminal, nothing is cut. `bold`: the verdict stands out. */
void screen_make(struct buf *out, const struct tables *t, size_t width, bool bold);
