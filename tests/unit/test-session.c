/*
 * Holds source/session.c to scripts: what a wearable offers and answers on one side, the operations
 * and the news that come of it, in order, on the other. The carrier is a page of text, time is told,
 * and the profiles are toys with a dialogue of four octets:
 *
 *	a1 KINDS   start these     f0 KINDS  they run       0f ..   features, when read
 *	a0         stop all        f1        MTU too small  ee      stopped by itself
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "source/session.h"
#include "util/buf.h"

#include <stdio.h>

#define SECOND	USEC_PER_SEC
#define HEART	CHARACTERISTIC_HEART_RATE_MEASUREMENT
#define PLACE	CHARACTERISTIC_BODY_SENSOR_LOCATION
#define BATTERY CHARACTERISTIC_BATTERY_LEVEL
#define CONTROL CHARACTERISTIC_PMD_CONTROL_POINT
#define DATA	CHARACTERISTIC_PMD_DATA
#define HR	(1U << KIND_HEART_RATE)
#define ECG	(1U << KIND_ECG)
#define ACC	(1U << KIND_ACCELERATION)
#define READ	PROPERTY_READ
#define NOTIFY	PROPERTY_NOTIFY

/* --- toys --- */

static const struct profile_characteristic heart_has[] = {
	{HEART, PROFILE_NOTIFY, HR, 10 * SECOND},
	{PLACE, PROFILE_READ, 0, 0},
};
static const struct profile_characteristic battery_has[] = {
	{BATTERY, PROFILE_READ | PROFILE_NOTIFY, 0, 0},
};
static const struct profile_characteristic toy_has[] = {
	{DATA, PROFILE_NOTIFY, ECG | ACC, 3 * SECOND},
	{CONTROL, PROFILE_READ | PROFILE_CONTROL, 0, 0},
};

struct toy {
	bool features, endless, polls;
};

static void toy_say(struct dialogue *d, uint8_t word)
{
	d->out[0] = word;
	d->out[1] = (uint8_t)d->wanted;
	d->n_out = word == 0xa1 ? 2 : 1;
	d->done = false;
}

static void toy_heard(struct dialogue *d, struct toy *toy, const uint8_t *data, size_t size)
{
	if (size >= 2 && data[0] == 0xf0) {
		d->running = data[1];
		d->done = true;
		d->problem[0] = '\0';
		d->again = toy->polls ? SECOND : 0;
	} else if (size && data[0] == 0xf1) {
		d->running = 0;
		d->done = true;
		(void)snprintf(d->problem, sizeof(d->problem), "invalid MTU %u", d->mtu);
	} else if (size && data[0] == 0xee) {
		d->running = 0;
		toy_say(d, 0xa1);
	} else if (size && data[0] == 0x0f) {
		toy->features = true;
	} else if (size && data[0] == 0xe0) { /* asks again, and again */
		toy_say(d, 0xa1);
	} else if (size && data[0] == 0xbb) {
		toy->polls = true;
	}
}

static void toy_converse(struct dialogue *d, enum dialogue_event event, const uint8_t *data,
			 size_t size)
{
	struct toy *toy = (struct toy *)d->state;

	assert_int_equal(d->n_out, 0); /* never while a command waits */
	switch (event) {
	case DIALOGUE_OPEN: toy_say(d, 0xa1); break;
	case DIALOGUE_HEARD: toy_heard(d, toy, data, size); break;
	case DIALOGUE_WRITTEN: break;
	case DIALOGUE_REFUSED:
		d->done = true;
		(void)snprintf(d->problem, sizeof(d->problem), "refused with %02x", data[0]);
		break;
	case DIALOGUE_SILENT:
		if (d->silent) {
			d->running &= ~d->silent;
			toy_say(d, 0xa1);
		} else {
			d->done = true;
			(void)snprintf(d->problem, sizeof(d->problem), "no answer");
		}
		break;
	case DIALOGUE_CLOSE: toy_say(d, 0xa0); break;
	}
}

static const struct profile toy = {.name = "toy",
				   .characteristics = toy_has,
				   .n_characteristics = ARRAY_SIZE(toy_has),
				   .converse = toy_converse};
static const struct profile battery = {.name = "battery",
				       .characteristics = battery_has,
				       .n_characteristics = ARRAY_SIZE(battery_has)};
static const struct profile heart = {.name = "heart_rate",
				     .characteristics = heart_has,
				     .n_characteristics = ARRAY_SIZE(heart_has)};
/* The dialogue first, to see that it does not come first. */
static const struct profile *const toys[] = {&toy, &battery, &heart};

/* --- the bench --- */

struct bench {
	struct session *session;
	usec_t now;
	unsigned properties[CHARACTERISTIC_MAX_];
	struct buf log;
	bool under_way, free_at_news, changed;
};

static unsigned properties(void *userdata, enum characteristic c)
{
	return ((struct bench *)userdata)->properties[c];
}

static const char *short_name(enum characteristic c)
{
	return c == CONTROL ? "control" : c == DATA ? "data" : characteristic_uuid(c);
}

static void log_line(struct bench *b, const char *verb, enum characteristic c, const uint8_t *data,
		     size_t size)
{
	buf_printf(&b->log, "%s %s", verb, short_name(c));
	for (size_t i = 0; i < size; i++)
		buf_printf(&b->log, "%s%02x", i ? "" : " ", data[i]);
	buf_printf(&b->log, "\n");
}

static void operation(struct bench *b, const char *verb, enum characteristic c, const uint8_t *data,
		      size_t size)
{
	assert_false(b->under_way);
	b->under_way = true;
	log_line(b, verb, c, data, size);
}

static void on_read(void *userdata, enum characteristic c)
{
	operation(userdata, "read", c, NULL, 0);
}

static void on_write(void *userdata, enum characteristic c, const uint8_t *data, size_t size)
{
	operation(userdata, "write", c, data, size);
}

static void on_subscribe(void *userdata, enum characteristic c, bool indicate)
{
	operation(userdata, indicate ? "indicate" : "notify", c, NULL, 0);
}

static void on_unsubscribe(void *userdata, enum characteristic c)
{
	operation(userdata, "unsubscribe", c, NULL, 0);
}

static void maybe_free(struct bench *b)
{
	if (b->free_at_news)
		b->session = session_free(b->session);
}

static void on_frame(void *userdata, const struct frame *f)
{
	log_line(userdata, "frame", f->characteristic, f->data, f->size);
	maybe_free(userdata);
}

static void on_need(void *userdata, enum session_need need, const char *why)
{
	static const char *const needs[] = {
		[SESSION_NEED_PAIRING] = "pairing",
		[SESSION_NEED_RECONNECT] = "reconnect",
		[SESSION_NEED_END] = "end",
	};
	struct bench *b = userdata;

	buf_printf(&b->log, "need %s: %s\n", needs[need], why);
	maybe_free(b);
}

static void on_rung(void *userdata, enum rung rung, const char *why)
{
	struct bench *b = userdata;

	assert_int_equal(rung, RUNG_RESUBSCRIBE);
	buf_printf(&b->log, "again: %s\n", why);
	maybe_free(b);
}

static void on_changed(void *userdata)
{
	struct bench *b = userdata;

	b->changed = true;
	maybe_free(b);
}

static int setup(void **state)
{
	static const struct session_handler handler_template = {.frame = on_frame,
								.need = on_need,
								.rung = on_rung,
								.changed = on_changed};
	static const struct session_carrier carrier_template = {.properties = properties,
								.read = on_read,
								.write = on_write,
								.subscribe = on_subscribe,
								.unsubscribe = on_unsubscribe};
	struct session_handler handler = handler_template;
	struct session_carrier carrier = carrier_template;
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	handler.userdata = carrier.userdata = b;
	b->now = 100 * SECOND;
	assert_int_equal(session_new((struct profiles){toys, ARRAY_SIZE(toys)}, HR | ECG, &carrier,
				     &handler, b->now, &b->session),
			 0);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	session_free(b->session);
	buf_done(&b->log);
	free(b);
	return 0;
}

static void expect(struct bench *b, const char *lines)
{
	buf_printf(&b->log, "%s", "");
	assert_string_equal(b->log.data ? (const char *)b->log.data : "", lines);
	buf_done(&b->log);
}

/* As an owner does with a timer: whatever is due, until nothing is; never for ever. */
static void run(struct bench *b)
{
	for (unsigned i = 0; b->session && session_due(b->session) <= b->now; i++) {
		assert_in_range(i, 0, 3);
		session_tick(b->session, b->now);
	}
}

static void later(struct bench *b, usec_t how_much)
{
	usec_t end = b->now + how_much;

	while (b->session && session_due(b->session) <= end) {
		b->now = MAX(b->now, session_due(b->session));
		run(b);
	}
	b->now = end;
}

static void answer(struct bench *b, int result, uint8_t att_error, const char *data, size_t size)
{
	assert_true(b->under_way);
	b->under_way = false;
	b->now += 30 * USEC_PER_MSEC;
	session_done(b->session, result, att_error, (const uint8_t *)data, size, b->now);
	run(b);
}

static void good(struct bench *b)
{
	answer(b, 0, 0, NULL, 0);
}

#define value(b, c, bytes) value_of(b, c, bytes, sizeof(bytes) - 1)
static void value_of(struct bench *b, enum characteristic c, const char *data, size_t size)
{
	session_value(b->session, c, (const uint8_t *)data, size, b->now, b->now);
	run(b);
}

static void offer_heart(struct bench *b)
{
	b->properties[HEART] = NOTIFY;
}

static void offer_toy(struct bench *b)
{
	b->properties[CONTROL] = READ | PROPERTY_WRITE | PROPERTY_INDICATE;
	b->properties[DATA] = NOTIFY;
}

static void start_heart(struct bench *b)
{
	offer_heart(b);
	run(b);
	expect(b, "notify 2a37\n");
	good(b);
	expect(b, "");
	assert_true(session_running(b->session));
}

static void start_toy(struct bench *b)
{
	offer_toy(b);
	run(b);
	expect(b, "read control\n");
	answer(b, 0, 0, "\x0f\x01", 2);
	expect(b, "indicate control\nframe control 0f01\n");
	good(b);
	expect(b, "notify data\n");
	good(b);
	expect(b, "write control a104\n");
	good(b);
	assert_false(session_running(b->session));
	value(b, CONTROL, "\xf0\x04");
	expect(b, "frame control f004\n");
	assert_true(session_running(b->session));
	assert_string_equal(session_why(b->session), "");
}

/* --- the scripts --- */

static void all_that_is_offered_is_started_in_order(void **state)
{
	struct bench *b = *state;

	assert_int_equal(session_due(b->session), 0);
	offer_heart(b);
	offer_toy(b);
	b->properties[PLACE] = READ;
	b->properties[BATTERY] = READ | NOTIFY;
	run(b);
	assert_string_equal(session_offers(b->session), "toy battery heart_rate");
	assert_true(b->changed);
	expect(b, "read 2a19\n");
	answer(b, 0, 0, "\x64", 1);
	expect(b, "read 2a38\nframe 2a19 64\n");
	answer(b, 0, 0, "\x01", 1);
	expect(b, "notify 2a19\nframe 2a38 01\n");
	good(b);
	expect(b, "notify 2a37\n");
	good(b);
	expect(b, "read control\n");
	value(b, HEART, "\x00\x3c");
	expect(b, "frame 2a37 003c\n");
	answer(b, 0, 0, "\x0f\x01", 2);
	expect(b, "indicate control\nframe control 0f01\n");
	good(b);
	expect(b, "notify data\n");
	good(b);
	expect(b, "write control a104\n");
	good(b);
	assert_false(session_running(b->session));
	b->changed = false;
	value(b, CONTROL, "\xf0\x04");
	assert_true(b->changed);
	assert_true(session_running(b->session));
	assert_int_equal(session_heard(b->session), b->now);
}

static void nothing_offered_is_nothing_done(void **state)
{
	struct bench *b = *state;

	run(b);
	expect(b, "");
	assert_string_equal(session_offers(b->session), "");
	assert_true(session_running(b->session));
	assert_int_equal(session_due(b->session), USEC_INFINITY);
}

static void an_unwanted_profile_is_left_alone(void **state)
{
	struct bench *b = *state;

	session_set_wanted(b->session, HR, b->now);
	offer_toy(b);
	start_heart(b);
	assert_string_equal(session_offers(b->session), "toy heart_rate");
}

static void refused_reads_are_counted_and_gone_on_from(void **state)
{
	struct bench *b = *state;

	b->properties[PLACE] = b->properties[BATTERY] = READ;
	offer_heart(b);
	run(b);
	answer(b, SESSION_E_REFUSED, 0x02, NULL, 0);
	answer(b, SESSION_E_REFUSED, 0x0a, NULL, 0);
	expect(b, "read 2a19\nread 2a38\nnotify 2a37\n");
	assert_int_equal(session_counts(b->session)->reads_refused, 2);
}

static void a_read_without_answer_is_the_last(void **state)
{
	struct bench *b = *state;

	b->properties[PLACE] = b->properties[BATTERY] = READ;
	offer_heart(b);
	run(b);
	answer(b, SESSION_E_TIMEOUT, 0, NULL, 0);
	expect(b, "read 2a19\nnotify 2a37\n");
}

static void security_pairs_and_repeats(void **state)
{
	struct bench *b = *state;

	offer_toy(b);
	run(b);
	answer(b, SESSION_E_SECURITY, 0x0f, NULL, 0);
	expect(b, "read control\nneed pairing: the wearable wants an encrypted link\n");
	later(b, 100 * SECOND);
	expect(b, ""); /* nothing happens until then */
	session_paired(b->session, b->now);
	run(b);
	expect(b, "read control\n");
	answer(b, 0, 0, "\x0f\x01", 2);
	good(b);
	good(b);
	expect(b, "indicate control\nframe control 0f01\nnotify data\nwrite control a104\n");
}

static void security_after_pairing_gives_up_the_profile_only(void **state)
{
	struct bench *b = *state;

	offer_toy(b);
	offer_heart(b);
	run(b);
	good(b);
	answer(b, SESSION_E_SECURITY, 0x05, NULL, 0);
	session_paired(b->session, b->now);
	run(b);
	answer(b, SESSION_E_SECURITY, 0x05, NULL, 0); /* a read: the subscription has its say */
	answer(b, SESSION_E_SECURITY, 0x05, NULL, 0);
	expect(b, "notify 2a37\nread control\n"
		  "need pairing: the wearable wants an encrypted link\n"
		  "read control\nindicate control\n");
	assert_true(session_running(b->session));
	assert_string_equal(session_why(b->session),
			    "ecg: the wearable wants an encrypted link, and refused it too");
	value(b, HEART, "\x00\x3c");
	expect(b, "frame 2a37 003c\n");
	later(b, 5 * SECOND);
	expect(b, "");
}

static void a_read_is_no_reason_to_pair(void **state)
{
	struct bench *b = *state;

	b->properties[BATTERY] = READ;
	offer_heart(b);
	offer_toy(b);
	run(b);
	answer(b, SESSION_E_SECURITY, 0x05, NULL, 0);
	good(b);
	expect(b, "read 2a19\nnotify 2a37\nread control\n");
	answer(b, SESSION_E_SECURITY, 0x05, NULL, 0);
	expect(b, "need pairing: the wearable wants an encrypted link\n");
	session_paired(b->session, b->now);
	run(b);
	answer(b, 0, 0, "\x0f\x01", 2);
	expect(b, "read control\nread 2a19\nframe control 0f01\n"); /* now it may be told */
	answer(b, SESSION_E_SECURITY, 0x05, NULL, 0);
	expect(b, "indicate control\n");
	assert_int_equal(session_counts(b->session)->reads_refused, 2);
}

static void paired_when_nobody_asked_changes_nothing(void **state)
{
	struct bench *b = *state;

	offer_toy(b);
	session_paired(b->session, b->now);
	run(b);
	answer(b, SESSION_E_SECURITY, 0x05, NULL, 0);
	expect(b, "read control\nneed pairing: the wearable wants an encrypted link\n");
}

static void a_refused_subscription_is_told_and_tried_again(void **state)
{
	struct bench *b = *state;

	offer_heart(b);
	run(b);
	answer(b, SESSION_E_REFUSED, 0x0e, NULL, 0);
	expect(b, "notify 2a37\n");
	assert_string_equal(session_why(b->session),
			    "heart_rate: the wearable refused the subscription (ATT error 0x0e)");
	assert_true(session_running(b->session));
	later(b, 59 * SECOND);
	expect(b, "");
	later(b, SECOND);
	expect(b, "notify 2a37\n");
	answer(b, SESSION_E_REFUSED, 0, NULL, 0);
	assert_string_equal(session_why(b->session),
			    "heart_rate: the wearable refused the subscription");
	later(b, 60 * SECOND);
	good(b);
	expect(b, "notify 2a37\n");
	assert_string_equal(session_why(b->session), "");
}

static void a_battery_that_refuses_is_no_reason(void **state)
{
	struct bench *b = *state;

	b->properties[BATTERY] = NOTIFY;
	run(b);
	answer(b, SESSION_E_REFUSED, 0x0e, NULL, 0);
	assert_string_equal(session_why(b->session), "");
}

static void a_subscription_without_answer_twice_reconnects(void **state)
{
	struct bench *b = *state;

	offer_heart(b);
	run(b);
	answer(b, SESSION_E_TIMEOUT, 0, NULL, 0);
	answer(b, SESSION_E_TIMEOUT, 0, NULL, 0);
	expect(b, "notify 2a37\nnotify 2a37\n"
		  "need reconnect: no answer when heart rate measurement was subscribed to\n");
	later(b, 1000 * SECOND);
	expect(b, "");
	assert_false(session_running(b->session));
}

static void gone_is_gone(void **state)
{
	struct bench *b = *state;

	offer_heart(b);
	run(b);
	answer(b, SESSION_E_GONE, 0, NULL, 0);
	expect(b, "notify 2a37\nneed end: the link went away\n");
}

static void what_cannot_be_subscribed_to_is_told(void **state)
{
	struct bench *b = *state;

	b->properties[HEART] = READ;
	run(b);
	expect(b, "");
	assert_string_equal(session_why(b->session), "heart_rate: it cannot be subscribed to");
}

static void a_problem_is_told_and_tried_again(void **state)
{
	struct bench *b = *state;

	offer_toy(b);
	run(b);
	answer(b, SESSION_E_REFUSED, 2, NULL, 0);
	good(b);
	good(b);
	good(b);
	value(b, CONTROL, "\xf1");
	assert_string_equal(session_why(b->session), "ecg: invalid MTU 23");
	assert_true(session_running(b->session));
	expect(b, "read control\nindicate control\nnotify data\nwrite control a104\n"
		  "frame control f1\n");
	later(b, 60 * SECOND);
	expect(b, "write control a104\n");
	assert_string_equal(session_why(b->session), "ecg: invalid MTU 23");
	good(b);
	value(b, CONTROL, "\xf0\x04");
	assert_string_equal(session_why(b->session), "");
	expect(b, "frame control f004\n");
	value(b, DATA, "\x01");
	expect(b, "frame data 01\n");
	later(b, 2 * SECOND);
	expect(b, "");
}

static void another_mtu_is_reason_to_try_at_once(void **state)
{
	struct bench *b = *state;

	start_toy(b);
	value(b, CONTROL, "\xf1");
	session_set_mtu(b->session, 232);
	expect(b, "frame control f1\n");
	run(b);
	expect(b, "write control a104\n");
}

static void a_command_refused_is_told_to_the_dialogue(void **state)
{
	struct bench *b = *state;

	offer_toy(b);
	run(b);
	answer(b, 0, 0, "\x0f", 1);
	good(b);
	good(b);
	answer(b, SESSION_E_REFUSED, 0x80, NULL, 0);
	assert_string_equal(session_why(b->session), "ecg: refused with 80");
}

static void a_command_without_answer_is_silence(void **state)
{
	struct bench *b = *state;

	offer_toy(b);
	run(b);
	answer(b, 0, 0, "\x0f", 1);
	good(b);
	good(b);
	good(b);
	later(b, 3 * SECOND);
	value(b, CONTROL, "\xcc"); /* chatter is no answer */
	assert_string_equal(session_why(b->session), "");
	later(b, 2 * SECOND);
	assert_string_equal(session_why(b->session), "ecg: no answer");
	session_set_wanted(b->session, HR, b->now);
	run(b);
	answer(b, SESSION_E_TIMEOUT, 0, NULL, 0);
	buf_done(&b->log);
	later(b, 60 * SECOND);
	expect(b, "");
}

static void a_command_not_even_taken_reconnects(void **state)
{
	struct bench *b = *state;

	offer_toy(b);
	run(b);
	answer(b, 0, 0, "\x0f", 1);
	good(b);
	good(b);
	answer(b, SESSION_E_TIMEOUT, 0, NULL, 0);
	expect(b, "read control\nindicate control\nframe control 0f\nnotify data\n"
		  "write control a104\nneed reconnect: no answer to a command\n");
}

static void an_answer_before_its_command_was_taken_waits(void **state)
{
	struct bench *b = *state;

	offer_toy(b);
	run(b);
	answer(b, 0, 0, "\x0f", 1);
	good(b);
	good(b);
	value(b, CONTROL, "\xf0\x04");
	assert_false(session_running(b->session));
	good(b);
	assert_true(session_running(b->session));
	/* More than fit are dropped, in bounded room. */
	value(b, CONTROL, "\xee");
	for (unsigned i = 0; i < 100; i++)
		value(b, CONTROL, "\xcc");
	assert_int_equal(session_counts(b->session)->unheard, 84);
	good(b);
	assert_true(b->session);
}

static void without_a_refused_control_nothing_is_written(void **state)
{
	struct bench *b = *state;

	offer_toy(b);
	run(b);
	answer(b, 0, 0, "\x0f", 1);
	answer(b, SESSION_E_REFUSED, 0xfd, NULL, 0);
	good(b);
	expect(b, "read control\nindicate control\nframe control 0f\nnotify data\n");
	assert_string_equal(session_why(b->session),
			    "ecg: the wearable refused the subscription (ATT error 0xfd)");
	assert_true(session_running(b->session));
	later(b, 60 * SECOND);
	expect(b, "indicate control\n");
	good(b);
	expect(b, "write control a104\n");
}

static void without_refused_data_nothing_is_started(void **state)
{
	struct bench *b = *state;

	offer_toy(b);
	run(b);
	answer(b, 0, 0, "\x0f", 1);
	good(b);
	answer(b, SESSION_E_REFUSED, 0x0e, NULL, 0);
	expect(b, "read control\nindicate control\nframe control 0f\nnotify data\n");
	assert_string_equal(session_why(b->session),
			    "ecg: the wearable refused the subscription (ATT error 0x0e)");
	assert_true(session_running(b->session));
	later(b, 60 * SECOND);
	good(b);
	expect(b, "notify data\nwrite control a104\n");
}

static void without_a_control_point_the_stream_is_given_up(void **state)
{
	struct bench *b = *state;

	b->properties[DATA] = NOTIFY;
	run(b);
	expect(b, "");
	assert_string_equal(session_why(b->session),
			    "ecg: the wearable has nothing to write commands to");
	assert_true(session_running(b->session));
}

static void silence_subscribes_again_then_reconnects(void **state)
{
	struct bench *b = *state;

	start_heart(b);
	later(b, 9 * SECOND);
	value(b, HEART, "\x00\x3c");
	later(b, 9 * SECOND);
	expect(b, "frame 2a37 003c\n");
	later(b, SECOND);
	expect(b, "unsubscribe 2a37\nagain: heart rate measurement has been silent for 10 s\n");
	good(b);
	good(b);
	expect(b, "notify 2a37\n");
	assert_true(session_running(b->session));
	later(b, 19 * SECOND);
	expect(b, "");
	later(b, SECOND);
	expect(b, "need reconnect: heart rate measurement has been silent for 30 s\n");
	value(b, HEART, "\x00\x3c"); /* too late, yet it is a beat */
	expect(b, "frame 2a37 003c\n");
	later(b, 1000 * SECOND);
	expect(b, "");
}

static void a_reconnect_is_asked_for_once(void **state)
{
	struct bench *b = *state;

	start_heart(b);
	later(b, 10 * SECOND);
	later(b, 20 * SECOND); /* the carrier hangs, too */
	expect(b, "unsubscribe 2a37\nagain: heart rate measurement has been silent for 10 s\n"
		  "need reconnect: heart rate measurement has been silent for 30 s\n");
	answer(b, SESSION_E_GONE, 0, NULL, 0);
	expect(b, "");
}

static void a_value_ends_the_episode(void **state)
{
	struct bench *b = *state;

	start_heart(b);
	for (unsigned i = 0; i < 3; i++) {
		later(b, 10 * SECOND);
		answer(b, SESSION_E_REFUSED, 0x0e, NULL, 0);
		good(b);
		value(b, HEART, "\x00\x3c");
		expect(b, "unsubscribe 2a37\n"
			  "again: heart rate measurement has been silent for 10 s\n"
			  "notify 2a37\nframe 2a37 003c\n");
	}
}

static void silent_data_are_asked_of_the_dialogue(void **state)
{
	struct bench *b = *state;

	start_toy(b);
	later(b, 3 * SECOND);
	expect(b, "write control a104\nagain: PMD data has been silent for 3 s\n");
	good(b);
	value(b, CONTROL, "\xf0\x04");
	value(b, DATA, "\x01");
	expect(b, "frame control f004\nframe data 01\n");
	later(b, 3 * SECOND);
	good(b);
	value(b, CONTROL, "\xf0\x04");
	later(b, 6 * SECOND);
	expect(b, "write control a104\nagain: PMD data has been silent for 3 s\n"
		  "frame control f004\nneed reconnect: PMD data has been silent for 9 s\n");
}

/* Not every 60 s for ever: the heart rate may be gone as well, and a new link brings it back. */
static void silent_data_whose_dialogue_is_not_answered_reconnect(void **state)
{
	struct bench *b = *state;

	start_toy(b);
	value(b, DATA, "\x01");
	later(b, 3 * SECOND);
	good(b);
	expect(b, "frame data 01\nwrite control a104\n"
		  "again: PMD data has been silent for 3 s\n");
	later(b, 4 * SECOND);
	expect(b, "");
	later(b, SECOND);
	expect(b, "need reconnect: PMD data has been silent for 8 s\n");
}

static void what_does_not_run_need_not_speak(void **state)
{
	struct bench *b = *state;

	start_toy(b);
	value(b, CONTROL, "\xf1");
	expect(b, "frame control f1\n");
	later(b, 59 * SECOND);
	expect(b, "");
}

static void streams_that_the_wearable_stops_are_started_again(void **state)
{
	struct bench *b = *state;

	start_toy(b);
	value(b, CONTROL, "\xee");
	expect(b, "write control a104\nframe control ee\n");
}

static void a_dialogue_without_end_is_ended(void **state)
{
	struct bench *b = *state;
	unsigned n = 0;

	start_toy(b);
	value(b, CONTROL, "\xe0");
	for (; b->under_way; n++) {
		good(b);
		value(b, CONTROL, "\xe0");
		value(b, DATA, "\x01");
		assert_in_range(n, 0, 100);
	}
	assert_in_range(n, 30, 64);
	assert_string_equal(session_why(b->session), "ecg: the wearable talks without end");
}

static void a_dialogue_that_polls_is_opened_again(void **state)
{
	struct bench *b = *state;

	start_toy(b);
	value(b, CONTROL, "\xbb");
	value(b, CONTROL, "\xf0\x04");
	buf_done(&b->log);
	for (unsigned i = 0; i < 200; i++) {
		later(b, SECOND);
		good(b);
		value(b, CONTROL, "\xf0\x04");
		value(b, DATA, "\x01");
		expect(b, "write control a104\nframe control f004\nframe data 01\n");
	}
	assert_string_equal(session_why(b->session), "");
	/* Answered polls without data are silence all the same. */
	for (unsigned i = 0; i < 3; i++) {
		later(b, SECOND);
		good(b);
		value(b, CONTROL, "\xf0\x04");
	}
	assert_non_null(strstr((const char *)b->log.data, "again: PMD data has been silent"));
}

static void other_wishes_start_and_stop(void **state)
{
	struct bench *b = *state;

	start_toy(b);
	session_set_wanted(b->session, ECG | ACC, b->now);
	assert_int_equal(session_due(b->session), 0);
	run(b);
	expect(b, "write control a144\n");
	good(b);
	session_set_wanted(b->session, 0, b->now);
	run(b);
	value(b, CONTROL, "\xf0\x44");
	expect(b, "write control a100\nframe control f044\n"); /* which nobody wants any more */
	good(b);
	value(b, CONTROL, "\xf0\x00");
	good(b);
	good(b);
	expect(b, "unsubscribe control\nframe control f000\nunsubscribe data\n");
	value(b, DATA, "\x01");
	later(b, 5 * SECOND);
	expect(b, "");
	session_set_wanted(b->session, ECG, b->now);
	run(b);
	good(b);
	good(b);
	expect(b, "indicate control\nnotify data\nwrite control a104\n");
}

static void a_lost_subscription_is_made_again_but_not_madly(void **state)
{
	struct bench *b = *state;

	start_heart(b);
	session_unsubscribed(b->session, HEART, b->now);
	run(b);
	expect(b, "notify 2a37\n");
	session_unsubscribed(b->session, HEART, b->now); /* of the one before */
	good(b);
	expect(b, "");
	session_unsubscribed(b->session, HEART, b->now);
	session_unsubscribed(b->session, BATTERY, b->now);
	run(b);
	expect(b, "");
	later(b, 5 * SECOND);
	expect(b, "notify 2a37\n");
	good(b);
}

static void a_subscription_lost_during_a_write_is_made_again(void **state)
{
	struct bench *b = *state;

	start_toy(b);
	value(b, CONTROL, "\xe0");
	session_unsubscribed(b->session, CONTROL, b->now);
	run(b);
	good(b);
	expect(b, "write control a104\nframe control e0\nindicate control\n");
}

static void what_nobody_wants_is_no_reason(void **state)
{
	struct bench *b = *state;

	b->properties[DATA] = NOTIFY;
	run(b);
	assert_string_not_equal(session_why(b->session), "");
	session_set_wanted(b->session, HR, b->now);
	run(b);
	assert_string_equal(session_why(b->session), "");
}

static void odd_values_do_no_harm(void **state)
{
	struct bench *b = *state;
	static char large[FRAME_MAX + 1];

	session_value(b->session, HEART, (const uint8_t *)"\x00\x3c", 2, b->now,
		      b->now); /* before anything was asked for */
	assert_int_equal(session_counts(b->session)->strays, 1);
	start_heart(b);
	buf_done(&b->log);
	value(b, BATTERY, "\x64"); /* not offered */
	value(b, CHARACTERISTIC_UNKNOWN, "\x64");
	assert_int_equal(session_counts(b->session)->strays, 3);
	value(b, HEART, "");
	expect(b, "frame 2a37\n");
	value_of(b, HEART, large, FRAME_MAX + 1);
	expect(b, "");
	assert_int_equal(session_counts(b->session)->oversized, 1);
	session_done(b->session, 0, 0, NULL, 0, b->now); /* of nothing */
	expect(b, "");
}

static void a_refused_characteristic_that_speaks_is_heard(void **state)
{
	struct bench *b = *state;

	offer_heart(b);
	run(b);
	answer(b, SESSION_E_REFUSED, 0x0e, NULL, 0);
	value(b, HEART, "\x00\x3c");
	expect(b, "notify 2a37\nframe 2a37 003c\n");
}

static void closing_stops_the_streams(void **state)
{
	struct bench *b = *state;

	start_toy(b);
	assert_false(session_closed(b->session));
	session_close(b->session, b->now);
	assert_false(session_closed(b->session));
	run(b);
	expect(b, "write control a0\n");
	value(b, CONTROL, "\xee"); /* no answer is read */
	b->changed = false;
	good(b);
	assert_true(b->changed);
	assert_true(session_closed(b->session));
	later(b, 1000 * SECOND);
	expect(b, "frame control ee\n");
}

static void closing_waits_for_the_command_under_way(void **state)
{
	struct bench *b = *state;

	start_toy(b);
	value(b, CONTROL, "\xee");
	session_close(b->session, b->now);
	run(b);
	answer(b, SESSION_E_REFUSED, 0x80, NULL, 0);
	expect(b, "write control a104\nframe control ee\nwrite control a0\n");
	answer(b, SESSION_E_GONE, 0, NULL, 0);
	expect(b, "");
	assert_true(session_closed(b->session));
}

static void closing_waits_for_an_answer_but_not_long(void **state)
{
	for (unsigned answers = 0; answers < 2; answers++) {
		struct bench *b;

		assert_int_equal(setup((void **)&b), 0);
		start_toy(b);
		value(b, CONTROL, "\xee");
		good(b);
		buf_done(&b->log);
		session_close(b->session, b->now);
		run(b);
		expect(b, "");
		if (answers)
			value(b, CONTROL, "\xf0\x04");
		else
			later(b, 300 * USEC_PER_MSEC);
		expect(b,
		       answers ? "write control a0\nframe control f004\n" : "write control a0\n");
		assert_false(session_closed(b->session));
		good(b);
		assert_true(session_closed(b->session));
		teardown((void **)&b);
	}
}

static void closing_what_does_not_run_is_closed(void **state)
{
	struct bench *b = *state;

	session_close(b->session, b->now);
	run(b);
	assert_true(session_closed(b->session));
	expect(b, "");
}

static void closing_while_pairing_is_closed(void **state)
{
	struct bench *b = *state;

	offer_toy(b);
	run(b);
	answer(b, SESSION_E_SECURITY, 5, NULL, 0);
	session_close(b->session, b->now);
	run(b);
	assert_true(session_closed(b->session));
}

static void closing_repeats_nothing(void **state)
{
	struct bench *b = *state;

	offer_heart(b);
	run(b);
	answer(b, SESSION_E_SECURITY, 5, NULL, 0);
	session_paired(b->session, b->now);
	session_close(b->session, b->now);
	run(b);
	expect(b, "notify 2a37\nneed pairing: the wearable wants an encrypted link\n");
	assert_true(session_closed(b->session));
}

static void closing_stops_what_ran_before_the_bond_was_asked_for(void **state)
{
	struct bench *b = *state;

	start_toy(b);
	value(b, CONTROL, "\xee");
	answer(b, SESSION_E_SECURITY, 5, NULL, 0);
	buf_done(&b->log);
	session_close(b->session, b->now);
	run(b);
	expect(b, "write control a0\n");
	answer(b, SESSION_E_SECURITY, 5, NULL, 0);
	assert_true(session_closed(b->session));
}

/* Whatever the handler is told, it may end the session there. */
static void the_handler_may_free_the_session(void **state)
{
	for (unsigned which = 0; which < 4; which++) {
		struct bench *b;

		assert_int_equal(setup((void **)&b), 0);
		if (which == 0) {
			b->free_at_news = true;
			offer_heart(b);
			run(b);
		} else if (which == 1) {
			start_heart(b);
			b->free_at_news = true;
			value(b, HEART, "\x00\x3c");
		} else if (which == 2) {
			start_heart(b);
			b->free_at_news = true;
			later(b, 10 * SECOND);
		} else {
			offer_heart(b);
			run(b);
			b->free_at_news = true;
			answer(b, SESSION_E_GONE, 0, NULL, 0);
		}
		assert_null(b->session);
		teardown((void **)&b);
	}
}

#define script(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		script(all_that_is_offered_is_started_in_order),
		script(nothing_offered_is_nothing_done),
		script(an_unwanted_profile_is_left_alone),
		script(refused_reads_are_counted_and_gone_on_from),
		script(a_read_without_answer_is_the_last),
		script(security_pairs_and_repeats),
		script(security_after_pairing_gives_up_the_profile_only),
		script(a_read_is_no_reason_to_pair),
		script(paired_when_nobody_asked_changes_nothing),
		script(a_refused_subscription_is_told_and_tried_again),
		script(a_battery_that_refuses_is_no_reason),
		script(a_subscription_without_answer_twice_reconnects),
		script(gone_is_gone),
		script(what_cannot_be_subscribed_to_is_told),
		script(a_problem_is_told_and_tried_again),
		script(another_mtu_is_reason_to_try_at_once),
		script(a_command_refused_is_told_to_the_dialogue),
		script(a_command_without_answer_is_silence),
		script(a_command_not_even_taken_reconnects),
		script(an_answer_before_its_command_was_taken_waits),
		script(without_a_refused_control_nothing_is_written),
		script(without_refused_data_nothing_is_started),
		script(without_a_control_point_the_stream_is_given_up),
		script(silence_subscribes_again_then_reconnects),
		script(a_reconnect_is_asked_for_once),
		script(a_value_ends_the_episode),
		script(silent_data_are_asked_of_the_dialogue),
		script(silent_data_whose_dialogue_is_not_answered_reconnect),
		script(what_does_not_run_need_not_speak),
		script(streams_that_the_wearable_stops_are_started_again),
		script(a_dialogue_without_end_is_ended),
		script(a_dialogue_that_polls_is_opened_again),
		script(other_wishes_start_and_stop),
		script(a_lost_subscription_is_made_again_but_not_madly),
		script(a_subscription_lost_during_a_write_is_made_again),
		script(what_nobody_wants_is_no_reason),
		script(odd_values_do_no_harm),
		script(a_refused_characteristic_that_speaks_is_heard),
		script(closing_stops_the_streams),
		script(closing_waits_for_the_command_under_way),
		cmocka_unit_test(closing_waits_for_an_answer_but_not_long),
		script(closing_what_does_not_run_is_closed),
		script(closing_while_pairing_is_closed),
		script(closing_repeats_nothing),
		script(closing_stops_what_ran_before_the_bond_was_asked_for),
		cmocka_unit_test(the_handler_may_free_the_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
