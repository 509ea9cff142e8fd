/*
 * Any wearable, any answers, any time: the session stays within its rules. The profiles are the real
 * ones. Records of three octets: what, which, how.
 *
 *	00 c p    the wearable offers characteristic c with properties p (at the start only)
 *	01 r e    the operation under way ends with result r, error e; a read gives what follows
 *	02 c n    characteristic c says the n octets that follow
 *	03 h l    time passes: 256 h + l ticks of 20 ms
 *	04 k n    other kinds are wanted; n b3: the memory; b6-7: what its questions are answered with
 *	05 c .    the subscription to c ended
 *	06 . .    paired
 *	07 m .    MTU
 *	08 . .    close
 *
 * Held: one operation at a time and only on what is offered; nothing happens while pairing, after a
 * reconnect was asked for or when all is closed; what is due is done, or it would be due for ever.
 */
#include "decode/protocol.h"
#include "source/session.h"
#include "util/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                  \
	do {                              \
		if (!(condition))         \
			__builtin_trap(); \
	} while (0)

#define TICK (20 * USEC_PER_MSEC)

struct play {
	struct session *session;
	uint8_t properties[CHARACTERISTIC_MAX_];
	usec_t now;
	bool under_way, pairing, over, within;
	unsigned n_operations;
	uint8_t answer; /* to what a memory asks */
};

static void begin(struct play *p, enum characteristic c)
{
	CHECK(!p->under_way && !p->pairing && !p->over && p->properties[c]);
	p->under_way = true;
	p->n_operations++;
}

static unsigned on_properties(void *userdata, enum characteristic c)
{
	return ((struct play *)userdata)->properties[c];
}

static void on_read(void *userdata, enum characteristic c)
{
	begin(userdata, c);
}

static void on_write(void *userdata, enum characteristic c, const uint8_t *data, size_t size)
{
	CHECK(size > 0 && size <= DIALOGUE_OUT_MAX);
	begin(userdata, c);
}

static void on_subscribe(void *userdata, enum characteristic c, bool indicate)
{
	struct play *p = userdata;

	CHECK(p->properties[c] & (indicate ? PROPERTY_INDICATE : PROPERTY_NOTIFY));
	begin(p, c);
}

static void on_frame(void *userdata, const struct frame *f)
{
	CHECK(f->size <= FRAME_MAX && f->characteristic != CHARACTERISTIC_UNKNOWN);
}

static void on_need(void *userdata, enum session_need need, const char *why)
{
	struct play *p = userdata;

	CHECK(!p->over && !p->pairing && why[0]);
	p->pairing = need == SESSION_NEED_PAIRING;
	p->over = !p->pairing;
}

static void on_rung(void *userdata, enum rung rung, const char *why)
{
	CHECK(rung == RUNG_RESUBSCRIBE && why[0]);
}

static void on_changed(void *userdata)
{
}

static void on_recorder(void *userdata, struct recorder *r)
{
	struct play *p = userdata;

	CHECK(!p->over);
	r->answer = p->answer % 3;
	memcpy(r->name, "V1", 3);
	memcpy(r->why, "no", 3);
}

/* As an owner's timer does. */
static void settle(struct play *p)
{
	for (unsigned i = 0; session_due(p->session) <= p->now; i++) {
		CHECK(i < 4);
		session_tick(p->session, p->now);
	}
	CHECK(!session_closed(p->session) || !p->under_way || p->over);
}

static void finish(struct play *p, uint8_t result, uint8_t error, struct bytes *b)
{
	static const uint8_t nothing;
	size_t size = MIN(bytes_left(b), error);
	const uint8_t *value = result % 5 == 0 && size ? bytes_take(b, size) : &nothing;

	if (!p->under_way)
		return;
	p->under_way = false;
	session_done(p->session, result % 5, error, value, value == &nothing ? 0 : size, p->now);
}

static void step(struct play *p, uint8_t what, uint8_t which, uint8_t how, struct bytes *b)
{
	enum characteristic c = which % CHARACTERISTIC_MAX_;
	size_t size = MIN(bytes_left(b), how);
	uint8_t long_value[FRAME_MAX + 1] = {0};

	switch (what) {
	case 1: finish(p, which, how, b); break;
	case 2:
		if (how == 255)
			session_value(p->session, c, long_value, sizeof(long_value), p->now,
				      p->now);
		else
			session_value(p->session, c, bytes_take(b, size), size, p->now, p->now);
		break;
	case 3: p->now += (which * 256U + how) * TICK; break;
	case 4:
		p->answer = how >> 6;
		session_set_wanted(p->session,
				   which * 2U | (how & 7U) << 9 | (how & 8U ? RECORDER_WANTED : 0),
				   p->now);
		break;
	case 5: session_unsubscribed(p->session, c, p->now); break;
	case 6:
		p->pairing = false;
		session_paired(p->session, p->now);
		break;
	case 7: session_set_mtu(p->session, (uint16_t)(23 + which)); break;
	case 8:
		p->pairing = false;
		session_close(p->session, p->now);
		break;
	default: break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct play play = {.now = USEC_PER_SEC};
	const struct session_carrier carrier = {&play,	  on_properties, on_read,
						on_write, on_subscribe,	 on_read};
	const struct session_handler handler = {&play,	 on_frame,   on_need,
						on_rung, on_changed, on_recorder};
	struct bytes b = bytes_make(data, size);
	bool started = false;
	unsigned n = 0;

	if (session_new(protocol_profiles(), PROFILE_KINDS_ALL | RECORDER_WANTED, &carrier,
			&handler, play.now, &play.session) != 0)
		__builtin_trap();
	for (; bytes_left(&b) >= 3; n++) {
		uint8_t what = bytes_u8(&b), which = bytes_u8(&b), how = bytes_u8(&b);

		if (what == 0 && !started) {
			play.properties[which % CHARACTERISTIC_MAX_] = how;
			continue;
		}
		if (!started)
			settle(&play);
		started = true;
		step(&play, what, which, how, &b);
		settle(&play);
	}
	CHECK(play.n_operations <= n + 1);
	session_free(play.session);
	return 0;
}
