/*
 * `vitald drain`: layer 3. A process of its own, started by a timer, that gets out what waits,
 * whatever became of the daemon:
 *
 *    nobody owns the store          -> become the owner, recover the tail, upload, hand over when
 *                                      asked
 *    a daemon owns it and answers   -> ask it to upload now, say what it has
 *    a daemon owns it and is mute   -> read only: send what can be read, write nothing
 *    another drain owns it          -> leave it to that one
 *
 * In the third case the cursors are moved in memory and never written: the daemon, when it wakes,
 * sends the same records again, and the server knows them by (stream, seq).
 *
 * SIGTERM ends it between two answers: a request under way is cancelled and its batch stays owed.
 */
#include "daemon.h"

#include "control/ask.h"
#include "control/events.h"
#include "model/catalog.h"
#include "model/config.h"
#include "upload/uploader.h"
#include "util/log.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define HEARTBEAT_OLD (30 * USEC_PER_SEC) /* an owner this silent is hung */
#define ASK_PATIENCE  (5 * USEC_PER_SEC)
#define LOOK_AROUND   (200 * USEC_PER_MSEC) /* does a daemon want the store? */

struct drain {
	const struct config *config;
	struct store *store;
	bool owner;
	sd_event *event;
	struct uploader *uploader;
	struct events *events;
	uint64_t confirmed, failed;
	char problem[200];
	bool stopped; /* asked to, by a signal or a daemon */
};

static void on_sync_event(void *userdata, const struct sync_event *e)
{
	struct drain *d = userdata;

	if (e->type == SYNC_BACKGROUND_SUCCESS || e->type == SYNC_IMMEDIATE_SUCCESS)
		d->confirmed += e->count;
	else if (!e->success)
		d->failed++;
	if (d->events)
		(void)events_push(d->events, e); /* a ring in memory: to lose one is no loss */
}

static void on_drained(void *userdata, const char *problem)
{
	struct drain *d = userdata;

	(void)snprintf(d->problem, sizeof(d->problem), "%s", problem ? problem : "");
	(void)sd_event_exit(d->event, 0); /* only fails when it is exiting */
}

static int on_look_around(sd_event_source *source, uint64_t at, void *userdata)
{
	struct drain *d = userdata;
	usec_t now = clock_boot_usec();

	if (d->owner) {
		store_heartbeat(d->store, now);
		if (store_commit_due(d->store) <= now)
			(void)store_commit(d->store, now); /* tried again; the last one is told */
	}
	if (d->owner && store_owner_wanted(d->store)) {
		d->stopped = true;
		(void)snprintf(d->problem, sizeof(d->problem), "a daemon wants the store");
		(void)sd_event_exit(d->event, 0); /* only fails when it is exiting */
		return 0;
	}
	if (sd_event_source_set_time(source, now + LOOK_AROUND) < 0 ||
	    sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) < 0)
		log_error("The timer cannot be set");
	return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	struct drain *d = userdata;

	d->stopped = true;
	(void)snprintf(d->problem, sizeof(d->problem), "it was told to stop");
	(void)sd_event_exit(d->event, 0); /* only fails when it is exiting */
	return 0;
}

static int prepare_loop(struct drain *d)
{
	sigset_t set;
	int r;

	if (sigemptyset(&set) < 0 || sigaddset(&set, SIGTERM) < 0 || sigaddset(&set, SIGINT) < 0 ||
	    sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	r = sd_event_new(&d->event);
	if (r >= 0)
		r = sd_event_add_signal(d->event, NULL, SIGTERM, on_signal, d);
	if (r >= 0)
		r = sd_event_add_signal(d->event, NULL, SIGINT, on_signal, d);
	if (r >= 0)
		r = sd_event_add_time(d->event, NULL, CLOCK_BOOTTIME, 0, USEC_PER_MSEC,
				      on_look_around, d);
	return r < 0 ? r : 0;
}

static uint64_t waiting_of(const struct store *s)
{
	uint64_t waiting = 0;

	for (uint32_t sink = 1; sink <= store_sink_count(s); sink++) {
		struct sink_info info;

		store_sink_info(s, sink, &info);
		for (uint32_t i = 1; !info.retired && i <= store_stream_count(s); i++) {
			struct cursor_status c;

			store_cursor_status(s, sink, i, &c);
			waiting += c.waiting;
		}
	}
	return waiting;
}

/* One line in the journal, whatever happened. */
static int summarise(const struct drain *d)
{
	uint64_t waiting = waiting_of(d->store);

	log_event(waiting ? LOG_WARNING : LOG_NOTICE, CATALOG_DRAIN, NULL,
		  "Drain: %llu records confirmed, %llu still wait%s%s%s",
		  (unsigned long long)d->confirmed, (unsigned long long)waiting,
		  d->problem[0] ? " because " : "", d->problem,
		  d->owner ? ""
			   : "; the daemon is hung, so nothing was moved: it will send them again");
	if (d->stopped)
		return EXIT_SUCCESS;
	return waiting ? EXIT_BUSY : EXIT_SUCCESS;
}

static int upload(struct drain *d)
{
	const struct uploader_handler handler = {.userdata = d,
						 .event = on_sync_event,
						 .drained = on_drained};
	int r;

	r = prepare_loop(d);
	if (r == 0)
		r = uploader_new(d->event, d->store, d->config, UPLOADER_DRAIN, &handler,
				 &d->uploader);
	if (r != 0) {
		log_error("Cannot start: %s", r < 0 ? strerror(-r) : store_problem(d->store));
		return EXIT_FAILURE;
	}
	r = sd_event_loop(d->event);
	d->uploader = uploader_free(d->uploader);
	if (r < 0) {
		log_error("The event loop failed: %s", strerror(-r));
		return EXIT_FAILURE;
	}
	return summarise(d);
}

/*
 * What was heard before the clock was right waits for its wall time. With a daemon that is dead
 * nobody else is there to give it; a clock that was not synchronised clock_wait after the boot is
 * taken as it is, like the daemon does.
 */
static void resolve_clock(const struct drain *d, const struct clock_state *clock, usec_t now)
{
	enum clk clk = clock->synchronised ? CLK_UTC : CLK_EST;

	if (!clock->synchronised && now < d->config->clock_wait)
		return;
	if (store_resolve_clock(d->store, clk, now, clock->offset_us) != 0)
		log_event(LOG_ERR, CATALOG_STORE_TROUBLE, NULL, "Cannot write a clock segment: %s",
			  store_problem(d->store));
}

static int drain_as_owner(struct drain *d, const struct clock_state *clock)
{
	int status;

	d->owner = true;
	resolve_clock(d, clock, clock_boot_usec());
	if (events_open(d->config->runtime_dir, true, &d->events) != 0)
		d->events = NULL; /* events are a comfort */
	status = upload(d);
	if (store_finish(d->store, clock_boot_usec()) != 0) {
		log_event(LOG_ERR, CATALOG_STORE_TROUBLE, NULL, "The last commit failed: %s",
			  store_problem(d->store));
		status = EXIT_FAILURE;
	}
	return status;
}

static int drain_beside_hung(struct drain *d)
{
	int r = store_look(d->config->state_dir, d->config->runtime_dir, &d->store);

	if (r != 0) {
		log_error("The owner is hung and its store cannot be read (%d)", r);
		return EXIT_FAILURE;
	}
	return upload(d);
}

/* > 0: it does not answer. */
static int ask_daemon(const struct drain *d, const struct owner_info *owner)
{
	struct tables tables = {0};
	const struct table *sinks;
	uint64_t waiting = 0;
	int r = control_ask_sync(d->config->runtime_dir, ASK_PATIENCE, &tables);

	if (r == 0) {
		sinks = tables_find(&tables, "sinks");
		for (size_t i = 0; i < table_rows(sinks); i++)
			waiting += table_get_u64(sinks, i, "waiting", 0);
		log_event(
			LOG_INFO, CATALOG_DRAIN, NULL,
			"The %s (pid %d) is at work and was asked to upload now; %llu records wait",
			owner->role, owner->pid, (unsigned long long)waiting);
	}
	tables_done(&tables);
	return r;
}

static int beside_owner(struct drain *d)
{
	struct owner_info owner;
	usec_t now = clock_boot_usec();

	store_owner(d->config->state_dir, d->config->runtime_dir, &owner);
	if (streq(owner.role, "drain")) {
		log_info("Another drain (pid %d) is at work", owner.pid);
		return EXIT_SUCCESS;
	}
	if (owner.heartbeat_us + HEARTBEAT_OLD >= now && ask_daemon(d, &owner) == 0)
		return EXIT_SUCCESS;
	log_event(LOG_WARNING, CATALOG_OWNER_BUSY, NULL,
		  "The %s (pid %d) owns the store and does not answer; its last sign of life was "
		  "%llu s "
		  "ago: sending what can be read",
		  owner.role, owner.pid,
		  (unsigned long long)((now - MIN(owner.heartbeat_us, now)) / USEC_PER_SEC));
	return drain_beside_hung(d);
}

static int drain(struct drain *d)
{
	struct store_options o = {.state_dir = d->config->state_dir,
				  .runtime_dir = d->config->runtime_dir,
				  .role = "drain",
				  .tail_size = d->config->tail_size,
				  .durability_window = d->config->durability_window,
				  .lazy_commit = d->config->lazy_commit,
				  .max_size = d->config->max_size,
				  .max_batches = d->config->max_batches};
	const struct clock_state clock = clock_read(d->config->trust_clock);
	struct store_opening opening = {0};
	int r;

	if (access(d->config->state_dir, F_OK) < 0 || access(d->config->runtime_dir, F_OK) < 0) {
		log_info("There is no store at %s yet: nothing to upload", d->config->state_dir);
		return EXIT_SUCCESS;
	}
	r = store_open(&o, clock_boot_usec(), &clock, &opening, &d->store);
	if (r == STORE_E_OWNED)
		return beside_owner(d);
	if (r != 0) {
		log_event(LOG_ERR, CATALOG_STORE_TROUBLE, NULL, "Cannot open the store in %s: %s",
			  d->config->state_dir,
			  opening.problem[0] ? opening.problem : strerror(-r));
		return r > 0 ? EXIT_STORE : EXIT_FAILURE;
	}
	return drain_as_owner(d, &clock);
}

int drain_main(const char *config_path)
{
	struct config *config = NULL;
	struct drain d = {0};
	int status;

	if (load_config(config_path, &config) != 0)
		return EXIT_CONFIG;
	log_init(LOG_TARGET_AUTO, config->log_level);
	d.config = config;
	status = drain(&d);
	d.uploader = uploader_free(d.uploader);
	d.events = events_close(d.events);
	d.store = store_close(d.store);
	sd_event_unref(d.event);
	config_free(config);
	return status;
}
