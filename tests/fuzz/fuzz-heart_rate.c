/* Any bytes as 2A37 and 2A38: what is accepted is bounded and agrees with its own flags. */
#include "decode/heart_rate.h"
#include "model/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                  \
	do {                              \
		if (!(condition))         \
			__builtin_trap(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct decode_error error = {.at = SIZE_MAX};
	struct heart_rate h;
	uint8_t location;
	int r;

	r = heart_rate_decode(data, size, &h, &error);
	if (r == 0) {
		CHECK(size >= 2 && size <= FRAME_MAX);
		CHECK(h.n_rr <= RR_MAX && 2U * h.n_rr + 2 <= size);
		CHECK(h.energy_kj >= -1 && h.energy_kj <= UINT16_MAX);
		CHECK((data[0] & 0x10) || h.n_rr == 0);
	} else {
		CHECK(r == DECODE_E_MALFORMED && error.at <= size && error.what[0]);
	}
	r = body_location_decode(data, size, &location, &error);
	CHECK(r == 0 ? size == 1 && body_location_name(location) : error.at <= size);
	return 0;
}
