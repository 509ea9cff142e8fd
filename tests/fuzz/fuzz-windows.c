/*
 * Any body at all as the answer to GET /v1/streams/<id>/windows: windows that ascend, each inside of
 * one that was asked for, or nothing. The first bytes choose what was asked.
 */
#include "sink/sink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(freep) struct window *windows = NULL;
	struct answer a = {.status = 200};
	struct windows_query q;
	const char *why = NULL;
	size_t n = 0;
	int r;

	if (size < 2)
		return 0;
	q.from_seq = data[0];
	q.to_seq = q.from_seq + (uint64_t)data[1] * 8;
	q.width = 1 + data[0] % 16;
	a.body = data + 2;
	a.size = size - 2;
	r = windows_parse(&a, &q, &windows, &n, &why);
	assert(r == 0 || (r == SINK_E_NOT_UNDERSTOOD && why && !windows));
	assert(n <= (q.to_seq - q.from_seq) / q.width + 1);
	for (size_t i = 0; i < n; i++) {
		const struct window *w = &windows[i];

		assert(w->first >= q.from_seq && w->first <= w->last && w->last <= q.to_seq);
		assert(w->count >= 1 && w->count <= q.width);
		assert(i == 0 || windows[i - 1].last < w->first);
	}
	return 0;
}
