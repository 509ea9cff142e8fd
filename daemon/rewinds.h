/* Sends again what a server had confirmed, as the owner wishes: `vitalctl anchors rewind|import`. */
#pragma once

#include "control/bus.h"
#include "store/outbox.h"

/*
 * Adds the table "rewound" with one row: what is sent again, or would be with wish->dry_run.
 * CONTROL_E_REFUSED: `ret_why` says why in words, and nothing was changed.
 */
int rewinds_do(struct store *s, const struct control_rewind *wish, usec_t now, struct tables *ret,
	       char ret_why[static 200]);
