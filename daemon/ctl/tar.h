/* Files into an archive that any tar reads: POSIX ustar, not compressed. */
#pragma once

#include "util/buf.h"

/* `name`: at most 100 bytes. It is a file that only its owner can read. */
void tar_add(struct buf *archive, const char *name, uint64_t seconds, const struct buf *content);
void tar_end(struct buf *archive);
