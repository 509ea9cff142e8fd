/* A sentence about a problem: what is the matter, what follows from it, or what to do. */
#pragma once

#include "util/macro.h"

#include <stdarg.h>
#include <stdio.h>

enum { SAY_SIZE = 200 };

static inline void say(char text[static SAY_SIZE], const char *format, ...) _printf_(2, 3);
static inline void say(char text[static SAY_SIZE], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, SAY_SIZE, format, ap); /* cut where it is longer */
	va_end(ap);
}
