/* Whose hardware is this? A hash of what names it, so that a card that was put into another is known. */
#pragma once

#include "util/macro.h"

enum { MACHINE_SIZE = 96 };

/*
 * "board:HEX id:HEX", either of them, or "" where neither can be read. `root` is put before the
 * paths: "" but for tests.
 */
void machine_read(const char *root, char ret[static MACHINE_SIZE]);
