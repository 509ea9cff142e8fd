/*
 * One link that is up, from the first question to the last beat.
 *
 *	read what is read once -> subscribe -> open the dialogue -> let it talk ... -> watch
 *
 * Profiles without a dialogue come first, so that no beat is lost while ECG is asked for, or while
 * a wearable that wants to be paired for its ECG only is being paired.
 *
 * There is no plan that could be out of date: after whatever happened, settle() looks at what each
 * characteristic and each dialogue is and should be, and begins the one operation that comes first
 * in the order above. So a refusal, a pairing, other wishes of the owner and a socket that ended
 * need no paths of their own; they change what is, or what should be.
 *
 * A dialogue gets one event at a time and none while its command waits or is under way. What the
 * wearable answers meanwhile waits in a queue of HEARD_MAX; more than that is counted and dropped,
 * and the dialogue, which misses an answer then, is told DIALOGUE_SILENT:
 *
 *	SHUT -- OPEN --> READY -- written --> LISTENING -- HEARD / SILENT --> READY ... --> IDLE
 *	                                                                                     |
 *	     OPEN once more: other wishes, `again` is over, or RETRY after a problem <-------+
 *
 * What a wearable can do to us is bounded: reads are asked once, a dialogue that talks without end
 * is stopped after COMMANDS_MAX commands, what refuses is asked every RETRY, a socket that ends again
 * and again is opened every LOST_PAUSE.
 */
#include "source/session.h"

#include <stdio.h>

enum {
	HEARD_MAX = 16,	   /* frames of data with answers between them come 30 a second */
	COMMANDS_MAX = 64, /* after one DIALOGUE_OPEN; ECG and acceleration of an H10 take six */
	CLOSING_MAX = 8,   /* commands to let it rest */
	WHY_SIZE = 120,
};

#define ANSWER_WAIT (5 * USEC_PER_SEC)
#define RETRY	    (60 * USEC_PER_SEC)
#define LOST_PAUSE  (5 * USEC_PER_SEC)
#define AGAIN_LEAST (100 * USEC_PER_MSEC)

enum phase { SHUT, READY, WRITING, LISTENING, IDLE };

/* One profile on this link. */
struct part {
	const struct profile *profile;
	unsigned kinds; /* of all its characteristics */
	enum characteristic control;
	bool offered;
	bool given_up; /* and `why` says why */
	enum phase phase;
	bool closing;	/* was told DIALOGUE_CLOSE */
	unsigned asked; /* the kinds that it was last opened for */
	unsigned n_commands;
	usec_t answer_by;  /* while LISTENING */
	usec_t counted_at; /* n_commands are since then */
	/* when IDLE, DIALOGUE_OPEN once more; USEC_INFINITY: no need */
	usec_t again_at; /* it polls */
	usec_t retry_at; /* it has a problem */
	char why[WHY_SIZE];
	struct dialogue dialogue;
};

/* One characteristic on this link. */
struct line {
	const struct profile_characteristic *what; /* NULL: in no profile */
	struct part *part;
	unsigned properties;
	bool read;	   /* was asked, whatever came of it */
	bool on;	   /* subscribed to */
	bool renew;	   /* unsubscribe first */
	bool timed_out;	   /* once, when subscribed to */
	usec_t not_before; /* subscribe then */
	usec_t lost_at;	   /* the subscription ended by itself */
	/* the watch */
	usec_t since;	  /* last heard, or when it should have begun; 0: it need not speak */
	bool rung;	  /* was silent, and was asked again at rung_at */
	bool rung_untold; /* to the handler */
	usec_t rung_at;
	char why[WHY_SIZE]; /* it is not subscribed to, though it should be */
};

enum action { READ, WRITE, SUBSCRIBE, UNSUBSCRIBE };

struct operation {
	enum action action;
	enum characteristic characteristic;
	uint8_t data[DIALOGUE_OUT_MAX]; /* to be written */
	size_t size;
};

struct heard {
	enum characteristic characteristic;
	size_t size;
	uint8_t data[FRAME_MAX];
};

enum pairing { UNPAIRED, PAIRING, PAIRED };

struct session {
	struct session_carrier carrier;
	struct session_handler handler;
	unsigned wanted;
	uint16_t mtu;
	bool begun;   /* the first tick was */
	bool over;    /* a reconnect was asked for: nothing more happens */
	bool closing; /* session_close() */
	bool due_at_once;
	bool under_way; /* `operation` is */
	bool repeat;	/* `operation` was refused for want of a pairing: it is next */
	enum pairing pairing;
	struct operation operation;
	struct line lines[CHARACTERISTIC_MAX_];
	struct heard heard[HEARD_MAX];
	unsigned n_heard;
	usec_t heard_at;
	struct session_counts counts;
	/* to be told */
	bool need_untold;
	enum session_need need;
	char need_why[WHY_SIZE];
	bool told_running, told_closed;
	char why[512];
	char offers[256];
	bool *freed; /* of the call that is telling the handler */
	size_t n_parts;
	struct part parts[];
};

static bool used(const struct session *s, const struct part *p)
{
	return p->offered && !p->given_up && (!p->kinds || p->kinds & s->wanted);
}

static bool desired(const struct session *s, const struct line *l)
{
	return l->properties && used(s, l->part) &&
	       (!l->what->kinds || l->what->kinds & s->wanted ||
		l->what->use & (PROFILE_CONTROL | PROFILE_ANSWERS));
}

static bool can_subscribe(const struct line *l)
{
	return l->what->use & (PROFILE_NOTIFY | PROFILE_INDICATE | PROFILE_CONTROL) &&
	       l->properties & (PROPERTY_NOTIFY | PROPERTY_INDICATE);
}

static bool indicates(const struct line *l)
{
	bool asked = l->what->use & (PROFILE_INDICATE | PROFILE_CONTROL);

	return l->properties & PROPERTY_INDICATE && (asked || !(l->properties & PROPERTY_NOTIFY));
}

/* Subscribed to, or has said why not. */
static bool settled(const struct line *l)
{
	return !can_subscribe(l) || l->on || l->why[0];
}

static bool busy(const struct part *p)
{
	return p->phase == READY || p->phase == WRITING;
}

/* Does its dialogue hear what comes here? */
static bool is_heard(const struct line *l)
{
	return l->part->profile->converse && l->what->use & (PROFILE_CONTROL | PROFILE_ANSWERS);
}

/* What a dialogue is to start: what is wanted, and has a characteristic to come by. */
static unsigned target(const struct session *s, const struct part *p)
{
	unsigned reachable = 0;

	if (!p->kinds)
		return s->wanted;
	if (used(s, p))
		for (unsigned c = 0; c < CHARACTERISTIC_MAX_; c++)
			if (s->lines[c].part == p && s->lines[c].on)
				reachable |= s->lines[c].what->kinds;
	return s->wanted & reachable;
}

static void need(struct session *s, enum session_need what, const char *why)
{
	s->need_untold = true;
	s->need = what;
	(void)snprintf(s->need_why, sizeof(s->need_why), "%s", why);
	if (what == SESSION_NEED_PAIRING)
		s->pairing = PAIRING;
	else
		s->over = true;
}

static void give_up(struct part *p, const char *why)
{
	p->given_up = true;
	p->phase = SHUT;
	(void)snprintf(p->why, sizeof(p->why), "%s", why);
}

/* --- dialogues --- */

static void after_event(struct part *p, enum dialogue_event event, usec_t now)
{
	struct dialogue *d = &p->dialogue;
	bool listened = p->phase == LISTENING;

	assert(d->n_out <= DIALOGUE_OUT_MAX);
	if (d->again)
		p->again_at = now + MAX(d->again, AGAIN_LEAST);
	d->again = 0;
	if (now - p->counted_at >= RETRY) {
		p->counted_at = now;
		p->n_commands = 0;
	}
	if (d->n_out && p->n_commands++ >= COMMANDS_MAX) {
		d->n_out = 0;
		(void)snprintf(d->problem, sizeof(d->problem), "the wearable talks without end");
		p->phase = IDLE;
	} else if (d->n_out) {
		p->phase = READY;
	} else if (d->done) {
		p->phase = IDLE;
	} else {
		p->phase = LISTENING;
		if (!listened || event != DIALOGUE_HEARD) /* chatter is no answer */
			p->answer_by = now + ANSWER_WAIT;
	}
	if (d->problem[0] || p->phase == IDLE)
		(void)snprintf(p->why, sizeof(p->why), "%s", d->problem);
	p->retry_at = d->problem[0] ? MIN(p->retry_at, now + RETRY) : USEC_INFINITY;
}

static void converse(struct session *s, struct part *p, enum dialogue_event event,
		     const uint8_t *data, size_t size, usec_t now)
{
	struct dialogue *d = &p->dialogue;

	d->mtu = s->mtu;
	if (event == DIALOGUE_OPEN) {
		d->wanted = p->asked = target(s, p);
		p->n_commands = 0;
		p->counted_at = now;
		p->again_at = p->retry_at = USEC_INFINITY;
	}
	p->profile->converse(d, event, data, size);
	d->silent = 0;
	if (p->phase == SHUT && event == DIALOGUE_HEARD)
		d->n_out = 0; /* read before it was opened: it has nothing to say yet */
	else
		after_event(p, event, now);
}

static void drop_heard(struct session *s, unsigned i)
{
	s->n_heard--;
	memmove(&s->heard[i], &s->heard[i + 1], (s->n_heard - i) * sizeof(s->heard[0]));
}

/* In the order in which it came, except that one dialogue does not wait for another. */
static void deliver(struct session *s, usec_t now)
{
	struct heard h;

	for (unsigned i = 0; i < s->n_heard;) {
		struct part *p = s->lines[s->heard[i].characteristic].part;

		if (busy(p)) {
			i++;
			continue;
		}
		h = s->heard[i];
		drop_heard(s, i);
		if (!p->given_up)
			converse(s, p, DIALOGUE_HEARD, h.data, h.size, now);
		i = 0;
	}
}

static void hear(struct session *s, enum characteristic c, const uint8_t *data, size_t size)
{
	struct heard *h = &s->heard[s->n_heard];

	if (s->closing || s->over)
		return;
	if (s->n_heard == HEARD_MAX) {
		s->counts.unheard++;
		return;
	}
	h->characteristic = c;
	h->size = size;
	if (size)
		memcpy(h->data, data, size);
	s->n_heard++;
}

static bool all_settled(const struct session *s, const struct part *p)
{
	for (unsigned c = 0; c < CHARACTERISTIC_MAX_; c++)
		if (s->lines[c].part == p && desired(s, &s->lines[c]) && !settled(&s->lines[c]))
			return false;
	return true;
}

static bool may_open(const struct session *s, const struct part *p)
{
	const struct line *control = &s->lines[p->control];

	return used(s, p) && all_settled(s, p) && (!can_subscribe(control) || control->on);
}

/* To begin with, because it is time, or because something else is wanted (maybe nothing). */
static bool should_open(const struct session *s, const struct part *p, usec_t now)
{
	if (!p->profile->converse || p->given_up || !p->offered)
		return false;
	if (p->phase != SHUT && p->phase != IDLE)
		return false;
	if (p->phase == IDLE && !used(s, p))
		return p->asked != 0;
	if (!may_open(s, p))
		return false;
	if (p->phase == SHUT)
		return !p->kinds || target(s, p);
	return p->asked != target(s, p) || now >= MIN(p->again_at, p->retry_at);
}

static void open_dialogues(struct session *s, usec_t now)
{
	for (size_t i = 0; i < s->n_parts; i++) {
		struct part *p = &s->parts[i];

		if (p->phase == LISTENING && now >= p->answer_by)
			converse(s, p, DIALOGUE_SILENT, NULL, 0, now);
		if (!should_open(s, p, now))
			continue;
		for (unsigned c = 0; c < CHARACTERISTIC_MAX_; c++)
			if (s->lines[c].part == p)
				s->lines[c].rung = false, s->lines[c].since = 0;
		converse(s, p, DIALOGUE_OPEN, NULL, 0, now);
	}
}

/* --- the watch --- */

static bool should_speak(const struct session *s, const struct line *l)
{
	const struct dialogue *d = &l->part->dialogue;

	if (!l->what->silence || !l->on || !desired(s, l))
		return false;
	if (!l->part->profile->converse)
		return true;
	return d->running & (l->what->kinds ? l->what->kinds & s->wanted : ~0U);
}

static bool can_ring(const struct line *l)
{
	return !l->part->profile->converse || l->part->phase == IDLE;
}

static usec_t watch_due(const struct session *s, const struct line *l)
{
	if (!should_speak(s, l))
		return USEC_INFINITY;
	if (!l->since)
		return 0;
	if (l->rung)
		return l->rung_at + 2 * l->what->silence;
	return can_ring(l) ? l->since + l->what->silence : USEC_INFINITY;
}

static void say_silent(const struct session *s, const struct line *l, usec_t now,
		       char ret[static WHY_SIZE])
{
	(void)snprintf(ret, WHY_SIZE, "%s has been silent for %u s",
		       characteristic_name(l->what->characteristic),
		       (unsigned)((now - l->since) / USEC_PER_SEC));
}

static void ring(struct session *s, struct line *l, usec_t now)
{
	struct dialogue *d = &l->part->dialogue;

	l->rung = l->rung_untold = true;
	l->rung_at = now;
	if (!l->part->profile->converse) {
		l->renew = true;
		return;
	}
	d->silent = l->what->kinds ? l->what->kinds & d->running : d->running;
	converse(s, l->part, DIALOGUE_SILENT, NULL, 0, now);
}

static void watch(struct session *s, usec_t now)
{
	char why[WHY_SIZE];

	for (unsigned c = 0; c < CHARACTERISTIC_MAX_; c++) {
		struct line *l = &s->lines[c];

		if (!l->what || !desired(s, l)) {
			l->rung = false;
			l->since = 0;
		} else if (!should_speak(s, l)) {
			l->since = l->rung ? l->since : 0; /* it is being asked again */
		} else if (!l->since) {
			l->since = now;
		} else if (now >= watch_due(s, l) && !l->rung) {
			ring(s, l, now);
		} else if (now >= watch_due(s, l)) {
			say_silent(s, l, now, why);
			need(s, SESSION_NEED_RECONNECT, why);
			return;
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
	for (size_t k = 0; used(s, p) && k < p->profile->n_characteristics; k++) {
		enum characteristic c = p->profile->characteristics[k].characteristic;
		struct line *l = &s->lines[c];

		if (l->part == p && l->what->use & PROFILE_READ && l->properties & PROPERTY_READ &&
		    !l->read)
			return next_is(s, READ, c);
	}
	return false;
}

/* Of a part: the control characteristic first, or else the others. */
static bool next_subscription(struct session *s, const struct part *p, bool control, usec_t now)
{
	for (size_t k = 0; used(s, p) && k < p->profile->n_characteristics; k++) {
		enum characteristic c = p->profile->characteristics[k].characteristic;
		struct line *l = &s->lines[c];

		if (l->part != p || control != !!(l->what->use & PROFILE_CONTROL) ||
		    !desired(s, l) || !can_subscribe(l))
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

		if (l->on && !l->part->given_up && !desired(s, l) &&
		    (l->part->phase == SHUT || l->part->phase == IDLE))
			return next_is(s, UNSUBSCRIBE, (enum characteristic)c);
	}
	return false;
}

static bool next_of_dialogue(struct session *s, struct part *p, usec_t now)
{
	return next_read(s, p) || next_subscription(s, p, true, now) ||
	       next_subscription(s, p, false, now) || next_write(s, p);
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
	for (size_t i = 0; i < s->n_parts; i++)
		if (!s->parts[i].profile->converse && next_read(s, &s->parts[i]))
			return true;
	for (size_t i = 0; i < s->n_parts; i++)
		if (!s->parts[i].profile->converse &&
		    next_subscription(s, &s->parts[i], false, now))
			return true;
	for (size_t i = 0; i < s->n_parts; i++)
		if (s->parts[i].profile->converse && next_of_dialogue(s, &s->parts[i], now))
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

/* --- closing --- */

static void shut(struct session *s)
{
	s->n_heard = 0;
	for (size_t i = 0; i < s->n_parts; i++)
		s->parts[i].phase = SHUT;
}

static void close_event(struct part *p, enum dialogue_event event, const uint8_t *data, size_t size)
{
	struct dialogue *d = &p->dialogue;

	d->n_out = 0;
	p->profile->converse(d, event, data, size);
	p->phase = d->n_out && p->n_commands++ < CLOSING_MAX ? READY : SHUT;
}

static void close_dialogues(struct session *s)
{
	for (size_t i = 0; i < s->n_parts; i++) {
		struct part *p = &s->parts[i];

		if (p->phase == SHUT || p->phase == WRITING || p->closing)
			continue;
		p->closing = true;
		p->n_commands = 0;
		close_event(p, DIALOGUE_CLOSE, NULL, 0);
	}
}

/* --- what is told --- */

static void label(char *ret, size_t size, const struct part *p, unsigned kinds)
{
	size_t n = 0;

	for (unsigned k = 1; k < KIND_MAX && n < size; k++)
		if (kinds & 1U << k)
			n += (size_t)snprintf(ret + n, size - n, "%s%s", n ? ", " : "",
					      kind_name(k));
	if (!n)
		(void)snprintf(ret, size, "%s", p->profile->name);
}

struct reasons {
	char text[sizeof(((struct session *)NULL)->why)];
	size_t n;
};

static void add_reason(struct reasons *r, const struct part *p, unsigned kinds, const char *why)
{
	char who[100];

	if (r->n >= sizeof(r->text))
		return;
	label(who, sizeof(who), p, kinds);
	r->n += (size_t)snprintf(r->text + r->n, sizeof(r->text) - r->n, "%s%s: %s",
				 r->n ? "; " : "", who, why);
}

/* Of what the owner wants; a battery that does not say its level is no reason to worry. */
static void find_reasons(const struct session *s, struct reasons *ret)
{
	for (unsigned c = 0; c < CHARACTERISTIC_MAX_; c++) {
		const struct line *l = &s->lines[c];
		bool control = l->what && l->what->use & PROFILE_CONTROL;

		if (l->what && l->why[0] && desired(s, l) && (control || l->what->kinds))
			add_reason(ret, l->part,
				   (control ? l->part->kinds : l->what->kinds) & s->wanted, l->why);
	}
	for (size_t i = 0; i < s->n_parts; i++) {
		const struct part *p = &s->parts[i];
		unsigned missing = p->kinds & s->wanted & ~p->dialogue.running;

		if (p->offered && p->why[0] && (p->kinds & s->wanted || p->profile->converse))
			add_reason(ret, p, missing ? missing : p->kinds & s->wanted, p->why);
	}
}

static bool part_runs(const struct session *s, const struct part *p)
{
	if (!used(s, p) || !p->profile->converse || p->why[0])
		return true;
	if (!all_settled(s, p))
		return false;
	if (p->phase == SHUT)
		return !may_open(s, p) || (p->kinds && !target(s, p));
	return p->phase == IDLE && p->asked == target(s, p);
}

static bool runs(const struct session *s)
{
	if (!s->begun || s->over || s->closing || s->pairing == PAIRING || s->repeat)
		return false;
	for (unsigned c = 0; c < CHARACTERISTIC_MAX_; c++) {
		const struct line *l = &s->lines[c];

		if (l->what && desired(s, l) && !settled(l))
			return false;
	}
	for (size_t i = 0; i < s->n_parts; i++)
		if (!part_runs(s, &s->parts[i]))
			return false;
	return true;
}

/* Has anything changed that the owner can ask for? */
static bool take_changes(struct session *s)
{
	bool running = runs(s), closed = session_closed(s);
	struct reasons reasons = {.n = 0};
	bool changed;

	find_reasons(s, &reasons);
	changed = running != s->told_running || closed != s->told_closed ||
		  !streq(reasons.text, s->why);
	s->told_running = running;
	s->told_closed = closed;
	memcpy(s->why, reasons.text, sizeof(s->why));
	return changed;
}

/* Each call may free the session, or come back into it. */
static void tell(struct session *s, const struct frame *frame, bool changed, usec_t now)
{
	const struct session_handler h = s->handler;
	bool freed = false, *outer = s->freed;
	char why[WHY_SIZE];

	s->freed = &freed;
	if (frame)
		h.frame(h.userdata, frame);
	for (unsigned c = 0; !freed && c < CHARACTERISTIC_MAX_; c++) {
		if (!s->lines[c].rung_untold)
			continue;
		s->lines[c].rung_untold = false;
		say_silent(s, &s->lines[c], now, why);
		h.rung(h.userdata, RUNG_RESUBSCRIBE, why);
	}
	if (!freed && s->need_untold) {
		s->need_untold = false;
		memcpy(why, s->need_why, sizeof(why));
		h.need(h.userdata, s->need, why);
	}
	if (!freed && changed)
		h.changed(h.userdata);
	if (!freed)
		s->freed = outer;
	else if (outer)
		*outer = true;
}

/* After anything happened: events for the dialogues, the next operation, then the news. */
static void settle(struct session *s, const struct frame *frame, bool changed, usec_t now)
{
	s->due_at_once = false;
	if (s->closing) {
		close_dialogues(s);
	} else if (!s->over && s->pairing != PAIRING && s->begun) {
		deliver(s, now);
		open_dialogues(s, now);
		watch(s, now);
	}
	if (!s->over && s->pairing != PAIRING && s->begun && !s->under_way && next(s, now))
		begin(s);
	changed |= take_changes(s);
	tell(s, frame, changed, now);
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
	if (result != 0)
		s->counts.reads_refused++;
	if (result != SESSION_E_TIMEOUT)
		return;
	/* Each would take as long, and hearts are waiting: this link goes on without. */
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
		give_up(l->part, "the wearable wants an encrypted link, and refused it too");
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

	if (s->closing && (result == 0 || result == SESSION_E_REFUSED) && p->closing)
		close_event(p, event, data, result ? 1 : 0);
	else if (s->closing && (result == 0 || result == SESSION_E_REFUSED))
		p->phase = LISTENING; /* and now it is told to close */
	else if (s->closing)
		p->phase = SHUT;
	else if (result == SESSION_E_TIMEOUT)
		need(s, SESSION_NEED_RECONNECT, "no answer to a command");
	else if (result == SESSION_E_SECURITY)
		give_up(p, "the wearable wants an encrypted link, and refused it too");
	else
		converse(s, p, event, data, result ? 1 : 0, now);
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

struct session *session_free(struct session *s)
{
	if (!s)
		return NULL;
	if (s->freed)
		*s->freed = true;
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
	if (value && size > FRAME_MAX) {
		s->counts.oversized++;
		value = false;
	}
	if (result == SESSION_E_GONE && s->closing) {
		s->over = true;
	} else if (result == SESSION_E_GONE) {
		need(s, SESSION_NEED_RECONNECT, "the link went away");
	} else if (result == SESSION_E_SECURITY && s->pairing == UNPAIRED && !s->closing) {
		s->repeat = true;
		need(s, SESSION_NEED_PAIRING, "the wearable wants an encrypted link");
	} else {
		end_operation(s, result, att_error, now);
	}
	if (value) {
		s->heard_at = now;
		if (is_heard(&s->lines[c]))
			hear(s, c, data, size);
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
	if (!l->on && !(l->what && desired(s, l) && can_subscribe(l))) {
		s->counts.strays++;
		return;
	}
	s->heard_at = now;
	l->since = l->since ? now : 0;
	l->rung = false;
	if (is_heard(l) && l->part->phase != SHUT)
		hear(s, c, data, size);
	settle(s, &frame, false, now);
}

void session_unsubscribed(struct session *s, enum characteristic c, usec_t now)
{
	struct line *l = &s->lines[c];

	if (!l->what || !l->on || (s->under_way && s->operation.characteristic == c))
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
	if (s->pairing == PAIRING) { /* what is not paired has nothing that runs */
		s->pairing = PAIRED;
		s->repeat = false;
		shut(s);
	}
	s->closing = true;
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
	if (s->over || s->closing || s->pairing == PAIRING)
		return due;
	for (unsigned c = 0; c < CHARACTERISTIC_MAX_; c++) {
		const struct line *l = &s->lines[c];

		if (!l->what)
			continue;
		due = MIN(due, watch_due(s, l));
		if (!s->under_way && desired(s, l) && can_subscribe(l) && !l->on)
			due = MIN(due, l->not_before);
	}
	for (size_t i = 0; i < s->n_parts; i++) {
		const struct part *p = &s->parts[i];

		if (p->phase == LISTENING)
			due = MIN(due, p->answer_by);
		else if (p->phase == IDLE && may_open(s, p))
			due = MIN(due, MIN(p->again_at, p->retry_at));
	}
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
		if (l->properties && l->what->kinds && !can_subscribe(l))
			(void)snprintf(l->why, sizeof(l->why), "it cannot be subscribed to");
	}
	for (size_t i = 0; i < s->n_parts; i++) {
		struct part *p = &s->parts[i];

		if (p->offered && n < sizeof(s->offers))
			n += (size_t)snprintf(s->offers + n, sizeof(s->offers) - n, "%s%s",
					      n ? " " : "", p->profile->name);
		if (p->offered && p->profile->converse && !s->lines[p->control].properties)
			give_up(p, "the wearable has nothing to write commands to");
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
	return runs(s);
}

const char *session_why(const struct session *s)
{
	return s->why;
}

const char *session_offers(const struct session *s)
{
	return s->offers;
}

usec_t session_heard(const struct session *s)
{
	return s->heard_at;
}

const struct session_counts *session_counts(const struct session *s)
{
	return &s->counts;
}
