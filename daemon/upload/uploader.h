/*
 * The uploader: for each sink, layer 1 (new records, at once, a few quick attempts) and layer 2
 * (batch rows, backoff, breaker), judged by receipts. It cuts and settles in the store's outbox and
 * moves nothing the server has not confirmed. The states of a sink are drawn in uploader.c.
 */
#pragma once

#include "model/config.h"
#include "model/event.h"
#include "store/outbox.h"

#include <systemd/sd-event.h>

struct uploader;

enum uploader_mode {
	UPLOADER_DAEMON, /* both lanes, for ever */
	UPLOADER_DRAIN,	 /* backlog only, background timeouts, until nothing is left or works */
};

struct reconcile_state;

struct uploader_handler {
	void *userdata;
	void (*event)(void *userdata, const struct sync_event *event);
	/* UPLOADER_DRAIN: done. `problem`: why something is left, or NULL. */
	void (*drained)(void *userdata, const char *problem);
	/* A comparison with one sink has ended; it was said in the journal. May be NULL. */
	void (*reconciled)(void *userdata, const struct reconcile_state *result);
	/*
	 * A server knows our names in somebody else's hand. Whoever can begin anew does so and says
	 * uploader_renamed(); from the loop, not from here. NULL: nobody can.
	 */
	void (*identity)(void *userdata, enum incarnation_reason reason, const char *detail);
	/* UPLOADER_DRAIN: is more to come, by and by? Then it has not ended. May be NULL. */
	bool (*more)(void *userdata);
};

struct uploader *uploader_free(struct uploader *u);
DEFINE_CLEANUP(struct uploader *, uploader_free)
/* Registers the config's sinks with the store, retires the others. Borrows store and config. */
int uploader_new(sd_event *event, struct store *store, const struct config *config,
		 enum uploader_mode mode, const struct uploader_handler *handler,
		 struct uploader **ret);

/* New records were admitted: starts the linger. Cheap; called for every record. */
void uploader_kick(struct uploader *u, usec_t now);
/* Clock synchronised, resumed, the background, `vitalctl sync`: holds and backoff end at once. */
void uploader_wake(struct uploader *u, bool critical);
/* The network is back, for all hubs of the street: the same, within seconds that are drawn by lot. */
void uploader_return(struct uploader *u);

/*
 * The owner says that the sink of this name is the same server at another url. -ENOENT: none such.
 * `ret_changed`: it had another one.
 */
int uploader_accept(struct uploader *u, const char *sink, bool *ret_changed);
/* Nothing more is sent. What is under way is waited for as long as uploader_is_sending() is looked at. */
void uploader_close(struct uploader *u);
bool uploader_is_sending(const struct uploader *u);
/* Streams have new names: each server is greeted again, and what was held for the old ones is tried. */
void uploader_renamed(struct uploader *u);

enum reconcile_phase {
	RECONCILE_IDLE,
	RECONCILE_WAITING, /* for the sink to be up */
	RECONCILE_RUNNING,
};

struct reconcile_state {
	char sink[33];
	enum reconcile_phase phase;
	int64_t last_us; /* wall: when one came to its end; 0: never */
	usec_t due;	 /* CLOCK_BOOTTIME: the next one by itself; USEC_INFINITY: none */
	/* Of the one that runs, else of the last one of this process. */
	bool everything;
	bool ended;			/* it got through */
	bool unsupported;		/* the server cannot be compared with: it has no windows */
	uint32_t streams, streams_done; /* to be compared; compared */
	uint32_t streams_again;		/* of which something is owed again */
	uint64_t compared;		/* records that both hold */
	uint64_t again;			/* that the server lacks: owed again */
	uint64_t server_only;		/* that only the server holds */
	uint64_t conflicts;		/* that differ: their streams are held */
	uint64_t requests;
	usec_t retry_after; /* it ended because the server wants to be left alone so long; 0: no */
	usec_t took;
	char problem[160]; /* why it did not get through; "" */
};

enum sink_state_name {
	SINK_UP,       /* confirmed last, or not tried yet */
	SINK_RETRYING, /* layer 1 is between attempts */
	SINK_DOWN,     /* breaker open: transient failures, next attempt known */
	SINK_HELD,     /* account failure: needs the owner, probed */
};

struct sink_state {
	char name[33];
	enum sink_state_name state;
	char reason[200];			      /* why it is not up; "" when it is */
	char detail[160];			      /* ... as the transport says it; or "" */
	usec_t since;				      /* in this state */
	usec_t next_attempt;			      /* 0: none planned */
	int64_t last_success_us;		      /* wall; 0: never in this run */
	uint64_t immediate_success, immediate_failed; /* batches of layer 1 */
	uint64_t immediate_first_try;		      /*   ... confirmed by the first attempt */
	uint64_t background_success, background_failed;
	uint64_t requests, records_confirmed, duplicates, quarantined;
	uint64_t bytes_sent;
	uint64_t drain_rate;	  /* records a second lately, backlog; 0: unknown */
	bool elsewhere;		  /* held because its url was changed: uploader_accept() */
	uint64_t unknown_streams; /* of our gateway at the server, and not of this store */
	struct reconcile_state reconcile;
};
size_t uploader_sink_count(const struct uploader *u);
void uploader_sink_state(const struct uploader *u, size_t index, struct sink_state *ret);

/*
 * Compares what each server says it holds with what it has confirmed (reconcile.h), of the last
 * reconcile_window or of all time, and owes it again what it lacks. A sink that is not up is compared
 * when it is; one that is being compared goes on, and with `everything` looks at all of it after.
 * UPLOADER_DAEMON does it every reconcile_interval by itself. UPLOADER_DRAIN does it when asked, before
 * the loop runs or later: drained() then waits until it has ended and what it found is sent.
 */
void uploader_reconcile(struct uploader *u, bool everything);
/* Is any being compared, or to be at once? For whoever ends it and goes on with another uploader. */
bool uploader_is_reconciling(const struct uploader *u, bool *ret_everything);
void uploader_reconcile_state(const struct uploader *u, size_t index, struct reconcile_state *ret);
