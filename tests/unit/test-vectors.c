/*
 * The decoders against payloads of other people's test suites and of real straps, where a
 * collection of them lies beside the project (../shared/data/vectors.json; VECTORS names another
 * folder). Without it the tests are skipped. Everything goes through the functions of `vitalctl
 * decode`, so what is compared is what a person would see.
 *
 * Where a suite is stricter than straps in the field, decode/heart_rate.c decides: RR intervals
 * that are announced and absent are not an error.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/decode.c" /* vitalctl's files are in no library */
#include "decode/timeline.h"

#include <jansson.h>

#define PMD_DATA    "fb005c82-02e7-f387-1cad-8acd2d8df0c8"
#define PMD_CONTROL "fb005c81-02e7-f387-1cad-8acd2d8df0c8"

static const char *path_of(const char *name)
{
	static char path[512];
	const char *folder = getenv("VECTORS");

	(void)snprintf(path, sizeof(path), "%s/%s", folder ? folder : "../shared/data", name);
	return path;
}

static FILE *open_or_skip(const char *name)
{
	FILE *f = fopen(path_of(name), "re");

	if (!f) {
		print_message("skipped: no %s\n", path_of(name));
		skip();
	}
	return f;
}

/* What `vitalctl decode uuid hex` prints, or NULL where it refuses. */
static json_t *decode(const char *uuid, const char *hex)
{
	FILE *f = tmpfile();
	struct buf bytes = {0};
	json_t *json = NULL;

	assert_non_null(f);
	assert_true(read_hex(hex, &bytes));
	if (decode_value(characteristic_parse(uuid), bytes.data, bytes.size, f) == 0) {
		rewind(f);
		json = json_loadf(f, 0, NULL);
		assert_non_null(json);
	}
	buf_done(&bytes);
	assert_int_equal(fclose(f), 0);
	return json;
}

static const char *text(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

/* Compares one key of what we print with another of what was expected, if that has it. */
static void compare(const json_t *got, const char *key, const json_t *expected,
		    const char *their_key)
{
	const json_t *theirs = json_object_get(expected, their_key);

	if (theirs && !json_equal(json_object_get(got, key), theirs))
		fail_msg("%s: printed %s, expected %s", key,
			 json_dumps(json_object_get(got, key), JSON_ENCODE_ANY),
			 json_dumps(theirs, JSON_ENCODE_ANY));
}

static void check_heart_rate(const json_t *vector, const json_t *expected)
{
	const char *contact = text(expected, "contact");
	json_t *got = decode("2a37", text(vector, "hex"));

	if (json_is_false(json_object_get(expected, "valid")) &&
	    !streq(text(vector, "hex"), "170101")) {
		assert_null(got);
		return;
	}
	assert_non_null(got);
	compare(got, "bpm", expected, "bpm");
	compare(got, "rr_1024", expected, "rr_1024");
	compare(got, "energy_kj", expected, "energy_kj");
	if (*contact)
		assert_string_equal(text(got, "contact"),
				    streq(contact, "no_contact") ? "no contact" : contact);
	json_decref(got);
}

/* Raw numbers of a converter, one key of each sample, as our microvolts. */
static void compare_samples(const json_t *got, const json_t *samples, const char *key)
{
	size_t i;
	json_t *sample;

	json_array_foreach(samples, i, sample)
	{
		if (json_object_get(sample, key))
			assert_true(json_equal(json_object_get(sample, key),
					       json_array_get(json_object_get(got, "uv"), i)));
	}
}

/* Expected triples, as far as they are given; ours are a thousand times as many where in g. */
static void compare_axes(const json_t *got, const json_t *expected, json_int_t times)
{
	size_t i, axis;
	json_t *triple, *value;

	json_array_foreach(expected, i, triple)
	{
		const json_t *ours = json_array_get(json_object_get(got, "mg"), i);

		json_array_foreach(triple, axis, value)
			assert_int_equal(json_integer_value(json_array_get(ours, axis)),
					 times * json_integer_value(value));
	}
}

static bool check_pmd(const json_t *vector, const json_t *expected)
{
	const char *hex = text(vector, "hex");
	bool in_g = strlen(hex) > 20 && strncmp(hex + 18, "80", 2) == 0;
	json_t *got;

	if (strncmp(hex, "00", 2) != 0 && strncmp(hex, "02", 2) != 0)
		return false;
	got = decode(PMD_DATA, hex);
	assert_non_null(got);
	compare(got, "t_ns", expected, "timestamp_ns");
	compare(got, "uv", expected, "uv");
	compare_samples(got, json_object_get(expected, "samples"), "raw");
	compare_samples(got, json_object_get(expected, "samples"), "data0");
	compare_axes(got, json_object_get(expected, "mg"), 1);
	compare_axes(got, json_object_get(expected, "raw"), in_g ? 1000 : 1);
	json_decref(got);
	return true;
}

static bool check_control(const json_t *vector, const json_t *expected)
{
	json_t *got;

	if (strncmp(text(vector, "hex"), "f0", 2) != 0)
		return false;
	got = decode(PMD_CONTROL, text(vector, "hex"));
	assert_non_null(got);
	compare(got, "op", expected, "op");
	compare(got, "type", expected, "type");
	compare(got, "error", expected, "error");
	compare(got, "params", expected, "params");
	json_decref(got);
	return true;
}

static uint64_t number(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

/* prev, ts, n and rate to the time of each sample: dt and the first one must give them. */
static bool check_timeline(const json_t *expected)
{
	uint64_t prev = number(expected, "prev"), ts = number(expected, "ts"),
		 n = number(expected, "n");
	const json_t *out = json_object_get(expected, "out");
	struct timeline t;
	struct timing timing;

	timeline_reset(&t, (uint32_t)(1000000000 / number(expected, "rate")));
	timeline_step(&t, prev, 1, 0, &timing);
	timeline_step(&t, ts, (uint32_t)n, (int64_t)((ts - prev) / 1000), &timing);
	if (timing.kind != TIMING_CONTINUES)
		return false; /* spaced by 2/3 of the rate: no continuation for us */
	for (size_t i = 0; i < n; i++) {
		int64_t theirs =
			(int64_t)json_integer_value(json_array_get(out, i)) - (int64_t)prev;

		assert_int_equal(timing.first_us + (int64_t)i * timing.dt_ns / 1000, theirs / 1000);
	}
	return true;
}

/* The numbers of the first row, by the names that the vectors give them. */
static bool check_health(const json_t *vector, const json_t *expected, const char *const *names)
{
	const json_t *reading, *row;
	json_t *got = decode(text(vector, "characteristic"), text(vector, "hex"));

	if (json_is_false(json_object_get(expected, "valid"))) {
		assert_null(got);
		return true;
	}
	assert_non_null(got);
	reading = json_array_get(json_object_get(got, "readings"), 0);
	row = json_array_get(json_object_get(reading, "rows"), 0);
	for (size_t i = 0; names[i]; i++)
		if (json_object_get(expected, names[i]))
			assert_true(json_number_value(json_array_get(row, i)) ==
				    json_number_value(json_object_get(expected, names[i])));
	if (!streq(text(vector, "characteristic"), "2a1c")) /* its status is ours */
		compare(reading, "status", expected, "status");
	if (streq(text(expected, "unit"), "kPa"))
		assert_string_equal(text(reading, "unit"), "kPa");
	json_decref(got);
	return true;
}

/* Light and beats, whose rows must begin with what the vector has. */
static bool check_rows(const json_t *vector, const json_t *expected)
{
	const char *hex = text(vector, "hex");
	const json_t *rows = json_object_get(expected, "ppg"), *ours;
	json_t *got, *row, *value;
	size_t i, c;

	if (strncmp(hex, "01", 2) != 0)
		return false;
	if (!rows)
		rows = json_object_get(expected, "raw");
	got = decode(PMD_DATA, hex);
	assert_non_null(got);
	ours = json_object_get(json_array_get(json_object_get(got, "readings"), 0), "rows");
	json_array_foreach(rows, i, row)
	{
		json_array_foreach(row, c, value)
			assert_true(json_equal(value, json_array_get(json_array_get(ours, i), c)));
	}
	json_decref(got);
	return true;
}

static bool check_beats(const json_t *vector, const json_t *expected)
{
	static const char *const names[] = {"hr", "pp_ms", "err_ms"};
	json_t *got, *beat;
	size_t i;

	if (strncmp(text(vector, "hex"), "03", 2) != 0)
		return false;
	got = decode(PMD_DATA, text(vector, "hex"));
	assert_non_null(got);
	json_array_foreach(json_object_get(expected, "ppi"), i, beat)
	{
		const json_t *reading = json_array_get(json_object_get(got, "readings"), i);
		const json_t *row = json_array_get(json_object_get(reading, "rows"), 0);

		for (size_t c = 0; c < ARRAY_SIZE(names); c++)
			assert_true(json_equal(json_object_get(beat, names[c]),
					       json_array_get(row, c)));
	}
	json_decref(got);
	return true;
}

/* The body of a packet, to be read as data of the stream that we would have asked for. */
static json_t *decode_movesense(const char *head, const json_t *vector, json_t **ret_reading)
{
	char hex[256];
	json_t *got;

	(void)snprintf(hex, sizeof(hex), "%s%s", head, text(vector, "hex"));
	got = decode("34800002-7185-4d5d-b431-630e7050e8f0", hex);
	assert_non_null(got);
	*ret_reading = json_array_get(json_object_get(got, "readings"), 0);
	return got;
}

static void check_movesense_ecg(const json_t *vector, const json_t *expected)
{
	json_t *reading, *got = decode_movesense("0202", vector, &reading), *millivolts;
	size_t i;

	assert_int_equal(number(reading, "t_ns"), number(expected, "Timestamp") * 1000000);
	assert_int_equal(json_array_size(json_object_get(reading, "uv")), 16);
	json_array_foreach(json_object_get(expected, "Samples"), i, millivolts)
		assert_int_equal(json_integer_value(
					 json_array_get(json_object_get(reading, "uv"), i)),
				 lround(json_number_value(millivolts) * 1000));
	json_decref(got);
}

static void check_movesense_acceleration(const json_t *vector, const json_t *expected)
{
	static const char *const axes[] = {"x", "y", "z"};
	json_t *reading, *got = decode_movesense("0206", vector, &reading), *row;
	size_t i;

	json_array_foreach(json_object_get(expected, "ArrayAcc"), i, row)
	{
		const json_t *ours = json_array_get(json_object_get(reading, "rows"), i);

		for (size_t axis = 0; axis < ARRAY_SIZE(axes); axis++)
			assert_int_equal(json_integer_value(json_array_get(ours, axis)),
					 lround(json_number_value(
							json_object_get(row, axes[axis])) /
						9.80665 * 1000));
	}
	json_decref(got);
}

static void check_movesense_heart_rate(const json_t *vector, const json_t *expected)
{
	json_t *reading, *got = decode_movesense("0205", vector, &reading);
	const json_t *ms = json_array_get(json_object_get(expected, "rr_ms"), 0);
	const json_t *ours = json_array_get(json_object_get(reading, "rr_1024"), 0);

	assert_int_equal(number(reading, "bpm"),
			 lround(json_number_value(json_object_get(expected, "avg_bpm"))));
	assert_int_equal(json_integer_value(ours), lround(json_number_value(ms) * 1.024));
	json_decref(got);
}

static bool check_movesense(const char *path, const json_t *vector, const json_t *expected)
{
	if (streq(path, "/Meas/Ecg/200/mV"))
		check_movesense_ecg(vector, expected);
	else if (streq(path, "/Meas/Acc/52"))
		check_movesense_acceleration(vector, expected);
	else if (streq(path, "/Meas/HR"))
		check_movesense_heart_rate(vector, expected);
	else
		return false;
	return true;
}

/* True when it is one of ours. */
static bool check_vector(const json_t *vector)
{
	static const char *const temperature[] = {"temperature", NULL};
	static const char *const pressure[] = {"sys", "dia", "map", "pulse", NULL};
	const char *uuid = text(vector, "characteristic");
	const json_t *expected = json_object_get(vector, "decoded");

	if (streq(text(vector, "kind"), "command"))
		return false;
	if (!expected)
		expected = json_object_get(vector, "expected");
	if (streq(uuid, "2a37")) {
		check_heart_rate(vector, json_object_get(vector, "expected"));
		check_heart_rate(vector, expected);
		return true;
	}
	if (strncmp(uuid, "34800002 ", 9) == 0)
		return check_movesense(uuid + 9, vector, expected);
	if (streq(uuid, "2a1c"))
		return check_health(vector, expected, temperature);
	if (streq(uuid, "2a35"))
		return check_health(vector, expected, pressure);
	if (streq(uuid, "fb005c82") &&
	    (check_rows(vector, expected) || check_beats(vector, expected)))
		return true;
	if (streq(uuid, "fb005c82"))
		return check_pmd(vector, expected) &&
		       check_pmd(vector, json_object_get(vector, "expected"));
	if (streq(uuid, "fb005c81"))
		return check_control(vector, expected);
	return streq(uuid, "sample timestamps") && check_timeline(expected);
}

static void test_vectors(void **state)
{
	FILE *f = open_or_skip("vectors.json");
	json_t *vectors = json_loadf(f, 0, NULL), *vector;
	unsigned n_checked = 0;
	size_t i;

	assert_true(json_is_array(vectors));
	json_array_foreach(vectors, i, vector)
	{
		print_message("%s\n", text(vector, "id"));
		n_checked += check_vector(vector);
	}
	print_message("%u of %zu vectors are for us\n", n_checked, json_array_size(vectors));
	assert_true(n_checked >= 70);
	json_decref(vectors);
	(void)fclose(f); /* was read */
}

/*
 * A minute of MIT-BIH record 100 as an H10 would send it must give back the samples it was made of.
 */
static void test_ecg_record(void **state)
{
	FILE *frames = open_or_skip("mitdb100_as_h10_pmd_frames.hex");
	FILE *samples = open_or_skip("mitdb100_60s_130Hz_uV.csv");
	char line[2048];
	size_t n = 0, i;

	assert_non_null(fgets(line, sizeof(line), samples)); /* the heading */
	while (fgets(line, sizeof(line), frames)) {
		json_t *got = decode(PMD_DATA, line), *uv;

		assert_non_null(got);
		json_array_foreach(json_object_get(got, "uv"), i, uv)
		{
			const char *comma;

			assert_non_null(fgets(line, sizeof(line), samples));
			comma = strchr(line, ',');
			assert_non_null(comma);
			assert_int_equal(json_integer_value(uv), strtol(comma + 1, NULL, 10));
			n++;
		}
		json_decref(got);
	}
	assert_true(n > 7000);
	(void)fclose(frames); /* were read */
	(void)fclose(samples);
}

static void test_heart_rate_record(void **state)
{
	FILE *f = open_or_skip("mitdb100_as_hrs_2a37.txt");
	char line[256];
	unsigned n = 0;

	for (; fgets(line, sizeof(line), f); n++) {
		const char *hex = strchr(line, ' ');
		json_t *got;

		assert_non_null(hex);
		got = decode("2a37", hex);
		assert_non_null(got);
		if (n > 0)
			assert_in_range(number(got, "bpm"), 70, 80);
		json_decref(got);
	}
	assert_int_equal(n, 60);
	(void)fclose(f); /* was read */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_ecg_record),
		cmocka_unit_test(test_heart_rate_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
