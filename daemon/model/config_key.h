/*
 * The one table of what may stand in the configuration: sections, keys, their types and limits, and
 * where a value goes. config.c reads files by it; tests hold config/vitald.conf and its manual to
 * it.
 */
#pragma once

#include "model/config.h"

enum { CONFIG_KEYS_MAX = 80 };

enum config_scope { CONFIG_SCOPE_CONFIG, CONFIG_SCOPE_SINK, CONFIG_SCOPE_DEVICE };

enum config_type {
	CONFIG_TYPE_DURATION,
	CONFIG_TYPE_DURATIONS,
	CONFIG_TYPE_SIZE,
	CONFIG_TYPE_BOOLEAN,
	CONFIG_TYPE_WORD,
	CONFIG_TYPE_PATH,
	CONFIG_TYPE_URL,
	CONFIG_TYPE_PROXY,
	CONFIG_TYPE_NAME,
	CONFIG_TYPE_TEXT,
	CONFIG_TYPE_STREAMS,
	CONFIG_TYPE_HANDLES,
	CONFIG_TYPE_ADAPTER,
	CONFIG_TYPE_MAX_,
};

/* A closed list of words and their values; ends with NULL. */
struct config_word {
	const char *text;
	int value;
};

struct config_key {
	const char *section;
	const char *name;
	enum config_scope scope; /* the struct that `offset` counts in */
	enum config_type type;
	size_t offset;
	size_t width;	   /* of the field; 0: the value is checked and kept nowhere */
	const char *least; /* durations and sizes, as an owner writes them */
	const char *most;
	const struct config_word *words;
	size_t max;    /* bytes of a name or a path */
	bool optional; /* may be empty: none */
};

const struct config_key *config_keys(size_t *ret_n);
/* NULL: no such key. */
const struct config_key *config_key_find(const char *section, const char *name);
/* The key of that section whose name is nearest to what was written, or NULL if none is near. */
const struct config_key *config_key_near(const char *section, const char *name);
/*
 * Checks `value` and puts it into the struct of the key's scope. CONFIG_E_BAD: `why` has the rest
 * of a sentence that begins with the key, and the struct is as it was. < 0: no memory.
 */
int config_key_set(const struct config_key *key, const char *value, void *scope, struct buf *why);
/*
 * The file in which this key of the config (or of its sink or device number `index`) was set last;
 * NULL: in none, and it has its default.
 */
const char *config_origin(const struct config *c, const struct config_key *key, size_t index,
			  unsigned *ret_line);
