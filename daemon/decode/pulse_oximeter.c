/*
 * Pulse oximeters: Pulse Oximeter Service 1.0 (0x1822), layouts of 0x2A5E and 0x2A5F in the GATT
 * Specification Supplement. Little-endian; SFLOAT and Date Time as in decode/ieee11073.c.
 *
 *	2A5E, indicated when a measurement is done       2A5F, notified about each second
 *	0    flags                                       0    flags
 *	1    SpO2, %          SFLOAT                     1    SpO2            SFLOAT
 *	3    pulse rate       SFLOAT                     3    pulse rate      SFLOAT
 *	..   Date Time                     if b0         ..   both, fast      if b0
 *	..   measurement status    16      if b1         ..   both, slow      if b1
 *	..   device status         24      if b2         ..   measurement status  16    if b2
 *	..   pulse amplitude, %    SFLOAT  if b3         ..   device status       24    if b3
 *	     b4: its clock was never set                 ..   pulse amplitude           if b4
 *
 * The fast and the slow averages are the same pulse twice more: what is kept is the normal one. Of
 * the device status, 16 bits are defined. A finger that is not there gives NaN or a status, and is
 * handed on as that: when nothing could be measured is worth knowing.
 */
#include "decode/ieee11073.h"
#include "decode/protocol.h"

enum { FLAGS_SPOT, FLAGS_CONTINUOUS, N_FLAGS };

enum { TIME, FAST, SLOW, MEASUREMENT_STATUS, DEVICE_STATUS, AMPLITUDE, CLOCK_NOT_SET, N_FIELDS };

enum { SPO2, PULSE_RATE, PULSE_AMPLITUDE, N_CHANNELS };

/* Which flag says that a field is there. */
static const uint8_t flags_of[N_FLAGS][N_FIELDS] = {
	[FLAGS_SPOT] = {[TIME] = 1 << 0,
			[MEASUREMENT_STATUS] = 1 << 1,
			[DEVICE_STATUS] = 1 << 2,
			[AMPLITUDE] = 1 << 3,
			[CLOCK_NOT_SET] = 1 << 4},
	[FLAGS_CONTINUOUS] = {[FAST] = 1 << 0,
			      [SLOW] = 1 << 1,
			      [MEASUREMENT_STATUS] = 1 << 2,
			      [DEVICE_STATUS] = 1 << 3,
			      [AMPLITUDE] = 1 << 4},
};

static void read_fields(struct bytes *b, const uint8_t flags[static N_FIELDS], struct samples *ret)
{
	uint8_t present = bytes_u8(b);

	ieee11073_set(ret, SPO2, ieee11073_sfloat(b));
	ieee11073_set(ret, PULSE_RATE, ieee11073_sfloat(b));
	if (present & flags[TIME])
		ret->sensor_ns = ieee11073_date_time(b);
	if (present & flags[CLOCK_NOT_SET])
		ret->sensor_ns = 0;
	if (present & flags[FAST])
		(void)bytes_le32(b);
	if (present & flags[SLOW])
		(void)bytes_le32(b);
	if (present & flags[MEASUREMENT_STATUS])
		ret->status |= (uint32_t)bytes_le16(b) << 16;
	if (present & flags[DEVICE_STATUS])
		ret->status |= bytes_le(b, 3) & 0xffff;
	if (present & flags[AMPLITUDE]) {
		ieee11073_set(ret, PULSE_AMPLITUDE, ieee11073_sfloat(b));
		ret->n_channels = N_CHANNELS;
	}
}

static int decode(struct decoder *d, const struct frame *f, const struct reading_handler *handler,
		  struct decode_error *error)
{
	bool spot = f->characteristic == CHARACTERISTIC_PLX_SPOT_CHECK;
	struct samples *s = &d->record.samples;
	struct reading reading = {.kind = KIND_OXIMETRY, .record = &d->record, .n = 1};
	struct bytes b = bytes_make(f->data, f->size);

	d->record.type = RECORD_SAMPLES;
	*s = (struct samples){.unit = UNIT_PERCENT, .n_channels = PULSE_AMPLITUDE, .n = 1};
	read_fields(&b, flags_of[spot ? FLAGS_SPOT : FLAGS_CONTINUOUS], s);
	if (b.failed)
		return decode_fail(error, DECODE_E_MALFORMED, f->size,
				   "expected SpO2, pulse rate and what the flags promise");
	reading.sensor_ns = s->sensor_ns;
	handler->reading(handler->userdata, &reading);
	return 0;
}

static const struct profile_characteristic characteristics[] = {
	{CHARACTERISTIC_PLX_CONTINUOUS, PROFILE_NOTIFY, 1 << KIND_OXIMETRY, 0},
	{CHARACTERISTIC_PLX_SPOT_CHECK, PROFILE_INDICATE, 1 << KIND_OXIMETRY, 0},
};

const struct protocol protocol_pulse_oximeter = {
	.profile = {.name = "pulse_oximeter",
		    .title = "Pulse Oximeter",
		    .service = "00001822-0000-1000-8000-00805f9b34fb",
		    .advertised = true,
		    .enrolls = true,
		    .characteristics = characteristics,
		    .n_characteristics = ARRAY_SIZE(characteristics)},
	.decode = decode,
};
