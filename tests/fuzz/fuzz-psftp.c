/*
 * Packets of a wearable, each after its size: what is put together is no longer than what came and
 * than it may be, and nothing goes on after an end. Then the same bytes are a request, which is read
 * back as it was, however it is cut.
 */
#include "decode/psftp.h"
#include "util/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                  \
	do {                              \
		if (!(condition))         \
			__builtin_trap(); \
	} while (0)

static void hear(const uint8_t *data, size_t size)
{
	struct bytes b = bytes_make(data, size);
	struct psftp_reader r = {0};
	size_t sum = 0;

	while (bytes_left(&b) > 0) {
		size_t wish = bytes_u8(&b), n = MIN(wish, bytes_left(&b));
		struct psftp_part part;
		int e = psftp_read(&r, bytes_take(&b, n), n, &part);

		CHECK(e >= 0 && e <= PSFTP_E_LARGE);
		if (e == 0) {
			CHECK(part.size < n && (part.last || part.error == 0));
			CHECK(!part.error || part.size == 0);
			sum += part.size;
			CHECK(r.size == sum && psftp_error_name(part.error)[0]);
		}
		if (e != 0 || part.last) {
			r = (struct psftp_reader){0};
			sum = 0;
		}
	}
}

static void say(const uint8_t *data, size_t size)
{
	uint8_t packet[PSFTP_MESSAGE_MAX + 1], together[PSFTP_MESSAGE_MAX];
	struct psftp_reader r = {0};
	struct psftp_part part = {0};
	struct psftp_writer w;
	size_t room = 2 + data[0] % 64, n;

	CHECK(psftp_request(&w, data, size) == (size <= PSFTP_MESSAGE_MAX - 2));
	if (size > PSFTP_MESSAGE_MAX - 2)
		return;
	while ((n = psftp_packet(&w, room, packet)) > 0) {
		CHECK(n <= room && !part.last && psftp_read(&r, packet, n, &part) == 0);
		memcpy(together + r.size - part.size, part.payload, part.size);
	}
	CHECK(part.last && r.size == size + 2 && together[0] == (uint8_t)size);
	CHECK(memcmp(together + 2, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	hear(data, size);
	if (size > 0)
		say(data, size);
	return 0;
}
