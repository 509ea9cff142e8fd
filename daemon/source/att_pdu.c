/*
 * UUIDs are short or long in PDUs, and in no other order than the rest of them: least significant
 * byte first, where RFC 9562 has it last. The short ones are bytes 12 and 13 of a long one that is
 * the Bluetooth base UUID otherwise, and wearables may send either (Core 5.3 Vol 3 B 2.5.1).
 */
#include "source/att_pdu.h"

#include "util/uuid.h"

#include <stdio.h>

enum { LONG = sizeof(((struct uuid *)NULL)->bytes), SHORT = 2, SHORT_AT = 12 };

static const uint8_t base[LONG] = {0xfb, 0x34, 0x9b, 0x5f, 0x80, 0x00, 0x00, 0x80,
				   0x00, 0x10, 0x00, 0x00, 0,	 0,    0,    0};

uint16_t att_pdu_short_uuid(const uint8_t *uuid, size_t size)
{
	assert(size == SHORT || size == LONG);
	if (size == LONG) {
		if (memcmp(uuid, base, SHORT_AT) != 0 || uuid[14] || uuid[15])
			return 0;
		uuid += SHORT_AT;
	}
	return (uint16_t)(uuid[0] | uuid[1] << 8);
}

enum characteristic att_pdu_characteristic(const uint8_t *uuid, size_t size)
{
	uint16_t number = att_pdu_short_uuid(uuid, size);
	char text[UUID_STRING_SIZE];
	struct uuid u;

	if (number || size == SHORT) {
		(void)snprintf(text, sizeof(text), "%04x", number);
		return characteristic_parse(text);
	}
	for (size_t i = 0; i < LONG; i++)
		u.bytes[i] = uuid[LONG - 1 - i];
	uuid_format(&u, text);
	return characteristic_parse(text);
}
