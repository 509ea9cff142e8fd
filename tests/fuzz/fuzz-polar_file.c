/* Files and answers of a wearable: whatever they are, what is read of them lies in them. */
#include "decode/polar_file.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                  \
	do {                              \
		if (!(condition))         \
			__builtin_trap(); \
	} while (0)

static void read_directory(const uint8_t *data, size_t size)
{
	struct polar_entry e;
	size_t at = 0, before = 0;

	for (; polar_next_entry(data, size, &at, &e); before = at) {
		CHECK(at > before && at <= size);
		CHECK(!e.n_name || ((const uint8_t *)e.name >= data &&
				    (const uint8_t *)e.name + e.n_name <= data + size));
	}
}

static void read_samples(const uint8_t *data, size_t size)
{
	uint16_t *values = malloc((size ? size : 1) * sizeof(*values)); /* no more than promised */
	struct decode_error error = {0};
	struct polar_samples s;
	int r;

	CHECK(values);
	r = polar_samples_decode(data, size, values, &s, &error);
	CHECK(r == 0 ? s.n_bpm + s.n_rr <= size : r == DECODE_E_MALFORMED && error.what[0]);
	free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct polar_status status;

	read_directory(data, size);
	read_samples(data, size);
	if (polar_status_decode(data, size, &status, NULL) == 0)
		CHECK(strlen(status.name) <= POLAR_NAME_MAX);
	return 0;
}
