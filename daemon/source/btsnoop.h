/*
 * The btsnoop file format: what `btmon -w`, Android and other HCI loggers write. Pure over bytes.
 * The layouts are those of btsnoop(7) of BlueZ and of RFC 1761, which it descends from; numbers of
 * the container are big-endian.
 *
 *	header   0  "btsnoop\0"             packet   0  u32 length it had
 *	         8  u32 version: 1                   4  u32 length that was kept
 *	        12  u32 datalink                     8  u32 flags, by datalink
 *	                                            12  u32 packets dropped so far
 *	                                            16  i64 us since the year 0
 *	                                            24  data
 *
 *	datalink   flags                                          data
 *	1001 H1    bit 0 received, bit 1 command or event         the HCI packet
 *	1002 H4    bit 0 received                                 its type, the HCI packet
 *	2001       adapter's index << 16 | enum btsnoop_type      by type
 */
#pragma once

#include "util/buf.h"
#include "util/bytes.h"

enum {
	BTSNOOP_H1 = 1001,
	BTSNOOP_H4 = 1002,
	BTSNOOP_MONITOR = 2001,
	BTSNOOP_HEADER_SIZE = 16,
	BTSNOOP_PACKET_HEADER_SIZE = 24,
	BTSNOOP_DATA_MAX = 65536 + 8, /* an ACL packet has 16 bits of length; more is no packet */
};

/* The opcodes of datalink 2001 that matter here; packets of the others are told as one of these. */
enum btsnoop_type {
	BTSNOOP_NEW_INDEX = 0, /* type, bus, address, name[8] of an adapter */
	BTSNOOP_DEL_INDEX = 1,
	BTSNOOP_COMMAND = 2,
	BTSNOOP_EVENT = 3,
	BTSNOOP_ACL_SENT = 4,
	BTSNOOP_ACL_RECEIVED = 5,
	BTSNOOP_OPEN_INDEX = 8,
	BTSNOOP_CLOSE_INDEX = 9,
	BTSNOOP_NOTE = 12, /* a text with a NUL */
	BTSNOOP_OTHER = 0xffff,
};

struct btsnoop_packet {
	enum btsnoop_type type;
	uint16_t index;	  /* of the adapter; 0 where the datalink has none */
	int64_t wall_us;  /* since 1970 */
	uint32_t dropped; /* packets that the logger had lost by then */
	const uint8_t *data;
	size_t size;
	bool cut; /* there was more of it */
};

enum {
	BTSNOOP_E_SHORT = 1, /* the bytes end within it */
	BTSNOOP_E_MAGIC,     /* not a btsnoop file */
	BTSNOOP_E_VERSION,
	BTSNOOP_E_DATALINK,
	BTSNOOP_E_LENGTH, /* no packet has lengths like these */
};
/* "it is not a btsnoop file", ...: a clause. */
const char *btsnoop_problem(int condition);

/* Both advance `b` by what they read, and leave it as it was on any condition. */
int btsnoop_read_header(struct bytes *b, uint32_t *ret_datalink);
/* ret->data points into `b`. */
int btsnoop_read_packet(struct bytes *b, uint32_t datalink, struct btsnoop_packet *ret);

/* Datalink 2001. The buffer tells when there was no memory. */
void btsnoop_write_header(struct buf *b);
void btsnoop_write_packet(struct buf *b, const struct btsnoop_packet *p);
