/*
 * The runs that numbers are given out under: how one begins. Private to store/.
 */
#pragma once

#include "store/store.h"

/*
 * The run of this start. What `opening` knows by now says whether an incarnation begins with it, and
 * `opening` is told of that. Both are in one transaction, on the disk when it returns 0.
 */
int run_begin(struct store *s, const char *machine, struct store_opening *opening);
/*
 * Two new runs: one of the boot that run `like` was of, and one of this boot, for what is heard from
 * now on.
 */
int run_begin_pair(struct store *s, uint64_t like, uint64_t *ret);
