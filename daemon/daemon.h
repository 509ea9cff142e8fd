/* The programs inside `vitald`: each takes its arguments and returns an exit status. */
#pragma once

/* Beside 0 and EXIT_FAILURE; sysexits(3), which systemd knows by name. */
enum {
	EXIT_USAGE = 64,
	EXIT_STORE = 65,  /* EX_DATAERR: a newer or corrupt store: refused untouched */
	EXIT_BUSY = 75,	  /* EX_TEMPFAIL: something is left to send; try again later */
	EXIT_CONFIG = 78, /* EX_CONFIG: a mistake in the config */
};

struct config;

/* Loads the config; its mistakes go to the journal or to stderr. */
int load_config(const char *path, struct config **ret);

int daemon_main(const char *config_path);
