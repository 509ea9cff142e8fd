/*
 * Batch rows in memory: an array, a dirty flag each, and the numbers of those that ended. There are
 * few of them as a rule (an outage makes one a stream, a failed batch one a stream, neighbours grow
 * together), but the `queue` limit allows ten thousand: row_index.c finds the one that is wanted.
 */
#include "store/row_index.h"
#include "store/state.h"
#include "util/array.h"

#include <stdio.h>

void row_touch(struct store *s, struct row_entry *row)
{
	row->dirty = true;
	row_index_change(s, row);
	if (s->dirty_since == USEC_INFINITY)
		s->dirty_since = s->latest;
}

/* A row that ends where the new one begins, alike in all that matters. */
static struct row_entry *find_neighbour(struct store *s, const struct batch_row *row)
{
	uint64_t before = stream_seq_before(stream_of(s, row->stream), row->first_seq);
	struct row_entry *old = row_index_at(s, row->sink, row->stream, before);

	if (!old || old->row.last_seq != before || old->row.priority != row->priority ||
	    old->row.limit != 0 || row->limit != 0 || old->row.status != row->status ||
	    old->row.status == BATCH_UPLOADING)
		return NULL;
	return old;
}

static int reserve_rows(struct store *s, size_t n)
{
	struct row_entry *rows =
		array_reserve(s->rows, sizeof(*rows), s->n_rows + n, &s->rows_capacity);

	if (!rows)
		return -ENOMEM;
	s->rows = rows;
	return 0;
}

static int reserve_dead_rows(struct store *s, size_t n)
{
	int64_t *dead = array_reserve(s->dead_rows, sizeof(*dead), s->n_dead_rows + n,
				      &s->dead_rows_capacity);

	if (!dead)
		return -ENOMEM;
	s->dead_rows = dead;
	return 0;
}

int rows_reserve(struct store *s, size_t n)
{
	int r = reserve_rows(s, n);

	return r == 0 ? reserve_dead_rows(s, n) : r;
}

int row_add(struct store *s, const struct batch_row *row)
{
	struct row_entry *neighbour = find_neighbour(s, row);
	int r;

	assert(row->first_seq <= row->last_seq);
	s->force = true;
	if (row->number == 0) /* not a part of one that was there */
		rates_owe(s, row->sink, neighbour ? neighbour->row.created_us : row->created_us,
			  row->count);
	if (neighbour) {
		neighbour->row.last_seq = row->last_seq;
		neighbour->row.last_id = row->last_id;
		neighbour->row.count += row->count;
		neighbour->row.next_attempt = MAX(neighbour->row.next_attempt, row->next_attempt);
		row_touch(s, neighbour);
		return 0;
	}
	r = reserve_rows(s, 1);
	if (r < 0)
		return r;
	s->rows[s->n_rows] = (struct row_entry){.row = *row};
	s->rows[s->n_rows++].row.number = s->next_row++;
	row_index_add(s, &s->rows[s->n_rows - 1]);
	row_touch(s, &s->rows[s->n_rows - 1]);
	return 0;
}

int row_end(struct store *s, struct row_entry *row)
{
	const struct row_entry *last;
	int r = reserve_dead_rows(s, 1);

	if (r < 0)
		return r;
	s->dead_rows[s->n_dead_rows++] = row->row.number;
	if (s->dirty_since == USEC_INFINITY)
		s->dirty_since = s->latest;
	row_index_drop(s, row);
	last = &s->rows[s->n_rows - 1];
	if (row != last) {
		*row = *last;
		row_index_moved(s, last, row);
	}
	s->n_rows--;
	return 0;
}

static int write_row(struct store *s, const struct batch_row *row)
{
	sqlite3_stmt *stmt = s->statements[SQL_PUT_ROW];
	/* A row that is under way is pending on the disk: a crash leaves it to be sent again. */
	int status = row->status == BATCH_UPLOADING ? BATCH_PENDING : row->status;
	const int64_t columns[] = {row->number,
				   row->sink,
				   row->stream,
				   (int64_t)row->first_seq,
				   (int64_t)row->last_seq,
				   (int64_t)row->first_id,
				   (int64_t)row->last_id,
				   status,
				   row->priority,
				   row->retry_count,
				   row->created_us,
				   row->last_attempt_us,
				   (int64_t)row->next_attempt,
				   row->limit};
	int r = sql_bind(s, SQL_PUT_ROW, columns, ARRAY_SIZE(columns));

	if (r != 0)
		return r;
	if (sqlite3_bind_text(stmt, (int)ARRAY_SIZE(columns) + 1, row->last_error, -1,
			      SQLITE_STATIC) != SQLITE_OK)
		return store_fail_sql(s, "batch");
	return sql_step(s, SQL_PUT_ROW);
}

/* Within the commit's transaction. Flags are cleared by the caller when it is through. */
int rows_write(struct store *s)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->n_dead_rows; i++)
		r = sql_put(s, SQL_DELETE_ROW, &s->dead_rows[i], 1);
	for (size_t i = 0; r == 0 && i < s->n_rows; i++)
		if (s->rows[i].dirty)
			r = write_row(s, &s->rows[i].row);
	return r;
}

void store_each_row(const struct store *s, store_row_cb cb, void *userdata)
{
	for (size_t i = 0; i < s->n_rows; i++)
		cb(userdata, &s->rows[i].row);
}

uint8_t row_usual_priority(const struct store *s, uint32_t stream)
{
	return stream_of(s, stream)->info.kind == KIND_HEART_RATE ? BATCH_HIGH : BATCH_NORMAL;
}

/*
 * A single record that was refused waits for others to be taken: were it tried first, a sink that
 * refused three of them in a row would be probed with them for ever.
 */
bool row_is_suspect(const struct batch_row *row)
{
	return row->count == 1 && row->retry_count > 0;
}
