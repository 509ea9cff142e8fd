/* UTF-8 as RFC 3629 has it: no surrogates, no overlong forms, nothing beyond U+10FFFF. */
#pragma once

#include "util/macro.h"

/*
 * Bytes of the character that `p` starts with, 1 to 4, and its number; 0 where none is well-formed.
 */
size_t utf8_character(const uint8_t *p, size_t size, uint32_t *ret);
