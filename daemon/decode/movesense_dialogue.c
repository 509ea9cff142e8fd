/*
 * The dialogue with a Movesense sensor (protocol: decode/movesense.c). A command is a code, a
 * reference that we choose, and a path; its result comes back with the same reference:
 *
 *	0 HELLO  1 SUBSCRIBE path  2 UNSUBSCRIBE  ->  1 ref status(u16, as in HTTP: 200 is well)
 *
 *	hello --> subscribe to the first that is wanted --> ... --> done
 *	              | refused, and there is another way
 *	              +--> subscribe to that one
 *
 * Firmware differs in what it has of the ECG: microvolts at 128 Hz came late, the converter's counts
 * at 125 Hz are in all, some have them at 128 Hz. A stream that fell silent is unsubscribed from and
 * asked for again.
 */
#include "decode/movesense.h"

#include "util/bytes.h"

#include <stdio.h>

enum { HELLO = 0, SUBSCRIBE = 1, UNSUBSCRIBE = 2, RESULT = 1 };

enum { STATUS_OK = 200, REPEATS_MAX = 2 };

static const struct {
	enum kind kind;
	const char *path;
} streams[MOVESENSE_MAX_] = {
	[MOVESENSE_ECG_MICROVOLTS] = {KIND_ECG, "/Meas/ECG/128/mV"},
	[MOVESENSE_ECG_RAW_125] = {KIND_ECG, "/Meas/ECG/125"},
	[MOVESENSE_ECG_RAW_128] = {KIND_ECG, "/Meas/ECG/128"},
	[MOVESENSE_HEART_RATE] = {KIND_HEART_RATE, "/Meas/HR"},
	[MOVESENSE_ACCELERATION] = {KIND_ACCELERATION, "/Meas/Acc/52"},
};

/* Masks are 1 << enum movesense_stream. */
struct talk {
	uint8_t on;
	uint8_t refused; /* since DIALOGUE_OPEN */
	uint8_t silent;	 /* to be asked again */
	bool greeted;
	bool closing;
	bool asking;
	uint8_t code;
	uint8_t reference;
	uint8_t n_repeats;
};

static_assert(sizeof(struct talk) <= DIALOGUE_STATE_MAX, "fits what a dialogue may keep");

static void speak(struct dialogue *d, const struct talk *t)
{
	size_t n = t->code == SUBSCRIBE ? strlen(streams[t->reference].path) : 0;

	d->out[0] = t->code;
	d->out[1] = t->reference;
	if (n > 0)
		memcpy(d->out + 2, streams[t->reference].path, n);
	d->n_out = 2 + n;
	d->done = false;
}

static void command(struct dialogue *d, struct talk *t, uint8_t code, unsigned reference)
{
	t->code = code;
	t->reference = (uint8_t)reference;
	t->n_repeats = 0;
	t->asking = true;
	speak(d, t);
}

static uint8_t bit(unsigned stream)
{
	return (uint8_t)(1U << stream);
}

/* The streams of this kind, or of all: the other ways to the same ECG among them. */
static uint8_t streams_of(unsigned kinds)
{
	uint8_t ret = 0;

	for (unsigned i = MOVESENSE_HELLO + 1; i < MOVESENSE_MAX_; i++)
		if (kinds & 1U << streams[i].kind)
			ret |= bit(i);
	return ret;
}

static void go_on(struct dialogue *d, struct talk *t)
{
	unsigned wanted = t->closing ? 0 : streams_of(d->wanted);

	for (unsigned i = MOVESENSE_HELLO + 1; i < MOVESENSE_MAX_; i++)
		if (t->on & bit(i) && (t->silent & bit(i) || !(wanted & bit(i)))) {
			command(d, t, UNSUBSCRIBE, i);
			return;
		}
	for (unsigned i = MOVESENSE_HELLO + 1; i < MOVESENSE_MAX_; i++)
		if (wanted & bit(i) & (uint8_t)~t->refused &&
		    !(t->on & streams_of(1U << streams[i].kind))) {
			command(d, t, SUBSCRIBE, i);
			return;
		}
	t->asking = false;
	d->done = true;
}

static void complain(struct dialogue *d, const struct talk *t, const char *what, unsigned number)
{
	if (d->problem[0] || t->code != SUBSCRIBE)
		return;
	(void)snprintf(d->problem, sizeof(d->problem), "it does not send %s: %s%.0u",
		       streams[t->reference].path, what, number);
}

static void end_command(struct dialogue *d, struct talk *t, bool good)
{
	uint8_t alternatives = streams_of(1U << streams[t->reference].kind);

	if (t->reference == MOVESENSE_HELLO) {
		t->greeted = true; /* whatever it says: what counts is what it sends */
	} else if (t->code == UNSUBSCRIBE) {
		t->on &= (uint8_t)~bit(t->reference);
		t->silent &= (uint8_t)~bit(t->reference);
	} else if (good) {
		t->on |= bit(t->reference);
		if (alternatives & t->refused) /* another way was found */
			d->problem[0] = '\0';
	} else {
		t->refused |= bit(t->reference);
	}
	go_on(d, t);
}

static void hear(struct dialogue *d, struct talk *t, const uint8_t *data, size_t size)
{
	struct bytes b = bytes_make(data, size);
	uint8_t code = bytes_u8(&b), reference = bytes_u8(&b);
	uint16_t status = bytes_le16(&b);

	if (code != RESULT || size < 2 || t->closing || !t->asking || reference != t->reference)
		return;
	if (b.failed) /* a greeting may be answered with less */
		status = STATUS_OK;
	if (status != STATUS_OK)
		complain(d, t, "status ", status);
	end_command(d, t, status == STATUS_OK);
}

static void on_silence(struct dialogue *d, struct talk *t)
{
	if (t->asking && t->n_repeats < REPEATS_MAX) {
		t->n_repeats++;
		speak(d, t);
	} else if (t->asking) {
		complain(d, t, "no answer", 0);
		end_command(d, t, false);
	} else {
		t->silent = t->on & streams_of(d->silent);
		go_on(d, t);
	}
}

static void begin(struct dialogue *d, struct talk *t, bool closing)
{
	t->closing = closing;
	t->refused = 0;
	d->problem[0] = '\0';
	if (t->greeted || closing)
		go_on(d, t);
	else
		command(d, t, HELLO, MOVESENSE_HELLO);
}

void movesense_dialogue(struct dialogue *d, enum dialogue_event event, const uint8_t *data,
			size_t size)
{
	struct talk t;

	memcpy(&t, d->state, sizeof(t));
	d->n_out = 0;
	switch (event) {
	case DIALOGUE_OPEN: begin(d, &t, false); break;
	case DIALOGUE_HEARD: hear(d, &t, data, size); break;
	case DIALOGUE_WRITTEN:
		if (t.closing && t.asking) /* nobody reads its answer */
			end_command(d, &t, true);
		break;
	case DIALOGUE_REFUSED:
		if (!t.asking)
			break;
		complain(d, &t, "ATT error ", size > 0 ? data[0] : 0);
		end_command(d, &t, false);
		break;
	case DIALOGUE_SILENT: on_silence(d, &t); break;
	case DIALOGUE_CLOSE: begin(d, &t, true); break;
	case DIALOGUE_ANSWERED: break; /* it asks nobody */
	}
	d->running = 0;
	/* A heart rate comes with a beat, and there may be no heart: nobody is to wait for it. */
	for (unsigned i = MOVESENSE_HELLO + 1; i < MOVESENSE_MAX_; i++)
		if (t.on & bit(i) && i != MOVESENSE_HEART_RATE)
			d->running |= 1U << streams[i].kind;
	memcpy(d->state, &t, sizeof(t));
}
