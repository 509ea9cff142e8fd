/* model/anchor_file: what is read of an export, and that whatever is not one is refused with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/anchor_file.h"

#define UUID_A "5d3c1f9e-0000-5000-8000-000000000001"
#define UUID_B "5d3c1f9e-0000-5000-8000-000000000002"
#define HEAD   "{\"format\":\"vitald-anchors\",\"version\":1,\n\"incarnation\":\"" UUID_B "\","
#define ENTRY  "{\"sink\":\"main\",\"stream\":\"" UUID_A "\",\"anchor\":268435500}"

static struct anchor_file *parse(const char *text)
{
	struct anchor_file *file = NULL;
	struct buf problem = {0};

	if (anchor_file_parse("f", text, strlen(text), &problem, &file) != 0)
		fail_msg("%.*s", (int)problem.size, (char *)problem.data);
	assert_int_equal(problem.size, 0);
	buf_done(&problem);
	return file;
}

static void refused(const char *text, size_t size, const char *expected)
{
	struct anchor_file *file = NULL;
	struct buf problem = {0};

	assert_int_equal(anchor_file_parse("f", text, size, &problem, &file), ANCHOR_FILE_E_BAD);
	assert_null(file);
	buf_u8(&problem, 0);
	if (strncmp((char *)problem.data, expected, strlen(expected)) != 0)
		fail_msg("\"%s\" does not begin with \"%s\"", (char *)problem.data, expected);
	buf_done(&problem);
}

static void is_refused(const char *text, const char *expected)
{
	refused(text, strlen(text), expected);
}

static void an_export(void **state)
{
	_cleanup_(anchor_file_freep) struct anchor_file *file = parse(
		HEAD
		"\"gateway\":\"h\\u00fc\\\"b\",\"later\":{\"a\":[1,-2.5e3,null,{}],\"b\":true},\n"
		"\"anchors\":[\n" ENTRY ",\n"
		"{ \"rows\" : [[1,2],[3,4]], \"anchor\" : 0, \"stream\" : \"" UUID_B
		"\",\r\n\t\"sink\":\"m\\u0061in\",\"subject\":\"\"}]}\n\n");
	struct uuid a, b;

	assert_true(uuid_parse(UUID_A, &a) && uuid_parse(UUID_B, &b));
	assert_true(uuid_equal(&file->incarnation, &b));
	assert_int_equal(file->n, 2);
	assert_string_equal(file->entries[0].sink, "main");
	assert_true(uuid_equal(&file->entries[0].stream, &a));
	assert_int_equal(file->entries[0].anchor, 268435500);
	assert_int_equal(file->entries[0].line, 4);
	assert_string_equal(file->entries[1].sink, "main");
	assert_true(uuid_equal(&file->entries[1].stream, &b));
	assert_int_equal(file->entries[1].anchor, 0);
	assert_int_equal(file->entries[1].line, 5);
}

static void nothing_in_it(void **state)
{
	_cleanup_(anchor_file_freep) struct anchor_file *file = parse(HEAD "\"anchors\":[]}");

	assert_int_equal(file->n, 0);
	assert_null(anchor_file_free(NULL));
}

static void mistakes(void **state)
{
	static const struct {
		const char *text, *expected;
	} bad[] = {
		{"", "f:1: the file ends too early"},
		{"\n\n[]", "f:3: '{' is missing here"},
		{"{}", "f:1: format, version, incarnation or anchors is missing"},
		{HEAD "\"anchors\":[" ENTRY "]", "f:2: the file ends too early"},
		{HEAD "\"anchors\":[" ENTRY "]}\nx", "f:3: something follows"},
		{HEAD "\"anchors\":[" ENTRY "],\"version\":1}", "f:2: version is there twice"},
		{HEAD "\"anchors\":[" ENTRY ",\n" ENTRY "]}",
		 "f:3: this sink and stream are in line 2 already"},
		{"{\"format\":\"x\"}", "f:1: this is no file of"},
		{"{\"version\":2}", "f:1: this vitalctl knows version 1"},
		{"{\"version\":1.5}", "f:1: version has to be a whole number"},
		{"{\"version\":-1}", "f:1: version has to be a whole number"},
		{"{\"version\":99999999999999999999}", "f:1: version is too large"},
		{"{\"incarnation\":\"" UUID_A "0\"}", "f:1: incarnation has to be a UUID"},
		{HEAD "\"anchors\":[\n{\"sink\":\"main\",\"anchor\":1}]}", "f:3: an anchor needs"},
		{HEAD "\"anchors\":[{\"sink\":\"\",\"stream\":\"" UUID_A "\",\"anchor\":1}]}",
		 "f:2: an anchor needs"},
		{HEAD
		 "\"anchors\":[{\"sink\":\"012345678901234567890123456789012\",\"stream\":\"" UUID_A
		 "\",\"anchor\":1}]}",
		 "f:2: an anchor needs"},
		{HEAD "\"anchors\":[{\"anchor\":}]}", "f:2: anchor has to be a whole number"},
		{HEAD "\"anchors\":[{\"anchor\":184467440737095516160}]}",
		 "f:2: anchor is too large"},
		{"{\"a\":\"x\ny\"}", "f:1: a string does not end in its line"},
		{"{\"a\":\"\\q\"}", "f:1: a string has an escape"},
		{"{\"a\":\"\\u00zz\"}", "f:1: a string has an escape"},
		{"{\"a\":\"x", "f:1: the file ends too early"},
		{"{\"a\":\"x\\", "f:1: the file ends too early"},
		{"{\"a\":}", "f:1: a value is missing"},
		{"{\"a\":1 \"b\":2}", "f:1: '}' is missing here"},
		{"{\"a\":[[[[[[[[[[1]]]]]]]]]]}", "f:1: this is nested too deeply"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		is_refused(bad[i].text, bad[i].expected);
	refused("{\"a\":1}\0", 8, "f:1: something follows");
	refused("{\"a\":\0}", 7, "f:1: a value is missing");
}

/* Wherever it is cut, it is refused: half an export must not pass for a whole one. */
static void cut_anywhere(void **state)
{
	static const char text[] = HEAD "\"anchors\":[\n" ENTRY "]}";

	for (size_t n = 0; n < sizeof(text) - 1; n++)
		refused(text, n, "f:");
	anchor_file_free(parse(text));
}

static void bounded(void **state)
{
	struct anchor_file *file = NULL;
	struct buf text = {0}, problem = {0};

	buf_string(&text, HEAD "\"anchors\":[");
	for (unsigned i = 0; i <= ANCHOR_FILE_ENTRIES; i++)
		buf_printf(&text,
			   "%s{\"sink\":\"s\",\"stream\":\"5d3c1f9e-0000-5000-8000-%012u\","
			   "\"anchor\":1}",
			   i ? "," : "", i);
	buf_string(&text, "]}");
	refused((char *)text.data, text.size, "f:2: there are too many anchors");
	while (text.size <= ANCHOR_FILE_MAX)
		buf_string(&text, "                                                    ");
	assert_int_equal(anchor_file_parse("f", text.data, text.size, &problem, &file),
			 ANCHOR_FILE_E_BAD);
	assert_memory_equal(problem.data, "f:1: this is too large", 22);
	buf_done(&problem);
	buf_done(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_export), cmocka_unit_test(nothing_in_it),
		cmocka_unit_test(mistakes),  cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
