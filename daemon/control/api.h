/*
 * What vitalctl may know of control/: where the daemon answers, what may be asked, and how the
 * same answers are made from a store when no daemon is there to ask.
 *
 *     bus name   org.vitald (system bus), or none on the private socket RUNTIME_DIR/control
 *     object     /org/vitald
 *     interface  org.vitald.Manager1
 *                Query(s which) -> a(sasaav) tables     see table.h
 *                Sync(b critical) -> a(sasaav) tables   "sinks", as they are after the kick
 *                Cleanup() -> a(sasaav) tables          "sinks"; the daily duties begin
 *                Reconcile(b everything) -> a(sasaav) tables   "reconcile": what was begun, or is
 *                                                       under way; Query("reconcile") tells how far
 *                Capture(h socket, s device) -> a(sasaav) tables   "devices", as they are then; a
 *                                                       btsnoop file comes through the SEQPACKET
 *                                                       socket, a message a packet. device: its
 *                                                       address, or "" for all
 *                Rewind(s sink, s stream, t after_seq, x since_us, b dry_run)
 *                       -> a(sasaav) tables             "rewound": what of the stream is sent
 *                                                       again, from behind after_seq on or, if
 *                                                       since_us is not 0, from that time on
 *                Accept(s sink) -> a(sasaav) tables     "sinks", "accepted": that one is the same
 *                                                       server at another url
 *                Subscribe()                            private socket only: signals from now on
 *                Version s, State s                     properties
 *                SyncEvent(x wall_us, s type, s data_type, b success, u count, u retries,
 *                          u duration_ms, s sink, s reason, t number, u latency_ms)
 */
#pragma once

#include "control/events.h"
#include "control/table.h"
#include "model/config.h"

struct store;

#define CONTROL_BUS_NAME  "org.vitald"
#define CONTROL_OBJECT	  "/org/vitald"
#define CONTROL_INTERFACE "org.vitald.Manager1"
#define CONTROL_SOCKET	  "control" /* in the runtime directory */

/*
 * which            tables
 * "status"         summary (one row), devices, sinks, rates, streams, problems
 * "sinks"          sinks
 * "devices"        devices
 * "queue"          queue, queue_summary (one row)
 * "anchors"        anchors, anchors_summary (one row)
 * "quarantine"     quarantine, quarantine_summary (one row)
 * "unreadable"     unreadable: the last frames that could not be decoded
 * "reconcile"      reconcile, findings: what the servers lacked, hold alone or hold otherwise
 * "audit"          audit (one row), lines
 * "events"         events
 * "config"         config: every key in force, and where it was set
 */
enum control_error {
	CONTROL_E_UNKNOWN = 1, /* no such tables */
	CONTROL_E_BUSY,	       /* there are as many as there may be */
	CONTROL_E_SOCKET,      /* that is not a SEQPACKET socket */
	CONTROL_E_REFUSED,     /* for a reason that comes with it */
};

#define CONTROL_EVENTS_COLUMNS                                                                  \
	"number time_wall_us type data_type success count retries duration_us latency_us sink " \
	"reason"
#define CONTROL_EVENT_SIGNATURE "xssbuuusstu"

#define CONTROL_REWOUND_COLUMNS \
	"sink device data_type subject stream after_seq records size_bytes held"

/* What Rewind is asked for. */
struct control_rewind {
	const char *sink;
	struct uuid stream;
	uint64_t after_seq;
	int64_t since_us; /* wall; 0: after_seq counts */
	bool dry_run;
};

/*
 * Lists longer than this are cut in an answer; their summary says how long they are. Those of streams
 * (anchors, lines, streams) at TABLE_MAX_ROWS, the oldest streams first.
 */
enum { CONTROL_MAX_ROWS = 1000 };

/* Adds the table "config", of what is in force or of what the files say. < 0: no memory. */
int control_put_config(const struct config *config, struct tables *ret);

/* Why nobody answers, so that a daemon that hangs is not called dead. */
struct control_absence {
	enum {
		CONTROL_DEAD,	   /* nobody owns the store */
		CONTROL_HUNG,	   /* it is there and says nothing */
		CONTROL_STARTING,  /* it owns the store and does not listen yet, or no longer */
		CONTROL_WORKING,   /* another owns the store: a drain, a cleanup */
		CONTROL_FORBIDDEN, /* we may not ask */
	} kind;
	usec_t silent_us; /* since the last sign of life; 0: not known */
	int pid;	  /* of the owner; 0: not known */
	const char *role; /* of the owner, or "" */
	/* Why its store cannot be read either; "" it can, or there is nothing to say. */
	char store_what[160], store_remedy[200];
	const char *store_consequence;
};

enum { CONTROL_ABSENCE_SIZE = 160 };
/* In words, of which a sentence can be made: "vitald is not running (last alive 3 h ago)". */
void control_say_absence(const struct control_absence *a, char ret[static CONTROL_ABSENCE_SIZE]);
/*
 * The same tables from a store that was opened with store_look(), when nobody answers; NULL: there
 * is none to be read. The absence is the first of the problems.
 */
int control_tables_from_store(struct store *look, const struct config *config,
			      const struct control_absence *absence, const char *which,
			      struct tables *ret);
