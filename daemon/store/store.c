/*
 * The store: what guards the data. A record's life:
 *
 *   heard --store_admit()--> TAIL --store_commit()--> LOG --store_prune()--> deleted
 *           id, seq fixed     |   whole tail, FULL     |   only what every required sink has
 *                             |                        |
 *      survives:   the death of the process        a power cut
 *
 * and, for each sink on its own (outbox.c):
 *
 *   OPEN (seq > cursor) --cut--> in flight --receipt--> CONFIRMED
 *                                    |                     ^
 *                                    +--failed--> ROW -----+      a row is a range still to send
 *                                    +--refused-> QUARANTINED
 *
 * Promises kept here, and what each is there against:
 *  - Each start of an owner commits a new run before anything is admitted (run.c). So no number
 *    that a server saw before a power cut can come back with other content.
 *  - At a start the tail is replayed and committed before the new run begins; only a tail of this
 *    store's incarnation, only ids that the log has not got.
 *  - A commit takes the whole tail in id order together with cursors, rows, quarantine and
 *    counters, in one transaction. So the log always holds every id up to some id, and a cursor on
 *    the disk never stands above records that are not there.
 *  - A COMMIT that failed may have happened all the same. Slots are kept until one succeeds; before
 *    the next try the log is asked how far it reaches.
 *  - Numbers are given under the owner's lock only.
 */
#include "store/store.h"

#include "store/owner.h"
#include "store/room.h"
#include "store/run.h"
#include "store/salvage.h"
#include "store/state.h"
#include "store/wear.h"

#include <stdio.h>
#include <unistd.h>

const char *store_problem(const struct store *s)
{
	return s->problem;
}

struct store *store_close(struct store *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < SQL_MAX_; i++)
		(void)sqlite3_finalize(s->statements[i]); /* repeats old errors */
	(void)sqlite3_close(s->db); /* cannot be busy: all statements are gone */
	s->tail = tail_free(s->tail);
	for (size_t i = 0; i < s->n_streams; i++) {
		free(s->streams[i].device);
		free(s->streams[i].subject);
		free(s->streams[i].runs);
	}
	for (size_t i = 0; i < s->n_sinks; i++) {
		free(s->sinks[i].cursors);
		free(s->sinks[i].range_of);
	}
	keep_free(s);
	staged_free(s);
	free(s->incarnations);
	free(s->asides);
	free(s->streams);
	free(s->sinks);
	free(s->runs);
	free(s->rows);
	free(s->dead_rows);
	free(s->new_quarantine);
	free(s->new_findings);
	free(s->segments);
	free(s->rates.hours);
	free(s->notes);
	free(s->salvages);
	buf_done(&s->scratch);
	free(s->state_dir);
	free(s->runtime_dir);
	if (s->owner_fd >= 0)
		(void)close(s->owner_fd); /* gives the lock back */
	free(s);
	return NULL;
}

enum { LOOK_TRIES = 5 };

static int store_new(const char *state_dir, const char *runtime_dir, struct store **ret)
{
	_cleanup_(store_closep) struct store *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->owner_fd = -1;
	s->retry_at = 0;
	s->dirty_since = s->pending_since = USEC_INFINITY;
	s->state_dir = strdup(state_dir);
	s->runtime_dir = strdup(runtime_dir);
	if (!s->state_dir || !s->runtime_dir)
		return -ENOMEM;
	*ret = TAKE(s);
	return 0;
}

static bool tail_path(const struct store *s, const char *suffix, char ret[static 512])
{
	return snprintf(ret, 512, "%s/tail%s", s->runtime_dir, suffix) < 512;
}

/* A tail that is not ours, or not a tail: out of the way, but not lost. */
static int set_aside(struct store *s)
{
	char from[512], to[512];

	if (!tail_path(s, "", from) || !tail_path(s, ".foreign", to))
		return -ENAMETOOLONG;
	s->tail = tail_free(s->tail);
	return rename(from, to) < 0 ? -errno : 0;
}

static bool is_known_run(const struct store *s, uint64_t number, const struct uuid *nonce)
{
	static const struct uuid none;
	struct run_info run;

	return store_run(s, number, &run) &&
	       (uuid_equal(nonce, &none) || uuid_equal(nonce, &run.nonce));
}

/*
 * Does the tail go on where the log ends? One whose run the log has not, or under another nonce, or
 * whose slots begin with a hole or name a stream that was never made, is of a later time.
 */
static bool goes_on(const struct store *s)
{
	uint64_t position = tail_start(s->tail), next, id = s->log_id;
	const uint8_t *payload;
	struct run_info run;
	struct slot slot;

	if (!is_known_run(s, tail_run(s->tail), tail_nonce(s->tail)))
		return false;
	for (; tail_read(s->tail, position, &slot, &payload, &next) == 0; position = next) {
		if (slot.id <= s->log_id)
			continue;
		if (slot.id != ++id || !store_run(s, seq_run(slot.seq), &run) || slot.stream < 1 ||
		    slot.stream > s->n_streams)
			return false;
	}
	return true;
}

static int find_tail(struct store *s, struct store_opening *opening)
{
	char path[512];
	int r;

	if (!tail_path(s, "", path))
		return store_fail(s, -ENAMETOOLONG, "%s is too long", s->runtime_dir);
	r = tail_open(path, true, &s->tail);
	if (r < 0)
		return store_fail(s, r, "%s: %s", path, strerror(-r));
	if (r == TAIL_E_ABSENT) {
		opening->tail = opening->created || opening->clean ? TAIL_NONE : TAIL_LOST;
		return 0;
	}
	if (r == 0 && identity_is_ours(s, tail_incarnation(s->tail)) && goes_on(s))
		return 0;
	/* Of ours, and yet the log does not know of it: the log was put back from a copy. */
	s->set_back = r == 0 && identity_is_ours(s, tail_incarnation(s->tail));
	opening->tail = TAIL_FOREIGN;
	s->tail = tail_free(s->tail);
	return 0;
}

/* Learns the numbers that the tail's slots have; the log gets the slots with the next commit. */
static int count_tail(struct store *s, struct store_opening *opening)
{
	uint64_t position = tail_start(s->tail), next;
	const uint8_t *payload;
	struct slot slot;
	int r;

	s->log_pos = position;
	while ((r = tail_read(s->tail, position, &slot, &payload, &next)) == 0) {
		position = next;
		if (slot.id <= s->log_id) {
			s->log_pos = position;
			continue;
		}
		if (slot.stream < 1 || slot.stream > s->n_streams)
			return store_fail(s, STORE_E_CORRUPT, "the tail names stream %u",
					  (unsigned)slot.stream);
		r = stream_reach(stream_of(s, slot.stream), seq_run(slot.seq),
				 slot.seq & SEQ_N_MAX);
		if (r < 0)
			return r;
		s->next_id = MAX(s->next_id, slot.id + 1);
		opening->n_recovered++;
	}
	opening->n_torn = r == TAIL_E_DAMAGED;
	return 0;
}

static int replay_tail(struct store *s, struct store_opening *opening, usec_t now)
{
	int r;

	r = find_tail(s, opening);
	if (r != 0 || !s->tail)
		return r;
	r = count_tail(s, opening);
	if (r != 0)
		return r;
	if (opening->n_recovered > 0) {
		opening->tail = TAIL_RECOVERED;
		r = store_commit(s, now);
		s->commits_late = 0; /* it was we who were dead, not the card that was slow */
	}
	/*
	 * What lies behind a tear has no length to step over it: it is kept for whoever can tell.
	 */
	return r == 0 && opening->n_torn ? set_aside(s) : r;
}

static int fresh_tail(struct store *s, usec_t now)
{
	char path[512];
	int r;

	if (!tail_path(s, "", path))
		return store_fail(s, -ENAMETOOLONG, "%s is too long", s->runtime_dir);
	s->tail = tail_free(s->tail);
	r = tail_create(path, s->tail_wanted, &s->incarnation, s->run.number, s->run.boot_id,
			&s->tail);
	if (r < 0)
		return store_fail(s, r, "%s: %s", path, strerror(-r));
	tail_set_nonce(s->tail, &s->run.nonce);
	s->log_pos = 0;
	for (size_t i = 0; i < s->n_sinks; i++)
		s->sinks[i].cut_pos = s->sinks[i].in_flight_pos = 0;
	store_heartbeat(s, now);
	return 0;
}

static int count_wal(void *userdata, sqlite3 *db, const char *name, int pages)
{
	struct store *s = userdata;

	s->wal_pages = pages;
	return SQLITE_OK;
}

static int open_parts(struct store *s, const struct store_options *o, struct store_opening *opening,
		      usec_t now)
{
	int r;

	r = schema_open(s, true, &opening->created);
	if (r == 0)
		r = schema_prepare(s);
	if (r == 0)
		r = schema_load(s);
	if (r != 0)
		return r;
	(void)sqlite3_wal_hook(s->db, count_wal, s); /* returns the last hook's argument */
	if (opening->created)
		s->clean = true;
	else if (s->run.number == 0)
		opening->created = true; /* died between making the tables and the first run */
	opening->clean = s->clean;
	s->next_id = s->log_id + 1;
	r = replay_tail(s, opening, now);
	if (opening->tail == TAIL_NONE && s->power_cut)
		opening->tail = TAIL_LOST; /* a drain came first */
	s->power_cut = opening->tail == TAIL_LOST;
	if (r == 0)
		r = run_begin(s, o->machine, opening);
	if (r == 0)
		r = wall_cover_past(s);
	wall_expect_pending(s, now);
	wall_remember(s);
	if (r == 0)
		log_find_newest(s);
	/* Not before the run is on the disk: until then it is what tells that the store was set back. */
	if (r == 0 && opening->tail == TAIL_FOREIGN)
		r = set_aside(s);
	return r == 0 ? fresh_tail(s, now) : r;
}

void store_set_options(struct store *s, const struct store_options *o)
{
	s->durability_window = o->durability_window;
	s->lazy_commit = o->lazy_commit;
	s->max_size = o->max_size;
	s->max_batches = o->max_batches;
	s->free_reserve = o->free_reserve;
	s->wants_ballast = o->ballast;
}

/* One try, under the owner's lock, which it takes over. */
static int open_once(const struct store_options *o, int owner_fd, usec_t now,
		     const struct clock_state *clock, struct store_opening *opening,
		     struct store **ret)
{
	_cleanup_(store_closep) struct store *s = NULL;
	int r;

	r = store_new(o->state_dir, o->runtime_dir, &s);
	if (r < 0)
		return r;
	(void)snprintf(s->role, sizeof(s->role), "%s", o->role);
	s->replaying = true;
	s->tail_wanted = o->tail_size;
	store_set_options(s, o);
	s->latest = now;
	store_set_clock(s, clock);
	s->owner_fd = owner_fd;
	memcpy(s->set_aside, opening->set_aside, sizeof(s->set_aside));
	room_before_open(s);
	r = open_parts(s, o, opening, now);
	s->replaying = false;
	if (r != 0) {
		/* The caller gets no store to ask: it is told through the opening. */
		memcpy(opening->problem, s->problem, sizeof(opening->problem));
		s->owner_fd = -1; /* another try is made under the same lock */
		return r;
	}
	*ret = TAKE(s);
	return 0;
}

/* A store that is damaged makes place for a new one. */
static int open_anew(const struct store_options *o, int owner_fd, usec_t now,
		     const struct clock_state *clock, struct store_opening *opening,
		     struct store **ret)
{
	struct store_opening fresh = {0};
	int r;

	memcpy(fresh.damage, opening->problem, sizeof(fresh.damage));
	if (!fresh.damage[0])
		salvage_reason(o->state_dir, fresh.damage);
	r = salvage_make_place(o->state_dir);
	if (r > 0)
		(void)snprintf(opening->problem, sizeof(opening->problem),
			       "the store is damaged once more, and %d that were before are not "
			       "read yet: replace the card",
			       SALVAGE_KEPT);
	if (r > 0)
		return r;
	r = salvage_set_aside(o->state_dir, o->runtime_dir, fresh.set_aside);
	if (r < 0) {
		(void)snprintf(opening->problem, sizeof(opening->problem),
			       "the store is damaged and cannot be set aside: %s", strerror(-r));
		return r;
	}
	*opening = fresh;
	return open_once(o, owner_fd, now, clock, opening, ret);
}

/* "unable to open database file" is true, and helps nobody. */
static void say_whose(const char *state_dir, char problem[static 256])
{
	struct store_whose whose;

	if (store_whose(state_dir, &whose))
		(void)snprintf(problem, 256, "%.120s; %.130s", whose.what, whose.remedy);
}

int store_open(const struct store_options *o, usec_t now, const struct clock_state *clock,
	       struct store_opening *ret_opening, struct store **ret)
{
	struct store_opening opening = {0};
	struct store *s = NULL;
	int r, owner_fd;

	r = owner_take(o->state_dir, &owner_fd);
	if (r == OWNER_E_TAKEN)
		return STORE_E_OWNED;
	if (r < 0) {
		*ret_opening = opening;
		say_whose(o->state_dir, ret_opening->problem);
		return r;
	}
	r = o->salvage && salvage_is_due(o->state_dir)
		    ? STORE_E_CORRUPT
		    : open_once(o, owner_fd, now, clock, &opening, &s);
	if (r == STORE_E_CORRUPT && o->salvage)
		r = open_anew(o, owner_fd, now, clock, &opening, &s);
	if (r == 0 && o->salvage)
		r = salvage_enter(s);
	owner_answered(o->runtime_dir);
	*ret_opening = opening;
	if (r == 0) {
		*ret = s;
		return 0;
	}
	if (s) {
		memcpy(ret_opening->problem, s->problem, sizeof(ret_opening->problem));
		(void)store_close(s); /* gives the lock back; returns NULL by convention */
	} else {
		(void)close(owner_fd);
	}
	if (r < 0)
		say_whose(o->state_dir, ret_opening->problem);
	return r;
}

/* Ids that neither the log we see nor the ring has: the owner committed them in between. */
static bool leaves_a_hole(const struct store *s)
{
	uint64_t position = tail_start(s->tail), next;
	const uint8_t *payload;
	struct slot slot;

	while (tail_read(s->tail, position, &slot, &payload, &next) == 0) {
		if (slot.id > s->log_id)
			return slot.id > s->log_id + 1;
		position = next;
	}
	return false;
}

/* Takes what the tail holds beyond the log into account, without writing. */
static int look_at_tail(struct store *s, bool *ret_torn)
{
	struct store_opening ignored = {0};
	char path[512];
	int r;

	if (!tail_path(s, "", path) || tail_open(path, false, &s->tail) != 0)
		return 0; /* no tail: all there is lies in the log */
	s->log_pos = tail_start(s->tail);
	if (!identity_is_ours(s, tail_incarnation(s->tail))) {
		s->tail = tail_free(s->tail);
		return 0;
	}
	r = tail_freeze(s->tail);
	if (r == 0)
		r = count_tail(s, &ignored);
	*ret_torn = r == STORE_E_CORRUPT || ignored.n_torn > 0 || leaves_a_hole(s);
	return r == STORE_E_CORRUPT ? 0 : r; /* a stream made just now: not ours to see yet */
}

static int look_once(const char *state_dir, const char *runtime_dir, bool *ret_torn,
		     struct store **ret)
{
	_cleanup_(store_closep) struct store *s = NULL;
	bool created;
	int r;

	r = store_new(state_dir, runtime_dir, &s);
	if (r < 0)
		return r;
	r = schema_open(s, false, &created);
	if (r == 0)
		r = schema_prepare(s);
	if (r == 0)
		r = sql_exec(s, "BEGIN"); /* one commit is what is seen, until the end */
	if (r == 0)
		r = schema_load(s);
	if (r == 0)
		r = look_at_tail(s, ret_torn);
	if (r != 0)
		return r;
	log_find_newest(s);
	*ret = TAKE(s);
	return 0;
}

/*
 * The log is seen as of one commit, the ring as of a moment later. If its owner committed in
 * between and went on over slots of the ring, some records are in neither: look again.
 */
int store_look(const char *state_dir, const char *runtime_dir, struct store **ret)
{
	for (int tries = LOOK_TRIES; tries > 0; tries--) {
		struct store *s = NULL;
		bool torn = false;
		int r = look_once(state_dir, runtime_dir, &torn, &s);

		if (r != 0)
			return r;
		if (!torn || tries == 1) {
			*ret = s;
			return 0;
		}
		(void)store_close(s); /* returns NULL by convention */
	}
	return -EAGAIN;
}

int store_finish(struct store *s, usec_t now)
{
	int r;

	r = store_commit(s, now);
	if (r == 0 && store_tell_shed(s, now) == 0)
		r = store_commit(s, now);
	if (r == 0)
		r = sql_step(s, SQL_BEGIN);
	if (r != 0)
		return r;
	r = log_note_runs(s);
	if (r == 0)
		r = rates_write(s, true);
	if (r == 0)
		r = wear_write(s, true);
	if (r == 0)
		r = sql_put_meta_int(s, "clean", 1);
	return sql_end(s, r);
}

int store_want_owner(const char *runtime_dir)
{
	return owner_ask(runtime_dir);
}

bool store_owner_wanted(const struct store *s)
{
	return owner_asked(s->runtime_dir);
}

void store_heartbeat(struct store *s, usec_t now)
{
	s->latest = MAX(s->latest, now);
	tail_sign(s->tail, getpid(), s->role, now);
}
