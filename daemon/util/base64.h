/* Base64, RFC 4648 section 4, with padding. Encoding only: nobody sends us any. */
#pragma once

#include "util/macro.h"

/* How many characters `size` bytes become. */
static inline size_t base64_size(size_t size)
{
	return (size + 2) / 3 * 4;
}

/* Writes base64_size(size) characters and no NUL. */
void base64_encode(const void *data, size_t size, char *ret);
