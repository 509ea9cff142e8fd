/*
 * Plays a capture as if its wearables were here now.
 *
 *	OPEN --> MEASURE (fast only: how long is it?) --> PLAY --> ENDED
 *	  |                                                 |
 *	  +--> FAILED: cannot be opened, not a capture      +--> a packet is due later: the timer
 *
 * Time. The length of a capture is the sum of the steps between its packets. A step forward of more
 * than STEP_MAX, which no capture of wearables that speak each second has for another reason, or
 * backwards of more than BACK_MAX is a clock that was set, and counts nothing. (Small steps back
 * are the disorder of stamps that several sockets bring.) At real pace the capture
 * begins when it is opened, and a frame came when its packet is due, even if it is read a little
 * later. At full pace it ends when it is opened, so that ECG keeps its distances and no frame comes
 * from the future; what would have been before this machine started is as old as the machine.
 *
 * The file is read in pieces of READ_SIZE; each wake-up plays PACKETS_A_SLICE at most, so that
 * everything else goes on. Nothing can be found behind a packet that is broken: what came before is
 * played, and the sentence says where it broke. A file that cannot be opened is tried again at each
 * reload of the config; a capture that has ended is not played twice.
 */
#include "source/sniff.h"
#include "source/source.h"
#include "util/clock.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	READ_SIZE = 64 * 1024,
	PACKETS_A_SLICE = 64,
	PRIORITY = SD_EVENT_PRIORITY_NORMAL - 10, /* that of packets of other sources */
};

#define STEP_MAX (3600 * (int64_t)USEC_PER_SEC)
#define BACK_MAX (5 * (int64_t)USEC_PER_SEC)

enum phase { OPEN, MEASURE, PLAY, ENDED, FAILED };

struct replay {
	struct source source;
	sd_event_source *timer;
	struct source_handler handler;
	struct attribute_map given;
	char *path;
	const char *name; /* the last part of it */
	bool fast;
	enum phase phase;
	int fd; /* -1: not open */
	/* What was read and not played yet: data[at] on; the rest of the file begins at `offset`. */
	struct buf data;
	size_t at;
	uint64_t offset;
	bool whole; /* all of the file was read */
	uint32_t datalink;
	bool timed;	   /* there was a packet */
	int64_t last_us;   /* wall time of the last packet */
	usec_t elapsed_us; /* from the first packet to the next one */
	usec_t origin_us;  /* boot time of the first packet */
	struct sniff *sniff;
};

_printf_(2, 3) static void tell(struct replay *r, const char *format, ...)
{
	char problem[256];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(problem, sizeof(problem), format, ap); /* it fits */
	va_end(ap);
	r->handler.state(r->handler.userdata, problem);
}

static struct bytes unread(const struct replay *r)
{
	return bytes_make(r->data.data + r->at, r->data.size - r->at);
}

static uint64_t position(const struct replay *r)
{
	return r->offset - (r->data.size - r->at);
}

/* Reads on. < 0: -errno; 0: there is more, or `whole`. */
static int read_on(struct replay *r)
{
	uint8_t *room;
	ssize_t n;

	if (r->at > 0) {
		memmove(r->data.data, r->data.data + r->at, r->data.size - r->at);
		r->data.size -= r->at;
		r->at = 0;
	}
	room = buf_reserve(&r->data, READ_SIZE);
	if (!room)
		return -ENOMEM;
	n = pread(r->fd, room, READ_SIZE, (off_t)r->offset);
	if (n < 0)
		return -errno;
	r->data.size += (size_t)n;
	r->offset += (uint64_t)n;
	r->whole = n == 0;
	return 0;
}

static int rewind_file(struct replay *r)
{
	struct bytes b;
	int e = 0;

	buf_reset(&r->data);
	r->at = 0;
	r->offset = 0;
	r->whole = r->timed = false;
	r->elapsed_us = 0;
	while (e == 0 && !r->whole && r->data.size < BTSNOOP_HEADER_SIZE)
		e = read_on(r);
	if (e < 0)
		return e;
	b = unread(r);
	e = btsnoop_read_header(&b, &r->datalink);
	if (e == 0)
		r->at = b.at;
	return e;
}

/* The next packet, which stays where it is until pass() is called; BTSNOOP_E_SHORT: the end. */
static int peek(struct replay *r, struct btsnoop_packet *ret, size_t *ret_size)
{
	for (;;) {
		struct bytes b = unread(r);
		int e = btsnoop_read_packet(&b, r->datalink, ret);

		*ret_size = b.at;
		if (e != BTSNOOP_E_SHORT || r->whole)
			return e;
		e = read_on(r);
		if (e < 0)
			return e;
	}
}

/* How far the capture is at this packet. */
static usec_t elapsed_at(const struct replay *r, const struct btsnoop_packet *p)
{
	int64_t step;

	if (!r->timed || __builtin_sub_overflow(p->wall_us, r->last_us, &step) ||
	    step < -BACK_MAX || step > STEP_MAX)
		return r->elapsed_us;
	if (step < 0 && (usec_t)-step > r->elapsed_us)
		return 0;
	return r->elapsed_us + (usec_t)step; /* a negative one wraps, and back */
}

static void pass(struct replay *r, const struct btsnoop_packet *p, size_t size)
{
	r->elapsed_us = elapsed_at(r, p);
	r->last_us = p->wall_us;
	r->timed = true;
	r->at += size;
}

static void tell_end(struct replay *r, int e)
{
	const struct sniff_counts *n = sniff_counts(r->sniff);
	bool short_of_it = e == BTSNOOP_E_SHORT && position(r) < r->offset;

	if (e < 0)
		tell(r, "the capture %.60s cannot be read on at byte %" PRIu64 ": %s", r->name,
		     position(r), strerror(-e));
	else if (e != BTSNOOP_E_SHORT || short_of_it)
		tell(r,
		     "the capture %.60s is broken at byte %" PRIu64
		     ": %s; what was before it was played",
		     r->name, position(r), btsnoop_problem(e));
	else if (n->unnamed)
		tell(r,
		     "the capture %.60s is at its end: %" PRIu64 " frames; %" PRIu64
		     " values are at handles that it does not explain (see `handles`)",
		     r->name, n->frames, n->unnamed);
	else
		tell(r,
		     "the capture %.60s is at its end: %" PRIu64 " frames of %" PRIu64 " packets",
		     r->name, n->frames, n->packets);
}

static void end(struct replay *r, int e)
{
	r->phase = ENDED;
	sniff_end(r->sniff, clock_boot_usec());
	tell_end(r, e);
	(void)close(r->fd); /* it was only read */
	r->fd = -1;
	buf_done(&r->data);
}

static void fail(struct replay *r, const char *why)
{
	r->phase = FAILED;
	tell(r, "cannot play the capture %.60s: %s", r->name, why);
	if (r->fd >= 0)
		(void)close(r->fd); /* it was only read */
	r->fd = -1;
}

/* The timer exists and takes any time: setting it cannot fail. */
static void wake_at(struct replay *r, usec_t at)
{
	(void)sd_event_source_set_time(r->timer, at);
	(void)sd_event_source_set_enabled(r->timer, SD_EVENT_ONESHOT);
}

static void begin(struct replay *r)
{
	struct stat st;
	int e;

	r->fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not even a FIFO holds us up */
	if (r->fd < 0 || fstat(r->fd, &st) < 0) {
		fail(r, strerror(errno));
		return;
	}
	if (!S_ISREG(st.st_mode)) {
		fail(r, "it is not a file");
		return;
	}
	e = rewind_file(r);
	if (e != 0) { /* what is shorter than a header is nothing, too */
		fail(r, e < 0 ? strerror(-e) : btsnoop_problem(MAX(e, BTSNOOP_E_MAGIC)));
		return;
	}
	r->phase = r->fast ? MEASURE : PLAY;
	r->origin_us = clock_boot_usec();
	r->handler.state(r->handler.userdata, NULL);
}

/* 0: a slice was done; else as peek(). */
static int measure(struct replay *r)
{
	struct btsnoop_packet p;
	size_t size;
	int e = 0;

	/* These cost nothing but the reading. */
	for (unsigned i = 0; i < 16 * PACKETS_A_SLICE; i++) {
		e = peek(r, &p, &size);
		if (e != 0)
			return e;
		pass(r, &p, size);
	}
	return 0;
}

/* A slice of the packets that are due; *ret_due is when the next one is. */
static int play(struct replay *r, usec_t now, usec_t *ret_due)
{
	struct btsnoop_packet p;
	size_t size;
	int e;

	*ret_due = now;
	for (unsigned i = 0; i < PACKETS_A_SLICE; i++) {
		usec_t due;

		e = peek(r, &p, &size);
		if (e != 0)
			return e;
		due = r->origin_us + elapsed_at(r, &p);
		if (due > now && !r->fast) {
			*ret_due = due;
			return 0;
		}
		e = sniff_packet(r->sniff, &p, MIN(due, now), now);
		if (e < 0)
			return e;
		pass(r, &p, size);
	}
	return 0;
}

static void measured(struct replay *r)
{
	usec_t now = clock_boot_usec(), length = r->elapsed_us;
	int e;

	r->origin_us = now > length ? now - length : 0;
	e = rewind_file(r);
	if (e != 0)
		fail(r, e < 0 ? strerror(-e) : btsnoop_problem(e));
	else
		r->phase = PLAY;
}

static int on_timer(sd_event_source *source, uint64_t at, void *userdata)
{
	struct replay *r = userdata;
	usec_t now = clock_boot_usec(), due = now;
	int e = 0;

	if (r->phase == OPEN) {
		begin(r);
	} else if (r->phase == MEASURE) {
		if (measure(r) != 0)
			measured(r); /* whatever ended it ends the playing, too */
	} else if (r->phase == PLAY) {
		e = play(r, now, &due);
		if (e != 0)
			end(r, e);
	}
	if (r->phase < ENDED)
		wake_at(r, due);
	return 0;
}

static struct replay *replay_free(struct replay *r)
{
	if (!r)
		return NULL;
	sniff_free(r->sniff);
	sd_event_source_disable_unref(r->timer);
	if (r->fd >= 0)
		(void)close(r->fd); /* it was only read */
	buf_done(&r->data);
	free(r->path);
	free(r);
	return NULL;
}
DEFINE_CLEANUP(struct replay *, replay_free)

static void free_source(struct source *source)
{
	(void)replay_free((struct replay *)source); /* its first member */
}

/* What differs is another source; but perhaps the file is there by now. */
static void set_config(struct source *source, const struct config *config)
{
	struct replay *r = (struct replay *)source;

	if (r->phase != FAILED)
		return;
	r->phase = OPEN;
	wake_at(r, clock_boot_usec());
}

static const struct source_operations operations = {.free = free_source, .set_config = set_config};

int source_replay_new(sd_event *event, const struct config *config,
		      const struct source_handler *handler, struct source **ret)
{
	_cleanup_(replay_freep) struct replay *r = calloc(1, sizeof(*r));
	struct sniff_handler sniff = {.userdata = handler->userdata,
				      .connected = handler->connected,
				      .frame = handler->frame,
				      .disconnected = handler->disconnected};
	int e;

	if (!r)
		return -ENOMEM;
	*r = (struct replay){.source = {&operations},
			     .handler = *handler,
			     .fast = config->replay_fast,
			     .fd = -1};
	for (size_t i = 0; i < config->handles.n; i++)
		attribute_map_set(&r->given, config->handles.list[i].handle,
				  (enum characteristic)config->handles.list[i].characteristic);
	r->path = strdup(config->file);
	if (!r->path)
		return -ENOMEM;
	r->name = strrchr(r->path, '/');
	r->name = r->name ? r->name + 1 : r->path;
	e = sniff_new(&r->given, &sniff, &r->sniff);
	if (e < 0)
		return e;
	/* From the loop, at once: no callback comes before the caller has its source. */
	e = sd_event_add_time(event, &r->timer, CLOCK_BOOTTIME, 0, USEC_PER_MSEC, on_timer, r);
	if (e >= 0)
		e = sd_event_source_set_priority(r->timer, PRIORITY);
	if (e < 0)
		return e;
	*ret = &TAKE(r)->source;
	return 0;
}
