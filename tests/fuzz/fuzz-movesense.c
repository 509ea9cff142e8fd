/*
 * A Movesense message of any bytes, whole and in two parts: the same readings come of both.
 *
 *	0 where it is cut   1 reference   2- payload
 */
#include "decode/movesense.h"
#include "decode/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                  \
	do {                              \
		if (!(condition))         \
			__builtin_trap(); \
	} while (0)

struct seen {
	unsigned n;
	enum kind kind;
	uint64_t sensor_ns, sum;
};

static struct decoder decoder;

static void on_reading(void *userdata, const struct reading *r)
{
	struct seen *seen = userdata;

	*seen = (struct seen){.n = seen->n + 1, .kind = r->kind, .sensor_ns = r->sensor_ns};
	for (uint32_t i = 0; r->kind == KIND_ECG && i < r->n; i++)
		seen->sum += (uint64_t)r->record->ecg.uv[i] * (i + 1);
	for (uint32_t i = 0; r->kind == KIND_ACCELERATION && i < 3 * r->n; i++)
		seen->sum += (uint64_t)r->record->samples.value[i] * (i + 1);
	for (uint32_t i = 0; r->kind == KIND_HEART_RATE && i < r->record->heart_rate.n_rr; i++)
		seen->sum += (uint64_t)r->record->heart_rate.rr_1024[i] * (i + 1);
}

static int send(uint8_t what, uint8_t reference, const uint8_t *payload, size_t n,
		struct seen *seen)
{
	const struct reading_handler handler = {seen, on_reading};
	struct decode_error error = {.at = SIZE_MAX};
	uint8_t bytes[FRAME_MAX] = {what, reference};
	struct frame f = {.characteristic = CHARACTERISTIC_MOVESENSE_DATA,
			  .data = bytes,
			  .size = n + 2};
	int r;

	if (n > 0)
		memcpy(bytes + 2, payload, n);
	r = protocol_movesense.decode(&decoder, &f, &handler, &error);
	CHECK(r >= 0 && (r == 0 || (error.at <= f.size && error.what[0])));
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole = {0}, parts = {0};
	size_t n, cut;

	if (size < 3 || size > FRAME_MAX)
		return 0;
	n = size - 2;
	cut = data[0] % n;
	memset(&decoder, 0, sizeof(decoder));
	(void)send(2, data[1], data + 2, n, &whole); /* refused ones give no reading */
	CHECK(whole.n <= 1);
	memset(&decoder, 0, sizeof(decoder));
	(void)send(2, data[1], data + 2, cut, &parts);
	if (parts.n > 0) /* its beginning is a message of its own: heart rate, rows */
		return 0;
	(void)send(3, data[1], data + 2 + cut, n - cut, &parts);
	if (cut > 0)
		CHECK(parts.n == whole.n && parts.kind == whole.kind && parts.sum == whole.sum &&
		      parts.sensor_ns == whole.sensor_ns);
	return 0;
}
