/*
 * Reads a bearer token: one line of printable ASCII, white space around it is cut off, at most 4
 * KiB. Anything else would end up in a header where it does not belong, so it counts as no token.
 * The file may change while we run; a file under $CREDENTIALS_DIRECTORY does so only at restart.
 */
#include "upload/token.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

void token_init(struct token *t, const char *path)
{
	*t = (struct token){.path = path};
	(void)token_read(t); /* a problem is kept in it */
}

static char *wipe(char *value)
{
	if (value)
		explicit_bzero(value, strlen(value));
	free(value);
	return NULL;
}

void token_done(struct token *t)
{
	t->value = wipe(t->value);
}

static void complain(struct token *t, const char *what, const char *advice)
{
	(void)snprintf(t->problem, sizeof(t->problem), "token_file %.80s %s: %s", t->path, what,
		       advice);
}

/* Reads at most TOKEN_MAX bytes and one more, to see that there are no more. < 0: errno. */
static ssize_t read_file(const char *path, char ret[static TOKEN_MAX + 2])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not stop the loop */
	ssize_t n = fd < 0 ? -errno : read(fd, ret, TOKEN_MAX + 1);

	if (fd < 0)
		return n;
	if (n < 0)
		n = -errno;
	(void)close(fd); /* was only read */
	return n;
}

static char *trim(char *s, size_t n)
{
	while (n > 0 && strchr(" \t\r\n", s[n - 1]))
		n--;
	s[n] = '\0';
	return s + strspn(s, " \t\r\n");
}

static bool is_printable(const char *s)
{
	for (; *s; s++)
		if (*s <= ' ' || *s > '~')
			return false;
	return true;
}

/* The token in `text`, or NULL and t->problem says why there is none. */
static const char *find_token(struct token *t, char *text, ssize_t n)
{
	const char *token;

	if (n < 0) {
		complain(t, "cannot be read", "write the token into it, readable for vitald");
		return NULL;
	}
	if (n > TOKEN_MAX || memchr(text, '\0', (size_t)n)) {
		complain(t, "holds no token", "write the token alone into it, on one line");
		return NULL;
	}
	token = trim(text, (size_t)n);
	if (*token == '\0' || !is_printable(token)) {
		complain(t, *token ? "holds no token" : "is empty",
			 "write the token alone into it, on one line");
		return NULL;
	}
	t->problem[0] = '\0';
	return token;
}

bool token_read(struct token *t)
{
	char text[TOKEN_MAX + 2];
	const char *token;
	bool changed;
	char *value;

	if (!t->path)
		return false;
	token = find_token(t, text, read_file(t->path, text));
	changed = token && (!t->value || !streq(t->value, token));
	value = token ? strdup(token) : NULL;
	if (token && !value)
		complain(t, "was not read", "out of memory, it is tried again");
	explicit_bzero(text, sizeof(text));
	(void)wipe(t->value); /* NULL, as all of these */
	t->value = value;
	return changed;
}
