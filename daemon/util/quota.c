/*
 * A strap at the edge of range comes and goes every few seconds, all night; so does one that means
 * harm. Each time is news and would be a line, and a line a second is 1.1 GB of card a day (measured).
 * 24 in three hours leave room for somebody who walks in and out all day, and cost a card less than
 * 20 MB where all of them are used up.
 *
 *	first --- 24 lines, the last says that it is --- silence --- QUOTA_SPAN after the first: anew
 */
#include "util/quota.h"

enum quota_answer quota_take(struct quota *q, usec_t now)
{
	if (q->used == 0 || now >= q->since + QUOTA_SPAN)
		*q = (struct quota){.since = now};
	if (q->used == QUOTA_MOST)
		return QUOTA_NO;
	q->used++;
	return q->used == QUOTA_MOST ? QUOTA_LAST : QUOTA_YES;
}

const char *quota_words(enum quota_answer answer)
{
	return answer == QUOTA_LAST
		       ? "; this comes so often that for three hours no more of it is told"
		       : "";
}
