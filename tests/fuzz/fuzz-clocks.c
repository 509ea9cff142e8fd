/*
 * Any body at all as the answer to POST /v1/clocks: taken only if it says that all of them were, so
 * the answer to one more is none.
 */
#include "sink/clocks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct answer a = {.status = 200, .contract = "1", .body = data, .size = size};
	enum clocks_verdict two = clocks_judge(&a, 2), three = clocks_judge(&a, 3);

	assert(two != CLOCKS_UNWANTED && three != CLOCKS_UNWANTED);
	assert(two != CLOCKS_TAKEN || three != CLOCKS_TAKEN);
	a.contract = NULL;
	assert(clocks_judge(&a, 2) == CLOCKS_LATER);
	return 0;
}
