/*
 * Holds the strap to what it promises: payloads laid out as 2A37 and PMD are, RR intervals that add
 * up to the time that passed, an ECG whose peaks are the beats, timestamps 73/130 s apart, the same
 * bytes for the same seed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "source/heart.h"
#include "source/strap.h"
#include "util/bytes.h"

#define NS_PER_SEC UINT64_C(1000000000)

static struct strap *make(uint64_t seed, unsigned index, bool ecg)
{
	struct strap_options options = {.index = index,
					.seed = seed,
					.ecg = ecg,
					.contact_bits = !ecg,
					.clock_ns = 800 * NS_PER_SEC};
	struct strap *s = NULL;

	assert_int_equal(strap_new(&options, &s), 0);
	return s;
}

static void heart_rate_is_laid_out_as_the_service_says(void **state)
{
	_cleanup_(strap_freep) struct strap *s = make(7, 0, true);
	struct strap_event e;
	unsigned n = 0;

	while (strap_due(s) < 120 * NS_PER_SEC) {
		strap_next(s, &e);
		if (e.characteristic != CHARACTERISTIC_HEART_RATE_MEASUREMENT)
			continue;
		struct bytes b = bytes_make(e.data, e.size);

		n++;
		assert_int_equal(bytes_u8(&b), e.n_rr ? 0x10 : 0x00);
		assert_int_equal(bytes_u8(&b), e.bpm);
		for (unsigned i = 0; i < e.n_rr; i++)
			assert_int_equal(bytes_le16(&b), e.rr_1024[i]);
		assert_false(b.failed);
		assert_int_equal(bytes_left(&b), 0);
		if (n > 3)
			assert_in_range(e.bpm, 45, 170);
	}
	assert_in_range(n, 118, 120);
}

static void intervals_add_up_to_the_time_that_passed(void **state)
{
	_cleanup_(strap_freep) struct strap *s = make(3, 0, true);
	uint64_t ticks = 0, first_ns = 0;
	struct strap_event e = {0};
	unsigned short_ones = 0;

	while (strap_due(s) < 600 * NS_PER_SEC) {
		strap_next(s, &e);
		if (e.n_rr > 0 && first_ns == 0)
			first_ns = e.at_ns; /* its intervals end before here */
		for (unsigned i = 0; i < e.n_rr && first_ns != e.at_ns; i++) {
			assert_in_range(e.rr_1024[i], 205, 1500);
			short_ones += e.rr_1024[i] < 360;
			ticks += e.rr_1024[i];
		}
	}
	assert_true(short_ones > 0); /* the ectopic ones at work */
	uint64_t passed = (e.at_ns - first_ns) / 1000000 * 1024 / 1000;

	assert_in_range(ticks, passed - 1600, passed + 1600); /* a beat at either end */
}

static void frames_are_laid_out_as_pmd_and_evenly_spaced(void **state)
{
	_cleanup_(strap_freep) struct strap *s = make(1, 1, true);
	uint64_t last_ns = 0;
	struct strap_event e;

	for (unsigned k = 0; k < 500;) {
		strap_next(s, &e);
		if (e.characteristic != CHARACTERISTIC_PMD_DATA)
			continue;
		struct bytes b = bytes_make(e.data, e.size);

		assert_int_equal(e.size, 229);
		assert_int_equal(bytes_u8(&b), 0);
		assert_int_equal(bytes_le64(&b), e.ts_ns);
		assert_int_equal(bytes_u8(&b), 0);
		for (unsigned i = 0; i < STRAP_ECG_SAMPLES; i++)
			assert_int_equal(bytes_sle(&b, 3), e.uv[i]);
		assert_false(b.failed);
		assert_int_equal(e.ts_ns, 800 * NS_PER_SEC + e.at_ns);
		if (k++ > 0)
			assert_in_range(e.ts_ns - last_ns, 561538461, 561538462);
		last_ns = e.ts_ns;
	}
}

/*
 * Each normal or ectopic beat stands out of the two seconds around it within 3 samples of its tick.
 */
static void peaks_are_where_the_beats_are(void **state)
{
	static int32_t uv[130 * 100];
	struct heart h;
	struct beat beats[300];
	size_t n = 0;
	uint64_t k = 0;

	heart_init(&h, 12345);
	for (int i = 0; i < 130 * 100; i++) {
		heart_run(&h, (int64_t)i * HEART_TICKS / 130);
		uv[i] = heart_microvolts(&h, i / 130.0);
		for (; k < h.n_beats && n < ARRAY_SIZE(beats); k++)
			beats[n++] = *heart_beat(&h, k);
	}
	assert_true(n > 90);
	for (size_t b = 0; b < n; b++) {
		int at = (int)(beats[b].tick * 130 / HEART_TICKS);
		int highest = at - 20;

		if (at < 20 || at >= 130 * 100 - 20)
			continue;
		for (int i = at - 20; i < at + 20; i++)
			highest = uv[i] > uv[highest] ? i : highest;
		assert_in_range(highest, at - 3, at + 3);
		assert_in_range(uv[highest], 700, 1900);
	}
}

static void an_ectopic_beat_is_made_good(void **state)
{
	struct heart h;
	unsigned found = 0;

	heart_init(&h, 99);
	for (int64_t tick = 0; tick < 1200 * HEART_TICKS; tick += HEART_TICKS) {
		heart_run(&h, tick);
		for (uint64_t k = h.n_beats - 3; k < h.n_beats - 1; k++) {
			const struct beat *b = heart_beat(&h, k);

			if (!b->ectopic)
				continue;
			found++;
			assert_true(heart_beat(&h, k + 1)->rr > 1.9 * b->rr);
			assert_false(heart_beat(&h, k + 1)->ectopic);
		}
	}
	assert_true(found > 3);
}

static void the_same_seed_gives_the_same_bytes(void **state)
{
	_cleanup_(strap_freep) struct strap *a = make(42, 0, true);
	_cleanup_(strap_freep) struct strap *b = make(42, 0, true);
	_cleanup_(strap_freep) struct strap *c = make(43, 0, true);
	struct strap_event x, y, z;
	bool differs = false;

	for (unsigned i = 0; i < 300; i++) {
		strap_next(a, &x);
		strap_next(b, &y);
		strap_next(c, &z);
		assert_int_equal(x.at_ns, y.at_ns);
		assert_int_equal(x.size, y.size);
		assert_memory_equal(x.data, y.data, x.size);
		differs |= x.size != z.size || memcmp(x.data, z.data, x.size) != 0;
	}
	assert_true(differs);
}

static void the_clock_can_be_lost(void **state)
{
	_cleanup_(strap_freep) struct strap *s = make(5, 0, true);
	struct strap_event e;

	for (unsigned i = 0; i < 100; i++)
		strap_next(s, &e);
	strap_reset_clock(s);
	do
		strap_next(s, &e);
	while (e.characteristic != CHARACTERISTIC_PMD_DATA);
	assert_in_range(e.ts_ns, STRAP_CLOCK_RESET_NS, STRAP_CLOCK_RESET_NS + NS_PER_SEC);
}

static void the_other_model_tells_about_skin(void **state)
{
	_cleanup_(strap_freep) struct strap *s = make(5, 2, false);
	unsigned lost = 0;
	struct strap_event e;

	while (strap_due(s) < 400 * NS_PER_SEC) {
		strap_next(s, &e);
		assert_int_not_equal(e.characteristic, CHARACTERISTIC_PMD_DATA);
		if (e.characteristic != CHARACTERISTIC_HEART_RATE_MEASUREMENT)
			continue;
		assert_int_equal(e.data[0] & 0x06, e.contact == CONTACT_YES ? 0x06 : 0x04);
		lost += e.contact == CONTACT_NONE;
	}
	assert_int_equal(lost, 3);
}

static void values_can_be_read(void **state)
{
	_cleanup_(strap_freep) struct strap *s = make(5, 2, false);
	uint8_t value[64];

	assert_string_equal(strap_address(s), "c0:de:00:00:00:03");
	assert_int_equal(strap_value(s, CHARACTERISTIC_BATTERY_LEVEL, value, sizeof(value)), 1);
	assert_in_range(value[0], 1, 100);
	assert_int_equal(strap_value(s, CHARACTERISTIC_SERIAL_NUMBER, value, sizeof(value)), 11);
	assert_memory_equal(value, "SIM00000003", 11);
	assert_int_equal(strap_value(s, CHARACTERISTIC_PMD_DATA, value, sizeof(value)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heart_rate_is_laid_out_as_the_service_says),
		cmocka_unit_test(intervals_add_up_to_the_time_that_passed),
		cmocka_unit_test(frames_are_laid_out_as_pmd_and_evenly_spaced),
		cmocka_unit_test(peaks_are_where_the_beats_are),
		cmocka_unit_test(an_ectopic_beat_is_made_good),
		cmocka_unit_test(the_same_seed_gives_the_same_bytes),
		cmocka_unit_test(the_clock_can_be_lost),
		cmocka_unit_test(the_other_model_tells_about_skin),
		cmocka_unit_test(values_can_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
