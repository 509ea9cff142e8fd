/*
 * Between a strap, which knows only its own crystal, and the real world.
 *
 * Time. The strap's time runs `speed * (1 + drift)` times as fast as CLOCK_BOOTTIME. The two are
 * pinned together at an anchor; a new rate, or the end of a pause, sets a new anchor where both
 * are, so the strap's time never jumps and never runs back.
 *
 *	strap ns = anchor_ns + (boot - anchor_us) * 1000 * rate
 *
 * A notification's way, and what the truth calls its end:
 *
 *	strap_next -> no daemon ------------------------> no_listener
 *	           -> link is down ---------------------> no_link
 *	           -> gap, mute, --drop ----------------> lost_in_air
 *	           -> (mangled?) -> socket is full -----> full
 *	                         -> in the socket ------> yes   (and perhaps once more: duplicate)
 *
 * On the air it may be late (--jitter, --stall): it is handed over then, and never before the one
 * before it. The truth has both times.
 *
 * What happens each so many seconds, and the return of a link, is looked at when a notification is
 * due: a strap has one each second at least, so that is when anybody could notice.
 */
#include "source/wearer.h"

#include "source/dice.h"
#include "util/clock.h"

#include <stdio.h>

#define NS_PER_SEC	     UINT64_C(1000000000)
#define SECONDS_1970_TO_2000 946684800

struct recurring {
	uint64_t every_ns; /* 0: never */
	uint64_t next_ns;
};

struct wearer {
	const struct simulator_options *options;
	struct air *air;
	struct truth *truth;
	struct strap *strap;
	struct dice dice;
	double rate;
	usec_t anchor_us;
	uint64_t anchor_ns;
	uint64_t end_ns;
	bool paused;
	bool away;
	uint64_t back_ns; /* when the link may come back */
	uint64_t mute_until_ns;
	struct recurring link_loss, disconnect, clock_reset, stall;
	uint64_t stalled_until_ns;
	uint64_t arrives_ns; /* of the next notification, on the strap's time as well */
	unsigned to_lose[CHARACTERISTIC_MAX_];
	bool to_duplicate[CHARACTERISTIC_MAX_];
	bool to_mangle[CHARACTERISTIC_MAX_];
};

static const enum characteristic notified[] = {
	CHARACTERISTIC_HEART_RATE_MEASUREMENT,
	CHARACTERISTIC_BATTERY_LEVEL,
	CHARACTERISTIC_PMD_DATA,
};

static const enum characteristic readable[] = {
	CHARACTERISTIC_BATTERY_LEVEL,	  CHARACTERISTIC_BODY_SENSOR_LOCATION,
	CHARACTERISTIC_MANUFACTURER_NAME, CHARACTERISTIC_MODEL_NUMBER,
	CHARACTERISTIC_SERIAL_NUMBER,	  CHARACTERISTIC_FIRMWARE_REVISION,
	CHARACTERISTIC_HARDWARE_REVISION, CHARACTERISTIC_SOFTWARE_REVISION,
};

static uint64_t nanoseconds(double seconds)
{
	return (uint64_t)(seconds * (double)NS_PER_SEC);
}

static double rate_of(const struct simulator_options *o, double ppm)
{
	return o->speed * (1 + ppm * 1e-6);
}

static uint64_t strap_time(const struct wearer *w, usec_t now)
{
	if (w->paused || now <= w->anchor_us)
		return w->anchor_ns;
	return w->anchor_ns + (uint64_t)((double)(now - w->anchor_us) * 1000 * w->rate);
}

static void set_anchor(struct wearer *w, usec_t now)
{
	w->anchor_ns = strap_time(w, now);
	w->anchor_us = now;
}

static struct recurring recurring_make(double every_s)
{
	uint64_t ns = nanoseconds(every_s);

	return (struct recurring){.every_ns = ns, .next_ns = ns};
}

static bool recurring_is_due(struct recurring *r, uint64_t at_ns)
{
	if (r->every_ns == 0 || at_ns < r->next_ns)
		return false;
	r->next_ns += r->every_ns;
	return true;
}

/* When the next notification comes through the air. */
static void send_next(struct wearer *w)
{
	uint64_t due_ns = strap_due(w->strap), late_ns = 0;

	if (w->options->jitter_s > 0)
		late_ns = nanoseconds(w->options->jitter_s * dice_unit(&w->dice));
	if (recurring_is_due(&w->stall, due_ns))
		w->stalled_until_ns = due_ns + nanoseconds(w->options->stall_s);
	w->arrives_ns = MAX(w->arrives_ns, MAX(due_ns + late_ns, w->stalled_until_ns));
}

/* CLOCK_BOOTTIME of a time of the strap; of the past too. */
static usec_t boot_time(const struct wearer *w, uint64_t ns)
{
	double since_ns = (double)(int64_t)(ns - w->anchor_ns);

	return w->anchor_us + (usec_t)(int64_t)(since_ns / 1000 / w->rate);
}

struct wearer *wearer_free(struct wearer *w)
{
	if (!w)
		return NULL;
	strap_free(w->strap);
	free(w);
	return NULL;
}

int wearer_new(const struct simulator_options *options, unsigned index, struct air *air,
	       struct truth *truth, usec_t now, struct wearer **ret)
{
	_cleanup_(wearer_freep) struct wearer *w = calloc(1, sizeof(*w));
	int64_t since_2000_us = clock_wall_usec() - SECONDS_1970_TO_2000 * INT64_C(1000000);
	struct strap_options strap = {
		.index = index,
		.seed = options->seed,
		.ecg = index<options->n_ecg, .contact_bits = index >= options->n_ecg,
			     .clock_ns = since_2000_us> 0
			       ? (uint64_t)since_2000_us * 1000
			       : STRAP_CLOCK_RESET_NS,
	};
	int r;

	if (!w)
		return -ENOMEM;
	*w = (struct wearer){.options = options, .air = air, .truth = truth, .anchor_us = now};
	w->dice.state = options->seed + (uint64_t)index * 1000003;
	w->rate = rate_of(options, options->drift_ppm[index]);
	w->end_ns = options->duration_s > 0 ? nanoseconds(options->duration_s) : UINT64_MAX;
	w->link_loss = recurring_make(options->link_loss_every_s);
	w->disconnect = recurring_make(options->disconnect_every_s);
	w->clock_reset = recurring_make(options->clock_reset_every_s);
	w->stall = recurring_make(options->stall_every_s);
	r = strap_new(&strap, &w->strap);
	if (r < 0)
		return r;
	send_next(w);
	truth_event(truth, now, "strap", strap_address(w->strap), ",\"name\":\"%s\",\"ecg\":%s",
		    strap_name(w->strap), strap.ecg ? "true" : "false");
	*ret = TAKE(w);
	return 0;
}

bool wearer_is_finished(const struct wearer *w)
{
	return strap_due(w->strap) >= w->end_ns;
}

usec_t wearer_due(const struct wearer *w)
{
	if (w->paused || wearer_is_finished(w))
		return USEC_INFINITY;
	return w->arrives_ns <= w->anchor_ns ? w->anchor_us : boot_time(w, w->arrives_ns);
}

const char *wearer_address(const struct wearer *w)
{
	return strap_address(w->strap);
}

enum characteristic wearer_characteristic(const struct wearer *w, const char *word)
{
	enum characteristic c = CHARACTERISTIC_PMD_DATA;

	if (word)
		c = characteristic_parse(word);
	else if (!strap_notifies(w->strap, c))
		c = CHARACTERISTIC_HEART_RATE_MEASUREMENT;
	return strap_notifies(w->strap, c) ? c : CHARACTERISTIC_UNKNOWN;
}

static void say_values(struct wearer *w, struct handover *m)
{
	m->kind = HANDOVER_VALUE;
	for (size_t i = 0; i < ARRAY_SIZE(readable); i++) {
		m->characteristic = readable[i];
		m->n_value = strap_value(w->strap, readable[i], m->value, sizeof(m->value));
		if (m->n_value > 0)
			air_say(w->air, m);
	}
}

void wearer_link(struct wearer *w, usec_t now)
{
	struct handover m = {.kind = HANDOVER_STRAP};

	if (w->away || !air_has_listener(w->air))
		return;
	(void)snprintf(m.device, sizeof(m.device), "%s", wearer_address(w));
	(void)snprintf(m.name, sizeof(m.name), "%s", strap_name(w->strap));
	truth_event(w->truth, now, "link", m.device, "%s", "");
	air_say(w->air, &m);
	say_values(w, &m);
	for (size_t i = 0; i < ARRAY_SIZE(notified); i++)
		if (strap_notifies(w->strap, notified[i]))
			air_link(w->air, m.device, notified[i], STRAP_MTU);
}

void wearer_unlink(struct wearer *w, enum gap_reason why, double away_s, usec_t now)
{
	uint64_t back_ns = MAX(strap_time(w, now), strap_due(w->strap)) + nanoseconds(away_s);

	truth_event(w->truth, now, why == GAP_LINK_LOSS ? "link_loss" : "disconnect",
		    wearer_address(w), ",\"away_s\":%g", away_s);
	if (!w->away && air_has_listener(w->air))
		air_unlink(w->air, wearer_address(w), why);
	w->away = true;
	w->back_ns = MAX(back_ns, w->back_ns);
}

void wearer_jump_clock(struct wearer *w, double seconds, usec_t now)
{
	truth_event(w->truth, now, "clock_jump", wearer_address(w), ",\"s\":%g", seconds);
	strap_jump_clock(w->strap, (int64_t)(seconds * (double)NS_PER_SEC));
}

void wearer_reset_clock(struct wearer *w, usec_t now)
{
	truth_event(w->truth, now, "clock_reset", wearer_address(w), "%s", "");
	strap_reset_clock(w->strap);
}

/* What is due at this strap time, before the notification of that time. */
static void misbehave(struct wearer *w, uint64_t at_ns, usec_t now)
{
	if (recurring_is_due(&w->clock_reset, at_ns))
		wearer_reset_clock(w, now);
	if (w->away && at_ns >= w->back_ns) {
		w->away = false;
		wearer_link(w, now);
	}
	if (recurring_is_due(&w->link_loss, at_ns))
		wearer_unlink(w, GAP_LINK_LOSS, w->options->away_s, now);
	if (recurring_is_due(&w->disconnect, at_ns))
		wearer_unlink(w, GAP_DISCONNECTED, w->options->away_s, now);
}

static bool take_count(unsigned *n)
{
	return *n > 0 && (*n)-- > 0;
}

static bool take_flag(bool *flag)
{
	bool was = *flag;

	*flag = false;
	return was;
}

static bool is_lost(struct wearer *w, const struct strap_event *e)
{
	return e->at_ns < w->mute_until_ns || take_count(&w->to_lose[e->characteristic]) ||
	       dice_chance(&w->dice, w->options->drop);
}

/* Bytes that no decoder may accept: too short for their own format, or a battery above 100 %. */
static void mangle(struct wearer *w, struct strap_event *e)
{
	switch (e->characteristic) {
	case CHARACTERISTIC_HEART_RATE_MEASUREMENT:
		e->size = dice_below(&w->dice, 3);
		e->data[0] |= 0x01; /* a 16-bit rate: two bytes are one too few */
		break;
	case CHARACTERISTIC_PMD_DATA: e->size = dice_below(&w->dice, 10); break;
	default: e->data[0] = (uint8_t)(101 + dice_below(&w->dice, 155)); break;
	}
}

static void deliver(struct wearer *w, const struct strap_event *e, const char *what, bool meaning,
		    usec_t now)
{
	struct truth_entry entry = {.boot_us = now,
				    .taken_us = boot_time(w, e->at_ns),
				    .device = wearer_address(w),
				    .what = what,
				    .event = e,
				    .meaning = meaning};

	entry.handed = air_send(w->air, entry.device, e->characteristic, e->data, e->size,
				truth_next(w->truth));
	truth_notification(w->truth, &entry);
}

static void lose(struct wearer *w, const struct strap_event *e, usec_t now)
{
	truth_notification(w->truth, &(struct truth_entry){.boot_us = now,
							   .taken_us = boot_time(w, e->at_ns),
							   .device = wearer_address(w),
							   .what = "ok",
							   .handed = HANDED_LOST_IN_AIR,
							   .event = e,
							   .meaning = true});
}

void wearer_step(struct wearer *w, usec_t now)
{
	struct strap_event e;
	bool duplicate, malformed;

	misbehave(w, strap_due(w->strap), now);
	strap_next(w->strap, &e);
	send_next(w);
	if (w->away || !air_has_listener(w->air)) {
		deliver(w, &e, "ok", true, now);
		return;
	}
	if (is_lost(w, &e)) {
		lose(w, &e, now);
		return;
	}
	malformed = take_flag(&w->to_mangle[e.characteristic]) ||
		    dice_chance(&w->dice, w->options->malformed);
	duplicate = take_flag(&w->to_duplicate[e.characteristic]) ||
		    dice_chance(&w->dice, w->options->duplicate);
	if (malformed)
		mangle(w, &e);
	deliver(w, &e, malformed ? "malformed" : "ok", !malformed, now);
	if (duplicate)
		deliver(w, &e, malformed ? "malformed" : "duplicate", !malformed, now);
}

void wearer_lose(struct wearer *w, enum characteristic c, unsigned n)
{
	w->to_lose[c] += n;
}

void wearer_duplicate(struct wearer *w, enum characteristic c)
{
	w->to_duplicate[c] = true;
}

void wearer_mangle(struct wearer *w, enum characteristic c)
{
	w->to_mangle[c] = true;
}

void wearer_inject(struct wearer *w, enum characteristic c, const uint8_t *data, size_t size,
		   usec_t now)
{
	struct strap_event e = {.characteristic = c,
				.at_ns = strap_time(w, now),
				.size = MIN(size, sizeof(e.data))};

	memcpy(e.data, data, e.size);
	deliver(w, &e, "malformed", false, now);
}

void wearer_drift(struct wearer *w, double ppm, usec_t now)
{
	truth_event(w->truth, now, "drift", wearer_address(w), ",\"ppm\":%g", ppm);
	set_anchor(w, now);
	w->rate = rate_of(w->options, ppm);
}

void wearer_mute(struct wearer *w, double seconds, usec_t now)
{
	truth_event(w->truth, now, "mute", wearer_address(w), ",\"for_s\":%g", seconds);
	w->mute_until_ns = strap_time(w, now) + nanoseconds(seconds);
}

void wearer_pause(struct wearer *w, bool paused, usec_t now)
{
	if (w->paused == paused)
		return;
	truth_event(w->truth, now, paused ? "pause" : "resume", wearer_address(w), "%s", "");
	set_anchor(w, now);
	w->paused = paused;
}
