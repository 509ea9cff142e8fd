/*
 * The body of POST /v1/batches: one golden text, and otherwise read back with jansson and zlib,
 * which know nothing of how it was written. The same cut gives the same bytes and another cut
 * another id.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sink/sink.h"
#include "util/digest.h"

#include <jansson.h>
#include <stdio.h>
#include <zlib.h>

#define T0 INT64_C(1763798400000000)

static const struct run_info run = {.number = 2,
				    .nonce = {{0xc2, 0xf1}},
				    .boot_id = "b0071d00-0000-4000-8000-000000000001"};
static const struct stream_info heart = {.number = 7,
					 .kind = KIND_HEART_RATE,
					 .id = {{0x5d}},
					 .device = "a0:b1:c2:d3:e4:f5",
					 .subject = "u-1"};
static const struct stream_info ecg = {.number = 39, /* falls on the same hint as 7 */
				       .kind = KIND_ECG,
				       .id = {{0x0b}},
				       .device = "a0:b1:c2:d3:e4:f5",
				       .subject = "u-1"};

struct built {
	struct uuid id;
	uint8_t *body;
	size_t size;
};

static struct record beat(uint64_t n)
{
	return (struct record){.type = RECORD_HEART_RATE,
			       .clk = CLK_UTC,
			       .seq = seq_make(2, n),
			       .boot_us = (int64_t)n * 1000000,
			       .offset_us = T0,
			       .heart_rate = {.bpm = 71,
					      .contact = CONTACT_YES,
					      .energy_kj = -1,
					      .n_rr = 1,
					      .rr_1024 = {865}}};
}

static struct record frame(uint64_t n)
{
	struct record r = {.type = RECORD_ECG,
			   .clk = CLK_UTC,
			   .seq = seq_make(2, n),
			   .boot_us = (int64_t)n * 561538,
			   .offset_us = T0,
			   .ecg = {.dt_ns = 7689500, .n = 3, .uv = {1, -1, 0x01020304}}};

	return r;
}

static struct record gap(uint64_t n)
{
	return (struct record){.type = RECORD_GAP,
			       .clk = CLK_EST,
			       .seq = seq_make(2, n),
			       .boot_us = (int64_t)n * 1000000,
			       .offset_us = T0,
			       .gap = {.reason = GAP_LINK_LOSS, .n = 8, .duration_us = 8000000}};
}

static void add(struct batch *b, const struct stream_info *s, struct record r)
{
	assert_int_equal(batch_add(b, s, 268435455, &r), 0);
}

/* A copy, for comparing one batch with the next. */
static struct built finish(struct batch *b, bool gzip)
{
	struct built built;
	const uint8_t *body;

	assert_int_equal(batch_finish(b, gzip, &built.id, &body, &built.size), 0);
	built.body = malloc(built.size + 1);
	assert_non_null(built.body);
	memcpy(built.body, body, built.size);
	built.body[built.size] = '\0';
	return built;
}

static void same(struct built a, struct built b)
{
	assert_int_equal(a.size, b.size);
	assert_memory_equal(a.body, b.body, a.size);
	assert_true(uuid_equal(&a.id, &b.id));
	free(a.body);
	free(b.body);
}

static struct built gunzip(struct built z)
{
	struct built plain = {.id = z.id, .body = malloc(4 << 20)};
	z_stream s = {.next_in = z.body,
		      .avail_in = (uInt)z.size,
		      .next_out = plain.body,
		      .avail_out = 4 << 20};

	assert_int_equal(inflateInit2(&s, 15 + 16), Z_OK);
	assert_int_equal(inflate(&s, Z_FINISH), Z_STREAM_END);
	assert_int_equal(s.avail_in, 0);
	plain.size = s.total_out;
	inflateEnd(&s);
	return plain;
}

static json_t *parse(struct built plain)
{
	json_error_t error;
	json_t *root = json_loadb((char *)plain.body, plain.size, JSON_REJECT_DUPLICATES, &error);

	assert_non_null(root);
	free(plain.body);
	return root;
}

static json_t *stream_of(json_t *root, size_t i)
{
	return json_array_get(json_object_get(root, "streams"), i);
}

static json_t *sample_of(json_t *root, size_t stream, size_t i)
{
	return json_array_get(json_object_get(stream_of(root, stream), "samples"), i);
}

static void expect_integer(json_t *object, const char *key, json_int_t wanted)
{
	assert_true(json_is_integer(json_object_get(object, key)));
	assert_int_equal(json_integer_value(json_object_get(object, key)), wanted);
}

static void expect_text(json_t *object, const char *key, const char *wanted)
{
	assert_string_equal(json_string_value(json_object_get(object, key)), wanted);
}

static int setup(void **state)
{
	return batch_new((struct batch **)state);
}

static int teardown(void **state)
{
	batch_free(*state);
	return 0;
}

static void test_golden(void **state)
{
	struct batch *b = *state;
	char wanted[2048], id[UUID_STRING_SIZE];
	struct built plain;

	batch_begin(b, "gw-0001", &run);
	add(b, &heart, beat(1));
	add(b, &ecg, frame(1));
	add(b, &heart, gap(2));
	plain = finish(b, false);
	uuid_format(&plain.id, id);
	(void)snprintf(
		wanted, sizeof(wanted),
		"{\"schema\":\"wearable-batch/1\",\"batch\":\"%s\",\"gateway\":\"gw-0001\","
		"\"boot_id\":\"b0071d00-0000-4000-8000-000000000001\",\"streams\":["
		"{\"stream\":\"0b000000-0000-0000-0000-000000000000\","
		"\"run\":\"c2f10000-0000-0000-0000-000000000000\",\"kind\":\"ecg\","
		"\"device\":\"a0:b1:c2:d3:e4:f5\",\"subject\":\"u-1\",\"unit\":\"uV\","
		"\"after\":268435455,\"samples\":["
		"{\"seq\":536870913,\"t_us\":1763798400561538,\"clk\":\"utc\",\"dt_ns\":7689500,"
		"\"n\":3,\"data\":\"AQAAAP////8EAwIB\"}]},"
		"{\"stream\":\"5d000000-0000-0000-0000-000000000000\","
		"\"run\":\"c2f10000-0000-0000-0000-000000000000\",\"kind\":\"heart_rate\","
		"\"device\":\"a0:b1:c2:d3:e4:f5\",\"subject\":\"u-1\","
		"\"after\":268435455,\"samples\":["
		"{\"seq\":536870913,\"t_us\":1763798401000000,\"clk\":\"utc\",\"bpm\":71,"
		"\"rr_1024\":[865],\"contact\":true},"
		"{\"seq\":536870914,\"t_us\":1763798402000000,\"clk\":\"est\",\"boot_us\":2000000,"
		"\"gap\":{"
		"\"reason\":\"link_loss\",\"from_us\":1763798402000000,"
		"\"to_us\":1763798410000000,\"n\":8}}]}]}",
		id);
	assert_string_equal((char *)plain.body, wanted);
	assert_int_equal(batch_size(b), plain.size);
	assert_int_equal(batch_count(b), 3);
	free(plain.body);
}

/* The id by hand: name space, then what entry.c draws, hashed without any of our batch code. */
static void test_id(void **state)
{
	struct batch *b = *state;
	_cleanup_(digest_freep) struct digest *d = NULL;
	_cleanup_(buf_done) struct buf canonical = {0}, name = {0};
	uint8_t hash[DIGEST_SHA256_SIZE];
	struct uuid space, wanted;
	struct record one = beat(1), three = beat(3);
	struct built plain;

	batch_begin(b, "gw", &run);
	add(b, &heart, one);
	add(b, &heart, three);
	plain = finish(b, false);
	free(plain.body);

	record_canonical(&one, &canonical);
	record_canonical(&three, &canonical);
	assert_int_equal(digest_new(&d), 0);
	assert_int_equal(digest_update(d, canonical.data, canonical.size), 0);
	assert_int_equal(digest_finish(d, hash), 0);
	buf_append(&name, heart.id.bytes, 16);
	buf_append(&name, run.nonce.bytes, 16);
	buf_le(&name, one.seq, 8);
	buf_le(&name, three.seq, 8);
	buf_le(&name, 2, 8);
	buf_append(&name, hash, sizeof(hash));
	assert_true(uuid_parse("6aa7beb3-de11-477e-8825-fc2e55faa444", &space));
	assert_int_equal(uuid_v5(&space, name.data, name.size, &wanted), 0);
	assert_true(uuid_equal(&plain.id, &wanted));
}

static void test_same_cut_same_bytes(void **state)
{
	struct batch *b = *state;
	struct built first[2], again[2];

	for (uint64_t round = 0; round < 2; round++) {
		batch_begin(b, "gw", &run);
		for (uint64_t n = 1; n <= 500; n++) {
			/* interleaved one way and then the other */
			if (round == 0)
				add(b, &heart, beat(n));
			add(b, &ecg, frame(n));
			if (round == 1)
				add(b, &heart, beat(n));
		}
		for (int gzip = 0; gzip < 2; gzip++)
			(round == 0 ? first : again)[gzip] = finish(b, gzip);
	}
	assert_int_equal(first[1].body[0], 0x1f);
	assert_int_equal(first[1].body[1], 0x8b);
	assert_memory_equal(first[1].body + 4, "\0\0\0\0", 4); /* no time in it */
	same(first[0], again[0]);
	same(first[1], again[1]);
}

static void test_other_cut_other_id(void **state)
{
	struct batch *b = *state;
	struct built all[5];
	struct run_info other_run = run;
	struct record changed = beat(2);

	other_run.nonce.bytes[15] = 1;
	changed.heart_rate.bpm++;
	for (int i = 0; i < 5; i++) {
		batch_begin(b, "gw", i == 1 ? &other_run : &run);
		add(b, &heart, beat(1));
		add(b, &heart, i == 2 ? changed : beat(2));
		if (i == 3)
			add(b, &heart, beat(3));
		if (i == 4)
			add(b, &ecg, frame(1));
		all[i] = finish(b, false);
	}
	for (int i = 0; i < 5; i++) {
		for (int k = 0; k < i; k++)
			assert_false(uuid_equal(&all[i].id, &all[k].id));
		free(all[i].body);
	}
}

/* A batch that nobody finished leaves nothing behind in the next one. */
static void test_abandoned(void **state)
{
	struct batch *b = *state;
	struct built clean, after;

	batch_begin(b, "gw", &run);
	add(b, &heart, beat(1));
	clean = finish(b, true);
	batch_begin(b, "gw", &run);
	for (uint64_t n = 1; n <= 1000; n++)
		add(b, &heart, beat(n));
	batch_begin(b, "gw", &run);
	add(b, &heart, beat(1));
	after = finish(b, true);
	same(clean, after);
}

static void test_gunzip(void **state)
{
	struct batch *b = *state;
	struct built plain, packed, unpacked;

	batch_begin(b, "gw", &run);
	for (uint64_t n = 1; n <= 2000; n++) {
		add(b, &heart, beat(n));
		add(b, &ecg, frame(n));
	}
	packed = finish(b, true);
	plain = finish(b, false);
	unpacked = gunzip(packed);
	assert_int_equal(batch_size(b), plain.size);
	assert_true(packed.size < plain.size / 4);
	free(packed.body);
	same(plain, unpacked);
}

static void test_heart_rate_forms(void **state)
{
	struct batch *b = *state;
	struct record r[3] = {beat(1), beat(2), beat(3)};
	json_t *root, *rr;

	r[0].heart_rate =
		(struct heart_rate){.contact = CONTACT_NONE, .energy_kj = 0, .bpm = 65535};
	r[1].heart_rate = (struct heart_rate){.contact = CONTACT_UNSUPPORTED, .energy_kj = -1};
	r[2].heart_rate.n_rr = RR_MAX;
	memset(r[2].heart_rate.rr_1024, 0xff, sizeof(r[2].heart_rate.rr_1024));
	batch_begin(b, "gw", &run);
	for (size_t i = 0; i < 3; i++)
		add(b, &heart, r[i]);
	root = parse(finish(b, false));
	assert_true(json_is_false(json_object_get(sample_of(root, 0, 0), "contact")));
	expect_integer(sample_of(root, 0, 0), "energy_kj", 0);
	expect_integer(sample_of(root, 0, 0), "bpm", 65535);
	assert_int_equal(json_object_size(sample_of(root, 0, 1)), 5);
	rr = json_object_get(sample_of(root, 0, 1), "rr_1024");
	assert_true(json_is_array(rr) && json_array_size(rr) == 0);
	rr = json_object_get(sample_of(root, 0, 2), "rr_1024");
	assert_int_equal(json_array_size(rr), RR_MAX);
	assert_int_equal(json_integer_value(json_array_get(rr, RR_MAX - 1)), 65535);
	json_decref(root);
}

static void test_extreme_numbers(void **state)
{
	struct batch *b = *state;
	struct run_info last_run = run;
	struct record r = gap(1);
	json_t *root, *g;

	last_run.number = (UINT64_C(1) << 35) - 1;
	r.seq = seq_make(last_run.number, SEQ_N_MAX);
	r.boot_us = -5;
	r.offset_us = 0;
	r.gap = (struct gap){.reason = GAP_CLOCK_RESET, .n = 0, .duration_us = 3};
	batch_begin(b, "gw", &last_run);
	add(b, &ecg, r);
	root = parse(finish(b, false));
	expect_integer(sample_of(root, 0, 0), "seq", INT64_MAX);
	expect_integer(sample_of(root, 0, 0), "t_us", -5);
	expect_integer(sample_of(root, 0, 0), "boot_us", -5);
	g = json_object_get(sample_of(root, 0, 0), "gap");
	expect_text(g, "reason", "clock_reset");
	expect_integer(g, "from_us", -5);
	expect_integer(g, "to_us", -2);
	expect_integer(g, "n", 0);
	json_decref(root);
}

static void test_longest_frames(void **state)
{
	struct batch *b = *state;
	struct record r = frame(1);
	json_t *root;

	r.ecg.n = ECG_SAMPLES_MAX;
	batch_begin(b, "gw", &run);
	for (uint64_t n = 1; n <= 20; n++) {
		r.seq = seq_make(2, n);
		add(b, &ecg, r);
	}
	root = parse(finish(b, false));
	assert_int_equal(json_array_size(json_object_get(stream_of(root, 0), "samples")), 20);
	assert_int_equal(json_string_length(json_object_get(sample_of(root, 0, 19), "data")),
			 (4 * ECG_SAMPLES_MAX + 2) / 3 * 4);
	json_decref(root);
}

static void test_many_streams_sorted(void **state)
{
	struct batch *b = *state;
	struct stream_info s = heart;
	json_t *root;

	batch_begin(b, "gw", &run);
	for (uint64_t n = 1; n <= 3; n++) {
		for (uint32_t i = 0; i < 100; i++) {
			s.number = i + 1;
			s.id.bytes[0] = (uint8_t)(i * 37);
			add(b, &s, beat(n));
		}
	}
	root = parse(finish(b, false));
	assert_int_equal(json_array_size(json_object_get(root, "streams")), 100);
	for (size_t i = 0; i < 100; i++) {
		assert_int_equal(json_array_size(json_object_get(stream_of(root, i), "samples")),
				 3);
		if (i > 0)
			assert_true(strcmp(json_string_value(json_object_get(stream_of(root, i - 1),
									     "stream")),
					   json_string_value(json_object_get(stream_of(root, i),
									     "stream"))) < 0);
	}
	json_decref(root);
}

static void test_names_are_escaped(void **state)
{
	struct batch *b = *state;
	struct stream_info s = heart;
	json_t *root;

	s.subject = "a\"b\\c\n\xc3\xa9\xff";
	batch_begin(b, "g\"w", &run);
	add(b, &s, beat(1));
	root = parse(finish(b, false));
	expect_text(root, "gateway", "g\"w");
	expect_text(stream_of(root, 0), "subject", "a\"b\\c\n\xc3\xa9\xef\xbf\xbd");
	json_decref(root);
}

static void test_empty(void **state)
{
	struct batch *b = *state;
	struct built packed;
	json_t *root;

	batch_begin(b, "gw", &run);
	packed = finish(b, true);
	root = parse(gunzip(packed));
	free(packed.body);
	assert_int_equal(json_array_size(json_object_get(root, "streams")), 0);
	json_decref(root);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_golden),
		TEST(test_id),
		TEST(test_same_cut_same_bytes),
		TEST(test_other_cut_other_id),
		TEST(test_abandoned),
		TEST(test_gunzip),
		TEST(test_heart_rate_forms),
		TEST(test_extreme_numbers),
		TEST(test_longest_frames),
		TEST(test_many_streams_sorted),
		TEST(test_names_are_escaped),
		TEST(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
