/* Whatever the parser of the simulator's messages takes, it can write again, byte for byte. */
#include "source/handover.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char again[HANDOVER_SIZE];
	struct handover m;

	if (handover_parse(data, size, &m) != 0)
		return 0;
	if (handover_format(&m, again) != size || memcmp(again, data, size) != 0)
		__builtin_trap();
	return 0;
}
