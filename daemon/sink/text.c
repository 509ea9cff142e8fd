/*
 * Names from the owner's config as JSON strings. They are whatever was typed into a file: quotes
 * and control characters are escaped, and a byte that is not UTF-8 (RFC 3629: nothing overlong, no
 * surrogates, nothing above U+10FFFF) becomes U+FFFD, for a server would refuse the whole body.
 */
#include "sink/text.h"

/* By the first byte; 0 for one that starts nothing. */
static size_t length_announced(uint8_t c)
{
	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	return c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* The length of the sequence at `s`, or 0 when it is none. The NUL at the end ends a short one. */
static size_t sequence_length(const uint8_t *s)
{
	size_t n = length_announced(s[0]);

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

void text_string(struct buf *out, const char *text)
{
	const uint8_t *s = (const uint8_t *)text;

	buf_u8(out, '"');
	while (*s) {
		size_t n = sequence_length(s);

		if (n == 0)
			buf_string(out, "\xef\xbf\xbd");
		else if (*s < 0x20 || *s == 0x7f)
			buf_printf(out, "\\u%04x", *s);
		else if (*s == '"' || *s == '\\')
			buf_printf(out, "\\%c", *s);
		else
			buf_append(out, s, n);
		s += n ? n : 1;
	}
	buf_u8(out, '"');
}

void text_uuid(struct buf *out, const struct uuid *u)
{
	char text[UUID_STRING_SIZE];

	uuid_format(u, text);
	text_string(out, text);
}
