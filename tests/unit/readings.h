/*
 * For tests of protocols: frames in, readings out. All that a frame gave is kept, so that a test
 * can look at each; `decoder` remembers between frames as it does on a link.
 */
#pragma once

#include "decode/protocol.h"

enum { READINGS_MAX = 32 };

struct readings {
	const struct protocol *protocol;
	struct decoder decoder;
	struct decode_error error;
	size_t n; /* of the last frame */
	struct reading reading[READINGS_MAX];
	struct record record[READINGS_MAX];
};

static void readings_take(void *userdata, const struct reading *reading)
{
	struct readings *s = userdata;

	assert_true(s->n < READINGS_MAX);
	assert_ptr_equal(reading->record, &s->decoder.record);
	assert_true(reading->kind > 0 && reading->kind < KIND_MAX);
	assert_true(reading->n >= 1 && (reading->n == 1 || reading->nominal_dt_ns > 0));
	s->record[s->n] = *reading->record;
	s->reading[s->n] = *reading;
	s->reading[s->n].record = &s->record[s->n];
	s->n++;
}

/* A link begins. */
static inline void readings_begin(struct readings *s, const struct protocol *protocol)
{
	memset(s, 0, sizeof(*s));
	s->protocol = protocol;
}

static inline int readings_of(struct readings *s, enum characteristic c, const uint8_t *data,
			      size_t size)
{
	const struct reading_handler handler = {s, readings_take};
	struct frame f = {.device = "a0:b1:c2:d3:e4:f5",
			  .characteristic = c,
			  .data = data,
			  .size = size};

	s->n = 0;
	s->error = (struct decode_error){.at = SIZE_MAX};
	return s->protocol->decode(&s->decoder, &f, &handler, &s->error);
}

#define READINGS(s, c, ...)                                \
	({                                                 \
		const uint8_t bytes_[] = {__VA_ARGS__};    \
		readings_of(s, c, bytes_, sizeof(bytes_)); \
	})

/* Every beginning of these bytes ends without a reading and with a byte to blame. */
static inline void readings_truncated(struct readings *s, enum characteristic c,
				      const uint8_t *data, size_t size)
{
	for (size_t n = 0; n < size; n++) {
		assert_int_equal(readings_of(s, c, data, n), DECODE_E_MALFORMED);
		assert_true(s->error.at <= n && s->error.what[0]);
		assert_int_equal(s->n, 0);
	}
}
