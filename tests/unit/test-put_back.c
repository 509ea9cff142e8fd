/*
 * A copy of the store is put back beside whatever tail there then is: of the same run, of a later one,
 * of a line that went on from another copy, or none after a reboot. Each record has a number of its
 * own, in its heart rate or its first sample of ECG, by which the server knows it again: of its strap,
 * of its kind, at its time. No name, a stream's id and a seq, is ever of two; and what the copy has,
 * or a tail that goes on from it, comes to the server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"
#include "store/copy.h"
#include "store/state.h"
#include "walk.h"

#define AN_HOUR (3600 * (int64_t)USEC_PER_SEC)

enum { MOST = 1024, MOST_NAMES = 4096, N_STRAPS = 2, N_COPIES = 3 };

static const char *const straps[N_STRAPS] = {"a0:b1:c2:d3:e4:f5", "a0:b1:c2:d3:e4:f6"};
static const enum kind kinds[] = {KIND_HEART_RATE, KIND_ECG};

struct said {
	unsigned strap, boot;
	enum kind kind;
	uint64_t id; /* that it was admitted under */
	int64_t boot_us;
	int64_t wall_us; /* by the store that is in place; only if timed */
	bool timed, at_once;
	bool held; /* by the server */
	bool gone; /* with the store or the tail that had it alone */
};

struct name {
	struct uuid stream;
	uint64_t seq;
	size_t n;
	int64_t wall_us;
};

/* What was said by then, and how much of it the log had. */
struct copy {
	char path[128];
	bool made;
	unsigned boot;
	uint64_t id;
	size_t n;
	struct said said[MOST];
};

struct world {
	struct place *p;
	struct store *s;
	uint64_t seed;
	struct clock_state clock;
	unsigned boot;
	size_t n;
	struct said said[MOST];
	size_t n_names;
	struct name names[MOST_NAMES];
	struct copy copies[N_COPIES];
	/* A request. */
	char boot_id[40];
	size_t n_taken, room;
	size_t taken[256];
};

static unsigned tails[TAIL_FOREIGN + 1]; /* that copies were put beside, in all walks */

static unsigned dice(struct world *w, unsigned n)
{
	return walk_dice(&w->seed, n);
}

/* --- boots: a test has only one, so the ones that are over are given other names --- */

static void boot_name(const struct world *w, unsigned boot, char ret[static 40])
{
	if (boot == w->boot)
		clock_boot_id(ret);
	else
		(void)snprintf(ret, 40, "b0000000-0000-4000-8000-%012u", boot);
}

static void end_boot(const struct world *w, unsigned boot)
{
	char sql[256], here[40], name[40];

	clock_boot_id(here);
	boot_name(w, boot, name);
	(void)snprintf(sql, sizeof(sql),
		       "UPDATE run SET boot_id = '%s' WHERE boot_id = '%s';"
		       "UPDATE clock SET boot_id = '%s' WHERE boot_id = '%s'",
		       name, here, name, here);
	run_sql(w->p, sql);
}

/* --- what is said, and when that was --- */

static void time_them(struct world *w, unsigned boot, int64_t offset_us)
{
	for (size_t i = 0; i < w->n; i++) {
		struct said *one = &w->said[i];

		if (one->timed || one->boot != boot)
			continue;
		one->timed = true;
		one->wall_us = one->boot_us + offset_us;
	}
}

static void say(struct world *w)
{
	struct said *one = &w->said[w->n];
	struct record r = {.boot_us = (int64_t)w->p->now};

	*one = (struct said){.strap = dice(w, N_STRAPS),
			     .boot = w->boot,
			     .kind = kinds[dice(w, ARRAY_SIZE(kinds))],
			     .boot_us = r.boot_us,
			     .timed = w->clock.synchronised,
			     .at_once = w->clock.synchronised,
			     .wall_us = r.boot_us + w->clock.offset_us};
	assert_int_equal(register_stream(w->s, straps[one->strap], one->kind, "u-1", &r.stream), 0);
	if (one->kind == KIND_ECG) {
		r.type = RECORD_ECG;
		r.ecg = (struct ecg){.dt_ns = 7692308, .n = 2, .uv = {(int32_t)w->n}};
	} else {
		r.type = RECORD_HEART_RATE;
		r.heart_rate = (struct heart_rate){.bpm = (uint16_t)w->n, .energy_kj = -1};
	}
	assert_int_equal(store_admit(w->s, &r, w->p->now), 0);
	one->id = r.id;
	w->p->now += 10000;
	w->n++;
}

static void tell_clock(struct world *w, bool synchronised, int64_t offset_us)
{
	const struct clock_state clock = {.synchronised = true, .offset_us = offset_us};

	if (synchronised) {
		w->clock = clock;
		store_set_clock(w->s, &clock);
	}
	assert_int_equal(store_resolve_clock(w->s, synchronised ? CLK_UTC : CLK_EST, w->p->now,
					     offset_us),
			 0);
	time_them(w, w->boot, offset_us);
	w->p->now += 10000;
}

/* --- the server --- */

static int on_begin(void *userdata, const struct run_info *run)
{
	struct world *w = userdata;

	w->n_taken = 0;
	(void)snprintf(w->boot_id, sizeof(w->boot_id), "%s", run->boot_id);
	return 0;
}

static void know_name(struct world *w, const struct stream_info *stream, uint64_t seq, size_t n)
{
	const struct name name = {stream->id, seq, n, w->said[n].wall_us};

	for (size_t i = 0; i < w->n_names; i++) {
		const struct name *old = &w->names[i];

		if (old->seq != seq || !uuid_equal(&old->stream, &stream->id))
			continue;
		assert_int_equal(old->n, n);
		assert_int_equal(old->wall_us, name.wall_us);
		return;
	}
	assert_true(w->n_names < MOST_NAMES);
	w->names[w->n_names++] = name;
}

static int on_add(void *userdata, const struct stream_info *stream, uint64_t after,
		  const struct record *r)
{
	struct world *w = userdata;
	size_t n = r->type == RECORD_ECG ? (size_t)r->ecg.uv[0] : r->heart_rate.bpm;
	const struct said *one = &w->said[n];
	char boot_id[40];

	assert_true(n < w->n);
	assert_string_equal(stream->device, straps[one->strap]);
	assert_int_equal(stream->kind, one->kind);
	assert_int_equal(r->type, one->kind == KIND_ECG ? RECORD_ECG : RECORD_HEART_RATE);
	assert_true(one->timed);
	if (record_wall_us(r) != one->wall_us)
		fail_msg("%zu is %lld us late", n, (long long)(record_wall_us(r) - one->wall_us));
	if (r->clk == CLK_EST) { /* a server corrects it by the clock of that boot */
		boot_name(w, one->boot, boot_id);
		assert_string_equal(w->boot_id, boot_id);
		assert_int_equal(r->boot_us, one->boot_us);
	}
	know_name(w, stream, r->seq, n);
	w->taken[w->n_taken++] = n;
	return w->n_taken >= w->room;
}

enum answer { CONFIRM, DEFER, RELEASE };

/* One request. False: there was nothing to send. */
static bool request(struct world *w, bool immediate, size_t room, enum answer answer)
{
	const struct cut_taker taker = {w, on_begin, on_add};
	struct receipt_entry entries[16];
	struct cut c;
	int r;

	w->room = room;
	do
		r = immediate ? outbox_cut(w->s, 1, &taker, &c)
			      : outbox_claim(w->s, 1, w->p->now, &taker, &c);
	while (r == STORE_E_MORE);
	if (r == STORE_E_NOTHING || r == STORE_E_CLOCK)
		return false;
	assert_int_equal(r, 0);
	assert_true(c.n_ranges <= ARRAY_SIZE(entries));
	for (size_t i = 0; i < c.n_ranges; i++)
		entries[i] = (struct receipt_entry){.stream = c.ranges[i].stream,
						    .acked_through = c.ranges[i].last_seq};
	if (answer == CONFIRM) {
		for (size_t i = 0; i < w->n_taken; i++)
			w->said[w->taken[i]].held = true;
		assert_int_equal(outbox_confirm(w->s, &c, entries, c.n_ranges, w->p->now), 0);
	} else if (answer == DEFER) {
		assert_int_equal(outbox_defer(w->s, &c, w->p->now, w->p->now, "no"), 0);
	} else {
		outbox_release(w->s, &c);
	}
	return true;
}

static void send_all(struct world *w)
{
	int r;

	if (!w->clock.synchronised)
		tell_clock(w, true, synced.offset_us);
	while ((r = store_move(w->s, w->p->now)) == 0 || r == STORE_E_MORE)
		;
	if (r != STORE_E_NOTHING)
		fail_msg("store_move: %d %s", r, store_problem(w->s));
	assert_int_equal(outbox_reopen(w->s, 1, w->p->now), 0);
	outbox_hurry(w->s, 1, false);
	while (request(w, false, 11, CONFIRM))
		;
	for (size_t i = 0; i < w->n; i++)
		if (!w->said[i].held && !w->said[i].gone)
			fail_msg("%zu never came", i);
	assert_balanced(w->s);
}

/* --- the store comes and goes --- */

static void start(struct world *w, struct store_opening *ret)
{
	uint32_t sink;

	w->clock = dice(w, 3) ? synced : unsynced;
	if (w->clock.synchronised)
		w->clock.offset_us += dice(w, 3) * AN_HOUR;
	w->s = open_with(w->p, &w->clock, ret);
	assert_int_equal(register_sink(w->s, "home", true, false, &sink), 0);
}

/* As its owner does. */
static void go_on(struct world *w)
{
	if (w->clock.synchronised)
		tell_clock(w, true, w->clock.offset_us);
}

static void stop(struct world *w)
{
	if (dice(w, 2))
		assert_int_equal(store_finish(w->s, w->p->now), 0);
	w->s = store_close(w->s);
}

static void restart(struct world *w)
{
	struct store_opening opening;

	stop(w);
	start(w, &opening);
	assert_int_not_equal(opening.tail, TAIL_FOREIGN);
	assert_int_equal(opening.incarnation, INCARNATION_FIRST);
	go_on(w);
}

static void reboot(struct world *w)
{
	struct store_opening opening;
	char path[128];

	assert_int_equal(store_commit(w->s, w->p->now), 0);
	stop(w);
	(void)snprintf(path, sizeof(path), "%s/tail", w->p->run);
	assert_int_equal(unlink(path), 0);
	w->boot++;
	end_boot(w, w->boot - 1);
	time_them(w, w->boot - 1, unsynced.offset_us); /* the best there is */
	start(w, &opening);
	go_on(w);
}

static void copy(struct world *w, struct copy *c)
{
	char why[256];

	if (c->made)
		assert_int_equal(unlink(c->path), 0);
	if (dice(w, 2))
		assert_int_equal(store_commit(w->s, w->p->now), 0);
	if (copy_backup(w->p->state, c->path, NULL, NULL, why) != 0)
		fail_msg("%s", why);
	c->made = true;
	c->boot = w->boot;
	c->id = w->s->log_id;
	c->n = w->n;
	memcpy(c->said, w->said, w->n * sizeof(w->said[0]));
}

/* Times that were found out since are not known any more, and what nobody else has is gone. */
static void forget(struct world *w, const struct copy *c, bool tail_goes_on)
{
	for (size_t i = 0; i < w->n; i++) {
		const struct said *then = i < c->n ? &c->said[i] : NULL;
		bool in_copy = then && !then->gone && then->id <= c->id;
		struct said *one = &w->said[i];

		one->gone = !one->held && !in_copy && (one->gone || !tail_goes_on);
		one->timed = then ? then->timed : one->at_once;
		if (then && then->timed)
			one->wall_us = then->wall_us;
	}
	for (unsigned boot = 0; boot < w->boot; boot++)
		time_them(w, boot, unsynced.offset_us);
}

static void put_back(struct world *w, const struct copy *c)
{
	static const char *const names[] = {"store.db", "store.db-wal", "store.db-shm"};
	struct store_opening opening;
	char command[384], path[128];

	stop(w);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", w->p->state, names[i]);
		(void)unlink(path); /* not all of them are there */
	}
	(void)snprintf(command, sizeof(command), "cp '%s' '%s/store.db'", c->path, w->p->state);
	assert_int_equal(system(command), 0);
	if (c->boot != w->boot)
		end_boot(w, c->boot);
	start(w, &opening);
	assert_int_equal(opening.incarnation, INCARNATION_BACKUP);
	tails[opening.tail]++;
	forget(w, c, opening.tail == TAIL_RECOVERED);
	go_on(w);
}

/* --- the walk --- */

static void step(struct world *w)
{
	struct copy *c = &w->copies[dice(w, N_COPIES)];
	unsigned what = dice(w, 40);

	if (what < 14)
		for (unsigned n = 1 + dice(w, 6); n > 0 && w->n < MOST; n--)
			say(w);
	else if (what < 20)
		(void)request(w, dice(w, 2), 1 + dice(w, 9),
			      dice(w, 4) ? CONFIRM : DEFER + dice(w, 2));
	else if (what < 24)
		assert_true(store_move(w->s, w->p->now) >= 0);
	else if (what < 26)
		assert_int_equal(store_commit(w->s, w->p->now), 0);
	else if (what < 29)
		tell_clock(w, w->clock.synchronised || dice(w, 2),
			   synced.offset_us + dice(w, 3) * AN_HOUR);
	else if (what < 30)
		assert_int_equal(outbox_reopen(w->s, 1, w->p->now), 0);
	else if (what < 32)
		restart(w);
	else if (what < 34 && dice(w, 2))
		assert_int_equal(store_new_incarnation(w->s, INCARNATION_MACHINE, "", w->p->now),
				 0);
	else if (what < 35 && dice(w, 2))
		reboot(w);
	else if (what < 38)
		copy(w, c);
	else if (what < 40 && c->made)
		put_back(w, c);
	if (dice(w, 8) == 0)
		assert_balanced(w->s);
}

static void walk(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));
	struct store_opening opening;

	assert_non_null(w);
	w->seed = seed;
	assert_int_equal(set_up((void **)&w->p), 0);
	for (int i = 0; i < N_COPIES; i++)
		(void)snprintf(w->copies[i].path, sizeof(w->copies[i].path), "%s/copy-%d.db",
			       w->p->dir, i);
	start(w, &opening);
	go_on(w);
	for (int i = 0; i < 200; i++)
		step(w);
	send_all(w);
	store_close(w->s);
	assert_int_equal(tear_down((void **)&w->p), 0);
	free(w);
}

static void any_order(void **state)
{
	if (walk_all(walk))
		assert_true(tails[TAIL_RECOVERED] && tails[TAIL_FOREIGN]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
