/* What root types for a daemon that is not root is done as its user. */
#pragma once

#include "util/macro.h"

/*
 * Become the owner of `dir` for good, if we are root and it is not root's. Else nothing happens. Root would leave
 * files there that the daemon cannot open. < 0: it cannot be done, and nothing should be touched.
 */
int become_owner_of(const char *dir);
