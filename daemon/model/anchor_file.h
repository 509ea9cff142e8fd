/*
 * The file of `vitalctl anchors export`: up to where each server had confirmed each stream, as JSON.
 *
 *     {"format":"vitald-anchors","version":1,"incarnation":UUID,"gateway":...,"exported":...,
 *      "anchors":[{"sink":NAME,"stream":UUID,"anchor":SEQ,...},...]}
 *
 * What is read back is what is named in capitals; other members may be there and are passed over.
 */
#pragma once

#include "util/buf.h"
#include "util/uuid.h"

enum {
	ANCHOR_FILE_VERSION = 1,
	ANCHOR_FILE_MAX = 8 << 20,   /* bytes */
	ANCHOR_FILE_ENTRIES = 16384, /* as many as an export has at most: TABLE_MAX_ROWS */
};
#define ANCHOR_FILE_FORMAT "vitald-anchors"

struct anchor_entry {
	char sink[33];
	struct uuid stream;
	uint64_t anchor;
	unsigned line;
};

struct anchor_file {
	struct uuid incarnation;
	struct anchor_entry *entries; /* each sink and stream once */
	size_t n;
};

enum { ANCHOR_FILE_E_BAD = 1 };

struct anchor_file *anchor_file_free(struct anchor_file *f);
DEFINE_CLEANUP(struct anchor_file *, anchor_file_free)
/* ANCHOR_FILE_E_BAD: `problem` has one line, "name:line: what is wrong". < 0: no memory. */
int anchor_file_parse(const char *name, const void *data, size_t size, struct buf *problem,
		      struct anchor_file **ret);
