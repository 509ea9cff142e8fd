/*
 * Reads and writes btsnoop files; see the header for the layouts.
 *
 * A packet is taken as a whole or not at all, so that a reader with half a file in its buffer can
 * ask again with more. Nothing in the format allows to find the next packet after a broken one, so
 * lengths that cannot be end the file: the reader tells where.
 */
#include "source/btsnoop.h"

#define MAGIC "btsnoop" /* and its NUL */
/*
 * 1970 in the format's time. The format counts from the year 0, but also says that 2000-01-01 is
 * 0x00E03AB44A676000, which is twelve days more: everybody goes by the number.
 */
#define EPOCH_US (INT64_C(0x00E03AB44A676000) - INT64_C(946684800) * 1000000)

enum {
	VERSION = 1,
	FLAG_RECEIVED = 1,
	FLAG_COMMAND = 2,
	H4_COMMAND = 1,
	H4_ACL = 2,
	H4_EVENT = 4,
};

const char *btsnoop_problem(int condition)
{
	switch (condition) {
	case BTSNOOP_E_SHORT: return "it ends in the middle of a packet";
	case BTSNOOP_E_MAGIC: return "it is not a btsnoop file";
	case BTSNOOP_E_VERSION: return "it is of a version of btsnoop that nobody knows";
	case BTSNOOP_E_DATALINK:
		return "it holds something else than HCI packets (datalinks 1001, 1002 and 2001 "
		       "are known)";
	case BTSNOOP_E_LENGTH: return "what is written there cannot be the length of a packet";
	default: return "nothing is wrong with it";
	}
}

static uint32_t read_be32(struct bytes *b)
{
	return __builtin_bswap32(bytes_le32(b));
}

int btsnoop_read_header(struct bytes *b, uint32_t *ret_datalink)
{
	struct bytes copy = *b;
	const uint8_t *magic = bytes_take(&copy, sizeof(MAGIC));
	uint32_t version = read_be32(&copy), datalink = read_be32(&copy);

	/* What is too short to be one may also be nothing like one. */
	if (memcmp(b->data + b->at, MAGIC, MIN(bytes_left(b), sizeof(MAGIC))) != 0)
		return BTSNOOP_E_MAGIC;
	if (!magic || copy.failed)
		return BTSNOOP_E_SHORT;
	if (version != VERSION)
		return BTSNOOP_E_VERSION;
	if (datalink != BTSNOOP_H1 && datalink != BTSNOOP_H4 && datalink != BTSNOOP_MONITOR)
		return BTSNOOP_E_DATALINK;
	*b = copy;
	*ret_datalink = datalink;
	return 0;
}

static enum btsnoop_type type_of_monitor(uint32_t flags)
{
	uint32_t opcode = flags & 0xffff;

	switch (opcode) {
	case BTSNOOP_NEW_INDEX:
	case BTSNOOP_DEL_INDEX:
	case BTSNOOP_COMMAND:
	case BTSNOOP_EVENT:
	case BTSNOOP_ACL_SENT:
	case BTSNOOP_ACL_RECEIVED:
	case BTSNOOP_OPEN_INDEX:
	case BTSNOOP_CLOSE_INDEX:
	case BTSNOOP_NOTE: return (enum btsnoop_type)opcode;
	default: return BTSNOOP_OTHER;
	}
}

static enum btsnoop_type acl_of(uint32_t flags)
{
	return flags & FLAG_RECEIVED ? BTSNOOP_ACL_RECEIVED : BTSNOOP_ACL_SENT;
}

static enum btsnoop_type type_of_h1(uint32_t flags)
{
	if (!(flags & FLAG_COMMAND))
		return acl_of(flags);
	return flags & FLAG_RECEIVED ? BTSNOOP_EVENT : BTSNOOP_COMMAND;
}

/* Takes the type from the front of the data. */
static enum btsnoop_type type_of_h4(uint32_t flags, struct btsnoop_packet *p)
{
	uint8_t type = p->size ? p->data[0] : 0;

	if (p->size) {
		p->data++;
		p->size--;
	}
	switch (type) {
	case H4_COMMAND: return BTSNOOP_COMMAND;
	case H4_ACL: return acl_of(flags);
	case H4_EVENT: return BTSNOOP_EVENT;
	default: return BTSNOOP_OTHER;
	}
}

int btsnoop_read_packet(struct bytes *b, uint32_t datalink, struct btsnoop_packet *ret)
{
	struct bytes copy = *b;
	uint32_t whole = read_be32(&copy), kept = read_be32(&copy), flags = read_be32(&copy);
	struct btsnoop_packet p = {.cut = kept < whole, .dropped = read_be32(&copy)};
	int64_t stamp = (int64_t)__builtin_bswap64(bytes_le64(&copy));

	if (copy.failed)
		return BTSNOOP_E_SHORT;
	if (kept > whole || kept > BTSNOOP_DATA_MAX)
		return BTSNOOP_E_LENGTH;
	p.data = bytes_take(&copy, kept);
	if (!p.data)
		return BTSNOOP_E_SHORT;
	p.size = kept;
	if (__builtin_sub_overflow(stamp, EPOCH_US, &p.wall_us))
		p.wall_us = INT64_MIN;
	if (datalink == BTSNOOP_MONITOR) {
		p.type = type_of_monitor(flags);
		p.index = (uint16_t)(flags >> 16);
	} else {
		p.type = datalink == BTSNOOP_H4 ? type_of_h4(flags, &p) : type_of_h1(flags);
	}
	*b = copy;
	*ret = p;
	return 0;
}

static void write_be32(struct buf *b, uint32_t v)
{
	buf_le(b, __builtin_bswap32(v), 4);
}

void btsnoop_write_header(struct buf *b)
{
	buf_append(b, MAGIC, sizeof(MAGIC));
	write_be32(b, VERSION);
	write_be32(b, BTSNOOP_MONITOR);
}

void btsnoop_write_packet(struct buf *b, const struct btsnoop_packet *p)
{
	assert(p->size <= BTSNOOP_DATA_MAX);
	write_be32(b, (uint32_t)p->size);
	write_be32(b, (uint32_t)p->size);
	write_be32(b, (uint32_t)p->index << 16 | (uint16_t)p->type);
	write_be32(b, p->dropped);
	buf_le(b, __builtin_bswap64((uint64_t)(p->wall_us + EPOCH_US)), 8);
	buf_append(b, p->data, p->size);
}
