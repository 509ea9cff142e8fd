/*
 * Ids and seqs are dense, and a start takes a hole between the log and the ring for a log that was set
 * back. So numbers that were given to what a commit then did not take are given back at once: else
 * all that is heard behind them is set aside with the ring, should we die before a commit goes
 * through.
 *
 * But a COMMIT that failed may have happened all the same, if a crash leaves its frames whole in the
 * WAL, and then its records and what is heard next would have the same numbers. The frames lie where
 * the next transaction is written, whether that one comes to its end or not: so one is written
 * before anything is admitted.
 */
#include "store/undo.h"

void undo_done(const struct store *s, struct undo *u)
{
	for (size_t i = 0; u->runs && i < s->n_streams; i++)
		free(u->runs[i]);
	for (size_t i = 0; u->cursors && i < s->n_sinks; i++)
		free(u->cursors[i]);
	free(u->runs);
	free(u->cursors);
	free(u->streams);
	free(u->rows);
	free(u->asides);
	*u = (struct undo){0};
}

static void *copy_of(const void *p, size_t n, size_t size)
{
	void *copy = calloc(n + 1, size);

	if (copy && n)
		memcpy(copy, p, n * size);
	return copy;
}

static int note_all(const struct store *s, struct undo *u)
{
	u->streams = copy_of(s->streams, s->n_streams, sizeof(*s->streams));
	u->rows = copy_of(s->rows, s->n_rows, sizeof(*s->rows));
	u->asides = copy_of(s->asides, s->n_asides, sizeof(*s->asides));
	u->runs = calloc(s->n_streams + 1, sizeof(void *));
	u->cursors = calloc(s->n_sinks + 1, sizeof(void *));
	if (!u->streams || !u->rows || !u->asides || !u->runs || !u->cursors)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_streams; i++) {
		u->runs[i] = copy_of(s->streams[i].runs, s->streams[i].n_runs,
				     sizeof(*s->streams[i].runs));
		if (!u->runs[i])
			return -ENOMEM;
	}
	for (size_t i = 0; i < s->n_sinks; i++) {
		u->cursors[i] =
			copy_of(s->sinks[i].cursors, s->n_streams, sizeof(*s->sinks[i].cursors));
		if (!u->cursors[i])
			return -ENOMEM;
	}
	return 0;
}

int undo_note(const struct store *s, struct undo *u)
{
	int r;

	*u = (struct undo){.n_rows = s->n_rows,
			   .row_numbers = s->row_numbers,
			   .n_dead_rows = s->n_dead_rows,
			   .n_asides = s->n_asides,
			   .next_row = s->next_row,
			   .next_id = s->next_id,
			   .dirty_since = s->dirty_since,
			   .force = s->force};
	r = note_all(s, u);
	if (r != 0)
		undo_done(s, u);
	u->noted = r == 0;
	return r;
}

static void overwrite(struct store *s)
{
	int r = sql_step(s, SQL_BEGIN);

	if (r != 0)
		return;
	r = sql_put_meta_int(s, "high_id", (int64_t)s->log_id); /* as true as before */
	(void)sql_end(s, r); /* what counts is that it was written */
}

void undo_all(struct store *s, struct undo *u)
{
	if (!u->noted)
		return;
	for (size_t i = 0; i < s->n_streams; i++) {
		struct run_count *runs = s->streams[i].runs; /* at least as large as it was */

		if (u->streams[i].n_runs)
			memcpy(runs, u->runs[i], u->streams[i].n_runs * sizeof(*runs));
		s->streams[i] = u->streams[i];
		s->streams[i].runs = runs;
	}
	for (size_t i = 0; s->n_streams && i < s->n_sinks; i++)
		memcpy(s->sinks[i].cursors, u->cursors[i],
		       s->n_streams * sizeof(*s->sinks[i].cursors));
	if (u->n_rows)
		memcpy(s->rows, u->rows, u->n_rows * sizeof(*s->rows));
	if (u->n_asides)
		memcpy(s->asides, u->asides, u->n_asides * sizeof(*s->asides));
	s->n_asides = u->n_asides;
	s->n_rows = u->n_rows;
	s->row_numbers = u->row_numbers; /* the other roots came with the cursors */
	s->n_dead_rows = u->n_dead_rows;
	s->next_row = u->next_row;
	s->next_id = u->next_id;
	s->dirty_since = u->dirty_since;
	s->force = u->force;
	if (s->uncertain)
		overwrite(s);
}
