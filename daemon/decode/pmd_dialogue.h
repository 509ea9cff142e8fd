/* How a PMD wearable is asked for its streams: the dialogue of decode/polar_pmd.c. */
#pragma once

#include "model/profile.h"

void pmd_dialogue(struct dialogue *d, enum dialogue_event event, const uint8_t *data, size_t size);
