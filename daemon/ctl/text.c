/*
 * Text for a terminal. Names and reasons come from wearables and servers, that is from strangers: a
 * name with an escape sequence in it must not move the cursor of somebody who debugs at night, and
 * one with Japanese in it must not push the columns apart. So all that is foreign goes through
 * text_clean() and is measured in columns, not bytes.
 */
#include "ctl/text.h"

#include "control/api.h"
#include "model/record.h"
#include "util/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define ELLIPSIS    "\xe2\x80\xa6" /* U+2026 */

enum { NARROW = 40, COLUMN_MAX = 44, WORD_MIN = 6 };

/* One character of `s`: its bytes (never 0 but at the end) and its number; U+FFFD: not UTF-8. */
static size_t next_character(const char *s, uint32_t *ret)
{
	size_t n;

	if (!*s)
		return 0;
	n = utf8_character((const uint8_t *)s, strlen(s) > 4 ? 4 : strlen(s), ret);
	if (n == 0)
		*ret = 0xfffd;
	return n ? n : 1;
}

/* C0, DEL, C1, line and paragraph separators, and the marks that turn the direction of writing. */
static bool steers(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200b && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

/* Unicode has a table for this (UAX 11); these are the ranges that wearables are named in. */
static size_t columns_of(uint32_t c)
{
	if (c >= 0x300 && c < 0x370)
		return 0; /* combining */
	if ((c >= 0x1100 && c < 0x1160) || (c >= 0x2e80 && c < 0xa4d0) ||
	    (c >= 0xac00 && c < 0xd7a4) || (c >= 0xf900 && c < 0xfb00) ||
	    (c >= 0xfe30 && c < 0xfe70) || (c >= 0xff00 && c < 0xff61) ||
	    (c >= 0x1f300 && c < 0x1f650) || (c >= 0x1f900 && c < 0x1fa00) ||
	    (c >= 0x20000 && c < 0x30000))
		return 2;
	return 1;
}

void text_clean(struct buf *out, const char *s)
{
	uint32_t c;
	size_t n;

	for (; (n = next_character(s, &c)) > 0; s += n)
		if (c == 0xfffd || steers(c))
			buf_string(out, REPLACEMENT);
		else
			buf_append(out, s, n);
}

size_t text_columns(const char *s)
{
	size_t n, columns = 0;
	uint32_t c;

	for (; (n = next_character(s, &c)) > 0; s += n)
		columns += steers(c) ? 1 : columns_of(c);
	return columns;
}

static void put(struct buf *out, const char *s, size_t n)
{
	char part[512];

	while (n) {
		size_t now = MIN(n, sizeof(part) - 1);

		while (now < n && now > 4 && ((uint8_t)s[now] & 0xc0) == 0x80)
			now--; /* not in the middle of a character */
		memcpy(part, s, now);
		part[now] = '\0';
		text_clean(out, part);
		s += now;
		n -= now;
	}
}

/* Bytes of `s` that fit into `width` columns. */
static size_t fitting(const char *s, size_t width)
{
	size_t n, bytes = 0, columns = 0;
	uint32_t c;

	while ((n = next_character(s + bytes, &c)) > 0) {
		columns += steers(c) ? 1 : columns_of(c);
		if (columns > width)
			break;
		bytes += n;
	}
	return bytes;
}

void text_cut(struct buf *out, const char *s, size_t width)
{
	if (text_columns(s) <= width) {
		text_clean(out, s);
		return;
	}
	put(out, s, fitting(s, width ? width - 1 : 0));
	buf_string(out, ELLIPSIS);
}

static void spaces(struct buf *out, size_t n)
{
	while (n--)
		buf_string(out, " ");
}

void text_wrap(struct buf *out, const char *s, size_t width, size_t indent)
{
	size_t room = width > indent + 20 ? width - indent : 20;

	while (text_columns(s) > room) {
		size_t fit = fitting(s, room), n = fit;

		while (n > 0 && s[n] != ' ')
			n--;
		n = n ? n : fit; /* a word longer than a line */
		put(out, s, n);
		s += n + (s[n] == ' ');
		buf_string(out, "\n");
		spaces(out, indent);
	}
	text_clean(out, s);
	buf_string(out, "\n");
}

const char *text_age(const struct cell *us, char ret[static TEXT_AGE_SIZE])
{
	uint64_t s;

	if (us->type != CELL_U64) {
		(void)snprintf(ret, TEXT_AGE_SIZE, "-");
		return ret;
	}
	s = us->u64 / USEC_PER_SEC;
	if (s < 120)
		(void)snprintf(ret, TEXT_AGE_SIZE, "%" PRIu64 " s", s);
	else if (s < 7200)
		(void)snprintf(ret, TEXT_AGE_SIZE, "%" PRIu64 " min", s / 60);
	else if (s < 172800)
		(void)snprintf(ret, TEXT_AGE_SIZE, "%" PRIu64 " h", s / 3600);
	else
		(void)snprintf(ret, TEXT_AGE_SIZE, "%" PRIu64 " d", s / 86400 % 100000);
	return ret;
}

const char *text_seq(uint64_t seq, char ret[static TEXT_SEQ_SIZE])
{
	if (seq)
		(void)snprintf(ret, TEXT_SEQ_SIZE, "%" PRIu64 ".%" PRIu64, seq_run(seq),
			       seq & SEQ_N_MAX);
	else
		(void)snprintf(ret, TEXT_SEQ_SIZE, "-");
	return ret;
}

/* --- tables -------------------------------------------------------------------------------- */

struct layout {
	size_t n; /* columns beside the note */
	size_t width[TABLE_MAX_COLUMNS];
	size_t gap;
};

static const char *head(const struct table *t, size_t i)
{
	return t->columns[i] + (t->columns[i][0] == '>' || t->columns[i][0] == '=');
}

static const char *at(const struct table *t, size_t row, size_t column)
{
	const struct cell *c = &t->cells[row * t->n_columns + column];

	return c->type == CELL_STRING ? c->string : "-";
}

/* On a phone: words are cut, the widest first, figures and names of which half says nothing never. */
static void squeeze(const struct table *t, size_t width, size_t total, struct layout *l)
{
	while (total > width + l->gap) {
		size_t widest = SIZE_MAX;

		for (size_t i = 0; i < l->n; i++)
			if (head(t, i) == t->columns[i] && l->width[i] > WORD_MIN &&
			    (widest == SIZE_MAX || l->width[i] > l->width[widest]))
				widest = i;
		if (widest == SIZE_MAX)
			return;
		l->width[widest]--;
		total--;
	}
}

static void measure(const struct table *t, size_t width, struct layout *ret)
{
	size_t total = 0;

	*ret = (struct layout){.n = t->n_columns, .gap = 2};
	if (ret->n && streq(t->columns[ret->n - 1], "note"))
		ret->n--;
	for (size_t i = 0; i < ret->n; i++) {
		ret->width[i] = text_columns(head(t, i));
		for (size_t row = 0; row < table_rows(t); row++)
			ret->width[i] = MAX(ret->width[i], text_columns(at(t, row, i)));
		if (width)
			ret->width[i] = MIN(ret->width[i], COLUMN_MAX);
		total += ret->width[i] + ret->gap;
	}
	if (width && total > width + ret->gap) {
		ret->gap = 1;
		squeeze(t, width, total - ret->n, ret);
	}
}

static void put_field(struct buf *out, const char *s, size_t width, bool right, bool last)
{
	size_t columns = MIN(text_columns(s), width);

	if (right)
		spaces(out, width - columns);
	text_cut(out, s, width);
	if (!right && !last)
		spaces(out, width - columns);
}

static void put_heads(struct buf *out, const struct table *t, const struct layout *l)
{
	for (size_t i = 0; i < l->n; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "%s", head(t, i));
		for (char *p = name; *p; p++)
			*p = *p == '_' ? ' ' : *p;
		spaces(out, i ? l->gap : 0);
		put_field(out, name, l->width[i], t->columns[i][0] == '>', i + 1 == l->n);
	}
	buf_string(out, "\n");
}

void text_table(struct buf *out, const struct table *t, size_t width)
{
	struct layout l;

	measure(t, width, &l);
	put_heads(out, t, &l);
	for (size_t row = 0; row < table_rows(t); row++) {
		for (size_t i = 0; i < l.n; i++) {
			spaces(out, i ? l.gap : 0);
			put_field(out, at(t, row, i), l.width[i], t->columns[i][0] == '>',
				  i + 1 == l.n);
		}
		buf_string(out, "\n");
		if (l.n == t->n_columns || !at(t, row, l.n)[0] || streq(at(t, row, l.n), "-"))
			continue;
		buf_string(out, "    ");
		text_wrap(out, at(t, row, l.n), width ? width : SIZE_MAX / 2, 4);
	}
}

size_t text_terminal_width(int fd)
{
	struct winsize size = {0};

	if (!isatty(fd))
		return 0;
	if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col < NARROW)
		return TEXT_WIDTH;
	return size.ws_col;
}

int text_flush(struct buf *out)
{
	size_t done = 0;

	if (out->failed)
		return -ENOMEM;
	while (done < out->size) {
		ssize_t n = write(STDOUT_FILENO, out->data + done, out->size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	buf_reset(out);
	return 0;
}
