/*
 * Every row of the table of answers, and every way in which a 200 is not a receipt. The batch holds
 * seqs 1 2 3 and 5 6 of one stream (4 is in quarantine) and 1 2 of another, all in run 2.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sink/sink.h"

#include <stdio.h>

#define HEART "5d000000-0000-0000-0000-000000000000"
#define ECG   "0b000000-0000-0000-0000-000000000000"
#define OTHER "77000000-0000-0000-0000-000000000000"
#define S1    "536870913" /* the first of run 2 */
#define S2    "536870914"
#define S3    "536870915"
#define S4    "536870916"
#define S5    "536870917"
#define S6    "536870918"
#define S7    "536870919"
#define BOTH_IN_FULL                                                                          \
	"{\"stream\":\"" HEART "\",\"acked_through\":" S6 ",\"accepted\":4,\"duplicate\":1}," \
	"{\"stream\":\"" ECG "\",\"acked_through\":" S2 ",\"accepted\":2,\"duplicate\":0}"

enum { HEART_NUMBER = 7, ECG_NUMBER = 9 };

static char batch_text[UUID_STRING_SIZE];

static void add(struct batch *b, const struct stream_info *s, uint64_t n)
{
	struct record r = {.type = RECORD_GAP,
			   .clk = CLK_UTC,
			   .seq = seq_make(2, n),
			   .gap = {.reason = GAP_LINK_LOSS}};

	assert_int_equal(batch_add(b, s, 0, &r), 0);
}

static int setup(void **state)
{
	const struct run_info run = {.number = 2};
	const struct stream_info heart = {.number = HEART_NUMBER,
					  .kind = KIND_HEART_RATE,
					  .id = {{0x5d}},
					  .device = "",
					  .subject = ""};
	const struct stream_info ecg = {.number = ECG_NUMBER,
					.kind = KIND_ECG,
					.id = {{0x0b}},
					.device = "",
					.subject = ""};
	struct batch *b;
	const uint8_t *body;
	struct uuid id;
	size_t size;

	if (batch_new(&b) < 0)
		return -1;
	batch_begin(b, "gw", &run);
	for (uint64_t n = 1; n <= 6; n++)
		if (n != 4)
			add(b, &heart, n);
	add(b, &ecg, 1);
	add(b, &ecg, 2);
	if (batch_finish(b, false, &id, &body, &size) < 0)
		return -1;
	uuid_format(&id, batch_text);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	batch_free(*state);
	return 0;
}

static struct verdict judge(const struct batch *b, const struct answer *a)
{
	struct verdict v;

	assert_int_equal(receipt_judge(b, a, &v), 0);
	assert_true(v.reason[0] != '\0' && strlen(v.reason) < sizeof(v.reason));
	for (const char *c = v.reason; *c; c++)
		assert_in_range(*c, 0x20, 0x7e);
	return v;
}

/* The answer to our batch with these streams, as a server sends it that means well. */
static struct verdict judge_streams(const struct batch *b, int status, const char *streams)
{
	char body[4096];
	int n = snprintf(body, sizeof(body), "{\"contract\":1,\"batch\":\"%s\",\"streams\":[%s]}",
			 batch_text, streams);
	struct answer a = {.status = status,
			   .contract = "1",
			   .body = (const uint8_t *)body,
			   .size = (size_t)n};

	return judge(b, &a);
}

static struct verdict judge_body(const struct batch *b, int status, const char *contract,
				 const char *body)
{
	struct answer a = {.status = status,
			   .contract = contract,
			   .body = (const uint8_t *)body,
			   .size = strlen(body)};

	return judge(b, &a);
}

static void not_a_receipt(struct verdict v, const char *why)
{
	assert_int_equal(v.class, VERDICT_TRANSIENT);
	assert_null(v.entries);
	assert_int_equal(v.n_entries, 0);
	if (!strstr(v.reason, why))
		fail_msg("\"%s\" does not say \"%s\"", v.reason, why);
	verdict_done(&v);
}

static void test_receipt(void **state)
{
	struct verdict v = judge_streams(*state, 200, BOTH_IN_FULL);

	assert_int_equal(v.class, VERDICT_RECEIPT);
	assert_int_equal(v.n_entries, 2);
	assert_int_equal(v.entries[0].stream, ECG_NUMBER);
	assert_int_equal(v.entries[0].acked_through, seq_make(2, 2));
	assert_int_equal(v.entries[1].stream, HEART_NUMBER);
	assert_int_equal(v.entries[1].acked_through, seq_make(2, 6));
	assert_int_equal(v.entries[1].accepted, 4);
	assert_int_equal(v.entries[1].duplicate, 1);
	assert_int_equal(v.entries[1].n_rejected, 0);
	assert_false(v.entries[1].missing_after || v.entries[1].identity_conflict);
	verdict_done(&v);
	assert_null(v.entries);
}

static void test_receipt_in_part(void **state)
{
	struct verdict v =
		judge_streams(*state, 200,
			      "{\"stream\":\"" HEART "\",\"acked_through\":" S5 ",\"accepted\":3,"
			      "\"missing_after\":true,\"new\":{\"to\":[\"us\"]},\"rejected\":["
			      "{\"seq\":" S3 ",\"code\":\"conflict\"}]}");

	assert_int_equal(v.class, VERDICT_RECEIPT);
	assert_int_equal(v.n_entries, 2);
	assert_int_equal(v.entries[0].acked_through, 0); /* left out: nothing taken */
	assert_int_equal(v.entries[1].acked_through, seq_make(2, 5));
	assert_true(v.entries[1].missing_after);
	assert_int_equal(v.entries[1].n_rejected, 1);
	assert_int_equal(v.entries[1].rejected[0].seq, seq_make(2, 3));
	assert_true(v.entries[1].rejected[0].conflict);
	assert_string_equal(v.entries[1].rejected[0].detail, "");
	verdict_done(&v);
}

static void test_rejections_sorted_and_clean(void **state)
{
	struct verdict v =
		judge_streams(*state, 200,
			      "{\"stream\":\"" HEART "\",\"acked_through\":" S6 ",\"accepted\":3,"
			      "\"rejected\":[{\"seq\":" S6 ",\"code\":\"value_out_of_range\","
			      "\"detail\":\"bpm \\u001b[2J\\n\xc3\xa9 0\"},{\"seq\":" S1
			      ",\"code\":\"0123456789012345678901234567890123456789012345\","
			      "\"detail\":7}]}");
	const struct receipt_entry *e = &v.entries[1];

	assert_int_equal(v.class, VERDICT_RECEIPT);
	assert_int_equal(e->n_rejected, 2);
	assert_int_equal(e->rejected[0].seq, seq_make(2, 1));
	assert_int_equal(strlen(e->rejected[0].code), sizeof(e->rejected[0].code) - 1);
	assert_string_equal(e->rejected[0].detail, "");
	assert_int_equal(e->rejected[1].seq, seq_make(2, 6));
	assert_string_equal(e->rejected[1].code, "value_out_of_range");
	assert_string_equal(e->rejected[1].detail, "bpm ?[2J??? 0");
	assert_false(e->rejected[1].conflict);
	verdict_done(&v);
}

static void test_identity_conflict(void **state)
{
	struct verdict v =
		judge_streams(*state, 200, "{\"stream\":\"" HEART "\",\"identity_conflict\":true}");

	assert_int_equal(v.class, VERDICT_RECEIPT);
	assert_true(v.entries[1].identity_conflict);
	assert_int_equal(v.entries[1].acked_through, 0);
	verdict_done(&v);
	not_a_receipt(judge_streams(*state, 200,
				    "{\"stream\":\"" HEART "\",\"identity_conflict\":true,"
				    "\"acked_through\":" S1 ",\"accepted\":1}"),
		      "identity");
}

static void test_nothing_taken(void **state)
{
	struct verdict v = judge_streams(*state, 200, "");

	assert_int_equal(v.class, VERDICT_RECEIPT);
	assert_int_equal(v.n_entries, 2);
	assert_int_equal(v.entries[0].acked_through + v.entries[1].acked_through, 0);
	verdict_done(&v);
}

static void test_somebody_else_said_200(void **state)
{
	char ours[256];

	(void)snprintf(ours, sizeof(ours), "{\"contract\":1,\"batch\":\"%s\",\"streams\":[]}",
		       batch_text);
	not_a_receipt(judge_body(*state, 200, NULL, "<html>Welcome, guest</html>"), "portal");
	not_a_receipt(judge_body(*state, 200, NULL, ours), "X-Ingest-Contract");
	not_a_receipt(judge_body(*state, 200, "2", ours), "X-Ingest-Contract");
	not_a_receipt(judge_body(*state, 200, "1", "<html>"), "not JSON");
	not_a_receipt(judge_body(*state, 200, "1", ""), "not JSON");
	not_a_receipt(judge_body(*state, 200, "1", "[]"), "not JSON");
	ours[strlen(ours) - 1] = '\0';
	not_a_receipt(judge_body(*state, 200, "1", ours), "cut short");
	not_a_receipt(judge(*state, &(struct answer){.status = 200, .contract = "1"}), "not JSON");
}

static void test_other_contract_or_batch(void **state)
{
	char body[512];

	not_a_receipt(judge_body(*state, 200, "1", "{\"contract\":2,\"streams\":[]}"), "contract");
	not_a_receipt(judge_body(*state, 200, "1", "{\"contract\":\"1\",\"streams\":[]}"),
		      "contract");
	not_a_receipt(judge_body(*state, 200, "1", "{\"contract\":1,\"streams\":[]}"),
		      "another batch");
	not_a_receipt(judge_body(*state, 200, "1",
				 "{\"contract\":1,\"batch\":\"" OTHER "\",\"streams\":[]}"),
		      "another batch");
	(void)snprintf(body, sizeof(body), "{\"contract\":1,\"batch\":\"%s\"}", batch_text);
	not_a_receipt(judge_body(*state, 200, "1", body), "no streams");
	(void)snprintf(body, sizeof(body),
		       "{\"contract\":1,\"batch\":\"%s\",\"batch\":\"%s\",\"streams\":[]}",
		       batch_text, batch_text);
	not_a_receipt(judge_body(*state, 200, "1", body), "not JSON"); /* a member twice */
}

static void test_streams_that_are_wrong(void **state)
{
	static const struct {
		const char *streams, *why;
	} wrong[] = {
		{"{\"stream\":\"" OTHER "\",\"acked_through\":0}", "not sent"},
		{"{\"acked_through\":0}", "not sent"},
		{"7", "not sent"},
		{"{\"stream\":\"" HEART "\"},{\"stream\":\"" HEART "\"}", "twice"},
		/* outside: above, below, in a hole, of another run */
		{"{\"stream\":\"" HEART "\",\"acked_through\":" S7 ",\"accepted\":5}",
		 "acked_through is not"},
		{"{\"stream\":\"" HEART "\",\"acked_through\":536870912}", "acked_through is not"},
		{"{\"stream\":\"" HEART "\",\"acked_through\":" S4 ",\"accepted\":3}",
		 "acked_through is not"},
		{"{\"stream\":\"" HEART "\",\"acked_through\":1,\"accepted\":1}",
		 "acked_through is not"},
		{"{\"stream\":\"" ECG "\",\"acked_through\":" S3 ",\"accepted\":2}",
		 "acked_through is not"},
		/* sums */
		{"{\"stream\":\"" HEART "\",\"acked_through\":" S6 ",\"accepted\":6}", "add up"},
		{"{\"stream\":\"" HEART "\",\"acked_through\":" S6 ",\"accepted\":4}", "add up"},
		{"{\"stream\":\"" HEART "\",\"acked_through\":" S6 "}", "add up"},
		{"{\"stream\":\"" HEART "\",\"acked_through\":0,\"accepted\":1}", "add up"},
		{"{\"stream\":\"" HEART "\",\"acked_through\":" S6
		 ",\"accepted\":4294967295,\"duplicate\":6}",
		 "add up"},
		/* numbers that are none */
		{"{\"stream\":\"" HEART "\",\"acked_through\":-1}", "whole number"},
		{"{\"stream\":\"" HEART "\",\"acked_through\":536870918.0,\"accepted\":5}",
		 "whole number"},
		{"{\"stream\":\"" HEART "\",\"acked_through\":\"" S6 "\",\"accepted\":5}",
		 "whole number"},
		{"{\"stream\":\"" HEART "\",\"acked_through\":true}", "whole number"},
		{"{\"stream\":\"" HEART "\",\"accepted\":4294967296}", "whole number"},
		{"{\"stream\":\"" HEART "\",\"acked_through\":99999999999999999999}", "not JSON"},
		/* rejected */
		{"{\"stream\":\"" HEART "\",\"acked_through\":" S6
		 ",\"accepted\":4,\"rejected\":[{\"seq\":" S4 "}]}",
		 "not sent"},
		{"{\"stream\":\"" HEART "\",\"acked_through\":" S6
		 ",\"accepted\":4,\"rejected\":[{}]}",
		 "not sent"},
		{"{\"stream\":\"" HEART "\",\"acked_through\":" S6
		 ",\"accepted\":4,\"rejected\":[null]}",
		 "not sent"},
		{"{\"stream\":\"" HEART "\",\"acked_through\":" S2
		 ",\"accepted\":1,\"rejected\":[{\"seq\":" S3 "}]}",
		 "above acked_through"},
		{"{\"stream\":\"" HEART "\",\"rejected\":[{\"seq\":" S1 "}]}",
		 "above acked_through"},
		{"{\"stream\":\"" HEART "\",\"acked_through\":" S6
		 ",\"accepted\":3,\"rejected\":[{\"seq\":" S1 "},{\"seq\":" S1 "}]}",
		 "twice"},
		{"{\"stream\":\"" ECG "\",\"acked_through\":" S2 ",\"rejected\":[1,1,1,1,1,1,1,1]}",
		 "more records"},
		{"{\"stream\":\"" HEART "\",\"rejected\":{}}", "not a list"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		not_a_receipt(judge_streams(*state, 200, wrong[i].streams), wrong[i].why);
	/* one good stream does not save another that is wrong */
	not_a_receipt(judge_streams(*state, 200, BOTH_IN_FULL ",{\"stream\":\"" OTHER "\"}"),
		      "not sent");
}

static void test_deep_nesting(void **state)
{
	static char deep[100000];

	memset(deep, '[', sizeof(deep) - 1);
	not_a_receipt(judge_body(*state, 200, "1", deep), "not JSON");
}

static void test_table(void **state)
{
	static const struct {
		int status;
		enum verdict_class class;
		const char *says;
	} rows[] = {
		{100, VERDICT_TRANSIENT, "not a receipt"},
		{202, VERDICT_TRANSIENT, "202 Accepted, which is not a receipt"},
		{204, VERDICT_TRANSIENT, "not a receipt"},
		{302, VERDICT_TRANSIENT, "portal"},
		{401, VERDICT_TOKEN, "token"},
		{403, VERDICT_ACCOUNT, "the server answered 403 Forbidden"},
		{404, VERDICT_ACCOUNT, "404"},
		{405, VERDICT_ACCOUNT, "405"},
		{407, VERDICT_TRANSIENT, "proxy"},
		{408, VERDICT_TRANSIENT, "408"},
		{409, VERDICT_BUSY, "409"},
		{410, VERDICT_ACCOUNT, "410"},
		{413, VERDICT_TOO_LARGE, "413"},
		{415, VERDICT_ENCODING, "415"},
		{418, VERDICT_ACCOUNT, "the server answered 418"},
		{425, VERDICT_TRANSIENT, "425"},
		{429, VERDICT_TRANSIENT, "429 Too Many Requests"},
		{500, VERDICT_TRANSIENT, "500"},
		{502, VERDICT_TRANSIENT, "502"},
		{503, VERDICT_TRANSIENT, "the server answered 503 Service Unavailable"},
		{504, VERDICT_TRANSIENT, "504"},
		{511, VERDICT_TRANSIENT, "portal"},
		{599, VERDICT_TRANSIENT, "599"},
		{400, VERDICT_RECORD, "400 Bad Request"},
		{422, VERDICT_RECORD, "422"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		/* even with the best of receipts in its body */
		struct verdict v = judge_streams(*state, rows[i].status, BOTH_IN_FULL);

		assert_int_equal(v.class, rows[i].class);
		assert_non_null(strstr(v.reason, rows[i].says));
		assert_null(v.entries);
		verdict_done(&v);
	}
}

static void test_no_answer(void **state)
{
	static const struct {
		enum transport_failure transport;
		enum verdict_class class;
		const char *says;
	} rows[] = {
		{TRANSPORT_OK, VERDICT_TRANSIENT, "no answer"},
		{TRANSPORT_NETWORK, VERDICT_TRANSIENT, "no answer (not today)"},
		{TRANSPORT_CERTIFICATE, VERDICT_ACCOUNT, "not trusted"},
		{TRANSPORT_CERTIFICATE_TIME, VERDICT_CLOCK, "at this time"},
		{TRANSPORT_CLIENT_CERTIFICATE, VERDICT_ACCOUNT, "our certificate"},
	};
	struct verdict v;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct answer a = {.transport = rows[i].transport,
				   .transport_words = "not today",
				   .transport_detail = "bad\nday"};

		v = judge(*state, &a);
		assert_int_equal(v.class, rows[i].class);
		assert_non_null(strstr(v.reason, rows[i].says));
		assert_null(strstr(v.reason, "bad"));
		assert_string_equal(v.detail, "bad?day");
		a.transport_words = a.transport_detail = NULL;
		v = judge(*state, &a);
		assert_int_equal(v.class, rows[i].class);
		assert_string_equal(v.detail, "");
	}
	/* the head of a 200 came, and then the line broke */
	v = judge(*state, &(struct answer){.transport = TRANSPORT_NETWORK, .status = 200});
	not_a_receipt(v, "no answer");
}

static void test_refusal_that_names_records(void **state)
{
	struct verdict v = judge_streams(*state, 422,
					 "{\"stream\":\"" HEART "\",\"acked_through\":" S6
					 ",\"rejected\":[{\"seq\":" S5 ",\"code\":\"bpm\"},"
					 "{\"seq\":" S2 ",\"code\":\"conflict\"}]}");

	assert_int_equal(v.class, VERDICT_RECORD);
	assert_int_equal(v.n_entries, 2);
	assert_int_equal(v.entries[1].acked_through, 0);
	assert_int_equal(v.entries[1].n_rejected, 2);
	assert_int_equal(v.entries[1].rejected[0].seq, seq_make(2, 2));
	assert_true(v.entries[1].rejected[0].conflict);
	assert_string_equal(v.entries[1].rejected[1].code, "bpm");
	verdict_done(&v);
}

static void test_refusal_that_names_others(void **state)
{
	static const char *const bodies[] = {
		"<html>",
		"[]",
		"{\"error\":\"no\"}",
		"{\"streams\":7}",
		"{\"batch\":\"" OTHER "\",\"streams\":[{\"stream\":\"" HEART
		"\",\"rejected\":[{\"seq\":" S1 "}]}]}",
		"{\"streams\":[{\"stream\":\"" HEART "\",\"rejected\":[{\"seq\":" S1
		"},{\"seq\":" S7 "}]}]}",
		"{\"streams\":[{\"stream\":\"" OTHER "\",\"rejected\":[{\"seq\":" S1 "}]}]}",
		"{\"streams\":[{\"stream\":\"" HEART "\",\"rejected\":[]}]}",
	};
	struct verdict v;

	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		v = judge_body(*state, 400, NULL, bodies[i]);
		assert_int_equal(v.class, VERDICT_RECORD);
		assert_null(v.entries);
		assert_int_equal(v.n_entries, 0);
	}
	/* to name the batch is a help, not a duty */
	v = judge_body(*state, 400, NULL,
		       "{\"streams\":[{\"stream\":\"" HEART "\",\"rejected\":[{\"seq\":" S1
		       "}]}]}");
	assert_int_equal(v.n_entries, 2);
	verdict_done(&v);
}

static void test_retry_after(void **state)
{
	static const struct {
		usec_t said, wanted;
	} rows[] = {
		{0, 0},
		{1, USEC_PER_SEC},
		{7 * USEC_PER_SEC, 7 * USEC_PER_SEC},
		{USEC_INFINITY, 3600 * USEC_PER_SEC},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct answer a = {.status = 503, .retry_after = rows[i].said};

		assert_int_equal(judge(*state, &a).retry_after, rows[i].wanted);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_receipt),
		cmocka_unit_test(test_receipt_in_part),
		cmocka_unit_test(test_rejections_sorted_and_clean),
		cmocka_unit_test(test_identity_conflict),
		cmocka_unit_test(test_nothing_taken),
		cmocka_unit_test(test_somebody_else_said_200),
		cmocka_unit_test(test_other_contract_or_batch),
		cmocka_unit_test(test_streams_that_are_wrong),
		cmocka_unit_test(test_deep_nesting),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_refusal_that_names_records),
		cmocka_unit_test(test_refusal_that_names_others),
		cmocka_unit_test(test_retry_after),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
