/*
 * The rooms joined as daemon.c joins them, without a source: a benchmark is the source. Turns the
 * loop itself, so that it can time each slice of it.
 */
#pragma once

#include "collect.h"
#include "upload/uploader.h"

struct hub_options {
	const char *directory;			/* state lies here, on the disk that is measured */
	int port;				/* of the receiver */
	const char *linger, *durability_window; /* as in the config */
	bool no_uploader;			/* nobody to send to and nobody who tries */
};

struct hub {
	struct config *config;
	sd_event *event;
	struct store *store;
	struct collect *collect;
	struct uploader *uploader;
	sd_event_source *commit_timer, *after, *tick;
	struct source_handler source;
	char runtime_dir[64], state_dir[256];
	uint64_t n_failed;		/* sync events that tell a failure */
	uint64_t immediate, background; /* ... a success */
	bool settled;			/* since this was last cleared */
	/* Slices of the loop: by the clock; less what other processes had of the core; CPU. */
	bool timed; /* costs a twentieth of a loop that is busy */
	usec_t longest_wall, longest;
	usec_t longest_cpu;
};

int hub_open(const struct hub_options *o, struct hub *h);
/* Commits all and closes. */
int hub_close(struct hub *h);
/* Waits for at most `timeout` (USEC_INFINITY: for ever) and does one thing. */
void hub_turn(struct hub *h, usec_t timeout);
/* Gives a frame to the collector. */
void hub_frame(struct hub *h, const struct frame *f);
usec_t hub_now(void);
uint64_t hub_admitted(const struct hub *h);
uint64_t hub_confirmed(const struct hub *h);
