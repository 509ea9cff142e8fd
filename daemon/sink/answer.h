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
/*
 * The list that a GET asked for: the body itself, or a member of it. NULL: it is no such answer, `why`
 * says it. `root`: what it lies in, to be dropped.
 */
const json_t *answer_list(const struct answer *a, const char *key, json_t **ret_root,
			  const char **ret_why);
/* SINK_E_NOT_UNDERSTOOD, and why. */
int answer_not_understood(const char *why, const char **ret_why);
