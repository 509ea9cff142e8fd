/*
 * source/sniff, source/attribute and source/names by scripts of packets: what goes over the wire,
 * and what a source has to tell of it. A line of a script is a sign and bytes in hexadecimal; what
 * is heard is written down line by line.
 *
 *	> an ATT PDU sent, < one received: L2CAP and ACL headers are put before it
 *	} an ACL packet sent, { one received, as it is
 *	! an event without its length, ? one as it is
 *	x the adapter goes    @N adapter N from here on    ~ the logger has cut the next packet
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "source/sniff.h"

#include <stdio.h>

#define ADDRESS "f5 e4 d3 c2 b1 a0"
#define STRAP	"a0:b1:c2:d3:e4:f5"
/* Connected at handle 0x0040, as central. */
#define CONNECTED_TO(address) "! 3e 01 00 4000 00 00 " address " 1800 0000 4800 00\n"
#define CONNECTED	      CONNECTED_TO(ADDRESS)
#define DISCONNECTED	      "! 05 00 4000 13\n"
/* A characteristic at 0x0010, asked for and told: 2a37. */
#define DISCOVERED "> 08 0100 ffff 0328\n< 09 07 0f00 10 1000 372a\n"
#define HEART_RATE "< 1b 1000 003c\n"
#define THERE	   STRAP " there \"\"\n"
#define HEARD	   STRAP " 2a37 003c\n"
#define LINKS_MAX  64

static void on_connected(void *userdata, const char *device, const char *name, usec_t boot_us)
{
	assert_int_equal(boot_us, 1000);
	buf_printf(userdata, "%s there \"%s\"\n", device, name);
}

static void on_frame(void *userdata, const struct frame *f)
{
	assert_int_equal(f->boot_us, 1000);
	assert_int_equal(f->read_us, 2000);
	buf_printf(userdata, "%s %s ", f->device, characteristic_uuid(f->characteristic));
	for (size_t i = 0; i < f->size; i++)
		buf_printf(userdata, "%02x", f->data[i]);
	buf_string(userdata, "\n");
}

static void on_disconnected(void *userdata, const char *device, enum gap_reason why, usec_t boot_us)
{
	buf_printf(userdata, "%s gone %d\n", device, (int)why);
}

static const char *read_hex(const char *p, struct buf *data)
{
	unsigned v;

	for (; *p && *p != '\n'; p += *p == ' ' ? 1 : 2)
		if (*p != ' ') {
			assert_int_equal(sscanf(p, "%2x", &v), 1);
			buf_u8(data, (uint8_t)v);
		}
	return p;
}

static enum btsnoop_type type_of(char sign)
{
	switch (sign) {
	case '>':
	case '}': return BTSNOOP_ACL_SENT;
	case '<':
	case '{': return BTSNOOP_ACL_RECEIVED;
	case '!':
	case '?': return BTSNOOP_EVENT;
	default: return BTSNOOP_DEL_INDEX;
	}
}

/* Puts before the bytes what the sign says. */
static void complete(char sign, const struct buf *bytes, struct buf *ret)
{
	buf_reset(ret);
	if (sign == '>' || sign == '<') {
		buf_le(ret, sign == '>' ? 0x0040 : 0x2040, 2);
		buf_le(ret, bytes->size + 4, 2);
		buf_le(ret, bytes->size, 2);
		buf_le(ret, 4, 2);
	}
	if (sign == '!') {
		buf_u8(ret, bytes->data[0]);
		buf_u8(ret, (uint8_t)(bytes->size - 1));
		buf_append(ret, bytes->data + 1, bytes->size - 1);
	} else if (bytes->size) {
		buf_append(ret, bytes->data, bytes->size);
	}
}

static void play(struct sniff *s, const char *script)
{
	struct btsnoop_packet p = {0};
	struct buf bytes = {0}, data = {0};
	char *end;

	for (const char *line = script; *line;) {
		char sign = *line++;

		if (sign == '~') {
			p.cut = true;
		} else if (sign == '@') {
			p.index = (uint16_t)strtoul(line, &end, 10);
			line = end;
		} else if (sign != '\n' && sign != ' ') {
			buf_reset(&bytes);
			line = read_hex(line, &bytes);
			complete(sign, &bytes, &data);
			p.type = type_of(sign);
			p.data = data.data;
			p.size = data.size;
			assert_int_equal(sniff_packet(s, &p, 1000, 2000), 0);
			p.cut = false;
		}
	}
	buf_done(&bytes);
	buf_done(&data);
}

static struct sniff_counts expect(const struct attribute_map *given, const char *script,
				  const char *expected)
{
	struct buf heard = {0};
	struct sniff_handler handler = {.userdata = &heard,
					.connected = on_connected,
					.frame = on_frame,
					.disconnected = on_disconnected};
	struct sniff_counts counts;
	struct sniff *s;

	assert_int_equal(sniff_new(given, &handler, &s), 0);
	play(s, script);
	counts = *sniff_counts(s);
	buf_u8(&heard, 0);
	assert_string_equal((char *)heard.data, expected);
	sniff_free(s);
	buf_done(&heard);
	return counts;
}

/* As above, and nothing was wrong with it. */
static void expect_clean(const char *script, const char *expected)
{
	struct sniff_counts counts = expect(NULL, script, expected);

	assert_int_equal(counts.malformed + counts.torn + counts.unnamed, 0);
}

/* --- links --- */

static void follows_a_link(void **state)
{
	expect_clean(CONNECTED DISCOVERED HEART_RATE DISCONNECTED, THERE HEARD STRAP " gone 2\n");
}

static void follows_enhanced_connections(void **state)
{
	expect_clean("! 3e 0a 00 4000 00 01 " ADDRESS
		     " 000000000000 000000000000 1800 0000 4800 00\n",
		     THERE);
	expect_clean("! 3e 29 00 4000 00 01 " ADDRESS
		     " 000000000000 000000000000 1800 0000 4800 00 00 0000\n",
		     THERE);
	expect_clean("! 3e 01 3e 4000 00 00 " ADDRESS " 1800 0000 4800 00\n", ""); /* failed */
}

static void tells_why_links_end(void **state)
{
	expect_clean(CONNECTED "! 05 00 4000 08\n", THERE STRAP " gone 1\n");
	expect_clean(CONNECTED "! 05 00 4000 15\n", THERE STRAP " gone 2\n");
	expect_clean(CONNECTED "! 05 00 4000 16\n", THERE STRAP " gone 1\n");
	expect_clean(CONNECTED "! 05 00 4000 03\n", THERE STRAP " gone 8\n");
	expect_clean(CONNECTED "x\n", THERE STRAP " gone 8\n");
	expect_clean(CONNECTED "! 05 0c 4000 13\n", THERE);		  /* it did not end */
	expect_clean(CONNECTED "@1 ! 05 00 4000 13\n@1 x\n", THERE);	  /* another adapter's */
	expect_clean(CONNECTED CONNECTED, THERE STRAP " gone 1\n" THERE); /* the end was lost */
}

static void ends_what_is_left(void **state)
{
	struct buf heard = {0};
	struct sniff_handler handler = {.userdata = &heard,
					.connected = on_connected,
					.frame = on_frame,
					.disconnected = on_disconnected};
	struct sniff *s;

	assert_int_equal(sniff_new(NULL, &handler, &s), 0);
	play(s, CONNECTED);
	sniff_end(s, 3000);
	sniff_end(s, 3000);
	buf_u8(&heard, 0);
	assert_string_equal((char *)heard.data, THERE STRAP " gone 1\n");
	sniff_free(s);
	buf_done(&heard);
}

/* Two adapters that use one handle, and a PDU in halves with another's in between. */
static void keeps_links_apart(void **state)
{
	expect_clean(CONNECTED DISCOVERED
		     "@1 " CONNECTED_TO("010000000000") "> 08 0100 ffff 0328\n"
							"@0 { 4020 0700 0500 0400 1b 1000\n"
							"@1 < 09 07 0f00 10 1000 192a\n"
							"@1 < 1b 1000 63\n"
							"@0 { 4010 0200 003c\n",
		     THERE "00:00:00:00:00:01 there \"\"\n"
			   "00:00:00:00:00:01 2a19 63\n" HEARD);
}

/* A wearable has one link: it cannot be here while it is there. */
static void follows_to_another_adapter(void **state)
{
	expect_clean(CONNECTED "@1 " CONNECTED, THERE STRAP " gone 1\n" THERE);
}

/* A table of handles outlives the link: hosts do not ask again. */
static void keeps_tables(void **state)
{
	expect_clean(CONNECTED DISCOVERED DISCONNECTED CONNECTED HEART_RATE,
		     THERE STRAP " gone 2\n" THERE HEARD);
}

static void names_links_that_began_before(void **state)
{
	struct attribute_map given = {0};
	struct sniff_counts counts;

	attribute_map_set(&given, 0x10, CHARACTERISTIC_HEART_RATE_MEASUREMENT);
	counts = expect(&given, HEART_RATE,
			"00:00:00:00:00:40 there \"\"\n00:00:00:00:00:40 2a37 003c\n");
	assert_int_equal(counts.frames, 1);
	counts = expect(NULL, "@2 " HEART_RATE, "00:00:00:02:00:40 there \"\"\n");
	assert_int_equal(counts.unnamed, 1);
	/* the middle of who knows what; and what is not ATT may well not be LE */
	expect_clean("{ 4010 0500 1b 1000 003c\n{ 4020 0800 0400 4000 01020304\n", "");
}

static void makes_room_for_links(void **state)
{
	struct buf script = {0}, expected = {0};

	for (unsigned i = 0; i <= LINKS_MAX; i++) {
		buf_printf(&script, "! 3e 01 00 %02x00 00 00 %02x0000000000 1800 0000 4800 00\n", i,
			   i);
		if (i == LINKS_MAX)
			buf_string(&expected, "00:00:00:00:00:00 gone 1\n");
		buf_printf(&expected, "00:00:00:00:00:%02x there \"\"\n", i);
	}
	buf_u8(&script, 0);
	buf_u8(&expected, 0);
	expect_clean((char *)script.data, (char *)expected.data);
	buf_done(&script);
	buf_done(&expected);
}

/* --- fragments --- */

/* A long PDU over ACL packets of 27 bytes, as controllers without length extension do it. */
static void joins_fragments(void **state)
{
	expect_clean(CONNECTED DISCOVERED
		     "{ 4020 1b00 2100 0400 1b 1000 103c 000401040204030404040504060407040804\n"
		     "{ 4010 0a00 09040a040b040c040d04\n",
		     THERE STRAP
		     " 2a37 103c00040104020403040404050406040704080409040a040b040c040d04\n");
}

static void joins_the_smallest_fragments(void **state)
{
	expect_clean(CONNECTED DISCOVERED "{ 4020 0100 05\n{ 4010 0100 00\n{ 4010 0200 0400\n"
					  "{ 4010 0000\n{ 4010 0400 1b 1000 00\n{ 4010 0100 3c\n",
		     THERE HEARD);
}

/* Both directions of one link, in each other's middle. */
static void joins_directions_apart(void **state)
{
	expect_clean(CONNECTED "} 4000 0800 0700 0400 08 0100 ff\n"
			       "{ 4020 0700 0900 0400 09 07 0f\n"
			       "} 4010 0300 ff 0328\n"
			       "{ 4010 0600 00 10 1000 372a\n" HEART_RATE,
		     THERE HEARD);
}

static void expect_torn(const char *script, uint64_t n)
{
	struct sniff_counts counts = expect(NULL, script, THERE HEARD);

	assert_int_equal(counts.torn, n);
	assert_int_equal(counts.malformed, 0);
}

static void drops_what_is_torn(void **state)
{
	expect_torn(CONNECTED DISCOVERED "{ 4010 0200 003c\n" HEART_RATE, 1); /* no start */
	expect_torn(CONNECTED DISCOVERED "{ 4020 0700 0500 0400 1b 1000\n" HEART_RATE,
		    1); /* no end */
	expect_torn(CONNECTED DISCOVERED "{ 4020 0700 0500 0400 1b 1000\n~ { 4010 0200 00\n"
					 "~ { 4020 0900 0500 0400 1b 1000 00\n" HEART_RATE,
		    2); /* cut in the middle, and at the start */
	/* what belongs to another channel is not torn */
	expect_torn(CONNECTED DISCOVERED "{ 4020 0800 0900 0600 01020304\n"
					 "{ 4010 0500 0506070809\n" HEART_RATE,
		    0);
}

static void drops_wrong_lengths(void **state)
{
	static const char *const cases[] = {
		"{ 4020 0800 0500 0400 1b 1000 003c\n", /* ACL says less than there is */
		"{ 4020 0a00 0500 0400 1b 1000 003c\n", /* ... more */
		"{ 4020 0900 0400 0400 1b 1000 003c\n", /* L2CAP says less */
		"{ 4020 0900 ffff 0400 1b 1000 003c\n", /* more than any value */
		"{ 40\n",
		"? 05\n",
		"? 05 05 00 4000 13\n", /* it says one byte more */
		"! 05 00 4000\n",
		"! 3e\n",
		"! 3e 01 00 4000 00\n",
		"! 3e 02 02 00\n",
		"<\n", /* a PDU without an opcode */
		"< 1b 10\n",
		"< 23 1000 0400 003c 00\n", /* four bytes, it says */
		"> 04 0100 ffff\n< 05 03 1000 372a\n",
		"> 04 0100 ffff\n< 05 01 1000 372a 11\n",
		"> 08 0100 ffff 0328\n< 09 07 0f\n",
		"> 08 0100 ffff 0328\n< 09 06 0f00 10 1000 37\n", /* a UUID of one byte */
		"> 08 0100 ffff 372a\n< 09 01 0f\n",
		"> 08 0100 ffff 03\n",
		"> 0a 10\n",
		"< 01\n",
		"< 02 17\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf script = {0};
		struct sniff_counts counts;

		buf_string(&script, CONNECTED DISCOVERED);
		buf_string(&script, cases[i]);
		buf_string(&script, HEART_RATE);
		buf_u8(&script, 0);
		counts = expect(NULL, (char *)script.data, THERE HEARD);
		if (counts.malformed != 1 || counts.torn != 0)
			fail_msg("%s: %u malformed, %u torn", cases[i], (unsigned)counts.malformed,
				 (unsigned)counts.torn);
		buf_done(&script);
	}
}

/* --- discovery --- */

#define PMD_DATA "c8f08d2dcd8aad1c87f3e702825c00fb"

static void learns_long_uuids(void **state)
{
	expect_clean(CONNECTED "> 08 0100 ffff 0328\n< 09 15 2000 10 2100 " PMD_DATA "\n"
			       "> 08 2100 ffff 0328\n< 01 08 2100 0a\n< 1b 2100 0102\n",
		     THERE STRAP " fb005c82-02e7-f387-1cad-8acd2d8df0c8 0102\n");
}

static void learns_by_find_information(void **state)
{
	expect_clean(CONNECTED "> 04 0100 ffff\n< 05 01 1000 372a 1100 0229\n" HEART_RATE
			       "> 04 1200 ffff\n< 05 02 2100 " PMD_DATA "\n< 1b 2100 07\n",
		     THERE HEARD STRAP " fb005c82-02e7-f387-1cad-8acd2d8df0c8 07\n");
}

/* Other firmware, other handles: what is asked for again counts anew. */
static void forgets_old_tables(void **state)
{
	static const char *const scripts[] = {
		CONNECTED DISCOVERED "> 08 0100 ffff 0328\n< 09 07 2f00 10 3000 372a\n" HEART_RATE,
		CONNECTED DISCOVERED "> 08 0100 ffff 0328\n< 01 08 0100 0a\n" HEART_RATE,
		CONNECTED DISCOVERED "> 04 0100 ffff\n< 05 01 1000 ff2a\n" HEART_RATE,
	};

	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++)
		assert_int_equal(expect(NULL, scripts[i], THERE).unnamed, 1);
	/* ... and what was not asked for stays */
	expect_clean(CONNECTED DISCOVERED "> 08 1100 ffff 0328\n< 09 07 2f00 10 3000 192a\n"
					  "< 1b 3000 63\n" HEART_RATE,
		     THERE STRAP " 2a19 63\n" HEARD);
}

static void trusts_discovery_more(void **state)
{
	struct attribute_map given = {0};

	attribute_map_set(&given, 0x10, CHARACTERISTIC_BATTERY_LEVEL);
	assert_int_equal(expect(&given, CONNECTED DISCOVERED HEART_RATE, THERE HEARD).frames, 1);
}

static void bounds_tables(void **state)
{
	struct attribute_map map = {0};

	for (uint16_t i = 0; i < ATTRIBUTE_MAP_MAX + 5; i++)
		attribute_map_set(&map, i, CHARACTERISTIC_BATTERY_LEVEL);
	assert_int_equal(map.n, ATTRIBUTE_MAP_MAX);
	attribute_map_set(&map, 0, CHARACTERISTIC_UNKNOWN);
	attribute_map_set(&map, 0, CHARACTERISTIC_UNKNOWN);
	assert_int_equal(map.n, ATTRIBUTE_MAP_MAX - 1);
}

/* --- values --- */

static void hears_every_kind_of_value(void **state)
{
	expect_clean(CONNECTED DISCOVERED "< 1d 1000 003c\n> 1e\n"
					  "< 23 1000 0200 003d 1000 0000\n"
					  "< 1b 1000\n", /* nothing is a value, too */
		     THERE HEARD STRAP " 2a37 003d\n" STRAP " 2a37 \n" STRAP " 2a37 \n");
}

static void matches_reads(void **state)
{
	expect_clean(CONNECTED DISCOVERED
		     "> 0a 1000\n" HEART_RATE "< 0b 0048\n"
		     "< 0b 0049\n"				/* nobody asked */
		     "> 0a 1000\n< 01 0a 1000 02\n< 0b 004a\n"	/* it was refused */
		     "> 0a 1000\n< 01 08 1000 02\n< 0b 004b\n"	/* something else was */
		     "> 08 0100 ffff 372a\n< 09 04 1000 004c\n" /* by type */
		     "> 08 0100 ffff 002a\n< 09 04 1000 004d\n",
		     THERE HEARD STRAP " 2a37 0048\n" STRAP " 2a37 004b\n" STRAP " 2a37 004c\n");
	assert_int_equal(expect(NULL, CONNECTED "> 0a 1000\n< 0b 0048\n", THERE).unnamed, 1);
}

/* What a phone that is connected to us reads of ours is none of our business. */
static void ignores_the_other_way(void **state)
{
	expect_clean(CONNECTED DISCOVERED "> 1b 1000 003c\n< 0a 1000\n> 0b 0048\n> 52 1000 0102\n"
					  "< 12 1000 0100\n> 13\n",
		     THERE);
}

/* At MTU 23 an answer has 22 bytes, and what has 22 may go on. */
#define PART_BYTES "000102030405060708090a0b0c0d0e0f101112131415"
#define PART	   STRAP " 2a37 " PART_BYTES

static void joins_long_reads(void **state)
{
	static const char asked[] = "> 0a 1000\n< 0b " PART_BYTES "\n";
	static const char *const ways[][2] = {
		{"> 0c 1000 1600\n< 0d 1617\n", PART "1617\n"},
		{"> 0c 1000 1600\n< 0d " PART_BYTES "\n> 0c 1000 2c00\n< 0d\n",
		 PART PART_BYTES "\n"},
		{"> 0c 1000 1600\n< 01 0c 1000 07\n", PART "\n"}, /* there is no more, or ... */
		{"> 0c 1000 1600\n< 0d\n", PART "\n"},
		{"> 0a 1000\n< 0b 0001\n", PART "\n" STRAP " 2a37 0001\n"}, /* not asked */
		{"> 0c 1000 0100\n< 0d 1617\n", PART "\n"},		    /* from another place */
		{"> 0c 1100 1600\n< 0d 1617\n", PART "\n"},		    /* of another value */
		{"", PART "\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		struct buf script = {0}, expected = {0};

		buf_printf(&script, "%s%s%s%s", CONNECTED DISCOVERED, asked, ways[i][0],
			   DISCONNECTED);
		buf_printf(&expected, "%s%s%s", THERE, ways[i][1], STRAP " gone 2\n");
		buf_u8(&script, 0);
		buf_u8(&expected, 0);
		expect_clean((char *)script.data, (char *)expected.data);
		buf_done(&script);
		buf_done(&expected);
	}
}

/* With a larger MTU, 22 bytes are not all that an answer can hold. */
static void knows_the_mtu(void **state)
{
	expect_clean(CONNECTED DISCOVERED "> 02 0502\n< 03 1900\n"
					  "> 0a 1000\n< 0b " PART_BYTES "\n"
					  "> 0a 1000\n< 0b " PART_BYTES "1617\n"
					  "> 0c 1000 1800\n< 0d 18\n",
		     THERE PART "\n" PART "161718\n");
	/* the wearable asked */
	expect_clean(CONNECTED DISCOVERED "< 02 1900\n> 03 0502\n> 0a 1000\n< 0b " PART_BYTES "\n",
		     THERE PART "\n");
}

/* No value is longer than 512 bytes, however often it goes on. */
static void bounds_long_reads(void **state)
{
	struct buf script = {0};
	struct sniff_counts counts;

	buf_string(&script, CONNECTED DISCOVERED "> 0a 1000\n< 0b " PART_BYTES "\n");
	for (unsigned at = 22; at < 528; at += 22)
		buf_printf(&script, "> 0c 1000 %02x%02x\n< 0d " PART_BYTES "\n", at & 0xff,
			   at >> 8);
	buf_u8(&script, 0);
	counts = expect(NULL, (char *)script.data, THERE);
	assert_int_equal(counts.malformed, 1);
	buf_done(&script);
}

/* --- names --- */

/* Flags, then a complete name: "Strap é". */
#define NAME_DATA "0d 020106 0909 5374726170 20c3a9"
#define NAMED	  STRAP " there \"Strap \xc3\xa9\"\n"

static void learns_names(void **state)
{
	expect_clean("! 3e 02 01 00 01 " ADDRESS NAME_DATA " c8\n" CONNECTED, NAMED);
	expect_clean("! 3e 02 02 00 00 010000000000 00 c8 04 01 " ADDRESS NAME_DATA
		     " c8\n" CONNECTED,
		     NAMED);
	expect_clean("! 3e 0d 01 1300 01 " ADDRESS " 01 00 ff 7f c8 0000 00 000000000000 " NAME_DATA
		     "\n" CONNECTED,
		     NAMED);
}

/* Cut short, control characters, no UTF-8, longer than it says: then it has none. */
static void refuses_names(void **state)
{
	expect_clean("! 3e 02 01 00 01 " ADDRESS " 04 0309 411b c8\n" CONNECTED, THERE);
	expect_clean("! 3e 02 01 00 01 " ADDRESS " 04 0309 c341 c8\n" CONNECTED, THERE);
	expect_clean("! 3e 02 01 00 01 " ADDRESS " 04 0409 4142 c8\n" CONNECTED, THERE);
	expect_clean("! 3e 02 01 00 01 " ADDRESS " 05 0000 0209 41 c8\n" CONNECTED, THERE);
	expect_clean("! 3e 02 01 00 01 " ADDRESS " 02 0109 c8\n" CONNECTED, THERE);
}

static void remembers_the_last_names(void **state)
{
	struct buf script = {0};

	for (unsigned i = 0; i < 65; i++)
		buf_printf(&script, "! 3e 02 01 00 01 %02x0000000000 03 0209 41 c8\n", i);
	buf_string(&script, CONNECTED_TO("000000000000") "x\n" CONNECTED_TO("400000000000"));
	buf_u8(&script, 0);
	expect_clean((char *)script.data, "00:00:00:00:00:00 there \"\"\n00:00:00:00:00:00 gone 8\n"
					  "00:00:00:00:00:40 there \"A\"\n");
	buf_done(&script);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_a_link),
		cmocka_unit_test(follows_enhanced_connections),
		cmocka_unit_test(tells_why_links_end),
		cmocka_unit_test(ends_what_is_left),
		cmocka_unit_test(keeps_links_apart),
		cmocka_unit_test(follows_to_another_adapter),
		cmocka_unit_test(keeps_tables),
		cmocka_unit_test(names_links_that_began_before),
		cmocka_unit_test(makes_room_for_links),
		cmocka_unit_test(joins_fragments),
		cmocka_unit_test(joins_the_smallest_fragments),
		cmocka_unit_test(joins_directions_apart),
		cmocka_unit_test(drops_what_is_torn),
		cmocka_unit_test(drops_wrong_lengths),
		cmocka_unit_test(learns_long_uuids),
		cmocka_unit_test(learns_by_find_information),
		cmocka_unit_test(forgets_old_tables),
		cmocka_unit_test(trusts_discovery_more),
		cmocka_unit_test(bounds_tables),
		cmocka_unit_test(hears_every_kind_of_value),
		cmocka_unit_test(matches_reads),
		cmocka_unit_test(ignores_the_other_way),
		cmocka_unit_test(joins_long_reads),
		cmocka_unit_test(knows_the_mtu),
		cmocka_unit_test(bounds_long_reads),
		cmocka_unit_test(learns_names),
		cmocka_unit_test(refuses_names),
		cmocka_unit_test(remembers_the_last_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
