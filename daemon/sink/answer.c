/*
 * The one door to jansson's parser. The caller limits a body (16 MiB at most), jansson limits nesting
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

static const char *why_not(const struct answer *a)
{
	if (a->transport != TRANSPORT_OK || a->status == 0)
		return "no answer";
	if (a->status != 200)
		return "the server did not answer 200";
	if (a->contract && !streq(a->contract, "1"))
		return "the server speaks another contract than 1";
	return NULL;
}

const json_t *answer_list(const struct answer *a, const char *key, json_t **ret_root,
			  const char **ret_why)
{
	const json_t *list;

	*ret_why = why_not(a);
	if (*ret_why)
		return NULL;
	*ret_root = answer_parse(a);
	list = json_is_object(*ret_root) ? answer_member(*ret_root, key) : *ret_root;
	if (json_is_array(list))
		return list;
	*ret_why = "no list of what was asked for (captive portal or proxy?)";
	return NULL;
}

int answer_not_understood(const char *why, const char **ret_why)
{
	*ret_why = why;
	return SINK_E_NOT_UNDERSTOOD;
}
