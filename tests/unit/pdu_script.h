/*
 * For tests of ATT and GATT: a conversation as a script, one thing a line.
 *
 *	> 02 05 02       we send this next
 *	< 03 e8 00       the wearable sends this
 *	= done 0 00      this is told next: what, and how
 *	+ 30000          so many milliseconds pass
 *
 * Whatever is due is done at once. What is sent and told must be in the script, in its order.
 */
#pragma once

#include "util/buf.h"

#include <stdio.h>

struct script {
	void *userdata;
	void (*receive)(void *userdata, const uint8_t *data, size_t size, usec_t now);
	usec_t (*due)(void *userdata);
	void (*tick)(void *userdata, usec_t now);
	usec_t now;
	struct buf seen; /* lines that no line of the script has met yet */
};

enum { SCRIPT_PDU_MAX = 1024 };

static inline size_t script_bytes(const char *hex, uint8_t *ret)
{
	size_t n = 0;
	unsigned byte;
	int used;

	for (; n < SCRIPT_PDU_MAX && sscanf(hex, " %2x%n", &byte, &used) == 1; hex += used)
		ret[n++] = (uint8_t)byte;
	return n;
}

static inline void script_see(struct script *s, const char *what, const uint8_t *data, size_t size)
{
	buf_string(&s->seen, what);
	for (size_t i = 0; i < size; i++)
		buf_printf(&s->seen, " %02x", data[i]);
	buf_string(&s->seen, "\n");
	assert_false(s->seen.failed);
}

static inline void script_settle(struct script *s)
{
	for (unsigned i = 0; s->due(s->userdata) <= s->now; i++) {
		assert_true(i < 100);
		s->tick(s->userdata, s->now);
	}
}

static inline void script_expect(struct script *s, const char *line)
{
	size_t n = strlen(line);
	const char *seen;

	buf_append(&s->seen, "", 1);
	seen = (const char *)s->seen.data;
	if (strncmp(seen, line, n) != 0 || seen[n] != '\n')
		fail_msg("expected \"%s\", there is \"%s\"", line, seen);
	s->seen.size -= n + 2; /* and the NUL again */
	memmove(s->seen.data, s->seen.data + n + 1, s->seen.size);
}

static inline void script_receive(struct script *s, const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size); /* so that reading too much is seen */

	assert_true(size == 0 || exact);
	if (size > 0)
		memcpy(exact, data, size);
	s->receive(s->userdata, exact, size, s->now);
	free(exact);
	script_settle(s);
}

static inline void script_line(struct script *s, const char *line)
{
	uint8_t data[SCRIPT_PDU_MAX];

	switch (line[0]) {
	case '<': script_receive(s, data, script_bytes(line + 1, data)); break;
	case '+':
		s->now += strtoull(line + 1, NULL, 10) * USEC_PER_MSEC;
		script_settle(s);
		break;
	default: script_expect(s, line);
	}
}

/* Plays it; nothing else may have been seen after its last line. */
static inline void script_play(struct script *s, const char *lines)
{
	char line[4 * SCRIPT_PDU_MAX];

	script_settle(s);
	while (*lines) {
		size_t n = strcspn(lines, "\n");

		assert_true(n < sizeof(line));
		memcpy(line, lines, n);
		line[n] = '\0';
		script_line(s, line);
		lines += n + (lines[n] == '\n');
	}
	buf_append(&s->seen, "", 1);
	if (s->seen.size > 1)
		fail_msg("nobody expected \"%s\"", (const char *)s->seen.data);
	s->seen.size = 0;
}
