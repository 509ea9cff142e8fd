/*
 * Reads the kernel's clocks. A Raspberry Pi has no battery for its clock: until NTP has answered,
 * its wall time is whatever was saved at the last shutdown, or 1970. adjtimex() tells: STA_UNSYNC
 * is cleared by timesyncd, chrony and ntpd alike, and set again by the kernel when they fall
 * silent.
 */
#include "util/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

/* Between two looks at one clock the other is read; more apart than this, and we were preempted. */
#define NEAR_NS 5000

enum { READ_TRIES = 5 };

static int64_t read_ns(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) < 0)
		return 0;
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int64_t read_clock(clockid_t id)
{
	return read_ns(id) / 1000;
}

/* Clock a minus clock b, at one moment: of some tries that in which the least time went by. */
static int64_t difference_usec(clockid_t a, clockid_t b)
{
	int64_t best_ns = INT64_MAX, difference_ns = 0;

	for (int i = 0; i < READ_TRIES && best_ns > NEAR_NS; i++) {
		int64_t before = read_ns(b), at = read_ns(a), took = read_ns(b) - before;

		if (took < best_ns) {
			best_ns = took;
			difference_ns = at - before - took / 2;
		}
	}
	return difference_ns / 1000;
}

usec_t clock_boot_usec(void)
{
	return (usec_t)read_clock(CLOCK_BOOTTIME);
}

int64_t clock_wall_usec(void)
{
	return read_clock(CLOCK_REALTIME);
}

int64_t clock_offset_usec(void)
{
	return difference_usec(CLOCK_REALTIME, CLOCK_BOOTTIME);
}

usec_t clock_slept_usec(void)
{
	return (usec_t)MAX(difference_usec(CLOCK_BOOTTIME, CLOCK_MONOTONIC), 0);
}

int64_t clock_bent_usec(void)
{
	return difference_usec(CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW);
}

/* What NTP has told the kernel to correct and is not corrected yet. */
static int64_t still_to_correct_us(const struct timex *t)
{
	int64_t left = t->status & STA_NANO ? t->offset / 1000 : t->offset;

	return left < 0 ? -left : left;
}

struct clock_state clock_read(enum clock_trust trust)
{
	struct clock_state state = {0};
	struct timex t = {0};
	int r = adjtimex(&t);

	state.synchronised = r >= 0 && r != TIME_ERROR && !(t.status & STA_UNSYNC);
	state.error_us = t.esterror + still_to_correct_us(&t);
	if (trust != CLOCK_TRUST_AUTO)
		state.synchronised = trust == CLOCK_TRUST_YES;
	state.offset_us = clock_offset_usec();
	return state;
}

void clock_format(int64_t wall_us, char ret[static 32])
{
	time_t seconds = (time_t)(wall_us / 1000000);
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || strftime(ret, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		(void)snprintf(ret, 32, "?"); /* a year beyond four digits */
}

void clock_boot_id(char ret[static 37])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, 36);

	if (fd >= 0)
		(void)close(fd); /* opened for reading */
	if (n != 36)
		memcpy(ret, "00000000-0000-0000-0000-000000000000", 36);
	ret[36] = '\0';
}
