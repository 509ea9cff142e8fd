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
 *   samples     head u8: b0-1 are 0 and b2 is 1; present: sensor_ns b3, dt_ns b4, status b5,
 *                        exponents b6; b7 is 0
 *               unit u8, n_channels u8, n varint, [sensor_ns u64], [dt_ns varint],
 *               [status varint], [exponent i8 a channel], first row zigzag varints, differences
 *               from the row above zigzag varints...
 */
#pragma once

#include "model/record.h"
#include "util/buf.h"
#include "util/bytes.h"

void record_pack(const struct record *r, struct buf *out);
/* Sets type and content of `ret`. -EBADMSG: these bytes were not made by record_pack(). */
int record_unpack(struct bytes *in, struct record *ret);
