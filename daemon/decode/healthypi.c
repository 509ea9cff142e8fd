/*
 * ProtoCentral HealthyPi Move and 5: the ECG of their own service (firmware at
 * github.com/Protocentral/protocentral_healthypi_move). A notification is an array of 8 to 16 s32,
 * little-endian, counts of the MAX30001 converter at 128 Hz; no scale is sent and no time. Heart
 * rate, oximetry and temperature come by the standard services, which these wearables have as well.
 */
#include "decode/protocol.h"
#include "util/bytes.h"

enum { SAMPLE_SIZE = 4, DT_NS = 1000000000 / 128 };

static int decode(struct decoder *d, const struct frame *f, const struct reading_handler *handler,
		  struct decode_error *error)
{
	struct samples *s = &d->record.samples;
	struct reading reading = {.kind = KIND_ECG_COUNTS,
				  .record = &d->record,
				  .nominal_dt_ns = DT_NS};
	struct bytes b = bytes_make(f->data, f->size);

	if (f->size == 0 || f->size % SAMPLE_SIZE != 0 || f->size > FRAME_MAX)
		return decode_fail(error, DECODE_E_MALFORMED, MIN(f->size, (size_t)FRAME_MAX),
				   "expected samples of 4 bytes, one at least");
	d->record.type = RECORD_SAMPLES;
	*s = (struct samples){.unit = UNIT_COUNT,
			      .n_channels = 1,
			      .n = (uint32_t)(f->size / SAMPLE_SIZE)};
	for (uint32_t i = 0; i < s->n; i++) {
		int32_t count = (int32_t)bytes_sle(&b, SAMPLE_SIZE);

		s->value[i] = MAX(count, SAMPLES_NONE + 1); /* the lowest count is a count */
	}
	reading.n = s->n;
	handler->reading(handler->userdata, &reading);
	return 0;
}

/* An ECG of the wrist is taken when its wearer touches it: silence says nothing. */
static const struct profile_characteristic characteristics[] = {
	{CHARACTERISTIC_HEALTHYPI_ECG, PROFILE_NOTIFY, 1 << KIND_ECG_COUNTS, 0},
};

const struct protocol protocol_healthypi = {
	.profile = {.name = "healthypi",
		    .title = "HealthyPi ECG",
		    .service = "00001122-0000-1000-8000-00805f9b34fb",
		    .characteristics = characteristics,
		    .n_characteristics = ARRAY_SIZE(characteristics)},
	.decode = decode,
};
