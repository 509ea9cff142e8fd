/*
 * Whole stores, for vitalctl: copies them, looks them over, takes them back to an older version. It
 * writes into no store but its own copy, and one that nobody owns (copy_downgrade()).
 */
#pragma once

#include "store/look.h"

/* How far it is, in thousandths. False: stop. */
typedef bool (*copy_progress)(void *userdata, unsigned thousandths);

enum copy_error {
	COPY_E_EXISTS = 20, /* the file is there already */
	COPY_E_STOPPED = 21,
	COPY_E_UNDER_WAY = 22, /* something that an older version could not go on with */
};

/*
 * Copies the store as one commit left it into a new file, which is looked over, on the disk when
 * this returns 0, and marked: a start from it begins a new incarnation. Whoever owns the store goes
 * on meanwhile. Otherwise COPY_E_*, STORE_E_* or < 0, `why`, and no file.
 */
int copy_backup(const char *state_dir, const char *to, copy_progress progress, void *userdata,
		char why[static 256]);
/*
 * Looks a store over: `file`, or that of `state_dir` if it is NULL. STORE_E_CORRUPT: `why` has the first
 * damage. `whole`: indices are compared with their tables as well.
 */
int copy_check(const char *state_dir, const char *file, bool whole, copy_progress progress,
	       void *userdata, char why[static 256]);
/*
 * Takes the store back to version `to`, for an older vitald; beside it a copy of what it was
 * (`ret_backup`). STORE_E_OWNED: the daemon must be stopped; STORE_E_NOTHING: it is of that version;
 * COPY_E_UNDER_WAY: a move to new names or a salvage has not ended, and only the daemon can end it.
 */
int copy_downgrade(const char *state_dir, const char *runtime_dir, int to,
		   char ret_backup[static 512], char why[static 256]);
