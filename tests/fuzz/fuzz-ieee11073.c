/* Any bytes as numbers and a date: never outside them, no special value with an exponent. */
#include "decode/ieee11073.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                  \
	do {                              \
		if (!(condition))         \
			__builtin_trap(); \
	} while (0)

static void check_decimal(struct decimal v, int32_t max, int exponent_max)
{
	if (v.mantissa == SAMPLES_NONE)
		CHECK(v.exponent == 0);
	else
		CHECK(v.mantissa >= -max - 1 && v.mantissa <= max &&
		      v.exponent >= -exponent_max - 1 && v.exponent <= exponent_max);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = bytes_make(data, size);

	check_decimal(ieee11073_sfloat(&b), 0x7ff, 7);
	CHECK(b.failed == (size < 2));
	check_decimal(ieee11073_float(&b), 0x7fffff, 127);
	CHECK(b.failed == (size < 6));
	CHECK(ieee11073_date_time(&b) < UINT64_C(400) * 366 * 86400 * 1000000000);
	CHECK(b.failed == (size < 13) && b.at <= size);
	return 0;
}
