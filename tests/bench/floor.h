/*
 * The floors: what the machine does for the same bytes when nobody adds anything to it. Each prints
 * lines of "name value".
 */
#pragma once

#include "util/macro.h"

/* One block of 4 KB overwritten and fdatasync()ed, `n` times. */
int floor_disk(const char *directory, size_t n);
/*
 * The rows that a store holds, inserted into an empty table of the same make with `n_commits`
 * commits of the same kind; and once more with a row for each record.
 */
int floor_rows(const char *directory, const char *store, size_t n_commits);
/* A process that only links these libraries: `n` connections to an https server, one a request. */
int floor_libraries(const char *url, const char *ca_file, size_t n);
