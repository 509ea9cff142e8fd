/* What a program writes to stderr while a test listens: words for people, and the log where there is no journal. */
#pragma once

#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct hearing {
	int memory, before; /* -1: nobody listens */
};

static inline struct hearing hearing_begin(void)
{
	struct hearing h = {memfd_create("stderr", MFD_CLOEXEC), dup(STDERR_FILENO)};

	assert_true(h.memory >= 0 && h.before >= 0 && dup2(h.memory, STDERR_FILENO) >= 0);
	return h;
}

/* All that was written; valid until the next call. */
static inline const char *hearing_so_far(const struct hearing *h)
{
	static char text[1 << 20];
	ssize_t n = pread(h->memory, text, sizeof(text) - 1, 0);

	assert_in_range(n, 0, sizeof(text) - 2); /* else it is not all */
	text[n] = '\0';
	return text;
}

/* The same; stderr is as it was before. */
static inline const char *hearing_end(struct hearing *h)
{
	const char *text = hearing_so_far(h);

	assert_true(dup2(h->before, STDERR_FILENO) >= 0);
	assert_int_equal(close(h->before) + close(h->memory), 0);
	*h = (struct hearing){-1, -1};
	return text;
}

static inline unsigned hearing_count(const char *text, const char *words)
{
	unsigned count = 0;

	for (; (text = strstr(text, words)); text++)
		count++;
	return count;
}
