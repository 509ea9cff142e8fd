/*
 * Any bytes as a PMD frame (ECG, light, and acceleration with a factor out of the last bytes) and as an
 * answer of the control point: bounded, inside the input, and untouched results where refused.
 */
#include "decode/pmd.h"
#include "model/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                  \
	do {                              \
		if (!(condition))         \
			__builtin_trap(); \
	} while (0)

static void check_refused(int r, const struct decode_error *error, size_t size)
{
	CHECK(r == DECODE_E_MALFORMED || r == DECODE_E_UNSUPPORTED);
	CHECK(error->at <= size && error->what[0]);
}

static void check_ecg(const uint8_t *data, size_t size)
{
	static struct ecg ecg;
	struct decode_error error = {.at = SIZE_MAX};
	int r;

	ecg.n = UINT32_MAX;
	r = pmd_ecg_decode(data, size, &ecg, &error);
	if (r == 0) {
		CHECK(ecg.n >= 1 && ecg.n <= ECG_SAMPLES_MAX && size <= FRAME_MAX);
	} else {
		CHECK(ecg.n == UINT32_MAX);
		check_refused(r, &error, size);
	}
}

static void check_acc(const uint8_t *data, size_t size)
{
	static struct samples acc;
	struct decode_error error = {.at = SIZE_MAX};
	double factor = 1;
	int r;

	if (size >= sizeof(factor))
		memcpy(&factor, data + size - sizeof(factor), sizeof(factor));
	acc.n = UINT32_MAX;
	r = pmd_acc_decode(data, size, factor, &acc, &error);
	if (r == 0) {
		CHECK(acc.n >= 1 && 3 * acc.n <= SAMPLES_VALUES_MAX);
	} else {
		CHECK(acc.n == UINT32_MAX);
		check_refused(r, &error, size);
	}
}

static void check_light(const uint8_t *data, size_t size)
{
	static struct samples ppg;
	struct decode_error error = {.at = SIZE_MAX};
	struct pmd_ppi ppi = {.n = 0};
	int r;

	ppg.n = UINT32_MAX;
	r = pmd_ppg_decode(data, size, 1, &ppg, &error);
	if (r == 0) {
		CHECK(ppg.n >= 1 && ppg.n * ppg.n_channels <= SAMPLES_VALUES_MAX);
	} else {
		CHECK(ppg.n == UINT32_MAX);
		check_refused(r, &error, size);
	}
	r = pmd_ppi_decode(data, size, &ppi, &error);
	if (r == 0)
		CHECK(ppi.n >= 1 && ppi.n <= PMD_PPI_MAX);
	else
		check_refused(r, &error, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct decode_error error = {.at = SIZE_MAX};
	struct pmd_answer answer;

	check_ecg(data, size);
	check_acc(data, size);
	check_light(data, size);
	if (pmd_answer_decode(data, size, &answer, &error) == 0) {
		CHECK(answer.n_params <= size - 4 && pmd_error_name(answer.error));
		CHECK(answer.n_params == 0 || answer.params + answer.n_params == data + size);
	} else {
		CHECK(error.at <= size);
	}
	return 0;
}
