/*
 * Blood pressure monitors: Blood Pressure Service 1.0 (0x1810). Little-endian; SFLOAT and Date Time
 * as in decode/ieee11073.c.
 *
 *	0    flags   b0 kPa, else mmHg   b1 time   b2 pulse rate   b3 user   b4 status
 *	1    systolic   3 diastolic   5 mean arterial     SFLOAT each
 *	..   Date Time           if b1
 *	..   pulse rate, SFLOAT  if b2
 *	..   user, 1 byte        if b3; not kept: whose it is the owner says
 *	..   status, 16 bits     if b4: b0 moved, b1 cuff loose, b2 irregular pulse, ...
 *
 * 0x2A36 has the same layout and tells the pressure of the cuff, in place of the systolic one, while
 * it is pumped up. That is no blood pressure of anybody and would look like one, so it is not
 * subscribed to, and where a capture has it, it is read and left.
 */
#include "decode/ieee11073.h"
#include "decode/protocol.h"

enum {
	FLAG_KPA = 1 << 0,
	FLAG_TIME = 1 << 1,
	FLAG_PULSE_RATE = 1 << 2,
	FLAG_USER = 1 << 3,
	FLAG_STATUS = 1 << 4,
};

enum { SYSTOLIC, DIASTOLIC, MEAN, PULSE_RATE, N_CHANNELS };

static void read_fields(struct bytes *b, struct samples *ret)
{
	uint8_t flags = bytes_u8(b);

	*ret = (struct samples){.unit = flags & FLAG_KPA ? UNIT_KPA : UNIT_MMHG,
				.n_channels = N_CHANNELS,
				.n = 1};
	ieee11073_set(ret, SYSTOLIC, ieee11073_sfloat(b));
	ieee11073_set(ret, DIASTOLIC, ieee11073_sfloat(b));
	ieee11073_set(ret, MEAN, ieee11073_sfloat(b));
	ieee11073_set(ret, PULSE_RATE, (struct decimal){.mantissa = SAMPLES_NONE});
	if (flags & FLAG_TIME)
		ret->sensor_ns = ieee11073_date_time(b);
	if (flags & FLAG_PULSE_RATE)
		ieee11073_set(ret, PULSE_RATE, ieee11073_sfloat(b));
	if (flags & FLAG_USER)
		(void)bytes_u8(b);
	if (flags & FLAG_STATUS)
		ret->status = bytes_le16(b);
}

static int decode(struct decoder *d, const struct frame *f, const struct reading_handler *handler,
		  struct decode_error *error)
{
	struct samples *s = &d->record.samples;
	struct reading reading = {.kind = KIND_BLOOD_PRESSURE, .record = &d->record, .n = 1};
	struct bytes b = bytes_make(f->data, f->size);

	d->record.type = RECORD_SAMPLES;
	read_fields(&b, s);
	if (b.failed)
		return decode_fail(error, DECODE_E_MALFORMED, f->size,
				   "expected three pressures and what the flags promise");
	if (f->characteristic == CHARACTERISTIC_CUFF_PRESSURE)
		return 0;
	reading.sensor_ns = s->sensor_ns;
	handler->reading(handler->userdata, &reading);
	return 0;
}

static const struct profile_characteristic characteristics[] = {
	{CHARACTERISTIC_BLOOD_PRESSURE, PROFILE_INDICATE, 1 << KIND_BLOOD_PRESSURE, 0},
	{CHARACTERISTIC_CUFF_PRESSURE, 0, 0, 0},
};

const struct protocol protocol_blood_pressure = {
	.profile = {.name = "blood_pressure",
		    .title = "Blood Pressure",
		    .service = "00001810-0000-1000-8000-00805f9b34fb",
		    .advertised = true,
		    .enrolls = true,
		    .characteristics = characteristics,
		    .n_characteristics = ARRAY_SIZE(characteristics)},
	.decode = decode,
};
