/* What every command of vitalctl is given, and what it may return. */
#pragma once

#include "control/api.h"

/*
 * What a script may look at. For `status` 1 is degraded and 2 not working; for `audit` 1 is "does
 * not balance". The others are those of sysexits.h.
 */
enum exit_code {
	EXIT_FINE = 0,
	EXIT_DEGRADED = 1,
	EXIT_NOT_WORKING = 2,
	EXIT_USAGE = 64,
	EXIT_BAD_DATA = 65,
	EXIT_UNAVAILABLE = 69,
	EXIT_NO_MEMORY = 71,
	EXIT_DENIED = 77,
};

struct client;

struct ctl {
	bool json;
	bool help;
	struct config *config; /* NULL: it is not there, or has mistakes */
	const char *runtime_dir, *state_dir;
	struct client *client;
};

int command_status(struct ctl *ctl, int argc, char **argv);
int command_queue(struct ctl *ctl, int argc, char **argv);
int command_anchors(struct ctl *ctl, int argc, char **argv);
int command_quarantine(struct ctl *ctl, int argc, char **argv);
int command_unreadable(struct ctl *ctl, int argc, char **argv);
int command_devices(struct ctl *ctl, int argc, char **argv);
int command_audit(struct ctl *ctl, int argc, char **argv);
int command_events(struct ctl *ctl, int argc, char **argv);
int command_config(struct ctl *ctl, int argc, char **argv);
int command_backup(struct ctl *ctl, int argc, char **argv);
int command_check(struct ctl *ctl, int argc, char **argv);
int command_store(struct ctl *ctl, int argc, char **argv);
int command_capture(struct ctl *ctl, int argc, char **argv);
int command_reconcile(struct ctl *ctl, int argc, char **argv);
int command_report(struct ctl *ctl, int argc, char **argv);
int command_sync(struct ctl *ctl, int argc, char **argv);

/* What the files say, as the table that the daemon answers "config" with. NULL: they have mistakes. */
const struct table *command_config_files(struct ctl *ctl, struct tables *ret);

/* "--name VALUE" or "--name=VALUE" at argv[*i], which is then at the value. False: it is not that. */
bool command_value(int argc, char **argv, int *i, const char *name, const char **ret);
/* Complains of an argument that a command does not know. Returns EXIT_USAGE. */
int command_bad_argument(const char *command, const char *argument);
/* Complains of one that is missing. Returns EXIT_USAGE. */
int command_lacks(const char *command, const char *what);
