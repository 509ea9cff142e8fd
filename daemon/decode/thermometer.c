/*
 * Thermometers: Health Thermometer Service 1.0 (0x1809). 0x2A1C is indicated when a measurement is
 * done; 0x2A1E, of the same layout, is notified while the value still rises, and by patches that
 * measure all the time. Little-endian; FLOAT and Date Time as in decode/ieee11073.c.
 *
 *	0    flags          b0 degrees Fahrenheit, else Celsius   b1 time   b2 type
 *	1    temperature    FLOAT
 *	..   Date Time      if b1
 *	..   where it was measured (armpit, ear, ...)    if b2; not kept
 */
#include "decode/ieee11073.h"
#include "decode/protocol.h"

enum { FLAG_FAHRENHEIT = 1 << 0, FLAG_TIME = 1 << 1, FLAG_TYPE = 1 << 2 };

enum { STATUS_RISING = 1 << 0 };

static int decode(struct decoder *d, const struct frame *f, const struct reading_handler *handler,
		  struct decode_error *error)
{
	bool rising = f->characteristic == CHARACTERISTIC_TEMPERATURE_INTERMEDIATE;
	struct samples *s = &d->record.samples;
	struct reading reading = {.kind = KIND_TEMPERATURE, .record = &d->record, .n = 1};
	struct bytes b = bytes_make(f->data, f->size);
	uint8_t flags = bytes_u8(&b);

	d->record.type = RECORD_SAMPLES;
	*s = (struct samples){.unit = flags & FLAG_FAHRENHEIT ? UNIT_FAHRENHEIT : UNIT_CELSIUS,
			      .n_channels = 1,
			      .n = 1,
			      .status = rising ? STATUS_RISING : 0};
	ieee11073_set(s, 0, ieee11073_float(&b));
	if (flags & FLAG_TIME)
		s->sensor_ns = ieee11073_date_time(&b);
	if (flags & FLAG_TYPE)
		(void)bytes_u8(&b);
	if (b.failed)
		return decode_fail(error, DECODE_E_MALFORMED, f->size,
				   "expected a temperature and what the flags promise");
	reading.sensor_ns = s->sensor_ns;
	handler->reading(handler->userdata, &reading);
	return 0;
}

static const struct profile_characteristic characteristics[] = {
	{CHARACTERISTIC_TEMPERATURE, PROFILE_INDICATE, 1 << KIND_TEMPERATURE, 0},
	{CHARACTERISTIC_TEMPERATURE_INTERMEDIATE, PROFILE_NOTIFY, 1 << KIND_TEMPERATURE, 0},
};

const struct protocol protocol_thermometer = {
	.profile = {.name = "thermometer",
		    .title = "Health Thermometer",
		    .service = "00001809-0000-1000-8000-00805f9b34fb",
		    .advertised = true,
		    .enrolls = true,
		    .characteristics = characteristics,
		    .n_characteristics = ARRAY_SIZE(characteristics)},
	.decode = decode,
};
