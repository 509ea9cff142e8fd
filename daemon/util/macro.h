/* Small things that every room uses: ownership helpers and comparisons. */
#pragma once

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Microseconds. CLOCK_BOOTTIME unless a name says otherwise (see clock.h). */
typedef uint64_t usec_t;
#define USEC_INFINITY UINT64_MAX
#define USEC_PER_SEC  UINT64_C(1000000)
#define USEC_PER_MSEC UINT64_C(1000)

#define ARRAY_SIZE(a)	 (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)	 ((a) < (b) ? (a) : (b))
#define MAX(a, b)	 ((a) > (b) ? (a) : (b))
#define CLAMP(v, lo, hi) ((v) < (lo) ? (lo) : (v) > (hi) ? (hi) : (v))
#define _cleanup_(f)	 __attribute__((cleanup(f)))
#define _printf_(a, b)	 __attribute__((format(printf, a, b)))
#define _nonnull_	 __attribute__((nonnull))

/* Hands a local on: yields its value and forgets it, so that its cleanup does nothing. */
#define TAKE(p)                         \
	({                              \
		typeof(p) taken_ = (p); \
		(p) = NULL;             \
		taken_;                 \
	})

/* Defines x_freep() for _cleanup_ from an x_free() that takes NULL. */
#define DEFINE_CLEANUP(type, func)                                                        \
	static inline void func##p(type *p)                                               \
	{                                                                                 \
		if (*p)                                                                   \
			(void)func(*p); /* returns NULL by convention, nothing to keep */ \
	}

static inline void freep(void *p)
{
	free(*(void **)p);
}

static inline bool streq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}
