/*
 * Hours of counters. Table `hour` holds a row for each hour (since 1970, UTC) and sink in which
 * something moved, little-endian:
 *
 *     offset  size
 *     0       4     version, 1
 *     4       4     batches that the immediate path confirmed
 *     8       4     batches that it gave up on while the sink was thought to be up
 *     12      4     records in the confirmed ones
 *     16      8     the sum of their times from hearing to the receipt, ms
 *     24      4     the longest of these, ms
 *     28      4     records that became batch rows in this hour
 *     32      4     of those, confirmed within 24 h
 *     36      4     of those, confirmed later
 *
 * The last two are counted into the hour in which the row was made, not that of the receipt: so a
 * share is one of the same records, and cannot pass 100 %.
 *
 * An hour is only as right as the clock. While it is not synchronised everything is counted into
 * hour 0, which means "lately", and goes to the running hour when the clock is known. A clock that
 * was synchronised and jumped far ahead or back makes some hours there, which no window reaches;
 * as hours are dropped by their number and not by their age, it deletes none of the others.
 */
#include "store/rates.h"

#include "store/state.h"
#include "util/array.h"
#include "util/bytes.h"

#define HOUR_US (3600 * (int64_t)USEC_PER_SEC)

enum { VERSION = 1, BLOB_SIZE = 40, UNKNOWN_HOUR = 0 };

static int64_t hour_of(const struct store *s, int64_t wall_us)
{
	return s->clock.synchronised && wall_us > HOUR_US ? wall_us / HOUR_US : UNKNOWN_HOUR;
}

static struct rates_hour *find(const struct rates_hours *h, uint32_t sink, int64_t hour)
{
	for (size_t i = h->n; i > 0; i--) /* the newest are asked for most, and are last */
		if (h->hours[i - 1].hour == hour && h->hours[i - 1].sink == sink)
			return &h->hours[i - 1];
	return NULL;
}

static void drop_oldest(struct rates_hours *h, uint32_t sink)
{
	size_t n = 0, oldest = SIZE_MAX;

	for (size_t i = 0; i < h->n; i++) {
		if (h->hours[i].sink != sink || h->hours[i].hour == UNKNOWN_HOUR)
			continue;
		n++;
		if (oldest == SIZE_MAX || h->hours[i].hour < h->hours[oldest].hour)
			oldest = i;
	}
	if (n <= RATES_HOURS)
		return;
	memmove(&h->hours[oldest], &h->hours[oldest + 1], (--h->n - oldest) * sizeof(*h->hours));
}

/* NULL: no memory, and then it is not counted. */
static struct rates_hour *add(struct rates_hours *h, uint32_t sink, int64_t hour)
{
	struct rates_hour *hours = array_reserve(h->hours, sizeof(*hours), h->n + 1, &h->capacity);

	if (!hours)
		return NULL;
	h->hours = hours;
	h->hours[h->n++] = (struct rates_hour){.sink = sink, .hour = hour};
	drop_oldest(h, sink); /* may be this one */
	return find(h, sink, hour);
}

static uint32_t sum(uint32_t a, uint64_t b)
{
	return (uint32_t)MIN((uint64_t)a + b, UINT32_MAX);
}

/* What was counted without a clock belongs to about now. */
static void date_unknown(struct rates_hours *h, struct rates_hour *now)
{
	struct rates_hour *unknown = find(h, now->sink, UNKNOWN_HOUR);

	if (!unknown || unknown == now)
		return;
	now->confirmed = sum(now->confirmed, unknown->confirmed);
	now->failed = sum(now->failed, unknown->failed);
	now->n_timed = sum(now->n_timed, unknown->n_timed);
	now->latency_ms += unknown->latency_ms;
	now->max_ms = MAX(now->max_ms, unknown->max_ms);
	now->owed = sum(now->owed, unknown->owed);
	now->recovered = sum(now->recovered, unknown->recovered);
	now->late = sum(now->late, unknown->late);
	*unknown = (struct rates_hour){.sink = now->sink, .hour = UNKNOWN_HOUR, .dirty = true};
}

static struct rates_hour *hour_at(struct store *s, uint32_t sink, int64_t wall_us)
{
	int64_t hour = hour_of(s, wall_us);
	struct rates_hour *h = find(&s->rates, sink, hour);

	if (!h)
		h = add(&s->rates, sink, hour);
	if (h)
		date_unknown(&s->rates, h);
	if (h)
		h->dirty = true;
	return h;
}

void store_count_batch(struct store *s, uint32_t sink, const struct rates_batch *batch,
		       int64_t wall_us)
{
	struct rates_hour *h = hour_at(s, sink, wall_us);

	if (!h)
		return;
	if (!batch->confirmed) {
		h->failed = sum(h->failed, 1);
		return;
	}
	h->confirmed = sum(h->confirmed, 1);
	h->n_timed = sum(h->n_timed, batch->n_records);
	h->latency_ms += (uint64_t)batch->mean_ms * batch->n_records;
	h->max_ms = MAX(h->max_ms, batch->max_ms);
}

void rates_owe(struct store *s, uint32_t sink, int64_t created_us, uint64_t n)
{
	struct rates_hour *h = n ? hour_at(s, sink, created_us) : NULL;

	if (h)
		h->owed = sum(h->owed, n);
}

void rates_recover(struct store *s, uint32_t sink, int64_t created_us, uint64_t n, int64_t wall_us)
{
	struct rates_hour *h;

	if (n == 0)
		return;
	h = find(&s->rates, sink, hour_of(s, created_us));
	if (!h)
		h = hour_at(s, sink, wall_us); /* its hour is not kept, or had no clock */
	if (!h)
		return;
	if (wall_us - created_us <= RATES_IN_TIME)
		h->recovered = sum(h->recovered, n);
	else
		h->late = sum(h->late, n);
	h->dirty = true;
}

static void sum_up(struct rates *to, const struct rates_hour *h, bool over)
{
	uint64_t settled = (uint64_t)h->recovered + h->late;

	to->confirmed += h->confirmed;
	to->failed += h->failed;
	to->n_timed += h->n_timed;
	to->latency_ms += h->latency_ms;
	to->max_ms = MAX(to->max_ms, h->max_ms);
	to->owed += h->owed;
	to->recovered += h->recovered;
	to->late += h->late;
	to->overdue += over && h->owed > settled ? h->owed - settled : 0;
}

void store_rates(const struct store *s, uint32_t sink, int64_t wall_us, unsigned skip,
		 unsigned n_hours, struct rates *ret)
{
	int64_t last = wall_us / HOUR_US - skip;

	*ret = (struct rates){0};
	for (size_t i = 0; i < s->rates.n; i++) {
		const struct rates_hour *h = &s->rates.hours[i];
		bool lately = h->hour == UNKNOWN_HOUR && skip == 0;

		if (h->sink == sink && (lately || (h->hour <= last && h->hour >= last - n_hours)))
			sum_up(ret, h,
			       !lately && (h->hour + 1) * HOUR_US + RATES_IN_TIME < wall_us);
	}
}

/* --- in the store -------------------------------------------------------------------------- */

void rates_load(struct store *s, int64_t hour, uint32_t sink, const void *data, size_t size)
{
	struct bytes in = bytes_make(data, size);
	struct rates_hour *h;

	if (size != BLOB_SIZE || bytes_le(&in, 4) != VERSION)
		return;
	h = find(&s->rates, sink, hour);
	h = h ? h : add(&s->rates, sink, hour);
	if (!h)
		return;
	h->confirmed = (uint32_t)bytes_le(&in, 4);
	h->failed = (uint32_t)bytes_le(&in, 4);
	h->n_timed = (uint32_t)bytes_le(&in, 4);
	h->latency_ms = bytes_le(&in, 8);
	h->max_ms = (uint32_t)bytes_le(&in, 4);
	h->owed = (uint32_t)bytes_le(&in, 4);
	h->recovered = (uint32_t)bytes_le(&in, 4);
	h->late = (uint32_t)bytes_le(&in, 4);
}

static int write_hour(struct store *s, const struct rates_hour *h)
{
	sqlite3_stmt *stmt = s->statements[SQL_PUT_HOUR];
	_cleanup_(buf_done) struct buf b = {0};

	buf_le(&b, VERSION, 4);
	buf_le(&b, h->confirmed, 4);
	buf_le(&b, h->failed, 4);
	buf_le(&b, h->n_timed, 4);
	buf_le(&b, h->latency_ms, 8);
	buf_le(&b, h->max_ms, 4);
	buf_le(&b, h->owed, 4);
	buf_le(&b, h->recovered, 4);
	buf_le(&b, h->late, 4);
	if (b.failed)
		return -ENOMEM;
	if (sqlite3_bind_int64(stmt, 1, h->hour) != SQLITE_OK ||
	    sqlite3_bind_int64(stmt, 2, h->sink) != SQLITE_OK ||
	    sqlite3_bind_blob(stmt, 3, b.data, (int)b.size, SQLITE_STATIC) != SQLITE_OK)
		return store_fail_sql(s, "hour");
	return sql_step(s, SQL_PUT_HOUR);
}

int rates_write(struct store *s, bool now)
{
	bool any = false;
	int r = 0;

	s->rates.written = false;
	if (!now && s->latest < s->rates.due)
		return 0;
	for (size_t i = 0; r == 0 && i < s->rates.n; i++)
		if (s->rates.hours[i].dirty) {
			any = true;
			r = write_hour(s, &s->rates.hours[i]);
		}
	if (r == 0 && any) {
		if (sqlite3_bind_int64(s->statements[SQL_TRIM_HOURS], 1, RATES_HOURS) != SQLITE_OK)
			return store_fail_sql(s, "hour");
		r = sql_step(s, SQL_TRIM_HOURS);
	}
	s->rates.written = any;
	return r;
}

void rates_committed(struct store *s)
{
	if (!s->rates.written)
		return;
	for (size_t i = 0; i < s->rates.n; i++)
		s->rates.hours[i].dirty = false;
	s->rates.written = false;
	s->rates.due = s->latest + s->lazy_commit;
}
