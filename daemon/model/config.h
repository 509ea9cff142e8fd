/*
 * What the owner decided: /etc/vitald/vitald.conf and its drop-ins, read and checked. Every default
 * is written (commented) in config/vitald.conf; a test holds the two together.
 */
#pragma once

#include "model/frame.h"
#include "model/record.h"
#include "util/buf.h"
#include "util/clock.h"

#define CONFIG_DEFAULT_FILE VITALD_SYSCONFDIR "/vitald/vitald.conf"

enum {
	CONFIG_MAX_RETRIES = 8,
	CONFIG_MAX_SINKS = 8,
	CONFIG_MAX_DEVICES = 64,
	CONFIG_MAX_DROP_INS = 64,
	CONFIG_MAX_HANDLES = 64,
};

enum config_source {
	CONFIG_SOURCE_NONE,
	CONFIG_SOURCE_SIMULATE,
	CONFIG_SOURCE_BLUEZ,
	CONFIG_SOURCE_L2CAP,
	CONFIG_SOURCE_REPLAY,
};

/* What is taken of a wearable whose [device] does not say `streams`: all but what costs its battery. */
#define CONFIG_KINDS_DEFAULT                                                                    \
	(1U << KIND_HEART_RATE | 1U << KIND_ECG | 1U << KIND_ECG_COUNTS | 1U << KIND_OXIMETRY | \
	 1U << KIND_TEMPERATURE | 1U << KIND_BLOOD_PRESSURE)

/* What speaks now and then, when somebody measures: that it is silent is no trouble. */
#define CONFIG_KINDS_OCCASIONAL (1U << KIND_TEMPERATURE | 1U << KIND_BLOOD_PRESSURE)

/* When to pair with a wearable: when it refuses to speak otherwise, before anything else, or never. */
enum config_pair { CONFIG_PAIR_AUTO, CONFIG_PAIR_YES, CONFIG_PAIR_NO };

/* What kind of address a wearable has, which the radio must know before it can call it. */
enum config_address_type { CONFIG_ADDRESS_AUTO, CONFIG_ADDRESS_PUBLIC, CONFIG_ADDRESS_RANDOM };

enum config_from { CONFIG_FROM_OLDEST, CONFIG_FROM_NOW };

/* [sink "name"] */
struct config_sink {
	char *name; /* [a-z0-9_-]{1,32} */
	char *url;  /* https://..., or http:// to a loopback address only; no trailing slash */
	char *token_file;  /* or NULL */
	char *ca_file;	   /* or NULL: the system's */
	char *client_cert; /* or NULL; with client_key */
	char *client_key;
	char *proxy;	 /* or NULL: none (never from the environment) */
	char *interface; /* or NULL */
	bool required;	 /* holds durability and retention; default yes */
	enum config_from from;
	size_t max_body; /* bytes of JSON in one request; default 256 KiB */
};

/* [device "a0:b1:c2:d3:e4:f5"] */
struct config_device {
	char address[DEVICE_ADDRESS_SIZE];
	char *name;	/* or NULL */
	char *subject;	/* "" where nobody is named */
	unsigned kinds; /* streams = heart_rate ecg ...: 1 << enum kind; CONFIG_KINDS_DEFAULT */
	enum config_pair pair;		       /* auto */
	enum config_address_type address_type; /* auto */
	bool backfill; /* fetch what its own memory recorded while out of range; default no */
};

/* Where a capture that began after the discovery has its characteristics. */
struct config_handles {
	size_t n;
	struct config_handle {
		uint16_t handle;
		uint16_t characteristic; /* enum characteristic */
	} list[CONFIG_MAX_HANDLES];
};

struct config {
	/* [daemon] */
	char *state_dir;   /* /var/lib/vitald */
	char *runtime_dir; /* /run/vitald; must be a tmpfs */
	char *gateway;	   /* this hub's name at the servers; default: the host name */
	/* [source] */
	enum config_source source; /* bluez */
	bool auto_enroll; /* take devices that no [device] names; yes for simulate and replay */
	bool replay_fast; /* pace = fast | real */
	char *socket;	  /* of `vitald simulate`; default runtime_dir/straps */
	char *file;	  /* of replay, or NULL */
	struct config_handles handles; /* 0x0010=2a37 ... */
	/* [bluetooth] */
	char *adapter;	    /* "hci0" or an address in lower case; NULL: all */
	uint64_t max_links; /* 5, of each adapter */
	/* [sync] */
	usec_t durability_window;			   /* 1s; 0 commits each record */
	usec_t lazy_commit;				   /* 1h */
	usec_t linger;					   /* 250ms */
	usec_t immediate_retry_delays[CONFIG_MAX_RETRIES]; /* 0 1 3 (s) */
	size_t n_immediate_retry_delays;
	usec_t immediate_timeout;	 /* 10s */
	usec_t background_timeout;	 /* 60s */
	usec_t background_interval;	 /* 30min */
	usec_t backoff_min, backoff_max; /* 2s, 15min */
	usec_t probe_interval;		 /* 15min: a held sink */
	uint64_t max_batches;		 /* 10000 */
	uint64_t max_size;		 /* 2G */
	usec_t retention;		 /* 7d */
	uint64_t free_reserve;		 /* 256M: left free for the rest of the machine; 0: none */
	usec_t reconcile_interval;	 /* 6h: the daemon's own, beside the timer */
	usec_t reconcile_window;	 /* 24h: how far back the servers are compared */
	usec_t reconcile_all_after;	 /* 48h without a receipt: then everything is */
	size_t tail_size;		 /* 4M */
	/* [features] */
	bool immediate; /* new records go at once; off: with what the background sends */
	bool queue;	/* what failed is tried again by itself; off: by the background only */
	bool reconcile; /* servers are asked what they hold, and sent what they lack */
	bool timers;	/* the background: drain, reconcile and cleanup every so often */
	/* [time] */
	enum clock_trust trust_clock; /* auto */
	usec_t clock_wait;	      /* 2min */
	/* [control] */
	bool system_bus; /* bus = system | none */
	/* [log] */
	int log_level;		 /* info */
	bool sync_events;	 /* each sync event in the journal as well; default no */
	usec_t summary_interval; /* 15min */

	struct config_sink *sinks;
	size_t n_sinks;
	struct config_device *devices;
	size_t n_devices;
	struct config_origins *origins; /* where each key was set; NULL in what was not read */
};

enum { CONFIG_E_BAD = 1 };

struct config *config_free(struct config *c);
DEFINE_CLEANUP(struct config *, config_free)
/*
 * Reads `path` and then `path`.d/NAME.conf in the order of their names. CONFIG_E_BAD: there are
 * mistakes, all of them in `problems`, a line each: "file:line: what is wrong and what to write". A
 * missing file at the default path is an empty one; a missing file that was asked for is a mistake.
 */
int config_load(const char *path, struct buf *problems, struct config **ret);
/* The same for one text in memory; `name` stands in its mistakes. */
int config_parse(const char *name, const void *data, size_t size, struct buf *problems,
		 struct config **ret);
/* The [device] section of this address, or NULL. */
const struct config_device *config_device_find(const struct config *c, const char *address);
