/*
 * What is replaced, at each place by the first that fits:
 *
 *	a secret that is known              (left out)
 *	a word that is known                KIND-123abc    subjects, names of wearables and of this hub
 *	a0:b1:c2:d3:e4:f5, A0_B1_..., a0b1...   device-123abc  known or not: any address of a radio
 *	a UUID, but for Bluetooth's own     id-123abc
 *	https://user:word@host/path?query   https://host/path
 *	62 bpm, bpm: 62, 14 /min            (left out) bpm  readings in what a server said
 *	because: bpm 300; they are kept     because: (left out); they are kept
 *
 * 123abc is from a hash with a salt that is made for one mask and thrown away with it: two reports say
 * nothing about each other, and nobody can try all addresses. Therefore UUIDs go too: that of a stream
 * is itself a hash, without salt, of its address and its subject.
 *
 * Words are looked for in any case of letters. Those of less than four letters are words only where
 * no letter or digit adjoins: a subject "7" would take every text apart. Longer ones go wherever
 * they stand: rather too much is replaced than too little.
 */
#include "ctl/mask.h"

#include "util/digest.h"

#include <ctype.h>
#include <stdio.h>
#include <sys/random.h>

#define LEFT_OUT "(left out)"

enum { SALT_SIZE = 16, SHORT = 4, ADDRESS = 17, ADDRESS_BARE = 12, UUID = 36 };

struct word {
	const char *kind; /* NULL: a secret */
	char *text;
	size_t size;
};

struct mask {
	bool full;
	uint8_t salt[SALT_SIZE];
	struct digest *digest;
	struct word *words; /* the longest first */
	size_t n_words;
	bool begins[256]; /* what a word begins with */
};

struct mask *mask_free(struct mask *m)
{
	if (!m)
		return NULL;
	for (size_t i = 0; i < m->n_words; i++)
		free(m->words[i].text);
	free(m->words);
	m->digest = digest_free(m->digest);
	free(m);
	return NULL;
}

int mask_new(bool full, struct mask **ret)
{
	_cleanup_(mask_freep) struct mask *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	m->full = full;
	if (getrandom(m->salt, sizeof(m->salt), 0) != (ssize_t)sizeof(m->salt))
		return -EIO;
	r = digest_new(&m->digest);
	if (r < 0)
		return r;
	*ret = TAKE(m);
	return 0;
}

static bool same(const char *a, const char *b, size_t size)
{
	return strncasecmp(a, b, size) == 0;
}

static int add(struct mask *m, const char *kind, const char *text, size_t size)
{
	struct word *words;
	char *copy;
	size_t at = 0;

	for (size_t i = 0; i < m->n_words; i++)
		if (m->words[i].size == size && same(m->words[i].text, text, size))
			return 0;
	if (!size)
		return 0;
	words = reallocarray(m->words, m->n_words + 1, sizeof(*words));
	if (!words)
		return -ENOMEM;
	m->words = words;
	copy = strndup(text, size);
	if (!copy)
		return -ENOMEM;
	while (at < m->n_words && m->words[at].size >= size)
		at++;
	memmove(words + at + 1, words + at, (m->n_words - at) * sizeof(*words));
	words[at] = (struct word){kind, copy, size};
	m->n_words++;
	m->begins[(uint8_t)tolower((uint8_t)*copy)] = true;
	m->begins[(uint8_t)toupper((uint8_t)*copy)] = true;
	return 0;
}

int mask_name(struct mask *m, const char *kind, const char *word)
{
	return m->full ? 0 : add(m, kind, word, strlen(word));
}

int mask_secret(struct mask *m, const char *word)
{
	return add(m, NULL, word, strlen(word));
}

/* --- what can stand at a place: how many bytes of it, or 0 --- */

/* A text and a place in it. */
struct place {
	const char *text;
	size_t size, at;
};

static char before(const struct place *p)
{
	return p->at ? p->text[p->at - 1] : ' ';
}

static char after(const struct place *p, size_t n)
{
	return p->at + n < p->size ? p->text[p->at + n] : ' ';
}

static bool is_part(char c)
{
	return isalnum((uint8_t)c);
}

static bool fits(const struct word *w, const struct place *p)
{
	if (w->size > p->size - p->at || !same(w->text, p->text + p->at, w->size))
		return false;
	return w->size >= SHORT || (!is_part(before(p)) && !is_part(after(p, w->size)));
}

static const struct word *word_at(const struct mask *m, const struct place *p)
{
	if (m->begins[(uint8_t)p->text[p->at]])
		for (size_t i = 0; i < m->n_words; i++)
			if (fits(&m->words[i], p))
				return &m->words[i];
	return NULL;
}

/* Six pairs with one separator; `ret` gets them as an address is written. */
static size_t address_at(const struct place *p, char ret[static ADDRESS])
{
	const char *s = p->text + p->at;
	size_t room = p->size - p->at, width = room > 2 && strchr(":_-", s[2]) ? 3 : 2;
	size_t size = width == 3 ? ADDRESS : ADDRESS_BARE;
	bool letter = false;

	if (room < size)
		return 0;
	for (size_t i = 0; i < size; i++) {
		if (i % width == 2 ? s[i] != s[2] : !isxdigit((uint8_t)s[i]))
			return 0;
		letter = letter || isalpha((uint8_t)s[i]);
	}
	/* bare ones are a word of their own, and no number */
	if (width == 2 && (!letter || is_part(before(p)) || is_part(after(p, size))))
		return 0;
	for (size_t i = 0; i < ADDRESS; i++)
		ret[i] = i % 3 == 2 ? ':' : s[i / 3 * width + i % 3];
	return size;
}

/* Bluetooth's own name services and characteristics, and belong to nobody. */
static bool is_bluetooth(const char *uuid)
{
	return same(uuid, "0000", 4) && same(uuid + 8, "-0000-1000-8000-00805f9b34fb", 28);
}

static size_t uuid_at(const struct place *p)
{
	const char *s = p->text + p->at;

	if (p->size - p->at < UUID || is_part(before(p)) || is_part(after(p, UUID)))
		return 0;
	for (size_t i = 0; i < UUID; i++)
		if (i == 8 || i == 13 || i == 18 || i == 23 ? s[i] != '-'
							    : !isxdigit((uint8_t)s[i]))
			return 0;
	return UUID;
}

static size_t digits_at(const struct place *p)
{
	size_t n = 0;

	if (is_part(before(p)) || before(p) == '.')
		return 0;
	while (p->at + n < p->size &&
	       (isdigit((uint8_t)p->text[p->at + n]) || (n && p->text[p->at + n] == '.')))
		n++;
	return n;
}

static bool ends_with_unit(const char *s, size_t size)
{
	while (size && strchr(" =:\"'", s[size - 1]))
		size--;
	return (size >= 3 && same(s + size - 3, "bpm", 3)) ||
	       (size >= 4 && same(s + size - 4, "spo2", 4));
}

/* A number beside a unit of what a body does. */
static size_t reading_at(const struct place *p)
{
	size_t n = digits_at(p), left = p->size - p->at - n;
	const char *rest = p->text + p->at + n;

	if (!n)
		return 0;
	if (left && *rest == ' ') {
		rest++;
		left--;
	}
	if ((left >= 3 && same(rest, "bpm", 3)) || (left >= 4 && same(rest, "/min", 4)))
		return n;
	return ends_with_unit(p->text, p->at) ? n : 0;
}

/* Why a server refused a record is in its words, and they tell what is in the record. */
static size_t refusal_at(const struct place *p)
{
	static const char begin[] = "the last because: ", end[] = "; they are kept";
	size_t begin_size = sizeof(begin) - 1, end_size = sizeof(end) - 1;
	const char *s = p->text + p->at;
	size_t n = p->size - p->at;

	if (p->at < begin_size || memcmp(s - begin_size, begin, begin_size) != 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (s[i] == '\n' || (n - i >= end_size && memcmp(s + i, end, end_size) == 0))
			return i;
	return n;
}

/* --- writing --- */

static void put_name(const struct mask *m, const char *kind, const char *word, size_t size,
		     struct buf *out)
{
	uint8_t hash[DIGEST_SHA256_SIZE] = {0};
	int r = digest_update(m->digest, m->salt, sizeof(m->salt));

	for (size_t i = 0; r == 0 && i < size; i++) {
		const uint8_t c = (uint8_t)tolower((uint8_t)word[i]);

		r = digest_update(m->digest, &c, 1);
	}
	if (r == 0)
		r = digest_finish(m->digest, hash);
	if (r < 0)
		out->failed = true;
	else
		buf_printf(out, "%s-%02x%02x%02x", kind, hash[0], hash[1], hash[2]);
}

/* Writes what stands for what is here. Returns how much that was, 0 if it is nothing special. */
static size_t put_special(const struct mask *m, const struct place *p, struct buf *out)
{
	const char *here = p->text + p->at;
	const struct word *w;
	char address[ADDRESS];
	size_t n = refusal_at(p);

	w = n ? NULL : word_at(m, p);
	if (w && w->kind)
		put_name(m, w->kind, w->text, w->size, out);
	else if (w)
		buf_string(out, LEFT_OUT);
	if (w)
		return w->size;
	n = n ? n : reading_at(p);
	if (n)
		buf_string(out, LEFT_OUT);
	if (n || m->full)
		return n;
	n = uuid_at(p);
	if (n && is_bluetooth(here))
		buf_append(out, here, n);
	else if (n)
		put_name(m, "id", here, n, out);
	if (n)
		return n;
	n = address_at(p, address);
	if (n)
		put_name(m, "device", address, sizeof(address), out);
	return n;
}

/* Behind "://": whom it says that we are, up to the '@'. */
static size_t user_size(const char *s, size_t size)
{
	for (size_t i = size; i > 0; i--)
		if (s[i - 1] == '@')
			return i;
	return 0;
}

static size_t span(const char *s, size_t size, const char *ends)
{
	size_t n = 0;

	while (n < size && (uint8_t)s[n] > ' ' && !strchr(ends, s[n]))
		n++;
	return n;
}

/* The same text with URLs that have no user, query or fragment. */
static void put_urls_bare(const char *text, size_t size, struct buf *out)
{
	for (size_t at = 0; at < size;) {
		size_t n;

		if (size - at < 3 || memcmp(text + at, "://", 3) != 0) {
			buf_u8(out, (uint8_t)text[at++]);
			continue;
		}
		buf_string(out, "://");
		at += 3;
		at += user_size(text + at, span(text + at, size - at, "/?#\"'<>"));
		n = span(text + at, size - at, "?#\"'<>");
		buf_append(out, text + at, n);
		at += n;
		if (at < size && strchr("?#", text[at]))
			at += span(text + at, size - at, "\"'<>");
	}
}

void mask_text(const struct mask *m, const char *text, size_t size, struct buf *out)
{
	struct buf bare = {0};
	struct place p;

	put_urls_bare(text, size, &bare);
	p = (struct place){.text = (const char *)bare.data, .size = bare.size};
	while (p.at < p.size) {
		size_t n = put_special(m, &p, out);

		if (!n)
			buf_u8(out, (uint8_t)p.text[p.at]);
		p.at += MAX(n, 1U);
	}
	if (bare.failed)
		out->failed = true;
	buf_done(&bare);
}

/* "ADDRESS (NAME) is": how long the name is that stands here, or 0. */
static size_t name_at(const char *s, size_t size)
{
	for (size_t n = 0; n + 5 <= size && s[n] != '\n'; n++)
		if (memcmp(s + n, ") is ", 5) == 0)
			return n;
	return 0;
}

int mask_learn(struct mask *m, const char *text, size_t size)
{
	struct place p = {.text = text, .size = size};
	char address[ADDRESS];
	int r = 0;

	for (; r == 0 && p.at < size && !m->full; p.at++) {
		size_t n = address_at(&p, address), begin = p.at + n + 2;

		if (n && begin < size && memcmp(text + begin - 2, " (", 2) == 0)
			r = add(m, "name", text + begin, name_at(text + begin, size - begin));
	}
	return r;
}
