/*
 * What the process with the simulated wearables says to the daemon: one message a packet on a
 * SEQPACKET socket, in text, so that a person can read a trace of it. The daemon says nothing.
 *
 *	hello 1                               first of all; the number is the version of this table
 *	strap ADDRESS NAME                    a link is up
 *	value ADDRESS UUID HEX                a value read once at connection
 *	link ADDRESS UUID MTU    + 1 socket   notifications of this characteristic come here
 *	gone ADDRESS link_loss|disconnected   no more of it; what was handed over may still be read
 *
 * One space between words, addresses and hexadecimal digits in lower case, UUIDs as
 * characteristic_uuid() writes them, NAME to the end, printable ASCII. Each message has exactly one
 * spelling.
 */
#pragma once

#include "model/frame.h"
#include "model/record.h"

enum {
	HANDOVER_E_MALFORMED = 1,
};

enum {
	HANDOVER_VERSION = 1,
	HANDOVER_SIZE = 256, /* no message is as long */
	HANDOVER_NAME_SIZE = 64,
	HANDOVER_VALUE_MAX = 64,
};

enum handover_kind {
	HANDOVER_HELLO,
	HANDOVER_STRAP,
	HANDOVER_VALUE,
	HANDOVER_LINK,
	HANDOVER_GONE,
	HANDOVER_KIND_MAX_,
};

/* Which fields count depends on the kind: see the table. */
struct handover {
	enum handover_kind kind;
	char device[DEVICE_ADDRESS_SIZE];
	char name[HANDOVER_NAME_SIZE];
	enum characteristic characteristic;
	uint16_t mtu; /* 23 to 517 */
	enum gap_reason why;
	uint8_t value[HANDOVER_VALUE_MAX];
	size_t n_value;
};

int handover_parse(const void *data, size_t size, struct handover *ret);
/* Without a NUL that counts; the length of it. */
size_t handover_format(const struct handover *m, char ret[static HANDOVER_SIZE]);
