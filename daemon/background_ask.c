/*
 * A daemon is at work: it is asked to do the duty, and does it in its own time. The timer leaves it
 * at that. Who typed `vitald drain` wants to know what came of it, and waits until
 *
 *    all that waited then is confirmed, or set aside      -> 0
 *    a server was tried and does not take it              -> 75, and why
 *    nothing has moved for background_timeout             -> 75
 *
 * What is heard meanwhile is not waited for: it goes out as ever.
 */
#include "background.h"

#include "daemon.h"
#include "model/catalog.h"
#include "model/config.h"
#include "util/log.h"

#include <stdio.h>
#include <time.h>

#define PATIENCE (5 * USEC_PER_SEC)
#define LOOK	 (200 * USEC_PER_MSEC)

struct sum {
	uint64_t waiting;
	uint64_t settled; /* confirmed, or in quarantine */
	char problem[200];
};

static bool is_tried_in_vain(const struct table *sinks, size_t i)
{
	const char *state = table_get_string(sinks, i, "state");

	return (streq(state, "down") || streq(state, "held")) &&
	       table_get_u64(sinks, i, "next_attempt_us", 0) > 0;
}

static void add_up(const struct tables *t, struct sum *ret)
{
	const struct table *sinks = tables_find(t, "sinks");

	*ret = (struct sum){0};
	for (size_t i = 0; i < table_rows(sinks); i++) {
		if (streq(table_get_string(sinks, i, "state"), "retired"))
			continue;
		ret->waiting += table_get_u64(sinks, i, "waiting", 0);
		ret->settled += table_get_u64(sinks, i, "confirmed", 0) +
				table_get_u64(sinks, i, "quarantined", 0);
		if (is_tried_in_vain(sinks, i))
			(void)snprintf(ret->problem, sizeof(ret->problem), "sink %s: %.150s",
				       table_get_string(sinks, i, "name"),
				       table_get_string(sinks, i, "reason"));
	}
}

static int look(const struct background *b, struct sum *ret)
{
	_cleanup_(tables_done) struct tables t = {0};
	int r = control_ask(b->config->runtime_dir, ASK_SINKS, PATIENCE, &t);

	if (r == 0)
		add_up(&t, ret);
	return r;
}

/* Until it is done, or cannot be; `now` is the last look. */
static void follow(struct background *b, uint64_t goal, uint64_t from, struct sum *now)
{
	const struct timespec pause = {.tv_nsec = LOOK * 1000};
	usec_t moved = clock_boot_usec();
	uint64_t last = now->settled;

	b->todo = goal - from;
	while (now->settled < goal) {
		b->done = now->settled - MIN(from, now->settled);
		background_count(b);
		background_show(b);
		(void)nanosleep(&pause, NULL); /* woken early is fine */
		if (look(b, now) != 0) {
			(void)snprintf(now->problem, sizeof(now->problem), "the daemon went away");
			break;
		}
		if (now->settled != last)
			moved = clock_boot_usec();
		last = now->settled;
		if (now->problem[0] || clock_boot_usec() > moved + b->config->background_timeout)
			break;
	}
	background_hide(b);
}

static int follow_and_tell(struct background *b, const struct sum *asked)
{
	uint64_t goal = asked->settled + asked->waiting, left;
	struct sum now = *asked;

	now.problem[0] = '\0'; /* of the time before it was asked */
	follow(b, goal, asked->settled, &now);
	left = goal - MIN(goal, now.settled);
	log_event(left ? LOG_WARNING : LOG_NOTICE, b->duty->catalog, NULL,
		  "%c%s: the daemon had %llu records confirmed, %llu still wait%s%s",
		  b->duty->name[0] - 'a' + 'A', b->duty->name + 1,
		  (unsigned long long)(asked->waiting - left), (unsigned long long)left,
		  left && now.problem[0] ? " because " : "", left ? now.problem : "");
	return left ? EXIT_BUSY : EXIT_SUCCESS;
}

int background_ask(struct background *b, const struct owner_info *owner, usec_t patience)
{
	_cleanup_(tables_done) struct tables t = {0};
	struct sum asked;
	int r = control_ask(b->config->runtime_dir, b->duty->ask, patience, &t);

	if (r == ASK_E_SILENT)
		return -ASK_E_SILENT;
	if (r != 0) {
		log_error("The %s (pid %d) was asked to %s and refused: is it of another version?",
			  owner->role, owner->pid, b->duty->verb);
		return EXIT_FAILURE;
	}
	add_up(&t, &asked);
	if (b->duty->ask != ASK_SYNC)
		log_event(LOG_INFO, b->duty->catalog, NULL,
			  "The %s (pid %d) is at work and was asked to %s now", owner->role,
			  owner->pid, b->duty->verb);
	else
		log_event(LOG_INFO, b->by_timer ? b->duty->catalog : NULL, NULL,
			  "The %s (pid %d) is at work and was asked to upload now; %llu records "
			  "wait",
			  owner->role, owner->pid, (unsigned long long)asked.waiting);
	return b->by_timer || b->duty->ask != ASK_SYNC ? EXIT_SUCCESS : follow_and_tell(b, &asked);
}
