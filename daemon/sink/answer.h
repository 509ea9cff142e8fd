/* Reading the JSON of an answer with distrust. For sink/ itself. */
#pragma once

#include "sink/sink.h"

#include <jansson.h>

static inline void answer_drop(json_t **j)
{
	json_decref(*j);
}

/* The body as JSON: one value, no member twice. NULL when it is none. */
json_t *answer_parse(const struct answer *a);
/* A member that is there and not null, or NULL; also when `object` is no object. */
json_t *answer_member(const json_t *object, const char *key);
/* A whole number from 0 to max; 0 when absent. False when it is anything else. */
bool answer_number(const json_t *object, const char *key, uint64_t max, uint64_t *ret);
/* A UUID as text. False when it is anything else, or absent. */
bool answer_uuid(const json_t *object, const char *key, struct uuid *ret);
