/* Opening the store, as the daemon or as another owner: with what options, and what was found, for the journal. */
#pragma once

#include "store/store.h"

struct config;

/* What every owner sets. Borrows all of them. */
struct store_options opening_options(const struct config *config, const char *role,
				     const char *machine);
void opening_say(const struct store_opening *o, const struct config *config);
