/* Decimal numbers as mantissa and exponent, written out exactly: never by way of a double. */
#pragma once

#include "util/macro.h"

/* What it takes at most, with the NUL. */
#define DECIMAL_SIZE 32

/*
 * mantissa * 10^exponent: 366, -1 is "36.6"; 12, 2 is "1200". Digits are neither dropped nor
 * invented: 970, -1 is "97.0". Where zeros would be all there is to read: "12e20". Valid JSON.
 * Into `ret`, which it returns.
 */
const char *decimal_format(int32_t mantissa, int exponent, char ret[static DECIMAL_SIZE]);
