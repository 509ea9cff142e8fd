/* One record as an element of "samples" in the body. For sink/ itself. */
#pragma once

#include "model/record.h"

/* Room that sample_write() may need: its text, and the slack that lets it copy in fixed sizes. */
size_t sample_bound(const struct record *r);
/* Writes the JSON of one record of a stream of `kind`; returns its end. */
uint8_t *sample_write(const struct record *r, unsigned kind, uint8_t *p);
/* Decimal digits of `v`, no NUL; needs SAMPLE_NUMBER_ROOM bytes, returns the end of the digits. */
enum { SAMPLE_NUMBER_ROOM = 20 };
uint8_t *sample_write_number(uint64_t v, uint8_t *p);
