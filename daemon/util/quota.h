/*
 * Lines of the journal that a wearable, or whoever is in reach of the radio, can cause as often as he
 * likes: so many in a while, and no more until it is over. Knows no clock; is told `now`.
 */
#pragma once

#include "util/macro.h"

enum { QUOTA_MOST = 24 };

#define QUOTA_SPAN (3 * 3600 * USEC_PER_SEC)

/* All zero: nothing was used. One for each that can be the cause. */
struct quota {
	usec_t since; /* when the first was */
	unsigned used;
};

enum quota_answer {
	QUOTA_NO, /* used up: count it, and say nothing */
	QUOTA_YES,
	QUOTA_LAST, /* the last one; say that, too: quota_words() */
};

enum quota_answer quota_take(struct quota *q, usec_t now);
/* What such a line ends with: "", or that more of this is not told for a while. */
const char *quota_words(enum quota_answer answer);
