/*
 * Follows the Attribute Protocol of one link from outside: PDUs of both sides in, values of
 * characteristics out. Pure and bounded; PDUs may be nonsense. Numbers and layouts are those of the
 * Core Specification, Vol 3 Part F 3.4 (PDUs) and Part G 3.3 (declarations).
 */
#pragma once

#include "source/att_pdu.h"

enum {
	ATTRIBUTE_MAP_MAX = 128,
	ATTRIBUTE_E_MALFORMED = 1, /* too short, or lengths that do not fit: nothing came of it */
};

/* Which characteristic has its value at which handle. It is of a device and outlives its links. */
struct attribute_map {
	struct attribute_entry {
		uint16_t handle;
		uint16_t declared_at; /* the handle itself where no declaration was seen */
		uint16_t characteristic;
	} entries[ATTRIBUTE_MAP_MAX];
	size_t n;
};

struct attribute_handler {
	void *userdata;
	/* A value was notified, indicated or read. CHARACTERISTIC_UNKNOWN: nobody named its handle. */
	void (*value)(void *userdata, enum characteristic c, const uint8_t *data, size_t size);
};

struct attribute_link {
	struct attribute_map *map;	   /* learned here */
	const struct attribute_map *given; /* asked where `map` knows nothing; may be NULL */
	struct attribute_handler handler;
	uint16_t mtu_sent, mtu_received; /* 0: not exchanged */
	/* The request that our side sent last, until it is answered. */
	struct {
		uint8_t opcode;	      /* 0: none */
		uint16_t first, last; /* handles; of a read, `first` is the one */
		uint16_t offset;
		bool declarations; /* asks for characteristics */
		enum characteristic type;
	} pending;
	/* A value that filled its answer: there may be more of it. */
	struct {
		bool held;
		uint16_t handle;
		uint16_t size;
		uint8_t data[ATT_VALUE_MAX];
	} part;
};

/* Borrows both maps. */
void attribute_link_init(struct attribute_link *l, struct attribute_map *map,
			 const struct attribute_map *given,
			 const struct attribute_handler *handler);
/* A PDU that this side sent, or received. Calls value() for what is in it. */
int attribute_sent(struct attribute_link *l, const uint8_t *data, size_t size);
int attribute_received(struct attribute_link *l, const uint8_t *data, size_t size);
/* The link is gone: hands on what was held. */
void attribute_end(struct attribute_link *l);
void attribute_map_set(struct attribute_map *map, uint16_t handle, enum characteristic c);
