/*
 * From HCI packets to frames. Layouts: Core Specification, Vol 4 Part E 5.4 (packets) and 7.7
 * (events), Vol 3 Part A 3.1 (L2CAP).
 *
 *	event   0  code, u8 length        05    status, u16 handle, reason           a link is gone
 *	                                  3e    subevent ...
 *	                                    01  status, u16 handle, role,            a link is there
 *	                                        type, address[6]
 *	                                    0a  the same, then RPAs; 29 as well
 *	                                    02  n, {kind, type, address[6],          names
 *	                                        u8 length, data, rssi}
 *	                                    0d  n, {u16 kind, type, address[6], ..., names
 *	                                        at 23: u8 length, data}
 *	ACL     0  u16 handle | flags << 12, u16 length
 *	           flags & 3: 0, 2 a PDU begins, 1 it goes on
 *	L2CAP   0  u16 length, u16 channel: 4 is the Attribute Protocol
 *
 *	ACL --(by adapter, handle)--> link --(by direction)--> channel: PDU --> attribute.c
 *
 * A link belongs to a device, which keeps what is known of it (its table of handles) when the link
 * goes. Links and devices have LINKS_MAX places each; the one not heard for longest makes room.
 *
 * What can be wrong, and then: a PDU goes on that never began (the capture lost the start), or a new
 * one begins in the middle: torn, nothing of it is used. Lengths disagree: malformed, the same.
 * A link appears at a handle that has one: the end of the old one was not captured, so it is lost
 * now. Enhanced ATT bearers (credit based channels) are not followed; no wearable known here uses
 * them.
 */
#include "source/sniff.h"

#include "source/names.h"

#include <stdio.h>

enum {
	LINKS_MAX = 64,
	PDU_MAX =
		1100, /* the longest value that an ATT MTU of 517 allows is 514; twice that and more */
	L2CAP_HEADER = 4,
	CHANNEL_ATT = 4,

	EVENT_DISCONNECTION_COMPLETE = 0x05,
	EVENT_LE_META = 0x3e,
	LE_CONNECTION_COMPLETE = 0x01,
	LE_ADVERTISING_REPORT = 0x02,
	LE_ENHANCED_CONNECTION_COMPLETE = 0x0a,
	LE_EXTENDED_ADVERTISING_REPORT = 0x0d,
	LE_ENHANCED_CONNECTION_COMPLETE_V2 = 0x29,
	ACL_GOES_ON = 1,
};

/* One direction of a link: the PDU that is put together. */
struct channel {
	enum { IDLE, TAKING, SKIPPING /* until the next begins */ } state;
	size_t have, want; /* with the header; want is known once the header is whole */
	uint16_t cid;
	uint8_t data[L2CAP_HEADER + PDU_MAX];
};

/* What is known of a wearable beyond its links. */
struct device {
	char address[DEVICE_ADDRESS_SIZE]; /* "": this place is free */
	struct attribute_map map;
	uint64_t used; /* the lower, the longer ago */
};

struct link {
	struct sniff *sniff;
	struct device *device;
	uint16_t index, handle;
	struct attribute_link attributes;
	struct channel sent, received;
	uint64_t used;
};

struct sniff {
	const struct attribute_map *given;
	struct sniff_handler handler;
	struct sniff_counts counts;
	struct link *links[LINKS_MAX];
	struct device devices[LINKS_MAX];
	struct names names;
	usec_t boot_us, now; /* of the packet that is looked at */
};

static int malformed(struct sniff *s)
{
	s->counts.malformed++;
	return 0;
}

/* Least significant byte first, as everything in HCI. */
static void read_address(struct bytes *b, char ret[static DEVICE_ADDRESS_SIZE])
{
	static const uint8_t zero[6];
	const uint8_t *a = bytes_take(b, 6);

	if (!a)
		a = zero;
	(void)snprintf(ret, DEVICE_ADDRESS_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", a[5], a[4], a[3],
		       a[2], a[1], a[0]); /* fits */
}

static int take_reports(struct sniff *s, struct bytes *b, bool extended)
{
	uint8_t n = bytes_u8(b);

	for (; n > 0 && !b->failed; n--) {
		char address[DEVICE_ADDRESS_SIZE];
		const uint8_t *data;
		size_t size;

		(void)bytes_take(b, extended ? 3 : 2);
		read_address(b, address);
		(void)bytes_take(b, extended ? 14 : 0);
		size = bytes_u8(b);
		data = bytes_take(b, size);
		(void)bytes_take(b, extended ? 0 : 1);
		if (data)
			names_advertised(&s->names, address, data, size);
	}
	return b->failed ? malformed(s) : 0;
}

/* --- links --- */

static struct link **find_link(struct sniff *s, uint16_t index, uint16_t handle)
{
	for (size_t i = 0; i < LINKS_MAX; i++)
		if (s->links[i] && s->links[i]->index == index && s->links[i]->handle == handle)
			return &s->links[i];
	return NULL;
}

static void end_link(struct link **place, enum gap_reason why)
{
	struct link *l = *place;
	struct sniff *s = l->sniff;

	attribute_end(&l->attributes);
	*place = NULL;
	s->handler.disconnected(s->handler.userdata, l->device->address, why, s->boot_us);
	free(l);
}

/* The place of a link: a free one, or that of the link that was not heard for longest. */
static struct link **link_place(struct sniff *s)
{
	struct link **place = &s->links[0];

	for (size_t i = 0; i < LINKS_MAX; i++) {
		if (!s->links[i])
			return &s->links[i];
		if (s->links[i]->used < (*place)->used)
			place = &s->links[i];
	}
	end_link(place, GAP_LINK_LOSS);
	return place;
}

static bool is_linked(const struct sniff *s, const struct device *d)
{
	for (size_t i = 0; i < LINKS_MAX; i++)
		if (s->links[i] && s->links[i]->device == d)
			return true;
	return false;
}

/* There are as many places as links, and the link that asks has none yet: one is free. */
static struct device *find_device(struct sniff *s, const char *address)
{
	struct device *oldest = NULL;

	for (size_t i = 0; i < LINKS_MAX; i++)
		if (streq(s->devices[i].address, address))
			return &s->devices[i];
	for (size_t i = 0; i < LINKS_MAX; i++)
		if ((!oldest || s->devices[i].used < oldest->used) && !is_linked(s, &s->devices[i]))
			oldest = &s->devices[i];
	assert(oldest);
	*oldest = (struct device){0};
	memcpy(oldest->address, address, sizeof(oldest->address));
	return oldest;
}

static void on_value(void *userdata, enum characteristic c, const uint8_t *data, size_t size)
{
	struct link *l = userdata;
	struct sniff *s = l->sniff;
	struct frame frame = {.device = l->device->address,
			      .characteristic = c,
			      .boot_us = s->boot_us,
			      .read_us = s->now,
			      .data = data,
			      .size = size};

	if (c == CHARACTERISTIC_UNKNOWN) {
		s->counts.unnamed++;
		return;
	}
	s->counts.frames++;
	s->handler.frame(s->handler.userdata, &frame);
}

static int begin_link(struct sniff *s, uint16_t index, uint16_t handle, const char *address,
		      struct link **ret)
{
	struct attribute_handler handler = {.value = on_value};
	struct link **place = find_link(s, index, handle);
	struct link *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	if (place)
		end_link(place, GAP_LINK_LOSS);
	for (size_t i = 0; i < LINKS_MAX; i++) /* a wearable has one link, whoever holds it */
		if (s->links[i] && streq(s->links[i]->device->address, address))
			end_link(&s->links[i], GAP_LINK_LOSS);
	place = link_place(s);
	*l = (struct link){.sniff = s, .index = index, .handle = handle};
	l->device = find_device(s, address);
	l->used = l->device->used = s->counts.packets;
	handler.userdata = l;
	attribute_link_init(&l->attributes, &l->device->map, s->given, &handler);
	*place = l;
	s->handler.connected(s->handler.userdata, l->device->address,
			     names_find(&s->names, l->device->address), s->boot_us);
	*ret = l;
	return 0;
}

/* --- events --- */

/* Vol 1 Part F 2: the codes that tell who ended a link. */
static enum gap_reason reason_of(uint8_t code)
{
	switch (code) {
	case 0x03: return GAP_ADAPTER;	    /* hardware failure */
	case 0x13:			    /* remote user terminated connection */
	case 0x14:			    /* ... due to low resources */
	case 0x15: return GAP_DISCONNECTED; /* ... due to power off */
	default: return GAP_LINK_LOSS;	    /* 08, timeout, above all */
	}
}

static int take_connection(struct sniff *s, uint16_t index, struct bytes *b)
{
	uint8_t status = bytes_u8(b);
	uint16_t handle = bytes_le16(b);
	char address[DEVICE_ADDRESS_SIZE];
	struct link *l;

	(void)bytes_take(b, 2); /* role, type of address */
	read_address(b, address);
	if (b->failed)
		return malformed(s);
	return status == 0 ? begin_link(s, index, handle & 0xfff, address, &l) : 0;
}

static int take_disconnection(struct sniff *s, uint16_t index, struct bytes *b)
{
	uint8_t status = bytes_u8(b);
	uint16_t handle = bytes_le16(b);
	uint8_t reason = bytes_u8(b);
	struct link **place;

	if (b->failed)
		return malformed(s);
	place = find_link(s, index, handle & 0xfff);
	if (status == 0 && place)
		end_link(place, reason_of(reason));
	return 0;
}

static int take_event(struct sniff *s, uint16_t index, const uint8_t *data, size_t size)
{
	struct bytes b = bytes_make(data, size);
	uint8_t code = bytes_u8(&b);
	size_t length = bytes_u8(&b);

	if (b.failed || length != bytes_left(&b))
		return malformed(s);
	if (code == EVENT_DISCONNECTION_COMPLETE)
		return take_disconnection(s, index, &b);
	if (code != EVENT_LE_META)
		return 0;
	switch (bytes_u8(&b)) {
	case LE_CONNECTION_COMPLETE:
	case LE_ENHANCED_CONNECTION_COMPLETE:
	case LE_ENHANCED_CONNECTION_COMPLETE_V2: return take_connection(s, index, &b);
	case LE_ADVERTISING_REPORT: return take_reports(s, &b, false);
	case LE_EXTENDED_ADVERTISING_REPORT: return take_reports(s, &b, true);
	default: return b.failed ? malformed(s) : 0;
	}
}

/* --- data --- */

/* A whole PDU of the Attribute Protocol. */
static void take_pdu(struct link *l, const struct channel *c)
{
	const uint8_t *data = c->data + L2CAP_HEADER;
	size_t size = c->want - L2CAP_HEADER;
	int r = c == &l->sent ? attribute_sent(&l->attributes, data, size)
			      : attribute_received(&l->attributes, data, size);

	if (r > 0)
		l->sniff->counts.malformed++;
}

/* Takes the header as soon as it is whole; false: this PDU is nothing for us. */
static bool take_header(struct channel *c)
{
	struct bytes b = bytes_make(c->data, L2CAP_HEADER);

	c->want = L2CAP_HEADER + bytes_le16(&b);
	c->cid = bytes_le16(&b);
	return c->cid == CHANNEL_ATT && c->want <= sizeof(c->data);
}

static void take_fragment(struct link *l, struct channel *c, struct bytes *b)
{
	size_t n;

	if (c->have < L2CAP_HEADER) {
		n = MIN(L2CAP_HEADER - c->have, bytes_left(b));
		if (n > 0)
			memcpy(c->data + c->have, bytes_take(b, n), n);
		c->have += n;
		if (c->have < L2CAP_HEADER)
			return;
		if (!take_header(c)) {
			c->state = SKIPPING;
			l->sniff->counts.malformed += c->cid == CHANNEL_ATT;
			return;
		}
	}
	n = bytes_left(b);
	if (n > c->want - c->have) {
		c->state = SKIPPING;
		l->sniff->counts.malformed++;
		return;
	}
	if (n > 0)
		memcpy(c->data + c->have, bytes_take(b, n), n);
	c->have += n;
	if (c->have < c->want)
		return;
	c->state = IDLE;
	take_pdu(l, c);
}

/* A link that nobody saw begin shows itself by the Attribute Protocol on it. */
static int find_or_begin(struct sniff *s, uint16_t index, uint16_t handle, bool goes_on,
			 struct bytes b, struct link **ret)
{
	struct link **place = find_link(s, index, handle);
	char address[DEVICE_ADDRESS_SIZE];

	*ret = place ? *place : NULL;
	(void)bytes_le16(&b);
	if (place || goes_on || bytes_le16(&b) != CHANNEL_ATT)
		return 0;
	(void)snprintf(address, sizeof(address), "00:00:%02x:%02x:%02x:%02x", (unsigned)index >> 8,
		       (unsigned)index & 0xff, (unsigned)handle >> 8,
		       (unsigned)handle & 0xff); /* fits */
	return begin_link(s, index, handle, address, ret);
}

static int take_acl(struct sniff *s, const struct btsnoop_packet *p)
{
	struct bytes b = bytes_make(p->data, p->size);
	uint16_t word = bytes_le16(&b);
	size_t length = bytes_le16(&b);
	bool goes_on = (word >> 12 & 3) == ACL_GOES_ON;
	struct channel *c;
	struct link *l;
	int r;

	if (b.failed)
		return malformed(s);
	r = find_or_begin(s, p->index, word & 0xfff, goes_on, b, &l);
	if (r < 0 || !l)
		return r;
	l->used = l->device->used = s->counts.packets;
	c = p->type == BTSNOOP_ACL_SENT ? &l->sent : &l->received;
	if (c->state == (goes_on ? IDLE : TAKING))
		s->counts.torn++;
	if (!goes_on) {
		c->state = TAKING;
		c->have = 0;
	}
	if (c->state != TAKING)
		return 0;
	if (p->cut || length != bytes_left(&b)) {
		c->state = SKIPPING;
		s->counts.torn += p->cut;
		return p->cut ? 0 : malformed(s);
	}
	take_fragment(l, c, &b);
	return 0;
}

/* --- the whole --- */

/* The adapter is gone, and its links with it. */
static void end_index(struct sniff *s, uint16_t index)
{
	for (size_t i = 0; i < LINKS_MAX; i++)
		if (s->links[i] && s->links[i]->index == index)
			end_link(&s->links[i], GAP_ADAPTER);
}

struct sniff *sniff_free(struct sniff *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < LINKS_MAX; i++)
		free(s->links[i]);
	free(s);
	return NULL;
}

int sniff_new(const struct attribute_map *given, const struct sniff_handler *handler,
	      struct sniff **ret)
{
	struct sniff *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->given = given;
	s->handler = *handler;
	*ret = s;
	return 0;
}

int sniff_packet(struct sniff *s, const struct btsnoop_packet *p, usec_t boot_us, usec_t now)
{
	s->counts.packets++;
	s->boot_us = boot_us;
	s->now = now;
	switch (p->type) {
	case BTSNOOP_EVENT: return p->cut ? 0 : take_event(s, p->index, p->data, p->size);
	case BTSNOOP_ACL_SENT:
	case BTSNOOP_ACL_RECEIVED: return take_acl(s, p);
	case BTSNOOP_NEW_INDEX: /* it was unplugged before, whether anybody saw it or not */
	case BTSNOOP_DEL_INDEX:
	case BTSNOOP_CLOSE_INDEX: end_index(s, p->index); return 0;
	default: return 0;
	}
}

void sniff_end(struct sniff *s, usec_t now)
{
	s->boot_us = s->now = now;
	for (size_t i = 0; i < LINKS_MAX; i++)
		if (s->links[i])
			end_link(&s->links[i], GAP_LINK_LOSS);
}

const struct sniff_counts *sniff_counts(const struct sniff *s)
{
	return &s->counts;
}
