/* Delta-compressed samples, as Polar's measurement data packs them. */
#pragma once

#include "decode/decode.h"
#include "util/bytes.h"

enum { DELTA_CHANNELS_MAX = 17 };

/* A payload that has been measured: unpacking it cannot fail. */
struct delta {
	struct bytes bytes; /* at the first block */
	size_t n_channels;
	uint32_t n; /* samples, the reference included */
	int32_t reference[DELTA_CHANNELS_MAX];
};

/*
 * Walks what is left of `payload`: a reference of n_channels (1 to DELTA_CHANNELS_MAX) values of
 * `width` bytes, then blocks. More than `max` samples are malformed.
 */
int delta_measure(const struct bytes *payload, size_t n_channels, size_t width, uint32_t max,
		  struct delta *ret, struct decode_error *error);
/* Writes n * n_channels values, the channels of a sample side by side. Once. */
void delta_unpack(struct delta *d, int32_t *ret);
