/* What a wearable said last, in the words of whoever wears it: "SpO2 97 %, 61 /min". */
#pragma once

#include "model/record.h"

#define LAST_READING_SIZE 64

/* "61 /min", "130 Hz", "36.6 Cel", "120/80 mmHg"; "" of a gap. Into `ret`, which it returns. */
const char *last_reading_format(enum kind kind, const struct record *r,
				char ret[static LAST_READING_SIZE]);
