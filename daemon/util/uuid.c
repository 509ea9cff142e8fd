/*
 * Identities: of the store (random), of streams and of batches (derived, so that the same thing has
 * the same name on every start). sd_id128 derives with HMAC-SHA256, which no other program can
 * repeat from a UUID; version 5 is what receivers know.
 */
#include "util/uuid.h"

#include "util/digest.h"

#include <stdio.h>
#include <sys/random.h>

static void set_version(struct uuid *u, unsigned version)
{
	u->bytes[6] = (uint8_t)((u->bytes[6] & 0x0f) | version << 4);
	u->bytes[8] = (uint8_t)((u->bytes[8] & 0x3f) | 0x80);
}

int uuid_random(struct uuid *ret)
{
	struct uuid u;

	if (getrandom(u.bytes, sizeof(u.bytes), 0) != (ssize_t)sizeof(u.bytes))
		return errno ? -errno : -EIO;
	set_version(&u, 4);
	*ret = u;
	return 0;
}

int uuid_v5(const struct uuid *space, const void *name, size_t size, struct uuid *ret)
{
	uint8_t hash[DIGEST_SHA1_SIZE];
	struct uuid u;
	int r;

	r = digest_sha1_two(space->bytes, sizeof(space->bytes), name, size, hash);
	if (r < 0)
		return r;
	memcpy(u.bytes, hash, sizeof(u.bytes));
	set_version(&u, 5);
	*ret = u;
	return 0;
}

void uuid_format(const struct uuid *u, char ret[static UUID_STRING_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	char *out = ret;

	for (size_t i = 0; i < sizeof(u->bytes); i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		*out++ = digits[u->bytes[i] >> 4];
		*out++ = digits[u->bytes[i] & 15];
	}
	*out = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool uuid_parse(const char *s, struct uuid *ret)
{
	struct uuid u;

	if (strlen(s) != UUID_STRING_SIZE - 1)
		return false;
	for (size_t i = 0; i < sizeof(u.bytes); i++) {
		int high, low;

		if (i == 4 || i == 6 || i == 8 || i == 10)
			if (*s++ != '-')
				return false;
		high = hex_digit(*s++);
		low = hex_digit(*s++);
		if (high < 0 || low < 0)
			return false;
		u.bytes[i] = (uint8_t)(high << 4 | low);
	}
	*ret = u;
	return true;
}
