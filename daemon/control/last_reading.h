/* What a wearable said last, in the words of whoever wears it: "SpO2 97 %, 61 /min". */
#pragma once

#include "model/record.h"

enum { LAST_READING_SIZE = 64, LAST_READING_VALUES = 2 };

/* As much of a record as its words need: kept of each, put into words when somebody asks. */
struct last_reading {
	uint8_t type; /* enum record_type; 0: none yet */
	uint8_t unit;
	uint8_t contact; /* enum contact */
	int8_t exponent[LAST_READING_VALUES];
	int32_t value[LAST_READING_VALUES]; /* of the newest row, the first channels */
	uint32_t dt_ns;
};

/* A gap is no reading and changes nothing. */
void last_reading_note(struct last_reading *l, const struct record *r);
/* "61 /min", "130 Hz", "36.6 °C", "120/80 mmHg"; "" of none. Into `ret`, which it returns. */
const char *last_reading_format(enum kind kind, const struct last_reading *l,
				char ret[static LAST_READING_SIZE]);
