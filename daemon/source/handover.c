/*
 * Reads and writes the messages of handover.h. The reader is strict, because a text protocol that
 * forgives grows dialects: it reads the words, and then takes the message only if writing it again
 * gives the same bytes. That one comparison refuses every doubled space, leading zero, capital
 * letter and trailing word.
 */
#include "source/handover.h"

#include <stdarg.h>
#include <stdio.h>

struct text {
	char s[HANDOVER_SIZE];
	size_t at;
};

static const char *const kind_names[HANDOVER_KIND_MAX_] = {
	[HANDOVER_HELLO] = "hello", [HANDOVER_STRAP] = "strap", [HANDOVER_VALUE] = "value",
	[HANDOVER_LINK] = "link",   [HANDOVER_GONE] = "gone",
};

static const char *const reason_names[] = {
	[GAP_LINK_LOSS] = "link_loss",
	[GAP_DISCONNECTED] = "disconnected",
};

/* The next word, cut off in place; "" at the end. */
static char *next_word(struct text *t)
{
	char *word = t->s + t->at;
	size_t n = strcspn(word, " ");

	t->at += n;
	if (t->s[t->at] == ' ')
		t->s[t->at++] = '\0';
	return word;
}

static int find_name(const char *const *names, size_t n, const char *wanted)
{
	for (size_t i = 0; i < n; i++)
		if (names[i] && streq(names[i], wanted))
			return (int)i;
	return -1;
}

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? (int)(p - digits) : -1;
}

static bool read_address(const char *word, char ret[static DEVICE_ADDRESS_SIZE])
{
	if (strlen(word) != DEVICE_ADDRESS_SIZE - 1)
		return false;
	for (unsigned i = 0; i < DEVICE_ADDRESS_SIZE - 1; i++)
		if (i % 3 == 2 ? word[i] != ':' : hex_digit(word[i]) < 0)
			return false;
	memcpy(ret, word, DEVICE_ADDRESS_SIZE);
	return true;
}

static bool read_value(const char *hex, struct handover *m)
{
	size_t n = strlen(hex) / 2;

	if (n > HANDOVER_VALUE_MAX || strlen(hex) % 2)
		return false;
	for (size_t i = 0; i < n; i++) {
		int high = hex_digit(hex[2 * i]);
		int low = hex_digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		m->value[i] = (uint8_t)(high << 4 | low);
	}
	m->n_value = n;
	return true;
}

static bool read_mtu(const char *word, uint16_t *ret)
{
	unsigned long v;

	if (word[0] < '1' || word[0] > '9' || strlen(word) > 3)
		return false;
	v = strtoul(word, NULL, 10);
	if (v < 23 || v > 517)
		return false;
	*ret = (uint16_t)v;
	return true;
}

static bool read_name(const char *rest, struct handover *m)
{
	size_t n = strlen(rest);

	if (n == 0 || n >= HANDOVER_NAME_SIZE)
		return false;
	for (size_t i = 0; i < n; i++)
		if (rest[i] < 0x20 || rest[i] > 0x7e)
			return false;
	memcpy(m->name, rest, n + 1);
	return true;
}

static bool read_reason(const char *word, struct handover *m)
{
	int reason = find_name(reason_names, ARRAY_SIZE(reason_names), word);

	if (reason < 0)
		return false;
	m->why = (enum gap_reason)reason;
	return true;
}

static bool read_characteristic(const char *word, struct handover *m)
{
	m->characteristic = characteristic_parse(word);
	return m->characteristic != CHARACTERISTIC_UNKNOWN;
}

static bool read_words(struct text *t, struct handover *m)
{
	int kind = find_name(kind_names, HANDOVER_KIND_MAX_, next_word(t));

	if (kind < 0)
		return false;
	m->kind = (enum handover_kind)kind;
	if (m->kind == HANDOVER_HELLO)
		return streq(next_word(t), "1");
	if (!read_address(next_word(t), m->device))
		return false;
	if (m->kind == HANDOVER_STRAP)
		return read_name(t->s + t->at, m);
	if (m->kind == HANDOVER_GONE)
		return read_reason(next_word(t), m);
	if (!read_characteristic(next_word(t), m))
		return false;
	return m->kind == HANDOVER_LINK ? read_mtu(next_word(t), &m->mtu)
					: read_value(next_word(t), m);
}

int handover_parse(const void *data, size_t size, struct handover *ret)
{
	struct handover m = {0};
	struct text t = {0};
	char again[HANDOVER_SIZE];

	if (size == 0 || size >= HANDOVER_SIZE)
		return HANDOVER_E_MALFORMED;
	memcpy(t.s, data, size);
	if (!read_words(&t, &m))
		return HANDOVER_E_MALFORMED;
	if (handover_format(&m, again) != size || memcmp(again, data, size) != 0)
		return HANDOVER_E_MALFORMED;
	*ret = m;
	return 0;
}

static void _printf_(2, 3) put(struct text *t, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(t->s + t->at, sizeof(t->s) - t->at, format, ap);
	va_end(ap);
	assert(n >= 0 && (size_t)n < sizeof(t->s) - t->at);
	t->at += (size_t)n;
}

size_t handover_format(const struct handover *m, char ret[static HANDOVER_SIZE])
{
	struct text t = {0};

	put(&t, "%s ", kind_names[m->kind]);
	if (m->kind == HANDOVER_HELLO)
		put(&t, "%d", HANDOVER_VERSION);
	else
		put(&t, "%s ", m->device);
	if (m->kind == HANDOVER_STRAP)
		put(&t, "%s", m->name);
	if (m->kind == HANDOVER_GONE)
		put(&t, "%s", reason_names[m->why]);
	if (m->kind == HANDOVER_LINK)
		put(&t, "%s %u", characteristic_uuid(m->characteristic), m->mtu);
	if (m->kind == HANDOVER_VALUE)
		put(&t, "%s ", characteristic_uuid(m->characteristic));
	for (size_t i = 0; m->kind == HANDOVER_VALUE && i < m->n_value; i++)
		put(&t, "%02x", m->value[i]);
	memcpy(ret, t.s, t.at + 1);
	return t.at;
}
