/*
 * Bytes from outside, read with a cursor that cannot leave them.
 *
 * A short read yields 0 and sets `failed`, which stays set: read a whole layout first, then ask
 * once whether it was long enough. `at` is the offset from the start, for errors that name the
 * byte.
 */
#pragma once

#include "util/macro.h"

struct bytes {
	const uint8_t *data;
	size_t size; /* of all of it */
	size_t at;   /* next byte to read */
	bool failed; /* something wanted more than there was */
};

static inline struct bytes bytes_make(const void *data, size_t size)
{
	return (struct bytes){.data = data, .size = size};
}

static inline size_t bytes_left(const struct bytes *b)
{
	return b->size - b->at;
}

/* Borrowed pointer to the next n bytes, or NULL when there are fewer. */
static inline const uint8_t *bytes_take(struct bytes *b, size_t n)
{
	const uint8_t *p = b->data + b->at;

	if (b->failed || bytes_left(b) < n) {
		b->failed = true;
		return NULL;
	}
	b->at += n;
	return p;
}

static inline uint64_t bytes_le(struct bytes *b, size_t width)
{
	const uint8_t *p = bytes_take(b, width);
	uint64_t v = 0;

	for (size_t i = 0; p && i < width; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static inline uint8_t bytes_u8(struct bytes *b)
{
	return (uint8_t)bytes_le(b, 1);
}

static inline uint16_t bytes_le16(struct bytes *b)
{
	return (uint16_t)bytes_le(b, 2);
}

static inline uint32_t bytes_le32(struct bytes *b)
{
	return (uint32_t)bytes_le(b, 4);
}

static inline uint64_t bytes_le64(struct bytes *b)
{
	return bytes_le(b, 8);
}

/* Signed, two's complement, `width` bytes (1..8). */
static inline int64_t bytes_sle(struct bytes *b, size_t width)
{
	uint64_t v = bytes_le(b, width);
	unsigned shift = 64 - 8 * (unsigned)width;

	return (int64_t)(v << shift) >> shift;
}

/* LEB128, at most ten bytes; an eleventh fails. */
static inline uint64_t bytes_varint(struct bytes *b)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint8_t c = bytes_u8(b);

		if (b->failed)
			return 0;
		v |= shift < 64 ? (uint64_t)(c & 0x7f) << shift : 0;
		if (!(c & 0x80))
			return v;
	}
	b->failed = true;
	return 0;
}

/* Zigzag: 0, -1, 1, -2, ... so that small negative numbers stay short. */
static inline int64_t bytes_svarint(struct bytes *b)
{
	uint64_t v = bytes_varint(b);

	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}
