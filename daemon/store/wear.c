/*
 * What a card wears out by: bytes written, a row of table `wear` a day. They are the kernel's count of
 * what this process had it write (write_bytes of /proc/self/io): WAL, checkpoints, the tail's
 * neighbours, in whole pages of the page cache. What the file system writes beside it, its own
 * journal, and what the card makes of it inside are not in it, nor is journald; where /proc has no
 * such file there are no figures.
 *
 * The row rides in a commit that is made anyway, every ten minutes at most: to count wear must not
 * cause it. A day is one of a clock that was synchronised; until then it is counted and not written.
 */
#include "store/wear.h"

#include "util/file.h"

#include <stdio.h>
#include <stdlib.h>

#define WRITE_EVERY (600 * USEC_PER_SEC)
#define DAY_US	    (INT64_C(86400) * 1000000)

static uint64_t written_by_us(void)
{
	struct buf text = {0};
	const char *found = NULL;
	uint64_t bytes = 0;

	if (file_read("/proc/self/io", 4096, &text) == 0)
		buf_append(&text, "", 1);
	if (!text.failed && text.size > 0)
		found = strstr((const char *)text.data, "\nwrite_bytes: ");
	if (found)
		bytes = strtoull(found + strlen("\nwrite_bytes: "), NULL, 10);
	buf_done(&text);
	return bytes;
}

static int64_t day_now(void)
{
	return clock_wall_usec() / DAY_US;
}

int wear_write(struct store *s, bool now)
{
	sqlite3_stmt *stmt = s->statements[SQL_ADD_WEAR];
	struct wear *w = &s->wear;

	w->seen = w->noted;
	if (s->owner_fd < 0 || !s->clock_known || (!now && s->latest < w->next))
		return 0;
	w->seen = written_by_us();
	if (w->seen <= w->noted)
		return 0;
	if (sqlite3_bind_int64(stmt, 1, day_now()) != SQLITE_OK ||
	    sqlite3_bind_int64(stmt, 2, (int64_t)(w->seen - w->noted)) != SQLITE_OK ||
	    sqlite3_bind_int64(stmt, 3, (int64_t)(s->commits - w->commits)) != SQLITE_OK)
		return store_fail_sql(s, "wear");
	return sql_step(s, SQL_ADD_WEAR);
}

void wear_written(struct store *s)
{
	struct wear *w = &s->wear;
	int64_t day = day_now();

	if (w->seen <= w->noted)
		return;
	w->today = (w->day == day ? w->today : 0) + w->seen - w->noted;
	w->day = day;
	w->noted = w->seen;
	w->commits = s->commits;
	w->next = s->latest + WRITE_EVERY;
}

int wear_load(struct store *s)
{
	struct wear *w = &s->wear;
	sqlite3_stmt *stmt = NULL;
	uint64_t sum = 0, n = 0;
	int code;

	if (sqlite3_prepare_v2(s->db, "SELECT day, bytes FROM wear ORDER BY day DESC LIMIT 8", -1,
			       &stmt, NULL) != SQLITE_OK)
		return store_fail_sql(s, "wear");
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
		int64_t day = sqlite3_column_int64(stmt, 0);
		uint64_t bytes = (uint64_t)sqlite3_column_int64(stmt, 1);

		if (day == day_now()) {
			w->day = day;
			w->today = bytes;
		} else if (n < 7) {
			sum += bytes;
			n++;
		}
	}
	(void)sqlite3_finalize(stmt); /* repeats the error of the step */
	w->average = n ? sum / n : 0;
	return code == SQLITE_DONE ? 0 : store_fail_sql(s, "wear");
}

void wear_figures(const struct store *s, uint64_t *ret_today, uint64_t *ret_average)
{
	const struct wear *w = &s->wear;
	uint64_t seen = s->owner_fd >= 0 ? written_by_us() : 0;

	*ret_today = (w->day == day_now() ? w->today : 0) + (seen > w->noted ? seen - w->noted : 0);
	*ret_average = w->average;
}
