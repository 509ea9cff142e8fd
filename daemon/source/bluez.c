/*
 * Wearables, by way of bluetoothd: one connection to the system bus, and everything on it without
 * waiting.
 *
 *	no bus -- connect --> ASKING -- GetManagedObjects --> READY -- bluetoothd gone --> ASKING
 *	  ^                     | no answer: again, later (the call starts bluetoothd)       |
 *	  +------ the bus went away: everything is lost ------------------------------------+
 *
 *	READY:  objects (bluez_objects.c)  what bluetoothd tells of, kept up to date by its signals
 *	        radios  (bluez_radio.c)    one for each adapter that the owner lets us use
 *	        wearables (bluez_wearable.c) one for each that is configured or may be enrolled
 *
 * Whatever happens only changes what is known and wakes think(), which is called once a turn of the
 * loop and decides everything: who is looked for, who connects next, whether to scan, what to tell.
 * So there is one place to read, and no callback frees what stands on the stack.
 *
 * Who connects next: configured ones first, then those that were heard a moment ago, then who failed
 * least, then who has waited longest. One that refuses goes behind all others by that.
 */
#include "model/catalog.h"
#include "source/bluez_agent.h"
#include "source/bluez_call.h"
#include "source/bluez_radio.h"
#include "source/bluez_wearable.h"
#include "util/backoff.h"
#include "util/clock.h"
#include "util/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define MANAGER	       "org.freedesktop.DBus.ObjectManager"
#define ASK_TIMEOUT    (30 * USEC_PER_SEC) /* D-Bus gives a service 25 s to start */
#define READ_TIMEOUT   (5 * USEC_PER_SEC)  /* one that runs has nothing to do first */
#define RETRY_MIN      (250 * USEC_PER_MSEC)
#define RETRY_MAX      (15 * USEC_PER_SEC)
#define ENROLL_FIRST   (120 * USEC_PER_SEC)
#define ENROLL_EVERY   (60 * USEC_PER_SEC)
#define ENROLL_SPAN    (10 * USEC_PER_SEC)
#define MISSED_SPAN    (600 * USEC_PER_SEC) /* an enrolled one is looked for so long */
#define SUSPECT_SILENT (6 * USEC_PER_SEC)
#define SUSPECT_SPAN   (60 * USEC_PER_SEC)
#define PROBLEM_GRACE  (3 * USEC_PER_SEC)
#define LISTEN_FIRST   (4 * USEC_PER_SEC) /* for who is named, before a stranger's turn */
#define PARTING	       (800 * USEC_PER_MSEC)

enum { CLAIMS_MAX = 3 }; /* failures of who is named, until strangers keep their links */

enum { WEARABLES_MAX = 64, RADIOS_MAX = OBJECTS_ADAPTERS_MAX };

enum phase { PHASE_NO_BUS, PHASE_ASKING, PHASE_READY };

struct bluez {
	struct source source;
	sd_event *event;
	const struct config *config;
	struct profiles profiles;
	struct source_handler handler;
	usec_t started;

	sd_bus *bus;
	enum phase phase;
	char owner[64]; /* unique name of bluetoothd; "": there is none */
	sd_bus_slot *ask;
	struct agent *agent;
	struct objects *objects;
	struct radio *radios[RADIOS_MAX];
	struct wearable *wearables;
	size_t n_wearables;
	struct ladder_daemon ladder;

	sd_event_source *timer;
	struct backoff backoff;
	usec_t retry;	      /* of the bus, or of asking; USEC_INFINITY: not */
	bool exhausted;	      /* the bus takes no more calls from this connection */
	usec_t trouble_since; /* 0: there is none */
	bool told, told_fine;
	char problem[240], told_problem[240];
	char full[48]; /* why somebody has to wait */
};

/* --- small things ------------------------------------------------------------------------------ */

/* The timer exists and takes any time: setting it cannot fail. */
static void wake_at(struct bluez *b, usec_t when)
{
	(void)sd_event_source_set_time(b->timer, when);
	(void)sd_event_source_set_enabled(b->timer, SD_EVENT_ONESHOT);
}

static void wake(void *userdata)
{
	wake_at(userdata, 0);
}

static struct wearable *find_wearable(struct bluez *b, const char *address)
{
	for (struct wearable *w = b->wearables; w; w = w->next)
		if (streq(w->address, address))
			return w;
	return NULL;
}

static struct radio *find_radio(struct bluez *b, const char *path)
{
	for (size_t i = 0; i < RADIOS_MAX; i++)
		if (b->radios[i] && streq(radio_path(b->radios[i]), path))
			return b->radios[i];
	return NULL;
}

/* The radio that an object of a device belongs to, or NULL. */
static struct radio *radio_of(struct bluez *b, const char *path)
{
	for (size_t i = 0; i < RADIOS_MAX; i++) {
		size_t n = b->radios[i] ? strlen(radio_path(b->radios[i])) : 0;

		if (n > 0 && strncmp(path, radio_path(b->radios[i]), n) == 0 && path[n] == '/')
			return b->radios[i];
	}
	return NULL;
}

/* Why a link ended, as well as it can be known: bluez before 5.83 tells no reasons. */
static enum gap_reason reason_of(struct bluez *b, const struct objects_device *d)
{
	const struct objects_adapter *a = objects_adapter_of(b->objects, d);

	return a && a->powered ? GAP_LINK_LOSS : GAP_ADAPTER;
}

static bool keep_object(void *userdata, const char *address)
{
	struct bluez *b = userdata;

	return config_device_find(b->config, address) || find_wearable(b, address);
}

/* --- the ladder -------------------------------------------------------------------------------- */

/* A file is all that may be done without being root: vitald-recover.path sees it. */
static void ask_restart(struct bluez *b, const char *why, usec_t now)
{
	_cleanup_(freep) char *path = NULL;
	int fd;

	ladder_daemon_restarted(&b->ladder, now);
	if (asprintf(&path, "%s/recover", b->config->runtime_dir) < 0) {
		path = NULL;
		return;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0)
		(void)close(fd); /* it is there, and has no content */
	log_event(LOG_WARNING, CATALOG_RESTART_ASKED, NULL,
		  "bluetoothd has to be restarted: %s; %s", why,
		  fd >= 0 ? "vitald-recover.path does it, if it is enabled"
			  : "and the request could not be written");
	for (struct wearable *w = b->wearables; w; w = w->next)
		w->rungs[RUNG_RESTART] += w->configured;
}

static void on_radio_answered(void *userdata, bool yes)
{
	struct bluez *b = userdata;

	if (yes)
		ladder_daemon_answered(&b->ladder);
	else
		ladder_daemon_unanswered(&b->ladder);
	wake(b);
}

static void on_radio_rung(void *userdata, const char *adapter, enum rung rung, const char *why)
{
	struct bluez *b = userdata;
	usec_t now = clock_boot_usec();

	if (rung == RUNG_RESTART && ladder_daemon_restart_due(&b->ladder, true, now))
		ask_restart(b, "power cycles of the adapter did not help", now);
	log_event(LOG_WARNING, CATALOG_ADAPTER_CYCLED, NULL, "%s is switched off and on: %s",
		  adapter, why);
	for (struct wearable *w = b->wearables; w; w = w->next)
		w->rungs[RUNG_POWER_CYCLE] += streq(w->adapter, adapter);
}

static void on_heard(void *userdata, const char *path)
{
	struct radio *r = radio_of(userdata, path);

	if (r)
		ladder_adapter_heard(radio_ladder(r), clock_boot_usec());
}

static usec_t on_alive(void *userdata, const char *path)
{
	struct radio *r = radio_of(userdata, path);

	return r ? radio_ladder(r)->alive : 0;
}

static void on_stuck(void *userdata, const char *path)
{
	struct radio *r = radio_of(userdata, path);

	if (r)
		ladder_adapter_stuck(radio_ladder(r));
}

/* --- wearables --------------------------------------------------------------------------------- */

static bool takes_adapter(const struct bluez *b, const struct objects_adapter *a)
{
	const char *wanted = b->config->adapter;

	return !wanted || !*wanted || streq(wanted, objects_adapter_name(a)) ||
	       streq(wanted, a->address);
}

static void forget(struct bluez *b, struct wearable **p)
{
	_cleanup_(wearable_freep) struct wearable *w = *p;

	*p = w->next;
	b->n_wearables--;
	wearable_tell_ended(w);
	if (b->handler.forgotten)
		b->handler.forgotten(b->handler.userdata, w->address);
}

/* Who gives way when all places are taken, first to last. */
enum rank { RANK_HIDES, RANK_AWAY, RANK_NEAR, RANK_KEPT };

static enum rank rank_of(const struct wearable *w)
{
	if (w->configured || w->ended || device_has_link(&w->device))
		return RANK_KEPT;
	if (w->hides)
		return RANK_HIDES;
	return !w->object && w->there_once ? RANK_AWAY : RANK_NEAR;
}

/* Strangers are many, change their addresses, and must not keep out who is worn, or named. */
static bool make_place(struct bluez *b, enum rank rank)
{
	struct wearable **least = NULL;

	if (b->n_wearables < WEARABLES_MAX)
		return true;
	for (struct wearable **p = &b->wearables; *p; p = &(*p)->next)
		if (rank_of(*p) < rank &&
		    (!least || rank_of(*p) < rank_of(*least) ||
		     (rank_of(*p) == rank_of(*least) && (*p)->tried < (*least)->tried)))
			least = p;
	if (least)
		forget(b, least);
	return least != NULL;
}

/* NULL in *ret: there is no place for it. */
static int make_wearable(struct bluez *b, const char *address, enum rank rank,
			 struct wearable **ret)
{
	const struct wearable_handler handler = {.userdata = b,
						 .wake = wake,
						 .heard = on_heard,
						 .alive = on_alive,
						 .stuck = on_stuck,
						 .source = b->handler};
	struct wearable *w = NULL;
	int r;

	*ret = find_wearable(b, address);
	if (*ret || !make_place(b, rank))
		return 0;
	r = wearable_new(b->event, b->bus, b->profiles, address, &handler, &w);
	if (r < 0)
		return r;
	w->next = b->wearables;
	b->wearables = w;
	b->n_wearables++;
	w->configured = rank == RANK_KEPT;
	w->hides = rank == RANK_HIDES;
	*ret = w;
	return 0;
}

static uint64_t enrolling_services(const struct bluez *b)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < b->profiles.n && i < 64; i++)
		if (b->profiles.list[i]->enrolls)
			mask |= UINT64_C(1) << i;
	return mask;
}

/* Everybody that the config names, and everybody in reach that may be enrolled. */
static int meet(struct bluez *b)
{
	uint64_t enrolls = enrolling_services(b);
	struct wearable *w;
	bool hides;
	int r = 0;

	for (size_t i = 0; i < b->config->n_devices && r >= 0; i++)
		r = make_wearable(b, b->config->devices[i].address, RANK_KEPT, &w);
	if (!b->config->auto_enroll)
		return r;
	for (struct objects_device *d = objects_devices(b->objects); d && r >= 0; d = d->next) {
		if (!d->known || !(d->offers & enrolls) || (d->rssi == 0 && !d->connected))
			continue;
		hides = objects_device_hides(d) && !config_device_find(b->config, d->address);
		r = make_wearable(b, d->address, hides ? RANK_HIDES : RANK_NEAR, &w);
		if (r >= 0 && w)
			w->hides = hides;
	}
	return r;
}

/* It hangs on an adapter that there is, and that the owner lets us use (still). */
static bool is_usable(struct bluez *b, const struct objects_device *d)
{
	const struct objects_adapter *a = d ? objects_adapter_of(b->objects, d) : NULL;

	return a && takes_adapter(b, a) && radio_of(b, d->path);
}

static void take_config(struct bluez *b, struct wearable *w, usec_t now)
{
	const struct config_device *c = config_device_find(b->config, w->address);
	unsigned wanted = 0;

	w->configured = c != NULL;
	if (c)
		w->hides = false;
	w->yields = w->yields && w->device.state != DEVICE_IDLE && !c;
	if (!w->hides && !w->yields && (w->device.state == DEVICE_IDLE || is_usable(b, w->object)))
		wanted = source_wanted(b->config, w->address);
	wearable_set_wanted(w, wanted, c ? c->pair : CONFIG_PAIR_AUTO, now);
}

/* Who is neither named nor enrolled any more goes, once its link is down. */
static void part(struct bluez *b, usec_t now)
{
	for (struct wearable **p = &b->wearables; *p;) {
		struct wearable *w = *p;

		take_config(b, w, now);
		if (!w->configured && w->device.state == DEVICE_IDLE &&
		    (!b->config->auto_enroll || (!w->object && !w->there_once)))
			forget(b, p);
		else
			p = &w->next;
	}
}

/* Of the objects of one wearable, on several adapters: the connected, or the best heard. */
static struct objects_device *best_object(struct bluez *b, const struct wearable *w)
{
	struct objects_device *best = NULL;

	for (struct objects_device *d = objects_devices(b->objects); d; d = d->next) {
		if (!d->known || !streq(d->address, w->address) || !is_usable(b, d))
			continue;
		if (!best || d->connected > best->connected ||
		    (d->connected == best->connected && d->rssi != 0 &&
		     (best->rssi == 0 || d->rssi > best->rssi)))
			best = d;
	}
	return best;
}

static void take_objects(struct bluez *b, usec_t now)
{
	for (struct wearable *w = b->wearables; w; w = w->next) {
		struct objects_device *d;

		if (w->object && (w->device.state != DEVICE_IDLE || w->object->connected))
			continue;
		d = best_object(b, w);
		if (d != w->object)
			wearable_set_object(w, d, GAP_LINK_LOSS, now);
		if (d && d->rssi != 0 && w->device.ladder.seen == 0)
			ladder_link_seen(&w->device.ladder, now);
	}
}

/* --- turns ------------------------------------------------------------------------------------- */

static unsigned links_of(struct bluez *b, const struct radio *r)
{
	unsigned n = 0;

	for (struct objects_device *d = objects_devices(b->objects); d; d = d->next)
		n += d->connected && radio_of(b, d->path) == r;
	return n;
}

/* Something of this kind is under way, and only one may be. */
static bool is_connecting(struct bluez *b, const struct radio *r)
{
	for (const struct wearable *w = b->wearables; w; w = w->next) {
		if (!w->object || radio_of(b, w->object->path) != r)
			continue;
		if (w->device.state == DEVICE_CONNECTING ||
		    (w->device.state == DEVICE_DROPPING && !w->device.connected))
			return true;
	}
	return false;
}

static bool goes_before(const struct wearable *a, const struct wearable *b, usec_t now)
{
	bool a_near = ladder_link_near(&a->device.ladder, now);
	bool b_near = ladder_link_near(&b->device.ladder, now);

	if (a->configured != b->configured)
		return a->configured;
	if (a_near != b_near)
		return a_near;
	if (a->device.ladder.failures != b->device.ladder.failures)
		return a->device.ladder.failures < b->device.ladder.failures;
	return a->tried < b->tried;
}

static bool is_candidate(struct bluez *b, const struct wearable *w, const struct radio *r)
{
	return w->wanted && w->device.state == DEVICE_IDLE && w->object && !w->object->connected &&
	       !w->object->blocked && radio_of(b, w->object->path) == r;
}

static struct wearable *next_turn(struct bluez *b, const struct radio *r, usec_t now)
{
	struct wearable *next = NULL;

	for (struct wearable *w = b->wearables; w; w = w->next)
		if (is_candidate(b, w, r) && ladder_link_due(&w->device.ladder, now) <= now &&
		    (!next || goes_before(w, next, now)))
			next = w;
	return next;
}

/* Links that are up already, whoever made them, are ours if they are wanted. */
static void adopt(struct bluez *b, usec_t now)
{
	for (struct wearable *w = b->wearables; w; w = w->next)
		if (w->wanted && w->device.state == DEVICE_IDLE && w->object &&
		    w->object->connected && w->device.ladder.not_before <= now)
			wearable_start(w, now);
}

/* Is anybody missed who could be found by scanning? */
static bool is_missed(const struct bluez *b, const struct wearable *w, usec_t now)
{
	if (!w->wanted || w->device.state != DEVICE_IDLE)
		return false;
	return w->configured ||
	       (w->device.ladder.lost > 0 && now < w->device.ladder.lost + MISSED_SPAN);
}

/* ... and is not known by any advertisement of late? */
static bool is_unknown_missed(struct bluez *b, usec_t now)
{
	for (const struct wearable *w = b->wearables; w; w = w->next)
		if (w->configured && is_missed(b, w, now) &&
		    !ladder_link_near(&w->device.ladder, now))
			return true;
	return false;
}

static bool enroll_window(const struct bluez *b, usec_t now)
{
	usec_t age = now - b->started;

	return b->config->auto_enroll && (age < ENROLL_FIRST || age % ENROLL_EVERY < ENROLL_SPAN);
}

/*
 * All who should speak over this radio have been silent for a while: whether it still answers shows
 * when it is asked to scan.
 */
static bool is_suspect(struct bluez *b, struct radio *r, usec_t now)
{
	const struct ladder_adapter *l = radio_ladder(r);

	return l->stuck || l->owed ||
	       (l->heard > 0 && now < l->heard + SUSPECT_SPAN && now > l->alive + SUSPECT_SILENT &&
		links_of(b, r) > 0);
}

static bool proof_wanted(struct bluez *b, const struct radio *r)
{
	for (const struct wearable *w = b->wearables; w; w = w->next)
		if (wearable_wants_proof(w) && radio_of(b, w->object->path) == r)
			return true;
	return false;
}

/* Somebody who has a link over this radio, and whom nobody has named. */
static struct wearable *stranger_up(struct bluez *b, const struct radio *r)
{
	for (struct wearable *w = b->wearables; w; w = w->next)
		if (!w->configured && w->device.state == DEVICE_UP && w->object &&
		    radio_of(b, w->object->path) == r)
			return w;
	return NULL;
}

static bool is_named_missed(const struct bluez *b, usec_t now)
{
	for (const struct wearable *w = b->wearables; w; w = w->next)
		if (w->configured && is_missed(b, w, now))
			return true;
	return false;
}

/* All links are in use, and `next` is named and there: a stranger's is to be had, one at a time. */
static void claim_link(struct bluez *b, const struct radio *r, const struct wearable *next)
{
	struct wearable *stranger = stranger_up(b, r);

	for (const struct wearable *w = b->wearables; w; w = w->next)
		if (w->yields)
			return;
	if (!next->configured || next->device.ladder.failures >= CLAIMS_MAX || !stranger)
		return;
	stranger->yields = true;
	wake(b);
}

static bool scan_wanted(struct bluez *b, struct radio *r, unsigned links, usec_t now)
{
	if (is_suspect(b, r, now))
		return true;
	if (links >= b->config->max_links && !(stranger_up(b, r) && is_named_missed(b, now)))
		return false;
	for (const struct wearable *w = b->wearables; w; w = w->next)
		if (is_missed(b, w, now))
			return true;
	return enroll_window(b, now);
}

static void say_waiting(struct bluez *b, const struct radio *r, bool full, usec_t now)
{
	for (struct wearable *w = b->wearables; w; w = w->next)
		if (is_candidate(b, w, r))
			w->waits =
				full && ladder_link_near(&w->device.ladder, now) ? b->full : NULL;
}

static void give_turns(struct bluez *b, struct radio *r, usec_t now)
{
	unsigned links = links_of(b, r);
	bool full = links >= b->config->max_links;
	struct wearable *next =
		!radio_ready(r) || is_connecting(b, r) ? NULL : next_turn(b, r, now);

	if (full && next)
		claim_link(b, r, next);
	/* a scan that ends with the first stranger it hears would find nobody else */
	if (full || (next && !next->configured && is_named_missed(b, now) &&
		     radio_listened(r, now) < LISTEN_FIRST))
		next = NULL;

	(void)snprintf(b->full, sizeof(b->full), "%llu links of %llu are in use",
		       (unsigned long long)b->config->max_links,
		       (unsigned long long)b->config->max_links);
	say_waiting(b, r, full, now);
	radio_want_scan(r, !next && !is_connecting(b, r) && scan_wanted(b, r, links, now),
			is_unknown_missed(b, now));
	if (proof_wanted(b, r))
		radio_want_proof(r, now);
	radio_tick(r, now);
	if (next && radio_ready(r) && !radio_scanning(r)) {
		radio_listen_anew(r);
		wearable_start(next, now);
	}
}

/* --- what is told ------------------------------------------------------------------------------ */

static const char *problem_of(struct bluez *b)
{
	const char *problem = NULL;
	bool any = false;

	if (b->phase != PHASE_READY)
		return b->problem[0] ? b->problem : NULL;
	for (size_t i = 0; i < RADIOS_MAX; i++) {
		if (!b->radios[i])
			continue;
		any = true;
		if (radio_ready(b->radios[i]))
			return NULL;
		problem = radio_problem(b->radios[i]);
	}
	if (any)
		return problem;
	return b->config->adapter && *b->config->adapter
		       ? "the adapter that [bluetooth] names is not there: see `bluetoothctl list`"
		       : "there is no Bluetooth adapter: plug one in, or see `sudo dmesg` for why "
			 "it "
			 "is not found";
}

/* A problem that is over within PROBLEM_GRACE, as a restart of bluetoothd is, is none. */
static void tell_state(struct bluez *b, usec_t now)
{
	const char *problem = problem_of(b);
	bool fine = !problem && b->phase == PHASE_READY;

	b->trouble_since = fine ? 0 : b->trouble_since ? b->trouble_since : now;
	if (!fine && (!problem || now < b->trouble_since + PROBLEM_GRACE))
		return;
	if (b->told && fine == b->told_fine && streq(b->told_problem, problem ? problem : ""))
		return;
	b->told = true;
	b->told_fine = fine;
	(void)snprintf(b->told_problem, sizeof(b->told_problem), "%s", problem ? problem : "");
	b->handler.state(b->handler.userdata, problem);
}

/* --- coming and going of bluetoothd ------------------------------------------------------------ */

static void lose_all(struct bluez *b, enum gap_reason why, usec_t now)
{
	for (struct wearable *w = b->wearables; w; w = w->next) {
		wearable_blame(w, why);
		wearable_set_object(w, NULL, why, now);
	}
	for (size_t i = 0; i < RADIOS_MAX; i++)
		b->radios[i] = radio_free(b->radios[i]);
	objects_clear(b->objects);
	b->owner[0] = '\0';
}

static void retry_later(struct bluez *b, usec_t now)
{
	b->retry = now + backoff_next(&b->backoff);
	wake(b);
}

static void lose_daemon(struct bluez *b, const char *problem, usec_t now)
{
	lose_all(b, GAP_BLUETOOTHD, now);
	b->ask = sd_bus_slot_unref(b->ask);
	b->phase = PHASE_ASKING;
	(void)snprintf(b->problem, sizeof(b->problem), "%s", problem);
	retry_later(b, now);
}

static void problem_of_asking(struct bluez *b, sd_bus_message *m)
{
	const char *text = bluez_error_text(m);

	switch (bluez_error(m, NULL)) {
	case BLUEZ_DENIED:
		(void)snprintf(
			b->problem, sizeof(b->problem),
			"the system bus does not let us talk to bluetoothd: add this user to "
			"the group bluetooth, and restart vitald");
		break;
	case BLUEZ_TIMEOUT:
		(void)snprintf(
			b->problem, sizeof(b->problem),
			"bluetoothd does not answer: `sudo systemctl restart bluetooth`, or "
			"`sudo systemctl enable --now vitald-recover.path` to have that done");
		break;
	default:
		(void)snprintf(
			b->problem, sizeof(b->problem),
			"there is no bluetoothd (%.60s): is the package bluez installed? See "
			"`systemctl status bluetooth`",
			text);
	}
}

static int on_objects(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bluez *b = userdata;
	usec_t now = clock_boot_usec();
	const char *owner = sd_bus_message_get_sender(m);
	int r;

	b->ask = sd_bus_slot_unref(b->ask);
	if (bluez_error(m, NULL) != BLUEZ_OK) {
		if (bluez_error(m, NULL) == BLUEZ_TIMEOUT)
			ladder_daemon_unanswered(&b->ladder);
		problem_of_asking(b, m);
		retry_later(b, now);
		return 0;
	}
	ladder_daemon_answered(&b->ladder);
	(void)snprintf(b->owner, sizeof(b->owner), "%s", owner ? owner : "");
	r = objects_read_all(b->objects, m);
	if (r < 0)
		log_warning("bluetoothd's objects cannot all be read: %s", strerror(-r));
	if (agent_register(b->agent) < 0)
		log_warning("Wearables cannot be paired with: the bus does not take the call");
	b->phase = PHASE_READY;
	b->retry = USEC_INFINITY;
	b->problem[0] = '\0';
	backoff_reset(&b->backoff);
	wake(b);
	return 0;
}

static void ask(struct bluez *b, usec_t now)
{
	b->phase = PHASE_ASKING;
	b->retry = USEC_INFINITY;
	if (bluez_call(b->bus, &b->ask, "/", MANAGER, "GetManagedObjects",
		       b->owner[0] ? READ_TIMEOUT : ASK_TIMEOUT, on_objects, b, NULL) < 0)
		retry_later(b, now);
}

static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bluez *b = userdata;
	const char *name, *old, *new;
	usec_t now = clock_boot_usec();

	if (sd_bus_message_read(m, "sss", &name, &old, &new) < 0 || !streq(name, BLUEZ_NAME))
		return 0;
	if (*new &&streq(new, b->owner))
		return 0;
	if (b->owner[0] || *old)
		log_notice("bluetoothd went away");
	lose_daemon(b,
		    "bluetoothd went away: it is started again; see `systemctl status bluetooth`",
		    now);
	if (*new) {
		(void)snprintf(b->owner, sizeof(b->owner), "%s", new);
		b->retry = now; /* no need to wait for one that is there */
	}
	return 0;
}

/* --- its signals ------------------------------------------------------------------------------- */

static bool is_bluetoothd(void *userdata, const char *sender)
{
	const struct bluez *b = userdata;

	return b->owner[0] && streq(sender, b->owner);
}

static void take_device(struct bluez *b, struct objects_change *change, usec_t now)
{
	struct objects_device *d = change->device;
	struct radio *r = radio_of(b, d->path);

	if (r && change->fields & (OBJECTS_FIELD_RSSI | OBJECTS_FIELD_CONNECTED))
		ladder_adapter_alive(radio_ladder(r), now);
	if (r && change->fields & OBJECTS_FIELD_CONNECTED && !d->connected)
		ladder_adapter_ended(radio_ladder(r));
	for (struct wearable *w = b->wearables; w; w = w->next) {
		if (w->object == d)
			wearable_told(w, change->fields, reason_of(b, d), now);
		else if (change->fields & OBJECTS_FIELD_RSSI && streq(w->address, d->address))
			ladder_link_seen(&w->device.ladder, now);
	}
}

static void take_adapter(struct bluez *b, const struct objects_change *change)
{
	for (struct wearable *w = b->wearables; w; w = w->next)
		if (change->fields & OBJECTS_FIELD_POWERED && !change->adapter->powered &&
		    streq(w->last_adapter, objects_adapter_name(change->adapter)))
			wearable_blame(w, GAP_ADAPTER);
}

static void take_value(struct bluez *b, struct objects_change *change, usec_t now)
{
	for (struct wearable *w = b->wearables; w; w = w->next)
		if (w->object == change->device && w->link)
			link_value(w->link, change->characteristic, change->value, change->size,
				   now);
}

/* Device1.Disconnected, since bluez 5.83: before or after Connected=false. */
static void take_reason(struct bluez *b, sd_bus_message *m)
{
	const struct objects_device *d = objects_device_at(b->objects, sd_bus_message_get_path(m));
	const char *reason;

	if (!d || sd_bus_message_read(m, "s", &reason) < 0 ||
	    !streq(reason, "org.bluez.Reason.Remote"))
		return;
	for (struct wearable *w = b->wearables; w; w = w->next)
		if (w->object == d)
			wearable_blame(w, GAP_DISCONNECTED);
}

static void take_gone_device(struct bluez *b, struct objects_change *change, usec_t now)
{
	for (struct wearable *w = b->wearables; w; w = w->next)
		if (w->object == change->gone_device)
			wearable_set_object(w, NULL, reason_of(b, change->gone_device), now);
}

static void take_gone_adapter(struct bluez *b, const char *path, usec_t now)
{
	struct radio *r = find_radio(b, path);

	for (struct wearable *w = b->wearables; r && w; w = w->next) {
		if (streq(w->last_adapter, radio_name(r)))
			wearable_blame(w, GAP_ADAPTER);
		if (w->object && radio_of(b, w->object->path) == r)
			wearable_set_object(w, NULL, GAP_ADAPTER, now);
	}
	for (size_t i = 0; i < RADIOS_MAX; i++)
		if (b->radios[i] && b->radios[i] == r)
			b->radios[i] = radio_free(r);
}

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *sender = sd_bus_message_get_sender(m);
	struct objects_change change = {0};
	struct bluez *b = userdata;
	usec_t now = clock_boot_usec();
	int r = 0;

	if (b->phase != PHASE_READY || !sender || !is_bluetoothd(b, sender))
		return 0;
	if (sd_bus_message_is_signal(m, MANAGER, "InterfacesAdded"))
		r = objects_added(b->objects, m, &change);
	else if (sd_bus_message_is_signal(m, MANAGER, "InterfacesRemoved"))
		r = objects_removed(b->objects, m, &change);
	else if (sd_bus_message_is_signal(m, "org.freedesktop.DBus.Properties",
					  "PropertiesChanged"))
		r = objects_changed(b->objects, m, &change);
	else if (sd_bus_message_is_signal(m, "org.bluez.Device1", "Disconnected"))
		take_reason(b, m);
	if (r < 0)
		log_debug("A signal of bluetoothd cannot be read: %s", strerror(-r));
	if (change.kind == OBJECTS_DEVICE && change.device)
		take_device(b, &change, now);
	else if (change.kind == OBJECTS_ADAPTER)
		take_adapter(b, &change);
	else if (change.kind == OBJECTS_VALUE && change.device)
		take_value(b, &change, now);
	else if (change.kind == OBJECTS_DEVICE_GONE)
		take_gone_device(b, &change, now);
	else if (change.kind == OBJECTS_ADAPTER_GONE)
		take_gone_adapter(b, change.gone_adapter.path, now);
	objects_change_done(&change);
	wake(b);
	return 0;
}

/* --- the bus ----------------------------------------------------------------------------------- */

static bool agent_wants(void *userdata, const char *path)
{
	struct bluez *b = userdata;
	const struct objects_device *d = objects_device_at(b->objects, path);
	const struct wearable *w = d ? find_wearable(b, d->address) : NULL;

	return w && w->wanted && w->device.pair != CONFIG_PAIR_NO;
}

static void close_bus(struct bluez *b)
{
	for (struct wearable *w = b->wearables; w; w = w->next)
		wearable_set_bus(w, NULL);
	b->ask = sd_bus_slot_unref(b->ask);
	b->agent = agent_free(b->agent);
	b->bus = sd_bus_close_unref(b->bus);
	b->phase = PHASE_NO_BUS;
}

static void lose_bus(struct bluez *b, const char *problem, usec_t now)
{
	lose_all(b, GAP_BLUETOOTHD, now);
	for (struct wearable *w = b->wearables; w; w = w->next)
		wearable_tell_ended(w);
	close_bus(b);
	(void)snprintf(b->problem, sizeof(b->problem), "%s", problem);
	retry_later(b, now);
}

static int on_bus_gone(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	lose_bus(userdata, "the system bus went away: see `systemctl status dbus`",
		 clock_boot_usec());
	return 0;
}

/*
 * Calls that bluetoothd never answers are counted by the bus until this connection ends, however long
 * ago we gave them up; at 128 of them (max_replies_per_connection) it takes no more.
 */
static int on_any(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bluez *b = userdata;

	if (sd_bus_message_is_method_error(m, SD_BUS_ERROR_LIMITS_EXCEEDED)) {
		b->exhausted = true;
		wake(b);
	}
	return 0;
}

static int open_bus(struct bluez *b)
{
	const struct agent_handler handler = {b, agent_wants, is_bluetoothd};
	int r = sd_bus_open_system_with_description(&b->bus, "bluez");

	if (r < 0)
		return r;
	b->exhausted = false;
	/* else the bus is closed when the loop ends, before wearables are let go */
	if ((r = sd_bus_set_close_on_exit(b->bus, false)) < 0 ||
	    (r = sd_bus_add_filter(b->bus, NULL, on_any, b)) < 0 ||
	    (r = sd_bus_match_signal_async(b->bus, NULL, "org.freedesktop.DBus.Local",
					   "/org/freedesktop/DBus/Local",
					   "org.freedesktop.DBus.Local", "Disconnected",
					   on_bus_gone, NULL, b)) < 0 ||
	    (r = sd_bus_add_match_async(b->bus, NULL,
					"type='signal',sender='org.freedesktop.DBus',"
					"member='NameOwnerChanged',arg0='" BLUEZ_NAME "'",
					on_owner, NULL, b)) < 0 ||
	    (r = sd_bus_add_match_async(b->bus, NULL, "type='signal',sender='" BLUEZ_NAME "'",
					on_signal, NULL, b)) < 0 ||
	    (r = agent_new(b->bus, &handler, &b->agent)) < 0)
		return r;
	return sd_bus_attach_event(b->bus, b->event, SD_EVENT_PRIORITY_NORMAL - 5);
}

static void try_bus(struct bluez *b, usec_t now)
{
	int r = open_bus(b);

	b->retry = USEC_INFINITY;
	if (r >= 0) {
		for (struct wearable *w = b->wearables; w; w = w->next)
			wearable_set_bus(w, b->bus);
		ask(b, now);
		return;
	}
	close_bus(b);
	(void)snprintf(b->problem, sizeof(b->problem),
		       "there is no system bus (%s): see `systemctl status dbus`", strerror(-r));
	retry_later(b, now);
}

/* --- think ------------------------------------------------------------------------------------- */

static bool has_links(struct bluez *b, const struct radio *r)
{
	for (const struct wearable *w = b->wearables; w; w = w->next)
		if (w->object && w->device.state != DEVICE_IDLE &&
		    radio_of(b, w->object->path) == r)
			return true;
	return false;
}

/* A radio for each adapter that there is and that may be used; or might, and has links to let go. */
static void meet_radios(struct bluez *b, usec_t now)
{
	const struct radio_handler handler = {b, wake, on_radio_answered, on_radio_rung};
	struct objects_adapter *adapters = objects_adapters(b->objects);

	for (size_t i = 0; i < OBJECTS_ADAPTERS_MAX; i++) {
		struct objects_adapter *a = &adapters[i];
		struct radio *r = *a->path ? find_radio(b, a->path) : NULL;

		if (*a->path && !r && takes_adapter(b, a)) {
			size_t place = 0;

			while (place < RADIOS_MAX && b->radios[place])
				place++;
			if (place < RADIOS_MAX && radio_new(b->bus, a->path, b->profiles, &handler,
							    &b->radios[place]) == 0)
				r = b->radios[place];
		} else if (r && !takes_adapter(b, a) && !has_links(b, r)) {
			take_gone_adapter(b, a->path, now);
			r = NULL;
		}
		if (r)
			radio_told(r, a->powered, now);
	}
}

static usec_t next_due(struct bluez *b, usec_t now)
{
	usec_t due = b->retry;

	for (size_t i = 0; i < RADIOS_MAX; i++)
		if (b->radios[i])
			due = MIN(due, radio_due(b->radios[i], now));
	for (struct wearable *w = b->wearables; w; w = w->next) {
		due = MIN(due, wearable_due(w));
		if (w->device.state == DEVICE_IDLE && w->object &&
		    w->device.ladder.not_before > now)
			due = MIN(due, w->device.ladder.not_before);
	}
	if (b->trouble_since && b->trouble_since + PROBLEM_GRACE > now)
		due = MIN(due, b->trouble_since + PROBLEM_GRACE);
	/* windows, and silence: often enough */
	return b->phase == PHASE_READY ? MIN(due, now + USEC_PER_SEC) : due;
}

static void think(struct bluez *b, usec_t now)
{
	if (b->bus && b->exhausted)
		lose_bus(b, "too many calls that bluetoothd did not answer: the bus is opened anew",
			 now);
	if (now >= b->retry)
		b->phase == PHASE_NO_BUS ? try_bus(b, now) : ask(b, now);
	if (ladder_daemon_restart_due(&b->ladder, false, now))
		ask_restart(b, "it does not answer", now);
	if (b->phase == PHASE_READY)
		meet_radios(b, now);
	if (b->bus && meet(b) < 0)
		log_warning("No memory for another wearable");
	take_objects(b, now);
	part(b, now);
	adopt(b, now);
	for (struct wearable *w = b->wearables; w; w = w->next)
		wearable_tick(w, now);
	for (size_t i = 0; i < RADIOS_MAX; i++)
		if (b->radios[i])
			give_turns(b, b->radios[i], now);
	for (struct wearable *w = b->wearables; w; w = w->next)
		wearable_tell(w);
	tell_state(b, now);
}

static int on_timer(sd_event_source *source, uint64_t at, void *userdata)
{
	struct bluez *b = userdata;
	usec_t now = clock_boot_usec(), due;

	think(b, now);
	due = next_due(b, now);
	if (due != USEC_INFINITY && sd_event_source_get_enabled(source, NULL) == 0)
		wake_at(b, due);
	return 0;
}

/* --- the source -------------------------------------------------------------------------------- */

/* One turn of the bus alone, for as long as `until`; false: it is over. */
static bool turn_bus(struct bluez *b, usec_t until)
{
	usec_t now = clock_boot_usec();
	int r = b->bus && now < until ? sd_bus_process(b->bus, NULL) : -ETIME;

	if (r == 0)
		r = sd_bus_wait(b->bus, until - now);
	return r > 0;
}

static bool all_closed(const struct bluez *b)
{
	for (const struct wearable *w = b->wearables; w; w = w->next)
		if (w->link && !link_closed(w->link))
			return false;
	return true;
}

/*
 * Wearables are told to stop what drains their batteries, and then let go; who does not answer is
 * not waited for.
 */
static void let_go(struct bluez *b)
{
	usec_t until = clock_boot_usec() + PARTING;
	uint64_t queued = 0;

	for (struct wearable *w = b->wearables; w; w = w->next)
		if (w->link)
			link_close(w->link, clock_boot_usec());
	do
		for (struct wearable *w = b->wearables; w; w = w->next)
			if (w->link)
				link_tick(w->link, clock_boot_usec());
	while (!all_closed(b) && turn_bus(b, until));
	for (struct wearable *w = b->wearables; w; w = w->next)
		wearable_part(w);
	b->phase = PHASE_NO_BUS; /* nothing that comes now means anything */
	while (b->bus && sd_bus_get_n_queued_write(b->bus, &queued) >= 0 && queued > 0 &&
	       turn_bus(b, until))
		;
}

static struct bluez *bluez_free(struct bluez *b)
{
	if (!b)
		return NULL;
	if (b->objects && b->timer)
		let_go(b);
	for (size_t i = 0; i < RADIOS_MAX; i++)
		b->radios[i] = radio_free(b->radios[i]);
	sd_event_source_disable_unref(b->timer);
	close_bus(b);
	while (b->wearables) {
		struct wearable *w = b->wearables;

		b->wearables = w->next;
		wearable_free(w);
	}
	b->objects = objects_free(b->objects);
	sd_event_unref(b->event);
	free(b);
	return NULL;
}
DEFINE_CLEANUP(struct bluez *, bluez_free)

static void free_source(struct source *source)
{
	(void)bluez_free((struct bluez *)source); /* its first member */
}

static void set_config(struct source *source, const struct config *config)
{
	struct bluez *b = (struct bluez *)source;

	b->config = config;
	wake(b);
}

static const struct source_operations operations = {.free = free_source, .set_config = set_config};

int source_bluez_new(sd_event *event, const struct config *config, struct profiles profiles,
		     const struct source_handler *handler, struct source **ret)
{
	_cleanup_(bluez_freep) struct bluez *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return -ENOMEM;
	*b = (struct bluez){.source = {&operations},
			    .config = config,
			    .profiles = profiles,
			    .handler = *handler,
			    .started = clock_boot_usec()};
	b->event = sd_event_ref(event);
	backoff_init(&b->backoff, RETRY_MIN, RETRY_MAX, (uint64_t)getpid());
	r = objects_new(profiles, keep_object, b, &b->objects);
	if (r < 0)
		return r;
	/* From the loop, at once: no callback comes before the caller has its source. */
	r = sd_event_add_time(event, &b->timer, CLOCK_BOOTTIME, 0, USEC_PER_MSEC, on_timer, b);
	if (r < 0)
		return r;
	*ret = &TAKE(b)->source;
	return 0;
}
