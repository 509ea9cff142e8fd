/*
 * Protocol buffers, by hand: a message is fields, each a tag (number << 3 | type) and a value.
 *
 *	type 0: varint    1: 8 bytes    2: length, bytes    5: 4 bytes      others are not in use
 *
 *	PbPFtpDirectory    1 entry: {1 name, 2 size} ...
 *	RecordingStatus    1 recording (bool)   2 name
 *	PbExerciseSamples  1 interval: PbDuration {1 h, 2 min, 3 s, 4 ms}
 *	                   2 heart rates (packed varints)   28 {1 intervals in ms (packed varints)}
 *	PbPFtpOperation    1 operation   2 path
 *	StartRecording     1 sample type (1 heart rate, 16 intervals)   2 interval: PbDuration   3 name
 *
 * A field that is not known is skipped, one that comes again counts (packed ones are appended), as
 * the format wants it. What is behind a broken field cannot be found: the whole is malformed then.
 */
#include "decode/polar_file.h"

#include "util/bytes.h"

enum wire { VARINT = 0, FIXED64 = 1, LENGTH = 2, FIXED32 = 5 };
enum { SAMPLE_TYPE_BEATS = 16, INTERVAL_MAX_MS = 3600 * 1000, VALUE_MAX = 0xffff };

struct field {
	uint64_t number;
	enum wire type;
	uint64_t value;	   /* VARINT */
	struct bytes body; /* LENGTH */
};

/* False: the end, or `b` has failed. */
static bool next_field(struct bytes *b, struct field *ret)
{
	uint64_t tag, size;
	const uint8_t *p;

	if (b->failed || bytes_left(b) == 0)
		return false;
	tag = bytes_varint(b);
	*ret = (struct field){.number = tag >> 3, .type = tag & 7};
	switch (ret->type) {
	case VARINT: ret->value = bytes_varint(b); break;
	case FIXED64: (void)bytes_take(b, 8); break; /* of no field that we know */
	case FIXED32: (void)bytes_take(b, 4); break;
	case LENGTH:
		size = bytes_varint(b);
		p = bytes_take(b, (size_t)MIN(size, (uint64_t)b->size + 1));
		ret->body = bytes_make(p, p ? (size_t)size : 0);
		break;
	default: b->failed = true;
	}
	return !b->failed;
}

static bool next_body(struct bytes *b, uint64_t number, struct bytes *ret)
{
	struct field f;

	while (next_field(b, &f))
		if (f.number == number && f.type == LENGTH) {
			*ret = f.body;
			return true;
		}
	return false;
}

bool polar_next_entry(const void *directory, size_t size, size_t *at, struct polar_entry *ret)
{
	struct bytes b = {.data = directory, .size = size, .at = *at}, entry;
	struct field f;

	*ret = (struct polar_entry){.name = ""};
	if (!next_body(&b, 1, &entry))
		return false;
	while (next_field(&entry, &f)) {
		if (f.number == 1 && f.type == LENGTH && f.body.data) {
			ret->name = (const char *)f.body.data;
			ret->n_name = f.body.size;
		}
		if (f.number == 2 && f.type == VARINT)
			ret->size = f.value;
	}
	*at = b.at;
	return !entry.failed;
}

void polar_name(const void *name, size_t size, char ret[static POLAR_NAME_MAX + 1])
{
	const uint8_t *from = name;
	size_t n = MIN(size, POLAR_NAME_MAX);

	for (size_t i = 0; i < n; i++)
		ret[i] = from[i] > ' ' && from[i] < 0x7f ? (char)from[i] : '?';
	ret[n] = '\0';
}

int polar_status_decode(const void *data, size_t size, struct polar_status *ret,
			struct decode_error *error)
{
	struct bytes b = bytes_make(data, size);
	struct polar_status status = {0};
	struct field f;

	while (next_field(&b, &f)) {
		if (f.number == 1 && f.type == VARINT)
			status.recording = f.value != 0;
		if (f.number == 2 && f.type == LENGTH)
			polar_name(f.body.data, f.body.size, status.name);
	}
	if (b.failed)
		return decode_fail(error, DECODE_E_MALFORMED, b.at,
				   "no recording status: a field is broken");
	*ret = status;
	return 0;
}

static bool read_duration(struct bytes *b, uint32_t *ret_ms)
{
	static const uint32_t unit_ms[] = {0, 3600 * 1000, 60 * 1000, 1000, 1};
	uint64_t sum = 0;
	struct field f;

	while (next_field(b, &f)) {
		if (f.type != VARINT || f.number < 1 || f.number > 4)
			continue;
		if (f.value > INTERVAL_MAX_MS)
			return false;
		sum += f.value * unit_ms[f.number];
	}
	*ret_ms = (uint32_t)MIN(sum, INTERVAL_MAX_MS);
	return !b->failed && sum <= INTERVAL_MAX_MS;
}

static bool append(uint64_t value, uint16_t *values, size_t *n)
{
	if (value > VALUE_MAX)
		return false;
	values[(*n)++] = (uint16_t)value;
	return true;
}

/* Packed, or one field each, as older encoders have it. */
static bool read_values(const struct field *f, uint16_t *values, size_t *n)
{
	struct bytes b = f->body;

	if (f->type == VARINT)
		return append(f->value, values, n);
	if (f->type != LENGTH)
		return false;
	while (bytes_left(&b) > 0) {
		uint64_t value = bytes_varint(&b);

		if (b.failed || !append(value, values, n))
			return false;
	}
	return true;
}

static bool read_beats(struct bytes *b, uint16_t *values, size_t *n)
{
	struct field f;

	while (next_field(b, &f))
		if (f.number == 1 && !read_values(&f, values, n))
			return false;
	return !b->failed;
}

/* Heart rates in one pass, intervals in another: they stand one behind the other. */
static bool read_all(struct bytes *b, bool beats, uint16_t *values, size_t *n, uint32_t *interval)
{
	struct field f;
	bool ok = true;

	while (ok && next_field(b, &f)) {
		if (!beats && f.number == 1 && f.type == LENGTH)
			ok = read_duration(&f.body, interval);
		else if (!beats && f.number == 2)
			ok = read_values(&f, values, n);
		else if (beats && f.number == 28 && f.type == LENGTH)
			ok = read_beats(&f.body, values, n);
	}
	return ok && !b->failed;
}

int polar_samples_decode(const void *data, size_t size, uint16_t *ret_values,
			 struct polar_samples *ret, struct decode_error *error)
{
	struct bytes rates = bytes_make(data, size), beats = rates;
	struct polar_samples s = {0};

	if (!read_all(&rates, false, ret_values, &s.n_bpm, &s.interval_ms))
		return decode_fail(error, DECODE_E_MALFORMED, rates.at,
				   "a field is broken, or too large");
	if (!read_all(&beats, true, ret_values + s.n_bpm, &s.n_rr, &s.interval_ms))
		return decode_fail(error, DECODE_E_MALFORMED, beats.at,
				   "a field is broken, or too large");
	*ret = s;
	return 0;
}

/* --- requests --- */

struct request {
	uint8_t data[PSFTP_MESSAGE_MAX];
	size_t size;
	bool full;
};

static void put(struct request *r, const void *data, size_t size)
{
	r->full |= size > sizeof(r->data) - r->size;
	if (r->full)
		return;
	memcpy(r->data + r->size, data, size);
	r->size += size;
}

static void put_varint(struct request *r, unsigned number, uint8_t value)
{
	const uint8_t field[] = {(uint8_t)(number << 3 | VARINT), value}; /* all are below 128 */

	put(r, field, sizeof(field));
}

static void put_text(struct request *r, unsigned number, const char *text)
{
	size_t size = strlen(text);
	const uint8_t head[] = {(uint8_t)(number << 3 | LENGTH), (uint8_t)size};

	r->full |= size > 127; /* a length of one byte */
	put(r, head, sizeof(head));
	put(r, text, size);
}

bool polar_operation(struct psftp_writer *w, enum psftp_operation operation, const char *path)
{
	struct request r = {.size = 0};

	put_varint(&r, 1, (uint8_t)operation);
	put_text(&r, 2, path);
	return !r.full && psftp_request(w, r.data, r.size);
}

bool polar_start_beats(struct psftp_writer *w, const char *name)
{
	static const uint8_t one_second[] = {2 << 3 | LENGTH, 2, 3 << 3 | VARINT, 1};
	struct request r = {.size = 0};

	put_varint(&r, 1, SAMPLE_TYPE_BEATS);
	put(&r, one_second, sizeof(one_second)); /* of no meaning here, but it is wanted */
	put_text(&r, 3, name);
	return !r.full && psftp_query(w, PSFTP_START_RECORDING, r.data, r.size);
}
