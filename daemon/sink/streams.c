/*
 * Reads the answer to GET /v1/streams: what the server says it holds, asked once in each run before
 * a stream's first record goes out. What it says can turn into a new incarnation or into sending
 * again, so an answer that is odd anywhere is refused as a whole and asked for once more:
 *
 *   [{"stream":"<uuid>","last_seq":N}, ...]    or the same under "streams" in an object
 */
#include "sink/answer.h"

static int position_order(const void *a, const void *b)
{
	const struct stream_position *x = a, *y = b;

	return memcmp(x->stream.bytes, y->stream.bytes, sizeof(x->stream.bytes));
}

/* Sorted, because a list as long as the body allows must not cost the square of its length. */
static bool sort_unique(struct stream_position *positions, size_t n)
{
	if (n > 0)
		qsort(positions, n, sizeof(*positions), position_order);
	for (size_t i = 1; i < n; i++)
		if (position_order(&positions[i - 1], &positions[i]) == 0)
			return false;
	return true;
}

int streams_parse(const struct answer *a, struct stream_position **ret, size_t *ret_n,
		  const char **ret_why)
{
	_cleanup_(freep) struct stream_position *positions = NULL;
	_cleanup_(answer_drop) json_t *root = NULL;
	const json_t *list = answer_list(a, "streams", &root, ret_why);
	size_t n;

	if (!list)
		return SINK_E_NOT_UNDERSTOOD;
	n = json_array_size(list);
	positions = calloc(n ? n : 1, sizeof(*positions));
	if (!positions)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const json_t *item = json_array_get(list, i);

		if (!answer_uuid(item, "stream", &positions[i].stream) ||
		    !answer_member(item, "last_seq") ||
		    !answer_number(item, "last_seq", INT64_MAX, &positions[i].last_seq))
			return answer_not_understood("a stream without its id or last_seq",
						     ret_why);
	}
	if (!sort_unique(positions, n))
		return answer_not_understood("the same stream twice", ret_why);
	*ret = TAKE(positions);
	*ret_n = n;
	return 0;
}
