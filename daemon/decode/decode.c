/* The one way in which decoders refuse bytes: with the offset and a sentence. */
#include "decode/decode.h"

#include <stdarg.h>
#include <stdio.h>

void decode_say(struct decode_error *error, size_t at, const char *format, ...)
{
	va_list ap;

	if (!error)
		return;
	error->at = at;
	va_start(ap, format);
	(void)vsnprintf(error->what, sizeof(error->what), format, ap); /* longer is cut */
	va_end(ap);
}
