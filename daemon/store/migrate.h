/* The store's versions, and the steps between them, in both directions. */
#pragma once

struct sqlite3;

#define MIGRATE_NEWEST 2

/* Goes step by step, each in a transaction of its own. < 0: sqlite3_errmsg() says why. */
int migrate_to(struct sqlite3 *db, int from, int to);
