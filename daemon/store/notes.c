/*
 * Notes of the clock, and how far each sink has confirmed them.
 *
 *   note 1 (boot A)   note 2 (boot A, stepped)   note 3 (boot B) ...
 *                     ^ sink "main" has confirmed up to here
 *
 * A record that was sent as an estimate keeps its time; whoever holds it finds the true one from
 * the notes of its boot. So a note is owed to every sink like a record, but nothing waits for it: it
 * rides in the next commit, and one that a power cut takes is made again by the next look at the
 * clock, perhaps under the same number, which no server remembers.
 *
 * A note goes when every required sink has confirmed it and it is older than the records are kept,
 * and the oldest when there are NOTES_MAX, whoever lacks it: a clock that never stands still must
 * not fill the card.
 */
#include "store/state.h"

#include <stdio.h>

enum { NOTES_MAX = 1000 };

static int load_notes(struct store *s, sqlite3_stmt *stmt)
{
	struct clock_note *notes = reallocarray(s->notes, s->n_notes + 1, sizeof(*notes));
	struct clock_note *n;

	if (!notes)
		return -ENOMEM;
	s->notes = notes;
	n = &s->notes[s->n_notes++];
	*n = (struct clock_note){
		.number = sqlite3_column_int64(stmt, 0),
		.boot_us = sqlite3_column_int64(stmt, 2),
		.utc_us = sqlite3_column_int64(stmt, 3),
	};
	(void)snprintf(n->boot_id, sizeof(n->boot_id), "%s",
		       (const char *)sqlite3_column_text(stmt, 1)); /* NOT NULL */
	return 0;
}

static int load_confirmed(struct store *s, sqlite3_stmt *stmt)
{
	int64_t sink = sqlite3_column_int64(stmt, 0);

	if (sink >= 1 && sink <= (int64_t)s->n_sinks)
		sink_of(s, (uint32_t)sink)->clocks = sqlite3_column_int64(stmt, 1);
	return 0;
}

int notes_load(struct store *s)
{
	int r;

	r = sql_each(s, "SELECT number, boot_id, boot_us, utc_us FROM clock_note ORDER BY number",
		     load_notes);
	if (r == 0)
		r = sql_each(s, "SELECT number, clocks FROM sink", load_confirmed);
	return r;
}

static int write_note(struct store *s, const struct clock_note *n)
{
	sqlite3_stmt *stmt = s->statements[SQL_ADD_NOTE];

	if (sqlite3_bind_int64(stmt, 1, n->number) != SQLITE_OK ||
	    sqlite3_bind_text(stmt, 2, n->boot_id, -1, SQLITE_STATIC) != SQLITE_OK ||
	    sqlite3_bind_int64(stmt, 3, n->boot_us) != SQLITE_OK ||
	    sqlite3_bind_int64(stmt, 4, n->utc_us) != SQLITE_OK)
		return store_fail_sql(s, "clock note");
	return sql_step(s, SQL_ADD_NOTE);
}

static int write_confirmed(struct store *s, const struct sink_entry *k)
{
	const int64_t columns[] = {k->info.number, k->clocks};

	return sql_put(s, SQL_PUT_CLOCKS, columns, ARRAY_SIZE(columns));
}

int notes_write(struct store *s)
{
	int r = 0;

	for (size_t i = s->n_notes - s->n_new_notes; r == 0 && i < s->n_notes; i++)
		r = write_note(s, &s->notes[i]);
	if (r == 0 && s->notes_pruned)
		r = sql_put(s, SQL_DROP_NOTES, &s->notes[0].number, 1);
	for (size_t i = 0; r == 0 && i < s->n_sinks; i++)
		if (s->sinks[i].clocks_dirty)
			r = write_confirmed(s, &s->sinks[i]);
	return r;
}

void notes_committed(struct store *s)
{
	s->n_new_notes = 0;
	s->notes_pruned = false;
	for (size_t i = 0; i < s->n_sinks; i++)
		s->sinks[i].clocks_dirty = false;
}

/* What every required sink has confirmed. */
static int64_t confirmed_by_all(const struct store *s)
{
	int64_t through = INT64_MAX;

	for (size_t i = 0; i < s->n_sinks; i++)
		if (s->sinks[i].info.required && !s->sinks[i].info.retired)
			through = MIN(through, s->sinks[i].clocks);
	return through;
}

/* The newest stays: it says that this boot has one, and which number was the last. */
static void prune(struct store *s, int64_t before_wall_us)
{
	int64_t confirmed = confirmed_by_all(s);
	size_t n = 0;

	while (n + 1 < s->n_notes &&
	       (s->n_notes - n > NOTES_MAX ||
		(s->notes[n].number <= confirmed && s->notes[n].utc_us < before_wall_us)))
		n++;
	if (n == 0)
		return;
	s->n_notes -= n;
	s->n_new_notes = MIN(s->n_new_notes, s->n_notes);
	memmove(s->notes, s->notes + n, s->n_notes * sizeof(*s->notes));
	s->notes_pruned = true;
}

static int64_t next_number(const struct store *s)
{
	int64_t last = s->n_notes ? s->notes[s->n_notes - 1].number : 0;

	/* Also above what a sink confirmed of notes that this store has lost. */
	for (size_t i = 0; i < s->n_sinks; i++)
		last = MAX(last, s->sinks[i].clocks);
	return last + 1;
}

int store_note_clock(struct store *s, int64_t boot_us, int64_t utc_us, int64_t before_wall_us)
{
	struct clock_note *notes = reallocarray(s->notes, s->n_notes + 1, sizeof(*notes));
	struct clock_note *n;

	if (!notes)
		return -ENOMEM;
	s->notes = notes;
	n = &s->notes[s->n_notes];
	*n = (struct clock_note){
		.number = next_number(s),
		.boot_us = boot_us,
		.utc_us = utc_us,
	};
	memcpy(n->boot_id, s->run.boot_id, sizeof(n->boot_id));
	s->n_notes++;
	s->n_new_notes++;
	prune(s, before_wall_us);
	return 0;
}

bool store_clock_noted(const struct store *s, struct clock_note *ret)
{
	for (size_t i = s->n_notes; i-- > 0;)
		if (streq(s->notes[i].boot_id, s->run.boot_id)) {
			*ret = s->notes[i];
			return true;
		}
	return false;
}

size_t store_clocks_owed(const struct store *s, uint32_t sink, struct clock_note *ret, size_t max)
{
	int64_t confirmed = sink_of(s, sink)->clocks;
	size_t n = 0;

	for (size_t i = 0; i < s->n_notes && n < max; i++)
		if (s->notes[i].number > confirmed)
			ret[n++] = s->notes[i];
	return n;
}

void store_clocks_confirmed(struct store *s, uint32_t sink, int64_t number)
{
	struct sink_entry *k = sink_of(s, sink);

	if (number <= k->clocks)
		return;
	k->clocks = number;
	k->clocks_dirty = true;
}
