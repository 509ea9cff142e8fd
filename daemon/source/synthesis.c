/*
 * Packets for what a source told; sniff.c has their layouts, and reads them again.
 *
 *	connected     3e 02   an advertisement, if it has a name
 *	              3e 01   the connection; the type of its address by its first two bits: 11 is
 *	                      what random static ones have (Vol 6 Part B 1.3.2.1)
 *	              02 03   the ATT MTU: 517
 *	              04 05   which characteristic is at which handle, and 01: there are no more
 *	value         1b
 *	disconnected  05      08, 13 or 03 for what sniff.c tells apart; 16, this host did it, for
 *	                      the rest
 *
 * Find Information (04), not the declarations (08) that most hosts ask for: btmon of BlueZ 5.66, which
 * Debian 12 has, ends with a segmentation fault at any Read By Type of 2803 in a file.
 */
#include "source/synthesis.h"

#include "util/utf8.h"
#include "util/uuid.h"

#include <stdio.h>

enum {
	ATT_MTU = 517,
	CHANNEL_ATT = 4,
	FIRST_LINK = 0x0040,
	FIRST_HANDLE = 0x0010,
	NAME_BYTES_MAX = 29, /* what an advertisement of 31 bytes has room for */
	ADDRESS_BYTES = 6,
	RSSI_UNKNOWN = 0x7f,
	ERROR_ANSWER = 0x01,
	FIND_REQUEST = 0x04,
	FIND_ANSWER = 0x05,
	FORMAT_16 = 1,
	FORMAT_128 = 2,
	NOT_FOUND = 0x0a,
	LENGTHS_AT = 2, /* of ACL, and two behind it of L2CAP */
	PAYLOAD_AT = 8,
	STARTS = 0x2000, /* the first fragment of a PDU from the adapter; 0 from the host */
};

/* btmon shows the first sixty letters. */
#define NOTE                                                                                   \
	"vitald " VITALD_VERSION ": made of frames, HEALTH DATA; addresses, values and times " \
	"are real, connections, handles and discoveries are made up"

static void emit(struct synthesis *s, enum btsnoop_type type, int64_t wall_us)
{
	const struct btsnoop_packet p = {.type = type,
					 .wall_us = wall_us,
					 .data = s->data.data,
					 .size = s->data.size};

	assert(!s->data.failed && s->data.size <= SYNTHESIS_PACKET_MAX);
	s->packet(s->userdata, &p);
}

int synthesis_init(struct synthesis *s, void *userdata,
		   void (*packet)(void *userdata, const struct btsnoop_packet *p))
{
	*s = (struct synthesis){.userdata = userdata, .packet = packet};
	return buf_reserve(&s->data, SYNTHESIS_PACKET_MAX) ? 0 : -ENOMEM;
}

void synthesis_done(struct synthesis *s)
{
	buf_done(&s->data);
}

/* --- events --- */

static void event_begin(struct synthesis *s, uint8_t code)
{
	buf_reset(&s->data);
	buf_u8(&s->data, code);
	buf_u8(&s->data, 0); /* length */
}

static void event_emit(struct synthesis *s, int64_t wall_us)
{
	s->data.data[1] = (uint8_t)(s->data.size - 2);
	emit(s, BTSNOOP_EVENT, wall_us);
}

/* Its type, and the address from its last byte on. */
static void put_address(struct buf *b, const char *address)
{
	unsigned a[ADDRESS_BYTES] = {0};

	(void)sscanf(address, "%2x:%2x:%2x:%2x:%2x:%2x", &a[0], &a[1], &a[2], &a[3], &a[4], &a[5]);
	buf_u8(b, a[0] >= 0xc0);
	for (size_t i = ADDRESS_BYTES; i > 0; i--)
		buf_u8(b, (uint8_t)a[i - 1]);
}

/* Whole characters only. */
static size_t name_size(const char *name)
{
	const uint8_t *p = (const uint8_t *)name;
	size_t size = strlen(name), used = 0, n;
	uint32_t code;

	while (used < size && (n = utf8_character(p + used, size - used, &code)) > 0 &&
	       used + n <= NAME_BYTES_MAX)
		used += n;
	return used;
}

static void advertise(struct synthesis *s, const char *address, const char *name, int64_t wall_us)
{
	size_t size = name_size(name);

	if (size == 0)
		return;
	event_begin(s, 0x3e);
	buf_append(&s->data, "\x02\x01\x00", 3); /* one report of something connectable */
	put_address(&s->data, address);
	buf_u8(&s->data, (uint8_t)(size + 2));
	buf_u8(&s->data, (uint8_t)(size + 1));
	buf_u8(&s->data, 0x09); /* its complete name */
	buf_append(&s->data, name, size);
	buf_u8(&s->data, RSSI_UNKNOWN);
	event_emit(s, wall_us);
}

static void connect_event(struct synthesis *s, uint16_t handle, const char *address,
			  int64_t wall_us)
{
	event_begin(s, 0x3e);
	buf_u8(&s->data, 0x01);
	buf_u8(&s->data, 0); /* success */
	buf_le(&s->data, handle, 2);
	buf_u8(&s->data, 0); /* as central */
	put_address(&s->data, address);
	buf_le(&s->data, 24, 2);  /* interval: 30 ms */
	buf_le(&s->data, 0, 2);	  /* latency */
	buf_le(&s->data, 500, 2); /* timeout: 5 s */
	buf_u8(&s->data, 0);	  /* accuracy of the clock: 500 ppm */
	event_emit(s, wall_us);
}

/* --- the Attribute Protocol --- */

static void pdu_begin(struct synthesis *s, enum btsnoop_type type, uint16_t handle, uint8_t opcode)
{
	buf_reset(&s->data);
	buf_le(&s->data, handle | (type == BTSNOOP_ACL_RECEIVED ? STARTS : 0), 2);
	buf_le(&s->data, 0, 4); /* lengths */
	buf_le(&s->data, CHANNEL_ATT, 2);
	buf_u8(&s->data, opcode);
}

static void pdu_emit(struct synthesis *s, enum btsnoop_type type, int64_t wall_us)
{
	size_t size = s->data.size - PAYLOAD_AT;
	uint8_t *lengths = s->data.data + LENGTHS_AT;

	lengths[0] = (uint8_t)(size + 4);
	lengths[1] = (uint8_t)((size + 4) >> 8);
	lengths[2] = (uint8_t)size;
	lengths[3] = (uint8_t)(size >> 8);
	emit(s, type, wall_us);
}

static void exchange_mtu(struct synthesis *s, uint16_t handle, int64_t wall_us)
{
	pdu_begin(s, BTSNOOP_ACL_SENT, handle, 0x02);
	buf_le(&s->data, ATT_MTU, 2);
	pdu_emit(s, BTSNOOP_ACL_SENT, wall_us);
	pdu_begin(s, BTSNOOP_ACL_RECEIVED, handle, 0x03);
	buf_le(&s->data, ATT_MTU, 2);
	pdu_emit(s, BTSNOOP_ACL_RECEIVED, wall_us);
}

static uint16_t handle_of(unsigned characteristic)
{
	return (uint16_t)(FIRST_HANDLE + characteristic);
}

static size_t uuid_size(unsigned characteristic)
{
	return strlen(characteristic_uuid(characteristic)) == 4 ? 2 : 16;
}

static void put_uuid(struct buf *b, unsigned characteristic)
{
	const char *text = characteristic_uuid(characteristic);
	struct uuid uuid;

	if (uuid_size(characteristic) == 2)
		buf_le(b, strtoul(text, NULL, 16), 2);
	else if (uuid_parse(text, &uuid))
		for (size_t i = sizeof(uuid.bytes); i > 0; i--)
			buf_u8(b, uuid.bytes[i - 1]);
}

/* An answer has UUIDs of one length (Vol 3 Part F 3.4.3.2). Returns the first that it does not have. */
static unsigned put_information(struct buf *b, unsigned c)
{
	size_t size = uuid_size(c);

	buf_u8(b, size == 2 ? FORMAT_16 : FORMAT_128);
	for (; c < CHARACTERISTIC_MAX_ && uuid_size(c) == size &&
	       b->size - PAYLOAD_AT + 2 + size <= ATT_MTU;
	     c++) {
		buf_le(b, handle_of(c), 2);
		put_uuid(b, c);
	}
	return c;
}

static void put_not_found(struct buf *b, unsigned c)
{
	buf_u8(b, FIND_REQUEST);
	buf_le(b, handle_of(c), 2);
	buf_u8(b, NOT_FOUND);
}

/* One question for what is at the handles from `c` on, and its answer; returns what is next. */
static unsigned discover_some(struct synthesis *s, uint16_t link, unsigned c, int64_t wall_us)
{
	bool any = c < CHARACTERISTIC_MAX_;

	pdu_begin(s, BTSNOOP_ACL_SENT, link, FIND_REQUEST);
	buf_le(&s->data, handle_of(c), 2);
	buf_le(&s->data, 0xffff, 2);
	pdu_emit(s, BTSNOOP_ACL_SENT, wall_us);
	pdu_begin(s, BTSNOOP_ACL_RECEIVED, link, any ? FIND_ANSWER : ERROR_ANSWER);
	if (any)
		c = put_information(&s->data, c);
	else
		put_not_found(&s->data, c);
	pdu_emit(s, BTSNOOP_ACL_RECEIVED, wall_us);
	return c;
}

/* --- what a source told --- */

void synthesis_note(struct synthesis *s, const char *text, int64_t wall_us)
{
	buf_reset(&s->data);
	buf_append(&s->data, text, MIN(strlen(text), SYNTHESIS_PACKET_MAX - 1));
	buf_u8(&s->data, 0);
	emit(s, BTSNOOP_NOTE, wall_us);
}

void synthesis_begin(struct synthesis *s, int64_t wall_us)
{
	buf_reset(&s->data);
	buf_append(&s->data, "\0\0", 2); /* a primary adapter, virtual */
	buf_append(&s->data, "\0\0\0\0\0\0", ADDRESS_BYTES);
	buf_append(&s->data, "vitald\0", 8); /* of hci0 it has the number, not the name */
	emit(s, BTSNOOP_NEW_INDEX, wall_us);
	synthesis_note(s, NOTE, wall_us);
}

void synthesis_connected(struct synthesis *s, unsigned link, const char *address, const char *name,
			 int64_t wall_us)
{
	uint16_t handle = (uint16_t)(FIRST_LINK + link);
	unsigned c = CHARACTERISTIC_UNKNOWN + 1;

	assert(link < SYNTHESIS_LINKS_MAX);
	advertise(s, address, name, wall_us);
	connect_event(s, handle, address, wall_us);
	exchange_mtu(s, handle, wall_us);
	while (c < CHARACTERISTIC_MAX_)
		c = discover_some(s, handle, c, wall_us);
	(void)discover_some(s, handle, c, wall_us); /* there are no more */
}

void synthesis_value(struct synthesis *s, unsigned link, enum characteristic c, const uint8_t *data,
		     size_t size, int64_t wall_us)
{
	pdu_begin(s, BTSNOOP_ACL_RECEIVED, (uint16_t)(FIRST_LINK + link), 0x1b);
	buf_le(&s->data, handle_of(c), 2);
	buf_append(&s->data, data, MIN(size, SYNTHESIS_VALUE_MAX));
	pdu_emit(s, BTSNOOP_ACL_RECEIVED, wall_us);
}

static uint8_t code_of(enum gap_reason why)
{
	switch (why) {
	case GAP_LINK_LOSS: return 0x08;
	case GAP_DISCONNECTED: return 0x13;
	case GAP_ADAPTER: return 0x03;
	default: return 0x16;
	}
}

void synthesis_disconnected(struct synthesis *s, unsigned link, enum gap_reason why,
			    int64_t wall_us)
{
	event_begin(s, 0x05);
	buf_u8(&s->data, 0);
	buf_le(&s->data, FIRST_LINK + link, 2);
	buf_u8(&s->data, code_of(why));
	event_emit(s, wall_us);
}
