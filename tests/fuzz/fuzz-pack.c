/* store/pack: no bytes may crash it, and what it accepts packs and unpacks to the same again. */
#include "store/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct record first, second;
	struct bytes in = bytes_make(data, size);
	struct buf once = {0}, twice = {0};

	if (record_unpack(&in, &first) == 0) {
		assert(first.type != RECORD_HEART_RATE || first.heart_rate.n_rr <= RR_MAX);
		assert(first.type != RECORD_ECG || first.ecg.n <= ECG_SAMPLES_MAX);
		assert(first.type != RECORD_SAMPLES ||
		       (first.samples.n_channels >= 1 &&
			first.samples.n_channels <= SAMPLES_CHANNELS_MAX &&
			first.samples.n * first.samples.n_channels <= SAMPLES_VALUES_MAX));
		record_pack(&first, &once);
		in = bytes_make(once.data, once.size);
		assert(record_unpack(&in, &second) == 0 && bytes_left(&in) == 0);
		record_pack(&second, &twice);
		assert(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
	}
	buf_done(&once);
	buf_done(&twice);
	return 0;
}
