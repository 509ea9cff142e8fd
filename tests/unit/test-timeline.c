/* decode/timeline: an imaginary strap with a clock of its own, heard over an imaginary radio. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "decode/timeline.h"

#include <math.h>

#define N	   73
#define NOMINAL_NS 7692308 /* 130 Hz */
#define FRAME_NS   (UINT64_C(73) * NOMINAL_NS)
#define Y2019_NS   UINT64_C(599616000000000000)
#define Y2026_NS   UINT64_C(826000000000000000)
#define BOOT_US	   INT64_C(5000000000)

/* What is true, which the timeline has to find out. */
struct strap {
	struct timeline timeline;
	uint64_t ts_ns; /* of its clock */
	double true_us; /* boot time of the last sample */
	double ppm;	/* its clock is fast by */
	struct timing last;
};

static void strap_init(struct strap *s, double ppm)
{
	*s = (struct strap){.ts_ns = Y2026_NS, .true_us = BOOT_US, .ppm = ppm};
	timeline_reset(&s->timeline, NOMINAL_NS);
}

/* Another frame is measured. */
static void strap_measure(struct strap *s)
{
	s->ts_ns += FRAME_NS;
	s->true_us += FRAME_NS / 1000.0 / (1 + s->ppm / 1e6);
}

/* ... and heard. Returns how much too late the timeline believes its last sample to be. */
static double strap_hear(struct strap *s, double delay_us)
{
	timeline_step(&s->timeline, s->ts_ns, N, (int64_t)(s->true_us + delay_us), &s->last);
	return (double)s->last.first_us + (N - 1) * (double)s->last.dt_ns / 1000 - s->true_us;
}

/* 0 to 400 ms, as a connection interval of 400 ms makes them. */
static double jitter(unsigned i)
{
	return (i * 7919U % 400U) * 1000.0;
}

static void test_first_frame_is_spaced_by_the_nominal_rate(void **state)
{
	struct timeline t;
	struct timing timing;

	timeline_reset(&t, NOMINAL_NS);
	timeline_step(&t, Y2026_NS, N, BOOT_US, &timing);
	assert_int_equal(timing.kind, TIMING_FIRST);
	assert_int_equal(timing.dt_ns, NOMINAL_NS);
	assert_int_equal(timing.first_us, BOOT_US - (int64_t)NOMINAL_NS * 72 / 1000);
	assert_int_equal(timing.n_missing, 0);
}

static void test_spacing_follows_the_sensor(void **state)
{
	struct timeline t;
	struct timing timing;

	timeline_reset(&t, NOMINAL_NS);
	timeline_step(&t, Y2026_NS, N, BOOT_US, &timing);
	timeline_step(&t, Y2026_NS + 561350000, N, BOOT_US + 561350, &timing);
	assert_int_equal(timing.kind, TIMING_CONTINUES);
	assert_int_equal(timing.dt_ns, 561350000 / 73); /* 130.045 Hz */
	assert_in_range(timing.first_us, BOOT_US + 7688, BOOT_US + 7691);
}

static void test_five_percent(void **state)
{
	static const struct {
		double frames;
		enum timing_kind kind;
	} cases[] = {{0.94, TIMING_RESET},   {0.96, TIMING_CONTINUES}, {1.04, TIMING_CONTINUES},
		     {1.06, TIMING_MISSING}, {0.0, TIMING_DUPLICATE},  {-0.5, TIMING_RESET}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t ts = Y2026_NS + (uint64_t)(int64_t)(cases[i].frames * (double)FRAME_NS);
		struct timeline t;
		struct timing timing;

		timeline_reset(&t, NOMINAL_NS);
		timeline_step(&t, Y2026_NS, N, BOOT_US, &timing);
		timeline_step(&t, ts, N, BOOT_US + 561000, &timing);
		assert_int_equal(timing.kind, cases[i].kind);
	}
}

static void test_late_arrivals_do_not_shift_times(void **state)
{
	struct strap s;

	strap_init(&s, 0);
	for (unsigned i = 0; i < 1000; i++) {
		double late = strap_hear(&s, i == 0 ? 0 : jitter(i));

		assert_true(late > -15000 && late < (i < 300 ? 40000 : 15000));
		assert_int_equal(s.last.kind, i == 0 ? TIMING_FIRST : TIMING_CONTINUES);
		strap_measure(&s);
	}
}

static void test_a_better_arrival_corrects_at_once(void **state)
{
	struct strap s;

	strap_init(&s, 0);
	assert_true(strap_hear(&s, 3000000) > 2999900);
	strap_measure(&s);
	assert_true(strap_hear(&s, 20000) < 20100);
}

/* The radio stalls for 80 s; then 142 frames arrive together, again and again. */
static void test_bursts_do_not_shift_times(void **state)
{
	struct strap s;

	strap_init(&s, 0);
	for (unsigned i = 0; i < 3000; i++) {
		double delay = i % 300 < 142 ? (141 - i % 300) * (double)FRAME_NS / 1000 : 0;
		double late = strap_hear(&s, i < 300 ? 0 : delay);

		/* Nobody was on time for 80 s: so long the offset rises by the doubt. */
		assert_true(late > -100 && late < (i < 1500 ? 25000 : 3000));
		strap_measure(&s);
	}
}

/* A link that is late for ten minutes and never once on time may shift times by 1 ms a second. */
static void test_a_long_delay_shifts_times_slowly(void **state)
{
	struct strap s;
	double late = 0;

	strap_init(&s, 0);
	for (unsigned i = 0; i < 1200; i++) {
		late = strap_hear(&s, i < 100 ? 0 : 5000000);
		strap_measure(&s);
	}
	assert_true(late > 0 && late < 650000);
	assert_true(strap_hear(&s, 0) < 100); /* and back as soon as one is on time */
}

static void drift(double ppm)
{
	struct strap s;

	strap_init(&s, ppm);
	for (unsigned i = 0; i < 20000; i++) { /* three hours: 5.6 s of drift at 500 ppm */
		double late = strap_hear(&s, jitter(i));

		if (i > 1070)
			assert_true(late > -15000 && late < 15000);
		if (i > 0)
			assert_int_equal(s.last.kind, TIMING_CONTINUES);
		strap_measure(&s);
	}
}

static void test_drift_is_followed(void **state)
{
	drift(500);
	drift(-500);
	drift(20);
}

static void test_duplicate_changes_nothing(void **state)
{
	struct strap s;
	struct timeline before;

	strap_init(&s, 0);
	(void)strap_hear(&s, 0);
	strap_measure(&s);
	(void)strap_hear(&s, 0);
	before = s.timeline;
	(void)strap_hear(&s, 90000);
	assert_int_equal(s.last.kind, TIMING_DUPLICATE);
	assert_int_equal(s.last.n_missing, 0);
	assert_memory_equal(&s.timeline, &before, sizeof(before));
	strap_measure(&s);
	(void)strap_hear(&s, 0);
	assert_int_equal(s.last.kind, TIMING_CONTINUES);
}

static void test_missing_frames_are_counted(void **state)
{
	for (unsigned missing = 1; missing < 500; missing += 7) {
		struct strap s;
		double before_us;

		strap_init(&s, 350);
		(void)strap_hear(&s, 0);
		before_us = s.true_us;
		for (unsigned i = 0; i <= missing; i++)
			strap_measure(&s);
		assert_true(strap_hear(&s, 30000) < 31000);
		assert_int_equal(s.last.kind, TIMING_MISSING);
		assert_int_equal(s.last.n_missing, missing);
		assert_int_equal(s.last.dt_ns, NOMINAL_NS);
		assert_int_equal(s.last.gap_from_us, (int64_t)before_us);
		assert_int_equal(s.last.gap_to_us, s.last.first_us);
	}
}

static void test_part_of_a_frame_missing(void **state)
{
	struct strap s;

	strap_init(&s, 0);
	(void)strap_hear(&s, 0);
	strap_measure(&s);
	s.ts_ns += FRAME_NS / 4;
	s.true_us += (double)FRAME_NS / 4000;
	(void)strap_hear(&s, 0);
	assert_int_equal(s.last.kind, TIMING_MISSING);
	assert_int_equal(s.last.n_missing, 0);
}

static void test_resets(void **state)
{
	struct strap s;

	strap_init(&s, 0);
	(void)strap_hear(&s, 0);
	strap_measure(&s);
	s.ts_ns = Y2019_NS; /* taken off, forgot the time */
	assert_true(strap_hear(&s, 40000) < 40100);
	assert_int_equal(s.last.kind, TIMING_RESET);
	assert_int_equal(s.last.n_missing, 0);
	assert_int_equal(s.last.gap_from_us, BOOT_US);
	assert_int_equal(s.last.gap_to_us, s.last.first_us);
	assert_int_equal(s.last.dt_ns, NOMINAL_NS);
	strap_measure(&s);
	assert_true(strap_hear(&s, 0) < 100);
	assert_int_equal(s.last.kind, TIMING_CONTINUES);
	strap_measure(&s);
	s.ts_ns = Y2026_NS; /* a phone sets it */
	assert_true(strap_hear(&s, 10000) < 10100);
	assert_int_equal(s.last.kind, TIMING_RESET);
	strap_measure(&s);
	s.ts_ns += UINT64_C(3601) * 1000000000;
	(void)strap_hear(&s, 0);
	assert_int_equal(s.last.kind, TIMING_RESET);
}

/* An older frame once more, at once: a reset whose gap would end before it begins. */
/* Set forward by less than an hour, while it streams: a jump of its clock, not frames missing. */
static void test_a_jump_forward_is_no_gap(void **state)
{
	struct strap s;

	strap_init(&s, 0);
	for (unsigned i = 0; i < 100; i++) {
		(void)strap_hear(&s, jitter(i) / 8);
		strap_measure(&s);
	}
	s.ts_ns += UINT64_C(600) * 1000000000;
	assert_true(strap_hear(&s, 50000) < 51000);
	assert_int_equal(s.last.kind, TIMING_RESET);
	assert_int_equal(s.last.n_missing, 0);
	assert_true(s.last.gap_to_us - s.last.gap_from_us < 60000);
	strap_measure(&s);
	assert_true(strap_hear(&s, 0) < 100);
	assert_int_equal(s.last.kind, TIMING_CONTINUES);
	/* As many frames missing in truth are missing. */
	for (unsigned i = 0; i < 1000; i++)
		strap_measure(&s);
	(void)strap_hear(&s, 50000);
	assert_int_equal(s.last.kind, TIMING_MISSING);
	assert_int_equal(s.last.n_missing, 999);
}

/*
 * The model of the table in timeline.c. How wrong sample times are, of those that were taken
 * between two moments after the strap was put on.
 */
enum radio { RADIO_NEAR, RADIO_INTERVAL, RADIO_FAR };

struct model {
	struct strap strap;
	enum radio radio;
	uint64_t random;
	double stalled_until_us, next_stall_us, arrived_us, phase_us;
};

enum { ERRORS_MAX = 200000 };

static double errors[ERRORS_MAX];
static size_t n_errors;

static double throw(struct model * m, double below)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return (double)(m->random >> 11) / 9007199254740992.0 * below;
}

static struct model model_make(enum radio radio, double ppm, uint64_t seed)
{
	struct model m = {.radio = radio, .random = seed * 2654435761 + 12345};

	strap_init(&m.strap, ppm);
	for (unsigned i = 0; i < 10; i++)
		(void) throw(&m, 1);
	m.next_stall_us = m.strap.true_us + throw(&m, 30e6);
	m.phase_us = throw(&m, 400e3);
	return m;
}

/* When a frame that is measured now is heard: never before the one before it. */
static double model_delay(struct model *m)
{
	double now = m->strap.true_us, event = 400e3, at = now;

	switch (m->radio) {
	case RADIO_NEAR: at += throw(m, 50e3); break;
	case RADIO_INTERVAL:
		at += event - (now + m->phase_us - event * floor((now + m->phase_us) / event));
		break;
	case RADIO_FAR: at += throw(m, 400e3); break;
	}
	if (m->radio == RADIO_NEAR && now > m->next_stall_us) {
		m->stalled_until_us = now + throw(m, 1e6);
		m->next_stall_us = now + throw(m, 60e6);
	}
	m->arrived_us = fmax(fmax(at, m->stalled_until_us), m->arrived_us + 100);
	return m->arrived_us - now;
}

static void model_run(struct model *m, double seconds, double skip)
{
	double from_us = m->strap.true_us + skip * 1e6, to_us = m->strap.true_us + seconds * 1e6;

	while (m->strap.true_us < to_us) {
		double wrong = fabs(strap_hear(&m->strap, model_delay(m)));

		if (m->strap.true_us >= from_us && n_errors < ERRORS_MAX)
			errors[n_errors++] = wrong;
		strap_measure(&m->strap);
	}
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Asserts on what was gathered, in ms, and starts anew. */
static void errors_are(double p99_max, double max)
{
	qsort(errors, n_errors, sizeof(errors[0]), ascending);
	print_message("%zu frames: p50 %.1f, p99 %.1f, max %.1f ms\n", n_errors,
		      errors[n_errors / 2] / 1000, errors[n_errors * 99 / 100] / 1000,
		      errors[n_errors - 1] / 1000);
	assert_true(n_errors > 100);
	assert_true(errors[n_errors * 99 / 100] < p99_max * 1000);
	assert_true(errors[n_errors - 1] < max * 1000);
	n_errors = 0;
}

static const double ppms[] = {0, 50, -50, 500, -500};

/* Within 20 ms (p99) after 60 s, for hours, whatever quartz, with stalls of up to a second. */
static void test_accuracy_near(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(ppms); i++) {
		for (uint64_t seed = 1; seed <= 10; seed++) {
			struct model m = model_make(RADIO_NEAR, ppms[i], seed);

			model_run(&m, 120, 60);
		}
		errors_are(20, 25);
		for (uint64_t seed = 1; seed <= 3; seed++) {
			struct model m = model_make(RADIO_NEAR, ppms[i], seed);

			model_run(&m, 4 * 3600, 120);
		}
		errors_are(6, 20);
	}
}

/* Where the radio itself is late by up to 400 ms it takes some minutes to be as good. */
static void test_accuracy_far(void **state)
{
	static const enum radio radios[] = {RADIO_INTERVAL, RADIO_FAR};

	for (size_t k = 0; k < ARRAY_SIZE(radios); k++)
		for (size_t i = 0; i < ARRAY_SIZE(ppms); i++) {
			for (uint64_t seed = 1; seed <= 3; seed++) {
				struct model m = model_make(radios[k], ppms[i], seed);

				model_run(&m, 4 * 3600, 600);
			}
			errors_are(12, 20);
		}
}

/* Its clock is reset to 2019, set to now, set back an hour: what a minute of streaming gives. */
static void test_accuracy_after_a_jump(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(ppms); i++) {
		for (uint64_t seed = 1; seed <= 5; seed++) {
			struct model m = model_make(RADIO_NEAR, ppms[i], seed);
			uint64_t now;

			model_run(&m, 600, 600);
			now = m.strap.ts_ns;
			m.strap.ts_ns = Y2019_NS;
			model_run(&m, 300, 60);
			m.strap.ts_ns = now;
			model_run(&m, 300, 60);
			m.strap.ts_ns -= UINT64_C(3600) * 1000000000;
			model_run(&m, 300, 60);
			m.strap.ts_ns += UINT64_C(1800) * 1000000000;
			model_run(&m, 300, 60);
		}
		errors_are(20, 20);
	}
}

/* The link is lost after an hour and comes back a minute later: all is learnt anew. */
static void test_accuracy_after_link_loss(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(ppms); i++) {
		for (uint64_t seed = 1; seed <= 5; seed++) {
			struct model m = model_make(RADIO_NEAR, ppms[i], seed);

			model_run(&m, 3600, 3600);
			for (unsigned k = 0; k < 107; k++)
				strap_measure(&m.strap);
			timeline_reset(&m.strap.timeline, NOMINAL_NS);
			model_run(&m, 600, 60);
		}
		errors_are(20, 25);
	}
}

static void test_gap_is_never_negative(void **state)
{
	struct strap s;

	strap_init(&s, 0);
	(void)strap_hear(&s, 0);
	s.ts_ns -= FRAME_NS;
	(void)strap_hear(&s, 0);
	assert_int_equal(s.last.kind, TIMING_RESET);
	assert_int_equal(s.last.gap_to_us, s.last.gap_from_us);
}

static void test_reconnect_knows_nothing(void **state)
{
	struct strap s;

	strap_init(&s, 0);
	(void)strap_hear(&s, 0);
	timeline_reset(&s.timeline, NOMINAL_NS);
	strap_measure(&s);
	strap_measure(&s);
	assert_true(strap_hear(&s, 1000) < 1100);
	assert_int_equal(s.last.kind, TIMING_FIRST);
}

static void test_far_ends_of_time(void **state)
{
	static const uint64_t times[] = {0, UINT64_MAX, 1, UINT64_MAX - 1, UINT64_C(1) << 63};
	struct timeline t;
	struct timing timing;

	timeline_reset(&t, UINT32_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		timeline_step(&t, times[i], UINT32_MAX, INT64_C(1) << 60, &timing);
		assert_int_equal(timing.kind, i == 0 ? TIMING_FIRST : TIMING_RESET);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_frame_is_spaced_by_the_nominal_rate),
		cmocka_unit_test(test_spacing_follows_the_sensor),
		cmocka_unit_test(test_five_percent),
		cmocka_unit_test(test_late_arrivals_do_not_shift_times),
		cmocka_unit_test(test_a_better_arrival_corrects_at_once),
		cmocka_unit_test(test_bursts_do_not_shift_times),
		cmocka_unit_test(test_a_long_delay_shifts_times_slowly),
		cmocka_unit_test(test_drift_is_followed),
		cmocka_unit_test(test_duplicate_changes_nothing),
		cmocka_unit_test(test_missing_frames_are_counted),
		cmocka_unit_test(test_part_of_a_frame_missing),
		cmocka_unit_test(test_resets),
		cmocka_unit_test(test_a_jump_forward_is_no_gap),
		cmocka_unit_test(test_accuracy_near),
		cmocka_unit_test(test_accuracy_far),
		cmocka_unit_test(test_accuracy_after_a_jump),
		cmocka_unit_test(test_accuracy_after_link_loss),
		cmocka_unit_test(test_gap_is_never_negative),
		cmocka_unit_test(test_reconnect_knows_nothing),
		cmocka_unit_test(test_far_ends_of_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
