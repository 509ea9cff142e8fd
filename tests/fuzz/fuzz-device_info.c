/* Any bytes as a battery level and as a string: the string is short, printable UTF-8, unpadded. */
#include "decode/device_info.h"
#include "model/frame.h"
#include "util/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                  \
	do {                              \
		if (!(condition))         \
			__builtin_trap(); \
	} while (0)

static void check_text(const char *text)
{
	size_t length = strlen(text), n;
	uint32_t code = 0;

	CHECK(length < DEVICE_STRING_SIZE);
	for (size_t at = 0; at < length; at += n) {
		n = utf8_character((const uint8_t *)text + at, length - at, &code);
		CHECK(n > 0 && code >= 0x20 && (code < 0x7f || code >= 0xa0));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct decode_error error = {.at = SIZE_MAX};
	char text[DEVICE_STRING_SIZE];
	uint8_t percent;

	if (battery_decode(data, size, &percent, &error) == 0)
		CHECK(size == 1 && percent <= 100);
	else
		CHECK(error.at <= size);
	if (device_string_decode(data, size, text, &error) == 0)
		check_text(text);
	else
		CHECK(size > FRAME_MAX);
	return 0;
}
