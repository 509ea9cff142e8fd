/*
 * What a wearable offers, as its answers to the questions of discovery tell (Core Specification,
 * Vol 3 Part F 3.4.3, 3.4.4; Part G 4.4 to 4.7). Pure; embedded; all zero is empty.
 *
 * The gatt_table_*s() read the answer to a question for handles from *next to `last`, and move *next
 * behind what was told; more than `last` means that nothing is left to ask. So whoever asks on comes
 * to an end, whatever is answered.
 */
#pragma once

#include "source/att_pdu.h"

/* Looked at; what is beyond is counted, and nothing more is asked. */
enum { GATT_SERVICES_MAX = 32, GATT_CHARACTERISTICS_MAX = 128 };

enum {
	/* lengths that do not fit, handles not asked for or not rising: nothing but this is true */
	GATT_TABLE_E_MALFORMED = 1,
};

struct gatt_service {
	uint16_t first, last;
};

struct gatt_characteristic {
	uint16_t value; /* its handle; 0: there is none */
	uint16_t end;	/* of its descriptors */
	uint16_t cccd;	/* 0: not found, or not looked for */
	uint8_t properties;
};

struct gatt_table {
	struct gatt_service services[GATT_SERVICES_MAX];
	size_t n_services, n_characteristics; /* that were looked at */
	struct gatt_characteristic characteristics[CHARACTERISTIC_MAX_];
	struct gatt_characteristic *newest; /* its end is not known before the next one comes */
	uint16_t changed;		    /* handle of Service Changed; 0: it has none */
	uint32_t surplus;
};

/* Responses without their opcode. Services are asked for up to handle 0xffff. */
int gatt_table_services(struct gatt_table *t, const uint8_t *data, size_t size, uint32_t *next);
int gatt_table_characteristics(struct gatt_table *t, const uint8_t *data, size_t size,
			       uint32_t *next, uint16_t last);
/* Looks for the CCCD of `c`, whose descriptors are behind its value, up to `end`. */
int gatt_table_descriptors(struct gatt_characteristic *c, const uint8_t *data, size_t size,
			   uint32_t *next);
/* Of the first one of this kind; NULL: it has none. */
struct gatt_characteristic *gatt_table_find(struct gatt_table *t, enum characteristic c);
/* Whose value is at this handle. */
enum characteristic gatt_table_at(const struct gatt_table *t, uint16_t handle);
