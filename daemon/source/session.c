/*
 * One link that is up, from the first question to the last beat.
 *
 *	subscribe -> read what is read once -> open the dialogue -> let it talk ... -> watch
 *
 * Streams without a dialogue come first, so that no beat is lost while a serial number is read (which
 * may take 10 s to fail), while ECG is asked for, or while a wearable that wants to be paired for
 * its ECG only is being paired. What has a dialogue is read before it is subscribed to.
 *
 * There is no plan that could be out of date: after whatever happened, settle() looks at what each
 * characteristic and each dialogue is and should be, and begins the one operation that comes first
 * in the order above. So a refusal, a pairing, other wishes of the owner and a socket that ended
 * need no paths of their own; they change what is, or what should be.
 *
 * What a wearable can do to us is bounded: reads are asked once, what refuses is asked every RETRY,
 * a socket that ends again and again is opened every LOST_PAUSE, and the dialogues see to themselves.
 */
#include "source/session_state.h"

#include <stdio.h>

#define LOST_PAUSE     (5 * USEC_PER_SEC)
#define SILENCE_MAX    (200 * USEC_PER_SEC)  /* three of them before a link is given up: 10 min */
#define CLOSE_PATIENCE (300 * USEC_PER_MSEC) /* an H10 answers in a third of it */

static const char not_secure_enough[] = "the wearable wants an encrypted link, and refused it too";

static const char kept[] = "bluetoothd keeps the last subscription";

static bool indicates(const struct line *l)
{
	bool asked = l->what->use & (PROFILE_INDICATE | PROFILE_CONTROL);

	return l->properties & PROPERTY_INDICATE && (asked || !(l->properties & PROPERTY_NOTIFY));
}

static void need(struct session *s, enum session_need what, const char *why)
{
	s->need_untold = true;
	s->need = what;
	(void)snprintf(s->need_why, sizeof(s->need_why), "%s", why);
	if (what == SESSION_NEED_PAIRING)
		s->pairing = PAIRING;
	else if (what != SESSION_NEED_RENEW)
		s->over = true;
}

/* --- the watch --- */

static bool should_speak(const struct session *s, const struct line *l)
{
	const struct dialogue *d = &l->part->dialogue;

	if (!l->what->silence || !l->on || !line_desired(s, l))
		return false;
	if (!l->part->profile->converse)
		return true;
	return d->running & (l->what->kinds ? l->what->kinds & s->wanted : ~0U);
}

static bool can_ring(const struct line *l)
{
	return !l->part->profile->converse || l->part->phase == IDLE;
}

static usec_t silence_of(const struct session *s, const struct line *l)
{
	usec_t silence = l->what->silence;

	for (unsigned i = 0; i < s->patience && silence < SILENCE_MAX; i++)
		silence = MIN(2 * silence, SILENCE_MAX);
	return silence;
}

static usec_t watch_due(const struct session *s, const struct line *l)
{
	if (!should_speak(s, l))
		return USEC_INFINITY;
	if (!l->since)
		return 0;
	if (l->rung)
		return l->rung_at + 2 * silence_of(s, l);
	return can_ring(l) ? l->since + silence_of(s, l) : USEC_INFINITY;
}

static void ring(struct session *s, struct line *l, usec_t now)
{
	struct dialogue *d = &l->part->dialogue;

	l->rung = l->rung_untold = true;
	l->rung_at = now;
	l->silent_for = now - l->since;
	if (!l->part->profile->converse) {
		l->renew = true;
		return;
	}
	d->silent = l->what->kinds ? l->what->kinds & d->running : d->running;
	session_dialogue_event(s, l->part, DIALOGUE_SILENT, NULL, 0, now);
}

/*
 * It was asked again, and said nothing for twice its silence; or it spoke, and now its dialogue has
 * asked in vain: whoever is there does not listen any more.
 */
static bool is_dead(const struct session *s, const struct line *l, usec_t now)
{
	if (!l->since)
		return false;
	if (should_speak(s, l))
		return l->rung && now >= watch_due(s, l);
	return l->part->phase == IDLE && l->part->unanswered;
}

static void need_reconnect(struct session *s, struct line *l, usec_t now)
{
	char why[WHY_SIZE];

	l->silent_for = now - l->since;
	session_tell_silent(l, why);
	need(s, SESSION_NEED_RECONNECT, why);
}

static void watch(struct session *s, usec_t now)
{
	for (unsigned c = 0; c < CHARACTERISTIC_MAX_; c++) {
		struct line *l = &s->lines[c];

		if (!l->what || !line_desired(s, l)) {
			l->rung = false;
			l->since = 0;
		} else if (is_dead(s, l, now)) {
			need_reconnect(s, l, now);
			return;
		} else if (!should_speak(s, l)) {
			l->since = l->rung ? l->since : 0; /* it is being asked again */
		} else if (!l->since) {
			l->since = now;
		} else if (now >= watch_due(s, l) && !l->rung) {
			ring(s, l, now);
		}
	}
}

/* --- which operation comes next --- */

static bool next_is(struct session *s, enum action action, enum characteristic c)
{
	s->operation = (struct operation){.action = action, .characteristic = c};
	return true;
}

static bool next_write(struct session *s, struct part *p)
{
	if (p->phase != READY)
		return false;
	(void)next_is(s, WRITE, p->control);
	memcpy(s->operation.data, p->dialogue.out, p->dialogue.n_out);
	s->operation.size = p->dialogue.n_out;
	p->dialogue.n_out = 0;
	p->phase = WRITING;
	return true;
}

static bool next_read(struct session *s, const struct part *p)
{
	for (size_t k = 0; part_used(s, p) && k < p->profile->n_characteristics; k++) {
		enum characteristic c = p->profile->characteristics[k].characteristic;
		struct line *l = &s->lines[c];

		if (l->part == p && l->what->use & PROFILE_READ && l->properties & PROPERTY_READ &&
		    !l->read)
			return next_is(s, READ, c);
	}
	return false;
}

enum which { CONTROLS, STREAMS, ALL_BUT_CONTROLS };

static bool is_among(const struct line *l, enum which which)
{
	if (l->what->use & PROFILE_CONTROL)
		return which == CONTROLS;
	return which == ALL_BUT_CONTROLS || (which == STREAMS && l->what->kinds);
}

static bool next_subscription(struct session *s, const struct part *p, enum which which, usec_t now)
{
	for (size_t k = 0; part_used(s, p) && k < p->profile->n_characteristics; k++) {
		enum characteristic c = p->profile->characteristics[k].characteristic;
		struct line *l = &s->lines[c];

		if (l->part != p || !is_among(l, which) || !line_desired(s, l) ||
		    !line_can_subscribe(l))
			continue;
		if (l->on && l->renew)
			return next_is(s, UNSUBSCRIBE, c);
		if (!l->on && now >= l->not_before)
			return next_is(s, SUBSCRIBE, c);
	}
	return false;
}

/* What is on and not wanted any more, once its dialogue has stopped it. */
static bool next_unsubscription(struct session *s)
{
	for (unsigned c = 0; c < CHARACTERISTIC_MAX_; c++) {
		struct line *l = &s->lines[c];

		if (l->on && !l->part->given_up && !line_desired(s, l) &&
		    (l->part->phase == SHUT || l->part->phase == IDLE))
			return next_is(s, UNSUBSCRIBE, (enum characteristic)c);
	}
	return false;
}

static bool next_of_dialogue(struct session *s, struct part *p, usec_t now)
{
	return next_read(s, p) || next_subscription(s, p, CONTROLS, now) ||
	       next_subscription(s, p, ALL_BUT_CONTROLS, now) || next_write(s, p);
}

/* Of profiles without a dialogue. */
static bool next_plain(struct session *s, usec_t now)
{
	for (size_t i = 0; i < s->n_parts; i++)
		if (!s->parts[i].profile->converse &&
		    next_subscription(s, &s->parts[i], STREAMS, now))
			return true;
	for (size_t i = 0; i < s->n_parts; i++)
		if (!s->parts[i].profile->converse && next_read(s, &s->parts[i]))
			return true;
	for (size_t i = 0; i < s->n_parts; i++)
		if (!s->parts[i].profile->converse &&
		    next_subscription(s, &s->parts[i], ALL_BUT_CONTROLS, now))
			return true;
	return false;
}

static bool next(struct session *s, usec_t now)
{
	if (s->repeat) {
		s->repeat = false;
		return true;
	}
	for (size_t i = 0; s->closing && i < s->n_parts; i++)
		if (next_write(s, &s->parts[i]))
			return true;
	if (s->closing)
		return false;
	if (next_plain(s, now))
		return true;
	for (size_t i = 0; i < s->n_parts; i++)
		if (s->parts[i].profile->converse && !part_waits(s, &s->parts[i]) &&
		    next_of_dialogue(s, &s->parts[i], now))
			return true;
	return next_unsubscription(s);
}

static void begin(struct session *s)
{
	const struct operation *o = &s->operation;
	const struct session_carrier *carrier = &s->carrier;

	s->under_way = true;
	switch (o->action) {
	case READ: carrier->read(carrier->userdata, o->characteristic); break;
	case WRITE: carrier->write(carrier->userdata, o->characteristic, o->data, o->size); break;
	case SUBSCRIBE:
		carrier->subscribe(carrier->userdata, o->characteristic,
				   indicates(&s->lines[o->characteristic]));
		break;
	case UNSUBSCRIBE: carrier->unsubscribe(carrier->userdata, o->characteristic); break;
	}
}

/* After anything happened: events for the dialogues, the next operation, then the news. */
static void settle(struct session *s, const struct frame *frame, bool changed, usec_t now)
{
	s->due_at_once = false;
	if (s->closing) {
		session_dialogue_close(s, now);
	} else if (!s->over && s->pairing != PAIRING && s->begun) {
		session_dialogue_run(s, now);
		watch(s, now);
	}
	if (!s->over && s->pairing != PAIRING && s->begun && !s->under_way && next(s, now))
		begin(s);
	session_tell(s, frame, changed);
}

/* --- how operations end --- */

static void refused(char ret[static WHY_SIZE], uint8_t att_error)
{
	const char *text = "the wearable refused the subscription";

	if (att_error)
		(void)snprintf(ret, WHY_SIZE, "%s (ATT error 0x%02x)", text, att_error);
	else
		(void)snprintf(ret, WHY_SIZE, "%s", text);
}

static void read_done(struct session *s, struct line *l, int result)
{
	l->read = true;
	l->insecure = result == SESSION_E_SECURITY;
	if (result != 0)
		s->counts.reads_refused++;
	if (result != SESSION_E_TIMEOUT)
		return;
	/* Each would take as long, and dialogues are waiting: this link goes on without. */
	for (unsigned c = 0; c < CHARACTERISTIC_MAX_; c++)
		s->lines[c].read = true;
}

static void subscribe_done(struct session *s, struct line *l, int result, uint8_t att_error,
			   usec_t now)
{
	char why[WHY_SIZE];

	if (result == SESSION_E_TIMEOUT && l->timed_out) {
		(void)snprintf(why, sizeof(why), "no answer when %s was subscribed to",
			       characteristic_name(l->what->characteristic));
		need(s, SESSION_NEED_RECONNECT, why);
	} else if (result == SESSION_E_TIMEOUT) {
		l->timed_out = true;
	} else if (result == SESSION_E_SECURITY) {
		session_dialogue_give_up(l->part, not_secure_enough);
	} else if (result == SESSION_E_KEPT) {
		(void)snprintf(l->why, sizeof(l->why), "%s", kept);
		l->not_before = now + RETRY;
		l->rung = false;
		/* not for a battery, and no stream is to be dropped for a memory */
		if ((l->what->kinds || l->what->use & PROFILE_CONTROL) &&
		    !l->part->profile->records)
			need(s, SESSION_NEED_RENEW, kept);
	} else if (result != 0) {
		refused(l->why, att_error);
		l->not_before = now + RETRY;
		l->rung = false;
	} else {
		l->on = true;
		l->timed_out = false;
		l->why[0] = '\0';
	}
}

static void write_done(struct session *s, struct part *p, int result, uint8_t att_error, usec_t now)
{
	enum dialogue_event event = result ? DIALOGUE_REFUSED : DIALOGUE_WRITTEN;
	const uint8_t *data = result ? &att_error : NULL;

	if (s->closing)
		session_dialogue_closed(s, p, result, att_error, now);
	else if (result == SESSION_E_TIMEOUT)
		need(s, SESSION_NEED_RECONNECT, "no answer to a command");
	else if (result == SESSION_E_SECURITY)
		session_dialogue_give_up(p, not_secure_enough);
	else
		session_dialogue_event(s, p, event, data, result ? 1 : 0, now);
}

/*
 * A battery or a serial number is no reason to pair: it is refused, and read when the wearable has
 * been paired for something else.
 */
static bool asks_for_pairing(const struct session *s, int result)
{
	const struct line *l = &s->lines[s->operation.characteristic];

	return result == SESSION_E_SECURITY && s->pairing == UNPAIRED && !s->closing &&
	       (s->operation.action != READ || l->what->use & PROFILE_CONTROL);
}

static void end_operation(struct session *s, int result, uint8_t att_error, usec_t now)
{
	struct line *l = &s->lines[s->operation.characteristic];

	switch (s->operation.action) {
	case READ: read_done(s, l, result); break;
	case WRITE: write_done(s, l->part, result, att_error, now); break;
	case SUBSCRIBE: subscribe_done(s, l, result, att_error, now); break;
	case UNSUBSCRIBE: /* a refusal changes nothing: it was not wanted, or is made again */
		l->on = l->renew = false;
		break;
	}
}

/* --- the public functions --- */

static void recorder_free(struct recorder *r)
{
	if (!r)
		return;
	buf_done(&r->file);
	free(r->values);
	free(r);
}

struct session *session_free(struct session *s)
{
	if (!s)
		return NULL;
	if (s->freed)
		*s->freed = true;
	for (size_t i = 0; i < s->n_parts; i++)
		recorder_free(s->parts[i].recorder);
	free(s);
	return NULL;
}

static void add_part(struct session *s, struct part *p, const struct profile *profile)
{
	*p = (struct part){.profile = profile,
			   .again_at = USEC_INFINITY,
			   .retry_at = USEC_INFINITY};
	for (size_t i = 0; i < profile->n_characteristics; i++) {
		const struct profile_characteristic *what = &profile->characteristics[i];
		struct line *l = &s->lines[what->characteristic];

		assert(profile->converse || !(what->use & PROFILE_CONTROL));
		if (l->what) /* one that two profiles list belongs to the first */
			continue;
		*l = (struct line){.what = what, .part = p};
		p->kinds |= what->kinds;
		if (what->use & PROFILE_CONTROL)
			p->control = what->characteristic;
	}
}

int session_new(struct profiles profiles, unsigned wanted, const struct session_carrier *carrier,
		const struct session_handler *handler, usec_t now, struct session **ret)
{
	struct session *s = calloc(1, sizeof(*s) + profiles.n * sizeof(s->parts[0]));

	if (!s)
		return -ENOMEM;
	s->carrier = *carrier;
	s->handler = *handler;
	s->wanted = wanted;
	s->mtu = 23;
	s->calm_at = USEC_INFINITY;
	s->due_at_once = true;
	s->n_parts = profiles.n;
	for (size_t i = 0; i < profiles.n; i++)
		add_part(s, &s->parts[i], profiles.list[i]);
	*ret = s;
	return 0;
}

static struct frame frame_of(enum characteristic c, const uint8_t *data, size_t size,
			     usec_t boot_us, usec_t now)
{
	return (struct frame){.characteristic = c,
			      .boot_us = boot_us,
			      .read_us = now,
			      .data = data,
			      .size = size};
}

void session_done(struct session *s, int result, uint8_t att_error, const uint8_t *data,
		  size_t size, usec_t now)
{
	enum characteristic c = s->operation.characteristic;
	struct frame frame = frame_of(c, data, size, now, now);
	bool value = s->operation.action == READ && result == 0;

	if (!s->under_way)
		return;
	s->under_way = false;
	if (s->over)
		return;
	if (value && size > FRAME_MAX) {
		s->counts.oversized++;
		value = false;
	}
	if (result == SESSION_E_GONE && s->closing) {
		s->over = true;
	} else if (result == SESSION_E_GONE) {
		need(s, SESSION_NEED_END, "the link went away");
	} else if (asks_for_pairing(s, result)) {
		s->repeat = true;
		need(s, SESSION_NEED_PAIRING, "the wearable wants an encrypted link");
	} else {
		end_operation(s, result, att_error, now);
	}
	if (value) {
		s->heard_at = now;
		session_dialogue_hear(s, c, data, size);
	}
	settle(s, value ? &frame : NULL, false, now);
}

void session_value(struct session *s, enum characteristic c, const uint8_t *data, size_t size,
		   usec_t boot_us, usec_t now)
{
	struct line *l = &s->lines[c];
	struct frame frame = frame_of(c, data, size, boot_us, now);

	if (size > FRAME_MAX) {
		s->counts.oversized++;
		return;
	}
	/* One that was refused, or is still being subscribed to, may speak: we wanted to hear it. */
	if (!l->on && !(l->what && line_desired(s, l) && line_can_subscribe(l))) {
		s->counts.strays++;
		return;
	}
	s->heard_at = now;
	if (l->what->silence) {
		s->spoke = true;
		s->patience = 0;
	}
	l->since = l->since ? now : 0;
	l->rung = false;
	if (l->part->phase != SHUT)
		session_dialogue_hear(s, c, data, size);
	settle(s, &frame, false, now);
}

void session_unsubscribed(struct session *s, enum characteristic c, usec_t now)
{
	struct line *l = &s->lines[c];

	bool awaited = s->under_way && s->operation.characteristic == c &&
		       s->operation.action == UNSUBSCRIBE;

	if (!l->what || !l->on || awaited)
		return;
	l->on = l->renew = false;
	if (l->lost_at && now - l->lost_at < RETRY)
		l->not_before = now + LOST_PAUSE;
	l->lost_at = now;
	s->due_at_once = true;
}

void session_paired(struct session *s, usec_t now)
{
	if (s->pairing != PAIRING)
		return;
	s->pairing = PAIRED;
	s->due_at_once = true;
	for (unsigned c = 0; c < CHARACTERISTIC_MAX_; c++)
		if (s->lines[c].insecure)
			s->lines[c].read = s->lines[c].insecure = false;
}

void session_set_patience(struct session *s, unsigned doublings)
{
	s->patience = doublings;
}

void session_set_mtu(struct session *s, uint16_t mtu)
{
	for (size_t i = 0; mtu != s->mtu && i < s->n_parts; i++)
		if (s->parts[i].phase == IDLE && s->parts[i].why[0])
			s->parts[i].retry_at = 0; /* it may have been too small */
	s->due_at_once |= mtu != s->mtu;
	s->mtu = mtu;
}

void session_set_wanted(struct session *s, unsigned wanted, usec_t now)
{
	s->due_at_once |= wanted != s->wanted;
	s->wanted = wanted;
}

void session_close(struct session *s, usec_t now)
{
	if (s->pairing == PAIRING)
		s->pairing = UNPAIRED;
	if (s->repeat && s->operation.action == WRITE) /* refused; but others may have been taken */
		s->lines[s->operation.characteristic].part->phase = IDLE;
	s->repeat = false;
	s->closing = true;
	s->close_by = now + CLOSE_PATIENCE;
	s->due_at_once = true;
}

bool session_closed(const struct session *s)
{
	if (!s->closing || s->over || !s->begun)
		return s->closing;
	for (size_t i = 0; i < s->n_parts; i++)
		if (s->parts[i].phase != SHUT)
			return false;
	return !s->under_way;
}

usec_t session_due(const struct session *s)
{
	usec_t due = USEC_INFINITY;

	if (s->due_at_once)
		return 0;
	if (s->over || s->pairing == PAIRING)
		return due;
	for (unsigned c = 0; c < CHARACTERISTIC_MAX_ && !s->closing; c++) {
		const struct line *l = &s->lines[c];

		if (!l->what)
			continue;
		due = MIN(due, watch_due(s, l));
		if (!s->under_way && line_desired(s, l) && line_can_subscribe(l) && !l->on &&
		    !part_waits(s, l->part))
			due = MIN(due, l->not_before);
	}
	for (size_t i = 0; i < s->n_parts; i++)
		due = MIN(due, session_dialogue_due(s, &s->parts[i]));
	return due;
}

static void find_offers(struct session *s)
{
	size_t n = 0;

	for (unsigned c = 0; c < CHARACTERISTIC_MAX_; c++) {
		struct line *l = &s->lines[c];

		if (!l->what)
			continue;
		l->properties = s->carrier.properties(s->carrier.userdata, (enum characteristic)c);
		l->part->offered |= l->properties != 0;
		if (l->properties && l->what->kinds && !line_can_subscribe(l))
			(void)snprintf(l->why, sizeof(l->why), "it cannot be subscribed to");
	}
	for (size_t i = 0; i < s->n_parts; i++) {
		struct part *p = &s->parts[i];

		if (p->offered && n < sizeof(s->offers))
			n += (size_t)snprintf(s->offers + n, sizeof(s->offers) - n, "%s%s",
					      n ? " " : "", p->profile->name);
		if (p->offered && p->profile->converse && !s->lines[p->control].properties)
			session_dialogue_give_up(p,
						 "the wearable has nothing to write commands to");
	}
}

void session_tick(struct session *s, usec_t now)
{
	bool first = !s->begun && !s->closing;

	if (first)
		find_offers(s);
	s->begun |= first;
	settle(s, NULL, first && s->offers[0], now);
}

bool session_running(const struct session *s)
{
	return session_tell_running(s);
}

const char *session_why(const struct session *s)
{
	return s->why;
}

const char *session_offers(const struct session *s)
{
	return s->offers;
}

bool session_spoke(const struct session *s)
{
	return s->spoke;
}

usec_t session_heard(const struct session *s)
{
	return s->heard_at;
}

const struct session_counts *session_counts(const struct session *s)
{
	return &s->counts;
}
