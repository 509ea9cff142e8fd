/*
 * JSON, written forwards into a buf. Batches carry hundreds of thousands of integers a second when
 * a backlog drains, so integers are formatted here, two digits at a time, and never by printf.
 *
 * A value asks for a comma when something stands before it at its level; what opens a level and
 * what names a key take the wish away, what closes a level leaves it behind:
 *
 *	{ "a" : 1 , "b" : [ 2 , 3 ] }
 *	  ^     ^ ^     ^ ^ ^ ^ ^ ^ ^   comma:  no no yes no no no yes no yes yes
 *
 * Nothing checks that brackets pair or that an object's values have keys: the callers are ours and
 * their tests read the result back. Memory that runs out shows in buf.failed, once, at the end.
 */
#include "util/json.h"

#include "util/utf8.h"

#include <math.h>
#include <stdio.h>

enum { INTEGER_MAX = 20, ESCAPE_MAX = 6 };

static const char digit_pairs[] = "00010203040506070809"
				  "10111213141516171819"
				  "20212223242526272829"
				  "30313233343536373839"
				  "40414243444546474849"
				  "50515253545556575859"
				  "60616263646566676869"
				  "70717273747576777879"
				  "80818283848586878889"
				  "90919293949596979899";

/* Room for the comma, which is written, and for n bytes more. */
static uint8_t *begin_value(struct json *j, size_t n)
{
	uint8_t *p = buf_reserve(j->out, n + 1);

	if (p && j->comma)
		*p++ = ',';
	j->comma = true;
	return p;
}

static void end_value(struct json *j, const uint8_t *end)
{
	j->out->size = (size_t)(end - j->out->data);
}

static void write_word(struct json *j, const char *word)
{
	size_t n = strlen(word);
	uint8_t *p = begin_value(j, n);

	if (!p)
		return;
	memcpy(p, word, n);
	end_value(j, p + n);
}

static uint8_t *write_digits(uint8_t *p, uint64_t v)
{
	char digits[INTEGER_MAX];
	size_t at = sizeof(digits);

	for (; v >= 100; v /= 100) {
		at -= 2;
		memcpy(digits + at, digit_pairs + 2 * (v % 100), 2);
	}
	if (v >= 10) {
		at -= 2;
		memcpy(digits + at, digit_pairs + 2 * v, 2);
	} else {
		digits[--at] = (char)('0' + v);
	}
	memcpy(p, digits + at, sizeof(digits) - at);
	return p + sizeof(digits) - at;
}

static size_t escape(uint8_t c, char ret[static ESCAPE_MAX + 1])
{
	static const char shorthand[] = "\"\"\\\\\bb\ff\nn\rr\tt";

	for (size_t i = 0; shorthand[i]; i += 2) {
		if (c != (uint8_t)shorthand[i])
			continue;
		ret[0] = '\\';
		ret[1] = shorthand[i + 1];
		return 2;
	}
	return (size_t)snprintf(ret, ESCAPE_MAX + 1, "\\u%04x", c);
}

static void write_text(struct buf *out, const char *s)
{
	const uint8_t *text = (const uint8_t *)s;
	size_t size = strlen(s), from = 0, at = 0;
	char escaped[ESCAPE_MAX + 1];
	uint32_t code = 0;

	while (at < size) {
		size_t n = utf8_character(text + at, size - at, &code);

		if (n > 0 && code >= 0x20 && code != '"' && code != '\\') {
			at += n;
			continue;
		}
		buf_append(out, text + from, at - from);
		if (n == 0)
			buf_string(out, "\xef\xbf\xbd");
		else
			buf_append(out, escaped, escape(text[at], escaped));
		from = ++at;
	}
	buf_append(out, text + from, at - from);
}

void json_open(struct json *j, char bracket)
{
	uint8_t *p = begin_value(j, 1);

	if (p) {
		*p++ = (uint8_t)bracket;
		end_value(j, p);
	}
	j->comma = false;
}

void json_close(struct json *j, char bracket)
{
	buf_u8(j->out, (uint8_t)bracket);
	j->comma = true;
}

void json_key(struct json *j, const char *key)
{
	json_text(j, key);
	buf_u8(j->out, ':');
	j->comma = false;
}

void json_text(struct json *j, const char *s)
{
	write_word(j, "\"");
	write_text(j->out, s);
	buf_u8(j->out, '"');
}

void json_int(struct json *j, int64_t v)
{
	uint8_t *p = begin_value(j, INTEGER_MAX);

	if (!p)
		return;
	if (v < 0)
		*p++ = '-';
	end_value(j, write_digits(p, v < 0 ? -(uint64_t)v : (uint64_t)v));
}

void json_uint(struct json *j, uint64_t v)
{
	uint8_t *p = begin_value(j, INTEGER_MAX);

	if (p)
		end_value(j, write_digits(p, v));
}

/* The fewest digits that read back as the same number. No program of ours leaves the C locale. */
void json_double(struct json *j, double v)
{
	char text[32] = "null";

	for (int precision = 15; isfinite(v) && precision <= 17; precision++) {
		(void)snprintf(text, sizeof(text), "%.*g", precision, v); /* at most 24 */
		if (strtod(text, NULL) == v)
			break;
	}
	write_word(j, text);
}

void json_bool(struct json *j, bool v)
{
	write_word(j, v ? "true" : "false");
}

void json_none(struct json *j)
{
	write_word(j, "null");
}
