/*
 * Who the strap says it is, and how long it will last.
 *
 *	2A19         one byte, 0 to 100 %
 *	180A's       UTF-8 without a terminator; straps add NULs (Polar), blanks (Garmin) or leave
 *	strings      their flash unwritten (0xFF), and what they send ends up in terminals
 *
 * So a string is cleaned here, once: no control characters, no bytes that are not UTF-8, no
 * padding, and an end at a whole character. After that it can be logged, shown and put into JSON as
 * it is.
 */
#include "decode/device_info.h"

#include "decode/protocol.h"
#include "model/frame.h"
#include "util/utf8.h"

enum { PERCENT_MAX = 100 };

int battery_decode(const uint8_t *data, size_t size, uint8_t *ret_percent,
		   struct decode_error *error)
{
	if (size != 1)
		return decode_fail(error, DECODE_E_MALFORMED, MIN(size, 1U),
				   "expected a battery level of exactly one byte");
	if (data[0] > PERCENT_MAX)
		return decode_fail(error, DECODE_E_MALFORMED, 0,
				   "expected a battery level of 0 to 100 percent (0x64)");
	*ret_percent = data[0];
	return 0;
}

/* C0, DEL and C1: what a terminal may obey. */
static bool is_control(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

static size_t without_padding(const uint8_t *data, size_t size)
{
	while (size > 0 && (data[size - 1] == '\0' || data[size - 1] == ' '))
		size--;
	return size;
}

int device_string_decode(const uint8_t *data, size_t size, char ret[static DEVICE_STRING_SIZE],
			 struct decode_error *error)
{
	size_t length = 0;

	if (size > FRAME_MAX)
		return decode_fail(error, DECODE_E_MALFORMED, FRAME_MAX,
				   "expected at most %d bytes, as an attribute holds", FRAME_MAX);
	size = without_padding(data, size);
	for (size_t at = 0; at < size;) {
		uint32_t code = 0;
		size_t n = utf8_character(data + at, size - at, &code);
		bool kept = n > 0 && !is_control(code);
		size_t n_out = kept ? n : 1;

		if (length + n_out >= DEVICE_STRING_SIZE)
			break;
		if (kept)
			memcpy(ret + length, data + at, n);
		else
			ret[length] = '?';
		length += n_out;
		at += MAX(n, 1U);
	}
	ret[length] = '\0';
	return 0;
}

/* None of this is a measurement: it is checked here, and taken by whoever shows the wearable. */
static int decode_battery(struct decoder *d, const struct frame *f,
			  const struct reading_handler *handler, struct decode_error *error)
{
	uint8_t percent;

	return battery_decode(f->data, f->size, &percent, error);
}

static int decode_string(struct decoder *d, const struct frame *f,
			 const struct reading_handler *handler, struct decode_error *error)
{
	char text[DEVICE_STRING_SIZE];

	return device_string_decode(f->data, f->size, text, error);
}

static const struct profile_characteristic battery[] = {
	{CHARACTERISTIC_BATTERY_LEVEL, PROFILE_READ | PROFILE_NOTIFY, 0, 0},
};

static const struct profile_characteristic strings[] = {
	{CHARACTERISTIC_MANUFACTURER_NAME, PROFILE_READ, 0, 0},
	{CHARACTERISTIC_MODEL_NUMBER, PROFILE_READ, 0, 0},
	{CHARACTERISTIC_SERIAL_NUMBER, PROFILE_READ, 0, 0},
	{CHARACTERISTIC_FIRMWARE_REVISION, PROFILE_READ, 0, 0},
	{CHARACTERISTIC_HARDWARE_REVISION, PROFILE_READ, 0, 0},
	{CHARACTERISTIC_SOFTWARE_REVISION, PROFILE_READ, 0, 0},
};

const struct protocol protocol_battery = {
	.profile = {.name = "battery",
		    .title = "Battery",
		    .service = "0000180f-0000-1000-8000-00805f9b34fb",
		    .characteristics = battery,
		    .n_characteristics = ARRAY_SIZE(battery)},
	.decode = decode_battery,
};

const struct protocol protocol_device_info = {
	.profile = {.name = "device_info",
		    .title = "Device Information",
		    .service = "0000180a-0000-1000-8000-00805f9b34fb",
		    .characteristics = strings,
		    .n_characteristics = ARRAY_SIZE(strings)},
	.decode = decode_string,
};
