/*
 * The one door to jansson's parser. The caller limits a body to 1 MiB, jansson limits nesting
 * (2048), and it refuses what is not UTF-8, a NUL inside a string and a number beyond 64 bits.
 */
#include "sink/answer.h"

json_t *answer_parse(const struct answer *a)
{
	json_error_t error;

	if (!a->body)
		return NULL;
	return json_loadb((const char *)a->body, a->size, JSON_REJECT_DUPLICATES, &error);
}

json_t *answer_member(const json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	return json_is_null(value) ? NULL : value;
}

bool answer_number(const json_t *object, const char *key, uint64_t max, uint64_t *ret)
{
	const json_t *value = answer_member(object, key);

	if (!value) {
		*ret = 0;
		return true;
	}
	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    (uint64_t)json_integer_value(value) > max)
		return false;
	*ret = (uint64_t)json_integer_value(value);
	return true;
}

bool answer_uuid(const json_t *object, const char *key, struct uuid *ret)
{
	const char *text = json_string_value(answer_member(object, key));

	return text && uuid_parse(text, ret);
}
