/*
 * Reads the answer to GET /v1/streams/<id>/windows: what the server says it holds of a range of
 * numbers, window by window. What it says makes records go out again, or holds a stream, so an
 * answer that is odd anywhere is refused as a whole:
 *
 *   [{"first":N,"last":N,"count":N,"sha256":"<64 hex digits>"}, ...]
 *
 * or the same under "windows" in an object. A window is one of those that were asked for (width
 * numbers, counted from from_seq) with the lowest and the highest seq that is held in it; they
 * ascend, none comes twice, and one that holds nothing is left out or has a count of 0. So there
 * are never more of them than were asked for.
 */
#include "sink/answer.h"

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool read_sha256(const json_t *item, uint8_t ret[static 32])
{
	const json_t *value = answer_member(item, "sha256");
	const char *text = json_string_value(value);

	if (!text || json_string_length(value) != 64)
		return false;
	for (size_t i = 0; i < 32; i++) {
		int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		ret[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* NULL, or what is wrong with it. An empty one is left at a count of 0 and has nothing else. */
static const char *read_window(const json_t *item, const struct windows_query *q,
			       struct window *ret)
{
	if (!json_is_object(item) || !answer_member(item, "count") ||
	    !answer_number(item, "count", INT64_MAX, &ret->count))
		return "a window without its count";
	if (ret->count == 0)
		return NULL;
	if (!answer_member(item, "first") || !answer_member(item, "last") ||
	    !answer_number(item, "first", INT64_MAX, &ret->first) ||
	    !answer_number(item, "last", INT64_MAX, &ret->last))
		return "a window without its first or last record";
	if (!read_sha256(item, ret->sha256))
		return "a window without a SHA-256";
	if (ret->first < q->from_seq || ret->last > q->to_seq || ret->first > ret->last)
		return "a window outside of what was asked";
	if ((ret->first - q->from_seq) / q->width != (ret->last - q->from_seq) / q->width)
		return "a window wider than was asked";
	if (ret->count > ret->last - ret->first + 1)
		return "a window with more records than it has numbers";
	return NULL;
}

/* The window behind must be another one that was asked for, and a later one. */
static bool follows(const struct windows_query *q, const struct window *before,
		    const struct window *w)
{
	return w->first > before->last &&
	       (w->first - q->from_seq) / q->width > (before->first - q->from_seq) / q->width;
}

int windows_parse(const struct answer *a, const struct windows_query *q, struct window **ret,
		  size_t *ret_n, const char **ret_why)
{
	_cleanup_(freep) struct window *windows = NULL;
	_cleanup_(answer_drop) json_t *root = NULL;
	const json_t *list = answer_list(a, "windows", &root, ret_why);
	size_t n_items, n = 0;

	assert(q->width > 0 && q->from_seq <= q->to_seq);
	if (!list)
		return SINK_E_NOT_UNDERSTOOD;
	n_items = json_array_size(list);
	windows = calloc(n_items ? n_items : 1, sizeof(*windows));
	if (!windows)
		return -ENOMEM;
	for (size_t i = 0; i < n_items; i++) {
		const char *why = read_window(json_array_get(list, i), q, &windows[n]);

		if (why)
			return answer_not_understood(why, ret_why);
		if (windows[n].count == 0)
			continue;
		if (n > 0 && !follows(q, &windows[n - 1], &windows[n]))
			return answer_not_understood("windows that do not ascend", ret_why);
		n++;
	}
	*ret = TAKE(windows);
	*ret_n = n;
	return 0;
}
