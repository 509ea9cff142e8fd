/* Two directories of a test's own, as a daemon has them. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { DIR_SIZE = 64, SUBDIR_SIZE = 96 };

static inline void dirs_make(const char *parent, char dir[static DIR_SIZE],
			     char state[static SUBDIR_SIZE], char run[static SUBDIR_SIZE])
{
	(void)snprintf(dir, DIR_SIZE, "%s/vitald-test-XXXXXX", parent);
	assert_non_null(mkdtemp(dir));
	(void)snprintf(state, SUBDIR_SIZE, "%s/state", dir);
	(void)snprintf(run, SUBDIR_SIZE, "%s/run", dir);
	assert_int_equal(mkdir(state, 0700), 0);
	assert_int_equal(mkdir(run, 0700), 0);
}

static inline void dirs_remove(const char *dir)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	assert_int_equal(system(command), 0);
}
