/* What a receipt is held against: the streams of a finished batch. For sink/ itself; see sink.h. */
#pragma once

#include "sink/sink.h"

const struct uuid *batch_id(const struct batch *b);
/* Streams stand in the order of their ids. */
size_t batch_n_streams(const struct batch *b);
uint32_t batch_stream_number(const struct batch *b, size_t i);
/* The place of this stream; batch_n_streams() when it is not in the batch. */
size_t batch_find(const struct batch *b, const struct uuid *stream);
/* Is this record in the batch? How many of the stream's records are at or below `seq`? */
bool batch_holds(const struct batch *b, size_t i, uint64_t seq);
uint64_t batch_count_through(const struct batch *b, size_t i, uint64_t seq);
