/* Whatever comes from a netlink socket: bits that have a name, and it ends. */
#include "util/reach.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (reach_news(data, size) & ~(unsigned)(REACH_LOOK | REACH_ROUTE))
		__builtin_trap();
	return 0;
}
