/* A moment in the past, as an owner says it. */
#pragma once

#include "util/macro.h"

/*
 * A duration before now ("90s", "15min", "1h", "2d") or a time in UTC, as all pages show it:
 * "2026-03-01 12:00:00", with T or without seconds, "12:00" today. False: not like that.
 */
bool when_parse(const char *s, int64_t now_wall_us, int64_t *ret_wall_us);
