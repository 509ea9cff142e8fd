/*
 * What wearables call themselves, picked up from their advertisements. A ring: the last ones heard
 * are remembered.
 */
#pragma once

#include "model/frame.h"

enum { NAMES_MAX = 64, NAMES_SIZE = 32 /* with the NUL; an advertisement holds 29 */ };

struct names {
	struct name {
		char address[DEVICE_ADDRESS_SIZE];
		char text[NAMES_SIZE];
	} ring[NAMES_MAX];
	size_t next;
};

/*
 * Advertising data: {u8 length, type, value}. What is not whole ends it, and a name that cannot be
 * shown on a terminal is none.
 */
void names_advertised(struct names *n, const char *address, const uint8_t *data, size_t size);
/* "" if it never said. */
const char *names_find(const struct names *n, const char *address);
