/*
 * Any body at all as the answer to GET /v1/streams: an array sorted by stream, none twice, or
 * nothing.
 */
#include "sink/sink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(freep) struct stream_position *positions = NULL;
	struct answer a = {.status = 200, .body = data, .size = size};
	const char *why = NULL;
	size_t n = 0;
	int r = streams_parse(&a, &positions, &n, &why);

	assert(r == 0 || (r == SINK_E_NOT_UNDERSTOOD && why && !positions));
	for (size_t i = 0; i < n; i++) {
		assert(positions[i].last_seq <= INT64_MAX);
		assert(i == 0 || memcmp(positions[i - 1].stream.bytes, positions[i].stream.bytes,
					sizeof(struct uuid)) < 0);
	}
	return 0;
}
