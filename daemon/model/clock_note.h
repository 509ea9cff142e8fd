/*
 * What was known of the clock at a moment: in this boot, at boot_us, it was utc_us. Noted while
 * something disciplines the clock, sent to servers beside the records, which are never rewritten.
 */
#pragma once

#include <stdint.h>

struct clock_note {
	int64_t number; /* ascending, for ever */
	char boot_id[37];
	int64_t boot_us; /* CLOCK_BOOTTIME of that boot */
	int64_t utc_us;
};
