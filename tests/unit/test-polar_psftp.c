/*
 * decode/polar_psftp: the way to a recording and back, as a script of bytes in both directions; then
 * each step refused, answered with an error, with nonsense, or not at all; and a link that ends there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "decode/protocol.h"
#include "dialogue.h"
#include "model/recorder.h"

#define STATUS	     "02 10 80"
#define STOP	     "02 0f 80"
#define GET_ROOT     "02 05 00 08 00 12 01 2f"
#define GET_V	     "02 07 00 08 00 12 03 2f 56 2f"
#define GET_SAMPLES  "02 12 00 08 00 12 0e 2f 56 2f 53 41 4d 50 4c 45 53 2e 42 50 42"
#define REMOVE	     "02 12 00 08 03 12 0e 2f 56 2f 53 41 4d 50 4c 45 53 2e 42 50 42"
#define START	     "02 0e 80 08 10 12 02 18 01 1a 02 4e 31" /* N1 */
#define CANCEL	     "00 00 00"
#define FINE	     "00 00 00"
#define IS_RECORDING "02 08 01 12 02 56 31" /* V1 */
#define IS_NOT	     "02 08 00"
#define ROOT	     "02 0a 06 0a 02 56 2f 10 00"			     /* V/ */
#define V	     "02 0a 0f 0a 0b 53 41 4d 50 4c 45 53 2e 42 50 42 10 08" /* SAMPLES.BPB, 8 bytes */
#define EMPTY	     "02"
#define NO_SUCH_FILE "00 67 00"

static struct script s;
static struct recorder recorder;

static void forget(void)
{
	buf_done(&recorder.file);
	free(recorder.values);
	recorder = (struct recorder){.percent = 0};
}

static void begin(void)
{
	forget();
	script_begin(&s, &protocol_polar_psftp.profile, RECORDER_WANTED);
	s.d.recorder = &recorder;
	script_says(&s, DIALOGUE_OPEN, "", "");
	assert_int_equal(recorder.question, RECORDER_MAY);
	assert_false(s.d.done);
}

/* The question is answered, and the dialogue goes on with this. */
static void answer(enum recorder_question question, enum recorder_answer with, const char *says)
{
	assert_int_equal(recorder.question, question);
	recorder.question = RECORDER_NOTHING;
	recorder.answer = with;
	script_says(&s, DIALOGUE_ANSWERED, "", says);
}

/* What was said last is taken, and answered; that makes it say the next. */
static void hear(const char *heard, const char *says)
{
	script_says(&s, DIALOGUE_WRITTEN, "", "");
	script_says(&s, DIALOGUE_HEARD, heard, says);
}

static void assert_rests(enum recorder_phase phase, const char *problem)
{
	assert_true(s.d.done);
	assert_int_equal(recorder.phase, phase);
	assert_int_equal(recorder.question, RECORDER_NOTHING);
	assert_string_equal(s.d.problem, problem);
	if (problem[0])
		assert_string_equal(recorder.why, problem);
	assert_null(recorder.values);
	assert_null(recorder.file.data);
}

/* Up to the question whether the recording of two beats is kept. */
static void fetch(void)
{
	begin();
	answer(RECORDER_MAY, RECORDER_YES, STATUS);
	assert_int_equal(recorder.phase, RECORDER_LOOKING);
	hear(IS_RECORDING, STOP);
	s.d.now = 77;
	hear(FINE, GET_ROOT);
	hear(ROOT, GET_V);
	hear(V, GET_SAMPLES);
	assert_int_equal(recorder.phase, RECORDER_FETCHING);
	hear("06 e2 01 05 0a", "");
	assert_true(s.d.more);
	assert_int_equal(recorder.percent, 50);
	script_says(&s, DIALOGUE_HEARD, "13 03 a0 06 0a", "");
	assert_false(s.d.more);
	assert_int_equal(recorder.phase, RECORDER_KEEPING);
}

static void test_whole_way(void **state)
{
	fetch();
	assert_string_equal(recorder.recording.name, "V1");
	assert_int_equal(recorder.recording.ended, 77);
	assert_int_equal(recorder.recording.n_bpm, 0);
	assert_int_equal(recorder.recording.n_rr, 2);
	assert_int_equal(recorder.recording.rr_ms[0], 800);
	assert_int_equal(recorder.recording.rr_ms[1], 10);
	answer(RECORDER_TAKE, RECORDER_WAIT, ""); /* there is more of it than fits at once */
	answer(RECORDER_TAKE, RECORDER_YES, REMOVE);
	hear(FINE, "");
	strcpy(recorder.name, "N1");
	answer(RECORDER_NAME, RECORDER_YES, START);
	hear(FINE, "");
	assert_rests(RECORDER_RECORDING, "");
	assert_int_equal(s.d.again, 3600 * USEC_PER_SEC);
	/* An hour later all over; nobody answers what was not asked. */
	script_says(&s, DIALOGUE_HEARD, FINE, "");
	script_says(&s, DIALOGUE_OPEN, "", "");
	answer(RECORDER_MAY, RECORDER_YES, STATUS);
	/* Not wanted any more, when it comes to rest. */
	begin();
	answer(RECORDER_MAY, RECORDER_NO, "");
	assert_rests(RECORDER_IDLE, "");
	forget();
}

static void test_not_wanted_any_more(void **state)
{
	fetch();
	answer(RECORDER_TAKE, RECORDER_YES, REMOVE);
	hear(FINE, "");
	strcpy(recorder.name, "N1");
	answer(RECORDER_NAME, RECORDER_YES, START);
	hear(FINE, "");
	s.d.wanted = 0;
	script_says(&s, DIALOGUE_OPEN, "", STOP);
	hear(FINE, "");
	assert_rests(RECORDER_OFF, "");
	script_says(&s, DIALOGUE_OPEN, "", "");
	assert_rests(RECORDER_OFF, "");
	forget();
}

/* Kept before is what was not removed: it is found again though it does not record. */
static void test_file_of_before(void **state)
{
	begin();
	answer(RECORDER_MAY, RECORDER_YES, STATUS);
	hear(IS_NOT, GET_ROOT);
	hear(ROOT, GET_V);
	hear(V, GET_SAMPLES);
	hear("02 12 02 46 47", "");
	assert_int_equal(recorder.recording.ended, 0);
	assert_string_equal(recorder.recording.name, "V"); /* where it lies */
	assert_int_equal(recorder.recording.n_bpm, 2);
	answer(RECORDER_TAKE, RECORDER_YES, REMOVE);
	forget();
}

/* A directory may be called anything, and the journal shall not obey it. */
static void test_name_that_cannot_be_printed(void **state)
{
	begin();
	answer(RECORDER_MAY, RECORDER_YES, STATUS);
	hear(IS_NOT, GET_ROOT);
	hear("02 0a 07 0a 03 0a 1b 2f 10 00", "02 08 00 08 00 12 04 2f 0a 1b 2f");
	hear(V, "02 13 00 08 00 12 0f 2f 0a 1b 2f 53 41 4d 50 4c 45 53 2e 42 50 42");
	hear("02 12 02 46 47", "");
	assert_string_equal(recorder.recording.name, "??");
	forget();
}

static void test_directories(void **state)
{
	/* Nothing there: */
	begin();
	answer(RECORDER_MAY, RECORDER_YES, STATUS);
	hear(IS_NOT, GET_ROOT);
	hear(EMPTY, "");
	assert_int_equal(recorder.question, RECORDER_NAME);
	/* one that may not be looked into, one that leads back, one that is a file: */
	begin();
	answer(RECORDER_MAY, RECORDER_YES, STATUS);
	hear(IS_NOT, GET_ROOT);
	hear("02 0a 04 0a 02 56 2f 0a 05 0a 03 2e 2e 2f 0a 03 0a 01 2f 0a 03 0a 01 41", GET_V);
	hear(NO_SUCH_FILE, "");
	assert_int_equal(recorder.question, RECORDER_NAME);
	/* and one in which it goes down for ever. */
	begin();
	answer(RECORDER_MAY, RECORDER_YES, STATUS);
	hear(IS_NOT, GET_ROOT);
	for (unsigned i = 0; recorder.question == RECORDER_NOTHING; i++) {
		uint8_t data[] = {0x02, 0x0a, 0x04, 0x0a, 0x02, 'V', '/'};

		assert_in_range(i, 0, 64);
		while (s.d.n_out > 0)
			s.profile->converse(&s.d, DIALOGUE_WRITTEN, NULL, 0);
		s.profile->converse(&s.d, DIALOGUE_HEARD, data, sizeof(data));
	}
	assert_int_equal(recorder.question, RECORDER_NAME);
	forget();
}

static void test_small_mtu(void **state)
{
	begin();
	s.d.mtu = 23;
	answer(RECORDER_MAY, RECORDER_YES, STATUS);
	hear(IS_NOT, GET_ROOT);
	hear(ROOT, GET_V);
	hear(V, "06 12 00 08 00 12 0e 2f 56 2f 53 41 4d 50 4c 45 53 2e 42 50");
	script_says(&s, DIALOGUE_HEARD, NO_SUCH_FILE, ""); /* it cannot have understood yet */
	script_says(&s, DIALOGUE_WRITTEN, "", "13 42");
	hear("02 e2 01 00", "");
	assert_int_equal(recorder.recording.n_rr, 0);
	answer(RECORDER_TAKE, RECORDER_YES,
	       "06 12 00 08 03 12 0e 2f 56 2f 53 41 4d 50 4c 45 53 2e 42 50");
	forget();
}

/* To the step with this number; each has been said and was not taken yet. */
static void go_to(unsigned step)
{
	static const char *const heard[] = {IS_RECORDING, FINE, ROOT, V, NULL, FINE};
	static const char *const says[] = {STOP, GET_ROOT, GET_V, GET_SAMPLES, NULL, NULL};

	begin();
	answer(RECORDER_MAY, RECORDER_YES, STATUS);
	for (unsigned i = 0; i < MIN(step, 4U); i++)
		hear(heard[i], says[i]);
	if (step >= 5) {
		hear("02 e2 01 00", "");
		answer(RECORDER_TAKE, RECORDER_YES, REMOVE);
	}
	if (step >= 6) {
		hear(FINE, "");
		strcpy(recorder.name, "N1");
		answer(RECORDER_NAME, RECORDER_YES, START);
	}
}

enum { N_STEPS = 7 };

static void test_everything_fails(void **state)
{
	static const char *const what[N_STEPS] = {"say whether it records",
						  "stop its recording",
						  "list its files",
						  "list its files",
						  "give what it recorded",
						  "remove what was taken",
						  "record"};
	static const bool sends[N_STEPS] = {[2] = true, [3] = true, [4] = true};
	char problem[120];

	for (unsigned i = 0; i < N_STEPS; i++) {
		go_to(i);
		script_says(&s, DIALOGUE_REFUSED, "0e", "");
		(void)snprintf(problem, sizeof(problem), "it refused to %s (ATT error 0x0e)",
			       what[i]);
		assert_rests(RECORDER_IDLE, problem);

		go_to(i);
		script_says(&s, DIALOGUE_WRITTEN, "", "");
		if (i != 3) { /* it looks elsewhere then */
			script_says(&s, DIALOGUE_HEARD, "00 ca 00", "");
			(void)snprintf(problem, sizeof(problem),
				       "it does not %s: it says \"busy\" (202)", what[i]);
			assert_rests(RECORDER_IDLE, problem);
		}

		go_to(i);
		script_says(&s, DIALOGUE_WRITTEN, "", "");
		script_says(&s, DIALOGUE_HEARD, "16 00", "");
		assert_rests(RECORDER_IDLE, "its answer came in pieces that do not fit together");

		go_to(i);
		script_says(&s, DIALOGUE_WRITTEN, "", "");
		script_says(&s, DIALOGUE_HEARD, "", "");
		assert_rests(RECORDER_IDLE, "its answer came in pieces that do not fit together");

		go_to(i);
		script_says(&s, DIALOGUE_WRITTEN, "", "");
		script_says(&s, DIALOGUE_HEARD, "06 01", ""); /* the beginning of an answer */
		script_says(&s, DIALOGUE_SILENT, "", sends[i] ? CANCEL : "");
		if (sends[i]) {
			assert_false(s.d.done);
			script_says(&s, i == 2 ? DIALOGUE_REFUSED : DIALOGUE_WRITTEN, "", "");
		}
		(void)snprintf(problem, sizeof(problem), "it did not %s", what[i]);
		assert_rests(RECORDER_IDLE, problem);
		/* What comes too late is nobody's answer. */
		script_says(&s, DIALOGUE_HEARD, "17 02", "");
		script_says(&s, DIALOGUE_OPEN, "", "");
		assert_int_equal(recorder.question, RECORDER_MAY);

		/* The hub lets go: the memory stays as it is. */
		go_to(i);
		script_says(&s, DIALOGUE_CLOSE, "", "");
		assert_true(s.d.done);
	}
	forget();
}

static void test_nonsense(void **state)
{
	go_to(0);
	hear("02 08", "");
	assert_rests(RECORDER_IDLE, "it does not say whether it records");
	go_to(4);
	hear("02 12 01 ff", "");
	assert_rests(RECORDER_IDLE,
		     "what it recorded cannot be read: a field is broken, or too large");
	forget();
}

static void test_endless_file(void **state)
{
	uint8_t packet[500] = {6};
	unsigned n = 0;

	go_to(4);
	script_says(&s, DIALOGUE_WRITTEN, "", "");
	while (!s.d.done && n < 2000) {
		s.profile->converse(&s.d, DIALOGUE_HEARD, packet, sizeof(packet));
		packet[0] = (uint8_t)(7 | (++n & 15) << 4);
		assert_in_range(recorder.percent, 0, 100);
	}
	assert_rests(RECORDER_IDLE, "what it recorded is more than 512 KiB");
	assert_in_range(n, 1000, 1100);
	forget();
}

static void test_not_taken(void **state)
{
	fetch();
	strcpy(recorder.why, "no room");
	answer(RECORDER_TAKE, RECORDER_NO, "");
	assert_rests(RECORDER_IDLE, "no room");
	/* Nobody answers: it is not waited for. */
	fetch();
	recorder.question = RECORDER_NOTHING;
	script_says(&s, DIALOGUE_SILENT, "", "");
	assert_rests(RECORDER_IDLE, "nobody takes what it recorded");
	script_says(&s, DIALOGUE_ANSWERED, "", ""); /* too late */
	assert_true(s.d.done);
	forget();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_way),
		cmocka_unit_test(test_not_wanted_any_more),
		cmocka_unit_test(test_file_of_before),
		cmocka_unit_test(test_directories),
		cmocka_unit_test(test_small_mtu),
		cmocka_unit_test(test_everything_fails),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_endless_file),
		cmocka_unit_test(test_not_taken),
		cmocka_unit_test(test_name_that_cannot_be_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
