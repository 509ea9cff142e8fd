/*
 * When was that? Records that are admitted while the clock is synchronised carry their offset (wall
 * time minus boot time). The others are given theirs later, all that were heard until then at once,
 * by a segment that is committed before the first of them is encoded and never changes:
 *
 *      boot 4f..       |---- segment 1: est ----|------- segment 2: utc -------|    what follows
 *      CLOCK_BOOTTIME  0                      to_us                          to_us  carries its own
 *
 * A record belongs to the segment of its boot in whose (from, to] its boot_us lies. Segments of a
 * boot are added one behind the other, so that answer is the same for ever, for every sink.
 */
#include "store/state.h"

#include <stdio.h>

static const struct run_entry *run_of(const struct store *s, uint64_t number)
{
	for (size_t i = s->n_runs; i-- > 0;)
		if (s->runs[i].info.number == number)
			return &s->runs[i];
	return NULL;
}

/* How far the segments of this boot reach. */
static int64_t covered_until(const struct store *s, const char *boot_id)
{
	int64_t until = INT64_MIN;

	for (size_t i = 0; i < s->n_segments; i++)
		if (streq(s->segments[i].boot_id, boot_id))
			until = MAX(until, s->segments[i].to_us);
	return until;
}

bool wall_resolve(const struct store *s, struct record *r)
{
	const struct run_entry *run;

	if (r->clk != CLK_PENDING)
		return true;
	run = run_of(s, seq_run(r->seq));
	for (size_t i = 0; run && i < s->n_segments; i++) {
		const struct segment *g = &s->segments[i];

		if (r->boot_us > g->from_us && r->boot_us <= g->to_us &&
		    streq(g->boot_id, run->info.boot_id)) {
			r->clk = g->clk;
			r->offset_us = g->offset_us;
			return true;
		}
	}
	return false;
}

static int insert_segment(struct store *s, const struct segment *g)
{
	sqlite3_stmt *stmt = NULL;
	bool ok = sqlite3_prepare_v2(s->db,
				     "INSERT INTO clock(boot_id, from_us, to_us, offset_us, clk)"
				     " VALUES(?1, ?2, ?3, ?4, ?5)",
				     -1, &stmt, NULL) == SQLITE_OK &&
		  sqlite3_bind_text(stmt, 1, g->boot_id, -1, SQLITE_STATIC) == SQLITE_OK &&
		  sqlite3_bind_int64(stmt, 2, g->from_us) == SQLITE_OK &&
		  sqlite3_bind_int64(stmt, 3, g->to_us) == SQLITE_OK &&
		  sqlite3_bind_int64(stmt, 4, g->offset_us) == SQLITE_OK &&
		  sqlite3_bind_int(stmt, 5, g->clk) == SQLITE_OK;

	return sql_once(s, stmt, ok, "clock segment");
}

int wall_add_segment(struct store *s, const struct segment *segment)
{
	struct segment *segments;
	int r;

	segments = reallocarray(s->segments, s->n_segments + 1, sizeof(*segments));
	if (!segments)
		return -ENOMEM;
	s->segments = segments;
	r = insert_segment(s, segment); /* its own transaction: durable when it returns */
	if (r != 0)
		return r;
	s->segments[s->n_segments++] = *segment;
	return 0;
}

/*
 * Boots that are over will not learn the time any more: what their clock said when they began is
 * the best there is.
 */
int wall_cover_past(struct store *s)
{
	for (size_t i = 0; i < s->n_runs; i++) {
		const struct run_entry *run = &s->runs[i];
		struct segment g = {.to_us = INT64_MAX,
				    .clk = CLK_EST,
				    .offset_us = run->offset_us};
		int r;

		if (run->synced || streq(run->info.boot_id, s->run.boot_id) ||
		    covered_until(s, run->info.boot_id) == INT64_MAX)
			continue;
		memcpy(g.boot_id, run->info.boot_id, sizeof(g.boot_id));
		g.from_us = covered_until(s, g.boot_id);
		r = wall_add_segment(s, &g);
		if (r != 0)
			return r;
	}
	return 0;
}

/*
 * What an earlier run of this boot heard without a clock waits for the same segment as what we are
 * going to hear. Whether there is any only the log knows; a segment for nothing does no harm.
 */
void wall_expect_pending(struct store *s, usec_t now)
{
	for (size_t i = 0; i < s->n_runs; i++)
		if (s->runs[i].info.number != s->run.number && !s->runs[i].synced &&
		    streq(s->runs[i].info.boot_id, s->run.boot_id))
			s->pending_since = now;
}

/*
 * A daemon that is started anew in a boot whose clock was right before goes on as the last one would
 * have: with the offset that was noted then, whatever became of the clock since.
 */
void wall_remember(struct store *s)
{
	struct clock_note noted;

	if (s->clock_known || !store_clock_noted(s, &noted))
		return;
	s->clock.offset_us = noted.utc_us - noted.boot_us;
	s->clock_known = true;
}

/*
 * Once it was right, an offset that is not synchronised is not believed: what somebody sets by hand
 * may be anything, while the last right one only drifts as the crystal does.
 */
void store_set_clock(struct store *s, const struct clock_state *clock)
{
	if (clock->synchronised || !s->clock_known)
		s->clock = *clock;
	s->clock_known |= clock->synchronised;
}

int store_resolve_clock(struct store *s, enum clk clk, usec_t now, int64_t offset_us)
{
	struct segment g = {.offset_us = offset_us, .clk = (uint8_t)clk};
	int r;

	if (s->pending_since == USEC_INFINITY)
		return 0;
	memcpy(g.boot_id, s->run.boot_id, sizeof(g.boot_id));
	g.from_us = covered_until(s, g.boot_id);
	/* A record can be a little ahead of the `now` that its loop was told. */
	g.to_us = MAX((int64_t)now, s->pending_until);
	if (g.from_us >= g.to_us)
		return 0;
	r = wall_add_segment(s, &g);
	if (r == 0)
		s->pending_since = USEC_INFINITY;
	return r;
}

usec_t store_clock_pending_since(const struct store *s)
{
	return s->pending_since;
}

bool store_run(const struct store *s, uint64_t number, struct run_info *ret)
{
	const struct run_entry *run = run_of(s, number);

	if (!run)
		return false;
	*ret = run->info;
	return true;
}
