/*
 * What the daemon can do, one measurement a process, so that processor time and memory are those of
 * this measurement alone. scripts/bench runs them all and prints the table; each prints lines of
 * "name value".
 *
 *	bulk KIND DIR N      N records from bytes to anchors as fast as they are taken
 *	slices KIND DIR N    the same, with each turn of the loop timed
 *	light DIR S HOW      100 records a second for S seconds; HOW: up, nolinger, down
 *	commit DIR N         bytes of the smallest commits
 *	fill DIR HOURS       ten straps, heart rate and ECG, at a hub whose server is away
 *	drain DIR            what fill left, and new data meanwhile
 *	disk, rows, bare     the floors, floor.c
 *	capture FILE N S     a capture of N straps with ECG for S seconds, to replay
 *
 * The straps here are this process: a frame is handed to the collector's source handler with the
 * bytes as a radio brings them, in slices of at most 256 a turn of the loop, and only while less is
 * under way than a limit: what a real hub has by the pace of hearts. Times of frames are when they
 * were handed over, but for fill, where a day passes in half a minute.
 *
 * Exit status 1: a record was lost, counted twice, or something failed.
 */
#include "capture_file.h"
#include "floor.h"
#include "hub.h"
#include "meter.h"
#include "server.h"
#include "straps.h"

#include <stdio.h>

enum {
	N_STRAPS = 10,
	SLICE = 256,	      /* frames a turn */
	UNDER_WAY_HR = 24000, /* records handed over and not confirmed, at most */
	UNDER_WAY_ECG = 6000,
	LIGHT_RATE = 100,
	TRACKS = 32,
};

/* When each record of a stream was handed over, and how many are confirmed. */
struct track {
	double *fed; /* then: how long it took */
	size_t n_fed, n_done, room;
};

struct bench {
	struct hub hub;
	struct server server;
	struct straps *straps;
	struct track tracks[TRACKS]; /* by number of the stream */
	size_t n_done;
	uint64_t handed;
};

static int fail(const char *what)
{
	(void)fprintf(stderr, "bench: %s\n", what);
	return EXIT_FAILURE;
}

static void put(const char *name, double value)
{
	(void)printf("%s %.6g\n", name, value);
}

static double now_s(void)
{
	return (double)hub_now() / 1e6;
}

/* Latency */

static void note_fed(struct bench *b, uint32_t stream)
{
	struct track *t = &b->tracks[stream];

	if (t->n_fed == t->room) {
		t->room = t->room ? 2 * t->room : 1024;
		t->fed = reallocarray(t->fed, t->room, sizeof(*t->fed));
		if (!t->fed)
			abort();
	}
	t->fed[t->n_fed++] = now_s();
}

/* Which of the tracked records the anchors have passed by now. */
static void note_confirmed(struct bench *b)
{
	double now = now_s();

	if (!b->hub.settled)
		return;
	b->hub.settled = false;
	for (uint32_t i = 1; i <= store_stream_count(b->hub.store) && i < TRACKS; i++) {
		struct track *t = &b->tracks[i];
		struct cursor_status status;

		if (t->n_done == t->n_fed)
			continue;
		store_cursor_status(b->hub.store, 1, i, &status);
		for (; t->n_done < MIN(t->n_fed, status.anchor & SEQ_N_MAX); t->n_done++) {
			t->fed[t->n_done] = now - t->fed[t->n_done];
			b->n_done++;
		}
	}
}

static void put_latencies(struct bench *b)
{
	double *all = calloc(b->n_done + 1, sizeof(*all));
	double sum = 0;
	size_t n = 0;

	for (size_t i = 0; i < TRACKS && all; i++)
		for (size_t k = 0; k < b->tracks[i].n_done; k++)
			sum += all[n++] = b->tracks[i].fed[k] * 1e3;
	put("latency_n", (double)n);
	put("latency_mean_ms", n ? sum / (double)n : 0);
	put("latency_p50_ms", meter_quantile(all, n, 0.5));
	put("latency_p99_ms", meter_quantile(all, n, 0.99));
	put("latency_max_ms", meter_quantile(all, n, 1));
	free(all);
}

/* Common to what has a hub */

static int begin(struct bench *b, const char *directory, const char *linger, bool server)
{
	struct hub_options o = {.directory = directory, .linger = linger};
	int r = server_start(&b->server);

	if (r == 0)
		r = straps_new(STRAPS_MAX, &b->straps);
	if (r != 0)
		return r;
	o.port = server ? b->server.port : 1; /* where nobody listens */
	return hub_open(&o, &b->hub);
}

static void put_meter(const struct meter *m, double n)
{
	put("wall_s", m->wall_s);
	put("records_s", n / m->wall_s);
	put("cpu_s_per_million", m->cpu_s / n * 1e6);
	put("cpu_percent", 100 * m->cpu_s / m->wall_s);
	put("bytes_each", (double)m->write_bytes / n);
	put("disk_bytes_each", (double)m->disk_bytes / n);
}

static void put_memory(void)
{
	put("rss", (double)meter_rss());
	put("peak_rss", (double)meter_peak_rss());
}

static void put_loop(const struct hub *h)
{
	struct store_figures figures;

	store_figures(h->store, &figures);
	put("longest_slice_ms", (double)h->longest / 1e3);
	put("longest_slice_wall_ms", (double)h->longest_wall / 1e3);
	put("longest_slice_cpu_ms", (double)h->longest_cpu / 1e3);
	put("commits", (double)figures.commits);
	put("longest_commit_ms", (double)figures.longest_commit_us / 1e3);
	put("commits_late", (double)figures.commits_late);
	put("batches", (double)(h->immediate + h->background));
	put("failures", (double)h->n_failed);
}

static int put_server(const struct bench *b, uint64_t admitted)
{
	uint64_t records = b->server.counts->records;

	put("admitted", (double)admitted);
	put("received", (double)records);
	put("duplicates", (double)b->server.counts->duplicates);
	put("requests", (double)b->server.counts->requests);
	put("gzip_bytes_each", (double)b->server.counts->body_bytes / (double)MAX(records, 1U));
	put("lost", (double)admitted - (double)records);
	return records == admitted && b->server.counts->bad == 0
		       ? EXIT_SUCCESS
		       : fail("the receiver does not hold what was handed over");
}

/* `came`: the frame's own time, which in bulk runs ahead of the clock. */
static void hand_over_of(struct bench *b, enum kind kind, size_t strap, usec_t came, usec_t now)
{
	struct frame f;

	if (kind == KIND_ECG)
		straps_ecg(b->straps, strap, now, &f);
	else
		straps_heart_rate(b->straps, strap, now, &f);
	f.boot_us = came;
	hub_frame(&b->hub, &f);
	b->handed++;
}

static void hand_over(struct bench *b, enum kind kind, size_t strap, usec_t now)
{
	hand_over_of(b, kind, strap, now, now);
}

static void must_commit(struct bench *b)
{
	if (store_commit(b->hub.store, hub_now()) != 0)
		exit(fail("a commit failed"));
}

/* bulk */

static bool has_room(const struct bench *b, enum kind kind)
{
	uint64_t limit = kind == KIND_ECG ? UNDER_WAY_ECG : UNDER_WAY_HR;

	return b->handed < hub_confirmed(&b->hub) + limit;
}

static void feed_slice(struct bench *b, enum kind kind, uint64_t n)
{
	usec_t now = hub_now(), every = kind == KIND_ECG ? 561538 : USEC_PER_SEC;

	/* As far apart as a strap sends them, and as uneven: that is what compresses. */
	for (size_t i = 0; i < SLICE && b->handed < n; i++)
		hand_over_of(b, kind, b->handed % N_STRAPS,
			     b->handed / N_STRAPS * every + b->handed * 7919 % 3000, now);
}

struct feeder {
	struct bench *bench;
	enum kind kind;
	uint64_t n;
};

static int on_feeder(sd_event_source *source, void *userdata)
{
	struct feeder *f = userdata;

	feed_slice(f->bench, f->kind, f->n);
	return 0;
}

static int bulk(const char *kind_text, const char *directory, uint64_t n, bool timed)
{
	static struct bench b;
	struct feeder feeder = {&b, streq(kind_text, "ecg") ? KIND_ECG : KIND_HEART_RATE, n};
	sd_event_source *source = NULL;
	struct meter start, used;
	uint64_t admitted;

	if (begin(&b, directory, NULL, true) < 0 ||
	    sd_event_add_defer(b.hub.event, &source, on_feeder, &feeder) < 0 ||
	    sd_event_source_set_priority(source, SD_EVENT_PRIORITY_NORMAL + 10) < 0)
		return fail("cannot begin");
	b.hub.timed = timed;
	meter_read(directory, &start);
	while (hub_confirmed(&b.hub) < n) {
		bool wanted = b.handed < n && has_room(&b, feeder.kind);

		(void)sd_event_source_set_enabled(source, wanted ? SD_EVENT_ON : SD_EVENT_OFF);
		hub_turn(&b.hub, USEC_INFINITY);
	}
	admitted = hub_admitted(&b.hub);
	sd_event_source_disable_unref(source);
	put_loop(&b.hub);
	put_memory();
	hub_close(&b.hub);
	meter_since(&start, directory, &used);
	put_meter(&used, (double)n);
	return put_server(&b, admitted);
}

/* light */

/* A strap at a steady pace, as a source on the loop. */
struct pace {
	struct bench *bench;
	usec_t every, next;
	size_t first_strap, n_straps;
	uint32_t first_stream;
	uint64_t n, handed;
};

static int on_pace(sd_event_source *source, uint64_t at, void *userdata)
{
	struct pace *p = userdata;
	size_t k = p->handed++ % p->n_straps;
	usec_t now = hub_now();

	note_fed(p->bench, p->first_stream + (uint32_t)k);
	hand_over(p->bench, KIND_HEART_RATE, p->first_strap + k, now);
	p->next += p->every;
	if (p->handed < p->n && (sd_event_source_set_time(source, p->next) < 0 ||
				 sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) < 0))
		exit(fail("the pace cannot be kept"));
	return 0;
}

static void start_pace(struct pace *p, sd_event_source **ret)
{
	sd_event *event = p->bench->hub.event;

	p->next = hub_now();
	if (sd_event_add_time(event, ret, CLOCK_BOOTTIME, p->next, 1, on_pace, p) < 0 ||
	    sd_event_source_set_priority(*ret, SD_EVENT_PRIORITY_NORMAL - 10) < 0)
		exit(fail("the pace cannot be set"));
}

/* The first record of a stream makes the stream, durably: that is not what is measured. */
static void make_streams(struct bench *b, bool up)
{
	for (size_t i = 0; i < N_STRAPS; i++) {
		note_fed(b, (uint32_t)i + 1);
		hand_over(b, KIND_HEART_RATE, i, hub_now());
	}
	while (up && b->n_done < N_STRAPS) {
		hub_turn(&b->hub, USEC_INFINITY);
		note_confirmed(b);
	}
	must_commit(b);
}

static int light(const char *directory, double seconds, const char *how)
{
	static struct bench b;
	bool up = !streq(how, "down");
	struct pace pace = {.bench = &b,
			    .every = USEC_PER_SEC / LIGHT_RATE,
			    .n_straps = N_STRAPS,
			    .first_stream = 1,
			    .n = (uint64_t)(seconds * LIGHT_RATE)};
	sd_event_source *source = NULL;
	struct meter start, used;
	uint64_t admitted;

	if (begin(&b, directory, streq(how, "nolinger") ? "0" : NULL, up) < 0)
		return fail("cannot begin");
	make_streams(&b, up);
	meter_read(directory, &start);
	start_pace(&pace, &source);
	while (pace.handed < pace.n || (up && b.n_done < N_STRAPS + pace.n)) {
		hub_turn(&b.hub, USEC_INFINITY);
		note_confirmed(&b);
	}
	while (!up && store_commit_due(b.hub.store) != USEC_INFINITY &&
	       store_commit_due(b.hub.store) < hub_now() + 2 * USEC_PER_SEC)
		hub_turn(&b.hub, USEC_INFINITY); /* T of the last one */
	meter_since(&start, directory, &used);
	put_meter(&used, (double)pace.n);
	put_loop(&b.hub);
	admitted = hub_admitted(&b.hub);
	put_memory();
	put_latencies(&b);
	sd_event_source_disable_unref(source);
	hub_close(&b.hub);
	return up ? put_server(&b, admitted) : EXIT_SUCCESS;
}

/* commit */

static int on_begin(void *userdata, const struct run_info *run)
{
	return 0;
}

static int on_add(void *userdata, const struct stream_info *stream, uint64_t after,
		  const struct record *r)
{
	return 0;
}

static int on_add_one(void *userdata, const struct stream_info *stream, uint64_t after,
		      const struct record *r)
{
	return 1;
}

static void one_record(struct bench *b)
{
	hand_over(b, KIND_HEART_RATE, 0, hub_now());
}

/* A record, a cursor that moved, a batch row that ended: what a commit of a draining hub holds. */
static void with_cursor_and_delete(struct bench *b)
{
	const struct cut_taker taker = {NULL, on_begin, on_add};
	struct receipt_entry receipt = {.stream = 1};
	struct store *s = b->hub.store;
	usec_t now = hub_now();
	struct cut cut = {0};

	if (outbox_claim(s, 1, now, &taker, &cut) != 0)
		exit(fail("nothing to claim"));
	receipt.acked_through = cut.ranges[0].last_seq;
	receipt.accepted = cut.n_records;
	if (outbox_confirm(s, &cut, &receipt, 1, now) != 0)
		exit(fail("a confirmation failed"));
	one_record(b);
}

static void owe_one(struct bench *b)
{
	const struct cut_taker taker = {NULL, on_begin, on_add};
	struct cut cut = {0};

	if (outbox_cut(b->hub.store, 1, &taker, &cut) != 0 ||
	    outbox_defer(b->hub.store, &cut, hub_now(), 0, "") != 0)
		exit(fail("nothing to owe"));
	must_commit(b);
}

static void add_up(struct meter *sum, const struct meter *m)
{
	sum->wall_s += m->wall_s;
	sum->write_bytes += m->write_bytes;
	sum->disk_bytes += m->disk_bytes;
}

static void put_commits(const char *name, const struct meter *m, size_t n)
{
	(void)printf("%s_bytes %.1f\n%s_disk_bytes %.1f\n%s_ms %.4f\n", name,
		     (double)m->write_bytes / (double)n, name, (double)m->disk_bytes / (double)n,
		     name, m->wall_s * 1e3 / (double)n);
}

static void measure_commit(struct bench *b, const char *directory, struct meter *sum)
{
	struct meter start, used;

	meter_read(directory, &start);
	must_commit(b);
	meter_since(&start, directory, &used);
	add_up(sum, &used);
}

static int commit(const char *directory, size_t n)
{
	struct hub_options o = {.directory = directory, .port = 1, .no_uploader = true};
	struct meter plain = {0}, busy = {0};
	static struct bench b;

	if (straps_new(1, &b.straps) < 0 || hub_open(&o, &b.hub) < 0)
		return fail("cannot begin");
	/* A hub that has run for a while: its WAL has been written once and is written over. */
	for (size_t i = 0; i < 2000; i++) {
		one_record(&b);
		must_commit(&b);
		(void)store_checkpoint(b.hub.store);
	}
	for (size_t i = 0; i < n; i++) {
		one_record(&b);
		measure_commit(&b, directory, &plain);
		(void)store_checkpoint(b.hub.store);
	}
	for (size_t i = 0; i < n; i++) {
		owe_one(&b);
		with_cursor_and_delete(&b);
		measure_commit(&b, directory, &busy);
		(void)store_checkpoint(b.hub.store);
	}
	put_commits("commit", &plain, n);
	put_commits("commit_cursor_delete", &busy, n);
	hub_close(&b.hub);
	return EXIT_SUCCESS;
}

/* claims */

static void count_row(void *userdata, const struct batch_row *row)
{
	++*(size_t *)userdata;
}

static size_t store_rows(const struct bench *b)
{
	size_t n = 0;

	store_each_row(b->hub.store, count_row, &n);
	return n;
}

enum { CLAIMS = 50, CLAIM_ROUNDS = 40 };

/*
 * A row of one record more. Those that failed and those that did not by turns: neighbours that are alike
 * would be one row.
 */
static void owe_apart(struct bench *b, bool failed)
{
	const struct cut_taker taker = {NULL, on_begin, on_add};
	struct store *s = b->hub.store;
	struct cut cut = {0};
	int r;

	one_record(b);
	if (outbox_cut(s, 1, &taker, &cut) != 0)
		exit(fail("nothing to owe"));
	if (failed)
		r = outbox_defer(s, &cut, hub_now(), 0, "");
	else
		r = outbox_confirm(s, &cut, NULL, 0, hub_now());
	if (r != 0)
		exit(fail("a row was not made"));
}

static void claim_one(struct bench *b)
{
	const struct cut_taker taker = {NULL, on_begin, on_add_one};
	struct store *s = b->hub.store;
	usec_t now = hub_now();
	struct receipt_entry receipt = {.stream = 1, .accepted = 1};
	struct cut cut = {0};

	if (outbox_next_due(s, 1) > now || outbox_claim(s, 1, now, &taker, &cut) != 0)
		exit(fail("nothing to claim"));
	receipt.acked_through = cut.ranges[0].last_seq;
	if (outbox_confirm(s, &cut, &receipt, 1, now) != 0)
		exit(fail("a confirmation failed"));
}

/* Asked, claimed and confirmed, one at a time, while so many rows wait: the time of it alone. */
static int claims(const char *directory, size_t n)
{
	struct hub_options o = {.directory = directory, .port = 1, .no_uploader = true};
	static struct bench b;
	double took = 0;
	size_t waits = 0;

	if (straps_new(1, &b.straps) < 0 || hub_open(&o, &b.hub) < 0)
		return fail("cannot begin");
	for (size_t i = 0; i < CLAIM_ROUNDS; i++) {
		struct meter start, used;

		for (; waits < n; waits++) {
			owe_apart(&b, waits % 2);
			if (waits % 50 == 0)
				must_commit(&b);
		}
		must_commit(&b);
		if (store_rows(&b) != n)
			return fail("rows grew together");
		meter_read(directory, &start);
		for (size_t k = 0; k < CLAIMS; k++, waits--)
			claim_one(&b);
		meter_since(&start, directory, &used);
		took += used.wall_s;
	}
	put("claim_us", took * 1e6 / (CLAIMS * CLAIM_ROUNDS));
	put("rss", (double)meter_rss());
	hub_close(&b.hub);
	return EXIT_SUCCESS;
}

/* fill, drain */

static int fill(const char *directory, double hours)
{
	struct hub_options o = {.directory = directory, .port = 1, .no_uploader = true};
	static const double ecg_period = (double)ECG_FRAME_SAMPLES / 130;
	uint64_t seconds = (uint64_t)(hours * 3600), n_ecg = 0;
	usec_t begins = hub_now();
	struct meter start, used;
	static struct bench b;

	if (straps_new(N_STRAPS, &b.straps) < 0 || hub_open(&o, &b.hub) < 0)
		return fail("cannot begin");
	meter_read(directory, &start);
	for (uint64_t s = 0; s < seconds; s++) {
		usec_t now = begins + s * USEC_PER_SEC;

		for (size_t i = 0; i < N_STRAPS; i++)
			hand_over(&b, KIND_HEART_RATE, i, now + i * 1000);
		for (; (double)n_ecg * ecg_period < (double)s + 1; n_ecg++)
			for (size_t i = 0; i < N_STRAPS; i++)
				hand_over(&b, KIND_ECG, i,
					  begins + (usec_t)((double)n_ecg * ecg_period * 1e6) +
						  i * 1000);
		must_commit(&b); /* T = 1 s, nobody confirms */
		if (s % 5 == 0)
			(void)store_checkpoint(b.hub.store);
	}
	put("heart_rate", (double)seconds * N_STRAPS);
	put("ecg_frames", (double)n_ecg * N_STRAPS);
	put("ecg_samples", (double)n_ecg * N_STRAPS * ECG_FRAME_SAMPLES);
	put_loop(&b.hub);
	put_memory();
	hub_close(&b.hub);
	meter_since(&start, directory, &used);
	put_meter(&used, (double)b.handed);
	return EXIT_SUCCESS;
}

static uint64_t waiting(const struct bench *b)
{
	struct cursor_status status;
	uint64_t n = 0;

	for (uint32_t i = 1; i <= store_stream_count(b->hub.store); i++) {
		store_cursor_status(b->hub.store, 1, i, &status);
		n += status.waiting;
	}
	return n;
}

/* Only what was handed over just now still waits: then the strap may stop. */
static bool backlog_is_gone(const struct bench *b, const struct pace *p)
{
	return p->handed >= 20 && store_rows(b) == 0;
}

static int drain(const char *directory)
{
	static struct bench b;
	struct pace pace = {.bench = &b,
			    .every = USEC_PER_SEC / 20,
			    .first_strap = N_STRAPS, /* one that is worn while the backlog drains */
			    .n_straps = 1,
			    .n = UINT64_MAX};
	sd_event_source *source = NULL;
	struct meter start, used;
	uint64_t backlog, admitted;

	if (begin(&b, directory, NULL, true) < 0)
		return fail("cannot begin");
	backlog = waiting(&b);
	b.hub.timed = true;
	pace.first_stream = (uint32_t)store_stream_count(b.hub.store) + 1;
	put("rss_at_start", (double)meter_rss());
	meter_read(directory, &start);
	start_pace(&pace, &source);
	while (waiting(&b) > 0 || pace.handed < 20) {
		hub_turn(&b.hub, USEC_INFINITY);
		note_confirmed(&b);
		if (backlog_is_gone(&b, &pace))
			pace.n = 0;
	}
	meter_since(&start, directory, &used);
	put_meter(&used, (double)backlog);
	put_loop(&b.hub);
	put_memory();
	put_latencies(&b);
	admitted = hub_admitted(&b.hub);
	sd_event_source_disable_unref(source);
	hub_close(&b.hub);
	return put_server(&b, admitted);
}

static int usage(void)
{
	(void)fputs("usage: bench bulk|slices heart_rate|ecg DIR N | light DIR SECONDS "
		    "up|nolinger|down |\n"
		    "             commit DIR N | claims DIR N | fill DIR HOURS | drain DIR |\n"
		    "             capture FILE N S |\n"
		    "             disk DIR N | rows DIR STORE.DB COMMITS | bare URL CA|- N\n",
		    stderr);
	return 2;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	if (streq(mode, "bulk") && argc == 5)
		return bulk(argv[2], argv[3], strtoull(argv[4], NULL, 10), false);
	if (streq(mode, "slices") && argc == 5)
		return bulk(argv[2], argv[3], strtoull(argv[4], NULL, 10), true);
	if (streq(mode, "light") && argc == 5)
		return light(argv[2], strtod(argv[3], NULL), argv[4]);
	if (streq(mode, "commit") && argc == 4)
		return commit(argv[2], strtoul(argv[3], NULL, 10));
	if (streq(mode, "claims") && argc == 4)
		return claims(argv[2], strtoul(argv[3], NULL, 10));
	if (streq(mode, "fill") && argc == 4)
		return fill(argv[2], strtod(argv[3], NULL));
	if (streq(mode, "drain") && argc == 3)
		return drain(argv[2]);
	if (streq(mode, "capture") && argc == 5)
		return capture_file(argv[2], (unsigned)strtoul(argv[3], NULL, 10),
				    strtod(argv[4], NULL)) < 0;
	if (streq(mode, "disk") && argc == 4)
		return floor_disk(argv[2], strtoul(argv[3], NULL, 10)) < 0;
	if (streq(mode, "rows") && argc == 5)
		return floor_rows(argv[2], argv[3], strtoul(argv[4], NULL, 10)) < 0;
	if (streq(mode, "bare") && argc == 5)
		return floor_libraries(argv[2], streq(argv[3], "-") ? NULL : argv[3],
				       strtoul(argv[4], NULL, 10)) < 0;
	return usage();
}
