/*
 * The conversation on top of the PDUs.
 *
 *	gatt_discover      02 --> 10 2800 .. --> 08 2803 .. --> discovered()
 *	gatt_read          0a --> 0c ..                    --> done()   (0c: if there may be more)
 *	gatt_write         12                              --> done()
 *	gatt_subscribe     04 .. --> 12                    --> done()   (04: the first time)
 *
 * One step is under way at most, and its request is the only one in att's queue. A list ends with
 * the error "not found", or when the last handle was told. A wearable that does not exchange MTUs
 * is spoken to in the least one.
 *
 * A value ends with the answer that is shorter than an answer can be, or with the error that says
 * that there is no more: wearables give "invalid offset" or "not long" for a value that ends exactly
 * where an answer does.
 *
 * We do not subscribe to Service Changed: every link begins with discovery, so nothing that is known
 * is older than the link; but a wearable that knows us from before may tell of it, and then handles
 * mean something else, and the link begins anew.
 *
 * What cannot even be begun is answered by the next gatt_tick(), which is due at once.
 */
#include "source/gatt.h"

#include "source/gatt_table.h"
#include "util/bytes.h"

enum step {
	IDLE,
	MTU,
	SERVICES,
	CHARACTERISTICS,
	READ,
	READ_MORE,
	FIND_CCCD,
	WRITE_CCCD,
	WRITE, /* the request was built by gatt_write() */
};

struct gatt {
	struct gatt_handler handler;
	struct att *att;
	struct gatt_table table;
	uint32_t unnamed, violations;
	enum step step;
	bool discovering;
	bool ended;    /* without a request: the next tick tells */
	uint32_t next; /* handle that a list is asked for from */
	uint16_t last; /*   ... and up to */
	struct gatt_characteristic *target;
	uint16_t cccd; /* to be written */
	/* the request of the step */
	size_t n_request;
	uint8_t request[ATT_MTU_OURS];
	/* how it ended */
	int result;
	uint8_t error;
	size_t n_value;
	uint8_t value[ATT_VALUE_MAX];
};

/* --- asking --- */

static void put(struct gatt *g, uint64_t number, size_t width)
{
	for (size_t i = 0; i < width; i++)
		g->request[g->n_request++] = (uint8_t)(number >> (8 * i));
}

static void put_list(struct gatt *g, uint8_t opcode)
{
	put(g, opcode, 1);
	put(g, g->next, 2);
	put(g, g->last, 2);
}

static void put_request(struct gatt *g)
{
	g->n_request = 0;
	switch (g->step) {
	case MTU:
		put(g, ATT_MTU_REQUEST, 1);
		put(g, ATT_MTU_OURS, 2);
		break;
	case SERVICES:
		put_list(g, ATT_READ_BY_GROUP_REQUEST);
		put(g, ATT_TYPE_PRIMARY_SERVICE, 2);
		break;
	case CHARACTERISTICS:
		put_list(g, ATT_READ_BY_TYPE_REQUEST);
		put(g, ATT_TYPE_CHARACTERISTIC, 2);
		break;
	case FIND_CCCD: put_list(g, ATT_FIND_INFORMATION_REQUEST); break;
	case READ:
		put(g, ATT_READ_REQUEST, 1);
		put(g, g->target->value, 2);
		break;
	case READ_MORE:
		put(g, ATT_READ_BLOB_REQUEST, 1);
		put(g, g->target->value, 2);
		put(g, g->n_value, 2);
		break;
	case WRITE_CCCD:
		put(g, ATT_WRITE_REQUEST, 1);
		put(g, g->target->cccd, 2);
		put(g, g->cccd, 2);
		break;
	case WRITE:
	case IDLE: assert(false);
	}
}

static void end_later(struct gatt *g, int result, uint8_t error)
{
	g->ended = true;
	g->result = result;
	g->error = error;
}

static void ask(struct gatt *g, att_done done, usec_t now)
{
	if (att_request(g->att, g->request, g->n_request, done, g, now) != 0)
		end_later(g, SESSION_E_GONE, 0); /* it is broken: nothing else can be wrong */
}

/* --- what comes of answers; false: the operation is over, `result` is set --- */

static bool end(struct gatt *g, int result, uint8_t error)
{
	g->result = result;
	g->error = error;
	return false;
}

static bool violation(struct gatt *g, const char *why)
{
	g->violations++;
	att_break(g->att, why);
	return end(g, SESSION_E_GONE, 0);
}

static bool go_list(struct gatt *g, enum step step, uint32_t first, uint16_t last)
{
	g->step = step;
	g->next = first;
	g->last = last;
	return true;
}

/* There is nothing left of what this step asks for. */
static bool end_list(struct gatt *g)
{
	const struct gatt_table *t = &g->table;

	if (g->step == SERVICES && t->n_services > 0)
		return go_list(g, CHARACTERISTICS, t->services[0].first,
			       t->services[t->n_services - 1].last);
	if (g->step != FIND_CCCD)
		return end(g, 0, 0);
	if (!g->target->cccd)
		return end(g, SESSION_E_REFUSED, 0);
	g->step = WRITE_CCCD;
	return true;
}

static bool take_list(struct gatt *g, const uint8_t *data, size_t size)
{
	struct gatt_table *t = &g->table;
	int r;

	if (g->step == SERVICES)
		r = gatt_table_services(t, data, size, &g->next);
	else if (g->step == CHARACTERISTICS)
		r = gatt_table_characteristics(t, data, size, &g->next, g->last);
	else
		r = gatt_table_descriptors(g->target, data, size, &g->next);
	if (r != 0)
		return violation(g, "it listed what cannot be");
	return g->next > g->last ? end_list(g) : true;
}

static bool take_value(struct gatt *g, const uint8_t *data, size_t size)
{
	if (size > ATT_VALUE_MAX - g->n_value)
		return violation(g, "it sent a value longer than values can be");
	if (size > 0)
		memcpy(g->value + g->n_value, data, size);
	g->n_value += size;
	if (size < att_mtu(g->att) - (size_t)1 || g->n_value == ATT_VALUE_MAX)
		return end(g, 0, 0);
	g->step = READ_MORE;
	return true;
}

static bool take_answer(struct gatt *g, const uint8_t *data, size_t size)
{
	switch (g->step) {
	case MTU: return go_list(g, SERVICES, 1, UINT16_MAX);
	case SERVICES:
	case CHARACTERISTICS:
	case FIND_CCCD: return take_list(g, data, size);
	case READ:
	case READ_MORE: return take_value(g, data, size);
	default: return end(g, 0, 0);
	}
}

static bool is_security(uint8_t error)
{
	return error == ATT_ERROR_AUTHENTICATION || error == ATT_ERROR_AUTHORIZATION ||
	       error == ATT_ERROR_KEY_SIZE || error == ATT_ERROR_ENCRYPTION;
}

static bool take_refusal(struct gatt *g, uint8_t error)
{
	bool list = g->step == SERVICES || g->step == CHARACTERISTICS || g->step == FIND_CCCD;

	if (g->step == MTU)
		return go_list(g, SERVICES, 1, UINT16_MAX);
	if (list && error == ATT_ERROR_NOT_FOUND)
		return end_list(g);
	if (g->step == READ_MORE &&
	    (error == ATT_ERROR_INVALID_OFFSET || error == ATT_ERROR_NOT_LONG))
		return end(g, 0, 0);
	return end(g, is_security(error) ? SESSION_E_SECURITY : SESSION_E_REFUSED, error);
}

static void tell(struct gatt *g, usec_t now)
{
	const struct gatt_handler *h = &g->handler;
	bool discovering = g->discovering, value = g->result == 0 && g->n_value > 0;

	g->step = IDLE;
	g->discovering = g->ended = false;
	if (discovering)
		h->discovered(h->userdata, g->result, g->error, now);
	else
		h->done(h->userdata, g->result, g->error, value ? g->value : NULL,
			value ? g->n_value : 0, now);
}

static void on_answer(void *userdata, int result, uint8_t error, const uint8_t *data, size_t size,
		      usec_t now)
{
	struct gatt *g = userdata;
	bool more;

	if (result == 0)
		more = take_answer(g, data, size);
	else if (result == ATT_E_REFUSED)
		more = take_refusal(g, error);
	else
		more = end(g, result == ATT_E_TIMEOUT ? SESSION_E_TIMEOUT : SESSION_E_GONE, 0);
	if (more) {
		put_request(g);
		ask(g, on_answer, now);
	} else if (result == 0 && att_broken(g->att)) { /* just now: the reason comes first */
		end_later(g, g->result, g->error);
	} else {
		tell(g, now);
	}
}

/* --- what the wearable says unasked --- */

static void on_send(void *userdata, const uint8_t *data, size_t size)
{
	const struct gatt *g = userdata;

	g->handler.send(g->handler.userdata, data, size);
}

static void on_value(void *userdata, uint16_t handle, const uint8_t *data, size_t size, usec_t now)
{
	struct gatt *g = userdata;
	enum characteristic c = gatt_table_at(&g->table, handle);

	if (c != CHARACTERISTIC_UNKNOWN)
		g->handler.value(g->handler.userdata, c, data, size, now);
	else if (handle && handle == g->table.changed)
		att_break(g->att, "its services changed");
	else
		g->unnamed++;
}

static void on_broken(void *userdata, const char *why)
{
	const struct gatt *g = userdata;

	g->handler.broken(g->handler.userdata, why);
}

/* --- the public functions --- */

struct gatt *gatt_free(struct gatt *g)
{
	if (!g)
		return NULL;
	g->att = att_free(g->att);
	free(g);
	return NULL;
}

int gatt_new(const struct gatt_handler *handler, struct gatt **ret)
{
	_cleanup_(gatt_freep) struct gatt *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	g->handler = *handler;
	r = att_new(&(struct att_handler){.userdata = g,
					  .send = on_send,
					  .value = on_value,
					  .broken = on_broken},
		    &g->att);
	if (r < 0)
		return r;
	*ret = TAKE(g);
	return 0;
}

static void begin(struct gatt *g, enum step step, usec_t now)
{
	g->step = step;
	put_request(g);
	ask(g, on_answer, now);
}

/* False: there is nothing to begin with, and the next tick says so. */
static bool aim(struct gatt *g, enum characteristic c)
{
	assert(g->step == IDLE && !g->ended);
	g->n_value = 0;
	g->target = gatt_table_find(&g->table, c);
	if (!g->target)
		end_later(g, SESSION_E_GONE, 0);
	return g->target;
}

void gatt_discover(struct gatt *g, usec_t now)
{
	assert(g->step == IDLE && !g->ended);
	g->discovering = true;
	begin(g, MTU, now);
}

unsigned gatt_properties(const struct gatt *g, enum characteristic c)
{
	return g->table.characteristics[c].properties;
}

uint16_t gatt_mtu(const struct gatt *g)
{
	return att_mtu(g->att);
}

void gatt_read(struct gatt *g, enum characteristic c, usec_t now)
{
	if (aim(g, c))
		begin(g, READ, now);
}

void gatt_write(struct gatt *g, enum characteristic c, const uint8_t *data, size_t size, usec_t now)
{
	bool command;

	if (!aim(g, c))
		return;
	if (size + 3 > att_mtu(g->att)) {
		end_later(g, SESSION_E_REFUSED, ATT_ERROR_VALUE_LENGTH);
		return;
	}
	command = g->target->properties & PROPERTY_WRITE_COMMAND &&
		  !(g->target->properties & PROPERTY_WRITE);
	g->step = WRITE;
	g->n_request = 0;
	put(g, command ? ATT_WRITE_COMMAND : ATT_WRITE_REQUEST, 1);
	put(g, g->target->value, 2);
	if (size > 0)
		memcpy(g->request + g->n_request, data, size);
	g->n_request += size;
	if (command)
		end_later(g, att_command(g->att, g->request, g->n_request) ? SESSION_E_GONE : 0, 0);
	else
		ask(g, on_answer, now);
}

static void write_cccd(struct gatt *g, enum characteristic c, uint16_t value, usec_t now)
{
	if (!aim(g, c))
		return;
	g->cccd = value;
	g->next = (uint32_t)g->target->value + 1;
	g->last = g->target->end;
	if (g->target->cccd)
		begin(g, WRITE_CCCD, now);
	else if (g->next <= g->last)
		begin(g, FIND_CCCD, now);
	else
		end_later(g, SESSION_E_REFUSED, 0); /* there is no room for one */
}

void gatt_subscribe(struct gatt *g, enum characteristic c, bool indicate, usec_t now)
{
	write_cccd(g, c, indicate ? ATT_CCCD_INDICATE : ATT_CCCD_NOTIFY, now);
}

void gatt_unsubscribe(struct gatt *g, enum characteristic c, usec_t now)
{
	write_cccd(g, c, 0, now);
}

void gatt_receive(struct gatt *g, const uint8_t *data, size_t size, usec_t now)
{
	att_receive(g->att, data, size, now);
}

usec_t gatt_due(const struct gatt *g)
{
	return g->ended ? 0 : att_due(g->att);
}

void gatt_tick(struct gatt *g, usec_t now)
{
	if (g->ended && att_due(g->att) > now)
		tell(g, now);
	else
		att_tick(g->att, now);
}

struct gatt_counts gatt_counts(const struct gatt *g)
{
	struct gatt_counts counts = {.att = *att_counts(g->att),
				     .unnamed = g->unnamed,
				     .surplus = g->table.surplus};

	counts.att.violations += g->violations;
	return counts;
}
