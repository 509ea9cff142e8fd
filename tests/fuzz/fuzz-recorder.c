/*
 * A strap with a memory, whatever it answers and whenever, over the whole dialogue: steps of two octets
 * and what they take.
 *
 *	00 n   it says the n octets that follow          01 .   the command was taken
 *	02 e   it was refused                            03 .   no answer came
 *	04 a   a question is answered: yes, no, wait     05 w   opened: wanted, or not
 *	06 m   another MTU                               07 .   the hub lets go
 *
 * Held: what it says fits, what it asks it waits for, nothing it keeps grows beyond its limits, and what
 * it recorded is only removed when somebody said that it is kept.
 */
#include "decode/polar_file.h"
#include "decode/protocol.h"
#include "model/recorder.h"
#include "util/bytes.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                  \
	do {                              \
		if (!(condition))         \
			__builtin_trap(); \
	} while (0)

static struct recorder recorder;
static struct dialogue dialogue;
static bool kept, said;

static void event(enum dialogue_event what, const uint8_t *data, size_t size)
{
	struct dialogue *d = &dialogue;

	d->now++;
	protocol_polar_psftp.profile.converse(d, what, data, size);
	CHECK(d->n_out <= DIALOGUE_OUT_MAX && (d->n_out <= (size_t)d->mtu - 3 || d->mtu < 23));
	CHECK(recorder.file.size <= PSFTP_ANSWER_MAX && recorder.percent <= 100);
	CHECK(strlen(d->problem) < sizeof(d->problem) &&
	      strlen(recorder.why) < sizeof(recorder.why));
	CHECK(!d->done || (recorder.question == RECORDER_NOTHING && !recorder.values));
	if (recorder.question == RECORDER_TAKE)
		CHECK(recorder.recording.n_rr == 0 ||
		      recorder.recording.rr_ms[recorder.recording.n_rr - 1] <= UINT16_MAX);
	/* REMOVE, in the first packet of a request */
	if (d->n_out > 5 && !(d->out[0] & 1) && !(d->out[2] & 0x80) && d->out[3] == 0x08 &&
	    d->out[4] == PSFTP_REMOVE)
		CHECK(kept);
	said = d->n_out > 0;
}

static void answer(uint8_t with)
{
	if (recorder.question == RECORDER_NOTHING)
		return;
	kept = recorder.question == RECORDER_TAKE && with % 3 == RECORDER_YES;
	recorder.question = RECORDER_NOTHING;
	recorder.answer = with % 3;
	memcpy(recorder.name, "V1", 3);
	memcpy(recorder.why, "no", 3);
	event(DIALOGUE_ANSWERED, NULL, 0);
	kept = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = bytes_make(data, size);
	bool open = false;

	recorder = (struct recorder){.percent = 0};
	dialogue = (struct dialogue){.mtu = 100, .recorder = &recorder, .done = true};
	said = false;
	while (bytes_left(&b) >= 2) {
		uint8_t what = bytes_u8(&b) % 8, how = bytes_u8(&b);
		size_t n = MIN(how, bytes_left(&b));

		if (said && what != 1 && what != 2) /* one command at a time */
			what = 1;
		if (what == 0 && open)
			event(DIALOGUE_HEARD, bytes_take(&b, n), n);
		else if (what == 1 && said)
			event(DIALOGUE_WRITTEN, NULL, 0);
		else if (what == 2 && said)
			event(DIALOGUE_REFUSED, &how, 1);
		else if (what == 3 && open && !dialogue.done && !recorder.question)
			event(DIALOGUE_SILENT, NULL, 0);
		else if (what == 4 && open)
			answer(how);
		else if (what == 5 && dialogue.done) {
			dialogue.wanted = how & 1 ? RECORDER_WANTED : 0;
			event(DIALOGUE_OPEN, NULL, 0);
			open = true;
		} else if (what == 6)
			dialogue.mtu = 23 + how;
		else if (what == 7 && open) {
			recorder.question = RECORDER_NOTHING;
			event(DIALOGUE_CLOSE, NULL, 0);
			break;
		}
	}
	buf_done(&recorder.file);
	free(recorder.values);
	return 0;
}
