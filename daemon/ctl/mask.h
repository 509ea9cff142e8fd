/*
 * Takes out of a text what says whose it is, and keeps what is needed to follow it: the same wearable,
 * person or hub has the same made-up name wherever it stands, within one mask.
 */
#pragma once

#include "util/buf.h"

struct mask;

struct mask *mask_free(struct mask *m);
DEFINE_CLEANUP(struct mask *, mask_free)
/* `full`: addresses and names stay. Secrets and readings go in any case. */
int mask_new(bool full, struct mask **ret);
/* From now on `word` is called "KIND-123abc". Borrows `kind`. Of an empty word nothing is known. */
int mask_name(struct mask *m, const char *kind, const char *word);
/* From now on `word` is left out, in a full report as well. */
int mask_secret(struct mask *m, const char *word);
/*
 * The names that stand in a journal behind an address, "a0:b1:c2:d3:e4:f5 (NAME) is connected": of
 * wearables that nothing else remembers.
 */
int mask_learn(struct mask *m, const char *text, size_t size);
/* Appends the text without all that. */
void mask_text(const struct mask *m, const char *text, size_t size, struct buf *out);
