/*
 * The same answers without the daemon: from a store that was opened to look. What only a living
 * daemon knows (who is connected, how a server answered) is null, and the first problem says why:
 *
 *     dead       nobody holds the lock of the store           start it
 *     hung       it holds it and does not answer              wait for the watchdog, then restart it
 *     starting   it holds it and does not listen yet          wait
 *     working    a drain or a cleanup holds it                wait, start it
 *     forbidden  whoever asks may not                         sudo, or the group
 */
#include "control/snapshot.h"
#include "util/human.h"

#include <stdio.h>

static const struct {
	const char *consequence, *remedy;
} words[] = {
	[CONTROL_DEAD] =
		{"no wearable is heard and nothing is sent; what was heard before is kept "
		 "and will be sent",
		 "start it: `sudo systemctl start vitald`; why it stopped: `sudo journalctl "
		 "-u vitald -n 50`"},
	[CONTROL_HUNG] = {"what was heard is safe on this machine; if this lasts for minutes, what "
			  "is measured meanwhile is missing",
			  "wait: systemd restarts it within 90 s; if it lasts: `sudo systemctl "
			  "restart vitald`"},
	[CONTROL_STARTING] = {"what was heard before is safe; the wearables are heard again in a "
			      "moment",
			      "wait a few seconds and ask again; if it lasts: `sudo journalctl -u "
			      "vitald -n 50`"},
	[CONTROL_WORKING] = {"no wearable is heard; what waits is being looked after",
			     "to hear the wearables again: `sudo systemctl start vitald`"},
	[CONTROL_FORBIDDEN] = {"how it is can only be read from its store",
			       "use sudo, or ask to be put into the group vitald"},
};

void control_say_absence(const struct control_absence *a, char ret[static CONTROL_ABSENCE_SIZE])
{
	char age[HUMAN_SIZE];
	size_t n = CONTROL_ABSENCE_SIZE;

	(void)human_age(a->silent_us, age);
	switch (a->kind) {
	case CONTROL_DEAD:
		(void)snprintf(ret, n, "vitald is not running%s%s%s",
			       a->silent_us ? " (last alive " : "", a->silent_us ? age : "",
			       a->silent_us ? " ago)" : "");
		break;
	case CONTROL_HUNG:
		(void)snprintf(ret, n, "vitald does not answer%s%s%s", a->silent_us ? " (for " : "",
			       a->silent_us ? age : "", a->silent_us ? ")" : "");
		break;
	case CONTROL_STARTING: (void)snprintf(ret, n, "vitald is starting"); break;
	case CONTROL_WORKING:
		(void)snprintf(ret, n, "vitald is not running; `vitald %s` is at work (pid %d)",
			       a->role, a->pid);
		break;
	case CONTROL_FORBIDDEN:
		(void)snprintf(ret, n,
			       "this user may not ask vitald: use sudo, or join the group vitald");
		break;
	}
}

static int look_at_events(const struct config *config, struct events **ret)
{
	int r = config ? events_open(config->runtime_dir, false, ret) : EVENTS_E_ABSENT;

	return r < 0 ? r : 0; /* no ring: no events, and that is all there is to say */
}

int control_tables_from_store(struct store *look, const struct config *config,
			      const struct control_absence *absence, const char *which,
			      struct tables *ret)
{
	char what[CONTROL_ABSENCE_SIZE];
	const struct problem problems[] = {
		{
			.severity = absence->kind == CONTROL_STARTING ? SEVERITY_DEGRADED
								      : SEVERITY_NOT_WORKING,
			.what = what,
			.consequence = words[absence->kind].consequence,
			.remedy = words[absence->kind].remedy,
		},
		{
			.severity = SEVERITY_NOT_WORKING,
			.what = absence->store_what,
			.consequence = absence->store_consequence,
			.remedy = absence->store_remedy,
		},
	};
	_cleanup_(events_closep) struct events *events = NULL;
	struct snapshot s = {
		.store = look,
		.config = config,
		.problems = problems,
		.n_problems = absence->store_what[0] ? 2 : 1,
		.now = clock_boot_usec(),
		.wall_us = clock_wall_usec(),
		.clock = clock_read(config ? config->trust_clock : CLOCK_TRUST_AUTO),
	};
	int r = look_at_events(config, &events);

	control_say_absence(absence, what);
	if (r < 0)
		return r;
	s.events = events;
	return snapshot_tables(&s, which, ret);
}
