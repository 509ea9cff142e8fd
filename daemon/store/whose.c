/*
 * Files of the store that its user may not write. Root put a copy back with mv, or looked in with
 * a tool of SQLite, which leaves a -wal of root's beside it. SQLite calls all of that "unable to open
 * database file"; whoever is to mend it has to hear which file, whose it is, and what to type.
 */
#include "store/look.h"

#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *name_of(uid_t uid, char number[static 16])
{
	const struct passwd *user = getpwuid(uid);

	if (user)
		return user->pw_name;
	(void)snprintf(number, 16, "user %u", (unsigned)uid);
	return number;
}

/* It is there, and this user may not do with it what the owner of a store has to. */
static bool is_closed(const char *path, struct stat *ret)
{
	return stat(path, ret) == 0 &&
	       access(path, R_OK | W_OK | (S_ISDIR(ret->st_mode) ? X_OK : 0)) < 0 &&
	       errno == EACCES;
}

bool store_whose(const char *state_dir, struct store_whose *ret)
{
	static const char *const names[] = {"", "/owner", "/store.db", "/store.db-wal",
					    "/store.db-shm"};
	char path[512], mine[16], other[16];
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (snprintf(path, sizeof(path), "%s%s", state_dir, names[i]) >= (int)sizeof(path))
			return false;
		if (!is_closed(path, &st))
			continue;
		if (st.st_uid == geteuid())
			(void)snprintf(ret->what, sizeof(ret->what),
				       "%.110s may not be written by its own user", path);
		else
			(void)snprintf(ret->what, sizeof(ret->what),
				       "%.80s belongs to %.32s: vitald may not write it", path,
				       name_of(st.st_uid, other));
		(void)snprintf(ret->remedy, sizeof(ret->remedy),
			       "`sudo chown -R %.32s: %.60s && sudo chmod -R u+rwX %.60s`",
			       name_of(geteuid(), mine), state_dir, state_dir);
		return true;
	}
	return false;
}
