/*
 * The growing buffer behind payloads, bodies and pages of text. It doubles, so appending costs
 * O(1), and it remembers that memory ran out instead of asking every caller to check every append.
 */
#include "util/buf.h"

#include <stdarg.h>
#include <stdio.h>

enum { FIRST_CAPACITY = 256 };

uint8_t *buf_reserve(struct buf *b, size_t n)
{
	size_t capacity = b->capacity ? b->capacity : FIRST_CAPACITY;
	uint8_t *data;

	if (b->failed)
		return NULL;
	if (b->data && b->capacity - b->size >= n)
		return b->data + b->size;
	while (capacity - b->size < n) {
		if (capacity > SIZE_MAX / 4) {
			b->failed = true;
			return NULL;
		}
		capacity *= 2;
	}
	data = realloc(b->data, capacity);
	if (!data) {
		b->failed = true;
		return NULL;
	}
	b->data = data;
	b->capacity = capacity;
	return b->data + b->size;
}

void buf_append(struct buf *b, const void *data, size_t n)
{
	uint8_t *p = buf_reserve(b, n);

	if (!p || n == 0)
		return;
	memcpy(p, data, n);
	b->size += n;
}

void buf_printf(struct buf *b, const char *format, ...)
{
	va_list ap;
	uint8_t *p;
	int n;

	va_start(ap, format);
	n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
		return;
	}
	p = buf_reserve(b, (size_t)n + 1);
	if (!p)
		return;
	va_start(ap, format);
	(void)vsnprintf((char *)p, (size_t)n + 1, format, ap); /* measured just above */
	va_end(ap);
	b->size += (size_t)n;
}

void buf_done(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}
