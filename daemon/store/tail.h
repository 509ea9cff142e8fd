/*
 * The tail: a ring in the runtime directory (tmpfs) that holds what is not in the log yet. What was
 * published in it survives the death of the process, not a power cut.
 *
 * Positions count bytes since the ring was made and never wrap; the byte lies at position % size.
 */
#pragma once

#include "model/record.h"
#include "store/look.h"

struct tail;

enum { TAIL_E_ABSENT = 1, TAIL_E_DAMAGED = 2, TAIL_E_FULL = 3, TAIL_E_END = 4 };

/* The fixed part of a slot. Native byte order: it never leaves this machine's memory. */
struct slot {
	uint32_t crc;  /* CRC-32C of all that follows, payload included */
	uint32_t size; /* of the whole slot, a multiple of 8 */
	uint64_t id;
	uint64_t seq;
	int64_t boot_us;
	int64_t offset_us;
	int64_t heard_us; /* CLOCK_BOOTTIME at admission: what T is counted from */
	uint32_t stream;  /* 0: padding up to the end of the ring */
	uint16_t n_payload;
	uint8_t clk;
	uint8_t spare;
};

struct tail *tail_free(struct tail *t);
DEFINE_CLEANUP(struct tail *, tail_free)

/*
 * Makes an empty ring, in place of whatever is at `path`. Takes all its memory now: ENOSPC, not
 * SIGBUS.
 */
int tail_create(const char *path, size_t size, const struct uuid *incarnation, uint64_t run,
		const char *boot_id, struct tail **ret);
/* Opens a ring. TAIL_E_ABSENT, TAIL_E_DAMAGED (its header makes no sense), or < 0. */
int tail_open(const char *path, bool writable, struct tail **ret);

const struct uuid *tail_incarnation(const struct tail *t);
uint64_t tail_run(const struct tail *t);
/* The nonce of that run, before anything is appended; all zeroes: an older program made the ring. */
void tail_set_nonce(struct tail *t, const struct uuid *nonce);
const struct uuid *tail_nonce(const struct tail *t);
const char *tail_boot_id(const struct tail *t);
size_t tail_size(const struct tail *t);
/* Its owner's sign of life, for those who look from outside. */
void tail_sign(struct tail *t, int pid, const char *role, usec_t now);
void tail_signature(const struct tail *t, struct owner_info *ret);

uint64_t tail_start(const struct tail *t); /* of the oldest slot that is still there */
uint64_t tail_end(const struct tail *t);   /* behind the newest */
/*
 * Publishes a slot; fills in its crc and size. Slots before `reclaim` may be overwritten for it.
 * TAIL_E_FULL: it does not fit.
 */
int tail_append(struct tail *t, struct slot *slot, const void *payload, uint64_t reclaim);
/*
 * Reads the slot at `position` (tail_start() or a `next`). The payload is borrowed until the next
 * append. TAIL_E_END: nothing there yet; TAIL_E_DAMAGED: torn, or overwritten meanwhile.
 */
int tail_read(const struct tail *t, uint64_t position, struct slot *ret,
	      const uint8_t **ret_payload, uint64_t *ret_next);
/* Makes it a copy of our own, that no owner changes any more: for those who look. */
int tail_freeze(struct tail *t);
/* Forgets that pages before `position` were ever touched by us: they stay, but not in our RSS. */
void tail_let_go(struct tail *t, uint64_t position);
