/*
 * Judges what came back. Everything in an answer is the claim of a stranger: a captive portal says
 * 200 to anything, a proxy invents 502, and a server can have bugs. So data is only ever let go on
 * a receipt, and a receipt is all of this, or it is none:
 *
 *   - status 200, X-Ingest-Contract: 1, a JSON object with "contract":1 and "batch": the id we sent
 *   - "streams": each stream of the batch at most once, and no other one (left out: nothing taken)
 *   - "acked_through": 0, or the seq of a record that was in the batch
 *   - "rejected": only seqs of the batch, each once, at or below acked_through
 *   - accepted + duplicate + rejected = our records at or below acked_through, counted one by one
 *   - nothing acknowledged where "identity_conflict" says that nothing was stored
 *
 * Members we do not know are ignored, null is as good as absent, absent numbers are 0.
 *
 *   answer                              verdict
 *   200 and a receipt                   receipt
 *   no connection, timeout, half an     transient
 *     answer, 408 425 429 5xx
 *   200 without a receipt, other 2xx,   transient: a captive portal or a proxy, not the server
 *     3xx, 407, 511
 *   409                                 busy
 *   400, 422                            record; with those to blame, where the body names them
 *   401 / 413 / 415                     token / too_large / encoding
 *   403, 404, 405, any other 4xx,       account: the same again will not help, the owner must look
 *     certificate refused by either
 *   certificate not valid in time       clock
 */
#include "sink/answer.h"
#include "sink/batch.h"

#include <stdarg.h>
#include <stdio.h>

#define RETRY_AFTER_MIN USEC_PER_SEC
#define RETRY_AFTER_MAX (3600 * USEC_PER_SEC)

/* What a list of streams in an answer is read as. */
enum reading {
	READ_RECEIPT, /* a 200: everything must add up */
	READ_REFUSAL, /* a 400 or 422: nothing is taken, `rejected` names the records to blame */
};

/* Not a receipt: never leaves this file. */
enum { RECEIPT_E_NOT = 1 };

enum { CONTRACT = 1 };

/* Sentences */

/* Cuts, and lets through printable ASCII only: this ends up in journals and on terminals. */
static void copy_printable(const char *s, size_t size, char *ret)
{
	size_t n = 0;

	for (; s && *s && n + 1 < size; s++)
		ret[n++] = *s >= 0x20 && *s < 0x7f ? *s : '?';
	ret[n] = '\0';
}

static void _printf_(3, 4)
	decide(struct verdict *v, enum verdict_class class, const char *format, ...)
{
	char text[sizeof(v->reason)];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap); /* a longer sentence is cut */
	va_end(ap);
	v->class = class;
	copy_printable(text, sizeof(v->reason), v->reason);
}

static const char *status_name(int status)
{
	static const struct {
		int status;
		const char *name;
	} names[] = {
		{202, "Accepted"},
		{204, "No Content"},
		{301, "Moved Permanently"},
		{302, "Found"},
		{307, "Temporary Redirect"},
		{308, "Permanent Redirect"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{407, "Proxy Authentication Required"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{410, "Gone"},
		{413, "Content Too Large"},
		{415, "Unsupported Media Type"},
		{422, "Unprocessable Content"},
		{425, "Too Early"},
		{429, "Too Many Requests"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
		{507, "Insufficient Storage"},
		{511, "Network Authentication Required"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].status == status)
			return names[i].name;
	return "";
}

static void decide_status(struct verdict *v, enum verdict_class class, int status, const char *more)
{
	const char *name = status_name(status);

	decide(v, class, "the server answered %d%s%s%s", status, *name ? " " : "", name, more);
}

/* Reading the streams of a receipt or of a refusal */

static int not(const char *why, const char **ret_why)
{
	*ret_why = why;
	return RECEIPT_E_NOT;
}

static int rejection_order(const void *a, const void *b)
{
	const struct rejection *x = a, *y = b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void read_rejection(const json_t *item, uint64_t seq, struct rejection *ret)
{
	*ret = (struct rejection){.seq = seq};
	copy_printable(json_string_value(answer_member(item, "code")), sizeof(ret->code),
		       ret->code);
	copy_printable(json_string_value(answer_member(item, "detail")), sizeof(ret->detail),
		       ret->detail);
	ret->conflict = streq(ret->code, "conflict");
}

/* Fills e->rejected; what it holds by then is freed with the verdict, also on failure. */
static int read_rejected(const struct batch *b, size_t at, const json_t *list, uint64_t through,
			 struct receipt_entry *e, const char **ret_why)
{
	size_t n = json_array_size(list);

	if (list && !json_is_array(list))
		return not("\"rejected\" is not a list", ret_why);
	if (n == 0)
		return 0;
	if (n > batch_count(b))
		return not("it rejects more records than were sent", ret_why);
	e->rejected = calloc(n, sizeof(*e->rejected));
	if (!e->rejected)
		return -ENOMEM;
	for (; e->n_rejected < n; e->n_rejected++) {
		const json_t *item = json_array_get(list, e->n_rejected);
		uint64_t seq;

		if (!answer_number(item, "seq", INT64_MAX, &seq) || !batch_holds(b, at, seq))
			return not("it rejects a record that was not sent", ret_why);
		if (seq > through)
			return not("it rejects a record above acked_through", ret_why);
		read_rejection(item, seq, &e->rejected[e->n_rejected]);
	}
	qsort(e->rejected, n, sizeof(*e->rejected), rejection_order);
	for (size_t i = 1; i < n; i++)
		if (e->rejected[i - 1].seq == e->rejected[i].seq)
			return not("it rejects a record twice", ret_why);
	return 0;
}

static int read_taken(const struct batch *b, size_t at, const json_t *item, struct receipt_entry *e,
		      const char **ret_why)
{
	uint64_t through, accepted, duplicate;

	if (!answer_number(item, "acked_through", INT64_MAX, &through) ||
	    !answer_number(item, "accepted", UINT32_MAX, &accepted) ||
	    !answer_number(item, "duplicate", UINT32_MAX, &duplicate))
		return not("a count is not a whole number", ret_why);
	if (through != 0 && !batch_holds(b, at, through))
		return not("acked_through is not a record that was sent", ret_why);
	if (through != 0 && e->identity_conflict)
		return not("it acknowledges a stream whose identity it disputes", ret_why);
	e->acked_through = through;
	e->accepted = (uint32_t)accepted;
	e->duplicate = (uint32_t)duplicate;
	return 0;
}

static int read_entry(const struct batch *b, size_t at, const json_t *item, enum reading reading,
		      struct receipt_entry *e, const char **ret_why)
{
	uint64_t through = UINT64_MAX;
	int r;

	e->missing_after = json_is_true(answer_member(item, "missing_after"));
	e->identity_conflict = json_is_true(answer_member(item, "identity_conflict"));
	if (reading == READ_RECEIPT) {
		r = read_taken(b, at, item, e, ret_why);
		if (r != 0)
			return r;
		through = e->acked_through;
	}
	r = read_rejected(b, at, answer_member(item, "rejected"), through, e, ret_why);
	if (r != 0)
		return r;
	if (reading == READ_RECEIPT && (uint64_t)e->accepted + e->duplicate + e->n_rejected !=
					       batch_count_through(b, at, through))
		return not("accepted, duplicate and rejected do not add up to what was sent",
			   ret_why);
	return 0;
}

/* Puts an entry for each stream of the batch into `v`, which owns them from the start. */
static int read_streams(const struct batch *b, const json_t *list, enum reading reading,
			struct verdict *v, const char **ret_why)
{
	_cleanup_(freep) bool *seen = calloc(batch_n_streams(b) + 1, sizeof(*seen));
	size_t i;
	json_t *item;

	v->entries = calloc(batch_n_streams(b) + 1, sizeof(*v->entries));
	if (!seen || !v->entries)
		return -ENOMEM;
	for (; v->n_entries < batch_n_streams(b); v->n_entries++)
		v->entries[v->n_entries].stream = batch_stream_number(b, v->n_entries);
	if (!json_is_array(list))
		return not("it names no streams", ret_why);
	json_array_foreach(list, i, item)
	{
		struct uuid id;
		size_t at = answer_uuid(item, "stream", &id) ? batch_find(b, &id) : v->n_entries;
		int r;

		if (at == v->n_entries)
			return not("it names a stream that was not sent", ret_why);
		if (seen[at])
			return not("it names a stream twice", ret_why);
		seen[at] = true;
		r = read_entry(b, at, item, reading, &v->entries[at], ret_why);
		if (r != 0)
			return r;
	}
	return 0;
}

static bool names_batch(const struct batch *b, const json_t *root)
{
	struct uuid id;

	return answer_uuid(root, "batch", &id) && uuid_equal(&id, batch_id(b));
}

/* Answers */

static int read_receipt(const struct batch *b, const struct answer *a, struct verdict *v,
			const char **ret_why)
{
	_cleanup_(answer_drop) json_t *root = NULL;
	uint64_t contract;

	if (!a->contract)
		return not("no X-Ingest-Contract; captive portal or proxy?", ret_why);
	if (!streq(a->contract, "1"))
		return not("X-Ingest-Contract is not 1", ret_why);
	root = answer_parse(a);
	if (!json_is_object(root))
		return not("the body is not JSON or was cut short; captive portal or proxy?",
			   ret_why);
	if (!answer_number(root, "contract", CONTRACT, &contract) || contract != CONTRACT)
		return not("its contract is not 1", ret_why);
	if (!names_batch(b, root))
		return not("it is for another batch", ret_why);
	return read_streams(b, answer_member(root, "streams"), READ_RECEIPT, v, ret_why);
}

static int judge_ok(const struct batch *b, const struct answer *a, struct verdict *v)
{
	const char *why = "";
	int r = read_receipt(b, a, v, &why);

	if (r < 0)
		return r;
	if (r == 0) {
		decide(v, VERDICT_RECEIPT, "the server confirmed the batch");
		return 0;
	}
	verdict_done(v);
	decide(v, VERDICT_TRANSIENT, "a 200 without a receipt (%s)", why);
	return 0;
}

static size_t count_rejected(const struct verdict *v)
{
	size_t n = 0;

	for (size_t i = 0; i < v->n_entries; i++)
		n += v->entries[i].n_rejected;
	return n;
}

/* 400 and 422. A body that names records is a help, not a duty: without one the batch is split. */
static int judge_refused(const struct batch *b, const struct answer *a, struct verdict *v)
{
	_cleanup_(answer_drop) json_t *root = answer_parse(a);
	const char *why;
	int r = RECEIPT_E_NOT;

	if (names_batch(b, root) || (json_is_object(root) && !answer_member(root, "batch")))
		r = read_streams(b, answer_member(root, "streams"), READ_REFUSAL, v, &why);
	if (r < 0)
		return r;
	if (r > 0 || count_rejected(v) == 0)
		verdict_done(v);
	decide_status(v, VERDICT_RECORD, a->status,
		      v->n_entries ? " and named the records it refuses" : "");
	return 0;
}

static void judge_transport(const struct answer *a, struct verdict *v)
{
	const char *words = a->transport_words ? a->transport_words : "";
	const char *colon = *words ? ": " : "";

	switch (a->transport) {
	case TRANSPORT_CERTIFICATE:
		decide(v, VERDICT_ACCOUNT, "the server's certificate is not trusted%s%s", colon,
		       words);
		break;
	case TRANSPORT_CERTIFICATE_TIME:
		decide(v, VERDICT_CLOCK, "the server's certificate is not valid at this time%s%s",
		       colon, words);
		break;
	case TRANSPORT_CLIENT_CERTIFICATE:
		decide(v, VERDICT_ACCOUNT, "the server refused our certificate%s%s", colon, words);
		break;
	default: decide(v, VERDICT_TRANSIENT, *words ? "no answer (%s)" : "no answer", words);
	}
	if (a->transport_detail)
		copy_printable(a->transport_detail, sizeof(v->detail), v->detail);
}

static void judge_status(int status, struct verdict *v)
{
	switch (status) {
	case 401: decide_status(v, VERDICT_TOKEN, status, ": the token is not accepted"); break;
	case 407:
	case 511:
		decide_status(v, VERDICT_TRANSIENT, status,
			      " (a proxy or captive portal wants a login)");
		break;
	case 408:
	case 425:
	case 429: decide_status(v, VERDICT_TRANSIENT, status, ""); break;
	case 409: decide_status(v, VERDICT_BUSY, status, ""); break;
	case 413: decide_status(v, VERDICT_TOO_LARGE, status, ""); break;
	case 415: decide_status(v, VERDICT_ENCODING, status, ""); break;
	default:
		if (status >= 400 && status < 500)
			decide_status(v, VERDICT_ACCOUNT, status, "");
		else if (status >= 500)
			decide_status(v, VERDICT_TRANSIENT, status, "");
		else
			decide_status(v, VERDICT_TRANSIENT, status,
				      ", which is not a receipt (captive portal or proxy?)");
	}
}

int receipt_judge(const struct batch *b, const struct answer *a, struct verdict *ret)
{
	_cleanup_(verdict_done) struct verdict v = {0};
	int r = 0;

	if (a->transport != TRANSPORT_OK || a->status == 0)
		judge_transport(a, &v);
	else if (a->status == 200)
		r = judge_ok(b, a, &v);
	else if (a->status == 400 || a->status == 422)
		r = judge_refused(b, a, &v);
	else
		judge_status(a->status, &v);
	if (r < 0)
		return r;
	if (v.class != VERDICT_RECEIPT && a->retry_after > 0)
		v.retry_after = CLAMP(a->retry_after, RETRY_AFTER_MIN, RETRY_AFTER_MAX);
	*ret = v;
	v = (struct verdict){0}; /* handed on */
	return 0;
}
