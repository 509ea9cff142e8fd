/*
 * The daemon: the only file that knows all rooms. One process, one thread, one loop.
 *
 *    source -> collect (decode) -> store -> uploader -> server
 *                                    ^
 *    after each turn of the loop: is a commit due? (T, lazy, forced)
 *
 * Start: become the owner (a drain at work hands over within a second), recover and commit the
 * tail, begin a run, open control and uploader, and only then the source: what is heard is safe
 * from the first byte. Stop (SIGTERM): the source goes first, then what is under way to a server
 * may end for a second, then everything is committed. Reload (SIGHUP): a bad config keeps the old
 * one running; a good one replaces the uploader and leaves sources, and so Bluetooth links, alone
 * unless they changed.
 *
 * Watchdog: sd-event pings while the loop turns; a process that is stopped or stuck is killed by
 * systemd and its tail is recovered by the next.
 */
#include "daemon.h"

#include "cleaning.h"
#include "collect.h"
#include "control/bus.h"
#include "control/events.h"
#include "decode/protocol.h"
#include "model/catalog.h"
#include "network.h"
#include "opening.h"
#include "renew.h"
#include "rewinds.h"
#include "salvager.h"
#include "sleep.h"
#include "source/capture.h"
#include "summary.h"
#include "timekeeper.h"
#include "upload/uploader.h"
#include "util/log.h"
#include "util/machine.h"
#include "util/signals.h"

#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#define STOP_WAIT   (1 * USEC_PER_SEC)	/* for the answers to what is under way */
#define TICK	    (5 * USEC_PER_SEC)	/* heartbeat, clock, idle work */
#define OWNER_WAIT  (30 * USEC_PER_SEC) /* for a drain to hand over, or a hung one to be killed */
#define OWNER_RETRY (100 * USEC_PER_MSEC)
#define PRUNE_EVERY (600 * USEC_PER_SEC)
#define PRUNE_SOON  (30 * USEC_PER_SEC) /* no room, and nothing could go: each look is a commit */

enum {
	SUMMARY_CALM = 4, /* so many intervals, while all is well */
	PRUNE_SLICE = 256
};

struct daemon {
	const char *config_path;
	struct config *config;
	sd_event *event;
	struct store *store;
	struct collect *collect;
	struct capture *capture;
	struct network *network;
	struct sleep *sleep;
	struct source *source;
	struct uploader *uploader;
	struct salvager *salvager;
	struct cleaning *cleaning;
	struct renew *renew;
	char machine[MACHINE_SIZE];
	struct control *control;
	struct events *events;
	sd_event_source *commit_timer, *tick, *after, *stop_timer; /* stop_timer: it is stopping */
	struct store_opening opening;
	struct clock_state clock; /* at the start; from then on the timekeeper's */
	struct timekeeper *timekeeper;
	usec_t started, last_prune, last_summary, last_background;
	bool commit_failing;
	uint64_t told_late;
	struct summary summary;
};

static void daemon_done(struct daemon *d)
{
	d->source = source_free(d->source);
	d->uploader = uploader_free(d->uploader);
	d->renew = renew_free(d->renew);
	d->control = control_free(d->control);
	d->sleep = sleep_free(d->sleep);
	d->network = network_free(d->network);
	d->salvager = salvager_free(d->salvager);
	d->cleaning = cleaning_free(d->cleaning);
	d->capture = capture_free(d->capture);
	d->collect = collect_free(d->collect);
	d->timekeeper = timekeeper_free(d->timekeeper);
	d->events = events_close(d->events);
	d->store = store_close(d->store);
	sd_event_source_disable_unref(d->commit_timer);
	sd_event_source_disable_unref(d->tick);
	sd_event_source_disable_unref(d->after);
	sd_event_source_disable_unref(d->stop_timer);
	sd_event_unref(d->event);
	d->config = config_free(d->config);
}

static usec_t now_of(struct daemon *d)
{
	uint64_t now = 0;

	if (sd_event_now(d->event, CLOCK_BOOTTIME, &now) < 0)
		now = clock_boot_usec();
	return now;
}

/* --- committing --- */

static void told_commit(struct daemon *d, int r)
{
	if (r != 0 && !d->commit_failing)
		log_event(
			LOG_ERR, CATALOG_STORE_TROUBLE, NULL,
			"Cannot commit to %s: %s; records are kept in memory and it is tried again "
			"each second",
			d->config->state_dir, store_problem(d->store));
	else if (r == 0 && d->commit_failing)
		log_notice("Commits to %s work again", d->config->state_dir);
	d->commit_failing = r != 0;
}

static int on_commit_timer(sd_event_source *source, uint64_t at, void *userdata)
{
	return 0; /* it only wakes the loop: on_after() does the work */
}

/* After each turn of the loop: commit when it is due, and sleep no longer than until it is. */
static int on_after(sd_event_source *source, void *userdata)
{
	struct daemon *d = userdata;
	usec_t now = now_of(d), due = store_commit_due(d->store);

	if (d->stop_timer && !uploader_is_sending(d->uploader))
		(void)sd_event_exit(d->event, EXIT_SUCCESS); /* only fails when it is exiting */
	if (due <= now) {
		told_commit(d, store_commit(d->store, now));
		if (store_tell_shed(d->store, now) == 0)
			uploader_kick(d->uploader, now);
		due = store_commit_due(d->store);
	}
	if (due == USEC_INFINITY) {
		(void)sd_event_source_set_enabled(d->commit_timer, SD_EVENT_OFF); /* a valid one */
		return 0;
	}
	if (sd_event_source_set_time(d->commit_timer, MAX(due, now + USEC_PER_MSEC)) < 0 ||
	    sd_event_source_set_enabled(d->commit_timer, SD_EVENT_ONESHOT) < 0)
		log_error("The commit timer cannot be set");
	return 0;
}

/* --- what the rooms tell each other --- */

static void on_admitted(void *userdata, usec_t now)
{
	struct daemon *d = userdata;

	uploader_kick(d->uploader, now);
}

static void on_fault(void *userdata, int r)
{
	struct daemon *d = userdata;

	log_event(LOG_ERR, CATALOG_STORE_TROUBLE, NULL, "A record could not be stored: %s (%s)",
		  strerror(-r), store_problem(d->store));
	(void)sd_event_exit(d->event, EXIT_FAILURE); /* a fresh start repairs what can be */
}

static void on_sync_event(void *userdata, const struct sync_event *e)
{
	struct daemon *d = userdata;
	struct sync_event numbered = *e;

	if (events_push(d->events, e) == 0) /* a ring in memory: to lose one is no loss */
		numbered.number = events_last(d->events);
	control_event(d->control, &numbered);
	summary_count(&d->summary, e);
	if (d->config->sync_events)
		log_info("%s: %s %u %s in %u ms after %u retries%s%s", e->sink,
			 sync_event_type_name(e->type), (unsigned)e->count, kind_name(e->kind),
			 (unsigned)e->duration_ms, (unsigned)e->retries, e->reason[0] ? ": " : "",
			 e->reason);
}

static void on_identity(void *userdata, enum incarnation_reason reason, const char *detail)
{
	struct daemon *d = userdata;

	renew_want(d->renew, reason, detail);
}

static void on_renamed(void *userdata)
{
	struct daemon *d = userdata;

	collect_renamed(d->collect);
	uploader_renamed(d->uploader);
}

static const struct uploader_handler *uploader_handler(struct daemon *d, struct uploader_handler *h)
{
	*h = (struct uploader_handler){.userdata = d,
				       .event = on_sync_event,
				       .identity = on_identity};
	return h;
}

/* --- the clock --- */

static void on_clock(void *userdata, bool wake, usec_t now)
{
	struct daemon *d = userdata;

	if (wake)
		uploader_wake(d->uploader, false);
	else
		uploader_kick(d->uploader, now);
}

static void on_admitting(void *userdata, usec_t now)
{
	struct daemon *d = userdata;

	timekeeper_freshen(d->timekeeper, now);
}

/* --- every few seconds --- */

static void prune(struct daemon *d, usec_t now)
{
	int64_t before = clock_wall_usec() - (int64_t)d->config->retention;
	bool needed = store_wants_room(d->store);
	int r;

	/* No retention is decided on a clock that nobody disciplines. */
	if (now < d->last_prune + (needed ? PRUNE_SOON : PRUNE_EVERY) ||
	    (!needed && (!d->config->timers || !timekeeper_clock(d->timekeeper)->synchronised)))
		return;
	if (needed)
		before = INT64_MAX; /* all that is confirmed */
	r = store_prune(d->store, before, PRUNE_SLICE);
	if (r < 0)
		log_event(LOG_ERR, CATALOG_STORE_TROUBLE, NULL, "Cannot delete old history: %s",
			  store_problem(d->store));
	if (r != 0)
		d->last_prune = now; /* nothing more of it for now */
}

static void summarise(struct daemon *d, usec_t now)
{
	unsigned often = summary_is_calm(&d->summary) ? SUMMARY_CALM : 1;

	if (now < d->last_summary + often * d->config->summary_interval)
		return;
	d->last_summary = now;
	summary_say(&d->summary);
}

/* What was written cannot be read, as we or a cleanup found: the next start sets it aside. */
static void watch_damage(struct daemon *d)
{
	char why[256];

	if (!store_is_damaged(d->store, why) || store_condemn(d->store) < 0)
		return;
	log_event(LOG_ERR, CATALOG_STORE_DAMAGED, NULL,
		  "The store in %s is damaged: %s; a restart sets it aside and begins a new one",
		  d->config->state_dir, why);
	(void)sd_event_exit(d->event, EXIT_FAILURE); /* only fails when it is exiting */
}

static void on_brought(void *userdata)
{
	struct daemon *d = userdata;

	uploader_kick(d->uploader, now_of(d));
}

static void watch_lateness(struct daemon *d)
{
	struct store_figures figures;

	store_figures(d->store, &figures);
	if (figures.commits_late > d->told_late && d->told_late == 0)
		log_event(LOG_WARNING, CATALOG_COMMIT_LATE, NULL,
			  "A commit came later than durability_window promises (the longest took "
			  "%llu ms): is the card slow or failing?",
			  (unsigned long long)(figures.longest_commit_us / 1000));
	d->told_late = figures.commits_late;
}

static bool is_offline(const struct daemon *d)
{
	return !network_usable(d->network) && network_needed(d->config);
}

/*
 * Layer 3 inside the loop: should systemd's timer not fire, backoff and holds end every so often.
 */
static void background(struct daemon *d, usec_t now)
{
	if (now < d->last_background + d->config->background_interval || !d->config->timers ||
	    is_offline(d))
		return;
	d->last_background = now;
	uploader_wake(d->uploader, false);
}

static void on_network_back(void *userdata)
{
	struct daemon *d = userdata;

	uploader_return(d->uploader);
}

/* A battery that runs empty while the machine sleeps would take the tail. */
static void on_before_sleep(void *userdata)
{
	struct daemon *d = userdata;

	told_commit(d, store_commit(d->store, now_of(d)));
}

static void on_after_sleep(void *userdata)
{
	struct daemon *d = userdata;

	store_heartbeat(d->store, now_of(d)); /* it was not hung */
	uploader_wake(d->uploader, false);
}

static int on_tick(sd_event_source *source, uint64_t at, void *userdata)
{
	struct daemon *d = userdata;
	usec_t now = now_of(d);
	int r;

	store_heartbeat(d->store, now);
	timekeeper_look(d->timekeeper, now);
	r = store_checkpoint(d->store);
	if (r != 0)
		log_event(LOG_ERR, CATALOG_STORE_TROUBLE, NULL, "Checkpoint: %s",
			  store_problem(d->store));
	prune(d, now);
	summarise(d, now);
	background(d, now);
	watch_lateness(d);
	cleaning_tick(d->cleaning, now);
	watch_damage(d);
	renew_look(d->renew);
	if (sd_event_source_set_time(source, now + TICK) < 0 ||
	    sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) < 0)
		log_error("The timer cannot be set");
	return 0;
}

/* --- control --- */

static void fill_snapshot(struct daemon *d, struct sink_state *sinks, size_t n_sinks,
			  struct snapshot *ret)
{
	for (size_t i = 0; i < n_sinks; i++)
		uploader_sink_state(d->uploader, i, &sinks[i]);
	*ret = (struct snapshot){
		.store = d->store,
		.config = d->config,
		.sinks = sinks,
		.n_sinks = n_sinks,
		.source_problem = collect_source_problem(d->collect),
		.bus_problem = control_problem(d->control),
		.identity_problem = renew_problem(d->renew),
		.events = d->events,
		.offline = is_offline(d),
		.running = true,
		.pid = getpid(),
		.now = now_of(d),
		.wall_us = clock_wall_usec(),
		.started_us = d->started,
		.clock = *timekeeper_clock(d->timekeeper),
		.clock_step_us = timekeeper_watch(d->timekeeper)->last_step_us,
		.clock_step_at = timekeeper_watch(d->timekeeper)->last_step_at,
		.clock_ever = timekeeper_watch(d->timekeeper)->ever,
	};
	ret->n_devices = collect_devices(d->collect, &ret->devices);
}

static int on_tables(void *userdata, const char *which, struct tables *ret)
{
	struct daemon *d = userdata;
	size_t n = uploader_sink_count(d->uploader);
	_cleanup_(freep) struct sink_state *sinks = calloc(n + 1, sizeof(*sinks));
	struct snapshot snapshot;

	if (!sinks)
		return -ENOMEM;
	fill_snapshot(d, sinks, n, &snapshot);
	return snapshot_tables(&snapshot, which, ret);
}

static struct store *on_store(void *userdata)
{
	struct daemon *d = userdata;

	return d->store;
}

static int on_sync(void *userdata, bool critical)
{
	struct daemon *d = userdata;

	if (critical) /* the timer asks as well, and what is confirmed need not wear the card for it */
		told_commit(d, store_commit(d->store, now_of(d)));
	d->last_background = now_of(d); /* it is what the timer asks for: not twice */
	uploader_wake(d->uploader, critical);
	return 0;
}

static int on_cleanup(void *userdata)
{
	struct daemon *d = userdata;

	return cleaning_start(d->cleaning);
}

static int on_reconcile(void *userdata, bool everything)
{
	struct daemon *d = userdata;

	uploader_reconcile(d->uploader, everything);
	return 0;
}

static int on_capture(void *userdata, int fd, const char *device)
{
	struct daemon *d = userdata;
	int r = capture_add(d->capture, fd, device);

	return r == CAPTURE_E_BUSY ? CONTROL_E_BUSY : r == CAPTURE_E_SOCKET ? CONTROL_E_SOCKET : r;
}

static int on_accept(void *userdata, const char *sink, bool *ret_changed)
{
	struct daemon *d = userdata;

	return uploader_accept(d->uploader, sink, ret_changed);
}

static int on_rewind(void *userdata, const struct control_rewind *wish, struct tables *ret,
		     char why[static 200])
{
	struct daemon *d = userdata;
	int r = rewinds_do(d->store, wish, now_of(d), ret, why);

	if (r == 0 && !wish->dry_run)
		uploader_wake(d->uploader, false);
	return r;
}

static const char *on_state(void *userdata)
{
	struct daemon *d = userdata;
	size_t n = uploader_sink_count(d->uploader);
	_cleanup_(freep) struct sink_state *sinks = calloc(n + 1, sizeof(*sinks));
	struct snapshot snapshot;

	if (!sinks)
		return "not_working";
	fill_snapshot(d, sinks, n, &snapshot);
	return snapshot_state(&snapshot);
}

/* --- start, stop, reload --- */

static int start_source(struct daemon *d)
{
	struct source_handler collect = collect_source(d->collect);
	struct source_handler handler = capture_tee(d->capture, &collect);

	d->source = source_free(d->source);
	return source_new(d->event, d->config, protocol_profiles(), &handler, &d->source);
}

static struct store_options store_options(const struct config *c, const char *machine)
{
	struct store_options o = opening_options(c, "daemon", machine);

	o.free_reserve = c->free_reserve;
	o.ballast = true;
	o.salvage = true;
	return o;
}

static int reload(struct daemon *d)
{
	struct config *fresh = NULL, *old = d->config;
	struct uploader *uploader = NULL;
	struct uploader_handler handler;
	struct store_options options;
	bool reconciling, everything;
	int r;

	if (load_config(d->config_path, &fresh) != 0) {
		log_warning("The config was not changed: the old one goes on");
		return 0;
	}
	if (!streq(fresh->state_dir, old->state_dir) ||
	    !streq(fresh->runtime_dir, old->runtime_dir))
		log_warning("state_dir and runtime_dir change at the next restart only");
	/* What is in flight is taken back, and cut again by the next one; a comparison begins anew. */
	reconciling = uploader_is_reconciling(d->uploader, &everything);
	d->uploader = uploader_free(d->uploader);
	r = uploader_new(d->event, d->store, fresh, UPLOADER_DAEMON, uploader_handler(d, &handler),
			 &uploader);
	if (r != 0) {
		config_free(fresh);
		return r < 0 ? r : -EIO;
	}
	d->uploader = uploader;
	d->config = fresh;
	if (reconciling)
		uploader_reconcile(d->uploader, everything);
	salvager_set_config(d->salvager, fresh);
	cleaning_set_config(d->cleaning, fresh);
	options = store_options(fresh, d->machine);
	store_set_options(d->store, &options);
	log_init(LOG_TARGET_AUTO, fresh->log_level);
	collect_set_config(d->collect, fresh);
	timekeeper_set_config(d->timekeeper, fresh);
	r = 0;
	if (source_differs(old, fresh))
		r = start_source(d);
	else
		source_set_config(d->source, fresh);
	config_free(old);
	log_event(LOG_NOTICE, CATALOG_CONFIG_APPLIED, NULL, "The new config is in force");
	return r;
}

static int on_stop_timer(sd_event_source *source, uint64_t at, void *userdata)
{
	struct daemon *d = userdata;

	(void)sd_event_exit(d->event, EXIT_SUCCESS); /* only fails when it is exiting */
	return 0;
}

/* What a server has without our knowing would go to it twice, if names are changed before the next start. */
static void stop(struct daemon *d)
{
	d->source = source_free(d->source);
	uploader_close(d->uploader);
	if (d->stop_timer || /* told twice: at once */
	    sd_event_add_time(d->event, &d->stop_timer, CLOCK_BOOTTIME, now_of(d) + STOP_WAIT,
			      USEC_PER_MSEC, on_stop_timer, d) < 0)
		(void)sd_event_exit(d->event, EXIT_SUCCESS); /* only fails when it is exiting */
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	struct daemon *d = userdata;
	int r;

	if (info->ssi_signo != SIGHUP) {
		stop(d);
		return 0;
	}
	if (d->stop_timer)
		return 0;
	(void)sd_notify(0, "RELOADING=1"); /* no systemd is fine */
	r = reload(d);
	(void)sd_notify(0, "READY=1");
	if (r < 0) {
		log_error("The new config cannot be applied: %s", strerror(-r));
		(void)sd_event_exit(d->event, EXIT_FAILURE); /* a fresh start can */
	}
	return 0;
}

static int add_timers(struct daemon *d)
{
	int r;

	r = sd_event_add_time(d->event, &d->commit_timer, CLOCK_BOOTTIME, 0, USEC_PER_MSEC,
			      on_commit_timer, d);
	if (r >= 0)
		r = sd_event_add_post(d->event, &d->after, on_after, d);
	if (r >= 0)
		r = sd_event_add_time(d->event, &d->tick, CLOCK_BOOTTIME, 0, USEC_PER_SEC, on_tick,
				      d);
	if (r >= 0)
		r = sd_event_source_set_priority(d->tick, SD_EVENT_PRIORITY_IDLE);
	if (r >= 0)
		r = sd_event_source_set_exit_on_failure(d->after, true);
	return r;
}

static int make_dir(const char *path)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST) {
		log_error("Cannot make %s: %s", path, strerror(errno));
		return -errno;
	}
	return 0;
}

/* Waits for whoever owns the store; a drain lets go within a second. */
static int open_store(struct daemon *d)
{
	const struct store_options o = store_options(d->config, d->machine);
	usec_t until = clock_boot_usec() + OWNER_WAIT;
	int r;

	while ((r = store_open(&o, clock_boot_usec(), &d->clock, &d->opening, &d->store)) ==
		       STORE_E_OWNED &&
	       clock_boot_usec() < until) {
		const struct timespec pause = {.tv_nsec = OWNER_RETRY * 1000};

		(void)store_want_owner(d->config->runtime_dir); /* then it takes longer */
		(void)sd_notify(0, "STATUS=Waiting for a drain to hand over");
		(void)nanosleep(&pause, NULL); /* woken early is fine */
	}
	return r;
}

static int say_opening_failed(const struct daemon *d, int r)
{
	struct owner_info owner;

	switch (r) {
	case STORE_E_OWNED:
		store_owner(d->config->state_dir, d->config->runtime_dir, &owner);
		log_event(LOG_ERR, CATALOG_OWNER_BUSY, NULL,
			  "Another vitald (%s, pid %d) owns %s and does not let go: see vitalctl "
			  "status",
			  owner.role[0] ? owner.role : "unknown", owner.pid, d->config->state_dir);
		return EXIT_BUSY;
	case STORE_E_NEWER:
	case STORE_E_CORRUPT: /* the new one as well: it is not the store, it is the card */
		log_event(LOG_ERR, CATALOG_STORE_TROUBLE, NULL, "%s; it was not touched",
			  d->opening.problem);
		return EXIT_STORE;
	default:
		log_event(LOG_ERR, CATALOG_STORE_TROUBLE, NULL, "Cannot open the store in %s: %s",
			  d->config->state_dir,
			  d->opening.problem[0] ? d->opening.problem : strerror(-r));
		return EXIT_FAILURE;
	}
}

/* Comforts: without them backoff and the background find out by themselves. */
static void watch_machine(struct daemon *d)
{
	const struct network_handler network = {.userdata = d, .back = on_network_back};
	const struct sleep_handler sleep = {.userdata = d,
					    .before = on_before_sleep,
					    .after = on_after_sleep};
	int r = network_new(d->event, &network, &d->network);

	if (r < 0)
		log_warning("The network cannot be watched: %s", strerror(-r));
	if (!d->config->system_bus)
		return;
	r = sleep_new(d->event, &sleep, &d->sleep);
	if (r < 0)
		log_warning("Sleep cannot be watched: %s", strerror(-r));
}

/* The rooms, in the order of the first comment. */
static int start_rooms(struct daemon *d)
{
	struct control_handler control = {.userdata = d,
					  .tables = on_tables,
					  .store = on_store,
					  .sync = on_sync,
					  .cleanup = on_cleanup,
					  .reconcile = on_reconcile,
					  .capture = on_capture,
					  .rewind = on_rewind,
					  .accept = on_accept,
					  .state = on_state};
	struct control_options options = {.runtime_dir = d->config->runtime_dir,
					  .system_bus = d->config->system_bus};
	struct timekeeper_handler clock = {.userdata = d, .kick = on_clock};
	struct collect_handler collect = {.userdata = d,
					  .admitting = on_admitting,
					  .admitted = on_admitted,
					  .fault = on_fault};
	enum gap_reason why = d->opening.tail == TAIL_LOST ? GAP_POWER_CUT : GAP_DAEMON_DOWN;
	struct salvager_handler salvager = {.userdata = d, .brought = on_brought};
	const struct renew_handler renew = {.userdata = d,
					    .renamed = on_renamed,
					    .moved = on_admitted,
					    .fault = on_fault};
	struct uploader_handler uploader;
	int r;

	r = events_open(d->config->runtime_dir, true, &d->events);
	if (r == 0)
		r = timekeeper_new(d->event, d->store, d->config, &d->clock, &clock,
				   &d->timekeeper);
	if (r == 0)
		r = collect_new(d->store, d->config, why, &collect, &d->collect);
	if (r == 0)
		r = renew_new(d->event, d->store, &renew, &d->renew);
	if (r == 0)
		r = uploader_new(d->event, d->store, d->config, UPLOADER_DAEMON,
				 uploader_handler(d, &uploader), &d->uploader);
	if (r == 0)
		r = salvager_new(d->event, d->store, d->config, &salvager, &d->salvager);
	if (r == 0)
		r = cleaning_new(d->event, d->store, d->config, &d->cleaning);
	if (r == 0)
		watch_machine(d);
	if (r == 0)
		r = capture_new(d->event, protocol_profiles(), &d->capture);
	if (r == 0)
		r = control_new(d->event, &options, &control, &d->control);
	if (r == 0)
		r = start_source(d);
	return r;
}

static int run(struct daemon *d)
{
	int r;

	(void)sd_event_set_watchdog(d->event, true); /* without systemd there is none */
	log_event(LOG_NOTICE, CATALOG_STARTED, NULL, "vitald %s started as %s", VITALD_VERSION,
		  d->config->gateway);
	(void)sd_notify(0, "READY=1\nSTATUS=Collecting"); /* without systemd nobody waits */
	r = sd_event_loop(d->event);
	(void)sd_notify(0, "STOPPING=1");
	d->source = source_free(d->source);
	d->uploader = uploader_free(d->uploader);
	summary_say(&d->summary);
	if (store_finish(d->store, clock_boot_usec()) != 0) {
		log_event(
			LOG_ERR, CATALOG_STORE_TROUBLE, NULL,
			"The last commit failed: %s; what it would have written stays in the tail",
			store_problem(d->store));
		return EXIT_FAILURE;
	}
	log_event(LOG_NOTICE, CATALOG_STOPPED, NULL, "vitald stopped, everything is committed");
	return r < 0 ? EXIT_FAILURE : r;
}

static int start_and_run(struct daemon *d)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
	int r;

	if (load_config(d->config_path, &d->config) != 0)
		return EXIT_CONFIG;
	log_init(LOG_TARGET_AUTO, d->config->log_level);
	if (make_dir(d->config->state_dir) < 0 || make_dir(d->config->runtime_dir) < 0)
		return EXIT_FAILURE;
	d->started = clock_boot_usec();
	d->last_summary = d->last_background = d->started;
	d->clock = clock_read(d->config->trust_clock);
	r = sd_event_new(&d->event);
	if (r >= 0)
		r = signals_watch(d->event, signals, ARRAY_SIZE(signals), on_signal, d);
	if (r < 0) {
		log_error("Cannot make the event loop: %s", strerror(-r));
		return EXIT_FAILURE;
	}
	machine_read("", d->machine);
	r = open_store(d);
	if (r != 0)
		return say_opening_failed(d, r);
	opening_say(&d->opening, d->config);
	r = start_rooms(d);
	if (r == 0)
		r = add_timers(d) < 0 ? -ENOMEM : 0;
	if (r != 0) {
		log_error("Cannot start: %s", r < 0 ? strerror(-r) : store_problem(d->store));
		return EXIT_FAILURE;
	}
	return run(d);
}

int daemon_main(const char *config_path)
{
	struct daemon d = {.config_path = config_path};
	int status = start_and_run(&d);

	daemon_done(&d);
	return status;
}
