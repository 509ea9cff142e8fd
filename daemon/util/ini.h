/*
 * The text of a configuration file -> its entries. Bounded: a file, a line, the number of entries
 * and of mistakes have a limit. What the entries mean is the caller's business.
 */
#pragma once

#include "util/buf.h"

enum {
	INI_FILE_MAX = 256 * 1024,
	INI_LINE_MAX = 1024,
	INI_ENTRIES_MAX = 1024,
	INI_MISTAKES_MAX = 50,
	INI_ARG_MAX = 64, /* bytes between the quotes of [section "arg"] */
	INI_KEY_MAX = 32,
};

struct ini_entry {
	unsigned line;
	const char *section;
	const char *arg;   /* or NULL: the section has none */
	const char *key;   /* or NULL: this is the line with the [section] itself */
	const char *value; /* white space around it removed; may be "" */
};

struct ini;

struct ini *ini_free(struct ini *ini);
DEFINE_CLEANUP(struct ini *, ini_free)
/*
 * Each mistake is one line in `problems`, "name:line: what is wrong and what to write"; values are
 * never repeated in it, they may be secrets. What is well formed is in `ret` all the same, so that
 * the caller can find the other kinds of mistake in the same go: whether all was well shows in
 * problems->size. < 0: no memory.
 */
int ini_parse(const char *name, const void *data, size_t size, struct buf *problems,
	      struct ini **ret);
/* In the order of the file; borrowed. */
const struct ini_entry *ini_entries(const struct ini *ini, size_t *ret_n);
