/*
 * UUIDs are short or long in PDUs and in no other order than the rest of them: least significant
 * byte first, where RFC 9562 has it last.
 */
#include "source/att_pdu.h"

#include "util/uuid.h"

#include <stdio.h>

enum characteristic att_pdu_characteristic(const uint8_t *uuid, size_t size)
{
	char text[UUID_STRING_SIZE];
	struct uuid u;

	assert(size == 2 || size == sizeof(u.bytes));
	if (size == 2) {
		(void)snprintf(text, sizeof(text), "%02x%02x", uuid[1], uuid[0]);
	} else {
		for (size_t i = 0; i < sizeof(u.bytes); i++)
			u.bytes[i] = uuid[sizeof(u.bytes) - 1 - i];
		uuid_format(&u, text);
	}
	return characteristic_parse(text);
}
