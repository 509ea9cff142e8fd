/*
 * `vitalctl decode UUID HEX...` says what the bytes of one notification or one read value mean,
 * with the very decoders that the daemon uses: paste what btmon, gatttool or the journal shows.
 *
 *	$ vitalctl decode 2a37 16 3c 11 04
 *	{"bpm":60,"rr_1024":[1041],"contact":"contact"}
 *
 * A table maps a characteristic to the function that writes its JSON; what has none is decoded by its
 * protocol, and the readings that came of it are written. Output is one line, written whole or, when
 * anything is wrong, not at all; then stderr has a sentence that names the byte.
 * Acceleration that is compressed needs the factor that the sensor gave when it was started; nobody
 * types that, so it is taken as 1.
 */
#include "ctl/decode.h"

#include "decode/device_info.h"
#include "decode/heart_rate.h"
#include "decode/pmd.h"
#include "decode/protocol.h"
#include "util/json.h"

#include <math.h>
#include <stdio.h>

enum { STATUS_MALFORMED = 1, STATUS_USAGE = 2 };

enum { PMD_FEATURES = 0x0f, FEATURES_SIZE_MIN = 2 };

static const char help[] =
	"usage: vitalctl decode UUID HEX...\n"
	"\n"
	"Prints as JSON what the bytes of a notification, or of a value that was read,\n"
	"mean.\n"
	"\n"
	"  UUID  of the characteristic: 2a37, 0x2A37 or all 128 bits\n"
	"  HEX   its bytes, two digits each, in one word or several; colons and dashes\n"
	"        are fine\n"
	"\n"
	"  vitalctl decode 2a37 16 3c 11 04\n"
	"  vitalctl decode 2a19 64\n"
	"  vitalctl decode 2a24 50:6f:6c:61:72:20:48:31:30\n"
	"\n"
	"Exit status: 0 decoded, 1 malformed (stderr names the byte), 2 not understood.\n"
	"\n"
	"Known characteristics:\n";

static void write_heart_rate_fields(struct json *j, const struct heart_rate *h)
{
	json_key(j, "bpm");
	json_uint(j, h->bpm);
	json_key(j, "rr_1024");
	json_open(j, '[');
	for (size_t i = 0; i < h->n_rr; i++)
		json_uint(j, h->rr_1024[i]);
	json_close(j, ']');
	json_key(j, "contact");
	json_text(j, contact_name(h->contact));
	if (h->energy_kj >= 0) {
		json_key(j, "energy_kj");
		json_int(j, h->energy_kj);
	}
}

static int write_heart_rate(struct json *j, const uint8_t *data, size_t size,
			    struct decode_error *error)
{
	struct heart_rate h;
	int r = heart_rate_decode(data, size, &h, error);

	if (r == 0)
		write_heart_rate_fields(j, &h);
	return r;
}

static void write_microvolts(struct json *j, const struct ecg *ecg)
{
	json_key(j, "uv");
	json_open(j, '[');
	for (uint32_t i = 0; i < ecg->n; i++)
		json_int(j, ecg->uv[i]);
	json_close(j, ']');
}

static void write_number(struct json *j, int32_t mantissa, int8_t exponent)
{
	if (mantissa == SAMPLES_NONE)
		json_none(j);
	else if (exponent == 0)
		json_int(j, mantissa);
	else if (exponent < 0)
		json_double(j, mantissa / pow(10, -exponent)); /* 376 / 10 is 37.6 */
	else
		json_double(j, mantissa * pow(10, exponent));
}

static void write_rows(struct json *j, const struct samples *s)
{
	json_key(j, "unit");
	json_text(j, unit_name(s->unit));
	json_key(j, "status");
	json_uint(j, s->status);
	json_key(j, "rows");
	json_open(j, '[');
	for (uint32_t row = 0; row < s->n; row++) {
		json_open(j, '[');
		for (size_t c = 0; c < s->n_channels; c++)
			write_number(j, s->value[row * s->n_channels + c], s->exponent[c]);
		json_close(j, ']');
	}
	json_close(j, ']');
}

static void write_reading(void *userdata, const struct reading *reading)
{
	struct json *j = userdata;

	json_open(j, '{');
	json_key(j, "kind");
	json_text(j, kind_name(reading->kind));
	if (reading->sensor_ns) {
		json_key(j, "t_ns");
		json_uint(j, reading->sensor_ns);
	}
	if (reading->record->type == RECORD_HEART_RATE)
		write_heart_rate_fields(j, &reading->record->heart_rate);
	else if (reading->record->type == RECORD_ECG)
		write_microvolts(j, &reading->record->ecg);
	else
		write_rows(j, &reading->record->samples);
	json_close(j, '}');
}

/* By its protocol, as if it were the first frame of a link. */
static int write_readings(struct json *j, enum characteristic c, const uint8_t *data, size_t size,
			  struct decode_error *error)
{
	static struct decoder decoder; /* large: not on the stack */
	const struct frame f = {.device = "", .characteristic = c, .data = data, .size = size};
	const struct reading_handler handler = {j, write_reading};
	int r;

	memset(&decoder, 0, sizeof(decoder));
	json_key(j, "readings");
	json_open(j, '[');
	r = protocol_of(c)->decode(&decoder, &f, &handler, error);
	json_close(j, ']');
	return r;
}

static int write_body_location(struct json *j, const uint8_t *data, size_t size,
			       struct decode_error *error)
{
	uint8_t location;
	int r = body_location_decode(data, size, &location, error);

	if (r != 0)
		return r;
	json_key(j, "body_sensor_location");
	json_text(j, body_location_name(location));
	json_key(j, "value");
	json_uint(j, location);
	return 0;
}

static int write_battery(struct json *j, const uint8_t *data, size_t size,
			 struct decode_error *error)
{
	uint8_t percent;
	int r = battery_decode(data, size, &percent, error);

	if (r != 0)
		return r;
	json_key(j, "battery_percent");
	json_uint(j, percent);
	return 0;
}

static int write_string(struct json *j, const char *key, const uint8_t *data, size_t size,
			struct decode_error *error)
{
	char text[DEVICE_STRING_SIZE];
	int r = device_string_decode(data, size, text, error);

	if (r != 0)
		return r;
	json_key(j, key);
	json_text(j, text);
	return 0;
}

#define STRING_WRITER(name)                                                       \
	static int write_##name(struct json *j, const uint8_t *data, size_t size, \
				struct decode_error *error)                       \
	{                                                                         \
		return write_string(j, #name, data, size, error);                 \
	}

STRING_WRITER(manufacturer_name)
STRING_WRITER(model_number)
STRING_WRITER(serial_number)
STRING_WRITER(firmware_revision)
STRING_WRITER(hardware_revision)
STRING_WRITER(software_revision)

static void write_pmd_head(struct json *j, const char *kind, uint64_t ts_ns)
{
	json_key(j, "kind");
	json_text(j, kind);
	json_key(j, "t_ns");
	json_uint(j, ts_ns);
}

static int write_ecg(struct json *j, const uint8_t *data, size_t size, struct decode_error *error)
{
	struct ecg ecg;
	int r = pmd_ecg_decode(data, size, &ecg, error);

	if (r != 0)
		return r;
	write_pmd_head(j, "ecg", ecg.sensor_ns);
	write_microvolts(j, &ecg);
	return 0;
}

static int write_acc(struct json *j, const uint8_t *data, size_t size, struct decode_error *error)
{
	struct samples acc;
	int r = pmd_acc_decode(data, size, 1, &acc, error);

	if (r != 0)
		return r;
	write_pmd_head(j, "acc", acc.sensor_ns);
	json_key(j, "mg");
	json_open(j, '[');
	for (uint32_t i = 0; i < acc.n; i++) {
		json_open(j, '[');
		for (size_t axis = 0; axis < 3; axis++)
			json_int(j, acc.value[3 * i + axis]);
		json_close(j, ']');
	}
	json_close(j, ']');
	return 0;
}

static int write_pmd_data(struct json *j, const uint8_t *data, size_t size,
			  struct decode_error *error)
{
	struct pmd_header header;
	int r = pmd_header_decode(data, size, &header, error);

	if (r != 0)
		return r;
	switch (header.type) {
	case PMD_ECG: return write_ecg(j, data, size, error);
	case PMD_ACC: return write_acc(j, data, size, error);
	default: return write_readings(j, CHARACTERISTIC_PMD_DATA, data, size, error);
	}
}

/* Bit i of the octets after 0f: measurement type i. */
static int write_features(struct json *j, const uint8_t *data, size_t size,
			  struct decode_error *error)
{
	unsigned mask;

	if (size < FEATURES_SIZE_MIN)
		return decode_fail(error, DECODE_E_MALFORMED, size,
				   "expected a byte of features after 0f");
	mask = data[1] | (size > 2 ? (unsigned)data[2] << 8 : 0);
	json_key(j, "features");
	json_open(j, '[');
	for (uint8_t type = 0; type < 16; type++)
		if (mask & 1U << type)
			json_text(j, pmd_type_name(type));
	json_close(j, ']');
	return 0;
}

static int write_answer(struct json *j, const uint8_t *data, size_t size,
			struct decode_error *error)
{
	char params[2 * FRAME_MAX + 1] = "";
	struct pmd_answer answer;
	int r = pmd_answer_decode(data, size, &answer, error);

	if (r != 0)
		return r;
	for (size_t i = 0; i < answer.n_params; i++)
		(void)snprintf(params + 2 * i, 3, "%02x", answer.params[i]); /* always fits */
	json_key(j, "op");
	json_uint(j, answer.op);
	json_key(j, "type");
	json_uint(j, answer.type);
	json_key(j, "error");
	json_uint(j, answer.error);
	json_key(j, "error_name");
	json_text(j, pmd_error_name(answer.error));
	json_key(j, "params");
	json_text(j, params);
	return 0;
}

static int write_pmd_control(struct json *j, const uint8_t *data, size_t size,
			     struct decode_error *error)
{
	if (size > 0 && data[0] == PMD_FEATURES)
		return write_features(j, data, size, error);
	if (size > 0 && data[0] == 0xf0)
		return write_answer(j, data, size, error);
	return decode_fail(error, DECODE_E_MALFORMED, 0,
			   "expected 0xf0 (an answer) or 0x0f (features)");
}

/* How those that people know best are written; the others are readings. */
static int (*const writers[CHARACTERISTIC_MAX_])(struct json *j, const uint8_t *data, size_t size,
						 struct decode_error *error) = {
	[CHARACTERISTIC_HEART_RATE_MEASUREMENT] = write_heart_rate,
	[CHARACTERISTIC_BODY_SENSOR_LOCATION] = write_body_location,
	[CHARACTERISTIC_BATTERY_LEVEL] = write_battery,
	[CHARACTERISTIC_MANUFACTURER_NAME] = write_manufacturer_name,
	[CHARACTERISTIC_MODEL_NUMBER] = write_model_number,
	[CHARACTERISTIC_SERIAL_NUMBER] = write_serial_number,
	[CHARACTERISTIC_FIRMWARE_REVISION] = write_firmware_revision,
	[CHARACTERISTIC_HARDWARE_REVISION] = write_hardware_revision,
	[CHARACTERISTIC_SOFTWARE_REVISION] = write_software_revision,
	[CHARACTERISTIC_PMD_CONTROL_POINT] = write_pmd_control,
	[CHARACTERISTIC_PMD_DATA] = write_pmd_data,
};

static void list_characteristics(FILE *to)
{
	for (int i = CHARACTERISTIC_UNKNOWN + 1; i < CHARACTERISTIC_MAX_; i++)
		if (protocol_of((enum characteristic)i))
			(void)fprintf(to, "  %-36s  %s\n",
				      characteristic_uuid((enum characteristic)i),
				      characteristic_name((enum characteristic)i));
}

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef", *at;

	if (c >= 'A' && c <= 'F')
		c = (char)(c - 'A' + 'a');
	at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

/*
 * One word: pairs of digits, separated or not. False, with a sentence, when it is something else.
 */
static bool read_hex(const char *word, struct buf *ret)
{
	const char *s = word;

	if (strncmp(s, "0x", 2) == 0 || strncmp(s, "0X", 2) == 0)
		s += 2;
	while (*s) {
		int high = hex_digit(s[0]), low;

		if (strchr(":- \t\n", *s)) {
			s++;
			continue;
		}
		low = high < 0 ? -1 : hex_digit(s[1]);
		if (low < 0) {
			(void)fprintf(
				stderr,
				"vitalctl decode: \"%s\" is not hexadecimal at character %zu: type "
				"two digits for each byte, as in 10:3c:11:04\n",
				word, (size_t)(s - word) + (high < 0 ? 1 : 2));
			return false;
		}
		buf_u8(ret, (uint8_t)(high << 4 | low));
		s += 2;
	}
	return true;
}

static void complain(enum characteristic c, const uint8_t *data, size_t size,
		     const struct decode_error *error)
{
	const char *name = characteristic_name(c);

	if (error->at < size)
		(void)fprintf(stderr, "vitalctl decode: %s: byte %zu is 0x%02x: %s\n", name,
			      error->at, data[error->at], error->what);
	else if (size > 0)
		(void)fprintf(stderr,
			      "vitalctl decode: %s: byte %zu is missing, the last is 0x%02x at "
			      "byte %zu: %s\n",
			      name, error->at, data[size - 1], size - 1, error->what);
	else
		(void)fprintf(stderr,
			      "vitalctl decode: %s: byte 0 is missing, there are none: %s\n", name,
			      error->what);
}

/* One line of JSON, or a sentence on stderr; an exit status. */
static int decode_value(enum characteristic c, const uint8_t *data, size_t size, FILE *out)
{
	struct decode_error error = {0};
	struct buf line = {0};
	struct json j = json_make(&line);
	int r;

	json_open(&j, '{');
	r = writers[c] ? writers[c](&j, data, size, &error)
		       : write_readings(&j, c, data, size, &error);
	json_close(&j, '}');
	buf_u8(&line, '\n');
	if (r != 0)
		complain(c, data, size, &error);
	else if (line.failed || fwrite(line.data, 1, line.size, out) != line.size ||
		 fflush(out) != 0)
		r = -EIO;
	buf_done(&line);
	return r == 0 ? 0 : STATUS_MALFORMED;
}

int command_decode(int argc, char **argv)
{
	struct buf bytes = {0};
	enum characteristic c;
	int status = 0;

	if (argc == 2 && (streq(argv[1], "--help") || streq(argv[1], "-h"))) {
		(void)fputs(help, stdout);
		list_characteristics(stdout);
		return 0;
	}
	if (argc < 3) {
		(void)fputs("vitalctl: decode needs a UUID and the bytes, as in\n"
			    "  vitalctl decode 2a37 16 3c 11 04\n"
			    "see `vitalctl decode --help`\n",
			    stderr);
		return STATUS_USAGE;
	}
	c = characteristic_parse(argv[1]);
	if (c == CHARACTERISTIC_UNKNOWN) {
		(void)fprintf(
			stderr,
			"vitalctl decode: \"%s\" is no UUID that can be decoded; type one of:\n",
			argv[1]);
		list_characteristics(stderr);
		return STATUS_USAGE;
	}
	for (int i = 2; i < argc && status == 0; i++)
		status = read_hex(argv[i], &bytes) ? 0 : STATUS_USAGE;
	if (status == 0)
		status = decode_value(c, bytes.data, bytes.size, stdout);
	buf_done(&bytes);
	return status;
}
