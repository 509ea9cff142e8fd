/* What GET /v1/streams may say, in both of its forms, and everything that is not it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sink/sink.h"

#define A "0b000000-0000-0000-0000-000000000000"
#define B "5d000000-0000-0000-0000-000000000000"

static struct answer answer_of(const char *body)
{
	return (struct answer){.status = 200, .body = (const uint8_t *)body, .size = strlen(body)};
}

static void expect_two(const char *body)
{
	_cleanup_(freep) struct stream_position *positions = NULL;
	struct answer a = answer_of(body);
	const char *why = NULL;
	size_t n;

	assert_int_equal(streams_parse(&a, &positions, &n, &why), 0);
	assert_int_equal(n, 2);
	assert_int_equal(positions[0].stream.bytes[0], 0x0b);
	assert_int_equal(positions[0].last_seq, 0);
	assert_int_equal(positions[1].stream.bytes[0], 0x5d);
	assert_int_equal(positions[1].last_seq, INT64_MAX);
}

static void refuse(struct answer a)
{
	struct stream_position *positions = NULL;
	const char *why = NULL;
	size_t n = 77;

	assert_int_equal(streams_parse(&a, &positions, &n, &why), SINK_E_NOT_UNDERSTOOD);
	assert_non_null(why);
	assert_null(positions);
	assert_int_equal(n, 77);
}

static void test_both_forms(void **state)
{
	expect_two("[{\"stream\":\"" B "\",\"last_seq\":9223372036854775807,\"more\":1},"
		   "{\"stream\":\"" A "\",\"last_seq\":0}]");
	expect_two("{\"streams\":[{\"stream\":\"" A "\",\"last_seq\":0},"
		   "{\"stream\":\"" B "\",\"last_seq\":9223372036854775807}]}");
}

static void test_empty(void **state)
{
	_cleanup_(freep) struct stream_position *positions = NULL;
	struct answer a = answer_of("[]");
	const char *why = NULL;
	size_t n = 77;

	assert_int_equal(streams_parse(&a, &positions, &n, &why), 0);
	assert_int_equal(n, 0);
}

static void test_bodies_that_are_wrong(void **state)
{
	static const char *const wrong[] = {
		"",
		"<html>",
		"7",
		"{}",
		"{\"streams\":{}}",
		"[7]",
		"[{\"stream\":\"" A "\"}]",
		"[{\"last_seq\":1}]",
		"[{\"stream\":\"x\",\"last_seq\":1}]",
		"[{\"stream\":\"" A "\",\"last_seq\":-1}]",
		"[{\"stream\":\"" A "\",\"last_seq\":1.5}]",
		"[{\"stream\":\"" A "\",\"last_seq\":null}]",
		"[{\"stream\":\"" A "\",\"last_seq\":9223372036854775808}]",
		"[{\"stream\":\"" A "\",\"last_seq\":1},{\"stream\":\"" A "\",\"last_seq\":1}]",
		"[{\"stream\":\"" A "\",\"last_seq\":1}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		refuse(answer_of(wrong[i]));
}

static void test_other_answers(void **state)
{
	struct answer a = answer_of("[]");

	a.status = 404;
	refuse(a);
	a.status = 0;
	refuse(a);
	a.status = 200;
	a.contract = "2";
	refuse(a);
	a.contract = "1";
	a.transport = TRANSPORT_NETWORK;
	refuse(a);
	refuse((struct answer){.status = 200});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_forms),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_bodies_that_are_wrong),
		cmocka_unit_test(test_other_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
