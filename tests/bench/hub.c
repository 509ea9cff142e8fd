/*
 * A hub without a radio. As in daemon.c: after each turn of the loop a commit if it is due, every
 * five seconds the idle work. A fault ends the benchmark: nothing measured behind it means
 * anything.
 */
#include "hub.h"

#include "store/register.h"
#include "util/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TICK (5 * USEC_PER_SEC)

static void must(int r, const struct hub *h, const char *what)
{
	if (r == 0)
		return;
	(void)fprintf(stderr, "bench: %s: %s %s\n", what, r < 0 ? strerror(-r) : "",
		      h->store ? store_problem(h->store) : "");
	exit(EXIT_FAILURE);
}

usec_t hub_now(void)
{
	return clock_boot_usec();
}

static int on_commit_timer(sd_event_source *source, uint64_t at, void *userdata)
{
	return 0; /* it only wakes the loop */
}

static int on_after(sd_event_source *source, void *userdata)
{
	struct hub *h = userdata;
	usec_t now = hub_now(), due = store_commit_due(h->store);

	if (due <= now) {
		must(store_commit(h->store, now), h, "commit");
		due = store_commit_due(h->store);
	}
	must(MIN(sd_event_source_set_enabled(h->commit_timer, due == USEC_INFINITY
								      ? SD_EVENT_OFF
								      : SD_EVENT_ONESHOT),
		 0),
	     h, "timer");
	if (due != USEC_INFINITY)
		must(MIN(sd_event_source_set_time(h->commit_timer, MAX(due, now + USEC_PER_MSEC)),
			 0),
		     h, "timer");
	return 0;
}

static int on_tick(sd_event_source *source, uint64_t at, void *userdata)
{
	struct hub *h = userdata;

	store_heartbeat(h->store, hub_now());
	must(store_checkpoint(h->store), h, "checkpoint");
	must(MIN(sd_event_source_set_time(source, hub_now() + TICK), 0), h, "timer");
	must(MIN(sd_event_source_set_enabled(source, SD_EVENT_ONESHOT), 0), h, "timer");
	return 0;
}

static void on_admitted(void *userdata, usec_t now)
{
	struct hub *h = userdata;

	if (h->uploader)
		uploader_kick(h->uploader, now);
}

static void on_fault(void *userdata, int r)
{
	must(r ? r : -EIO, userdata, "admission");
}

static void on_sync_event(void *userdata, const struct sync_event *e)
{
	struct hub *h = userdata;

	h->n_failed += e->type != SYNC_IMMEDIATE_SUCCESS && e->type != SYNC_BACKGROUND_SUCCESS;
	h->immediate += e->type == SYNC_IMMEDIATE_SUCCESS;
	h->background += e->type == SYNC_BACKGROUND_SUCCESS;
	h->settled = true;
}

static int read_config(const struct hub_options *o, struct hub *h)
{
	_cleanup_(buf_done) struct buf text = {0}, problems = {0};
	int r;

	buf_printf(&text,
		   "[daemon]\nstate_dir = %s\nruntime_dir = %s\ngateway = gw-bench\n"
		   "[source]\ntype = simulate\nauto_enroll = yes\n"
		   "[sync]\nlinger = %s\ndurability_window = %s\n"
		   "[time]\ntrust_clock = yes\n[control]\nbus = none\n"
		   "[sink \"bench\"]\nurl = http://127.0.0.1:%d\n",
		   h->state_dir, h->runtime_dir, o->linger ? o->linger : "250ms",
		   o->durability_window ? o->durability_window : "1s", o->port);
	r = config_parse("bench", text.data, text.size, &problems, &h->config);
	if (r != 0)
		(void)fprintf(stderr, "%.*s\n", (int)problems.size, (const char *)problems.data);
	return r;
}

static int open_store(struct hub *h)
{
	struct store_options o = {.state_dir = h->state_dir,
				  .runtime_dir = h->runtime_dir,
				  .role = "daemon",
				  .tail_size = h->config->tail_size,
				  .durability_window = h->config->durability_window,
				  .lazy_commit = h->config->lazy_commit,
				  .max_size = h->config->max_size};
	struct clock_state clock = clock_read(CLOCK_TRUST_YES);
	struct store_opening opening;

	return store_open(&o, hub_now(), &clock, &opening, &h->store);
}

static int add_sources(struct hub *h)
{
	int r;

	r = sd_event_add_time(h->event, &h->commit_timer, CLOCK_BOOTTIME, 0, USEC_PER_MSEC,
			      on_commit_timer, h);
	if (r >= 0)
		r = sd_event_add_post(h->event, &h->after, on_after, h);
	if (r >= 0)
		r = sd_event_add_time(h->event, &h->tick, CLOCK_BOOTTIME, 0, USEC_PER_SEC, on_tick,
				      h);
	if (r >= 0)
		r = sd_event_source_set_priority(h->tick, SD_EVENT_PRIORITY_IDLE);
	return MIN(r, 0);
}

static void make_directories(const struct hub_options *o, struct hub *h)
{
	(void)snprintf(h->state_dir, sizeof(h->state_dir), "%s/state", o->directory);
	(void)snprintf(h->runtime_dir, sizeof(h->runtime_dir), "/dev/shm/vitald-bench-%d",
		       (int)getpid());
	if ((mkdir(h->state_dir, 0700) < 0 && errno != EEXIST) || mkdir(h->runtime_dir, 0700) < 0)
		must(-errno, h, o->directory);
}

int hub_open(const struct hub_options *o, struct hub *h)
{
	struct collect_handler collect = {.userdata = h,
					  .admitted = on_admitted,
					  .fault = on_fault};
	struct uploader_handler uploader = {.userdata = h, .event = on_sync_event};
	uint32_t sink;

	*h = (struct hub){0};
	log_init(LOG_TARGET_STDERR, LOG_ERR);
	make_directories(o, h);
	must(read_config(o, h), h, "config");
	must(MIN(sd_event_new(&h->event), 0), h, "loop");
	must(open_store(h), h, "store");
	must(collect_new(h->store, h->config, GAP_DAEMON_DOWN, &collect, &h->collect), h,
	     "collector");
	if (o->no_uploader)
		must(register_sink(h->store, "bench", true, false, &sink), h, "sink");
	else
		must(uploader_new(h->event, h->store, h->config, UPLOADER_DAEMON, &uploader,
				  &h->uploader),
		     h, "uploader");
	must(add_sources(h), h, "loop");
	h->source = collect_source(h->collect);
	return 0;
}

int hub_close(struct hub *h)
{
	char path[128];

	h->uploader = uploader_free(h->uploader);
	must(store_finish(h->store, hub_now()), h, "the last commit");
	h->collect = collect_free(h->collect);
	h->store = store_close(h->store);
	sd_event_source_disable_unref(h->commit_timer);
	sd_event_source_disable_unref(h->tick);
	sd_event_source_disable_unref(h->after);
	sd_event_unref(h->event);
	h->config = config_free(h->config);
	(void)snprintf(path, sizeof(path), "%s/tail", h->runtime_dir);
	(void)unlink(path);	     /* gone, or it stays in /dev/shm for a person to delete */
	(void)rmdir(h->runtime_dir); /* the same */
	return 0;
}

static usec_t cpu_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* there is one */
	return (usec_t)t.tv_sec * USEC_PER_SEC + (usec_t)t.tv_nsec / 1000;
}

/* How long this process was ready to run and did not, in all: other people's work. */
static usec_t kept_waiting(void)
{
	static int fd = -1;
	char text[96], *end;
	ssize_t n;

	if (fd < 0)
		fd = open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : pread(fd, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	(void)strtoull(text, &end, 10); /* the time that it ran */
	return strtoull(end, NULL, 10) / 1000;
}

static void note_slice(struct hub *h, usec_t wall, usec_t waited, usec_t cpu)
{
	h->longest_wall = MAX(h->longest_wall, wall);
	h->longest = MAX(h->longest, wall > waited ? wall - waited : 0);
	h->longest_cpu = MAX(h->longest_cpu, cpu);
}

static void dispatch(struct hub *h)
{
	must(MIN(sd_event_dispatch(h->event), 0), h, "loop");
}

static void dispatch_timed(struct hub *h)
{
	usec_t waited = kept_waiting(), cpu = cpu_now(), start = hub_now();

	dispatch(h);
	note_slice(h, hub_now() - start, kept_waiting() - waited, cpu_now() - cpu);
}

void hub_turn(struct hub *h, usec_t timeout)
{
	int r = sd_event_prepare(h->event);

	if (r == 0)
		r = sd_event_wait(h->event, timeout);
	must(MIN(r, 0), h, "loop");
	if (r > 0 && h->timed)
		dispatch_timed(h);
	else if (r > 0)
		dispatch(h);
}

void hub_frame(struct hub *h, const struct frame *f)
{
	h->source.frame(h->source.userdata, f);
}

uint64_t hub_admitted(const struct hub *h)
{
	struct stream_status status;
	uint64_t n = 0;

	for (uint32_t i = 1; i <= store_stream_count(h->store); i++) {
		store_stream_status(h->store, i, &status);
		n += status.admitted;
	}
	return n;
}

uint64_t hub_confirmed(const struct hub *h)
{
	struct sink_state state;

	uploader_sink_state(h->uploader, 0, &state);
	return state.records_confirmed;
}
