/* How much is written to the card, a day. Private to store/. */
#pragma once

#include "store/state.h"

/* Within the commit's transaction, now and then; `now`: in any case. */
int wear_write(struct store *s, bool now);
/* What was written is on the disk. */
void wear_written(struct store *s);
int wear_load(struct store *s);
/* Since midnight, UTC, and a day of the last seven on average, that the store was open; 0: not known. */
void wear_figures(const struct store *s, uint64_t *ret_today, uint64_t *ret_average);
