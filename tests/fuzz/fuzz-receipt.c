/*
 * Any body at all as the answer to a batch. The first byte picks the status; "@" stands for the
 * batch id, so that the fuzzer need not guess a hash. Whatever comes, a receipt never acknowledges
 * what was not sent, its numbers add up, and a verdict never says anything that a terminal would
 * obey.
 */
#include "sink/sink.h"

static struct batch *batch;
static char batch_text[UUID_STRING_SIZE];

static bool sent(uint32_t stream, uint64_t seq)
{
	uint64_t n = seq & SEQ_N_MAX;

	return seq_run(seq) == 2 && n >= 1 && (stream == 7 ? n <= 6 && n != 4 : n <= 2);
}

static uint64_t sent_through(uint32_t stream, uint64_t seq)
{
	uint64_t n = 0;

	for (uint64_t s = seq_make(2, 1); s <= seq_make(2, 6); s++)
		n += s <= seq && sent(stream, s);
	return n;
}

static void make_batch(void)
{
	const struct run_info run = {.number = 2};
	struct stream_info streams[] = {
		{.number = 7, .kind = 1, .id = {{0x5d}}, .device = "", .subject = ""},
		{.number = 9, .kind = 2, .id = {{0x0b}}, .device = "", .subject = ""},
	};
	struct record r = {.type = RECORD_GAP, .clk = CLK_UTC, .gap = {.reason = 1}};
	const uint8_t *body;
	struct uuid id;
	size_t size;

	if (batch_new(&batch) < 0)
		abort();
	batch_begin(batch, "gw", &run);
	for (size_t i = 0; i < 2; i++)
		for (r.seq = seq_make(2, 1); r.seq <= seq_make(2, 6); r.seq++)
			if (sent(streams[i].number, r.seq) &&
			    batch_add(batch, &streams[i], 0, &r) < 0)
				abort();
	if (batch_finish(batch, false, &id, &body, &size) < 0)
		abort();
	uuid_format(&id, batch_text);
}

static void check_printable(const char *s)
{
	for (; *s; s++)
		assert(*s >= 0x20 && *s < 0x7f);
}

static void check_entry(const struct receipt_entry *e, bool receipt)
{
	assert(e->stream == 7 || e->stream == 9);
	assert(e->acked_through == 0 || (receipt && sent(e->stream, e->acked_through)));
	if (receipt)
		assert((uint64_t)e->accepted + e->duplicate + e->n_rejected ==
		       sent_through(e->stream, e->acked_through));
	for (size_t i = 0; i < e->n_rejected; i++) {
		const struct rejection *r = &e->rejected[i];

		assert(sent(e->stream, r->seq));
		assert(!receipt || r->seq <= e->acked_through);
		assert(i == 0 || e->rejected[i - 1].seq < r->seq);
		check_printable(r->code);
		check_printable(r->detail);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = {200, 400, 422, 200};
	_cleanup_(buf_done) struct buf body = {0};
	_cleanup_(verdict_done) struct verdict v = {0};
	struct answer a = {.contract = "1"};

	if (!batch)
		make_batch();
	if (size == 0)
		return 0;
	a.status = statuses[data[0] % 4];
	for (size_t i = 1; i < size; i++)
		if (data[i] == '@')
			buf_string(&body, batch_text);
		else
			buf_u8(&body, data[i]);
	a.body = body.data;
	a.size = body.size;
	if (receipt_judge(batch, &a, &v) < 0)
		abort();
	check_printable(v.reason);
	assert(v.class == (a.status != 200 ? VERDICT_RECORD
			   : v.entries	   ? VERDICT_RECEIPT
					   : VERDICT_TRANSIENT));
	assert(v.n_entries == (v.entries ? 2 : 0));
	for (size_t i = 0; i < v.n_entries; i++)
		check_entry(&v.entries[i], a.status == 200);
	return 0;
}
