/*
 * From struct config back to text: the inverse of the setters in config_key.c, by the same table, so
 * that a key which is added there is shown here without another word. A test holds the two together:
 * what is shown, set again, is the same.
 */
#include "model/config_show.h"

#include "model/config_key.h"

#include <inttypes.h>

struct showing {
	const struct config *config;
	config_show_cb cb;
	void *userdata;
	struct buf value;
};

struct magnitude {
	const char *name;
	uint64_t factor;
};

/* In the largest unit that leaves no rest. */
static void put_in_units(struct buf *b, uint64_t v, const struct magnitude *units)
{
	while (units->factor > 1 && (v == 0 || v % units->factor))
		units++;
	buf_printf(b, "%" PRIu64 "%s", v / units->factor, units->name);
}

static void put_duration(struct buf *b, usec_t v)
{
	static const struct magnitude units[] = {
		{"d", 86400000}, {"h", 3600000}, {"min", 60000}, {"s", 1000}, {"ms", 1}};

	if (v)
		put_in_units(b, v / USEC_PER_MSEC, units);
	else
		buf_string(b, "0s");
}

static void put_durations(struct buf *b, const struct config *c)
{
	for (size_t i = 0; i < c->n_immediate_retry_delays; i++) {
		buf_string(b, i ? " " : "");
		put_duration(b, c->immediate_retry_delays[i]);
	}
}

static void put_size(struct buf *b, const struct config_key *key, const void *field)
{
	static const struct magnitude units[] = {{"T", UINT64_C(1) << 40},
						 {"G", UINT64_C(1) << 30},
						 {"M", UINT64_C(1) << 20},
						 {"K", UINT64_C(1) << 10},
						 {"", 1}};

	put_in_units(b,
		     key->width == sizeof(uint64_t) ? *(const uint64_t *)field
						    : *(const size_t *)field,
		     units);
}

static void put_word(struct buf *b, const struct config_key *key, const void *field)
{
	int value = key->width == 0		 ? key->words->value
		    : key->width == sizeof(bool) ? *(const bool *)field
						 : *(const int *)field;

	for (const struct config_word *w = key->words; w->text; w++)
		if (w->value == value) {
			buf_string(b, w->text);
			return;
		}
}

static void put_streams(struct buf *b, unsigned kinds)
{
	bool first = true;

	for (unsigned kind = 1; kind < KIND_MAX; kind++) {
		if (kind == KIND_ECG_COUNTS || !(kinds & 1U << kind))
			continue;
		buf_printf(b, "%s%s", first ? "" : " ", kind_name(kind));
		first = false;
	}
}

static void put_handles(struct buf *b, const struct config_handles *h)
{
	for (size_t i = 0; i < h->n; i++)
		buf_printf(b, "%s0x%04x=%s", i ? " " : "", h->list[i].handle,
			   characteristic_uuid(h->list[i].characteristic));
}

static void put_string(struct buf *b, const void *field)
{
	const char *s = *(char *const *)field;

	buf_string(b, s ? s : "");
}

static void put_value(struct showing *s, const struct config_key *key, const void *scope)
{
	const void *field = (const char *)scope + key->offset;
	struct buf *b = &s->value;

	switch (key->type) {
	case CONFIG_TYPE_DURATION: put_duration(b, *(const usec_t *)field); break;
	case CONFIG_TYPE_DURATIONS: put_durations(b, s->config); break;
	case CONFIG_TYPE_SIZE: put_size(b, key, field); break;
	case CONFIG_TYPE_BOOLEAN: buf_string(b, *(const bool *)field ? "yes" : "no"); break;
	case CONFIG_TYPE_WORD: put_word(b, key, field); break;
	case CONFIG_TYPE_STREAMS: put_streams(b, *(const unsigned *)field); break;
	case CONFIG_TYPE_HANDLES: put_handles(b, field); break;
	case CONFIG_TYPE_PATH:
	case CONFIG_TYPE_URL:
	case CONFIG_TYPE_PROXY:
	case CONFIG_TYPE_NAME:
	case CONFIG_TYPE_TEXT:
	case CONFIG_TYPE_ADAPTER:
	case CONFIG_TYPE_MAX_: put_string(b, field); break;
	}
}

static int show_key(struct showing *s, const struct config_key *key, size_t index, const char *name,
		    const void *scope)
{
	struct config_shown shown = {.section = key->section, .name = name, .key = key->name};

	buf_reset(&s->value);
	put_value(s, key, scope);
	buf_u8(&s->value, 0);
	if (s->value.failed)
		return -ENOMEM;
	shown.value = (const char *)s->value.data;
	shown.file = config_origin(s->config, key, index, &shown.line);
	return s->cb(s->userdata, &shown);
}

/* The keys of one scope; of the whole config [features] only, or all but those. */
static int show_keys(struct showing *s, enum config_scope scope, bool features, size_t index,
		     const char *name, const void *fields)
{
	size_t n;
	const struct config_key *keys = config_keys(&n);
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		if (keys[i].scope == scope && streq(keys[i].section, "features") == features)
			r = show_key(s, &keys[i], index, name, fields);
	return r;
}

int config_show(const struct config *c, config_show_cb cb, void *userdata)
{
	struct showing s = {.config = c, .cb = cb, .userdata = userdata};
	int r = show_keys(&s, CONFIG_SCOPE_CONFIG, true, 0, "", c);

	if (r == 0)
		r = show_keys(&s, CONFIG_SCOPE_CONFIG, false, 0, "", c);
	for (size_t i = 0; r == 0 && i < c->n_sinks; i++)
		r = show_keys(&s, CONFIG_SCOPE_SINK, false, i, c->sinks[i].name, &c->sinks[i]);
	for (size_t i = 0; r == 0 && i < c->n_devices; i++)
		r = show_keys(&s, CONFIG_SCOPE_DEVICE, false, i, c->devices[i].address,
			      &c->devices[i]);
	buf_done(&s.value);
	return r;
}
