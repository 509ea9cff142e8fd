/*
 * A buffer that grows at its end. Running out of memory sets `failed`, which stays set and makes
 * every later append do nothing: write a whole thing first, then ask once.
 */
#pragma once

#include "util/macro.h"

struct buf {
	uint8_t *data;
	size_t size;
	size_t capacity;
	bool failed;
};

/* Makes room for `n` more bytes; NULL (and failed) if there is none. Does not change size. */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_append(struct buf *b, const void *data, size_t n);
void buf_printf(struct buf *b, const char *format, ...) _printf_(2, 3);
/* Frees the memory and makes it empty, ready for use. */
void buf_done(struct buf *b);

/* Forgets the content, keeps the memory. */
static inline void buf_reset(struct buf *b)
{
	b->size = 0;
	b->failed = false;
}

static inline void buf_string(struct buf *b, const char *s)
{
	buf_append(b, s, strlen(s));
}

/* Little-endian, `width` bytes (1..8). */
static inline void buf_le(struct buf *b, uint64_t v, size_t width)
{
	uint8_t *p = buf_reserve(b, width);

	for (size_t i = 0; p && i < width; i++)
		p[i] = (uint8_t)(v >> (8 * i));
	if (p)
		b->size += width;
}

static inline void buf_u8(struct buf *b, uint8_t v)
{
	buf_le(b, v, 1);
}

/* LEB128, as bytes_varint() reads it. */
static inline void buf_varint(struct buf *b, uint64_t v)
{
	uint8_t *p = buf_reserve(b, 10);
	size_t n = 0;

	if (!p)
		return;
	for (; v >= 0x80; v >>= 7)
		p[n++] = (uint8_t)(v | 0x80);
	p[n++] = (uint8_t)v;
	b->size += n;
}

static inline void buf_svarint(struct buf *b, int64_t v)
{
	buf_varint(b, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}
