/*
 * A private system bus for a test: a dbus-daemon that everybody may use for everything, and that
 * sd_bus_open_system() of this process finds. It ends with the test, however that ends.
 */
#pragma once

#include <sys/types.h>

struct fake_bus {
	pid_t pid;
	char dir[32];
};

void fake_bus_start(struct fake_bus *b);
void fake_bus_stop(struct fake_bus *b);
