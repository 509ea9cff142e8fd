/* What another program has to say. */
#pragma once

#include "util/buf.h"
#include "util/clock.h"

/*
 * Runs argv (looked for in PATH, ended by NULL) and appends at most `max` bytes of what it writes to
 * stdout and stderr. It is killed when it takes longer than `limit`, or writes more. Whatever it was
 * that kept it from saying all is a last line, in words.
 */
void program_run(const char *const *argv, usec_t limit, size_t max, struct buf *ret);
