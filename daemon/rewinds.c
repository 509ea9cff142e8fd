/*
 * A rewind: what a sink has confirmed of a stream behind some number is owed to it once more. The
 * cursor stays where it is, rows are put below it, and a server that still has the records answers
 * that they are duplicates: nothing can be lost by it, or skipped. What the rows say is committed
 * before the answer, so what the owner was told is true after a power cut, too.
 */
#include "rewinds.h"

#include "model/catalog.h"
#include "store/again.h"
#include "util/log.h"

#include <inttypes.h>
#include <stdio.h>

/* JSON of one record before it is compressed, about; what a wearable sends in one notification. */
static uint64_t record_bytes(unsigned kind)
{
	switch (kind) {
	case KIND_HEART_RATE: return 110;
	case KIND_ECG:
	case KIND_ECG_COUNTS: return 530;
	case KIND_ACCELERATION:
	case KIND_PPG: return 800;
	default: return 160;
	}
}

static uint32_t find_sink(const struct store *s, const char *name)
{
	uint32_t sink = store_sink_named(s, name);
	struct sink_info info;

	if (!sink)
		return 0;
	store_sink_info(s, sink, &info);
	return info.retired ? 0 : sink;
}

static uint32_t find_stream(const struct store *s, const struct uuid *id)
{
	struct stream_status status;

	for (uint32_t i = 1; i <= store_stream_count(s); i++) {
		store_stream_status(s, i, &status);
		if (uuid_equal(&status.info.id, id))
			return i;
	}
	return 0;
}

static int refuse(char why[static 200], const char *text)
{
	(void)snprintf(why, 200, "%s", text); /* fits */
	return CONTROL_E_REFUSED;
}

/* From which number on. STORE_E_NOTHING: there is nothing so young. */
static int find_start(struct store *s, uint32_t stream, const struct control_rewind *wish,
		      uint64_t *ret_after_seq)
{
	*ret_after_seq = wish->after_seq;
	return wish->since_us ? again_since(s, stream, wish->since_us, ret_after_seq) : 0;
}

static int send_again(struct store *s, uint32_t sink, uint32_t stream, uint64_t after_seq,
		      usec_t now, uint64_t *ret_n)
{
	struct stream_status status;
	char field[DEVICE_FIELD_SIZE];
	int r = outbox_rewind(s, sink, stream, after_seq, ret_n);

	if (r == 0)
		r = store_commit(s, now);
	if (r != 0)
		return r < 0 ? r : -EIO;
	store_stream_status(s, stream, &status);
	log_event(LOG_NOTICE, CATALOG_REWOUND, LOG_FIELDS(device_field(status.info.device, field)),
		  "The owner has %" PRIu64 " %s records of %s sent again, after %" PRIu64
		  ".%" PRIu64,
		  *ret_n, kind_name(status.info.kind), status.info.device, seq_run(after_seq),
		  after_seq & SEQ_N_MAX);
	return 0;
}

static void put_row(struct table *t, const struct store *s, uint32_t sink, uint32_t stream,
		    uint64_t after_seq, uint64_t n)
{
	struct stream_status status;
	struct sink_info info;
	struct cursor_status c;
	char id[UUID_STRING_SIZE];

	store_sink_info(s, sink, &info);
	store_stream_status(s, stream, &status);
	store_cursor_status(s, sink, stream, &c);
	uuid_format(&status.info.id, id);
	table_string(t, info.name);
	table_string(t, status.info.device);
	table_string(t, kind_name(status.info.kind));
	table_string(t, status.info.subject);
	table_string(t, id);
	table_u64(t, after_seq);
	table_u64(t, n);
	table_u64(t, n * record_bytes(status.info.kind));
	table_bool(t, c.held);
}

int rewinds_do(struct store *s, const struct control_rewind *wish, usec_t now, struct tables *ret,
	       char ret_why[static 200])
{
	struct table *t = tables_add(ret, "rewound", CONTROL_REWOUND_COLUMNS);
	uint32_t sink = find_sink(s, wish->sink), stream = find_stream(s, &wish->stream);
	uint64_t after_seq, n = 0;
	int r;

	if (!sink)
		return refuse(ret_why, "there is no such server in the configuration");
	if (!stream)
		return refuse(ret_why, "there is no such stream in this store");
	r = find_start(s, stream, wish, &after_seq);
	if (r == STORE_E_MORE)
		return refuse(ret_why, "there is too much to look through for that time; say from "
				       "which number on (--to)");
	if (r == STORE_E_CLOCK)
		return refuse(ret_why, "some records wait for the clock and have no time yet; say "
				       "from which number on (--to)");
	if (r == STORE_E_NOTHING)
		return 0;
	if (r == 0)
		r = again_count(s, sink, stream, after_seq, &n);
	if (r == 0 && n > 0 && !wish->dry_run)
		r = send_again(s, sink, stream, after_seq, now, &n);
	if (r == 0 && n > 0)
		put_row(t, s, sink, stream, after_seq, n);
	return r > 0 ? -EIO : r;
}
