/*
 * Reads the export back. Strict in what matters and bounded in everything: a file that was cut,
 * edited or belongs to something else is refused as a whole, with the line, before anything is sent
 * again because of it. Only this file is JSON that does not come from a server, and it is ours: so
 * this is a reader of that one shape, which passes over what it does not ask for.
 */
#include "model/anchor_file.h"

#include "util/array.h"

#include <stdarg.h>
#include <stdio.h>

enum { DEPTH_MAX = 8, KEY_SIZE = 32 };

struct reader {
	const char *name;
	const char *data;
	size_t at, size;
	unsigned line;
	struct buf *problem;
	struct anchor_file *file;
	size_t capacity;
	bool format, version, incarnation, anchors; /* was there */
};

struct anchor_file *anchor_file_free(struct anchor_file *f)
{
	if (!f)
		return NULL;
	free(f->entries);
	free(f);
	return NULL;
}

_printf_(3, 4) static int complain(struct reader *r, unsigned line, const char *format, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap); /* our words and bounded names: it fits */
	va_end(ap);
	buf_printf(r->problem, "%s:%u: %s\n", r->name, line, text);
	return ANCHOR_FILE_E_BAD;
}

/* --- JSON ---------------------------------------------------------------------------------- */

/* The next character that is no white space, not taken; '\0' at the end. */
static char peek(struct reader *r)
{
	while (r->at < r->size && strchr(" \t\r\n", r->data[r->at]) && r->data[r->at])
		r->line += r->data[r->at++] == '\n';
	return r->at < r->size ? r->data[r->at] : '\0';
}

static bool take(struct reader *r, char c)
{
	if (peek(r) != c || r->at == r->size)
		return false;
	r->at++;
	return true;
}

static int expect(struct reader *r, char c)
{
	if (take(r, c))
		return 0;
	if (peek(r) == '\0')
		return complain(r, r->line, "the file ends too early; was it cut?");
	return complain(r, r->line, "'%c' is missing here; was the file edited?", c);
}

/* One character of a string; what is escaped and not ASCII becomes '?': no name of ours has any. */
static int read_character(struct reader *r, char *ret)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	unsigned code = 0;
	const char *p;

	*ret = r->data[r->at++];
	if ((unsigned char)*ret < 0x20)
		return complain(r, r->line, "a string does not end in its line");
	if (*ret != '\\')
		return 0;
	if (r->at == r->size)
		return expect(r, '"');
	p = r->data[r->at] ? strchr(names, r->data[r->at]) : NULL;
	if (p) {
		*ret = values[p - names];
		r->at++;
		return 0;
	}
	if (r->data[r->at] != 'u' || r->size - r->at < 5)
		return complain(r, r->line, "a string has an escape that JSON does not know");
	for (size_t i = 1; i <= 4; i++) {
		static const char digits[] = "0123456789abcdefABCDEF";
		const char *d = r->data[r->at + i] ? strchr(digits, r->data[r->at + i]) : NULL;

		if (!d)
			return complain(r, r->line,
					"a string has an escape that JSON does not know");
		code = code * 16 + (unsigned)(d - digits < 16 ? d - digits : d - digits - 6);
	}
	r->at += 5;
	*ret = code >= 0x20 && code < 0x7f ? (char)code : '?';
	return 0;
}

/* Into `ret`; what does not fit becomes "", which is no value of ours. */
static int read_string(struct reader *r, char *ret, size_t size)
{
	size_t n = 0;
	int k = expect(r, '"');

	while (k == 0 && r->at < r->size && r->data[r->at] != '"') {
		char c;

		k = read_character(r, &c);
		if (k == 0 && n < size)
			ret[n++] = c;
	}
	if (k != 0)
		return k;
	if (n == size)
		n = 0;
	ret[n] = '\0';
	if (r->at == r->size)
		return expect(r, '"');
	r->at++;
	return 0;
}

static int read_number(struct reader *r, const char *what, uint64_t *ret)
{
	uint64_t v = 0;
	size_t n = 0;

	for (char c = peek(r); r->at < r->size && c >= '0' && c <= '9'; n++) {
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(c - '0'), &v))
			return complain(r, r->line, "%s is too large", what);
		c = ++r->at < r->size ? r->data[r->at] : '\0';
	}
	if (n == 0 || (r->at < r->size && strchr(".eE", r->data[r->at]) && r->data[r->at]))
		return complain(r, r->line, "%s has to be a whole number", what);
	*ret = v;
	return 0;
}

static int skip_value(struct reader *r, unsigned depth);

static int skip_members(struct reader *r, char close, unsigned depth)
{
	char key[KEY_SIZE];
	int k = 0;

	r->at++;
	if (take(r, close))
		return 0;
	do {
		if (close == '}')
			k = read_string(r, key, sizeof(key));
		if (k == 0 && close == '}')
			k = expect(r, ':');
		if (k == 0)
			k = skip_value(r, depth + 1);
	} while (k == 0 && take(r, ','));
	return k ? k : expect(r, close);
}

static int skip_word(struct reader *r)
{
	size_t from = r->at;

	while (r->at < r->size && r->data[r->at] &&
	       strchr("+-.0123456789aeflnrstuE", r->data[r->at]))
		r->at++;
	return r->at > from ? 0 : complain(r, r->line, "a value is missing here");
}

static int skip_value(struct reader *r, unsigned depth)
{
	char ignored[KEY_SIZE];

	if (depth > DEPTH_MAX)
		return complain(r, r->line, "this is nested too deeply to be one of our files");
	switch (peek(r)) {
	case '{': return skip_members(r, '}', depth);
	case '[': return skip_members(r, ']', depth);
	case '"': return read_string(r, ignored, sizeof(ignored));
	default: return skip_word(r);
	}
}

/* --- the file ------------------------------------------------------------------------------ */

static int read_uuid(struct reader *r, const char *what, struct uuid *ret)
{
	char text[UUID_STRING_SIZE];
	int k = read_string(r, text, sizeof(text));

	if (k == 0 && !uuid_parse(text, ret))
		return complain(r, r->line, "%s has to be a UUID", what);
	return k;
}

struct entry_read {
	struct anchor_entry entry;
	bool sink, stream, anchor;
};

static int read_entry_member(struct reader *r, const char *key, struct entry_read *e)
{
	if (streq(key, "sink")) {
		e->sink = true;
		return read_string(r, e->entry.sink, sizeof(e->entry.sink));
	}
	if (streq(key, "stream")) {
		e->stream = true;
		return read_uuid(r, "stream", &e->entry.stream);
	}
	if (streq(key, "anchor")) {
		e->anchor = true;
		return read_number(r, "anchor", &e->entry.anchor);
	}
	return skip_value(r, 2);
}

static int add_entry(struct reader *r, const struct entry_read *e)
{
	struct anchor_file *f = r->file;
	struct anchor_entry *entries;

	if (!e->sink || !e->entry.sink[0] || !e->stream || !e->anchor)
		return complain(r, e->entry.line, "an anchor needs sink, stream and anchor");
	for (size_t i = 0; i < f->n; i++)
		if (streq(f->entries[i].sink, e->entry.sink) &&
		    uuid_equal(&f->entries[i].stream, &e->entry.stream))
			return complain(r, e->entry.line,
					"this sink and stream are in line %u already",
					f->entries[i].line);
	if (f->n == ANCHOR_FILE_ENTRIES)
		return complain(r, e->entry.line, "there are too many anchors");
	entries = array_reserve(f->entries, sizeof(*entries), f->n + 1, &r->capacity);
	if (!entries)
		return -ENOMEM;
	f->entries = entries;
	f->entries[f->n++] = e->entry;
	return 0;
}

typedef int (*member_fn)(struct reader *r, const char *key, void *userdata);

static int read_object(struct reader *r, member_fn fn, void *userdata)
{
	char key[KEY_SIZE];
	int k = expect(r, '{');

	if (k != 0 || take(r, '}'))
		return k;
	do {
		k = read_string(r, key, sizeof(key));
		if (k == 0)
			k = expect(r, ':');
		if (k == 0)
			k = fn(r, key, userdata);
	} while (k == 0 && take(r, ','));
	return k ? k : expect(r, '}');
}

static int on_entry_member(struct reader *r, const char *key, void *userdata)
{
	return read_entry_member(r, key, userdata);
}

static int read_entries(struct reader *r)
{
	int k = expect(r, '[');

	if (k != 0 || take(r, ']'))
		return k;
	do {
		struct entry_read e = {0};

		(void)peek(r); /* to the line in which it begins */
		e.entry.line = r->line;
		k = read_object(r, on_entry_member, &e);
		if (k == 0)
			k = add_entry(r, &e);
	} while (k == 0 && take(r, ','));
	return k ? k : expect(r, ']');
}

static int read_format(struct reader *r)
{
	char text[KEY_SIZE];
	int k = read_string(r, text, sizeof(text));

	if (k == 0 && !streq(text, ANCHOR_FILE_FORMAT))
		return complain(r, r->line, "this is no file of `vitalctl anchors export`");
	return k;
}

static int read_version(struct reader *r)
{
	uint64_t version = 0;
	int k = read_number(r, "version", &version);

	if (k == 0 && version != ANCHOR_FILE_VERSION)
		return complain(r, r->line, "this vitalctl knows version %d of the format only",
				ANCHOR_FILE_VERSION);
	return k;
}

static int on_member(struct reader *r, const char *key, void *userdata)
{
	static const char *const known[] = {"format", "version", "incarnation", "anchors"};
	bool *const there[] = {&r->format, &r->version, &r->incarnation, &r->anchors};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (!streq(key, known[i]))
			continue;
		if (*there[i])
			return complain(r, r->line, "%s is there twice", key);
		*there[i] = true;
		switch (i) {
		case 0: return read_format(r);
		case 1: return read_version(r);
		case 2: return read_uuid(r, "incarnation", &r->file->incarnation);
		default: return read_entries(r);
		}
	}
	return skip_value(r, 1);
}

int anchor_file_parse(const char *name, const void *data, size_t size, struct buf *problem,
		      struct anchor_file **ret)
{
	_cleanup_(anchor_file_freep) struct anchor_file *file = calloc(1, sizeof(*file));
	struct reader r = {.name = name,
			   .data = data,
			   .size = size,
			   .line = 1,
			   .problem = problem,
			   .file = file};
	int k;

	if (!file)
		return -ENOMEM;
	if (size > ANCHOR_FILE_MAX)
		return complain(&r, 1, "this is too large to be one of our files");
	k = read_object(&r, on_member, NULL);
	if (k == 0 && (peek(&r) != '\0' || r.at < r.size))
		k = complain(&r, r.line, "something follows the end of the file's object");
	if (k == 0 && (!r.format || !r.version || !r.incarnation || !r.anchors))
		k = complain(&r, r.line,
			     "format, version, incarnation or anchors is missing: this is no file "
			     "of `vitalctl anchors export`");
	if (k != 0)
		return k;
	*ret = TAKE(file);
	return 0;
}
