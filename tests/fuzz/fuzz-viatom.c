/*
 * Answers of a Viatom wearable with a checksum that fits, which fuzz-protocol would not guess, cut
 * into notifications: however they are cut, the readings are the same, and in bounds.
 *
 *	0 size of a notification   1 b0: the ring's language   2- data of the answer
 */
#include "decode/viatom.c" /* for its checksum */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                  \
	do {                              \
		if (!(condition))         \
			__builtin_trap(); \
	} while (0)

struct seen {
	unsigned n;
	uint64_t sum;
};

static struct decoder decoder;

static void on_reading(void *userdata, const struct reading *r)
{
	struct seen *seen = userdata;
	const struct record *record = r->record;

	seen->n++;
	if (record->type == RECORD_HEART_RATE)
		seen->sum += record->heart_rate.bpm;
	else if (record->type == RECORD_SAMPLES)
		seen->sum += (uint32_t)record->samples.value[0];
	for (uint32_t i = 0; record->type == RECORD_ECG && i < record->ecg.n; i++)
		seen->sum += (uint64_t)record->ecg.uv[i] * (i + 1);
	CHECK(r->n >= 1 && r->n <= ECG_SAMPLES_MAX && (r->n == 1 || r->nominal_dt_ns));
}

static int send(const uint8_t *message, size_t size, size_t cut, struct seen *ret)
{
	const struct reading_handler handler = {ret, on_reading};
	int r = 0;

	memset(&decoder, 0, sizeof(decoder));
	*ret = (struct seen){0};
	for (size_t at = 0; at < size && r == 0; at += cut) {
		struct decode_error error = {.at = SIZE_MAX};
		struct frame f = {.characteristic = CHARACTERISTIC_VIATOM_DATA,
				  .data = message + at,
				  .size = MIN(cut, size - at)};

		r = decode(&decoder, &f, &handler, &error);
		CHECK(r >= 0 && (r == 0 || (error.at <= f.size && error.what[0])));
	}
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t message[MESSAGE_MAX];
	struct seen whole, cut;
	size_t n;
	int r;

	if (size < 2 || size - 2 > MESSAGE_MAX - HEAD_SIZE - CRC_SIZE)
		return 0;
	n = size - 2;
	message[0] = data[1] & 1 ? RING_HEAD : ECG_HEAD;
	message[1] = data[1] & 1 ? RING_OK : ECG_PRESENT;
	message[2] = (uint8_t)~message[1];
	message[LENGTH_AT] = (uint8_t)n;
	message[LENGTH_AT + 1] = (uint8_t)(n >> 8);
	memcpy(message + HEAD_SIZE, data + 2, n);
	message[HEAD_SIZE + n] = crc8(message, HEAD_SIZE + n);
	n += HEAD_SIZE + CRC_SIZE;
	r = send(message, n, n, &whole);
	CHECK(r == 0 || whole.n == 0);
	/* A part that looks like a beginning is taken for one: then nothing is compared. */
	for (size_t at = 1; at < n; at++)
		if (begins_anew(message + at, n - at))
			return 0;
	if (send(message, n, 3 + data[0], &cut) == r)
		CHECK(cut.n == whole.n && cut.sum == whole.sum);
	else
		__builtin_trap();
	return 0;
}
