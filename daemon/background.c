/*
 * The frame of the three commands. Who owns the store decides what is done:
 *
 *    nobody                         -> become the owner, recover the tail, do the duty, hand over
 *                                      when a daemon asks
 *    a daemon that answers          -> ask it to do the duty (background_ask.c)
 *    one that does not              -> read only: drain and reconcile send what can be read and
 *                                      write nothing; cleanup does nothing
 *    another command of these       -> leave it to that one
 *
 * Before that cleanup looks the file over, beside whoever owns it (background_cleanup.c).
 *
 * In the third case the cursors are moved in memory and never written: the daemon, when it wakes,
 * sends the same records again, and the server knows them by (stream, seq).
 *
 * SIGTERM ends it between two answers: a request under way is cancelled and its batch stays owed.
 * Without a network nothing is attempted, and so no attempt is counted; but an owner has recovered
 * the tail by then, which a power cut could otherwise take from a daemon that is dead.
 */
#include "background.h"

#include "daemon.h"
#include "model/catalog.h"
#include "model/config.h"
#include "network.h"
#include "opening.h"
#include "util/become.h"
#include "util/log.h"
#include "util/machine.h"
#include "util/reach.h"
#include "util/signals.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define HEARTBEAT_OLD (30 * USEC_PER_SEC) /* an owner this silent is hung */
#define ASK_PATIENCE  (5 * USEC_PER_SEC)
#define HUNG_PATIENCE USEC_PER_SEC
#define LOOK_AROUND   (200 * USEC_PER_MSEC) /* does a daemon want the store? */

void background_end(struct background *b, const char *problem)
{
	(void)snprintf(b->problem, sizeof(b->problem), "%s", problem ? problem : "");
	(void)sd_event_exit(b->event, 0); /* only fails when it is exiting */
}

void background_count(struct background *b)
{
	(void)snprintf(b->progress, sizeof(b->progress), "%llu of %llu records",
		       (unsigned long long)b->done, (unsigned long long)b->todo);
}

void background_show(const struct background *b)
{
	if (b->terminal)
		(void)fprintf(stderr, "\r%s: %s\033[K", b->duty->name, b->progress);
}

void background_hide(const struct background *b)
{
	if (b->terminal)
		(void)fputs("\r\033[K", stderr); /* a terminal that went away is no trouble */
}

static void stop(struct background *b, const char *why)
{
	b->stopped = true;
	background_end(b, why);
}

static void keep_owning(struct background *b, usec_t now)
{
	store_heartbeat(b->store, now);
	if (store_commit_due(b->store) <= now)
		(void)store_commit(b->store, now); /* tried again; the last one is told */
	if (store_owner_wanted(b->store))
		stop(b, "a daemon wants the store");
}

static int on_look_around(sd_event_source *source, uint64_t at, void *userdata)
{
	struct background *b = userdata;
	usec_t now = clock_boot_usec();

	if (b->owner)
		keep_owning(b, now);
	b->duty->measure(b);
	background_show(b);
	if (sd_event_source_set_time(source, now + LOOK_AROUND) < 0 ||
	    sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) < 0)
		log_error("The timer cannot be set");
	return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	stop(userdata, "it was told to stop");
	return 0;
}

static int prepare_loop(struct background *b)
{
	static const int signals[] = {SIGTERM, SIGINT};
	int r;

	r = sd_event_new(&b->event);
	if (r >= 0)
		r = signals_watch(b->event, signals, ARRAY_SIZE(signals), on_signal, b);
	if (r >= 0)
		r = sd_event_add_time(b->event, NULL, CLOCK_BOOTTIME, 0, USEC_PER_MSEC,
				      on_look_around, b);
	return r < 0 ? r : 0;
}

static int work(struct background *b)
{
	int r = prepare_loop(b);

	if (r < 0) {
		log_error("Cannot make the event loop: %s", strerror(-r));
		return EXIT_FAILURE;
	}
	r = b->duty->begin(b);
	if (r == 0)
		r = sd_event_loop(b->event);
	b->duty->measure(b);
	background_hide(b);
	b->duty->end(b);
	if (r != 0) {
		log_error("Cannot %s: %s", b->duty->verb,
			  r < 0 ? strerror(-r) : store_problem(b->store));
		return EXIT_FAILURE;
	}
	return b->duty->summarise(b);
}

static bool is_offline(const struct background *b)
{
	struct reach reach;

	if (!b->duty->online || !network_needed(b->config))
		return false;
	reach_look(&reach);
	return !reach.usable;
}

static int stay_offline(const struct background *b)
{
	log_info("This machine has no network: nothing to %s with", b->duty->verb);
	return EXIT_SUCCESS;
}

/*
 * What was heard before the clock was right waits for its wall time. With a daemon that is dead
 * nobody else is there to give it; a clock that was not synchronised clock_wait after the boot is
 * taken as it is, like the daemon does.
 */
static void resolve_clock(const struct background *b, const struct clock_state *clock, usec_t now)
{
	enum clk clk = clock->synchronised ? CLK_UTC : CLK_EST;

	if (!clock->synchronised && now < b->config->clock_wait)
		return;
	if (store_resolve_clock(b->store, clk, now, clock->offset_us) != 0)
		log_event(LOG_ERR, CATALOG_STORE_TROUBLE, NULL, "Cannot write a clock segment: %s",
			  store_problem(b->store));
}

static int as_owner(struct background *b, const struct clock_state *clock)
{
	char why[256];
	int status;

	b->owner = true;
	resolve_clock(b, clock, clock_boot_usec());
	status = is_offline(b) ? stay_offline(b) : work(b);
	if (store_finish(b->store, clock_boot_usec()) != 0) {
		log_event(LOG_ERR, CATALOG_STORE_TROUBLE, NULL, "The last commit failed: %s",
			  store_problem(b->store));
		status = EXIT_FAILURE;
	}
	if (store_is_damaged(b->store, why) && store_condemn(b->store) == 0)
		log_event(LOG_ERR, CATALOG_STORE_DAMAGED, NULL,
			  "The store in %s is damaged: %s; vitald sets it aside when it starts",
			  b->config->state_dir, why);
	return status;
}

static int beside_hung(struct background *b, const struct owner_info *owner, usec_t silent)
{
	int r;

	log_event(LOG_WARNING, CATALOG_OWNER_BUSY, NULL,
		  "The %s (pid %d) owns the store and does not answer; its last sign of life was "
		  "%llu s ago: %s",
		  owner->role, owner->pid, (unsigned long long)(silent / USEC_PER_SEC),
		  b->duty->beside_hung ? "sending what can be read" : "nothing is done beside it");
	if (!b->duty->beside_hung)
		return EXIT_BUSY;
	r = store_look(b->config->state_dir, b->config->runtime_dir, &b->store);
	if (r != 0) {
		log_error("The owner is hung and its store cannot be read (%d)", r);
		return EXIT_FAILURE;
	}
	return work(b);
}

/* Another command of the background, which is at work. */
static int leave_it(const struct background *b, const struct owner_info *owner)
{
	bool same = streq(owner->role, b->duty->name);

	if (same)
		log_info("Another %s (pid %d) is at work", owner->role, owner->pid);
	else
		log_info("A %s (pid %d) is at work: try again when it has ended", owner->role,
			 owner->pid);
	return same ? EXIT_SUCCESS : EXIT_BUSY;
}

static int beside_owner(struct background *b)
{
	struct owner_info owner;
	usec_t now = clock_boot_usec(), silent;
	int r;

	store_owner(b->config->state_dir, b->config->runtime_dir, &owner);
	silent = now - MIN(owner.heartbeat_us, now);
	if (silent <= HEARTBEAT_OLD && !streq(owner.role, "daemon"))
		return leave_it(b, &owner);
	if (is_offline(b))
		return stay_offline(b);
	/* Also one whose heart is old: the machine may have slept, and the two wake together. */
	r = background_ask(b, &owner, silent <= HEARTBEAT_OLD ? ASK_PATIENCE : HUNG_PATIENCE);
	return r != -ASK_E_SILENT ? r : beside_hung(b, &owner, silent);
}

static int run(struct background *b)
{
	char machine[MACHINE_SIZE];
	const struct store_options o = opening_options(b->config, b->duty->name, machine);
	const struct clock_state clock = clock_read(b->config->trust_clock);
	struct store_opening opening = {0};
	int r;

	if (b->by_timer && !b->config->timers) {
		log_info("[features] timers = no: the timer does nothing here");
		return EXIT_SUCCESS;
	}
	if (b->by_timer && b->duty == &duty_reconcile && !b->config->reconcile) {
		log_info("[features] reconcile = no: the timer does nothing here");
		return EXIT_SUCCESS;
	}
	if (access(b->config->state_dir, F_OK) < 0 || access(b->config->runtime_dir, F_OK) < 0) {
		log_info("There is no store at %s yet: nothing to %s", b->config->state_dir,
			 b->duty->verb);
		return EXIT_SUCCESS;
	}
	r = become_owner_of(b->config->state_dir);
	if (r < 0) {
		log_error("Cannot become the owner of %s: %s", b->config->state_dir, strerror(-r));
		return EXIT_FAILURE;
	}
	r = b->duty->look_over ? b->duty->look_over(b) : EXIT_SUCCESS;
	if (r != EXIT_SUCCESS)
		return r;
	machine_read("", machine);
	r = store_open(&o, clock_boot_usec(), &clock, &opening, &b->store);
	if (r == STORE_E_OWNED)
		return beside_owner(b);
	if (r != 0) {
		log_event(LOG_ERR, CATALOG_STORE_TROUBLE, NULL, "Cannot open the store in %s: %s",
			  b->config->state_dir,
			  opening.problem[0] ? opening.problem : strerror(-r));
		return r > 0 ? EXIT_STORE : EXIT_FAILURE;
	}
	if (opening.tail ==
	    TAIL_LOST) /* the store remembers it for the daemon, who writes the gap */
		opening.tail = TAIL_NONE;
	opening_say(&opening, b->config);
	return as_owner(b, &clock);
}

int background_main(const struct duty *duty, const char *config_path, bool by_timer)
{
	struct background b = {.duty = duty, .by_timer = by_timer};
	struct config *config = NULL;
	int status;

	if (load_config(config_path, &config) != 0)
		return EXIT_CONFIG;
	log_init(LOG_TARGET_AUTO, config->log_level);
	b.config = config;
	b.terminal = !by_timer && isatty(STDERR_FILENO) == 1;
	status = run(&b);
	b.store = store_close(b.store);
	sd_event_unref(b.event);
	config_free(config);
	return status;
}
