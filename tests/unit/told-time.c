/*
 * A program's own clock_gettime() and timerfd functions come before those of the C library, for the
 * libraries it is linked with too. sd-event arms one timerfd for each clock; here a real one fires at
 * once when its time has come, and never by itself.
 */
#include "told-time.h"

#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { TIMERS_MAX = 1024 }; /* file descriptors below this */

static usec_t now_us = 1000 * USEC_PER_SEC;
static usec_t armed[TIMERS_MAX]; /* 0: not */

usec_t told_time(void)
{
	return now_us;
}

usec_t told_time_next(void)
{
	usec_t next = USEC_INFINITY;

	for (int fd = 0; fd < TIMERS_MAX; fd++)
		if (armed[fd] > now_us) /* else it has fired, or was closed since */
			next = MIN(next, armed[fd]);
	return next;
}

static void fire(int fd, bool due)
{
	const struct itimerspec past = {.it_value.tv_nsec = due};

	(void)syscall(SYS_timerfd_settime, fd, TFD_TIMER_ABSTIME, &past,
		      NULL); /* one that was closed since is no matter */
}

void told_time_set(usec_t now)
{
	assert(now >= now_us);
	now_us = now;
	for (int fd = 0; fd < TIMERS_MAX; fd++)
		if (armed[fd] > 0 && armed[fd] <= now)
			fire(fd, true);
}

static struct timespec to_timespec(usec_t us)
{
	return (struct timespec){.tv_sec = (time_t)(us / USEC_PER_SEC),
				 .tv_nsec = (long)(us % USEC_PER_SEC * 1000)};
}

int clock_gettime(clockid_t id, struct timespec *ret)
{
	if (id != CLOCK_MONOTONIC && id != CLOCK_BOOTTIME && id != CLOCK_MONOTONIC_RAW)
		return (int)syscall(SYS_clock_gettime, id, ret);
	*ret = to_timespec(now_us);
	return 0;
}

int timerfd_create(int id, int flags)
{
	int fd = (int)syscall(SYS_timerfd_create, id, flags);

	assert(fd < TIMERS_MAX);
	if (fd >= 0)
		armed[fd] = 0;
	return fd;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
	const struct timespec *at = &new->it_value;

	assert(flags == TFD_TIMER_ABSTIME && fd < TIMERS_MAX && !old);
	armed[fd] = (usec_t)at->tv_sec * USEC_PER_SEC + ((usec_t)at->tv_nsec + 999) / 1000;
	fire(fd, armed[fd] > 0 && armed[fd] <= now_us);
	return 0;
}
