/*
 * store/rescue_frame: what was written is read again, a frame that is not all there yet is waited
 * for, and one bit that is wrong anywhere is not taken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/rescue_frame.h"

static struct buf frame_of(const char *payload)
{
	struct rescue_message m = {.type = RESCUE_PIECE,
				   .number = 7,
				   .kind = KIND_ECG,
				   .device = "a0:b1:c2:d3:e4:f5",
				   .name = "u-1",
				   .n = 9,
				   .until_us = -5,
				   .piece = {.place = {1, 2, 3},
					     .stream = 4,
					     .n = 5,
					     .boot_us = -6,
					     .offset_us = INT64_MIN,
					     .clk = CLK_EST,
					     .had = UINT64_MAX,
					     .payload = (const uint8_t *)payload,
					     .size = strlen(payload)}};
	struct buf out = {0};

	rescue_write(&out, &m);
	assert_false(out.failed);
	return out;
}

static void there_and_back(void **state)
{
	struct buf out = frame_of("beats");
	struct rescue_message m;
	size_t used;

	assert_int_equal(rescue_read(out.data, out.size, &m, &used), 0);
	assert_int_equal(used, out.size);
	assert_int_equal(m.type, RESCUE_PIECE);
	assert_int_equal(m.number, 7);
	assert_int_equal(m.kind, KIND_ECG);
	assert_string_equal(m.device, "a0:b1:c2:d3:e4:f5");
	assert_string_equal(m.name, "u-1");
	assert_int_equal(m.n, 9);
	assert_int_equal(m.until_us, -5);
	assert_int_equal(m.piece.place.phase, 1);
	assert_int_equal(m.piece.place.seq, 3);
	assert_int_equal(m.piece.boot_us, -6);
	assert_true(m.piece.offset_us == INT64_MIN);
	assert_true(m.piece.had == UINT64_MAX);
	assert_int_equal(m.piece.size, 5);
	assert_memory_equal(m.piece.payload, "beats", 5);
	buf_done(&out);
}

static void half_a_frame_is_waited_for(void **state)
{
	struct buf out = frame_of("beats");
	struct rescue_message m;
	size_t used;

	for (size_t n = 0; n < out.size; n++)
		assert_int_equal(rescue_read(out.data, n, &m, &used), RESCUE_E_MORE);
	buf_done(&out);
}

static void one_bit_is_enough(void **state)
{
	struct buf out = frame_of("beats");
	struct rescue_message m;
	size_t used;

	for (size_t i = 0; i < 8 * out.size; i++) {
		out.data[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_not_equal(rescue_read(out.data, out.size, &m, &used), 0);
		out.data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	assert_int_equal(rescue_read(out.data, out.size, &m, &used), 0);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(half_a_frame_is_waited_for),
		cmocka_unit_test(one_bit_is_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
