/*
 * The daemon's door for whoever asks: the object of api.h on a private socket, always, and on the
 * system bus, when there is one.
 */
#pragma once

#include "control/snapshot.h"

#include <systemd/sd-event.h>

struct control;

struct control_options {
	const char *runtime_dir; /* the socket is made in it */
	bool system_bus;	 /* also be org.vitald there */
};

/* Called from the loop. Tables are made with snapshot_tables(). */
struct control_handler {
	void *userdata;
	/* Fills `ret`. CONTROL_E_UNKNOWN, or < 0: a fault, which becomes the answer. */
	int (*tables)(void *userdata, const char *which, struct tables *ret);
	/* The store to audit, or NULL: there is none. It outlives the control. */
	struct store *(*store)(void *userdata);
	/* Wake the uploader. `critical`, as `vitalctl sync` asks: commit the tail first. */
	int (*sync)(void *userdata, bool critical);
	/* `vitald cleanup` beside a daemon: begin the daily duties. */
	int (*cleanup)(void *userdata);
	/* `vitalctl reconcile`: compare with the servers, what is recent or everything. */
	int (*reconcile)(void *userdata, bool everything);
	/*
	 * `vitalctl capture`: what is heard of the device ("": of all) goes into the socket, which is
	 * taken unless it says no. CONTROL_E_BUSY, CONTROL_E_SOCKET.
	 */
	int (*capture)(void *userdata, int fd, const char *device);
	/* `vitalctl anchors rewind`. CONTROL_E_REFUSED: `why` says it. */
	int (*rewind)(void *userdata, const struct control_rewind *wish, struct tables *ret,
		      char why[static 200]);
	/*
	 * `vitalctl anchors accept`: the sink is the same server at another url. -ENOENT: none such.
	 * `ret_changed`: that was news.
	 */
	int (*accept)(void *userdata, const char *sink, bool *ret_changed);
	/* "healthy", "degraded", "not_working": the property. */
	const char *(*state)(void *userdata);
};

struct control *control_free(struct control *c);
DEFINE_CLEANUP(struct control *, control_free)
/* Copies options and handler. < 0: the socket cannot be made; the system bus is never an error. */
int control_new(sd_event *event, const struct control_options *options,
		const struct control_handler *handler, struct control **ret);
/* Tells all who subscribed. */
void control_event(struct control *c, const struct sync_event *event);
/* Why it is not on the system bus although it should be; NULL: it is, or need not be. */
const char *control_problem(const struct control *c);
