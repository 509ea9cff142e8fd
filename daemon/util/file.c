/*
 * Reading what an owner wrote: a configuration and its drop-ins. Bounded, because what a path leads
 * to is not ours; sorted by bytes and not by locale, because 10-a.conf must not overtake 20-b.conf
 * on one hub and trail it on the next. And writing what has to be on the disk before we say so.
 */
#include "util/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { CHUNK = 4096 };

static bool ends_with(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);

	return n > m && streq(name + n - m, suffix);
}

static int add(struct file_list *l, const char *dir, const char *name)
{
	char **paths = reallocarray(l->paths, l->n + 1, sizeof(*paths));

	if (!paths)
		return -ENOMEM;
	l->paths = paths;
	if (asprintf(&paths[l->n], "%s/%s", dir, name) < 0)
		return -ENOMEM;
	l->n++;
	return 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_all(struct file_list *l, DIR *folder, const char *dir, const char *suffix,
		   size_t max)
{
	const struct dirent *d;
	int r;

	for (errno = 0; (d = readdir(folder)); errno = 0) {
		if (d->d_name[0] == '.' || !ends_with(d->d_name, suffix))
			continue;
		if (l->n == max)
			return FILE_E_TOO_MANY;
		r = add(l, dir, d->d_name);
		if (r < 0)
			return r;
	}
	return -errno;
}

int file_read(const char *path, size_t max, struct buf *ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : 0;
	size_t got = 0;

	while (r == 0 && got < max) {
		uint8_t *p = buf_reserve(ret, CHUNK);
		ssize_t n = p ? read(fd, p, MIN((size_t)CHUNK, max - got)) : 0;

		if (n == 0)
			break;
		if (n < 0) {
			r = errno == EINTR ? 0 : -errno;
			continue;
		}
		ret->size += (size_t)n;
		got += (size_t)n;
	}
	if (fd >= 0)
		(void)close(fd); /* nothing was written to it */
	return ret->failed ? -ENOMEM : r;
}

int file_write(int fd, const struct buf *content)
{
	for (size_t at = 0; at < content->size;) {
		ssize_t n = write(fd, content->data + at, content->size - at);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

struct file_list *file_list_free(struct file_list *l)
{
	if (!l)
		return NULL;
	for (size_t i = 0; i < l->n; i++)
		free(l->paths[i]);
	free(l->paths);
	free(l);
	return NULL;
}

int file_list(const char *dir, const char *suffix, size_t max, struct file_list **ret)
{
	_cleanup_(file_list_freep) struct file_list *l = calloc(1, sizeof(*l));
	DIR *folder;
	int r;

	if (!l)
		return -ENOMEM;
	folder = opendir(dir);
	if (!folder)
		return -errno;
	r = add_all(l, folder, dir, suffix, max);
	(void)closedir(folder); /* nothing was written to it */
	if (r != 0)
		return r;
	if (l->n > 0)
		qsort(l->paths, l->n, sizeof(*l->paths), compare);
	*ret = TAKE(l);
	return 0;
}
