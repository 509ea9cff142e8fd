/*
 * The answers of discovery, read with suspicion: each names handles, and the next question begins
 * behind them, so an answer that goes back would be asked for without end.
 *
 *	11 size {first last UUID}                       services
 *	09 size {handle properties value-handle UUID}   characteristics
 *	05 format {handle UUID}                         descriptors
 *
 * Characteristics are asked for over the whole range at once, which takes fewer questions than going
 * from service to service; those outside of the primary services (in secondary ones) are left out.
 * The value of a characteristic is behind its declaration, its descriptors are behind that, up to the
 * next declaration or the end of the service.
 *
 * What two services offer, a battery for instance, is the first one's: there is one of each kind.
 */
#include "source/gatt_table.h"

#include "util/bytes.h"

enum { SHORT = 2, LONG = 16, NOTHING_LEFT = UINT16_MAX + 1 };

/* Of a list of items, each `head` bytes and a UUID; 0: it is none. */
static size_t uuid_size(const struct bytes *b, size_t item, size_t head)
{
	bool known = item == head + SHORT || item == head + LONG;

	return known && bytes_left(b) > 0 && bytes_left(b) % item == 0 ? item - head : 0;
}

int gatt_table_services(struct gatt_table *t, const uint8_t *data, size_t size, uint32_t *next)
{
	struct bytes b = bytes_make(data, size);
	size_t item = bytes_u8(&b), uuid = uuid_size(&b, item, 4);
	uint32_t least = *next;

	if (!uuid)
		return GATT_TABLE_E_MALFORMED;
	while (bytes_left(&b) > 0) {
		uint16_t first = bytes_le16(&b), last = bytes_le16(&b);

		(void)bytes_take(&b, uuid); /* what counts is what is in it */
		if (first < least || last < first)
			return GATT_TABLE_E_MALFORMED;
		least = (uint32_t)last + 1;
		if (t->n_services < GATT_SERVICES_MAX)
			t->services[t->n_services++] = (struct gatt_service){first, last};
		else
			t->surplus++;
	}
	*next = t->surplus ? NOTHING_LEFT : least;
	return 0;
}

static const struct gatt_service *service_of(const struct gatt_table *t, uint16_t handle)
{
	for (size_t i = 0; i < t->n_services; i++)
		if (handle >= t->services[i].first && handle <= t->services[i].last)
			return &t->services[i];
	return NULL;
}

/* False: it cannot be. */
static bool add(struct gatt_table *t, uint16_t declaration, uint8_t properties, uint16_t value,
		const uint8_t *uuid, size_t n_uuid)
{
	const struct gatt_service *service = service_of(t, declaration);
	struct gatt_characteristic *c = &t->characteristics[att_pdu_characteristic(uuid, n_uuid)];

	if (t->newest && t->newest->end >= declaration)
		t->newest->end = (uint16_t)(declaration - 1);
	if (!service)
		return true;
	if (value > service->last)
		return false;
	if (t->n_characteristics++ >= GATT_CHARACTERISTICS_MAX) {
		t->surplus++;
		return true;
	}
	if (att_pdu_short_uuid(uuid, n_uuid) == ATT_TYPE_SERVICE_CHANGED)
		t->changed = value;
	if (c == &t->characteristics[CHARACTERISTIC_UNKNOWN] || c->value)
		return true;
	*c = (struct gatt_characteristic){.value = value,
					  .end = service->last,
					  .properties = properties};
	t->newest = c;
	return true;
}

int gatt_table_characteristics(struct gatt_table *t, const uint8_t *data, size_t size,
			       uint32_t *next, uint16_t last)
{
	struct bytes b = bytes_make(data, size);
	size_t item = bytes_u8(&b), uuid = uuid_size(&b, item, 5);
	uint32_t least = *next;

	if (!uuid)
		return GATT_TABLE_E_MALFORMED;
	while (bytes_left(&b) > 0) {
		uint16_t declaration = bytes_le16(&b);
		uint8_t properties = bytes_u8(&b);
		uint16_t value = bytes_le16(&b);

		if (declaration < least || value <= declaration || value > last ||
		    !add(t, declaration, properties, value, bytes_take(&b, uuid), uuid))
			return GATT_TABLE_E_MALFORMED;
		least = (uint32_t)value + 1;
	}
	*next = t->n_characteristics > GATT_CHARACTERISTICS_MAX ? NOTHING_LEFT : least;
	return 0;
}

int gatt_table_descriptors(struct gatt_characteristic *c, const uint8_t *data, size_t size,
			   uint32_t *next)
{
	struct bytes b = bytes_make(data, size);
	uint8_t format = bytes_u8(&b);
	size_t item = 2 + (format == ATT_FORMAT_16 ? SHORT : LONG), uuid = uuid_size(&b, item, 2);
	uint32_t least = *next;
	uint16_t cccd = 0;

	if (!uuid || (format != ATT_FORMAT_16 && format != ATT_FORMAT_128))
		return GATT_TABLE_E_MALFORMED;
	while (bytes_left(&b) > 0) {
		uint16_t handle = bytes_le16(&b);
		const uint8_t *type = bytes_take(&b, uuid);

		if (handle < least || handle > c->end)
			return GATT_TABLE_E_MALFORMED;
		least = (uint32_t)handle + 1;
		if (!cccd && att_pdu_short_uuid(type, uuid) == ATT_TYPE_CCCD)
			cccd = handle;
	}
	c->cccd = cccd;
	*next = cccd ? NOTHING_LEFT : least;
	return 0;
}

struct gatt_characteristic *gatt_table_find(struct gatt_table *t, enum characteristic c)
{
	return t->characteristics[c].value ? &t->characteristics[c] : NULL;
}

enum characteristic gatt_table_at(const struct gatt_table *t, uint16_t handle)
{
	for (unsigned c = CHARACTERISTIC_UNKNOWN + 1; handle && c < CHARACTERISTIC_MAX_; c++)
		if (t->characteristics[c].value == handle)
			return (enum characteristic)c;
	return CHARACTERISTIC_UNKNOWN;
}
