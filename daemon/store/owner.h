/*
 * One owner: whoever holds the lock on STATE_DIR/owner writes the store and the tail, nobody else.
 * The kernel gives the lock back when the process ends, however it ends.
 */
#pragma once

#include "util/macro.h"

enum { OWNER_E_TAKEN = 1 };

/* Takes the lock, or OWNER_E_TAKEN. `ret_fd` holds it until it is closed. */
int owner_take(const char *state_dir, int *ret_fd);
/* Does anybody hold it? < 0: cannot tell. */
int owner_held(const char *state_dir);

/*
 * "Let go": a file in the runtime directory, made by who wants to own, removed by who has become
 * it.
 */
int owner_ask(const char *runtime_dir);
bool owner_asked(const char *runtime_dir);
void owner_answered(const char *runtime_dir);
