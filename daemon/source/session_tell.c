/*
 * What a session says to its owner: which stream does not run and why, in a sentence, and the news,
 * each of which may end the session.
 */
#include "source/session_state.h"

#include <stdio.h>

struct reasons {
	char text[sizeof(((struct session *)NULL)->why)];
	size_t n;
};

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

		if (l->what && !l->part->profile->records && l->why[0] && line_desired(s, l) &&
		    (control || l->what->kinds))
			add_reason(ret, l->part,
				   (control ? l->part->kinds : l->what->kinds) & s->wanted, l->why);
	}
	for (size_t i = 0; i < s->n_parts; i++) {
		const struct part *p = &s->parts[i];
		unsigned missing = p->kinds & s->wanted & ~p->dialogue.running;

		if (p->offered && p->why[0] && !p->profile->records &&
		    (p->kinds & s->wanted || (!p->kinds && p->profile->converse)))
			add_reason(ret, p, missing ? missing : p->kinds & s->wanted, p->why);
	}
}

/* Once its characteristics are settled. */
static bool part_runs(const struct session *s, const struct part *p)
{
	if (!part_used(s, p) || !p->profile->converse || p->why[0] || p->profile->records)
		return true;
	if (p->phase == SHUT)
		return !session_dialogue_may_open(s, p) ||
		       (p->kinds && !session_dialogue_target(s, p));
	return p->phase == IDLE && p->asked == session_dialogue_target(s, p);
}

bool session_tell_running(const struct session *s)
{
	if (!s->begun || s->over || s->closing || s->pairing == PAIRING || s->repeat)
		return false;
	for (unsigned c = 0; c < CHARACTERISTIC_MAX_; c++) {
		const struct line *l = &s->lines[c];

		if (l->what && !l->part->profile->records && line_desired(s, l) && !line_settled(l))
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
	bool running = session_tell_running(s), closed = session_closed(s);
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

void session_tell_silent(const struct line *l, char ret[static WHY_SIZE])
{
	(void)snprintf(ret, WHY_SIZE, "%s has been silent for %u s",
		       characteristic_name(l->what->characteristic),
		       (unsigned)(l->silent_for / USEC_PER_SEC));
}

/* A question is answered within the call; its dialogue hears of it with the next tick. */
static bool tell_recorders(struct session *s, const struct session_handler *h, const bool *freed)
{
	bool any = false;

	for (size_t i = 0; i < s->n_parts; i++) {
		struct part *p = &s->parts[i];
		bool asks = p->to_ask;

		if (!p->recorder || (!asks && p->recorder->phase == p->told_phase &&
				     p->recorder->percent == p->told_percent))
			continue;
		p->told_phase = p->recorder->phase;
		p->told_percent = p->recorder->percent;
		p->to_ask = false;
		p->answered = asks;
		s->due_at_once |= asks;
		any |= asks;
		h->recorder(h->userdata, p->recorder);
		if (*freed)
			return false;
	}
	return any;
}

/* Each call may free the session, or come back into it. */
void session_tell(struct session *s, const struct frame *frame, bool changed)
{
	const struct session_handler h = s->handler;
	bool freed = false, *outer = s->freed;
	char why[WHY_SIZE];

	changed |= take_changes(s);
	/* cppcheck-suppress autoVariables ; put back below, unless the session is gone */
	s->freed = &freed;
	if (frame)
		h.frame(h.userdata, frame);
	for (unsigned c = 0; !freed && c < CHARACTERISTIC_MAX_; c++) {
		if (!s->lines[c].rung_untold)
			continue;
		s->lines[c].rung_untold = false;
		session_tell_silent(&s->lines[c], why);
		h.rung(h.userdata, RUNG_RESUBSCRIBE, why);
	}
	if (!freed && s->need_untold) {
		s->need_untold = false;
		memcpy(why, s->need_why, sizeof(why));
		h.need(h.userdata, s->need, why);
	}
	if (!freed)
		changed |= tell_recorders(s, &h, &freed);
	if (!freed && changed)
		h.changed(h.userdata);
	if (!freed)
		s->freed = outer;
	else if (outer)
		*outer = true;
}
