/*
 * One link's requests, and what the wearable says unasked.
 *
 *	comes                     what comes of it
 *	01, and what follows a    ends the request that is under way; if there is none, or it was another
 *	request: 03 05 .. 21      one, or the length cannot be, the link breaks
 *	1b  1d                    value(); 1d is confirmed with 1e before
 *	02                        03: our MTU. Both sides then use the smaller one, whoever asked
 *	04 06 08 0a 10            01, not found: we have no attributes
 *	12                        01, may not be written
 *	any other even number     01, not supported (Part F 3.3: never ignored, so that it does not wait)
 *	1e  23  40 and above ..   dropped and counted
 *
 * The queue's first request is the one under way. A device that asks for the MTU and is asked for
 * it tells the same number both times (Part F 3.4.2.2), so we do: a small one in the answer would
 * talk the wearable down from what our own request won.
 *
 * A broken link tells what it has to tell one call at a time, so that each callback can be the last
 * thing that happens here: broken(), which knows why, then the end of each request. att_due() is 0
 * meanwhile.
 */
#include "source/att.h"

#include "util/bytes.h"

struct request {
	att_done done;
	void *userdata;
	size_t size;
	uint8_t pdu[ATT_MTU_OURS];
};

struct att {
	struct att_handler handler;
	uint16_t mtu;
	usec_t answer_by; /* of the first in the queue */
	size_t n_queued;
	struct request queue[1 + ATT_QUEUE_MAX];
	const char *why; /* it is broken */
	int result;	 /*   ... and the request under way ends so */
	bool untold;	 /*   ... and the handler does not know yet */
	struct att_counts counts;
};

static void send_pdu(struct att *a, const uint8_t *data, size_t size)
{
	a->handler.send(a->handler.userdata, data, size);
}

static void send_first(struct att *a, usec_t now)
{
	send_pdu(a, a->queue[0].pdu, a->queue[0].size);
	a->answer_by = now + ATT_TIMEOUT;
}

static void fail(struct att *a, int result, const char *why)
{
	if (a->why)
		return;
	a->why = why;
	a->result = result;
	a->untold = true;
}

/* The first request is over; the next one is on its way before anybody hears of it. */
static void end_request(struct att *a, int result, uint8_t error, const uint8_t *data, size_t size,
			usec_t now)
{
	att_done done = a->queue[0].done;
	void *userdata = a->queue[0].userdata;

	a->n_queued--;
	memmove(&a->queue[0], &a->queue[1], a->n_queued * sizeof(a->queue[0]));
	if (a->n_queued > 0 && !a->why)
		send_first(a, now);
	done(userdata, result, error, data, size, now);
}

/* One thing that a broken link has to tell. */
static void tell(struct att *a, usec_t now)
{
	int result = a->result;

	if (a->untold) {
		a->untold = false;
		a->handler.broken(a->handler.userdata, a->why);
	} else if (a->n_queued > 0) {
		a->result = ATT_E_GONE;
		end_request(a, result, 0, NULL, 0, now);
	}
}

/* --- what comes --- */

static bool is_response(uint8_t opcode)
{
	return opcode % 2 && opcode <= ATT_READ_MULTIPLE_VARIABLE_RESPONSE && opcode != 0x15 &&
	       opcode != ATT_NOTIFICATION && opcode != ATT_INDICATION && opcode != 0x1f;
}

/* Can these bytes answer the request that is under way? */
static bool fits(const struct att *a, const uint8_t *data, size_t size)
{
	uint8_t request = a->n_queued > 0 ? a->queue[0].pdu[0] : 0;

	if (!request || size > a->mtu)
		return false;
	if (data[0] == ATT_ERROR_RESPONSE)
		return size == 5 && data[1] == request;
	if (data[0] != request + 1)
		return false;
	switch (data[0]) {
	case ATT_MTU_RESPONSE: return size == 3;
	case ATT_WRITE_RESPONSE: return size == 1;
	default: return true;
	}
}

/* What both can take; less than the least is a mistake of the wearable (Part F 3.4.2.2). */
static void agree(struct att *a, struct bytes b)
{
	uint16_t theirs = bytes_le16(&b);

	a->mtu = CLAMP(theirs, ATT_MTU_LEAST, ATT_MTU_OURS);
}

static void on_response(struct att *a, const uint8_t *data, size_t size, usec_t now)
{
	if (!fits(a, data, size)) {
		a->counts.violations++;
		fail(a, ATT_E_GONE, "it answered what was not asked");
		tell(a, now);
		return;
	}
	if (data[0] == ATT_ERROR_RESPONSE) {
		end_request(a, ATT_E_REFUSED, data[4], NULL, 0, now);
		return;
	}
	if (data[0] == ATT_MTU_RESPONSE)
		agree(a, bytes_make(data + 1, size - 1));
	end_request(a, 0, 0, data + 1, size - 1, now);
}

static void on_value(struct att *a, uint8_t opcode, struct bytes b, usec_t now)
{
	static const uint8_t confirmation = ATT_CONFIRMATION;
	uint16_t handle = bytes_le16(&b);
	size_t size = bytes_left(&b);

	if (b.failed) {
		a->counts.malformed++;
		return;
	}
	if (opcode == ATT_INDICATION)
		send_pdu(a, &confirmation, 1);
	a->handler.value(a->handler.userdata, handle, bytes_take(&b, size), size, now);
}

static uint8_t refusal(uint8_t request)
{
	switch (request) {
	case ATT_MTU_REQUEST: return ATT_ERROR_INVALID_PDU; /* a good one is not refused */
	case ATT_FIND_INFORMATION_REQUEST:
	case ATT_FIND_BY_TYPE_VALUE_REQUEST:
	case ATT_READ_BY_TYPE_REQUEST:
	case ATT_READ_REQUEST:
	case ATT_READ_BY_GROUP_REQUEST: return ATT_ERROR_NOT_FOUND;
	case ATT_WRITE_REQUEST: return ATT_ERROR_WRITE_NOT_PERMITTED;
	default: return ATT_ERROR_NOT_SUPPORTED;
	}
}

/* The wearable is a client, too, and we are a server with nothing in it. */
static void on_request(struct att *a, uint8_t opcode, struct bytes b)
{
	struct bytes mtu = b;
	uint16_t handle = bytes_left(&b) >= 2 ? bytes_le16(&b) : 0;

	a->counts.requests++;
	if (opcode == ATT_MTU_REQUEST && bytes_left(&mtu) == 2) {
		send_pdu(a,
			 (const uint8_t[]){ATT_MTU_RESPONSE, ATT_MTU_OURS & 0xff,
					   ATT_MTU_OURS >> 8},
			 3);
		agree(a, mtu);
		return;
	}
	if (opcode == ATT_MTU_REQUEST)
		handle = 0; /* it names none */
	send_pdu(a,
		 (const uint8_t[]){ATT_ERROR_RESPONSE, opcode, (uint8_t)handle,
				   (uint8_t)(handle >> 8), refusal(opcode)},
		 5);
}

void att_receive(struct att *a, const uint8_t *data, size_t size, usec_t now)
{
	struct bytes b = bytes_make(data, size);
	uint8_t opcode = bytes_u8(&b);

	if (a->why)
		return;
	if (size == 0)
		a->counts.malformed++;
	else if (is_response(opcode))
		on_response(a, data, size, now);
	else if (size > a->mtu)
		a->counts.oversized++;
	else if (opcode == ATT_NOTIFICATION || opcode == ATT_INDICATION)
		on_value(a, opcode, b, now);
	else if (opcode % 2 || opcode & ATT_COMMAND_BIT || opcode == ATT_CONFIRMATION)
		a->counts.unexpected++;
	else
		on_request(a, opcode, b);
}

/* --- what we ask --- */

int att_request(struct att *a, const uint8_t *data, size_t size, att_done done, void *userdata,
		usec_t now)
{
	struct request *r = &a->queue[a->n_queued];

	assert(size > 0);
	if (a->why)
		return ATT_E_GONE;
	if (size > a->mtu)
		return ATT_E_LONG;
	if (a->n_queued == ARRAY_SIZE(a->queue))
		return ATT_E_FULL;
	*r = (struct request){.done = done, .userdata = userdata, .size = size};
	memcpy(r->pdu, data, size);
	if (a->n_queued++ == 0)
		send_first(a, now);
	return 0;
}

int att_command(struct att *a, const uint8_t *data, size_t size)
{
	if (a->why)
		return ATT_E_GONE;
	if (size > a->mtu)
		return ATT_E_LONG;
	send_pdu(a, data, size);
	return 0;
}

void att_break(struct att *a, const char *why)
{
	fail(a, ATT_E_GONE, why);
}

bool att_broken(const struct att *a)
{
	return a->why;
}

usec_t att_due(const struct att *a)
{
	if (a->why)
		return a->n_queued > 0 || a->untold ? 0 : USEC_INFINITY;
	return a->n_queued > 0 ? a->answer_by : USEC_INFINITY;
}

void att_tick(struct att *a, usec_t now)
{
	if (now < att_due(a))
		return;
	if (!a->why && a->n_queued > 0)
		fail(a, ATT_E_TIMEOUT, "it did not answer a request in time");
	if (a->why)
		tell(a, now);
}

uint16_t att_mtu(const struct att *a)
{
	return a->mtu;
}

const struct att_counts *att_counts(const struct att *a)
{
	return &a->counts;
}

struct att *att_free(struct att *a)
{
	free(a);
	return NULL;
}

int att_new(const struct att_handler *handler, struct att **ret)
{
	struct att *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->handler = *handler;
	a->mtu = ATT_MTU_LEAST;
	*ret = a;
	return 0;
}
