/* What was found when the store was opened, for the journal: by the daemon or by another owner. */
#pragma once

struct config;
struct store_opening;

void opening_say(const struct store_opening *o, const struct config *config);
