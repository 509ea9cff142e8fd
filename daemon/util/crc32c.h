/* CRC-32C (Castagnoli), the checksum of a slot in the tail. RFC 3720 B.4 has the test vectors. */
#pragma once

#include "util/macro.h"

/* `crc` is 0 for the first piece, and the last result for a piece that continues it. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);
/* The same on a processor that has no instruction for it. */
uint32_t crc32c_by_table(uint32_t crc, const void *data, size_t size);
