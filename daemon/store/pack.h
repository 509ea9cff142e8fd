/*
 * The content of a record as bytes, the same in a slot of the tail and in a row of the log.
 *
 *   heart_rate  head u8: type b0-1, contact b2-3, energy present b4, n_rr b5-7 (7: n_rr follows)
 *               bpm varint, [energy_kj varint], [n_rr varint], rr varint...
 *   ecg         head u8: type
 *               sensor_ns u64, dt_ns varint, n varint, first sample zigzag varint,
 *               differences zigzag varint...
 *   gap         head u8: type
 *               reason u8, n varint, duration_us zigzag varint
 */
#pragma once

#include "model/record.h"
#include "util/buf.h"
#include "util/bytes.h"

void record_pack(const struct record *r, struct buf *out);
/* Sets type and content of `ret`. -EBADMSG: these bytes were not made by record_pack(). */
int record_unpack(struct bytes *in, struct record *ret);
