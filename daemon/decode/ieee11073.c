/*
 * Decimal floats, and a calendar.
 *
 *	SFLOAT   16 bits: b12-15 exponent, b0-11 mantissa
 *	FLOAT    32 bits: b24-31 exponent, b0-23 mantissa      both in two's complement
 *
 * Five mantissas with exponent 0 are no numbers: NaN 7FF, "not at this resolution" 800, the
 * infinities 7FE and 802, reserved 801 (FLOAT: 7FFFFF and so on). With another exponent the same
 * mantissa is a number. Mantissa and exponent are kept apart, so that 36.40 stays what the
 * thermometer said and is not the nearest binary fraction.
 *
 *	Date Time   0 year, u16   2 month   3 day   4 hour   5 minute   6 second
 *
 * Year, month and day may be 0, unknown. A clock that nobody ever set starts where its firmware
 * says, often at 2000-01-01: that too is no time.
 */
#include "decode/ieee11073.h"

#define NS_PER_SEC UINT64_C(1000000000)

enum { EPOCH_YEAR = 2000, YEAR_MAX = 2399, SECONDS_A_DAY = 24 * 3600 };

static struct decimal make(int64_t mantissa, int64_t exponent, int64_t max)
{
	bool special = exponent == 0 && (mantissa >= max - 1 || mantissa <= -max + 1);

	if (special)
		return (struct decimal){.mantissa = SAMPLES_NONE};
	return (struct decimal){.mantissa = (int32_t)mantissa, .exponent = (int8_t)exponent};
}

/* The lowest `width` bits of v, signed. */
static int64_t low_bits(int64_t v, unsigned width)
{
	int64_t sign = INT64_C(1) << (width - 1);

	return ((v & (2 * sign - 1)) ^ sign) - sign;
}

struct decimal ieee11073_sfloat(struct bytes *b)
{
	int64_t v = bytes_sle(b, 2);

	return make(low_bits(v, 12), v >> 12, 0x7ff);
}

struct decimal ieee11073_float(struct bytes *b)
{
	int64_t v = bytes_sle(b, 4);

	return make(low_bits(v, 24), v >> 24, 0x7fffff);
}

static bool is_leap(unsigned year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static unsigned days_of(unsigned year, unsigned month)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && is_leap(year) ? 1U : 0U);
}

static uint64_t days_since_epoch(unsigned year, unsigned month, unsigned day)
{
	uint64_t days = day - 1;

	for (unsigned y = EPOCH_YEAR; y < year; y++)
		days += is_leap(y) ? 366 : 365;
	for (unsigned m = 1; m < month; m++)
		days += days_of(year, m);
	return days;
}

uint64_t ieee11073_date_time(struct bytes *b)
{
	unsigned year = bytes_le16(b), month = bytes_u8(b), day = bytes_u8(b);
	unsigned hour = bytes_u8(b), minute = bytes_u8(b), second = bytes_u8(b);
	uint64_t seconds;

	if (year < EPOCH_YEAR || year > YEAR_MAX || month < 1 || month > 12 || day < 1 ||
	    day > days_of(year, month) || hour > 23 || minute > 59 || second > 59)
		return 0;
	seconds = days_since_epoch(year, month, day) * SECONDS_A_DAY + hour * 3600U + minute * 60U +
		  second;
	return seconds * NS_PER_SEC;
}

void ieee11073_set(struct samples *s, size_t i, struct decimal value)
{
	s->value[i] = value.mantissa;
	s->exponent[i] = value.exponent;
}
