/* The credential of a sink, read from its token_file. Never logged, wiped when it goes. */
#pragma once

#include "util/macro.h"

enum { TOKEN_MAX = 4096 };

struct token {
	const char *path;  /* NULL: the sink needs none; borrowed */
	char *value;	   /* NULL: none could be read */
	char problem[160]; /* then: why, and what to do; "" otherwise */
};

void token_init(struct token *t, const char *path);
void token_done(struct token *t);
/* Reads the file again. True: the credential is another one now. */
bool token_read(struct token *t);
/* What is missing before anything can be sent. */
static inline bool token_missing(const struct token *t)
{
	return t->path && !t->value;
}
