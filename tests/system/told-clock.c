/*
 * A daemon whose clocks a test moves: linked with vitald's own objects, this comes before the C
 * library's clock_gettime(), time(), adjtimex() and timerfd, for the libraries too. VITALD_TOLD_CLOCK names
 * a file of three numbers of 64 bits, which may be written at any time:
 *
 *	0   added to CLOCK_REALTIME, microseconds: what the clock is set to
 *	8   added to CLOCK_BOOTTIME and CLOCK_REALTIME: how long the machine has slept
 *	16  something disciplines the clock
 *
 * Without it all is as ever. The one timer on CLOCK_REALTIME that there is, which the kernel cancels
 * when the clock is set, becomes a watch of that file: readable when the file was written.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

enum { FDS_MAX = 1024, NS_PER_US = 1000 };

struct told {
	int64_t set_us, slept_us, synchronised;
};

static const volatile struct told *told;
static int clock_of[FDS_MAX]; /* of a timer: its clock + 1 */

__attribute__((constructor)) static void find_told(void)
{
	const char *path = getenv("VITALD_TOLD_CLOCK");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	told = mmap(NULL, sizeof(*told), PROT_READ, MAP_SHARED, fd, 0);
	assert(told != MAP_FAILED);
	(void)close(fd); /* the map stays */
}

static struct timespec moved(struct timespec t, int64_t us)
{
	int64_t ns = t.tv_nsec + us % 1000000 * NS_PER_US;

	t.tv_sec += us / 1000000 + (ns >= 1000000000) - (ns < 0);
	t.tv_nsec = (ns + 1000000000) % 1000000000;
	return t;
}

int clock_gettime(clockid_t id, struct timespec *ret)
{
	int r = (int)syscall(SYS_clock_gettime, id, ret);

	if (r < 0 || !told)
		return r;
	if (id == CLOCK_REALTIME)
		*ret = moved(*ret, told->set_us + told->slept_us);
	else if (id == CLOCK_BOOTTIME)
		*ret = moved(*ret, told->slept_us);
	return r;
}

/* Of libcrypto, which judges certificates by it. */
time_t time(time_t *ret)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now); /* never fails */
	if (ret)
		*ret = now.tv_sec;
	return now.tv_sec;
}

int adjtimex(struct timex *t)
{
	int r = (int)syscall(SYS_adjtimex, t);

	if (!told)
		return r;
	t->status = told->synchronised ? STA_PLL : STA_UNSYNC;
	t->esterror = 0;
	t->offset = 0;
	return told->synchronised ? TIME_OK : TIME_ERROR;
}

int timerfd_create(int id, int flags)
{
	const char *path = getenv("VITALD_TOLD_CLOCK");
	int fd;

	if (!told || id != CLOCK_REALTIME) {
		fd = (int)syscall(SYS_timerfd_create, id, flags);
	} else {
		fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
		if (fd >= 0 && inotify_add_watch(fd, path, IN_MODIFY) < 0)
			return -1;
	}
	assert(fd < FDS_MAX);
	if (fd >= 0)
		clock_of[fd] = id + 1;
	return fd;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
	struct itimerspec at = *new;
	char events[4096];

	if (told && clock_of[fd] == CLOCK_REALTIME + 1) {
		while (read(fd, events, sizeof(events)) > 0)
			;
		return 0;
	}
	/* Absolute, and not the zero that disarms it. */
	if (told && clock_of[fd] == CLOCK_BOOTTIME + 1 && at.it_value.tv_sec > 0 &&
	    at.it_value.tv_sec < (time_t)1 << 40) {
		at.it_value = moved(at.it_value, -told->slept_us);
		if (at.it_value.tv_sec <= 0)
			at.it_value = (struct timespec){.tv_nsec = 1};
	}
	return (int)syscall(SYS_timerfd_settime, fd, flags, &at, old);
}
