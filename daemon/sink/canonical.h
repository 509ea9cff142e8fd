/* The canonical bytes of a record, written where there is room. For sink/ itself; see sink.h. */
#pragma once

#include "model/record.h"

/* What the longest record needs: an ECG frame of ECG_SAMPLES_MAX samples. */
#define CANONICAL_MAX (17 + 8 + 4 * ECG_SAMPLES_MAX)

size_t canonical_size(const struct record *r);
/* Writes canonical_size(r) bytes; returns their end. */
uint8_t *canonical_write(const struct record *r, uint8_t *p);
/* Little-endian int32, as canonical bytes and the wire have them; returns their end. */
uint8_t *canonical_write_uv(const struct ecg *e, uint8_t *p);
