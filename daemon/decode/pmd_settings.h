/* What a PMD wearable offers for a stream, and what is chosen of it. */
#pragma once

#include "decode/pmd.h"

enum { PMD_SETTINGS_MAX = 112, PMD_CHOICE_MAX = 24 };

/* The parameters of an answer, put together from as many indications as it took. All zero: none. */
struct pmd_settings {
	uint8_t n;
	uint8_t bytes[PMD_SETTINGS_MAX];
};

struct pmd_choice {
	uint8_t n;
	uint8_t bytes[PMD_CHOICE_MAX]; /* settings of the start command, one value each */
	uint16_t rate;		       /* per second; 0: none was offered */
};

/* False: it would be too much, and nothing was appended. */
bool pmd_settings_append(struct pmd_settings *s, const struct pmd_answer *answer);
/* One value of each setting that is offered; of what breaks off or is not known, nothing. */
void pmd_settings_choose(const struct pmd_settings *s, uint8_t type, struct pmd_choice *ret);
/* The conversion factor in a start answer; 1 where there is none. */
double pmd_settings_factor(const struct pmd_settings *s);
