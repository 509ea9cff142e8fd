/*
 * Our own reader of INI files, because an owner at three in the morning needs the line of a
 * mistake, and because a value that was silently cut is worse than one that is refused. It
 * promises: each mistake is named with file and line, nothing is guessed, nothing is cut, and no
 * input takes more than the limits in the header.
 *
 *   # comment, ; comment      on a line of their own: a value may contain both characters
 *   [name]                    a-z 0-9 _ -
 *   [name "arg"]              anything but a quote
 *   key = value               key: a-z 0-9 _; the value goes to the end of the line, without quotes
 *
 * A line may end in CR LF and a file may start with a byte-order mark: editors do that. A section
 * may come again and goes on where it stopped, but a key may stand only once in it: of two values
 * one is not what its owner believes. After a heading that cannot be read, lines up to the next
 * heading are skipped, so that one mistake is told once.
 */
#include "util/ini.h"

#include "util/array.h"

struct ini {
	char *text; /* the file, cut up by NULs; entries point into it */
	struct ini_entry *entries;
	size_t n;
	size_t capacity;
};

/* One pass over one file. */
struct pass {
	struct ini *ini;
	const char *name;
	struct buf *problems;
	unsigned line;
	unsigned n_mistakes;
	const char *section; /* NULL: none yet */
	const char *arg;
	bool skipping; /* below a heading that could not be read */
};

#define complain(p, ...)                                                    \
	do {                                                                \
		buf_printf((p)->problems, "%s:%u: ", (p)->name, (p)->line); \
		buf_printf((p)->problems, __VA_ARGS__);                     \
		buf_string((p)->problems, "\n");                            \
		(p)->n_mistakes++;                                          \
	} while (0)

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static char *trim(char *s, char *end)
{
	while (end > s && is_blank(end[-1]))
		end--;
	*end = '\0';
	while (is_blank(*s))
		s++;
	return s;
}

static bool is_word(const char *s, size_t max, const char *extra)
{
	size_t n = 0;

	for (; s[n]; n++)
		if (!(s[n] >= 'a' && s[n] <= 'z') && !(s[n] >= '0' && s[n] <= '9') &&
		    !strchr(extra, s[n]))
			return false;
	return n > 0 && n <= max;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && streq(a, b));
}

static int add(struct pass *p, const char *key, const char *value)
{
	struct ini *ini = p->ini;
	struct ini_entry *entries =
		array_reserve(ini->entries, sizeof(*entries), ini->n + 1, &ini->capacity);

	if (!entries)
		return -ENOMEM;
	ini->entries = entries;
	ini->entries[ini->n++] = (struct ini_entry){
		.line = p->line, .section = p->section, .arg = p->arg, .key = key, .value = value};
	return 0;
}

/* The line where this key of this section already stands, or 0. */
static unsigned line_of(const struct pass *p, const char *key)
{
	for (size_t i = 0; i < p->ini->n; i++) {
		const struct ini_entry *e = &p->ini->entries[i];

		if (e->key && streq(e->key, key) && same_text(e->section, p->section) &&
		    same_text(e->arg, p->arg))
			return e->line;
	}
	return 0;
}

/* The arg between quotes at `s`, which is cut out in place; false when it is not well formed. */
static bool read_arg(char *s, const char **ret)
{
	char *close = strchr(s + 1, '"');

	if (!close || close[1 + strspn(close + 1, " \t")] != '\0')
		return false;
	*close = '\0';
	if (close == s + 1 || close - s - 1 > INI_ARG_MAX)
		return false;
	*ret = s + 1;
	return true;
}

static int read_heading(struct pass *p, char *s, char *end)
{
	const char *arg = NULL;
	char *quote;
	char *name;

	p->skipping = true;
	if (end[-1] != ']') {
		complain(p, "a heading has to end with ']'; write [section] or [section \"name\"]");
		return 0;
	}
	end[-1] = '\0';
	quote = strchr(s, '"');
	if (quote && !read_arg(quote, &arg)) {
		complain(p,
			 "the name in the heading is not right; write [section \"name\"] with 1 to "
			 "%d bytes between two quotes",
			 INI_ARG_MAX);
		return 0;
	}
	name = trim(s + 1, quote ? quote : end - 1);
	if (!is_word(name, INI_KEY_MAX, "_-")) {
		complain(p, "this is not the name of a section; write [section] or [section "
			    "\"name\"], lower case");
		return 0;
	}
	p->section = name;
	p->arg = arg;
	p->skipping = false;
	return add(p, NULL, NULL);
}

static int read_key(struct pass *p, char *s, char *end)
{
	char *equals = strchr(s, '=');
	unsigned earlier;
	char *key;

	if (p->skipping)
		return 0;
	if (!equals) {
		complain(p, "there is no '=' in this line; write key = value, or # in front of a "
			    "comment");
		return 0;
	}
	key = trim(s, equals);
	if (!is_word(key, INI_KEY_MAX, "_")) {
		complain(p, "what stands before '=' is not a key; keys are lower case letters, "
			    "digits and '_'");
		return 0;
	}
	if (!p->section) {
		complain(p, "%s stands before the first heading; write its [section] above it",
			 key);
		return 0;
	}
	earlier = line_of(p, key);
	if (earlier) {
		complain(p, "%s is already set in line %u; keep one of the two", key, earlier);
		return 0;
	}
	return add(p, key, trim(equals + 1, end));
}

/* True when the line [s, end) holds only what a text may hold. */
static bool is_text(struct pass *p, const char *s, const char *end)
{
	if (end - s > INI_LINE_MAX) {
		complain(p, "this line is longer than %d bytes; shorten it", INI_LINE_MAX);
		return false;
	}
	for (; s < end; s++) {
		if ((unsigned char)*s >= 0x20 || is_blank(*s))
			continue;
		complain(p, "there is a %s in this line; is this a text file?",
			 *s ? "control character" : "NUL byte");
		return false;
	}
	return true;
}

static int read_line(struct pass *p, char *s, char *end)
{
	if (!is_text(p, s, end))
		return 0;
	s = trim(s, end);
	if (*s == '\0' || *s == '#' || *s == ';')
		return 0;
	end = s + strlen(s);
	if (p->ini->n == INI_ENTRIES_MAX) {
		complain(p, "there are more than %d entries in this file; split it",
			 INI_ENTRIES_MAX);
		p->n_mistakes = INI_MISTAKES_MAX;
		return 0;
	}
	return *s == '[' ? read_heading(p, s, end) : read_key(p, s, end);
}

static int read_lines(struct pass *p, char *s, char *end)
{
	while (s < end && p->n_mistakes < INI_MISTAKES_MAX) {
		char *newline = memchr(s, '\n', (size_t)(end - s));
		char *stop = newline ? newline : end;
		int r;

		p->line++;
		r = read_line(p, s, stop);
		if (r < 0)
			return r;
		s = stop + 1;
	}
	if (s < end)
		buf_printf(p->problems,
			   "%s:%u: nothing was read from here on; mend the above first\n", p->name,
			   p->line + 1);
	return 0;
}

struct ini *ini_free(struct ini *ini)
{
	if (!ini)
		return NULL;
	free(ini->entries);
	free(ini->text);
	free(ini);
	return NULL;
}

int ini_parse(const char *name, const void *data, size_t size, struct buf *problems,
	      struct ini **ret)
{
	_cleanup_(ini_freep) struct ini *ini = calloc(1, sizeof(*ini));
	struct pass p = {.ini = ini, .name = name, .problems = problems, .line = 1};
	size_t skip = size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	int r = 0;

	if (!ini)
		return -ENOMEM;
	if (size > INI_FILE_MAX) {
		complain(&p, "the file is larger than %d bytes; is this a configuration file?",
			 INI_FILE_MAX);
	} else {
		ini->text = malloc(size + 1);
		if (!ini->text)
			return -ENOMEM;
		if (size > 0)
			memcpy(ini->text, data, size);
		p.line = 0;
		r = read_lines(&p, ini->text + skip, ini->text + size);
	}
	if (r < 0)
		return r;
	if (problems->failed)
		return -ENOMEM;
	*ret = TAKE(ini);
	return 0;
}

const struct ini_entry *ini_entries(const struct ini *ini, size_t *ret_n)
{
	*ret_n = ini->n;
	return ini->entries;
}
