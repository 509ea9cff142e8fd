/*
 * store/streams: the arithmetic of seq against a plain list of them: what comes before, after, how
 * many lie between, the k-th; over several runs, with runs that are empty in this stream.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/state.h"

static const struct run_count runs[] = {{1, 3}, {2, 1}, {5, 4}, {9, 2}};
static uint64_t seqs[16];
static size_t n_seqs;

static void fill(struct stream_state *st)
{
	n_seqs = 0;
	for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
		assert_int_equal(stream_reach(st, runs[i].run, runs[i].last_n), 0);
		for (uint64_t n = 1; n <= runs[i].last_n; n++)
			seqs[n_seqs++] = seq_make(runs[i].run, n);
	}
}

static uint64_t last_below(uint64_t seq)
{
	uint64_t found = 0;

	for (size_t i = 0; i < n_seqs; i++)
		if (seqs[i] < seq)
			found = seqs[i];
	return found;
}

static uint64_t first_above(uint64_t seq)
{
	for (size_t i = 0; i < n_seqs; i++)
		if (seqs[i] > seq)
			return seqs[i];
	return 0;
}

static void as_a_list_says(void **state)
{
	struct stream_state st = {0};
	uint64_t probes[64];
	size_t n = 0;

	fill(&st);
	assert_int_equal(stream_last_seq(&st), seqs[n_seqs - 1]);
	assert_int_equal(stream_total(&st), n_seqs);
	for (size_t i = 0; i < n_seqs; i++) {
		probes[n++] = seqs[i];
		assert_int_equal(stream_seq_at(&st, i + 1), seqs[i]);
		assert_int_equal(stream_seq_before(&st, seqs[i]), last_below(seqs[i]));
	}
	probes[n++] = 0;
	probes[n++] = seq_make(3, 1); /* a run in which this stream was silent */
	probes[n++] = seq_make(10, 1);
	assert_int_equal(stream_seq_at(&st, 0), 0);
	assert_int_equal(stream_seq_at(&st, n_seqs + 1), 0);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(stream_seq_after(&st, probes[i]), first_above(probes[i]));
		for (size_t k = 0; k < n; k++) {
			uint64_t count = 0;

			for (size_t j = 0; j < n_seqs; j++)
				count += seqs[j] >= probes[i] && seqs[j] <= probes[k];
			assert_int_equal(stream_count_between(&st, probes[i], probes[k]), count);
		}
	}
	assert_int_equal(stream_seq_before(&st, seq_make(10, 1)), seqs[n_seqs - 1]);
	free(st.runs);
}

static void empty(void **state)
{
	struct stream_state st = {0};

	assert_int_equal(stream_last_seq(&st), 0);
	assert_int_equal(stream_total(&st), 0);
	assert_int_equal(stream_seq_after(&st, 0), 0);
	assert_int_equal(stream_seq_before(&st, seq_make(1, 1)), 0);
	assert_int_equal(stream_seq_at(&st, 1), 0);
	assert_int_equal(stream_count_between(&st, 0, UINT64_MAX), 0);
}

static void reaching(void **state)
{
	struct stream_state st = {0};

	assert_int_equal(stream_reach(&st, 4, 2), 0);
	assert_int_equal(stream_reach(&st, 4, 7), 0);
	assert_int_equal(stream_reach(&st, 4, 5), 0); /* never less */
	assert_int_equal(stream_reach(&st, 6, 1), 0);
	assert_int_equal(stream_reach(&st, 4, 8), 0); /* an older one that is known */
	assert_int_equal(stream_reach(&st, 5, 3), 0); /* one in between, of a damaged table */
	assert_int_equal(st.n_runs, 3);
	assert_int_equal(st.runs[0].last_n, 8);
	assert_int_equal(st.runs[1].run, 5);
	assert_int_equal(st.runs[2].run, 6);
	assert_int_equal(stream_total(&st), 12);
	free(st.runs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_a_list_says),
		cmocka_unit_test(empty),
		cmocka_unit_test(reaching),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
