/*
 * The daily duties, one slice a call:
 *
 *    history -> notes -> damaged stores -> checkpoint -> ballast -> done
 *
 * Everything that goes by age waits for a synchronised clock; a hub that never learns the time keeps
 * all it has until max_size says otherwise.
 *
 * The file is not vacuumed. Pages that deletion freed are what the next records are written into, so
 * a store that had an outage once stays as large as that outage, within max_size, and costs nothing;
 * a vacuum would write all of it anew, and auto_vacuum moves pages with each commit.
 */
#include "store/cleanup.h"

#include "store/room.h"
#include "store/salvage.h"
#include "store/state.h"
#include "util/human.h"

#include <stdio.h>

enum { SLICE_BLOCKS = 256, SLICE_ROWS = 500 };

#define DAY_US (INT64_C(86400) * 1000000)

enum duty { HISTORY, NOTES, DAMAGED, CHECKPOINT, BALLAST, DONE };

struct cleanup {
	struct store *s;
	struct cleanup_rules rules;
	enum duty duty;
	size_t table; /* of NOTES */
	uint64_t deleted_before;
	uint64_t notes, directories;
};

/*
 * Whose rows go by age: the condition compares with ?1. A day of `wear` is counted from 1970. Hours and
 * clock notes look after themselves: who writes them knows who still needs them.
 */
static const struct {
	const char *sql;
	int64_t keep_us, unit_us;
} notes[] = {
	{"DELETE FROM finding WHERE number IN"
	 " (SELECT number FROM finding WHERE wall_us < ?1 LIMIT ?2)",
	 90 * DAY_US, 1},
	{"DELETE FROM undecoded WHERE number IN"
	 " (SELECT number FROM undecoded WHERE wall_us < ?1 LIMIT ?2)",
	 90 * DAY_US, 1},
	{"DELETE FROM wear WHERE day IN (SELECT day FROM wear WHERE day < ?1 LIMIT ?2)",
	 90 * DAY_US, DAY_US},
};

struct cleanup *cleanup_free(struct cleanup *c)
{
	free(c);
	return NULL;
}

static uint64_t deleted_of(const struct store *s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->n_streams; i++)
		n += s->streams[i].deleted;
	return n;
}

int cleanup_new(struct store *s, const struct cleanup_rules *rules, struct cleanup **ret)
{
	struct cleanup *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->s = s;
	c->rules = *rules;
	c->deleted_before = deleted_of(s);
	*ret = c;
	return 0;
}

/* Each duty: 0 it is done, STORE_E_MORE again, else it could not be done. */

static int history(struct cleanup *c)
{
	int r;

	if (!c->rules.synchronised)
		return 0;
	r = store_prune(c->s, c->rules.wall_us - (int64_t)c->rules.retention, SLICE_BLOCKS);
	return r == 0 ? STORE_E_MORE : r == STORE_E_NOTHING ? 0 : r;
}

static int trim(struct cleanup *c)
{
	sqlite3_stmt *stmt = NULL;
	int64_t before;
	int code, n;

	if (!c->rules.synchronised || c->table == ARRAY_SIZE(notes))
		return 0;
	before = (c->rules.wall_us - notes[c->table].keep_us) / notes[c->table].unit_us;
	if (sqlite3_prepare_v2(c->s->db, notes[c->table].sql, -1, &stmt, NULL) != SQLITE_OK ||
	    sqlite3_bind_int64(stmt, 1, before) != SQLITE_OK ||
	    sqlite3_bind_int(stmt, 2, SLICE_ROWS) != SQLITE_OK) {
		(void)sqlite3_finalize(stmt); /* the error is told below */
		return store_fail_sql(c->s, "old notes");
	}
	code = sqlite3_step(stmt);
	(void)sqlite3_finalize(stmt); /* repeats the error of the step */
	if (code != SQLITE_DONE)
		return store_fail_sql(c->s, "old notes");
	n = sqlite3_changes(c->s->db);
	c->notes += (uint64_t)n;
	c->table += n < SLICE_ROWS;
	return STORE_E_MORE;
}

static int damaged(struct cleanup *c)
{
	int r;

	if (!c->rules.synchronised)
		return 0;
	r = salvage_remove_old(c->s, c->rules.wall_us - 30 * DAY_US);
	if (r < 0)
		return r;
	c->directories += (uint64_t)r;
	return 0;
}

/* A reader may hold it up: then the next one does it. */
static int checkpoint(struct cleanup *c)
{
	(void)room_truncate(c->s);
	return 0;
}

static int ballast(struct cleanup *c)
{
	room_tend(c->s);
	return 0;
}

int cleanup_step(struct cleanup *c)
{
	static int (*const duties[DONE])(struct cleanup * c) = {history, trim, damaged, checkpoint,
								ballast};
	int r;

	if (c->duty == DONE)
		return 0;
	r = duties[c->duty](c);
	if (r != 0)
		return r;
	return ++c->duty == DONE ? 0 : STORE_E_MORE;
}

void cleanup_words(const struct cleanup *c, struct buf *ret)
{
	uint64_t records = deleted_of(c->s) - c->deleted_before;
	char n[HUMAN_SIZE + 8];

	if (!c->rules.synchronised) {
		buf_string(ret, "the clock is not synchronised, so nothing is old enough to go");
		return;
	}
	if (records)
		buf_printf(ret, "%s past retention deleted", human_records(records, n));
	else
		buf_string(ret, "no record is past retention");
	if (c->notes)
		buf_printf(ret, ", %llu old notes deleted", (unsigned long long)c->notes);
	if (c->directories)
		buf_printf(ret, ", %llu damaged stores removed, salvaged over 30 days ago",
			   (unsigned long long)c->directories);
}
