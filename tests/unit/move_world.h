/*
 * What records are moved in: a store with streams of several runs and boots, and servers of which one is far,
 * one is behind and one is retired. Each record has a heart rate of its own, by which it is known again.
 */
#pragma once

#include "place.h"
#include "store/state.h"

enum { N_SINKS = 3, N_BPM = 2048 };
static const char *const sink_names[N_SINKS] = {"a", "b", "c"};

/* What the servers got, and when each heart rate was. */
struct servers {
	unsigned got[N_SINKS + 4][N_BPM]; /* some may join */
	unsigned refused[N_SINKS + 4][N_BPM];
	int64_t t_us[N_BPM];
	uint8_t clk[N_BPM];
	char boot_id[N_BPM][37];
	struct store *s;
	uint32_t sink;
	size_t n, room;
	uint16_t bpm[256];
};

static inline int on_begin(void *userdata, const struct run_info *run)
{
	struct servers *v = userdata;

	v->n = 0;
	(void)snprintf(v->boot_id[0], sizeof(v->boot_id[0]), "%s", run->boot_id);
	return 0;
}

static inline int on_add(void *userdata, const struct stream_info *stream, uint64_t after,
			 const struct record *r)
{
	struct servers *v = userdata;
	uint16_t bpm = r->heart_rate.bpm;
	struct stream_status status;

	store_stream_status(v->s, stream->number, &status);
	assert_false(status.old);
	assert_int_equal(r->type, RECORD_HEART_RATE);
	if (v->t_us[bpm] == 0) {
		v->t_us[bpm] = record_wall_us(r);
		v->clk[bpm] = r->clk;
	}
	assert_int_equal(v->t_us[bpm], record_wall_us(r));
	assert_int_equal(v->clk[bpm], r->clk);
	/* An estimate is corrected by the clock of the boot that its batch names. */
	if (r->clk == CLK_EST && v->boot_id[bpm][0])
		assert_string_equal(v->boot_id[bpm], v->boot_id[0]);
	memcpy(v->boot_id[bpm], v->boot_id[0], sizeof(v->boot_id[0]));
	v->bpm[v->n++] = bpm;
	return v->n >= v->room;
}

enum answer { CONFIRM, REFUSE_FIRST, DEFER, RELEASE };

/* One request, immediate or of the backlog. False: there was nothing to send. */
static inline bool request(struct place *p, struct servers *v, struct store *s, uint32_t sink,
			   bool immediate, size_t room, enum answer answer)
{
	const struct cut_taker taker = {v, on_begin, on_add};
	struct receipt_entry entries[8] = {0};
	struct rejection bad = {0};
	struct cut c;
	int r;

	v->s = s;
	v->sink = sink;
	v->room = room;
	do
		r = immediate ? outbox_cut(s, sink, &taker, &c)
			      : outbox_claim(s, sink, p->now, &taker, &c);
	while (r == STORE_E_MORE);
	if (r == STORE_E_NOTHING || r == STORE_E_CLOCK)
		return false;
	assert_int_equal(r, 0);
	if (answer == RELEASE) {
		outbox_release(s, &c);
		return true;
	}
	if (answer == DEFER) {
		assert_int_equal(outbox_defer(s, &c, p->now, p->now, "no"), 0);
		return true;
	}
	assert_true(c.n_ranges <= ARRAY_SIZE(entries));
	for (size_t i = 0; i < c.n_ranges; i++)
		entries[i] = (struct receipt_entry){.stream = c.ranges[i].stream,
						    .acked_through = c.ranges[i].last_seq};
	for (size_t i = answer == REFUSE_FIRST; i < v->n; i++)
		v->got[sink][v->bpm[i]]++;
	if (answer == REFUSE_FIRST) {
		bad.seq = c.ranges[0].first_seq;
		(void)snprintf(bad.code, sizeof(bad.code), "bad");
		entries[0].rejected = &bad;
		entries[0].n_rejected = 1;
		v->refused[sink][v->bpm[0]]++;
	}
	assert_int_equal(outbox_confirm(s, &c, entries, c.n_ranges, p->now), 0);
	return true;
}

static inline void add_sinks(struct store *s, bool all)
{
	uint32_t number;

	for (uint32_t i = 0; i < (all ? N_SINKS : N_SINKS - 1); i++)
		assert_int_equal(register_sink(s, sink_names[i], true, false, &number), 0);
	assert_int_equal(register_retire_sinks(s), 0);
}

/* The log says when each was, as far as it can tell. */
static inline int note_time(void *userdata, const struct record *r)
{
	struct servers *v = userdata;

	v->t_us[r->heart_rate.bpm] = record_wall_us(r);
	v->clk[r->heart_rate.bpm] = r->clk;
	return 0;
}

static inline uint16_t admit_some(struct place *p, struct store *s, uint16_t bpm, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		(void)admit(p, s, stream_of_kind(s, KIND_HEART_RATE), bpm++);
		if (i % 3 == 0)
			(void)admit(p, s, stream_of_kind(s, KIND_PPI), bpm++);
	}
	return bpm;
}

/*
 * Three runs, the first of another boot and without a clock, the second of another boot with one. Of
 * the sinks one is far, one is behind with a refusal and a hole, and one has nothing and is retired.
 */
static inline uint16_t make_history(struct place *p, struct servers *v)
{
	struct store *s = open_with(p, &unsynced, NULL);
	uint16_t bpm = 1;

	add_sinks(s, true);
	bpm = admit_some(p, s, bpm, 30);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	run_sql(p, "UPDATE run SET boot_id = 'a0000000-0000-4000-8000-000000000001'");
	s = open_store(p);
	add_sinks(s, true);
	bpm = admit_some(p, s, bpm, 30);
	assert_int_equal(store_finish(s, p->now), 0);
	store_close(s);
	run_sql(p,
		"UPDATE run SET boot_id = 'b0000000-0000-4000-8000-000000000002' WHERE number = 2");

	s = open_store(p);
	add_sinks(s, false);
	for (uint32_t i = 1; i <= store_stream_count(s); i++)
		assert_int_equal(store_read(s, i, 1, UINT64_MAX, 0, note_time, v), 0);
	for (uint32_t sink = 1; sink <= 2; sink++)
		assert_int_equal(outbox_reopen(s, sink, p->now), 0);
	assert_true(request(p, v, s, 1, false, 35, CONFIRM));
	assert_true(request(p, v, s, 1, false, 20, CONFIRM));
	assert_true(request(p, v, s, 1, false, 7, DEFER));
	assert_true(request(p, v, s, 2, false, 9, REFUSE_FIRST));
	assert_true(request(p, v, s, 2, false, 4, CONFIRM));
	bpm = admit_some(p, s, bpm, 12);
	assert_true(request(p, v, s, 1, true, 5, CONFIRM));
	assert_true(request(p, v, s, 2, true, 7, DEFER));
	assert_int_equal(store_commit(s, p->now), 0);
	assert_balanced(s);
	store_close(s);
	return bpm;
}

static inline void move_all(struct place *p, struct store *s, bool audited)
{
	int r;

	while ((r = store_move(s, p->now)) == 0 || r == STORE_E_MORE)
		if (audited)
			assert_balanced(s);
	if (r != STORE_E_NOTHING)
		fail_msg("store_move: %d %s", r, store_problem(s));
	assert_int_equal(store_move_left(s), 0);
}

/* Everything goes out to every sink; then each has each once, and nothing that it had refused. */
static inline void send_all(struct place *p, struct servers *v, struct store *s, uint16_t end)
{
	for (uint32_t sink = 1; sink <= store_sink_count(s); sink++) {
		struct sink_info info;

		store_sink_info(s, sink, &info);
		if (info.retired)
			continue;
		assert_int_equal(outbox_reopen(s, sink, p->now), 0);
		outbox_hurry(s, sink, false);
		while (request(p, v, s, sink, false, 11, CONFIRM))
			;
		for (uint16_t bpm = 1; bpm < end; bpm++)
			if (v->got[sink][bpm] + v->refused[sink][bpm] != 1)
				fail_msg("sink %u got %u %u times and refused it %u times", sink,
					 bpm, v->got[sink][bpm], v->refused[sink][bpm]);
	}
	assert_int_equal(store_commit(s, p->now), 0);
	assert_balanced(s);
}
