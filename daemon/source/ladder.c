/*
 * How patience is spent. The promise that everything here serves: a wearable is back within 30 s of
 * coming into range, even after hours, whatever the others do.
 *
 * A wearable. One that was just lost is tried at once, unseen: 0.25, 0.5, 1, 4 s after each failure.
 * After LOST_LATELY such attempts only hold up the adapter (nothing can be found while it
 * connects), so it has to be seen first. Being seen makes it due, but for the pause after its last
 * failure, which ends at PAUSE_MAX: with the time that an attempt may take (PATIENCE) and one turn
 * of somebody else's, that stays below 30 s.
 *
 * One that is connected and says nothing (no skin contact, or it hangs) is connected again, as that
 * helps those that hang. If it still says nothing, each link is kept twice as long as the one before:
 * it is heard at once when it speaks, and neither its battery nor the journal is worn out.
 *
 * A bond that the wearable has lost looks the same from here as a bad link: Connect says yes, the
 * link drops or its services never come. Twice in a row is enough to remove the bond, since pairing
 * again costs a second; but if that did not help, then only once an hour.
 *
 * An adapter. It is suspected when FAILURES_SUSPECT things in a row failed, whoever they were for, or
 * when a link does not end; any sign of life clears that. It is power-cycled when nobody is heard
 * over it. One that stays without a sign of life after that has nothing to lose: again every
 * CYCLE_PAUSE; else at most every CYCLE_PAUSE_ALIVE, as a link that hangs is not worth more. After
 * CYCLES_HELPLESS it takes more than that. That it can be switched on, or says yes to a scan, is a
 * sign of life, and no proof that a cycle has helped: that is somebody found, connected or heard.
 * Until then one failure is enough for the next, within CYCLE_PAUSE_ALIVE.
 *
 * A cycle that fails takes links down in the kernel that the controller still has (Linux 6.1: "ACL
 * packet for unknown connection handle"), whose wearables then cannot be found. So it is owed, and
 * done at the first sign of life, even if the others are heard by then: seconds of theirs against
 * all of one that nobody would find again.
 *
 * bluetoothd. It is restarted when it does not answer, and when cycles of an adapter do not help. That
 * ends all links over all adapters: so for an adapter's sake only when nobody is heard over any.
 */
#include "source/ladder.h"

#define LOST_LATELY	  (20 * USEC_PER_SEC)
#define SEEN_LATELY	  (30 * USEC_PER_SEC) /* bluetoothd, too, forgets a device after that */
#define PAUSE_MAX	  (8 * USEC_PER_SEC)
#define PATIENCE	  (12 * USEC_PER_SEC)
#define PATIENCE_UNSEEN	  (5 * USEC_PER_SEC)
#define UNBOND_PAUSE	  (3600 * USEC_PER_SEC)
#define QUIET		  (10 * USEC_PER_SEC) /* a wearable heard within it is not to be disturbed */
#define CYCLE_PAUSE	  (15 * USEC_PER_SEC)
#define CYCLE_PAUSE_ALIVE (600 * USEC_PER_SEC)
#define RESTART_PAUSE	  (300 * USEC_PER_SEC)
#define RESTART_EPISODE	  (900 * USEC_PER_SEC) /* so long after the last one it is another one */

enum {
	BROKEN_SUSPECT = 2,
	FAILURES_SUSPECT = 4,
	CYCLES_HELPLESS = 3,
	UNANSWERED_SUSPECT = 3,
	MUTE_MAX = 16U,
};

static const usec_t pauses[] = {
	250 * USEC_PER_MSEC, 500 * USEC_PER_MSEC, 1 * USEC_PER_SEC, 4 * USEC_PER_SEC, PAUSE_MAX,
};

/* Is it less than `span` ago? */
static bool lately(usec_t when, usec_t span, usec_t now)
{
	return when > 0 && now < when + span;
}

void ladder_link_seen(struct ladder_link *l, usec_t now)
{
	l->seen = now;
}

void ladder_link_up(struct ladder_link *l)
{
	l->failures = l->broken = 0;
	l->unbonded = 0;
}

void ladder_link_spoke(struct ladder_link *l)
{
	l->spoke = true;
	l->mute = 0;
}

void ladder_link_silent(struct ladder_link *l)
{
	l->mute = l->spoke ? 0 : MIN(l->mute + 1, MUTE_MAX);
	l->spoke = false;
}

void ladder_link_lost(struct ladder_link *l, usec_t now)
{
	l->failures = 0;
	l->spoke = false;
	l->lost = now;
	l->not_before = now + pauses[0];
}

void ladder_link_failed(struct ladder_link *l, bool broken, usec_t now)
{
	l->broken = broken ? l->broken + 1 : 0;
	l->not_before = now + pauses[MIN(l->failures, ARRAY_SIZE(pauses) - 1)];
	l->failures++;
}

bool ladder_link_unbond_due(const struct ladder_link *l, usec_t now)
{
	return l->broken >= BROKEN_SUSPECT && !lately(l->unbonded, UNBOND_PAUSE, now);
}

void ladder_link_unbonded(struct ladder_link *l, usec_t now)
{
	l->broken = l->failures = 0;
	l->unbonded = now;
	l->not_before = now;
}

bool ladder_link_near(const struct ladder_link *l, usec_t now)
{
	return lately(l->seen, SEEN_LATELY, now);
}

usec_t ladder_link_due(const struct ladder_link *l, usec_t now)
{
	if (!ladder_link_near(l, now) && !lately(l->lost, LOST_LATELY, now))
		return USEC_INFINITY;
	return l->not_before;
}

usec_t ladder_link_patience(const struct ladder_link *l, usec_t now)
{
	return ladder_link_near(l, now) && l->seen >= l->lost ? PATIENCE : PATIENCE_UNSEEN;
}

void ladder_adapter_alive(struct ladder_adapter *l, usec_t now)
{
	l->failures = 0;
	l->alive = now;
}

void ladder_adapter_worked(struct ladder_adapter *l, usec_t now)
{
	ladder_adapter_alive(l, now);
	l->cycles = 0;
}

void ladder_adapter_heard(struct ladder_adapter *l, usec_t now)
{
	ladder_adapter_worked(l, now);
	l->heard = now;
}

void ladder_adapter_failed(struct ladder_adapter *l)
{
	l->failures++;
}

void ladder_adapter_stuck(struct ladder_adapter *l)
{
	l->stuck = true;
}

void ladder_adapter_ended(struct ladder_adapter *l)
{
	l->stuck = false;
}

/* Those of long ago count no more: nobody may have been there to be found since. */
static unsigned cycles_in_vain(const struct ladder_adapter *l, usec_t now)
{
	return lately(l->cycled, CYCLE_PAUSE_ALIVE, now) ? l->cycles : 0;
}

/* When a power cycle is due; USEC_INFINITY: there is no reason for one. */
static usec_t cycle_due(const struct ladder_adapter *l, usec_t now)
{
	unsigned enough = cycles_in_vain(l, now) > 0 ? 1 : FAILURES_SUSPECT;
	bool wedged = l->failures >= enough, lifeless = l->alive <= l->cycled;
	usec_t due = now;

	if (!wedged && !l->stuck && !l->owed)
		return USEC_INFINITY;
	if (l->owed)
		due = l->alive > l->cycled ? now : l->cycled + CYCLE_PAUSE;
	else if (l->cycled > 0)
		due = MAX(due, l->cycled + (wedged || lifeless ? CYCLE_PAUSE : CYCLE_PAUSE_ALIVE));
	if (l->heard > 0 && !l->owed)
		due = MAX(due, l->heard + QUIET);
	return due;
}

enum rung ladder_adapter_rung(const struct ladder_adapter *l, usec_t now)
{
	if (cycle_due(l, now) > now)
		return RUNG_MAX_;
	return cycles_in_vain(l, now) >= CYCLES_HELPLESS ? RUNG_RESTART : RUNG_POWER_CYCLE;
}

usec_t ladder_adapter_due(const struct ladder_adapter *l, usec_t now)
{
	return cycle_due(l, now);
}

bool ladder_adapter_hears(const struct ladder_adapter *l, usec_t now)
{
	return lately(l->heard, QUIET, now);
}

void ladder_adapter_cycled(struct ladder_adapter *l, usec_t now)
{
	l->cycles = cycles_in_vain(l, now) + 1;
	l->cycled = now;
	l->failures = 0;
	l->stuck = l->owed = false;
}

void ladder_adapter_cycle_failed(struct ladder_adapter *l)
{
	l->failures++;
	l->owed = true;
}

void ladder_daemon_answered(struct ladder_daemon *l)
{
	l->unanswered = 0;
}

void ladder_daemon_unanswered(struct ladder_daemon *l)
{
	l->unanswered++;
}

bool ladder_daemon_restart_due(const struct ladder_daemon *l, bool helpless, usec_t now)
{
	return (l->unanswered >= UNANSWERED_SUSPECT || helpless) &&
	       !lately(l->restarted, RESTART_PAUSE, now);
}

bool ladder_daemon_restarted(struct ladder_daemon *l, usec_t now)
{
	bool first = !l->told || !lately(l->restarted, RESTART_EPISODE, now);

	l->told = true;
	l->restarted = now;
	l->unanswered = 0;
	return first;
}

bool ladder_daemon_heard(struct ladder_daemon *l)
{
	bool told = l->told;

	l->told = false;
	return told;
}
