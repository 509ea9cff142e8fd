/*
 * A simulated chest strap: which notification it sends next, when, and what is in it. Pure and
 * seeded: the same options give the same bytes. All its times are on its own crystal, which may be
 * a little fast or slow and does not know; that is for whoever paces it.
 */
#pragma once

#include "model/frame.h"
#include "model/record.h"

enum {
	STRAP_ECG_SAMPLES = 73,
	STRAP_ECG_RATE = 130,
	STRAP_FRAME_SIZE = 10 + 3 * STRAP_ECG_SAMPLES, /* 229, the longest of its notifications */
	STRAP_RR_MAX = 9, /* what a 2A37 with an 8-bit rate holds at MTU 23 */
	STRAP_MAX = 16,
};

#define STRAP_MTU 232 /* what a Polar H10 answers */
/* Where a Polar H10's clock starts after it lost its power: 2019-01-01, in ns since 2000-01-01. */
#define STRAP_CLOCK_RESET_NS UINT64_C(599616000000000000)

struct strap_options {
	unsigned index; /* below STRAP_MAX; gives the address */
	uint64_t seed;
	bool ecg;
	bool contact_bits; /* of a model that tells whether it feels skin */
	uint64_t clock_ns; /* of its clock when it was put on, since 2000-01-01 */
};

struct strap_event {
	enum characteristic characteristic;
	uint64_t at_ns; /* since the strap was put on */
	uint8_t data[STRAP_FRAME_SIZE];
	size_t size;
	/* What the bytes mean, for the truth. 2A37: */
	uint16_t bpm;
	enum contact contact;
	uint16_t n_rr;
	uint16_t rr_1024[STRAP_RR_MAX];
	/* fb005c82: */
	uint64_t ts_ns; /* of the last sample, on the strap's clock */
	int32_t uv[STRAP_ECG_SAMPLES];
};

struct strap;

struct strap *strap_free(struct strap *s);
DEFINE_CLEANUP(struct strap *, strap_free)
int strap_new(const struct strap_options *options, struct strap **ret);
/* When the next notification is sent, in ns since it was put on; never earlier than the last. */
uint64_t strap_due(const struct strap *s);
void strap_next(struct strap *s, struct strap_event *ret);
/* Its clock forgets the date, and starts from STRAP_CLOCK_RESET_NS. */
void strap_reset_clock(struct strap *s);
/* It is set forward, or back. */
void strap_jump_clock(struct strap *s, int64_t ns);
const char *strap_address(const struct strap *s);
const char *strap_name(const struct strap *s);
/* Whether it notifies this characteristic. */
bool strap_notifies(const struct strap *s, enum characteristic c);
/* A value to be read (battery, body location, device information): its size; 0: has none. */
size_t strap_value(const struct strap *s, enum characteristic c, uint8_t *ret, size_t size);
