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

/*
 * `return decode_fail(error, code, at, "...")`: fills `error` (may be NULL) and yields `code`. A
 * macro, so that a reader and an analyser both see what is returned.
 */
#define decode_fail(error, code, at, ...) (decode_say(error, at, __VA_ARGS__), (code))
void decode_say(struct decode_error *error, size_t at, const char *format, ...) _printf_(3, 4);
