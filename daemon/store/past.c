/*
 * Reads a stream from a time on. The log is in the order of admission, which is that of time but for
 * what a memory filled in, and that is always behind the gap that it fills, whose record begins when
 * the stream was last heard before. So the newest block that begins before the time in question is
 * where to start: nothing before it reaches beyond that time.
 *
 * Blocks are looked at from the newest back, by their own columns; their content stays packed.
 */
#include "store/past.h"

#include "store/state.h"

/* A day of ten hearts: further back nothing is looked for. */
enum { LOOK_BACK_IDS = 1000000 };

bool past_offset(const struct store *s, int64_t *ret_us)
{
	*ret_us = s->clock.offset_us;
	return s->clock_known;
}

/* Blocks that wait for a clock segment (clk 0) do not say when they were. */
static int first_block(struct store *s, uint32_t stream, int64_t since_wall_us, uint64_t *ret)
{
	uint64_t oldest = s->log_id > LOOK_BACK_IDS ? s->log_id - LOOK_BACK_IDS : 0;
	sqlite3_stmt *stmt = NULL;
	int code = SQLITE_ERROR;

	if (sqlite3_prepare_v2(s->db,
			       "SELECT id FROM record WHERE stream = ?1 AND id > ?2 AND clk != 0"
			       " AND boot_us + offset_us <= ?3 ORDER BY id DESC LIMIT 1",
			       -1, &stmt, NULL) == SQLITE_OK &&
	    sqlite3_bind_int64(stmt, 1, stream) == SQLITE_OK &&
	    sqlite3_bind_int64(stmt, 2, (int64_t)oldest) == SQLITE_OK &&
	    sqlite3_bind_int64(stmt, 3, since_wall_us) == SQLITE_OK)
		code = sqlite3_step(stmt);
	*ret = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(stmt, 0) : oldest;
	(void)sqlite3_finalize(stmt); /* only read */
	return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : store_fail_sql(s, "past records");
}

int past_read(struct store *s, uint32_t stream, int64_t since_wall_us, store_record_cb cb,
	      void *userdata)
{
	uint64_t first_id;
	int r = first_block(s, stream, since_wall_us, &first_id);

	if (r != 0)
		return r;
	return store_read(s, stream, 1, UINT64_MAX, first_id, cb, userdata);
}
