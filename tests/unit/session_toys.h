/*
 * For tests of sessions: profiles that are toys, a carrier that is a page of text, and time that is
 * told. The dialogue has words of one octet:
 *
 *	a1 KINDS   start these     f0 KINDS  they run       0f ..   features, when read
 *	a0         stop all        f1        MTU too small  ee      stopped by itself
 *	                           e0        asks for a1    bb      wants to be polled
 */
#pragma once

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

static inline void toy_say(struct dialogue *d, uint8_t word)
{
	d->out[0] = word;
	d->out[1] = (uint8_t)d->wanted;
	d->n_out = word == 0xa1 ? 2 : 1;
	d->done = false;
}

static inline void toy_heard(struct dialogue *d, struct toy *toy, const uint8_t *data, size_t size)
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

static inline void toy_converse(struct dialogue *d, enum dialogue_event event, const uint8_t *data,
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
	case DIALOGUE_ANSWERED: break;
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

static inline unsigned properties(void *userdata, enum characteristic c)
{
	return ((struct bench *)userdata)->properties[c];
}

static const char *short_name(enum characteristic c)
{
	return c == CONTROL ? "control" : c == DATA ? "data" : characteristic_uuid(c);
}

static inline void log_line(struct bench *b, const char *verb, enum characteristic c,
			    const uint8_t *data, size_t size)
{
	buf_printf(&b->log, "%s %s", verb, short_name(c));
	for (size_t i = 0; i < size; i++)
		buf_printf(&b->log, "%s%02x", i ? "" : " ", data[i]);
	buf_printf(&b->log, "\n");
}

static inline void operation(struct bench *b, const char *verb, enum characteristic c,
			     const uint8_t *data, size_t size)
{
	assert_false(b->under_way);
	b->under_way = true;
	log_line(b, verb, c, data, size);
}

static inline void on_read(void *userdata, enum characteristic c)
{
	operation(userdata, "read", c, NULL, 0);
}

static inline void on_write(void *userdata, enum characteristic c, const uint8_t *data, size_t size)
{
	operation(userdata, "write", c, data, size);
}

static inline void on_subscribe(void *userdata, enum characteristic c, bool indicate)
{
	operation(userdata, indicate ? "indicate" : "notify", c, NULL, 0);
}

static inline void on_unsubscribe(void *userdata, enum characteristic c)
{
	operation(userdata, "unsubscribe", c, NULL, 0);
}

static inline void maybe_free(struct bench *b)
{
	if (b->free_at_news)
		b->session = session_free(b->session);
}

static inline void on_frame(void *userdata, const struct frame *f)
{
	log_line(userdata, "frame", f->characteristic, f->data, f->size);
	maybe_free(userdata);
}

static inline void on_need(void *userdata, enum session_need need, const char *why)
{
	static const char *const needs[] = {
		[SESSION_NEED_PAIRING] = "pairing",
		[SESSION_NEED_RECONNECT] = "reconnect",
		[SESSION_NEED_RENEW] = "renew",
		[SESSION_NEED_END] = "end",
	};
	struct bench *b = userdata;

	buf_printf(&b->log, "need %s: %s\n", needs[need], why);
	maybe_free(b);
}

static inline void on_rung(void *userdata, enum rung rung, const char *why)
{
	struct bench *b = userdata;

	assert_int_equal(rung, RUNG_RESUBSCRIBE);
	buf_printf(&b->log, "again: %s\n", why);
	maybe_free(b);
}

static inline void on_changed(void *userdata)
{
	struct bench *b = userdata;

	b->changed = true;
	maybe_free(b);
}

static inline int setup(void **state)
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

static inline int teardown(void **state)
{
	struct bench *b = *state;

	session_free(b->session);
	buf_done(&b->log);
	free(b);
	return 0;
}

static inline void expect(struct bench *b, const char *lines)
{
	buf_printf(&b->log, "%s", "");
	assert_string_equal(b->log.data ? (const char *)b->log.data : "", lines);
	buf_done(&b->log);
}

/* As an owner does with a timer: whatever is due, until nothing is; never for ever. */
static inline void run(struct bench *b)
{
	for (unsigned i = 0; b->session && session_due(b->session) <= b->now; i++) {
		assert_in_range(i, 0, 3);
		session_tick(b->session, b->now);
	}
}

static inline void later(struct bench *b, usec_t how_much)
{
	usec_t end = b->now + how_much;

	while (b->session && session_due(b->session) <= end) {
		b->now = MAX(b->now, session_due(b->session));
		run(b);
	}
	b->now = end;
}

static inline void answer(struct bench *b, int result, uint8_t att_error, const char *data,
			  size_t size)
{
	assert_true(b->under_way);
	b->under_way = false;
	b->now += 30 * USEC_PER_MSEC;
	session_done(b->session, result, att_error, (const uint8_t *)data, size, b->now);
	run(b);
}

static inline void good(struct bench *b)
{
	answer(b, 0, 0, NULL, 0);
}

#define value(b, c, bytes) value_of(b, c, bytes, sizeof(bytes) - 1)
static inline void value_of(struct bench *b, enum characteristic c, const char *data, size_t size)
{
	session_value(b->session, c, (const uint8_t *)data, size, b->now, b->now);
	run(b);
}

static inline void offer_heart(struct bench *b)
{
	b->properties[HEART] = NOTIFY;
}

static inline void offer_toy(struct bench *b)
{
	b->properties[CONTROL] = READ | PROPERTY_WRITE | PROPERTY_INDICATE;
	b->properties[DATA] = NOTIFY;
}

static inline void start_heart(struct bench *b)
{
	offer_heart(b);
	run(b);
	expect(b, "notify 2a37\n");
	good(b);
	expect(b, "");
	assert_true(session_running(b->session));
}

static inline void start_toy(struct bench *b)
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

#define script(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
