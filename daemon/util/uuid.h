/* UUIDs in RFC 9562's byte order. */
#pragma once

#include "util/macro.h"

#define UUID_STRING_SIZE 37 /* with the NUL */

struct uuid {
	uint8_t bytes[16];
};

/* Version 4, from the kernel. < 0: no randomness to be had. */
int uuid_random(struct uuid *ret);
/* Version 5: SHA-1 over the namespace and the name. */
int uuid_v5(const struct uuid *space, const void *name, size_t size, struct uuid *ret);
void uuid_format(const struct uuid *u, char ret[static UUID_STRING_SIZE]);
/* False when `s` is not 8-4-4-4-12 hexadecimal digits. */
bool uuid_parse(const char *s, struct uuid *ret);

static inline bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}
