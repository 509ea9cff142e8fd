/* Holds simulator and daemon to their messages: each has one spelling, nothing else is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "source/handover.h"

#define ADDRESS "c0:de:00:00:00:01"

static int parse(const char *text, struct handover *ret)
{
	return handover_parse(text, strlen(text), ret);
}

static void every_kind_is_read(void **state)
{
	struct handover m;

	assert_int_equal(parse("hello 1", &m), 0);
	assert_int_equal(m.kind, HANDOVER_HELLO);
	assert_int_equal(parse("strap " ADDRESS " Polar  H10 ", &m), 0);
	assert_string_equal(m.name, "Polar  H10 ");
	assert_string_equal(m.device, ADDRESS);
	assert_int_equal(parse("value " ADDRESS " 2a19 60", &m), 0);
	assert_int_equal(m.characteristic, CHARACTERISTIC_BATTERY_LEVEL);
	assert_int_equal(m.n_value, 1);
	assert_int_equal(m.value[0], 0x60);
	assert_int_equal(parse("value " ADDRESS " 2a29 ", &m), 0);
	assert_int_equal(m.n_value, 0);
	assert_int_equal(parse("link " ADDRESS " fb005c82-02e7-f387-1cad-8acd2d8df0c8 232", &m), 0);
	assert_int_equal(m.characteristic, CHARACTERISTIC_PMD_DATA);
	assert_int_equal(m.mtu, 232);
	assert_int_equal(parse("gone " ADDRESS " link_loss", &m), 0);
	assert_int_equal(m.why, GAP_LINK_LOSS);
	assert_int_equal(parse("gone " ADDRESS " disconnected", &m), 0);
	assert_int_equal(m.why, GAP_DISCONNECTED);
}

static void nothing_else_is_read(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"hello",
		"hello ",
		"hello 2",
		"hello 1 ",
		"hello  1",
		"Hello 1",
		"strap",
		"strap " ADDRESS,
		"strap " ADDRESS " ",
		"strap C0:DE:00:00:00:01 x",
		"strap c0-de-00-00-00-01 x",
		"strap c0:de:00:00:00:0 x",
		"strap " ADDRESS " caf\xc3\xa9",
		"strap " ADDRESS " a\nb",
		"value " ADDRESS " 2A19 60",
		"value " ADDRESS " 2a19 6",
		"value " ADDRESS " 2a19 6G",
		"value " ADDRESS " 2a19",
		"value " ADDRESS " 2a99 60",
		"value " ADDRESS " 2a19 60 ",
		"link " ADDRESS " 2a37 22",
		"link " ADDRESS " 2a37 518",
		"link " ADDRESS " 2a37 023",
		"link " ADDRESS " 2a37 232 x",
		"gone " ADDRESS " power_cut",
		"gone " ADDRESS " ",
		"gone " ADDRESS " link_loss ",
		"bye " ADDRESS,
	};
	char long_name[HANDOVER_SIZE + 10];
	struct handover m;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse(bad[i], &m), HANDOVER_E_MALFORMED);
	assert_int_equal(handover_parse("hello 1\0", 8, &m), HANDOVER_E_MALFORMED);
	memset(long_name, 'x', sizeof(long_name));
	memcpy(long_name, "strap " ADDRESS " ", 24);
	for (size_t n = 24 + 64; n <= sizeof(long_name); n++)
		assert_int_equal(handover_parse(long_name, n, &m), HANDOVER_E_MALFORMED);
	assert_int_equal(handover_parse(long_name, 24 + 63, &m), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_is_read),
		cmocka_unit_test(nothing_else_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
