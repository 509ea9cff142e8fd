/* The one way in which decoders refuse bytes: with the offset and a sentence. */
#include "decode/decode.h"

#include <stdarg.h>
#include <stdio.h>

int decode_fail(struct decode_error *error, int code, size_t at, const char *format, ...)
{
	va_list ap;

	if (!error)
		return code;
	error->at = at;
	va_start(ap, format);
	(void)vsnprintf(error->what, sizeof(error->what), format, ap); /* longer is cut */
	va_end(ap);
	return code;
}
