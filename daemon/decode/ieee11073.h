/*
 * What the health services of the Bluetooth SIG share: the decimal floats of IEEE 11073-20601 and
 * Date Time (GATT Specification Supplement, 0x2A08). All read through a cursor, which fails where
 * bytes are missing.
 */
#pragma once

#include "model/record.h"
#include "util/bytes.h"

/* mantissa * 10^exponent. NaN, NRes, the infinities and what is reserved: SAMPLES_NONE, 0. */
struct decimal {
	int32_t mantissa;
	int8_t exponent;
};

struct decimal ieee11073_sfloat(struct bytes *b); /* 16 bits */
struct decimal ieee11073_float(struct bytes *b);  /* 32 bits */
/*
 * Seven bytes of local time: ns since 2000-01-01, in the zone of the wearable. 0: a field is
 * unknown, or not of a calendar, or before that day.
 */
uint64_t ieee11073_date_time(struct bytes *b);
/* Column i of the only row of `s`. */
void ieee11073_set(struct samples *s, size_t i, struct decimal value);
