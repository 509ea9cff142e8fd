/*
 * The dialogue with the control point of a PMD wearable (protocol: decode/pmd.c, decode/
 * pmd_settings.c). The control point was read, which told what the wearable can measure. Then, for
 * one type after the other:
 *
 *	        wanted                          answer                        answer
 *	idle ----------> 01 t, get settings ------------> 02 t .., start ------------> idle
 *	  | not wanted any more, or the hub lets go                        (error 6: it runs)
 *	  +----------> 03 t, stop ------------> idle
 *
 * PPI has no settings and is started at once. A type that is refused is told as the problem and left
 * alone until the next DIALOGUE_OPEN; the others go on.
 *
 * What wearables do on top: all settings do not fit one indication, `more` says so. An H10 whose
 * MTU is 23 answers everything with F0 00 01 0A, which names no command. An indication 01 t.. says
 * that the wearable itself stopped these (its strap was opened, it sits in its charger). Streams go
 * on when a link breaks, so a start may find one running. An answer to another command than the
 * last one is one that came late: it is ignored.
 */
#include "decode/pmd_dialogue.h"

#include "decode/pmd_settings.h"

#include <stdarg.h>
#include <stdio.h>

enum {
	N_TYPES = 4,
	REPEATS_MAX = 2,
	FEATURES = 0x0f,
	ANSWER = 0xf0,
	STOPPED = 0x01,
	TYPE_MASK = 0x3f,
	ERROR_ALREADY = 6,
	ERROR_MTU = 10,
	ANSWER_WITHOUT_ECHO = 4, /* its size */
};

/* The opcodes are the commands. */
enum step { IDLE = 0, SETTINGS = 1, START = 2, STOP = 3 };

struct talk {
	bool open;
	bool closing;
	bool features_known;
	uint8_t features; /* 1 << type, as the others */
	uint8_t running;
	uint8_t refused; /* since DIALOGUE_OPEN */
	uint8_t step;
	uint8_t type;
	uint8_t n_repeats;
	struct pmd_settings heard;
	struct pmd_choice chosen[N_TYPES];
};

static_assert(sizeof(struct talk) <= DIALOGUE_STATE_MAX, "fits what a dialogue may keep");

static const uint8_t kinds[N_TYPES] = {
	[PMD_ECG] = KIND_ECG,
	[PMD_PPG] = KIND_PPG,
	[PMD_ACC] = KIND_ACCELERATION,
	[PMD_PPI] = KIND_PPI,
};

static unsigned types_of(unsigned kind_mask)
{
	unsigned types = 0;

	for (unsigned type = 0; type < N_TYPES; type++)
		if (kind_mask & 1U << kinds[type])
			types |= 1U << type;
	return types;
}

/* Only the first is told: the others often follow from it. */
_printf_(2, 3) static void complain(struct dialogue *d, const char *format, ...)
{
	va_list ap;

	if (d->problem[0])
		return;
	va_start(ap, format);
	(void)vsnprintf(d->problem, sizeof(d->problem), format, ap); /* longer is cut */
	va_end(ap);
}

static void speak(struct dialogue *d, const struct talk *t)
{
	const struct pmd_choice *c = &t->chosen[t->type];

	d->out[0] = t->step;
	d->out[1] = t->type;
	d->n_out = 2;
	d->done = false;
	if (t->step != START)
		return;
	memcpy(d->out + 2, c->bytes, c->n);
	d->n_out += c->n;
}

static void command(struct dialogue *d, struct talk *t, enum step step, unsigned type)
{
	t->step = (uint8_t)step;
	t->type = (uint8_t)type;
	t->n_repeats = 0;
	t->heard.n = 0;
	speak(d, t);
}

/* The next command, or the end of what there is to say for now. */
static void go_on(struct dialogue *d, struct talk *t)
{
	unsigned wanted = t->closing ? 0 : types_of(d->wanted);
	unsigned stop = t->running & ~wanted, start = wanted & ~t->running & ~t->refused;

	if (t->features_known)
		start &= t->features;
	for (unsigned type = 0; type < N_TYPES; type++) {
		if (stop & 1U << type) {
			command(d, t, STOP, type);
			return;
		}
		if (start & 1U << type && stop == 0) {
			bool ready = type == PMD_PPI || t->chosen[type].n > 0;

			command(d, t, ready ? START : SETTINGS, type);
			return;
		}
	}
	t->step = IDLE;
	d->done = true;
}

/* This type will not run; what was chosen for it may be why. */
static void give_up(struct dialogue *d, struct talk *t)
{
	t->refused |= (uint8_t)(1U << t->type);
	t->chosen[t->type].n = 0;
	if (t->step == STOP)
		t->running &= (uint8_t) ~(1U << t->type);
	go_on(d, t);
}

static void hear_features(struct dialogue *d, struct talk *t, const uint8_t *data, size_t size)
{
	if (size < 2)
		return;
	t->features_known = true;
	t->features = data[1];
	if (t->open && t->step == IDLE)
		go_on(d, t);
}

static void hear_stopped(struct dialogue *d, struct talk *t, const uint8_t *data, size_t size)
{
	for (size_t i = 1; i < size; i++)
		if ((data[i] & TYPE_MASK) < N_TYPES) {
			t->running &= (uint8_t) ~(1U << (data[i] & TYPE_MASK));
			t->refused &= (uint8_t) ~(1U << (data[i] & TYPE_MASK));
		}
	if (t->open && t->step == IDLE)
		go_on(d, t);
}

static void hear_error(struct dialogue *d, struct talk *t, uint8_t error)
{
	if (error == ERROR_MTU) {
		complain(d, "the MTU is too small for its measurements: it refuses every command");
		t->refused = (1U << N_TYPES) - 1;
	} else {
		complain(d, "its %s does not start: it says \"%s\" (%u)", pmd_type_name(t->type),
			 pmd_error_name(error), error);
	}
	give_up(d, t);
}

static void hear_answer(struct dialogue *d, struct talk *t, const uint8_t *data, size_t size)
{
	struct pmd_answer answer;

	if (t->step == IDLE || pmd_answer_decode(data, size, &answer, NULL) != 0)
		return;
	if (size != ANSWER_WITHOUT_ECHO &&
	    (answer.op != t->step || (answer.type & TYPE_MASK) != t->type))
		return;
	if (t->step == START && answer.error == ERROR_ALREADY)
		answer.error = 0;
	if (t->step != STOP && answer.error != 0) {
		hear_error(d, t, answer.error);
		return;
	}
	if (t->step == SETTINGS && !pmd_settings_append(&t->heard, &answer)) {
		complain(d, "its %s offers more settings than make sense", pmd_type_name(t->type));
		give_up(d, t);
		return;
	}
	if (answer.more)
		return;
	if (t->step == SETTINGS) {
		pmd_settings_choose(&t->heard, t->type, &t->chosen[t->type]);
		command(d, t, START, t->type);
		return;
	}
	if (t->step == START)
		t->running |= (uint8_t)(1U << t->type);
	else
		t->running &= (uint8_t) ~(1U << t->type);
	go_on(d, t);
}

static void hear(struct dialogue *d, struct talk *t, const uint8_t *data, size_t size)
{
	if (size == 0 || t->closing)
		return;
	switch (data[0]) {
	case FEATURES: hear_features(d, t, data, size); break;
	case ANSWER: hear_answer(d, t, data, size); break;
	case STOPPED: hear_stopped(d, t, data, size); break;
	default: break;
	}
}

static void on_silence(struct dialogue *d, struct talk *t)
{
	unsigned silent = types_of(d->silent);

	if (t->step != IDLE && t->n_repeats < REPEATS_MAX) {
		t->n_repeats++;
		t->heard.n = 0;
		speak(d, t);
	} else if (t->step != IDLE) {
		complain(d, "it does not answer when asked for its %s", pmd_type_name(t->type));
		give_up(d, t);
	} else {
		t->running &= (uint8_t)~silent;
		t->refused &= (uint8_t)~silent;
		go_on(d, t);
	}
}

static void begin(struct dialogue *d, struct talk *t, bool closing)
{
	t->open = true;
	t->closing = closing;
	t->refused = 0;
	if (closing && t->step == START) /* it may have heard it, and nobody waits for its answer */
		t->running |= (uint8_t)(1U << t->type);
	d->problem[0] = '\0';
	go_on(d, t);
}

void pmd_dialogue(struct dialogue *d, enum dialogue_event event, const uint8_t *data, size_t size)
{
	struct talk t;

	memcpy(&t, d->state, sizeof(t));
	d->n_out = 0;
	switch (event) {
	case DIALOGUE_OPEN: begin(d, &t, false); break;
	case DIALOGUE_HEARD: hear(d, &t, data, size); break;
	case DIALOGUE_WRITTEN:
		if (t.closing && t.step == STOP) /* whose answer nobody reads */
			give_up(d, &t);
		break;
	case DIALOGUE_REFUSED:
		if (t.step == IDLE)
			break;
		complain(d,
			 "its control point refused the command %02x for its %s (ATT error "
			 "0x%02x)",
			 t.step, pmd_type_name(t.type), size > 0 ? data[0] : 0);
		give_up(d, &t);
		break;
	case DIALOGUE_SILENT: on_silence(d, &t); break;
	case DIALOGUE_CLOSE: begin(d, &t, true); break;
	case DIALOGUE_ANSWERED: break; /* it asks nobody */
	}
	d->running = 0;
	/* PPI comes when a beat was found, after half a minute at first: nobody is to wait for it. */
	for (unsigned type = 0; type < PMD_PPI; type++)
		if (t.running & 1U << type)
			d->running |= 1U << kinds[type];
	memcpy(d->state, &t, sizeof(t));
}
