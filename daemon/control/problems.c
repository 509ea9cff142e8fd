/*
 * What is missing or wrong, for somebody who was woken by it. Each problem says what is the matter,
 * what follows from it for the data, and what to do, in that order; the gravest come first.
 *
 *     not working   nothing is heard, or what is heard cannot be kept
 *     degraded      everything is kept, but something that the owner asked for does not happen
 *     notice        worth a look by day
 *
 * A wearable that does not stream is "degraded" where the owner named it in the config. Of one that
 * merely came by nothing is said when it goes, nor of one that speaks when it likes: a thermometer
 * lies in its drawer most of the day. What ails the radio as a whole is said once, not of each.
 */
#include "control/problems.h"

#include "control/say.h"
#include "control/scores.h"
#include "store/finding.h"
#include "store/identity.h"
#include "util/human.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define SLOW_COMMIT (500 * USEC_PER_MSEC)
#define JUST_NOW    (5 * USEC_PER_SEC)
#define A_WEEK	    (7 * 24 * 3600 * (int64_t)USEC_PER_SEC) /* names that changed are worth a look */
#define STEP_NEWS   (3600 * USEC_PER_SEC) /* so long a clock that was set is worth a line */

static struct problem_text *add(struct problem_list *list, enum severity severity,
				const char *format, ...) _printf_(3, 4);
static struct problem_text *add(struct problem_list *list, enum severity severity,
				const char *format, ...)
{
	static struct problem_text overflow;
	struct problem_text *p = list->n < PROBLEMS_MAX ? &list->problem[list->n++] : &overflow;
	va_list ap;

	p->severity = severity;
	va_start(ap, format);
	(void)vsnprintf(p->what, sizeof(p->what), format, ap); /* cut where it is longer */
	va_end(ap);
	p->detail[0] = p->consequence[0] = p->remedy[0] = '\0';
	return p;
}

uint32_t problems_sink_number(const struct snapshot *s, const char *name)
{
	return s->store ? store_sink_named(s->store, name) : 0;
}

const struct sink_state *problems_sink_state(const struct snapshot *s, const char *name)
{
	for (size_t i = 0; i < s->n_sinks; i++)
		if (streq(s->sinks[i].name, name))
			return &s->sinks[i];
	return NULL;
}

int64_t problems_last_success(const struct snapshot *s, const char *name)
{
	const struct sink_state *state = problems_sink_state(s, name);
	uint32_t number = problems_sink_number(s, name);
	struct finding_times times = {0};

	if (number)
		finding_times(s->store, number, &times);
	return state && state->last_success_us ? state->last_success_us : times.confirmed_us;
}

struct sink_debt problems_sink_debt(const struct snapshot *s, uint32_t sink)
{
	struct sink_debt debt = {0};

	for (uint32_t i = 1; sink && s->store && i <= store_stream_count(s->store); i++) {
		struct cursor_status c;

		store_cursor_status(s->store, sink, i, &c);
		debt.confirmed += c.confirmed;
		debt.waiting += c.waiting;
		debt.quarantined += c.quarantined;
		debt.held += c.held;
	}
	return debt;
}

static void say_safe(char text[static SAY_SIZE], uint64_t waiting)
{
	char n[HUMAN_SIZE + 8];

	if (waiting)
		say(text, "nothing is lost: %s %s safe on this machine and will be sent",
		    human_records(waiting, n), waiting == 1 ? "is" : "are");
	else
		say(text, "nothing is lost: new records will wait on this machine");
}

/* What a sink that is not required has to wait for is not kept for its sake. */
static void say_waits(char text[static 200], const struct config_sink *sink, uint64_t waiting)
{
	char n[HUMAN_SIZE + 8] = "new records";

	if (sink->required) {
		say_safe(text, waiting);
		return;
	}
	say(text,
	    "%s wait%s here for it, but not beyond `retention`: this server is not "
	    "`required`",
	    waiting ? human_records(waiting, n) : n, waiting == 1 ? "s" : "");
}

static void find_given(const struct snapshot *s, struct problem_list *list)
{
	for (size_t i = 0; i < s->n_problems; i++) {
		const struct problem *p = &s->problems[i];
		struct problem_text *t = add(list, p->severity, "%s", p->what);

		say(t->consequence, "%s", p->consequence ? p->consequence : "");
		say(t->remedy, "%s", p->remedy ? p->remedy : "");
	}
}

static void find_source(const struct snapshot *s, struct problem_list *list)
{
	struct problem_text *t;

	if (!s->running)
		return;
	if (s->config && s->config->source == CONFIG_SOURCE_NONE) {
		t = add(list, SEVERITY_NOT_WORKING, "no source of samples is configured");
		say(t->consequence, "no wearable is heard");
		say(t->remedy, "set `type` in [source] of %s, then `sudo systemctl reload vitald`",
		    CONFIG_DEFAULT_FILE);
	} else if (s->source_problem && s->config && s->config->source == CONFIG_SOURCE_REPLAY) {
		t = add(list, SEVERITY_DEGRADED, "%s", s->source_problem);
		say(t->consequence, "nothing more is heard");
		say(t->remedy, "a restart plays it once more, a reload takes another `file`");
	} else if (s->source_problem) {
		t = add(list, SEVERITY_NOT_WORKING, "the wearables cannot be heard: %s",
			s->source_problem);
		say(t->consequence,
		    "nothing is recorded until they can; it is tried again by itself");
		say(t->remedy,
		    "is Bluetooth there, and switched on? `sudo journalctl -u vitald -n 50` "
		    "says more");
	} else if (s->n_devices == 0 && !(s->config && s->config->n_devices)) {
		t = add(list, SEVERITY_DEGRADED, "no wearable has been seen yet");
		say(t->consequence, "there is nothing to record");
		say(t->remedy, "put one on and wet its electrodes: most are silent off the skin");
	}
}

/* "has not been heard for 12 min", since the start if it never was. */
static void say_unheard(const struct snapshot *s, usec_t last_us, char text[static 80])
{
	usec_t since = last_us ? last_us : s->started_us;
	usec_t us = since && since < s->now ? s->now - since : 0;
	char age[HUMAN_SIZE];

	if (us < JUST_NOW)
		(void)snprintf(text, 80, last_us ? "is not connected" : "is not heard yet");
	else
		(void)snprintf(text, 80, "has not been heard for %s%s", human_age(us, age),
			       last_us ? "" : ", since the start"); /* fits */
}

static void find_unheard(const struct snapshot *s, const char *name, usec_t last_us,
			 const char *why, struct problem_list *list)
{
	struct problem_text *t;
	char unheard[80];

	say_unheard(s, last_us, unheard);
	t = add(list, SEVERITY_DEGRADED, "the wearable %s %s%s%s", name, unheard,
		why[0] ? ": " : "", why);
	say(t->consequence,
	    "nothing of it is recorded until it comes back: it may be out of range, "
	    "off, or worn without contact");
	say(t->remedy, "is it worn, charged and in reach? It connects again by itself; "
		       "`vitalctl devices` says more");
}

/* The link is up, so distance and battery are not it. */
static void find_mute(const char *name, const struct device_status *d, struct problem_list *list)
{
	struct problem_text *t;

	if (streq(d->state, "streaming")) {
		t = add(list, SEVERITY_DEGRADED, "not all of %s is recorded: %s", name, d->why);
		say(t->consequence, "what it does send is recorded");
	} else {
		t = add(list, SEVERITY_DEGRADED,
			"the wearable %s is connected but not streaming%s%s", name,
			d->why[0] ? ": " : "", d->why);
		say(t->consequence, "nothing of it is recorded until it streams");
	}
	say(t->remedy, "it is tried again by itself; should that not help, take it off for a "
		       "minute and put it on again");
}

static void find_absence(const struct snapshot *s, const char *name, const struct device_status *d,
			 struct problem_list *list)
{
	if (!s->running || s->source_problem || !config_device_find(s->config, d->address))
		return;
	if (!d->connected && !d->occasional)
		find_unheard(s, name, d->last_frame_us, d->why, list);
	else if (d->connected && (d->why[0] || (!d->occasional && !streq(d->state, "streaming"))))
		find_mute(name, d, list);
}

/* Named in the config, and its source has never spoken of it. */
static void find_unseen(const struct snapshot *s, struct problem_list *list)
{
	if (!s->running || s->source_problem || s->config->source == CONFIG_SOURCE_NONE)
		return;
	for (size_t i = 0; i < s->config->n_devices; i++) {
		const struct config_device *wish = &s->config->devices[i];
		bool seen = false;

		for (size_t j = 0; j < s->n_devices; j++)
			seen = seen || streq(s->devices[j].address, wish->address);
		if (!seen && wish->kinds & ~CONFIG_KINDS_OCCASIONAL)
			find_unheard(s, wish->name ? wish->name : wish->address, 0, "", list);
	}
}

static void find_device(const struct snapshot *s, const struct device_status *d,
			struct problem_list *list)
{
	const char *name = d->name[0] ? d->name : d->address;
	struct problem_text *t;

	if (s->config)
		find_absence(s, name, d, list);
	if (d->undecodable) {
		t = add(list, SEVERITY_NOTICE,
			"%" PRIu64 " message%s of %s could not be understood", d->undecodable,
			d->undecodable == 1 ? "" : "s", name);
		say(t->consequence,
		    "the newest of them are kept as they came; the rest is recorded");
		say(t->remedy,
		    "a few are no trouble; `vitalctl unreadable` shows them, should it be "
		    "many");
	}
	if (d->battery >= 0 && d->battery <= 15) {
		t = add(list, SEVERITY_NOTICE, "the battery of %s is at %d %%", name, d->battery);
		say(t->consequence, "it will fall silent soon");
		say(t->remedy, "change or charge it");
	}
}

static void find_clock(const struct snapshot *s, struct problem_list *list)
{
	struct problem_text *t;
	char wait[HUMAN_SIZE];

	if (!s->running || s->clock.synchronised)
		return;
	t = add(list, SEVERITY_DEGRADED, "the clock is not synchronised%s",
		s->clock_ever ? " any more" : "");
	if (s->clock_ever)
		say(t->consequence, "times go on from when it was right and may be off by some "
				    "seconds a day; nothing is lost");
	else
		say(t->consequence,
		    "records wait up to %s for it, then are marked as estimates, which the server "
		    "can correct later; nothing is lost and nothing expires",
		    human_duration(s->config ? s->config->clock_wait : 0, wait));
	say(t->remedy, "is the network there? See `timedatectl timesync-status`; it is noticed by "
		       "itself");
}

/* A jump is worth knowing for whoever reads the times around it. */
static void find_step(const struct snapshot *s, struct problem_list *list)
{
	usec_t ago = s->now > s->clock_step_at ? s->now - s->clock_step_at : 0;
	char far[HUMAN_STEP_SIZE], since[HUMAN_SIZE];
	struct problem_text *t;

	if (!s->running || s->clock_step_us == 0 || ago >= STEP_NEWS)
		return;
	t = add(list, SEVERITY_NOTICE, "the clock was set %s, %s ago",
		human_step(s->clock_step_us, far), human_age(ago, since));
	say(t->consequence, "what is heard since has the new time, what was recorded before keeps "
			    "the old; nothing is lost");
	say(t->remedy, "once is NTP at work; should it come again, two programs may be setting it: "
		       "`systemctl list-units '*time*' '*chron*' '*ntp*'`");
}

static bool token_missing(const struct config_sink *sink)
{
	return sink->token_file && access(sink->token_file, F_OK) < 0 && errno == ENOENT;
}

static void say_next_attempt(const struct snapshot *s, const struct sink_state *state,
			     const char *first, char text[static SAY_SIZE])
{
	char next[HUMAN_SIZE];

	if (state && state->next_attempt > s->now)
		say(text, "%s; next attempt in %s, or now with `vitalctl sync`", first,
		    human_age(state->next_attempt - s->now, next));
	else
		say(text, "%s; `vitalctl sync` tries at once", first);
}

static bool is_out_of_reach(const struct snapshot *s, const struct sink_state *state)
{
	return s->offline && state->state == SINK_DOWN; /* find_network() says why */
}

static void find_sink_state(const struct snapshot *s, const struct config_sink *sink,
			    uint64_t waiting, struct problem_list *list)
{
	const char *name = sink->name;
	const struct sink_state *state = problems_sink_state(s, name);
	struct problem_text *t;
	char since[HUMAN_SIZE];

	if (!state || (state->state != SINK_DOWN && state->state != SINK_HELD) ||
	    is_out_of_reach(s, state))
		return;
	(void)human_age(s->now > state->since ? s->now - state->since : 0, since);
	if (state->state == SINK_DOWN) {
		t = add(list, SEVERITY_DEGRADED, "the server \"%s\" has been down for %s: %s", name,
			since, state->reason);
		say_next_attempt(s, state, "check the network and the server", t->remedy);
	} else if (state->elsewhere) {
		t = add(list, SEVERITY_DEGRADED, "the server \"%s\" is held: %s", name,
			state->reason);
		say(t->remedy,
		    "the same server, moved: `vitalctl anchors accept %s`; another one: give it "
		    "another name; a mistake: put the old url back",
		    name);
	} else {
		t = add(list, SEVERITY_DEGRADED, "the server \"%s\" has refused us for %s: %s",
			name, since, state->reason);
		say_next_attempt(s, state, "check its url, token and certificates", t->remedy);
	}
	say(t->detail, "%s", state->detail);
	say_waits(t->consequence, sink, waiting);
}

/* Of no harm, but the only sign that a store was wiped or that another hub has our name. */
static void find_unknown(const struct snapshot *s, const struct config_sink *sink,
			 struct problem_list *list)
{
	const struct sink_state *state = problems_sink_state(s, sink->name);
	struct problem_text *t;

	if (!state || !state->unknown_streams)
		return;
	t = add(list, SEVERITY_NOTICE,
		"the server \"%s\" holds %" PRIu64 " stream%s of \"%s\" that this store does not "
		"know: it was wiped, replaced, or another hub has the same name",
		sink->name, state->unknown_streams, state->unknown_streams == 1 ? "" : "s",
		s->config->gateway);
	say(t->consequence, "nothing there is changed or skipped: what is heard here has names of "
			    "its own, and all of it is sent");
	say(t->remedy, "was the card of this hub replaced or copied? If another hub is called the "
		       "same, give one of them another `gateway`");
}

#define LATELY (INT64_C(24) * 3600 * 1000000)

struct losses {
	uint32_t sink;
	int64_t since_us;
	uint64_t n;
};

static void count_loss(void *userdata, const struct finding *f)
{
	struct losses *l = userdata;

	if (f->sink == l->sink && f->what == FINDING_LACKED && f->wall_us >= l->since_us)
		l->n += f->n;
}

/* It works, and yet its owner wants to know: data that was safe there was not. */
static void find_losses(const struct snapshot *s, const char *name, uint32_t number,
			struct problem_list *list)
{
	struct losses l = {.sink = number, .since_us = s->wall_us - LATELY};
	struct problem_text *t;
	char n[HUMAN_SIZE + 8];

	if (!number || !s->store || finding_each(s->store, count_loss, &l) != 0 || l.n == 0)
		return;
	t = add(list, SEVERITY_NOTICE, "\"%s\" had lost %s that it had confirmed", name,
		human_records(l.n, n));
	say(t->consequence,
	    "they are sent again from here; what was deleted here already cannot be");
	say(t->remedy, "ask whoever runs that server: was it restored from a backup, is its disk "
		       "well? `vitalctl reconcile --show` lists them");
}

static void find_sink(const struct snapshot *s, const struct config_sink *sink,
		      struct problem_list *list)
{
	uint32_t number = problems_sink_number(s, sink->name);
	struct sink_debt debt = problems_sink_debt(s, number);
	struct score_miss miss;
	struct problem_text *t;
	char n[HUMAN_SIZE + 8];

	if (token_missing(sink)) {
		t = add(list, SEVERITY_DEGRADED, "the token file of \"%s\" is not there: %s",
			sink->name, sink->token_file);
		say_waits(t->consequence, sink, debt.waiting);
		say(t->remedy, "put the server's token into it (0640 root:vitald); it is read when "
			       "next tried, or now with `vitalctl sync`");
	} else {
		find_sink_state(s, sink, debt.waiting, list);
	}
	if (scores_missed(s, number, sink->name, debt.waiting, &miss)) {
		t = add(list, SEVERITY_DEGRADED, "%s", miss.what);
		say(t->consequence, "%s", miss.consequence);
		say(t->remedy, "%s", miss.remedy);
	}
	if (debt.held) {
		t = add(list, SEVERITY_DEGRADED, "\"%s\" holds other content for %u of our streams",
			sink->name, debt.held);
		say(t->consequence, "nothing more of them is sent there; they are kept");
		say(t->remedy,
		    "was this machine cloned or restored? `vitalctl anchors` names them");
	}
	find_unknown(s, sink, list);
	find_losses(s, sink->name, number, list);
	if (debt.quarantined) {
		t = add(list, SEVERITY_NOTICE, "%s refused for good by \"%s\"",
			human_records(debt.quarantined, n), sink->name);
		say(t->consequence, "they are kept; everything else goes on");
		say(t->remedy, "`vitalctl quarantine` says which and why");
	}
}

static void find_sinks(const struct snapshot *s, struct problem_list *list)
{
	struct problem_text *t;

	if (!s->config)
		return;
	for (size_t i = 0; i < s->config->n_sinks; i++)
		find_sink(s, &s->config->sinks[i], list);
	if (s->config->n_sinks)
		return;
	t = add(list, SEVERITY_DEGRADED, "no server is configured");
	say(t->consequence, "what is heard stays on this machine");
	say(t->remedy,
	    "add [sink \"name\"] with url and token_file to %s, then `sudo systemctl reload "
	    "vitald`",
	    CONFIG_DEFAULT_FILE);
}

static void find_network(const struct snapshot *s, struct problem_list *list)
{
	struct problem_text *t;
	uint64_t waiting = 0;

	if (!s->offline)
		return;
	for (size_t i = 0; i < s->config->n_sinks; i++)
		waiting =
			MAX(waiting,
			    problems_sink_debt(s, problems_sink_number(s, s->config->sinks[i].name))
				    .waiting);
	t = add(list, SEVERITY_DEGRADED, "this machine has no network");
	say_safe(t->consequence, waiting);
	say(t->remedy, "check the cable or the Wi-Fi, then the router; it goes on by itself when "
		       "the network is back");
}

/* What the owner switched off is no fault, but whoever wonders should find it here. */
static void find_features(const struct snapshot *s, struct problem_list *list)
{
	const struct config *c = s->config;
	char next[HUMAN_SIZE + 40] = "`vitalctl sync`, a start, or the network's return";
	struct problem_text *t;

	if (c->timers)
		(void)snprintf(next, sizeof(next), "the next background run, at most %.16s",
			       human_duration(c->background_interval, (char[HUMAN_SIZE]){0}));
	if (!c->immediate) {
		t = add(list, SEVERITY_NOTICE, "sending at once is switched off");
		say(t->consequence, "new records wait for %s", next);
		say(t->remedy, "`vitalctl sync` sends them now; immediate in [features]");
	}
	if (!c->queue) {
		t = add(list, SEVERITY_NOTICE, "trying again by itself is switched off");
		say(t->consequence, "what a server did not take waits for %s", next);
		say(t->remedy, "`vitalctl sync` tries now; queue in [features]");
	}
	if (!c->reconcile) {
		t = add(list, SEVERITY_NOTICE, "comparing with the servers is switched off");
		say(t->consequence, "what a server loses after it has confirmed it is not noticed");
		say(t->remedy, "`sudo vitald reconcile` compares now; reconcile in [features]");
	}
	if (!c->timers) {
		t = add(list, SEVERITY_NOTICE, "the background is switched off");
		say(t->consequence, "nothing looks after what waits here, or deletes what is old, "
				    "unless it is asked to");
		say(t->remedy, "timers in [features]");
	}
}

static void find_size(const struct snapshot *s, const struct store_figures *f,
		      struct problem_list *list)
{
	uint64_t used = f->log_bytes + f->wal_bytes, max = s->config ? s->config->max_size : 0;
	char a[HUMAN_SIZE], b[HUMAN_SIZE];
	struct problem_text *t;

	if (!max || used < max / 10 * 9)
		return;
	t = add(list, used >= max ? SEVERITY_NOT_WORKING : SEVERITY_DEGRADED,
		"the storage for records is %sfull: %s of %s", used >= max ? "" : "nearly ",
		human_size(used, a), human_size(max, b));
	say(t->consequence,
	    used >= max ? "what is measured now is not recorded, and the gap is noted; "
			  "what waits is safe"
			: "nothing is lost yet; when it is full, what is measured then is");
	say(t->remedy,
	    "it empties by itself when the server takes the records: is it there? Or raise "
	    "max_size in [sync]");
}

/* The card, whoever filled it. */
static void find_room(const struct store_figures *f, struct problem_list *list)
{
	static const struct {
		enum severity severity;
		const char *consequence;
	} stages[] = {
		[0] = {SEVERITY_DEGRADED,
		       "new records are kept in memory, and refused when that is full too"},
		[1] = {SEVERITY_NOTICE, "what every server has confirmed is deleted, oldest first"},
		[2] = {SEVERITY_DEGRADED,
		       "new ECG is refused, and gaps say so; heart rate is kept"},
		[3] = {SEVERITY_NOT_WORKING, "new samples are refused; gaps will say so"},
	};
	unsigned stage = MIN(f->room_stage, 3U);
	char a[HUMAN_SIZE], b[HUMAN_SIZE];
	struct problem_text *t;

	if (stage == 0 && !f->card_full)
		return;
	if (stage)
		t = add(list, stages[stage].severity,
			"the card has only %s free, and %s should stay free",
			human_size(f->card_free, a), human_size(f->reserve, b));
	else
		t = add(list, stages[stage].severity, "the card is full");
	say(t->consequence, "%s", stages[stage].consequence);
	say(t->remedy, "find what fills it: `sudo du -xh / | sort -h | tail`; what waits is safe");
}

static void find_salvage(const struct snapshot *s, struct problem_list *list)
{
	for (size_t i = 0; i < store_salvage_count(s->store); i++) {
		struct salvage_status v;
		struct problem_text *t;
		char a[HUMAN_SIZE + 8], b[HUMAN_SIZE + 8];

		store_salvage_status(s->store, i, &v);
		if (!v.kept)
			continue;
		t = add(list, v.ended_us == 0 ? SEVERITY_DEGRADED : SEVERITY_NOTICE,
			"the store was damaged; it is kept in %s/%s",
			s->config ? s->config->state_dir : "", v.dir);
		if (v.ended_us == 0)
			say(t->consequence, "what can be read is brought over: %s so far",
			    human_records(v.brought, a));
		else if (v.lost)
			say(t->consequence, "%s brought over, %s lost; gaps tell the servers%s%s",
			    human_records(v.brought, a), human_records(v.lost, b),
			    v.words[0] ? "; " : "", v.words);
		else if (strncmp(v.words, "nothing", 7) == 0)
			say(t->consequence,
			    "%s; how much it was is not known, and what servers "
			    "had confirmed is safe there",
			    v.words);
		else
			say(t->consequence, "%s brought over, none is known to be lost%s%s",
			    human_records(v.brought, a), v.words[0] ? "; " : "", v.words);
		say(t->remedy, "replace the card if it happens again; the folder goes by itself "
			       "after 30 days");
	}
}

static void say_no_store(struct problem_list *list)
{
	struct problem_text *t = add(list, SEVERITY_NOT_WORKING, "there is no store");

	say(t->consequence, "what is measured cannot be kept");
	say(t->remedy, "see `sudo journalctl -u vitald -n 50`");
}

static void find_store(const struct snapshot *s, struct problem_list *list)
{
	struct store_figures f;
	struct problem_text *t;
	char a[HUMAN_SIZE];

	if (!s->store) {
		if (s->running)
			say_no_store(list);
		return;
	}
	store_figures(s->store, &f);
	find_size(s, &f, list);
	find_room(&f, list);
	find_salvage(s, list);
	if (f.tail_size && f.tail_used > f.tail_size / 10 * 8) {
		t = add(list, SEVERITY_DEGRADED,
			"the card is too slow: the buffer before it is nearly "
			"full");
		say(t->consequence,
		    "nothing is lost yet; when it is full, what is measured then is");
		say(t->remedy,
		    "is the card failing? `sudo journalctl -k` says so; then replace it");
	}
	if (f.commits_late) {
		t = add(list, SEVERITY_NOTICE,
			"writing to the card took longer than promised, %" PRIu64 " of %" PRIu64
			" times",
			f.commits_late, f.commits);
		say(t->consequence,
		    "nothing was lost; a power cut just then could have taken more than "
		    "a moment's records");
		if (f.longest_commit_us >= SLOW_COMMIT)
			say(t->remedy, "the slowest took %s: is the card worn out?",
			    human_duration(f.longest_commit_us, a));
		else
			say(t->remedy, "the card is quick: the machine was overloaded or asleep");
	}
}

static void note_last(void *userdata, const struct incarnation *i)
{
	*(struct incarnation *)userdata = *i;
}

/* What to do depends on what made us change. */
static const char *identity_remedy(enum incarnation_reason reason)
{
	switch (reason) {
	case INCARNATION_CONFLICT:
	case INCARNATION_AHEAD:
		return "does a second hub run with a copy of this card? Then stop one, or give it "
		       "another `gateway`. Was a backup put back? Then nothing needs to be done";
	case INCARNATION_MACHINE:
		return "if the card was moved on purpose, nothing needs to be done; if it was "
		       "copied, give one of the two hubs another `gateway`";
	case INCARNATION_SALVAGED: return "nothing needs to be done about the names";
	default: return "nothing needs to be done, if you put it back yourself";
	}
}

static void find_identity(const struct snapshot *s, struct problem_list *list)
{
	struct incarnation last = {.reason = INCARNATION_FIRST};
	struct problem_text *t;
	char n[HUMAN_SIZE + 8];
	uint64_t left;

	if (!s->store)
		return;
	if (s->identity_problem) {
		t = add(list, SEVERITY_DEGRADED, "%s", s->identity_problem);
		say(t->consequence, "what that server refuses is held and kept here; it is tried "
				    "again within the hour");
		say(t->remedy, "ask whoever runs the server: it refuses names that nobody else "
			       "ever used");
	}
	store_each_incarnation(s->store, note_last, &last);
	if (last.reason == INCARNATION_FIRST || s->wall_us - last.began_us > A_WEEK)
		return;
	left = store_move_left(s->store);
	t = add(list, SEVERITY_NOTICE, "this hub goes on under new names, because %s (%.60s)",
		incarnation_words(last.reason), last.detail);
	if (left)
		say(t->consequence,
		    "nothing is lost: %s of before move to the new names and are sent then",
		    human_records(left, n));
	else
		say(t->consequence,
		    "%swhat no server had yet is sent under the new names, all "
		    "else stays as it was",
		    last.reason == INCARNATION_SALVAGED ? "" : "nothing is lost: ");
	say(t->remedy, "%s", identity_remedy(last.reason));
}

static void find_bus(const struct snapshot *s, struct problem_list *list)
{
	struct problem_text *t;

	if (!s->bus_problem)
		return;
	t = add(list, SEVERITY_NOTICE, "not on the system bus: %s", s->bus_problem);
	say(t->consequence,
	    "nothing is lost, and vitalctl works; other programs cannot ask vitald");
	say(t->remedy, "see `systemctl status dbus`, or set bus = none in [control]");
}

/* Stable: what was found first stays before what is as grave. */
static void sort(struct problem_list *list)
{
	for (size_t i = 1; i < list->n; i++)
		for (size_t j = i;
		     j > 0 && list->problem[j - 1].severity < list->problem[j].severity; j--) {
			struct problem_text swap = list->problem[j];

			list->problem[j] = list->problem[j - 1];
			list->problem[j - 1] = swap;
		}
}

void problems_find(const struct snapshot *s, struct problem_list *ret)
{
	ret->n = 0;
	find_given(s, ret);
	find_source(s, ret);
	find_store(s, ret);
	if (s->config)
		find_features(s, ret);
	find_network(s, ret);
	find_sinks(s, ret);
	for (size_t i = 0; i < s->n_devices; i++)
		find_device(s, &s->devices[i], ret);
	if (s->config)
		find_unseen(s, ret);
	find_clock(s, ret);
	find_step(s, ret);
	find_identity(s, ret);
	find_bus(s, ret);
	sort(ret);
}
