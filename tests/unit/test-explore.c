/*
 * Every schedule of the store and a server up to a depth, and long random ones: admit, commit, cut,
 * claim, each kind of answer, crash, power cut, handover, and a COMMIT that fails and may have
 * happened. After each step: what was admitted (and survived, where the power was cut) is at the
 * server, or held in a row, above the cursor or in quarantine; no number has two contents; no
 * cursor moved back; counters and the ledger balance. At the end of each the server takes
 * everything, and then it has everything that is not in quarantine.
 *
 * A schedule is played on the real store, on tmpfs. A state that was seen before, with as many
 * steps to go, is not explored again; two states are alike if memory, what is durable, the server
 * and what is in flight are.
 *
 *   VITALD_LONG=1          deeper, and more walks
 *   VITALD_SEED=n          this walk only
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "world.h"

enum action {
	ADMIT_A,
	ADMIT_B,
	COMMIT,
	CUT,
	CLAIM,
	/* Of the immediate lane; the same again of the backlog, N_ANSWERS further on. */
	RECEIPT,
	PARTIAL,
	REJECT,
	LOST_DEFER,
	FAIL_DEFER,
	REFUSE,
	RELEASE,
	BACKLOG_RECEIPT,
	BACKLOG_PARTIAL,
	BACKLOG_REJECT,
	BACKLOG_LOST_DEFER,
	BACKLOG_FAIL_DEFER,
	BACKLOG_REFUSE,
	BACKLOG_RELEASE,
	REOPEN,
	CRASH,
	POWER_CUT,
	HANDOVER,
	N_EXPLORED,
	/* Only on walks. */
	COMMIT_FAILS = N_EXPLORED,
	CONFLICT,
	BACKLOG_CONFLICT,
	UNHOLD,
	HURRY,
	LATER,
	N_ACTIONS,
};
enum { N_ANSWERS = BACKLOG_RECEIPT - RECEIPT, MAX_PATH = 512, ROOM = 3 };

static const char *const names[N_ACTIONS] = {
	[ADMIT_A] = "admit-A",
	[ADMIT_B] = "admit-B",
	[COMMIT] = "commit",
	[CUT] = "cut",
	[CLAIM] = "claim",
	[RECEIPT] = "receipt",
	[PARTIAL] = "partial",
	[REJECT] = "reject",
	[LOST_DEFER] = "lost+defer",
	[FAIL_DEFER] = "defer",
	[REFUSE] = "400",
	[RELEASE] = "release",
	[BACKLOG_RECEIPT] = "b:receipt",
	[BACKLOG_PARTIAL] = "b:partial",
	[BACKLOG_REJECT] = "b:reject",
	[BACKLOG_LOST_DEFER] = "b:lost+defer",
	[BACKLOG_FAIL_DEFER] = "b:defer",
	[BACKLOG_REFUSE] = "b:400",
	[BACKLOG_RELEASE] = "b:release",
	[REOPEN] = "reopen",
	[CRASH] = "crash",
	[POWER_CUT] = "power-cut",
	[HANDOVER] = "handover",
	[COMMIT_FAILS] = "commit-fails",
	[CONFLICT] = "conflict",
	[BACKLOG_CONFLICT] = "b:conflict",
	[UNHOLD] = "unhold",
	[HURRY] = "hurry",
	[LATER] = "later",
};

static struct {
	uint16_t path[MAX_PATH]; /* action + N_ACTIONS * sink */
	size_t length;
	uint64_t seed;
	size_t n_schedules, n_states, n_replays;
} run;

static const char *story(void)
{
	static char text[MAX_PATH * 20];
	size_t at =
		(size_t)snprintf(text, sizeof(text), "(seed %llu)", (unsigned long long)run.seed);

	for (size_t i = 0; i < run.length; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, " %s%s",
				       names[run.path[i] % N_ACTIONS],
				       run.path[i] >= N_ACTIONS ? "'" : "");
	return text;
}

/* --- steps --- */

static void refresh_cursors(struct world *w)
{
	for (size_t i = 0; i < w->n_sinks; i++)
		for (size_t k = 0; k < N_STREAMS; k++) {
			struct cursor_status c;

			store_cursor_status(w->s, w->sinks[i], w->streams[k], &c);
			w->cursors[i][k] = c.cursor;
		}
}

static size_t dump(struct world *w, char *to, size_t size);

static void commit(struct world *w, bool fails)
{
	int r;

	refresh_cursors(w);
	sync_fails = fails;
	r = store_commit(w->s, w->p->now);
	sync_fails = false;
	/* One that had nothing to write has nothing to fail with. */
	world_check(w, fails ? r <= 0 : r == 0, "store_commit: %d %s", r, store_problem(w->s));
	world_committed(w, r);
	if (r == 0)
		(void)dump(w, w->durable, sizeof(w->durable));
}

/* Records of one stream in a request lie side by side, and each stream is in it once. */
static void check_lane(struct world *w, const struct lane *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->cut.n_ranges; i++) {
		const struct cut_range *g = &l->cut.ranges[i];
		uint64_t last = 0;

		for (size_t k = 0; k < i; k++)
			world_check(w, l->cut.ranges[k].stream != g->stream,
				    "stream %u is twice in one request", g->stream);
		for (size_t k = 0; k < l->taken.n; k++) {
			if (l->taken.records[k].stream != g->stream)
				continue;
			world_check(w,
				    last ? l->taken.records[k].seq == last + 1
					 : l->taken.records[k].seq == g->first_seq,
				    "the records of a range do not follow each other");
			world_check(w, seq_run(g->first_seq) == l->taken.run.number,
				    "a request mixes runs");
			last = l->taken.records[k].seq;
			n++;
		}
		world_check(w, last == g->last_seq, "a range does not end where its records do");
	}
	world_check(w, n == l->cut.n_records && n == l->taken.n, "ranges and records differ");
}

static void fly(struct world *w, size_t sink, size_t which)
{
	struct lane *l = &w->lanes[sink][which];
	struct cut_taker taker = taker_of(&l->taken);
	int r;

	l->taken.room = ROOM;
	r = which == LANE_IMMEDIATE
		    ? outbox_cut(w->s, w->sinks[sink], &taker, &l->cut)
		    : outbox_claim(w->s, w->sinks[sink], w->p->now, &taker, &l->cut);
	world_check(w, r == 0 || r == STORE_E_NOTHING, "a cut failed: %d %s", r,
		    store_problem(w->s));
	l->flying = r == 0;
	if (r == 0)
		check_lane(w, l);
}

/*
 * An honest server takes the first n of each stream in the request, and says so: acked_through is
 * the seq of the last of them, in the order in which they were sent.
 */
static size_t make_receipt(struct world *w, const struct lane *l, bool all,
			   struct receipt_entry entries[static N_STREAMS])
{
	size_t n = 0;

	for (size_t i = 0; i < N_STREAMS; i++) {
		size_t total = 0, taken = 0;
		struct receipt_entry *e = &entries[n];

		*e = (struct receipt_entry){.stream = w->streams[i]};
		for (size_t k = 0; k < l->taken.n; k++)
			total += l->taken.records[k].stream == w->streams[i];
		for (size_t k = 0; k < l->taken.n && taken < (all ? total : total / 2); k++) {
			if (l->taken.records[k].stream != w->streams[i])
				continue;
			e->acked_through = l->taken.records[k].seq;
			server_store(w, l, k);
			taken++;
		}
		n += total > 0;
	}
	return n;
}

static void reject_first(struct world *w, const struct lane *l, struct rejection *rejection,
			 struct receipt_entry *entries, bool conflict)
{
	*rejection = (struct rejection){.seq = l->taken.records[0].seq,
					.conflict = conflict,
					.code = "bad"};
	for (size_t i = 0; i < N_STREAMS; i++)
		if (entries[i].stream == l->taken.records[0].stream) {
			entries[i].rejected = rejection;
			entries[i].n_rejected = 1;
		}
}

static void receipt(struct world *w, struct lane *l, bool all, bool reject, bool conflict)
{
	struct receipt_entry entries[N_STREAMS] = {0};
	struct rejection rejection;
	size_t n;

	n = make_receipt(w, l, all, entries);
	if (reject)
		reject_first(w, l, &rejection, entries, conflict);
	assert_int_equal(outbox_confirm(w->s, &l->cut, entries, n, w->p->now), 0);
	l->flying = false;
}

static void defer(struct world *w, struct lane *l, bool stored)
{
	struct receipt_entry entries[N_STREAMS];

	if (stored)
		(void)make_receipt(w, l, true, entries);
	assert_int_equal(outbox_defer(w->s, &l->cut, w->p->now, w->p->now, "no answer"), 0);
	l->flying = false;
}

static void refuse(struct world *w, struct lane *l)
{
	int r = outbox_split(w->s, &l->cut, w->p->now, "400");

	if (r == STORE_E_NOTHING)
		r = outbox_quarantine(w->s, &l->cut, w->p->now, "bad", "");
	assert_int_equal(r, 0);
	l->flying = false;
}

static void answer(struct world *w, struct lane *l, enum action action)
{
	switch (action) {
	case RECEIPT: receipt(w, l, true, false, false); break;
	case PARTIAL: receipt(w, l, false, false, false); break;
	case REJECT: receipt(w, l, true, true, false); break;
	case LOST_DEFER: defer(w, l, true); break;
	case FAIL_DEFER: defer(w, l, false); break;
	case REFUSE: refuse(w, l); break;
	case CONFLICT: receipt(w, l, true, true, true); break;
	default: outbox_release(w->s, &l->cut); l->flying = false;
	}
}

static void restart(struct world *w, enum action action)
{
	if (action == HANDOVER) {
		for (size_t i = 0; i < w->n_sinks; i++)
			for (size_t k = 0; k < 2; k++)
				if (w->lanes[i][k].flying)
					answer(w, &w->lanes[i][k], RELEASE);
		refresh_cursors(w);
		assert_int_equal(store_finish(w->s, w->p->now), 0);
		world_committed(w, 0);
		world_close(w);
	} else {
		world_die(w, action == POWER_CUT);
	}
	memcpy(w->cursors, w->durable_cursors, sizeof(w->cursors));
	world_open(w);
	world_note_durable(w);
	if (action == POWER_CUT)
		world_count_losses(w);
	else
		world_committed(w, 0); /* the tail was replayed and committed */
	(void)dump(w, w->durable, sizeof(w->durable));
}

static void unhold(struct world *w, size_t sink)
{
	for (size_t i = 0; i < N_STREAMS; i++) {
		int r = outbox_unhold(w->s, w->sinks[sink], w->streams[i]);

		world_check(w, r == 0 || r == STORE_E_BUSY, "unhold: %d", r);
	}
}

static void apply(struct world *w, unsigned step)
{
	enum action action = step % N_ACTIONS;
	size_t sink = step / N_ACTIONS;
	struct lane *lanes = w->lanes[sink];

	w->p->now += 1000;
	switch (action) {
	case ADMIT_A: world_admit(w, 0); break;
	case ADMIT_B: world_admit(w, 1); break;
	case COMMIT: commit(w, false); break;
	case COMMIT_FAILS: commit(w, true); break;
	case CUT: fly(w, sink, LANE_IMMEDIATE); break;
	case CLAIM: fly(w, sink, LANE_BACKLOG); break;
	case REOPEN: assert_int_equal(outbox_reopen(w->s, w->sinks[sink], w->p->now), 0); break;
	case CRASH:
	case POWER_CUT:
	case HANDOVER: restart(w, action); break;
	case UNHOLD: unhold(w, sink); break;
	case HURRY: outbox_hurry(w->s, w->sinks[sink], true); break;
	case LATER: w->p->now += 40 * USEC_PER_SEC; break;
	case BACKLOG_CONFLICT: answer(w, &lanes[LANE_BACKLOG], CONFLICT); break;
	case CONFLICT: answer(w, &lanes[LANE_IMMEDIATE], CONFLICT); break;
	default:
		if (action >= BACKLOG_RECEIPT)
			answer(w, &lanes[LANE_BACKLOG], action - N_ANSWERS);
		else
			answer(w, &lanes[LANE_IMMEDIATE], action);
	}
}

static bool enabled(const struct world *w, unsigned step)
{
	enum action action = step % N_ACTIONS;
	const struct lane *lanes = w->lanes[step / N_ACTIONS];
	bool immediate = lanes[LANE_IMMEDIATE].flying, backlog = lanes[LANE_BACKLOG].flying;
	uint32_t sink = w->sinks[step / N_ACTIONS];

	switch (action) {
	case ADMIT_A:
	case ADMIT_B: return w->n_known < MAX_KNOWN && step < N_ACTIONS;
	case COMMIT:
	case COMMIT_FAILS:
	case CRASH:
	case POWER_CUT:
	case HANDOVER:
	case LATER: return step < N_ACTIONS;
	case CUT: return !immediate && outbox_waiting_since(w->s, sink) != USEC_INFINITY;
	case CLAIM: return !backlog && outbox_next_due(w->s, sink) <= w->p->now;
	case REOPEN: return !immediate;
	case PARTIAL: return immediate && lanes[LANE_IMMEDIATE].cut.n_records > 1;
	case BACKLOG_PARTIAL: return backlog && lanes[LANE_BACKLOG].cut.n_records > 1;
	case BACKLOG_CONFLICT: return backlog;
	case UNHOLD:
	case HURRY: return true;
	case CONFLICT: return immediate;
	default: return action >= BACKLOG_RECEIPT ? backlog : immediate;
	}
}

/* --- the end of a schedule: the server is up and takes everything --- */

static void drain_lanes(struct world *w, size_t sink)
{
	struct lane *lanes = w->lanes[sink];

	for (unsigned i = 0; i < 4 * MAX_KNOWN; i++) {
		fly(w, sink, LANE_IMMEDIATE);
		if (lanes[LANE_IMMEDIATE].flying)
			answer(w, &lanes[LANE_IMMEDIATE], RECEIPT);
		outbox_hurry(w->s, w->sinks[sink], false);
		fly(w, sink, LANE_BACKLOG);
		if (lanes[LANE_BACKLOG].flying)
			answer(w, &lanes[LANE_BACKLOG], RECEIPT);
		else if (outbox_waiting_since(w->s, w->sinks[sink]) == USEC_INFINITY)
			return;
	}
	world_fail(w, "it does not come to an end");
}

static void drain_sink(struct world *w, size_t sink)
{
	for (size_t which = 0; which < 2; which++)
		if (w->lanes[sink][which].flying)
			answer(w, &w->lanes[sink][which], RECEIPT);
	for (size_t i = 0; i < N_STREAMS; i++)
		assert_int_equal(outbox_unhold(w->s, w->sinks[sink], w->streams[i]), 0);
	/* First without outbox_reopen(): no cursor may pass what only that would have found. */
	drain_lanes(w, sink);
	world_check_all(w);
	assert_int_equal(outbox_reopen(w->s, w->sinks[sink], w->p->now), 0);
	drain_lanes(w, sink);
}

static void check_everything_arrived(struct world *w)
{
	static struct refusals refusals;

	refusals.n = 0;
	assert_int_equal(store_each_quarantined(w->s, collect_refusal, &refusals), 0);
	for (size_t i = 0; i < w->n_known; i++)
		for (size_t sink = 0; sink < w->n_sinks; sink++) {
			const struct known *k = &w->known[i];

			world_check(w,
				    k->lost || k->server[w->sinks[sink]] ||
					    is_refused(&refusals, w->sinks[sink], k),
				    "%llx never arrived", (unsigned long long)k->seq);
		}
}

/*
 * The audit opens the store from outside twice over, which costs as much as a schedule: each fourth
 * one is asked; check_sink() holds the same equation for all.
 */
static void finish(struct world *w, bool audit)
{
	if (audit)
		world_audit(w);
	for (size_t i = 0; i < w->n_sinks; i++)
		drain_sink(w, i);
	world_check_all(w);
	check_everything_arrived(w);
	if (audit)
		assert_balanced(w->s);
}

/* --- when are two states alike? --- */

static uint64_t nth(const struct world *w, uint32_t stream, uint64_t seq)
{
	uint64_t n = 0;

	for (size_t i = 0; i < w->n_known; i++)
		n += w->known[i].stream == stream && !w->known[i].lost && w->known[i].seq <= seq;
	return n;
}

struct dumping {
	struct world *w;
	char *to;
	size_t at, size;
};

static void say(struct dumping *d, const char *what, uint64_t a, uint64_t b, uint64_t c)
{
	d->at += (size_t)snprintf(d->to + d->at, d->size - d->at, "%s%llu,%llu,%llu", what,
				  (unsigned long long)a, (unsigned long long)b,
				  (unsigned long long)c);
	assert_true(d->at < d->size);
}

static void dump_row(void *userdata, const struct batch_row *row)
{
	struct dumping *d = userdata;

	say(d, " r", row->sink, row->stream, nth(d->w, row->stream, row->first_seq));
	say(d, ":", nth(d->w, row->stream, row->last_seq), row->status, row->priority);
	say(d, ":", row->limit, row->retry_count > 0, row->next_attempt > d->w->p->now);
}

static void dump_refusal(void *userdata, const struct quarantined *q)
{
	struct dumping *d = userdata;

	say(d, " q", q->sink, q->stream, nth(d->w, q->stream, q->seq));
}

/* The store as it is in memory. */
static size_t dump(struct world *w, char *to, size_t size)
{
	struct dumping d = {w, to, 0, size};
	struct store_figures f;

	store_figures(w->s, &f);
	say(&d, "f", f.tail_records, store_commit_due(w->s) == 0, 0);
	for (size_t i = 0; i < w->n_sinks; i++) {
		usec_t heard = outbox_waiting_since(w->s, w->sinks[i]);
		uint64_t at = 0;

		while (at < w->n_known && w->known[at].heard < heard)
			at++;
		say(&d, " k", at, heard == USEC_INFINITY, 0);
		for (size_t k = 0; k < N_STREAMS; k++) {
			struct cursor_status c;

			store_cursor_status(w->s, w->sinks[i], w->streams[k], &c);
			say(&d, " c", nth(w, w->streams[k], c.cursor), c.confirmed, c.held);
		}
	}
	store_each_row(w->s, dump_row, &d);
	assert_int_equal(store_each_quarantined(w->s, dump_refusal, &d), 0);
	return d.at;
}

static uint64_t hash_of(struct world *w)
{
	static char text[16384];
	struct dumping d = {w, text, 0, sizeof(text)};
	uint64_t hash = UINT64_C(0xcbf29ce484222325), last_run = 0;

	d.at = dump(w, text, sizeof(text));
	d.at += (size_t)snprintf(text + d.at, sizeof(text) - d.at, "|%s|", w->durable);
	for (size_t i = 0; i < w->n_known; i++) {
		const struct known *k = &w->known[i];

		if (k->lost)
			continue;
		say(&d, " n", k->stream, k->durable + 2 * k->maybe,
		    k->server[1] + 2 * k->server[2] + 4 * (seq_run(k->seq) != last_run));
		last_run = seq_run(k->seq);
	}
	for (size_t i = 0; i < w->n_sinks; i++)
		for (size_t which = 0; which < 2; which++) {
			const struct lane *l = &w->lanes[i][which];

			for (size_t k = 0; l->flying && k < l->taken.n; k++)
				say(&d, " l", which, l->taken.records[k].stream,
				    nth(w, l->taken.records[k].stream, l->taken.records[k].seq));
		}
	for (size_t i = 0; i < d.at; i++)
		hash = (hash ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
	return hash ? hash : 1;
}

enum { N_SLOTS = 1 << 20 };
static struct {
	uint64_t hash;
	size_t depth;
} seen[N_SLOTS];

/* True: this state was explored with at least as many steps to go. */
static bool was_seen(uint64_t hash, size_t length)
{
	size_t at = hash % N_SLOTS;

	while (seen[at].hash && seen[at].hash != hash)
		at = (at + 1) % N_SLOTS;
	if (seen[at].hash && seen[at].depth <= length)
		return true;
	run.n_states += seen[at].hash == 0;
	assert_true(run.n_states < N_SLOTS / 2);
	seen[at].hash = hash;
	seen[at].depth = length;
	return false;
}

/* --- all schedules --- */

static void begin(struct world *w, size_t n_sinks)
{
	static const char *const files[] = {"store.db", "store.db-wal", "store.db-shm", "tail",
					    "tail.foreign"};
	struct place *p = w->p;
	char path[160], made[176];

	*w = (struct world){.p = p, .n_sinks = n_sinks, .next_bpm = 1, .story = story};
	p->now = 1000 * USEC_PER_SEC;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		file_of(w, files[i], path);
		(void)unlink(path); /* what the last schedule left, if it did */
	}
	file_of(w, "store.db", path);
	(void)snprintf(made, sizeof(made), "%s.made%zu", path, n_sinks);
	if (access(made, F_OK) < 0) {
		world_open(w);
		assert_int_equal(store_finish(w->s, p->now), 0);
		world_close(w);
		copy_file(path, made);
	}
	copy_file(made, path);
	world_open(w);
	(void)dump(w, w->durable, sizeof(w->durable));
}

static void replay(struct world *w, size_t length)
{
	world_close(w);
	begin(w, w->n_sinks);
	run.n_replays++;
	for (size_t i = 0; i < length; i++)
		apply(w, run.path[i]);
	refresh_cursors(w);
}

static void explore(struct world *w, size_t depth)
{
	size_t length = run.length;
	bool possible[N_EXPLORED], first = true;

	world_check_all(w);
	if (was_seen(hash_of(w), length))
		return;
	if (length == depth) {
		finish(w, run.n_schedules++ % 4 == 0);
		return;
	}
	for (unsigned i = 0; i < N_EXPLORED; i++)
		possible[i] = enabled(w, i);
	for (unsigned i = 0; i < N_EXPLORED; i++) {
		if (!possible[i])
			continue;
		if (!first)
			replay(w, length);
		first = false;
		run.path[run.length++] = (uint16_t)i;
		apply(w, i);
		explore(w, depth);
		run.length = length;
	}
}

static void all_schedules(void **state)
{
	static struct world w;
	size_t depth = getenv("VITALD_LONG") ? 8 : 6;

	if (getenv("VITALD_DEPTH"))
		depth = (size_t)atoi(getenv("VITALD_DEPTH"));
	w = (struct world){.p = *state};
	begin(&w, 1);
	run.length = 0;
	explore(&w, depth);
	world_close(&w);
	print_message("explored %zu schedules of %zu steps, %zu states, %zu replays\n",
		      run.n_schedules, depth, run.n_states, run.n_replays);
}

/* --- long walks --- */

static uint64_t draw(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random;
}

static unsigned next_step(const struct world *w, uint64_t *random)
{
	/* How often each is drawn: ends of processes are rarer than the day's work. */
	static const uint8_t weights[N_ACTIONS] = {
		[ADMIT_A] = 24, [ADMIT_B] = 16,	 [CUT] = 16,	 [CLAIM] = 16,
		[RECEIPT] = 4,	[REOPEN] = 2,	 [COMMIT] = 4,	 [BACKLOG_RECEIPT] = 8,
		[CRASH] = 1,	[POWER_CUT] = 1, [HANDOVER] = 1, [COMMIT_FAILS] = 2,
	};

	for (;;) {
		unsigned action = (unsigned)(draw(random) % N_ACTIONS);
		unsigned sink = (unsigned)(draw(random) % w->n_sinks);
		unsigned weight = weights[action] ? weights[action] : 2;

		if (draw(random) % 24 < weight && enabled(w, action + N_ACTIONS * sink))
			return action + N_ACTIONS * sink;
	}
}

static void walk(struct world *w, uint64_t seed, size_t length)
{
	uint64_t random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

	run.seed = seed;
	run.length = 0;
	begin(w, 1 + seed % N_SINKS);
	while (run.length < length) {
		unsigned step = next_step(w, &random);

		run.path[run.length++] = (uint16_t)step;
		apply(w, step);
		world_check_all(w);
		if (run.length % 40 == 0)
			world_audit(w);
	}
	finish(w, true);
	world_close(w);
}

static void random_walks(void **state)
{
	static struct world w;
	uint64_t n = getenv("VITALD_LONG") ? 2000 : 25;

	w = (struct world){.p = *state};
	if (getenv("VITALD_SEED")) {
		walk(&w, strtoull(getenv("VITALD_SEED"), NULL, 10), 300);
		return;
	}
	for (uint64_t seed = 1; seed <= n; seed++)
		walk(&w, seed, 300);
	print_message("walked %llu schedules of 300 steps\n", (unsigned long long)n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(all_schedules),
		store_test(random_walks),
	};

	flaky_disk();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
