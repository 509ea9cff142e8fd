/* For `vitald drain` beside a daemon that is alive: asks it over its private socket. */
#pragma once

#include "control/table.h"

enum { ASK_E_SILENT = 1 /* nobody answers in time */ };

/* Calls Sync and gives the table "sinks" of the answer. tables_done() the result. */
int control_ask_sync(const char *runtime_dir, usec_t patience, struct tables *ret);
