/*
 * Ages in tables, not moments, where a clock that is not synchronised would lie: `_us` columns are
 * counted on CLOCK_BOOTTIME. Null is "not known", or "never".
 */
#pragma once

#include "control/snapshot.h"
#include "control/table.h"

static inline usec_t ages_since(usec_t now, usec_t then)
{
	return now > then ? now - then : 0;
}

static inline void ages_put(struct table *t, usec_t now, usec_t then)
{
	if (then)
		table_u64(t, ages_since(now, then));
	else
		table_null(t);
}

/* INT64_MAX is never, too. */
static inline void ages_put_wall(struct table *t, const struct snapshot *s, int64_t wall_us)
{
	if (wall_us && wall_us != INT64_MAX)
		table_u64(t, wall_us < s->wall_us ? (uint64_t)(s->wall_us - wall_us) : 0);
	else
		table_null(t);
}
