/*
 * source/packets: when a packet reached this machine, by the kernel's stamp, for one that is read at
 * once, one that lay in its socket, and one between whose stamp and reading the clock was set.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "source/packets.h"

#define OFFSET INT64_C(1763798400000000)
#define HOUR   INT64_C(3600000000)
#define NOW    (1000 * USEC_PER_SEC)

static usec_t last;

/* Stamped at boot time `at` while the offset was `then`, read at NOW with the offset of now. */
static usec_t arrival(int64_t at, int64_t then, int64_t offset_us)
{
	int64_t stamp_us = at + then;
	struct timespec stamp = {.tv_sec = stamp_us / 1000000,
				 .tv_nsec = stamp_us % 1000000 * 1000};

	return packets_arrival(&stamp, NOW, offset_us, &last);
}

static void by_its_age(void **state)
{
	static const struct timespec none;

	last = 0;
	assert_int_equal(arrival(NOW - 300, OFFSET, OFFSET), NOW - 300);
	assert_int_equal(last, NOW - 300);
	assert_int_equal(arrival(NOW - 300, OFFSET, OFFSET), NOW - 300);
	assert_int_equal(arrival(NOW, OFFSET, OFFSET), NOW);
	assert_int_equal(packets_arrival(&none, NOW, OFFSET, &last), NOW);
	last = 0;
	assert_int_equal(arrival(NOW - 500 * USEC_PER_SEC, OFFSET, OFFSET),
			 NOW - 500 * USEC_PER_SEC);
	assert_int_equal(arrival(NOW - 700 * USEC_PER_SEC, OFFSET, OFFSET), NOW);
}

/* Whatever the step, it never seems early: at worst by its time in the socket too late. */
static void the_clock_was_set_in_between(void **state)
{
	static const int64_t steps[] = {-OFFSET, -HOUR,	    -300000000, -1500000,
					1500000, 300000000, HOUR,	OFFSET};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		last = NOW - USEC_PER_SEC;
		assert_int_equal(arrival(NOW - 5000, OFFSET, OFFSET + steps[i]), NOW);
		assert_int_equal(last, NOW);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_its_age),
		cmocka_unit_test(the_clock_was_set_in_between),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
