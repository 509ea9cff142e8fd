/*
 * Salvage, seen from the loop. A child (`vitald salvage DIR`) reads the damaged files, because what
 * it reads may make SQLite crash, loop or want all memory there is; it writes frames into a pipe:
 *
 *    child --frames--> pipe --64 KiB a turn--> pieces --salvage_bring(), a commit--> the new store
 *
 * The pipe is not read while a slice cannot be brought (a request is under way, the card is full),
 * so nothing grows. A child that dies (after a quarter of an hour its own alarm ends it) is started
 * again and what was brought is skipped; after three times that is all there is. A daemon that dies goes on at its next
 * start, from the place that the last commit wrote down.
 *
 * A piece that every server had, by the books of the damaged store, is not brought over: it stays in
 * the folder, which is kept.
 */
#include "salvager.h"

#include "daemon.h"
#include "model/catalog.h"
#include "store/pack.h"
#include "store/register.h"
#include "store/rescue.h"
#include "store/rescue_frame.h"
#include "store/rescue_tables.h"
#include "util/log.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define RETRY_BUSY  (50 * USEC_PER_MSEC)
#define RETRY_FULL  (10 * USEC_PER_SEC)
#define RETRY_CHILD (2 * USEC_PER_SEC)

enum {
	READ_BYTES = 64 << 10,
	SLICE_BYTES = 64 << 10, /* of pieces in one commit: some milliseconds */
	SLICE_PIECES = 64,
	TRIES = 3,
	GAPS_MAX = 65536,
};

struct salvager {
	sd_event *event;
	struct store *store;
	const struct config *config;
	struct salvager_handler handler;
	struct salvage_status v;
	uint64_t lost;
	struct salvage_place place;  /* behind it nothing was brought yet */
	struct salvage_place parsed; /* of the last piece that was heard of */
	pid_t child;		     /* 0: none */
	int fd;
	sd_event_source *io, *timer;
	unsigned tries;
	bool eof, ended; /* nothing more comes; it said that this was all */
	struct buf in;
	size_t at;	     /* of `in`: read up to here */
	uint32_t *stream_of; /* number there - 1 -> number here; 0: not told */
	uint64_t sinks[64];  /* bit there -> bit here; 0: none of ours */
	struct salvage_piece *pieces, *gaps;
	size_t n_pieces, n_gaps;
	struct buf content; /* of the pieces; payload is an offset + 1 until they are brought */
	struct buf gap_content;
};

static void end_child(struct salvager *s)
{
	sd_event_source_disable_unref(s->io);
	s->io = NULL;
	if (s->fd >= 0)
		(void)close(s->fd); /* a pipe that was only read */
	s->fd = -1;
	if (s->child > 0) {
		(void)kill(s->child, SIGKILL); /* it may have ended */
		while (waitpid(s->child, NULL, 0) < 0 && errno == EINTR)
			;
	}
	s->child = 0;
}

struct salvager *salvager_free(struct salvager *s)
{
	if (!s)
		return NULL;
	end_child(s);
	sd_event_source_disable_unref(s->timer);
	buf_done(&s->in);
	buf_done(&s->content);
	buf_done(&s->gap_content);
	free(s->stream_of);
	free(s->pieces);
	free(s->gaps);
	free(s);
	return NULL;
}

static void again_in(struct salvager *s, usec_t delay)
{
	uint64_t now = clock_boot_usec();

	if (sd_event_source_set_time(s->timer, now + delay) < 0 ||
	    sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT) < 0)
		log_error("The timer of the salvage cannot be set");
}

/* --- what it says --- */

static uint64_t all_sinks(const struct salvager *s)
{
	uint64_t all = 0;

	for (uint32_t i = 1; i <= store_sink_count(s->store) && i <= 64; i++) {
		struct sink_info info;

		store_sink_info(s->store, i, &info);
		if (!info.retired)
			all |= UINT64_C(1) << (i - 1);
	}
	return all;
}

static uint64_t sink_bit(const struct salvager *s, const char *name)
{
	uint32_t sink = store_sink_named(s->store, name);

	return sink >= 1 && sink <= 64 ? UINT64_C(1) << (sink - 1) : 0;
}

/* A sink that is new and begins with what is new need not have this. */
static uint64_t bits_of_new(const struct salvager *s)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < s->config->n_sinks; i++)
		if (s->config->sinks[i].from == CONFIG_FROM_NOW)
			bits |= sink_bit(s, s->config->sinks[i].name);
	for (size_t i = 0; i < 64; i++)
		bits &= ~s->sinks[i];
	return bits;
}

static uint64_t translate(const struct salvager *s, uint64_t had)
{
	uint64_t bits = bits_of_new(s);

	for (size_t i = 0; i < 64; i++)
		if (had & UINT64_C(1) << i)
			bits |= s->sinks[i];
	return bits;
}

static bool is_settled(const struct salvager *s, uint64_t had)
{
	uint64_t all = all_sinks(s);

	return all != 0 && (had & all) == all;
}

static int append(struct salvage_piece **list, size_t *n, const struct salvage_piece *p)
{
	struct salvage_piece *more = reallocarray(*list, *n + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	*list = more;
	more[(*n)++] = *p;
	return 0;
}

/* The payload stays an offset while the buffer may still move. */
static int keep(struct salvager *s, const struct rescue_message *m)
{
	struct salvage_piece p = m->piece;

	if (p.stream < 1 || p.stream > RESCUE_STREAMS_MAX || s->stream_of[p.stream - 1] == 0)
		return -EBADMSG;
	p.stream = s->stream_of[p.stream - 1];
	p.had = translate(s, p.had);
	if (!salvage_place_before(&s->place, &p.place))
		return 0; /* it was brought, or left, in an earlier try */
	s->parsed = p.place;
	if (is_settled(s, p.had)) {
		s->v.settled += p.n;
		return 0;
	}
	p.payload = NULL;
	buf_append(&s->content, m->piece.payload, p.size);
	if (s->content.failed)
		return -ENOMEM;
	s->v.brought += p.n;
	return append(&s->pieces, &s->n_pieces, &p);
}

static int keep_gap(struct salvager *s, const struct rescue_message *m)
{
	const struct clock_state clock = clock_read(s->config->trust_clock);
	struct salvage_piece p = m->piece;
	struct record r = {.type = RECORD_GAP,
			   .gap = {.reason = GAP_SALVAGE, .n = (uint32_t)MIN(m->n, UINT32_MAX)}};
	size_t before = s->gap_content.size;

	if (p.stream < 1 || p.stream > RESCUE_STREAMS_MAX || s->stream_of[p.stream - 1] == 0)
		return -EBADMSG;
	p.stream = s->stream_of[p.stream - 1];
	p.had = translate(s, p.had);
	if (is_settled(s, p.had) || s->n_gaps >= GAPS_MAX)
		return 0; /* every server has what could not be read here */
	s->lost += m->n;  /* written down at the end only, with the gaps */
	p.n = 1;
	p.offset_us = clock.offset_us;
	p.boot_us = (p.boot_us ? p.boot_us : clock_wall_usec()) - p.offset_us;
	p.clk = p.clk == CLK_UTC ? CLK_UTC : CLK_EST;
	if (m->until_us > p.boot_us + p.offset_us)
		r.gap.duration_us = m->until_us - p.boot_us - p.offset_us;
	buf_svarint(&s->gap_content, 0);
	record_pack(&r, &s->gap_content);
	if (s->gap_content.failed)
		return -ENOMEM;
	p.payload = NULL;
	p.size = s->gap_content.size - before;
	return append(&s->gaps, &s->n_gaps, &p);
}

static void keep_end(struct salvager *s, const struct rescue_message *m)
{
	s->ended = true;
	if (m->n)
		(void)snprintf(s->v.words, sizeof(s->v.words),
			       "%llu records belong to streams whose names could not be read",
			       (unsigned long long)m->n);
	else
		(void)snprintf(s->v.words, sizeof(s->v.words), "%.*s", (int)sizeof(s->v.words) - 1,
			       m->name);
}

static int take(struct salvager *s, const struct rescue_message *m)
{
	switch (m->type) {
	case RESCUE_STREAM:
		if (m->number < 1 || m->number > RESCUE_STREAMS_MAX)
			return -EBADMSG;
		return register_stream(s->store, m->device, m->kind, m->name,
				       &s->stream_of[m->number - 1]);
	case RESCUE_SINK:
		if (m->number >= 1 && m->number <= 64)
			s->sinks[m->number - 1] = sink_bit(s, m->name);
		return 0;
	case RESCUE_PIECE: return keep(s, m);
	case RESCUE_GAP: return keep_gap(s, m);
	default: keep_end(s, m); return 0;
	}
}

/* --- bringing it --- */

static void point(struct salvage_piece *pieces, size_t n, const struct buf *content)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		pieces[i].payload = content->data + at;
		at += pieces[i].size;
	}
}

/* 0: gone; > 0: later; < 0: not at all. */
static int bring(struct salvager *s, struct salvage_piece *pieces, size_t *n, struct buf *content)
{
	int r;

	point(pieces, *n, content);
	if (*n > 0 && pieces[*n - 1].place.phase < 2)
		pieces[*n - 1].place = s->parsed; /* what was left there behind it counts as well */
	r = salvage_bring(s->store, &s->v, pieces, *n, clock_boot_usec());
	if (r != 0)
		return r;
	if (*n > 0 && pieces[*n - 1].place.phase < 2)
		s->place = pieces[*n - 1].place;
	*n = 0;
	buf_reset(content);
	s->handler.brought(s->handler.userdata);
	return 0;
}

static void tell_end(const struct salvager *s)
{
	log_event(s->v.lost ? LOG_WARNING : LOG_NOTICE, CATALOG_SALVAGED, NULL,
		  "The damaged store was read: %llu records were brought over, %llu are on every "
		  "server already, %llu are lost%s%s; its files are kept in %s/%s",
		  (unsigned long long)s->v.brought, (unsigned long long)s->v.settled,
		  (unsigned long long)s->v.lost, s->v.words[0] ? "; " : "", s->v.words,
		  s->config->state_dir, s->v.dir);
}

static void finish(struct salvager *s)
{
	int r;

	s->v.ended_us = clock_wall_usec();
	s->v.lost = s->lost;
	r = bring(s, s->gaps, &s->n_gaps, &s->gap_content);
	if (r != 0) {
		s->v.ended_us = 0;
		again_in(s, r == STORE_E_BUSY ? RETRY_BUSY : RETRY_FULL);
		return;
	}
	tell_end(s);
	end_child(s);
	s->eof = false;
	s->v.dir[0] = '\0';
	again_in(s, 0); /* is there another one? */
}

static void child_failed(struct salvager *s)
{
	end_child(s);
	buf_reset(&s->in);
	s->at = 0;
	s->eof = false;
	if (++s->tries < TRIES) {
		again_in(s, RETRY_CHILD);
		return;
	}
	/* What it said until it broke off is in the store; what is lost nobody can tell. */
	(void)snprintf(s->v.words, sizeof(s->v.words),
		       "reading it broke off again and again, at the same place perhaps");
	s->ended = s->eof = true;
	again_in(s, 0); /* what it said is brought first */
}

static bool slice_is_full(const struct salvager *s)
{
	return s->content.size >= SLICE_BYTES || s->n_pieces >= SLICE_PIECES;
}

/* Frames until a slice is full. RESCUE_E_MORE: none is left whole. */
static int parse(struct salvager *s)
{
	while (!slice_is_full(s)) {
		struct rescue_message m;
		size_t used;
		int r = rescue_read(s->in.data + s->at, s->in.size - s->at, &m, &used);

		if (r == 0)
			r = take(s, &m);
		if (r != 0)
			return r;
		s->at += used;
	}
	return 0;
}

/* One turn: at most one slice. */
static void pump(struct salvager *s)
{
	int r = parse(s);

	if (r < 0) {
		child_failed(s);
		return;
	}
	if (s->n_pieces > 0 && (slice_is_full(s) || s->eof)) {
		int b = bring(s, s->pieces, &s->n_pieces, &s->content);

		if (b != 0) {
			again_in(s, b == STORE_E_BUSY ? RETRY_BUSY : RETRY_FULL);
			return;
		}
		if (r == 0 || s->eof) {
			again_in(s, 0);
			return;
		}
	}
	if (s->eof) {
		if (s->ended)
			finish(s);
		else
			child_failed(s);
		return;
	}
	memmove(s->in.data, s->in.data + s->at, s->in.size - s->at);
	s->in.size -= s->at;
	s->at = 0;
	if (sd_event_source_set_enabled(s->io, SD_EVENT_ON) < 0)
		child_failed(s);
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct salvager *s = userdata;
	uint8_t *room = buf_reserve(&s->in, READ_BYTES);
	ssize_t n = room ? read(fd, room, READ_BYTES) : -1;

	if (n < 0 && errno == EINTR)
		return 0;
	if (n > 0)
		s->in.size += (size_t)n;
	s->eof = n <= 0;
	(void)sd_event_source_set_enabled(source, SD_EVENT_OFF); /* pump() wants more, or not */
	pump(s);
	return 0;
}

/* --- the child --- */

static int spawn(struct salvager *s, int out)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char dir[512], program[] = "vitald", command[] = "salvage";
	char *argv[] = {program, command, dir, NULL};
	sigset_t none;
	int r;

	if (snprintf(dir, sizeof(dir), "%s/%s", s->config->state_dir, s->v.dir) >= (int)sizeof(dir))
		return -ENAMETOOLONG;
	(void)sigemptyset(&none); /* cannot fail, nor can the next ones but for memory */
	if (posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	if (posix_spawnattr_init(&attributes) != 0) {
		(void)posix_spawn_file_actions_destroy(&actions);
		return -ENOMEM;
	}
	r = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawnattr_setsigmask(&attributes, &none);
	if (r == 0)
		r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	if (r == 0)
		r = posix_spawn(&s->child, "/proc/self/exe", &actions, &attributes, argv, environ);
	(void)posix_spawnattr_destroy(&attributes);	  /* cannot fail */
	(void)posix_spawn_file_actions_destroy(&actions); /* cannot fail */
	return -r;
}

/* From what the last commit wrote down: what was only heard of is heard of again. */
static void count_anew(struct salvager *s)
{
	int64_t began_us = s->v.began_us;

	for (size_t i = 0; i < store_salvage_count(s->store); i++) {
		struct salvage_status v;

		store_salvage_status(s->store, i, &v);
		if (streq(v.dir, s->v.dir))
			s->v = v;
	}
	s->v.began_us = began_us;
	s->parsed = s->place;
	s->lost = 0;
}

static int start_child(struct salvager *s)
{
	int fds[2], r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	r = spawn(s, fds[1]);
	(void)close(fds[1]); /* the child has it */
	if (r < 0) {
		(void)close(fds[0]); /* nobody writes into it */
		return r;
	}
	s->fd = fds[0];
	s->eof = s->ended = false;
	count_anew(s);
	s->at = 0;
	buf_reset(&s->in);
	s->n_pieces = s->n_gaps = 0;
	buf_reset(&s->content);
	buf_reset(&s->gap_content);
	memset(s->stream_of, 0, RESCUE_STREAMS_MAX * sizeof(*s->stream_of));
	memset(s->sinks, 0, sizeof(s->sinks));
	r = sd_event_add_io(s->event, &s->io, s->fd, EPOLLIN, on_readable, s);
	if (r >= 0)
		r = sd_event_source_set_priority(s->io, SD_EVENT_PRIORITY_IDLE);
	return r < 0 ? r : 0;
}

static bool find_next(struct salvager *s)
{
	for (size_t i = 0; i < store_salvage_count(s->store); i++) {
		store_salvage_status(s->store, i, &s->v);
		if (s->v.ended_us == 0)
			return true;
	}
	s->v.dir[0] = '\0';
	return false;
}

static int begin_next(struct salvager *s)
{
	s->tries = 0;
	if (!find_next(s))
		return 0;
	if (s->v.began_us == 0)
		s->v.began_us = clock_wall_usec();
	log_notice("Reading what is left of the damaged store in %s/%s", s->config->state_dir,
		   s->v.dir);
	return salvage_place(s->store, s->v.dir, &s->place) == 0 ? start_child(s) : -EIO;
}

static int on_timer(sd_event_source *source, uint64_t at, void *userdata)
{
	struct salvager *s = userdata;

	if (s->child > 0 || s->eof)
		pump(s);
	else if ((s->v.dir[0] ? start_child(s) : begin_next(s)) < 0)
		child_failed(s);
	return 0;
}

void salvager_set_config(struct salvager *s, const struct config *config)
{
	s->config = config;
}

int salvager_new(sd_event *event, struct store *store, const struct config *config,
		 const struct salvager_handler *handler, struct salvager **ret)
{
	_cleanup_(salvager_freep) struct salvager *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->fd = -1;
	s->event = event;
	s->store = store;
	s->config = config;
	s->handler = *handler;
	s->stream_of = calloc(RESCUE_STREAMS_MAX, sizeof(*s->stream_of));
	if (!s->stream_of)
		return -ENOMEM;
	r = sd_event_add_time(event, &s->timer, CLOCK_BOOTTIME, 0, USEC_PER_MSEC, on_timer, s);
	if (r >= 0)
		r = sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_source_set_priority(s->timer, SD_EVENT_PRIORITY_IDLE);
	if (r < 0)
		return r;
	again_in(s, 0);
	*ret = TAKE(s);
	return 0;
}

int salvage_main(const char *dir)
{
	return rescue_run(dir, STDOUT_FILENO) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
