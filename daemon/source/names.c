/* Names from advertising data (Core Specification, Vol 3 Part C 11; Assigned Numbers 2.3). */
#include "source/names.h"

#include "util/bytes.h"
#include "util/utf8.h"

enum { AD_SHORT_NAME = 0x08, AD_NAME = 0x09 };

static bool is_name(const uint8_t *p, size_t size)
{
	size_t n;
	uint32_t code;

	for (; size > 0; p += n, size -= n) {
		n = utf8_character(p, size, &code);
		if (n == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0))
			return false;
	}
	return true;
}

static struct name *find(struct names *n, const char *address)
{
	for (size_t i = 0; i < NAMES_MAX; i++)
		if (streq(n->ring[i].address, address))
			return &n->ring[i];
	return NULL;
}

static void keep(struct names *n, const char *address, const uint8_t *p, size_t size)
{
	struct name *name;

	if (size == 0 || size >= NAMES_SIZE || !is_name(p, size))
		return;
	name = find(n, address);
	if (!name)
		name = &n->ring[n->next++ % NAMES_MAX];
	*name = (struct name){0};
	memcpy(name->address, address, DEVICE_ADDRESS_SIZE);
	memcpy(name->text, p, size);
}

void names_advertised(struct names *n, const char *address, const uint8_t *data, size_t size)
{
	struct bytes b = bytes_make(data, size);

	while (bytes_left(&b) > 1) {
		size_t length = bytes_u8(&b);
		uint8_t type = length > 0 ? bytes_u8(&b) : 0;
		const uint8_t *value = length > 0 ? bytes_take(&b, length - 1) : NULL;

		if (!value)
			return;
		if (type == AD_NAME || type == AD_SHORT_NAME)
			keep(n, address, value, length - 1);
	}
}

const char *names_find(const struct names *n, const char *address)
{
	for (size_t i = 0; i < NAMES_MAX; i++)
		if (streq(n->ring[i].address, address))
			return n->ring[i].text;
	return "";
}
