/*
 * The follower of the Attribute Protocol.
 *
 *	sent                        received               what comes of it
 *	02 mtu                      03 mtu                 the MTU
 *	04 first last               05 format {handle uuid}       map
 *	08 first last 2803          09 size {handle properties    map, of the whole range asked for
 *	                                     value-handle uuid}
 *	08 first last uuid          09 size {handle value}        values, if the UUID is one of ours
 *	0a handle                   0b value                      value
 *	0c handle offset            0d value                      the rest of it
 *	                            1b/1d handle value            value
 *	                            23 {handle size value}        values
 *	any request                 01 request handle code        the request is over
 *
 * A side has one request under way (Part F 3.3.2), so an answer belongs to the last request, and one
 * that does not fit it belongs to a request that the capture has lost. Services (06, 10) are not
 * needed: the value's own UUID says what it is, and what a peripheral asks of us is not of interest.
 *
 * A range of characteristics that was asked for and answered replaces what was known of it, so that
 * a wearable whose firmware was renewed does not speak through the table of the old one. A range
 * that was never asked for keeps what was known: hosts keep their tables over many links.
 *
 * A value that is as long as an answer can be may go on; it is held until a read blob asks on from
 * its end, or anything else is asked.
 */
#include "source/attribute.h"

#include "util/bytes.h"

static uint16_t mtu_of(const struct attribute_link *l)
{
	uint16_t least = MIN(l->mtu_sent, l->mtu_received);

	return MAX(least, ATT_MTU_LEAST);
}

/* map->n: it is not there. */
static size_t place(const struct attribute_map *map, uint16_t handle)
{
	size_t i = 0;

	while (i < map->n && map->entries[i].handle != handle)
		i++;
	return i;
}

static enum characteristic lookup(const struct attribute_link *l, uint16_t handle)
{
	const struct attribute_map *maps[] = {l->map, l->given};

	for (size_t k = 0; k < ARRAY_SIZE(maps) && maps[k]; k++) {
		size_t i = place(maps[k], handle);

		if (i < maps[k]->n)
			return (enum characteristic)maps[k]->entries[i].characteristic;
	}
	return CHARACTERISTIC_UNKNOWN;
}

static void set(struct attribute_map *map, uint16_t handle, uint16_t declared_at,
		enum characteristic c)
{
	size_t i = place(map, handle);

	if (c != CHARACTERISTIC_UNKNOWN && i < ATTRIBUTE_MAP_MAX) {
		map->entries[i] = (struct attribute_entry){handle, declared_at, (uint16_t)c};
		map->n = MAX(map->n, i + 1);
	} else if (c == CHARACTERISTIC_UNKNOWN && i < map->n) {
		map->entries[i] = map->entries[--map->n];
	}
}

void attribute_map_set(struct attribute_map *map, uint16_t handle, enum characteristic c)
{
	size_t i = place(map, handle);

	set(map, handle, i < map->n ? map->entries[i].declared_at : handle, c);
}

/* By declaration: the search for the next one begins before the value of the last. */
static void forget(struct attribute_map *map, uint16_t first, uint16_t last)
{
	for (size_t i = 0; i < map->n;) {
		uint16_t at = map->entries[i].declared_at;

		if (at >= first && at <= last)
			map->entries[i] = map->entries[--map->n];
		else
			i++;
	}
}

static enum characteristic read_uuid(struct bytes *b, size_t size)
{
	const uint8_t *p = bytes_take(b, size);

	return p ? att_pdu_characteristic(p, size) : CHARACTERISTIC_UNKNOWN;
}

static void hand_on(struct attribute_link *l, enum characteristic c, const uint8_t *data,
		    size_t size)
{
	l->handler.value(l->handler.userdata, c, data, size);
}

void attribute_end(struct attribute_link *l)
{
	if (!l->part.held)
		return;
	l->part.held = false;
	hand_on(l, lookup(l, l->part.handle), l->part.data, l->part.size);
}

void attribute_link_init(struct attribute_link *l, struct attribute_map *map,
			 const struct attribute_map *given, const struct attribute_handler *handler)
{
	*l = (struct attribute_link){.map = map, .given = given, .handler = *handler};
}

/* --- what this side sends --- */

static void ask_range(struct attribute_link *l, struct bytes *b)
{
	size_t size;
	struct bytes copy;

	l->pending.first = bytes_le16(b);
	l->pending.last = bytes_le16(b);
	if (l->pending.opcode == ATT_FIND_INFORMATION_REQUEST)
		return;
	size = bytes_left(b);
	copy = *b;
	l->pending.declarations = size == 2 && bytes_le16(&copy) == ATT_TYPE_CHARACTERISTIC;
	if (size == 2 || size == 16)
		l->pending.type = read_uuid(b, size);
	else
		b->failed = true;
}

/* Does this read go on where the value that is held ends? */
static bool goes_on(const struct attribute_link *l)
{
	return l->part.held && l->pending.opcode == ATT_READ_BLOB_REQUEST &&
	       l->pending.first == l->part.handle && l->pending.offset == l->part.size;
}

int attribute_sent(struct attribute_link *l, const uint8_t *data, size_t size)
{
	struct bytes b = bytes_make(data, size);
	uint8_t opcode = bytes_u8(&b);

	if (opcode == ATT_MTU_RESPONSE)
		l->mtu_sent = bytes_le16(&b);
	/* The rest of what is odd answers the other side; commands are not answered. */
	if (opcode % 2 || opcode & ATT_COMMAND_BIT || opcode == ATT_CONFIRMATION)
		return b.failed ? ATTRIBUTE_E_MALFORMED : 0;
	memset(&l->pending, 0, sizeof(l->pending));
	l->pending.opcode = opcode;
	if (opcode == ATT_MTU_REQUEST)
		l->mtu_sent = bytes_le16(&b);
	else if (opcode == ATT_FIND_INFORMATION_REQUEST || opcode == ATT_READ_BY_TYPE_REQUEST)
		ask_range(l, &b);
	else if (opcode == ATT_READ_REQUEST || opcode == ATT_READ_BLOB_REQUEST)
		l->pending.first = bytes_le16(&b);
	if (opcode == ATT_READ_BLOB_REQUEST)
		l->pending.offset = bytes_le16(&b);
	if (b.failed)
		l->pending.opcode = 0;
	if (!goes_on(l))
		attribute_end(l);
	return b.failed ? ATTRIBUTE_E_MALFORMED : 0;
}

/* --- what it receives --- */

static int take_error(struct attribute_link *l, struct bytes *b)
{
	uint8_t request = bytes_u8(b);

	if (b->failed)
		return ATTRIBUTE_E_MALFORMED;
	if (request != l->pending.opcode)
		return 0;
	if (l->pending.declarations) /* there are no more */
		forget(l->map, l->pending.first, l->pending.last);
	l->pending.opcode = 0;
	attribute_end(l);
	return 0;
}

static int take_information(struct attribute_link *l, struct bytes *b)
{
	uint8_t format = bytes_u8(b);
	size_t size = format == ATT_FORMAT_16 ? 2 : 16;

	if (b->failed || (format != ATT_FORMAT_16 && format != ATT_FORMAT_128) ||
	    bytes_left(b) % (2 + size) != 0)
		return ATTRIBUTE_E_MALFORMED;
	while (bytes_left(b) > 0) {
		uint16_t handle = bytes_le16(b);

		attribute_map_set(l->map, handle, read_uuid(b, size));
	}
	return 0;
}

/* The range up to the last declaration is known now; the next request asks behind it. */
static int take_declarations(struct attribute_link *l, struct bytes *b, size_t size)
{
	size_t uuid = size - 5;
	uint16_t first = l->pending.first;

	if (size != 7 && size != 21)
		return ATTRIBUTE_E_MALFORMED;
	while (bytes_left(b) > 0) {
		uint16_t handle = bytes_le16(b);
		uint16_t value;

		(void)bytes_u8(b); /* properties */
		value = bytes_le16(b);
		if (handle >= first)
			forget(l->map, first, handle);
		set(l->map, value, handle, read_uuid(b, uuid));
		first = handle == UINT16_MAX ? handle : (uint16_t)(handle + 1);
	}
	return 0;
}

static int take_by_type(struct attribute_link *l, struct bytes *b)
{
	size_t size = bytes_u8(b);

	if (b->failed || size < 2 || bytes_left(b) == 0 || bytes_left(b) % size != 0)
		return ATTRIBUTE_E_MALFORMED;
	if (l->pending.declarations)
		return take_declarations(l, b, size);
	while (bytes_left(b) > 0) {
		const uint8_t *value;

		(void)bytes_le16(b); /* the handle: the type was asked for */
		value = bytes_take(b, size - 2);
		if (l->pending.type != CHARACTERISTIC_UNKNOWN)
			hand_on(l, l->pending.type, value, size - 2);
	}
	return 0;
}

static int take_value(struct attribute_link *l, struct bytes *b)
{
	size_t size = bytes_left(b);

	if (size > ATT_VALUE_MAX)
		return ATTRIBUTE_E_MALFORMED;
	l->part.held = true;
	l->part.handle = l->pending.first;
	l->part.size = (uint16_t)size;
	if (size > 0)
		memcpy(l->part.data, bytes_take(b, size), size);
	if (size != mtu_of(l) - (size_t)1)
		attribute_end(l);
	return 0;
}

static int take_blob(struct attribute_link *l, struct bytes *b)
{
	size_t size = bytes_left(b);

	if (!goes_on(l))
		return 0;
	if (l->part.size + size > ATT_VALUE_MAX) {
		l->part.held = false;
		return ATTRIBUTE_E_MALFORMED;
	}
	if (size > 0)
		memcpy(l->part.data + l->part.size, bytes_take(b, size), size);
	l->part.size += (uint16_t)size;
	if (size != mtu_of(l) - (size_t)1)
		attribute_end(l);
	return 0;
}

static int take_notification(struct attribute_link *l, struct bytes *b)
{
	uint16_t handle = bytes_le16(b);
	size_t size = bytes_left(b);

	if (b->failed)
		return ATTRIBUTE_E_MALFORMED;
	hand_on(l, lookup(l, handle), bytes_take(b, size), size);
	return 0;
}

static int take_notifications(struct attribute_link *l, struct bytes *b)
{
	while (bytes_left(b) > 0) {
		uint16_t handle = bytes_le16(b);
		size_t size = bytes_le16(b);
		const uint8_t *value = bytes_take(b, size);

		if (b->failed)
			return ATTRIBUTE_E_MALFORMED;
		hand_on(l, lookup(l, handle), value, size);
	}
	return 0;
}

static int take_answer(struct attribute_link *l, uint8_t opcode, struct bytes *b)
{
	int r = 0;

	switch (opcode) {
	case ATT_FIND_INFORMATION_RESPONSE: r = take_information(l, b); break;
	case ATT_READ_BY_TYPE_RESPONSE: r = take_by_type(l, b); break;
	case ATT_READ_RESPONSE: r = take_value(l, b); break;
	case ATT_READ_BLOB_RESPONSE: r = take_blob(l, b); break;
	default: break;
	}
	l->pending.opcode = 0;
	return r;
}

int attribute_received(struct attribute_link *l, const uint8_t *data, size_t size)
{
	struct bytes b = bytes_make(data, size);
	uint8_t opcode = bytes_u8(&b);

	if (b.failed)
		return ATTRIBUTE_E_MALFORMED;
	switch (opcode) {
	case ATT_ERROR_RESPONSE: return take_error(l, &b);
	case ATT_MTU_REQUEST:
	case ATT_MTU_RESPONSE: l->mtu_received = bytes_le16(&b); break;
	case ATT_NOTIFICATION:
	case ATT_INDICATION: return take_notification(l, &b);
	case ATT_MULTIPLE_NOTIFICATION: return take_notifications(l, &b);
	default: break;
	}
	/* An answer is the number after its request's. */
	if (l->pending.opcode && opcode == l->pending.opcode + 1)
		return take_answer(l, opcode, &b);
	return b.failed ? ATTRIBUTE_E_MALFORMED : 0;
}
