/* Whole files, and the files of a folder in the order of their names. */
#pragma once

#include "util/buf.h"

enum { FILE_E_TOO_MANY = 1 };

struct file_list {
	char **paths; /* folder/name */
	size_t n;
};

/*
 * Appends at most `max` bytes of the file. < 0: -errno, nothing is wrong with `ret` but its
 * content.
 */
int file_read(const char *path, size_t max, struct buf *ret);

/* Writes all of it, and waits for the disk. < 0: -errno. */
int file_write(int fd, const struct buf *content);

struct file_list *file_list_free(struct file_list *l);
DEFINE_CLEANUP(struct file_list *, file_list_free)
/*
 * The names in `dir` that end with `suffix` and do not begin with a dot, sorted by bytes.
 * FILE_E_TOO_MANY: more than `max`. < 0: -errno.
 */
int file_list(const char *dir, const char *suffix, size_t max, struct file_list **ret);
