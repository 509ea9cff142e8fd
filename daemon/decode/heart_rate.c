/*
 * Heart Rate Measurement, the one thing that every chest strap sends, about once a second.
 * Heart Rate Service 1.0, 3.1; little-endian.
 *
 *	0     flags   b0 heart rate is 16 bits    b1 contact   b2 contact is supported
 *	              b3 energy expended follows  b4 RR intervals follow   b5-7 reserved
 *	1     heart rate, 8 or 16 bits, beats a minute
 *	..    energy expended, 16 bits, kJ since reset; stays at 0xFFFF       if b3
 *	..    RR intervals, 16 bits each, 1/1024 s, oldest first, to the end  if b4
 *
 * Straps in the field take liberties, so what can be read is read: b4 without a single interval, an
 * odd byte at the end, reserved flags, b1 without b2 (Polar's H10 sets it: contact is then unknown)
 * and a rate of 0 (no lock yet) are all valid. Only a value that ends inside a field is malformed,
 * and one longer than any notification.
 *
 * Thousands of these a second pass when many straps or an old capture are read: only what the value
 * holds is written to the result, the rest of its RR intervals is left as it was.
 */
#include "decode/heart_rate.h"

#include "decode/protocol.h"
#include "model/frame.h"
#include "util/bytes.h"

enum {
	FLAG_WIDE = 1 << 0,
	FLAG_CONTACT = 1 << 1,
	FLAG_CONTACT_SUPPORTED = 1 << 2,
	FLAG_ENERGY = 1 << 3,
	FLAG_RR = 1 << 4,
};

static int too_short(const uint8_t *data, size_t size, struct decode_error *error)
{
	unsigned wide = size > 0 && data[0] & FLAG_WIDE ? 1 : 0;

	if (size == 0)
		return decode_fail(error, DECODE_E_MALFORMED, size, "expected a byte of flags");
	if (size == 1 || (wide && size == 2))
		return decode_fail(error, DECODE_E_MALFORMED, size,
				   wide ? "expected a heart rate of 16 bits in bytes 1 and 2"
					: "expected a heart rate in byte 1");
	return decode_fail(error, DECODE_E_MALFORMED, size,
			   "expected the energy that the flags promise in bytes %u and %u",
			   2 + wide, 3 + wide);
}

static uint8_t contact_of(uint8_t flags)
{
	if (!(flags & FLAG_CONTACT_SUPPORTED))
		return CONTACT_UNSUPPORTED;
	return flags & FLAG_CONTACT ? CONTACT_YES : CONTACT_NONE;
}

int heart_rate_decode(const uint8_t *data, size_t size, struct heart_rate *ret,
		      struct decode_error *error)
{
	struct bytes b = bytes_make(data, size);
	uint16_t bpm, energy_kj = 0;
	uint8_t flags;

	if (size > FRAME_MAX)
		return decode_fail(error, DECODE_E_MALFORMED, FRAME_MAX,
				   "expected at most %d bytes, as in a notification", FRAME_MAX);
	if (size < 2)
		return too_short(data, size, error);
	flags = bytes_u8(&b);
	bpm = flags & FLAG_WIDE ? bytes_le16(&b) : bytes_u8(&b);
	if (flags & FLAG_ENERGY)
		energy_kj = bytes_le16(&b);
	if (b.failed)
		return too_short(data, size, error);

	ret->bpm = bpm;
	ret->contact = contact_of(flags);
	ret->energy_kj = flags & FLAG_ENERGY ? energy_kj : -1;
	ret->n_rr = flags & FLAG_RR ? (uint16_t)(bytes_left(&b) / 2) : 0;
	for (size_t i = 0; i < ret->n_rr; i++)
		ret->rr_1024[i] = bytes_le16(&b);
	return 0;
}

int body_location_decode(const uint8_t *data, size_t size, uint8_t *ret, struct decode_error *error)
{
	if (size != 1)
		return decode_fail(error, DECODE_E_MALFORMED, MIN(size, 1U),
				   "expected a body sensor location of exactly one byte");
	*ret = data[0];
	return 0;
}

const char *body_location_name(uint8_t location)
{
	static const char *const names[] = {"other", "chest",	 "wrist", "finger",
					    "hand",  "ear lobe", "foot"};

	return location < ARRAY_SIZE(names) ? names[location] : "reserved";
}

static int decode(struct decoder *d, const struct frame *f, const struct reading_handler *handler,
		  struct decode_error *error)
{
	struct reading reading = {.kind = KIND_HEART_RATE, .record = &d->record, .n = 1};
	uint8_t location;
	int r;

	if (f->characteristic == CHARACTERISTIC_BODY_SENSOR_LOCATION)
		return body_location_decode(f->data, f->size, &location, error);
	r = heart_rate_decode(f->data, f->size, &d->record.heart_rate, error);
	if (r != 0)
		return r;
	d->record.type = RECORD_HEART_RATE;
	handler->reading(handler->userdata, &reading);
	return 0;
}

/* A strap without contact may keep silent for a while; one that is worn speaks each second. */
static const struct profile_characteristic characteristics[] = {
	{CHARACTERISTIC_HEART_RATE_MEASUREMENT, PROFILE_NOTIFY, 1 << KIND_HEART_RATE,
	 10 * USEC_PER_SEC},
	{CHARACTERISTIC_BODY_SENSOR_LOCATION, PROFILE_READ, 0, 0},
};

const struct protocol protocol_heart_rate = {
	.profile = {.name = "heart_rate",
		    .title = "Heart Rate",
		    .service = "0000180d-0000-1000-8000-00805f9b34fb",
		    .advertised = true,
		    .enrolls = true,
		    .characteristics = characteristics,
		    .n_characteristics = ARRAY_SIZE(characteristics)},
	.decode = decode,
};
