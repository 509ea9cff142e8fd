/*
 * Medical devices send 36.6 as 366 and -1 (IEEE 11073-20601). A double would make 36.600000000000001
 * of it on its way to a server, and two servers might round it two ways; so the point is put where
 * it belongs by hand, from the last digit to the first.
 *
 *     exponent    -2      -1      0       2
 *     366         3.66    36.6    366     36600
 *     5           0.05    0.5     5       500
 */
#include "util/decimal.h"

#include <inttypes.h>
#include <stdio.h>

enum { ZEROS_MAX = 9, PLACES_MAX = 12 }; /* beyond is no measurement any more: e20 */

const char *decimal_format(int32_t mantissa, int exponent, char ret[static DECIMAL_SIZE])
{
	int64_t rest = mantissa < 0 ? -(int64_t)mantissa : mantissa;
	char text[DECIMAL_SIZE], *at = text + sizeof(text);
	int places = exponent < 0 ? -exponent : 0;

	if (exponent > ZEROS_MAX || places > PLACES_MAX) {
		(void)snprintf(ret, DECIMAL_SIZE, "%" PRId32 "e%d", mantissa, exponent); /* fits */
		return ret;
	}
	*--at = '\0';
	for (int i = 0; i < exponent && mantissa; i++)
		*--at = '0';
	for (int written = 0; rest || written <= places; written++) {
		if (written == places && places)
			*--at = '.';
		*--at = (char)('0' + rest % 10);
		rest /= 10;
	}
	if (mantissa < 0)
		*--at = '-';
	memcpy(ret, at, (size_t)(text + sizeof(text) - at));
	return ret;
}
