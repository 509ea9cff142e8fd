/* Asks the daemon; where nobody answers, asks the store. */
#pragma once

#include "control/api.h"

struct client;

enum client_error {
	CLIENT_E_ABSENT = 1,  /* no daemon, and no store to read instead */
	CLIENT_E_DENIED = 2,  /* this user may do neither */
	CLIENT_E_STORE = 3,   /* the store cannot be read: newer, or corrupt */
	CLIENT_E_REFUSED = 4, /* the daemon answered with an error */
};

struct client *client_free(struct client *c);
DEFINE_CLEANUP(struct client *, client_free)
/* Borrows all three; `config` may be NULL. */
int client_new(const char *runtime_dir, const char *state_dir, const struct config *config,
	       struct client **ret);
/*
 * The tables of api.h, from the daemon, else from the store. "status" is always answered: without
 * daemon and store it says what is missing.
 */
int client_query(struct client *c, const char *which, struct tables *ret);
/*
 * The daemon did not answer just now: from here on its store is asked at once. For who has many
 * questions and does not want to wait for each.
 */
void client_spare(struct client *c);
/* The same, from the daemon only. CLIENT_E_ABSENT, CLIENT_E_DENIED: nobody answers. */
int client_ask(struct client *c, const char *which, struct tables *ret);
/* Each sync event as it happens: the table "events" with one row. < 0 ends client_listen(). */
typedef int (*client_event_cb)(void *userdata, const struct tables *event);
/* Calls back from now on, from client_listen(). Only the daemon can do this. */
int client_subscribe(struct client *c, client_event_cb cb, void *userdata);
/* Until the daemon ends (CLIENT_E_ABSENT), or what the callback returned. */
int client_listen(struct client *c);
/* Only the daemon can do this; the table "rewound". */
int client_accept(struct client *c, const char *sink, struct tables *ret);
int client_rewind(struct client *c, const struct control_rewind *wish, struct tables *ret);
/* Only the daemon can do this. */
int client_sync(struct client *c, bool critical, struct tables *ret);
/* As above: compare with the servers. The answer has the table "reconcile". */
int client_reconcile(struct client *c, bool everything, struct tables *ret);
/*
 * As above: what the daemon hears of the device ("": of all) goes into the socket from now on. The
 * answer has the table "devices".
 */
int client_capture(struct client *c, int socket, const char *device, struct tables *ret);
/* Why the last answer is not the daemon's, or why there is none; "" if it is. */
const char *client_problem(const struct client *c);
