/*
 * Text that comes from a radio or out of a file is bytes until somebody has looked. Whoever shows
 * it or encodes it walks it a character at a time and decides what stands in for a byte that is
 * none.
 *
 *	lead      follows          from
 *	0xxxxxxx  -                U+0000
 *	110xxxxx  10xxxxxx         U+0080
 *	1110xxxx  10xxxxxx twice   U+0800
 *	11110xxx  10xxxxxx thrice  U+10000
 */
#include "util/utf8.h"

static const struct form {
	uint8_t mask;
	uint8_t lead;
	uint32_t least; /* a smaller number in this form is overlong */
} forms[] = {
	{0x80, 0x00, 0x0},
	{0xe0, 0xc0, 0x80},
	{0xf0, 0xe0, 0x800},
	{0xf8, 0xf0, 0x10000},
};

static bool is_scalar(uint32_t code)
{
	return code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
}

size_t utf8_character(const uint8_t *p, size_t size, uint32_t *ret)
{
	size_t n = 0; /* bytes that follow the lead */
	uint32_t code;

	if (size == 0)
		return 0;
	while (n < ARRAY_SIZE(forms) && (p[0] & forms[n].mask) != forms[n].lead)
		n++;
	if (n == ARRAY_SIZE(forms) || size <= n)
		return 0;
	code = (uint8_t)(p[0] & ~forms[n].mask);
	for (size_t i = 1; i <= n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (code < forms[n].least || !is_scalar(code))
		return 0;
	*ret = code;
	return n + 1;
}
