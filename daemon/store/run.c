/*
 * Runs. The seq of a record is the number of a run and n, which is dense from 1 in each stream; so a
 * new run has numbers that nobody has seen, whatever became of the last records of the one before.
 *
 *   start of an owner      one run, and with it an incarnation if one has to begin
 *   moving estimates       two: a run of the boot that the records are of, then one of this boot,
 *                          because what is heard must go on above all others
 *
 * A run is on the disk before anything is admitted under its number: the transaction here is not the
 * next commit. Its nonce tells it from a run that begins under the same number elsewhere, on a copy
 * of the card, or later, on a store that was put back.
 */
#include "store/run.h"

#include "store/state.h"

#include <stdio.h>

/*
 * What begins with this run, if anything (then it has a time): a first incarnation, which a store of
 * version 1 has already under no number, or another because the names may be in use elsewhere.
 */
static int judge_identity(struct store *s, const char *machine, struct store_opening *opening,
			  struct incarnation *ret)
{
	identity_judge(s, machine, ret);
	if (opening->created && opening->set_aside[0]) {
		ret->reason = INCARNATION_SALVAGED;
		(void)snprintf(ret->detail, sizeof(ret->detail), "%.*s",
			       (int)sizeof(ret->detail) - 1, opening->damage);
	}
	if (opening->created || ret->reason != INCARNATION_FIRST) {
		ret->began_us = clock_wall_usec();
		opening->incarnation = ret->reason;
		memcpy(opening->incarnation_detail, ret->detail, sizeof(ret->detail));
		return uuid_random(&ret->id);
	}
	if (s->n_incarnations > 0)
		return 0;
	ret->id = s->incarnation;
	ret->began_us = s->n_runs ? MAX(s->runs[0].started_us, 1) : 1;
	return 0;
}

static int insert_run(struct store *s, const struct run_entry *run)
{
	sqlite3_stmt *stmt = NULL;
	bool ok =
		sqlite3_prepare_v2(
			s->db,
			"INSERT OR REPLACE INTO run(number, nonce, boot_id, started_us, offset_us,"
			" synced) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
			-1, &stmt, NULL) == SQLITE_OK &&
		sqlite3_bind_int64(stmt, 1, (int64_t)run->info.number) == SQLITE_OK &&
		sqlite3_bind_blob(stmt, 2, run->info.nonce.bytes, sizeof(run->info.nonce.bytes),
				  SQLITE_STATIC) == SQLITE_OK &&
		sqlite3_bind_text(stmt, 3, run->info.boot_id, -1, SQLITE_STATIC) == SQLITE_OK &&
		sqlite3_bind_int64(stmt, 4, run->started_us) == SQLITE_OK &&
		sqlite3_bind_int64(stmt, 5, run->offset_us) == SQLITE_OK &&
		sqlite3_bind_int(stmt, 6, run->synced) == SQLITE_OK;

	return sql_once(s, stmt, ok, "run");
}

static int insert_pair(struct store *s, const struct run_entry *runs)
{
	int r = sql_step(s, SQL_BEGIN);

	if (r != 0)
		return r;
	r = insert_run(s, &runs[0]);
	if (r == 0)
		r = insert_run(s, &runs[1]);
	return sql_end(s, r);
}

int run_begin(struct store *s, const char *machine, struct store_opening *opening)
{
	struct incarnation fresh;
	struct run_entry run = {.info.number = s->run.number + 1,
				.started_us = clock_wall_usec(),
				.offset_us = s->clock.offset_us,
				.synced = s->clock.synchronised};
	struct run_entry *runs = reallocarray(s->runs, s->n_runs + 1, sizeof(*runs));
	int r;

	if (!runs)
		return -ENOMEM;
	s->runs = runs;
	r = uuid_random(&run.info.nonce);
	if (r < 0)
		return r;
	r = judge_identity(s, machine, opening, &fresh);
	if (r < 0)
		return r;
	clock_boot_id(run.info.boot_id);
	r = sql_step(s, SQL_BEGIN);
	if (r != 0)
		return r;
	if (fresh.began_us)
		r = identity_write(s, &fresh, machine);
	else if (machine && machine[0] && !streq(machine, s->machine))
		r = sql_put_meta(s, "machine", machine, strlen(machine));
	if (r == 0)
		r = insert_run(s, &run);
	if (r == 0)
		r = log_note_runs(s);
	if (r == 0)
		r = sql_put_meta_int(s, "clean", 0);
	if (r == 0) /* told to nobody yet who listens to straps and writes gaps */
		r = sql_put_meta_int(s, "power_cut", s->power_cut && !streq(s->role, "daemon"));
	r = sql_end(s, r);
	if (r != 0)
		return r;
	s->runs[s->n_runs++] = run;
	s->run = run.info;
	return fresh.began_us ? identity_began(s, &fresh) : 0;
}

int run_begin_pair(struct store *s, uint64_t like, uint64_t *ret)
{
	struct run_entry *runs = reallocarray(s->runs, s->n_runs + 2, sizeof(*runs));
	struct run_entry *pair;
	int r;

	if (!runs)
		return -ENOMEM;
	s->runs = runs;
	pair = runs + s->n_runs;
	for (size_t i = 0; i < s->n_runs; i++)
		if (runs[i].info.number == like)
			pair[0] = runs[i];
	pair[1] = runs[s->n_runs - 1];
	for (size_t i = 0; i < 2; i++) {
		pair[i].info.number = s->run.number + 1 + i;
		pair[i].started_us = clock_wall_usec();
		r = uuid_random(&pair[i].info.nonce);
		if (r < 0)
			return r;
	}
	r = insert_pair(s, pair);
	if (r != 0)
		return r;
	*ret = pair[0].info.number;
	s->run = pair[1].info;
	s->n_runs += 2;
	return 0;
}
