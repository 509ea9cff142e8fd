/*
 * The client's side of the Attribute Protocol on one link (Core Specification, Vol 3 Part F): one
 * request at a time, its answer or its timeout, and what the wearable says unasked. Pure: a PDU in,
 * PDUs out, time is told.
 *
 * What the wearable does against the rules breaks the link: broken() is called, whatever was asked
 * ends with ATT_E_GONE after that, and nothing is sent or heard any more.
 */
#pragma once

#include "source/att_pdu.h"

#define ATT_TIMEOUT (30 * USEC_PER_SEC) /* Part F 3.3.3: then the link is of no use any more */

enum { ATT_QUEUE_MAX = 8 };

/* How a request ended, or why it was not taken. */
enum {
	ATT_E_REFUSED = 1, /* by an error response: which is told */
	ATT_E_TIMEOUT,
	ATT_E_GONE, /* the link broke before its answer */
	ATT_E_FULL, /* att_request(): ATT_QUEUE_MAX are waiting */
	ATT_E_LONG, /* att_request(), att_command(): longer than the MTU */
};

/* Called as the last thing that a function of this header does; any may free the att. */
struct att_handler {
	void *userdata;
	/* The exception: called in the midst, and must not call back. One PDU. */
	void (*send)(void *userdata, const uint8_t *data, size_t size);
	/* Notified or indicated (and confirmed already). */
	void (*value)(void *userdata, uint16_t handle, const uint8_t *data, size_t size,
		      usec_t now);
	void (*broken)(void *userdata, const char *why);
};

/*
 * A request ended: 0 or ATT_E_*; `error` (enum att_error) with ATT_E_REFUSED, else 0; data: the
 * response after its opcode.
 */
typedef void (*att_done)(void *userdata, int result, uint8_t error, const uint8_t *data,
			 size_t size, usec_t now);

/* What came and was not as it should be. */
struct att_counts {
	uint32_t malformed;  /* empty, or a notification without a handle */
	uint32_t oversized;  /* longer than the MTU */
	uint32_t unexpected; /* commands, confirmations, opcodes that we do not know */
	uint32_t requests;   /* of the wearable's own; answered, it finds nothing here */
	uint32_t violations; /* answers to nothing, or that cannot be: 1 breaks the link */
};

struct att;

struct att *att_free(struct att *a);
DEFINE_CLEANUP(struct att *, att_free)
int att_new(const struct att_handler *handler, struct att **ret);
/*
 * A whole request with its opcode; copied. Sent now, or after those that wait. `done` is called
 * once, unless the att is freed before, and never from within.
 */
int att_request(struct att *a, const uint8_t *data, size_t size, att_done done, void *userdata,
		usec_t now);
/* Sent at once; there is no answer. */
int att_command(struct att *a, const uint8_t *data, size_t size);
/* One PDU of the wearable. */
void att_receive(struct att *a, const uint8_t *data, size_t size, usec_t now);
/* Who asked finds that an answer cannot be: the link breaks. `why` is a literal. */
void att_break(struct att *a, const char *why);
bool att_broken(const struct att *a);
/* When att_tick() has something to do; USEC_INFINITY: nothing. */
usec_t att_due(const struct att *a);
void att_tick(struct att *a, usec_t now);
/* What both sides agreed on; it changes when a request of ATT_MTU_REQUEST is answered. */
uint16_t att_mtu(const struct att *a);
const struct att_counts *att_counts(const struct att *a);
