/*
 * When somebody else may be using our names. (stream, seq) must never name two things, and a card can
 * be copied, moved to another hub, or set back; a server tells some of it, the machine the rest:
 *
 *	machine    the fingerprint of the hardware is not the one that was noted      at the start
 *	backup     the file is marked as a copy, or the tail beside it is of          at the start
 *	           a later time than the file
 *	salvaged   the store was made of what could be read of a damaged one          whoever salvages
 *	conflict   a server has our run number under another nonce: a copy is         any time
 *	           at work
 *	ahead      a server holds numbers that we have not given out yet              any time
 *
 * Stream ids are derived from the incarnation, so a new one gives every stream a new id at once, and
 * a new row in `stream`; those of earlier incarnations stay, marked `old` in memory (their id does
 * not follow from the incarnation in force). Nothing is admitted into an old stream; the outbox neither
 * cuts nor claims from one; what it still owes, store_move() carries over.
 *
 * Schedule of a change at run time, and what a kill leaves:
 *
 *	1  whole tail committed               before or in it: the old incarnation, as if nothing
 *	                                      had been; whoever asked for the change asks again
 *	2  one transaction: `meta` has the    between 1 and 2: the same
 *	   new incarnation, and table
 *	   `incarnation` a row for it
 *	3  memory follows                     the tail still says the old one in its header
 *	4  next record: new row in `stream`   the tail has slots of new streams under a header
 *	   (committed), then a slot           with the old incarnation
 *
 * The tail is not made anew: its slots name streams by their numbers in the database and runs by theirs,
 * which no incarnation changes. A tail is ours if its incarnation is any that table `incarnation`
 * lists; that also covers a COMMIT of 2 that failed and happened all the same, when memory went on
 * under the old name. So requests that are under way keep their places in the ring.
 *
 * The fingerprint is a list of hashes, "board:... id:...", of what could be read. Compared is the first
 * kind that both have: a board with a serial number stays the same hub when its system is installed
 * anew, and one machine-id on two boards is a copied card.
 */
#include "store/identity.h"

#include "store/state.h"

#include <stdio.h>
#include <stdlib.h>

#define AN_HOUR (3600 * (int64_t)USEC_PER_SEC)

static const struct {
	const char *word; /* in the database and in JSON */
	const char *words;
} reasons[INCARNATION_MAX_] = {
	[INCARNATION_FIRST] = {"first", "the store was made"},
	[INCARNATION_MACHINE] = {"machine", "the store came from another machine"},
	[INCARNATION_BACKUP] = {"backup", "the store was put back from a copy"},
	[INCARNATION_SALVAGED] = {"salvaged", "the store was salvaged from a damaged one"},
	[INCARNATION_CONFLICT] = {"conflict", "a server was told other data under our names: a "
					      "copy of this store is at work"},
	[INCARNATION_AHEAD] = {"ahead", "a server holds more under our names than this store knows "
					"of: it was copied or set back"},
};

const char *incarnation_words(enum incarnation_reason reason)
{
	return reasons[reason].words;
}

const char *incarnation_word(enum incarnation_reason reason)
{
	return reasons[reason].word;
}

enum incarnation_reason incarnation_reason_of(const char *word)
{
	for (int i = 0; i < INCARNATION_MAX_; i++)
		if (streq(word, reasons[i].word))
			return (enum incarnation_reason)i;
	return INCARNATION_FIRST;
}

void store_each_incarnation(const struct store *s, store_incarnation_cb cb, void *userdata)
{
	for (size_t i = 0; i < s->n_incarnations; i++)
		cb(userdata, &s->incarnations[i]);
}

/* --- names --- */

int identity_of_stream(const struct uuid *incarnation, const struct stream_info *info,
		       struct uuid *ret)
{
	struct buf name = {0};
	int r;

	buf_printf(&name, "%s|%s|%s", info->device, kind_name(info->kind), info->subject);
	r = name.failed ? -ENOMEM : uuid_v5(incarnation, name.data, name.size, ret);
	buf_done(&name);
	return r;
}

void identity_mark(struct store *s)
{
	for (size_t i = 0; i < s->n_streams; i++) {
		struct stream_state *st = &s->streams[i];
		struct uuid id;

		/* Without memory it is taken for one of ours, and the next start sees to it. */
		st->old = identity_of_stream(&s->incarnation, &st->info, &id) == 0 &&
			  !uuid_equal(&id, &st->info.id);
	}
}

bool identity_is_ours(const struct store *s, const struct uuid *incarnation)
{
	for (size_t i = 0; i < s->n_incarnations; i++)
		if (uuid_equal(&s->incarnations[i].id, incarnation))
			return true;
	return uuid_equal(&s->incarnation, incarnation);
}

int identity_load_one(struct store *s, const struct incarnation *i)
{
	struct incarnation *all =
		reallocarray(s->incarnations, s->n_incarnations + 1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	s->incarnations = all;
	s->incarnations[s->n_incarnations++] = *i;
	return 0;
}

/* --- what the machine tells --- */

/* The hash behind "board:" or "id:" in a fingerprint; "" if it has none. */
static void part_of(const char *machine, const char *kind, char ret[static 80])
{
	const char *at = strstr(machine, kind);
	size_t n;

	ret[0] = '\0';
	if (!at)
		return;
	at += strlen(kind);
	n = MIN(strcspn(at, " "), (size_t)79);
	memcpy(ret, at, n);
	ret[n] = '\0';
}

static bool is_other_machine(const char *noted, const char *here)
{
	static const char *const kinds[] = {"board:", "id:"};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		char a[80], b[80];

		part_of(noted, kinds[i], a);
		part_of(here, kinds[i], b);
		if (a[0] && b[0])
			return !streq(a, b);
	}
	return false; /* nothing to compare: what is here is noted from now on */
}

void identity_judge(const struct store *s, const char *machine, struct incarnation *ret)
{
	*ret = (struct incarnation){.reason = INCARNATION_FIRST};
	if (s->set_aside[0]) {
		ret->reason = INCARNATION_SALVAGED;
		(void)snprintf(ret->detail, sizeof(ret->detail), "the damaged one is kept in %s",
			       s->set_aside);
	} else if (s->backup[0]) {
		ret->reason = INCARNATION_BACKUP;
		(void)snprintf(ret->detail, sizeof(ret->detail), "the copy was made on %s",
			       s->backup);
	} else if (s->set_back) {
		ret->reason = INCARNATION_BACKUP;
		(void)snprintf(ret->detail, sizeof(ret->detail),
			       "what lay in memory is of a later time than the store on the card");
	} else if (machine && is_other_machine(s->machine, machine)) {
		ret->reason = INCARNATION_MACHINE;
		(void)snprintf(ret->detail, sizeof(ret->detail),
			       "serial number or machine-id differ");
	}
}

/* --- changing it --- */

static int insert(struct store *s, const struct incarnation *i)
{
	sqlite3_stmt *stmt = NULL;
	bool ok =
		sqlite3_prepare_v2(s->db,
				   "INSERT INTO incarnation(number, uuid, began_us, reason, detail)"
				   " SELECT coalesce(max(number), 0) + 1, ?1, ?2, ?3, ?4"
				   " FROM incarnation",
				   -1, &stmt, NULL) == SQLITE_OK &&
		sqlite3_bind_blob(stmt, 1, i->id.bytes, sizeof(i->id.bytes), SQLITE_STATIC) ==
			SQLITE_OK &&
		sqlite3_bind_int64(stmt, 2, i->began_us) == SQLITE_OK &&
		sqlite3_bind_text(stmt, 3, reasons[i->reason].word, -1, SQLITE_STATIC) ==
			SQLITE_OK &&
		sqlite3_bind_text(stmt, 4, i->detail, -1, SQLITE_STATIC) == SQLITE_OK;

	return sql_once(s, stmt, ok, "incarnation");
}

/* Within a transaction. */
int identity_write(struct store *s, const struct incarnation *i, const char *machine)
{
	int r = insert(s, i);

	if (r == 0)
		r = sql_put_meta(s, "incarnation", i->id.bytes, sizeof(i->id.bytes));
	if (r == 0 && s->backup[0])
		r = sql_exec(s, "DELETE FROM meta WHERE key = 'backup'");
	if (r == 0 && machine && machine[0])
		r = sql_put_meta(s, "machine", machine, strlen(machine));
	return r;
}

int identity_began(struct store *s, const struct incarnation *i)
{
	struct incarnation fresh = *i;
	int r;

	fresh.number = s->n_incarnations ? s->incarnations[s->n_incarnations - 1].number + 1 : 1;
	r = identity_load_one(s, &fresh);
	s->incarnation = i->id;
	s->backup[0] = '\0';
	s->set_back = false;
	identity_mark(s);
	return r;
}

/*
 * A server that answers so whatever it is sent would have us begin again with each answer, and copy
 * what waits each time. Two copies of a card that start together need one change, a backup put back
 * on the same day another; a third is for luck.
 */
static bool too_often(const struct store *s, int64_t wall_us)
{
	unsigned n = 0;

	for (size_t i = 0; i < s->n_incarnations; i++) {
		const struct incarnation *old = &s->incarnations[i];

		n += (old->reason == INCARNATION_CONFLICT || old->reason == INCARNATION_AHEAD) &&
		     llabs(wall_us - old->began_us) < AN_HOUR;
	}
	return n >= INCARNATIONS_AN_HOUR;
}

int store_new_incarnation(struct store *s, enum incarnation_reason reason, const char *detail,
			  usec_t now)
{
	struct incarnation fresh = {.reason = reason, .began_us = clock_wall_usec()};
	int r;

	assert(s->owner_fd >= 0);
	if ((reason == INCARNATION_CONFLICT || reason == INCARNATION_AHEAD) &&
	    too_often(s, fresh.began_us))
		return STORE_E_OFTEN;
	(void)snprintf(fresh.detail, sizeof(fresh.detail), "%s", detail); /* cut, if need be */
	r = uuid_random(&fresh.id);
	if (r == 0)
		r = store_commit(s, now);
	if (r == 0)
		r = sql_step(s, SQL_BEGIN);
	if (r != 0)
		return r;
	r = sql_end(s, identity_write(s, &fresh, NULL));
	return r == 0 ? identity_began(s, &fresh) : r;
}

bool store_is_refused(const struct store *s, char ret_detail[static 120])
{
	for (uint32_t sink = 1; sink <= s->n_sinks; sink++)
		for (uint32_t i = 1; !sink_of(s, sink)->info.retired && i <= s->n_streams; i++) {
			const struct stream_state *st = stream_of(s, i);

			if (st->old || !cursor_of(s, sink, i)->refused)
				continue;
			(void)snprintf(ret_detail, 120, "server \"%s\", %s of %s",
				       sink_of(s, sink)->info.name, kind_name(st->info.kind),
				       st->device);
			return true;
		}
	return false;
}
