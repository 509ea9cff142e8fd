/*
 * What every decoder shares: how it says that bytes are not what they should be. Decoders are pure
 * functions of their bytes; what they cannot decode is counted and kept by the caller, never
 * guessed.
 */
#pragma once

#include "util/macro.h"

enum {
	DECODE_E_MALFORMED = 1,	  /* breaks the format's own rules */
	DECODE_E_UNSUPPORTED = 2, /* well-formed as far as we can tell, but not a layout we know */
};

struct decode_error {
	size_t at;     /* offset of the byte that is wrong, or the size where bytes are missing */
	char what[96]; /* a sentence for a person with the hex in front of them */
};

/* Fills `error` (may be NULL) and returns `code`, so that a decoder can `return decode_fail(...)`.
 */
int decode_fail(struct decode_error *error, int code, size_t at, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
