/* What a support bundle has in it: everything that tells what is the matter, nothing that tells of whom. */
#pragma once

#include "ctl/command.h"

struct bundle {
	struct buf archive; /* a tar */
	struct buf names;   /* of the files in it, a line each */
	struct buf missing; /* what could not be had, a line each */
};

void bundle_done(struct bundle *b);
/* < 0: no memory. As root it may become another user on the way: see client.c. */
int bundle_make(struct ctl *ctl, bool full, struct bundle *ret);
