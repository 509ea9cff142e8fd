/* source/btsnoop: the three datalinks, what is written is read again, and every way to be broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "source/btsnoop.h"

/* 2000-01-01, which the format itself gives as 0x00E03AB44A676000. */
#define MILLENNIUM_US (INT64_C(946684800) * 1000000)

static const uint8_t header_h1[] = {'b', 't', 's', 'n', 'o', 'o', 'p', 0,
				    0,	 0,   0,   1,	0,   0,	  3,   0xe9};

/* A packet of three bytes out of four; flags and stamp are filled in. */
static const uint8_t packet[] = {0,    0,    0,	   4,	 0,    0,    0,	   3,	 0,
				 0,    0,    0,	   0,	 0,    0,    7,	   0,	 0xe0,
				 0x3a, 0xb4, 0x4a, 0x67, 0x60, 0x01, 0x04, 0x3e, 0};

static int read_with(uint32_t datalink, uint32_t flags, struct btsnoop_packet *ret)
{
	static uint8_t copy[sizeof(packet)];
	struct bytes b = bytes_make(copy, sizeof(copy));
	int r;

	memcpy(copy, packet, sizeof(packet));
	for (unsigned i = 0; i < 4; i++)
		copy[8 + i] = (uint8_t)(flags >> (24 - 8 * i));
	r = btsnoop_read_packet(&b, datalink, ret);
	assert_int_equal(b.at, r == 0 ? sizeof(packet) : 0);
	return r;
}

static void reads_headers(void **state)
{
	uint8_t copy[sizeof(header_h1)];
	struct bytes b = bytes_make(header_h1, sizeof(header_h1));
	uint32_t datalink;

	assert_int_equal(btsnoop_read_header(&b, &datalink), 0);
	assert_int_equal(datalink, BTSNOOP_H1);
	assert_int_equal(b.at, BTSNOOP_HEADER_SIZE);
	for (size_t n = 0; n < sizeof(header_h1); n++) {
		b = bytes_make(header_h1, n);
		assert_int_equal(btsnoop_read_header(&b, &datalink), BTSNOOP_E_SHORT);
		assert_int_equal(b.at, 0);
	}
	memcpy(copy, header_h1, sizeof(copy));
	copy[15] = 0xeb; /* 1003, BCSP */
	b = bytes_make(copy, sizeof(copy));
	assert_int_equal(btsnoop_read_header(&b, &datalink), BTSNOOP_E_DATALINK);
	copy[11] = 2;
	assert_int_equal(btsnoop_read_header(&b, &datalink), BTSNOOP_E_VERSION);
	copy[6] = 'q';
	assert_int_equal(btsnoop_read_header(&b, &datalink), BTSNOOP_E_MAGIC);
	b = bytes_make("\xd4\xc3\xb2\xa1", 4); /* a pcap file */
	assert_int_equal(btsnoop_read_header(&b, &datalink), BTSNOOP_E_MAGIC);
}

static void reads_h1(void **state)
{
	static const enum btsnoop_type types[] = {BTSNOOP_ACL_SENT, BTSNOOP_ACL_RECEIVED,
						  BTSNOOP_COMMAND, BTSNOOP_EVENT};
	struct btsnoop_packet p;

	for (uint32_t flags = 0; flags < 4; flags++) {
		assert_int_equal(read_with(BTSNOOP_H1, flags, &p), 0);
		assert_int_equal(p.type, types[flags]);
	}
	assert_int_equal(p.index, 0);
	assert_int_equal(p.wall_us, MILLENNIUM_US + 1);
	assert_int_equal(p.dropped, 7);
	assert_int_equal(p.size, 3);
	assert_memory_equal(p.data, "\x04\x3e", 3);
	assert_true(p.cut);
}

static void reads_h4(void **state)
{
	struct btsnoop_packet p;
	uint8_t bytes[sizeof(packet)];
	struct bytes b = bytes_make(bytes, sizeof(bytes));

	assert_int_equal(read_with(BTSNOOP_H4, 1, &p), 0);
	assert_int_equal(p.type, BTSNOOP_EVENT);
	assert_int_equal(p.size, 2);
	assert_memory_equal(p.data, "\x3e", 2);
	memcpy(bytes, packet, sizeof(bytes));
	for (unsigned type = 0; type < 6; type++) {
		static const enum btsnoop_type types[] = {BTSNOOP_OTHER,    BTSNOOP_COMMAND,
							  BTSNOOP_ACL_SENT, BTSNOOP_OTHER,
							  BTSNOOP_EVENT,    BTSNOOP_OTHER};

		b.at = 0;
		bytes[24] = (uint8_t)type;
		assert_int_equal(btsnoop_read_packet(&b, BTSNOOP_H4, &p), 0);
		assert_int_equal(p.type, types[type]);
	}
	bytes[3] = bytes[7] = 0; /* no byte to tell its type */
	b.at = 0;
	assert_int_equal(btsnoop_read_packet(&b, BTSNOOP_H4, &p), 0);
	assert_int_equal(p.type, BTSNOOP_OTHER);
	assert_int_equal(p.size, 0);
}

static void reads_monitor(void **state)
{
	struct btsnoop_packet p;

	assert_int_equal(read_with(BTSNOOP_MONITOR, 0x00020005, &p), 0);
	assert_int_equal(p.type, BTSNOOP_ACL_RECEIVED);
	assert_int_equal(p.index, 2);
	assert_int_equal(read_with(BTSNOOP_MONITOR, 0xffff000c, &p), 0);
	assert_int_equal(p.type, BTSNOOP_NOTE);
	assert_int_equal(read_with(BTSNOOP_MONITOR, 7, &p), 0); /* SCO */
	assert_int_equal(p.type, BTSNOOP_OTHER);
}

static void refuses_lengths(void **state)
{
	uint8_t bytes[sizeof(packet)];
	struct btsnoop_packet p;
	struct bytes b;

	for (size_t n = 0; n < sizeof(packet); n++) {
		b = bytes_make(packet, n);
		assert_int_equal(btsnoop_read_packet(&b, BTSNOOP_MONITOR, &p), BTSNOOP_E_SHORT);
		assert_int_equal(b.at, 0);
	}
	memcpy(bytes, packet, sizeof(bytes));
	b = bytes_make(bytes, sizeof(bytes));
	bytes[7] = 5; /* more was kept than there was */
	assert_int_equal(btsnoop_read_packet(&b, BTSNOOP_MONITOR, &p), BTSNOOP_E_LENGTH);
	bytes[0] = bytes[4] = 0x10; /* 256 MiB */
	assert_int_equal(btsnoop_read_packet(&b, BTSNOOP_MONITOR, &p), BTSNOOP_E_LENGTH);
}

/* Times beyond what 64 bits hold since 1970 are cut, not undefined. */
static void survives_any_time(void **state)
{
	uint8_t bytes[sizeof(packet)];
	struct bytes b = bytes_make(bytes, sizeof(bytes));
	struct btsnoop_packet p;

	memcpy(bytes, packet, sizeof(bytes));
	memset(bytes + 16, 0, 8);
	bytes[16] = 0x80;
	assert_int_equal(btsnoop_read_packet(&b, BTSNOOP_MONITOR, &p), 0);
	assert_int_equal(p.wall_us, INT64_MIN);
}

static void writes_what_it_reads(void **state)
{
	const struct btsnoop_packet p = {.type = BTSNOOP_EVENT,
					 .index = 3,
					 .wall_us = MILLENNIUM_US + 123456,
					 .dropped = 9,
					 .data = (const uint8_t *)"\x3e\x01\x02",
					 .size = 3};
	struct btsnoop_packet again;
	struct buf file = {0};
	struct bytes b;
	uint32_t datalink;

	btsnoop_write_header(&file);
	btsnoop_write_packet(&file, &p);
	assert_false(file.failed);
	b = bytes_make(file.data, file.size);
	assert_int_equal(btsnoop_read_header(&b, &datalink), 0);
	assert_int_equal(datalink, BTSNOOP_MONITOR);
	assert_int_equal(btsnoop_read_packet(&b, datalink, &again), 0);
	assert_int_equal(bytes_left(&b), 0);
	assert_int_equal(again.type, p.type);
	assert_int_equal(again.index, p.index);
	assert_int_equal(again.wall_us, p.wall_us);
	assert_int_equal(again.dropped, p.dropped);
	assert_int_equal(again.size, p.size);
	assert_memory_equal(again.data, p.data, p.size);
	assert_false(again.cut);
	buf_done(&file);
}

static void says_each_problem(void **state)
{
	for (int a = 0; a <= BTSNOOP_E_LENGTH; a++)
		for (int b = 0; b < a; b++)
			assert_string_not_equal(btsnoop_problem(a), btsnoop_problem(b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_headers),
		cmocka_unit_test(reads_h1),
		cmocka_unit_test(reads_h4),
		cmocka_unit_test(reads_monitor),
		cmocka_unit_test(refuses_lengths),
		cmocka_unit_test(survives_any_time),
		cmocka_unit_test(writes_what_it_reads),
		cmocka_unit_test(says_each_problem),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
