/* For tests of dialogues: an event in, the bytes of the next command out, as a script of hex. */
#pragma once

#include "model/profile.h"

#include <stdio.h>

struct script {
	const struct profile *profile;
	struct dialogue d;
};

/* A link begins. */
static inline void script_begin(struct script *s, const struct profile *profile, unsigned wanted)
{
	memset(s, 0, sizeof(*s));
	s->profile = profile;
	s->d.wanted = wanted;
	s->d.mtu = 232;
}

static inline size_t script_bytes(const char *hex, uint8_t *ret)
{
	size_t n = 0;
	unsigned byte;
	int used;

	for (; sscanf(hex, " %2x%n", &byte, &used) == 1; hex += used)
		ret[n++] = (uint8_t)byte;
	return n;
}

/* After this event, with these bytes, the dialogue writes those; "" is nothing. */
static inline void script_says(struct script *s, enum dialogue_event event, const char *heard,
			       const char *says)
{
	uint8_t data[FRAME_MAX], expected[DIALOGUE_OUT_MAX];
	size_t n_expected = script_bytes(says, expected);

	s->profile->converse(&s->d, event, data, script_bytes(heard, data));
	assert_int_equal(s->d.n_out, n_expected);
	if (n_expected > 0)
		assert_memory_equal(s->d.out, expected, n_expected);
}
