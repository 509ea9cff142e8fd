/*
 * Writes JSON into a buf. Commas are its business; the caller opens, names and closes. Output is
 * canonical for what was asked: no white space, keys in the order given. Reading JSON is sink/'s
 * (jansson): only servers send us any. Not json_string() and json_null(): those are jansson's
 * symbols, and ours, being in the program, would be called by that library in place of its own.
 */
#pragma once

#include "util/buf.h"

struct json {
	struct buf *out;
	bool comma; /* something stands before the next value at this level */
};

static inline struct json json_make(struct buf *out)
{
	return (struct json){.out = out};
}

void json_open(struct json *j, char bracket);  /* '{' or '[' */
void json_close(struct json *j, char bracket); /* '}' or ']' */
void json_key(struct json *j, const char *key);
/* Escaped; bytes that are not UTF-8 become U+FFFD. */
void json_text(struct json *j, const char *s);
void json_int(struct json *j, int64_t v);
void json_uint(struct json *j, uint64_t v);
void json_double(struct json *j, double v); /* not a number: null */
void json_bool(struct json *j, bool v);
void json_none(struct json *j); /* null */
