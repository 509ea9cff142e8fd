/*
 * The memory of a Polar H10: one recording of the intervals between beats, that goes on when no link
 * does. Reached by file transfer (decode/psftp.c), its messages are those of decode/polar_file.c.
 *
 *	MAY? --> status --- it records --> stop --+
 *	            +-- it does not --------------+--> get "/", its directories, their directories ...
 *	                                                 | SAMPLES.BPB        | none
 *	                                               get --> TAKE? --> remove --> NAME? --> start
 *
 * An hour later it begins again: so what has to be fetched after an absence is that absence and less
 * than an hour, and the times of beats are counted from no further back.
 *
 * Intervals rather than the rate of each second, of which it can record one: they are what the live
 * measurement tells, and the rate follows from them but not the other way. A beat that was not found
 * is no interval, so their sum may fall short of the time that passed; when it was stopped by us the
 * recording says when that was, and whoever takes it can see how much is missing.
 *
 * Its clock is left alone, although it forgets the time when taken off: the ECG's timestamps are made
 * of it, and would jump. What the recording is called says when it began.
 *
 * A strap that was taken off ends the link 45 s later; then, as after any other end, the file is there
 * the next time. It is removed when it was taken, because an old one keeps a new one from beginning,
 * whoever made it. What cannot be read stays, and is told.
 */
#include "decode/polar_file.h"
#include "decode/protocol.h"
#include "model/recorder.h"
#include "util/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SAMPLES	    "SAMPLES.BPB"
#define RENEW_AFTER (3600 * USEC_PER_SEC)

enum {
	PATH_SIZE = 112,
	TODO_MAX = 16,	 /* directories that were not looked into yet */
	LOOKS_MAX = 32,	 /* into directories, in all */
	ROOM_LEAST = 20, /* an MTU of 23 */
};

enum step { REST, MAY, STATUS, STOP, LIST, GET, TAKE, REMOVE, NAME, START, DISMISS, CANCEL };

struct talk {
	uint8_t step;
	bool recording; /* one of ours, as far as we know */
	uint8_t n_looks, n_todo;
	uint64_t file_size;
	usec_t ended;
	struct psftp_reader in;
	struct psftp_writer out;
	char name[RECORDER_NAME_SIZE]; /* of what was being recorded */
	char path[PATH_SIZE];	       /* of what is asked for */
	char todo[TODO_MAX][PATH_SIZE];
};

static_assert(sizeof(struct talk) <= RECORDER_STATE_MAX, "fits what a recorder may keep");
static_assert((int)POLAR_NAME_MAX + 1 == (int)RECORDER_NAME_SIZE, "names fit");

/* --- how it ends --- */

static void forget(struct recorder *r)
{
	buf_done(&r->file);
	free(r->values);
	r->values = NULL;
	r->recording = (struct recording){.n_rr = 0};
	r->percent = 0;
}

static void rest(struct dialogue *d, struct talk *t, enum recorder_phase phase)
{
	forget(d->recorder);
	t->step = REST;
	d->recorder->phase = phase;
	d->done = true;
}

/* It stays as it is; the source opens the dialogue again, a minute later. */
_printf_(3, 4) static void give_up(struct dialogue *d, struct talk *t, const char *format, ...)
{
	struct recorder *r = d->recorder;
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(r->why, sizeof(r->why), format, ap); /* longer is cut */
	va_end(ap);
	memcpy(d->problem, r->why, sizeof(r->why));
	rest(d, t, RECORDER_IDLE);
}

/* --- what it says --- */

static void send(struct dialogue *d, struct talk *t)
{
	size_t room = MIN((size_t)MAX(d->mtu - 3, ROOM_LEAST), (size_t)DIALOGUE_OUT_MAX);

	d->n_out = psftp_packet(&t->out, room, d->out);
	d->done = false;
}

static void begin(struct dialogue *d, struct talk *t, enum step step)
{
	t->step = (uint8_t)step;
	t->in = (struct psftp_reader){0};
	send(d, t);
}

static void query(struct dialogue *d, struct talk *t, enum step step, enum psftp_query what)
{
	(void)psftp_query(&t->out, what, NULL, 0); /* fits */
	begin(d, t, step);
}

static void operate(struct dialogue *d, struct talk *t, enum step step, enum psftp_operation what)
{
	(void)polar_operation(&t->out, what, t->path); /* fits: PATH_SIZE */
	begin(d, t, step);
}

static void ask(struct dialogue *d, struct talk *t, enum step step, enum recorder_question question)
{
	t->step = (uint8_t)step;
	d->recorder->question = question;
	d->done = false;
}

/* --- directories --- */

static bool is_samples(const struct polar_entry *e)
{
	return e->n_name == strlen(SAMPLES) && memcmp(e->name, SAMPLES, e->n_name) == 0;
}

/* Not those that lead back, or out of what we can say. */
static bool join(const char *path, const struct polar_entry *e, char ret[static PATH_SIZE])
{
	size_t n = strlen(path);

	if (e->n_name == 0 || e->name[0] == '/' || e->name[0] == '.' ||
	    n + e->n_name >= PATH_SIZE || memchr(e->name, '\0', e->n_name))
		return false;
	memmove(ret, path, n);
	memcpy(ret + n, e->name, e->n_name);
	ret[n + e->n_name] = '\0';
	return true;
}

/* True: t->path is that of the samples. */
static bool look_into(struct talk *t, const struct buf *directory)
{
	struct polar_entry e;

	for (size_t at = 0; polar_next_entry(directory->data, directory->size, &at, &e);) {
		if (is_samples(&e) && join(t->path, &e, t->path)) {
			t->file_size = e.size;
			return true;
		}
		if (e.n_name > 0 && e.name[e.n_name - 1] == '/' && t->n_todo < TODO_MAX &&
		    join(t->path, &e, t->todo[t->n_todo]))
			t->n_todo++;
	}
	return false;
}

static void look_on(struct dialogue *d, struct talk *t)
{
	if (t->n_todo == 0 || t->n_looks++ == LOOKS_MAX) {
		ask(d, t, NAME, RECORDER_NAME);
		return;
	}
	memcpy(t->path, t->todo[--t->n_todo], PATH_SIZE);
	operate(d, t, LIST, PSFTP_GET);
}

static void look_from_the_top(struct dialogue *d, struct talk *t)
{
	t->n_looks = 0;
	t->n_todo = 1;
	(void)snprintf(t->todo[0], PATH_SIZE, "/"); /* fits */
	look_on(d, t);
}

/* --- a recording --- */

/* The directory that it lies in, if nobody has said the name. */
static void name_by_path(const char *path, char ret[static RECORDER_NAME_SIZE])
{
	const char *end = strrchr(path, '/'), *from = end; /* there is one: it begins with it */

	while (from > path && from[-1] != '/')
		from--;
	polar_name(from, (size_t)(end - from), ret);
}

static void hand_over(struct dialogue *d, struct talk *t)
{
	struct recorder *r = d->recorder;
	struct decode_error error = {0};
	struct polar_samples samples;

	r->values = malloc(MAX(r->file.size, (size_t)1) * sizeof(*r->values));
	if (!r->values || r->file.failed) {
		give_up(d, t, "no memory for what it recorded");
		return;
	}
	if (polar_samples_decode(r->file.data, r->file.size, r->values, &samples, &error) != 0) {
		give_up(d, t, "what it recorded cannot be read: %s", error.what);
		return;
	}
	r->recording = (struct recording){.ended = t->ended,
					  .interval_ms = samples.interval_ms,
					  .bpm = r->values,
					  .n_bpm = samples.n_bpm,
					  .rr_ms = r->values + samples.n_bpm,
					  .n_rr = samples.n_rr};
	if (t->name[0])
		memcpy(r->recording.name, t->name, sizeof(t->name));
	else
		name_by_path(t->path, r->recording.name);
	r->phase = RECORDER_KEEPING;
	ask(d, t, TAKE, RECORDER_TAKE);
}

static void start(struct dialogue *d, struct talk *t)
{
	forget(d->recorder);
	if (!polar_start_beats(&t->out, d->recorder->name))
		give_up(d, t, "no name for its recording");
	else
		begin(d, t, START);
}

/* --- answers --- */

static void on_status(struct dialogue *d, struct talk *t)
{
	const struct buf *file = &d->recorder->file;
	struct polar_status status;

	if (polar_status_decode(file->data, file->size, &status, NULL) != 0) {
		give_up(d, t, "it does not say whether it records");
		return;
	}
	t->ended = 0;
	memcpy(t->name, status.recording ? status.name : "",
	       status.recording ? sizeof(t->name) : 1);
	if (status.recording)
		query(d, t, STOP, PSFTP_STOP_RECORDING);
	else
		look_from_the_top(d, t);
}

static void on_list(struct dialogue *d, struct talk *t)
{
	struct recorder *r = d->recorder;
	bool found = look_into(t, &r->file);

	buf_reset(&r->file);
	if (!found) {
		look_on(d, t);
		return;
	}
	r->phase = RECORDER_FETCHING;
	r->percent = 0;
	operate(d, t, GET, PSFTP_GET);
}

static void on_whole(struct dialogue *d, struct talk *t)
{
	switch (t->step) {
	case STATUS: on_status(d, t); break;
	case STOP:
		t->ended = d->now;
		t->recording = false;
		look_from_the_top(d, t);
		break;
	case LIST: on_list(d, t); break;
	case GET: hand_over(d, t); break;
	case REMOVE: ask(d, t, NAME, RECORDER_NAME); break;
	case START:
		t->recording = true;
		d->again = RENEW_AFTER;
		rest(d, t, RECORDER_RECORDING);
		break;
	case DISMISS:
		t->recording = false;
		rest(d, t, RECORDER_OFF);
		break;
	default: break;
	}
}

static const char *doing(const struct talk *t)
{
	static const char *const words[] = {
		[STATUS] = "say whether it records", [STOP] = "stop its recording",
		[LIST] = "list its files",	     [GET] = "give what it recorded",
		[REMOVE] = "remove what was taken",  [START] = "record",
		[DISMISS] = "stop its recording",
	};

	return words[t->step];
}

static bool awaits(const struct talk *t)
{
	switch ((enum step)t->step) {
	case STATUS:
	case STOP:
	case LIST:
	case GET:
	case REMOVE:
	case START:
	case DISMISS: return true;
	case REST:
	case MAY:
	case TAKE:
	case NAME:
	case CANCEL: break;
	}
	return false;
}

static void on_error(struct dialogue *d, struct talk *t, uint16_t error)
{
	if (t->step == LIST && t->path[1]) /* one that may not be looked into */
		look_on(d, t);
	else
		give_up(d, t, "it does not %s: it says \"%s\" (%u)", doing(t),
			psftp_error_name(error), error);
}

static void hear(struct dialogue *d, struct talk *t, const uint8_t *data, size_t size)
{
	struct recorder *r = d->recorder;
	struct psftp_part part;
	int e;

	if (!awaits(t) || t->out.at < t->out.size) /* late, or nobody asked */
		return;
	e = psftp_read(&t->in, data, size, &part);
	if (e == PSFTP_E_LARGE) {
		give_up(d, t, "what it recorded is more than %u KiB", PSFTP_ANSWER_MAX / 1024);
		return;
	}
	if (e != 0) {
		give_up(d, t, "its answer came in pieces that do not fit together");
		return;
	}
	d->more = !part.last;
	if (part.error) {
		buf_reset(&r->file);
		on_error(d, t, part.error);
		return;
	}
	buf_append(&r->file, part.payload, part.size);
	if (t->step == GET && t->file_size > 0)
		r->percent = (uint8_t)MIN(r->file.size * 100 / t->file_size, 100);
	if (part.last)
		on_whole(d, t);
	if (part.last && t->step != TAKE)
		buf_reset(&r->file);
}

/* --- events --- */

static void open(struct dialogue *d, struct talk *t)
{
	d->problem[0] = '\0';
	d->recorder->why[0] = '\0';
	forget(d->recorder);
	if (d->wanted & RECORDER_WANTED)
		ask(d, t, MAY, RECORDER_MAY);
	else if (t->recording)
		query(d, t, DISMISS, PSFTP_STOP_RECORDING);
	else
		rest(d, t, RECORDER_OFF);
}

static void answered(struct dialogue *d, struct talk *t)
{
	static const enum recorder_question questions[] = {
		[MAY] = RECORDER_MAY, [TAKE] = RECORDER_TAKE, [NAME] = RECORDER_NAME};
	struct recorder *r = d->recorder;
	char why[sizeof(r->why)];

	if (t->step != MAY && t->step != TAKE && t->step != NAME)
		return; /* it was too late, and given up */
	if (r->answer == RECORDER_NO) {
		memcpy(why, r->why, sizeof(why));
		give_up(d, t, "%s", why);
		return;
	}
	if (r->answer == RECORDER_WAIT) {
		ask(d, t, t->step, questions[t->step]);
		return;
	}
	switch (t->step) {
	case MAY:
		r->phase = RECORDER_LOOKING;
		query(d, t, STATUS, PSFTP_RECORDING_STATUS);
		break;
	case TAKE:
		forget(r);
		operate(d, t, REMOVE, PSFTP_REMOVE);
		break;
	case NAME: start(d, t); break;
	default: break;
	}
}

static void on_silence(struct dialogue *d, struct talk *t)
{
	bool sends = t->step == LIST || t->step == GET;

	if (!awaits(t)) {
		give_up(d, t, "nobody takes what it recorded");
		return;
	}
	give_up(d, t, "it did not %s", doing(t));
	if (!sends)
		return;
	t->step = CANCEL;
	memcpy(d->out, PSFTP_CANCEL, 3);
	d->n_out = 3;
	d->done = false;
}

static void written(struct dialogue *d, struct talk *t)
{
	if (t->step == CANCEL)
		rest(d, t, RECORDER_IDLE);
	else if (awaits(t))
		send(d, t);
}

static void converse(struct dialogue *d, enum dialogue_event event, const uint8_t *data,
		     size_t size)
{
	struct talk *t = (struct talk *)d->recorder->state;

	d->n_out = 0;
	d->more = false;
	switch (event) {
	case DIALOGUE_OPEN: open(d, t); break;
	case DIALOGUE_HEARD: hear(d, t, data, size); break;
	case DIALOGUE_WRITTEN: written(d, t); break;
	case DIALOGUE_REFUSED:
		if (t->step == CANCEL)
			rest(d, t, RECORDER_IDLE);
		else if (awaits(t))
			give_up(d, t, "it refused to %s (ATT error 0x%02x)", doing(t),
				size > 0 ? data[0] : 0);
		break;
	case DIALOGUE_SILENT: on_silence(d, t); break;
	case DIALOGUE_CLOSE:
		rest(d, t, d->recorder->phase);
		break; /* it goes on: that is its use */
	case DIALOGUE_ANSWERED: answered(d, t); break;
	}
}

/* No measurement comes this way but by the recorder. */
static int decode(struct decoder *d, const struct frame *f, const struct reading_handler *handler,
		  struct decode_error *error)
{
	return 0;
}

static const struct profile_characteristic characteristics[] = {
	{CHARACTERISTIC_PSFTP_MTU, PROFILE_CONTROL, RECORDER_WANTED, 0},
	{CHARACTERISTIC_PSFTP_D2H, PROFILE_NOTIFY, RECORDER_WANTED, 0},
};

const struct protocol protocol_polar_psftp = {
	.profile = {.name = "polar_psftp",
		    .title = "Polar file transfer",
		    .service = "0000feee-0000-1000-8000-00805f9b34fb",
		    .records = true,
		    .characteristics = characteristics,
		    .n_characteristics = ARRAY_SIZE(characteristics),
		    .converse = converse},
	.decode = decode,
};
