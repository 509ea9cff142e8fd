/* Arrays that grow. */
#pragma once

#include "util/macro.h"

/*
 * `items` with room for `n` of `size` bytes each, moved if there were fewer: at least doubled, so that
 * one after the other may be asked for. NULL: no memory, and they stand as they were.
 */
static inline void *array_reserve(void *items, size_t size, size_t n, size_t *capacity)
{
	size_t wider = MAX(*capacity, (size_t)16);
	void *moved;

	while (wider < n)
		wider *= 2;
	if (wider == *capacity)
		return items;
	moved = reallocarray(items, wider, size);
	if (moved)
		*capacity = wider;
	return moved;
}
