/*
 * Two writers on one store would give one number to two records. So the daemon and every command
 * that writes take this lock first, and a drain that works for a dead daemon hands over when the
 * daemon is back: it asks owner_asked() between batches and lets go within a second.
 *
 * flock() and not fcntl(): it belongs to the open file, so no other close() in the process drops
 * it. The heartbeat is in the header of the tail, not in this file: written every few seconds on a
 * card it would cost ten megabytes a day.
 */
#include "store/owner.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

static int open_in(const char *dir, const char *name, int flags)
{
	char path[512];
	int fd;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, flags | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

int owner_take(const char *state_dir, int *ret_fd)
{
	int fd = open_in(state_dir, "owner", O_RDWR | O_CREAT);

	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int r = errno == EWOULDBLOCK ? OWNER_E_TAKEN : -errno;

		(void)close(fd); /* without the lock it is nothing */
		return r;
	}
	*ret_fd = fd;
	return 0;
}

int owner_held(const char *state_dir)
{
	int fd = open_in(state_dir, "owner", O_RDONLY);
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	/* A shared lock can be had while nobody owns, and is gone again before anybody notices. */
	r = flock(fd, LOCK_SH | LOCK_NB) < 0;
	(void)close(fd); /* drops it */
	return r;
}

int owner_ask(const char *runtime_dir)
{
	int fd = open_in(runtime_dir, "owner.wanted", O_WRONLY | O_CREAT);

	if (fd < 0)
		return fd;
	(void)close(fd); /* its existence is the message */
	return 0;
}

static bool wanted_path(const char *runtime_dir, char ret[static 512])
{
	return snprintf(ret, 512, "%s/owner.wanted", runtime_dir) < 512;
}

bool owner_asked(const char *runtime_dir)
{
	char path[512];

	return wanted_path(runtime_dir, path) && access(path, F_OK) == 0;
}

void owner_answered(const char *runtime_dir)
{
	char path[512];

	if (wanted_path(runtime_dir, path))
		(void)unlink(path); /* may never have been there */
}
