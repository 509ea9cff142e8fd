/* 0x2A19 Battery Level, and the strings of 0x180A Device Information. */
#pragma once

#include "decode/decode.h"

#define DEVICE_STRING_SIZE 65 /* with the NUL; longer ones are cut at a character */

/* Percent, 0 to 100; more is malformed. */
int battery_decode(const uint8_t *data, size_t size, uint8_t *ret_percent,
		   struct decode_error *error);
/* UTF-8; trailing NULs and blanks dropped, control characters and bad UTF-8 become '?'. */
int device_string_decode(const uint8_t *data, size_t size, char ret[static DEVICE_STRING_SIZE],
			 struct decode_error *error);
