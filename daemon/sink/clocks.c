/*
 * Notes of the clock travel in a request of their own, so that the bytes of a batch stay a function
 * of its records. A receipt is as strict as that of a batch: a portal's 200 confirms nothing. What
 * says "not here" or "not this" is taken at its word: a server may do without, and no record
 * depends on it. 401 and 403 are for the batches to find and tell.
 */
#include "sink/clocks.h"

#include "sink/answer.h"
#include "util/json.h"

int clocks_encode(const struct clock_note *notes, size_t n, struct buf *ret)
{
	struct json j = json_make(ret);

	json_open(&j, '{');
	json_key(&j, "clocks");
	json_open(&j, '[');
	for (size_t i = 0; i < n; i++) {
		json_open(&j, '{');
		json_key(&j, "boot_id");
		json_text(&j, notes[i].boot_id);
		json_key(&j, "boot_us");
		json_int(&j, notes[i].boot_us);
		json_key(&j, "utc_us");
		json_int(&j, notes[i].utc_us);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_close(&j, '}');
	return ret->failed ? -ENOMEM : 0;
}

static bool is_receipt(const struct answer *a, size_t n)
{
	_cleanup_(answer_drop) json_t *root = NULL;
	uint64_t contract, taken;

	if (a->status != 200 || !a->contract || !streq(a->contract, "1"))
		return false;
	root = answer_parse(a);
	return json_is_object(root) &&
	       answer_number(root, "contract", UINT64_MAX >> 1, &contract) && contract == 1 &&
	       answer_number(root, "clocks", UINT64_MAX >> 1, &taken) && taken == n;
}

enum clocks_verdict clocks_judge(const struct answer *a, size_t n)
{
	if (a->transport != TRANSPORT_OK)
		return CLOCKS_LATER;
	switch (a->status) {
	case 400:
	case 404:
	case 405:
	case 410:
	case 413:
	case 422:
	case 501: return CLOCKS_UNWANTED;
	default: return is_receipt(a, n) ? CLOCKS_TAKEN : CLOCKS_LATER;
	}
}
