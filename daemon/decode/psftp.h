/*
 * Polar's file transfer over GATT: messages cut into packets. A request is written to the MTU
 * characteristic packet by packet, its answer comes back there as notifications.
 */
#pragma once

#include "util/macro.h"

enum {
	PSFTP_MESSAGE_MAX = 160,       /* a request of ours: a path and a name */
	PSFTP_ANSWER_MAX = 512 * 1024, /* more than a strap records in a week */
};

/* What a message asks for: an operation on a path, or a query. */
enum psftp_operation { PSFTP_GET = 0, PSFTP_PUT = 1, PSFTP_MERGE = 2, PSFTP_REMOVE = 3 };
enum psftp_query {
	PSFTP_START_RECORDING = 14,
	PSFTP_STOP_RECORDING = 15,
	PSFTP_RECORDING_STATUS = 16,
};

/* A message on its way out. */
struct psftp_writer {
	uint8_t message[PSFTP_MESSAGE_MAX];
	size_t size, at;
	uint8_t sequence;
};

/* `header`: an encoded PbPFtpOperation. False: it does not fit. */
bool psftp_request(struct psftp_writer *w, const void *header, size_t size);
/* `params`: an encoded message, or none. False: it does not fit. */
bool psftp_query(struct psftp_writer *w, enum psftp_query query, const void *params, size_t size);
/* The next packet, at most `room` (> 1) bytes; 0: all was cut. */
size_t psftp_packet(struct psftp_writer *w, size_t room, uint8_t *ret);
/* Not a message: what is being sent shall stop. */
#define PSFTP_CANCEL "\0\0\0"

enum {
	PSFTP_E_MALFORMED = 1, /* no packet */
	PSFTP_E_SEQUENCE = 2,  /* one was lost, or comes twice */
	PSFTP_E_LARGE = 3,     /* longer than the reader may become */
};

/* An answer on its way in. */
struct psftp_reader {
	size_t size; /* so far */
	uint8_t n;   /* packets so far, mod 16 */
	bool begun;
};

/* One packet of it; `payload` lies in the packet. */
struct psftp_part {
	bool last;
	uint16_t error; /* of an answer that is none; 0: well */
	const uint8_t *payload;
	size_t size;
};

/* PSFTP_E_*: the answer is lost, nothing of it can be trusted. */
int psftp_read(struct psftp_reader *r, const uint8_t *packet, size_t size, struct psftp_part *ret);
/* In words; "unknown" for what is not known. */
const char *psftp_error_name(uint16_t error);
