/*
 * Any sequence of frames, ten bytes each: what the sensor's clock does, what ours does, how many
 * samples. Whatever comes, samples are not later than their arrival, spacing is near the nominal
 * one, a gap does not end before it begins and frames missing fit into an hour.
 *
 *	0    what ts does: 0 on by n samples, 1 forward a little, 2 back a little, 3 anywhere
 *	1    samples
 *	2-7  amount, of what ts does
 *	8-9  arrival after the one before, 16 ms
 */
#include "decode/timeline.h"
#include "util/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                  \
	do {                              \
		if (!(condition))         \
			__builtin_trap(); \
	} while (0)

#define NOMINAL_NS 7692308U
#define HOUR_NS	   UINT64_C(3600000000000)

static uint64_t next_ts(uint64_t ts, uint8_t what, uint32_t n, uint64_t amount)
{
	switch (what & 3) {
	case 0: return ts + (uint64_t)n * (NOMINAL_NS + amount % 1000);
	case 1: return ts + amount;
	case 2: return ts - amount;
	default: return amount << 16 | amount;
	}
}

static void check(const struct timing *timing, uint64_t ts, uint64_t last, uint32_t n,
		  int64_t boot_us)
{
	int64_t last_sample_us =
		timing->first_us + (int64_t)((n - 1) * (uint64_t)timing->dt_ns / 1000);

	CHECK(timing->dt_ns >= NOMINAL_NS / 20 * 19 - 1 &&
	      timing->dt_ns <= NOMINAL_NS / 20 * 21 + 21);
	CHECK(timing->kind == TIMING_DUPLICATE || last_sample_us <= boot_us + 1);
	CHECK(timing->gap_to_us >= timing->gap_from_us);
	CHECK(timing->kind == TIMING_MISSING || timing->n_missing == 0);
	CHECK(timing->n_missing <= HOUR_NS / ((uint64_t)n * NOMINAL_NS));
	CHECK((timing->kind == TIMING_DUPLICATE) == (ts == last) || timing->kind == TIMING_FIRST);
	CHECK(timing->kind != TIMING_CONTINUES || ts > last);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = bytes_make(data, size);
	uint64_t ts = UINT64_C(826000000000000000);
	int64_t boot_us = 1000000;
	struct timeline t;

	timeline_reset(&t, NOMINAL_NS);
	while (bytes_left(&b) >= 10) {
		uint8_t what = bytes_u8(&b);
		uint32_t n = bytes_u8(&b) + 1U;
		uint64_t last = ts, amount = bytes_le(&b, 6);
		struct timing timing;

		ts = next_ts(ts, what, n, amount);
		boot_us += (int64_t)bytes_le16(&b) * 16000;
		timeline_step(&t, ts, n, boot_us, &timing);
		check(&timing, ts, last, n, boot_us);
	}
	return 0;
}
