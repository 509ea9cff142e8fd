/*
 * Any bytes at all from the reader of a damaged store. The first four of the input are the frame's
 * size, its checksum is made right, so that the fuzzer gets past it: whatever is taken lies within
 * what was given, and its texts end.
 */
#include "store/rescue_frame.h"
#include "util/crc32c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rescue_message m;
	struct buf frame = {0};
	size_t used = 0;

	if (rescue_read(data, size, &m, &used) == 0 && used > size)
		abort();
	buf_le(&frame, 0x53455256, 4);
	buf_le(&frame, size, 4);
	buf_le(&frame, crc32c(0, data, size), 4);
	buf_append(&frame, data, size);
	if (!frame.failed && rescue_read(frame.data, frame.size, &m, &used) == 0) {
		if (used > frame.size || m.piece.payload < frame.data ||
		    m.piece.payload + m.piece.size > frame.data + frame.size)
			abort();
		if (!memchr(m.device, '\0', sizeof(m.device)) ||
		    !memchr(m.name, '\0', sizeof(m.name)))
			abort();
	}
	buf_done(&frame);
	return 0;
}
