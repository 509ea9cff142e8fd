/*
 * Leads the dialogues of a session: gives each its events one at a time, none while a command of it
 * waits or is under way, and ends what has no end.
 *
 *	SHUT -- OPEN --> READY -- written --> LISTENING -- HEARD / SILENT --> READY ... --> IDLE
 *	                                                                                     |
 *	     OPEN once more: other wishes, `again` is over, or RETRY after a problem <-------+
 *
 * What the wearable answers meanwhile waits in a queue of HEARD_MAX; more than that is counted and
 * dropped, and the dialogue, which misses an answer then, is told DIALOGUE_SILENT. One that says
 * more than COMMANDS_MAX commands in a minute, because the wearable answers nonsense, is stopped.
 */
#include "source/session_state.h"

#include <stdio.h>

enum {
	COMMANDS_MAX = 64, /* in RETRY; ECG and acceleration of an H10 take six */
	CLOSING_MAX = 8,   /* commands to let it rest */
};

#define ANSWER_WAIT (5 * USEC_PER_SEC)
#define MEMORY_WAIT (30 * USEC_PER_SEC) /* a file is closed, a flash erased */
#define CALM_FOR    (5 * USEC_PER_SEC)
#define ASK_PAUSE   (1 * USEC_PER_SEC)
#define AGAIN_LEAST (100 * USEC_PER_MSEC)

static bool busy(const struct part *p)
{
	return p->phase == READY || p->phase == WRITING;
}

/* Does its dialogue hear what comes here? */
static bool is_heard(const struct line *l)
{
	return l->part->profile->converse && l->what->use & (PROFILE_CONTROL | PROFILE_ANSWERS);
}

static bool all_settled(const struct session *s, const struct part *p)
{
	for (unsigned c = 0; c < CHARACTERISTIC_MAX_; c++)
		if (s->lines[c].part == p && line_desired(s, &s->lines[c]) &&
		    !line_settled(&s->lines[c]))
			return false;
	return true;
}

unsigned session_dialogue_target(const struct session *s, const struct part *p)
{
	unsigned reachable = 0;

	if (!p->kinds)
		return s->wanted;
	if (part_used(s, p))
		for (unsigned c = 0; c < CHARACTERISTIC_MAX_; c++)
			if (s->lines[c].part == p && s->lines[c].on)
				reachable |= s->lines[c].what->kinds;
	return s->wanted & reachable;
}

/* It waits for its owner, not for the wearable. */
static bool asks(const struct part *p)
{
	return p->recorder && p->recorder->question != RECORDER_NOTHING;
}

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
		if (asks(p))
			p->answer_by = USEC_INFINITY;
		else if (!listened || event != DIALOGUE_HEARD || d->more) /* chatter is no answer */
			p->answer_by = now + (p->profile->records ? MEMORY_WAIT : ANSWER_WAIT);
	}
	if (d->problem[0] || p->phase == IDLE)
		(void)snprintf(p->why, sizeof(p->why), "%s", d->problem);
	p->retry_at = d->problem[0] ? MIN(p->retry_at, now + RETRY) : USEC_INFINITY;
}

void session_dialogue_event(struct session *s, struct part *p, enum dialogue_event event,
			    const uint8_t *data, size_t size, usec_t now)
{
	struct dialogue *d = &p->dialogue;

	d->mtu = s->mtu;
	d->now = now;
	p->unanswered = event == DIALOGUE_SILENT && !d->silent;
	if (event == DIALOGUE_OPEN) {
		d->wanted = p->asked = session_dialogue_target(s, p);
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
			session_dialogue_event(s, p, DIALOGUE_HEARD, h.data, h.size, now);
		i = 0;
	}
}

void session_dialogue_hear(struct session *s, enum characteristic c, const uint8_t *data,
			   size_t size)
{
	struct heard *h = &s->heard[s->n_heard];
	const struct line *l = &s->lines[c];

	if (s->over || !is_heard(l) || (s->closing && l->part->closing))
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

bool session_dialogue_may_open(const struct session *s, const struct part *p)
{
	const struct line *control = &s->lines[p->control];

	return part_used(s, p) && all_settled(s, p) &&
	       (!line_can_subscribe(control) || control->on);
}

/* To begin with, because it is time, or because something else is wanted (maybe nothing). */
static bool should_open(const struct session *s, const struct part *p, usec_t now)
{
	if (!p->profile->converse || p->given_up || !p->offered)
		return false;
	if (p->phase != SHUT && p->phase != IDLE)
		return false;
	if (p->phase == IDLE && !part_used(s, p))
		return p->asked != 0;
	if (!session_dialogue_may_open(s, p))
		return false;
	if (part_waits(s, p) || (p->profile->records && now < s->calm_at))
		return false;
	if (p->phase == SHUT)
		return !p->kinds || session_dialogue_target(s, p);
	return p->asked != session_dialogue_target(s, p) || now >= MIN(p->again_at, p->retry_at);
}

static void start_watch_anew(struct session *s, const struct part *p)
{
	for (unsigned c = 0; c < CHARACTERISTIC_MAX_; c++) {
		if (s->lines[c].part != p)
			continue;
		s->lines[c].rung = false;
		s->lines[c].since = 0;
	}
}

static bool has_recorder(struct part *p)
{
	if (p->profile->records && !p->recorder)
		p->dialogue.recorder = p->recorder = calloc(1, sizeof(*p->recorder));
	if (p->profile->records && !p->recorder)
		session_dialogue_give_up(p, "no memory for what it recorded");
	return !p->given_up;
}

/* What was asked is answered, or it is time to ask. */
static void run_recorder(struct session *s, struct part *p, usec_t now)
{
	if (!asks(p) || p->phase != LISTENING)
		return;
	if (p->answered) {
		p->answered = false;
		p->ask_at = p->recorder->answer == RECORDER_WAIT ? now + ASK_PAUSE : 0;
		p->recorder->question = RECORDER_NOTHING;
		session_dialogue_event(s, p, DIALOGUE_ANSWERED, NULL, 0, now);
	}
	p->to_ask = asks(p) && now >= p->ask_at;
	p->recorder->now = now;
}

static void open_dialogues(struct session *s, usec_t now)
{
	for (size_t i = 0; i < s->n_parts; i++) {
		struct part *p = &s->parts[i];

		if (p->phase == LISTENING && now >= p->answer_by)
			session_dialogue_event(s, p, DIALOGUE_SILENT, NULL, 0, now);
		run_recorder(s, p, now);
		if (!should_open(s, p, now) || !has_recorder(p))
			continue;
		if (now < p->again_at) /* a poll is no reason to wait longer for data */
			start_watch_anew(s, p);
		session_dialogue_event(s, p, DIALOGUE_OPEN, NULL, 0, now);
		run_recorder(s, p, now);
	}
}

void session_dialogue_calm(struct session *s, usec_t now)
{
	if (!session_tell_running(s))
		s->calm_at = USEC_INFINITY;
	else if (s->calm_at == USEC_INFINITY)
		s->calm_at = now + CALM_FOR;
}

void session_dialogue_run(struct session *s, usec_t now)
{
	session_dialogue_calm(s, now);
	deliver(s, now);
	open_dialogues(s, now);
}

static usec_t memory_due(const struct session *s, const struct part *p)
{
	bool other = p->asked != session_dialogue_target(s, p);

	if (part_waits(s, p) || !session_dialogue_may_open(s, p))
		return USEC_INFINITY;
	if (p->phase == SHUT)
		return session_dialogue_target(s, p) ? s->calm_at : USEC_INFINITY;
	if (p->phase != IDLE)
		return USEC_INFINITY;
	return other ? s->calm_at : MAX(s->calm_at, MIN(p->again_at, p->retry_at));
}

usec_t session_dialogue_due(const struct session *s, const struct part *p)
{
	if (p->phase == LISTENING && asks(p) && !s->closing)
		return p->ask_at;
	if (p->phase == LISTENING)
		return s->closing ? s->close_by : p->answer_by;
	if (s->closing)
		return USEC_INFINITY;
	if (p->profile->records)
		return memory_due(s, p);
	if (p->phase == IDLE && session_dialogue_may_open(s, p))
		return MIN(p->again_at, p->retry_at);
	return USEC_INFINITY;
}

void session_dialogue_give_up(struct part *p, const char *why)
{
	p->given_up = true;
	p->phase = SHUT;
	(void)snprintf(p->why, sizeof(p->why), "%s", why);
}

static void close_event(struct part *p, enum dialogue_event event, const uint8_t *data, size_t size)
{
	struct dialogue *d = &p->dialogue;

	d->n_out = 0;
	p->profile->converse(d, event, data, size);
	assert(d->n_out <= DIALOGUE_OUT_MAX);
	p->phase = d->n_out && p->n_commands++ < CLOSING_MAX ? READY : SHUT;
}

void session_dialogue_close(struct session *s, usec_t now)
{
	deliver(s, now);
	for (size_t i = 0; i < s->n_parts; i++) {
		struct part *p = &s->parts[i];

		if (p->phase == SHUT || p->phase == WRITING || p->closing ||
		    (p->phase == LISTENING && now < s->close_by && !p->profile->records))
			continue;
		p->closing = true;
		p->n_commands = 0;
		close_event(p, DIALOGUE_CLOSE, NULL, 0);
	}
}

void session_dialogue_closed(struct session *s, struct part *p, int result, uint8_t att_error,
			     usec_t now)
{
	enum dialogue_event event = result ? DIALOGUE_REFUSED : DIALOGUE_WRITTEN;
	const uint8_t *data = result ? &att_error : NULL;

	if (result != 0 && result != SESSION_E_REFUSED)
		p->phase = SHUT;
	else if (p->closing)
		close_event(p, event, data, result ? 1 : 0);
	else
		session_dialogue_event(s, p, event, data, result ? 1 : 0, now);
}
