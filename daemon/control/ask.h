/* For the commands of the background beside a daemon: asks it over its private socket. */
#pragma once

#include "control/table.h"

enum ask {
	ASK_SINKS,     /* only how they are */
	ASK_SYNC,      /* send now what waits */
	ASK_RECONCILE, /* compare the servers */
	ASK_CLEANUP,   /* delete what is no longer needed */
};

enum ask_error {
	ASK_E_SILENT = 1,  /* nobody answers in time */
	ASK_E_REFUSED = 2, /* it answers that it will not, or cannot */
};

/* Gives the tables of the answer. tables_done() the result. */
int control_ask(const char *runtime_dir, enum ask what, usec_t patience, struct tables *ret);
