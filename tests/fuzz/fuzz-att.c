/*
 * The input plays the wearable, and the session on the other side: discovery comes first, then
 * whatever the input asks for. Records:
 *
 *	00 n PDU         this PDU, of n (u8) bytes; n may be more than there is
 *	01 n rest        the answer to our request, without its opcode
 *	02 code          our request is refused
 *	03 what which    read, write, subscribe to or unsubscribe this characteristic
 *	04 seconds       time passes
 *	05 n rest        the answer, n (u16) bytes, zeros at the end
 *
 * Held: one request at a time, none after the link broke; questions of a list rise; whatever was
 * begun ends once, and not from within; nothing is longer than the MTU; no end without a reason.
 */
#include "source/gatt.h"
#include "util/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                  \
	do {                              \
		if (!(condition))         \
			__builtin_trap(); \
	} while (0)

enum { RECORDS = 6, PDU_MAX = 600, SECONDS_MAX = 40 };

struct play {
	struct gatt *gatt;
	usec_t now;
	uint8_t request; /* the one without an answer; 0: none */
	uint16_t asked_from;
	uint8_t asked_opcode;
	bool within, broken, busy, discovered;
};

static bool is_request(uint8_t opcode)
{
	return opcode % 2 == 0 && !(opcode & ATT_COMMAND_BIT) && opcode != ATT_CONFIRMATION;
}

static void on_send(void *userdata, const uint8_t *data, size_t size)
{
	struct play *p = userdata;
	uint16_t from;

	CHECK(!p->broken && size >= 1 && size <= gatt_mtu(p->gatt));
	if (!is_request(data[0]))
		return;
	CHECK(!p->request && p->busy);
	p->request = data[0];
	if (data[0] == ATT_READ_BY_GROUP_REQUEST || data[0] == ATT_READ_BY_TYPE_REQUEST ||
	    data[0] == ATT_FIND_INFORMATION_REQUEST) {
		from = (uint16_t)(data[1] | data[2] << 8);
		CHECK(from > 0 && from <= (data[3] | data[4] << 8));
		CHECK(data[0] != p->asked_opcode || from > p->asked_from);
		p->asked_opcode = data[0];
		p->asked_from = from;
	} else {
		p->asked_opcode = 0;
	}
}

static void over(struct play *p, int result)
{
	CHECK(p->busy && !p->within && result >= 0 && result <= SESSION_E_GONE);
	p->busy = false;
	p->asked_opcode = 0;
}

static void on_discovered(void *userdata, int result, uint8_t att_error, usec_t now)
{
	struct play *p = userdata;

	CHECK(!p->discovered && now == p->now);
	over(p, result);
	p->discovered = true;
}

static void on_done(void *userdata, int result, uint8_t att_error, const uint8_t *data, size_t size,
		    usec_t now)
{
	uint8_t last = size > 0 ? data[size - 1] : 0;

	CHECK(((struct play *)userdata)->discovered && size <= ATT_VALUE_MAX && last <= UINT8_MAX);
	CHECK(att_error == 0 || result == SESSION_E_SECURITY || result == SESSION_E_REFUSED);
	CHECK(size == 0 || result == 0);
	over(userdata, result);
}

static void on_value(void *userdata, enum characteristic c, const uint8_t *data, size_t size,
		     usec_t now)
{
	const struct play *p = userdata;

	CHECK(c > CHARACTERISTIC_UNKNOWN && c < CHARACTERISTIC_MAX_ && !p->within);
	CHECK(size + 3 <= gatt_mtu(p->gatt) && !p->broken);
}

static void on_broken(void *userdata, const char *why)
{
	struct play *p = userdata;

	CHECK(!p->broken && !p->within && why && why[0]);
	p->broken = true;
}

static void settle(struct play *p)
{
	for (unsigned i = 0; gatt_due(p->gatt) <= p->now; i++) {
		CHECK(i < 4);
		gatt_tick(p->gatt, p->now);
	}
}

static void receive(struct play *p, const uint8_t *pdu, size_t size)
{
	uint8_t *exact = malloc(size);
	bool answered = size > 0 && (pdu[0] == ATT_ERROR_RESPONSE || pdu[0] == p->request + 1);

	if (size > 0)
		memcpy(exact, pdu, size);
	if (answered)
		p->request = 0;
	gatt_receive(p->gatt, exact, size, p->now);
	free(exact);
	settle(p);
}

static void receive_bytes(struct play *p, struct bytes *b, size_t size, size_t pad, bool answer)
{
	uint8_t pdu[PDU_MAX] = {(uint8_t)(p->request + 1)};
	size_t head = answer ? 1 : 0;

	size = MIN(size, bytes_left(b));
	size = MIN(size, sizeof(pdu) - head);
	if (size > 0)
		memcpy(pdu + head, bytes_take(b, size), size);
	if (answer && !p->request)
		return;
	receive(p, pdu, MIN(head + size + pad, sizeof(pdu)));
}

static void operate(struct play *p, uint8_t what, uint8_t which)
{
	static const uint8_t value[ATT_VALUE_MAX];
	enum characteristic c = (enum characteristic)(which % CHARACTERISTIC_MAX_);

	if (p->busy)
		return;
	p->busy = p->within = true;
	switch (what % 5) {
	case 0: gatt_read(p->gatt, c, p->now); break;
	case 1: gatt_write(p->gatt, c, value, (size_t)what * 2, p->now); break;
	case 2: gatt_subscribe(p->gatt, c, false, p->now); break;
	case 3: gatt_subscribe(p->gatt, c, true, p->now); break;
	default: gatt_unsubscribe(p->gatt, c, p->now); break;
	}
	p->within = false;
	settle(p);
}

static void record(struct play *p, struct bytes *b)
{
	uint8_t kind = bytes_u8(b) % RECORDS, n = bytes_u8(b);
	uint8_t refusal[] = {ATT_ERROR_RESPONSE, p->request, 0, 0, n};

	switch (kind) {
	case 0: receive_bytes(p, b, n, 0, false); break;
	case 1: receive_bytes(p, b, n, 0, true); break;
	case 2: receive(p, refusal, sizeof(refusal)); break;
	case 3: operate(p, n, bytes_u8(b)); break;
	case 4:
		p->now += n % SECONDS_MAX * USEC_PER_SEC;
		settle(p);
		break;
	default: receive_bytes(p, b, 0, n | (size_t)bytes_u8(b) << 8, true); break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = bytes_make(data, size);
	struct play p = {.now = USEC_PER_SEC, .busy = true, .within = true};
	struct gatt_handler handler = {.userdata = &p,
				       .send = on_send,
				       .discovered = on_discovered,
				       .done = on_done,
				       .value = on_value,
				       .broken = on_broken};

	if (gatt_new(&handler, &p.gatt) < 0)
		return 0;
	gatt_discover(p.gatt, p.now);
	p.within = false;
	while (bytes_left(&b) > 0)
		record(&p, &b);
	CHECK(!p.broken || gatt_due(p.gatt) == USEC_INFINITY);
	CHECK(!p.busy || gatt_due(p.gatt) <= p.now + ATT_TIMEOUT);
	p.gatt = gatt_free(p.gatt);
	return 0;
}
