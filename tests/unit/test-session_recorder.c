/*
 * A session and the memory of its wearable: it is looked at when the streams run and have for a
 * while, and whatever comes of it the streams do not notice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "decode/protocol.h"
#include "model/recorder.h"
#include "session_toys.h"

#define FILES  CHARACTERISTIC_PSFTP_MTU
#define STATUS "write fb005c51-02e7-f387-1cad-8acd2d8df0c8 021080\n"
#define STOP   "write fb005c51-02e7-f387-1cad-8acd2d8df0c8 020f80\n"
#define GET_ROOT                                                \
	"write fb005c51-02e7-f387-1cad-8acd2d8df0c8 0205000800" \
	"12012f\n"
#define START                                         \
	"write fb005c51-02e7-f387-1cad-8acd2d8df0c8 " \
	"020e8008101202"                              \
	"18011a024e31\n"
#define GIVEN(hex) "frame fb005c51-02e7-f387-1cad-8acd2d8df0c8 " hex "\n"

struct memory_bench {
	struct bench bench;
	enum recorder_answer answer;
	unsigned n_asked, n_told;
	usec_t asked_at;
	char why[80];
	bool free_when_asked;
};

static void on_recorder(void *userdata, struct recorder *r)
{
	struct memory_bench *m = userdata;

	m->n_told++;
	memcpy(m->why, r->why, sizeof(m->why));
	if (r->question == RECORDER_NOTHING)
		return;
	m->n_asked++;
	m->asked_at = r->now;
	r->answer = m->answer;
	if (m->answer == RECORDER_NO)
		(void)snprintf(r->why, sizeof(r->why), "not now");
	(void)snprintf(r->name, sizeof(r->name), "N1");
	if (m->free_when_asked)
		m->bench.session = session_free(m->bench.session);
}

static void open_session(struct memory_bench *m, bool cares)
{
	static const struct profile *profiles[] = {&heart, NULL};
	const struct session_carrier carrier = {&m->bench, properties,	 on_read,
						on_write,  on_subscribe, on_unsubscribe};
	const struct session_handler handler = {.userdata = &m->bench,
						.frame = on_frame,
						.need = on_need,
						.rung = on_rung,
						.changed = on_changed,
						.recorder = cares ? on_recorder : NULL};

	profiles[1] = &protocol_polar_psftp.profile;
	session_free(m->bench.session);
	assert_int_equal(session_new((struct profiles){profiles, 2}, HR | RECORDER_WANTED, &carrier,
				     &handler, m->bench.now, &m->bench.session),
			 0);
	m->bench.properties[FILES] = PROPERTY_WRITE | NOTIFY;
	offer_heart(&m->bench);
}

static int set_up(void **state)
{
	struct memory_bench *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	assert_int_equal(offsetof(struct memory_bench, bench), 0); /* one is the other */
	m->bench.now = 100 * SECOND;
	open_session(m, true);
	*state = m;
	return 0;
}

/* A beat a second, so that nothing is silent. */
static void beats(struct bench *b, unsigned n)
{
	for (; n > 0; n--) {
		later(b, SECOND);
		value(b, HEART, "\x00\x3c");
	}
	buf_done(&b->log);
}

/* The streams run, and it is time to look. */
static void begin(struct memory_bench *m)
{
	struct bench *b = &m->bench;

	run(b);
	expect(b, "notify 2a37\n");
	good(b);
	expect(b, "notify fb005c51-02e7-f387-1cad-8acd2d8df0c8\n");
	assert_true(session_running(b->session)); /* without it */
	good(b);
	expect(b, "");
	later(b, 4 * SECOND);
	assert_int_equal(m->n_asked, 0);
	later(b, 1 * SECOND);
	assert_int_equal(m->n_asked, 1);
	assert_int_equal(m->asked_at, b->now - 30 * USEC_PER_MSEC);
}

static void streams_come_first(void **state)
{
	struct memory_bench *m = *state;
	struct bench *b = &m->bench;

	begin(m);
	expect(b, STATUS);
	good(b);
	assert_true(session_running(b->session));
	assert_string_equal(session_why(b->session), "");
	value(b, FILES, "\x02\x08\x00");
	expect(b, GET_ROOT GIVEN("020800"));
	good(b);
	value(b, HEART, "\x00\x3c"); /* meanwhile */
	value(b, FILES, "\x02");
	expect(b, "frame 2a37 003c\n" GIVEN("02") START);
	good(b);
	value(b, FILES, "\x00\x00\x00");
	expect(b, GIVEN("000000"));
	beats(b, 3590);
	expect(b, "");
	assert_int_equal(m->n_asked, 2);
	assert_false(b->under_way);
	beats(b, 20);
	assert_int_equal(m->n_asked, 3); /* once more */
	assert_true(b->under_way);
}

static void a_stream_that_does_not_run_is_waited_for(void **state)
{
	struct memory_bench *m = *state;
	struct bench *b = &m->bench;

	run(b);
	later(b, 30 * SECOND);
	expect(b, "notify 2a37\n"); /* no answer */
	assert_int_equal(m->n_told, 0);
}

static void who_does_not_care_has_none(void **state)
{
	struct memory_bench *m = *state;
	struct bench *b = &m->bench;

	open_session(m, false);
	run(b);
	good(b);
	beats(b, 60);
	run(b);
	expect(b, "");
}

static void it_waits_for_its_owner(void **state)
{
	struct memory_bench *m = *state;
	struct bench *b = &m->bench;

	m->answer = RECORDER_WAIT;
	begin(m);
	beats(b, 40);
	assert_in_range(m->n_asked, 40, 42);
	m->answer = RECORDER_YES;
	later(b, SECOND);
	expect(b, STATUS);
}

static void no_is_asked_again_in_a_minute(void **state)
{
	struct memory_bench *m = *state;
	struct bench *b = &m->bench;

	m->answer = RECORDER_NO;
	begin(m);
	beats(b, 59);
	assert_int_equal(m->n_asked, 1);
	beats(b, 2);
	assert_int_equal(m->n_asked, 2);
	assert_true(session_running(b->session));
}

static void a_failure_is_no_trouble_for_streams(void **state)
{
	struct memory_bench *m = *state;
	struct bench *b = &m->bench;

	begin(m);
	expect(b, STATUS);
	answer(b, SESSION_E_REFUSED, 0x0e, NULL, 0);
	assert_true(session_running(b->session));
	assert_string_equal(session_why(b->session), "");
	assert_string_equal(m->why, "it refused to say whether it records (ATT error 0x0e)");
	beats(b, 60);
	run(b);
	later(b, 2 * SECOND);
	assert_int_equal(m->n_asked, 2);
	good(b); /* it is written, and not answered: 30 s */
	beats(b, 29);
	assert_string_equal(m->why, "");
	beats(b, 3);
	assert_string_equal(m->why, "it did not say whether it records");
	assert_true(session_running(b->session));
}

static void a_file_takes_as_long_as_it_takes(void **state)
{
	struct memory_bench *m = *state;
	struct bench *b = &m->bench;
	uint8_t packet[] = {0x06, 0x12};

	begin(m);
	good(b);
	value(b, FILES, "\x02\x08\x00");
	good(b);
	for (unsigned i = 0; i < 100; i++) {
		value_of(b, FILES, (const char *)packet, sizeof(packet));
		packet[0] = (uint8_t)(0x07 | ((i + 1) & 15) << 4);
		beats(b, 20);
	}
	assert_string_equal(m->why, "");
	beats(b, 11);
	run(b);
	assert_string_equal(m->why, "it did not list its files");
}

static void not_wanted_any_more(void **state)
{
	struct memory_bench *m = *state;
	struct bench *b = &m->bench;

	begin(m);
	good(b);
	value(b, FILES, "\x02\x08\x00");
	good(b);
	value(b, FILES, "\x02");
	good(b);
	value(b, FILES, "\x00\x00\x00"); /* it records */
	buf_done(&b->log);
	session_set_wanted(b->session, HR, b->now);
	run(b);
	expect(b, STOP);
	good(b);
	value(b, FILES, "\x00\x00\x00");
	expect(b, "unsubscribe fb005c51-02e7-f387-1cad-8acd2d8df0c8\n" GIVEN("000000"));
	good(b);
	beats(b, 100);
	session_set_wanted(b->session, HR | RECORDER_WANTED, b->now);
	run(b);
	expect(b, "notify fb005c51-02e7-f387-1cad-8acd2d8df0c8\n");
	good(b);
	assert_int_equal(m->n_asked, 3);
	expect(b, STATUS);
}

static void it_is_let_go_in_the_middle(void **state)
{
	struct memory_bench *m = *state;
	struct bench *b = &m->bench;

	begin(m);
	good(b);
	value(b, FILES, "\x02\x08\x00");
	good(b);
	buf_done(&b->log);
	session_close(b->session, b->now);
	run(b);
	assert_true(session_closed(b->session)); /* no answer is waited for, nothing is said */
	expect(b, "");
}

static void the_session_may_go_when_it_asks(void **state)
{
	struct memory_bench *m = *state;

	m->free_when_asked = true;
	begin(m);
	assert_null(m->bench.session);
}

static void it_is_no_reason_to_drop_the_link(void **state)
{
	struct memory_bench *m = *state;
	struct bench *b = &m->bench;

	run(b);
	good(b);
	buf_done(&b->log);
	answer(b, SESSION_E_KEPT, 0, NULL, 0); /* somebody else has it */
	expect(b, "");
	assert_true(session_running(b->session));
	beats(b, 30);
	assert_int_equal(m->n_asked, 0);
}

#define test(f) cmocka_unit_test_setup_teardown(f, set_up, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(streams_come_first),
		test(a_stream_that_does_not_run_is_waited_for),
		test(who_does_not_care_has_none),
		test(it_waits_for_its_owner),
		test(no_is_asked_again_in_a_minute),
		test(a_failure_is_no_trouble_for_streams),
		test(a_file_takes_as_long_as_it_takes),
		test(not_wanted_any_more),
		test(it_is_let_go_in_the_middle),
		test(the_session_may_go_when_it_asks),
		test(it_is_no_reason_to_drop_the_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
