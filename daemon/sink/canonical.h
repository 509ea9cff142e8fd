/* The canonical bytes of a record, written where there is room. For sink/ itself; see sink.h. */
#pragma once

#include "model/record.h"

/* What the longest record needs: samples of SAMPLES_VALUES_MAX values in SAMPLES_CHANNELS_MAX. */
#define CANONICAL_MAX (17 + 22 + SAMPLES_CHANNELS_MAX + 4 * SAMPLES_VALUES_MAX)

size_t canonical_size(const struct record *r);
/* Writes canonical_size(r) bytes; returns their end. */
uint8_t *canonical_write(const struct record *r, uint8_t *p);
/* Little-endian int32, as canonical bytes and the wire have them; returns their end. */
uint8_t *canonical_write_values(const int32_t *v, size_t n, uint8_t *p);
