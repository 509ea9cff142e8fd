/*
 * The same answers without the daemon: from a store that was opened to look. What only a living
 * daemon knows (who is connected, how a server answered) is null, and the first problem says why.
 */
#include "control/snapshot.h"

static int look_at_events(const struct config *config, struct events **ret)
{
	int r = config ? events_open(config->runtime_dir, false, ret) : EVENTS_E_ABSENT;

	return r < 0 ? r : 0; /* no ring: no events, and that is all there is to say */
}

int control_tables_from_store(struct store *look, const struct config *config, const char *why,
			      const char *which, struct tables *ret)
{
	const struct problem problem = {
		.severity = SEVERITY_NOT_WORKING,
		.what = why,
		.consequence =
			"no wearable is heard and nothing is uploaded; what was heard before "
			"is kept",
		.remedy = "`sudo systemctl restart vitald`; why it stopped: `sudo journalctl -u "
			  "vitald -n 50`",
	};
	_cleanup_(events_closep) struct events *events = NULL;
	struct snapshot s = {
		.store = look,
		.config = config,
		.problems = &problem,
		.n_problems = 1,
		.now = clock_boot_usec(),
		.wall_us = clock_wall_usec(),
		.clock = clock_read(config ? config->trust_clock : CLOCK_TRUST_AUTO),
	};
	int r = look_at_events(config, &events);

	if (r < 0)
		return r;
	s.events = events;
	return snapshot_tables(&s, which, ret);
}
